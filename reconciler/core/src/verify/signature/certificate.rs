//! OpenPGP certificates (transferable public keys) of people, as a policy lists them.
//!
//! A key of a certificate may sign commits if the newest self-signature that stands for it says so: for the primary
//! key a direct-key signature or a certification of a user id, for a subkey its binding signature, which must carry
//! the subkey's own signature back. Newest among those of this copy, so no clock is asked; expiry never decides. Any
//! revocation in the copy counts, hard or soft, checked or not: a designated revoker's cannot be checked here, and
//! whoever lists a certificate wrote the copy. Kinds and sizes are those of SSH keys: RSA counts from 3072 bits.

use std::io::Read as _;

use pgp::armor::{BlockType, Dearmor};
use pgp::packet::{
    Packet, PacketParser, PacketTrait as _, PublicKey, PublicSubkey, Signature, SignatureType, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    Duration, EcdsaPublicParams, EddsaLegacyPublicParams, Fingerprint, KeyDetails, KeyVersion, Mpi, PublicParams, Tag,
    Timestamp,
};

use super::openpgp::{check_strength, names};
use super::sshkey::{check_rsa, ed25519};

/// The keys of one certificate.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) keys: Vec<Key>,
}

/// A primary key or a subkey.
#[derive(Debug, Clone)]
pub(super) struct Key {
    public: Public,
    pub(super) standing: Standing,
    /// What makes the key one key, whatever form it is listed in; none if it cannot sign.
    pub(super) material: Option<Vec<u8>>,
    /// When it expires, by the signature that says what it may do. For warnings only.
    expires: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone)]
enum Public {
    Primary(PublicKey),
    Subkey(PublicSubkey),
}

/// Whether a key may sign commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Signs,
    Revoked,
    /// Why not, in a sentence fragment.
    No(String),
}

impl Key {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match &self.public {
            Public::Primary(key) => key.fingerprint(),
            Public::Subkey(key) => key.fingerprint(),
        }
    }

    /// Whether a signature names this key as its issuer.
    pub(super) fn is_named_by(&self, signature: &Signature) -> bool {
        match &self.public {
            Public::Primary(key) => names(signature, key),
            Public::Subkey(key) => names(signature, key),
        }
    }

    /// Whether this key made the signature over `payload`.
    pub(super) fn verifies(&self, signature: &Signature, payload: &[u8]) -> bool {
        match &self.public {
            Public::Primary(key) => signature.verify(key, payload),
            Public::Subkey(key) => signature.verify(key, payload),
        }
        .is_ok()
    }
}

impl Certificate {
    /// Reads an armoured certificate, as `gpg --armor --export KEY` prints it.
    ///
    /// # Errors
    /// Why it cannot stand in a policy, in a sentence fragment.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.matches("-----BEGIN").count() != 1 {
            return Err("the text holds more than one certificate; list each for itself".to_owned());
        }
        let mut dearmor = Dearmor::new(text.trim_start().as_bytes());
        let mut bytes = Vec::new();
        dearmor.read_to_end(&mut bytes).map_err(|error| format!("the armour cannot be read ({error})"))?;
        if !matches!(dearmor.typ, Some(BlockType::PublicKey)) {
            return Err("the armour holds no public key".to_owned());
        }
        let certificate = Self::read(&bytes)?;
        let standings = || certificate.keys.iter().map(|key| &key.standing);
        if standings().any(|standing| matches!(standing, Standing::Signs | Standing::Revoked)) {
            return Ok(certificate);
        }
        let why = standings().find_map(|standing| match standing {
            Standing::No(why) => Some(why.as_str()),
            _ => None,
        });
        Err(format!("no key of it may sign commits: the primary key {}", why.unwrap_or("cannot")))
    }

    /// When the last of its keys that may sign expires, if each does. For warnings only: no date decides.
    pub(super) fn expires(&self) -> Option<jiff::Timestamp> {
        let primary = self.keys.first().and_then(|key| key.expires);
        let signing = self.keys.iter().filter(|key| key.standing == Standing::Signs);
        // A subkey ends with its primary key.
        let ends = signing.map(|key| key.expires.into_iter().chain(primary).min());
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut packets = PacketParser::new(bytes);
        let Some(Ok(Packet::PublicKey(primary))) = packets.next() else {
            return Err("it does not begin with a public key".to_owned());
        };
        if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
            return Err("the key's version is neither 4 nor 6".to_owned());
        }
        let mut parts =
            Parts { subject: Subject::Primary, revoked: false, flags: Newest::default(), subkeys: Vec::new() };
        for packet in packets {
            match packet.map_err(|error| format!("a packet of it cannot be read ({error})"))? {
                Packet::UserId(id) => parts.subject = Subject::User(id),
                Packet::UserAttribute(_) => parts.subject = Subject::Other,
                Packet::PublicSubkey(key) => {
                    parts.subkeys.push(Subkey { key, revoked: false, binding: Newest::default() });
                    parts.subject = Subject::Subkey;
                }
                Packet::Signature(signature) => parts.add(&primary, signature),
                Packet::Marker(_) | Packet::Padding(_) | Packet::Trust(_) => {}
                other => return Err(format!("it holds a packet that does not belong there ({:?})", other.tag())),
            }
        }
        Ok(parts.judge(primary))
    }
}

