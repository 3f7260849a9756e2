//! Who signs the commits that are then mutated.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bellwether_tests::hostile::Who;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};

/// Signs as OpenPGP keys of 2026 do: in a fixed second, so that each run signs the same.
const SIGNED_AT: &str = "20260102T000000!";

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
    /// An OpenPGP key in a folder of gpg's.
    OpenPgp {
        /// The folder.
        home: PathBuf,
        /// The key or subkey.
        id: &'static str,
    },
}

impl Signer {
    /// Signs a payload as git has it signed.
    pub(crate) fn sign(&self, payload: &[u8]) -> String {
        match self {
            Self::Ssh(_) | Self::SshFile { .. } => self.sign_for("git", HashAlg::Sha512, payload).expect("an SSH key"),
            Self::OpenPgp { home, id } => {
                let id = format!("{id}!");
                let output = gpg(home, &["--detach-sign", "--armor", "--local-user", &id], payload);
                String::from_utf8(output.stdout).expect("armour is text")
            }
        }
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
            Self::OpenPgp { .. } => None,
        }
    }

    /// The line of an SSH key, as a policy lists it.
    pub(crate) fn line(&self) -> Option<String> {
        let line = match self {
            Self::Ssh(key) => key.public_key().to_openssh(),
            Self::SshFile { public, .. } => public.to_openssh(),
            Self::OpenPgp { .. } => return None,
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

/// The OpenPGP signers, a primary key and a subkey of one certificate, and that certificate; none without gpg.
pub(crate) fn openpgp(home: &Path) -> Option<(Vec<(&'static str, Signer)>, String)> {
    Command::new("gpg").arg("--version").output().ok()?;
    std::fs::write(home.join("gpg.conf"), "trust-model always\nno-auto-check-trustdb\n").expect("a file");
    gpg(home, &["--import"], include_bytes!("../../testdata/keys/openpgp.asc"));
    let certificate = gpg(home, &["--armor", "--export"], b"").stdout;
    let signers = [("openpgp ed25519", "724DC000DD67E571"), ("openpgp rsa subkey", "6B444484A284539E")]
        .map(|(name, id)| (name, Signer::OpenPgp { home: home.to_owned(), id }));
    Some((signers.into(), String::from_utf8(certificate).expect("armour is text")))
}

/// Ends what gpg started.
pub(crate) fn end_gpg(home: &Path) {
    // Without gpg there is nothing to end.
    let _ = Command::new("gpgconf").args(["--homedir"]).arg(home).args(["--kill", "all"]).status();
}

fn gpg(home: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--quiet", "--faked-system-time", SIGNED_AT]).args(arguments).env("GNUPGHOME", home);
    run(command, input)
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
