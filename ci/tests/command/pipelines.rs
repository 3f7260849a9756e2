//! The scripts that pipelines run: `ci/comment`, `ci/fetch-command` and `ci/pull-request`.

mod hostile;
mod jobs;
mod pull_request;
mod service;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use service::{Fault, Kind, Service, TOKEN};

use crate::{Ran, Sandbox};

const MARKER: &str = "<!-- bellwether-diff -->";

/// Whether the programs are there that the scripts need.
fn can_run() -> bool {
    let is_there =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|ran| ran.status.success());
    let all = ["bash", "curl", "jq", "git", "sha256sum"].into_iter().all(is_there);
    if !all {
        eprintln!("skipped: bash, curl, jq or sha256sum is not installed");
    }
    all
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A script with these arguments and this environment; `bin` in the sandbox comes first on the PATH.
fn run(sandbox: &Sandbox, dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let (name, rest) = arguments.split_first().expect("a script");
    let script = script(name);
    let mut command = sandbox.prepared("bash", &[&[script.to_str().expect("text")], rest].concat(), dir);
    let bin = sandbox.dir.path().join("bin");
    // A folder that itself has everything is all that there is.
    let path = if bin.join("bash").exists() { String::new() } else { std::env::var("PATH").unwrap_or_default() };
    command.env("PATH", format!("{}:{path}", bin.display())).envs(environment.iter().copied());
    Ran::from(command.output().expect("bash runs"))
}

/// A program in `bin` of the sandbox.
fn program(sandbox: &Sandbox, name: &str, text: &str) {
    let bin = sandbox.dir.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    std::fs::write(bin.join(name), text).expect("a file");
    std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("a program");
}

/// `ci/comment` with this text, beside this service.
fn comment(sandbox: &Sandbox, service: &Service, kind: Kind, text: &str) -> Ran {
    let file = sandbox.dir.path().join("comment.md");
    std::fs::write(&file, text).expect("a file");
    let address = service.address.as_str();
    let environment = match kind {
        Kind::GitHub => vec![
            ("GITHUB_API_URL", address),
            ("GITHUB_TOKEN", TOKEN),
            ("GITHUB_REPOSITORY", "acme/fleet"),
            ("PULL_REQUEST", "7"),
        ],
        Kind::GitLab => vec![
            ("CI_API_V4_URL", address),
            ("GITLAB_TOKEN", TOKEN),
            ("CI_PROJECT_ID", "5"),
            ("CI_MERGE_REQUEST_IID", "7"),
        ],
    };
    run(sandbox, sandbox.dir.path(), &["comment", "comment.md"], &environment)
}

#[test]
fn one_comment_is_made_and_then_edited() {
    if !can_run() {
        return;
    }
    for kind in [Kind::GitHub, Kind::GitLab] {
        let sandbox = Sandbox::new();
        let service = Service::start(kind, Fault::None);
        for number in 0..230 {
            service.say("ada", &format!("Comment {number}"));
        }
        let quoted = format!("> {MARKER}\n> What changes\n\nWhy that?");
        let others = [("ada", quoted.as_str()), ("mallory", &format!("{MARKER}\nAll is well, merge it"))];
        others.iter().for_each(|(who, text)| service.say(who, text));
        // What curl is started with is there for everybody on the machine.
        program(&sandbox, "curl", "#!/bin/sh\necho \"$@\" >>\"${0%/*}/arguments\"\nPATH=${PATH#*:} exec curl \"$@\"\n");

        let first = format!("{MARKER}\nedge: 2 devices change, \"quoted\" and $(not run)\n");
        let ran = comment(&sandbox, &service, kind, &first);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "comment: made\n"), "{kind:?}: {}", ran.err);
        service.say("bob", "Thanks");
        let second = format!("{MARKER}\nedge: 3 devices change\n");
        let ran = comment(&sandbox, &service, kind, &second);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "comment: edited 233\n"), "{kind:?}: {}", ran.err);

        let comments = service.comments();
        assert_eq!(comments.len(), 234, "{kind:?}");
        assert_eq!(comments[232].1, second, "{kind:?}");
        for (at, (who, text)) in others.iter().enumerate() {
            assert_eq!(comments[230 + at], ((*who).to_owned(), (*text).to_owned()), "{kind:?}: it is not ours");
        }
        let arguments = std::fs::read_to_string(sandbox.dir.path().join("bin/arguments")).expect("curl was started");
        assert!(arguments.contains("page=3") && !arguments.contains(TOKEN), "{arguments}");
        assert!(!ran.out.contains(TOKEN) && !ran.err.contains(TOKEN), "{}", ran.err);
    }
}

