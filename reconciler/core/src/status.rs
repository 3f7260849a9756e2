//! Derives the two status words of a device. One function, so that page, API, metrics and command never disagree.
//!
//! What each word means for people, and how it begins and ends, is in `docs/device-states.md`.

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::api::{DeviceStatus, StatusWord, Summary, Updated, WaitingOn};
use bellwether_schemas::report::{Health, Phase, Report, Reported};

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
    /// Whether it was decommissioned, and is done with it.
    pub decommissioned: bool,
}

/// The status of a device.
pub fn status(known: &Known<'_>) -> DeviceStatus {
    DeviceStatus { summary: StatusWord { status: summary(known) }, updated: StatusWord { status: updated(known) } }
}

/// What keeps a device out of every rollout comes first, whatever else is true of it: that is what a person must know.
/// What a silent device said last is old, so silence comes before what it said.
fn summary(known: &Known<'_>) -> Summary {
    match known.reason {
        _ if known.decommissioned => Summary::Decommissioned,
        Some(WaitingOn::Revoked { .. }) => Summary::Revoked,
        Some(WaitingOn::Paused { .. }) => Summary::ConflictPaused,
        Some(WaitingOn::AwaitingReconnect) => Summary::AwaitingReconnect,
        _ if known.stale => Summary::Stale,
        _ if readable(known).is_some_and(is_degraded) => Summary::Degraded,
        _ if matches!(known.reported, Some(Reported::Unreadable { .. })) => Summary::Error,
        Some(WaitingOn::Failed { .. } | WaitingOn::BackFailed { .. } | WaitingOn::RenderError { .. }) => Summary::Error,
        _ => Summary::Online,
    }
}

/// The device's own way back comes first: it is under way even if the device fell silent in it. Then what failed, also if
/// the device was last heard of in the middle of it. What it runs counts for more than what it is offered.
fn updated(known: &Known<'_>) -> Updated {
    let Some(report) = readable(known).filter(|_| !known.decommissioned) else { return Updated::Unknown };
    let running = report.running.map(|claim| claim.digest);
    match known.reason {
        // What it said before its records were lost says nothing about it now.
        Some(WaitingOn::AwaitingReconnect) => Updated::Unknown,
        _ if report.phase == Phase::RollingBack => Updated::Reverting,
        Some(WaitingOn::Reverting { .. }) => Updated::Reverting,
        Some(WaitingOn::Failed { .. } | WaitingOn::BackFailed { .. }) => Updated::Failed,
        _ if is_changing(report, is_stopped(known.reason)) => Updated::Updating,
        _ if known.target.is_some() && running == known.target => Updated::UpToDate,
        reason if known.target.is_some() && known.offered == known.target && !is_stopped(reason) => Updated::Offered,
        None if known.target.is_none() => Updated::Unknown,
        Some(WaitingOn::Orphaned | WaitingOn::Overlap { .. }) if known.target.is_none() => Updated::Unknown,
        _ => Updated::OutOfDate,
    }
}

fn readable<'a>(known: &Known<'a>) -> Option<&'a Report> {
    match known.reported {
        Some(Reported::Readable(report)) => Some(report),
        Some(Reported::Unreadable { .. }) | None => None,
    }
}

fn is_degraded(report: &Report) -> bool {
    report.phase == Phase::Degraded || report.health == Health::Unhealthy
}

/// Whether it changes itself. A device in `Applying` waits for a word that one that is `stopped` does not get.
fn is_changing(report: &Report, stopped: bool) -> bool {
    match report.phase {
        Phase::Applying => !stopped,
        Phase::Probing => true,
        Phase::Idle
        | Phase::Fetching
        | Phase::Verifying
        | Phase::Staged
        | Phase::Soaking
        | Phase::Committed
        | Phase::RollingBack
        | Phase::RolledBack
        | Phase::Degraded
        | Phase::Decommissioned => false,
    }
}

/// Whether it gets nothing now, whatever was published for it before.
fn is_stopped(reason: Option<&WaitingOn>) -> bool {
    match reason {
        Some(
            WaitingOn::Paused { .. }
            | WaitingOn::Revoked { .. }
            | WaitingOn::Decommissioning
            | WaitingOn::Decommissioned { .. }
            | WaitingOn::AwaitingReconnect
            | WaitingOn::Unsound { .. }
            | WaitingOn::Lookup { .. }
            | WaitingOn::Repository { .. },
        ) => true,
        None
        | Some(
            WaitingOn::Wave { .. }
            | WaitingOn::EmptyWave { .. }
            | WaitingOn::Soak { .. }
            | WaitingOn::TooFewHealthy { .. }
            | WaitingOn::Gate { .. }
            | WaitingOn::After { .. }
            | WaitingOn::Artifact { .. }
            | WaitingOn::Window { .. }
            | WaitingOn::Budget { .. }
            | WaitingOn::MaxInFlight { .. }
            | WaitingOn::Rejected { .. }
            | WaitingOn::Reverting { .. }
            | WaitingOn::BackFailed { .. }
            | WaitingOn::Returning { .. }
            | WaitingOn::Pinned { .. }
            | WaitingOn::InFlight { .. }
            | WaitingOn::Stale { .. }
            | WaitingOn::Reconnects { .. }
            | WaitingOn::Halted { .. }
            | WaitingOn::Held { .. }
            | WaitingOn::Failed { .. }
            | WaitingOn::Unhealthy { .. }
            | WaitingOn::RenderError { .. }
            | WaitingOn::Orphaned
            | WaitingOn::Overlap { .. },
        ) => false,
    }
}

#[cfg(test)]
mod tests;
