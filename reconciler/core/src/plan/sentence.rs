//! Reasons in plain English, and their codes.

use bellwether_schemas::api::{ClaimKind, Condition, MissingCommit, Stand, WaitingOn};
use jiff::Timestamp;

/// A moment as people read it: `2026-01-02 03:04:05 UTC`.
pub fn moment(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The reason in one sentence.
pub fn sentence(reason: &WaitingOn) -> String {
    match reason {
        WaitingOn::Wave { wave, after } => format!("Waits for wave {wave}, which opens after wave {after}."),
        WaitingOn::EmptyWave { wave } => format!("Waits for wave {wave}, which has no device that reports."),
        WaitingOn::Soak { wave, until } => format!("Wave {wave} must stay healthy until {}.", moment(until)),
        WaitingOn::TooFewHealthy { wave, healthy, needed } => {
            format!("Wave {wave} has {healthy} healthy devices, and needs {needed} to go on.")
        }
        WaitingOn::Gate { wave, commit } => {
            format!("Wave {wave} waits for a signed Approval of commit {}.", commit.short())
        }
        WaitingOn::InFlight { version, since } => {
            format!("{version} was offered at {}, and is on the way.", moment(since))
        }
        WaitingOn::Stale { last_seen: None } => "It enrolled, and has not reported yet.".to_owned(),
        WaitingOn::Stale { last_seen: Some(last_seen) } => {
            format!("It was last heard of at {}, and gets no offer before it reports.", moment(last_seen))
        }
        WaitingOn::Halted { wave, failures, offered, commit } => {
            format!(
                "The rollout of {} halted: {failures} of {offered} offered devices failed in wave {wave}.",
                commit.short()
            )
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
