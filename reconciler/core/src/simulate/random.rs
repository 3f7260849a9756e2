//! Random numbers from a seed: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
//!
//! Each draw that means something has a generator of its own, made from the seed and what it is for: so what is drawn for one
//! device depends on nothing that other devices do.

use bellwether_schemas::{Percent, Seconds};

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What draws of a device are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    /// Whether the release fails on it, and when.
    Fate = 1,
    /// How long its work takes.
    Pace = 2,
    /// When it is off.
    Absence = 3,
}

/// A generator.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The generator of one device for one purpose.
    pub(super) fn of(seed: u64, device: u64, draw: Draw) -> Self {
        let mut state = seed;
        for part in [device, draw as u64] {
            state = mixed(state.wrapping_add(STEP)) ^ part.wrapping_mul(STEP);
        }
        Self(state)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number from 0 up to and without `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of a product fits")
    }

    /// Whether something happens that has this chance.
    pub(super) fn happens(&mut self, chance: Percent) -> bool {
        self.below(10_000) < u64::from(chance.basis_points())
    }

    /// A span from 0 up to and without `span`.
    pub(super) fn within(&mut self, span: Seconds) -> Seconds {
        Seconds::new(u32::try_from(self.below(u64::from(span.get()))).expect("below a number of 32 bits"))
    }

    /// A span of half to one and a half times `span`, at least a second.
    pub(super) fn about(&mut self, span: Seconds) -> Seconds {
        let half = span.get() / 2;
        Seconds::new((half + self.within(Seconds::new(span.get().saturating_add(1))).get()).max(1))
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first outputs for the seed 1234567, as the reference implementation gives them.
        let mut random = Random(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_chance_is_met_about_so_often() {
        let hits = (0..20_000).filter(|i| Random::of(7, *i, Draw::Fate).happens(Percent::whole(2))).count();
        assert!((330..470).contains(&hits), "{hits} of 20,000 at 2 %");
        let mut random = Random::of(7, 1, Draw::Pace);
        assert!((0..1_000).all(|_| (30..=90).contains(&random.about(Seconds::new(60)).get())));
        assert_eq!((random.about(Seconds::ZERO).get(), random.within(Seconds::ZERO)), (1, Seconds::ZERO));
        assert!(!random.happens(Percent::ZERO) && random.happens(Percent::whole(100)));
    }
}
