//! What a YAML text says, without its layout: so that a change of the text can be held against what was meant.

use super::Step;
use super::tree::{self, Node};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `plain` is without quotes, which may be a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    /// Lines below `|` or `>`.
    Block,
}

impl super::Document {
    /// What the text says.
    pub(crate) fn shape(&self) -> Shape {
        shape(&self.root)
    }

    /// How the scalar at a place is written; `None` where there is none.
    pub(crate) fn style(&self, path: &[Step<'_>]) -> Option<Style> {
        match &self.at(path).ok()?.value {
            tree::Value::Scalar { style, .. } => Some(*style),
            tree::Value::List { .. } | tree::Value::Map { .. } => None,
        }
    }
}

fn shape(node: &Node) -> Shape {
    match &node.value {
        tree::Value::Scalar { text, style } => Shape::Scalar { text: text.clone(), plain: *style == Style::Plain },
        tree::Value::List { items, .. } => Shape::List(items.iter().map(shape).collect()),
        tree::Value::Map { entries, .. } => {
            Shape::Map(entries.iter().map(|entry| (entry.key.clone(), shape(&entry.node))).collect())
        }
    }
}

impl Shape {
    /// The value at a place.
    pub(crate) fn at(&self, path: &[Step<'_>]) -> Option<&Self> {
        path.iter().try_fold(self, |shape, step| match (step, shape) {
            (Step::Key(key), Self::Map(entries)) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Step::Item(at), Self::List(items)) => items.get(*at),
            _ => None,
        })
    }

    /// The same, to be changed.
    pub(crate) fn at_mut(&mut self, path: &[Step<'_>]) -> Option<&mut Self> {
        path.iter().try_fold(self, |shape, step| match (step, shape) {
            (Step::Key(key), Self::Map(entries)) => {
                entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Step::Item(at), Self::List(items)) => items.get_mut(*at),
            _ => None,
        })
    }
}
