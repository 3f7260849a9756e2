//! Reasons in plain English, and their codes.

use std::collections::BTreeMap;

use bellwether_schemas::api::{ClaimKind, Condition, MissingCommit, Stand, WaitingOn};
use bellwether_schemas::{DeviceName, WaveName};
use jiff::Timestamp;

/// A moment as people read it: `2026-01-02 03:04:05 UTC`.
pub fn moment(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How many devices, in words.
pub(super) fn devices(count: u64) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{count} devices") }
}

/// The reason in one sentence.
pub fn sentence(reason: &WaitingOn) -> String {
    match reason {
        WaitingOn::Wave { wave, after } => format!("Waits for wave {wave}, which opens after wave {after}."),
        WaitingOn::EmptyWave { wave } => format!("Waits for wave {wave}, which has no device that reports."),
        WaitingOn::Soak { wave, until } => format!("Wave {wave} must stay healthy until {}.", moment(until)),
        WaitingOn::TooFewHealthy { wave, healthy, needed } => {
            let healthy = match healthy {
                1 => "1 healthy device".to_owned(),
                healthy => format!("{healthy} healthy devices"),
            };
            format!("Wave {wave} has {healthy}, and needs {needed} to go on.")
        }
        WaitingOn::Gate { wave, commit } => {
            format!("Wave {wave} waits for a signed Approval of commit {}.", commit.short())
        }
        WaitingOn::After { fleet, commit } => {
            format!("Waits until fleet {fleet} has completed commit {}, or one after it.", commit.short())
        }
        WaitingOn::Artifact { name, why } => format!("The rollout does not start: {name} cannot be had: {why}."),
        WaitingOn::Window { opens: Some(opens), .. } => format!("Its next window opens at {}.", moment(opens)),
        WaitingOn::Window { opens: None, why } => {
            why.clone().unwrap_or_else(|| "None of its windows ever opens.".to_owned())
        }
        WaitingOn::Budget { group, limit, unavailable, holders } => {
            budget_sentence(group, *limit, *unavailable, holders)
        }
        WaitingOn::MaxInFlight { limit, in_flight } => {
            let are = if *in_flight == 1 { "is" } else { "are" };
            format!("{} {are} on the way, and maxInFlight allows {limit}.", devices(*in_flight))
        }
        WaitingOn::Unsound { breach } => {
            format!("The plan of its fleet breaks a rule, and is not carried out: {breach}.")
        }
        WaitingOn::Rejected { wave, failures, offered, unrendered, commit } => {
            format!("{} is rejected: {}.", commit.short(), failed(wave, *failures, *offered, *unrendered))
        }
        WaitingOn::Reverting { commit, to } => {
            format!("{} is rejected, and it goes back to {}.", commit.short(), to.short())
        }
        WaitingOn::BackFailed { commit, version, failure } => format!(
            "{} is rejected, and going back to {version} failed on it ({}): {}",
            commit.short(),
            failure.code,
            failure.message
        ),
        WaitingOn::Returning { commit, devices: left } => {
            let go = if *left == 1 { "goes" } else { "go" };
            format!("{} brings back what was stable: {} that left it {go} back.", commit.short(), devices(*left))
        }
        WaitingOn::Pinned { commit, why: None } => format!("A pin keeps it at {}.", commit.short()),
        WaitingOn::Pinned { commit, why: Some(why) } => {
            format!("It is pinned to {}, and cannot be brought there: {why}.", commit.short())
        }
        WaitingOn::InFlight { version, since } => {
            format!("{version} was offered at {}, and is on the way.", moment(since))
        }
        WaitingOn::Stale { last_seen: None, .. } => "It enrolled, and has not reported yet.".to_owned(),
        WaitingOn::Stale { last_seen: Some(last_seen), begun: None } => {
            format!("It was last heard of at {}, and gets no offer before it reports.", moment(last_seen))
        }
        WaitingOn::Stale { last_seen: Some(last_seen), begun: Some(version) } => format!(
            "It had begun {version} when it was last heard of at {}: what came of that is known when it reports.",
            moment(last_seen)
        ),
        WaitingOn::Halted { wave, failures, offered, unrendered, commit } => {
            format!("The rollout of {} halted: {}.", commit.short(), failed(wave, *failures, *offered, *unrendered))
        }
        WaitingOn::Held { hold, reason } => format!("Held by {hold}: {reason}"),
        WaitingOn::Failed { version, failure: Some(failure) } => {
            format!("{version} failed on it ({}): {}", failure.code, failure.message)
        }
        WaitingOn::Failed { version, failure: None } => format!("{version} did not succeed on it in time."),
        WaitingOn::Unhealthy { version } => {
            format!("It runs {version}, as it shall, and that does not pass its probes.")
        }
        WaitingOn::Paused { why, .. } => format!("Paused: {why}"),
        WaitingOn::Lookup { commit } => {
            format!("It names commit {commit}, which is missing here; the repository is asked once more.")
        }
        WaitingOn::AwaitingReconnect => "It has not reported since the reconciler lost its records.".to_owned(),
        WaitingOn::Reconnects { until } => format!(
            "The reconciler lost its records; devices have until {} to report what they run, and no wave opens before.",
            moment(until)
        ),
        WaitingOn::RenderError { why } => format!("Its spec cannot be rendered: {why}"),
        WaitingOn::Orphaned => "No fleet selects it; it keeps what it runs.".to_owned(),
        WaitingOn::Overlap { fleets } => {
            let fleets: Vec<&str> = fleets.iter().map(AsRef::as_ref).collect();
            format!("More than one fleet selects it: {}.", fleets.join(", "))
        }
        WaitingOn::Repository { condition } => condition_sentence(condition),
        WaitingOn::Decommissioning => {
            "It is to remove everything that was placed on it, and has not said yet that it did.".to_owned()
        }
        WaitingOn::Decommissioned { at } => format!("It removed everything, and is refused since {}.", moment(at)),
        WaitingOn::Revoked { why, .. } => format!("Its certificate does not count: {why}."),
    }
}

