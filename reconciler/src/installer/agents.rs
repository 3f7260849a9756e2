//! The agents that the listener `enroll` offers: `<directory>/<target>/bellwether-agent`, put there by the operator.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bellwether_schemas::Sha256Digest;
use sha2::Digest as _;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// The program's name, in the directory and in the address.
pub(crate) const PROGRAM: &str = "bellwether-agent";
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// The directory, and what its files' digests were when they were last read.
#[derive(Debug)]
pub(crate) struct Agents {
    directory: PathBuf,
    digests: Mutex<HashMap<String, (Stamp, Sha256Digest)>>,
}

/// By what a file is taken to be the same.
type Stamp = (u64, Option<SystemTime>);

/// An agent, open.
pub(crate) struct Agent {
    pub(crate) file: File,
    pub(crate) length: u64,
    modified: Option<SystemTime>,
}

impl Agents {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, digests: Mutex::default() }
    }

    /// The agent for a target; none where the operator put none.
    pub(crate) async fn open(&self, target: &str) -> io::Result<Option<Agent>> {
        if !is_target(target) {
            return Ok(None);
        }
        let file = match File::open(self.directory.join(target).join(PROGRAM)).await {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata().await?;
        let found = Agent { file, length: metadata.len(), modified: metadata.modified().ok() };
        Ok(metadata.is_file().then_some(found))
    }

    /// Its SHA-256; read once, and again when the file is another one.
    pub(crate) async fn digest(&self, target: &str, agent: Agent) -> io::Result<Sha256Digest> {
        let stamp = (agent.length, agent.modified);
        let known = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied();
        if let Some((_, digest)) = known.filter(|(seen, _)| *seen == stamp) {
            return Ok(digest);
        }
        let (mut file, mut hash, mut buffer) = (agent.file, sha2::Sha256::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut buffer).await? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let bytes: [u8; 32] = hash.finalize().into();
        let digest = Sha256Digest::from_bytes(bytes);
        // Only what is there is remembered, so that requests for all sorts of names do not fill the memory.
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(target.to_owned(), (stamp, digest));
        Ok(digest)
    }

    /// The targets that there is an agent for.
    pub(crate) async fn targets(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Ok(mut entries) = tokio::fs::read_dir(&self.directory).await else { return found };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name().to_string_lossy().into_owned();
            if matches!(self.open(&name).await, Ok(Some(_))) {
                found.push(name);
            }
        }
        found.sort();
        found
    }
}

impl Agent {
    /// Its content, piece by piece.
    pub(crate) fn stream(self) -> impl futures::Stream<Item = io::Result<bytes::Bytes>> {
        let read = |(mut file, left): (File, u64)| async move {
            if left == 0 {
                return Ok(None);
            }
            let mut buffer = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            match file.read(&mut buffer).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    buffer.truncate(read);
                    Ok(Some((bytes::Bytes::from(buffer), (file, left - read as u64))))
                }
            }
        };
        futures::stream::try_unfold((self.file, self.length), read)
    }
}

/// Whether it may be a target triple; nothing else becomes part of a path.
fn is_target(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}
