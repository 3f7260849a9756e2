//! Which devices git knows, and with which labels: the enrollments, their entries and the Device manifests.
//!
//! What the history said last about an entry holds: a line or a file that is deleted is no statement, so tidying spent
//! tokens revokes nobody and un-revokes nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::manifest::{AnyManifest, ApprovalMode, ApprovedKey, Device, Enrollment, Labels, Token, Vars};
use bellwether_schemas::{CommitId, DeviceName, EnrollmentName, EntryId};

use crate::admission::{self, Admissions, Open, Proof};

/// An entry of an Enrollment, by enrollment and id.
pub type EntryKey = (EnrollmentName, EntryId);

/// What the history said last about the devices of one entry of an Enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EntryFacts {
    device: Option<DeviceName>,
    labels: Arc<Labels>,
}

/// A device's labels and variables, as git has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Enrollment's labels, overridden by the entry's, overridden by the Device manifest's.
    pub labels: Labels,
    /// The Device manifest's variables.
    pub vars: Vars,
}

/// Something that a fleet can have as a member, as far as git can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A device that git names.
    Device(DeviceName),
    /// Devices that enroll here without a name of git's choosing, with these labels.
    Unnamed(EnrollmentName, Labels),
}

/// The devices that git knows.
///
/// Each landing may have an inventory of its own that is kept, and most change one part of it: the others are shared.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    enrollments: BTreeMap<EnrollmentName, Arc<Labels>>,
    entries: Arc<BTreeMap<EntryKey, EntryFacts>>,
    devices: Arc<BTreeMap<DeviceName, Arc<Device>>>,
    /// How many entries name each device.
    named: Arc<BTreeMap<DeviceName, usize>>,
    admissions: Arc<Admissions>,
}

impl Inventory {
    /// Who may enroll and who may speak.
    pub fn admissions(&self) -> &Arc<Admissions> {
        &self.admissions
    }

    /// Labels and variables of a device that came by this entry.
    pub fn facts(&self, device: &DeviceName, enrollment: &EnrollmentName, entry: &EntryId) -> Facts {
        let mut labels = self.enrollments.get(enrollment).map(|labels| (**labels).clone()).unwrap_or_default();
        if let Some(entry) = self.entries.get(&(enrollment.clone(), entry.clone())) {
            labels.extend((*entry.labels).clone());
        }
        let mut vars = Vars::new();
        if let Some(manifest) = self.devices.get(device) {
            labels.extend(manifest.labels.clone());
            vars.clone_from(&manifest.vars);
        }
        Facts { labels, vars }
    }

    /// The commit at whose template a pin keeps a device.
    pub(super) fn pin(&self, device: &DeviceName) -> Option<CommitId> {
        self.devices.get(device)?.pin.as_ref().map(|pin| pin.commit)
    }

    /// Whether git says anything about the device by name.
    pub fn names(&self, device: &DeviceName) -> bool {
        self.admissions.entry_of(device).is_some() || self.devices.contains_key(device)
    }

    /// The labels that place a device into waves, where git knew the device here: by the entry it came by, or else by its
    /// name, under the entry that counted here. `None` for a device that came later: labels of the head place it.
    pub fn placing_labels(&self, device: &DeviceName, enrollment: &EnrollmentName, entry: &EntryId) -> Option<Labels> {
        let by_factory = entry.is_factory() && self.admissions.factories().contains(enrollment);
        if by_factory || self.entries.contains_key(&(enrollment.clone(), entry.clone())) {
            return Some(self.facts(device, enrollment, entry).labels);
        }
        self.names(device).then(|| self.subject_facts(&Subject::Device(device.clone())).labels)
    }

    /// Labels and variables of a subject.
    pub fn subject_facts(&self, subject: &Subject) -> Facts {
        match subject {
            Subject::Unnamed(_, labels) => Facts { labels: labels.clone(), vars: Vars::new() },
            Subject::Device(device) => match self.admissions.entry_of(device) {
                Some((enrollment, entry)) => self.facts(device, enrollment, entry),
                None => {
                    // A device with a generated name shows its enrollment in it; its entry is known to its certificate only.
                    let mut labels = generated_from(device)
                        .and_then(|enrollment| self.enrollments.get(&enrollment))
                        .map(|labels| (**labels).clone())
                        .unwrap_or_default();
                    let manifest = self.devices.get(device);
                    labels.extend(manifest.map(|m| m.labels.clone()).unwrap_or_default());
                    Facts { labels, vars: manifest.map(|m| m.vars.clone()).unwrap_or_default() }
                }
            },
        }
    }