/// What failed in a wave. Who could not be rendered was offered nothing.
fn failed(wave: &WaveName, failures: u64, offered: u64, unrendered: u64) -> String {
    let failed = failures.saturating_sub(unrendered);
    let tried = format!("{failed} of {offered} offered devices failed in wave {wave}");
    let specs = if unrendered == 1 { "the spec of" } else { "the specs of" };
    match (failed, unrendered) {
        (_, 0) => tried,
        (0, _) => format!("{specs} {} of wave {wave} cannot be rendered", devices(unrendered)),
        (_, _) => format!("{tried}, and {specs} {unrendered} more cannot be rendered"),
    }
}

fn budget_sentence(group: &BTreeMap<String, String>, limit: u64, unavailable: u64, holders: &[DeviceName]) -> String {
    let group: Vec<String> = group.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let of = if group.is_empty() { "the fleet".to_owned() } else { group.join(", ") };
    let named: Vec<&str> = holders.iter().map(DeviceName::as_str).collect();
    let unnamed = unavailable.saturating_sub(u64::try_from(holders.len()).unwrap_or(u64::MAX));
    let more = if unnamed > 0 { format!(" and {unnamed} more") } else { String::new() };
    let (unavailable, are) = (devices(unavailable), if unavailable == 1 { "is" } else { "are" });
    format!("{unavailable} of {of} {are} unavailable, and the budget allows {limit}: {}{more}.", named.join(", "))
}

/// What a device does with a commit that is missing, and how that stands to the history; it follows the commit.
pub fn missing_sentence(missing: &MissingCommit) -> String {
    let claim = match missing.claim {
        ClaimKind::Running => "runs",
        ClaimKind::Applying => "is applying",
    };
    let stand = match missing.stand {
        Stand::Ahead => "ahead of the git history",
        Stand::Diverged => "not in the git history, which has another landing there",
    };
    format!("which it {claim} as v{}: {stand}", missing.landing)
}

/// The repository's condition in one sentence.
pub fn condition_sentence(condition: &Condition) -> String {
    match condition {
        Condition::Verified => "The branch is verified up to its tip.".to_owned(),
        Condition::Stalled { commit, path, code, why } => {
            let commit = commit.map(|commit| format!(" {}", commit.short())).unwrap_or_default();
            let path = path.as_ref().map(|path| format!(" at {path}")).unwrap_or_default();
            format!("Landing{commit} is refused{path} ({code}): {why}. The accepted head stays in force.")
        }
        Condition::Rewound { accepted, landing, tip, reset } => {
            let reset = reset.as_ref().map(|why| format!(" A reset on it does not count: {why}.")).unwrap_or_default();
            format!(
                "The branch was set back: its tip {} does not contain the accepted head v{landing} ({}). Nothing is \
                 offered until the missing commits return.{reset}",
                tip.short(),
                accepted.short()
            )
        }
        Condition::Frozen { since, max_silence } => format!(
            "Nobody has signed a commit since {}, longer than the policy's maxSilence of {max_silence}. The accepted head \
             stays in force.",
            moment(since)
        ),
        Condition::Unreachable { why } => {
            format!("The repository cannot be reached: {why}. The accepted head stays in force.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_could_not_be_rendered_was_offered_nothing() {
        let wave = "canary".parse().expect("a name");
        let cases = [
            ((2, 5, 0), "2 of 5 offered devices failed in wave canary"),
            ((1, 0, 1), "the spec of 1 device of wave canary cannot be rendered"),
            ((9, 3, 9), "the specs of 9 devices of wave canary cannot be rendered"),
            ((3, 5, 1), "2 of 5 offered devices failed in wave canary, and the spec of 1 more cannot be rendered"),
        ];
        for ((failures, offered, unrendered), told) in cases {
            assert_eq!(failed(&wave, failures, offered, unrendered), told);
        }
    }
}
