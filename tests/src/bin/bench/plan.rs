//! `plan`: what planning a fleet costs, anew and report by report, and how that grows with the fleet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bellwether_core::plan::{Action, Decisions, Landing, Member, Observed, Offer, Plan, Planner, Terms, Timing};
use bellwether_schemas::api::Condition;
use bellwether_schemas::manifest::{Budget, Labels, MaxUnavailable, Rollout};
use bellwether_schemas::report::{Claim, Health};
use bellwether_schemas::{DeviceName, Percent, Seconds, Sha256Digest, Version};
use jiff::Timestamp;
use serde::Serialize;

use crate::figures::{mib, micros, seconds, slope};

/// Longer than any rollout.
const YEAR: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);
/// Devices of one site: budgets are by site.
const SITE: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Devices of the fleet
    #[arg(long, default_value_t = 1_000_000)]
    devices: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    devices: usize,
    /// Planning everything anew, when a commit changes what every device shall run.
    full_s: f64,
    /// One report, from what was observed to the new plan: the mean over a whole rollout, with every wave that opens in it.
    per_report_us: f64,
    reports: usize,
    /// The most memory that the process had: the fleet as the planner keeps it, and what it is given.
    peak_mib: f64,
    /// How the time of a full plan grows from a thousandth of the devices on: 1 is in proportion to them.
    full_slope: f64,
    /// How the time of a report grows.
    report_slope: f64,
}

/// What was measured of one fleet.
struct Measured {
    full: Duration,
    per_report: Duration,
    reports: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Figures> {
    let small = (options.devices / 1_000).max(10);
    let of_small = measure(small)?;
    let of_all = measure(options.devices)?;
    let grown = (small, options.devices);
    Ok(Figures {
        bench: "plan",
        devices: options.devices,
        full_s: seconds(of_all.full),
        per_report_us: micros(of_all.per_report),
        reports: of_all.reports,
        peak_mib: mib(peak_kib()?),
        full_slope: slope(grown, (of_small.full, of_all.full)),
        report_slope: slope(grown, (of_small.per_report, of_all.per_report)),
    })
}

fn measure(devices: usize) -> anyhow::Result<Measured> {
    let mut fleet = Fleet::of(devices)?;
    let (mut planner, _) = Planner::begin(fleet.terms(1), fleet.members(1), None, fleet.timing());
    anyhow::ensure!(planner.rollout().is_complete(), "everybody runs the first commit");
    fleet.now += Seconds::new(60).signed();
    let (terms, timing) = (fleet.terms(2), fleet.timing());
    let started = Instant::now();
    let plan = planner.replan(terms, fleet.members(2), timing)?;
    let full = started.elapsed();

    let mut offered = fleet.take(plan);
    let (mut reports, started) = (0, Instant::now());
    while let Some((place, offer)) = offered.pop() {
        fleet.now += jiff::SignedDuration::from_millis(10);
        for observed in [fleet.begins(offer), fleet.is_healthy(offer)] {
            planner.observe(&fleet.names[place], Some(1), observed);
            let plan = planner.plan(fleet.timing())?;
            offered.extend(fleet.take(plan));
            reports += 1;
        }
    }
    let took = started.elapsed();
    anyhow::ensure!(planner.rollout().is_complete(), "the rollout ended: {:?}", planner.rollout().waves);
    let per_report = took / u32::try_from(reports).context("so many reports")?;
    Ok(Measured { full, per_report, reports })
}

/// A fleet of which every device is heard, and does what it is offered.
struct Fleet {
    names: Vec<DeviceName>,
    labels: Vec<Arc<Labels>>,
    rollout: Arc<Rollout>,
    now: Timestamp,
}

impl Fleet {
    fn of(devices: usize) -> anyhow::Result<Self> {
        let name = |number| format!("edge-{number:08}").parse().context("a name");
        let site = |number| Arc::new(Labels::from_iter([("site".to_owned(), format!("site-{number}"))]));
        let mut rollout = Rollout {
            max_in_flight: Some(Percent::whole(5)),
            budget: vec![Budget {
                by: vec!["site".to_owned()],
                max_unavailable: MaxUnavailable::Share(Percent::whole(20)),
            }],
            ..Rollout::default()
        };
        rollout.waves.iter_mut().for_each(|wave| wave.soak = Seconds::ZERO);
        Ok(Self {
            names: (0..devices).map(name).collect::<anyhow::Result<_>>()?,
            labels: (0..devices.div_ceil(SITE)).map(site).collect(),
            rollout: Arc::new(rollout),
            now: Timestamp::from_second(1_900_000_000)?,
        })
    }

