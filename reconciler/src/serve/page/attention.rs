//! What somebody should look at, most urgent first, each with what can be done about it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::plan::{Advice, advice, condition_advice, missing_advice};
use bellwether_schemas::DeviceName;
use bellwether_schemas::api::{Condition, DeviceView, RequestView, RolloutState, RolloutView, WaitingOn};
use bellwether_schemas::codes::Code;

use super::words;
use crate::serve::Views;
use crate::serve::ends::End;

/// Devices with the same reason that are named; the list below names all.
const NAMED: usize = 3;
/// Groups of devices that are shown.
const GROUPS: usize = 8;

/// One thing to look at.
#[derive(Debug)]
pub(super) struct Attention<'a> {
    /// The class of its mark: `wait` or `bad`.
    pub(super) class: &'static str,
    /// What it concerns.
    pub(super) what: String,
    /// The devices it concerns, if it is about devices: some of them.
    pub(super) devices: Vec<&'a DeviceName>,
    /// How many devices more.
    pub(super) more: usize,
    /// The reason in a sentence.
    pub(super) why: Cow<'a, str>,
    /// The code of the reason, where it has one.
    pub(super) code: Option<Code>,
    /// What to search for to see all of those devices.
    pub(super) search: Option<String>,
    /// What can be done.
    pub(super) advice: Option<Advice>,
}

/// Everything that waits for people.
pub(super) fn attention<'a>(views: &'a Views, asked: &[RequestView], ends: &'a [End]) -> Vec<Attention<'a>> {
    let urgent = repository(views).into_iter().chain(ends.iter().map(ending));
    urgent.chain(rollouts(views)).chain(missing(views)).chain(devices(views)).chain(requests(asked)).collect()
}

/// What only people can renew, and soon.
fn ending(end: &End) -> Attention<'_> {
    let what = format!("{} ends soon", end.what);
    let (why, advice) = (end.why.as_str().into(), Some(end.advice.clone()));
    Attention { class: "bad", what, devices: Vec::new(), more: 0, search: None, why, code: None, advice }
}

/// Devices that wait for a person to approve their key.
fn requests<'a>(asked: &[RequestView]) -> Option<Attention<'a>> {
    let first = asked.first()?;
    let RequestView { fingerprint, enrollment, .. } = first;
    let (what, whose) = match asked.len() {
        1 => ("One device waits for approval".to_owned(), "its key"),
        number => (format!("{number} devices wait for approval"), "the key that waits longest"),
    };
    Some(Attention {
        class: "wait",
        what,
        devices: Vec::new(),
        more: 0,
        why: format!("The fingerprint of {whose} is {fingerprint}, for enrollment {enrollment}.").into(),
        code: None,
        search: None,
        advice: Some(Advice {
            text: "Compare it with what the device shows. Then approve it, and push; or leave it, if nobody of yours \
                   waits: it is forgotten once it is not asked for any more."
                .to_owned(),
            command: Some(format!(
                "bellwether device approve {fingerprint} --enrollment {enrollment} --commit && git push"
            )),
        }),
    })
}

fn repository(views: &Views) -> Option<Attention<'_>> {
    let repository = views.repository.as_ref().filter(|repository| repository.condition != Condition::Verified)?;
    let (class, word) = words::condition(repository);
    Some(Attention {
        class,
        what: format!("Repository: {}", word.to_lowercase()),
        devices: Vec::new(),
        more: 0,
        why: Cow::Borrowed(&repository.why),
        code: None,
        search: None,
        advice: condition_advice(&repository.condition, &repository.branch),
    })
}

fn rollouts(views: &Views) -> impl Iterator<Item = Attention<'_>> {
    // What the repository waits for is said once, above.
    let is_own = |rollout: &&RolloutView| !matches!(rollout.reason, Some(WaitingOn::Repository { .. }));
    views.rollouts.iter().filter(is_own).filter_map(|rollout| {
        let (class, state) = match rollout.state {
            RolloutState::Halted => ("bad", "halted"),
            RolloutState::Reverting if rollout.waves.iter().all(|wave| wave.done) => ("wait", "devices go back"),
            RolloutState::Reverting => ("bad", "rejected, devices go back"),
            RolloutState::Rejected => ("bad", "rejected"),
            RolloutState::Waiting => match rollout.reason {
                Some(WaitingOn::Window { opens: Some(_), .. }) => return None,
                Some(WaitingOn::Window { opens: None, .. }) => ("wait", "waits for a window that never opens"),
                Some(WaitingOn::After { .. }) => ("wait", "waits for another fleet"),
                Some(WaitingOn::Artifact { .. }) => ("bad", "cannot start"),
                Some(WaitingOn::Unsound { .. }) => ("bad", "stopped, its plan breaks a rule"),
                _ => ("wait", "waits for people"),
            },
            RolloutState::Progressing => match rollout.reason {
                Some(WaitingOn::EmptyWave { .. } | WaitingOn::TooFewHealthy { .. }) => ("wait", "waits for devices"),
                _ => return None,
            },
            RolloutState::Complete => return None,
        };
        Some(Attention {
            class,
            what: format!("Rollout of {}: {state}", rollout.fleet),
            devices: Vec::new(),
            more: 0,
            why: Cow::Borrowed(&rollout.why),
            code: rollout.code(),
            search: None,
            advice: rollout.reason.as_ref().and_then(|reason| advice(reason, None, Some(&rollout.fleet))),
        })
    })
}