    /// Every subject that there is.
    pub fn subjects(&self) -> BTreeSet<Subject> {
        let named = self.named.keys().chain(self.devices.keys()).cloned().map(Subject::Device);
        let by_factory = self.admissions.factories().iter().map(|enrollment| self.factory_subject(enrollment));
        named.chain(self.entries.iter().filter_map(|(key, entry)| self.unnamed(key, entry))).chain(by_factory).collect()
    }

    /// Every entry that was ever listed, with the device that it names.
    pub fn entries(&self) -> impl Iterator<Item = (&EntryKey, Option<&DeviceName>)> {
        self.entries.iter().map(|(key, entry)| (key, entry.device.as_ref()))
    }

    /// Whether the entry was ever listed.
    pub fn lists(&self, entry: &EntryKey) -> bool {
        let (enrollment, id) = entry;
        self.entries.contains_key(entry) || (id.is_factory() && self.admissions.factories().contains(enrollment))
    }

    /// The devices that have a manifest of their own.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceName> {
        self.devices.keys()
    }

    /// How many entries there are for the devices of each unnamed subject, which come with tokens.
    pub fn unnamed_entries(&self) -> BTreeMap<Subject, u64> {
        let subjects = self.entries.iter().filter_map(|(key, entry)| self.unnamed(key, entry));
        subjects.fold(BTreeMap::new(), |mut counts, subject| {
            *counts.entry(subject).or_insert(0) += 1;
            counts
        })
    }

    /// The devices that come with factory certificates.
    fn factory_subject(&self, enrollment: &EnrollmentName) -> Subject {
        let labels = self.enrollments.get(enrollment).map(|labels| (**labels).clone()).unwrap_or_default();
        Subject::Unnamed(enrollment.clone(), labels)
    }

    fn unnamed(&self, (enrollment, _): &EntryKey, entry: &EntryFacts) -> Option<Subject> {
        if entry.device.is_some() {
            return None;
        }
        let mut labels = self.enrollments.get(enrollment).map(|labels| (**labels).clone()).unwrap_or_default();
        labels.extend((*entry.labels).clone());
        Some(Subject::Unnamed(enrollment.clone(), labels))
    }

    /// The subjects whose facts an enrollment enters.
    pub(super) fn subjects_of(&self, enrollment: &EnrollmentName) -> BTreeSet<Subject> {
        let first = (enrollment.clone(), EntryId::first());
        let entries = self.entries.range(first..).take_while(|((name, _), _)| name == enrollment);
        let of_entry = |(key, entry): (&EntryKey, &EntryFacts)| match &entry.device {
            Some(device) => Some(Subject::Device(device.clone())),
            None => self.unnamed(key, entry),
        };
        let generated =
            self.devices_like(enrollment).filter(|device| generated_from(device).as_ref() == Some(enrollment));
        let devices = generated.chain(self.admissions.devices_of(enrollment)).cloned().map(Subject::Device);
        let by_factory = self.admissions.factories().get(enrollment).map(|enrollment| self.factory_subject(enrollment));
        entries.filter_map(of_entry).chain(devices).chain(by_factory).collect()
    }

    /// The devices with a manifest of their own whose names begin as those that the enrollment makes.
    fn devices_like(&self, enrollment: &EnrollmentName) -> impl Iterator<Item = &DeviceName> {
        let prefix = format!("{enrollment}-");
        // No digit of a made name comes before 0. Where even this is too long, there are none.
        let first = format!("{prefix}0").parse::<DeviceName>().ok();
        let from = first.into_iter().flat_map(|first| self.devices.range(first..));
        from.map(|(device, _)| device).take_while(move |device| device.as_str().starts_with(&prefix))
    }

    /// Whether the device is a subject.
    pub(super) fn has_device(&self, device: &DeviceName) -> bool {
        self.named.contains_key(device) || self.devices.contains_key(device)
    }

    /// What is known once these are the manifests that count, and no other Device has one.
    #[must_use]
    pub fn with<'m>(&self, manifests: impl Iterator<Item = &'m AnyManifest>, landing: u64) -> Self {
        let mut next = self.clone();
        let mut gone: BTreeSet<DeviceName> = self.devices.keys().cloned().collect();
        for manifest in manifests {
            match manifest {
                AnyManifest::Enrollment(stated) => {
                    next.state_enrollment(&stated.metadata.name, Some(&stated.spec), landing);
                }
                AnyManifest::Device(stated) => {
                    next.state_device(&stated.metadata.name, Some(&stated.spec));
                    gone.remove(&stated.metadata.name);
                }
                _ => {}
            }
        }
        gone.iter().for_each(|device| next.state_device(device, None));
        next
    }

    /// The entries that a manifest lists with another token or key than they had before, and what it lists.
    pub(super) fn changed_proofs<'a>(
        &'a self,
        name: &'a EnrollmentName,
        manifest: &'a Enrollment,
    ) -> impl Iterator<Item = (&'a EntryId, Proof)> {
        let tokens = manifest.tokens.iter().map(|token| (&token.id, proof_of_token(token)));
        let keys = manifest.approved.iter().map(|key| (&key.id, proof_of_key(key)));
        tokens.chain(keys).filter(|(id, proof)| {
            let known = self.admissions.proof_of(&(name.clone(), (*id).clone()));
            known.is_some_and(|known| !known.is_same(proof))
        })
    }

    /// Takes what a landing says about an enrollment. `None` when the file is gone: that says nothing about its entries,
    /// and nobody may come without one.
    pub(super) fn state_enrollment(&mut self, name: &EnrollmentName, manifest: Option<&Enrollment>, landing: u64) {
        let open = manifest.map_or_else(Open::default, |manifest| Open {
            manual: manifest.approval == ApprovalMode::Manual,
            ca: manifest.ca.clone().map(Arc::new),
        });
        Arc::make_mut(&mut self.admissions).set_open(name.clone(), open);
        let Some(manifest) = manifest else { return };
        self.enrollments.insert(name.clone(), Arc::new(manifest.labels.clone()));
        for token in &manifest.tokens {
            let facts = EntryFacts { device: token.device.clone(), labels: token.labels.clone() };
            self.state_entry((name.clone(), token.id.clone()), proof_of_token(token), facts, token.revoked, landing);
        }
        for key in &manifest.approved {
            let facts = EntryFacts { device: Some(key.device.clone()), labels: key.labels.clone() };
            self.state_entry((name.clone(), key.id.clone()), proof_of_key(key), facts, key.revoked, landing);
        }
    }

    fn state_entry(&mut self, key: EntryKey, proof: Proof, facts: EntryFacts, revoked: Option<bool>, landing: u64) {
        let revoked = revoked.unwrap_or_else(|| self.admissions.is_entry_revoked(&key));
        let (enrollment, id) = key.clone();
        let device = facts.device.clone();
        let entry = admission::Entry { enrollment, id, proof, device, revoked, since: landing };
        Arc::make_mut(&mut self.admissions).insert(entry);
        let named = Arc::make_mut(&mut self.named);
        if let Some(device) = &facts.device {
            *named.entry(device.clone()).or_default() += 1;
        }
        if let Some(EntryFacts { device: Some(before), .. }) = Arc::make_mut(&mut self.entries).insert(key, facts)
            && let Some(count) = named.get_mut(&before)
        {
            *count -= 1;
            if *count == 0 {
                named.remove(&before);
            }
        }
    }

    /// Takes what a landing says about a device; `None` when the file is gone: its labels go, a revocation stays.
    pub(super) fn state_device(&mut self, name: &DeviceName, manifest: Option<&Device>) {
        match manifest {
            None => {
                Arc::make_mut(&mut self.devices).remove(name);
                if generated_from(name).is_some() {
                    Arc::make_mut(&mut self.admissions).set_reserved(name.clone(), false);
                }
            }
            Some(device) => {
                if generated_from(name).is_some() {
                    Arc::make_mut(&mut self.admissions).set_reserved(name.clone(), true);
                }
                if let Some(revoked) = device.revoked {
                    Arc::make_mut(&mut self.admissions).set_revoked(name.clone(), revoked);
                }
                if let Some(decommission) = device.decommission {
                    Arc::make_mut(&mut self.admissions).set_decommissioned(name.clone(), decommission);
                }
                Arc::make_mut(&mut self.devices).insert(name.clone(), Arc::new(device.clone()));
            }
        }
    }
}

