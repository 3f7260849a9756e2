//! Label selectors.

use super::fields::Fields;
use super::problem::Report;
use super::tree::Node;
use super::values::{self, Meaning};
use crate::manifest::{LabelSelector, Labels, Operator, Requirement};

/// A label selector.
pub(crate) fn selector(node: &Node<'_>, report: &mut Report) -> Option<LabelSelector> {
    let mut fields = Fields::of(node, report)?;
    let match_labels = fields.or("matchLabels", Labels::new(), values::labels);
    let match_expressions =
        fields.or("matchExpressions", Vec::new(), |node, report| values::list(node, report, requirement));
    fields.finish();
    Some(LabelSelector { match_labels: match_labels?, match_expressions: match_expressions? })
}

fn requirement(node: &Node<'_>, report: &mut Report) -> Option<Requirement> {
    let mut fields = Fields::of(node, report)?;
    let key = fields.required("key", values::key_of_label);
    let operator = fields.required("operator", |node, report| {
        let known = [
            ("In", Meaning::Is(Operator::In)),
            ("NotIn", Meaning::Is(Operator::NotIn)),
            ("Exists", Meaning::Is(Operator::Exists)),
            ("DoesNotExist", Meaning::Is(Operator::DoesNotExist)),
        ];
        values::word(&known, node, report)
    });
    let stated = fields.get("values");
    let values = match stated {
        Some(node) => values::list(node, fields.report, values::label_value),
        None => Some(Vec::new()),
    };
    if let (Some(operator), Some(values)) = (operator, &values) {
        let message = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => Some("In and NotIn need at least one of values"),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("Exists and DoesNotExist look at the key only and take no values")
            }
            Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => None,
        };
        if let Some(message) = message {
            stated.unwrap_or(node).contradiction(message.to_owned(), fields.report);
        }
    }
    fields.finish();
    Some(Requirement { key: key?, operator: operator?, values: values? })
}
