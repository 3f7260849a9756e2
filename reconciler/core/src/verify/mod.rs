//! Which landings of a git history count.
