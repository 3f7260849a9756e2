//! A device's labels and variables: what its certificate tells the reconciler is told here by the arguments.

use bellwether_core::admission::{Admission, Domain, Identity};
use bellwether_core::declare::{Declared, Facts, Subject};
use bellwether_schemas::manifest::{AnyManifest, Enrollment, Token};
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, codes};

use crate::failure::Failure;
use crate::meant;

/// How many entries a hint lists.
const SHOWN: usize = 10;

/// The facts of `device`, which came by `entry` if git does not name it itself.
pub(super) fn of(declared: &Declared, device: &DeviceName, entry: Option<&EntryId>) -> Result<Facts, Failure> {
    let inventory = declared.inventory();
    let by_name = || inventory.subject_facts(&Subject::Device(device.clone()));
    let usage = |message| {
        Failure::new(codes::USAGE, message)
            .hint("Leave --entry out: it is for devices whose names are made, <enrollment>-<16 hexadecimal digits>.")
    };
    if let Some((enrollment, named)) = inventory.admissions().entry_of(device) {
        return match entry.filter(|entry| *entry != named) {
            None => Ok(by_name()),
            Some(other) => Err(usage(format!("{device} comes by the entry {named} of {enrollment}, not by {other}"))),
        };
    }
    match (enrollment_in(device), entry) {
        (Some(enrollment), Some(entry)) => {
            check_entry(declared, device, &enrollment, entry)?;
            Ok(inventory.facts(device, &enrollment, entry))
        }
        (Some(enrollment), None) if manifest(declared, &enrollment).is_some() => {
            let message = format!("by which entry of {enrollment} did {device} enroll? --entry <ID> is missing");
            Err(Failure::new(codes::USAGE, message).hint(entries(declared, &enrollment)))
        }
        (None, Some(_)) => Err(usage(format!("{device} is no name that an enrollment makes"))),
        (_, None) if inventory.names(device) => Ok(by_name()),
        (_, None) => {
            let message = format!("git names no device {device} at {}", declared.head().commit.short());
            let look = "Devices are named by tokens in enrollments/ and by files in devices/, or have names that are made, \
                        <enrollment>-<16 hexadecimal digits>. Only what is committed counts.";
            let subjects = inventory.subjects();
            let there = subjects.iter().filter_map(|subject| match subject {
                Subject::Device(name) => Some(name.as_str()),
                Subject::Unnamed(..) => None,
            });
            Err(Failure::finding(codes::NO_SUCH_OBJECT, message).hint(meant::hint(device.as_str(), there, look)))
        }
    }
}

/// Refuses an entry under which the reconciler would give the device nothing.
fn check_entry(
    declared: &Declared,
    device: &DeviceName,
    enrollment: &EnrollmentName,
    entry: &EntryId,
) -> Result<(), Failure> {
    // The domain says whose certificate it is, and is not looked at here.
    let domain: Domain = "localhost".parse().expect("a literal domain");
    let identity = Identity { domain, enrollment: enrollment.clone(), entry: entry.clone(), device: device.clone() };
    match declared.inventory().admissions().admit(&identity) {
        Admission::Full => Ok(()),
        Admission::ReportOnly { why } => {
            Err(Failure::finding(codes::NO_SUCH_OBJECT, why).hint(entries(declared, enrollment)))
        }
        // The entry names another device, so it never made a name.
        Admission::Refused { code: codes::CERTIFICATE_REPLACED, why } => {
            Err(Failure::finding(codes::CERTIFICATE_REPLACED, why).hint(entries(declared, enrollment)))
        }
        Admission::Refused { code, why } => Err(Failure::finding(code, why)),
    }
}

fn manifest<'a>(declared: &'a Declared, enrollment: &EnrollmentName) -> Option<&'a Enrollment> {
    declared.manifests().find_map(|(_, manifest)| match manifest {
        AnyManifest::Enrollment(found) if found.metadata.name == *enrollment => Some(&found.spec),
        _ => None,
    })
}

/// The entries by which devices without a name of git's choosing come, for whoever must choose one.
fn entries(declared: &Declared, enrollment: &EnrollmentName) -> String {
    let tokens = manifest(declared, enrollment).map(|manifest| manifest.tokens.as_slice()).unwrap_or_default();
    let mut unnamed: Vec<_> = tokens.iter().filter(|token| token.device.is_none()).map(described).collect();
    if declared.inventory().admissions().factories().contains(enrollment) {
        unnamed.insert(0, format!("{} (devices with a factory certificate)", EntryId::factory()));
    }
    if unnamed.is_empty() {
        return format!(
            "Every entry in enrollments/{enrollment}.yaml names a device; one that was deleted counts too."
        );
    }
    let more = match unnamed.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("Its entries that name no device: {}{more}", unnamed[..unnamed.len().min(SHOWN)].join(", "))
}

fn described(token: &Token) -> String {
    let labels: Vec<_> = token.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if labels.is_empty() { token.id.to_string() } else { format!("{} ({})", token.id, labels.join(", ")) }
}

/// The enrollment in a name that was made, `<enrollment>-<16 hexadecimal digits>`.
fn enrollment_in(device: &DeviceName) -> Option<EnrollmentName> {
    let (enrollment, digits) = device.as_str().rsplit_once('-')?;
    let is_digit = |c: u8| c.is_ascii_digit() || matches!(c, b'a'..=b'f');
    if digits.len() == 16 && digits.bytes().all(is_digit) { enrollment.parse().ok() } else { None }
}
