//! Probes that run a program: no shell, empty environment, own process group, killed as a whole when its time is up.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, Command};

/// How much of what a program complains about goes into the report.
const MAX_COMPLAINT: u64 = 512;

pub(super) async fn run(command: &[String], limit: Duration) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot start {program}: {e}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let group = Group(group);
    let complaint = tokio::spawn(listen(child.stderr.take()));
    let ended = tokio::time::timeout(limit, child.wait()).await;
    let Ok(ended) = ended else {
        drop(group);
        let _ = child.wait().await;
        return Err(format!("not done within {} s, killed", limit.as_secs()));
    };
    drop(group);
    let status = ended.map_err(|e| e.to_string())?;
    if status.success() {
        complaint.abort();
        return Ok(());
    }
    // What its own children still hold open is not waited for.
    let said = tokio::time::timeout(Duration::from_millis(200), complaint).await;
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    Err(match said.trim() {
        "" => format!("{status}"),
        said => format!("{status}: {said}"),
    })
}

/// What a program started ends with it: when it is done, when its time is up, and when the agent stops.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The number of a group is not given away while one of its processes lives; without any this fails.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

async fn listen(stderr: Option<ChildStderr>) -> String {
    let Some(stderr) = stderr else { return String::new() };
    let mut said = Vec::new();
    let mut limited = stderr.take(MAX_COMPLAINT);
    let _ = limited.read_to_end(&mut said).await;
    // The rest is read and forgotten: a full pipe must not stop the program.
    tokio::spawn(async move { tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await });
    String::from_utf8_lossy(&said).into_owned()
}
