//! `--commit` takes the change of the verb and nothing else, says what it leaves out, and is in git's logs as any commit.

use crate::Sandbox;

const FLEET: &str = "fleets/edge.yaml";
const LEFT: &str = "Other changes are not in it, and stay as they are: ";

/// Sets a greeting and commits it: the exit code, and what was said.
fn greet(sandbox: &Sandbox, greeting: &str) -> (Option<i32>, String) {
    let ran = sandbox.bellwether(&["fleet", "set", "edge", &format!("vars.greeting={greeting}"), "--commit"]);
    (ran.code, ran.err)
}

#[test]
fn other_changes_are_left_out_and_named() {
    let sandbox = Sandbox::with_repository();
    let (code, said) = greet(&sandbox, "Hi");
    assert!(code == Some(0) && !said.contains(LEFT), "{said}");

    sandbox.replace("files/about.txt", "\n", "\nmore\n");
    sandbox.replace("CODEOWNERS", "\n", "\n# more\n");
    sandbox.git(&["add", "CODEOWNERS"]);
    sandbox.write("notes.txt", "not git's\n");
    let before = sandbox.git(&["status", "--short"]);
    let (code, said) = greet(&sandbox, "Good morning");
    assert!(code == Some(0) && said.contains(&format!("{LEFT}CODEOWNERS, files/about.txt (git status).")), "{said}");
    assert_eq!(sandbox.git(&["show", "--format=", "--name-only"]).trim(), FLEET);
    assert_eq!(sandbox.git(&["status", "--short"]), before, "what was staged is staged, and nothing else");
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--commit"]);
    assert!(ran.code == Some(0) && ran.err.contains(LEFT), "{}", ran.err);
    let ran = sandbox.bellwether(&["trust", "add", "bob", "--ssh-key", KEY, "--role", "admins", "--commit"]);
    assert!(ran.code == Some(0) && ran.err.contains(LEFT), "{}", ran.err);

    (0..9).for_each(|n| sandbox.write(&format!("files/{n}.txt"), "new\n"));
    sandbox.git(&["add", "files"]);
    let (_, said) = greet(&sandbox, "Hello");
    let named = "CODEOWNERS, files/0.txt, files/1.txt, files/2.txt, files/3.txt and 6 more";
    assert!(said.contains(&format!("{LEFT}{named} (git status).")), "{said}");
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhbYCYLpHyb1xX8Cj0LXJ4OxJdlKAyhyFBV7UfBBPuJ bob";

#[test]
fn a_file_with_other_changes_is_refused_in_the_working_tree_and_in_the_index() {
    let sandbox = Sandbox::with_repository();
    let committed = sandbox.read(FLEET);
    sandbox.write(FLEET, &format!("{committed}# mine\n"));
    let (code, said) = greet(&sandbox, "Hi");
    assert!(code == Some(2) && said.contains("BW-0729") && said.contains("git diff HEAD"), "{said}");

    sandbox.git(&["add", FLEET]);
    sandbox.write(FLEET, &committed);
    let staged = sandbox.git(&["diff", "--cached"]);
    let (code, said) = greet(&sandbox, "Hi");
    let hint = "git restore --staged fleets/edge.yaml";
    assert!(code == Some(2) && said.contains("BW-0729") && said.contains(hint), "{said}");
    assert_eq!((sandbox.git(&["diff", "--cached"]), sandbox.read(FLEET)), (staged, committed));
    sandbox.git(&["restore", "--staged", FLEET]);
    assert_eq!(greet(&sandbox, "Hi").0, Some(0));

    // As git add --intent-to-add leaves it, nothing is staged yet.
    sandbox.write("holds/odd.yaml", "");
    sandbox.git(&["add", "--intent-to-add", "holds/odd.yaml"]);
    std::fs::remove_file(sandbox.repository().join("holds/odd.yaml")).expect("it was there");
    let hold = ["hold", "edge", "--reason", "odd", "--name", "odd", "--commit"];
    let ran = sandbox.bellwether(&hold);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
}

#[test]
fn a_decision_that_was_written_before_is_to_be_committed_not_named_otherwise() {
    let sandbox = Sandbox::with_repository();
    let hold = ["hold", "edge", "--reason", "odd"];
    assert_eq!(sandbox.bellwether(&hold).code, Some(0));
    let ran = sandbox.bellwether(&[&hold[..], &["--commit"]].concat());
    assert!(ran.code == Some(1) && ran.err.contains("BW-0734"), "{}", ran.err);
    assert!(ran.err.contains("git add holds/hold-edge.yaml && git commit -S holds/hold-edge.yaml"), "{}", ran.err);
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Hold"]);
    let ran = sandbox.bellwether(&hold);
    assert!(ran.code == Some(1) && ran.err.contains("Choose another name with --name"), "{}", ran.err);
}

/// Wherever it is ended: either nothing is there, or all of it, and every token that git knows was printed.
#[test]
fn an_interruption_leaves_nothing_half_done() {
    let sandbox = Sandbox::with_repository();
    let mint = ["token", "mint", "factory", "--count", "200", "--commit"];
    let begun = std::time::Instant::now();
    assert_eq!(sandbox.bellwether(&mint).code, Some(0));
    let (whole, mut ended) = (begun.elapsed(), 0);
    for part in 1..=20 {
        let head = sandbox.git(&["rev-parse", "HEAD"]);
        let mut command = sandbox.prepared(crate::BELLWETHER, &mint, &sandbox.repository());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = command.spawn().expect("it starts");
        std::thread::sleep(whole * part / 20);
        let _gone = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).output();
        let ran = child.wait_with_output().expect("it ends");
        let tokens = String::from_utf8(ran.stdout).expect("text").lines().count();
        let moved = head != sandbox.git(&["rev-parse", "HEAD"]);
        assert_eq!((tokens, ran.status.success()), if moved { (200, true) } else { (0, false) });
        assert_eq!(sandbox.git(&["status", "--short"]), "");
        ended += usize::from(!moved);
    }
    println!("{ended} of 20 were ended before they committed");
}

