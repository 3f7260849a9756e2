//! What people, and the reconciler for its own certificate, do to the files of the authority. Each step leaves files that can
//! be loaded, and one that broke off is finished by asking for it again.
//!
//! An authority is replaced in two steps. First a new one is made beside the old one: both are trusted, the new one issues,
//! devices learn of it by renewing, and the server keeps a certificate of the old one, which all devices know. When all of
//! them know the new one, the server gets a certificate of that, and the old one ends.

use std::path::Path;

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::lives::{AUTHORITY, SERVER_CERTIFICATE};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use super::{
    Authority, AuthorityError, CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY, ServerName, Trusted, bundle, common_name,
    files, kept, lasting, random,
};

/// Makes a new authority and the server's certificate for `names` in `dir`. Files that are there already are never
/// overwritten.
pub fn init(dir: &Path, names: &[ServerName], now: Timestamp) -> Result<(), AuthorityError> {
    if names.is_empty() {
        return Err(AuthorityError::NoName);
    }
    files::create_folder(dir)?;
    let (certificate, ca_key, params) = new_authority(now)?;
    let (server, server_key) = new_server(names, &Issuer::from_params(&params, &ca_key), now)?;
    files::create(&dir.join(CA_KEY), ca_key.serialize_pem().as_bytes())?;
    files::create(&dir.join(CA_CERT), certificate.pem().as_bytes())?;
    files::create(&dir.join(SERVER_KEY), server_key.serialize_pem().as_bytes())?;
    files::create(&dir.join(SERVER_CERT), server.pem().as_bytes())?;
    files::sync_folder(dir)
}

/// Makes a new key and certificate of the server, for these names or for those of the one before, by the authority that
/// signed that one. What it replaces is kept beside it.
///
/// # Errors
/// When there are no names, or the authority's files cannot be used.
pub fn renew_server(dir: &Path, names: Option<&[ServerName]>, now: Timestamp) -> Result<(), AuthorityError> {
    let authority = Authority::load(dir)?;
    let signed_by = authority.trusted.iter().find(|it| it.name == authority.server.issuer);
    let signed_by = signed_by.unwrap_or(authority.issuing());
    replace_server(dir, &authority, signed_by, (names, now))
}

/// Makes a new authority beside the one that is there: both are trusted from then on, and the new one issues.
///
/// # Errors
/// When there are two already, or the files cannot be used.
pub fn begin_rotation(dir: &Path, now: Timestamp) -> Result<(), AuthorityError> {
    let (ca_cert, ca_key) = (dir.join(CA_CERT), dir.join(CA_KEY));
    if take_waiting(&ca_cert, &ca_key)? {
        return Ok(());
    }
    let authority = Authority::load(dir)?;
    let [old] = authority.trusted.as_slice() else { return Err(AuthorityError::Rotating) };
    let (certificate, key, _) = new_authority(now)?;
    let new = Trusted::new(certificate.der().clone()).expect("a certificate that was just made can be read");
    let name = short(&old.fingerprint);
    files::keep(&ca_cert, &kept(dir, "ca", &name, "crt"))?;
    files::keep(&ca_key, &kept(dir, "ca", &name, "key"))?;
    files::replace(&files::next(&ca_key), key.serialize_pem().as_bytes())?;
    files::replace(&ca_cert, bundle([&new, old]).as_bytes())?;
    files::take_next(&ca_key)
}

/// Ends the replacement: the server gets a certificate of the new authority, and the old one is not trusted any more.
/// Devices that trust the old one alone, or bear its certificate, are shut out: ask first who they are.
///
/// # Errors
/// When the authority is not being replaced, or the files cannot be used.
pub fn finish_rotation(dir: &Path, now: Timestamp) -> Result<(), AuthorityError> {
    take_waiting(&dir.join(CA_CERT), &dir.join(CA_KEY))?;
    let authority = Authority::load(dir)?;
    if authority.trusted.len() < 2 {
        return Err(AuthorityError::NotRotating);
    }
    if authority.server.issuer != authority.issuing().name {
        replace_server(dir, &authority, authority.issuing(), (None, now))?;
    }
    files::replace(&dir.join(CA_CERT), bundle([authority.issuing()]).as_bytes())
}

fn replace_server(
    dir: &Path,
    authority: &Authority,
    signed_by: &Trusted,
    (names, now): (Option<&[ServerName]>, Timestamp),
) -> Result<(), AuthorityError> {
    let (certificate_path, key_path) = (dir.join(SERVER_CERT), dir.join(SERVER_KEY));
    let names = names.unwrap_or(&authority.server.names);
    if names.is_empty() {
        return Err(AuthorityError::NoName);
    }
    take_waiting(&certificate_path, &key_path)?;
    let issuer = match signed_by == authority.issuing() {
        true => files::read_pair(&dir.join(CA_CERT), &dir.join(CA_KEY))?.1,
        false => files::read_key(&kept(dir, "ca", &short(&signed_by.fingerprint), "key"))?.0,
    };
    let issuer = Issuer::from_ca_cert_der(&signed_by.certificate, issuer).map_err(AuthorityError::Sign)?;
    let (server, key) = new_server(names, &issuer, now)?;
    let before = authority.server_chain.first().map(|certificate| short(&Sha256Digest::of(certificate)));
    if let Some(before) = before {
        files::keep(&certificate_path, &kept(dir, "server", &before, "crt"))?;
        files::keep(&key_path, &kept(dir, "server", &before, "key"))?;
    }
    files::replace(&files::next(&key_path), key.serialize_pem().as_bytes())?;
    files::replace(&certificate_path, server.pem().as_bytes())?;
    files::take_next(&key_path)
}

/// A key that a change which broke off left waiting takes its place, if the certificate is there that it belongs to.
fn take_waiting(certificate_path: &Path, key_path: &Path) -> Result<bool, AuthorityError> {
    let waiting = files::next(key_path);
    let fits = waiting.exists() && files::read_pair(certificate_path, &waiting).is_ok();
    if fits {
        files::take_next(key_path)?;
    }
    Ok(fits)
}

/// The name under which files of an authority or a certificate are kept.
fn short(fingerprint: &Sha256Digest) -> String {
    fingerprint.to_string()[..16].to_owned()
}

fn new_authority(now: Timestamp) -> Result<(Certificate, KeyPair, CertificateParams), AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
    let mut params = lasting(AUTHORITY, now)?;
    // Two authorities of one name would confuse people and path building alike.
    params.distinguished_name = common_name(&format!("Bellwether CA {}", hex::encode(random::<4>()?)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
    Ok((certificate, key, params))
}

fn new_server<S: rcgen::SigningKey>(
    names: &[ServerName],
    issuer: &Issuer<'_, S>,
    now: Timestamp,
) -> Result<(Certificate, KeyPair), AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
    let mut server = lasting(SERVER_CERTIFICATE, now)?;
    server.distinguished_name = common_name("Bellwether reconciler");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.subject_alt_names = names.iter().map(ServerName::san).collect::<Result<_, _>>()?;
    let certificate = server.signed_by(&key, issuer).map_err(AuthorityError::Sign)?;
    Ok((certificate, key))
}
