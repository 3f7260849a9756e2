//! What happens next: by time, and of what happens at one time, in the order in which it was foreseen.

use std::collections::BTreeMap;

use bellwether_agent_core::Purpose;
use bellwether_schemas::{Sha256Digest, Version, WaveName};
use jiff::Timestamp;

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// Work of a device ends.
    Done(u32, Work),
    /// A device is told that there is something new.
    Look(u32),
    /// A device is told to go on.
    Proceed(u32, Version),
    /// The time comes that a device waits for.
    Woke(u32),
    /// A heartbeat of a device; those that bring nothing new do not happen.
    Tick(u32),
    /// A device is back.
    Back(u32),
    /// What was decided for a device can be seen.
    Published(u32),
    /// Somebody opens the gate of a wave.
    Approved(WaveName),
}

/// Work of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Pull,
    Stage,
    Apply,
    Undo,
    Commit,
    Clear,
    Probe(Purpose, Sha256Digest),
}

/// What will happen.
#[derive(Debug, Default)]
pub(super) struct Queue {
    all: BTreeMap<(Timestamp, u64), Happening>,
    foreseen: u64,
    /// How many of them are no mere returns.
    active: usize,
}

impl Queue {
    pub(super) fn add(&mut self, at: Timestamp, happening: Happening) {
        self.active += usize::from(!matches!(happening, Happening::Back(_)));
        self.foreseen += 1;
        self.all.insert((at, self.foreseen), happening);
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.all.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing that happens no later than `now`.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Happening> {
        let entry = self.all.first_entry().filter(|entry| entry.key().0 <= now)?;
        let happening = entry.remove();
        self.active -= usize::from(!matches!(happening, Happening::Back(_)));
        Some(happening)
    }

    /// Whether anything is under way; devices that will come back are not.
    pub(super) fn is_active(&self) -> bool {
        self.active > 0
    }

    /// How much happened so far, or will.
    pub(super) fn foreseen(&self) -> u64 {
        self.foreseen
    }
}
