//! A rollout on a virtual clock and a virtual fleet: what would become of a release.
//!
//! In: a fleet on one landing and another landing that rolls out ([`Scene`]), what goes wrong ([`Faults`]), a seed. Out: an
//! [`Outcome`], the same for the same input, to the last byte. Planner, `classify`, versions of offers and the devices' state
//! machine are the real ones; made up are only the clock, the network between them, and what devices find when they probe.
//!
//! What is left out: a message takes a second, and so does publishing; a reconciler is always up; other fleets have completed
//! what this one waits for; downloads count as part of applying. A heartbeat that says nothing new does not happen: the
//! planner is told beforehand until when a device will be heard of.

mod device;
mod faults;
mod gather;
mod log;
mod outcome;
mod queue;
mod random;
mod run;
mod scene;
mod server;
mod stage;
mod sweep;
#[cfg(test)]
mod tests;

pub use faults::{Faults, Mode, Outage};
pub use outcome::{Counts, Moment, MomentKind, Outcome, Sample, WaveOutcome, Worst};
pub use scene::{Approvals, Before, Scene, VirtualDevice};
pub use stage::{Known, NotStaged, Stage, known_devices, virtual_devices};
pub use sweep::{HaltedIn, RateOutcome, Spread, rates, sweep};

/// Simulates the rollout.
pub fn simulate(scene: &Scene<'_>, faults: &Faults, seed: u64) -> Outcome {
    run::Run::begin(scene, faults, seed).go()
}
