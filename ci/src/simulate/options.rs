//! Options of `simulate`: what they say of devices, faults and time.

use std::path::PathBuf;

use bellwether_core::simulate::{Approvals, Faults, Mode, Outage};
use bellwether_schemas::manifest::Rollout;
use bellwether_schemas::{FleetName, Percent, Seconds, select};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::output::Form;

const EXAMPLES: &str = "Examples:
  bellwether simulate --fleet edge                      (what the newest landing would do to 100 devices)
  bellwether simulate --fleet edge --from main --to HEAD --inventory https://fleet.example:8443 --ca ca.crt
      (what a branch would do to the devices that there are)
  bellwether simulate --fleet edge --next --devices 5000 --offline 2% --start 2026-03-02T08:00:00Z
      (what the Rollout means for any change: how long, in which order)
  bellwether simulate --fleet edge --next --failure-rate 100% --mode in-soak      (a bad release: whom does it harm?)
  bellwether simulate --fleet edge --next --site-outage site=kiel@30m+4h   (a power cut in the middle)
  bellwether simulate --fleet edge --next --output svg > edge.svg          (as a picture)
  bellwether simulate --fleet edge --next --sweep 200 --output json       (how often does which release halt?)

Planner, judgement of reports and the devices' state machine are those of the reconciler and the agent; made up are the
clock, the network and what devices find when they probe. Everything comes out the same for the same arguments. Only what
is committed counts, verified as the reconciler does it; other fleets are taken to have completed what this one waits for.";

/// How long a device takes to apply, unless somebody says so or has to be faster.
const APPLY_TIME: Seconds = Seconds::minutes(2);

/// Options of `simulate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// The fleet
    #[arg(long, value_name = "NAME")]
    pub(super) fleet: FleetName,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(super) repo: PathBuf,
    /// The landing that devices run [default: the one before --to; where there is none, as with --next]
    #[arg(long, value_name = "COMMIT", conflicts_with = "next")]
    pub(super) from: Option<String>,
    /// The landing that rolls out
    #[arg(long, default_value = "HEAD", value_name = "COMMIT")]
    pub(super) to: String,
    /// Not a change that landed, but the next one, whatever it is: judged by the Rollout that is at --to
    #[arg(long)]
    pub(super) next: bool,
    /// So many made-up devices, with labels in proportion to those of the members that git knows; where it knows none, with those
    /// of Enrollments and selectors [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), conflicts_with = "inventory")]
    pub(super) devices: Option<u32>,
    /// The devices: a file as get devices --output json prints it, a CSV file with the columns name and labels, or the address
    /// of a reconciler's page
    #[arg(long, value_name = "FILE|URL")]
    pub(super) inventory: Option<String>,
    /// The devices that git lists, each token that names none as one: those that diff takes without an inventory
    #[arg(long, conflicts_with_all = ["devices", "inventory"])]
    pub(super) listed: bool,
    /// PEM file with the certificate authority of that address
    #[arg(long, env = "BELLWETHER_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// The chance of each device that the release fails on it
    #[arg(long, default_value = "0%", value_name = "P")]
    failure_rate: Percent,
    /// How it fails there
    #[arg(long, value_enum, default_value_t = How::AtOnce)]
    mode: How,
    /// The share of devices that are off at any moment: each is off once a day, for so much of it
    #[arg(long, default_value = "0%", value_name = "P")]
    offline: Percent,
    /// Devices with these labels are off together, from so long after the start for so long; may be given again
    #[arg(long, value_name = "SELECTOR@BEGINS+LASTS", value_parser = outage)]
    site_outage: Vec<Outage>,
    /// How long a device takes to apply: half to one and a half times this [default: 2m, or a third of deviceTimeout]
    #[arg(long, value_name = "DURATION")]
    apply_time: Option<Seconds>,
    /// How long it takes until somebody opens a gate, or never
    #[arg(long, default_value = "0s", value_name = "DURATION|never", value_parser = approvals)]
    pub(super) approve_after: Approvals,
    /// When the change lands, in RFC 3339
    #[arg(long, value_name = "T", default_value = "2026-01-05T09:00:00Z")]
    pub(super) start: Timestamp,
    /// For how long is simulated at most
    #[arg(long, default_value = "90d", value_name = "DURATION")]
    pub(super) horizon: Seconds,
    /// What chance goes by
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(super) seed: u64,
    /// Simulate with so many seeds for each of ten failure rates, from 0 % to 100 %
    #[arg(long, value_name = "RUNS", num_args = 0..=1, default_missing_value = "100", conflicts_with = "failure_rate",
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) sweep: Option<u64>,
    /// What to print: text for people, one JSON document, a picture, or a fold for a comment (failures as JSON: with json)
    #[arg(long, value_parser = Form::among(FORMS), default_value = "text", display_order = 100)]
    pub(super) output: Form,
}

