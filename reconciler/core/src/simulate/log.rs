//! What is written down while a simulation runs.

use bellwether_schemas::WaveName;
use jiff::Timestamp;

use super::device::Truth;
use super::outcome::{Counts, Moment, MomentKind, Sample, Worst};
use crate::plan::{HaltRecord, RolloutRecord};

/// What was written down.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) moments: Vec<Moment>,
    pub(super) samples: Vec<Sample>,
    pub(super) worst: Worst,
    /// When the gate of each wave was reached.
    pub(super) gates: Vec<(WaveName, Timestamp)>,
    pub(super) completed_at: Option<Timestamp>,
    /// How each device was when that was looked at last.
    truths: Vec<Truth>,
    counts: Counts,
    halt: Option<HaltRecord>,
}

impl Log {
    pub(super) fn of(devices: usize) -> Self {
        Self { truths: vec![Truth::default(); devices], ..Self::default() }
    }

    pub(super) fn say(&mut self, at: Timestamp, what: MomentKind, wave: Option<&WaveName>) {
        self.moments.push(Moment { at, what, wave: wave.cloned(), detail: None });
    }

    /// Takes how a device is now.
    pub(super) fn take(&mut self, i: usize, truth: Truth) {
        let before = std::mem::replace(&mut self.truths[i], truth);
        let Counts { tried, healthy, unavailable, harmed } = &mut self.counts;
        for (count, before, now) in [
            (tried, before.tried, truth.tried),
            (healthy, before.healthy, truth.healthy),
            (unavailable, before.unavailable, truth.unavailable),
            (harmed, before.harmed, truth.harmed),
        ] {
            *count += u64::from(now);
            *count -= u64::from(before);
        }
    }

    pub(super) fn truths(&self) -> &[Truth] {
        &self.truths
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Everything of this moment has happened.
    pub(super) fn sample(&mut self, at: Timestamp) {
        if self.counts.unavailable > self.worst.unavailable {
            self.worst = Worst { unavailable: self.counts.unavailable, at: Some(at) };
        }
        if self.samples.last().is_none_or(|last| last.counts != self.counts) {
            self.samples.push(Sample { at, counts: self.counts });
        }
    }

    /// Takes how the rollout stands now: what of it only shows while it lasts.
    pub(super) fn look(&mut self, record: &RolloutRecord, now: Timestamp) {
        match (&self.halt, &record.halted) {
            (None, Some(halt)) => {
                let (at, wave) = (halt.at, Some(halt.wave.clone()));
                let silent = if halt.silence { ", by silence alone" } else { "" };
                let detail = Some(format!("{} of {} failed{silent}", halt.failures, halt.offered));
                self.moments.push(Moment { at, what: MomentKind::Halts, wave, detail });
            }
            (Some(halt), None) => {
                let wave = Some(halt.wave.clone());
                self.moments.push(Moment { at: now, what: MomentKind::HaltEnds, wave, detail: None });
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.halt.clone_from(&record.halted);
        if self.completed_at.is_none() && record.is_complete() {
            self.completed_at = Some(now);
        }
    }

    /// Since when the rollout is halted.
    pub(super) fn halted(&self) -> Option<&HaltRecord> {
        self.halt.as_ref()
    }
}