/// What the packets up to here say.
struct Parts {
    subject: Subject,
    revoked: bool,
    flags: Newest,
    subkeys: Vec<Subkey>,
}

/// What the next signature is about.
enum Subject {
    Primary,
    User(UserId),
    Subkey,
    Other,
}

struct Subkey {
    key: PublicSubkey,
    revoked: bool,
    binding: Newest,
}

/// The newest of the self-signatures that say what a key may do. Of two of the same second, the one that says less.
#[derive(Default)]
struct Newest(Option<Said>);

/// What a self-signature says about a key.
struct Said {
    created: Timestamp,
    may_sign: Result<(), String>,
    /// For how long, from the key's own creation on.
    lives: Option<Duration>,
}

impl Newest {
    fn offer(&mut self, signature: &Signature, says: impl FnOnce() -> Result<(), String>) {
        let Some(created) = signature.created() else { return };
        match &self.0 {
            Some(said) if said.created > created || (said.created == created && said.may_sign.is_err()) => {}
            _ => self.0 = Some(Said { created, may_sign: says(), lives: signature.key_expiration_time() }),
        }
    }

    /// What the key may do, and for how long from its creation on.
    fn standing(self, none: &str) -> (Standing, Option<Duration>) {
        let Some(said) = self.0 else { return (Standing::No(none.to_owned()), None) };
        let standing = match said.may_sign {
            Ok(()) => Standing::Signs,
            Err(why) => Standing::No(why),
        };
        // RFC 9580, 5.2.3.13: zero is never.
        (standing, said.lives.filter(|lives| lives.as_secs() > 0))
    }
}

impl Parts {
    /// Takes a signature for what it says about the key before it. What does not verify says nothing, unless it revokes.
    fn add(&mut self, primary: &PublicKey, signature: Signature) {
        match (signature.typ(), &self.subject) {
            (Some(SignatureType::KeyRevocation), _) => self.revoked = true,
            (Some(SignatureType::SubkeyRevocation), _) => match self.subkeys.last_mut() {
                Some(subkey) => subkey.revoked = true,
                None => self.revoked = true,
            },
            (Some(SignatureType::Key), Subject::Primary)
                if counts(&signature) && signature.verify_key(primary).is_ok() =>
            {
                self.flags.offer(&signature, || may_sign(&signature));
            }
            (
                Some(
                    SignatureType::CertGeneric
                    | SignatureType::CertPersona
                    | SignatureType::CertCasual
                    | SignatureType::CertPositive,
                ),
                Subject::User(id),
            ) if counts(&signature)
                && names(&signature, primary)
                && signature.verify_certification(primary, Tag::UserId, id).is_ok() =>
            {
                self.flags.offer(&signature, || may_sign(&signature));
            }
            (Some(SignatureType::SubkeyBinding), Subject::Subkey) => {
                let Some(subkey) = self.subkeys.last_mut() else { return };
                if counts(&signature) && signature.verify_subkey_binding(primary, &subkey.key).is_ok() {
                    let key = &subkey.key;
                    subkey.binding.offer(&signature, || {
                        may_sign(&signature)?;
                        signs_back(&signature, key, primary)
                    });
                }
            }
            _ => {}
        }
    }

