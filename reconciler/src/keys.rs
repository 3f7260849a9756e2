//! The keys of the TUF repositories: kept in files of their owner, never overwritten, and replaced by ceremonies of people.
//!
//! In: directories. Out: signed roots and, at each start, the online keys in memory.
//! Root keys are only read by ceremonies, and never by the running reconciler.

mod ceremony;
mod chain;
mod draft;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{Role, RoleType, Signature, Signed};
use tough::sign::Sign as _;

use bellwether_schemas::{Code, codes};

pub use ceremony::{
    Drafted, InitializedKeys, RootKeys, begin, finish, init, init_with, make_root_key, newest, read_root_key,
    sign_draft,
};
pub(crate) use chain::{Chain, MAX_ROOT, read_root};
pub use chain::{NotNext, root_file, version_of_root_file};
pub use draft::{Change, Draft, DraftError, RootKey, Signatures};

/// The version of the TUF specification that is written.
pub(crate) const SPEC_VERSION: &str = "1.0.0";
/// The greatest length of a key file in bytes.
const MAX_KEY_FILE: u64 = 16 << 10;
const ONE: NonZeroU64 = NonZeroU64::MIN;

/// Why keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is a file already.
    #[error("{}: {} exists already, and keys are never overwritten", self.code(), path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written or read.
    #[error("{}: the key file {} cannot be {doing}", self.code(), path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `written` or `read`.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read the key.
    #[error("{}: the key file {} has mode {mode:04o}, so others than its owner can read it", self.code(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key of ours.
    #[error("{}: {} holds no Ed25519 key in PKCS#8 PEM: {why}", self.code(), path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The roots beside the online keys are no chain.
    #[error("{}: the roots in {} cannot be used: {why}", self.code(), dir.display())]
    Chain {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A draft of a root cannot be made, signed or finished.
    #[error("{}: {}: {why}", self.code(), path.display())]
    Draft {
        /// The file, or the folder of the online keys.
        path: PathBuf,
        /// What is wrong.
        why: DraftError,
    },
    /// The cryptographic library failed.
    #[error("{}: a key could not be made", self.code())]
    Generate,
}

impl KeyError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Exists { .. } => codes::KEY_EXISTS,
            Self::Exposed { .. } => codes::KEY_EXPOSED,
            Self::Chain { .. } => codes::STORE_ROOT_UNUSABLE,
            Self::Draft { .. } => codes::ROOT_DRAFT,
            Self::File { .. } | Self::NoKey { .. } | Self::Generate => codes::KEY_UNREADABLE,
        }
    }
}

/// A key that signs, with its TUF key id.
#[derive(Debug)]
pub(crate) struct SigningKey {
    pair: Ed25519KeyPair,
    id: Decoded<Hex>,
}

impl SigningKey {
    fn new(pair: Ed25519KeyPair) -> Self {
        let id = pair.tuf_key().key_id().expect("an Ed25519 key has a canonical form");
        Self { pair, id }
    }

    fn generate() -> Result<(Self, String), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        Ok((Self::new(pair), pem("PRIVATE KEY", document.as_ref())))
    }

    pub(crate) fn load(path: &Path) -> Result<Self, KeyError> {
        let text = read_private(path)?;
        let no_key = |why: String| KeyError::NoKey { path: path.to_owned(), why };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|why| no_key(why.to_string()))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        Ok(Self::new(pair.map_err(|why| no_key(why.to_string()))?))
    }

    /// The TUF key id: SHA-256 of the canonical key.
    pub(crate) fn id(&self) -> &Decoded<Hex> {
        &self.id
    }

    /// The public half, in TUF's form.
    fn public(&self) -> tough::schema::key::Key {
        self.pair.tuf_key()
    }

    fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// Signs a role, and serialises it with its signature.
    pub(crate) fn sign<T: Role>(&self, signed: T) -> Vec<u8> {
        let message = signed.canonical_form().expect("roles of our making have a canonical form");
        let sig = self.sign_bytes(&message).into();
        let signatures = vec![Signature { keyid: self.id.clone(), sig }];
        serde_json::to_vec(&Signed { signed, signatures }).expect("roles of our making have string keys")
    }
}

