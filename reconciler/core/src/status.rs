//! Derives the two status words of a device. One function, so that page, API and command never disagree.

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::api::{DeviceStatus, StatusWord, Summary, Updated, WaitingOn};
use bellwether_schemas::report::{Health, Phase, Reported};

/// Everything that a status depends on.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What the device said last.
    pub reported: Option<&'a Reported>,
    /// Whether it was silent for too long.
    pub stale: bool,
    /// The digest of its target.
    pub target: Option<Sha256Digest>,
    /// The digest of what it is offered.
    pub offered: Option<Sha256Digest>,
    /// Why it is not at its target.
    pub reason: Option<&'a WaitingOn>,
}

/// The status of a device.
pub fn status(known: &Known<'_>) -> DeviceStatus {
    DeviceStatus { summary: StatusWord { status: summary(known) }, updated: StatusWord { status: updated(known) } }
}

fn summary(known: &Known<'_>) -> Summary {
    let report = match known.reported {
        Some(Reported::Readable(report)) => Some(report),
        Some(Reported::Unreadable { .. }) | None => None,
    };
    let degraded = report.is_some_and(|r| r.phase == Phase::Degraded || r.health == Health::Unhealthy);
    match known.reason {
        Some(WaitingOn::Revoked { .. }) => Summary::Revoked,
        Some(WaitingOn::Paused { .. }) => Summary::ConflictPaused,
        Some(WaitingOn::AwaitingReconnect) => Summary::AwaitingReconnect,
        _ if known.stale => Summary::Stale,
        _ if degraded => Summary::Degraded,
        Some(WaitingOn::Failed { .. } | WaitingOn::RenderError { .. }) => Summary::Error,
        _ => Summary::Online,
    }
}

fn updated(known: &Known<'_>) -> Updated {
    let Some(Reported::Readable(report)) = known.reported else { return Updated::Unknown };
    let running = report.running.map(|claim| claim.digest);
    let busy = match report.phase {
        Phase::Applying | Phase::Probing => true,
        Phase::Idle
        | Phase::Fetching
        | Phase::Verifying
        | Phase::Staged
        | Phase::Soaking
        | Phase::Committed
        | Phase::RollingBack
        | Phase::RolledBack
        | Phase::Degraded => false,
    };
    match known.reason {
        _ if report.phase == Phase::RollingBack => Updated::Reverting,
        _ if busy => Updated::Updating,
        Some(WaitingOn::Failed { .. }) => Updated::Failed,
        _ if known.target.is_some() && running == known.target => Updated::UpToDate,
        _ if known.target.is_some() && known.offered == known.target => Updated::Offered,
        _ if known.target.is_none() && running.is_none() => Updated::Unknown,
        _ => Updated::OutOfDate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_schemas::report::{Claim, Report};
    use bellwether_schemas::{CommitId, Version};

    fn digest(text: &str) -> Sha256Digest {
        Sha256Digest::of(text.as_bytes())
    }

    fn reported(running: Option<&str>, phase: Phase, health: Health) -> Reported {
        let commit: CommitId = "9f3c2ab000000000000000000000000000000001".parse().expect("an id");
        let version = Version { landing: 1, commit, revision: 0 };
        Reported::Readable(Report {
            nonce: "n".into(),
            agent: "0".into(),
            running: running.map(|text| Claim { version, template: commit, digest: digest(text) }),
            applying: None,
            begun: None,
            phase,
            health,
            failure: None,
            clock: jiff::Timestamp::UNIX_EPOCH,
        })
    }

    fn words(
        reported: Option<&Reported>,
        stale: bool,
        offered: Option<&str>,
        reason: Option<WaitingOn>,
    ) -> (Summary, Updated) {
        let known = Known {
            reported,
            stale,
            target: Some(digest("new")),
            offered: offered.map(digest),
            reason: reason.as_ref(),
        };
        let status = status(&known);
        (status.summary.status, status.updated.status)
    }

    #[test]
    fn each_word_has_its_condition() {
        let old = reported(Some("old"), Phase::Idle, Health::Healthy);
        let new = reported(Some("new"), Phase::Committed, Health::Healthy);
        assert_eq!(words(Some(&new), false, Some("new"), None), (Summary::Online, Updated::UpToDate));
        assert_eq!(words(Some(&old), false, None, None), (Summary::Online, Updated::OutOfDate));
        assert_eq!(words(Some(&old), false, Some("new"), None), (Summary::Online, Updated::Offered));
        assert_eq!(words(Some(&old), true, None, None), (Summary::Stale, Updated::OutOfDate));
        let probing = reported(Some("old"), Phase::Probing, Health::Unknown);
        assert_eq!(words(Some(&probing), false, Some("new"), None), (Summary::Online, Updated::Updating));
        let sick = reported(Some("new"), Phase::Degraded, Health::Unhealthy);
        assert_eq!(words(Some(&sick), false, Some("new"), None).0, Summary::Degraded);
        assert_eq!(
            words(None, false, None, Some(WaitingOn::AwaitingReconnect)),
            (Summary::AwaitingReconnect, Updated::Unknown)
        );
        let revoked = WaitingOn::Revoked { code: "BW-0333".into(), why: String::new() };
        assert_eq!(words(Some(&old), false, None, Some(revoked)).0, Summary::Revoked);
        let paused = WaitingOn::Paused { code: "BW-0301".into(), why: String::new(), commit: None };
        assert_eq!(words(Some(&old), true, None, Some(paused)).0, Summary::ConflictPaused);
    }
}
