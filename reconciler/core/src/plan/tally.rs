//! How the members of each wave stand, counted as they change.

use super::record::MemberRecord;
use super::standing::{Row, Standing};

/// How the members of one wave stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) members: u64,
    /// Members that are in the fleet, and neither paused nor pinned.
    pub(super) present: u64,
    /// Members that were offered the target, or need no offer.
    pub(super) offered: u64,
    pub(super) healthy: u64,
    pub(super) failed: u64,
    /// Of them, those that only fell silent.
    pub(super) silent: u64,
    /// Of them, those for whom nothing could be rendered.
    pub(super) unrendered: u64,
    /// Members that hold the wave's completion.
    pub(super) pending: u64,
    /// Members that came late and are not done, which hold nothing.
    pub(super) late: u64,
    /// Of the healthy ones, those whose own soak goes on: they may still go back.
    pub(super) soaking: u64,
}

/// What one member counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    present: bool,
    offered: bool,
    healthy: bool,
    failed: bool,
    silent: bool,
    unrendered: bool,
    pending: bool,
    late: bool,
    soaking: bool,
}

impl Count {
    pub(super) fn of(row: &Row) -> Self {
        let failed = matches!(row.standing, Standing::Failed | Standing::RenderError);
        let healthy = row.standing == Standing::Healthy;
        let offered = match row.standing {
            Standing::Out => row.is_at_target() && !row.is_apart(),
            _ => failed || healthy || row.note.offered || row.is_at_target(),
        };
        Self {
            present: !row.is_apart(),
            offered,
            healthy,
            failed,
            silent: failed && row.note.failed.as_ref().is_some_and(|note| note.silent),
            unrendered: row.standing == Standing::RenderError,
            pending: row.standing == Standing::Pending && !row.note.late,
            late: row.standing == Standing::Pending && row.note.late,
            soaking: healthy && row.observed.changing && !row.note.late,
        }
    }

    /// Of a device that left the fleet: a failed canary is not mended by moving it away.
    pub(super) fn of_departed(note: &MemberRecord) -> Self {
        Self {
            offered: note.offered || note.failed.is_some(),
            failed: note.failed.is_some(),
            silent: note.failed.as_ref().is_some_and(|failed| failed.silent),
            ..Self::default()
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, count: Count) {
        self.change(count, |field, by| *field += by);
    }

    pub(super) fn remove(&mut self, count: Count) {
        self.change(count, |field, by| *field -= by);
    }

    fn change(&mut self, count: Count, change: impl Fn(&mut u64, u64)) {
        let Count { present, offered, healthy, failed, silent, unrendered, pending, late, soaking } = count;
        change(&mut self.members, 1);
        change(&mut self.present, u64::from(present));
        change(&mut self.offered, u64::from(offered));
        change(&mut self.healthy, u64::from(healthy));
        change(&mut self.failed, u64::from(failed));
        change(&mut self.silent, u64::from(silent));
        change(&mut self.unrendered, u64::from(unrendered));
        change(&mut self.pending, u64::from(pending));
        change(&mut self.late, u64::from(late));
        change(&mut self.soaking, u64::from(soaking));
    }
}
