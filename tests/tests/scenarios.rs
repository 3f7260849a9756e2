//! Every scenario in `scenarios/` prints what it says, and `docs/rollouts.md` is made of them.
//!
//! `BLESS=1` writes what they print now, and the manual; `SCENARIO=307` runs those with that in their names.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bellwether_tests::scenario::manual::manual;
use bellwether_tests::scenario::run;
use bellwether_tests::scenario::script::Script;

const HINT: &str = "if that is meant: BLESS=1 cargo nextest run -p bellwether-tests --test scenarios";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn is_blessed() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// The names of the scenarios' files, in order.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("scenarios")).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.retain(|name| name.ends_with(".txt"));
    names.sort();
    names
}

fn read(name: &str) -> Result<(String, Script), String> {
    let text =
        std::fs::read_to_string(root().join("scenarios").join(name)).map_err(|error| format!("{name}: {error}"))?;
    let script = Script::parse(&text).map_err(|why| format!("scenarios/{name}:{why}"))?;
    Ok((text, script))
}

/// Runs one scenario; what is wrong with it.
fn check(name: &str) -> Result<(), String> {
    let (text, script) = read(name)?;
    let ran = run(&script).map_err(|why| format!("scenarios/{name}:{why}"))?.text();
    if ran == text {
        return Ok(());
    }
    if is_blessed() {
        return std::fs::write(root().join("scenarios").join(name), ran).map_err(|error| format!("{name}: {error}"));
    }
    let differs = text.lines().zip(ran.lines()).position(|(was, is)| was != is);
    let at = differs.unwrap_or_else(|| text.lines().count().min(ran.lines().count()));
    let around = |text: &str| text.lines().skip(at).take(8).map(|line| format!("    {line}\n")).collect::<String>();
    Err(format!("scenarios/{name}:{}: it says\n{}  and prints\n{}", at + 1, around(&text), around(&ran)))
}

/// Runs the scenarios on all processors.
fn check_all(names: &[String]) -> Vec<String> {
    let (queue, problems) = (Mutex::new(names.iter().rev()), Mutex::new(Vec::new()));
    let take = || queue.lock().expect("no panic").next();
    let work = || {
        while let Some(name) = take() {
            if let Err(problem) = check(name) {
                problems.lock().expect("no panic").push(problem);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    problems.into_inner().expect("no panic")
}

#[test]
fn every_scenario_prints_what_it_says() {
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let names: Vec<String> = names().into_iter().filter(|name| name.contains(&only)).collect();
    assert!(!names.is_empty(), "there are no such scenarios");
    let problems = check_all(&names);
    assert!(problems.is_empty(), "{}\n{HINT}", problems.join("\n"));
    if is_blessed() {
        std::fs::write(root().join("../docs/rollouts.md"), made()).expect("written");
    }
}

#[test]
fn the_manual_of_rollouts_is_made_of_them() {
    if !is_blessed() {
        let committed = std::fs::read_to_string(root().join("../docs/rollouts.md")).unwrap_or_default();
        assert!(committed == made(), "docs/rollouts.md is stale; {HINT}");
    }
}

fn made() -> String {
    let scripts = names().into_iter().map(|name| (name.clone(), read(&name).expect("a scenario").1));
    manual(&scripts.collect::<Vec<_>>())
}
