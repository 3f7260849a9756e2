//! What is accepted, always at one landing: the verified history, what it declares, and when somebody signed last.

use std::sync::Arc;

use bellwether_core::declare::Declared;
use bellwether_core::objects::{ObjectError, ObjectSource};
use bellwether_core::verify::{Introduction, Refusal, VerifiedHistory, VerifiedLanding};
use bellwether_schemas::head::{HeadRecord, HeadType};
use jiff::{SignedDuration, Timestamp};

use crate::store::HeadRow;

/// What is accepted.
pub(super) struct Accepted {
    pub(super) history: VerifiedHistory,
    pub(super) declared: Declared,
    /// When somebody who counts signed last.
    spoken: Option<Timestamp>,
}

/// Why a history cannot begin.
#[derive(Debug)]
pub(super) enum Unbegun {
    /// It is refused.
    Refused(Box<Refusal>),
    /// An object cannot be read.
    Object(ObjectError),
}

impl From<Refusal> for Unbegun {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<ObjectError> for Unbegun {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl Accepted {
    /// Verifies from the introduction up to a head that was accepted before, or the introduction alone. Returns every
    /// landing, rising.
    pub(super) fn begin(
        objects: &dyn ObjectSource,
        introduction: &Introduction,
        branch: &str,
        head: Option<&HeadRow>,
        now: Timestamp,
    ) -> Result<(Self, Vec<Arc<VerifiedLanding>>), Unbegun> {
        let (history, landings) = match head {
            Some(head) => VerifiedHistory::restore(objects, introduction, branch, &head.commit)?,
            None => {
                let (history, landing) = VerifiedHistory::introduce(objects, introduction, branch)?;
                (history, vec![landing])
            }
        };
        let mut accepted = Self::of(objects, history, &landings, now)?;
        accepted.spoken = head.and_then(|head| head.spoken).or(accepted.spoken);
        Ok((accepted, landings))
    }

    /// What a history declares that was verified to its head; `landings` are all of it, from the introduction on.
    pub(super) fn of(
        objects: &dyn ObjectSource,
        history: VerifiedHistory,
        landings: &[Arc<VerifiedLanding>],
        now: Timestamp,
    ) -> Result<Self, ObjectError> {
        let (first, rest) = landings.split_first().expect("a history begins with its introduction");
        let mut declared = Declared::introduce(objects, first)?;
        for landing in rest {
            declared.land(objects, landing)?;
        }
        let spoken = landings.iter().filter_map(|landing| heard(landing, now)).max();
        // Where all dates are of the future nobody knows since when it is silent: at the latest since now.
        let spoken = spoken.or_else(|| landings.iter().any(|landing| landing.spoken().is_some()).then_some(now));
        Ok(Self { history, declared, spoken })
    }

    /// Takes the next landing. On an error nothing has changed.
    pub(super) fn take(
        &mut self,
        objects: &dyn ObjectSource,
        landing: &Arc<VerifiedLanding>,
        now: Timestamp,
    ) -> Result<(), ObjectError> {
        self.declared.land(objects, landing)?;
        self.history.take(landing);
        self.spoken = self.spoken.max(heard(landing, now));
        Ok(())
    }

    /// What is signed of it.
    pub(super) fn record(&self) -> HeadRecord {
        let policy = self.history.policy();
        HeadRecord {
            kind: HeadType::Head,
            introduction: self.history.introduction().commit,
            commit: *self.history.head(),
            landing: self.history.head_number(),
            policy_version: policy.version(),
            spoken: self.spoken,
            max_silence: policy.manifest().max_silence,
        }
    }
}

/// How far ahead of ours a clock may be by which somebody signs.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// When the people who stand for a landing signed last. Nobody can speak for the days to come: a date that is a little ahead
/// counts as now. One that is far ahead is ignored, and the newest other landing counts: as "now" it would end a silence
/// at each start on an empty database, for years.
fn heard(landing: &VerifiedLanding, now: Timestamp) -> Option<Timestamp> {
    let believed = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    landing.spoken().filter(|spoken| *spoken <= believed).map(|spoken| spoken.min(now))
}
