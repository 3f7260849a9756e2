//! What comes of a simulation, as data: everything that texts, JSON and pictures show.

use bellwether_schemas::api::{RolloutState, WaitingOn};
use bellwether_schemas::{FleetName, Seconds, WaveName};
use jiff::Timestamp;
use serde::Serialize;

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The fleet.
    pub fleet: FleetName,
    /// The seed: with it and the same arguments everything comes out the same.
    pub seed: u64,
    /// How many devices there were.
    pub devices: u64,
    /// When the target landed.
    pub start: Timestamp,
    /// When nothing was left to be simulated.
    pub end: Timestamp,
    /// How the rollout stood at the end.
    pub state: RolloutState,
    /// What it waited for at the end; null when it was complete.
    pub reason: Option<WaitingOn>,
    /// When the rollout was complete.
    pub completed_at: Option<Timestamp>,
    /// The wave that failed, if the rollout halted and stayed so.
    pub halted_in: Option<WaveName>,
    /// Its waves, in order.
    pub waves: Vec<WaveOutcome>,
    /// What happened to the rollout, in order.
    pub moments: Vec<Moment>,
    /// How the devices stood, from each time on at which that changed.
    pub samples: Vec<Sample>,
    /// Offers of anything that were made.
    pub offers: u64,
    /// Devices that began to apply the target.
    pub tried: u64,
    /// Devices that began to apply the target and on which it fails.
    pub harmed: u64,
    /// Devices that run the target at the end, do not pass their probes, and do not look any more.
    pub unnoticed: u64,
    /// The most devices that were unavailable at once because of the target, and when that was.
    pub worst: Worst,
    /// How much happened.
    pub events: u64,
}

/// One wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveOutcome {
    /// Its name.
    pub name: WaveName,
    /// When its gate was reached, and stayed closed.
    pub gate_reached_at: Option<Timestamp>,
    /// When it opened.
    pub opened_at: Option<Timestamp>,
    /// When each device of it was done and its soak began.
    pub completed_at: Option<Timestamp>,
    /// When its soak was over.
    pub advanced_at: Option<Timestamp>,
    /// Its soak.
    pub soak: Seconds,
    /// Its members.
    pub members: u64,
    /// Of them, those that were offered the target.
    pub offered: u64,
    /// Of them, those that were healthy at the end.
    pub healthy: u64,
    /// Of them, those that had failed.
    pub failed: u64,
    /// Of them, those that were harmed.
    pub harmed: u64,
}

/// Something that happened to the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: MomentKind,
    /// The wave that it is about.
    pub wave: Option<WaveName>,
    /// The time zone or label by which a window opened, the failures that halted.
    pub detail: Option<String>,
}

/// What can happen to a rollout. In the order in which things that happen at one time are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MomentKind {
    /// The target landed.
    Lands,
    /// Every device of a wave was done, and its soak began.
    WaveCompletes,
    /// The soak of a wave was over.
    WaveAdvances,
    /// The gate of a wave was reached and closed.
    GateReached,
    /// Somebody opened it.
    GateOpens,
    /// The wave had nobody to take.
    WaveSkipped,
    /// A wave opened.
    WaveOpens,
    /// A window of an open wave opened.
    WindowOpens,
    /// Too many devices failed.
    Halts,
    /// The silence that halted it ended.
    HaltEnds,
    /// The rollout was complete.
    Completes,
    /// Nothing more would happen, or the horizon was reached.
    Ends,
}

/// How the devices stood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Devices that had begun to apply the target.
    pub tried: u64,
    /// Devices that ran it and were well.
    pub healthy: u64,
    /// Devices that were being changed, did not pass their probes, or were lost.
    pub unavailable: u64,
    /// Devices on which it fails that had begun it.
    pub harmed: u64,
}

/// How the devices stood from a time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// From when on.
    pub at: Timestamp,
    /// How they stood.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The most devices that were unavailable at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Worst {
    /// How many.
    pub unavailable: u64,
    /// When first.
    pub at: Option<Timestamp>,
}

impl Outcome {
    /// Whether it halted and stayed so.
    pub fn is_halted(&self) -> bool {
        matches!(self.state, RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected)
    }

    /// The place of the last wave with a device that was harmed.
    pub fn harm_reached(&self) -> Option<usize> {
        self.waves.iter().rposition(|wave| wave.harmed > 0)
    }
}
