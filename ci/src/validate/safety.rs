//! Rollouts that would do what they say, and harm more than they need to, or wait forever: for the devices that git knows.

use std::collections::BTreeSet;

use bellwether_core::plan::{Opening, Schedule};
use bellwether_schemas::manifest::{Rollout, Wave, WaveMembers, Window, Zone};
use bellwether_schemas::quantity::Percent;
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{FleetName, Seconds, codes};
use jiff::Timestamp;

use super::finding::{Finding, instead};
use super::manifests::Manifests;
use super::selection::Selection;
use crate::devices::Known;

/// What is dangerous in each Rollout.
pub(super) fn problems(manifests: &Manifests, selection: &Selection<'_>) -> Vec<Finding> {
    let has_all = manifests.has_all_devices();
    let checks = manifests.rollouts().map(|(path, fleet, rollout)| {
        let members: Vec<&Known> = selection.members(fleet).collect();
        Checked { path, fleet, rollout, members, has_all }
    });
    checks.flat_map(|checked| checked.problems()).collect()
}

/// A Rollout, and the members of its fleet.
struct Checked<'m> {
    path: &'m str,
    fleet: &'m FleetName,
    rollout: &'m Rollout,
    members: Vec<&'m Known>,
    /// Whether there are no others.
    has_all: bool,
}

impl Checked<'_> {
    fn problems(&self) -> Vec<Finding> {
        let first = self.rollout.waves.first();
        let found = first.and_then(|wave| self.canary(wave)).into_iter();
        found
            .chain(first.and_then(|wave| self.soak(wave)))
            .chain(self.limits())
            .chain(self.min_healthy())
            .chain(self.zones())
            .chain(self.budgets())
            .collect()
    }

    fn warning(&self, code: bellwether_schemas::Code, field: &str, message: String) -> Finding {
        Finding::warning(code, self.path, FieldPath::of(field), message)
    }

    /// The first wave is everybody.
    fn canary(&self, wave: &Wave) -> Option<Finding> {
        let (fleet, name, known) = (self.fleet, &wave.name, self.members.len());
        let (field, takes_all) = match wave.members()? {
            WaveMembers::Percent(percent) => ("spec.waves[0].percent", percent == 100 && known != 1),
            WaveMembers::Select(selector) => {
                let takes = |device: &&Known| selector.matches(&device.facts.labels);
                ("spec.waves[0].select", known > 1 && wave.limit.is_none() && self.members.iter().all(takes))
            }
        };
        if !takes_all {
            return None;
        }
        let whole = match known {
            0 => format!("the whole fleet {fleet}"),
            known => format!("all {known} devices of the fleet {fleet} that git knows"),
        };
        let message = format!("the first wave, {name}, is {whole}: a bad release reaches them at once");
        let hint = "put a small wave before it: - {name: canary, percent: 5}, or one that selects ring=canary";
        Some(self.warning(codes::NO_CANARY, field, message).hint(hint))
    }

    /// Nobody waits after the first wave.
    fn soak(&self, wave: &Wave) -> Option<Finding> {
        if wave.soak != Seconds::ZERO || self.rollout.waves.len() < 2 {
            return None;
        }
        let message = format!("the next wave opens as soon as the probes of {} passed once", wave.name);
        Some(
            self.warning(codes::NO_SOAK, "spec.waves[0].soak", message)
                .hint("write how long a failure may take to show: soak: 15m"),
        )
    }

    /// Limits that nothing exceeds.
    fn limits(&self) -> impl Iterator<Item = Finding> {
        let all = |rate: Option<Percent>| rate == Some(Percent::whole(100));
        let whole = all(Some(self.rollout.max_failure_rate)).then(|| "spec.maxFailureRate".to_owned());
        let waves = self.rollout.waves.iter().enumerate().filter(move |(_, wave)| all(wave.max_failure_rate));
        let fields = whole.into_iter().chain(waves.map(|(place, _)| format!("spec.waves[{place}].maxFailureRate")));
        fields.map(|field| {
            let message = "no failure halts it: more than 100% of the devices cannot fail".to_owned();
            self.warning(codes::NEVER_HALTS, &field, message).hint("write the share whose loss you accept, such as 2%")
        })
    }

    fn min_healthy(&self) -> Option<Finding> {
        let (needed, known) = (self.rollout.min_healthy, u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        if known == 0 || needed <= known || !self.has_all {
            return None;
        }
        let message =
            format!("a wave needs {needed} healthy devices, and git knows {known} of the fleet {}", self.fleet);
        Some(self.warning(codes::TOO_FEW_DEVICES, "spec.minHealthy", message))
    }

    /// Devices for which a window never opens, since it goes by a label of theirs.
    fn zones(&self) -> impl Iterator<Item = Finding> {
        let of_rollout = windows(&self.rollout.windows, "spec.windows");
        let of_waves = self.rollout.waves.iter().enumerate();
        let of_waves =
            of_waves.flat_map(|(place, wave)| windows(&wave.windows, &format!("spec.waves[{place}].windows")));
        of_rollout.into_iter().chain(of_waves).filter_map(|(field, window)| self.zone(field, window))
    }

    /// Labels by which devices are to be grouped, and that none of them has.
    fn budgets(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.members.is_empty() || !self.has_all {
            return found;
        }
        let labels: BTreeSet<&str> =
            self.members.iter().flat_map(|device| device.facts.labels.keys()).map(String::as_str).collect();
        for (place, budget) in self.rollout.budget.iter().enumerate() {
            for (at, key) in budget.by.iter().enumerate().filter(|(_, key)| !labels.contains(key.as_str())) {
                let field = FieldPath::of("spec.budget").item(place).key("by").item(at);
                let message = format!(
                    "no device of the fleet {} has a label {key}, so it divides them into no groups",
                    self.fleet
                );
                let problem = Finding::warning(codes::SELECTS_NOTHING, self.path, field, message);
                found.push(problem.hint(instead(key, "labels", labels.iter().copied())));
            }
        }
        found
    }

    /// Of a zone that has a name the reader has said already whether there is one.
    fn zone(&self, field: FieldPath, window: &Window) -> Option<Finding> {
        let Zone::Label(_) = &window.timezone else { return None };
        let why = |device: &&Known| match Schedule::of(std::slice::from_ref(window), &device.facts.labels)
            .at(Timestamp::UNIX_EPOCH)
        {
            Opening::Never { why } => Some((device.shown.clone(), why)),
            Opening::Always | Opening::Open { .. } | Opening::Closed { .. } => None,
        };
        let mut never = self.members.iter().filter_map(why);
        let (device, why) = never.next()?;
        let whom = match never.count() {
            0 => device,
            more => format!("{device} and {more} more"),
        };
        let message = format!("this window never opens for {whom}. {why}");
        let field = field.key("timezone");
        Some(Finding::warning(codes::ZONE_UNKNOWN_TO_DEVICE, self.path, field, message))
    }
}

fn windows<'w>(windows: &'w [Window], field: &str) -> Vec<(FieldPath, &'w Window)> {
    windows.iter().enumerate().map(|(place, window)| (FieldPath::of(field).item(place), window)).collect()
}
