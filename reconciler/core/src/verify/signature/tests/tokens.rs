//! Keys on FIDO tokens, made in software as PROTOCOL.u2f says: a token cannot be asked in a test.

use bellwether_schemas::manifest::Person;
use bellwether_schemas::{Code, codes};
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256, Sha512};

use super::{SIGNED, check, check_over, keyring_of, rearmed, signer};

/// How a token signs. The default counts.
struct Token {
    kind: Kind,
    flags: u8,
    counter: u32,
    application: &'static str,
    /// Signed in place of the application that the key names.
    signed_application: Option<&'static str>,
    namespace: &'static str,
    /// In place of the kind's own.
    algorithm: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Kind {
    Ed25519,
    Ecdsa,
}

const KINDS: [Kind; 2] = [Kind::Ed25519, Kind::Ecdsa];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ed25519 => "sk-ssh-ed25519@openssh.com",
            Kind::Ecdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn public(self) -> Vec<u8> {
        match self {
            Kind::Ed25519 => string(ed25519().verifying_key().as_bytes()),
            Kind::Ecdsa => {
                [string(b"nistp256"), string(ecdsa().verifying_key().to_encoded_point(false).as_bytes())].concat()
            }
        }
    }

    fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Kind::Ed25519 => ed25519().sign(message).to_bytes().to_vec(),
            Kind::Ecdsa => {
                let signature: p256::ecdsa::Signature = ecdsa().sign(message);
                let (r, s) = signature.split_bytes();
                [string(&mpint(&r)), string(&mpint(&s))].concat()
            }
        }
    }
}

fn ed25519() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[7; 32])
}

fn ecdsa() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a scalar")
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat()
}

fn mpint(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    [sign, bytes].concat()
}

impl Token {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            flags: 0x01,
            counter: 5,
            application: "ssh:",
            signed_application: None,
            namespace: "git",
            algorithm: None,
        }
    }

    fn key(&self) -> Vec<u8> {
        [string(self.kind.name().as_bytes()), self.kind.public(), string(self.application.as_bytes())].concat()
    }

    fn line(&self) -> String {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD.encode(self.key());
        format!("{} {base64} ada@example.com", self.kind.name())
    }

    fn signature(&self) -> String {
        self.signature_with(|trailer| trailer)
    }

    fn signature_with(&self, trailer: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
        let parts = [self.namespace.as_bytes(), b"", b"sha512"].map(string).concat();
        let message = [b"SSHSIG".as_slice(), &parts, &string(&Sha512::digest(SIGNED))].concat();
        let end = [&[self.flags][..], &self.counter.to_be_bytes()].concat();
        let application = self.signed_application.unwrap_or(self.application);
        let signed = [&Sha256::digest(application)[..], &end, &Sha256::digest(&message)].concat();
        let algorithm = self.algorithm.unwrap_or(self.kind.name());
        let signature = [string(algorithm.as_bytes()), string(&self.kind.sign(&signed)), trailer(end)].concat();
        let blob = [b"SSHSIG\0\0\0\x01".as_slice(), &string(&self.key()), &parts, &string(&signature)].concat();
        rearmed("SSH SIGNATURE", 70, &blob)
    }

    #[track_caller]
    fn refused(&self, code: Code) {
        assert_eq!(check(&self.signature()), Err(code), "{}", self.kind.name());
    }
}

#[test]
fn a_touch_counts_whatever_the_counter_says() {
    for kind in KINDS {
        for (flags, counter) in [(0x01, 0), (0x01, u32::MAX), (0x05, 1)] {
            let token = Token { flags, counter, ..Token::new(kind) };
            let person = Person { ssh: vec![token.line()], ..Person::default() };
            let keyring = keyring_of(person, None).expect("a key that counts");
            assert_eq!(signer(&keyring, &token.signature()).as_deref(), Ok("ada"), "{}", kind.name());
            let other = SIGNED.to_ascii_uppercase();
            let other = [&SIGNED[..SIGNED.len() - 5], &other[SIGNED.len() - 5..]].concat();
            assert_eq!(check_over(&other, &token.signature()), Err(codes::SIGNATURE_INVALID));
        }
    }
}

#[test]
fn a_signature_without_a_touch_does_not_count() {
    for kind in KINDS {
        Token { flags: 0x00, ..Token::new(kind) }.refused(codes::USER_PRESENCE);
        // A PIN is no touch.
        Token { flags: 0x04, ..Token::new(kind) }.refused(codes::USER_PRESENCE);
    }
}

#[test]
fn unknown_flags_do_not_count() {
    for kind in KINDS {
        for flags in [0x03, 0x41, 0x81] {
            Token { flags, ..Token::new(kind) }.refused(codes::SIGNATURE_UNSUPPORTED);
        }
    }
}

#[test]
fn what_a_token_says_is_signed_too() {
    for kind in KINDS {
        let without = Token { flags: 0x00, ..Token::new(kind) };
        let lying = without.signature_with(|mut end| {
            end[0] = 0x01;
            end
        });
        assert_eq!(check(&lying), Err(codes::SIGNATURE_INVALID));
        let counted = Token::new(kind).signature_with(|mut end| {
            end[4] += 1;
            end
        });
        assert_eq!(check(&counted), Err(codes::SIGNATURE_INVALID));
    }
}

#[test]
fn flags_and_counter_are_there_and_nothing_else() {
    for kind in KINDS {
        for change in
            [|_: Vec<u8>| Vec::new(), |end: Vec<u8>| end[..4].to_vec(), |end: Vec<u8>| [end, vec![0]].concat()]
        {
            assert_eq!(check(&Token::new(kind).signature_with(change)), Err(codes::SIGNATURE_INVALID));
        }
    }
}

#[test]
fn a_key_is_for_its_application() {
    for kind in KINDS {
        Token { signed_application: Some("https://example.com"), ..Token::new(kind) }.refused(codes::SIGNATURE_INVALID);
        let here = Token::new(kind);
        let there = Token { application: "ssh:other", ..Token::new(kind) };
        let keyring = keyring_of(Person { ssh: vec![here.line()], ..Person::default() }, None).expect("a key");
        let fault = signer(&keyring, &there.signature()).expect_err("another key");
        assert_eq!(fault.code, codes::SIGNER_UNKNOWN, "{fault}");
    }
}

#[test]
fn browsers_other_namespaces_and_plain_algorithms_do_not_count() {
    let webauthn = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
    Token { algorithm: Some(webauthn), ..Token::new(Kind::Ecdsa) }.refused(codes::SIGNATURE_UNSUPPORTED);
    for kind in KINDS {
        Token { namespace: "file", ..Token::new(kind) }.refused(codes::SIGNATURE_INVALID);
    }
    // The plain algorithm has no flags to look at.
    let plain = Token { algorithm: Some("ssh-ed25519"), ..Token::new(Kind::Ed25519) };
    assert_eq!(check(&plain.signature_with(|_| Vec::new())), Err(codes::SIGNATURE_INVALID));
    let swapped = Token { algorithm: Some(Kind::Ecdsa.name()), ..Token::new(Kind::Ed25519) };
    assert_eq!(check(&swapped.signature()), Err(codes::SIGNATURE_INVALID));
}
