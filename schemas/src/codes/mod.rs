//! Stable codes of every message that a person can act on, with what `bellwether explain` says about each.
//!
//! A code never changes its meaning and is never used again.

mod agent;
mod change;
mod device;
mod environment;
mod examples;
mod manifest;
mod publish;
mod rollout;
mod trust;

use std::fmt;

// An area may have no codes yet; its glob then exports nothing.
#[allow(unused_imports, unreachable_pub)]
mod all {
    pub use super::agent::*;
    pub use super::change::*;
    pub use super::device::*;
    pub use super::environment::*;
    pub use super::manifest::*;
    pub use super::publish::*;
    pub use super::rollout::*;
    pub use super::trust::*;
}
pub use all::*;

/// A stable code, such as `BW-0101`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Its digits as a number.
    fn number(self) -> u32 {
        self.0.trim_start_matches("BW-").parse().expect("a code is BW- and four digits")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What is known about a code.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// What it means, in a line.
    pub title: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    /// What to do about it.
    pub mend: &'static str,
}

impl Explanation {
    /// The most likely mistake and its mend, in the form that `examples.rs` describes; none for most of what neither `validate`
    /// finds nor `diff` tells.
    pub fn example(&self) -> Option<&'static str> {
        examples::of(self.code)
    }
}

/// Defines codes, and a table of their explanations.
macro_rules! codes {
    ($table:ident: $($name:ident = $code:literal, $title:literal, $cause:literal, $mend:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: $crate::codes::Code = $crate::codes::Code($code);
        )*
        pub(super) const $table: &[$crate::codes::Explanation] = &[
            $($crate::codes::Explanation { code: $name, title: $title, cause: $cause, mend: $mend },)*
        ];
    };
}
use codes;

/// What the codes of each area are about, and their explanations.
pub const AREAS: [(&str, &[Explanation]); 8] = [
    ("Manifests", manifest::MANIFEST),
    ("Git and trust", trust::TRUST),
    ("Devices, versions, enrollment and TLS", device::DEVICE),
    ("Rollouts and rendering", rollout::ROLLOUT),
    ("The store and publishing", publish::PUBLISH),
    ("The agent", agent::AGENT),
    ("Configuration and environment; from BW-0720 on, the command", environment::ENVIRONMENT),
    ("What is dangerous about a change", change::CHANGE),
];

/// Every explanation, by code.
pub fn explanations() -> impl Iterator<Item = &'static Explanation> {
    AREAS.iter().flat_map(|(_, explanations)| *explanations)
}

/// The explanation of a code given as text, in upper or lower case.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    explanations().find(|e| e.code.as_str().eq_ignore_ascii_case(code))
}

/// The explanations of the codes next to a number that no code has: the last below it and the first above it.
pub fn nearest(number: u32) -> impl Iterator<Item = &'static Explanation> {
    let below = explanations().filter(|e| e.code.number() < number).max_by_key(|e| e.code);
    let above = explanations().filter(|e| e.code.number() > number).min_by_key(|e| e.code);
    below.into_iter().chain(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_well_formed() {
        let all: Vec<_> = explanations().collect();
        assert!(all.windows(2).all(|pair| pair[0].code < pair[1].code), "codes must rise through the tables");
        for e in all {
            let digits = e.code.as_str().strip_prefix("BW-").expect("a code begins with BW-");
            assert!(digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_digit()), "{}", e.code);
            assert!(e.title.len() < 80 && !e.cause.is_empty() && !e.mend.is_empty(), "{}", e.code);
        }
    }

    #[test]
    fn the_nearest_codes_are_those_below_and_above() {
        for (number, near) in [
            (0, &["BW-0101"][..]),
            (246, &["BW-0245", "BW-0247"]),
            (299, &["BW-0282", "BW-0301"]),
            (9999, &["BW-0812"]),
        ] {
            let found: Vec<_> = nearest(number).map(|e| e.code.as_str()).collect();
            assert_eq!(found, near);
        }
    }
}
