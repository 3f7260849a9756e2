//! A simulation for a comment on a pull request: what came of it in a line, and folded how.

use bellwether_core::simulate::Outcome;

use super::text::{Marks, describe, is_held, never_passed};
use crate::markdown::{block, folded};
use crate::output::Paint;
use crate::span::{after, grouped};

/// How much is shown of it, in characters: windows can be many.
const LONGEST: usize = 6_000;

/// The fold; `header` says what rolls out to whom.
pub(super) fn fold(header: &str, outcome: &Outcome) -> String {
    let text = format!("{header}\n{}", describe(outcome, Marks::BLOCKS, Paint::none()));
    let shown = match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    };
    folded(&format!("<code>{}</code>: {}", outcome.fleet, in_short(outcome)), &block("text", &shown))
}

/// How it ends, and whom it harms.
fn in_short(outcome: &Outcome) -> String {
    let (all, tried, harmed) = (grouped(outcome.devices), grouped(outcome.tried), grouped(outcome.harmed));
    let ends = match (&outcome.halted_in, outcome.completed_at) {
        (Some(wave), None) => format!("stops in wave <code>{wave}</code>"),
        (_, Some(at)) => format!("is complete after {}, in every wave", after(outcome.start, at)),
        (None, None) if let Some(wave) = never_passed(outcome) => {
            format!("does not end, since wave <code>{}</code> selects nobody", wave.name)
        }
        (None, None) if is_held(outcome) => "does not go on: a Hold stops it".to_owned(),
        (None, None) => format!("does not end within {}", after(outcome.start, outcome.end)),
    };
    let unnoticed = match outcome.unnoticed {
        0 => String::new(),
        some => format!(", on {} after its soak, when nobody looks any more", grouped(some)),
    };
    format!("{ends}: {tried} of {all} devices try it, and it fails on {harmed}{unnoticed}")
}
