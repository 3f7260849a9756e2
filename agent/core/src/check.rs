//! What `bellwether-agent check` finds, and when a thing that was measured is worth a person's time.

use std::fmt;

use bellwether_schemas::allow::Allowed;
use bellwether_schemas::{Code, codes};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::clock::{Clock, trusted_now};
use crate::problem::{Problem, plain};

/// Clocks may differ by this much.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);
/// A server's certificate that ends sooner is worth a word.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Below these nothing can be staged any more, or soon not.
const NO_BYTES: u64 = 4 << 20;
const FEW_BYTES: u64 = 64 << 20;
const NO_INODES: u64 = 16;
const FEW_INODES: u64 = 1_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and will not for ever.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// The stable code, where there is something to do.
    #[serde(serialize_with = "as_text")]
    pub code: Option<Code>,
    /// What to do.
    pub advice: Option<String>,
}

fn as_text<S: Serializer>(code: &Option<Code>, serializer: S) -> Result<S::Ok, S::Error> {
    code.map(Code::as_str).serialize(serializer)
}

impl Finding {
    /// Something is as it should be.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: plain(&what.into()), found: plain(&found.into()), code: None, advice: None }
    }

    /// Something works, and will not for ever.
    pub fn warn(what: impl Into<String>, code: Code, found: impl Into<String>) -> Self {
        Self { level: Level::Warn, ..Self::fail(what, code, found) }
    }

    /// Something does not work.
    pub fn fail(what: impl Into<String>, code: Code, found: impl Into<String>) -> Self {
        let advice = codes::explain(code.as_str()).map(|explanation| explanation.mend.to_owned());
        Self { level: Level::Fail, code: Some(code), advice, ..Self::ok(what, found) }
    }

    /// Something does not work, for this reason.
    pub fn of(what: impl Into<String>, problem: &Problem) -> Self {
        Self::fail(what, problem.code, problem.message.clone())
    }
}

/// `FAIL  devices: what was found (BW-0611) — what to do`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        write!(f, "{level:<5} {}: {}", self.what, self.found)?;
        if let Some(code) = self.code {
            write!(f, " ({code})")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, " — {advice}")?;
        }
        Ok(())
    }
}

/// What the device's clock is worth: against what has certainly passed, and against the reconciler's clock.
pub fn clock(shows: Timestamp, built: Timestamp, verified: Option<Timestamp>, server: Option<Timestamp>) -> Finding {
    const WHAT: &str = "clock";
    let (floor, clock) = trusted_now(shows, built, verified);
    if clock == Clock::Behind {
        return Finding::fail(WHAT, codes::CLOCK_BEHIND, format!("it shows {shows:.0}, and it is {floor:.0} at least"));
    }
    match server {
        Some(server) if server.duration_since(shows).abs() > CLOCKS_DIFFER => {
            let found = format!("it shows {shows:.0}, and the reconciler's shows {server:.0}");
            Finding::fail(WHAT, codes::DEVICE_CLOCK, found)
        }
        Some(_) => Finding::ok(WHAT, format!("it shows {shows:.0}, as the reconciler's does")),
        None => Finding::ok(WHAT, format!("it shows {shows:.0}; the reconciler's is not known")),
    }
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can be written.
    pub bytes: u64,
    /// Files that can be made; none where the file system does not count them.
    pub inodes: Option<u64>,
}

/// Whether there is room for the next change.
pub fn room(what: &str, room: Room) -> Finding {
    let Room { bytes, inodes } = room;
    let files = inodes.map(|inodes| format!(" and {inodes} files")).unwrap_or_default();
    let found = format!("room for {} MiB{files}", bytes >> 20);
    let below = |most_bytes, most_inodes| bytes < most_bytes || inodes.is_some_and(|inodes| inodes < most_inodes);
    if below(NO_BYTES, NO_INODES) {
        Finding::fail(what, codes::LITTLE_ROOM, found)
    } else if below(FEW_BYTES, FEW_INODES) {
        Finding::warn(what, codes::LITTLE_ROOM, found)
    } else {
        Finding::ok(what, found)
    }
}

/// How the life of the device's certificate stands.
pub fn certificate(now: Timestamp, from: Timestamp, until: Timestamp) -> Finding {
    const WHAT: &str = "certificate";
    let life = until.duration_since(from);
    if now >= until {
        return Finding::fail(WHAT, codes::CERTIFICATE_EXPIRED, format!("it expired at {until}"));
    }
    // It is renewed at two thirds. That this has failed for long is what is left of the last sixth.
    if now >= until - life / 6 {
        let found = format!("it ends at {until}, and should have been renewed long ago");
        return Finding::warn(WHAT, codes::CERTIFICATE_EXPIRED, found)
            .advise("See what the agent's log says about renewing: journalctl -u bellwether-agent.");
    }
    Finding::ok(WHAT, format!("good until {until}, renewed by itself from {:.0} on", from + life / 3 * 2))
}

/// How long a server's certificate goes on.
pub fn server_certificate(what: &str, now: Timestamp, until: Timestamp) -> Finding {
    let found = format!("the server's certificate is good until {until}");
    if until.duration_since(now) < ENDS_SOON {
        Finding::warn(what, codes::TLS_TIME, found).advise("The reconciler needs a new server certificate soon.")
    } else {
        Finding::ok(what, found)
    }
}

