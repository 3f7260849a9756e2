//! `bellwether schema`: JSON Schemas of the manifests, for editors and other programs.

use std::path::{Path, PathBuf};

use bellwether_schemas::json_schema;
use bellwether_schemas::manifest::Kind;
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
    /// The kind: fleet, rollout, device, enrollment, trustpolicy, approval, hold, expedite or resume
    #[arg(value_parser = kind, required_unless_present = "write")]
    kind: Option<Kind>,
    /// Write into this folder, as <kind>.json: of every kind, unless one is named
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

pub(crate) fn run(args: &SchemaArgs, output: Output) -> Result<(), Failure> {
    match (&args.write, args.kind) {
        (Some(dir), kind) => {
            let kinds = kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
            write(dir, &kinds, output)
        }
        (None, Some(kind)) => {
            output::bytes(json_schema::text(kind).as_bytes());
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

fn write(dir: &Path, kinds: &[Kind], output: Output) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|e| failure::file("cannot make", dir, &e))?;
    let mut written = Vec::new();
    for kind in kinds {
        let file = dir.join(json_schema::file_name(*kind));
        std::fs::write(&file, json_schema::text(*kind)).map_err(|e| failure::file("cannot write", &file, &e))?;
        written.push(file);
    }
    match output {
        Output::Json => output::json(&serde_json::json!({ "files": written })),
        Output::Text => written.iter().for_each(|file| output::line(file.display().to_string())),
    }
    Ok(())
}

/// A kind by its word, such as `fleet`.
fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("expected one of {}", Kind::ALL.map(|kind| kind.word().to_lowercase()).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word() {
        assert!(Kind::ALL.into_iter().all(|of| kind(of.word()) == Ok(of) && kind(&of.word().to_lowercase()) == Ok(of)));
        assert_eq!(kind("fleets").expect_err("a folder").split(", ").count(), Kind::ALL.len());
    }
}
