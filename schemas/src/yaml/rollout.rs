//! Kind Rollout.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::problem::{Problem, Report};
use super::selector::selector;
use super::tree::Node;
use super::values::{self, Meaning};
use crate::codes;
use crate::manifest::{Gate, OnFailure, OnNewer, Rollout, Wave, WaveMembers};
use crate::quantity::Seconds;

/// The spec of a Rollout.
pub(crate) fn rollout(node: &Node<'_>, report: &mut Report) -> Option<Rollout> {
    let default = Rollout::default();
    let mut fields = Fields::of(node, report)?;
    let after = fields.not_yet_list("after");
    let waves = fields.or("waves", default.waves, waves);
    let max_failure_rate = fields.or("maxFailureRate", default.max_failure_rate, values::percent);
    let min_failures = fields.or("minFailures", default.min_failures, values::integer_in(0..=u32::MAX));
    let min_healthy = fields.or("minHealthy", default.min_healthy, values::integer_in(0..=u32::MAX));
    let max_in_flight = fields.not_yet("maxInFlight");
    let any_time = Seconds::new(1)..=Seconds::new(u32::MAX);
    let device_timeout = fields.or("deviceTimeout", default.device_timeout, values::duration_in(any_time));
    let retries = fields.or("retries", default.retries, |node, report| only(node, 0, "retries", report));
    let on_failure = fields.or("onFailure", default.on_failure, |node, report| {
        values::word(&[("halt", Meaning::Is(OnFailure::Halt)), ("revert", Meaning::NotYet)], node, report)
    });
    let on_newer = fields.or("onNewer", default.on_newer, |node, report| {
        values::word(&[("restart", Meaning::Is(OnNewer::Restart)), ("finish", Meaning::NotYet)], node, report)
    });
    let windows = fields.not_yet_list("windows");
    let budget = fields.not_yet_list("budget");
    let lost_after = fields.or("lostAfter", default.lost_after, |node, report| {
        let lost_after = values::duration(node, report)?;
        if lost_after != default.lost_after {
            node.not_supported("a lostAfter other than 7d", report);
            return None;
        }
        Some(lost_after)
    });
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

/// A number of which only one value is supported yet.
pub(crate) fn only(node: &Node<'_>, supported: u32, name: &str, report: &mut Report) -> Option<u32> {
    let found = values::integer_in(supported..=u32::MAX)(node, report)?;
    if found != supported {
        node.not_supported(&format!("a value of {name} other than {supported}"), report);
        return None;
    }
    Some(found)
}

fn waves(node: &Node<'_>, report: &mut Report) -> Option<Vec<Wave>> {
    let nodes = values::some_items(node, report)?;
    let read: Vec<_> = nodes.iter().map(|node| wave(node, report)).collect();
    let waves = || nodes.iter().zip(&read).filter_map(|(node, wave)| Some((node, wave.as_ref()?)));
    let fault = |node: &Node<'_>, message: String, report: &mut Report| {
        report.add(Problem::new(codes::WAVES, node.name.start, node.name.end, message));
    };
    let mut consistent = true;
    let mut names = BTreeSet::new();
    let mut reached = 0;
    for (node, wave) in waves() {
        if !names.insert(&wave.name) {
            node.contradiction(format!("two waves are named {}", wave.name), report);
            consistent = false;
        }
        if let Some(percent) = wave.percent {
            if percent <= reached {
                let message =
                    format!("found percent: {percent} after {reached}, expected more (earlier waves count in)");
                fault(node, message, report);
                consistent = false;
            }
            reached = reached.max(percent);
        }
    }
    // If the last wave is wrong itself, what it was meant to reach is not known.
    if let (Some(last), Some(Some(wave))) = (nodes.last(), read.last())
        && !matches!(wave.members(), Some(WaveMembers::Percent(100)))
    {
        fault(last, "the last wave must have percent: 100, or devices are left out".to_owned(), report);
        consistent = false;
    }
    let waves: Option<Vec<_>> = read.into_iter().collect();
    waves.filter(|_| consistent)
}

fn wave(node: &Node<'_>, report: &mut Report) -> Option<Wave> {
    let mut fields = Fields::of(node, report)?;
    let name = fields.required("name", values::parsed);
    let select = fields.optional("select", |node, report| {
        let selector = selector(node, report)?;
        if selector.is_empty() {
            node.fault(codes::SELECTS_NOTHING, "an empty selector selects nothing".to_owned(), None, report);
            return None;
        }
        Some(selector)
    });
    let percent = fields.optional("percent", values::integer_in(1..=100));
    let one = fields.exactly_one(&["select", "percent"]);
    let limit = fields.not_yet("limit");
    let soak = fields.or("soak", Wave::default_soak(), values::duration);
    let gate = fields.or("gate", Gate::default(), |node, report| {
        values::word(
            &[("automatic", Meaning::Is(Gate::Automatic)), ("manual", Meaning::Is(Gate::Manual))],
            node,
            report,
        )
    });
    let max_failure_rate = fields.optional("maxFailureRate", values::percent);
    let windows = fields.not_yet_list("windows");
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
