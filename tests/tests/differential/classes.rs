//! Where git accepts and this verifier does not, and why that is so. What fits in no class fails the test.

use bellwether_schemas::{Code, codes};

/// A kind of disagreement.
pub(crate) struct Class {
    /// What git does.
    pub(crate) name: &'static str,
    /// With what the verifier refuses.
    pub(crate) codes: &'static [Code],
    /// The mutations that lead to it.
    pub(crate) mutations: &'static [&'static str],
    /// Why the verifier does not.
    pub(crate) why: &'static str,
}

/// All of them.
pub(crate) const CLASSES: &[Class] = &[];

/// The class of a disagreement.
pub(crate) fn classify(mutation: &str, code: Code) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.codes.contains(&code) && class.mutations.contains(&mutation))
}
