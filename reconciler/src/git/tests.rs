use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource as _, read};

use bellwether_schemas::{ObjectId, codes};

use super::*;

mod hostile;
mod remote;
mod sha256;

/// Nobody interrupts these fetches.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A repository made by git, without any configuration of whoever runs the test.
struct Source {
    dir: tempfile::TempDir,
    work: PathBuf,
}

impl Source {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let work = dir.path().join("work");
        std::fs::create_dir(&work).expect("a directory");
        let source = Self { work, dir };
        source.git(&["init", "-q", "-b", "main"]);
        source.commit("one");
        source
    }

    fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([("HOME", self.dir.path()), ("GIT_CONFIG_GLOBAL", Path::new("/dev/null"))])
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.com")])
            .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.com")])
            .output()
            .expect("git is installed");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.work, arguments)
    }

    fn commit(&self, content: &str) -> CommitId {
        std::fs::write(self.work.join("file"), content).expect("written");
        self.git(&["add", "file"]);
        self.git(&["commit", "-q", "-m", content]);
        self.git(&["rev-parse", "HEAD"]).parse().expect("an id")
    }

    /// A bare copy that can be pushed to.
    fn bare(&self) -> PathBuf {
        let bare = self.dir.path().join("bare.git");
        self.git(&["clone", "-q", "--bare", ".", text(&bare)]);
        bare
    }

    fn mirror(&self, url: &Path, branch: &str) -> Mirror {
        Mirror::open_or_create(&self.dir.path().join("mirror.git"), text(url), branch, Access::default())
            .expect("a mirror")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn fetches_the_tip_and_its_objects_from_bare_and_work_trees() {
    let source = Source::new();
    let first = source.commit("two");
    for url in [source.work.clone(), source.bare()] {
        let mirror = source.mirror(&url, "main");
        assert_eq!(mirror.tip().expect("a mirror"), None);
        assert_eq!(mirror.fetch(&NEVER).expect("fetched"), first);
        assert_eq!(mirror.tip().expect("a mirror"), Some(first), "without asking anybody");
        let objects = mirror.objects().expect("objects");
        let commit = read(&objects, &first, ObjectKind::Commit).expect("a commit");
        assert!(String::from_utf8(commit).expect("text").ends_with("\ntwo\n"));
        let blob: ObjectId = source.git(&["rev-parse", "HEAD:file"]).parse().expect("an id");
        assert_eq!(read(&objects, &blob, ObjectKind::Blob), Ok(b"two".to_vec()));
        let missing: ObjectId = "9f3c2ab000000000000000000000000000000001".parse().expect("an id");
        assert_eq!(objects.raw(&missing), Err(ObjectError::Missing(missing)));
        std::fs::remove_dir_all(source.dir.path().join("mirror.git")).expect("removed");
    }
}

#[test]
fn many_threads_read_at_once() {
    let source = Source::new();
    let commits: Vec<_> = (0..50).map(|number| source.commit(&format!("commit {number}"))).collect();
    source.git(&["repack", "-q", "-a", "-d", "-f"]);
    let mirror = source.mirror(&source.work, "main");
    mirror.fetch(&NEVER).expect("fetched");
    let objects = mirror.objects().expect("objects");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for (number, id) in commits.iter().enumerate() {
                    let commit = read(&objects, id, ObjectKind::Commit).expect("a commit");
                    assert!(String::from_utf8(commit).expect("text").ends_with(&format!("\ncommit {number}\n")));
                }
            });
        }
    });
}

#[test]
fn follows_the_branch_for_long_and_back_and_keeps_what_it_had() {
    let source = Source::new();
    let mirror = source.mirror(&source.work, "main");
    let first = mirror.fetch(&NEVER).expect("fetched");
    let mut last = first;
    // A handle that is kept open fails after about thirty.
    for number in 0..40 {
        last = source.commit(&format!("commit {number}"));
        assert_eq!(mirror.fetch(&NEVER).expect("fetched"), last);
    }
    let packs = std::fs::read_dir(source.dir.path().join("mirror.git/objects/pack")).expect("a folder").count();
    assert_eq!(packs, 0, "small packs are taken apart, or every look at the mirror would read them all");
    source.git(&["reset", "-q", "--hard", &first.to_string()]);
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), first, "the branch is where it is, also when it went back");
    assert_eq!(mirror.fetch(&NEVER).expect("nothing new is no error"), first);
    read(&mirror.objects().expect("objects"), &last, ObjectKind::Commit).expect("what was fetched stays");
}