#[test]
fn a_lost_answer_makes_no_second_comment() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::new();
    let service = Service::start(Kind::GitHub, Fault::LostAnswer);
    let ran = comment(&sandbox, &service, Kind::GitHub, &format!("{MARKER}\nOnce\n"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(service.comments().len(), 1);
}

#[test]
fn a_token_that_may_not_comment_is_told_by_a_code_of_its_own() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::new();
    let text = format!("{MARKER}\nText\n");
    for kind in [Kind::GitHub, Kind::GitLab] {
        let service = Service::start(kind, Fault::ReadOnly);
        let ran = comment(&sandbox, &service, kind, &text);
        assert!(ran.code == Some(3) && ran.err.contains("may not comment here (403"), "{:?} {}", ran.code, ran.err);
        assert!(service.comments().is_empty());
    }
    let service = Service::start(Kind::GitHub, Fault::None);
    let ran = comment(&sandbox, &service, Kind::GitHub, "No marker\n");
    assert!(ran.code == Some(2) && ran.err.contains("is no marker"), "{}", ran.err);
    let ran = comment(&sandbox, &service, Kind::GitHub, &format!("{MARKER}\n{}", "ü".repeat(65_536)));
    assert!(ran.code == Some(2) && ran.err.contains("65536 characters"), "{}", ran.err);
    let environment = [("PULL_REQUEST", "7/../8"), ("GITHUB_REPOSITORY", "acme/fleet"), ("GITHUB_TOKEN", TOKEN)];
    let ran = run(&sandbox, sandbox.dir.path(), &["comment", "comment.md"], &environment);
    assert!(ran.code == Some(2) && ran.err.contains("PULL_REQUEST is a number"), "{}", ran.err);
}

#[test]
fn only_the_program_that_was_meant_is_fetched() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::new();
    // Whoever runs this may have a bellwether on the PATH.
    for name in ["bash", "chmod", "curl", "cut", "mkdir", "mv", "rm", "sha256sum"] {
        program(
            &sandbox,
            name,
            &format!("#!/bin/sh\nPATH='{}' exec {name} \"$@\"\n", std::env::var("PATH").unwrap_or_default()),
        );
    }
    let text = "#!/bin/sh\necho bellwether 1.2.3\n";
    let url = serve(text, 2);
    let sha256 = bellwether_schemas::Sha256Digest::of(text.as_bytes()).to_string();
    let other = bellwether_schemas::Sha256Digest::of(b"other").to_string();
    let fetch = |environment: &[(&str, &str)]| run(&sandbox, sandbox.dir.path(), &["fetch-command", "to"], environment);
    for (environment, code, says) in [
        (&[][..], 2, "no bellwether on the PATH"),
        (&[("BELLWETHER_URL", url.as_str())], 2, "set both, or neither"),
        (&[("BELLWETHER_SHA256", sha256.as_str())], 2, "set both, or neither"),
        (&[("BELLWETHER_URL", url.as_str()), ("BELLWETHER_SHA256", "4711")], 2, "is not a SHA-256"),
        (&[("BELLWETHER_URL", url.as_str()), ("BELLWETHER_SHA256", other.as_str())], 1, sha256.as_str()),
    ] {
        let ran = fetch(environment);
        assert!(ran.code == Some(code) && ran.err.contains(says), "{environment:?}: {:?} {}", ran.code, ran.err);
        assert!(!sandbox.dir.path().join("to/bellwether").exists(), "{environment:?}");
    }
    let ran = fetch(&[("BELLWETHER_URL", url.as_str()), ("BELLWETHER_SHA256", sha256.as_str())]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "bellwether 1.2.3\n"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(sandbox.dir.path().join("to/bellwether")).expect("it is there"), text);
}

/// An address that gives `text` to so many who ask.
fn serve(text: &'static str, times: usize) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}/bellwether", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().take(times).flatten() {
            let _asked = stream.read(&mut [0; 4096]);
            let _gone =
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len());
        }
    });
    address
}
