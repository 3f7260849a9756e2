//! A simulation for a comment on a pull request: what came of it in a line, and folded how.

use bellwether_core::simulate::Outcome;

use super::text::{Marks, describe, summary};
use crate::markdown::{block, folded, html};
use crate::output::Paint;

/// How much is shown of it, in characters: windows can be many.
const LONGEST: usize = 6_000;

/// The fold; `header` says what rolls out to whom.
pub(super) fn fold(header: &str, outcome: &Outcome) -> String {
    let sentences = summary(outcome, Paint::none()).replace('\n', " ");
    let text = format!("{header}\n{}", describe(outcome, Marks::BLOCKS, Paint::none()));
    let shown = match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    };
    folded(&format!("<code>{}</code>: {}", outcome.fleet, html(&sentences)), &block("", &shown))
}
