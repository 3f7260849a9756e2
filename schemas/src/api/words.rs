//! The words of the API by name: what selectors, page, metrics and documentation list.

use std::fmt;

use super::{DeviceView, RolloutView, Summary, Updated, WaitingOn, WaveView};
use crate::codes::{self, Code};

/// Gives an enumeration of words the list of all of them, and their names.
macro_rules! words {
    ($type:ident: $($word:ident),* $(,)?) => {
        impl $type {
            /// Every word, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word)),*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Summary: Online, Degraded, Error, Stale, AwaitingReconnect, ConflictPaused, Revoked, Decommissioned);
words!(Updated: UpToDate, OutOfDate, Offered, Updating, Failed, Reverting, Unknown);

/// Gives reasons the list of their kinds.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        impl WaitingOn {
            /// Every kind.
            pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

            /// Its kind, as JSON has it.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => stringify!($kind)),*
                }
            }
        }
    };
}

kinds!(
    Wave,
    EmptyWave,
    Soak,
    TooFewHealthy,
    Gate,
    After,
    Artifact,
    Window,
    Budget,
    MaxInFlight,
    Unsound,
    InFlight,
    Stale,
    Halted,
    Rejected,
    Reverting,
    BackFailed,
    Returning,
    Pinned,
    Held,
    Failed,
    Unhealthy,
    Paused,
    Lookup,
    AwaitingReconnect,
    Reconnects,
    RenderError,
    Orphaned,
    Overlap,
    Repository,
    Decommissioning,
    Decommissioned,
    Revoked,
);

impl WaitingOn {
    /// The code of a reason that a person can act on. A reason that passes by itself has none.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Halted { .. } => Some(codes::ROLLOUT_HALTED),
            Self::Rejected { .. } | Self::Reverting { .. } => Some(codes::COMMIT_REJECTED),
            Self::After { .. } => Some(codes::AFTER_FLEET),
            Self::Artifact { .. } => Some(codes::ARTIFACT_LACKING),
            Self::Window { .. } => Some(codes::WINDOW_CLOSED),
            Self::Budget { .. } => Some(codes::BUDGET_SPENT),
            Self::MaxInFlight { .. } => Some(codes::MAX_IN_FLIGHT),
            Self::Pinned { .. } => Some(codes::DEVICE_PINNED),
            Self::Unsound { .. } => Some(codes::PLAN_UNSOUND),
            Self::Held { .. } => Some(codes::ROLLOUT_HELD),
            Self::Gate { .. } => Some(codes::GATE_CLOSED),
            Self::EmptyWave { .. } => Some(codes::EMPTY_WAVE),
            Self::TooFewHealthy { .. } => Some(codes::TOO_FEW_HEALTHY),
            Self::Failed { .. } | Self::BackFailed { .. } => Some(codes::DEVICE_FAILED),
            Self::Unhealthy { .. } => Some(codes::DEVICE_UNHEALTHY),
            Self::RenderError { .. } => Some(codes::RENDER_ERROR),
            Self::Stale { .. } => Some(codes::DEVICE_STALE),
            Self::Orphaned => Some(codes::DEVICE_ORPHANED),
            Self::Overlap { .. } => Some(codes::OVERLAP),
            Self::Paused { code, .. } | Self::Revoked { code, .. } => codes::explain(code).map(|known| known.code),
            Self::Wave { .. }
            | Self::Returning { .. }
            | Self::Soak { .. }
            | Self::InFlight { .. }
            | Self::Lookup { .. }
            | Self::AwaitingReconnect
            | Self::Reconnects { .. }
            | Self::Decommissioning
            | Self::Repository { .. } => None,
            Self::Decommissioned { .. } => Some(codes::DEVICE_DECOMMISSIONED),
        }
    }
}

/// Gives views the code of their reason.
macro_rules! codes {
    ($($view:ident),*) => {$(
        impl $view {
            /// The code of its reason, where that has one.
            pub fn code(&self) -> Option<Code> {
                self.reason.as_ref().and_then(WaitingOn::code)
            }
        }
    )*};
}

codes!(DeviceView, RolloutView, WaveView);

#[cfg(test)]
mod tests {
    use super::*;

    fn json(word: &impl serde::Serialize) -> serde_json::Value {
        serde_json::to_value(word).expect("JSON")
    }

    #[test]
    fn a_word_is_named_as_json_has_it() {
        for word in Summary::ALL {
            assert_eq!(json(word), word.as_str());
        }
        for word in Updated::ALL {
            assert_eq!(json(word), word.as_str());
        }
        let reason = WaitingOn::AwaitingReconnect;
        assert_eq!(json(&reason)["kind"], reason.kind());
        assert!(WaitingOn::KINDS.contains(&reason.kind()));
    }
}
