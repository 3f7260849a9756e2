//! Each form beside the reader: what the reader takes, the form matches.

use proptest::strategy::{Strategy, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::manifest::{Probe, Window};
use crate::quantity::{Percent, Seconds};
use crate::yaml;

/// A Fleet with a field at `place` of its template.
fn fleet(place: &str, value: &str) -> (&'static str, Value) {
    let mut template = json!({
        "files": [{ "path": "/etc/a", "source": "files/a" }],
        "artifacts": [{ "name": "a", "source": { "path": "artifacts/a" }, "sha256": "a".repeat(64), "length": 1, "dest": "/opt/a" }],
        "probes": [{ "http": { "url": "http://localhost" } }],
    });
    *template.pointer_mut(place).expect("a field") = value.into();
    let spec = json!({ "selector": {}, "template": template });
    (
        "fleets/a.yaml",
        json!({ "apiVersion": "bellwether/v1", "kind": "Fleet", "metadata": { "name": "a" }, "spec": spec }),
    )
}

/// A Rollout with such a window or budget.
fn rollout(field: &str, value: Value) -> (&'static str, Value) {
    let spec = json!({ field: [value] });
    (
        "rollouts/a.yaml",
        json!({ "apiVersion": "bellwether/v1", "kind": "Rollout", "metadata": { "name": "a" }, "spec": spec }),
    )
}

/// A Device with such labels.
fn device(key: &str, value: &str) -> (&'static str, Value) {
    let spec = json!({ "labels": { key: value } });
    (
        "devices/a.yaml",
        json!({ "apiVersion": "bellwether/v1", "kind": "Device", "metadata": { "name": "a" }, "spec": spec }),
    )
}

/// A TrustPolicy with such a key and such a path.
fn policy(key: &str, path: &str) -> (&'static str, Value) {
    let spec = json!({
        "version": 1,
        "branch": "main",
        "expires": "2030-01-31T12:00:00Z",
        "people": { "alice": { "ssh": [key] } },
        "roles": { "admins": { "members": ["alice"] } },
        "rules": [{ "paths": ["trust/**"], "role": "admins" }, { "paths": [path], "role": "admins" }],
    });
    let metadata = json!({ "name": "a" });
    (
        "trust/policy.yaml",
        json!({ "apiVersion": "bellwether/v1", "kind": "TrustPolicy", "metadata": metadata, "spec": spec }),
    )
}

/// Reads manifests with made-up texts, and matches those that the reader takes.
fn holds(pattern: &str, texts: &str, manifest: impl Fn(&str) -> (&'static str, Value)) {
    let form = Regex::new(pattern).expect("a pattern");
    let mut taken = 0_u32;
    let mut runner = TestRunner::deterministic();
    let texts = string_regex(texts).expect("a pattern");
    for _ in 0..500 {
        let text = texts.new_tree(&mut runner).expect("a text").current();
        let (path, manifest) = manifest(&text);
        if yaml::parse(path, manifest.to_string().as_bytes()).is_ok() {
            taken += 1;
            assert!(form.is_match(&text), "the reader takes {text:?}, {pattern} does not");
        }
    }
    assert!((20..500).contains(&taken), "{pattern}: {taken} of 500 texts are taken, which tests little");
}

#[test]
fn what_the_reader_takes_has_the_form() {
    holds(LABEL_KEY, "([a-zA0-9._-]{1,4}/)?[a-zA-Z0-9._é -]{1,4}", |text| device(text, "a"));
    holds(LABEL_VALUE, "[a-zA-Z0-9._é -]{0,4}", |text| device("a", text));
    holds(DEVICE_PATH, "/[a./é \\{]{1,6}", |text| fleet("/files/0/path", text));
    holds(DEVICE_PATH, "[a/.]{0,2}(\\{\\{|\\{%|\\{|/b)[a/.]{0,2}", |text| fleet("/artifacts/0/dest", text));
    holds(FILES_PATH, "files/[a./é ]{1,6}", |text| fleet("/files/0/source", text));
    holds(ARTIFACTS_PATH, "artifacts/[a./é ]{1,6}", |text| fleet("/artifacts/0/source/path", text));
    let url = "http://(\\[[0-9a:]{1,4}\\]|[a-zA-Z0-9.-]{1,5}|\\{\\{ x)(:[0-9]{1,6}|:)?(/[ -~]{0,6})?";
    holds(HTTP_URL, url, |text| fleet("/probes/0/http/url", text));
    holds(ZONE_OF_LABEL, "label:([a-zA._-]{1,3}/)?[a-zA-Z0-9._é-]{1,3}", |text| {
        rollout("windows", json!({ "start": "02:00", "duration": "1h", "timezone": text }))
    });
    let key = "(ssh-|sk-|ecdsa-sha2-|rsa)[a-z0-9@.-]{0,4} [A-Za-z0-9+/]{64}[A-Za-z0-9+/]{0,4}={0,2}( [ -~é]{0,6}| )?";
    holds(SSH_KEY, key, |text| policy(text, "**"));
    let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtMUC0zKP3o8pVo4A3NSxxpcS9A1zPHnvvRdiF9s3lD";
    holds(GLOB, "[a*./é ]{1,6}", |text| policy(good, text));
}

#[test]
fn times_and_percentages_are_exactly_those_that_are_taken() {
    let duration = <Seconds as JsonSchema>::json_schema(&mut SchemaGenerator::default());
    let duration = Regex::new(duration.as_value()["pattern"].as_str().expect("a pattern")).expect("a pattern");
    let (hour, attempt) = (Probe::LONGEST_PAUSE, Seconds::new(1)..=Seconds::new(300));
    let forms = [SOME_TIME, AN_HOUR_AT_MOST, ATTEMPT, OPEN].map(|form| Regex::new(form).expect("a pattern"));
    for number in (0..1_500).chain(3_590..3_610).chain(9_990..10_010).chain(86_390..86_410) {
        for text in
            ["s", "m", "h", "d"].iter().flat_map(|unit| [format!("{number}{unit}"), format!("00{number}{unit}")])
        {
            // More days than the type has seconds are left to the reader.
            let Ok(time) = text.parse::<Seconds>() else { continue };
            let open = (Window::MIN_DURATION..=Window::MAX_DURATION).contains(&time);
            let expected = [time != Seconds::ZERO, time <= hour, attempt.contains(&time), open];
            let found = forms.each_ref().map(|form| duration.is_match(&text) && form.is_match(&text));
            assert_eq!(found, expected, "{text}");
        }
    }
    let percent = <Percent as JsonSchema>::json_schema(&mut SchemaGenerator::default());
    let percent = Regex::new(percent.as_value()["pattern"].as_str().expect("a pattern")).expect("a pattern");
    let above = Regex::new(SOME_PERCENT).expect("a pattern");
    for whole in 0..=1_000 {
        for text in ["", ".", ".0", ".5", ".05", ".00", ".005"]
            .iter()
            .flat_map(|part| [format!("{whole}{part}%"), format!("0{whole}{part}%")])
        {
            let read: Option<Percent> = text.parse().ok();
            assert_eq!(percent.is_match(&text), read.is_some(), "{text}");
            assert_eq!(
                above.is_match(&text),
                read.map_or(above.is_match(&text), |read| read != Percent::ZERO),
                "{text}"
            );
        }
    }
}
