//! The authority's files: made once, never overwritten, keys for their owner only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::AuthorityError;

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

pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(&read(path, false)?)
        .map_err(|_| AuthorityError::Content { path: path.to_owned(), expected: "certificate" })
}

pub(super) fn read_key(path: &Path) -> Result<(KeyPair, PrivatePkcs8KeyDer<'static>), AuthorityError> {
    let invalid = || AuthorityError::Content { path: path.to_owned(), expected: "PKCS#8 private key" };
    let der = PrivatePkcs8KeyDer::from_pem_slice(&read(path, true)?).map_err(|_| invalid())?;
    let pair = KeyPair::try_from(&der).map_err(|_| invalid())?;
    Ok((pair, der))
}

pub(super) fn check_pair(
    certificate: &CertificateDer<'_>,
    key: &KeyPair,
    certificate_path: &Path,
    key_path: &Path,
) -> Result<(), AuthorityError> {
    let spki = super::peer::public_key(certificate)
        .ok_or_else(|| AuthorityError::Content { path: certificate_path.to_owned(), expected: "certificate" })?;
    if spki == key.subject_public_key_info() {
        Ok(())
    } else {
        Err(AuthorityError::Mismatch { certificate: certificate_path.to_owned(), key: key_path.to_owned() })
    }
}
