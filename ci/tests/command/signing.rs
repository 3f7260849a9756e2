//! What git signs for the command: RSA keys, keys that an agent holds, OpenPGP. Real ssh-keygen, ssh-agent and gpg.

use std::os::unix::fs::PermissionsExt as _;

use crate::Ran;
use crate::team::Team;

const HOLD: [&str; 5] = ["hold", "--all", "--reason", "smoke", "--commit"];

/// Ada signs with one more key of another kind.
fn with_another(key: &[&str]) -> Team {
    let team = Team::new();
    let made = [&["-q", "-N", "", "-C", "", "-f", "other"], key].concat();
    let made = team.sandbox.program("ssh-keygen", &made, team.sandbox.dir.path());
    assert!(made.status.success(), "{made:?}");
    let ran = team.ada(&["trust", "add", "ada", "--ssh-key", "../other.pub", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    team
}

#[track_caller]
fn counts(team: &Team, ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let checked = team.ada(&["trust", "check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert_eq!(team.sandbox.git(&["status", "--short"]), "");
    team.sandbox.git(&["fsck", "--strict"]);
}

#[track_caller]
fn refused(team: &Team, ran: &Ran, expected: &[&str]) {
    for text in expected {
        assert!(ran.err.contains(text), "expected {text:?} in {}", ran.err);
    }
    assert!(ran.code.is_some_and(|code| code > 0) && ran.err.contains("\n  hint: "), "{}", ran.err);
    assert_eq!(team.sandbox.git(&["status", "--short"]), "", "nothing is written");
}

#[test]
fn git_signs_with_rsa_keys_whether_passed_or_configured() {
    let team = with_another(&["-t", "rsa", "-b", "3072"]);
    // git leaves the last dot of a name away.
    let author = ["--key", "../other", "--author", "Ada Lovelace Jr. <ada@example.com>"];
    counts(&team, &team.ada(&[&HOLD[..], &author].concat()));
    assert_eq!(team.sandbox.git(&["log", "-1", "--format=%an"]).trim(), "Ada Lovelace Jr");
    team.bob_writes("soak");
    team.sandbox.git(&["config", "user.signingkey", "../other.pub"]);
    team.sandbox.git(&["switch", "-q", "soak"]);
    let endorsed = team.ada(&["trust", "endorse"]);
    assert_eq!(endorsed.code, Some(0), "{}", endorsed.err);
    team.sandbox.git(&["switch", "-q", "main"]);
    // From a folder within it, too: git takes a path in its configuration as one from the top.
    counts(&team, &team.sandbox.bellwether_in(&team.sandbox.repository().join("fleets"), &["land", "soak"]));
    assert!(team.sandbox.git(&["log", "-1", "--format=%an %s"]).starts_with("Ada Merge branch 'soak'"));
    let allowed = team.ada(&["trust", "export", "--write"]);
    assert_eq!(allowed.code, Some(0), "{}", allowed.err);
    team.sandbox.git(&["verify-commit", "HEAD", "HEAD^2"]);
}

#[test]
fn a_repository_begins_with_an_rsa_key() {
    let team = with_another(&["-t", "rsa", "-b", "3072"]);
    let arguments = ["init", "more", "--key", "other", "--author", "Ada <ada@example.com>"];
    let ran = team.sandbox.bellwether_in(team.sandbox.dir.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let more = team.sandbox.dir.path().join("more");
    assert_eq!(team.sandbox.bellwether_in(&more, &["trust", "check"]).code, Some(0));
    assert_eq!(team.sandbox.bellwether_in(&more, &HOLD).code, Some(0));
    assert_eq!(team.sandbox.bellwether_in(&more, &["trust", "check"]).code, Some(0));
}

#[test]
fn git_signs_with_keys_that_only_an_agent_has() {
    let team = with_another(&["-t", "ecdsa"]);
    let public = std::fs::read_to_string(team.sandbox.dir.path().join("other.pub")).expect("the public half");
    let with_agent = |arguments: &str| {
        let script = format!("ssh-add -q ../hidden && exec {} {arguments}", crate::BELLWETHER);
        Ran::from(team.sandbox.program("ssh-agent", &["sh", "-c", &script], &team.sandbox.repository()))
    };
    let rename = |from: &str, to: &str| {
        std::fs::rename(team.sandbox.dir.path().join(from), team.sandbox.dir.path().join(to)).expect("it is there");
    };
    rename("other", "hidden");
    team.sandbox.git(&["config", "user.signingkey", "../other.pub"]);
    refused(&team, &team.ada(&HOLD), &["BW-0726", "other.pub", "ssh-keygen -Y sign -n git -f"]);
    counts(&team, &with_agent("hold --all --reason smoke --commit"));
    counts(&team, &with_agent("hold --all --reason smoke --name more --commit --key ../other.pub"));
    team.sandbox.git(&["config", "user.signingkey", &format!("key::{}", public.trim())]);
    counts(&team, &with_agent("hold --all --release --commit"));
}

/// The Team with a `gpg` of its own, in which Ada's key is made; its fingerprint.
fn with_openpgp(gpg_options: &[&str], lives: &str) -> (Team, String) {
    let team = Team::new();
    let home = team.sandbox.dir.path().join(".gnupg");
    std::fs::create_dir(&home).expect("a folder");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    let make = ["--passphrase", "", "--quick-gen-key", "Ada <ada@example.com>", "ed25519", "sign", lives];
    gpg(&team, &[gpg_options, &make].concat());
    let listed = gpg(&team, &["--with-colons", "--list-keys", "ada@example.com"]);
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':'));
    let fingerprint = fingerprint.expect("gpg lists it").to_owned();
    export(&team);
    let ran = team.ada(&["trust", "add", "ada", "--openpgp", "../ada.asc", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    (team, fingerprint)
}

fn gpg(team: &Team, arguments: &[&str]) -> String {
    let arguments = [&["--batch", "--quiet"], arguments].concat();
    let output = team.sandbox.program("gpg", &arguments, team.sandbox.dir.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn export(team: &Team) {
    let armoured = gpg(team, &["--armor", "--export", "ada@example.com"]);
    std::fs::write(team.sandbox.dir.path().join("ada.asc"), armoured).expect("a file");
}

#[test]
fn git_signs_with_openpgp_as_it_is_configured() {
    let (team, fingerprint) = with_openpgp(&[], "0");
    team.bob_writes("soak");
    team.sandbox.git(&["config", "gpg.format", "openpgp"]);
    team.sandbox.git(&["config", "user.signingkey", &fingerprint]);
    counts(&team, &team.ada(&HOLD));
    // git's default is OpenPGP.
    team.sandbox.git(&["config", "--unset", "gpg.format"]);
    counts(&team, &team.ada(&["land", "soak"]));
    assert!(team.sandbox.git(&["cat-file", "-p", "HEAD"]).contains("gpgsig -----BEGIN PGP SIGNATURE-----"));

    team.sandbox.git(&["config", "gpg.program", "false"]);
    let failed = team.ada(&["hold", "--all", "--release", "--commit"]);
    refused(&team, &failed, &["BW-0726", "git could not sign", &fingerprint, "git commit-tree -S"]);
    team.sandbox.git(&["config", "user.signingkey", "../key"]);
    refused(&team, &team.ada(&["hold", "--all", "--release", "--commit"]), &["BW-0725", "git config gpg.format ssh"]);
    team.sandbox.git(&["config", "gpg.format", "pigeon"]);
    refused(&team, &team.ada(&["hold", "--all", "--release", "--commit"]), &["BW-0725", "pigeon"]);
}

#[test]
fn what_git_signs_for_nobody_of_the_policy_is_not_committed() {
    let (team, _) = with_openpgp(&[], "0");
    gpg(&team, &["--passphrase", "", "--quick-gen-key", "Eve <eve@example.com>", "ed25519", "sign"]);
    team.sandbox.git(&["config", "gpg.format", "openpgp"]);
    team.sandbox.git(&["config", "user.signingkey", "eve@example.com"]);
    let before = team.head();
    refused(&team, &team.ada(&HOLD), &["BW-0207", "it was not made", "--key FILE"]);
    team.sandbox.git(&["config", "gpg.format", "ssh"]);
    let made = ["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "weak"];
    assert!(team.sandbox.program("ssh-keygen", &made, team.sandbox.dir.path()).status.success());
    refused(&team, &team.ada(&[&HOLD[..], &["--key", "../weak"]].concat()), &["BW-0205", "2048"]);
    assert_eq!(team.head(), before);
}

#[test]
fn a_newer_copy_of_an_openpgp_key_takes_the_place_of_the_older() {
    let (team, fingerprint) = with_openpgp(&[], "20d");
    let warned = team.ada(&["validate"]);
    let expected = ["warning[BW-0248]", &fingerprint, " of ada expires at 20", "--quick-set-expire"];
    for text in expected {
        assert!(warned.code == Some(0) && warned.out.contains(text), "expected {text:?} in {}", warned.out);
    }
    let add = ["trust", "add", "ada", "--openpgp", "../ada.asc", "--commit"];
    let again = team.ada(&add);
    refused(&team, &again, &["BW-0270", "is ada's already"]);
    gpg(&team, &["--quick-set-expire", &fingerprint, "2y"]);
    export(&team);
    let other = team.ada(&["trust", "add", "bob", "--openpgp", "../ada.asc"]);
    refused(&team, &other, &["BW-0270", "is ada's already"]);
    let renewed = team.ada(&add);
    counts(&team, &renewed);
    assert!(
        renewed.out.contains(&format!("openpgp {fingerprint} of ada: this copy is in force now")),
        "{}",
        renewed.out
    );
    let policy = team.sandbox.read("trust/policy.yaml");
    assert_eq!(policy.matches("BEGIN PGP PUBLIC KEY").count(), 1, "{policy}");
    let validated = team.ada(&["validate"]);
    assert!(validated.out.contains("no problems"), "{}", validated.out);
}

#[test]
fn an_openpgp_key_that_has_expired_is_a_warning_and_counts() {
    let (team, fingerprint) = with_openpgp(&["--faked-system-time", "20240101T000000"], "1d");
    let warned = team.ada(&["validate"]);
    let said = format!("warning[BW-0248]: the OpenPGP key {fingerprint} of ada expired at 2024-01-02T");
    assert!(warned.code == Some(0) && warned.out.contains(&said), "{}", warned.out);
    assert_eq!(team.ada(&["validate", "--fail-level", "warning"]).code, Some(1));
    // A gpg that lives in the past signs with it, and that counts: no date decides.
    let program = team.sandbox.dir.path().join("past-gpg");
    std::fs::write(&program, "#!/bin/sh\nexec gpg --faked-system-time 20240101T120000 \"$@\"\n").expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    team.sandbox.git(&["config", "gpg.format", "openpgp"]);
    team.sandbox.git(&["config", "user.signingkey", &fingerprint]);
    refused(&team, &team.ada(&HOLD), &["BW-0726"]);
    team.sandbox.git(&["config", "gpg.program", program.to_str().expect("text")]);
    counts(&team, &team.ada(&HOLD));
}
