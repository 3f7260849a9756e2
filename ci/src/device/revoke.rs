//! `bellwether device revoke`: shuts a device out, or lets it in again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bellwether_schemas::api::DeviceView;
use bellwether_schemas::manifest::{AnyManifest, Kind};
use bellwether_schemas::{DeviceName, codes, yaml};
use clap::Args;

use crate::decision::{self, ChangeOptions, Decided};
use crate::device_edit;
use crate::failure::Failure;
use crate::meant;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::server::ServerOptions;

const EXAMPLES: &str = "Examples:
  bellwether device revoke kiosk-7 --reason \"stolen from the shop in Kiel\" --commit && git push   (out)
  bellwether device revoke kiosk-7 --undo --reason \"found again\" --commit && git push          (in again)

It sets revoked: true in devices/<DEVICE>.yaml: from then on every certificate of the device is refused, on every call, and
its session ends. What it runs goes on. Deleting the line or the file does not undo it; --undo does.
A device that only lost its key needs a new entry instead: bellwether token mint ENROLLMENT --device DEVICE --replace.";

/// Options of `device revoke`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RevokeArgs {
    /// The device
    device: DeviceName,
    /// Let it in again
    #[arg(long)]
    undo: bool,
    /// Also a device that neither the manifests here nor the reconciler know
    #[arg(long)]
    unlisted: bool,
    /// Why, for whoever reads it later: it stands in the commit's message
    #[arg(long)]
    reason: String,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(args: &RevokeArgs, output: Output) -> Result<(), Failure> {
    let RevokeArgs { device, undo, .. } = args;
    let copy = WorkingCopy::discover(&args.repo)?;
    if !args.unlisted {
        require_known(&copy, device, &args.server)?;
    }
    let revoked = !undo;
    let value = if revoked { "true" } else { "false" };
    let edit = device_edit::set(&copy, device, "revoked", value, |device| device.revoked = Some(revoked))?;
    if edit.before == edit.after {
        return Err(Failure::finding(codes::ALREADY_THERE, format!("{} says revoked: {value} already", edit.path))
            .hint("If it is not in force, it is not committed, not pushed, or not accepted: bellwether trust check"));
    }
    let verb = if revoked { "Revoke" } else { "Let in again" };
    let summary = format!("{verb} {device}\n\n{}", args.reason);
    let decided = Decided { edits: &[edit], summary: &summary, found: None };
    decision::change(&copy, &decided, &args.change, output)
}

/// A name that is misspelt would shut nobody out, and look as if it did.
pub(crate) fn require_known(copy: &WorkingCopy, device: &DeviceName, server: &ServerOptions) -> Result<(), Failure> {
    let by_manifests = known(copy)?;
    let made = device.as_str().rsplit_once('-').filter(|(_, digits)| {
        digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'a'..=b'f'))
    });
    let made = made.is_some_and(|(enrollment, _)| copy.root().join(format!("enrollments/{enrollment}.yaml")).is_file());
    if by_manifests.contains(device) || made {
        return Ok(());
    }
    let server = server.connect_if_given()?;
    let on_server: Vec<DeviceView> =
        server.as_ref().map(|server| server.get("devices")).transpose()?.unwrap_or_default();
    if on_server.iter().any(|view| view.name == *device) {
        return Ok(());
    }
    let asked = if server.is_some() { "the manifests here and the reconciler know" } else { "the manifests here know" };
    let there = by_manifests.iter().chain(on_server.iter().map(|view| &view.name)).map(DeviceName::as_str);
    let look = "Check the name: bellwether get devices. If its entry was deleted long ago, pass --server, so that the \
                reconciler is asked; or --unlisted, if you are sure.";
    Err(Failure::finding(codes::NO_SUCH_OBJECT, format!("{asked} no device {device}")).hint(meant::hint(
        device.as_str(),
        there,
        look,
    )))
}

/// The devices that manifests of the working copy name.
fn known(copy: &WorkingCopy) -> Result<BTreeSet<DeviceName>, Failure> {
    // One that does not parse is there nevertheless, and what is wrong with it is said when it is edited.
    let files = meant::manifests(copy, Kind::Device);
    let mut names: BTreeSet<DeviceName> = files.iter().filter_map(|name| name.parse().ok()).collect();
    for enrollment in meant::manifests(copy, Kind::Enrollment) {
        let path = format!("{}/{enrollment}.yaml", Kind::Enrollment.folder());
        let Some(text) = copy.read(&path)? else { continue };
        // What does not parse is `validate`'s business.
        if let Ok(AnyManifest::Enrollment(enrollment)) = yaml::parse(&path, &text) {
            names.extend(enrollment.spec.tokens.into_iter().filter_map(|token| token.device));
            names.extend(enrollment.spec.approved.into_iter().map(|key| key.device));
        }
    }
    Ok(names)
}
