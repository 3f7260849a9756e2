//! The files of `repo-template/`, and the placeholders in them.

use crate::repo::Edit;

/// What a new repository is made for.
pub(crate) struct Placeholders<'a> {
    pub(crate) branch: &'a str,
    pub(crate) person: &'a str,
    pub(crate) key: &'a str,
    pub(crate) expires: &'a str,
}

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../repo-template/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = embed![
    "README.md",
    "enrollments/factory.yaml",
    "files/about.txt",
    "fleets/edge.yaml",
    "rollouts/edge.yaml",
    "trust/policy.yaml",
];

/// The files of a new repository.
pub(crate) fn files(values: &Placeholders<'_>) -> Vec<Edit> {
    let fill = |text: &str| {
        text.replace("__BRANCH__", values.branch)
            .replace("__PERSON__", values.person)
            .replace("__KEY__", values.key)
            .replace("__EXPIRES__", values.expires)
    };
    FILES.iter().map(|(path, text)| Edit::create(*path, fill(text))).collect()
}
