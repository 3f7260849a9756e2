//! Changes the entries of an Enrollment in the working copy: adds some, and takes those away that they replace.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::admission::Proof;
use bellwether_core::declare::changed_proof;
use bellwether_schemas::manifest::{AnyManifest, ApprovedKey, Enrollment, Kind, Labels, Token};
use bellwether_schemas::{CommitId, DeviceName, EnrollmentName, EntryId, codes, yaml};

use crate::failure::Failure;
use crate::history::{HistoryOptions, Verifier};
use crate::meant;
use crate::repo::{Edit, WorkingCopy};
use crate::token_edit;

/// An Enrollment as the working copy has it.
pub(crate) struct Listed {
    pub(crate) path: String,
    text: String,
    pub(crate) spec: Enrollment,
}

/// Entries that an Enrollment shall get.
#[derive(Default)]
pub(crate) struct Added {
    pub(crate) tokens: Vec<Token>,
    pub(crate) approved: Vec<ApprovedKey>,
    /// Whether each takes the place of the entry that names the same device.
    pub(crate) replace: bool,
}

impl Listed {
    pub(crate) fn read(copy: &WorkingCopy, enrollment: &EnrollmentName) -> Result<Self, Failure> {
        let path = format!("enrollments/{enrollment}.yaml");
        let bytes = copy.read(&path)?.ok_or_else(|| {
            Failure::finding(codes::NO_SUCH_OBJECT, format!("{} does not exist", copy.root().join(&path).display()))
                .hint(meant::hint(
                    enrollment.as_str(),
                    meant::manifests(copy, Kind::Enrollment).iter().map(String::as_str),
                    "Name an enrollment that is there (ls enrollments), or write that file first.",
                ))
        })?;
        let spec = parse(&path, &bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| not_understood(&path, "the file is not UTF-8"))?;
        Ok(Self { path, text, spec })
    }

    /// The labels of the entry that names a device.
    pub(crate) fn labels_of(&self, device: &DeviceName) -> Option<&Labels> {
        let token = self.spec.tokens.iter().find(|token| token.device.as_ref() == Some(device));
        let key = || self.spec.approved.iter().find(|key| key.device == *device).map(|key| &*key.labels);
        token.map(|token| &*token.labels).or_else(key)
    }

    /// The entries by the device that each names.
    fn named(&self) -> BTreeMap<&DeviceName, &EntryId> {
        let tokens = self.spec.tokens.iter().filter_map(|token| Some((token.device.as_ref()?, &token.id)));
        tokens.chain(self.spec.approved.iter().map(|key| (&key.device, &key.id))).collect()
    }

    /// The edit that makes this Enrollment have the entries. What it makes is read again: the old entries, without those
    /// that are replaced, then the new ones, and nothing else.
    pub(crate) fn with(&self, added: &Added) -> Result<Edit, Failure> {
        let replaced = self.check(added)?;
        let of_tokens = places(self.spec.tokens.iter().map(|token| replaced.contains(&token.id)));
        let of_keys = places(self.spec.approved.iter().map(|key| replaced.contains(&key.id)));
        let edited = || {
            let mut text = self.text.clone();
            // Added first: a list that gets what takes the place of all it had is never empty.
            if !added.tokens.is_empty() {
                text = token_edit::append(&text, &added.tokens)?;
            }
            if !added.approved.is_empty() {
                text = token_edit::approve(&text, &added.approved)?;
            }
            if !of_tokens.is_empty() {
                text = token_edit::remove(&text, "tokens", &of_tokens)?;
            }
            if !of_keys.is_empty() {
                text = token_edit::remove(&text, "approved", &of_keys)?;
            }
            Ok(text)
        };
        let after = edited().map_err(|why: String| not_understood(&self.path, &why))?;
        if after.len() > yaml::MAX_ENROLLMENT {
            let message =
                format!("{} would have {} bytes, at most {} are allowed", self.path, after.len(), yaml::MAX_ENROLLMENT);
            return Err(Failure::finding(codes::TOO_LARGE, message)
                .hint("Put the rest into another Enrollment; or tidy up: deleting spent tokens revokes nobody."));
        }
        let mut expected = self.spec.clone();
        expected.tokens.retain(|token| !replaced.contains(&token.id));
        expected.approved.retain(|key| !replaced.contains(&key.id));
        expected.tokens.extend(added.tokens.iter().cloned());
        expected.approved.extend(added.approved.iter().cloned());
        if parse(&self.path, after.as_bytes()).ok() != Some(expected) {
            return Err(not_understood(&self.path, "the new lines would not be read as they are meant"));
        }
        let (path, before) = (self.path.clone(), Some(self.text.clone().into_bytes()));
        Ok(Edit { path, before, after: Some(after.into_bytes()) })
    }

