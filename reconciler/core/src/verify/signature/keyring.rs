//! The keys of a policy's people, of every kind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bellwether_schemas::manifest::{GitsignIdentity, Person};
use bellwether_schemas::{PersonName, codes};
use jiff::Timestamp;

use super::super::commit::Commit;
use super::super::policy::{POLICY_PATH, SIGSTORE_ROOT_PATH};
use super::super::refusal::Fault;
use super::certificate::{Certificate, Key, Standing};
use super::gitsign::{self, SigstoreRoot};
use super::{Proof, SigningKey, invalid, openpgp, unsigned, unsupported};

/// An OpenPGP certificate of a policy that ends by its own date. That decides nothing here; `gpg` signs with it no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringKey {
    /// Whose it is.
    pub person: PersonName,
    /// The fingerprint of its primary key, as `gpg --list-keys` shows it.
    pub fingerprint: String,
    /// When the last of its keys that may sign expires.
    pub expires: Timestamp,
}

/// Whose key is whose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring {
    ssh: HashMap<SigningKey, PersonName>,
    openpgp: Arc<Vec<(PersonName, Certificate)>>,
    gitsign: BTreeMap<GitsignIdentity, PersonName>,
    sigstore: Option<Arc<SigstoreRoot>>,
}

impl Keyring {
    /// Reads the keys of `people`. `sigstore_root` is the content of `trust/sigstore-root.json` where the policy pins it.
    ///
    /// # Errors
    /// Every problem.
    pub(crate) fn build(
        people: &BTreeMap<PersonName, Person>,
        sigstore_root: Option<&[u8]>,
    ) -> Result<Self, Vec<Fault>> {
        let mut builder = Builder::default();
        for (name, person) in people {
            builder.add(name, person);
        }
        let sigstore = sigstore_root.and_then(|json| {
            let no_root = |why| builder.faults.push(Fault::new(codes::SIGSTORE_ROOT, why).path(SIGSTORE_ROOT_PATH));
            SigstoreRoot::parse(json).map_err(no_root).ok().map(Arc::new)
        });
        if let (Some((identity, name)), None) = (builder.gitsign.first_key_value(), sigstore_root) {
            let why = format!("{name} signs as {} by gitsign, and no sigstoreRoot is pinned", identity.identity);
            builder.faults.push(Fault::new(codes::SIGSTORE_ROOT, why).path(POLICY_PATH));
        }
        if !builder.faults.is_empty() {
            return Err(builder.faults);
        }
        Ok(Self { ssh: builder.ssh, openpgp: Arc::new(builder.openpgp), gitsign: builder.gitsign, sigstore })
    }

    /// Who signed a commit, of which `proof` is the proof.
    ///
    /// # Errors
    /// It is unsigned, or its signature is of a kind that does not count, does not verify, or is by a revoked key or by
    /// nobody's.
    pub(crate) fn signer(&self, commit: &Commit, proof: &Proof) -> Result<&PersonName, Fault> {
        let text = commit.signature.as_deref();
        match (proof, text) {
            (Proof::None, _) | (Proof::Deferred, None) => Err(unsigned()),
            (Proof::Ssh(Err(fault)), _) => Err(fault.clone()),
            (Proof::Ssh(Ok(key)), _) => {
                self.ssh.get(key).ok_or_else(|| nobodys(format!("the key {}", key.fingerprint())))
            }
            (Proof::Deferred, Some(text)) if openpgp::is(text) => self.openpgp_signer(text, &commit.payload),
            (Proof::Deferred, Some(text)) => self.gitsign_signer(text, &commit.payload),
        }
    }

