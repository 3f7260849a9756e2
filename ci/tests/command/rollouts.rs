//! Rollouts and the decisions about them: whether they fit together with the fleets and with the history.

use crate::{Ran, Sandbox};

/// A fleet of its own and its Rollout, which waits for others.
fn fleet(sandbox: &Sandbox, name: &str, after: &str) {
    let fleet = sandbox.read("fleets/edge.yaml").replace("name: edge", &format!("name: {name}"));
    sandbox.write(&format!("fleets/{name}.yaml"), &fleet.replace("fleet: edge", &format!("fleet: {name}")));
    let rollout =
        format!("apiVersion: bellwether/v1\nkind: Rollout\nmetadata: {{name: {name}}}\nspec: {{after: [{after}]}}\n");
    sandbox.write(&format!("rollouts/{name}.yaml"), &rollout);
}

fn decision(sandbox: &Sandbox, kind: &str, folder: &str, fields: &str) {
    let text =
        format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata: {{name: one}}\nspec: {{{fields}, reason: x}}\n");
    sandbox.write(&format!("{folder}/one.yaml"), &text);
}

/// The errors that `validate` finds, as `code file:line:column`.
fn problems(sandbox: &Sandbox) -> Vec<String> {
    let ran = sandbox.bellwether(&["validate", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let all = said["problems"].as_array().expect("a list").iter().filter(|it| it["severity"] == "error");
    all.map(|it| {
        let [code, file] = ["code", "file"].map(|key| it[key].as_str().unwrap_or_default());
        format!("{code} {file}:{}:{}", it["place"]["line"], it["place"]["column"])
    })
    .collect()
}

#[test]
fn fleets_that_wait_for_each_other_are_told_each_at_its_place() {
    let sandbox = Sandbox::with_repository();
    fleet(&sandbox, "core", "");
    fleet(&sandbox, "shop", "core");
    fleet(&sandbox, "till", "core, shop");
    assert_eq!(problems(&sandbox), Vec::<String>::new());

    fleet(&sandbox, "core", "till");
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);
    fleet(&sandbox, "core", "core");
    assert_eq!(problems(&sandbox), ["BW-0123 rollouts/core.yaml:4:16"], "the file itself says so");
}

#[test]
fn what_is_named_must_be_there() {
    let sandbox = Sandbox::with_repository();
    let head = sandbox.git(&["rev-parse", "HEAD"]);
    let commit = head.trim();
    fleet(&sandbox, "shop", "edge, nowhere");
    decision(&sandbox, "Expedite", "expedites", &format!("fleet: nowhere, commit: {commit}, skip: [soak]"));
    decision(&sandbox, "Approval", "approvals", &format!("fleet: edge, commit: {commit}, open: [one]"));
    let expected =
        ["BW-0110 approvals/one.yaml:4:78", "BW-0110 expedites/one.yaml:4:15", "BW-0110 rollouts/shop.yaml:4:22"];
    assert_eq!(problems(&sandbox), expected, "the wave is not taken for the name of its Approval");

    fleet(&sandbox, "shop", "edge");
    decision(&sandbox, "Expedite", "expedites", &format!("fleet: shop, commit: {commit}, skip: [soak]"));
    decision(&sandbox, "Approval", "approvals", &format!("fleet: edge, commit: {commit}, resume: {{failures: 3}}"));
    assert_eq!(problems(&sandbox), Vec::<String>::new());
}

#[test]
fn a_commit_that_did_not_land_decides_nothing() {
    let sandbox = Sandbox::with_repository();
    let commit = |at: &str| sandbox.git(&["rev-parse", at]).trim().to_owned();
    let first = commit("HEAD");
    sandbox.git(&["switch", "-qc", "side"]);
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    sandbox.git(&["commit", "-qam", "Say good morning"]);
    let side = commit("HEAD");
    sandbox.git(&["switch", "-q", "main"]);
    sandbox.git(&["merge", "-q", "--no-ff", "-m", "Land it", "side"]);
    let merge = commit("HEAD");

    let name = |id: &str| {
        decision(&sandbox, "Approval", "approvals", &format!("fleet: edge, commit: {id}, open: [rest]"));
        decision(&sandbox, "Expedite", "expedites", &format!("fleet: edge, commit: {id}, skip: [soak]"));
        let device = format!(
            "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: kiosk-7}}\nspec: {{pin: {{commit: {id}}}}}\n"
        );
        sandbox.write("devices/kiosk-7.yaml", &device);
    };
    for landing in [&first, &merge] {
        name(landing);
        assert_eq!(problems(&sandbox), Vec::<String>::new());
    }
    let expected =
        ["BW-0124 approvals/one.yaml:4:29", "BW-0124 devices/kiosk-7.yaml:4:22", "BW-0124 expedites/one.yaml:4:29"];
    let says = |ran: &Ran, text: &str| assert!(ran.out.contains(text), "expected {text:?} in {}", ran.out);
    for (id, text) in [
        (side.as_str(), "is no landing of the branch"),
        (&"a".repeat(40), "there is no commit aaaaaaa"),
        (&"b".repeat(64), "there is no commit bbbbbbb"),
    ] {
        name(id);
        assert_eq!(problems(&sandbox), expected, "{id}");
        says(&sandbox.bellwether(&["validate"]), text);
    }

    // Where git does not know the whole history, it is not asked.
    let copied_to = |name: &str| {
        for folder in ["approvals", "expedites", "devices"] {
            let to = sandbox.dir.path().join(name).join(folder);
            std::fs::create_dir_all(&to).expect("a folder");
            for entry in std::fs::read_dir(sandbox.repository().join(folder)).expect("it is there") {
                let entry = entry.expect("it can be listed");
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
            }
        }
        sandbox.bellwether_in(&sandbox.dir.path().join(name), &["validate"])
    };
    let from = format!("file://{}", sandbox.repository().display());
    sandbox.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]);
    let ran = copied_to("shallow");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ran = copied_to("without-git");
    assert!(
        ran.code == Some(1) && ran.out.contains("there is no fleet") && !ran.out.contains("BW-0124"),
        "{}",
        ran.out
    );
}

