//! What a hostile server, repository or address tries, and what somebody may have put into the mirror.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A program that leaves a mark when anything runs it.
struct Canary {
    program: PathBuf,
    mark: PathBuf,
}

impl Canary {
    fn in_dir(dir: &Path) -> Self {
        let canary = Self { program: dir.join("canary"), mark: dir.join("canary-was-run") };
        canary.write(&canary.program);
        canary
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, format!("#!/bin/sh\ntouch '{}'\n", self.mark.display())).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    fn assert_never_run(&self) {
        assert!(!self.mark.exists(), "something ran the canary");
    }
}

/// All hooks that git has, as programs that leave a mark.
fn set_hooks(canary: &Canary, dir: &Path) {
    std::fs::create_dir_all(dir).expect("a folder");
    for hook in [
        "post-checkout",
        "post-update",
        "post-receive",
        "pre-receive",
        "update",
        "reference-transaction",
        "pre-auto-gc",
        "post-merge",
        "post-index-change",
        "fsmonitor-watchman",
        "proc-receive",
    ] {
        canary.write(&dir.join(hook));
    }
}

impl Source {
    fn mirror_dir(&self) -> PathBuf {
        self.dir.path().join("mirror.git")
    }

    fn write_in_git(&self, path: &str, content: &str) {
        let path = self.work.join(".git").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }

    fn append_config(&self, text: &str) {
        let path = self.work.join(".git/config");
        let before = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(path, before + text).expect("written");
    }

    fn id(&self, of: &str) -> ObjectId {
        self.git(&["rev-parse", of]).parse().expect("an id")
    }
}

#[test]
fn hostile_addresses_name_no_options_and_no_commands() {
    let dir = tempfile::tempdir().expect("a directory");
    let canary = Canary::in_dir(dir.path());
    let program = text(&canary.program);
    for url in [
        format!("-oProxyCommand={program}"),
        format!("ssh://-oProxyCommand={program}/y"),
        format!("ssh://me@-oProxyCommand={program}/y"),
        format!("ssh://-oProxyCommand={program}@host/y"),
        format!("-oProxyCommand={program}:y"),
        "user@-host:path".to_owned(),
        "-user@host:path".to_owned(),
        format!("ssh://host/--upload-pack={program}"),
        format!("ssh://host/%2D-upload-pack={program}"),
        format!("host:--upload-pack={program}"),
        "host;canary:y".to_owned(),
        "$(canary):y".to_owned(),
        "ssh://host$(canary)/y".to_owned(),
        "ssh://host`canary`/y".to_owned(),
        "ssh://ho st/y".to_owned(),
        "ssh:///y".to_owned(),
        "--upload-pack=x".to_owned(),
        format!("--upload-pack={program}"),
        format!("ext::{program}"),
        format!("ext::sh -c {program}"),
        format!("ext://{program}"),
        "fd::17/foo".to_owned(),
        "git://example.com/y".to_owned(),
        "http://example.com/y".to_owned(),
        "ftp://example.com/y".to_owned(),
        "file://example.com/y".to_owned(),
        "file://".to_owned(),
        "/srv/fleet\n.git".to_owned(),
        "/srv/fleet\0.git".to_owned(),
        "https://example.com/y\r\nHost: other".to_owned(),
        "https://example.com/%00".to_owned(),
        "https://example.com/%0d%0aHost:%20other".to_owned(),
        "ssh://example.com/y%0Az".to_owned(),
        " /srv/fleet.git".to_owned(),
    ] {
        let mirror = Mirror::open_or_create(&dir.path().join("mirror.git"), &url, "main", Access::default());
        let refused = mirror.map(|mirror| mirror.fetch(&NEVER)).expect_err(&url);
        assert_eq!(refused.code(), codes::REPOSITORY_ADDRESS, "{url:?}: {refused}");
        assert!(watch(&url).ok().flatten().is_none(), "{url:?}");
    }
    for branch in ["-x", "--upload-pack=x", "HEAD", "a b", "a\nb", "a~1", "a/../b", "a.lock", "@{-1}"] {
        let mirror =
            Mirror::open_or_create(&dir.path().join("mirror.git"), "/srv/fleet.git", branch, Access::default());
        assert_eq!(mirror.expect_err(branch).code(), codes::REPOSITORY_ADDRESS);
    }
    canary.assert_never_run();
    for url in ["ssh://me@[::1]:22/srv/fleet.git", "git@example.com:team/fleet.git", "https://example.com/a%20b.git"] {
        Mirror::open_or_create(&dir.path().join("mirror.git"), url, "release/1", Access::default()).expect(url);
    }
}

