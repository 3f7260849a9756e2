//! Why something does not count.

use bellwether_schemas::{Code, CommitId, codes};

use crate::objects::ObjectError;

/// Why a landing does not count, and where. The accepted head stays in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("landing {} is refused: {why}", .commit.short())]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The landing, or the commit that could not be read.
    pub commit: CommitId,
    /// The path in its tree, when there is one.
    pub path: Option<String>,
    /// The rule of the policy that does not hold, as text.
    pub rule: Option<String>,
    /// What is wrong, in a sentence fragment.
    pub why: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl Refusal {
    /// The rule, where `why` does not name it already: most reasons do.
    pub fn untold_rule(&self) -> Option<&str> {
        untold(&self.rule, &self.why)
    }

    /// Whether the same tip is refused again for certain, as long as introduction, branch and accepted head stay what
    /// they are: then it need not be read again. Objects may come or be mended, and the clock goes on.
    pub fn is_final_for_tip(&self) -> bool {
        ![codes::OBJECT_MISSING, codes::OBJECT_DAMAGED, codes::POLICY_EXPIRED].contains(&self.code)
    }
}

/// What is wrong with a commit, tree, signature or policy, before it is known at which landing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// The path, when there is one.
    pub path: Option<String>,
    /// The rule of the policy that does not hold, as text.
    pub rule: Option<String>,
    /// What is wrong, in a sentence fragment.
    pub why: String,
}

impl Fault {
    /// The rule, where `why` does not name it already: most reasons do.
    pub fn untold_rule(&self) -> Option<&str> {
        untold(&self.rule, &self.why)
    }

    pub(crate) fn new(code: Code, why: impl Into<String>) -> Self {
        Self { code, path: None, rule: None, why: why.into() }
    }

    #[must_use]
    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    #[must_use]
    pub(crate) fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Whether it may be gone another time: an object may come with a fetch or be mended.
    pub(crate) fn is_passing(&self) -> bool {
        [codes::OBJECT_MISSING, codes::OBJECT_DAMAGED].contains(&self.code)
    }

    /// The refusal of `commit` for this reason.
    pub(crate) fn at(self, commit: CommitId) -> Refusal {
        let hint = codes::explain(self.code.as_str()).map_or("", |explanation| explanation.mend);
        Refusal { code: self.code, commit, path: self.path, rule: self.rule, why: self.why, hint }
    }
}

fn untold<'a>(part: &'a Option<String>, why: &str) -> Option<&'a str> {
    part.as_deref().filter(|part| !why.contains(part))
}

impl From<ObjectError> for Fault {
    fn from(error: ObjectError) -> Self {
        let code = match error {
            ObjectError::Missing(_) => codes::OBJECT_MISSING,
            ObjectError::WrongKind { .. } => codes::OBJECT_KIND,
            ObjectError::TooLarge { .. } => codes::OBJECT_TOO_LARGE,
            ObjectError::Collision(_) => codes::SHA1_COLLISION,
            ObjectError::Corrupt(_) | ObjectError::Unreadable { .. } => codes::OBJECT_DAMAGED,
        };
        Self::new(code, error.to_string())
    }
}