#[test]
fn what_is_decided_about_a_rollout_is_a_signed_file_that_validate_accepts() {
    let sandbox = Sandbox::with_repository();
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--commit"]);
    let head = sandbox.git(&["rev-parse", "HEAD"]);
    let (commit, short) = (head.trim(), &head[..7]);
    let decide = |arguments: &[&str], path: &str, lines: &str, title: &str| {
        let arguments = [&["rollout"], arguments, &["--commit-id", commit, "--reason", "x: y", "--commit"]].concat();
        let ran = sandbox.bellwether(&arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let expected = format!("spec:\n  fleet: edge\n  commit: \"{commit}\"\n{lines}  reason: \"x: y\"\n");
        let text = sandbox.read(path);
        assert!(text.ends_with(&expected), "expected {expected} in {text}");
        assert_eq!(sandbox.git(&["show", "--format=%s", "--name-only"]), format!("{title}\n\n{path}\n"));
        sandbox.git(&["verify-commit", "HEAD"]);
        assert_eq!(problems(&sandbox), Vec::<String>::new());
        let again = sandbox.bellwether(&arguments);
        assert!(again.code == Some(1) && again.err.contains("BW-0734"), "never overwritten: {}", again.err);
    };
    decide(
        &["resume", "edge", "--failures", "3"],
        &format!("approvals/{short}-edge-resume-3.yaml"),
        "  resume:\n    failures: 3\n",
        &format!("Resume edge at {short} after 3 failures"),
    );
    decide(
        &["retry", "edge", "kiosk-7", "factory-0123456789abcdef"],
        &format!("approvals/{short}-edge-retry-kiosk-7.yaml"),
        "  retry:\n    devices:\n      - kiosk-7\n      - factory-0123456789abcdef\n",
        &format!("Retry 2 devices of edge at {short}"),
    );
    decide(
        &["expedite", "edge", "--skip", "waves,soak", "--skip", "windows"],
        &format!("expedites/{short}-edge.yaml"),
        "  skip:\n    - waves\n    - soak\n    - windows\n",
        &format!("Expedite edge at {short}: skip waves, soak, windows"),
    );
}

#[test]
fn what_would_decide_nothing_is_refused() {
    let sandbox = Sandbox::with_repository();
    let refused = |arguments: &[&str], code: i32, says: &[&str]| {
        let ran = sandbox.bellwether(&[&["rollout"], arguments, &["--reason", "x"]].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
        for text in says {
            assert!(ran.err.contains(text), "{arguments:?}: expected {text:?} in {}", ran.err);
        }
    };
    refused(&["resume", "edge"], 2, &["BW-0720", "--failures <NUMBER>"]);
    refused(&["resume", "edge", "--failures", "0"], 2, &["BW-0720", "--failures <NUMBER>"]);
    refused(&["resume", "egde", "--failures", "1"], 1, &["BW-0733", "no fleet egde"]);
    refused(&["resume", "edge", "--failures", "1", "--commit-id", "nowhere"], 2, &["BW-0733", "names no commit"]);
    refused(&["retry", "edge"], 2, &["BW-0720", "<DEVICES>"]);
    refused(&["retry", "edge", "kiosk-7"], 1, &["BW-0733", "know no device kiosk-7"]);
    refused(&["retry", "edge", "kiosk-7", "kiosk-7", "--unlisted"], 2, &["BW-0720", "kiosk-7 is there twice"]);
    refused(&["expedite", "edge"], 2, &["BW-0720", "--skip <STEP>"]);
    refused(&["expedite", "edge", "--skip", "budgets"], 2, &["BW-0720", "waves, soak, gates, windows"]);
    refused(&["expedite", "edge", "--skip", "soak,soak"], 2, &["BW-0720", "soak is there twice"]);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
    let once_more = ["rollout", "retry", "edge", "kiosk-7", "--unlisted", "--reason", "x"];
    assert_eq!(sandbox.bellwether(&once_more).code, Some(0));
    assert_eq!(sandbox.bellwether(&[&once_more[..], &["--name", "again"]].concat()).code, Some(0));
}
