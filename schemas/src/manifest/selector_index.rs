//! Many selectors at once: those that match some labels are found without asking each.

use std::collections::HashMap;

use super::{LabelSelector, Labels, Operator};

/// A label with a value.
type Pair<'s> = (&'s str, &'s str);

/// Selectors, each with what it selects for.
#[derive(Debug)]
pub struct SelectorIndex<'s, T> {
    entries: Vec<(&'s LabelSelector, T)>,
    /// The selectors that need one of some labels with these values.
    by_pair: HashMap<Pair<'s>, Vec<usize>>,
    /// Those that need none, and must be asked.
    others: Vec<usize>,
}

impl<'s, T> SelectorIndex<'s, T> {
    /// Finds for each selector a term that few selectors have.
    pub fn new(entries: impl IntoIterator<Item = (&'s LabelSelector, T)>) -> Self {
        let entries: Vec<_> = entries.into_iter().filter(|(selector, _)| !selector.is_empty()).collect();
        let mut common: HashMap<Pair<'s>, usize> = HashMap::new();
        for pair in entries.iter().flat_map(|(selector, _)| terms(selector)).flatten() {
            *common.entry(pair).or_default() += 1;
        }
        let (mut by_pair, mut others) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (place, (selector, _)) in entries.iter().enumerate() {
            let cost = |term: &Vec<Pair<'s>>| term.iter().map(|pair| common[pair]).sum::<usize>();
            match terms(selector).min_by_key(cost) {
                Some(term) => term.into_iter().for_each(|pair| by_pair.entry(pair).or_default().push(place)),
                None => others.push(place),
            }
        }
        Self { entries, by_pair, others }
    }

    /// What the selectors that match these labels select for, in the order in which they were given.
    pub fn matching(&self, labels: &Labels) -> Vec<&T> {
        let pairs = labels.iter().filter_map(|(key, value)| self.by_pair.get(&(key.as_str(), value.as_str())));
        let mut places: Vec<_> = pairs.flatten().chain(&self.others).copied().collect();
        places.retain(|place| self.entries[*place].0.matches(labels));
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| &self.entries[place].1).collect()
    }
}

/// For each term that some label must satisfy by its value: the labels that would.
fn terms(selector: &LabelSelector) -> impl Iterator<Item = Vec<Pair<'_>>> {
    let labels = selector.match_labels.iter().map(|(key, value)| vec![(key.as_str(), value.as_str())]);
    let expressions = selector.match_expressions.iter().filter(|term| term.operator == Operator::In);
    labels.chain(expressions.map(|term| term.values.iter().map(|value| (term.key.as_str(), value.as_str())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Requirement;
    use proptest::prelude::*;

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[a-c]", "[x-z]", 0..4).prop_map(Labels::from_iter)
    }

    fn term() -> impl Strategy<Value = Requirement> {
        let operator = prop_oneof![
            Just(Operator::In),
            Just(Operator::NotIn),
            Just(Operator::Exists),
            Just(Operator::DoesNotExist)
        ];
        ("[a-c]", operator, proptest::collection::vec("[x-z]", 0..3)).prop_map(|(key, operator, values)| Requirement {
            key,
            operator,
            values,
        })
    }

    proptest! {
        #[test]
        fn it_finds_those_that_match_when_each_is_asked(
            selectors in proptest::collection::vec((labels(), proptest::collection::vec(term(), 0..3)), 0..20),
            labels in labels(),
        ) {
            let selectors: Vec<_> = selectors
                .into_iter()
                .map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions })
                .collect();
            let index = SelectorIndex::new(selectors.iter().zip(0..));
            let found: Vec<usize> = index.matching(&labels).into_iter().copied().collect();
            let each = selectors.iter().enumerate().filter(|(_, selector)| selector.matches(&labels));
            prop_assert_eq!(found, each.map(|(place, _)| place).collect::<Vec<_>>());
        }
    }
}
