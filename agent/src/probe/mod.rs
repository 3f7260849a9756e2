//! Runs the probes of a spec, one after the other, under the operator's allowlists.

mod exec;
mod http;

use std::path::PathBuf;
use std::time::Duration;

use bellwether_agent_core::{Problem, Thoroughness};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::manifest::{Probe, ProbeAction};
use bellwether_schemas::{Seconds, codes};
use tokio::time::{Instant, sleep, timeout};

/// What probes need to know about the device.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    pub(crate) root: PathBuf,
    pub(crate) allowed: Allowed,
}

impl Prober {
    /// Runs all probes; the first that fails ends it.
    pub(crate) async fn run(&self, probes: &[Probe], how: Thoroughness) -> Result<(), Problem> {
        for probe in probes {
            // A list that the operator made shorter in the meantime counts.
            self.allowed.check_probe(probe)?;
            self.one(probe, how)
                .await
                .map_err(|why| Problem::lasting(codes::PROBE_FAILED, format!("{} failed: {why}", describe(probe))))?;
        }
        Ok(())
    }

    async fn one(&self, probe: &Probe, how: Thoroughness) -> Result<(), String> {
        if how == Thoroughness::Full {
            sleep(pause(probe.initial_delay)).await;
        }
        let attempts = probe.attempts.clamp(1, 10);
        for attempt in 1..=attempts {
            let result = match self.attempt(probe).await {
                Ok(()) if how == Thoroughness::Full => self.stays(probe).await,
                other => other,
            };
            match result {
                Ok(()) => return Ok(()),
                Err(why) if attempt == attempts => return Err(format!("{why} (attempt {attempt} of {attempts})")),
                Err(_) => sleep(pause(probe.interval)).await,
            }
        }
        Err("no attempt was made".to_owned())
    }

    /// Whether a probe that passed goes on passing for `stableFor`.
    async fn stays(&self, probe: &Probe) -> Result<(), String> {
        let Some(stable) = probe.stable_for else { return Ok(()) };
        let end = Instant::now() + stable.duration();
        while Instant::now() < end {
            sleep(pause(probe.interval).max(Duration::from_secs(1)).min(end - Instant::now())).await;
            self.attempt(probe).await.map_err(|why| format!("not stable for {stable}: {why}"))?;
        }
        Ok(())
    }

    async fn attempt(&self, probe: &Probe) -> Result<(), String> {
        let limit = probe.timeout.duration().clamp(Duration::from_secs(1), Duration::from_secs(300));
        match probe.action() {
            Some(ProbeAction::Exec(exec)) => exec::run(&exec.command, limit).await,
            Some(ProbeAction::Http(ask)) => match timeout(limit, http::ask(ask)).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {}", probe.timeout)),
            },
            Some(ProbeAction::File(file)) => {
                let (root, path) = (self.root.clone(), file.path.parse().map_err(|_| "not a device path")?);
                let look = tokio::task::spawn_blocking(move || crate::apply::is_filled_file(&root, &path));
                match timeout(limit, look).await {
                    Ok(Ok(Ok(true))) => Ok(()),
                    Ok(Ok(Ok(false))) => Err("no such file, or it is empty".to_owned()),
                    Ok(Ok(Err(e))) => Err(crate::cli::chain(&e)),
                    Ok(Err(e)) => Err(e.to_string()),
                    Err(_) => Err(format!("no answer within {}", probe.timeout)),
                }
            }
            None => Err("it has not exactly one action".to_owned()),
        }
    }
}

/// A time that is waited for; no longer than a manifest may say, whatever the spec does.
fn pause(time: Seconds) -> Duration {
    time.min(Probe::LONGEST_PAUSE).duration()
}

fn describe(probe: &Probe) -> String {
    match probe.action() {
        Some(ProbeAction::Exec(exec)) => format!("probe exec {:?}", exec.command.join(" ")),
        Some(ProbeAction::Http(http)) => format!("probe http {:?}", http.url),
        Some(ProbeAction::File(file)) => format!("probe file {:?}", file.path),
        None => "probe".to_owned(),
    }
}

#[cfg(test)]
mod tests;
