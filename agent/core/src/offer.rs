//! Whether an offer is taken.

use bellwether_schemas::codes;
use bellwether_schemas::targets::{SignedOffer, Supersedes};
use bellwether_schemas::version::Version;

use crate::durable::{Begun, Durable};
use crate::problem::Problem;

/// What the agent does about what it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing is offered, or exactly what runs.
    Nothing,
    /// It was begun before; only a new version is tried again.
    Finished,
    /// It is taken.
    Take,
    /// It is refused.
    Refuse(RefusedOffer),
}

/// Why an offer is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedOffer {
    /// The same version, or the same number at another commit, was begun with other content.
    Altered {
        /// What was offered.
        offered: Version,
        /// What was begun.
        begun: Begun,
    },
    /// Not above the highest version ever begun, and no `supersedes`.
    NotHigher {
        /// What was offered.
        offered: Version,
        /// The highest ever begun.
        begun: Begun,
    },
    /// Not above the highest version ever begun, and `supersedes` names something that does not run.
    NotSuperseded {
        /// What was offered.
        offered: Version,
        /// The highest ever begun.
        begun: Begun,
    },
}

impl RefusedOffer {
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Altered { offered, begun } => Problem::lasting(
                codes::OFFER_ALTERED,
                format!("{} is offered, and {} was begun with other content", offered.long(), begun.version.long()),
            ),
            Self::NotHigher { offered, begun } => Problem::lasting(
                codes::VERSION_NOT_HIGHER,
                format!("{} is offered, and {} was begun before", offered.long(), begun.version.long()),
            ),
            Self::NotSuperseded { offered, begun } => Problem::lasting(
                codes::VERSION_NOT_HIGHER,
                format!(
                    "{} is offered, {} was begun before, and what the offer supersedes is not what runs",
                    offered.long(),
                    begun.version.long()
                ),
            ),
        }
    }
}

/// Judges an offer by what the device runs and has begun.
pub fn judge(memory: &Durable, offer: Option<&SignedOffer>) -> Judgement {
    let Some(offer) = offer else { return Judgement::Nothing };
    let same = |version: Version, digest| version == offer.version && digest == offer.digest;
    if memory.running.is_some_and(|running| same(running.version, running.digest)) {
        return Judgement::Nothing;
    }
    let Some(begun) = memory.begun else { return Judgement::Take };
    if same(begun.version, begun.digest) {
        return Judgement::Finished;
    }
    let offered = offer.version;
    // After a version that superseded a higher one was undone, that higher one runs again and counts again.
    let running = memory.running.map(|running| Begun { version: running.version, digest: running.digest });
    let begun = running.filter(|running| running.version.rank() > begun.version.rank()).unwrap_or(begun);
    if offered == begun.version {
        return Judgement::Refuse(RefusedOffer::Altered { offered, begun });
    }
    if offered.rank() > begun.version.rank() {
        return Judgement::Take;
    }
    match &offer.supersedes {
        Some(supersedes) if names_what_runs(memory, supersedes) => Judgement::Take,
        Some(_) => Judgement::Refuse(RefusedOffer::NotSuperseded { offered, begun }),
        None if offered.rank() == begun.version.rank() => Judgement::Refuse(RefusedOffer::Altered { offered, begun }),
        None => Judgement::Refuse(RefusedOffer::NotHigher { offered, begun }),
    }
}

fn names_what_runs(memory: &Durable, supersedes: &Supersedes) -> bool {
    match supersedes {
        Supersedes::Running { version, digest } => {
            memory.running.is_some_and(|running| running.version == *version && running.digest == *digest)
        }
        Supersedes::Nonce(nonce) => !nonce.is_empty() && *nonce == memory.nonce,
    }
}

#[cfg(test)]
mod tests;
