//! OpenPGP signatures (RFC 9580, versions 4 and 6) over commits.
//!
//! The issuer that a signature names only tells which key to try. When it was made and when it says that it expires
//! never decide. The area of subpackets that nobody signs must hold the issuer's key id at most, and a version 4
//! signature must name that id exactly once, here or there, so that nobody can add or take away anything.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketHeader, Signature, SignatureType, SignatureVersion, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, Tag};

use super::super::refusal::Fault;
use super::armour::Armour;
use super::{invalid, not_canonical, unsupported};

/// As GnuPG writes it.
const ARMOUR: Armour = Armour { begin: "-----BEGIN PGP SIGNATURE-----", end: "-----END PGP SIGNATURE-----", width: 64 };

/// Whether a signature says that it is of this kind.
pub(super) fn is(text: &str) -> bool {
    text.starts_with("-----BEGIN PGP")
}

/// Reads an armoured signature over a document. It is not verified yet.
pub(super) fn parse(text: &str) -> Result<Signature, Fault> {
    let body = ARMOUR.body(text)?;
    let body = body.strip_prefix('\n').ok_or_else(|| {
        not_canonical("the OpenPGP signature's armour has headers, which nobody signs: take comment out of gpg.conf")
    })?;
    let (lines, checksum) = match body.rsplit_once('\n') {
        Some((lines, last)) if last.starts_with('=') => (lines, Some(last)),
        _ => (body, None),
    };
    let bytes = ARMOUR.decode(lines)?;
    let packet = packet(&bytes)?;
    let header = PacketHeader::new_fixed(Tag::Signature, u32::try_from(packet.len()).unwrap_or(u32::MAX));
    let signature = Signature::try_from_reader(header, packet)
        .map_err(|error| invalid(format!("the OpenPGP signature cannot be read ({error})")))?;
    check(&signature)?;
    // What is hashed is what was read, written again: it must be what stands there.
    if signature.to_bytes().ok().as_deref() != Some(packet) {
        return Err(not_canonical("the OpenPGP signature is not encoded as it must be"));
    }
    // RFC 9580, 6.1: version 4 has a checksum everywhere, version 6 must have none.
    let expected = (signature.version() == SignatureVersion::V4).then(|| crc24(&bytes));
    if checksum.map(str::to_owned) != expected {
        return Err(not_canonical("the checksum of the OpenPGP signature's armour is wrong, missing, or too much"));
    }
    Ok(signature)
}

/// The content of the only packet, a signature, whose header is as short as it can be.
fn packet(bytes: &[u8]) -> Result<&[u8], Fault> {
    let (length, content) = match bytes {
        // The old form, as GnuPG writes it, with a length of one or two bytes.
        [0x88, length, content @ ..] => (usize::from(*length), content),
        [0x89, high, low, content @ ..] if *high > 0 => ((usize::from(*high) << 8) | usize::from(*low), content),
        // The new form.
        [0xc2, length @ 0..192, content @ ..] => (usize::from(*length), content),
        [0xc2, high @ 192..224, low, content @ ..] => {
            (((usize::from(*high) - 192) << 8) + usize::from(*low) + 192, content)
        }
        [0x88..=0x8b | 0xc2, ..] => {
            return Err(not_canonical("the OpenPGP packet's length is not as short as it can be"));
        }
        _ => return Err(invalid("the OpenPGP armour holds no signature packet")),
    };
    if length != content.len() {
        return Err(not_canonical("the OpenPGP armour holds more or less than one signature"));
    }
    Ok(content)
}

/// What can be said of a signature over a document without a key.
fn check(signature: &Signature) -> Result<(), Fault> {
    let Some(config) = signature.config() else {
        return Err(unsupported("the OpenPGP signature is of an unknown version"));
    };
    if config.typ != SignatureType::Binary {
        return Err(unsupported(format!("the OpenPGP signature is of type {:?}, expected Binary", config.typ)));
    }
    check_strength(signature).map_err(|why| unsupported(format!("the OpenPGP signature {why}")))?;
    let (mut unsigned, mut ids) = (0, 0);
    for subpacket in &config.unhashed_subpackets {
        unsigned += 1;
        if !is_issuer(subpacket) || subpacket.is_critical {
            return Err(not_canonical("the OpenPGP signature has subpackets that nobody signed"));
        }
    }
    for subpacket in config.hashed_subpackets().chain(&config.unhashed_subpackets) {
        ids += usize::from(is_issuer(subpacket));
    }
    let expected = usize::from(signature.version() == SignatureVersion::V4);
    if ids != expected || unsigned > expected {
        return Err(not_canonical(format!(
            "the OpenPGP signature names the key id of its issuer {ids} times, expected {expected}"
        )));
    }
    Ok(())
}

fn is_issuer(subpacket: &Subpacket) -> bool {
    matches!(subpacket.data, SubpacketData::IssuerKeyId(_))
}

/// Why no signature of this making counts, of whatever type, if so: version, hash, or a demand that is not understood.
pub(super) fn check_strength(signature: &Signature) -> Result<(), String> {
    let Some(config) = signature.config() else { return Err("is of an unknown version".to_owned()) };
    if !matches!(config.version(), SignatureVersion::V4 | SignatureVersion::V6) {
        return Err(format!("is of version {}; 4 and 6 are supported", u8::from(config.version())));
    }
    if !matches!(config.hash_alg, HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) {
        return Err(format!("uses the hash {}; SHA-256, SHA-384 and SHA-512 are supported", config.hash_alg));
    }
    let understood = |data: &SubpacketData| {
        !matches!(data, SubpacketData::Other(..) | SubpacketData::Experimental(..) | SubpacketData::Notation(_))
    };
    match config.hashed_subpackets().find(|subpacket| subpacket.is_critical && !understood(&subpacket.data)) {
        Some(subpacket) => Err(format!("makes a demand that is not understood ({:?})", subpacket.typ())),
        None => Ok(()),
    }
}

/// Whether a signature names this key as its issuer, as far as it names one. It may lie.
pub(super) fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_key_id().iter().all(|id| **id == key.legacy_key_id())
        && signature.issuer_fingerprint().iter().all(|print| **print == key.fingerprint())
}

/// Whom a signature names as its issuer, for people.
pub(super) fn issuer(signature: &Signature) -> String {
    match (signature.issuer_fingerprint().first(), signature.issuer_key_id().first()) {
        (Some(print), _) => print.to_string().to_uppercase(),
        (None, Some(id)) => id.to_string().to_uppercase(),
        (None, None) => "of no name".to_owned(),
    }
}

/// The checksum line of an armour (RFC 9580, 6.1.1).
fn crc24(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let mut crc: u32 = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    format!("={}", base64::engine::general_purpose::STANDARD.encode(&crc.to_be_bytes()[1..]))
}
