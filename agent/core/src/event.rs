//! What happens to the agent, and what it does.

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::report::Directive;
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::SignedOffer;
use jiff::Timestamp;

use crate::problem::Problem;

/// Something that happened. Work that an [`Effect`] began ends with the event of the same name.
#[derive(Debug, Clone)]
pub enum Event {
    /// The agent started; `unfinished` when the file system still has a journal of an apply.
    Started {
        /// Whether there is a journal.
        unfinished: bool,
    },
    /// A session (or a poll) with the reconciler began.
    Connected,
    /// The session ended.
    Disconnected,
    /// The reconciler said something that concerns decisions.
    Directive(Directive),
    /// [`Effect::Pull`] ended. Metadata and spec are verified.
    Pulled(Result<Pulled, Problem>),
    /// [`Effect::Stage`] ended: everything is on disk, and nothing stands in the way.
    Staged(Result<(), Problem>),
    /// [`Effect::Apply`] ended.
    Applied(Result<(), NotApplied>),
    /// [`Effect::Undo`] ended.
    Undone(Result<(), Problem>),
    /// [`Effect::Commit`] ended.
    Committed(Result<(), Problem>),
    /// [`Effect::Probe`] ended.
    Probed(Probed),
    /// [`Effect::Clear`] ended.
    Cleared(Result<(), Problem>),
    /// The reconciler refuses the device as one that is decommissioned.
    Dismissed,
    /// The heartbeat.
    Tick,
    /// The time of an [`Effect::WakeAt`] came, or that of a retry.
    Woke,
}

/// What verified metadata says about this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The offer with its spec; `None` where nothing is offered.
    pub offer: Option<Box<(SignedOffer, DeviceSpec)>>,
    /// Whether the device shall remove everything. Then nothing is offered.
    pub decommission: bool,
}

/// Why a spec was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied {
    /// What went wrong.
    pub problem: Problem,
    /// Whether the device was changed, so that something must be undone.
    pub changed: bool,
}

/// How probes ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What they were for.
    pub purpose: Purpose,
    /// All passed, or why not.
    pub result: Result<(), Problem>,
}

/// What probes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To judge what is being tried.
    Attempt,
    /// To judge what the device went back to.
    Restored,
    /// To know how what runs is: after a start, and until it is well.
    Running,
}

/// Whether probes wait for delays and `stableFor`, or take one look only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// What they look at may just have been started.
    Full,
    /// They looked at it before.
    Glance,
}

/// Something to do. Effects are carried out in order; the next begins when the one before has been done or, for work, begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write the memory and sync it. Nothing after it may happen when this fails.
    Persist,
    /// Send a report now.
    Report,
    /// Work: fetch and verify metadata and spec.
    Pull,
    /// Write the memory, whenever that is possible: what is new in it is for people, and nothing hangs on it.
    Note,
    /// Fetch again later: with full jitter, the later the more failures there were in a row.
    RetryPull(u32),
    /// Work: download what the spec needs, and check that nothing stands in its way.
    Stage(Box<DeviceSpec>),
    /// Work: change the device to a spec that was staged; continues where an earlier try stopped.
    Apply {
        /// The spec.
        digest: Sha256Digest,
        /// The spec that is the way back, if there is any.
        previous: Option<Sha256Digest>,
    },
    /// Work: change the device back.
    Undo {
        /// The spec that it goes back to; to nothing where there is none.
        previous: Option<Sha256Digest>,
    },
    /// Work: make what was applied final, and prune all but what is staged for `keep`.
    Commit {
        /// The spec that was applied.
        digest: Sha256Digest,
        /// The spec that comes next, if one was offered already.
        keep: Option<Sha256Digest>,
    },
    /// Work: remove everything that was placed.
    Clear,
    /// Remove keys and state, and end.
    Forget,
    /// Work: run the probes of a spec.
    Probe {
        /// What for.
        purpose: Purpose,
        /// How.
        how: Thoroughness,
        /// The spec.
        digest: Sha256Digest,
    },
    /// Send [`Event::Woke`] at this time.
    WakeAt(Timestamp),
}
