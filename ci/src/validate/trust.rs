//! The verifier's own judgement, before it is too late to change anything by a landing.

use std::path::Path;

use bellwether_core::verify::{ExpiringKey, POLICY_PATH, Policy, SIGSTORE_ROOT_PATH};
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
                let rule = fault.untold_rule().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
                Diagnostic::error(
                    fault.code,
                    fault.path.as_deref().unwrap_or(POLICY_PATH),
                    format!("{}{rule}", fault.why),
                )
            };
            return faults.iter().map(shown).collect();
        }
    };
    let keys = policy.expiring_keys().filter_map(|key| key_expiry(&key, now));
    expiry(policy.expires(), now).into_iter().chain(keys).chain(not_raised(root, text, &policy)).collect()
}

fn expiry(expires: Timestamp, now: Timestamp) -> Option<Diagnostic> {
    let left = expires.duration_since(now);
    if left > SOON {
        return None;
    }
    let (severity, verb) =
        if left.is_positive() { (Severity::Warning, "expires") } else { (Severity::Error, "has expired") };
    let message = format!("the policy {verb} at {expires}");
    let problem = Diagnostic::error(codes::POLICY_EXPIRED, POLICY_PATH, message);
    Some(Diagnostic { severity, ..problem }.hint("set a later expires and raise version; until then landings wait"))
}

/// An OpenPGP key that ends soon by its own date. It counts on; gpg signs with it no longer.
fn key_expiry(key: &ExpiringKey, now: Timestamp) -> Option<Diagnostic> {
    let ExpiringKey { person, fingerprint, expires } = key;
    let left = expires.duration_since(now);
    if left > SOON {
        return None;
    }
    let verb = if left.is_positive() { "expires" } else { "expired" };
    let message =
        format!("the OpenPGP key {fingerprint} of {person} {verb} at {expires}, and then gpg does not sign with it");
    let problem = Diagnostic::error(codes::KEY_EXPIRES, POLICY_PATH, message).hint(format!(
        "gpg --quick-set-expire {fingerprint} 2y '*' && gpg --quick-set-expire {fingerprint} 2y && gpg --armor --export \
         {fingerprint} > {person}.asc && bellwether trust add {person} --openpgp {person}.asc"
    ));
    Some(Diagnostic { severity: Severity::Warning, ..problem })
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn days_before(expires: Timestamp, days: i32, judge: impl Fn(Timestamp) -> Option<Diagnostic>) -> Option<String> {
        let found = judge(expires - DAY * days)?;
        Some(format!("{:?} {} {}", found.severity, found.code, found.message))
    }

    #[test]
    fn a_policy_warns_thirty_days_before_it_expires() {
        let expires = "2030-06-01T00:00:00Z".parse().expect("a time stamp");
        let said = |days| days_before(expires, days, |now| expiry(expires, now));
        assert_eq!(said(31), None);
        assert_eq!(said(30).as_deref(), Some("Warning BW-0221 the policy expires at 2030-06-01T00:00:00Z"));
        assert_eq!(said(0).as_deref(), Some("Error BW-0221 the policy has expired at 2030-06-01T00:00:00Z"));
    }

    #[test]
    fn an_openpgp_key_warns_before_and_after_it_expires_and_is_never_an_error() {
        let expires = "2030-06-01T00:00:00Z".parse().expect("a time stamp");
        let key = ExpiringKey { person: "ada".parse().expect("a name"), fingerprint: "C0FFEE".into(), expires };
        let said = |days| days_before(expires, days, |now| key_expiry(&key, now));
        assert_eq!(said(31), None);
        let text = |verb| {
            format!(
                "Warning BW-0248 the OpenPGP key C0FFEE of ada {verb} at 2030-06-01T00:00:00Z, and then gpg does not sign \
                 with it"
            )
        };
        assert_eq!(said(30), Some(text("expires")));
        assert_eq!(said(-400), Some(text("expired")));
    }
}