#[test]
fn hostile_replace_refs_of_the_source_swap_nothing() {
    let source = Source::new();
    let first = source.id("HEAD");
    let second = source.commit("two");
    let swapped = source.commit("swapped");
    source.git(&["reset", "-q", "--hard", &second.to_string()]);
    source.git(&["replace", &first.to_string(), &swapped.to_string()]);
    let mirror = source.mirror(&source.work, "main");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), second);
    let objects = mirror.objects().expect("objects");
    let commit = read(&objects, &first, ObjectKind::Commit).expect("the commit itself");
    assert!(String::from_utf8(commit).expect("text").ends_with("\none\n"));
    assert_eq!(objects.raw(&swapped), Err(ObjectError::Missing(swapped)));
}

#[test]
fn hostile_grafts_of_the_source_cut_nothing_off() {
    let source = Source::new();
    let first = source.id("HEAD");
    let second = source.commit("two");
    source.write_in_git("info/grafts", &format!("{second}\n"));
    let mirror = source.mirror(&source.work, "main");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), second);
    read(&mirror.objects().expect("objects"), &first, ObjectKind::Commit).expect("the parent came along");
}

#[test]
fn hostile_alternates_lead_nowhere() {
    let source = Source::new();
    let other = Source::new();
    let secret = other.commit("somebody else's");
    // A source that borrows: what it sends is whole.
    let borrowing = source.dir.path().join("borrowing");
    source.git(&["clone", "-q", "--shared", ".", text(&borrowing)]);
    let mirror = source.mirror(&borrowing, "main");
    let tip = mirror.fetch(&NEVER).expect("fetched");
    std::fs::remove_dir_all(source.work.join(".git/objects")).expect("removed");
    read(&mirror.objects().expect("objects"), &tip, ObjectKind::Commit).expect("it is in the mirror");
    assert!(!source.mirror_dir().join("objects/info/alternates").exists());
    let info = source.mirror_dir().join("objects/info");
    std::fs::create_dir_all(&info).expect("a folder");
    std::fs::write(info.join("http-alternates"), text(&other.work.join(".git/objects"))).expect("written");
    let objects = mirror.objects().expect("nobody reads that file");
    assert_eq!(objects.raw(&secret), Err(ObjectError::Missing(secret)));
    std::fs::write(info.join("alternates"), text(&other.work.join(".git/objects"))).expect("written");
    assert!(matches!(mirror.objects(), Err(FetchError::Alternates { .. })));
}

#[test]
fn hostile_cut_ends_of_source_and_mirror_are_refused() {
    let source = Source::new();
    let tip = source.commit("two");
    let mirror = source.mirror(&source.work, "main");
    mirror.fetch(&NEVER).expect("fetched");
    std::fs::write(source.mirror_dir().join("shallow"), format!("{tip}\n")).expect("written");
    assert_eq!(mirror.objects().expect_err("refused").code(), codes::MIRROR_FAILED);
    assert_eq!(mirror.fetch(&NEVER).expect_err("refused").code(), codes::MIRROR_FAILED);
    std::fs::remove_file(source.mirror_dir().join("shallow")).expect("removed");
    source.write_in_git("shallow", &format!("{tip}\n"));
    assert_eq!(mirror.fetch(&NEVER).expect_err("refused").code(), codes::REPOSITORY_SHALLOW);
}

