//! `/metrics` in Prometheus' text format, version 0.0.4. Every label value is one of ours: nothing to escape.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bellwether_schemas::api::{Condition, RolloutState, Summary, Updated};

use super::ends::End;
use super::sessions::Sessions;
use super::views::Views;
use super::webhook::Calls;

/// Missing commits that are counted one by one; devices can name as many as they like.
const MISSING_NAMED: usize = 10;

const CONDITIONS: [&str; 5] = ["Verified", "Stalled", "Rewound", "Unreachable", "Frozen"];

const ROLLOUTS: [RolloutState; 6] = [
    RolloutState::Progressing,
    RolloutState::Waiting,
    RolloutState::Halted,
    RolloutState::Reverting,
    RolloutState::Rejected,
    RolloutState::Complete,
];

fn condition(condition: &Condition) -> &'static str {
    match condition {
        Condition::Verified => CONDITIONS[0],
        Condition::Stalled { .. } => CONDITIONS[1],
        Condition::Rewound { .. } => CONDITIONS[2],
        Condition::Unreachable { .. } => CONDITIONS[3],
        Condition::Frozen { .. } => CONDITIONS[4],
    }
}

/// The metrics of a snapshot.
pub(super) fn render(views: &Views, requests: usize, sessions: &Sessions, webhook: &Calls, ends: &[End]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let (mut by_summary, mut by_updated) = (BTreeMap::new(), BTreeMap::new());
    for device in &views.devices {
        *by_summary.entry(device.status.summary.status).or_insert(0) += 1;
        *by_updated.entry(device.status.updated.status).or_insert(0) += 1;
    }
    let summaries: Vec<_> = Summary::ALL
        .iter()
        .map(|word| (format!("{{status=\"{word}\"}}"), by_summary.get(word).copied().unwrap_or(0)))
        .collect();
    family("bellwether_devices", "gauge", "Devices by how they are.", &summaries);
    let updated: Vec<_> = Updated::ALL
        .iter()
        .map(|word| (format!("{{status=\"{word}\"}}"), by_updated.get(word).copied().unwrap_or(0)))
        .collect();
    family("bellwether_devices_updated", "gauge", "Devices by how they stand to their target.", &updated);
    let plain = |value: u64| [(String::new(), value)];
    let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
    let missing = views.missing_commits();
    let named = missing.iter().take(MISSING_NAMED);
    let named: Vec<_> =
        named.map(|(commit, devices)| (format!("{{commit=\"{commit}\"}}"), count(devices.len()))).collect();
    let help = "Commits that paused devices name and the history lacks.";
    family("bellwether_missing_commits", "gauge", help, &plain(count(missing.len())));
    let help = "Devices that a missing commit pauses, for the ten that pause the most.";
    family("bellwether_missing_commit_devices", "gauge", help, &named);
    if let Some(repository) = &views.repository {
        let landing = repository.head.as_ref().map_or(0, |head| head.landing);
        family("bellwether_head_landing", "gauge", "Landing number of the accepted head.", &plain(landing));
        let now = condition(&repository.condition);
        let conditions = CONDITIONS.map(|word| (format!("{{condition=\"{word}\"}}"), u64::from(word == now)));
        family("bellwether_repository_condition", "gauge", "1 for the repository's condition.", &conditions);
    }
    let of_state = |state: RolloutState| views.rollouts.iter().filter(|rollout| rollout.state == state).count();
    let rollouts = ROLLOUTS.map(|state| (format!("{{state=\"{state:?}\"}}"), count(of_state(state))));
    family("bellwether_rollouts", "gauge", "Rollouts by how they stand.", &rollouts);
    family("bellwether_invalid_manifests", "gauge", "Manifests with problems.", &plain(count(views.invalid.len())));
    let help = "Devices that wait for a person to approve their key.";
    family("bellwether_enrollment_requests", "gauge", help, &plain(count(requests)));
    family("bellwether_sessions", "gauge", "Devices that have a session.", &plain(count(sessions.count())));
    family("bellwether_reports_total", "counter", "Reports since the start.", &plain(sessions.reports()));
    let calls = webhook.counts().map(|(result, count)| (format!("{{result=\"{result}\"}}"), count));
    family("bellwether_webhook_calls_total", "counter", "Calls of the webhook since the start.", &calls);
    let ends: Vec<_> = ends
        .iter()
        .map(|end| (format!("{{of=\"{}\"}}", end.label), u64::try_from(end.until.as_second()).unwrap_or(0)))
        .collect();
    family("bellwether_expiry_timestamp_seconds", "gauge", "When what only people renew ends.", &ends);
    family("bellwether_ready", "gauge", "1 once the first pass has ended.", &plain(u64::from(views.ready)));
    text
}
