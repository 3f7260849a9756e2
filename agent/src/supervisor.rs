//! What systemd is told: ready, alive, stopping, and what the agent waits for (sd_notify(3), `Type=notify`).
//!
//! Without `NOTIFY_SOCKET` nobody is told anything, and nothing wakes up for it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::Instant;

/// Who watches the agent, if anybody does.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The silence after which the agent is killed.
    limit: Option<Duration>,
    told: Instant,
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && is_meant).map(Duration::from_micros);
        Self::new(std::env::var_os("NOTIFY_SOCKET").as_deref(), limit)
    }

    pub(crate) fn new(address: Option<&OsStr>, limit: Option<Duration>) -> Self {
        let socket = address.and_then(socket);
        Self { limit: limit.filter(|_| socket.is_some()), socket, told: Instant::now() }
    }

    /// The agent does its work from now on.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The agent is about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={}", bellwether_agent_core::plain(text)));
    }

    /// The loop turns. Said with what wakes the agent anyway where that is often enough.
    pub(crate) fn alive(&mut self, now: Instant) {
        if self.limit.is_some_and(|limit| now - self.told >= limit / 4) {
            self.tell("WATCHDOG=1");
            self.told = now;
        }
    }

    /// When the loop must turn again at the latest.
    pub(crate) fn next(&self) -> Option<Instant> {
        Some(self.told + self.limit? / 2)
    }

    fn tell(&self, words: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

fn socket(address: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(address),
    };
    let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    Some((socket.ok()?, address.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 256];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into()))
            .collect()
    }

    const LIMIT: Duration = Duration::from_secs(600);

    #[test]
    fn systemd_hears_when_it_is_ready_alive_and_stopping() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("bound");
        let mut agent = Supervisor::new(Some(path.as_os_str()), Some(LIMIT));
        let start = agent.told;
        agent.ready();
        agent.alive(start + LIMIT / 5);
        assert_eq!(heard(&systemd), ["READY=1"], "it was alive just now");
        assert_eq!(agent.next(), Some(start + LIMIT / 2));
        agent.alive(start + LIMIT / 4);
        agent.status("the next\nversion");
        agent.stopping();
        assert_eq!(heard(&systemd), ["WATCHDOG=1", "STATUS=the next version", "STOPPING=1"]);
        assert_eq!(agent.next(), Some(start + LIMIT / 4 + LIMIT / 2));
    }

    #[test]
    fn without_a_supervisor_nothing_wakes_up() {
        let mut nobody = Supervisor::new(None, Some(LIMIT));
        nobody.alive(nobody.told + LIMIT);
        assert_eq!(nobody.next(), None);
        let name = format!("@bellwether-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).expect("an address");
        let systemd = UnixDatagram::bind_addr(&abstract_name).expect("bound");
        Supervisor::new(Some(OsStr::new(&name)), None).ready();
        assert_eq!(heard(&systemd), ["READY=1"]);
    }
}
