//! `trust`: keeping the policy, showing it, and judging by it. git itself is asked wherever it can answer.

use crate::team::{Team, steady};
use crate::{Ran, Sandbox};

fn refused(ran: &Ran, exit: i32, expected: &[&str]) {
    assert_eq!(ran.code, Some(exit), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("error[BW-") && ran.err.contains("\n  hint: "), "{}", ran.err);
    for text in expected {
        assert!(ran.err.contains(text), "expected {text:?} in {}", ran.err);
    }
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

#[test]
fn the_second_person_makes_rollouts_ask_for_two_and_every_comment_stays() {
    let team = Team::of_ada();
    team.key("bob");
    let before = team.sandbox.read("trust/policy.yaml");
    let ran = team.ada(&["trust", "add", "bob", "--ssh-key", "../bob.pub", "--role", "admins", "--commit"]);
    let (told, patch) = ran.out.split_once("--- a/trust/policy.yaml\n").expect("a patch is shown");
    insta::assert_snapshot!(steady(told));
    assert!(patch.contains("\n-      members: [ada]\n+      members: [ada, bob]\n"), "{patch}");
    let after = team.sandbox.read("trust/policy.yaml");
    let comments = |text: &str| text.lines().filter(|line| line.trim().starts_with('#')).count();
    assert_eq!(comments(&before), comments(&after));
    assert!(
        after.contains("paths: [\"rollouts/**\", \"expedites/**\"]\n      role: admins\n      signers: 2\n"),
        "{after}"
    );
    assert_eq!(after.matches("\n      signers:").count(), 1, "no other rule asks for more than before");
    team.sandbox.git(&["verify-commit", "HEAD"]);
    assert_eq!(team.sandbox.git(&["status", "--short"]), "");
    assert_eq!(team.ada(&["validate"]).code, Some(0));
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
}

#[test]
fn one_signature_stays_enough_where_that_is_asked_for_and_a_bot_is_no_second_person() {
    let team = Team::of_ada();
    team.key("bob");
    team.key("ci");
    let bot = team.ada(&["trust", "add", "ci", "--bot", "--ssh-key", "../ci.pub", "--role", "admins"]);
    assert_eq!(bot.code, Some(0), "{}", bot.err);
    let keeps = team.ada(&["trust", "add", "bob", "--ssh-key", "../bob.pub", "--role", "admins", "--keep-signers"]);
    assert!(keeps.out.contains("one of admins is still enough"), "{}", keeps.out);
    let policy = team.sandbox.read("trust/policy.yaml");
    assert!(
        !policy.contains("\n      signers:") && policy.contains("bot: true") && policy.contains("version: 3"),
        "{policy}"
    );
    assert_eq!(team.ada(&["validate"]).code, Some(0));
}

#[test]
fn what_cannot_be_added_is_told_and_changes_nothing() {
    let team = Team::new();
    team.key("eve");
    let before = team.sandbox.read("trust/policy.yaml");
    let add = |arguments: &[&str]| team.ada(&[&["trust", "add"], arguments].concat());
    refused(&add(&["eve", "--ssh-key", "../bob.pub"]), 1, &["BW-0270", "is bob's already"]);
    refused(&add(&["eve", "--ssh-key", "../eve.pub", "--ssh-key", "../eve.pub"]), 2, &["BW-0270", "passed twice"]);
    refused(&add(&["eve", "--ssh-key", "../eve"]), 2, &["BW-0271", "private key", "--ssh-key ../eve.pub"]);
    refused(&add(&["eve", "--ssh-key", "../nothing.pub"]), 2, &["BW-0722", "nothing.pub"]);
    refused(&add(&["eve", "--ssh-key", "ssh-ed25519 AAAA"]), 2, &["BW-0271"]);
    refused(&add(&["eve"]), 2, &["BW-0720", "no key was passed", "ada, bob"]);
    refused(&add(&["eve", "--ssh-key", "../eve.pub", "--role", "admin"]), 1, &["BW-0272", "no role admin", "admins"]);
    refused(&add(&["bob", "--role", "admins"]), 1, &["bob has all of that already"]);
    refused(&add(&["bob", "--bot"]), 2, &["BW-0720", "as a person who counts"]);
    refused(&add(&["eve", "--openpgp", "../eve.pub"]), 2, &["BW-0271", "gpg --armor --export"]);
    refused(&add(&["eve", "--gitsign", "eve@example.com"]), 2, &["BW-0720", "--issuer"]);
    assert_eq!(team.sandbox.read("trust/policy.yaml"), before);
}

#[test]
fn a_removed_person_counts_no_more_and_what_they_signed_stays_valid() {
    let team = Team::new();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.git_as_bob(&["commit", "-qam", "Say good morning"]);
    refused(
        &team.ada(&["trust", "remove", "bob"]),
        1,
        &["BW-0273", "rollouts/**, expedites/** asks for 2", "--lower-signers"],
    );
    let ran = team.ada(&["trust", "remove", "bob", "--lower-signers", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("stays valid"), "{}", ran.err);
    assert!(!team.sandbox.read("trust/policy.yaml").contains("bob"));
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
    team.sandbox.replace("fleets/edge.yaml", "greeting: Good morning", "greeting: Good night");
    team.git_as_bob(&["commit", "-qam", "Say good night"]);
    refused(&team.ada(&["trust", "check"]), 1, &["BW-0207", "Say good night"]);
}

#[test]
fn a_change_of_the_policy_that_asks_for_two_says_what_is_missing() {
    let team = Team::new();
    team.sandbox.replace(
        "trust/policy.yaml",
        "    - paths: [\"trust/**\"]\n",
        "    - paths: [\"trust/**\"]\n      signers: 2\n",
    );
    team.sandbox.replace("trust/policy.yaml", "version: 2", "version: 3");
    team.sandbox.git(&["commit", "-qam", "Ask two people for trust"]);
    team.key("eve");
    let add = ["trust", "add", "eve", "--ssh-key", "../eve.pub", "--commit"];
    let alone = team.ada(&add);
    assert!(alone.code == Some(0) && alone.err.contains("would be refused (BW-0236)"), "{}", alone.err);
    refused(&team.ada(&["trust", "check"]), 1, &["BW-0236", "trust/policy.yaml"]);

    team.sandbox.git(&["switch", "-qc", "eve"]);
    team.sandbox.git(&["branch", "-qf", "main", "HEAD~1"]);
    assert_eq!(team.bob(&["trust", "endorse"]).code, Some(0));
    team.sandbox.git(&["switch", "-q", "main"]);
    team.button_merges("eve");
    let checked = team.ada(&["trust", "check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
}

#[test]
fn nobody_is_locked_out_by_a_removal() {
    let team = Team::of_ada();
    refused(&team.ada(&["trust", "remove", "ada"]), 1, &["BW-0273", "only member of role admins", "trust/**"]);
    refused(&team.ada(&["trust", "remove", "bob"]), 1, &["BW-0272", "bob is not in the policy", "ada"]);
    refused(
        &team.ada(&["trust", "remove", "ada", "--only-key", "SHA256:x"]),
        1,
        &["BW-0272", "ada has no key SHA256:x"],
    );
    let key = json(&team.ada(&["trust", "show", "--output", "json"]))["people"][0]["keys"][0]["name"].clone();
    let only = ["trust", "remove", "ada", "--only-key", key.as_str().expect("a fingerprint")];
    refused(&team.ada(&only), 1, &["BW-0273", "the only key of ada"]);

    team.key("new");
    assert_eq!(team.ada(&["trust", "add", "ada", "--ssh-key", "../new.pub"]).code, Some(0));
    assert_eq!(team.ada(&only).code, Some(0));
    let keys = json(&team.ada(&["trust", "show", "--output", "json"]));
    assert_eq!(keys["version"], 1, "what is not committed is not shown");
    let policy = team.sandbox.read("trust/policy.yaml");
    assert!(policy.contains("new@laptop") && policy.matches("ssh-ed25519").count() == 1, "{policy}");
}

#[test]
fn the_policy_is_shown_as_people_read_it() {
    let team = Team::new();
    team.key("ci");
    let added = team.ada(&["trust", "add", "ci", "--bot", "--ssh-key", "../ci.pub", "--commit"]);
    assert_eq!(added.code, Some(0), "{}", added.err);
    insta::assert_snapshot!(steady(&team.ada(&["trust", "show"]).out));
    let shown = json(&team.ada(&["trust", "show", "--output", "json"]));
    assert_eq!((shown["version"].as_u64(), shown["people"][2]["bot"].as_bool()), (Some(3), Some(true)));
    assert_eq!(shown["rules"][1]["signers"], 2);
    refused(&team.ada(&["trust", "show", "--at", "nowhere"]), 2, &["BW-0733"]);
}

#[test]
fn a_policy_that_ends_soon_is_shown_as_such() {
    let team = Team::of_ada();
    let policy = team.sandbox.read("trust/policy.yaml");
    let expires = policy.lines().find_map(|line| line.trim().strip_prefix("expires: ")).expect("it expires").to_owned();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(10 * 24 + 1);
    team.sandbox.replace("trust/policy.yaml", &expires, &format!("\"{soon:.0}\""));
    team.sandbox.replace("trust/policy.yaml", "version: 1", "version: 2");
    team.sandbox.git(&["commit", "-qam", "Expire soon"]);
    let shown = team.ada(&["trust", "show"]).out;
    assert!(shown.contains("in 10 days; set a later one"), "{shown}");
}

#[test]
fn plain_git_knows_the_signers_from_an_export() {
    let team = Team::new();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.git_as_bob(&["commit", "-qam", "Say good morning"]);
    let by_bob = team.head();
    let verify = || team.sandbox.program("git", &["verify-commit", &by_bob], &team.sandbox.repository());
    assert!(!verify().status.success(), "git does not know bob yet");

    assert_eq!(team.ada(&["trust", "export", "--write"]).code, Some(0));
    assert!(verify().status.success(), "{:?}", verify());
    assert!(team.sandbox.git(&["log", "-1", "--format=%G? %GS", &by_bob]).starts_with("G bob"));

    assert_eq!(team.ada(&["trust", "remove", "bob", "--lower-signers", "--commit"]).code, Some(0));
    assert_eq!(team.ada(&["trust", "export", "--write"]).code, Some(0));
    assert!(!verify().status.success(), "bob is in the policy no more");
    assert_eq!(team.ada(&["trust", "export", "--all", "--write"]).code, Some(0));
    assert!(verify().status.success(), "{:?}", verify());
    let shown = team.ada(&["trust", "export", "--format", "allowed-signers"]).out;
    assert!(shown.starts_with("ada namespaces=\"git\" ssh-ed25519 ") && shown.lines().count() == 1, "{shown}");
}

#[test]
fn a_repository_without_a_policy_gets_one_that_introduces_it() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.repository()).expect("a folder");
    sandbox.git(&["init", "-q", "-b", "production"]);
    sandbox.write("fleets/README.md", "Ours.\n");
    sandbox.git(&["add", "."]);
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
    sandbox.git(&[&who[..], &["commit", "-qm", "Begin"]].concat());
    let sign = ["--key", "../key", "--author", "Ada <ada@example.com>"];
    let init = |more: &[&str]| sandbox.bellwether(&[&["trust", "init"], &sign[..], more].concat());

    std::os::unix::fs::symlink("README.md", sandbox.repository().join("fleets/link")).expect("a link");
    sandbox.git(&["add", "."]);
    sandbox.git(&[&who[..], &["commit", "-qm", "Link"]].concat());
    let linked = sandbox.git(&["rev-parse", "HEAD"]);
    refused(&init(&["--commit"]), 1, &["fleets/link"]);
    assert_eq!(sandbox.git(&["rev-parse", "HEAD"]), linked, "what would introduce nothing is not committed");
    assert_eq!(sandbox.git(&["status", "--short"]), "", "and nothing is written");
    sandbox.git(&["reset", "-q", "--hard", "HEAD~1"]);

    let made = json(&init(&["--commit", "--output", "json"]));
    assert_eq!((made["person"].as_str(), made["branch"].as_str()), (Some("ada"), Some("production")));
    assert_eq!(made["commit"], sandbox.git(&["rev-parse", "HEAD"]).trim());
    let checked = json(&sandbox.bellwether(&["trust", "check", "--output", "json"]));
    assert_eq!(checked["introduction"]["commit"], made["commit"]);
    assert_eq!(checked["introduction"]["policySha256"], made["policySha256"]);
    assert_eq!(checked["head"]["landing"], 2, "the commit before it is counted");
    refused(&init(&[]), 1, &["BW-0734", "trust/policy.yaml is there already"]);
    let before = sandbox.bellwether(&["trust", "explain", "HEAD~1"]);
    refused(&before, 1, &["no commit has trust/policy.yaml"]);
}

#[test]
fn an_endorsement_and_the_merge_button_make_two() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-q", "soak"]);
    let endorsed = team.head();
    let own = team.bob(&["trust", "endorse"]);
    refused(&own, 1, &["BW-0274", "bob signed the only commit that main lacks"]);
    team.key("eve");
    let nobody = team.ada(&["trust", "endorse", "--key", "../eve", "--author", "Eve <eve@example.com>"]);
    refused(&nobody, 1, &["BW-0274", "you do not count"]);
    refused(&team.ada(&["trust", "endorse", "HEAD~1"]), 1, &["BW-0274", "not the newest commit"]);
    assert_eq!(team.head(), endorsed, "a refused endorsement leaves no commit");

    let ran = team.ada(&["trust", "endorse"]);
    insta::assert_snapshot!(steady(&format!("{}{}", ran.out, ran.err)));
    team.sandbox.git(&["verify-commit", "HEAD"]);
    refused(&team.ada(&["trust", "endorse"]), 1, &["BW-0274", "ada endorsed", "already", "git push"]);
    let trailer = team.sandbox.git(&["log", "-1", "--format=%(trailers:key=Endorses,valueonly)"]);
    assert_eq!(trailer.trim(), endorsed);
    assert_eq!(team.sandbox.git(&["diff", "--stat", "HEAD~1"]), "");
    assert_eq!(team.sandbox.git(&["status", "--short"]), "");

    team.sandbox.git(&["switch", "-q", "main"]);
    team.button_merges("soak");
    let checked = team.ada(&["trust", "check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    insta::assert_snapshot!("explained_endorsement", steady(&team.ada(&["trust", "explain", &endorsed]).out));
}

#[test]
fn a_check_names_the_first_landing_that_does_not_count() {
    let team = Team::new();
    team.sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Squashed"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "After it"]);
    let ran = team.ada(&["trust", "check"]);
    refused(&ran, 1, &["BW-0204", "Refused: v3", "Squashed"]);
    assert!(ran.out.contains("accepted      v2 ("), "{}", ran.out);
    let said = json(&team.ada(&["trust", "check", "--output", "json"]));
    assert_eq!((said["refusal"]["code"].as_str(), said["head"]["landing"].as_u64()), (Some("BW-0204"), Some(2)));
    assert_eq!(team.ada(&["trust", "check", "HEAD~2"]).code, Some(0));
    refused(&team.ada(&["trust", "check", "HEAD~2", "--branch", "staging"]), 1, &["BW-0218", "staging"]);
    let later = team.ada(&["trust", "check", "HEAD~2", "--introduction", "HEAD~2"]);
    assert!(later.code == Some(0) && later.out.contains("1 landing from the introduction on"), "{}", later.out);
    refused(&team.ada(&["trust", "check", "HEAD~3", "--introduction", "HEAD"]), 1, &["BW-0223"]);
}

#[test]
fn each_path_of_a_landing_is_explained() {
    let team = Team::new();
    team.bob_writes("soak");
    let ran = team.ada(&["trust", "explain", "soak"]);
    refused(&ran, 1, &["BW-0236"]);
    insta::assert_snapshot!(steady(&ran.out));
    let said = json(&team.ada(&["trust", "explain", "soak", "--output", "json"]));
    let rule = &said["paths"][0]["rules"][0];
    assert_eq!((said["onBranch"].as_bool(), rule["holds"].as_bool()), (Some(false), Some(false)));
    assert_eq!((rule["needed"].as_u64(), rule["counted"][0].as_str()), (Some(2), Some("bob")));
    let first = team.ada(&["trust", "explain", "HEAD~1"]);
    assert!(first.code == Some(0) && first.out.contains("is the introduction, signed by ada"), "{}", first.out);
    refused(&team.ada(&["trust", "explain", "nowhere"]), 2, &["BW-0733"]);
}

#[test]
fn validate_warns_of_what_squash_and_rebase_buttons_make() {
    let team = Team::new();
    let quiet = team.ada(&["validate"]);
    assert!(quiet.out.contains("no problems"), "{}", quiet.out);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Not signed yet"]);
    let own = team.ada(&["validate"]);
    assert!(
        own.code == Some(0) && own.out.contains("BW-0247") && own.out.contains("sign before you push"),
        "{}",
        own.out
    );
    assert_eq!(team.ada(&["validate", "--fail-level", "warning"]).code, Some(1));

    let author = "--author=Ada <ada@example.com>";
    let service = ["-c", "user.name=Service", "-c", "user.email=noreply@example.com"];
    team.sandbox.git(
        &[&service[..], &["commit", "-q", "--amend", "--allow-empty", "--no-gpg-sign", author, "-m", "Soak (#12)"]]
            .concat(),
    );
    let button = team.ada(&["validate"]);
    assert!(button.out.contains("squash and rebase buttons make such commits: turn them off"), "{}", button.out);
    team.sandbox.git(&["commit", "-q", "--amend", "--allow-empty", "--no-edit", "-S"]);
    let mended = team.ada(&["validate"]);
    assert!(mended.out.contains("no problems"), "{}", mended.out);
}

#[test]
fn an_openpgp_key_is_known_by_the_fingerprint_that_gpg_shows() {
    let team = Team::new();
    let (dir, home) = (team.sandbox.dir.path(), team.sandbox.dir.path().join("gnupg"));
    let gpg = |arguments: &[&str]| {
        let mut command = team.sandbox.prepared("gpg", &[&["--batch", "--quiet"], arguments].concat(), dir);
        let output = command.env("GNUPGHOME", &home).output().expect("gpg is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    std::fs::create_dir(&home).expect("a folder");
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    gpg(&["--passphrase", "", "--quick-gen-key", "Kim <kim@example.com>", "ed25519", "sign"]);
    std::fs::write(dir.join("kim.asc"), gpg(&["--armor", "--export", "kim"])).expect("a file");
    let listed = gpg(&["--with-colons", "--list-keys", "kim"]);
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':'));
    let fingerprint = fingerprint.expect("gpg lists it");

    let add = ["trust", "add", "kim", "--openpgp", "../kim.asc", "--role", "admins", "--commit"];
    let ran = team.ada(&add);
    assert!(ran.code == Some(0) && ran.out.contains(&format!("openpgp {fingerprint}")), "{}{}", ran.out, ran.err);
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
    refused(&team.ada(&["trust", "add", "bob", "--openpgp", "../kim.asc"]), 1, &["BW-0270", "is kim's already"]);
    let exported = team.ada(&["trust", "export"]);
    assert!(exported.err.contains(&format!("Left out: openpgp {fingerprint} of kim")), "{}", exported.err);

    let no_root = ["trust", "add", "lea", "--gitsign", "lea@example.com", "--issuer", "https://issuer.example"];
    refused(&team.ada(&no_root), 1, &["BW-0240"]);
}