/// The three keys that the running reconciler signs with.
#[derive(Debug)]
pub struct OnlineKeys {
    pub(crate) targets: SigningKey,
    pub(crate) snapshot: SigningKey,
    pub(crate) timestamp: SigningKey,
}

impl OnlineKeys {
    /// Makes three new keys, and their files' contents.
    fn generate() -> Result<(Self, [String; 3]), KeyError> {
        let [targets, snapshot, timestamp] =
            [SigningKey::generate()?, SigningKey::generate()?, SigningKey::generate()?];
        let texts = [targets.1, snapshot.1, timestamp.1];
        Ok((Self { targets: targets.0, snapshot: snapshot.0, timestamp: timestamp.0 }, texts))
    }

    /// Reads `targets.pem`, `snapshot.pem` and `timestamp.pem` in `dir`.
    ///
    /// # Errors
    /// When a file is missing, is readable by others than its owner, or holds no such key.
    pub fn load(dir: &Path) -> Result<Self, KeyError> {
        Ok(Self {
            targets: SigningKey::load(&dir.join("targets.pem"))?,
            snapshot: SigningKey::load(&dir.join("snapshot.pem"))?,
            timestamp: SigningKey::load(&dir.join("timestamp.pem"))?,
        })
    }

    /// Each key with the role that it signs.
    pub(crate) fn roles(&self) -> [(RoleType, &SigningKey); 3] {
        [
            (RoleType::Targets, &self.targets),
            (RoleType::Snapshot, &self.snapshot),
            (RoleType::Timestamp, &self.timestamp),
        ]
    }
}

/// The signed first root, beside the online keys: the reconciler publishes it, and devices pin it.
pub const ROOT_JSON: &str = "1.root.json";

/// DER in PEM.
pub(crate) fn pem(what: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {what}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem + &format!("-----END {what}-----\n")
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyError> {
    let write = || -> std::io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::File { path: path.to_owned(), doing: "written", source },
    })
}

/// Reads a file that only its owner can read. The descriptor that is checked is the one that is read.
fn read_private(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), doing: "read", source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(MAX_KEY_FILE).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tough::schema::Root;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn keys_are_private_distinct_and_in_the_root_that_they_sign() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root_dir, online) = (dir.path().join("keys"), dir.path().join("keys/online"));
        let made = init(&root_dir, &online, at("2026-01-02T03:04:05.678Z")).expect("keys");
        let root: Signed<Root> = serde_json::from_slice(&made.root_json).expect("a root");
        root.signed.verify_role(&root).expect("signed by its own key");
        assert_eq!((root.signed.keys.len(), root.signed.roles.len()), (4, 4));
        assert_eq!(root.signed.expires, at("2055-12-26T03:04:05Z"));
        for (role, key) in OnlineKeys::load(&online).expect("online keys").roles() {
            assert_eq!(root.signed.roles[&role].keyids, [key.id().clone()]);
        }
        for path in [root_dir.join("root.pem"), online.join("targets.pem")] {
            assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn keys_are_never_overwritten_and_never_read_when_exposed() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = at("2026-01-02T03:04:05Z");
        init(dir.path(), &dir.path().join("online"), now).expect("keys");
        let before = std::fs::read(dir.path().join("root.pem")).expect("a key");
        assert!(matches!(init(dir.path(), &dir.path().join("other"), now), Err(KeyError::Exists { .. })));
        assert_eq!(std::fs::read(dir.path().join("root.pem")).expect("a key"), before);
        assert!(!dir.path().join("other").exists());

        let exposed = dir.path().join("online/snapshot.pem");
        std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        let refused = OnlineKeys::load(&dir.path().join("online")).expect_err("others may read it");
        assert!(matches!(&refused, KeyError::Exposed { path, mode: 0o640 } if *path == exposed), "{refused}");
    }
}