#[test]
fn hostile_hooks_of_source_and_mirror_are_never_run() {
    let source = Source::new();
    let canary = Canary::in_dir(source.dir.path());
    let elsewhere = source.dir.path().join("hooks");
    set_hooks(&canary, &elsewhere);
    set_hooks(&canary, &source.work.join(".git/hooks"));
    source.append_config(&format!("[core]\nhooksPath = {}\n", elsewhere.display()));
    let mirror = source.mirror(&source.work, "main");
    set_hooks(&canary, &source.mirror_dir().join("hooks"));
    mirror.fetch(&NEVER).expect("fetched");
    canary.assert_never_run();
    // The canary sings: git itself runs these hooks when a commit is made.
    let tip = source.commit("two");
    assert!(canary.mark.exists());
    std::fs::remove_file(&canary.mark).expect("removed");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), tip);
    canary.assert_never_run();
}

#[test]
fn hostile_configuration_of_the_source_names_no_commands() {
    let source = Source::new();
    let tip = source.commit("two");
    let canary = Canary::in_dir(source.dir.path());
    let program = text(&canary.program);
    let included = source.dir.path().join("included");
    std::fs::write(&included, format!("[uploadpack]\npackObjectsHook = {program}\n")).expect("written");
    source.append_config(&format!(
        "[uploadpack]\npackObjectsHook = {program}\nallowFilter = true\n\
         [core]\nfsmonitor = {program}\nsshCommand = {program}\nalternateRefsCommand = {program}\ngitProxy = {program}\n\
         pager = {program}\neditor = {program}\naskPass = {program}\n\
         [alias]\nupload-pack = !{program}\npack-objects = !{program}\n\
         [credential]\nhelper = !{program}\n[include]\npath = {}\n[trace2]\nnormalTarget = af_unix:{program}\n",
        included.display()
    ));
    let mirror = source.mirror(&source.work, "main");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), tip);
    canary.assert_never_run();
    // An object that the source lacks, and says to fetch from a command. The canary sings: git itself runs fsmonitor here.
    let third = source.commit("three");
    assert!(canary.mark.exists());
    std::fs::remove_file(&canary.mark).expect("removed");
    let blob = source.id("HEAD:file").to_string();
    source.append_config(&format!(
        "[core]\nrepositoryformatversion = 1\n[extensions]\npartialClone = origin\n\
         [remote \"origin\"]\nurl = ext::{program}\npromisor = true\nuploadpack = {program}\n[protocol]\nallow = always\n"
    ));
    std::fs::remove_file(source.work.join(".git/objects").join(&blob[..2]).join(&blob[2..])).expect("removed");
    if let Ok(tip) = mirror.fetch(&NEVER) {
        assert_eq!(tip, third);
    }
    canary.assert_never_run();
}

#[test]
fn hostile_configuration_of_the_mirror_is_refused() {
    let source = Source::new();
    let mirror = source.mirror(&source.work, "main");
    mirror.fetch(&NEVER).expect("fetched");
    let canary = Canary::in_dir(source.dir.path());
    let config = source.mirror_dir().join("config");
    let own = std::fs::read_to_string(&config).expect("a file");
    for (setting, lines) in [
        ("core.sshcommand", format!("[core]\nsshCommand = {}\n", canary.program.display())),
        ("http.sslverify", "[http]\nsslVerify = false\n".to_owned()),
        ("url.", format!("[url \"ext::{}\"]\ninsteadOf = /\n", canary.program.display())),
        ("include.path", "[include]\npath = /etc/hostname\n".to_owned()),
        ("core.usereplacerefs", "[core]\nuseReplaceRefs = true\n".to_owned()),
    ] {
        std::fs::write(&config, format!("{own}{lines}")).expect("written");
        for refused in [mirror.fetch(&NEVER).expect_err(setting), mirror.objects().map(drop).expect_err(setting)] {
            assert_eq!(refused.code(), codes::MIRROR_FAILED);
            assert!(refused.to_string().contains(setting), "{refused}");
        }
    }
    std::fs::write(&config, own).expect("written");
    mirror.fetch(&NEVER).expect("as it was");
    canary.assert_never_run();
}

