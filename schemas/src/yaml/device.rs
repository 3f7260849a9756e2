//! Kind Device.

use std::collections::BTreeMap;

use super::fields::Fields;
use super::fleet::template;
use super::problem::Report;
use super::tree::Node;
use super::values;
use crate::manifest::{Device, Labels, Pin};

/// The spec of a Device.
pub(crate) fn device(node: &Node<'_>, report: &mut Report) -> Option<Device> {
    let mut fields = Fields::of(node, report)?;
    let labels = fields.or("labels", Labels::new(), values::labels);
    let vars = fields.or("vars", BTreeMap::new(), values::vars);
    let pin = fields.optional("pin", pin);
    let revoked = fields.optional("revoked", values::boolean);
    let decommission = fields.optional("decommission", values::boolean);
    let template = fields.optional("template", template);
    fields.finish();
    Some(Device {
        labels: labels?,
        vars: vars?,
        pin: pin?,
        revoked: revoked?,
        decommission: decommission?,
        template: template?,
    })
}

fn pin(node: &Node<'_>, report: &mut Report) -> Option<Pin> {
    let mut fields = Fields::of(node, report)?;
    let commit = fields.required("commit", values::hex);
    fields.finish();
    Some(Pin { commit: commit? })
}
