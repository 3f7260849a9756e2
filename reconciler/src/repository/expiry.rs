//! A first head whose policy has expired is none: nobody answers for it any more.

use bellwether_schemas::api::Condition;
use bellwether_schemas::codes;
use jiff::Timestamp;

use bellwether_core::verify::POLICY_PATH;

use super::Repository;
use crate::store::LandingRow;

impl Repository {
    /// Gives up what was just accepted first if its policy has expired: the introduction alone, or what could be read
    /// beyond it. A head that was accepted before is a matter of its own, and stays.
    pub(super) fn give_up_expired(&mut self, now: Timestamp, taken: &mut Vec<LandingRow>) {
        let history = self.history().filter(|history| history.policy().expires() <= now);
        let Some((commit, expires)) = history.map(|history| (*history.head(), history.policy().expires())) else {
            return;
        };
        (self.accepted, self.rewound, self.refused) = (None, None, None);
        self.landings.clear();
        taken.clear();
        let besides = match &self.found {
            Condition::Stalled { code, .. } if *code == codes::POLICY_EXPIRED.as_str() => return,
            Condition::Stalled { code, why, .. } => format!("; besides, {why} ({code})"),
            _ => String::new(),
        };
        self.found = Condition::Stalled {
            commit: Some(commit),
            path: Some(POLICY_PATH.to_owned()),
            code: codes::POLICY_EXPIRED.to_string(),
            why: format!("its policy expired at {expires}{besides}"),
        };
    }
}
