//! What a scenario prints: what happens, as it happens, and how things stand.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_reconciler::serve::Views;
use bellwether_reconciler::store::EventRow;
use bellwether_reconciler::world::World;
use bellwether_schemas::api::{Condition, DeviceView, RolloutState, RolloutView, WaitingOn};
use bellwether_schemas::{DeviceName, FleetName};

use super::clock::Clock;
use super::git::Git;
use super::names::compress;

/// What happened and is not printed yet, and what was printed.
#[derive(Default)]
pub(super) struct Log {
    /// Printed since it was taken last.
    lines: Vec<String>,
    /// News of devices, by what it is.
    devices: BTreeMap<String, BTreeSet<DeviceName>>,
    /// News of rollouts.
    rollouts: Vec<String>,
    /// Decisions about devices, by what they are.
    decisions: BTreeMap<String, BTreeSet<DeviceName>>,
    others: Vec<String>,
    pub(super) is_quiet: bool,
}

impl Log {
    pub(super) fn device(&mut self, name: &DeviceName, news: Option<String>) {
        if let Some(news) = news {
            self.devices.entry(news).or_default().insert(name.clone());
        }
    }

    /// Takes events of the reconciler.
    pub(super) fn events(&mut self, events: &[EventRow], world: &World) {
        for event in events {
            match (&event.device, event.kind.as_str()) {
                (Some(device), "offered") => {
                    let Some(offer) = world.devices().get(device).and_then(|device| device.row.offer.as_ref()) else {
                        continue;
                    };
                    let template =
                        world.repository.history().and_then(|h| h.number_of(&offer.signed.template)).unwrap_or(0);
                    let version = offer.signed.version;
                    let of = if version.landing == template {
                        String::new()
                    } else {
                        format!(" (the template of v{template})")
                    };
                    self.decisions.entry(format!("offered {version}{of}")).or_default().insert(device.clone());
                }
                (Some(device), "withdrawn") => {
                    self.decisions.entry("withdrawn".to_owned()).or_default().insert(device.clone());
                }
                // What becomes of rollouts is told by how they are shown.
                (Some(_), "enrolled" | "clock") | (None, "rollout") => {}
                (Some(device), "paused") => {
                    let why = event.message.split_once(": ").map_or("", |(_, why)| why);
                    self.decisions.entry(format!("paused: {why}")).or_default().insert(device.clone());
                }
                (Some(device), "resumed") => {
                    self.decisions.entry("takes part again".to_owned()).or_default().insert(device.clone());
                }
                _ => self.others.push(event.message.clone()),
            }
        }
    }

    /// Takes what changed of rollouts and the repository. `goes_on` says which rollouts began before now.
    pub(super) fn views(&mut self, before: &Views, after: &Views, goes_on: impl Fn(&FleetName) -> bool) {
        let condition = |views: &Views| views.repository.as_ref().map(|it| it.condition.clone());
        if condition(before) != condition(after)
            && let Some(repository) = &after.repository
            && (before.repository.is_some() || repository.condition != Condition::Verified)
        {
            self.others.push(repository.why.clone());
        }
        let problems = |views: &Views| -> BTreeSet<String> {
            views
                .invalid
                .iter()
                .flat_map(|it| it.problems.iter().map(|problem| format!("{}: {problem}", it.path)))
                .collect()
        };
        self.others
            .extend(problems(after).difference(&problems(before)).map(|it| it.lines().next().unwrap_or("").to_owned()));
        for rollout in &after.rollouts {
            let known = before.rollouts.iter().find(|known| known.fleet == rollout.fleet);
            self.rollouts.extend(
                changes(known, rollout, goes_on(&rollout.fleet))
                    .into_iter()
                    .map(|text| format!("{}: {text}", rollout.fleet)),
            );
        }
    }

    /// Prints what happened until now.
    pub(super) fn flush(&mut self, clock: &Clock, git: &Git) {
        let grouped = |found: BTreeMap<String, BTreeSet<DeviceName>>| {
            found.into_iter().map(|(text, names)| format!("{}: {text}", compress(&names))).collect::<Vec<_>>()
        };
        let mut lines = grouped(std::mem::take(&mut self.devices));
        lines.append(&mut self.others);
        lines.append(&mut self.rollouts);
        lines.extend(grouped(std::mem::take(&mut self.decisions)));
        if !self.is_quiet {
            let at = clock.tell(clock.now);
            self.lines.extend(lines.iter().map(|line| format!("{at:<8} {}", retell(line, clock, git))));
        }
    }

