//! `bellwether schema`: JSON Schemas of the manifests, for editors and other programs.

use std::path::{Path, PathBuf};

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{json_schema, yaml};
use clap::Args;

use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::repo::Edit;

const EXAMPLES: &str = "Examples:
  bellwether schema fleet
  bellwether schema --write .bellwether/schemas/v1      (all of them, as init does it; again after an upgrade)

Editors that know the YAML language server take a manifest's schema from its first line:
  # yaml-language-server: $schema=../.bellwether/schemas/v1/fleet.json";

/// Where a repository has the schemas of `bellwether/v1`.
pub(crate) const FOLDER: &str = ".bellwether/schemas/v1";

/// Options of `schema`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SchemaArgs {
    /// The kind: fleet, rollout, device, enrollment, trustpolicy, approval, hold, expedite or resume; or validation or
    /// comparison, what bellwether validate and diff print with --output json
    #[arg(value_name = "KIND", value_parser = of, required_unless_present = "write")]
    of: Option<Of>,
    /// Write into this folder, as <KIND>.json: of every kind, unless one is named
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Manifest(Kind),
    Validation,
    Comparison,
}

impl Of {
    fn file_name(self) -> String {
        match self {
            Self::Manifest(kind) => json_schema::file_name(kind),
            Self::Validation => json_schema::VALIDATION.to_owned(),
            Self::Comparison => json_schema::COMPARISON.to_owned(),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Manifest(kind) => json_schema::text(kind),
            Self::Validation => json_schema::validation(),
            Self::Comparison => json_schema::comparison(),
        }
    }
}

pub(crate) fn run(args: &SchemaArgs, output: Output) -> Result<(), Failure> {
    match (&args.write, args.of) {
        (Some(dir), of) => write(dir, &of.map_or(Kind::ALL.map(Of::Manifest).to_vec(), |of| vec![of]), output),
        (None, Some(of)) => {
            output::bytes(of.text().as_bytes());
            Ok(())
        }
        (None, None) => unreachable!("the parser asks for one of them"),
    }
}

/// The schemas, as files of a new repository.
pub(crate) fn files() -> impl Iterator<Item = Edit> {
    let path = |kind| format!("{FOLDER}/{}", json_schema::file_name(kind));
    Kind::ALL.into_iter().map(move |kind| Edit::create(path(kind), json_schema::text(kind)))
}

fn write(dir: &Path, all: &[Of], output: Output) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| failure::file("cannot make", dir, &e))?;
    let mut written = Vec::new();
    for of in all {
        let file = dir.join(of.file_name());
        std::fs::write(&file, of.text()).map_err(|e| failure::file("cannot write", &file, &e))?;
        written.push(file);
    }
    match output {
        Output::Json => output::json(&serde_json::json!({ "files": written })),
        Output::Text => written.iter().for_each(|file| output::line(file.display().to_string())),
    }
    Ok(())
}

/// A kind by its word, such as `fleet`; or `validation` or `comparison`.
fn of(text: &str) -> Result<Of, String> {
    let mut all = Kind::ALL.map(Of::Manifest).into_iter().chain([Of::Validation, Of::Comparison]);
    let word = |of: &Of| of.file_name().trim_end_matches(".json").to_owned();
    let names: Vec<_> = all.clone().map(|of| word(&of)).collect();
    all.find(|of| word(of).eq_ignore_ascii_case(text)).ok_or_else(|| {
        let near = yaml::nearest(text, names.iter().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        format!("expected one of {}{near}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word() {
        let manifest = |kind| Ok(Of::Manifest(kind));
        assert!(Kind::ALL.into_iter().all(|kind| of(kind.word()) == manifest(kind)));
        assert_eq!([of("validation"), of("comparison")], [Ok(Of::Validation), Ok(Of::Comparison)]);
        let unknown = of("fleets").expect_err("a folder");
        assert_eq!(unknown.split(", ").count(), Kind::ALL.len() + 2);
        assert!(unknown.ends_with("; did you mean fleet?"), "{unknown}");
        assert!(of("pod").expect_err("of another system").ends_with("validation, comparison"));
    }
}
