//! Kinds Approval, Hold, Expedite and Resume.

use super::fields::Fields;
use super::problem::Report;
use super::selector::selector;
use super::tree::Node;
use super::values::{self, Meaning};
use crate::codes;
use crate::manifest::{Approval, Expedite, HaltResume, Hold, Resume, Retry, SkipStep};

/// The spec of an Approval.
pub(crate) fn approval(node: &Node<'_>, report: &mut Report) -> Option<Approval> {
    let mut fields = Fields::of(node, report)?;
    let fleet = fields.required("fleet", values::parsed);
    let commit = fields.required("commit", values::hex);
    let open = fields.or("open", Vec::new(), values::names);
    let resume = fields.optional("resume", halt_resume);
    let retry = fields.optional("retry", retry);
    let reason = fields.required("reason", values::words);
    if let (Some([]), Some(None), Some(None)) = (open.as_deref(), &resume, &retry) {
        let message = "the Approval does nothing, expected waves in open, resume or retry".to_owned();
        node.contradiction(message, fields.report);
    }
    fields.finish();
    Some(Approval { fleet: fleet?, commit: commit?, open: open?, resume: resume?, retry: retry?, reason: reason? })
}

fn halt_resume(node: &Node<'_>, report: &mut Report) -> Option<HaltResume> {
    let mut fields = Fields::of(node, report)?;
    let failures = fields.required("failures", values::integer_in(1..=u32::MAX));
    fields.finish();
    Some(HaltResume { failures: failures? })
}

fn retry(node: &Node<'_>, report: &mut Report) -> Option<Retry> {
    let mut fields = Fields::of(node, report)?;
    let devices = fields.required("devices", |node, report| {
        values::some_items(node, report)?;
        values::names(node, report)
    });
    fields.finish();
    Some(Retry { devices: devices? })
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

/// The spec of an Expedite.
pub(crate) fn expedite(node: &Node<'_>, report: &mut Report) -> Option<Expedite> {
    let mut fields = Fields::of(node, report)?;
    let fleet = fields.required("fleet", values::parsed);
    let commit = fields.required("commit", values::hex);
    let skip = fields.required("skip", |node, report| {
        values::some_items(node, report)?;
        let known = SkipStep::ALL.map(|step| (step.word(), Meaning::Is(step)));
        values::distinct(node, report, |node, report| values::word(&known, node, report))
    });
    let reason = fields.required("reason", values::words);
    fields.finish();
    Some(Expedite { fleet: fleet?, commit: commit?, skip: skip?, reason: reason? })
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
