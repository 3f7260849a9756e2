//! Mutated commits, judged by this verifier and by `git verify-commit`. The verifier never accepts what git refuses, and
//! where it is the stricter one, the difference has a name and a reason.

mod classes;
mod git;
mod mutate;
mod signers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bellwether_core::objects::ObjectSource as _;
use bellwether_schemas::Code;
use bellwether_tests::hostile::{History, Who};

use classes::{CLASSES, classify};
use git::Git;
use mutate::{MUTATIONS, Numbers, Signed};
use signers::Signer;

/// A history whose policy has a person for each key, and the second landing's content.
fn history(ssh: &[String], openpgp: &str) -> (History, Vec<u8>) {
    let mut people = format!("    alice: {{ssh: [\"{}\"]}}\n", Who::Alice.key_line());
    let mut members = vec!["alice".to_owned()];
    for (at, line) in ssh.iter().enumerate() {
        writeln!(people, "    person-{at}: {{ssh: [\"{line}\"]}}").expect("text grows");
        members.push(format!("person-{at}"));
    }
    if !openpgp.is_empty() {
        let certificate = serde_json::to_string(openpgp).expect("text is JSON, and JSON is YAML");
        writeln!(people, "    olga: {{openpgp: [{certificate}]}}").expect("text grows");
        members.push("olga".to_owned());
    }
    let policy = format!(
        "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata:\n  name: policy\nspec:\n  version: 1\n  branch: main\n  \
         expires: 2099-01-01T00:00:00Z\n  people:\n{people}  roles:\n    all: {{members: [{}]}}\n  rules:\n    \
         - {{paths: [\"**\"], role: all}}\n",
        members.join(", ")
    );
    let mut history = History::empty();
    let first = history.root().write("trust/policy.yaml", &policy).by(Who::Alice);
    history.introduce(first);
    let second = history.on(first).write("files/app", "new").by(Who::Nobody);
    let (_, payload) = history.objects().raw(&second).expect("it was written");
    (history, payload)
}

/// A mutated commit.
struct Case {
    mutation: &'static str,
    signer: &'static str,
    raw: Vec<u8>,
}

/// After so many repetitions in a row, a mutation of one signer's commits has had its outcomes.
const REPEATS: usize = 16;

fn cases(payload: &[u8], signers: &[(&'static str, Signer)], wanted: usize) -> Vec<Case> {
    let text = String::from_utf8(payload.to_vec()).expect("text");
    let signed = |message: &str, signer| Signed::new(text.replace("Commit 1", message).into_bytes(), signer);
    let one: Vec<Signed<'_>> = signers.iter().map(|(_, signer)| signed("One commit", signer)).collect();
    let other: Vec<Signed<'_>> = signers.iter().map(|(_, signer)| signed("Another commit", signer)).collect();
    let mut numbers = Numbers(20_260_101);
    let (mut cases, mut seen, mut repeats) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    // A mutation that has few outcomes gives what it has; the others go on until there are enough.
    while cases.len() < wanted {
        for ((signer, _), (one, next)) in signers.iter().zip(one.iter().zip(1..)) {
            for (mutation, mutate) in MUTATIONS {
                let repeats: &mut usize = repeats.entry((*signer, *mutation)).or_default();
                if *repeats >= REPEATS {
                    continue;
                }
                *repeats += 1;
                let other = &other[(next - numbers.below(2)) % other.len()];
                if let Some(raw) = mutate(&mut numbers, one, other)
                    && seen.insert(raw.clone())
                {
                    *repeats = 0;
                    cases.push(Case { mutation, signer, raw });
                }
            }
        }
    }
    cases
}

/// How many commits a long run makes, if this is one.
fn wanted() -> Option<usize> {
    let wanted = std::env::var("BELLWETHER_DIFFERENTIAL").ok()?;
    Some(wanted.parse().expect("BELLWETHER_DIFFERENTIAL is a number of commits"))
}

/// Compares all verdicts, and returns the classes of disagreement that occurred, as text.
fn compare(history: &History, git: &Git, cases: &[Case]) -> String {
    git.write_history(history);
    let raw: Vec<Vec<u8>> = cases.iter().map(|case| case.raw.clone()).collect();
    let verdicts = git.verify_commits(&raw);
    let (mut wrong, mut unknown): (Vec<String>, BTreeMap<(&str, Code), String>) = (Vec::new(), BTreeMap::new());
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut counts: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    for (case, by_git) in cases.iter().zip(verdicts) {
        let Case { mutation, signer, raw } = case;
        let refusal = history.judge_raw(raw);
        *counts.entry((by_git, refusal.is_none())).or_default() += 1;
        let text = || format!("{mutation}, {signer}:\n{}", raw.escape_ascii().to_string().replace("\\n", "\n"));
        match (by_git, refusal) {
            (false, None) => wrong.push(text()),
            (true, Some(refusal)) => match classify(mutation, signer, refusal.code) {
                Some(class) => _ = seen.entry(class.name).or_default().insert(mutation),
                None => _ = unknown.entry((mutation, refusal.code)).or_insert_with(|| format!("{refusal}\n{}", text())),
            },
            (false, Some(_)) | (true, None) => {}
        }
        if *mutation == "nothing" {
            let counts = !matches!(*signer, "stranger" | "rsa-2048");
            assert_eq!(history.judge_raw(raw).is_none(), counts, "{}", text());
        }
    }
    let [both, git_only, us_only, none] = [(true, true), (true, false), (false, true), (false, false)]
        .map(|verdicts| counts.get(&verdicts).copied().unwrap_or_default());
    println!(
        "{} commits: accepted by both {both}, by git only {git_only}, by us only {us_only}, by none {none}",
        cases.len()
    );
    assert!(wrong.is_empty(), "accepted, and git refuses:\n{}", wrong.join("\n"));
    assert!(unknown.is_empty(), "git accepts, and nothing says why we do not:\n{unknown:#?}");
    CLASSES.iter().filter_map(|class| Some((class, seen.get(class.name)?))).fold(
        String::new(),
        |mut text, (class, seen)| {
            let seen: Vec<&str> = seen.iter().copied().collect();
            writeln!(text, "{}: {}\n  seen with: {}\n", class.name, class.why, seen.join("; ")).expect("text grows");
            text
        },
    )
}

/// The classes are those that were committed. More commits reach the same ones in more ways.
fn settle(name: &str, table: &str) {
    match wanted() {
        None => insta::assert_snapshot!(name, table),
        Some(_) => println!("{table}"),
    }
}

#[test]
fn differential_ssh_signatures() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let signers = signers::ssh(home.path());
    // Git knows one key more than the policy, which takes none so short.
    let all: Vec<String> = signers[..6].iter().filter_map(|(_, signer)| signer.line()).collect();
    let allowed: String = all.iter().map(|line| format!("somebody@example.com namespaces=\"git\" {line}\n")).collect();
    let (history, payload) = history(&all[1..5], "");
    let cases = cases(&payload, &signers, wanted().unwrap_or(2_000));
    let table = compare(&history, &Git::new(home.path(), &allowed), &cases);
    settle("ssh", &table);
}

#[test]
fn differential_openpgp_signatures() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let Some((signers, certificate)) = signers::openpgp(home.path()) else {
        eprintln!("skipped: there is no gpg here");
        return;
    };
    let (history, payload) = history(&[], &certificate);
    let cases = cases(&payload, &signers, wanted().unwrap_or(400));
    let table = compare(&history, &Git::new(home.path(), ""), &cases);
    signers::end_gpg(home.path());
    settle("openpgp", &table);
}
