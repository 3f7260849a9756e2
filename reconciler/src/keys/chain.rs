//! The chain of roots, each signed by itself and by the one before (TUF specification 5.3.4).

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::num::NonZeroU64;
use std::path::Path;

use tough::schema::{Root, Signed};

/// Bytes of a root that agents read, and so of one that is made or published.
pub(crate) const MAX_ROOT: u64 = 512_000;

/// The name of the file of a root beside the online keys.
pub fn root_file(version: NonZeroU64) -> String {
    format!("{version}.root.json")
}

/// The version in the name of such a file; `None` for other files.
pub fn version_of_root_file(name: &str) -> Option<NonZeroU64> {
    let version = name.strip_suffix(".root.json")?.parse().ok()?;
    (root_file(version) == name).then_some(version)
}

/// Why a root is not the next one of its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("root {version}: {why}")]
pub struct NotNext {
    version: NonZeroU64,
    why: String,
}

/// Roots of which each follows from the one before, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain(Vec<Root>);

impl Chain {
    /// The version that comes next.
    pub(crate) fn next(&self) -> NonZeroU64 {
        self.newest().map_or(NonZeroU64::MIN, |root| root.version.saturating_add(1))
    }

    /// The newest root.
    pub(crate) fn newest(&self) -> Option<&Root> {
        self.0.last()
    }

    /// All of them, oldest first.
    pub(crate) fn into_roots(self) -> Vec<Root> {
        self.0
    }

    /// Adds the next root.
    ///
    /// # Errors
    /// When it is not signed by itself and by the one before, or has another version.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), NotNext> {
        let version = self.next();
        let bad = |why: String| NotNext { version, why };
        let root: Signed<Root> = serde_json::from_slice(bytes).map_err(|why| bad(why.to_string()))?;
        root.signed.verify_role(&root).map_err(|why| bad(why.to_string()))?;
        if let Some(before) = self.newest() {
            before.verify_role(&root).map_err(|why| bad(format!("by root {}: {why}", before.version)))?;
        }
        if root.signed.version != version {
            return Err(bad(format!("it says that it is version {}", root.signed.version)));
        }
        self.0.push(root.signed);
        Ok(())
    }

    /// Reads the roots that lie in a folder, from the first on.
    ///
    /// # Errors
    /// When one cannot be read or does not follow from the one before.
    pub(crate) fn read(dir: &Path) -> Result<Self, NotNext> {
        let mut chain = Self::default();
        while let Some(bytes) = read_root(dir, chain.next())? {
            chain.push(&bytes)?;
        }
        Ok(chain)
    }
}

/// The bytes of a root that lies in a folder; `None` where there is none of this version.
pub(crate) fn read_root(dir: &Path, version: NonZeroU64) -> Result<Option<Vec<u8>>, NotNext> {
    let path = dir.join(root_file(version));
    let failed = |why: std::io::Error| NotNext { version, why: format!("{} cannot be read: {why}", path.display()) };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_ROOT + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0..=MAX_ROOT => Ok(Some(bytes)),
        _ => Err(NotNext { version, why: format!("{} has more than {MAX_ROOT} bytes", path.display()) }),
    }
}