#[test]
fn hostile_refs_besides_the_branch_stay_where_they_are() {
    let source = Source::new();
    let tip = source.commit("two");
    source.git(&["tag", "-a", "-m", "a tag", "v1"]);
    source.git(&["update-ref", "refs/notes/commits", "HEAD"]);
    source.git(&["checkout", "-q", "-b", "other"]);
    let other = source.commit("other");
    source.git(&["update-ref", "refs/tags/other", "HEAD"]);
    source.git(&["symbolic-ref", "HEAD", "refs/heads/other"]);
    source.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/other"]);
    let mirror = source.mirror(&source.work, "main");
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), tip);
    let refs = source.git_in(&source.mirror_dir(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/main");
    assert_eq!(mirror.objects().expect("objects").raw(&other), Err(ObjectError::Missing(other)));
}

#[test]
fn hostile_branch_that_is_another_name_leads_to_what_it_names_and_no_further() {
    let source = Source::new();
    let first = source.mirror(&source.work, "main").fetch(&NEVER).expect("fetched");
    source.git(&["checkout", "-q", "-b", "other"]);
    let other = source.commit("other");
    source.git(&["symbolic-ref", "refs/heads/main", "refs/heads/other"]);
    let mirror = source.mirror(&source.work, "main");
    assert_ne!(first, other);
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), other);
    assert_eq!(mirror.tip().expect("a mirror"), Some(other), "a restart finds the same");
    source.write_in_git("refs/heads/main", "ref: refs/heads/nowhere\n");
    assert_eq!(mirror.fetch(&NEVER).expect_err("refused").code(), codes::BRANCH_MISSING);
}

#[test]
fn hostile_branch_that_points_to_no_commit_is_refused() {
    let source = Source::new();
    source.git(&["tag", "-a", "-m", "a tag", "v1"]);
    for (kind, of) in [("tag", "v1"), ("blob", "HEAD:file"), ("tree", "HEAD^{tree}")] {
        let id = source.id(of);
        source.write_in_git("refs/heads/odd", &format!("{id}\n"));
        let refused = source.mirror(&source.work, "odd").fetch(&NEVER).expect_err(kind);
        assert_eq!(refused.code(), codes::BRANCH_NO_COMMIT, "{refused}");
        assert!(refused.to_string().contains(&format!("points to a {kind}")), "{refused}");
    }
}

#[test]
fn hostile_owner_of_the_source_is_no_matter_where_the_configuration_names_it() {
    let source = Source::new();
    let tip = source.id("HEAD");
    // Only root can give files away.
    let given = Command::new("chown").args(["-R", "12345"]).arg(&source.work).output().expect("chown");
    if given.status.success() {
        assert_eq!(source.mirror(&source.work, "main").fetch(&NEVER).expect("fetched"), tip);
    }
}

/// The most memory that this process ever had, in MiB.
fn peak_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

