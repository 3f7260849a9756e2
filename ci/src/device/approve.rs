//! `bellwether device approve`: lists the key of a device that waits.

use std::path::PathBuf;

use bellwether_schemas::api::RequestView;
use bellwether_schemas::enroll::made_name;
use bellwether_schemas::manifest::ApprovedKey;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Sha256Digest, codes, yaml};
use clap::Args;

use crate::decision::{self, ChangeOptions, Decided};
use crate::enrollment_edit::{Added, Listed, named_elsewhere, require_unused};
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::server::ServerOptions;
use crate::token::key_value;

const EXAMPLES: &str = "Examples:
  bellwether get requests --server http://127.0.0.1:8080                            (who waits)
  bellwether device approve FINGERPRINT --enrollment kiosks --commit && git push    (its name is made from its key)
  bellwether device approve FINGERPRINT --enrollment kiosks --device kiosk-7 --label ring=canary --commit   (a name, a label)
  bellwether device approve FINGERPRINT --enrollment kiosks --device kiosk-7 --replace --commit   (it lost its key)

FINGERPRINT is the SHA-256 of the device's key, 64 hexadecimal digits, as the device shows it: anybody can ask, so compare
them. With --server (or BELLWETHER_SERVER) a key that nobody asks with is refused; without, keys may be approved ahead.";

/// Options of `device approve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// SHA-256 of the device's key
    fingerprint: Sha256Digest,
    /// The enrollment: enrollments/<NAME>.yaml
    #[arg(long, value_name = "NAME")]
    enrollment: EnrollmentName,
    /// Name of the device [default: <enrollment>-<first 16 digits of the fingerprint>]
    #[arg(long, value_name = "NAME")]
    device: Option<DeviceName>,
    /// A label of the device, in addition to the enrollment's; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// Its id in the enrollment [default: made from the fingerprint]
    #[arg(long)]
    id: Option<EntryId>,
    /// Take the place of the entry that names the same device, and keep its labels: its certificate of now is refused
    #[arg(long)]
    replace: bool,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(args: &ApproveArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    for (key, value) in &args.labels {
        yaml::check_label(key, value).map_err(|why| Failure::new(codes::USAGE, format!("--label: {why}")))?;
    }
    check_request(args)?;
    let ApproveArgs { fingerprint, enrollment, .. } = args;
    let listed = Listed::read(&copy, enrollment)?;
    if let Some(entry) = listed.spec.approved.iter().find(|entry| entry.fingerprint == *fingerprint) {
        let message = format!("{} lists this key already, for {}, with the id {}", listed.path, entry.device, entry.id);
        return Err(Failure::finding(codes::ALREADY_THERE, message)
            .hint("If that is committed and pushed, the device gets its certificate when it asks next."));
    }
    let device = match &args.device {
        Some(device) => device.clone(),
        None => made_name(enrollment, fingerprint).map_err(|_| {
            Failure::new(codes::USAGE, format!("{enrollment} is too long to make a name from"))
                .hint("Pass --device NAME.")
        })?,
    };
    named_elsewhere(&copy, enrollment, &[&device].into())?;
    let mut labels = listed.labels_of(&device).filter(|_| args.replace).cloned().unwrap_or_default();
    labels.extend(args.labels.iter().cloned());
    let id = args
        .id
        .clone()
        .unwrap_or_else(|| format!("k-{}", fingerprint.short()).parse().expect("hexadecimal digits make a name"));
    let key =
        ApprovedKey { id, fingerprint: *fingerprint, device: device.clone(), labels: labels.into(), revoked: None };
    let added = Added { approved: vec![key], replace: args.replace, ..Added::default() };
    let edit = listed.with(&added)?;
    if args.id.is_some() {
        require_unused(&copy, enrollment, &added)?;
    }
    let summary = format!("Approve {device} in enrollment {enrollment}\n\nIts key is {fingerprint}.");
    let decided = Decided { edits: &[edit], summary: &summary, found: None };
    decision::change(&copy, &decided, &args.change, output)
}

/// Where a reconciler can be asked: whether a device waits with this key, for this enrollment.
fn check_request(args: &ApproveArgs) -> Result<(), Failure> {
    let Some(server) = args.server.connect_if_given()? else { return Ok(()) };
    let requests: Vec<RequestView> = server.get("requests")?;
    match asks_for(&requests, &args.fingerprint, &args.enrollment) {
        Asks::Here => Ok(()),
        Asks::Elsewhere(other) => {
            let message = format!("the device with this key asks for enrollment {other}, not for {}", args.enrollment);
            Err(Failure::finding(codes::NO_SUCH_OBJECT, message).hint(format!("Pass --enrollment {other}.")))
        }
        Asks::Nowhere => {
            let list = format!("See bellwether get requests --server {}", server.address());
            Err(Failure::finding(codes::NO_SUCH_OBJECT, "no device waits with this key")
                .hint(format!("{list}; leave --server out to approve a key ahead.")))
        }
    }
}

/// Where a key asks to be approved.
#[derive(Debug, PartialEq, Eq)]
enum Asks<'a> {
    Here,
    Elsewhere(&'a EnrollmentName),
    Nowhere,
}

fn asks_for<'a>(requests: &'a [RequestView], key: &Sha256Digest, enrollment: &EnrollmentName) -> Asks<'a> {
    let mut elsewhere = Asks::Nowhere;
    for request in requests.iter().filter(|request| request.fingerprint == *key) {
        if request.enrollment == *enrollment {
            return Asks::Here;
        }
        elsewhere = Asks::Elsewhere(&request.enrollment);
    }
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_approved_where_it_asks() {
        let [lab, kiosks] = ["lab", "kiosks"].map(|name| name.parse::<EnrollmentName>().expect("a name"));
        let [one, two] = [b"one", b"two"].map(|key| Sha256Digest::of(key));
        let request = |fingerprint, enrollment: &EnrollmentName| RequestView {
            fingerprint,
            enrollment: enrollment.clone(),
            facts: [].into(),
            address: "192.0.2.1".parse().expect("an address"),
            first_asked: jiff::Timestamp::UNIX_EPOCH,
            last_asked: jiff::Timestamp::UNIX_EPOCH,
        };
        let requests = [request(one, &kiosks), request(one, &lab), request(two, &lab)];
        assert_eq!(asks_for(&requests, &one, &lab), Asks::Here);
        assert_eq!(asks_for(&requests, &one, &kiosks), Asks::Here);
        assert_eq!(asks_for(&requests, &two, &kiosks), Asks::Elsewhere(&lab));
        assert_eq!(asks_for(&requests, &Sha256Digest::of(b"three"), &lab), Asks::Nowhere);
    }
}
