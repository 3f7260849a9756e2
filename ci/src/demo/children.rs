//! The processes of a demo: started from this very program, each in its own process group, all ended together.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bellwether_schemas::{DeviceName, codes};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::place::Place;
use crate::failure::{self, Failure};

/// Set for children: they end when the demo ends, however it ends.
pub(crate) const CHILD_OF_DEMO: &str = "BELLWETHER_CHILD_OF_DEMO";
/// How many devices enroll at the same time.
const ENROLL_AT_ONCE: usize = 8;
/// How long the reconciler may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long children may take to end by themselves.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What the reconciler says when it serves.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) enroll: String,
    pub(crate) page: String,
}

struct Running {
    name: String,
    log: std::path::PathBuf,
    child: Child,
}

/// The processes that run, and the signals that end them.
pub(crate) struct Children {
    running: Vec<Running>,
    runtime: tokio::runtime::Runtime,
    signals: Vec<SignalStream>,
}

impl Children {
    /// No processes yet. From now on Ctrl-C does not end this program at once, but is seen by [`Children::wait`].
    pub(crate) fn watch_signals() -> Result<Self, Failure> {
        let watched = |e: &(dyn std::error::Error + 'static)| failed("signals cannot be watched").because(e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| watched(&e))?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = runtime.block_on(async { kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>() });
        Ok(Self { running: Vec::new(), signals: signals.map_err(|e| watched(&e))?, runtime })
    }

    /// Waits; says whether the demo shall end.
    pub(crate) fn wait(&mut self, span: Duration) -> bool {
        let [interrupt, terminate, hangup] = self.signals.as_mut_slice() else { return true };
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                _ = hangup.recv() => true,
                () = tokio::time::sleep(span) => false,
            }
        })
    }

    pub(crate) fn start_reconciler(&mut self, place: &Place) -> Result<Ready, Failure> {
        let mut command = program("__reconciler")?;
        command.args(["run", "--config"]).arg(place.config()).args(["--output", "json"]).stdout(Stdio::piped());
        self.start(place, "reconciler", command)?;
        let running = self.running.last_mut().expect("it was just started");
        let stdout = running.child.stdout.take().expect("stdout is a pipe");
        let (line_out, line_in) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // After the first line nobody listens any more; reading on keeps the pipe from filling up.
                let _nobody = line_out.send(line);
            }
        });
        let until = Instant::now() + READY_WITHIN;
        loop {
            match line_in.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    return serde_json::from_str(&line).map_err(|e| {
                        failed(format!("the reconciler said {line:?} instead of its addresses")).because(&e)
                    });
                }
                Err(_) => self.check()?,
            }
            if self.wait(Duration::ZERO) {
                return Err(failed("the demo was stopped while the reconciler was starting"));
            }
            if Instant::now() > until {
                return Err(failed("the reconciler did not come up in time").hint(read_log(place, "reconciler")));
            }
        }
    }

    /// Enrolls the devices that still have a token.
    pub(crate) fn enroll(&mut self, place: &Place, address: &str) -> Result<(), Failure> {
        let waiting: Vec<DeviceName> = place.devices().filter(|device| place.token(device).exists()).collect();
        for group in waiting.chunks(ENROLL_AT_ONCE) {
            let mut started = Vec::new();
            for device in group {
                let mut command = program("__agent")?;
                command.args(["enroll", "--server", address, "--ca"]).arg(place.authority());
                command.arg("--tuf-root").arg(place.tuf_root()).arg("--token-file").arg(place.token(device));
                command.arg("--state").arg(place.device(device).join("state"));
                started.push((device, spawn(place, device.as_str(), command)?));
            }
            for (device, mut child) in started {
                let ended =
                    child.wait().map_err(|e| failed(format!("{device} could not be waited for")).because(&e))?;
                if !ended.success() {
                    return Err(failed(format!("{device} could not enroll")).hint(read_log(place, device.as_str())));
                }
                let token = place.token(device);
                std::fs::remove_file(&token).map_err(|e| failure::file("cannot remove", &token, &e))?;
            }
            if self.wait(Duration::ZERO) {
                return Err(
                    failed("the demo was stopped while devices were enrolling").hint("Start it again to go on.")
                );
            }
        }
        Ok(())
    }

    pub(crate) fn start_agent(&mut self, place: &Place, device: &DeviceName) -> Result<(), Failure> {
        let root = place.device(device).join("root");
        std::fs::create_dir_all(&root).map_err(|e| failure::file("cannot make", &root, &e))?;
        let mut command = program("__agent")?;
        command.args(["run", "--state"]).arg(place.device(device).join("state")).arg("--root").arg(root);
        self.start(place, device.as_str(), command)
    }

    fn start(&mut self, place: &Place, name: &str, command: Command) -> Result<(), Failure> {
        let child = spawn(place, name, command)?;
        self.running.push(Running { name: name.to_owned(), log: place.log(name), child });
        Ok(())
    }

    /// Fails when one of the processes ended.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        for running in &mut self.running {
            let ended = running.child.try_wait().map_err(|e| failed("a process could not be watched").because(&e))?;
            if let Some(status) = ended {
                let message =
                    format!("{} ended by itself ({status}); its log: {}", running.name, running.log.display());
                return Err(failed(message).hint(tail(&running.log)));
            }
        }
        Ok(())
    }

    /// Ends every process and waits for it: first by request, then by force. Agents go first, so none sees its server go.
    pub(crate) fn stop(&mut self) {
        for running in self.running.iter().rev() {
            send(running, Signal::TERM);
        }
        let until = Instant::now() + END_WITHIN;
        while Instant::now() < until
            && self.running.iter_mut().any(|running| matches!(running.child.try_wait(), Ok(None)))
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        for running in &mut self.running {
            if matches!(running.child.try_wait(), Ok(None)) {
                send(running, Signal::KILL);
            }
            let _ended = running.child.wait();
        }
        self.running.clear();
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to a process that has not been waited for, and to what it started.
fn send(running: &Running, signal: Signal) {
    let pid = i32::try_from(running.child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile; then there is nothing left to do.
        let _ended = kill_process_group(pid, signal);
    }
}

/// This very program, as one of its hidden selves.
pub(crate) fn program(part: &str) -> Result<Command, Failure> {
    let exe = std::env::current_exe().map_err(|e| failed("this program does not find itself").because(&e))?;
    let mut command = Command::new(exe);
    command.arg(part).env(CHILD_OF_DEMO, "1").stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Runs a program to its end; its output goes to a log.
pub(crate) fn run_to_end(place: &Place, name: &str, command: Command) -> Result<(), Failure> {
    let ended = spawn(place, name, command)?
        .wait()
        .map_err(|e| failed(format!("{name} could not be waited for")).because(&e))?;
    if ended.success() { Ok(()) } else { Err(failed(format!("{name} failed ({ended})")).hint(read_log(place, name))) }
}

fn spawn(place: &Place, name: &str, mut command: Command) -> Result<Child, Failure> {
    let path = place.log(name);
    let folder = path.parent().expect("logs lie in a folder of the demo");
    std::fs::create_dir_all(folder).map_err(|e| failure::file("cannot make", folder, &e))?;
    let log =
        File::options().append(true).create(true).open(&path).map_err(|e| failure::file("cannot write", &path, &e))?;
    command.stderr(log).process_group(0).spawn().map_err(|e| failed(format!("{name} could not be started")).because(&e))
}

fn read_log(place: &Place, name: &str) -> String {
    tail(&place.log(name))
}

/// The end of a log, which says more than any hint.
fn tail(log: &std::path::Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n    ");
    format!("read its log, {}, which ends with\n    {last}", log.display())
}

pub(crate) fn failed(message: impl Into<String>) -> Failure {
    Failure::new(codes::DEMO_FAILED, message)
}
