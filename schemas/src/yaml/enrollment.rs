//! Kind Enrollment.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Fields;
use super::problem::Report;
use super::tree::Node;
use super::values::{self, Meaning};
use crate::codes;
use crate::id::Sha256Digest;
use crate::manifest::{ApprovalMode, Enrollment, Token};
use crate::name::{DeviceName, EntryId};

/// The spec of an Enrollment.
pub(crate) fn enrollment(node: &Node<'_>, report: &mut Report) -> Option<Enrollment> {
    let mut fields = Fields::of(node, report)?;
    let labels = fields.or("labels", BTreeMap::new(), values::labels);
    let mut seen = Seen::default();
    let tokens = fields.or("tokens", Vec::new(), |node, report| {
        values::list(node, report, |node, report| token(node, &mut seen, report))
    });
    let approved = fields.not_yet_list("approved");
    let approval = fields.or("approval", ApprovalMode::default(), |node, report| {
        values::word(&[("token", Meaning::Is(ApprovalMode::Token)), ("manual", Meaning::NotYet)], node, report)
    });
    let ca = fields.not_yet("ca");
    fields.finish();
    Some(Enrollment { labels: labels?, tokens: tokens?, approved: approved?, approval: approval?, ca: ca? })
}

/// What earlier tokens of the Enrollment have taken.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<EntryId>,
    hashes: BTreeSet<Sha256Digest>,
    devices: BTreeSet<DeviceName>,
}

fn token(node: &Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<Token> {
    let mut fields = Fields::of(node, report)?;
    let id = fields.required("id", |node, report| {
        let id: EntryId = values::parsed(node, report)?;
        once(seen.ids.insert(id.clone()), node, "id", report)?;
        Some(id)
    });
    let sha256 = fields.required("sha256", |node, report| {
        let hash: Sha256Digest = values::hex(node, report)?;
        once(seen.hashes.insert(hash), node, "hash", report)?;
        Some(hash)
    });
    let expires = fields.required("expires", values::moment);
    let device = fields.optional("device", |node, report| {
        let device: DeviceName = values::parsed(node, report)?;
        once(seen.devices.insert(device.clone()), node, "device", report)?;
        Some(device)
    });
    let labels = fields.or("labels", BTreeMap::new(), values::labels);
    let revoked = fields.optional("revoked", values::boolean);
    fields.finish();
    Some(Token { id: id?, sha256: sha256?, expires: expires?, device: device?, labels: labels?, revoked: revoked? })
}

fn once(first: bool, node: &Node<'_>, what: &str, report: &mut Report) -> Option<()> {
    if !first {
        node.fault(codes::CONTRADICTION, format!("an earlier token has the same {what}"), None, report);
    }
    first.then_some(())
}
