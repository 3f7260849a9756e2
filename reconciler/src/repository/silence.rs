//! The condition as the clock has it: whether nobody has signed anything for too long.

use bellwether_schemas::api::Condition;
use bellwether_schemas::head::Silence;
use jiff::Timestamp;

use super::Repository;

impl Repository {
    /// Looks at the clock: a silence that is longer than the policy allows freezes the condition, and a signed commit ends
    /// that. Returns whether the condition is another one now. What is worse than a silence stays what it is.
    pub fn watch_silence(&mut self, now: Timestamp) -> bool {
        let silence = self.silence().filter(|silence| is_calm(&self.found) && silence.is_frozen(now));
        let condition = match silence {
            Some(Silence { since, max }) => Condition::Frozen { since, max_silence: max },
            None => self.found.clone(),
        };
        std::mem::replace(&mut self.condition, condition) != self.condition
    }

    /// When the condition will freeze if nobody signs anything.
    pub fn freezes_at(&self) -> Option<Timestamp> {
        let awake = is_calm(&self.found) && !matches!(self.condition, Condition::Frozen { .. });
        let at = self.silence().filter(|_| awake)?.is_frozen_from();
        (at < Timestamp::MAX).then_some(at)
    }

    fn silence(&self) -> Option<Silence> {
        self.head_record()?.silence()
    }
}

/// Whether nothing is worse than that nobody says anything.
pub(super) fn is_calm(found: &Condition) -> bool {
    matches!(found, Condition::Verified | Condition::Unreachable { .. })
}
