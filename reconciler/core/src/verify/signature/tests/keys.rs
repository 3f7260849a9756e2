//! The keys of people: each belongs to one, and is listed once.

use std::collections::BTreeMap;

use bellwether_schemas::codes;
use bellwether_schemas::manifest::{GitsignIdentity, Person};

use super::authority::{EMAIL, ISSUER, Sigstore};
use super::name;
use crate::testing::{ADA, BOB, key_line};
use crate::verify::signature::Keyring;

const CERTIFICATE: &str = include_str!("../../testdata/openpgp-ed25519.asc");

fn faults(ada: Person, bob: Person) -> Vec<String> {
    let root = Sigstore::new(10).root_text();
    let people = BTreeMap::from([(name("ada"), ada), (name("bob"), bob)]);
    match Keyring::build(&people, Some(&root)) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            assert!(faults.iter().all(|fault| fault.code == codes::POLICY_INVALID), "{faults:?}");
            faults.into_iter().map(|fault| fault.why).collect()
        }
    }
}

fn everything(seed: u8) -> Person {
    Person {
        ssh: vec![key_line(seed)],
        openpgp: if seed == ADA { vec![CERTIFICATE.to_owned()] } else { Vec::new() },
        gitsign: vec![GitsignIdentity { identity: format!("{seed}{EMAIL}"), issuer: ISSUER.to_owned() }],
        bot: false,
    }
}

#[test]
fn people_may_have_keys_of_every_kind() {
    assert_eq!(faults(everything(ADA), everything(BOB)), Vec::<String>::new());
}

#[test]
fn a_key_stands_once() {
    let openpgp = Person { openpgp: vec![CERTIFICATE.to_owned()], ..Person::default() };
    let ssh = Person { ssh: vec![key_line(ADA)], ..Person::default() };
    let gitsign = Person { gitsign: everything(ADA).gitsign, ..Person::default() };
    for (person, part) in [(openpgp, "the OpenPGP key "), (ssh, "the key SHA256:"), (gitsign, "the identity 1ada@")] {
        let found = faults(everything(ADA), person.clone());
        assert!(
            found.iter().all(|why| why.starts_with(part) && why.ends_with("stands at ada and at bob")),
            "{found:?}"
        );
        assert!(!found.is_empty());
        let twice = Person {
            ssh: [person.ssh.clone(), person.ssh].concat(),
            openpgp: [person.openpgp.clone(), person.openpgp].concat(),
            gitsign: [person.gitsign.clone(), person.gitsign].concat(),
            bot: false,
        };
        let found = faults(twice, Person::default());
        assert!(!found.is_empty() && found.iter().all(|why| why.ends_with("stands twice at ada")), "{found:?}");
    }
}

#[test]
fn a_key_is_one_key_in_whatever_form_it_is_listed() {
    use base64::Engine as _;
    // The same point as the SSH key of ada, as a key on a token.
    let plain = key_line(ADA);
    let engine = base64::engine::general_purpose::STANDARD;
    let blob = engine.decode(plain.split(' ').nth(1).expect("its base64")).expect("base64");
    let point = &blob[blob.len() - 32..];
    let kind = "sk-ssh-ed25519@openssh.com";
    let token = [b"\0\0\0\x1a", kind.as_bytes(), b"\0\0\0\x20", point, b"\0\0\0\x04ssh:"].concat();
    let token = Person { ssh: vec![format!("{kind} {}", engine.encode(token))], ..Person::default() };
    assert_eq!(faults(everything(ADA), token).len(), 1);
}

#[test]
fn every_problem_is_reported() {
    let broken = Person {
        ssh: vec!["ssh-ed25519 AAAA".to_owned()],
        openpgp: vec!["-----BEGIN PGP PUBLIC KEY BLOCK-----".to_owned()],
        ..Person::default()
    };
    assert_eq!(faults(broken, everything(BOB)).len(), 2);
}
