//! Where verified bytes come from: a source of git objects, and the one function that trusts none of it.

use std::collections::HashMap;

use bellwether_schemas::ObjectId;

/// The kinds of git object that are ever read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A blob.
    Blob,
}

impl ObjectKind {
    /// The word in the object's header (gitformat-pack, "object types").
    pub const fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
        }
    }

    /// The greatest length of an object of this kind in bytes.
    pub const fn limit(self) -> usize {
        match self {
            Self::Commit => 1 << 20,
            Self::Tree => 16 << 20,
            Self::Blob => 64 << 20,
        }
    }
}

/// Why an object could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The source does not have it.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// It is of another kind.
    #[error("object {id} is a {found}, expected a {expected}")]
    WrongKind {
        /// The object.
        id: ObjectId,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// It is longer than its kind may be.
    #[error("object {id} has {length} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The object.
        id: ObjectId,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Its bytes do not have its id as their hash.
    #[error("object {0} does not have the hash that its name says")]
    Corrupt(ObjectId),
    /// Its bytes bear the marks of a SHA-1 collision attack.
    #[error("object {0} shows a SHA-1 collision attack")]
    Collision(ObjectId),
    /// The source failed.
    #[error("object {id} cannot be read: {why}")]
    Unreadable {
        /// The object.
        id: ObjectId,
        /// Why.
        why: String,
    },
}

impl ObjectError {
    /// Whether the same object may be read well another time: it may come with a fetch, or the source failed. What an
    /// object is, and how long, never changes.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Missing(_) | Self::Corrupt(_) | Self::Unreadable { .. } => true,
            Self::WrongKind { .. } | Self::TooLarge { .. } | Self::Collision(_) => false,
        }
    }
}

/// A source of raw objects, which many threads may ask. It is not trusted: [`read`] checks what it returns.
pub trait ObjectSource: Sync {
    /// The kind and content (without header) of an object.
    ///
    /// # Errors
    /// `Missing`, `Unreadable`, or `TooLarge` where it knows before it spends memory.
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError>;

    /// The kind of an object and the length of its content, perhaps without reading it.
    ///
    /// # Errors
    /// As [`Self::raw`].
    fn header(&self, id: &ObjectId) -> Result<(ObjectKind, usize), ObjectError> {
        self.raw(id).map(|(kind, content)| (kind, content.len()))
    }
}

/// Checks that an object is there, of this kind, and not too long. What it holds is checked whenever it is [`read`].
///
/// # Errors
/// `Missing`, `WrongKind`, `TooLarge` or `Unreadable`.
pub fn expect(source: &dyn ObjectSource, id: &ObjectId, kind: ObjectKind) -> Result<(), ObjectError> {
    match source.header(id)? {
        (found, _) if found != kind => {
            Err(ObjectError::WrongKind { id: *id, found: found.word(), expected: kind.word() })
        }
        (_, length) if length > kind.limit() => Err(ObjectError::TooLarge { id: *id, length, limit: kind.limit() }),
        _ => Ok(()),
    }
}

/// Reads an object of `kind`, and checks kind, length and hash.
///
/// # Errors
/// Every case of [`ObjectError`].
pub fn read(source: &dyn ObjectSource, id: &ObjectId, kind: ObjectKind) -> Result<Vec<u8>, ObjectError> {
    let content = unchecked(source, id, kind)?;
    check(id, kind, &content)?;
    Ok(content)
}

/// Reads an object of `kind`, and checks kind and length. Whoever uses it must [`check`] the hash before what it says counts.
pub(crate) fn unchecked(source: &dyn ObjectSource, id: &ObjectId, kind: ObjectKind) -> Result<Vec<u8>, ObjectError> {
    let (found, content) = source.raw(id)?;
    if found != kind {
        return Err(ObjectError::WrongKind { id: *id, found: found.word(), expected: kind.word() });
    }
    if content.len() > kind.limit() {
        return Err(ObjectError::TooLarge { id: *id, length: content.len(), limit: kind.limit() });
    }
    Ok(content)
}

