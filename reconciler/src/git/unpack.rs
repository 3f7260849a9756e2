//! Takes apart the small packs that fetches bring. Each fetch brings one, and every look at the mirror reads all of them:
//! at some hundreds a fetch without news takes a fifth of a second. git does the same (`fetch.unpackLimit`).

use std::path::Path;

use gix::objs::Write as _;

/// A pack with more objects stays as it is.
const SMALL_PACK: u32 = 200;
/// And so does one with more bytes, as they are without packing. A few hundred bytes can hold many MiB.
const SMALL_BYTES: u64 = 16 << 20;

/// Writes the objects of a small pack one by one, and removes the pack once they are on the disk.
///
/// # Errors
/// When an object cannot be read or written; the pack then stays.
pub(super) fn unpack_small(repo: &gix::Repository, index_path: &Path) -> Result<(), gix::Error> {
    let index = gix::odb::pack::index::File::at(index_path, repo.object_hash())?;
    if index.num_objects() > SMALL_PACK {
        return Ok(());
    }
    let mut left = SMALL_BYTES;
    for entry in index.iter() {
        match left.checked_sub(repo.find_header(entry.oid)?.size()) {
            Some(rest) => left = rest,
            None => return Ok(()),
        }
    }
    let dir = repo.objects.store_ref().path();
    let loose = gix::odb::loose::Store::at(dir, repo.object_hash());
    for entry in index.iter() {
        let found = repo.find_object(entry.oid)?;
        loose.write_buf(found.kind, &found.data)?;
    }
    let io = |done: std::io::Result<()>| done.map_err(gix::Error::from_error);
    // A power cut must not find the pack gone and the objects not there yet.
    io(std::fs::File::open(dir).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)))?;
    // Without its index the rest is no pack any more.
    io(std::fs::remove_file(index_path))?;
    io(std::fs::remove_file(index_path.with_extension("pack")))
}
