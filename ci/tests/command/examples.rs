//! The repositories that `init --example` makes: valid without a warning, and with a rollout that ends.

use std::collections::BTreeSet;

use bellwether_schemas::json_schema;
use bellwether_schemas::manifest::Kind;

use crate::Sandbox;

/// Each example with its fleet, and with the rings whose waves have to have a device.
const EXAMPLES: [(&str, &str, &[&str]); 3] = [
    ("quickstart", "edge", &["canary", "rest"]),
    ("kiosk", "kiosk", &["canary", "rest"]),
    ("gateway", "gateway", &["canary", "pilot", "rest"]),
];

fn with_example(example: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let arguments = ["init", "fleet", "--example", example, "--key", "key", "--author", "Ada <ada@example.com>"];
    let ran = sandbox.bellwether_in(sandbox.dir.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{example}: {}", ran.err);
    sandbox
}

fn assert_valid(sandbox: &Sandbox, example: &str) {
    let ran = sandbox.bellwether(&["validate", "--fail-level", "warning"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "4 manifests, no problems.\n"), "{example}: {}", ran.err);
}

#[test]
fn each_example_is_valid_and_its_rollout_ends() {
    for (example, fleet, rings) in EXAMPLES {
        let sandbox = with_example(example);
        sandbox.git(&["fsck", "--strict"]);
        assert_eq!(sandbox.git(&["status", "--short"]), "", "{example}: git's attributes change nothing");
        assert_valid(&sandbox, example);
        for ring in rings {
            let label = format!("ring={ring}");
            let ran = sandbox.bellwether(&["token", "mint", "factory", "--label", &label, "--commit"]);
            assert_eq!(ran.code, Some(0), "{example}: {}", ran.err);
        }
        assert_valid(&sandbox, example);
        let ran = sandbox.bellwether(&["simulate", "--fleet", fleet, "--next", "--output", "json"]);
        let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(told["outcome"]["state"], "Complete", "{example}: {}{}", ran.out, ran.err);
        let waves = told["outcome"]["waves"].as_array().expect("waves");
        assert_eq!(waves.len(), sandbox.read(&format!("rollouts/{fleet}.yaml")).matches("- name: ").count());
        assert!(waves.iter().all(|wave| wave["members"].as_u64() > Some(0)), "{example}: {waves:?}");
    }
}

#[test]
fn a_new_repository_can_be_simulated_before_it_has_a_device() {
    for (example, fleet, rings) in EXAMPLES {
        let sandbox = with_example(example);
        let told = |arguments: &[&str]| -> serde_json::Value {
            let ran = sandbox.bellwether(&[&["simulate", "--fleet", fleet, "--output", "json"], arguments].concat());
            assert_eq!(ran.code, Some(0), "{example}: {}", ran.err);
            serde_json::from_str(&ran.out).expect("JSON")
        };
        let by_itself = told(&[]);
        assert_eq!(by_itself["outcome"]["state"], "Complete", "{example}");
        assert_eq!(
            (by_itself["scene"]["next"].as_bool(), by_itself["scene"]["devices"].as_u64()),
            (Some(true), Some(100))
        );
        let waves = by_itself["outcome"]["waves"].as_array().expect("waves");
        assert!(waves.iter().all(|wave| wave["members"].as_u64() > Some(0)), "{example}: {waves:?}");
        assert_eq!(told(&["--next"]), by_itself, "{example}");
        let few = told(&["--devices", &rings.len().to_string()]);
        let waves = few["outcome"]["waves"].as_array().expect("waves");
        assert!(waves[0]["members"] == 1 && waves[waves.len() - 1]["members"] == 1, "{example}: {waves:?}");
        let text = sandbox.bellwether(&["simulate", "--fleet", fleet]).out;
        let said = "all made up: git knows none of this fleet yet; their labels are those of enrollments/factory.yaml";
        assert!(text.contains(said) && text.contains("before which nothing landed"), "{example}: {text}");
    }
}

#[test]
fn the_change_that_the_readme_begins_with_is_one_that_rolls_out() {
    for (example, fleet, rings) in EXAMPLES {
        let sandbox = with_example(example);
        for ring in rings {
            sandbox.bellwether(&["token", "mint", "factory", "--label", &format!("ring={ring}"), "--commit"]);
        }
        let readme = sandbox.read("README.md");
        let step = readme.lines().find(|line| line.starts_with("2. ")).expect("the second step is the change");
        let line = step.split('`').rfind(|span| span.contains(": ")).expect("it says what to write");
        let path = format!("fleets/{fleet}.yaml");
        let (key, _) = line.split_once(' ').expect("a key and a value");
        let text = sandbox.read(&path);
        let before = text.lines().find(|found| found.trim_start().starts_with(key)).expect("the key is there");
        sandbox.replace(&path, before.trim_start(), line);
        assert_valid(&sandbox, example);
        sandbox.git(&["commit", "--quiet", "--all", "--message", "The first change"]);
        let ran = sandbox.bellwether(&["simulate", "--fleet", fleet]);
        assert!(
            ran.code == Some(0) && ran.out.contains("The rollout is complete"),
            "{example}: {}{}",
            ran.out,
            ran.err
        );
    }
}

#[test]
fn every_manifest_names_a_schema_that_is_there() {
    for (example, ..) in EXAMPLES {
        let sandbox = with_example(example);
        let listed = sandbox.git(&["ls-files"]);
        let (manifests, others): (Vec<_>, Vec<_>) = listed.lines().partition(|path| Kind::of_path(path).is_some());
        assert_eq!(manifests.len(), 4, "{example}");
        for path in manifests {
            let kind = Kind::of_path(path).expect("a manifest");
            let schema = format!(".bellwether/schemas/v1/{}", json_schema::file_name(kind));
            let expected = format!("# yaml-language-server: $schema=../{schema}");
            assert_eq!(sandbox.read(path).lines().next(), Some(expected.as_str()), "{example}: {path}");
            assert_eq!(sandbox.read(&schema), json_schema::text(kind), "{example}");
        }
        let settings: serde_json::Value = serde_json::from_str(&sandbox.read(".vscode/settings.json")).expect("JSON");
        let schemas = settings["yaml.schemas"].as_object().expect("schemas of folders");
        let named: BTreeSet<_> = schemas.keys().map(|path| path.trim_start_matches("./")).collect();
        let written = others.iter().copied().filter(|path| path.starts_with(".bellwether/schemas/"));
        assert_eq!(named, written.collect(), "{example}");
        for (path, folder) in schemas {
            let folder = folder.as_str().expect("a glob").trim_end_matches("/*.yaml");
            let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder).expect("a folder of manifests");
            assert!(path.ends_with(&format!("/{}", json_schema::file_name(kind))), "{path}: {folder}");
        }
    }
}

#[test]
fn schemas_are_printed_and_written() {
    let sandbox = Sandbox::new();
    let ran = sandbox.bellwether_in(sandbox.dir.path(), &["schema", "rollout"]);
    assert_eq!((ran.code, ran.out), (Some(0), json_schema::text(Kind::Rollout)));
    let ran = sandbox.bellwether_in(sandbox.dir.path(), &["schema", "--write", "to/v1", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let files = told["files"].as_array().expect("files");
    assert_eq!(files.len(), Kind::ALL.len());
    for (file, kind) in files.iter().zip(Kind::ALL) {
        let text = std::fs::read_to_string(sandbox.dir.path().join(file.as_str().expect("a path"))).expect("a file");
        assert_eq!(text, json_schema::text(kind));
    }
    for arguments in [&["schema"][..], &["schema", "fleets"]] {
        let ran = sandbox.bellwether_in(sandbox.dir.path(), arguments);
        assert!(ran.code == Some(2) && ran.err.contains("BW-0720"), "{arguments:?}: {}", ran.err);
    }
}