#[test]
fn the_logs_of_head_and_of_the_branch_have_each_commit() {
    let sandbox = Sandbox::with_repository();
    sandbox.git(&["switch", "-qc", "greeting"]);
    assert_eq!(greet(&sandbox, "Hi").0, Some(0));
    sandbox.git(&["switch", "-q", "main"]);
    assert_eq!(sandbox.bellwether(&["hold", "edge", "--reason", "odd", "--commit"]).code, Some(0));
    let landed = sandbox.bellwether(&["land", "greeting"]);
    assert_eq!(landed.code, Some(0), "{}", landed.err);
    let log = |name: &str| sandbox.git(&["reflog", "show", "--format=%H %gs", name]);
    let moves =
        |log: &str| log.lines().filter(|line| !line.contains("checkout: ")).map(str::to_owned).collect::<Vec<_>>();
    let (head, main) = (moves(&log("HEAD")), moves(&log("main")));
    assert_eq!(main.len(), 3, "{main:?}");
    assert!(main[0].ends_with(" commit (merge): Merge branch 'greeting'"), "{main:?}");
    assert!(main[1].ends_with(" commit: Hold edge"), "{main:?}");
    assert!(main[2].ends_with(" commit (initial): Set up the repository of our devices"), "{main:?}");
    assert_eq!((&head[..2], &head[3..]), (&main[..2], &main[2..]));
    assert!(head[2].ends_with(" commit: Set spec.vars.greeting of edge"), "{head:?}");
    assert_eq!(sandbox.git(&["rev-parse", "HEAD@{1}"]), sandbox.git(&["rev-parse", "HEAD^1"]));
    sandbox.git(&["fsck", "--strict"]);

    // A working tree of its own has a HEAD of its own, with its log.
    let side = sandbox.dir.path().join("side");
    sandbox.git(&["worktree", "add", "-q", "-b", "side", side.to_str().expect("UTF-8")]);
    let ran = sandbox.bellwether_in(&side, &["hold", "edge", "--release", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let there = sandbox.program("git", &["reflog", "-1", "--format=%gs", "HEAD"], &side);
    assert_eq!(String::from_utf8_lossy(&there.stdout).trim(), "commit: Release holds/hold-edge.yaml");
    assert_eq!(moves(&log("HEAD")), head);
}
