//! Ctrl-C while a branch, its files and git's index move together: they come to an end first.

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// From now on neither Ctrl-C nor a termination ends this program: what is left to do is little, and half of it would be a
/// commit whose files lag behind, or a token that git knows and nobody has seen.
pub(super) fn ignore() {
    // Where signals cannot be watched, only this is lost.
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let _context = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Whoever watches a signal is not ended by it, for as long as the program runs.
        let _watched = signal(kind);
    }
}