    fn judge(self, primary: PublicKey) -> Certificate {
        let revoked = self.revoked;
        let key = |public: Public, own_revoked: bool, (standing, lives): (Standing, Option<Duration>)| {
            let (material, created) = match &public {
                Public::Primary(key) => (material(key.public_params()), key.created_at()),
                Public::Subkey(key) => (material(key.public_params()), key.created_at()),
            };
            let standing = match (standing, &material) {
                _ if revoked || own_revoked => Standing::Revoked,
                (Standing::Signs, Err(why)) => Standing::No(why.clone()),
                (standing, _) => standing,
            };
            let expires = lives.map(|lives| i64::from(created.as_secs()) + i64::from(lives.as_secs()));
            let expires = expires.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
            Key { public, standing, material: material.ok(), expires }
        };
        let unsigned = "has no self-signature with SHA-2 that says what it may do";
        let mut keys = vec![key(Public::Primary(primary), false, self.flags.standing(unsigned))];
        for subkey in self.subkeys {
            let unbound = "has no binding signature with SHA-2 by its primary key";
            keys.push(key(Public::Subkey(subkey.key), subkey.revoked, subkey.binding.standing(unbound)));
        }
        Certificate { keys }
    }
}

/// Whether a self-signature is made well enough to say anything, and says what a key may do.
fn counts(signature: &Signature) -> bool {
    let has_flags = |config: &pgp::packet::SignatureConfig| {
        config.hashed_subpackets().any(|found| matches!(found.data, SubpacketData::KeyFlags(_)))
    };
    check_strength(signature).is_ok() && signature.config().is_some_and(has_flags)
}

fn may_sign(signature: &Signature) -> Result<(), String> {
    if signature.key_flags().sign() { Ok(()) } else { Err("is not for signing, by its key flags".to_owned()) }
}

/// Whether a binding carries the subkey's own signature back, so that nobody can take another's subkey for theirs.
fn signs_back(binding: &Signature, subkey: &PublicSubkey, primary: &PublicKey) -> Result<(), String> {
    let back = binding.embedded_signature().ok_or("has not signed its primary key back")?;
    check_strength(back).map_err(|why| format!("has a signature back that {why}"))?;
    back.verify_primary_key_binding(subkey, primary)
        .map_err(|_| "has a signature back to its primary key that does not verify".to_owned())
}

/// The point or modulus of a key of a kind that may sign commits, or why it may not.
fn material(params: &PublicParams) -> Result<Vec<u8>, String> {
    match params {
        PublicParams::Ed25519(params) => ed25519(params.key.as_bytes()).map(|key| key.to_bytes().to_vec()),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => {
            ed25519(key.as_bytes()).map(|key| key.to_bytes().to_vec())
        }
        PublicParams::ECDSA(EcdsaPublicParams::P256 { key }) => {
            Ok(p256::ecdsa::VerifyingKey::from(key).to_encoded_point(false).as_bytes().to_vec())
        }
        PublicParams::ECDSA(EcdsaPublicParams::P384 { key }) => Ok(key.to_sec1_bytes().to_vec()),
        PublicParams::RSA(params) => {
            let bytes = params.to_bytes().map_err(|error| error.to_string())?;
            let mut rest = bytes.as_slice();
            let (modulus, exponent) = (Mpi::try_from_reader(&mut rest), Mpi::try_from_reader(&mut rest));
            let (Ok(modulus), Ok(exponent)) = (modulus, exponent) else { return Err("is unreadable".to_owned()) };
            check_rsa(modulus.as_ref(), exponent.as_ref()).map_err(|why| format!("does not count: {why}"))?;
            Ok(modulus.as_ref().to_vec())
        }
        _ => Err("is of a kind that is not supported: Ed25519, ECDSA P-256 and P-384 and RSA are".to_owned()),
    }
}
