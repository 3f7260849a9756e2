use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command, described};

/// A folder with the keys that somebody made, and the commands of that person.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let online = dir.path().join("r/keys/online");
        crate::keys::init(&dir.path().join("root"), &online, Timestamp::now()).expect("keys");
        Self(dir)
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("r")
    }

    /// What is said of `init` with these arguments beside what it needs.
    async fn init(&self, more: &[&str]) -> Result<(), String> {
        let dir = self.dir().display().to_string();
        let (commit, policy) = ("9f3c2ab000000000000000000000000000000001", "0".repeat(64));
        let fixed = ["bellwether-reconciler", "init", "--dir", &dir, "--repository", "/srv/fleet.git"];
        let pinned = ["--commit", commit, "--policy-sha256", &policy];
        let names: &[&str] = if more.contains(&"--names") { &[] } else { &["--names", "localhost,127.0.0.1"] };
        let arguments = fixed.iter().chain(&pinned).chain(names).chain(more);
        match Cli::try_parse_from(arguments).expect("a command").command {
            Command::Init(init) => init.run().await.map_err(|error| described(&error)),
            _ => panic!("another command"),
        }
    }

    async fn refused(&self, more: &[&str], code: Code) -> String {
        let said = self.init(more).await.expect_err("refused");
        let mend = codes::explain(code.as_str()).expect("known").mend;
        assert!(
            said.starts_with(&format!("error[{code}]: ")) && said.ends_with(&format!("\n  hint: {mend}")),
            "{said}"
        );
        said
    }

    fn authority(&self) -> Vec<u8> {
        std::fs::read(self.dir().join("ca/ca.crt")).expect("made")
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_had_leaves_nothing_made_and_the_same_command_succeeds_later() {
    let folder = Folder::new();
    let state = ["--state", "sqlite://elsewhere/state.db"];
    folder.refused(&state, codes::DATABASE_FAILED).await;
    let names = |path: &Path| {
        let all = std::fs::read_dir(path).expect("a folder").map(|it| it.expect("an entry").file_name());
        all.collect::<Vec<_>>()
    };
    assert_eq!(names(&folder.dir()), ["keys"]);
    std::fs::create_dir(folder.dir().join("elsewhere")).expect("made");
    folder.init(&state).await.expect("made");
    Config::load(&folder.dir().join(CONFIG_FILE)).expect("a configuration");
    let said = folder.refused(&state, codes::RECONCILER_MADE).await;
    assert!(said.contains("reconciler.yaml exists"), "{said}");
}

#[tokio::test]
async fn whatever_an_init_broke_off_at_the_same_command_goes_on_with_it() {
    let folder = Folder::new();
    folder.init(&[]).await.expect("made");
    let authority = folder.authority();
    // Backwards through what it makes: the configuration, the root, the database, the authority.
    let undo: [&[&str]; 4] = [&[], &["store/root"], &["store/root", "state.db"], &["ca", "store"]];
    for gone in undo {
        std::fs::remove_file(folder.dir().join(CONFIG_FILE)).expect("removed");
        for gone in gone.iter().map(|gone| folder.dir().join(gone)) {
            let removed = if gone.is_dir() { std::fs::remove_dir_all(&gone) } else { std::fs::remove_file(&gone) };
            removed.expect("removed");
        }
        if gone.contains(&"ca") {
            // A database without its store is no init's doing.
            folder.refused(&[], codes::STORE_IN_USE).await;
            break;
        }
        folder.init(&[]).await.unwrap_or_else(|said| panic!("{gone:?}: {said}"));
        assert_eq!(folder.authority(), authority, "{gone:?}");
        assert!(
            folder.dir().join("store/root/1.root.json").exists() && folder.dir().join("store/instance.json").exists()
        );
    }
}

#[tokio::test]
async fn what_is_in_use_is_never_taken_for_an_init_that_broke_off() {
    for used in ["store/devices/edge-1", "store/enrolled"] {
        let folder = Folder::new();
        folder.init(&[]).await.expect("made");
        std::fs::remove_file(folder.dir().join(CONFIG_FILE)).expect("removed");
        std::fs::create_dir_all(folder.dir().join(used)).expect("made");
        std::fs::write(folder.dir().join(used).join("x"), "x").expect("written");
        folder.refused(&[], codes::STORE_IN_USE).await;
        std::fs::remove_file(folder.dir().join("state.db")).expect("removed");
        folder.refused(&[], codes::STORE_IN_USE).await;
    }
}

#[tokio::test]
async fn an_authority_that_is_damaged_or_for_other_names_is_neither_taken_nor_overwritten() {
    let folder = Folder::new();
    folder.init(&[]).await.expect("made");
    let authority = folder.authority();
    std::fs::remove_file(folder.dir().join(CONFIG_FILE)).expect("removed");
    let said = folder.refused(&["--names", "other.example"], codes::AUTHORITY_LEFT).await;
    assert!(said.contains("is for localhost, 127.0.0.1"), "{said}");
    std::fs::remove_file(folder.dir().join("ca/server.key")).expect("removed");
    let said = folder.refused(&[], codes::AUTHORITY_LEFT).await;
    assert!(said.contains("server.key"), "{said}");
    assert_eq!(folder.authority(), authority);
    std::fs::remove_dir_all(folder.dir().join("ca")).expect("removed, as the hint says");
    folder.init(&[]).await.expect("made");
}

#[tokio::test]
async fn every_mistake_in_the_command_bears_a_code() {
    let folder = Folder::new();
    folder.refused(&["--names", "no name"], codes::USAGE).await;
    folder.refused(&["--state", "mysql://x"], codes::CONFIG_INVALID).await;
    let said = folder.refused(&["--keys", "/nowhere/keys"], codes::KEY_UNREADABLE).await;
    assert!(said.contains("bellwether keys init --root DIR --online /nowhere/keys"), "{said}");
    std::fs::write(folder.dir().join("store"), "a file").expect("written");
    folder.refused(&[], codes::OBJECT_STORE_FAILED).await;
    assert!(!folder.dir().join("ca").exists());
}
