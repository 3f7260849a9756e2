//! `demo`: what it needs, and which folders it takes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::{BELLWETHER, Ran, Sandbox};

impl Sandbox {
    fn demo(&self, arguments: &[&str]) -> Ran {
        self.bellwether_in(self.dir.path(), &[&["demo", "--once"], arguments].concat())
    }

    /// The same where the PATH has nothing but these programs, none of which does anything but fail.
    fn demo_with_broken(&self, programs: &[&str]) -> Ran {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for program in programs {
            let file = folder.path().join(program);
            fs::write(&file, "#!/bin/sh\nexit 1\n").expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        let arguments = ["demo", "--once", "--devices", "1"];
        let mut command = self.prepared(BELLWETHER, &arguments, self.dir.path());
        Ran::from(command.env("PATH", folder.path()).output().expect("it runs"))
    }

    fn demo_folder(&self) -> PathBuf {
        self.dir.path().join("demo")
    }
}

#[test]
fn what_it_needs_is_asked_for_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let ran = sandbox.demo_with_broken(&["git"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("BW-0737") && ran.err.contains("ssh-keygen") && ran.err.contains("openssh-client"));
    assert!(!sandbox.demo_folder().exists());
}

#[test]
fn one_that_was_stopped_half_made_is_made_anew_and_then_goes_on() {
    let sandbox = Sandbox::new();
    let broken = sandbox.demo_with_broken(&["git", "ssh-keygen"]);
    assert!(broken.code == Some(2) && broken.err.contains("git push failed"), "{}", broken.err);
    assert!(sandbox.demo_folder().join("fleet").exists() && !sandbox.demo_folder().join("demo.json").exists());

    // A file of somebody else's is not removed, and nor is anything beside it.
    let notes = sandbox.demo_folder().join("notes.txt");
    fs::write(&notes, "mine").expect("a file");
    let refused = sandbox.demo(&["--devices", "1"]);
    assert!(refused.code == Some(2) && refused.err.contains("BW-0731"), "{}", refused.err);
    assert!(refused.err.contains("notes.txt") && notes.exists() && sandbox.demo_folder().join("fleet").exists());
    fs::remove_file(&notes).expect("it is there");

    let anew = sandbox.demo(&["--devices", "1"]);
    assert!(anew.code == Some(0) && anew.err.contains("making it anew"), "{}", anew.err);
    assert!(anew.out.contains("device-1") && !anew.out.contains("device-2"), "{}", anew.out);

    let other = sandbox.demo(&["--devices", "2"]);
    assert!(other.code == Some(2) && other.err.contains("BW-0720"), "{}", other.err);
    assert!(other.err.contains("has 1 device,") && other.err.contains("rm -r demo"), "{}", other.err);
    let held = fs::File::open(sandbox.demo_folder().join("demo.json")).expect("it is there");
    held.lock().expect("nobody holds it");
    let second = sandbox.demo(&[]);
    assert!(second.code == Some(2) && second.err.contains("another bellwether demo is running"), "{}", second.err);
    held.unlock().expect("it was held");
    let since = jiff::Timestamp::now();
    let on = sandbox.demo(&["--output", "json"]);
    assert!(on.code == Some(0) && on.err.contains("Going on with the demo"), "{}", on.err);
    // What it says is of now, not of the time before the stop.
    let result: serde_json::Value = serde_json::from_str(&on.out).expect("JSON");
    for device in result["devices"].as_array().expect("a list") {
        let seen: jiff::Timestamp = device["lastSeen"].as_str().expect("it reported").parse().expect("a time");
        assert!(seen >= since, "{device}");
    }
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.demo_folder().join("fleet")).expect("a folder");
    fs::write(sandbox.demo_folder().join("demo.unfinished"), "my own notes").expect("a file");
    let ran = sandbox.demo(&[]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0731"), "{}", ran.err);
    assert!(sandbox.demo_folder().join("fleet").exists());
}