#[test]
fn for_a_branch_on_this_machine_git_is_started_only_when_it_moved() {
    let source = Source::new();
    let older: CommitId = source.git(&["rev-parse", "HEAD"]).parse().expect("an id");
    source.commit("newer");
    for url in [source.work.clone(), source.bare()] {
        let mirror = source.mirror(&url, "main");
        let tip = mirror.fetch(&NEVER).expect("fetched");
        // Git ends at once when it reads this.
        let dir = if url == source.work { url.join(".git") } else { url.clone() };
        let config = std::fs::read_to_string(dir.join("config")).expect("a configuration");
        std::fs::write(dir.join("config"), format!("{config}[uploadpack]\n\tkeepAlive = nonsense\n")).expect("written");
        assert_eq!(mirror.fetch(&NEVER).expect("nothing is to be fetched"), tip);
        std::fs::write(dir.join("refs/heads/main"), format!("{older}\n")).expect("written");
        mirror.fetch(&NEVER).expect_err("git is started, and ends");
        std::fs::write(dir.join("config"), config).expect("written");
        assert_eq!(mirror.fetch(&NEVER).expect("fetched"), older);
        std::fs::write(dir.join("refs/heads/main"), format!("{tip}\n")).expect("written");
        assert_eq!(mirror.fetch(&NEVER).expect("fetched"), tip);
        // A mirror that lost the objects does not have what its branch says.
        let mirrored = source.dir.path().join("mirror.git/objects");
        std::fs::rename(&mirrored, source.dir.path().join("lost")).expect("renamed");
        std::fs::create_dir_all(mirrored.join("pack")).expect("a folder");
        let lost = mirror.fetch(&NEVER).expect_err("the mirror is damaged");
        assert_eq!(lost.code(), codes::REPOSITORY_UNREACHABLE, "{lost}");
        for lost in ["mirror.git", "lost"] {
            std::fs::remove_dir_all(source.dir.path().join(lost)).expect("removed");
        }
    }
    // What is wrong with a repository is seen all the same, and where the branch goes.
    let mirror = source.mirror(&source.work, "main");
    mirror.fetch(&NEVER).expect("fetched");
    let mark = source.work.join(".git/shallow");
    std::fs::write(&mark, format!("{}\n", source.git(&["rev-parse", "HEAD"]))).expect("written");
    assert_eq!(mirror.fetch(&NEVER).expect_err("it is shallow").code(), codes::REPOSITORY_SHALLOW);
    std::fs::remove_file(mark).expect("removed");
    let moved = source.commit("two");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), moved);
    source.git(&["pack-refs", "--all"]);
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), moved);
    let moved = source.commit("three");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), moved);
    source.git(&["checkout", "-q", "--detach"]);
    source.git(&["branch", "-q", "-D", "main"]);
    assert_eq!(mirror.fetch(&NEVER).expect_err("it is gone").code(), codes::BRANCH_MISSING);
}

#[test]
fn says_what_is_wrong_with_a_repository() {
    let source = Source::new();
    source.commit("two");
    let code = |url: &Path, branch: &str| {
        std::fs::remove_dir_all(source.dir.path().join("mirror.git")).ok();
        let error = source.mirror(url, branch).fetch(&NEVER).expect_err("refused");
        assert!(error.to_string().contains(text(url)), "{error}");
        error.code()
    };
    assert_eq!(code(&source.work, "stable"), codes::BRANCH_MISSING);
    assert_eq!(code(&source.dir.path().join("nowhere"), "main"), codes::REPOSITORY_UNREACHABLE);
    let empty = source.dir.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    assert_eq!(code(&empty, "main"), codes::REPOSITORY_UNREACHABLE);
    let shallow = source.dir.path().join("shallow");
    source.git(&["clone", "-q", "--depth", "1", &format!("file://{}", text(&source.work)), text(&shallow)]);
    assert_eq!(code(&shallow, "main"), codes::REPOSITORY_SHALLOW);
}

