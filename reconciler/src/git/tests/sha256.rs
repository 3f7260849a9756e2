//! Repositories whose objects are named by SHA-256.

use bellwether_core::verify::{Introduction, VerifiedHistory};
use bellwether_schemas::Sha256Digest;
use jiff::Timestamp;

use super::*;

impl Source {
    fn sha256() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let work = dir.path().join("work");
        std::fs::create_dir(&work).expect("a directory");
        let source = Self { work, dir };
        source.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
        source
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.work.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("written");
    }

    /// Commits everything, signed by git itself with an ssh key.
    fn commit_signed(&self, key: &Path) -> CommitId {
        self.git(&["add", "."]);
        let (format, key) = ("gpg.format=ssh", format!("user.signingkey={}", text(key)));
        self.git(&["-c", format, "-c", &key, "commit", "-q", "-S", "-m", "signed"]);
        self.git(&["rev-parse", "HEAD"]).parse().expect("an id")
    }
}

#[test]
fn a_sha256_repository_is_mirrored_and_its_signed_history_verified() {
    let source = Source::sha256();
    let key = source.dir.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", text(&key)]).status();
    assert!(made.expect("ssh-keygen is installed").success());
    let line = std::fs::read_to_string(key.with_extension("pub")).expect("a key");
    let policy = format!(
        "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata:\n  name: policy\nspec:\n  version: 1\n  branch: main\n  \
         expires: 2099-01-01T00:00:00Z\n  people:\n    alice:\n      ssh: [\"{}\"]\n  roles:\n    admins:\n      \
         members: [alice]\n  rules:\n    - {{paths: [\"**\"], role: admins}}\n",
        line.trim()
    );
    source.write("trust/policy.yaml", &policy);
    source.write("fleets/one.yaml", "v1");
    let first = source.commit_signed(&key);
    assert_eq!(first.to_string().len(), 64);
    let mirror = source.mirror(&source.work, "main");
    assert_eq!(mirror.fetch(&NEVER).expect("the empty mirror takes the hash on"), first);
    source.write("fleets/one.yaml", "v2");
    let second = source.commit_signed(&key);
    assert_eq!(source.mirror(&source.work, "main").fetch(&NEVER).expect("opened and fetched again"), second);

    let objects = mirror.objects().expect("objects");
    let commit = String::from_utf8(read(&objects, &second, ObjectKind::Commit).expect("a commit")).expect("text");
    assert!(commit.contains("\ngpgsig-sha256 "), "{commit}");
    let introduction = Introduction { commit: first, policy_sha256: Sha256Digest::of(policy.as_bytes()) };
    let (mut history, _) = VerifiedHistory::introduce(&objects, &introduction, "main").expect("introduced");
    let advanced = history.advance(&objects, &second, Timestamp::now());
    assert!(advanced.stop.is_none(), "{:?}", advanced.stop);
    assert_eq!(history.head(), &second);

    source.write("fleets/one.yaml", "v3");
    source.git(&["commit", "-q", "-a", "-m", "unsigned"]);
    let third = mirror.fetch(&NEVER).expect("fetched");
    let stop = history.advance(&mirror.objects().expect("objects"), &third, Timestamp::now()).stop;
    assert!(stop.is_some(), "an unsigned commit counts here as little as elsewhere");

    let sha1: ObjectId = "9f3c2ab000000000000000000000000000000001".parse().expect("an id");
    assert_eq!(objects.raw(&sha1), Err(ObjectError::Missing(sha1)));
}

#[test]
fn hostile_change_of_the_hash_is_refused() {
    let sha1 = Source::new();
    let mirror = sha1.mirror(&sha1.work, "main");
    let tip = mirror.fetch(&NEVER).expect("fetched");
    let sha256 = Source::sha256();
    sha256.commit("another repository");
    std::fs::remove_dir_all(&sha1.work).expect("removed");
    std::fs::rename(&sha256.work, &sha1.work).expect("replaced");
    let refused = mirror.fetch(&NEVER).expect_err("refused");
    assert_eq!(refused.code(), codes::REPOSITORY_HASH, "{refused}");
    assert_eq!(mirror.tip().expect("as it was"), Some(tip));
    let wide: ObjectId = "9f3c2ab000000000000000000000000000000001aaaaaaaaaaaaaaaaaaaaaaaa".parse().expect("an id");
    assert_eq!(mirror.objects().expect("objects").raw(&wide), Err(ObjectError::Missing(wide)));
}
