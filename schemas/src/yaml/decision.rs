//! Kinds Approval, Hold and Resume.

use super::fields::Fields;
use super::problem::Report;
use super::selector::selector;
use super::tree::Node;
use super::values;
use crate::codes;
use crate::manifest::{Approval, Hold, Resume};

/// The spec of an Approval.
pub(crate) fn approval(node: &Node<'_>, report: &mut Report) -> Option<Approval> {
    let mut fields = Fields::of(node, report)?;
    let fleet = fields.required("fleet", values::parsed);
    let commit = fields.required("commit", values::hex);
    let open = fields.or("open", Vec::new(), values::names);
    let resume = fields.not_yet("resume");
    let retry = fields.not_yet("retry");
    let reason = fields.required("reason", values::words);
    if ["open", "resume", "retry"].iter().all(|name| fields.lacks(name)) || open.as_ref().is_some_and(Vec::is_empty) {
        node.contradiction("the Approval opens nothing: open names no wave".to_owned(), fields.report);
    }
    fields.finish();
    Some(Approval { fleet: fleet?, commit: commit?, open: open?, resume: resume?, retry: retry?, reason: reason? })
}

/// The spec of a Hold.
pub(crate) fn hold(node: &Node<'_>, report: &mut Report) -> Option<Hold> {
    let mut fields = Fields::of(node, report)?;
    let fleets = fields.or("fleets", Vec::new(), |node, report| {
        values::some_items(node, report)?;
        values::names(node, report)
    });
    let all = fields.or("all", false, |node, report| match values::boolean(node, report)? {
        true => Some(true),
        false => {
            node.wrong_with("true", Some("name the fleets instead, or remove the Hold".to_owned()), report);
            None
        }
    });
    let one = fields.exactly_one(&["fleets", "all"]);
    let reason = fields.required("reason", values::words);
    fields.finish();
    one?;
    Some(Hold { fleets: fleets?, all: all?, reason: reason? })
}

/// The spec of a Resume.
pub(crate) fn resume(node: &Node<'_>, report: &mut Report) -> Option<Resume> {
    let mut fields = Fields::of(node, report)?;
    let over = fields.or("over", Vec::new(), |node, report| values::distinct(node, report, values::hex));
    let devices = fields.or("devices", Vec::new(), values::names);
    let selector = fields.optional("selector", |node, report| {
        let selector = selector(node, report)?;
        if selector.is_empty() {
            node.fault(codes::SELECTS_NOTHING, "an empty selector selects nothing".to_owned(), None, report);
            return None;
        }
        Some(selector)
    });
    let reason = fields.required("reason", values::words);
    if let (Some([]), Some([])) = (over.as_deref(), devices.as_deref()) {
        let message = "found neither commits in over nor devices, expected one of them at least".to_owned();
        node.contradiction(message, fields.report);
    }
    fields.finish();
    Some(Resume { over: over?, devices: devices?, selector: selector?, reason: reason? })
}