    /// What was printed since this was asked last.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    pub(super) fn say(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// A text in which commits and moments are told as scenarios tell them.
pub(super) fn retell(text: &str, clock: &Clock, git: &Git) -> String {
    let mut told = clock.retell(text);
    for (commit, name) in git.named() {
        told = told.replace(&format!(" ({})", commit.short()), "").replace(&commit.to_string(), &name);
        told = told.replace(&commit.short().to_string(), &name);
    }
    told.replace("commit v", "v").replace("commit the lost", "the lost")
}

/// What is new about a rollout.
fn changes(known: Option<&RolloutView>, now: &RolloutView, goes_on: bool) -> Vec<String> {
    let mut news = Vec::new();
    // No wave is left to open. Devices may still go back to what was stable.
    let is_over = now.waves.iter().all(|wave| wave.done);
    let is_same = |known: &&RolloutView| known.landing == now.landing || (goes_on && !is_over);
    if let Some(known) = known.filter(is_same).filter(|known| known.landing != now.landing) {
        news.push(format!(
            "goes on as v{}, which is the same to those who were there at v{}",
            now.landing, known.landing
        ));
    }
    let known = known.filter(is_same).filter(|known| known.waves.len() == now.waves.len());
    if known.is_none() {
        news.push(format!("v{} {}", now.landing, if is_over { "is the target" } else { "begins" }));
    }
    for (i, wave) in now.waves.iter().enumerate() {
        let before = known.map(|known| &known.waves[i]);
        let was_open = before.is_some_and(|before| before.open);
        let was_done = before.is_some_and(|before| before.done);
        match (wave.open && !was_open, wave.done && !was_done) {
            (true, true) if wave.members == 0 => news.push(format!("wave {} is skipped", wave.name)),
            (true, _) => news.push(format!("wave {} opens: {}", wave.name, counted(wave.members))),
            (false, true) if wave.open && was_open => news.push(format!("wave {} is done", wave.name)),
            _ => {}
        }
    }
    let is_told = |reason: &WaitingOn| {
        matches!(
            reason,
            WaitingOn::Gate { .. }
                | WaitingOn::Soak { .. }
                | WaitingOn::EmptyWave { .. }
                | WaitingOn::TooFewHealthy { .. }
                | WaitingOn::After { .. }
                | WaitingOn::Artifact { .. }
                | WaitingOn::Reconnects { .. }
                | WaitingOn::Held { .. }
                | WaitingOn::Halted { .. }
                | WaitingOn::Rejected { .. }
                | WaitingOn::Returning { .. }
        )
    };
    let reason = now.reason.as_ref().filter(|reason| is_told(reason));
    let goes_on = |known: &RolloutView| {
        let kinds = [&known.reason, &now.reason].map(|reason| reason.as_ref().map(WaitingOn::kind));
        known.state == now.state && (known.reason == now.reason || kinds == [Some("Returning"); 2])
    };
    let is_new = known.is_none_or(|known| !goes_on(known));
    match (now.state, reason) {
        (RolloutState::Complete, _) if known.is_some_and(|known| known.state != now.state) => {
            news.push(format!("v{} is complete", now.landing));
        }
        (RolloutState::Complete, _) => {}
        (state, Some(_)) if is_new => news.push(format!("{}: {}", state_word(state), now.why)),
        (state, None) if known.is_some_and(|known| known.state != state) => news.push(state_word(state).to_owned()),
        _ => {}
    }
    news
}

fn state_word(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Progressing => "goes on",
        RolloutState::Waiting => "waits",
        RolloutState::Halted => "halted",
        RolloutState::Reverting => "reverting",
        RolloutState::Rejected => "rejected",
        RolloutState::Complete => "complete",
    }
}

fn counted(members: u64) -> String {
    if members == 1 { "1 device".to_owned() } else { format!("{members} devices") }
}

/// How a rollout and its devices stand.
pub(super) fn standing(views: &Views, fleet: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    let is_shown = |name: &str| fleet.is_none_or(|fleet| fleet == name);
    for rollout in views.rollouts.iter().filter(|rollout| is_shown(rollout.fleet.as_str())) {
        lines.push(format!("{} v{} {}: {}", rollout.fleet, rollout.landing, state_word(rollout.state), rollout.why));
        for wave in &rollout.waves {
            let stage = match (wave.done, wave.open) {
                (true, _) => "done",
                (false, true) => "open",
                (false, false) => "closed",
            };
            let failed = if wave.failed > 0 { format!(", {} failed", wave.failed) } else { String::new() };
            let (name, healthy, offered) = (&wave.name, wave.healthy, wave.offered);
            lines.push(format!(
                "  {name} {stage}: {}, {offered} offered, {healthy} healthy{failed}",
                counted(wave.members)
            ));
        }
    }
    let devices = views.devices.iter().filter(|device| device.fleet.as_ref().is_none_or(|it| is_shown(it.as_str())));
    lines.extend(reasons(devices));
    lines
}

/// What devices run and why, in groups.
pub(super) fn reasons<'a>(devices: impl IntoIterator<Item = &'a DeviceView>) -> Vec<String> {
    let mut groups: BTreeMap<(String, &str), Vec<&DeviceName>> = BTreeMap::new();
    for device in devices {
        let version = device.version.map_or("none".to_owned(), |version| version.to_string());
        groups.entry((version, &device.why)).or_default().push(&device.name);
    }
    groups.into_iter().map(|((version, why), names)| format!("{version:<5} {}: {why}", compress(names))).collect()
}
