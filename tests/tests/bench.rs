//! The benches run, and print what docs/performance.md says. Figures of debug builds mean nothing, so none is judged.

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .args(["--output", "json", "--dir"])
        .arg(dir.path())
        .output()
        .expect("the bench starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = std::str::from_utf8(&output.stdout).expect("JSON is text").lines().collect();
    assert_eq!(lines.len(), 1, "one object, and nothing else: {lines:?}");
    serde_json::from_str(lines[0]).expect("it is JSON")
}

fn has_numbers(figures: &Value, names: &[&str]) {
    for name in names {
        assert!(figures[*name].as_f64().is_some_and(|number| number > 0.0), "{name} in {figures}");
    }
}

#[test]
fn verify_prints_its_figures() {
    let figures = bench(&["verify", "--commits", "40", "--fleets", "3"]);
    has_numbers(&figures, &["commits_per_s", "raw_per_s", "ratio_to_raw"]);
    assert_eq!(figures["commits"], 40);
}

#[test]
fn tick_prints_its_figures() {
    let figures = bench(&["tick", "--manifests", "60", "--devices", "10", "--rounds", "3"]);
    has_numbers(&figures, &["unchanged_ms", "fleet_to_plan_ms", "fetch_ms", "unchanged_later_ms", "read_later_ms"]);
    assert_eq!(figures["devices"], 10);
}

#[test]
fn publish_prints_its_figures() {
    let figures = bench(&["publish", "--devices", "60"]);
    has_numbers(&figures, &["devices_per_s", "floor_per_s", "ratio_to_floor"]);
    assert_eq!(figures["devices"], 60);
}

#[test]
fn push_to_applied_prints_its_figures() {
    let figures = bench(&["push-to-applied", "--pushes", "2"]);
    has_numbers(&figures, &["p50_ms", "p99_ms", "git_push_ms", "fsync_ms"]);
}

#[test]
fn simulate_prints_its_figures() {
    let figures = bench(&["simulate", "--devices", "300", "--days", "6"]);
    has_numbers(&figures, &["run_ms", "events", "events_per_s"]);
    assert_eq!((figures["state"].as_str(), figures["healthy"].as_u64()), (Some("Complete"), Some(300)));
}

#[test]
fn plan_prints_its_figures() {
    let figures = bench(&["plan", "--devices", "2000"]);
    has_numbers(&figures, &["full_s", "per_report_us", "peak_mib"]);
    // Of what grows hardly at all, noise makes a slope below zero.
    assert!(["full_slope", "report_slope"].iter().all(|name| figures[*name].is_f64()), "{figures}");
    assert_eq!((figures["devices"].as_u64(), figures["reports"].as_u64()), (Some(2_000), Some(4_000)));
}

#[test]
fn a_bench_that_does_not_exist_is_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).arg("nothing").output().expect("the bench starts");
    assert_eq!(output.status.code(), Some(2));
}
