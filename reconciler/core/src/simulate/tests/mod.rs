//! What simulations come to.

mod bad;
mod good;
mod staged;

use std::sync::Arc;

use bellwether_schemas::api::RolloutState;
use bellwether_schemas::manifest::{LabelSelector, Labels, Rollout, Wave};
use bellwether_schemas::{Percent, Seconds, Sha256Digest};
use jiff::Timestamp;

use super::*;
use crate::plan::{Decisions, Landing};
use crate::testing::{Story, labels, name};

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

const FLEET: (&str, &str) = (
    "fleets/edge.yaml",
    "{selector: {matchLabels: {kind: edge}}, template: {files: [{path: /opt/bellwether/a, content: one}], probes: none}}",
);

/// A history of two landings, whose second changes the fleet.
fn story() -> Story {
    let mut story = Story::begin(&[FLEET]);
    story.say("fleets/edge.yaml", &FLEET.1.replace("content: one", "content: two"));
    story.land();
    story
}

/// A tenth of the devices are canaries; half of them are in Kiel.
fn device(i: usize) -> VirtualDevice {
    let (ring, site) =
        (if i.is_multiple_of(10) { "canary" } else { "rest" }, if i.is_multiple_of(2) { "kiel" } else { "ulm" });
    let labels: Arc<Labels> = Arc::new(labels(&[("kind", "edge"), ("ring", ring), ("site", site)]));
    VirtualDevice {
        name: name(&format!("edge-{i:05}")),
        labels: labels.clone(),
        wave_labels: labels,
        before: Some(Sha256Digest::of(b"one")),
        target: Ok(Sha256Digest::of(b"two")),
        pin: None,
    }
}

fn scene(story: &Story, rollout: Rollout, devices: usize) -> Scene<'_> {
    let landing = |number: u64| {
        let commit = *story.history.commit_at(number).expect("it landed");
        Landing { commit, number }
    };
    Scene {
        fleet: name("edge"),
        history: &story.history,
        before: Some(Before { head: landing(1), template: landing(1) }),
        target: landing(2),
        head: landing(2),
        rollout: Arc::new(rollout),
        decisions: Decisions::default(),
        holds: Vec::new(),
        devices: (0..devices).map(device).collect(),
        start: START,
        horizon: Seconds::new(90 * 86_400),
        approvals: Approvals::After(Seconds::ZERO),
    }
}

fn named(text: &str) -> Wave {
    serde_json::from_value(serde_json::json!({"name": text})).expect("a wave")
}

fn percent(text: &str, percent: u8) -> Wave {
    Wave { percent: Some(percent), ..named(text) }
}

fn canaries() -> Wave {
    let match_labels = labels(&[("ring", "canary")]);
    Wave { select: Some(LabelSelector { match_labels, match_expressions: Vec::new() }), ..named("canary") }
}

fn rollout(waves: Vec<Wave>) -> Rollout {
    Rollout { waves, ..Rollout::default() }
}

fn rate(text: &str) -> Percent {
    text.parse().expect("a percentage")
}

fn seconds(text: &str) -> Seconds {
    text.parse().expect("a duration")
}
