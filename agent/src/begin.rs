//! How `run` begins: at once on an enrolled device, as soon as there is a certificate on one that is not enrolled yet, and not at
//! all on one that was decommissioned.
//!
//! The lock of the state directory is free while the agent waits: enrolling needs it.

use std::path::Path;
use std::time::Duration;

use bellwether_schemas::codes;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::run::RunError;
use crate::state_dir::{self, Decommissioned, StateDir, StateError};
use crate::supervisor::Supervisor;

/// How often a device that waits looks whether it was enrolled.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often it asks for the lock then.
const LOCK_TRIES: u32 = 30;

/// The state of an enrolled device; none where there is nothing to run: it was decommissioned, or told to end while it waited.
pub(crate) async fn begin(path: &Path, supervisor: &mut Supervisor) -> Result<Option<StateDir>, RunError> {
    let state = StateDir::lock(path)?;
    if let Some(Decommissioned { device, at }) = state_dir::load_decommissioned(path)? {
        state.forget_all(&device, at)?;
        tracing::info!("{device} was decommissioned at {at}: there is nothing to do");
        // An end before readiness is a failure to systemd whatever the exit code (Type=notify), and would be followed by a restart.
        supervisor.ready();
        supervisor.status("decommissioned: there is nothing to do");
        supervisor.stopping();
        return Ok(None);
    }
    if state.load_identity()?.is_some() {
        return Ok(Some(state));
    }
    drop(state);
    wait_for_identity(path, supervisor).await
}

async fn wait_for_identity(path: &Path, supervisor: &mut Supervisor) -> Result<Option<StateDir>, RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    tracing::warn!(
        code = %codes::NOT_ENROLLED,
        "the device is not enrolled; the agent begins when there is a certificate: bellwether-agent enroll --state {} …",
        path.display()
    );
    supervisor.ready();
    supervisor.status("waits until the device is enrolled");
    let mut tries = 0;
    loop {
        supervisor.alive(Instant::now());
        if state_dir::load_identity(path)?.is_some() {
            match StateDir::lock(path) {
                Ok(state) => return Ok(Some(state)),
                // Enrolling holds the lock until it ends.
                Err(StateError::InUse(_)) if tries < LOCK_TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
        tokio::select! {
            () = sleep(LOOK_AGAIN) => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    supervisor.stopping();
    tracing::info!("stopped");
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::identity::Identity;

    struct Systemd {
        dir: tempfile::TempDir,
        socket: tokio::net::UnixDatagram,
    }

    impl Systemd {
        fn new() -> (Self, Supervisor) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("notify");
            let socket = UnixDatagram::bind(&path).expect("bound");
            socket.set_nonblocking(true).expect("a socket");
            let socket = tokio::net::UnixDatagram::from_std(socket).expect("a socket");
            (Self { dir, socket }, Supervisor::new(Some(path.as_os_str()), None))
        }

        async fn hears(&self) -> String {
            let mut said = [0; 256];
            let heard = tokio::time::timeout(Duration::from_secs(20), self.socket.recv(&mut said)).await;
            String::from_utf8_lossy(&said[..heard.expect("it is told in time").expect("it hears")]).into()
        }

        fn hears_no_more(&self) -> bool {
            self.socket.try_recv(&mut [0; 256]).is_err()
        }
    }

    #[tokio::test]
    async fn a_decommissioned_device_ends_well_in_the_eyes_of_systemd() {
        let (systemd, mut supervisor) = Systemd::new();
        let path = systemd.dir.path().join("state");
        let state = StateDir::lock(&path).expect("locked");
        state.forget_all(&Identity::without_key().device, jiff::Timestamp::UNIX_EPOCH).expect("forgotten");
        drop(state);
        assert!(begin(&path, &mut supervisor).await.expect("well").is_none());
        assert_eq!(systemd.hears().await, "READY=1", "an end before that would be followed by restarts without end");
        assert!(systemd.hears().await.starts_with("STATUS=decommissioned"));
        assert_eq!(systemd.hears().await, "STOPPING=1");
    }

    #[tokio::test]
    async fn an_image_waits_and_begins_by_itself_when_it_is_enrolled() {
        let (systemd, mut supervisor) = Systemd::new();
        let path = systemd.dir.path().join("state");
        let begins = tokio::spawn({
            let path = path.clone();
            async move { begin(&path, &mut supervisor).await.map(|state| state.is_some()) }
        });
        assert_eq!(systemd.hears().await, "READY=1");
        assert_eq!(systemd.hears().await, "STATUS=waits until the device is enrolled");
        let enrolling = StateDir::lock(&path).expect("the agent that waits leaves the lock free");
        enrolling.load_memory().expect("a memory");
        tokio::task::yield_now().await;
        assert!(!begins.is_finished(), "there is no certificate yet");
        enrolling.store_identity(&Identity::without_key()).expect("stored");
        drop(enrolling);
        let begun = tokio::time::timeout(Duration::from_secs(20), begins).await.expect("in time");
        assert!(begun.expect("no panic").expect("well"), "it has the state of an enrolled device");
        assert!(systemd.hears_no_more());
    }

    #[tokio::test]
    async fn an_enrolled_device_begins_at_once() {
        let (systemd, mut supervisor) = Systemd::new();
        let path = systemd.dir.path().join("state");
        StateDir::lock(&path).expect("locked").store_identity(&Identity::without_key()).expect("stored");
        assert!(begin(&path, &mut supervisor).await.expect("well").is_some());
        assert!(systemd.hears_no_more(), "it is ready when its loop runs");
    }
}