    fn terms(&self, number: u64) -> Terms {
        Terms {
            fleet: "edge".parse().expect("a name"),
            target: landing(number),
            head: landing(number),
            rollout: self.rollout.clone(),
            holds: Vec::new(),
            decisions: Decisions::default(),
            kept: Decisions::default(),
            unmet: Vec::new(),
            records_lost: false,
            condition: Condition::Verified,
        }
    }

    fn timing(&self) -> Timing {
        Timing {
            now: self.now,
            stale_after: Seconds::new(90),
            reconnect_grace: Seconds::new(30),
            serving_since: Timestamp::UNIX_EPOCH,
            heard_before: None,
        }
    }

    /// Every device, running the first commit.
    fn members(&self, target: u64) -> impl Iterator<Item = Member> {
        let (old, new) = (digest(1), digest(target));
        let offer = Offer {
            version: version(1),
            template: landing(1).commit,
            digest: old,
            offered_at: self.now,
            is_visible: true,
            not_before: None,
            not_after: None,
            acknowledged_at: Some(self.now),
        };
        self.names.iter().enumerate().map(move |(place, name)| Member {
            device: name.clone(),
            labels: self.labels[place / SITE].clone(),
            wave_labels: self.labels[place / SITE].clone(),
            target: Ok(new),
            stable: (target > 1).then_some(Ok(old)),
            good: None,
            pin: None,
            revision: Some(0),
            observed: self.is_healthy(offer),
        })
    }

    fn is_healthy(&self, offer: Offer) -> Observed {
        let Offer { version, template, digest, .. } = offer;
        Observed {
            enrolled_at: Timestamp::UNIX_EPOCH,
            // Heartbeats that say nothing new cost next to nothing, and are left out.
            last_seen: Some(self.now + YEAR),
            running: Some(Claim { version, template, digest }),
            applying: None,
            changing: false,
            health: Health::Healthy,
            failure: None,
            failed_at: None,
            offer: Some(Offer { is_visible: true, acknowledged_at: Some(self.now), ..offer }),
            last_progress: Some(self.now),
            paused: None,
        }
    }

    /// A device that applies what it is offered.
    fn begins(&self, offer: Offer) -> Observed {
        let Offer { version, template, digest: new, .. } = offer;
        let before = Claim { version: self::version(1), template: landing(1).commit, digest: digest(1) };
        Observed {
            running: Some(before),
            applying: Some(Box::new(Claim { version, template, digest: new })),
            changing: true,
            ..self.is_healthy(offer)
        }
    }

    /// The offers of a plan, by the device's place.
    fn take(&self, plan: Plan) -> Vec<(usize, Offer)> {
        let offer = |(device, action)| match action {
            Action::Withdraw => None,
            Action::Offer { version, template, digest, window, .. } => {
                let place = self.names.binary_search(&device).expect("a device of the fleet");
                Some((
                    place,
                    Offer {
                        version,
                        template: template.commit,
                        digest,
                        offered_at: self.now,
                        is_visible: true,
                        not_before: window.from,
                        not_after: window.until,
                        acknowledged_at: None,
                    },
                ))
            }
        };
        plan.actions.into_iter().filter_map(offer).collect()
    }
}

fn landing(number: u64) -> Landing {
    Landing { commit: format!("{number:040x}").parse().expect("an id"), number }
}

fn version(number: u64) -> Version {
    Version { landing: number, commit: landing(number).commit, revision: 0 }
}

fn digest(number: u64) -> Sha256Digest {
    Sha256Digest::of(&number.to_be_bytes())
}

/// The most memory that this process had, in KiB (`VmHWM` of proc(5)).
fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("the process's status cannot be read")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("it has no peak")?;
    line.trim().trim_end_matches(" kB").parse().context("the peak is a number")
}
