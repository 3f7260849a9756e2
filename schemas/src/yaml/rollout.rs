//! Kind Rollout. Windows and budgets are read in `window`.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::metadata::Named;
use super::problem::{Problem, Report};
use super::selector::selector;
use super::tree::{Node, Range, Value};
use super::values::{self, Meaning};
use super::window::{budgets, some_percent, windows};
use crate::codes;
use crate::manifest::{Gate, OnFailure, OnNewer, Rollout, Wave};
use crate::name::FleetName;
use crate::quantity::Seconds;

/// How often a failed attempt may be tried again.
const MAX_RETRIES: u32 = 10;

/// The spec of a Rollout.
pub(crate) fn rollout(node: &Node<'_>, named: &Named<'_>, report: &mut Report) -> Option<Rollout> {
    let default = Rollout::default();
    let mut fields = Fields::of(node, report)?;
    let after = fields.or("after", default.after, |node, report| after(node, named, report));
    let waves = fields.or("waves", default.waves, waves);
    let max_failure_rate = fields.or("maxFailureRate", default.max_failure_rate, values::percent);
    let min_failures = fields.or("minFailures", default.min_failures, values::integer_in(0..=u32::MAX));
    let min_healthy = fields.or("minHealthy", default.min_healthy, values::integer_in(0..=u32::MAX));
    let max_in_flight = fields.optional("maxInFlight", some_percent);
    let any_time = || Seconds::new(1)..=Seconds::new(u32::MAX);
    let device_timeout = fields.or("deviceTimeout", default.device_timeout, values::duration_in(any_time()));
    let retries = fields.or("retries", default.retries, values::integer_in(0..=MAX_RETRIES));
    let on_failure = fields.or("onFailure", default.on_failure, |node, report| {
        let known = [("halt", Meaning::Is(OnFailure::Halt)), ("revert", Meaning::Is(OnFailure::Revert))];
        values::word(&known, node, report)
    });
    let on_newer = fields.or("onNewer", default.on_newer, |node, report| {
        let known = [("restart", Meaning::Is(OnNewer::Restart)), ("finish", Meaning::Is(OnNewer::Finish))];
        values::word(&known, node, report)
    });
    let windows = fields.or("windows", default.windows, windows);
    let budget = fields.or("budget", default.budget, budgets);
    let lost_after = fields.or("lostAfter", default.lost_after, values::duration_in(any_time()));
    fields.belongs("maxUnavailable", "it belongs into a budget: budget: [{maxUnavailable: 1}]");
    fields.finish();
    Some(Rollout {
        after: after?,
        waves: waves?,
        max_failure_rate: max_failure_rate?,
        min_failures: min_failures?,
        min_healthy: min_healthy?,
        max_in_flight: max_in_flight?,
        device_timeout: device_timeout?,
        retries: retries?,
        on_failure: on_failure?,
        on_newer: on_newer?,
        windows: windows?,
        budget: budget?,
        lost_after: lost_after?,
    })
}

/// The fleets that go first; none is the fleet itself.
pub(crate) fn after(node: &Node<'_>, named: &Named<'_>, report: &mut Report) -> Option<Vec<FleetName>> {
    values::distinct(node, report, |node, report| {
        let fleet: FleetName = values::parsed(node, report)?;
        if named.name() == Some(fleet.as_str()) {
            let hint = "remove it; after names other fleets".to_owned();
            node.fault(codes::AFTER_CIRCLE, format!("the fleet {fleet} waits for itself"), Some(hint), report);
            return None;
        }
        Some(fleet)
    })
}

