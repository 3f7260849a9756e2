use bellwether_schemas::api::Condition;
use bellwether_schemas::report::{Claim, Failure, FailureKind, Report};
use bellwether_schemas::{CommitId, Version, codes};

use super::*;

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

fn commit() -> CommitId {
    "9f3c2ab000000000000000000000000000000001".parse().expect("an id")
}

fn version() -> Version {
    Version { landing: 1, commit: commit(), revision: 0 }
}

fn reported(running: Option<&str>, phase: Phase, health: Health) -> Reported {
    let claim = |text: &str| Claim { version: version(), template: commit(), digest: digest(text) };
    Reported::Readable(Report {
        nonce: "n".into(),
        agent: "0".into(),
        running: running.map(claim),
        applying: None,
        begun: None,
        phase,
        health,
        failure: None,
        clock: jiff::Timestamp::UNIX_EPOCH,
    })
}

fn unreadable() -> Reported {
    Reported::Unreadable { why: "cut".into(), nonce: None }
}

/// A reason of each kind, and none.
fn reasons() -> Vec<Option<WaitingOn>> {
    let wave = || "canary".parse().expect("a name");
    let at = jiff::Timestamp::UNIX_EPOCH;
    let reasons = [
        WaitingOn::Wave { wave: wave(), after: wave() },
        WaitingOn::EmptyWave { wave: wave() },
        WaitingOn::Soak { wave: wave(), until: at },
        WaitingOn::TooFewHealthy { wave: wave(), healthy: 0, needed: 1 },
        WaitingOn::Gate { wave: wave(), commit: commit() },
        WaitingOn::After { fleet: "edge".parse().expect("a name"), commit: commit() },
        WaitingOn::Artifact { name: "app".into(), why: String::new() },
        WaitingOn::Window { opens: Some(at), why: None },
        WaitingOn::Budget { group: [].into(), limit: 1, unavailable: 1, holders: Vec::new() },
        WaitingOn::MaxInFlight { limit: 1, in_flight: 1 },
        WaitingOn::Unsound { breach: String::new() },
        WaitingOn::InFlight { version: version(), since: at },
        WaitingOn::Stale { last_seen: Some(at), begun: None },
        WaitingOn::Halted { wave: wave(), failures: 1, offered: 1, unrendered: 0, commit: commit() },
        WaitingOn::Rejected { wave: wave(), failures: 1, offered: 1, unrendered: 0, commit: commit() },
        WaitingOn::Reverting { commit: commit(), to: commit() },
        WaitingOn::BackFailed { commit: commit(), version: version(), failure: failure() },
        WaitingOn::Returning { commit: commit(), devices: 1 },
        WaitingOn::Pinned { commit: commit(), why: None },
        WaitingOn::Held { hold: "holds/x.yaml".into(), reason: String::new() },
        failed(),
        WaitingOn::Unhealthy { version: version() },
        paused(),
        WaitingOn::Lookup { commit: commit() },
        WaitingOn::AwaitingReconnect,
        WaitingOn::Reconnects { until: at },
        WaitingOn::RenderError { why: String::new() },
        WaitingOn::Orphaned,
        WaitingOn::Overlap { fleets: Vec::new() },
        rewound(),
        WaitingOn::Decommissioning,
        WaitingOn::Decommissioned { at },
        revoked(),
    ];
    let kinds: Vec<&str> = reasons.iter().map(WaitingOn::kind).collect();
    assert_eq!(kinds, WaitingOn::KINDS, "a reason of each kind");
    reasons.into_iter().map(Some).chain([None]).collect()
}

fn failed() -> WaitingOn {
    WaitingOn::Failed { version: version(), failure: None }
}

fn failure() -> Failure {
    let (code, at) = (codes::PROBE_FAILED.to_string(), jiff::Timestamp::UNIX_EPOCH);
    let kind = FailureKind::RolledBack;
    Failure { version: Some(version()), digest: None, kind, code, message: String::new(), at }
}

