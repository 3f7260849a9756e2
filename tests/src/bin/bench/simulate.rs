//! `simulate`: a rollout to a great fleet, on a virtual clock.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use bellwether_core::plan::{Decisions, Landing};
use bellwether_core::simulate::{Approvals, Before, Faults, Scene, VirtualDevice, simulate};
use bellwether_core::verify::VerifiedHistory;
use bellwether_schemas::manifest::{Labels, Rollout};
use bellwether_schemas::{CommitId, Percent, Seconds, Sha256Digest};
use bellwether_tests::hostile::{History, PolicyText};
use jiff::Timestamp;
use serde::Serialize;

use crate::figures::millis;

const DAY: u32 = 86_400;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Devices of the fleet
    #[arg(long, default_value_t = 100_000)]
    devices: u32,
    /// How long the rollout takes: its three waves soak for a third of it each
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// The share of devices that are off at any moment; each comes and goes once a day
    #[arg(long, default_value = "0%")]
    offline: Percent,
    /// The chance of each device that the release fails on it
    #[arg(long, default_value = "0%")]
    failure_rate: Percent,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    devices: u64,
    simulated_days: i64,
    state: String,
    healthy: u64,
    events: u64,
    /// From a scene to its outcome.
    run_ms: f64,
    events_per_s: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Figures> {
    let made = History::introduced(&PolicyText::default());
    let history = made.try_introduce(made.main()).context("the introduction counts")?;
    let scene = scene(options, &history)?;
    // Devices that are silent in the first soak would halt it until they are back.
    let faults = Faults { offline: options.offline, failure_rate: options.failure_rate, ..Faults::default() };
    let started = Instant::now();
    let outcome = simulate(&scene, &faults, 1);
    let took = started.elapsed();
    Ok(Figures {
        bench: "simulate",
        devices: outcome.devices,
        simulated_days: outcome.end.duration_since(outcome.start).as_hours() / 24,
        state: format!("{:?}", outcome.state),
        healthy: outcome.samples.last().map_or(0, |sample| sample.counts.healthy),
        events: outcome.events,
        run_ms: millis(took),
        events_per_s: crate::figures::per_second(usize::try_from(outcome.events)?, took),
    })
}

/// A fleet that runs one thing and is to run another, in waves of 1 %, 10 % and all.
fn scene<'a>(options: &Options, history: &'a VerifiedHistory) -> anyhow::Result<Scene<'a>> {
    let soak = Seconds::new(options.days.saturating_mul(DAY) / 3);
    let mut rollout = Rollout::default();
    for (wave, percent) in rollout.waves.iter_mut().zip([1, 10, 100]) {
        (wave.percent, wave.soak) = (Some(percent), soak);
        // What is off for a while is no failure here, or the first wave would never be over.
        wave.max_failure_rate = Some(Percent::whole(50));
    }
    let head = Landing { commit: *history.head(), number: history.head_number() };
    let template =
        Landing { commit: CommitId::from_bytes(&[1; 20]).context("20 bytes make an id")?, number: head.number };
    let (before, target) = (Sha256Digest::of(b"before"), Sha256Digest::of(b"target"));
    let device = |number: u32| {
        let labels: Arc<Labels> = Arc::new(Labels::from_iter([("site".to_owned(), format!("site-{}", number % 100))]));
        let name = format!("device-{number:07}").parse()?;
        let target = Ok(target);
        Ok(VirtualDevice { name, labels: labels.clone(), wave_labels: labels, before: Some(before), target, pin: None })
    };
    Ok(Scene {
        fleet: "edge".parse()?,
        history,
        before: Some(Before { head, template }),
        target: head,
        head,
        rollout: Arc::new(rollout),
        decisions: Decisions::default(),
        holds: Vec::new(),
        devices: (0..options.devices).map(device).collect::<anyhow::Result<_>>()?,
        start: Timestamp::from_second(1_800_000_000)?,
        horizon: Seconds::new(options.days.saturating_mul(2 * DAY)),
        approvals: Approvals::Never,
    })
}
