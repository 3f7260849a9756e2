//! The verifier's own judgement, before it is too late to change anything by a landing.

use std::path::Path;

use bellwether_core::verify::{POLICY_PATH, Policy, SIGSTORE_ROOT_PATH};
use bellwether_schemas::codes;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::manifest::{Kind, TrustPolicy};
use jiff::{SignedDuration, Timestamp};

/// Long enough to renew a policy without haste.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the verifier would refuse, and what it will refuse soon.
pub(super) fn problems(root: &Path, text: &[u8], manifest: &TrustPolicy, now: Timestamp) -> Vec<Diagnostic> {
    let sigstore_root = std::fs::read(root.join(SIGSTORE_ROOT_PATH)).ok();
    let policy = match Policy::compile(manifest.clone(), sigstore_root.as_deref()) {
        Ok(policy) => policy,
        Err(faults) => {
            let shown = |fault: &bellwether_core::verify::Fault| {
                let rule = fault.rule.as_ref().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
                Diagnostic::error(
                    fault.code,
                    fault.path.as_deref().unwrap_or(POLICY_PATH),
                    format!("{}{rule}", fault.why),
                )
            };
            return faults.iter().map(shown).collect();
        }
    };
    expiry(&policy, now).into_iter().chain(not_raised(root, text, &policy)).collect()
}

fn expiry(policy: &Policy, now: Timestamp) -> Option<Diagnostic> {
    let left = policy.expires().duration_since(now);
    if left > SOON {
        return None;
    }
    let (severity, verb) =
        if left.is_positive() { (Severity::Warning, "expires") } else { (Severity::Error, "has expired") };
    let message = format!("the policy {verb} at {}", policy.expires());
    let problem = Diagnostic::error(codes::POLICY_EXPIRED, POLICY_PATH, message);
    Some(Diagnostic { severity, ..problem }.hint("set a later expires and raise version; until then landings wait"))
}

/// The policy differs from the last commit's, and its version is not higher.
fn not_raised(root: &Path, text: &[u8], policy: &Policy) -> Option<Diagnostic> {
    let committed = committed(root)?;
    let before = Policy::read(&committed).ok()?;
    if committed == text || policy.version() > before.version {
        return None;
    }
    let message =
        format!("the policy changed, and its version is {}, expected more than {}", policy.version(), before.version);
    let hint = format!("write version: {}", before.version.saturating_add(1));
    Some(Diagnostic::error(codes::POLICY_VERSION, POLICY_PATH, message).hint(hint))
}

/// No fleet is left of those in the last commit. Only asked where there is none.
pub(super) fn fleets_lost(root: &Path) -> Option<Diagnostic> {
    let repo = gix::open(root).ok()?;
    let fleets = repo.head_commit().ok()?.tree().ok()?.lookup_entry_by_path(Kind::Fleet.folder()).ok()??;
    let fleets = fleets.object().ok()?.try_into_tree().ok()?;
    fleets.iter().flatten().any(|entry| entry.filename().ends_with(b".yaml")).then(|| {
        let message = "no fleet is left of those in the last commit, and a landing that loses every fleet is refused";
        Diagnostic::error(codes::EVERY_FLEET_LOST, Kind::Fleet.folder(), message)
    })
}

fn committed(root: &Path) -> Option<Vec<u8>> {
    let repo = gix::open(root).ok()?;
    let entry = repo.head_commit().ok()?.tree().ok()?.lookup_entry_by_path(POLICY_PATH).ok()??;
    Some(entry.object().ok()?.detach().data)
}