/// Commits that the history lacks: however many devices name one, it is one entry.
fn missing(views: &Views) -> impl Iterator<Item = Attention<'_>> {
    views.missing_commits().into_iter().take(GROUPS).filter_map(|(commit, devices)| {
        let first = *devices.first()?;
        let (what, why) = match devices.len() {
            1 => ("One device paused".to_owned(), Cow::Borrowed(first.why.as_str())),
            number => (
                format!("{number} devices paused"),
                Cow::Owned(format!("All of them report commit {commit}, which is missing from the git history.")),
            ),
        };
        Some(Attention {
            class: "bad",
            what,
            devices: devices.iter().take(NAMED).map(|device| &device.name).collect(),
            more: devices.len().saturating_sub(NAMED),
            why,
            code: first.code(),
            search: Some(format!("reason.commit={commit}")),
            advice: Some(missing_advice(&BTreeSet::from([commit]), None)),
        })
    })
}

/// Devices by reason: thousands that wait for the same thing are one entry.
fn devices(views: &Views) -> impl Iterator<Item = Attention<'_>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&DeviceView>> = BTreeMap::new();
    for device in &views.devices {
        let Some(word) = device.reason.as_ref().and_then(own_trouble) else { continue };
        if !device.missing_commits().is_empty() {
            continue;
        }
        // When a silent device was last heard of differs, and is no other reason.
        let why = if word == "silent" { "" } else { device.why.as_str() };
        groups.entry((word, why)).or_default().push(device);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups.into_iter().take(GROUPS).filter_map(|((word, _), members)| {
        let first = *members.first()?;
        let what = match members.len() {
            1 => format!("One device {word}"),
            number => format!("{number} devices {word}"),
        };
        Some(Attention {
            class: if word == "silent" { "wait" } else { "bad" },
            what,
            devices: members.iter().take(NAMED).map(|device| &device.name).collect(),
            more: members.len().saturating_sub(NAMED),
            why: Cow::Borrowed(&first.why),
            code: first.code(),
            search: first.reason.as_ref().map(|reason| format!("reason.kind={}", reason.kind())),
            advice: first.reason.as_ref().and_then(|why| advice(why, Some(&first.name), first.fleet.as_ref())),
        })
    })
}

/// A word for a reason that is the device's own; what its rollout or the repository waits for is shown there.
fn own_trouble(reason: &WaitingOn) -> Option<&'static str> {
    match reason {
        WaitingOn::Paused { .. } => Some("paused"),
        WaitingOn::Failed { .. } | WaitingOn::BackFailed { .. } => Some("failed"),
        WaitingOn::Unhealthy { .. } => Some("unhealthy"),
        WaitingOn::RenderError { .. } => Some("without a spec"),
        WaitingOn::Orphaned => Some("in no fleet"),
        WaitingOn::Overlap { .. } => Some("in several fleets"),
        WaitingOn::Stale { .. } => Some("silent"),
        WaitingOn::Pinned { why: Some(_), .. } => Some("pinned to what it cannot have"),
        WaitingOn::Window { opens: None, .. } => Some("without a window"),
        WaitingOn::Wave { .. }
        | WaitingOn::Unsound { .. }
        | WaitingOn::After { .. }
        | WaitingOn::Artifact { .. }
        | WaitingOn::Window { opens: Some(_), .. }
        | WaitingOn::Budget { .. }
        | WaitingOn::MaxInFlight { .. }
        | WaitingOn::Rejected { .. }
        | WaitingOn::Reverting { .. }
        | WaitingOn::Returning { .. }
        | WaitingOn::Pinned { why: None, .. }
        | WaitingOn::EmptyWave { .. }
        | WaitingOn::Soak { .. }
        | WaitingOn::TooFewHealthy { .. }
        | WaitingOn::Gate { .. }
        | WaitingOn::InFlight { .. }
        | WaitingOn::Halted { .. }
        | WaitingOn::Held { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect
        | WaitingOn::Reconnects { .. }
        | WaitingOn::Repository { .. }
        | WaitingOn::Decommissioning
        | WaitingOn::Decommissioned { .. }
        | WaitingOn::Revoked { .. } => None,
    }
}
