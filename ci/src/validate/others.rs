//! The files that are no manifests: each is read once, for secrets and for what should be a manifest and lies where none is read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::manifest::Kind;
use bellwether_schemas::yaml::nearest;
use bellwether_schemas::{API_VERSION, codes};
use rayon::prelude::*;

use super::listing::files_below;
use super::manifests::Manifests;
use super::secrets::Search;

/// What is read of a file, in bytes; what is longer is no configuration.
const LOOKED_AT: u64 = 1 << 20;

/// How much of a file is looked at for what it is, in bytes.
const HEAD: usize = 4 << 10;

/// Folders in which YAML is whatever fleets make of it.
const FREE: [&str; 2] = ["files", "artifacts"];

/// Secrets in manifests and in all other files that git lists or specs may be made of, and manifests in folders that nobody reads.
pub(super) fn problems(manifests: &Manifests) -> Vec<Diagnostic> {
    let search = Search::of(manifests);
    let in_manifests = manifests.texts.par_iter().flat_map_iter(|(path, text)| search.through(path, text));
    let others = others(manifests);
    let in_others = others.par_iter().flat_map_iter(|path| {
        let text = read(&manifests.root.join(path)).unwrap_or_default();
        let mut found = search.through(path, &text);
        found.extend(elsewhere(path, &text));
        found
    });
    in_manifests.chain(in_others).collect()
}

/// What git lists, what lies in files/, and in folders that are probably misspelt; without the manifests.
fn others(manifests: &Manifests) -> BTreeSet<String> {
    let mut paths = manifests.index.as_ref().map(|index| index.paths()).unwrap_or_default();
    paths.retain(|path| !manifests.texts.contains_key(path));
    paths.extend(files_below(&manifests.root, FREE[0]));
    for folder in misspelt(&manifests.root) {
        paths.extend(files_below(&manifests.root, &folder));
    }
    paths
}

/// Folders of the repository whose names are almost those of folders of manifests.
fn misspelt(root: &Path) -> Vec<String> {
    let folders = Kind::ALL.map(Kind::folder);
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_type().is_ok_and(|file_type| file_type.is_dir()));
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| !folders.contains(&name.as_str()) && nearest(name, folders).is_some()).collect()
}

/// A plain file. One that cannot be read is told of where something names it.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if fs::symlink_metadata(path)?.is_file() {
        File::open(path)?.take(LOOKED_AT).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// A manifest in a folder that is not read. What lies in the folder of another kind is told there.
fn elsewhere(path: &str, text: &[u8]) -> Option<Diagnostic> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))?;
    let top = folder.split('/').next().unwrap_or_default();
    if FREE.contains(&top) || Kind::ALL.iter().any(|kind| kind.folder() == top) {
        return None;
    }
    let kind = kind_of(&text[..text.len().min(HEAD)])?;
    let place = match kind {
        Kind::TrustPolicy => "trust/policy.yaml".to_owned(),
        kind => format!("{}/{stem}.yaml", kind.folder()),
    };
    let folder = kind.folder();
    let message = format!("this {kind} counts for nothing: it does not lie in {folder}/, and nobody reads it here");
    let problem = Diagnostic::error(codes::MANIFEST_ELSEWHERE, path, message);
    let problem = problem.hint(format!("mkdir -p {folder} && mv -n {path} {place}"));
    Some(Diagnostic { severity: Severity::Warning, ..problem })
}

/// The kind of manifest that a text says it is.
fn kind_of(head: &[u8]) -> Option<Kind> {
    let field = |name: &str| {
        let mut values = head.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(name.as_bytes()));
        let value = std::str::from_utf8(values.next()?).ok()?;
        Some(value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']))
    };
    let (api_version, kind) = (field("apiVersion:")?, field("kind:")?);
    Kind::ALL.into_iter().find(|known| api_version == API_VERSION && known.word() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_that_it_is_a_manifest_is_told_where_none_is_read() {
        let fleet = "# edge\napiVersion: bellwether/v1\nkind: \"Fleet\" # all of them\n";
        let hint = |path: &str, text: &str| elsewhere(path, text.as_bytes())?.hint;
        for path in ["fleet/edge.yaml", "edge.yaml", "old/fleets/edge.yml"] {
            let said = hint(path, fleet).unwrap_or_default();
            assert_eq!(said, format!("mkdir -p fleets && mv -n {path} fleets/edge.yaml"));
        }
        let policy = "kind: TrustPolicy\napiVersion: bellwether/v1\n";
        assert_eq!(
            hint("trsut/p.yaml", policy).as_deref(),
            Some("mkdir -p trust && mv -n trsut/p.yaml trust/policy.yaml")
        );
        for path in ["files/edge.yaml", "fleets/old/edge.yaml", "fleet/edge.txt"] {
            assert_eq!(hint(path, fleet), None, "{path}");
        }
        let deployment = "apiVersion: apps/v1\nkind: Fleet\n";
        for text in
            [deployment, "apiVersion: bellwether/v1\nkind: Fleets\n", "on: push\n", "  apiVersion: bellwether/v1\n"]
        {
            assert_eq!(hint("k8s/edge.yaml", text), None, "{text}");
        }
    }
}