    /// The ids of the entries that are replaced; an error where something is there already and shall not be.
    fn check(&self, added: &Added) -> Result<BTreeSet<EntryId>, Failure> {
        let taken: BTreeSet<&EntryId> = self
            .spec
            .tokens
            .iter()
            .map(|token| &token.id)
            .chain(self.spec.approved.iter().map(|key| &key.id))
            .collect();
        let ids = added.tokens.iter().map(|token| &token.id).chain(added.approved.iter().map(|key| &key.id));
        if let Some(twice) = ids.clone().find(|id| taken.contains(*id)) {
            let message = format!("{} has an entry with the id {twice} already", self.path);
            return Err(Failure::finding(codes::ALREADY_THERE, message).hint("Pass another --id, or none."));
        }
        let named = self.named();
        let devices = added.tokens.iter().filter_map(|token| token.device.as_ref());
        let devices = devices.chain(added.approved.iter().map(|key| &key.device));
        let known: Vec<_> = devices.filter_map(|device| Some((device, *named.get(device)?))).collect();
        if added.replace || known.is_empty() {
            return Ok(known.into_iter().map(|(_, id)| id.clone()).collect());
        }
        let (device, id) = known[0];
        let more =
            if known.len() > 1 { format!(", and entries for {} others", known.len() - 1) } else { String::new() };
        let message = format!("{} has an entry for {device} already, with the id {id}{more}", self.path);
        Err(Failure::finding(codes::ALREADY_THERE, message).hint(format!(
            "To enroll {device} again, pass --replace: the new entry takes the place of the old one, whose labels it keeps. \
             From the moment that counts, the certificate which {device} has now is refused."
        )))
    }
}

/// Refuses an id that was chosen and that the history knows with another token or key: an entry keeps what it was first listed
/// with, also when no file lists it any more. What cannot be verified is `validate`'s business.
pub(crate) fn require_unused(copy: &WorkingCopy, enrollment: &EnrollmentName, added: &Added) -> Result<(), Failure> {
    let Some(head) = copy.head()? else { return Ok(()) };
    let head = CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes");
    let counting = || {
        let verifier = Verifier::of(copy, &head, &HistoryOptions::default())?;
        let (_, declared) = verifier.declared(&verifier.accepted(&head)?)?;
        Ok::<_, Failure>(declared)
    };
    let Ok(declared) = counting() else { return Ok(()) };
    let tokens = added.tokens.iter();
    let tokens = tokens.map(|token| (&token.id, Proof::Token { hash: token.sha256, expires: token.expires }));
    let keys = added.approved.iter().map(|key| (&key.id, Proof::Key { fingerprint: key.fingerprint }));
    for (id, proof) in tokens.chain(keys) {
        let known = declared.inventory().admissions().proof_of(&(enrollment.clone(), id.clone()));
        if known.is_some_and(|known| !known.is_same(&proof)) {
            let told = changed_proof(&format!("enrollments/{enrollment}.yaml"), id, &proof);
            return Err(Failure::finding(told.code, format!("{}: {}", told.file, told.message))
                .hint("The history knows that id, listed or not. Pass another --id, or none: then it is made."));
        }
    }
    Ok(())
}

/// The entries of other Enrollments that name one of these devices; one Enrollment at most names a device.
pub(crate) fn named_elsewhere(
    copy: &WorkingCopy,
    enrollment: &EnrollmentName,
    devices: &BTreeSet<&DeviceName>,
) -> Result<(), Failure> {
    let folder = copy.root().join("enrollments");
    let Ok(files) = std::fs::read_dir(&folder) else { return Ok(()) };
    for file in files.flatten() {
        let name = file.file_name();
        let Some(other) = name.to_str().and_then(|name| name.strip_suffix(".yaml")).and_then(|n| n.parse().ok()) else {
            continue;
        };
        if other == *enrollment {
            continue;
        }
        // One that does not parse is `validate`'s business.
        let Ok(listed) = Listed::read(copy, &other) else { continue };
        if let Some((device, id)) = listed.named().into_iter().find(|(device, _)| devices.contains(*device)) {
            let message = format!("{} names {device} already, with the id {id}", listed.path);
            return Err(Failure::finding(codes::ALREADY_THERE, message)
                .hint(format!("One Enrollment at most names a device: list it in {other}, with --replace.")));
        }
    }
    Ok(())
}

fn places(replaced: impl Iterator<Item = bool>) -> BTreeSet<usize> {
    replaced.enumerate().filter(|(_, replaced)| *replaced).map(|(place, _)| place).collect()
}

fn not_understood(path: &str, why: &str) -> Failure {
    Failure::finding(codes::LAYOUT, format!("{path}: {why}"))
}

fn parse(path: &str, text: &[u8]) -> Result<Enrollment, Failure> {
    match yaml::parse(path, text) {
        Ok(AnyManifest::Enrollment(enrollment)) => Ok(enrollment.spec),
        Ok(_) => Err(Failure::finding(codes::WRONG_KIND, format!("{path} is not an Enrollment"))),
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(Failure::finding(codes::WRONG_VALUE, format!("{path} does not parse:\n{}", list.join("\n")))
                .hint("Mend it first: bellwether validate"))
        }
    }
}
