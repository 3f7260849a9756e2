//! Served time: time in which the listeners were up.
//!
//! Soaks and timeouts count only that. While nobody listens a device cannot say how it is, and its silence says nothing.

use bellwether_schemas::Seconds;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A span in which the listeners were down: from the last that was heard of any device to the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gap {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// The gaps of a rollout, oldest first and apart from each other. The oldest of too many are joined into one, with the
/// time between them: then time counts too little, never too much.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Gap>")]
pub struct Gaps(Vec<Gap>);

impl Gaps {
    /// The most that are kept.
    pub const MAX: usize = 16;

    /// Adds a gap. One that ends before it begins, as after a step of the clock, is none.
    pub fn add(&mut self, gap: Gap) {
        let mut gaps = std::mem::take(&mut self.0);
        gaps.push(gap);
        *self = Self::from(gaps);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first moment at which `span` of served time has passed since `since`; the end of time where that is beyond it.
    pub fn after(&self, since: Timestamp, span: Seconds) -> Timestamp {
        let (mut t, mut left) = (since, span.signed());
        for gap in self.0.iter().filter(|gap| since < gap.until) {
            let served = gap.from.duration_since(t).max(SignedDuration::ZERO);
            if left <= served {
                break;
            }
            left -= served;
            t = gap.until;
        }
        t.checked_add(left).unwrap_or(Timestamp::MAX)
    }

    /// Whether the listeners were down at any moment from `from` to `until`, both included.
    pub fn overlaps(&self, from: Timestamp, until: Timestamp) -> bool {
        from <= until && self.0.iter().any(|gap| gap.from <= until && from < gap.until)
    }

    /// The end of the newest.
    pub fn end(&self) -> Option<Timestamp> {
        self.0.last().map(|gap| gap.until)
    }

    /// Whether the newest ends at `until`.
    pub fn reaches(&self, until: Timestamp) -> bool {
        self.end() == Some(until)
    }
}

impl From<Vec<Gap>> for Gaps {
    fn from(mut gaps: Vec<Gap>) -> Self {
        gaps.retain(|gap| gap.from < gap.until);
        gaps.sort_unstable_by_key(|gap| gap.from);
        gaps.dedup_by(|next, gap| {
            let joins = next.from <= gap.until;
            gap.until = if joins { gap.until.max(next.until) } else { gap.until };
            joins
        });
        if let Some(last) = gaps.len().checked_sub(Self::MAX) {
            let oldest = Gap { from: gaps[0].from, until: gaps[last].until };
            gaps.splice(..=last, [oldest]);
        }
        Self(gaps)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn gap((from, until): (i64, i64)) -> Gap {
        Gap { from: at(from), until: at(until) }
    }

    fn gaps(all: &[(i64, i64)]) -> Gaps {
        let mut gaps = Gaps::default();
        all.iter().copied().map(gap).for_each(|gap| gaps.add(gap));
        gaps
    }

    #[test]
    fn gaps_are_in_order_and_apart() {
        type Spans = [(i64, i64)];
        let cases: [(&Spans, &Spans); 6] = [
            (&[(30, 40), (10, 20)], &[(10, 20), (30, 40)]),
            (&[(10, 20), (20, 30)], &[(10, 30)]),
            (&[(10, 20), (30, 40), (15, 35)], &[(10, 40)]),
            (&[(10, 40), (20, 30)], &[(10, 40)]),
            (&[(20, 10), (15, 15)], &[]),
            (&[], &[]),
        ];
        for (added, kept) in cases {
            let expected: Vec<Gap> = kept.iter().copied().map(gap).collect();
            assert_eq!(gaps(added).0, expected, "{added:?}");
            assert_eq!(gaps(added).is_empty(), kept.is_empty());
        }
    }

    #[test]
    fn the_oldest_of_too_many_are_one() {
        let all: Vec<(i64, i64)> = (0..18).map(|n| (n * 10, n * 10 + 1)).collect();
        let kept = gaps(&all);
        assert_eq!(kept.0.len(), Gaps::MAX);
        assert_eq!(kept.0[..2], [gap((0, 21)), gap((30, 31))]);
        assert_eq!(kept.0.last(), Some(&gap((170, 171))));
        assert_eq!(gaps(&all[..16]).0[0], gap((0, 1)), "sixteen are not too many");
    }

    #[test]
    fn time_passes_outside_of_gaps_only() {
        let gaps = gaps(&[(10, 20), (30, 40)]);
        let cases = [
            // Since, span, end.
            (0, 5, 5),
            (0, 10, 10),
            (0, 11, 21),
            (0, 20, 30),
            (0, 21, 41),
            (10, 1, 21),
            (15, 0, 15),
            (15, 1, 21),
            (20, 10, 30),
            (40, 7, 47),
        ];
        for (since, span, end) in cases {
            assert_eq!(gaps.after(at(since), Seconds::new(span)), at(end), "{span} since {since}");
        }
        assert_eq!(Gaps::default().after(at(3), Seconds::new(4)), at(7));
    }

    #[test]
    fn a_gap_overlaps_with_what_it_has_a_moment_in_common_with() {
        let gaps = gaps(&[(10, 20)]);
        let cases = [(0, 9, false), (0, 10, true), (12, 12, true), (19, 30, true), (20, 30, false), (15, 12, false)];
        for (from, until, overlaps) in cases {
            assert_eq!(gaps.overlaps(at(from), at(until)), overlaps, "{from} to {until}");
        }
    }

    #[test]
    fn a_list_from_a_disk_is_put_in_order() {
        let text = serde_json::to_string(&gaps(&[(10, 20), (30, 40)])).expect("JSON");
        assert_eq!(
            text,
            r#"[{"from":"2027-01-15T08:00:10Z","until":"2027-01-15T08:00:20Z"},{"from":"2027-01-15T08:00:30Z","until":"2027-01-15T08:00:40Z"}]"#
        );
        assert_eq!(serde_json::from_str::<Gaps>(&text).expect("gaps"), gaps(&[(10, 20), (30, 40)]));
        let unordered: Vec<Gap> = [(35, 50), (9, 3), (30, 40), (10, 20)].map(gap).into();
        let text = serde_json::to_string(&unordered).expect("JSON");
        assert_eq!(serde_json::from_str::<Gaps>(&text).expect("gaps"), gaps(&[(10, 20), (30, 50)]));
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let all = Gap { from: Timestamp::MIN, until: Timestamp::MAX };
        let long = Seconds::new(u32::MAX);
        for gaps in [Gaps::default(), Gaps::from(vec![all]), gaps(&[(10, 20)])] {
            for since in [Timestamp::MIN, at(15), Timestamp::MAX] {
                assert!(gaps.after(since, long) >= since);
                assert_eq!(gaps.overlaps(since, Timestamp::MIN), since == Timestamp::MIN && gaps.0.contains(&all));
            }
            assert_eq!(gaps.after(Timestamp::MAX, Seconds::new(1)), Timestamp::MAX);
        }
        assert_eq!(Gaps::from(vec![all]).after(at(0), Seconds::new(1)), Timestamp::MAX);
    }

    /// The end of a span, second by second.
    fn counted(down: impl Fn(i64) -> bool, since: i64, span: u32) -> i64 {
        let (mut second, mut left) = (since, span);
        while left > 0 {
            left -= u32::from(!down(second));
            second += 1;
        }
        second
    }

    proptest! {
        #[test]
        fn served_time_is_what_one_counts(
            all in prop::collection::vec((0..300_i64, -3..30_i64), 0..40),
            since in -20..350_i64,
            span in 0..100_u32,
        ) {
            let all: Vec<(i64, i64)> = all.into_iter().map(|(from, length)| (from, from + length)).collect();
            let down = |second: i64| all.iter().any(|(from, until)| *from <= second && second < *until);
            let gaps = gaps(&all);
            prop_assert!(gaps.0.len() <= Gaps::MAX);
            prop_assert!(gaps.0.iter().all(|gap| gap.from < gap.until));
            prop_assert!(gaps.0.windows(2).all(|pair| pair[0].until < pair[1].from));
            let end = at(counted(down, since, span));
            let until = since + i64::from(span);
            let overlaps = (since..=until).any(down);
            let stretches = (-1..350).filter(|second| !down(*second) && down(second + 1)).count();
            if stretches <= Gaps::MAX {
                prop_assert_eq!(gaps.after(at(since), Seconds::new(span)), end);
                prop_assert_eq!(gaps.overlaps(at(since), at(until)), overlaps);
                prop_assert_eq!(Gaps::from(all.iter().copied().map(gap).collect::<Vec<_>>()), gaps.clone());
            } else {
                prop_assert!(gaps.after(at(since), Seconds::new(span)) >= end);
                prop_assert!(gaps.overlaps(at(since), at(until)) || !overlaps);
            }
        }
    }
}
