//! One reason of each kind, and what a rollout's record and files say about it.

use bellwether_core::plan::{Ground, HoldNote, RolloutRecord, waits};
use bellwether_schemas::api::{CommitView, Condition, DecisionView, WaitingOn, Waits};
use bellwether_schemas::report::{Failure, FailureKind};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Version, WaveName};
use jiff::Timestamp;

/// The second of a day on which everything happens.
pub(crate) fn at(text: &str) -> Timestamp {
    format!("2030-01-02T{text}Z").parse().expect("a time")
}

pub(crate) fn commit(number: u64) -> CommitId {
    format!("{number}f3c2ab{:033}", 0).parse().expect("an id")
}

pub(crate) fn fleet() -> FleetName {
    "edge".parse().expect("a name")
}

pub(crate) fn device() -> DeviceName {
    "edge-1".parse().expect("a name")
}

pub(crate) fn wave(name: &str) -> WaveName {
    name.parse().expect("a name")
}

pub(crate) fn version() -> Version {
    Version { landing: 3, commit: commit(3), revision: 1 }
}

pub(crate) fn landing(number: u64, summary: &str) -> CommitView {
    CommitView {
        commit: commit(number),
        landing: number,
        signers: ["ada", "grace"].map(|name| name.parse().expect("a name")).into(),
        summary: summary.to_owned(),
        committed: at("09:00:00"),
    }
}

/// What people decided.
pub(crate) fn decided() -> Vec<DecisionView> {
    let decision =
        |file: &str, says: &str, origin| DecisionView { file: file.to_owned(), says: says.to_owned(), origin };
    vec![
        decision("holds/stop.yaml", "stops offers", Some(landing(4, "Stop over the holidays"))),
        decision("approvals/go.yaml", "opens broad", None),
    ]
}

/// Since when, by which rule and until when something waits whose rollout halted in its second wave.
pub(crate) fn told(reason: &WaitingOn, device: Option<&DeviceName>) -> Waits {
    let record: RolloutRecord = serde_json::from_value(serde_json::json!({
        "target": {"commit": commit(3), "number": 3},
        "begunAt": at("08:00:00"),
        "rollout": {},
        "waves": [
            {"name": "canary", "openedAt": at("08:01:00"), "completedAt": at("08:10:00"), "advancedAt": at("08:40:00")},
            {"name": "early", "openedAt": at("08:41:00"), "completedAt": at("08:50:00")},
        ],
        "halted": {"wave": "early", "failures": 2, "offered": 5, "at": at("08:45:00")},
    }))
    .expect("a record");
    let hold = HoldNote { path: "holds/stop.yaml".to_owned(), reason: String::new(), since: Some(at("09:00:00")) };
    let (fleet, holds) = (fleet(), [hold]);
    let [pinned_at, unwell_since, out_since] = ["09:10:00", "09:12:00", "09:15:00"].map(|time| Some(at(time)));
    let (fleet, record) = (Some(&fleet), Some(&record));
    waits(reason, Ground { device, fleet, record, holds: &holds, pinned_at, unwell_since, out_since })
}

/// One of each kind.
pub(crate) fn reasons() -> Vec<WaitingOn> {
    let failure = || Failure {
        version: Some(version()),
        digest: None,
        kind: FailureKind::RolledBack,
        code: "BW-0651".to_owned(),
        message: "probe ready failed".to_owned(),
        at: at("08:44:00"),
    };
    let all = vec![
        WaitingOn::Wave { wave: wave("broad"), after: wave("early") },
        WaitingOn::EmptyWave { wave: wave("broad") },
        WaitingOn::Soak { wave: wave("early"), until: at("10:00:00") },
        WaitingOn::TooFewHealthy { wave: wave("early"), healthy: 1, needed: 2 },
        WaitingOn::Gate { wave: wave("broad"), commit: commit(3) },
        WaitingOn::After { fleet: "core".parse().expect("a name"), commit: commit(3) },
        WaitingOn::Artifact {
            name: "player".to_owned(),
            why: "artifacts/player.bin is not in the repository".to_owned(),
        },
        WaitingOn::Window { opens: Some(at("22:00:00")), why: None },
        WaitingOn::Budget {
            group: [("site".to_owned(), "kiel".to_owned())].into(),
            limit: 1,
            unavailable: 1,
            holders: vec!["edge-2".parse().expect("a name")],
        },
        WaitingOn::MaxInFlight { limit: 50, in_flight: 50 },
        WaitingOn::Unsound { breach: "edge-1 is offered what failed on it".to_owned() },
        WaitingOn::InFlight { version: version(), since: at("08:42:00") },
        WaitingOn::Stale { last_seen: Some(at("07:00:00")), begun: None },
        WaitingOn::Halted { wave: wave("early"), failures: 2, offered: 5, unrendered: 0, commit: commit(3) },
        WaitingOn::Rejected { wave: wave("early"), failures: 2, offered: 5, unrendered: 0, commit: commit(3) },
        WaitingOn::Reverting { commit: commit(3), to: commit(2) },
        WaitingOn::BackFailed { commit: commit(3), version: version(), failure: failure() },
        WaitingOn::Returning { commit: commit(3), devices: 2 },
        WaitingOn::Pinned { commit: commit(2), why: None },
        WaitingOn::Held { hold: "holds/stop.yaml".to_owned(), reason: "the holidays".to_owned() },
        WaitingOn::Failed { version: version(), failure: Some(failure()) },
        WaitingOn::Unhealthy { version: version() },
        WaitingOn::Paused { code: "BW-0301".to_owned(), why: "it is ahead".to_owned(), commit: Some(commit(9)) },
        WaitingOn::Lookup { commit: commit(9) },
        WaitingOn::AwaitingReconnect,
        WaitingOn::Reconnects { until: at("09:30:00") },
        WaitingOn::RenderError { why: "fleets/edge.yaml:9:5: there is no label site".to_owned() },
        WaitingOn::Orphaned,
        WaitingOn::Overlap { fleets: vec![fleet(), "core".parse().expect("a name")] },
        WaitingOn::Repository {
            condition: Condition::Rewound { accepted: commit(3), landing: 3, tip: commit(2), reset: None },
        },
        WaitingOn::Decommissioning,
        WaitingOn::Decommissioned { at: at("07:30:00") },
        WaitingOn::Revoked { code: "BW-0311".to_owned(), why: "the device is revoked".to_owned() },
    ];
    assert_eq!(all.iter().map(WaitingOn::kind).collect::<Vec<_>>(), WaitingOn::KINDS);
    all
}