fn proof_of_token(token: &Token) -> Proof {
    Proof::Token { hash: token.sha256, expires: token.expires }
}

fn proof_of_key(key: &ApprovedKey) -> Proof {
    Proof::Key { fingerprint: key.fingerprint }
}

/// The enrollment in a generated name, `<enrollment>-<16 hexadecimal digits>`.
pub(crate) fn generated_from(device: &DeviceName) -> Option<EnrollmentName> {
    let (enrollment, digits) = device.as_str().rsplit_once('-')?;
    let hexadecimal = digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if hexadecimal { enrollment.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn token(id: &str, device: Option<&str>) -> Token {
        Token {
            id: id.parse().expect("an id"),
            sha256: bellwether_schemas::Sha256Digest::of(id.as_bytes()),
            expires: jiff::Timestamp::MAX,
            device: device.map(|d| d.parse().expect("a name")),
            labels: labels(&[("from", id)]).into(),
            revoked: None,
        }
    }

    fn enrollment(tokens: Vec<Token>) -> Enrollment {
        Enrollment { labels: labels(&[("site", "kiel"), ("from", "enrollment")]), tokens, ..Enrollment::default() }
    }

    fn name<T: std::str::FromStr>(text: &str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        text.parse().expect("a name")
    }

    #[test]
    fn labels_come_from_enrollment_then_entry_then_device() {
        let mut inventory = Inventory::default();
        inventory.state_enrollment(&name("factory"), Some(&enrollment(vec![token("t1", Some("edge-1"))])), 1);
        let facts = inventory.facts(&name("edge-1"), &name("factory"), &name("t1"));
        assert_eq!(facts.labels, labels(&[("site", "kiel"), ("from", "t1")]));
        let manifest = Device { labels: labels(&[("from", "device")]), ..Device::default() };
        inventory.state_device(&name("edge-1"), Some(&manifest));
        let facts = inventory.subject_facts(&Subject::Device(name("edge-1")));
        assert_eq!(facts.labels, labels(&[("site", "kiel"), ("from", "device")]));
    }

    #[test]
    fn a_device_is_placed_by_what_git_knew_of_it() {
        let mut inventory = Inventory::default();
        let factory = name("factory");
        inventory.state_enrollment(
            &factory,
            Some(&enrollment(vec![token("t1", Some("edge-1")), token("t2", None)])),
            1,
        );
        inventory.state_device(&name("other"), Some(&Device { labels: labels(&[("a", "b")]), ..Device::default() }));
        let placing = |device: &str, entry: &str| inventory.placing_labels(&name(device), &factory, &name(entry));
        let of = |entry: &str| Some(labels(&[("site", "kiel"), ("from", entry)]));
        assert_eq!(placing("factory-0123456789abcdef", "t2"), of("t2"), "git lists its entry, though not its name");
        assert_eq!(placing("edge-1", "t1"), of("t1"));
        assert_eq!(placing("edge-1", "t9"), of("t1"), "it was enrolled anew since: its entry of then counts");
        assert_eq!(placing("other", "t9"), Some(labels(&[("a", "b")])), "by its Device manifest alone");
        assert_eq!(placing("factory-0123456789abcdef", "t9"), None, "its entry came later");
        assert_eq!(placing("edge-2", "t9"), None);
    }

    #[test]
    fn approved_keys_and_factories_count_as_tokens_do() {
        let mut inventory = Inventory::default();
        let factory = name("factory");
        let key = |revoked| ApprovedKey {
            id: name("k1"),
            fingerprint: bellwether_schemas::Sha256Digest::of(b"key"),
            device: name("edge-1"),
            labels: labels(&[("from", "k1")]).into(),
            revoked,
        };
        let yaml = include_str!("../../../../schemas/testdata/valid/enrollments/factory-ca.yaml");
        let parsed = bellwether_schemas::yaml::parse("enrollments/factory-ca.yaml", yaml.as_bytes());
        let Ok(bellwether_schemas::manifest::AnyManifest::Enrollment(with_ca)) = parsed else { panic!("{parsed:?}") };
        let manifest = Enrollment { approved: vec![key(Some(true))], ca: with_ca.spec.ca, ..enrollment(Vec::new()) };
        inventory.state_enrollment(&factory, Some(&manifest), 1);
        let unnamed = Subject::Unnamed(factory.clone(), manifest.labels.clone());
        assert_eq!(inventory.subjects(), [Subject::Device(name("edge-1")), unnamed.clone()].into());
        assert_eq!(inventory.subjects_of(&factory), [Subject::Device(name("edge-1")), unnamed.clone()].into());
        let facts = inventory.subject_facts(&Subject::Device(name("edge-1")));
        assert_eq!(facts.labels, labels(&[("site", "kiel"), ("from", "k1")]));
        let made = name("factory-0123456789abcdef");
        let placing = inventory.placing_labels(&made, &factory, &EntryId::factory());
        assert_eq!(placing.as_ref(), Some(&manifest.labels), "git knew where such devices belong");
        assert_eq!(Inventory::default().placing_labels(&made, &factory, &EntryId::factory()), None);

        // Neither without the word nor without the line is it taken back.
        for approved in [vec![key(None)], Vec::new(), vec![key(None)]] {
            inventory.state_enrollment(&factory, Some(&Enrollment { approved, ..enrollment(Vec::new()) }), 2);
            assert!(inventory.admissions().is_entry_revoked(&(factory.clone(), name("k1"))));
        }
        assert!(inventory.admissions().factory_ca(&factory).is_err(), "the last statement of ca counts");
        assert!(inventory.subjects().contains(&unnamed), "who is in stays in");
        inventory.state_enrollment(&factory, Some(&Enrollment { approved: vec![key(Some(false))], ..manifest }), 3);
        assert!(!inventory.admissions().is_entry_revoked(&(factory.clone(), name("k1"))));
        assert!(inventory.admissions().factory_ca(&factory).is_ok());
        inventory.state_enrollment(&factory, None, 4);
        assert!(inventory.admissions().factory_ca(&factory).is_err(), "without a file nobody comes without a token");
    }

    #[test]
    fn tidying_revokes_nobody_and_un_revokes_nobody() {
        let mut inventory = Inventory::default();
        let factory = name("factory");
        let mut revoked = token("t1", Some("edge-1"));
        revoked.revoked = Some(true);
        inventory.state_enrollment(&factory, Some(&enrollment(vec![revoked, token("t2", None)])), 1);
        inventory.state_enrollment(&factory, Some(&enrollment(vec![token("t1", Some("edge-1"))])), 1);
        inventory.state_enrollment(&factory, None, 1);
        let is_revoked = |id: &str| inventory.admissions().is_entry_revoked(&(factory.clone(), name(id)));
        assert!(is_revoked("t1") && !is_revoked("t2"));
        let kept = inventory.facts(&name("edge-1"), &factory, &name("t1"));
        assert_eq!(kept.labels, labels(&[("site", "kiel"), ("from", "t1")]));
    }

    #[test]
    fn a_device_revocation_outlives_its_file() {
        let mut inventory = Inventory::default();
        let edge: DeviceName = name("edge-1");
        inventory.state_device(&edge, Some(&Device { revoked: Some(true), ..Device::default() }));
        inventory.state_device(&edge, Some(&Device::default()));
        inventory.state_device(&edge, None);
        assert!(inventory.admissions().is_device_revoked(&edge));
        inventory.state_device(&edge, Some(&Device { revoked: Some(false), ..Device::default() }));
        assert!(!inventory.admissions().is_device_revoked(&edge));
    }

    #[test]
    fn nobody_makes_the_name_of_a_device_that_git_names_from_a_key() {
        let mut inventory = Inventory::default();
        inventory.state_enrollment(&name("lab"), Some(&enrollment(vec![token("t1", None)])), 1);
        let key = bellwether_schemas::Sha256Digest::of(b"key");
        let made = bellwether_schemas::enroll::made_name(&name("lab"), &key).expect("a name");
        let yields = |inventory: &Inventory| {
            let all = inventory.admissions();
            let grant = all.token(&bellwether_schemas::Sha256Digest::of(b"t1"), jiff::Timestamp::UNIX_EPOCH);
            all.name_for(&grant.expect("a grant"), &key).is_ok()
        };
        assert!(yields(&inventory));
        inventory.state_device(&made, Some(&Device::default()));
        assert!(!yields(&inventory), "a Device manifest without an entry names it");
        inventory.state_device(&made, None);
        assert!(yields(&inventory));
        inventory.state_enrollment(&name("other"), Some(&enrollment(vec![token("t2", Some(made.as_str()))])), 2);
        assert!(!yields(&inventory), "an entry names it, of whatever Enrollment");
    }

    #[test]
    fn generated_names_show_their_enrollment() {
        assert_eq!(generated_from(&name("factory-0123456789abcdef")), Some(name("factory")));
        assert_eq!(generated_from(&name("edge-1")), None);
    }
}