/// Checks that an object of `kind` with this content has this id.
///
/// # Errors
/// `Corrupt` or `Collision`.
pub(crate) fn check(id: &ObjectId, kind: ObjectKind, content: &[u8]) -> Result<(), ObjectError> {
    match hash(kind, content, id.as_bytes().len()) {
        Some(actual) if actual == *id => Ok(()),
        Some(_) => Err(ObjectError::Corrupt(*id)),
        None => Err(ObjectError::Collision(*id)),
    }
}

/// The id of an object with this content; `None` for a SHA-1 collision.
fn hash(kind: ObjectKind, content: &[u8], id_length: usize) -> Option<ObjectId> {
    use sha2::Digest as _;
    let header = format!("{} {}\0", kind.word(), content.len());
    if id_length == 32 {
        let digest = sha2::Sha256::new().chain_update(header).chain_update(content).finalize();
        return ObjectId::from_bytes(&digest);
    }
    sha1(header.as_bytes(), content)
}

/// The SHA-1 of both together; `None` where they bear the marks of a collision attack.
fn sha1(header: &[u8], content: &[u8]) -> Option<ObjectId> {
    let mut hasher = sha1dc::Hasher::new();
    hasher.update(header);
    hasher.update(content);
    ObjectId::from_bytes(hasher.finalize().ok()?.as_bytes())
}

/// The SHA-1 id of an object with this content, for programs that write objects and for tests.
pub fn object_id(kind: ObjectKind, content: &[u8]) -> ObjectId {
    hash(kind, content, 20).expect("content of our own making is no collision attack")
}

/// Objects in memory, under their SHA-1 ids: for programs that make objects before they store them, and for tests.
#[derive(Debug, Clone, Default)]
pub struct MemoryObjects {
    objects: HashMap<ObjectId, (ObjectKind, Vec<u8>)>,
}

impl MemoryObjects {
    /// Puts an object in, and returns its id.
    pub fn insert(&mut self, kind: ObjectKind, content: impl Into<Vec<u8>>) -> ObjectId {
        let content = content.into();
        let id = object_id(kind, &content);
        self.objects.insert(id, (kind, content));
        id
    }

    /// Takes an object out, as a shallow or damaged clone would lack it.
    pub fn remove(&mut self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        self.objects.remove(id)
    }
}

impl ObjectSource for MemoryObjects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        self.objects.get(id).cloned().ok_or(ObjectError::Missing(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(ObjectKind, Vec<u8>);
    impl ObjectSource for One {
        fn raw(&self, _: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
            Ok((self.0, self.1.clone()))
        }
    }

    /// The first 320 bytes of shattered-1.pdf, which hold the blocks that collide (shattered.io). The attack holds behind
    /// these 192 bytes only, so that no object of git with these blocks exists: the hash is what is tested.
    #[test]
    fn hostile_collision_is_seen_wherever_the_blocks_are_cut() {
        let blocks = include_bytes!("testdata/shattered-320.bin");
        for cut in [0, 7, 64, 200, 320] {
            assert_eq!(sha1(&blocks[..cut], &blocks[cut..]), None, "cut at {cut}");
        }
        assert!(sha1(b"", &blocks[..256]).is_some(), "half of the attack is none");
        let id = object_id(ObjectKind::Blob, b"x");
        let fault = crate::verify::Fault::from(ObjectError::Collision(id));
        assert_eq!(fault.code, bellwether_schemas::codes::SHA1_COLLISION);
        let long = ObjectError::TooLarge { id, length: 2, limit: 1 };
        assert_eq!(crate::verify::Fault::from(long).code, bellwether_schemas::codes::OBJECT_TOO_LARGE);
    }

    #[test]
    fn the_hash_is_gits_and_is_checked() {
        // `printf hello | git hash-object --stdin`
        let id: ObjectId = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0".parse().expect("an id");
        assert_eq!(object_id(ObjectKind::Blob, b"hello"), id);
        assert_eq!(read(&One(ObjectKind::Blob, b"hello".to_vec()), &id, ObjectKind::Blob), Ok(b"hello".to_vec()));
        let other = One(ObjectKind::Blob, b"hellO".to_vec());
        assert_eq!(read(&other, &id, ObjectKind::Blob), Err(ObjectError::Corrupt(id)));
        assert!(matches!(
            read(&One(ObjectKind::Tree, b"hello".to_vec()), &id, ObjectKind::Blob),
            Err(ObjectError::WrongKind { .. })
        ));
    }
}
