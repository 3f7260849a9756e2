//! Why the mirror has no news from the repository.

use std::path::PathBuf;

use bellwether_schemas::{Code, codes};

/// Why the mirror has no news from the repository.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not one.
    #[error("{}: {shown:?} is no address of a repository: {why}", self.code())]
    Address {
        /// What was given.
        shown: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that opens the way to the repository cannot be used.
    #[error("{}: the way to the repository {shown} is closed: {why}", self.code())]
    Access {
        /// Its address, without a password.
        shown: String,
        /// The file, and what is wrong with it.
        why: String,
    },
    /// The repository does not answer.
    #[error("{}: the repository {shown} cannot be reached: {why}", self.code())]
    Unreachable {
        /// Its address, without a password.
        shown: String,
        /// The whole chain of causes.
        why: String,
    },
    /// The repository has no such branch.
    #[error("{}: the repository {shown} has no branch {branch:?}", self.code())]
    NoBranch {
        /// Its address, without a password.
        shown: String,
        /// The branch.
        branch: String,
    },
    /// The branch points to a tag, a tree or a blob.
    #[error("{}: branch {branch:?} of the repository {shown} points to a {kind}, not to a commit", self.code())]
    NoCommit {
        /// Its address, without a password.
        shown: String,
        /// The branch.
        branch: String,
        /// What it points to.
        kind: String,
    },
    /// The repository names its objects by another hash than before.
    #[error(
        "{}: the repository {shown} names its objects by {found}, and the mirror {} has a history by {expected}",
        self.code(),
        dir.display()
    )]
    Hash {
        /// Its address, without a password.
        shown: String,
        /// Its hash.
        found: String,
        /// The hash of the mirror.
        expected: String,
        /// The mirror.
        dir: PathBuf,
    },
    /// An object is too large to be taken in.
    #[error("{}: the repository {shown} has an object that is too large: {why}", self.code())]
    TooLarge {
        /// Its address, without a password.
        shown: String,
        /// The whole chain of causes.
        why: String,
    },
    /// The repository lacks its older history.
    #[error("{}: the repository {shown} is a shallow clone", self.code())]
    Shallow {
        /// Its address, without a password.
        shown: String,
    },
    /// The mirror borrows objects from elsewhere.
    #[error("{}: the mirror {} names alternates, which a mirror never has", self.code(), dir.display())]
    Alternates {
        /// The mirror.
        dir: PathBuf,
    },
    /// The mirror itself cannot be used.
    #[error("{}: the mirror {} cannot be used: {why}", self.code(), dir.display())]
    Mirror {
        /// The mirror.
        dir: PathBuf,
        /// The whole chain of causes.
        why: String,
    },
}

impl FetchError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Address { .. } => codes::REPOSITORY_ADDRESS,
            Self::Access { .. } => codes::REPOSITORY_ACCESS,
            Self::Unreachable { .. } => codes::REPOSITORY_UNREACHABLE,
            Self::NoBranch { .. } => codes::BRANCH_MISSING,
            Self::NoCommit { .. } => codes::BRANCH_NO_COMMIT,
            Self::Hash { .. } => codes::REPOSITORY_HASH,
            Self::TooLarge { .. } => codes::OBJECT_TOO_LARGE,
            Self::Shallow { .. } => codes::REPOSITORY_SHALLOW,
            Self::Alternates { .. } | Self::Mirror { .. } => codes::MIRROR_FAILED,
        }
    }
}
