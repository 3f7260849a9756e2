use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::*;

mod way_back;

struct Device {
    dir: tempfile::TempDir,
    applier: Applier,
}

fn device() -> Device {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["root", "state/content", "state/specs"] {
        std::fs::create_dir_all(dir.path().join(name)).expect("made");
    }
    let applier = Applier::new(dir.path().join("state"), dir.path().join("root"));
    Device { dir, applier }
}

fn spec(entries: &str) -> DeviceSpec {
    let spec: DeviceSpec =
        serde_json::from_str(&format!(r#"{{"apiVersion":"bellwether/v1",{entries}}}"#)).expect("a spec");
    spec.check().expect("it does not contradict itself");
    spec
}

fn artifact(content: &str) -> String {
    let sha256 = Sha256Digest::of(content.as_bytes());
    let source = format!(r#"{{"sha256":"{sha256}","length":{}}}"#, content.len());
    format!(r#""artifacts":[{{"name":"app","dest":"/opt/bellwether/app","source":{source}}}]"#)
}

impl Device {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    fn store(&self, content: &str) {
        let path = self.applier.content(&Sha256Digest::of(content.as_bytes()));
        std::fs::write(path, content).expect("stored");
    }

    fn install(&self, spec: &DeviceSpec) {
        self.applier.stage(spec).expect("staged");
        self.apply(&spec.digest()).expect("applied");
        self.applier.commit(&spec.digest(), None).expect("committed");
    }

    /// What is final, as an agent's memory has it between two versions.
    fn committed(&self) -> Option<Sha256Digest> {
        self.applier.load_committed().expect("read").digest
    }

    /// Applies over what is final.
    fn apply(&self, digest: &Sha256Digest) -> Result<(), ApplyError> {
        self.applier.apply(digest, self.applier.load_committed()?.digest.as_ref())
    }

    /// From here on the power goes after so many steps.
    fn limit(&self, steps: u32) {
        self.applier.fuse.store(steps, Ordering::Relaxed);
    }

    fn power(&self) {
        self.limit(u32::MAX);
    }

    /// Everything below the root: contents, modes and links.
    fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(&self.dir.path().join("root"), "", &mut tree);
        tree
    }
}

fn walk(dir: &Path, at: &str, tree: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).expect("listed").flatten() {
        let name = format!("{at}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().expect("a type");
        if kind.is_symlink() {
            let to = std::fs::read_link(entry.path()).expect("a link");
            tree.insert(name, format!("-> {}", to.display()));
        } else if kind.is_dir() {
            tree.insert(name.clone(), "directory".to_owned());
            walk(&entry.path(), &name, tree);
        } else {
            let mode = entry.metadata().expect("metadata").permissions().mode() & 0o7777;
            let content = std::fs::read_to_string(entry.path()).expect("text");
            tree.insert(name, format!("{mode:o} {content}"));
        }
    }
}

fn first() -> DeviceSpec {
    let files =
        r#""files":[{"path":"/opt/bellwether/a","content":"1"},{"path":"/opt/bellwether/old/b","content":"2"}]"#;
    spec(&format!("{},{files}", artifact("app one")))
}

fn second() -> DeviceSpec {
    let files = r#""files":[{"path":"/opt/bellwether/a","content":"3","mode":"0600"},{"path":"/opt/bellwether/new/c","content":"4"},{"path":"/opt/bellwether/theirs","content":"ours","overwrite":true}]"#;
    spec(&format!("{},{files}", artifact("app two")))
}

/// A device with the first spec, and a file that somebody else placed.
fn prepared() -> Device {
    let device = device();
    device.store("app one");
    device.install(&first());
    std::fs::write(device.path("/opt/bellwether/theirs"), "theirs").expect("written");
    device.store("app two");
    device.applier.stage(&second()).expect("staged");
    device
}

#[test]
fn a_version_replaces_another_and_removes_what_it_lacks() {
    let device = prepared();
    let before = device.tree();
    device.install(&second());
    let tree = device.tree();
    assert_eq!(tree["/opt/bellwether/a"], "600 3");
    assert_eq!(tree["/opt/bellwether/theirs"], "644 ours");
    assert!(!tree.contains_key("/opt/bellwether/old") && tree.contains_key("/opt/bellwether/new/c"));
    assert_ne!(tree["/opt/bellwether/app/current"], before["/opt/bellwether/app/current"]);
    assert_eq!(tree["/opt/bellwether/app/previous"], before["/opt/bellwether/app/current"]);
    let third = spec(r#""files":[{"path":"/opt/bellwether/a","content":"1"}]"#);
    device.install(&third);
    assert_eq!(
        device.tree().into_iter().filter(|(_, kind)| kind != "directory").collect::<Vec<_>>(),
        [
            ("/opt/bellwether/a".to_owned(), "644 1".to_owned()),
            ("/opt/bellwether/theirs".to_owned(), "644 theirs".to_owned()),
        ]
    );
}

#[test]
fn whatever_step_the_power_fails_at_the_device_is_whole_afterwards() {
    let (old, new) = {
        let device = prepared();
        let old = device.tree();
        device.install(&second());
        (old, device.tree())
    };
    let mut steps = 0;
    for undo in [false, true] {
        for step in 0.. {
            let device = prepared();
            let (digest, previous) = (second().digest(), first().digest());
            device.limit(step);
            let applied = device.applier.apply(&digest, Some(&previous));
            let is_applied = applied.is_ok();
            let ended = applied.and_then(|()| match undo {
                true => device.applier.undo(Some(&previous)),
                false => device.applier.commit(&digest, None),
            });
            device.power();
            // The memory says whether the attempt goes on or back; both must work from everywhere, any number of times.
            if !undo && !is_applied {
                device.applier.apply(&digest, Some(&previous)).expect("applied");
            }
            for _ in 0..2 {
                if undo {
                    device.applier.undo(Some(&previous)).expect("undone");
                } else {
                    device.applier.commit(&digest, None).expect("committed");
                }
            }
            assert_eq!(device.committed(), Some(if undo { previous } else { digest }), "step {step}, undo {undo}");
            assert_eq!(device.tree(), if undo { old.clone() } else { new.clone() }, "step {step}, undo {undo}");
            assert!(!device.applier.is_unfinished().expect("read"));
            if ended.is_ok() {
                steps += step;
                break;
            }
        }
    }
    assert!(steps > 40, "only {steps} crash points were tried");
}

#[test]
fn what_somebody_else_placed_is_refused_and_untouched() {
    let device = device();
    std::fs::create_dir_all(device.path("/opt/bellwether")).expect("made");
    std::fs::write(device.path("/opt/bellwether/a"), "theirs").expect("written");
    let before = device.tree();
    let wanted = spec(r#""files":[{"path":"/opt/bellwether/a","content":"1"}]"#);
    assert!(matches!(device.applier.stage(&wanted), Err(ApplyError::Foreign(_))));
    assert_eq!(device.tree(), before);
    let linked = spec(r#""files":[{"path":"/opt/bellwether/l/x","content":"1"}]"#);
    let outside = tempfile::tempdir().expect("a directory");
    symlink(outside.path(), device.path("/opt/bellwether/l")).expect("linked");
    assert!(matches!(device.applier.stage(&linked), Err(ApplyError::Unsafe { .. })));
    assert!(matches!(device.apply(&linked.digest()), Err(ApplyError::Unsafe { .. })));
    assert_eq!(std::fs::read_dir(outside.path()).expect("listed").count(), 0);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_overwritten_and_survives_the_undo() {
    let device = device();
    let wanted =
        spec(r#""files":[{"path":"/opt/bellwether/a","content":"1"},{"path":"/opt/bellwether/b","content":"2"}]"#);
    device.applier.stage(&wanted).expect("staged");
    device.applier.begin(&wanted.digest(), None).expect("begun");
    std::fs::create_dir_all(device.path("/opt/bellwether")).expect("made");
    std::fs::write(device.path("/opt/bellwether/b"), "theirs").expect("written");
    assert!(matches!(device.apply(&wanted.digest()), Err(ApplyError::Foreign(_))));
    device.applier.undo(None).expect("undone");
    let files: Vec<_> = device.tree().into_iter().filter(|(_, kind)| kind != "directory").collect();
    assert_eq!(files, [("/opt/bellwether/b".to_owned(), "644 theirs".to_owned())]);
}

#[test]
fn damaged_state_is_an_error_and_never_absent() {
    let device = prepared();
    let before = device.tree();
    std::fs::write(device.dir.path().join("state/committed.json"), "{").expect("written");
    assert!(matches!(device.apply(&second().digest()), Err(ApplyError::State(_))));
    std::fs::write(device.dir.path().join("state/journal.json"), "").expect("written");
    assert!(matches!(device.applier.undo(Some(&first().digest())), Err(ApplyError::State(_))));
    assert_eq!(device.tree(), before);
    let content = device.applier.content(&Sha256Digest::of(b"app two"));
    std::fs::remove_file(device.dir.path().join("state/journal.json")).expect("removed");
    std::fs::remove_file(device.dir.path().join("state/committed.json")).expect("removed");
    std::fs::write(content, "app 2wo").expect("written");
    assert!(device.apply(&second().digest()).is_err());
}

#[test]
fn what_is_staged_for_the_next_version_survives_a_commit() {
    let device = prepared();
    let app = "app three";
    device.store(app);
    let files = r#""files":[{"path":"/opt/bellwether/a","content":"5"}]"#;
    let third = spec(&format!("{},{files}", artifact(app)));
    let digest = second().digest();
    device.apply(&digest).expect("applied");
    device.applier.stage(&third).expect("staged");
    device.applier.commit(&digest, Some(&third.digest())).expect("committed");
    device.apply(&third.digest()).expect("what was downloaded is still there");
    device.applier.commit(&third.digest(), None).expect("committed");
    assert_eq!(device.tree()["/opt/bellwether/a"], "644 5");
}

#[test]
fn content_is_known_by_its_digest_and_not_by_its_name() {
    let device = device();
    let digest = Sha256Digest::of(b"app one");
    assert!(!device.applier.has_content(&digest));
    device.store("app one");
    assert!(device.applier.has_content(&digest));
    std::fs::write(device.applier.content(&digest), "app 0ne").expect("written");
    assert!(!device.applier.has_content(&digest));
}

#[test]
fn a_version_that_somebody_changed_is_placed_again_and_a_foreign_one_is_refused() {
    let device = prepared();
    device.install(&second());
    let one = Sha256Digest::of(b"app one").to_string()[..16].to_owned();
    let file = device.path(&format!("/opt/bellwether/app/{one}/app"));
    std::fs::write(&file, "evil").expect("written");
    device.store("app one");
    device.install(&first());
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "app one");

    let three = Sha256Digest::of(b"app three").to_string()[..16].to_owned();
    let theirs = device.path(&format!("/opt/bellwether/app/{three}"));
    std::fs::create_dir_all(&theirs).expect("made");
    std::fs::write(theirs.join("app"), "app three").expect("written");
    device.store("app three");
    let refused = device.applier.stage(&spec(&artifact("app three")));
    assert!(matches!(refused, Err(ApplyError::Foreign(_))), "{refused:?}");
}

#[test]
fn what_cannot_be_stored_is_tried_again_and_an_apply_that_did_not_begin_leaves_no_journal() {
    let device = prepared();
    std::fs::remove_dir_all(device.dir.path().join("state/specs")).expect("removed");
    let problem = device.applier.stage(&second()).expect_err("nowhere to store it").problem();
    assert!(problem.transient, "{problem}");
    let unreadable = device.apply(&second().digest()).expect_err("the spec is gone");
    assert!(matches!(unreadable, ApplyError::Content(_)));
    assert!(!device.applier.is_unfinished().expect("read"), "nothing was begun, so nothing is to be undone");
}

/// Removing everything, from what is final and from the middle of a change, with the power gone after each step.
#[test]
fn everything_that_was_placed_goes_and_what_others_placed_stays() {
    let mut steps = 0;
    for is_applied in [false, true] {
        for step in 0.. {
            let device = prepared();
            std::fs::write(device.path("/opt/bellwether/app/notes"), "theirs too").expect("written");
            if is_applied {
                device.apply(&second().digest()).expect("applied");
            }
            device.limit(step);
            let ended = device.applier.remove_all();
            device.power();
            for _ in 0..2 {
                device.applier.remove_all().expect("removed");
            }
            let left: Vec<_> = device.tree().into_iter().filter(|(_, kind)| kind != "directory").collect();
            let theirs = [("/opt/bellwether/app/notes", "644 theirs too"), ("/opt/bellwether/theirs", "644 theirs")];
            let theirs = theirs.map(|(path, content)| (path.to_owned(), content.to_owned()));
            assert_eq!(left, theirs, "step {step}, applied {is_applied}");
            assert!(!device.path("/opt/bellwether/old").exists() && !device.path("/opt/bellwether/new").exists());
            assert_eq!((device.committed(), device.applier.is_unfinished().expect("read")), (None, false));
            let stored = std::fs::read_dir(device.dir.path().join("state/content")).expect("listed").count();
            assert_eq!(stored, 0, "no content is kept");
            steps += 1;
            if ended.is_ok() {
                break;
            }
        }
    }
    assert!(steps > 20, "only {steps} crash points were tried");
}