fn paused() -> WaitingOn {
    WaitingOn::Paused { code: codes::VERSION_MISSING.to_string(), why: String::new(), commit: Some(commit()) }
}

fn rewound() -> WaitingOn {
    let condition = Condition::Rewound { accepted: commit(), landing: 1, tip: commit(), reset: None };
    WaitingOn::Repository { condition }
}

fn revoked() -> WaitingOn {
    WaitingOn::Revoked { code: codes::DEVICE_REVOKED.to_string(), why: String::new() }
}

const PHASES: [Phase; 12] = [
    Phase::Idle,
    Phase::Fetching,
    Phase::Verifying,
    Phase::Staged,
    Phase::Applying,
    Phase::Probing,
    Phase::Soaking,
    Phase::Committed,
    Phase::RollingBack,
    Phase::RolledBack,
    Phase::Degraded,
    Phase::Decommissioned,
];

/// Calls `check` with everything that can be known of a device.
fn for_all(mut check: impl FnMut(&Known<'_>, Summary, Updated)) {
    let mut reports = vec![None, Some(unreadable())];
    for running in [None, Some("old"), Some("new")] {
        for phase in PHASES {
            for health in [Health::Unknown, Health::Healthy, Health::Unhealthy] {
                reports.push(Some(reported(running, phase, health)));
            }
        }
    }
    let reasons = reasons();
    let digests = [None, Some(digest("new")), Some(digest("old"))];
    for report in &reports {
        for reason in &reasons {
            for (target, offered) in [0, 1, 2].into_iter().flat_map(|t| [0, 1, 2].map(|o| (digests[t], digests[o]))) {
                for (stale, decommissioned) in [(false, false), (true, false), (false, true), (true, true)] {
                    let known = Known {
                        reported: report.as_ref(),
                        stale,
                        target,
                        offered,
                        reason: reason.as_ref(),
                        decommissioned,
                    };
                    let found = status(&known);
                    check(&known, found.summary.status, found.updated.status);
                }
            }
        }
    }
}

fn words(reported: Option<&Reported>, stale: bool, offered: Option<&str>, reason: Option<WaitingOn>) -> String {
    let known = Known {
        reported,
        stale,
        target: Some(digest("new")),
        offered: offered.map(digest),
        reason: reason.as_ref(),
        decommissioned: false,
    };
    let found = status(&known);
    format!("{} {}", found.summary.status, found.updated.status)
}

/// What a person sees at night: each row is a device that somebody could be called about.
#[test]
fn each_word_has_its_condition() {
    let at = |phase| reported(Some("old"), phase, Health::Healthy);
    let old = at(Phase::Idle);
    let new = reported(Some("new"), Phase::Committed, Health::Healthy);
    let probing = reported(Some("old"), Phase::Probing, Health::Unknown);
    let sick = reported(Some("new"), Phase::Committed, Health::Unhealthy);
    let degraded = reported(Some("old"), Phase::Degraded, Health::Healthy);
    let flight = || Some(WaitingOn::InFlight { version: version(), since: jiff::Timestamp::UNIX_EPOCH });
    let unrendered = || Some(WaitingOn::RenderError { why: String::new() });
    for (what, report, stale, offered, reason, expected) in [
        ("at its target", Some(&new), false, Some("new"), None, "Online UpToDate"),
        ("waits for its wave", Some(&old), false, None, reasons()[0].clone(), "Online OutOfDate"),
        ("on the way", Some(&old), false, Some("new"), flight(), "Online Offered"),
        ("downloads", Some(&at(Phase::Fetching)), false, Some("new"), flight(), "Online Offered"),
        ("changes itself", Some(&at(Phase::Applying)), false, Some("new"), flight(), "Online Updating"),
        ("probes", Some(&probing), false, Some("new"), flight(), "Online Updating"),
        ("gets stable before its wave", Some(&old), false, Some("stable"), flight(), "Online OutOfDate"),
        ("at its target, ill", Some(&sick), false, Some("new"), None, "Degraded UpToDate"),
        ("the way back is ill too", Some(&degraded), false, None, Some(failed()), "Degraded Failed"),
        ("went back by itself", Some(&at(Phase::RolledBack)), false, None, Some(failed()), "Error Failed"),
        ("goes back", Some(&at(Phase::RollingBack)), false, Some("new"), flight(), "Online Reverting"),
        ("goes back, failed", Some(&at(Phase::RollingBack)), false, None, Some(failed()), "Error Reverting"),
        ("silent since it went back", Some(&at(Phase::RollingBack)), true, None, Some(failed()), "Stale Reverting"),
        ("failed and silent", Some(&at(Phase::RolledBack)), true, None, Some(failed()), "Stale Failed"),
        ("ran out of time in the middle", Some(&probing), false, Some("new"), Some(failed()), "Error Failed"),
        ("silent in the middle", Some(&probing), true, Some("new"), flight(), "Stale Updating"),
        ("silent at its target", Some(&new), true, Some("new"), None, "Stale UpToDate"),
        ("silent and ill", Some(&sick), true, Some("new"), None, "Stale UpToDate"),
        ("silent with an offer", Some(&old), true, Some("new"), flight(), "Stale Offered"),
        ("enrolled, never heard of", None, true, None, None, "Stale Unknown"),
        ("paused", Some(&old), false, None, Some(paused()), "ConflictPaused OutOfDate"),
        ("paused and silent", Some(&old), true, None, Some(paused()), "ConflictPaused OutOfDate"),
        ("paused and ill", Some(&degraded), false, None, Some(paused()), "ConflictPaused OutOfDate"),
        ("paused with an old offer", Some(&old), false, Some("new"), Some(paused()), "ConflictPaused OutOfDate"),
        (
            "paused before it may begin",
            Some(&at(Phase::Applying)),
            false,
            Some("new"),
            Some(paused()),
            "ConflictPaused OutOfDate",
        ),
        ("paused in the middle", Some(&probing), false, Some("new"), Some(paused()), "ConflictPaused Updating"),
        ("paused, runs the content", Some(&new), false, None, Some(paused()), "ConflictPaused UpToDate"),
        ("paused, unreadable", Some(&unreadable()), false, None, Some(paused()), "ConflictPaused Unknown"),
        ("unreadable, forced", Some(&unreadable()), false, Some("new"), flight(), "Error Unknown"),
        ("branch set back", Some(&old), false, Some("new"), Some(rewound()), "Online OutOfDate"),
        ("records lost", None, true, None, Some(WaitingOn::AwaitingReconnect), "AwaitingReconnect Unknown"),
        (
            "records lost, an old report is there",
            Some(&new),
            false,
            Some("new"),
            Some(WaitingOn::AwaitingReconnect),
            "AwaitingReconnect Unknown",
        ),
        ("revoked", Some(&old), false, Some("new"), Some(revoked()), "Revoked OutOfDate"),
        ("revoked and silent", Some(&new), true, None, Some(revoked()), "Revoked UpToDate"),
        ("no spec can be made", Some(&old), false, None, unrendered(), "Error OutOfDate"),
    ] {
        assert_eq!(words(report, stale, offered, reason), expected, "{what}");
    }
}

#[test]
fn without_a_target_nothing_is_said_to_be_old_but_a_spec_that_cannot_be_made() {
    let old = reported(Some("old"), Phase::Idle, Health::Healthy);
    for (reason, expected) in [
        (None, Updated::Unknown),
        (Some(WaitingOn::Orphaned), Updated::Unknown),
        (Some(WaitingOn::Overlap { fleets: Vec::new() }), Updated::Unknown),
        (Some(WaitingOn::RenderError { why: String::new() }), Updated::OutOfDate),
        (Some(paused()), Updated::OutOfDate),
    ] {
        let known = Known {
            reported: Some(&old),
            stale: false,
            target: None,
            offered: Some(digest("old")),
            reason: reason.as_ref(),
            decommissioned: false,
        };
        assert_eq!(status(&known).updated.status, expected, "{reason:?}");
    }
}

/// The order in which words win, for everything that can be known.
#[test]
fn what_matters_more_is_shown_whatever_else_is_true() {
    for_all(|known, summary, _| {
        let reason = known.reason.map(WaitingOn::kind);
        let expected = match reason {
            _ if known.decommissioned => Some(Summary::Decommissioned),
            Some("Revoked") => Some(Summary::Revoked),
            Some("Paused") => Some(Summary::ConflictPaused),
            Some("AwaitingReconnect") => Some(Summary::AwaitingReconnect),
            _ if known.stale => Some(Summary::Stale),
            _ => None,
        };
        match expected {
            Some(expected) => assert_eq!(summary, expected, "{known:?}"),
            None => assert!(matches!(summary, Summary::Online | Summary::Degraded | Summary::Error), "{known:?}"),
        }
    });
}

#[test]
fn no_word_promises_what_is_not_so() {
    for_all(|known, summary, updated| {
        let report = readable(known);
        let running = report.and_then(|report| report.running).map(|claim| claim.digest);
        if summary == Summary::Online {
            assert!(report.is_none_or(|r| r.health != Health::Unhealthy && r.phase != Phase::Degraded), "{known:?}");
            assert!(!known.stale && !known.decommissioned, "{known:?}");
        }
        match updated {
            Updated::UpToDate => assert!(running.is_some() && running == known.target, "{known:?}"),
            Updated::Offered => {
                assert!(running != known.target && known.offered == known.target, "{known:?}");
                assert!(
                    known.reason.is_none_or(|r| !matches!(r.kind(), "Paused" | "Revoked" | "Repository")),
                    "{known:?}"
                );
            }
            Updated::OutOfDate => assert!(known.target.is_none() || running != known.target, "{known:?}"),
            Updated::Updating => assert!(report.is_some(), "{known:?}"),
            Updated::Failed => {
                let kind = known.reason.map(WaitingOn::kind);
                assert!(matches!(kind, Some("Failed" | "BackFailed")), "{known:?}");
            }
            Updated::Reverting => {
                let by_itself = report.map(|r| r.phase) == Some(Phase::RollingBack);
                assert!(by_itself || known.reason.map(WaitingOn::kind) == Some("Reverting"), "{known:?}");
            }
            Updated::Unknown => {}
        }
        if report.is_none() || known.decommissioned {
            assert_eq!(updated, Updated::Unknown, "{known:?}");
        }
    });
}

#[test]
fn every_word_is_said_of_some_device() {
    let (mut summaries, mut updates) = (Vec::new(), Vec::new());
    for_all(|_, summary, updated| {
        summaries.push(summary);
        updates.push(updated);
    });
    summaries.sort();
    summaries.dedup();
    updates.sort();
    updates.dedup();
    assert_eq!((summaries.as_slice(), updates.as_slice()), (Summary::ALL, Updated::ALL));
}

/// The rows of a table of the documentation that comes after `heading`: the first cell of each, without its quotes.
fn rows(heading: &str) -> Vec<&'static str> {
    let document = include_str!("../../../../docs/device-states.md");
    let (_, after) = document.split_once(heading).expect("the document has that heading");
    let table = after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = table.skip(2).filter_map(|line| line.split('|').nth(1));
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}

#[test]
fn the_documentation_has_a_row_for_each_word() {
    let summaries: Vec<&str> = Summary::ALL.iter().map(|word| word.as_str()).collect();
    let updates: Vec<&str> = Updated::ALL.iter().map(|word| word.as_str()).collect();
    assert_eq!(rows("## How it is"), summaries);
    assert_eq!(rows("## How it stands to its target"), updates);
}