/// What the allowlists say. Empty ones are no mistake; what they mean is said.
pub fn allowlists(allowed: &Allowed) -> Vec<Finding> {
    let lists = [
        ("allowed programs (exec)", &allowed.exec, "none: exec probes are refused (BW-0650)"),
        ("allowed paths (paths)", &allowed.paths, "none: nothing can be placed (BW-0640)"),
        ("allowed units (units)", &allowed.units, "none: no unit is acted on"),
        ("allowed hosts (probeHosts)", &allowed.probe_hosts, "none: http probes are refused (BW-0650)"),
    ];
    lists
        .into_iter()
        .map(|(what, list, none)| {
            let are_paths = std::ptr::eq(list, &allowed.exec) || std::ptr::eq(list, &allowed.paths);
            match list.iter().find(|entry| are_paths && !is_plain_path(entry)) {
                Some(entry) => Finding::fail(what, codes::AGENT_CONFIG, format!("{entry:?} allows nothing"))
                    .advise("Write an absolute path without . and .. parts."),
                None if list.is_empty() => Finding::ok(what, none),
                None => Finding::ok(what, list.join(", ")),
            }
        })
        .collect()
}

fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "." || part == "..")
}

impl Finding {
    /// With advice that fits better than the code's own.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_line_says_what_was_found_and_what_to_do() {
        let finding = Finding::fail("devices", codes::SERVER_UNREACHABLE_AGENT, "re\u{1b}fused").advise("Try.");
        assert_eq!(finding.to_string(), "FAIL  devices: re fused (BW-0610) — Try.");
        assert_eq!(Finding::ok("clock", "fine").to_string(), "ok    clock: fine");
        let json = serde_json::to_value(&finding).expect("JSON");
        assert_eq!((json["level"].as_str(), json["code"].as_str()), (Some("fail"), Some("BW-0610")));
    }

    #[test]
    fn clocks_may_differ_by_minutes_and_not_be_before_what_has_passed() {
        let (built, verified) = (at("2026-01-01T00:00:00Z"), Some(at("2026-06-01T00:00:00Z")));
        for (shows, server, code) in [
            ("1970-01-01T00:00:10Z", None, Some(codes::CLOCK_BEHIND)),
            ("2026-05-31T23:59:59Z", None, Some(codes::CLOCK_BEHIND)),
            ("2026-06-02T00:00:00Z", None, None),
            ("2026-06-02T00:00:00Z", Some("2026-06-02T00:05:00Z"), None),
            ("2026-06-02T00:05:01Z", Some("2026-06-02T00:00:00Z"), Some(codes::DEVICE_CLOCK)),
            ("2026-06-02T00:00:00Z", Some("2026-06-02T00:05:01Z"), Some(codes::DEVICE_CLOCK)),
            ("2099-01-01T00:00:00Z", Some("2026-06-02T00:00:00Z"), Some(codes::DEVICE_CLOCK)),
        ] {
            assert_eq!(clock(at(shows), built, verified, server.map(at)).code, code, "{shows} {server:?}");
        }
    }

    #[test]
    fn room_runs_out_in_bytes_or_in_files() {
        for (bytes, inodes, level) in [
            (1 << 30, Some(100_000), Level::Ok),
            (1 << 30, None, Level::Ok),
            (63 << 20, Some(100_000), Level::Warn),
            (1 << 30, Some(999), Level::Warn),
            (1 << 20, Some(100_000), Level::Fail),
            (1 << 30, Some(0), Level::Fail),
        ] {
            let finding = room("state", Room { bytes, inodes });
            assert_eq!((finding.level, finding.code.is_some()), (level, level != Level::Ok), "{bytes} {inodes:?}");
        }
    }

    #[test]
    fn a_certificate_that_was_not_renewed_for_long_is_worth_a_word_before_it_ends() {
        let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        for (now, level) in [
            ("2026-01-02T00:00:00Z", Level::Ok),
            ("2026-03-10T00:00:00Z", Level::Ok),
            ("2026-03-20T00:00:00Z", Level::Warn),
            ("2026-04-01T00:00:00Z", Level::Fail),
        ] {
            assert_eq!(certificate(at(now), from, until).level, level, "{now}");
        }
        let soon = server_certificate("enroll", at("2026-03-20T00:00:00Z"), until);
        assert_eq!((soon.level, soon.code), (Level::Warn, Some(codes::TLS_TIME)));
        assert_eq!(server_certificate("enroll", from, until).level, Level::Ok);
    }

    #[test]
    fn an_empty_allowlist_is_told_and_no_mistake_and_a_relative_path_is_one() {
        let empty = allowlists(&Allowed::default());
        assert!(empty.iter().all(|finding| finding.level == Level::Ok), "{empty:?}");
        assert!(empty[0].found.contains("refused"), "{empty:?}");
        let relative = Allowed { paths: vec!["opt/x".into()], exec: vec!["/a/../b".into()], ..Allowed::default() };
        let found: Vec<_> = allowlists(&relative).into_iter().map(|finding| finding.code).collect();
        assert_eq!(found, [Some(codes::AGENT_CONFIG), Some(codes::AGENT_CONFIG), None, None]);
    }
}
