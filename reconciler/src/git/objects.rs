//! Raw objects of the mirror, for as many threads as like to read. Nothing is checked here but length, before memory is
//! spent on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZero;

use gix::objs::Find as _;
use thread_local::ThreadLocal;

use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_schemas::ObjectId;

/// Memory that one object may take before its kind and length are known: enough for nearly all of them, with the object
/// that it is a delta of.
pub(super) const SMALL_READ: usize = 8 << 20;
/// The longest object that a fetch takes in: others may be deltas of it, which are read then.
pub(super) const LARGE_OBJECT: usize = 2 * ObjectKind::Blob.limit();
/// Memory that one object may take at all: the longest one twice while deltas are applied, and the deltas.
pub(super) const LARGE_READ: usize = 3 * LARGE_OBJECT;
/// Bytes of decoded pack entries that all threads together keep, where each processor has one.
const KEPT: usize = 16 << 20;
/// A longer entry is not kept.
const SMALL: usize = 1 << 20;

/// Decoded entries by pack and place, which others are deltas of. Landings are read in order, and git packs each tree as a
/// delta of its neighbour: without this, every tree would be built again from the beginning of its chain.
struct Bases {
    entries: HashMap<(u32, u64), (gix::object::Kind, usize, Vec<u8>)>,
    bytes: usize,
    limit: usize,
}

impl Bases {
    fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { entries: HashMap::new(), bytes: 0, limit: (KEPT / threads).max(2 * SMALL) }
    }
}

impl gix::odb::pack::cache::DecodeEntry for Bases {
    fn put(&mut self, pack_id: u32, offset: u64, data: &[u8], kind: gix::object::Kind, compressed_size: usize) {
        if data.len() > SMALL {
            return;
        }
        if self.bytes + data.len() > self.limit {
            self.entries.clear();
            self.bytes = 0;
        }
        let old = self.entries.insert((pack_id, offset), (kind, compressed_size, data.to_vec()));
        self.bytes += data.len();
        self.bytes -= old.map_or(0, |(_, _, data)| data.len());
    }

    fn get(&mut self, pack_id: u32, offset: u64, out: &mut Vec<u8>) -> Option<(gix::object::Kind, usize)> {
        let (kind, compressed_size, data) = self.entries.get(&(pack_id, offset))?;
        out.clear();
        out.extend_from_slice(data);
        Some((*kind, *compressed_size))
    }
}

/// The object database of a mirror, as of its last fetch. Each thread that reads has a handle and a cache of its own.
#[derive(Debug)]
pub struct MirrorObjects {
    small: Handles,
    large: Handles,
}

impl MirrorObjects {
    /// Reads from two views of the same mirror, whose memory for one object is limited to `SMALL_READ` and `LARGE_READ`.
    pub(super) fn new(small: gix::ThreadSafeRepository, large: gix::ThreadSafeRepository) -> Self {
        Self { small: Handles::new(small), large: Handles::new(large) }
    }

    /// Reads what may be long: kind and length are looked at first, and nothing is inflated that is too long.
    fn read_large(&self, id: &ObjectId, name: gix::ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let unreadable = |why: gix::Error| ObjectError::Unreadable { id: *id, why: super::chain(&why) };
        let repo = &self.large.of_this_thread().repo;
        let header = repo.try_find_header(name).map_err(unreadable)?.ok_or(ObjectError::Missing(*id))?;
        let kind = kind(id, header.kind())?;
        let length = usize::try_from(header.size()).unwrap_or(usize::MAX);
        if length > kind.limit() {
            return Err(ObjectError::TooLarge { id: *id, length, limit: kind.limit() });
        }
        let found = repo.try_find_object(name).map_err(unreadable)?.ok_or(ObjectError::Missing(*id))?;
        Ok((kind, found.detach().data))
    }
}

impl ObjectSource for MirrorObjects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let unreadable = |why: String| ObjectError::Unreadable { id: *id, why };
        let name = gix::ObjectId::try_from(id.as_bytes()).map_err(|why| unreadable(why.to_string()))?;
        if name.kind() != self.small.shared.objects.object_hash() {
            return Err(ObjectError::Missing(*id));
        }
        // One look-up serves nearly all: the length that pack or file declares is held against the limit before it is inflated.
        let Handle { repo, buffer } = self.small.of_this_thread();
        // Deltas are applied in it, which takes more room than the object: it grows once for many of them.
        let mut buffer = buffer.borrow_mut();
        let found = match repo.objects.try_find(&name, &mut buffer) {
            Ok(Some(found)) => kind(id, found.kind).and_then(|kind| match found.data.len() > kind.limit() {
                true => Err(ObjectError::TooLarge { id: *id, length: found.data.len(), limit: kind.limit() }),
                false => Ok((kind, found.data.to_vec())),
            }),
            Ok(None) => Err(ObjectError::Missing(*id)),
            Err(why) if why.is_resource_exhausted() => self.read_large(id, name),
            Err(why) => Err(unreadable(super::chain(&why))),
        };
        if buffer.capacity() > SMALL {
            *buffer = Vec::new();
        }
        found
    }

    fn header(&self, id: &ObjectId) -> Result<(ObjectKind, usize), ObjectError> {
        let unreadable = |why: String| ObjectError::Unreadable { id: *id, why };
        let name = gix::ObjectId::try_from(id.as_bytes()).map_err(|why| unreadable(why.to_string()))?;
        if name.kind() != self.small.shared.objects.object_hash() {
            return Err(ObjectError::Missing(*id));
        }
        let found =
            self.small.of_this_thread().repo.try_find_header(name).map_err(|why| unreadable(super::chain(&why)))?;
        let found = found.ok_or(ObjectError::Missing(*id))?;
        Ok((kind(id, found.kind())?, usize::try_from(found.size()).unwrap_or(usize::MAX)))
    }
}

fn kind(id: &ObjectId, found: gix::object::Kind) -> Result<ObjectKind, ObjectError> {
    match found {
        gix::object::Kind::Commit => Ok(ObjectKind::Commit),
        gix::object::Kind::Tree => Ok(ObjectKind::Tree),
        gix::object::Kind::Blob => Ok(ObjectKind::Blob),
        gix::object::Kind::Tag => {
            Err(ObjectError::WrongKind { id: *id, found: "tag", expected: "commit, tree or blob" })
        }
    }
}

/// One view of a mirror, with a handle for each thread that ever read.
#[derive(Debug)]
struct Handles {
    shared: gix::ThreadSafeRepository,
    handles: ThreadLocal<Handle>,
}

#[derive(Debug)]
struct Handle {
    repo: gix::Repository,
    buffer: RefCell<Vec<u8>>,
}

impl Handles {
    fn new(shared: gix::ThreadSafeRepository) -> Self {
        Self { shared, handles: ThreadLocal::new() }
    }

    fn of_this_thread(&self) -> &Handle {
        self.handles.get_or(|| {
            let mut repo = self.shared.to_thread_local();
            repo.objects.ignore_replacements = true;
            repo.objects.set_pack_cache(|| Box::new(Bases::new()));
            Handle { repo, buffer: RefCell::default() }
        })
    }
}