fn waves(node: &Node<'_>, report: &mut Report) -> Option<Vec<Wave>> {
    let nodes = values::items(node, report)?;
    if nodes.is_empty() {
        let hint = "leave waves out for 5, 25 and 100 per cent, or end with a wave of percent: 100".to_owned();
        fault(node, "there is no wave, so no device is reached".to_owned(), hint, report);
        return None;
    }
    let read: Vec<_> = nodes.iter().map(|node| wave(node, report)).collect();
    let mut consistent = true;
    let mut names = BTreeSet::new();
    let mut reached = 0;
    for (node, wave) in nodes.iter().zip(&read) {
        if let Some(name) = wave.as_ref().map(|wave| &wave.name)
            && !names.insert(name)
        {
            node.contradiction(format!("two waves are named {name}"), report);
            consistent = false;
        }
        // Whatever else is wrong with the wave.
        if let Some(percent @ 1..) = reach(node) {
            if percent <= reached {
                let message = format!("found percent: {percent} after {reached}, expected more");
                let hint = "earlier waves count in: percent says how much of the fleet all waves so far take";
                fault(node, message, hint.to_owned(), report);
                consistent = false;
            }
            reached = reached.max(percent);
        }
    }
    // Where that itself is wrong, what the last wave was meant to reach is not known.
    if let Some(last) = nodes.last()
        && reach(last).is_some_and(|percent| percent != 100)
    {
        let hint = "end with a wave such as {name: rest, percent: 100}".to_owned();
        let message = "the last wave must have percent: 100, or devices are left out";
        let range = percent_of(last).unwrap_or(last.name);
        report.add(Problem::new(codes::WAVES, range.start, range.end, message).hint(hint));
        consistent = false;
    }
    let waves: Option<Vec<_>> = read.into_iter().collect();
    waves.filter(|_| consistent)
}

/// How many per cent all waves up to one take, whatever else is wrong with it: 0 where labels say which; none where that cannot be
/// read.
fn reach(wave: &Node<'_>) -> Option<u8> {
    let Value::Map(entries) = &wave.value else { return None };
    let mut said = entries.iter().filter(|entry| matches!(entry.key.text.as_ref(), "select" | "percent"));
    match (said.next()?, said.next()) {
        (entry, None) if entry.key.text == "select" => Some(0),
        (entry, None) => values::integer_in(1..=100)(&entry.node, &mut Report::default()),
        (_, Some(_)) => None,
    }
}

/// Where a wave says how many it takes.
fn percent_of(wave: &Node<'_>) -> Option<Range> {
    let Value::Map(entries) = &wave.value else { return None };
    entries.iter().find(|entry| entry.key.text == "percent").map(|entry| entry.node.range)
}

/// Reports waves that leave devices out.
fn fault(node: &Node<'_>, message: String, hint: String, report: &mut Report) {
    report.add(Problem::new(codes::WAVES, node.name.start, node.name.end, message).hint(hint));
}

fn wave(node: &Node<'_>, report: &mut Report) -> Option<Wave> {
    let mut fields = Fields::of(node, report)?;
    let name = fields.required("name", values::parsed);
    let select = fields.optional("select", |node, report| {
        let selector = selector(node, report)?;
        if selector.is_empty() {
            let hint = "say which devices: matchLabels: {ring: canary}; for all of them, percent: 100".to_owned();
            node.fault(codes::SELECTS_NOTHING, "an empty selector selects nothing".to_owned(), Some(hint), report);
            return None;
        }
        Some(selector)
    });
    let percent = fields.optional("percent", values::integer_in(1..=100));
    let one = match fields.lacks("select") && fields.lacks("percent") {
        true => {
            let hint = "add percent: NUMBER (earlier waves count in), or select: with labels".to_owned();
            let message = "the wave names no devices, expected select or percent".to_owned();
            fault(node, message, hint, fields.report);
            None
        }
        false => fields.exactly_one(&["select", "percent"]),
    };
    let by_percent = fields.lacks("select") && !fields.lacks("percent");
    let limit = fields.optional("limit", |node, report| {
        if by_percent {
            node.contradiction("limit is for a wave with select; percent says itself how many".to_owned(), report);
            return None;
        }
        some_percent(node, report)
    });
    let soak = fields.or("soak", Wave::default_soak(), values::duration);
    let gate = fields.or("gate", Gate::default(), |node, report| {
        values::word(
            &[("automatic", Meaning::Is(Gate::Automatic)), ("manual", Meaning::Is(Gate::Manual))],
            node,
            report,
        )
    });
    let max_failure_rate = fields.optional("maxFailureRate", values::percent);
    let windows = fields.or("windows", Vec::new(), windows);
    fields.finish();
    one?;
    Some(Wave {
        name: name?,
        select: select?,
        percent: percent?,
        limit: limit?,
        soak: soak?,
        gate: gate?,
        max_failure_rate: max_failure_rate?,
        windows: windows?,
    })
}
