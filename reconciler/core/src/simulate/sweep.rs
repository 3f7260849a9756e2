//! Many simulations of one scene: how often a rollout halts, and whom a release harms, by how many devices it fails on.

use bellwether_schemas::{Percent, WaveName};
use rayon::prelude::*;
use serde::Serialize;

use super::faults::Faults;
use super::outcome::Outcome;
use super::scene::Scene;
use super::simulate;

/// The shares of devices on which a release fails that a sweep tries, in basis points.
const RATES: [&str; 10] = ["0%", "0.1%", "0.5%", "1%", "2%", "5%", "10%", "25%", "50%", "100%"];

/// What came of many simulations with one failure rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateOutcome {
    /// The chance of each device that the release fails on it.
    pub failure_rate: Percent,
    /// How many simulations.
    pub runs: u64,
    /// How many of them ended complete.
    pub completed: u64,
    /// How many of them halted and stayed so.
    pub halted: u64,
    /// How many halted in each wave.
    pub halted_in: Vec<HaltedIn>,
    /// How many harmed a device beyond the first wave.
    pub beyond_first_wave: u64,
    /// Devices that were harmed.
    pub harmed: Spread,
    /// Seconds from the start to completion, of those that ended complete.
    pub seconds: Spread,
    /// The most devices that were unavailable at once.
    pub unavailable: Spread,
}

/// How many simulations halted in a wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HaltedIn {
    /// The wave.
    pub wave: WaveName,
    /// How many.
    pub runs: u64,
}

/// How a number is spread over simulations. All are 0 where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Half of them have at most this.
    pub median: u64,
    /// 95 of 100 have at most this.
    pub p95: u64,
    /// The highest.
    pub worst: u64,
}

/// The failure rates that a sweep tries.
pub fn rates() -> Vec<Percent> {
    RATES.iter().map(|text| text.parse().expect("a literal percentage")).collect()
}

/// Simulates the scene with each rate and `runs` seeds, from `first_seed` on. It comes out the same on any number of cores.
pub fn sweep(scene: &Scene<'_>, faults: &Faults, rates: &[Percent], runs: u64, first_seed: u64) -> Vec<RateOutcome> {
    let of_rate = |rate: &Percent| {
        let faults = Faults { failure_rate: *rate, ..faults.clone() };
        let seeds: Vec<u64> = (0..runs).map(|i| first_seed.wrapping_add(i)).collect();
        let ends: Vec<End> = seeds.par_iter().map(|seed| End::of(&simulate(scene, &faults, *seed))).collect();
        gather(scene, *rate, &ends)
    };
    rates.iter().map(of_rate).collect()
}

/// What of a simulation is kept.
struct End {
    completed_after: Option<u64>,
    halted_in: Option<WaveName>,
    is_halted: bool,
    is_beyond_first_wave: bool,
    harmed: u64,
    unavailable: u64,
}

impl End {
    fn of(outcome: &Outcome) -> Self {
        let completed = outcome.completed_at.map(|at| at.duration_since(outcome.start).as_secs());
        Self {
            completed_after: completed.and_then(|seconds| u64::try_from(seconds).ok()),
            halted_in: outcome.halted_in.clone(),
            is_halted: outcome.is_halted(),
            is_beyond_first_wave: outcome.harm_reached().is_some_and(|place| place > 0),
            harmed: outcome.harmed,
            unavailable: outcome.worst.unavailable,
        }
    }
}

fn gather(scene: &Scene<'_>, failure_rate: Percent, ends: &[End]) -> RateOutcome {
    let count = |is: &dyn Fn(&End) -> bool| amount(ends.iter().filter(|end| is(end)).count());
    let halted_in = scene.rollout.waves.iter().map(|wave| HaltedIn {
        wave: wave.name.clone(),
        runs: count(&|end| end.is_halted && end.halted_in.as_ref() == Some(&wave.name)),
    });
    RateOutcome {
        failure_rate,
        runs: amount(ends.len()),
        completed: count(&|end| end.completed_after.is_some()),
        halted: count(&|end| end.is_halted),
        halted_in: halted_in.collect(),
        beyond_first_wave: count(&|end| end.is_beyond_first_wave),
        harmed: spread(ends.iter().map(|end| end.harmed).collect()),
        seconds: spread(ends.iter().filter_map(|end| end.completed_after).collect()),
        unavailable: spread(ends.iter().map(|end| end.unavailable).collect()),
    }
}

/// The spread of numbers: of each share the least number that so many do not exceed.
fn spread(mut numbers: Vec<u64>) -> Spread {
    numbers.sort_unstable();
    let at = |percent: usize| {
        let rank = (numbers.len() * percent).div_ceil(100).max(1);
        numbers.get(rank - 1).copied().unwrap_or_default()
    };
    Spread { median: at(50), p95: at(95), worst: at(100) }
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).expect("a count fits into 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_numbers_that_are_there() {
        assert_eq!(spread((1..=100).rev().collect()), Spread { median: 50, p95: 95, worst: 100 });
        assert_eq!(spread(vec![3, 1]), Spread { median: 1, p95: 3, worst: 3 });
        assert_eq!(spread(Vec::new()), Spread::default());
        assert!(rates().windows(2).all(|pair| pair[0] < pair[1]));
    }
}