    /// The OpenPGP certificates that end by a date of their own.
    pub(crate) fn expiring(&self) -> impl Iterator<Item = ExpiringKey> + '_ {
        self.openpgp.iter().filter_map(|(person, certificate)| {
            let fingerprint = certificate.keys.first()?.fingerprint().to_string().to_uppercase();
            Some(ExpiringKey { person: person.clone(), fingerprint, expires: certificate.expires()? })
        })
    }

    /// Whether this person has any key or identity that could sign.
    pub(crate) fn has_key(&self, person: &PersonName) -> bool {
        let signs = |certificate: &Certificate| certificate.keys.iter().any(|key| key.standing == Standing::Signs);
        self.ssh.values().any(|owner| owner == person)
            || self.openpgp.iter().any(|(owner, certificate)| owner == person && signs(certificate))
            || self.gitsign.values().any(|owner| owner == person)
    }

    fn openpgp_signer(&self, text: &str, payload: &[u8]) -> Result<&PersonName, Fault> {
        let signature = openpgp::parse(text)?;
        let issuer = openpgp::issuer(&signature);
        let keys = self.openpgp.iter().flat_map(|(name, found)| found.keys.iter().map(move |key| (name, key)));
        let named: Vec<(&PersonName, &Key)> = keys.filter(|(_, key)| key.is_named_by(&signature)).collect();
        if named.is_empty() {
            return Err(nobodys(format!("the OpenPGP key {issuer}")));
        }
        // Two keys can have the same id, which is short; the signature tells them apart.
        let made = named.into_iter().find(|(_, key)| key.verifies(&signature, payload));
        let (name, key) =
            made.ok_or_else(|| invalid(format!("the OpenPGP signature by {issuer} is not over this commit")))?;
        match &key.standing {
            Standing::Signs => Ok(name),
            Standing::Revoked => {
                let why = format!("the OpenPGP key {issuer} of {name} is revoked");
                Err(Fault::new(codes::SIGNATURE_REVOKED, why))
            }
            Standing::No(why) => Err(unsupported(format!("the OpenPGP key {issuer} of {name} {why}"))),
        }
    }

    fn gitsign_signer(&self, text: &str, payload: &[u8]) -> Result<&PersonName, Fault> {
        let Some(root) = &self.sigstore else {
            return Err(nobodys("a gitsign identity, where the policy pins no sigstoreRoot,".to_owned()));
        };
        let identity = gitsign::verify(text, payload, root)?;
        self.gitsign
            .get(&identity)
            .ok_or_else(|| nobodys(format!("the identity {} of {}", identity.identity, identity.issuer)))
    }
}

fn nobodys(what: String) -> Fault {
    Fault::new(codes::SIGNER_UNKNOWN, format!("{what} is nobody's in the policy"))
}

#[derive(Default)]
struct Builder {
    ssh: HashMap<SigningKey, PersonName>,
    openpgp: Vec<(PersonName, Certificate)>,
    gitsign: BTreeMap<GitsignIdentity, PersonName>,
    /// Each key once, as its point or modulus, or as the fingerprint of what cannot sign.
    owners: HashMap<Vec<u8>, PersonName>,
    faults: Vec<Fault>,
}

impl Builder {
    fn add(&mut self, name: &PersonName, person: &Person) {
        for line in &person.ssh {
            match SigningKey::from_line(line) {
                Err(why) => self.fault(format!("a key of {name}: {why}")),
                Ok(key) => {
                    self.own(name, key.material(), || format!("the key {}", key.fingerprint()));
                    self.ssh.insert(key, name.clone());
                }
            }
        }
        for text in &person.openpgp {
            match Certificate::parse(text) {
                Err(why) => self.fault(format!("an OpenPGP certificate of {name}: {why}")),
                Ok(certificate) => {
                    for key in &certificate.keys {
                        let fingerprint = key.fingerprint();
                        let what = || format!("the OpenPGP key {}", fingerprint.to_string().to_uppercase());
                        let material = key.material.clone();
                        self.own(name, material.unwrap_or_else(|| fingerprint.as_bytes().to_vec()), what);
                    }
                    self.openpgp.push((name.clone(), certificate));
                }
            }
        }
        for identity in &person.gitsign {
            if let Some(other) = self.gitsign.insert(identity.clone(), name.clone()) {
                let what = format!("the identity {} of {}", identity.identity, identity.issuer);
                self.fault(twice(&what, &other, name));
            }
        }
    }

    fn own(&mut self, name: &PersonName, key: Vec<u8>, what: impl FnOnce() -> String) {
        if let Some(other) = self.owners.insert(key, name.clone()) {
            self.fault(twice(&what(), &other, name));
        }
    }

    fn fault(&mut self, why: String) {
        self.faults.push(Fault::new(codes::POLICY_INVALID, why).path(POLICY_PATH));
    }
}

fn twice(what: &str, one: &PersonName, other: &PersonName) -> String {
    if one == other {
        format!("{what} stands twice at {one}")
    } else {
        format!("{what} stands at {one} and at {other}")
    }
}
