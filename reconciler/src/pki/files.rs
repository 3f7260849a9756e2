//! The authority's files: what is secret for its owner only, nothing lost, and whole at every moment.
//!
//! Nothing is overwritten that is not kept under another name first. A change of a certificate with its key goes through
//! `<key>.next`: whatever moment a crash falls into, the certificate belongs to one of the two.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::AuthorityError;
use super::peer::public_key;

/// No key or certificate of ours is larger, in bytes.
const MAX_FILE: u64 = 64 * 1024;

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> AuthorityError + 'a {
    move |source| AuthorityError::File { action, path: path.to_owned(), source }
}

pub(super) fn create_folder(dir: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))
}

pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), AuthorityError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

pub(super) fn sync_folder(dir: &Path) -> Result<(), AuthorityError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(failed("sync", dir))
}

/// The name under which a key waits to take its place.
pub(super) fn next(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

/// Puts a new content in the place of a file, durable when this returns.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), AuthorityError> {
    stage(path, content)?.persist(path).map_err(|error| failed("replace", path)(error.error))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn stage(path: &Path, content: &[u8]) -> Result<tempfile::NamedTempFile, AuthorityError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut staged = tempfile::Builder::new().prefix(".").tempfile_in(dir).map_err(failed("write", path))?;
    staged.write_all(content).and_then(|()| staged.as_file().sync_all()).map_err(failed("write", path))?;
    Ok(staged)
}

/// Puts the key that waits in the place of the one before; nothing where none waits.
pub(super) fn take_next(path: &Path) -> Result<(), AuthorityError> {
    match std::fs::rename(next(path), path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("replace", path)(error)),
        _ => sync_folder(path.parent().unwrap_or(Path::new("."))),
    }
}

/// Keeps a copy of a file under another name. A copy that is there already stays, if it has the same content.
pub(super) fn keep(path: &Path, copy: &Path) -> Result<(), AuthorityError> {
    let content = read(path, false)?;
    let staged = stage(copy, &content)?;
    match staged.persist_noclobber(copy) {
        Ok(_) => sync_folder(copy.parent().unwrap_or(Path::new("."))),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists && read(copy, false)? == content => Ok(()),
        Err(error) => Err(failed("create", copy)(error.error)),
    }
}

fn read(path: &Path, secret: bool) -> Result<Vec<u8>, AuthorityError> {
    let file = File::open(path).map_err(failed("read", path))?;
    // The open file is asked, not the path: what was checked is what is read.
    let mode = file.metadata().map_err(failed("read", path))?.permissions().mode();
    if secret && mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    let mut content = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut content).map_err(failed("read", path))?;
    Ok(content)
}

/// All certificates in a file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let invalid = || AuthorityError::Content { path: path.to_owned(), expected: "certificate" };
    let content = read(path, false)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(invalid)
}

pub(super) fn read_key(path: &Path) -> Result<(KeyPair, PrivatePkcs8KeyDer<'static>), AuthorityError> {
    let invalid = || AuthorityError::Content { path: path.to_owned(), expected: "PKCS#8 private key" };
    let der = PrivatePkcs8KeyDer::from_pem_slice(&read(path, true)?).map_err(|_| invalid())?;
    let pair = KeyPair::try_from(&der).map_err(|_| invalid())?;
    Ok((pair, der))
}

/// A key, the certificate that it belongs to, and the key once more.
pub(super) type Pair = (CertificateDer<'static>, KeyPair, PrivatePkcs8KeyDer<'static>);

/// Finds the certificate of a file that belongs to a key: to the one in its place or, where a change broke off before the key
/// was there, to the one that waits.
pub(super) fn read_pair(certificate_path: &Path, key_path: &Path) -> Result<Pair, AuthorityError> {
    let certificates = read_certificates(certificate_path)?;
    let mut candidates = vec![read_key(key_path)?];
    let waiting = next(key_path);
    if waiting.exists() {
        candidates.push(read_key(&waiting)?);
    }
    for (key, der) in candidates {
        for certificate in &certificates {
            let content = || AuthorityError::Content { path: certificate_path.to_owned(), expected: "certificate" };
            if public_key(certificate).ok_or_else(content)? == key.subject_public_key_info() {
                return Ok((certificate.clone(), key, der));
            }
        }
    }
    Err(AuthorityError::Mismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() })
}
