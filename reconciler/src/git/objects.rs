//! Raw objects of the mirror. Nothing is checked here but length, before memory is spent on it.

use std::collections::HashMap;

use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_schemas::ObjectId;

/// Bytes of decoded pack entries that are kept.
const KEPT: usize = 32 << 20;
/// A longer entry is not kept.
const SMALL: usize = 1 << 20;

/// Decoded entries by pack and place, which others are deltas of. Landings are read in order, and git packs each tree as a
/// delta of its neighbour: without this, every tree would be built again from the beginning of its chain.
#[derive(Default)]
struct Bases {
    entries: HashMap<(u32, u64), (gix::object::Kind, usize, Vec<u8>)>,
    bytes: usize,
}

impl gix::odb::pack::cache::DecodeEntry for Bases {
    fn put(&mut self, pack_id: u32, offset: u64, data: &[u8], kind: gix::object::Kind, compressed_size: usize) {
        if data.len() > SMALL {
            return;
        }
        if self.bytes + data.len() > KEPT {
            *self = Self::default();
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

/// The object database of a mirror, as of its last fetch.
#[derive(Debug)]
pub struct MirrorObjects {
    repo: gix::Repository,
}

impl MirrorObjects {
    pub(super) fn new(mut repo: gix::Repository) -> Self {
        repo.objects.set_pack_cache(|| Box::new(Bases::default()));
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
