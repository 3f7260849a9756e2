//! Kind Enrollment.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::problem::Report;
use super::tree::Node;
use super::values::{self, Meaning};
use crate::codes;
use crate::id::Sha256Digest;
use crate::manifest::{ApprovalMode, ApprovedKey, Enrollment, FactoryCa, InvalidCa, Labels, Token};
use crate::name::{DeviceName, EntryId};

/// The spec of an Enrollment.
pub(crate) fn enrollment(node: &Node<'_>, report: &mut Report) -> Option<Enrollment> {
    let mut fields = Fields::of(node, report)?;
    let labels = fields.or("labels", Labels::new(), values::labels);
    let mut seen = Seen::default();
    let tokens = fields.or("tokens", Vec::new(), |node, report| {
        values::list(node, report, |node, report| token(node, &mut seen, report))
    });
    let approved = fields.or("approved", Vec::new(), |node, report| {
        values::list(node, report, |node, report| approved(node, &mut seen, report))
    });
    let approval = fields.or("approval", ApprovalMode::default(), |node, report| {
        let modes = [("token", Meaning::Is(ApprovalMode::Token)), ("manual", Meaning::Is(ApprovalMode::Manual))];
        values::word(&modes, node, report)
    });
    let ca = fields.optional("ca", factory_ca);
    fields.finish();
    Some(Enrollment { labels: labels?, tokens: tokens?, approved: approved?, approval: approval?, ca: ca? })
}

/// What earlier entries of the Enrollment have taken.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<EntryId>,
    hashes: BTreeSet<Sha256Digest>,
    devices: BTreeSet<DeviceName>,
}

impl Seen {
    fn id(&mut self, node: &Node<'_>, report: &mut Report) -> Option<EntryId> {
        let id: EntryId = values::parsed(node, report)?;
        if id.is_factory() {
            let message = format!("the id {id} stands for devices that enroll by their factory certificate");
            node.fault(codes::CONTRADICTION, message, Some("choose another id".to_owned()), report);
            return None;
        }
        once(self.ids.insert(id.clone()), node, "id", report)?;
        Some(id)
    }

    fn hash(&mut self, what: &str, node: &Node<'_>, report: &mut Report) -> Option<Sha256Digest> {
        let hash: Sha256Digest = values::hex(node, report)?;
        once(self.hashes.insert(hash), node, what, report)?;
        Some(hash)
    }

    fn device(&mut self, node: &Node<'_>, report: &mut Report) -> Option<DeviceName> {
        let device: DeviceName = values::parsed(node, report)?;
        once(self.devices.insert(device.clone()), node, "device", report)?;
        Some(device)
    }
}

fn token(node: &Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<Token> {
    let mut fields = Fields::of(node, report)?;
    let id = fields.required("id", |node, report| seen.id(node, report));
    let sha256 = fields.required("sha256", |node, report| seen.hash("hash", node, report));
    let expires = fields.required("expires", values::moment);
    let device = fields.optional("device", |node, report| seen.device(node, report));
    let labels = fields.or("labels", Labels::new(), values::labels);
    let revoked = fields.optional("revoked", values::boolean);
    fields.finish();
    Some(Token {
        id: id?,
        sha256: sha256?,
        expires: expires?,
        device: device?,
        labels: labels?.into(),
        revoked: revoked?,
    })
}

fn approved(node: &Node<'_>, seen: &mut Seen, report: &mut Report) -> Option<ApprovedKey> {
    let mut fields = Fields::of(node, report)?;
    let id = fields.required("id", |node, report| seen.id(node, report));
    let fingerprint = fields.required("fingerprint", |node, report| seen.hash("fingerprint", node, report));
    let device = fields.required("device", |node, report| seen.device(node, report));
    let labels = fields.or("labels", Labels::new(), values::labels);
    let revoked = fields.optional("revoked", values::boolean);
    fields.finish();
    Some(ApprovedKey { id: id?, fingerprint: fingerprint?, device: device?, labels: labels?.into(), revoked: revoked? })
}

fn factory_ca(node: &Node<'_>, report: &mut Report) -> Option<FactoryCa> {
    let text = values::text_of(node, "certificates in PEM", report)?;
    let wrong = |error: InvalidCa| {
        let hint = match &error {
            InvalidCa::PrivateKey => "remove it, and make a new key in its place",
            InvalidCa::NoAuthority { .. } => {
                "list the authority that signed the devices' certificates, not one of those"
            }
            InvalidCa::TooLong(_) | InvalidCa::TooMany(_) => "list those that signed certificates of devices of yours",
            InvalidCa::None | InvalidCa::Other | InvalidCa::Unreadable(_) => {
                "write ca: | and below it, indented, what openssl x509 -in ca.crt prints"
            }
        };
        node.fault(codes::FACTORY_CA, error.to_string(), Some(hint.to_owned()), report);
    };
    text.parse().map_err(wrong).ok()
}

fn once(first: bool, node: &Node<'_>, what: &str, report: &mut Report) -> Option<()> {
    if !first {
        node.fault(codes::CONTRADICTION, format!("an earlier entry has the same {what}"), None, report);
    }
    first.then_some(())
}
