//! Label selectors, with the meaning they have in Kubernetes but for one thing: an empty selector selects nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Labels, forms};

/// Chooses devices by their labels. All terms must hold; a selector without terms selects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "matchLabels": { "site": "kiel", "ring": "canary" } }]))]
pub struct LabelSelector {
    /// Labels that a device must have, with exactly these values.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub match_labels: Labels,
    /// Further terms, for what `matchLabels` cannot say: one of several values, another value, any value, no such label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "default" = [],
        "examples" = [[{ "key": "ring", "operator": "NotIn", "values": ["lab"] }, { "key": "gpu", "operator": "Exists" }]],
    ))]
    pub match_expressions: Vec<Requirement>,
}

/// One term of a selector: a label's key, and what must hold of its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [
        {
            "properties": { "operator": { "enum": ["In", "NotIn"] }, "values": { "minItems": 1 } },
            "required": ["values"],
        },
        { "properties": { "operator": { "enum": ["Exists", "DoesNotExist"] }, "values": { "maxItems": 0 } } },
    ],
    "examples" = [{ "key": "ring", "operator": "In", "values": ["canary", "early"] }],
))]
pub struct Requirement {
    /// The label's key.
    #[schemars(with = "forms::LabelKey")]
    pub key: String,
    /// How the label is looked at.
    pub operator: Operator,
    /// The values for `In` and `NotIn`, one at least; none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<forms::LabelValue>", extend("default" = [], "examples" = [["canary", "early"]]))]
    pub values: Vec<String>,
}

/// How a term of a selector looks at a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label is there and its value is one of `values`.
    In,
    /// The label is absent, or its value is none of `values`.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// A selector with terms, where one without makes no sense.
pub(super) enum SomeSelector {}

impl JsonSchema for SomeSelector {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SomeSelector".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = generator.subschema_for::<LabelSelector>();
        schema.insert("description".to_owned(), "A selector with at least one term.".into());
        let any = serde_json::json!([
            { "required": ["matchLabels"], "properties": { "matchLabels": { "minProperties": 1 } } },
            { "required": ["matchExpressions"], "properties": { "matchExpressions": { "minItems": 1 } } },
        ]);
        schema.insert("anyOf".to_owned(), any);
        schema
    }
}

impl LabelSelector {
    /// Whether there are no terms, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether a device with `labels` is chosen.
    pub fn matches(&self, labels: &Labels) -> bool {
        !self.is_empty()
            && self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|term| term.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn term(operator: Operator, values: &[&str]) -> LabelSelector {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        LabelSelector {
            match_expressions: vec![Requirement { key: "site".into(), operator, values }],
            ..Default::default()
        }
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        assert!(!LabelSelector::default().matches(&labels(&[("site", "kiel")])));
    }

    #[test]
    fn every_term_must_hold() {
        let mut selector = term(Operator::Exists, &[]);
        selector.match_labels = labels(&[("ring", "canary")]);
        assert!(selector.matches(&labels(&[("ring", "canary"), ("site", "kiel")])));
        assert!(!selector.matches(&labels(&[("ring", "canary")])));
        assert!(!selector.matches(&labels(&[("site", "kiel")])));
    }

    #[test]
    fn operators_compare_as_they_say() {
        let (kiel, none) = (labels(&[("site", "kiel")]), labels(&[]));
        for (selector, of_kiel, of_none) in [
            (term(Operator::In, &["kiel"]), true, false),
            (term(Operator::In, &["oslo"]), false, false),
            (term(Operator::NotIn, &["kiel"]), false, true),
            (term(Operator::NotIn, &["oslo"]), true, true),
            (term(Operator::Exists, &[]), true, false),
            (term(Operator::DoesNotExist, &[]), false, true),
        ] {
            assert_eq!((selector.matches(&kiel), selector.matches(&none)), (of_kiel, of_none), "{selector:?}");
        }
    }
}
