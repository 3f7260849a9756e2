//! Who signs the commits that are then mutated.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bellwether_tests::hostile::Who;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};

/// A key, by whatever it is held.
pub(crate) enum Signer {
    /// An SSH key that signs here.
    Ssh(Box<PrivateKey>),
    /// An SSH key in a file, with which ssh-keygen signs: the RSA of `ssh-key` 0.6 cannot.
    SshFile {
        /// The file.
        file: PathBuf,
        /// The public key.
        public: PublicKey,
    },
}

impl Signer {
    /// Signs a payload as git has it signed.
    pub(crate) fn sign(&self, payload: &[u8]) -> String {
        self.sign_for("git", HashAlg::Sha512, payload).expect("an SSH key")
    }

    /// Signs for another purpose or with another hash; OpenPGP has neither.
    pub(crate) fn sign_for(&self, namespace: &str, hash: HashAlg, payload: &[u8]) -> Option<String> {
        match self {
            Self::Ssh(key) => {
                let signature = key.sign(namespace, hash, payload).expect("a plain key");
                Some(signature.to_pem(LineEnding::LF).expect("armour"))
            }
            Self::SshFile { file, .. } => {
                let hash = format!("hashalg={hash}");
                let mut command = Command::new("ssh-keygen");
                command.args(["-q", "-Y", "sign", "-n", namespace, "-O", &hash, "-f"]).arg(file);
                Some(String::from_utf8(run(command, payload).stdout).expect("armour is text"))
            }
        }
    }

    /// The line of an SSH key, as a policy lists it.
    pub(crate) fn line(&self) -> Option<String> {
        let line = match self {
            Self::Ssh(key) => key.public_key().to_openssh(),
            Self::SshFile { public, .. } => public.to_openssh(),
        };
        Some(line.expect("a plain key has a line"))
    }
}

/// The SSH signers, by name. The last two count for nobody: one is too short, one is a stranger's.
pub(crate) fn ssh(home: &Path) -> Vec<(&'static str, Signer)> {
    let key = |text: &str| PrivateKey::from_openssh(text).expect("a key made by ssh-keygen");
    let here = |key: PrivateKey| Signer::Ssh(Box::new(key));
    let person = |who: Who| here(who.key().expect("a person").clone());
    let in_file = |name: &str, text: &str| {
        let file = home.join(name);
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its own file");
        Signer::SshFile { file, public: key(text).public_key().clone() }
    };
    vec![
        ("ed25519", person(Who::Alice)),
        ("another ed25519", person(Who::Bob)),
        ("ecdsa-p256", here(key(include_str!("../../testdata/keys/ecdsa-p256")))),
        ("ecdsa-p384", here(key(include_str!("../../testdata/keys/ecdsa-p384")))),
        ("rsa-3072", in_file("rsa-3072", include_str!("../../testdata/keys/rsa-3072"))),
        ("rsa-2048", in_file("rsa-2048", include_str!("../../testdata/keys/rsa-2048"))),
        ("stranger", person(Who::Forge)),
    ]
}

/// Runs a program without anything of this user's; it must succeed.
fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .env_remove("HOME")
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