/// The forms of an outcome.
const FORMS: &[Form] = &[Form::Text, Form::Json, Form::Svg, Form::Markdown];

/// How a release fails on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// It does not pass its first probe
    AtOnce,
    /// It is well for ten minutes
    After10m,
    /// It is well, and fails at some moment of its soak
    InSoak,
    /// The device falls silent for good when it begins to apply
    Silence,
    /// The device cannot reach the reconciler any more, and goes back after ten minutes
    NetworkLoss,
}

impl SimulateArgs {
    /// What goes wrong with a rollout that this Rollout judges.
    pub(super) fn faults(&self, rollout: &Rollout) -> Faults {
        let ten = Seconds::minutes(10);
        let mode = match self.mode {
            How::AtOnce => Mode::AtOnce,
            How::After10m => Mode::After(ten),
            How::InSoak => Mode::InSoak,
            How::Silence => Mode::Silence,
            How::NetworkLoss => Mode::NetworkLoss(ten),
        };
        Faults {
            failure_rate: self.failure_rate,
            mode,
            offline: self.offline,
            outages: self.site_outage.clone(),
            apply_time: self.apply_time(rollout),
        }
    }

    /// Whether no device fails or is off but by what is committed.
    pub(super) fn assumes_nothing(&self) -> bool {
        self.failure_rate == Percent::ZERO && self.offline == Percent::ZERO && self.site_outage.is_empty()
    }

    /// A release is not taken to be one that cannot be applied in time, unless somebody says so.
    fn apply_time(&self, rollout: &Rollout) -> Seconds {
        let in_time = Seconds::new(rollout.device_timeout.get() / 3);
        self.apply_time.unwrap_or_else(|| APPLY_TIME.min(in_time))
    }

    /// What is assumed, a line each.
    pub(super) fn assumptions(&self, rollout: &Rollout) -> Vec<(&'static str, String)> {
        let how = self.mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let fails = match self.sweep {
            Some(runs) => format!("on 0% to 100% of the devices, {how}; {runs} runs each"),
            None => format!("on {} of the devices, {how}", self.failure_rate),
        };
        let gates = match self.approve_after {
            Approvals::After(span) => format!("opened {span} after they are reached"),
            Approvals::Never => "never opened".to_owned(),
        };
        let off = match self.site_outage.len() {
            0 => format!("{} at any moment", self.offline),
            count => format!("{} at any moment, and {count} outages", self.offline),
        };
        vec![
            ("it fails", fails),
            ("off", off),
            ("applying", format!("takes {}, give or take half", self.apply_time(rollout))),
            ("gates", gates),
            ("seed", self.seed.to_string()),
        ]
    }
}

fn approvals(text: &str) -> Result<Approvals, String> {
    match text {
        "never" => Ok(Approvals::Never),
        text => {
            text.parse().map(Approvals::After).map_err(|e: bellwether_schemas::quantity::InvalidQuantity| e.to_string())
        }
    }
}

fn outage(text: &str) -> Result<Outage, String> {
    let form = "expected SELECTOR@BEGINS+LASTS, such as site=kiel@30m+4h";
    let (devices, times) = text.rsplit_once('@').ok_or(form)?;
    let (begins, lasts) = times.split_once('+').ok_or(form)?;
    let span = |text: &str| text.parse::<Seconds>().map_err(|e| e.to_string());
    let devices = select::labels(devices).map_err(|e| e.to_string())?;
    Ok(Outage { devices, begins: span(begins)?, lasts: span(lasts)? })
}
