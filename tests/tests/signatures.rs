//! Commits signed by the real git with the real ssh-keygen and gpg, read from the repository that git wrote.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_core::verify::{Introduction, VerifiedHistory};
use bellwether_schemas::{CommitId, ObjectId, Sha256Digest};
use bellwether_tests::Engineer;
use jiff::Timestamp;

/// The objects of a repository.
struct Objects(Mutex<gix::Repository>);

impl ObjectSource for Objects {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let repository = self.0.lock().expect("no test panics here");
        let found = repository.find_object(gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
        let object = found.map_err(|_| ObjectError::Missing(*id))?.detach();
        let kind = match object.kind {
            gix::objs::Kind::Commit => ObjectKind::Commit,
            gix::objs::Kind::Tree => ObjectKind::Tree,
            gix::objs::Kind::Blob => ObjectKind::Blob,
            gix::objs::Kind::Tag => panic!("no tag is made here"),
        };
        Ok((kind, object.data))
    }
}

fn run(program: &str, arguments: &[&str], home: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", home)
        .env_remove("GNUPGHOME")
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn policy(people: &str) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata:\n  name: policy\nspec:\n  version: 1\n  branch: main\n  \
         expires: 2099-01-01T00:00:00Z\n  people:\n{people}  roles:\n    all:\n      members: [signer]\n  rules:\n    \
         - {{paths: [\"**\"], role: all}}\n"
    )
}

/// Whether a commit that git makes with these settings counts by a policy that lists only this key.
fn counts(dir: &Path, person: &str, settings: &[&str]) -> Result<(), String> {
    let engineer = Engineer::new(dir);
    engineer.write("trust/policy.yaml", &policy(&format!("    signer:\n{person}")));
    engineer.write("fleets/edge.yaml", "a fleet\n");
    engineer.git(&["add", "--all"]);
    let commit = ["commit", "--quiet", "--gpg-sign", "--message", "Begin\n\nWith a body."];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).chain(commit).collect();
    engineer.git(&arguments);
    let text = std::fs::read(engineer.work().join("trust/policy.yaml")).expect("the policy");
    let commit: CommitId = engineer.head();
    let introduction = Introduction { commit, policy_sha256: Sha256Digest::of(&text) };
    let objects = Objects(Mutex::new(gix::open(engineer.work()).expect("a repository")));
    let (history, landing) =
        VerifiedHistory::introduce(&objects, &introduction, "main").map_err(|refusal| refusal.to_string())?;
    assert_eq!(landing.signers().map(ToString::to_string).collect::<Vec<_>>(), ["signer"]);
    assert!(history.policy().expires() > Timestamp::UNIX_EPOCH);
    Ok(())
}

#[test]
fn what_git_signs_with_ssh_keygen_counts() {
    for kind in [&["ed25519"][..], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"], &["rsa", "-b", "3072"]] {
        let dir = tempfile::tempdir().expect("a folder");
        let key = dir.path().join("signer");
        let file = key.to_str().expect("UTF-8");
        let arguments = [&["-q", "-N", "", "-C", "signer@example.com", "-f", file, "-t"], kind].concat();
        run("ssh-keygen", &arguments, dir.path());
        let line = std::fs::read_to_string(key.with_extension("pub")).expect("a key");
        let person = format!("      ssh: [\"{}\"]\n", line.trim());
        counts(dir.path(), &person, &[&format!("user.signingkey={file}")])
            .unwrap_or_else(|why| panic!("{kind:?}: {why}"));
    }
}

#[test]
fn what_git_signs_with_gpg_counts_until_the_key_is_revoked() {
    if Command::new("gpg").arg("--version").output().is_err() {
        println!("skipped: gpg is not installed");
        return;
    }
    for kind in ["ed25519", "rsa3072"] {
        // A short path: the agent's socket lies in it.
        let dir = tempfile::Builder::new().prefix("g").tempdir_in("/tmp").expect("a folder");
        let home = dir.path().join("h");
        std::fs::create_dir(&home).expect("a folder");
        rustix::fs::chmod(&home, rustix::fs::Mode::RWXU).expect("a mode");
        let home = home.to_str().expect("UTF-8");
        let gpg = |arguments: &[&str]| {
            let always = ["--homedir", home, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"];
            run("gpg", &[&always, arguments].concat(), dir.path())
        };
        gpg(&["--quick-generate-key", "Signer <signer@example.com>", kind, "sign,cert", "never"]);
        let wrapper = dir.path().join("gpg.sh");
        std::fs::write(&wrapper, format!("#!/bin/sh\nexec gpg --homedir {home} --batch \"$@\"\n")).expect("a file");
        rustix::fs::chmod(&wrapper, rustix::fs::Mode::RWXU).expect("a mode");
        let indent = |text: String| text.lines().map(|line| format!("          {line}\n")).collect::<String>();
        let person = |text: String| format!("      openpgp:\n        - |\n{}", indent(text));
        let settings =
            ["gpg.format=openpgp", &format!("gpg.program={}", wrapper.display()), "user.signingkey=signer@example.com"];
        let first = dir.path().join("first");
        std::fs::create_dir(&first).expect("a folder");
        let certificate = gpg(&["--armor", "--export"]);
        counts(&first, &person(certificate), &settings).unwrap_or_else(|why| panic!("{kind}: {why}"));

        // The revocation is not in the key ring that signs, only in the policy.
        let fingerprint = gpg(&["--list-keys", "--with-colons"]);
        let fingerprint = fingerprint.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).expect("a key");
        let fingerprint = fingerprint.trim_end_matches(':');
        let revocation = std::fs::read_to_string(format!("{home}/openpgp-revocs.d/{fingerprint}.rev")).expect("a file");
        let revocation_file = dir.path().join("revocation");
        std::fs::write(&revocation_file, revocation.replace(":-----", "-----")).expect("a file");
        let other = dir.path().join("o");
        std::fs::create_dir(&other).expect("a folder");
        rustix::fs::chmod(&other, rustix::fs::Mode::RWXU).expect("a mode");
        let public = dir.path().join("public");
        std::fs::write(&public, gpg(&["--armor", "--export"])).expect("a file");
        let other = other.to_str().expect("UTF-8");
        for file in [&public, &revocation_file] {
            let file = file.to_str().expect("UTF-8");
            run("gpg", &["--homedir", other, "--batch", "--quiet", "--import", file], dir.path());
        }
        let revoked = run("gpg", &["--homedir", other, "--batch", "--armor", "--export"], dir.path());
        let second = dir.path().join("second");
        std::fs::create_dir(&second).expect("a folder");
        let why = counts(&second, &person(revoked), &settings).expect_err("a revoked key");
        assert!(why.contains("revoked") || why.contains("sign a change"), "{kind}: {why}");
        for home in [home, other] {
            run("gpgconf", &["--homedir", home, "--kill", "all"], dir.path());
        }
    }
}
