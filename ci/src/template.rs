//! The files of `repo-template/`, what a repository gets besides them, and the placeholders in them.

use bellwether_core::verify::POLICY_PATH;
use clap::ValueEnum;

use crate::repo::Edit;
use crate::schema;
use crate::token_edit::quoted;

/// What a new repository is made for.
pub(crate) struct Placeholders<'a> {
    pub(crate) branch: &'a str,
    pub(crate) person: &'a str,
    pub(crate) key: &'a str,
    pub(crate) expires: &'a str,
}

/// The fleet that a new repository begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Example {
    /// The smallest fleet that has a canary
    #[default]
    Quickstart,
    /// Displays in shops: a configuration from a template, and waves at night by each shop's clock
    Kiosk,
    /// Industrial gateways: an artifact, two rings, and a gate before all plants
    Gateway,
}

/// Files as (path in the repository, content).
type Files = &'static [(&'static str, &'static str)];

macro_rules! embed {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../repo-template/", $folder, "/", $path)))),*]
    };
}

const COMMON: Files = embed!["common":
    ".gitattributes",
    ".gitignore",
    ".gitlab-ci.yml",
    ".pre-commit-config.yaml",
    ".vscode/extensions.json",
    ".vscode/settings.json",
    "CODEOWNERS",
    "README.md",
    "trust/policy.yaml",
];

const QUICKSTART: Files = embed!["examples/quickstart":
    "README.md",
    "enrollments/factory.yaml",
    "files/about.txt",
    "fleets/edge.yaml",
    "rollouts/edge.yaml",
];

const KIOSK: Files = embed!["examples/kiosk":
    "README.md",
    "enrollments/factory.yaml",
    "files/display.json",
    "fleets/kiosk.yaml",
    "rollouts/kiosk.yaml",
];

const GATEWAY: Files = embed!["examples/gateway":
    "README.md",
    "artifacts/telemetry-1.0.0",
    "enrollments/factory.yaml",
    "fleets/gateway.yaml",
    "rollouts/gateway.yaml",
];

/// What pipelines run, each where the others look for it.
const PIPELINES: Files = &[
    (WORKFLOW, include_str!("../github/workflow.yml")),
    (".bellwether/ci/comment", include_str!("../comment")),
    (".bellwether/ci/fetch-command", include_str!("../fetch-command")),
    (".bellwether/ci/github/action.yml", include_str!("../github/action.yml")),
    (".bellwether/ci/gitlab/bellwether.yml", include_str!("../gitlab/bellwether.yml")),
    (".bellwether/ci/pull-request", include_str!("../pull-request")),
];

/// The workflow that names the branch which it watches.
const WORKFLOW: &str = ".github/workflows/fleet.yml";

/// The path of the text that an example's README becomes a part of.
const README: &str = "README.md";

/// What every manifest of the template begins with: where editors find its schema.
const SCHEMA_LINE: &str = "# yaml-language-server:";

impl Example {
    const fn files(self) -> Files {
        match self {
            Self::Quickstart => QUICKSTART,
            Self::Kiosk => KIOSK,
            Self::Gateway => GATEWAY,
        }
    }

    /// Its fleet.
    pub(crate) const fn fleet(self) -> &'static str {
        match self {
            Self::Quickstart => "edge",
            Self::Kiosk => "kiosk",
            Self::Gateway => "gateway",
        }
    }

    /// The last wave of its rollout.
    const fn last_wave(self) -> &'static str {
        match self {
            Self::Quickstart => "rest",
            Self::Kiosk => "shops",
            Self::Gateway => "plants",
        }
    }

    fn readme(self) -> &'static str {
        let found = self.files().iter().find(|(path, _)| *path == README);
        found.expect("each example has a README").1
    }
}

impl Placeholders<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("__BRANCH__", self.branch)
            .replace("__PERSON__", self.person)
            .replace("__KEY__", self.key)
            .replace("__EXPIRES__", self.expires)
    }
}