#[test]
fn refuses_addresses_that_nobody_should_fetch_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |url: &str, branch: &str| {
        Mirror::open_or_create(&dir.path().join("mirror.git"), url, branch, Access::default())
    };
    for (url, branch) in [
        ("http://example.com/fleet.git", "main"),
        ("git://example.com/fleet.git", "main"),
        ("", "main"),
        ("/srv/fleet.git", "a..b"),
        ("/srv/fleet.git", ""),
        ("/srv/fleet.git", "main:refs/heads/other"),
    ] {
        let refused = open(url, branch).expect_err(url);
        assert_eq!(refused.code(), codes::REPOSITORY_ADDRESS, "{refused}");
    }
    for url in ["git://me:hunter2@example.com/x", "https://me:hunter2@example.com/x"] {
        let secret = open(url, "main").expect_err("refused");
        assert!(!secret.to_string().contains("hunter2"), "{secret}");
    }
}

#[test]
fn a_mirror_that_borrows_objects_or_replaces_them_is_not_believed() {
    let source = Source::new();
    let mirror = source.mirror(&source.work, "main");
    let first = mirror.fetch(&NEVER).expect("fetched");
    let second = source.commit("two");
    mirror.fetch(&NEVER).expect("fetched");
    let dir = source.dir.path().join("mirror.git");
    source.git_in(&dir, &["replace", &first.to_string(), &second.to_string()]);
    let objects = mirror.objects().expect("objects");
    read(&objects, &first, ObjectKind::Commit).expect("the object itself, not its replacement");
    std::fs::write(dir.join("objects/info/alternates"), text(&source.work.join(".git/objects"))).expect("written");
    let refused = mirror.fetch(&NEVER).expect_err("alternates");
    assert!(matches!(refused, FetchError::Alternates { .. }), "{refused}");
    assert!(mirror.objects().is_err());
}

#[tokio::test]
async fn a_push_is_noticed_at_once_and_other_changes_are_not() {
    let source = Source::new();
    let bare = source.bare();
    let mut watch = watch(text(&bare)).expect("watched").expect("it is local");
    std::fs::write(bare.join("description"), "not a ref").expect("written");
    assert!(tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_err(), "no ref changed");

    source.commit("two");
    let begin = Instant::now();
    let (target, work, home) = (text(&bare).to_owned(), source.work.clone(), source.dir.path().to_owned());
    let push = tokio::task::spawn_blocking(move || {
        let mut push = Command::new("git");
        push.args(["push", "-q", &target, "main"]).current_dir(work);
        let done = push.env("HOME", home).env("GIT_CONFIG_GLOBAL", "/dev/null").status().expect("git is installed");
        (done.success(), Instant::now())
    });
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("noticed");
    let noticed = Instant::now();
    let (pushed, done) = push.await.expect("a push");
    assert!(pushed);
    println!("push {:?}, noticed {:?} after its end", begin.elapsed(), noticed.saturating_duration_since(done));
    source.git_in(&bare, &["update-ref", "refs/heads/feature/x", "main"]);
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("a new branch in a new folder");
}

#[test]
fn a_watch_knows_when_another_repository_takes_the_place() {
    let source = Source::new();
    let bare = source.bare();
    let watch = watch(text(&bare)).expect("watched").expect("it is local");
    assert!(!watch.is_stale());
    std::fs::rename(&bare, source.dir.path().join("old.git")).expect("renamed");
    source.bare();
    assert!(watch.is_stale());
}

#[test]
fn only_repositories_on_this_machine_are_watched() {
    assert!(watch("https://example.com/fleet.git").expect("an address").is_none());
    assert!(watch("git@example.com:fleet.git").expect("an address").is_none());
    assert!(matches!(watch("/nowhere/at/all"), Err(WatchError::Open { .. })));
}
