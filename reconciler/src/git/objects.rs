//! Raw objects of the mirror. Nothing is checked here but length, before memory is spent on it.

use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_schemas::ObjectId;

/// The object database of a mirror, as of its last fetch.
#[derive(Debug)]
pub struct MirrorObjects {
    repo: gix::Repository,
}

impl MirrorObjects {
    pub(super) fn new(repo: gix::Repository) -> Self {
        Self { repo }
    }
}

impl ObjectSource for MirrorObjects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let unreadable = |why: String| ObjectError::Unreadable { id: *id, why };
        let name = gix::ObjectId::try_from(id.as_bytes()).map_err(|why| unreadable(why.to_string()))?;
        let header = self.repo.try_find_header(name).map_err(|why| unreadable(super::chain(&why)))?;
        let Some(header) = header else {
            return Err(ObjectError::Missing(*id));
        };
        let kind = match header.kind() {
            gix::object::Kind::Commit => ObjectKind::Commit,
            gix::object::Kind::Tree => ObjectKind::Tree,
            gix::object::Kind::Blob => ObjectKind::Blob,
            gix::object::Kind::Tag => return Err(unreadable("it is a tag".to_owned())),
        };
        let length = usize::try_from(header.size()).unwrap_or(usize::MAX);
        if length > kind.limit() {
            return Err(ObjectError::TooLarge { id: *id, length, limit: kind.limit() });
        }
        let object = self.repo.try_find_object(name).map_err(|why| unreadable(super::chain(&why)))?;
        let object = object.ok_or(ObjectError::Missing(*id))?;
        Ok((kind, object.detach().data))
    }
}
