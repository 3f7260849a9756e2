//! A history told landing by landing: each is signed, verified and declared, as the reconciler does it.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use bellwether_schemas::CommitId;
use bellwether_schemas::manifest::{Kind, Labels};

use super::{ADA, NOW, PolicyText, Repository};
use crate::declare::{Declared, FleetLine};
use crate::verify::{VerifiedHistory, VerifiedLanding};

/// Rules under which ada may change everything.
const RULES: &str = r#"[{"paths": ["trust/**"], "role": "owners"}, {"paths": ["**"], "role": "owners"}]"#;

/// A name, an id or a path from its text.
pub(crate) fn name<T: FromStr>(text: &str) -> T
where
    T::Err: Debug,
{
    text.parse().expect("a well-formed literal")
}

/// Labels from pairs.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The manifest at `path`, of the kind and name that its path asks for.
pub(crate) fn manifest(path: &str, spec: &str) -> String {
    let kind = Kind::of_path(path).expect("a path of a manifest");
    let (_, file) = path.split_once('/').expect("a path in a folder");
    let name = file.strip_suffix(".yaml").expect("a YAML file");
    format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// A repository and what the reconciler makes of it.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) repository: Repository,
    pub(crate) history: VerifiedHistory,
    pub(crate) declared: Declared,
}

impl Story {
    /// Begins with an introduction that has these files; a manifest is given by its spec alone.
    pub(crate) fn begin(files: &[(&str, &str)]) -> Self {
        Self::begin_after(&[], files)
    }

    /// Begins with an introduction after one earlier commit that nobody signed.
    pub(crate) fn begin_after(earlier: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let mut repository = Repository::default();
        let mut parents = Vec::new();
        if !earlier.is_empty() {
            write(&mut repository, earlier);
            parents.push(repository.commit(&[], None));
        }
        repository.put("trust/policy.yaml", PolicyText { rules: RULES, ..PolicyText::default() }.text());
        write(&mut repository, files);
        let commit = repository.commit(&parents, Some(ADA));
        let (history, landing) = repository.introduce(commit).expect("the introduction counts");
        let declared = Declared::introduce(&repository.objects, &landing).expect("every object is there");
        Self { repository, history, declared }
    }

    /// Writes a file as it is.
    pub(crate) fn put(&mut self, path: &str, content: &str) -> &mut Self {
        self.repository.put(path, content);
        self
    }

    /// Writes a manifest, given by its spec.
    pub(crate) fn say(&mut self, path: &str, spec: &str) -> &mut Self {
        self.put(path, &manifest(path, spec))
    }

    /// Takes a file away.
    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        self.repository.remove(path);
        self
    }

    /// Verifies the files as the next landing, without declaring it.
    pub(crate) fn verify(&mut self) -> Arc<VerifiedLanding> {
        let commit = self.repository.commit(&[self.head()], Some(ADA));
        let mut advanced = self.history.advance(&self.repository.objects, &commit, NOW);
        assert!(advanced.stop.is_none(), "{:?}", advanced.stop);
        advanced.landings.pop().expect("one landing")
    }

    /// Lands the files, and returns the landing's number.
    pub(crate) fn land(&mut self) -> u64 {
        let landing = self.verify();
        self.declared.land(&self.repository.objects, &landing).expect("every object is there");
        landing.number()
    }

    /// The accepted head.
    pub(crate) fn head(&self) -> CommitId {
        *self.history.head()
    }

    /// A fleet at the head.
    pub(crate) fn fleet(&self, fleet: &str) -> &FleetLine {
        &self.declared.fleets()[&name(fleet)]
    }

    /// The landing number of a fleet's template commit.
    pub(crate) fn template_commit(&self, fleet: &str) -> u64 {
        self.fleet(fleet).target.landing.number
    }
}

fn write(repository: &mut Repository, files: &[(&str, &str)]) {
    for (path, content) in files {
        match Kind::of_path(path) {
            Some(_) if content.starts_with('{') => repository.put(path, manifest(path, content)),
            _ => repository.put(path, *content),
        };
    }
}
