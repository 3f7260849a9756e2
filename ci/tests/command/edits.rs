//! What each verb changes of a manifest that is full of comments: those lines, nothing else, and it shows them as a patch.

use insta::assert_snapshot;

use crate::{Ran, Sandbox};

const DEVICE: &str = "# The kiosk at the door.
apiVersion: bellwether/v1
kind: Device
metadata: {name: 'kiosk-7'}   # by its place
spec:

    # Where it stands.
    labels: { site: \"kiel\",   ring: canary }   # since spring

    revoked: false   # never was
    # Until the fair is over.
    pin:
        commit: \"1111111111111111111111111111111111111111\"   # the last good one
    # Nothing below.
";

/// An Enrollment with a comment at every place.
pub(crate) const ENROLLMENT: &str = "# Our devices.
apiVersion: bellwether/v1
kind: Enrollment
metadata: {name: factory}
spec:
    tokens:   # one a device
    # The first batch.
    -   id: first
        sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"
        expires: \"2030-01-01T00:00:00Z\"   # a long time
        device: kiosk-1

    # The second batch.
    -   id: second
        sha256: \"1111111111111111111111111111111111111111111111111111111111111111\"
        expires: '2030-01-01T00:00:00Z'

    # Labels come last.
    labels: {fleet: edge}   # all of them
";

const FINGERPRINT: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A repository with manifests full of comments.
fn commented() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    sandbox.write("devices/kiosk-7.yaml", DEVICE);
    sandbox.write("enrollments/factory.yaml", ENROLLMENT);
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Write comments"]);
    sandbox
}

