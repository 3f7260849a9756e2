//! The verifier's own judgement, before it is too late to change anything by a landing.

use std::path::Path;

use bellwether_core::verify::{ExpiringKey, Fault, POLICY_PATH, Policy, SIGSTORE_ROOT_PATH};
use bellwether_schemas::manifest::{AnyManifest, Kind, TrustPolicy};
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{CommitId, codes};
use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::manifests::Manifests;

/// Long enough to renew a policy without haste.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the verifier would refuse, and what it will refuse soon.
pub(super) fn problems(manifests: &Manifests, base: Option<&CommitId>, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    if !manifests.texts.keys().any(|path| Kind::of_path(path) == Some(Kind::Fleet)) {
        found.extend(fleets_lost(&manifests.root));
    }
    match (manifests.parsed.get(POLICY_PATH), manifests.texts.get(POLICY_PATH)) {
        (Some(AnyManifest::TrustPolicy(policy)), Some(text)) => {
            found.extend(of_policy(&manifests.root, text, &policy.spec, now));
        }
        (_, Some(_)) => {}
        (_, None) => {
            let message = "the trust policy is missing: every landing needs it";
            let problem = Finding::error(codes::POLICY_MISSING, POLICY_PATH, FieldPath::default(), message);
            found.push(problem.hint(match source(&manifests.root, base) {
                Some(commit) => format!("git restore --source={commit} --staged --worktree {POLICY_PATH}"),
                None => "bellwether trust init writes one that trusts you".to_owned(),
            }));
        }
    }
    found
}

fn of_policy(root: &Path, text: &[u8], manifest: &TrustPolicy, now: Timestamp) -> Vec<Finding> {
    let sigstore_root = std::fs::read(root.join(SIGSTORE_ROOT_PATH)).ok();
    let policy = match Policy::compile(manifest.clone(), sigstore_root.as_deref()) {
        Ok(policy) => policy,
        Err(faults) => return faults.iter().map(|fault| faulty(fault, manifest)).collect(),
    };
    let keys = policy.expiring_keys().filter_map(|key| key_expiry(&key, now));
    expiry(policy.expires(), now).into_iter().chain(keys).chain(not_raised(root, text, &policy)).collect()
}

fn faulty(fault: &Fault, manifest: &TrustPolicy) -> Finding {
    let rule = fault.untold_rule().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    let path = fault.path.as_deref().unwrap_or(POLICY_PATH);
    // The text of a rule begins with its paths.
    let is_about = |paths: &[String]| {
        fault.rule.as_ref().is_some_and(|text| text.starts_with(&format!("paths [{}]", paths.join(", "))))
    };
    let field = match manifest.rules.iter().position(|rule| is_about(&rule.paths)) {
        Some(place) => FieldPath::of("spec.rules").item(place).key("paths"),
        None => FieldPath::default(),
    };
    let advice = codes::explain(fault.code.as_str()).map_or("", |known| known.mend);
    Finding::error(fault.code, path, field, format!("{}{rule}", fault.why)).hint(advice)
}

fn expiry(expires: Timestamp, now: Timestamp) -> Option<Finding> {
    let left = expires.duration_since(now);
    if left > SOON {
        return None;
    }
    let field = FieldPath::of("spec.expires");
    let problem = match left.is_positive() {
        true => Finding::warning(codes::POLICY_EXPIRED, POLICY_PATH, field, format!("the policy expires at {expires}")),
        false => {
            Finding::error(codes::POLICY_EXPIRED, POLICY_PATH, field, format!("the policy has expired at {expires}"))
        }
    };
    Some(problem.hint("set a later expires and raise version; until then landings wait"))
}

/// An OpenPGP key that ends soon by its own date. It counts on; gpg signs with it no longer.
fn key_expiry(key: &ExpiringKey, now: Timestamp) -> Option<Finding> {
    let ExpiringKey { person, fingerprint, expires } = key;
    let left = expires.duration_since(now);
    if left > SOON {
        return None;
    }
    let verb = if left.is_positive() { "expires" } else { "expired" };
    let message =
        format!("the OpenPGP key {fingerprint} of {person} {verb} at {expires}, and then gpg does not sign with it");
    let field = FieldPath::of("spec.people").key(person.as_str()).key("openpgp");
    Some(Finding::warning(codes::KEY_EXPIRES, POLICY_PATH, field, message).hint(format!(
        "gpg --quick-set-expire {fingerprint} 2y '*' && gpg --quick-set-expire {fingerprint} 2y && gpg --armor --export \
         {fingerprint} > {person}.asc && bellwether trust add {person} --openpgp {person}.asc"
    )))
}

/// The policy differs from the last commit's, and its version is not higher.
fn not_raised(root: &Path, text: &[u8], policy: &Policy) -> Option<Finding> {
    let committed = committed(root)?;
    let before = Policy::read(&committed).ok()?;
    if committed == text || policy.version() > before.version {
        return None;
    }
    let message =
        format!("the policy changed, and its version is {}, expected more than {}", policy.version(), before.version);
    let hint = format!("write version: {}", before.version.saturating_add(1));
    Some(Finding::error(codes::POLICY_VERSION, POLICY_PATH, FieldPath::of("spec.version"), message).hint(hint))
}

/// No fleet is left of those in the last commit. Only asked where there is none.
fn fleets_lost(root: &Path) -> Option<Finding> {
    let repo = gix::open(root).ok()?;
    let fleets = repo.head_commit().ok()?.tree().ok()?.lookup_entry_by_path(Kind::Fleet.folder()).ok()??;
    let fleets = fleets.object().ok()?.try_into_tree().ok()?;
    fleets.iter().flatten().any(|entry| entry.filename().ends_with(b".yaml")).then(|| {
        let message = "no fleet is left of those in the last commit, and a landing that loses every fleet is refused";
        Finding::error(codes::EVERY_FLEET_LOST, Kind::Fleet.folder(), FieldPath::default(), message)
    })
}

fn committed(root: &Path) -> Option<Vec<u8>> {
    policy_in(&gix::open(root).ok()?.head_commit().ok()?)
}

fn policy_in(commit: &gix::Commit<'_>) -> Option<Vec<u8>> {
    let entry = commit.tree().ok()?.lookup_entry_by_path(POLICY_PATH).ok()??;
    Some(entry.object().ok()?.detach().data)
}

/// Which commit has the policy that is missing: the last one, or what the branch will be merged into.
fn source(root: &Path, base: Option<&CommitId>) -> Option<String> {
    let repo = gix::open(root).ok()?;
    if repo.head_commit().is_ok_and(|head| policy_in(&head).is_some()) {
        return Some("HEAD".to_owned());
    }
    let base = base?;
    let commit = repo.find_commit(gix::ObjectId::from_bytes_or_panic(base.as_bytes())).ok()?;
    policy_in(&commit).map(|_| base.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn days_before(expires: Timestamp, days: i32, judge: impl Fn(Timestamp) -> Option<Finding>) -> Option<String> {
        let found = judge(expires - DAY * days)?.problem;
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