/// The files of a new repository.
pub(crate) fn files(example: Example, values: &Placeholders<'_>) -> Vec<Edit> {
    let own = example.files().iter().filter(|(path, _)| *path != README);
    let written = COMMON.iter().chain(PIPELINES).chain(own).map(|(path, text)| {
        let text = match *path {
            README => of_example(text, example),
            WORKFLOW => text.replace("branches: [main]", &format!("branches: [{}]", quoted(values.branch))),
            _ => (*text).to_owned(),
        };
        Edit::create(*path, values.fill(&text))
    });
    written.chain(schema::files()).collect()
}

/// The first policy for a repository that has its own files, and perhaps no schemas.
pub(crate) fn policy(values: &Placeholders<'_>) -> Edit {
    let text = COMMON.iter().find(|(path, _)| *path == POLICY_PATH).expect("the template has a policy").1;
    let lines = text.split_inclusive('\n').skip_while(|line| line.starts_with(SCHEMA_LINE));
    Edit::create(POLICY_PATH, values.fill(&lines.collect::<String>()))
}

fn of_example(text: &str, example: Example) -> String {
    text.replace("__EXAMPLE__\n", example.readme())
        .replace("__FLEET__", example.fleet())
        .replace("__WAVE__", example.last_wave())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The files beneath a folder, as paths in it.
    fn beneath(folder: &Path) -> BTreeSet<PathBuf> {
        let (mut folders, mut found) = (vec![folder.to_owned()], BTreeSet::new());
        while let Some(dir) = folders.pop() {
            for entry in std::fs::read_dir(&dir).expect("a folder") {
                let path = entry.expect("it can be listed").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(found.insert(path.strip_prefix(folder).expect("beneath it").to_owned())),
                }
            }
        }
        found
    }

    #[test]
    fn every_file_of_the_template_is_in_the_command() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../repo-template");
        for (folder, files) in [
            ("common", COMMON),
            ("examples/quickstart", QUICKSTART),
            ("examples/kiosk", KIOSK),
            ("examples/gateway", GATEWAY),
        ] {
            let embedded: BTreeSet<_> = files.iter().map(|(path, _)| PathBuf::from(path)).collect();
            assert_eq!(beneath(&top.join(folder)), embedded, "{folder}");
        }
    }

    #[test]
    fn an_example_is_called_what_its_files_say() {
        for example in Example::value_variants() {
            let path = format!("rollouts/{}.yaml", example.fleet());
            let (_, rollout) = example.files().iter().find(|(found, _)| *found == path).expect("its Rollout");
            let waves: Vec<_> = rollout.lines().filter_map(|line| line.strip_prefix("    - name: ")).collect();
            assert_eq!(waves.last(), Some(&example.last_wave()), "{path}");
        }
    }

    #[test]
    fn nothing_stays_to_be_filled_in() {
        let values =
            Placeholders { branch: "main", person: "ada", key: "ssh-ed25519 A", expires: "2030-01-01T00:00:00Z" };
        for example in Example::value_variants() {
            for file in files(*example, &values) {
                let text = String::from_utf8(file.after.unwrap_or_default()).expect("text");
                let left =
                    text.split("__").skip(1).step_by(2).find(|word| word.bytes().all(|c| c.is_ascii_uppercase()));
                assert_eq!(left, None, "{}", file.path);
            }
        }
    }

    #[test]
    fn a_heading_has_an_empty_line_above_it() {
        for example in Example::value_variants() {
            let text = of_example(COMMON.iter().find(|(path, _)| *path == README).expect("a README").1, *example);
            let (mut above, mut is_code) = ("", false);
            for line in text.lines() {
                is_code ^= line.starts_with("```");
                assert!(is_code || !line.starts_with("## ") || above.is_empty(), "{above}\n{line}");
                assert!(!(line.is_empty() && above.is_empty()) || is_code, "two empty lines: {example:?}");
                above = line;
            }
        }
    }

    #[test]
    fn a_policy_alone_names_no_schema() {
        let values =
            Placeholders { branch: "main", person: "ada", key: "ssh-ed25519 A", expires: "2030-01-01T00:00:00Z" };
        let text = String::from_utf8(policy(&values).after.unwrap_or_default()).expect("text");
        assert!(text.starts_with("# Who may sign what.") && text.contains("    ada:\n"), "{text}");
    }
}