/// What the command changed of `path`, as it shows it and as git sees it: both must be the same.
pub(crate) fn shown(sandbox: &Sandbox, path: &str, arguments: &[&str]) -> String {
    let ran = sandbox.bellwether(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
    let patch = patch_of(&ran.out, path).or_else(|| patch_of(&ran.err, path)).expect("a patch is shown");
    if sandbox.repository().join(path).exists() {
        sandbox.git(&["add", "--intent-to-add", path]);
    }
    let seen = sandbox.git(&["diff", "--no-color", "--no-renames", "--", path]);
    let seen = seen.lines().skip_while(|line| !line.starts_with("--- "));
    let plain = |line: &str| {
        if line.starts_with("@@ ") { line[..line.rfind("@@").expect("two")].to_owned() } else { line.to_owned() }
    };
    let seen: Vec<_> = seen.map(plain).collect();
    assert_eq!(patch.lines().map(plain).collect::<Vec<_>>(), seen, "git sees what is shown");
    patch
}

/// The patch of `path` in what was printed; what stands behind a patch begins with no sign of one.
fn patch_of(text: &str, path: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().collect();
    let names = |line: &str| line == format!("--- a/{path}") || line == "--- /dev/null";
    let start = lines.iter().position(|line| names(line))?;
    let in_patch =
        |line: &&&str| ["-", "+", " ", "@@ ", "\\ "].iter().any(|sign| line.starts_with(sign)) || line.is_empty();
    let end = start + lines[start..].iter().take_while(in_patch).count();
    Some(lines[start..end].join("\n") + "\n")
}

/// The change of a tracked file, after which it is as it was.
fn changed(sandbox: &Sandbox, path: &str, arguments: &[&str]) -> String {
    let patch = shown(sandbox, path, arguments);
    sandbox.git(&["checkout", "-q", "--", path]);
    patch
}

#[test]
fn decisions_about_a_device_change_a_line_each() {
    let sandbox = commented();
    let change = |arguments: &[&str]| {
        changed(&sandbox, "devices/kiosk-7.yaml", &[&["device"], arguments, &["--reason", "so"]].concat())
    };
    let all = [
        change(&["revoke", "kiosk-7"]),
        change(&["decommission", "kiosk-7"]),
        change(&["pin", "kiosk-7", "HEAD"]),
        change(&["pin", "kiosk-7", "--unpin"]),
    ];
    assert_snapshot!(steady(&all.concat()));
}

/// Ids of commits, hashes and dates are other ones in each run, but for those that stand in the manifests above.
fn steady(text: &str) -> String {
    let known = [DEVICE, ENROLLMENT, FINGERPRINT];
    let is_id = |word: &str| word.len() >= 40 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let is_date = |word: &str| word.len() == 20 && word.ends_with('Z') && word.contains("T");
    let word = |word: &str| match word.trim_matches('"') {
        id if is_id(id) && !known.iter().any(|known| known.contains(id)) => word.replace(id, "ID"),
        date if is_date(date) && !known.iter().any(|known| known.contains(date)) => word.replace(date, "DATE"),
        _ => word.to_owned(),
    };
    text.split(' ').map(|part| part.split('\n').map(word).collect::<Vec<_>>().join("\n")).collect::<Vec<_>>().join(" ")
}

#[test]
fn entries_of_an_enrollment_are_added_and_replaced() {
    let sandbox = commented();
    let change = |arguments: &[&str]| changed(&sandbox, "enrollments/factory.yaml", arguments);
    let mint = ["token", "mint", "factory", "--id", "third"];
    let approve = ["device", "approve", FINGERPRINT, "--enrollment", "factory"];
    let all = [
        change(&[&mint[..], &["--device", "kiosk-9", "--label", "ring=canary"]].concat()),
        change(&[&mint[..], &["--device", "kiosk-1", "--replace"]].concat()),
        change(&[&approve[..], &["--device", "kiosk-2"]].concat()),
    ];
    assert_snapshot!(steady(&all.concat()));
}

#[test]
fn decisions_of_their_own_are_new_files() {
    let sandbox = commented();
    let mut all = String::new();
    for (path, arguments) in [
        ("approvals/a.yaml", &["approve", "edge", "rest", "--name", "a"][..]),
        ("approvals/b.yaml", &["rollout", "resume", "edge", "--failures", "3", "--name", "b"]),
        ("approvals/c.yaml", &["rollout", "retry", "edge", "kiosk-7", "--name", "c"]),
        ("expedites/d.yaml", &["rollout", "expedite", "edge", "--skip", "waves,soak", "--name", "d"]),
        ("holds/hold-edge.yaml", &["hold", "edge"]),
        ("resumes/e.yaml", &["device", "resume", "kiosk-7", "--name", "e"]),
    ] {
        all.push_str(&shown(&sandbox, path, &[arguments, &["--reason", "so: \"far\""]].concat()));
    }
    sandbox.git(&["commit", "-qam", "Hold"]);
    all.push_str(&shown(&sandbox, "holds/hold-edge.yaml", &["hold", "edge", "--release"]));
    assert_snapshot!(steady(&all));
}

#[test]
fn people_are_added_and_removed() {
    let sandbox = commented();
    let text = sandbox.read("trust/policy.yaml");
    sandbox.write(
        "trust/policy.yaml",
        &text.replace("  people:\n", "  people:   # both sign\n    # Keep this list short.\n"),
    );
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhbYCYLpHyb1xX8Cj0LXJ4OxJdlKAyhyFBV7UfBBPuJ bob";
    sandbox.git(&["commit", "-qam", "Write more comments"]);
    let add = ["trust", "add", "bob", "--ssh-key", key, "--role", "admins"];
    let added = shown(&sandbox, "trust/policy.yaml", &add);
    sandbox.git(&["commit", "-qam", "Trust bob"]);
    let removed = shown(&sandbox, "trust/policy.yaml", &["trust", "remove", "bob", "--lower-signers"]);
    let first_key = |line: &str| !line.contains("ssh-ed25519") || line.contains("bob");
    let all: Vec<_> = added.lines().chain(removed.lines()).filter(|line| first_key(line)).collect();
    assert_snapshot!(steady(&all.join("\n")));
}

/// Lists in brackets, keys in quotes, and a last line without its end: what is shown is what git sees, and it is valid.
#[test]
fn odd_layouts_are_edited_as_they_are() {
    let sandbox = commented();
    let entry = |n: usize, field: &str| format!("{{\"id\": e{n}, {field}: '{n:064}', device: kiosk-{n}");
    let token = |n: usize| entry(n, "sha256") + ", expires: \"2030-01-01T00:00:00Z\"}";
    let head = "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata: {name: factory}\n";
    let path = "enrollments/factory.yaml";
    for spec in [
        format!("'spec': {{tokens: [{}, {}], approved: []}}  # all", token(1), token(2)),
        format!("spec:\n        \"tokens\": [\n          {},\n          {},  # two\n          ]\n", token(1), token(2)),
        format!("spec:\n tokens:\n - {}  # one\n\n # two\n - {}\n approved:  []  # none", token(1), token(2)),
        format!(
            "spec:\n  approved:\n    -   {}}}\n  # no tokens\n  tokens:\n    []\n",
            entry(1, "fingerprint").replace(" e1,", " k1,")
        ),
    ] {
        sandbox.write(path, &format!("{head}{spec}"));
        sandbox.git(&["commit", "-qam", "Write it otherwise"]);
        for arguments in [
            &["token", "mint", "factory", "--label", "ring=canary"][..],
            &["token", "mint", "factory", "--count", "3"],
            &["token", "mint", "factory", "--device", "kiosk-1", "--replace"],
            &["device", "approve", FINGERPRINT, "--enrollment", "factory"],
            &["device", "approve", FINGERPRINT, "--enrollment", "factory", "--device", "kiosk-1", "--replace"],
        ] {
            shown(&sandbox, path, arguments);
            let ran = sandbox.bellwether(&["validate", path]);
            assert_eq!(ran.code, Some(0), "{arguments:?}: {}\n{}", ran.out, sandbox.read(path));
            sandbox.git(&["checkout", "-q", "--", path]);
        }
    }
}

/// They are refused as they are read: what is edited must be what counts.
#[test]
fn a_file_with_line_ends_of_windows_is_not_edited() {
    let sandbox = commented();
    sandbox.git(&["config", "core.autocrlf", "false"]);
    let paths = ["devices/kiosk-7.yaml", "enrollments/factory.yaml", "fleets/edge.yaml", "trust/policy.yaml"];
    for path in paths {
        sandbox.write(path, &sandbox.read(path).replace('\n', "\r\n"));
    }
    let before = paths.map(|path| sandbox.read(path));
    for arguments in [
        &["device", "revoke", "kiosk-7", "--reason", "so", "--unlisted"][..],
        &["device", "decommission", "kiosk-7", "--reason", "so"],
        &["token", "mint", "factory"],
        &["token", "mint", "factory", "--device", "kiosk-1", "--replace"],
        &["device", "approve", FINGERPRINT, "--enrollment", "factory"],
        &["device", "pin", "kiosk-7", "--reason", "so", "--unlisted"],
        &["fleet", "set", "edge", "vars.greeting=Hi"],
        &["trust", "remove", "ada"],
        &["fmt", "fleets"],
    ] {
        let ran = sandbox.bellwether(arguments);
        let says = ["[BW-0101]", "found a carriage return", "line endings LF"];
        assert_eq!(ran.code, Some(1), "{arguments:?}: {}", ran.err);
        says.iter().for_each(|said| {
            assert!((ran.out.clone() + &ran.err).contains(said), "{arguments:?}, {said}: {}", ran.err)
        });
    }
    assert_eq!(paths.map(|path| sandbox.read(path)), before);
}

#[test]
fn the_patch_is_part_of_the_json_and_never_has_a_secret() {
    let sandbox = commented();
    let json = |ran: &Ran| serde_json::from_str::<serde_json::Value>(&ran.out).expect("one document");
    let ran = sandbox.bellwether(&["device", "revoke", "kiosk-7", "--reason", "so", "--commit", "--output", "json"]);
    let document = json(&ran);
    let patch = document["diff"].as_str().expect("a patch");
    assert!(patch.contains("\n-    revoked: false   # never was\n+    revoked: true   # never was\n"), "{patch}");
    assert!(document["commit"].is_string() && document["files"][0]["path"] == "devices/kiosk-7.yaml", "{document}");

    let out = sandbox.dir.path().join("tokens.json");
    let out = out.to_str().expect("UTF-8");
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--out", out, "--commit", "--output", "json"]);
    let secrets = std::fs::read_to_string(out).expect("the file is there");
    let secret = serde_json::from_str::<serde_json::Value>(&secrets).expect("a list")[0]["token"].clone();
    let secret = secret.as_str().expect("a secret");
    let diff = json(&ran)["diff"].as_str().expect("a patch").to_owned();
    assert!(secret.len() == 64 && diff.contains("+      sha256: ") && !diff.contains(secret), "{diff}");

    let ran = sandbox.bellwether(&["token", "mint", "factory"]);
    assert!(ran.err.contains("+++ b/enrollments/factory.yaml") && !ran.err.contains(ran.out.trim()), "{}", ran.err);
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--count", "100"]);
    assert!(ran.err.contains("more lines: git diff") && ran.err.lines().count() < 70, "{}", ran.err);
}
