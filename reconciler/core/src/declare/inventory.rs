//! Which devices git knows, and with which labels: the enrollments, their entries and the Device manifests.
//!
//! What the history said last about an entry holds: a line or a file that is deleted is no statement, so tidying spent
//! tokens revokes nobody and un-revokes nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::manifest::{Device, Enrollment, Labels, Token, Vars};
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId};

use crate::admission::{self, Admissions};

/// An entry of an Enrollment, by enrollment and id.
pub type EntryKey = (EnrollmentName, EntryId);

/// What the history said last about the devices of one entry of an Enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EntryFacts {
    device: Option<DeviceName>,
    labels: Labels,
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
            labels.extend(entry.labels.clone());
        }
        let mut vars = Vars::new();
        if let Some(manifest) = self.devices.get(device) {
            labels.extend(manifest.labels.clone());
            vars.clone_from(&manifest.vars);
        }
        Facts { labels, vars }
    }

    /// Whether git says anything about the device by name.
    pub fn names(&self, device: &DeviceName) -> bool {
        self.admissions.entry_of(device).is_some() || self.devices.contains_key(device)
    }

    /// The labels that place a device into waves, where git knew the device here: by the entry it came by, or else by its
    /// name, under the entry that counted here. `None` for a device that came later: labels of the head place it.
    pub fn placing_labels(&self, device: &DeviceName, enrollment: &EnrollmentName, entry: &EntryId) -> Option<Labels> {
        if self.entries.contains_key(&(enrollment.clone(), entry.clone())) {
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
        named.chain(self.entries.iter().filter_map(|(key, entry)| self.unnamed(key, entry))).collect()
    }

    fn unnamed(&self, (enrollment, _): &EntryKey, entry: &EntryFacts) -> Option<Subject> {
        if entry.device.is_some() {
            return None;
        }
        let mut labels = self.enrollments.get(enrollment).map(|labels| (**labels).clone()).unwrap_or_default();
        labels.extend(entry.labels.clone());
        Some(Subject::Unnamed(enrollment.clone(), labels))
    }

    /// The subjects whose facts an enrollment enters.
    pub(super) fn subjects_of(&self, enrollment: &EnrollmentName) -> BTreeSet<Subject> {
        let entries = self.entries.iter().skip_while(|((name, _), _)| name < enrollment);
        let entries = entries.take_while(|((name, _), _)| name == enrollment);
        let of_entry = |(key, entry): (&EntryKey, &EntryFacts)| match &entry.device {
            Some(device) => Some(Subject::Device(device.clone())),
            None => self.unnamed(key, entry),
        };
        let generated = self.devices.keys().filter(|device| generated_from(device).as_ref() == Some(enrollment));
        let devices = generated.chain(self.admissions.devices_of(enrollment)).cloned().map(Subject::Device);
        entries.filter_map(of_entry).chain(devices).collect()
    }

    /// Whether the device is a subject.
    pub(super) fn has_device(&self, device: &DeviceName) -> bool {
        self.named.contains_key(device) || self.devices.contains_key(device)
    }

    /// The entries that a manifest lists with another token than they had before.
    pub(super) fn changed_tokens<'a>(
        &'a self,
        name: &'a EnrollmentName,
        manifest: &'a Enrollment,
    ) -> impl Iterator<Item = &'a EntryId> {
        let is_other = |token: &&Token| {
            let known = self.admissions.token_of(&(name.clone(), token.id.clone()));
            known.is_some_and(|known| *known != token.sha256)
        };
        manifest.tokens.iter().filter(is_other).map(|token| &token.id)
    }

    /// Takes what a landing says about an enrollment; `None` when the file is gone, which says nothing about its entries.
    pub(super) fn state_enrollment(&mut self, name: &EnrollmentName, manifest: Option<&Enrollment>, landing: u64) {
        let Some(manifest) = manifest else { return };
        self.enrollments.insert(name.clone(), Arc::new(manifest.labels.clone()));
        for token in &manifest.tokens {
            self.state_token(name, token, landing);
        }
    }

    fn state_token(&mut self, enrollment: &EnrollmentName, token: &Token, landing: u64) {
        let key = (enrollment.clone(), token.id.clone());
        let revoked = token.revoked.unwrap_or_else(|| self.admissions.is_entry_revoked(&key));
        Arc::make_mut(&mut self.admissions).insert(admission::Entry {
            enrollment: enrollment.clone(),
            id: token.id.clone(),
            token: token.sha256,
            expires: token.expires,
            device: token.device.clone(),
            revoked,
            since: landing,
        });
        let facts = EntryFacts { device: token.device.clone(), labels: token.labels.clone() };
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
            }
            Some(device) => {
                if let Some(revoked) = device.revoked {
                    Arc::make_mut(&mut self.admissions).set_revoked(name.clone(), revoked);
                }
                Arc::make_mut(&mut self.devices).insert(name.clone(), Arc::new(device.clone()));
            }
        }
    }
}

/// The enrollment in a generated name, `<enrollment>-<16 hexadecimal digits>`.
fn generated_from(device: &DeviceName) -> Option<EnrollmentName> {
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
            labels: labels(&[("from", id)]),
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
    fn generated_names_show_their_enrollment() {
        assert_eq!(generated_from(&name("factory-0123456789abcdef")), Some(name("factory")));
        assert_eq!(generated_from(&name("edge-1")), None);
    }
}
