use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn prober(root: &std::path::Path) -> Prober {
    let exec = ["/bin/sh", "/bin/true", "/bin/false"].map(str::to_owned).to_vec();
    Prober { root: root.to_owned(), allowed: Allowed { exec, ..Allowed::default() } }
}

fn probe(text: &str) -> Probe {
    serde_json::from_str(text).expect("a probe")
}

async fn run(text: &str) -> Result<(), Problem> {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("full"), "x").expect("written");
    std::fs::write(root.path().join("empty"), "").expect("written");
    prober(root.path()).run(&[probe(text)], Thoroughness::Full).await
}

#[tokio::test]
async fn programs_pass_fail_and_run_in_an_empty_environment() {
    assert_eq!(run(r#"{"exec":{"command":["/bin/true"]}}"#).await, Ok(()));
    let failed = run(r#"{"exec":{"command":["/bin/sh","-c","echo no good >&2; exit 3"]},"attempts":1}"#).await;
    let failed = failed.expect_err("it fails");
    assert!(failed.code == codes::PROBE_FAILED && failed.message.contains("no good"), "{failed}");
    assert_eq!(run(r#"{"exec":{"command":["/bin/sh","-c","test -z \"$HOME$CARGO\""]},"attempts":1}"#).await, Ok(()));
    let refused = run(r#"{"exec":{"command":["/bin/cat"]}}"#).await.expect_err("it is not allowed");
    assert_eq!(refused.code, codes::PROBE_NOT_ALLOWED);
}

#[tokio::test]
async fn a_program_and_its_children_end_when_the_time_is_up() {
    let marks = tempfile::tempdir().expect("a directory");
    let pid = marks.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; wait", pid.display());
    let text = format!(r#"{{"exec":{{"command":["/bin/sh","-c","{script}"]}},"timeout":"1s","attempts":1}}"#);
    let failed = run(&text).await.expect_err("it takes too long");
    assert!(failed.message.contains("killed"), "{failed}");
    let pid = std::fs::read_to_string(pid).expect("a pid");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "the child still runs: {stat}");
}

#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it() {
    let marks = tempfile::tempdir().expect("a directory");
    let pid = marks.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}", pid.display());
    let text = format!(r#"{{"exec":{{"command":["/bin/sh","-c","{script}"]}},"attempts":1}}"#);
    assert_eq!(run(&text).await, Ok(()));
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(pid).expect("a pid").trim());
    let ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    // The signal was sent; the system ends the process when it comes to it.
    for _ in 0..200 {
        if ended() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the child still runs");
}

#[test]
fn no_spec_makes_the_device_wait_longer_than_a_manifest_may() {
    let probe = probe(r#"{"file":{"path":"/x"},"initialDelay":"30d","interval":"7s"}"#);
    assert_eq!(pause(probe.initial_delay), Duration::from_secs(3_600));
    assert_eq!(pause(probe.interval), Duration::from_secs(7));
}

#[tokio::test]
async fn delays_are_waited_for_only_by_a_full_look() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("full"), "x").expect("written");
    let probes = [probe(r#"{"file":{"path":"/full"},"initialDelay":"30d"}"#)];
    assert_eq!(prober(root.path()).run(&probes, Thoroughness::Glance).await, Ok(()));
    let full = timeout(Duration::from_millis(50), prober(root.path()).run(&probes, Thoroughness::Full)).await;
    assert!(full.is_err(), "it still waits");
}

#[tokio::test]
async fn files_must_be_there_and_not_empty() {
    assert_eq!(run(r#"{"file":{"path":"/full"}}"#).await, Ok(()));
    for path in ["/empty", "/absent", "/no/such"] {
        let text = format!(r#"{{"file":{{"path":"{path}"}},"attempts":1}}"#);
        assert!(run(&text).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn urls_must_answer_with_the_right_status_and_redirects_are_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1_024];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let path = String::from_utf8_lossy(&request[..read]);
            let answer = match path.split(' ').nth(1) {
                Some("/ok") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/moved") => "HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n",
                Some("/sick") => "HTTP/1.1 503 Unavailable\r\n\r\n",
                _ => "SSH-2.0-x\r\n",
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    for (path, expected, fine) in [
        ("/ok", "", true),
        ("/moved", "", false),
        ("/moved", r#","expectStatus":302"#, true),
        ("/sick", "", false),
        ("/x", "", false),
    ] {
        let text = format!(r#"{{"http":{{"url":"http://127.0.0.1:{port}{path}"{expected}}},"attempts":1}}"#);
        assert_eq!(run(&text).await.is_ok(), fine, "{path} {expected}");
    }
    let named = format!(r#"{{"http":{{"url":"http://localhost:{port}/ok"}},"attempts":1}}"#);
    assert_eq!(run(&named).await, Ok(()));
    assert!(run(r#"{"http":{"url":"http://192.0.2.1/"}}"#).await.is_err_and(|p| p.code == codes::PROBE_NOT_ALLOWED));
}
