//! The planner, rule by rule (`rules`, `failures`, `starts`, `targets`), and what holds for every script (`properties`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod decisions;
mod failures;
mod history;
mod limits;
mod lint;
mod lost;
mod outcomes;
mod properties;
mod restarts;
mod rules;
mod sim;
mod starts;
mod targets;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn};
use bellwether_schemas::manifest::{Gate, LabelSelector, Rollout, Wave};
use bellwether_schemas::report::{Claim, Failure, FailureKind, Health};
use bellwether_schemas::{Percent, Seconds, Sha256Digest, Version};
use jiff::{SignedDuration, Timestamp};

use super::{
    Action, Changed, Decisions, HoldNote, Landing, Member, Observed, Offer, Pinned, Planner, RolloutRecord,
    RolloutStanding, Span, Terms, Timing, Unmet,
};
use sim::{FleetPlan, Sim};

const STALE_AFTER: u32 = 90;

fn landing(number: u64) -> Landing {
    Landing { commit: format!("{number:040x}").parse().unwrap(), number }
}

fn named(name: &str) -> Wave {
    Wave {
        name: name.parse().unwrap(),
        select: None,
        percent: None,
        limit: None,
        soak: Seconds::ZERO,
        gate: Gate::Automatic,
        max_failure_rate: None,
        windows: Vec::new(),
    }
}

fn percent(name: &str, percent: u8) -> Wave {
    Wave { percent: Some(percent), ..named(name) }
}

fn select(name: &str, ring: &str) -> Wave {
    let match_labels = [("ring".to_owned(), ring.to_owned())].into_iter().collect();
    Wave { select: Some(LabelSelector { match_labels, match_expressions: Vec::new() }), ..named(name) }
}

fn rollout(waves: Vec<Wave>) -> Rollout {
    Rollout { waves, ..Rollout::default() }
}

/// A canary by label, and the rest.
fn canary_then_rest() -> Rollout {
    rollout(vec![select("canary", "canary"), percent("rest", 100)])
}

/// Who is offered something by a plan.
fn offered(plan: &FleetPlan) -> Vec<&str> {
    with_action(plan, |action| matches!(action, Action::Offer { .. }))
}

fn withdrawn(plan: &FleetPlan) -> Vec<&str> {
    with_action(plan, |action| matches!(action, Action::Withdraw))
}

fn with_action(plan: &FleetPlan, wanted: impl Fn(&Action) -> bool) -> Vec<&str> {
    plan.decisions
        .iter()
        .filter(|(_, d)| d.action.as_ref().is_some_and(&wanted))
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The reason of a member.
fn why<'a>(plan: &'a FleetPlan, name: &str) -> &'a WaitingOn {
    plan.decisions[&name.parse().unwrap()].reason.as_ref().expect("a reason")
}

/// The word for a reason.
fn kind(reason: Option<&WaitingOn>) -> String {
    reason.map_or("-".to_owned(), |reason| serde_json::to_value(reason).unwrap()["kind"].as_str().unwrap().to_owned())
}

/// The reasons of all members, by name: `-` is at its target.
fn reasons(plan: &FleetPlan) -> Vec<String> {
    plan.decisions.values().map(|decision| kind(decision.reason.as_ref())).collect()
}

const FIVE: [(&str, &str); 5] = [("c1", "canary"), ("c2", "canary"), ("r1", "rest"), ("r2", "rest"), ("r3", "rest")];

fn percent_of(text: &str) -> Percent {
    text.parse().unwrap()
}
