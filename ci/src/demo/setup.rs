//! Makes a demo's folder: signed repository, keys, tokens, and a reconciler's directory.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use bellwether_schemas::{PersonName, Seconds, codes};
use jiff::Timestamp;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};

use super::children::{self, failed};
use super::place::Place;
use crate::failure::{self, Failure};
use crate::init::{self, Introduction, NewRepository};
use crate::output;
use crate::repo::{Edit, WorkingCopy, git};
use crate::sign::{Means, Signer};
use crate::template::Example;
use crate::token::{self, TokenFor};
use crate::token_edit;

pub(super) const BRANCH: &str = "main";

/// Fills the folder of a new demo.
pub(super) fn make(place: &Place) -> Result<(), Failure> {
    output::note("Making a repository with a policy, an example fleet and tokens; first signed commit …");
    let introduction = make_repository(place)?;
    output::note("Making keys and a reconciler …");
    make_folder(&place.reconciler())?;
    bellwether_reconciler::keys::init(&place.root_keys(), &place.online_keys(), Timestamp::now())
        .map_err(|e| failed("the keys could not be made").because(&e))?;
    init_reconciler(place, &introduction)
}

fn make_repository(place: &Place) -> Result<Introduction, Failure> {
    let signer = make_signer(&place.signing_key())?;
    make_folder(&place.working_copy())?;
    let copy = WorkingCopy::create(&place.working_copy(), BRANCH)?;
    let tokens = mint_tokens(place)?;
    let person: PersonName = "engineer".parse().expect("a literal name");
    let new = NewRepository { person: &person, branch: BRANCH, example: Example::Quickstart };
    let introduction = init::first_commit(&copy, &signer, &new, |files| adapt(files, &tokens))?;

    let bare = place.bare_repository();
    gix::init_bare(&bare).map_err(|e| git(&format!("cannot make {}", bare.display()), &e))?;
    let head = bare.join("HEAD");
    write(&head, format!("ref: refs/heads/{BRANCH}\n").as_bytes())?;
    push(place)?;
    Ok(introduction)
}

/// Fast enough to watch, and with the tokens of the devices in it.
fn adapt(files: &mut [Edit], tokens: &[bellwether_schemas::manifest::Token]) {
    for file in files {
        let Some(text) = file.after.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()) else { continue };
        let changed = match file.path.as_str() {
            "rollouts/edge.yaml" => {
                text.replace("soak: 15m", "soak: 2s").replace("deviceTimeout: 30m", "deviceTimeout: 2m")
            }
            "enrollments/factory.yaml" => {
                token_edit::append(text, tokens).expect("the template's layout is understood")
            }
            _ => continue,
        };
        file.after = Some(changed.into_bytes());
    }
}

/// A token for each device, beside the device that will use it. The first device is the canary.
fn mint_tokens(place: &Place) -> Result<Vec<bellwether_schemas::manifest::Token>, Failure> {
    let expires = token::expiry(Seconds::new(7 * 86_400));
    let mut entries = Vec::new();
    for (index, device) in place.devices().enumerate() {
        make_folder(&place.device(&device))?;
        let ring = if index == 0 { "canary" } else { "rest" };
        let labels = [("ring".to_owned(), ring.to_owned())].into_iter().collect();
        let minted = token::mint(&TokenFor { id: None, device: Some(device.clone()), labels }, expires);
        write_secret(&place.token(&device), minted.secret.as_bytes())?;
        entries.push(minted.entry);
    }
    Ok(entries)
}

/// The demo's own engineer, with a key of its own: the user's keys and identity are not touched.
fn make_signer(file: &Path) -> Result<Signer, Failure> {
    make_folder(file.parent().expect("the key lies in a folder of the demo"))?;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).expect("the operating system gives random bytes");
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    let made = PrivateKey::new(pair, "engineer@demo.example").and_then(|key| {
        key.write_openssh_file(file, LineEnding::LF)?;
        key.public_key().write_openssh_file(&file.with_extension("pub"))?;
        Ok(key)
    });
    let key = made.map_err(|e| failed(format!("the signing key {} could not be made", file.display())).because(&e))?;
    let (name, email) = ("Demo Engineer".to_owned(), "engineer@demo.example".to_owned());
    Ok(Signer { name, email, means: Means::Key { key: Box::new(key), file: file.to_path_buf() } })
}

/// Pushes as the user will, and makes the bare repository the upstream, so that plain `git push` works.
fn push(place: &Place) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&place.working_copy())?;
    let bare = place.bare_repository();
    let url =
        bare.to_str().ok_or_else(|| Failure::new(codes::USAGE, "the demo's folder has a name that is not UTF-8"))?;
    copy.configure(&[("remote.origin.url", url), ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")])?;
    let run = Command::new("git")
        .args(["push", "--quiet", "--set-upstream", "origin", BRANCH])
        .current_dir(copy.root())
        .output();
    let run = run.map_err(|e| failed("git could not be started").because(&e))?;
    if run.status.success() {
        return Ok(());
    }
    Err(failed(format!("git push failed: {}", String::from_utf8_lossy(&run.stderr).trim())))
}

fn init_reconciler(place: &Place, introduction: &Introduction) -> Result<(), Failure> {
    let [enroll, devices, updates, page] = free_addresses()?;
    let mut command = children::program("__reconciler")?;
    command.arg("init").arg("--dir").arg(place.reconciler());
    command.arg("--repository").arg(place.bare_repository());
    command.arg("--commit").arg(introduction.commit.to_string());
    command.arg("--policy-sha256").arg(introduction.policy_sha256.to_string());
    command.args(["--branch", BRANCH, "--domain", "demo.example", "--names", "localhost,127.0.0.1"]);
    command.args(["--enroll", &enroll, "--devices", &devices, "--updates", &updates, "--page", &page]);
    command.args(["--heartbeat", "2s", "--keys"]).arg(place.online_keys());
    children::run_to_end(place, "reconciler-init", command)
}

/// Four addresses that are free now. They are fixed so that devices find the reconciler again after a restart.
fn free_addresses() -> Result<[String; 4], Failure> {
    let take =
        || TcpListener::bind("127.0.0.1:0").and_then(|listener| Ok((listener.local_addr()?.to_string(), listener)));
    let taken: Result<Vec<_>, _> = (0..4).map(|_| take()).collect();
    let taken = taken.map_err(|e| failed("no free port on 127.0.0.1").because(&e))?;
    let addresses: Vec<String> = taken.into_iter().map(|(address, _listener)| address).collect();
    Ok(addresses.try_into().expect("four were taken"))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|e| failure::file("cannot make", path, &e))
}

pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    fs::write(path, content).map_err(|e| failure::file("cannot write", path, &e))
}

fn write_secret(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content)).map_err(|e| failure::file("cannot write", path, &e))
}