#[test]
fn hostile_sizes_are_refused_before_memory_is_spent_on_them() {
    let source = Source::new();
    let mirror = source.mirror(&source.work, "main");
    mirror.fetch(&NEVER).expect("fetched");
    let dir = source.mirror_dir();
    let write = |kind: &str, name: &str, content: &mut dyn std::io::Read| -> ObjectId {
        let path = source.dir.path().join(name);
        std::io::copy(content, &mut std::fs::File::create(&path).expect("a file")).expect("written");
        let id = source.git_in(&dir, &["hash-object", "-w", "--literally", "-t", kind, text(&path)]);
        std::fs::remove_file(path).expect("removed");
        id.parse().expect("an id")
    };
    let zeros = |mib: u64| std::io::Read::take(std::io::repeat(0), mib << 20);
    let bomb = write("blob", "bomb", &mut zeros(200));
    let blob = write("blob", "blob", &mut zeros(65));
    let tree = write("tree", "tree", &mut zeros(17));
    let commit = write("commit", "commit", &mut zeros(9));
    let short = write("commit", "short", &mut zeros(2));
    let half = std::io::Read::chain(std::io::Read::take(std::io::repeat(7), 4096), zeros(40));
    let bases = [write("blob", "base", &mut zeros(40)), write("blob", "like", &mut { half })];
    let objects = [(bomb, 200), (blob, 65), (tree, 17), (commit, 9), (short, 2)];
    let check = |how: &str| {
        let before = peak_mib();
        let mirror = mirror.objects().expect("objects");
        for (id, mib) in objects {
            let refused = mirror.raw(&id).expect_err(how);
            assert!(
                matches!(refused, ObjectError::TooLarge { length, .. } if length == mib << 20),
                "{how}, {mib} MiB: {refused}"
            );
        }
        let spent = peak_mib() - before;
        assert!(spent < 24, "{how}: {spent} MiB");
    };
    check("loose");
    let mut pack = Command::new("git");
    pack.args(["pack-objects", "-q", "objects/pack/pack"]).current_dir(&dir).stdin(std::process::Stdio::piped());
    let mut pack = pack.stdout(std::process::Stdio::null()).spawn().expect("git is installed");
    let mut list = pack.stdin.take().expect("a pipe");
    for id in [blob, tree, commit, short, bases[0], bases[1]] {
        std::io::Write::write_all(&mut list, format!("{id} x\n").as_bytes()).expect("taken");
    }
    drop(list);
    assert!(pack.wait().expect("it ends").success());
    let alone = source.dir.path().join("alone");
    std::fs::write(&alone, format!("{bomb} x\n")).expect("written");
    let pack = format!("git pack-objects -q objects/pack/pack < '{}'", alone.display());
    assert!(Command::new("sh").args(["-c", &pack]).current_dir(&dir).output().expect("sh").status.success());
    source.git_in(&dir, &["prune-packed"]);
    check("packed");
    // Large and allowed, one as a delta of the other.
    let mirror = mirror.objects().expect("objects");
    for id in bases {
        read(&mirror, &id, ObjectKind::Blob).expect("40 MiB are fine");
    }
}

#[test]
fn a_small_pack_of_large_objects_stays_a_pack() {
    let source = Source::new();
    let mirror = source.mirror(&source.work, "main");
    let packs = || {
        mirror.fetch(&NEVER).expect("fetched");
        let folder = source.mirror_dir().join("objects/pack");
        std::fs::read_dir(folder)
            .expect("a folder")
            .filter(|file| {
                file.as_ref().expect("a file").path().extension().is_some_and(|extension| extension == "pack")
            })
            .count()
    };
    assert_eq!(packs(), 0);
    let file = std::fs::File::create(source.work.join("large")).expect("a file");
    file.set_len(17 << 20).expect("sparse");
    source.git(&["add", "large"]);
    source.commit("large");
    assert_eq!(packs(), 1);
    source.commit("small");
    assert_eq!(packs(), 1);
}

#[test]
fn hostile_bomb_ends_the_fetch_that_brings_it() {
    let source = Source::new();
    let first = source.id("HEAD");
    let file = std::fs::File::create(source.work.join("bomb")).expect("a file");
    file.set_len(140 << 20).expect("sparse");
    source.git(&["add", "bomb"]);
    source.git(&["commit", "-q", "-m", "a bomb"]);
    let mirror = source.mirror(&source.work, "main");
    let before = peak_mib();
    let refused = mirror.fetch(&NEVER).expect_err("refused");
    assert_eq!(refused.code(), codes::OBJECT_TOO_LARGE, "{refused}");
    assert!(peak_mib() - before < 64, "{} MiB", peak_mib() - before);
    assert_eq!(mirror.tip().expect("a mirror"), None);
    source.git(&["reset", "-q", "--hard", &first.to_string()]);
    assert_eq!(mirror.fetch(&NEVER).expect("fetched"), first);
}
