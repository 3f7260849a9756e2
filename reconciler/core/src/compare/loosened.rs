//! What protects devices and the repository, and would protect them less: limits of Rollouts, rules of the policy.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{
    Budget, Gate, MaxUnavailable, OnFailure, PolicyRule, Rollout, TrustPolicy, Wave, WaveMembers,
};

/// Each limit of a Rollout that lets more through than before, as `what: before → after`.
pub(super) fn rollout(before: &Rollout, after: &Rollout) -> Vec<String> {
    let mut found = Vec::new();
    let mut rises = |what: &str, is: bool, from: String, to: String| {
        if is {
            found.push(format!("{what}: {from} → {to}"));
        }
    };
    rises(
        "maxFailureRate",
        after.max_failure_rate > before.max_failure_rate,
        before.max_failure_rate.to_string(),
        after.max_failure_rate.to_string(),
    );
    rises(
        "minFailures",
        after.min_failures > before.min_failures,
        before.min_failures.to_string(),
        after.min_failures.to_string(),
    );
    rises(
        "minHealthy",
        after.min_healthy < before.min_healthy,
        before.min_healthy.to_string(),
        after.min_healthy.to_string(),
    );
    let in_flight = |rollout: &Rollout| rollout.max_in_flight.map_or("no limit".to_owned(), |share| share.to_string());
    let more_in_flight = match (before.max_in_flight, after.max_in_flight) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    rises("maxInFlight", more_in_flight, in_flight(before), in_flight(after));
    let halts_only = before.on_failure == OnFailure::Revert && after.on_failure == OnFailure::Halt;
    rises("onFailure", halts_only, "revert".to_owned(), "halt".to_owned());
    rises(
        "windows",
        !before.windows.is_empty() && after.windows.is_empty(),
        before.windows.len().to_string(),
        "at any time".to_owned(),
    );
    found.extend(budgets(&before.budget, &after.budget));
    found.extend(waves(before, after));
    found
}

fn budgets<'b>(before: &'b [Budget], after: &'b [Budget]) -> impl Iterator<Item = String> + 'b {
    before.iter().filter_map(|budget| {
        let by = if budget.by.is_empty() { "the fleet".to_owned() } else { budget.by.join(", ") };
        let text = |limit: MaxUnavailable| match limit {
            MaxUnavailable::Count(count) => count.to_string(),
            MaxUnavailable::Share(share) => share.to_string(),
        };
        let from = text(budget.max_unavailable);
        let Some(now) = after.iter().find(|other| other.by == budget.by) else {
            return Some(format!("budget of {by}: {from} → no limit"));
        };
        let is_wider = match (budget.max_unavailable, now.max_unavailable) {
            (MaxUnavailable::Count(before), MaxUnavailable::Count(after)) => after > before,
            (MaxUnavailable::Share(before), MaxUnavailable::Share(after)) => after > before,
            // A number and a share are compared by nobody who does not know the group.
            (before, after) => before != after,
        };
        is_wider.then(|| format!("budget of {by}: {from} → {}", text(now.max_unavailable)))
    })
}

fn waves(before: &Rollout, after: &Rollout) -> Vec<String> {
    let mut found = Vec::new();
    for wave in &before.waves {
        let Some(now) = after.waves.iter().find(|other| other.name == wave.name) else {
            // The last wave is never gone: something reaches everybody.
            if after.waves.len() < before.waves.len() {
                found.push(format!("wave {}: gone", wave.name));
            }
            continue;
        };
        found.extend(wave_limits(wave, now));
    }
    found
}

fn wave_limits(wave: &Wave, now: &Wave) -> Vec<String> {
    let name = &wave.name;
    let mut found = Vec::new();
    if now.soak < wave.soak {
        found.push(format!("soak of wave {name}: {} → {}", wave.soak, now.soak));
    }
    if wave.gate == Gate::Manual && now.gate == Gate::Automatic {
        found.push(format!("gate of wave {name}: manual → automatic"));
    }
    if let (Some(WaveMembers::Percent(before)), Some(WaveMembers::Percent(after))) = (wave.members(), now.members())
        && after > before
    {
        found.push(format!("wave {name}: {before} per cent → {after} per cent"));
    }
    match (wave.limit, now.limit) {
        (Some(before), Some(after)) if after > before => {
            found.push(format!("limit of wave {name}: {before} → {after}"))
        }
        (Some(before), None) => found.push(format!("limit of wave {name}: {before} → none")),
        _ => {}
    }
    match (wave.max_failure_rate, now.max_failure_rate) {
        (Some(before), Some(after)) if after > before => {
            found.push(format!("maxFailureRate of wave {name}: {before} → {after}"));
        }
        (None, Some(after)) => found.push(format!("maxFailureRate of wave {name}: the rollout's → {after}")),
        _ => {}
    }
    found
}

/// Each way in which a policy asks less for a signature than before, or more people can give one.
pub(super) fn policy(before: &TrustPolicy, after: &TrustPolicy) -> Vec<String> {
    let rules = before.rules.iter().filter_map(|rule| rule_loosened(rule, &after.rules));
    let mut found: Vec<String> = rules.collect();
    for (role, now) in &after.roles {
        let known: BTreeSet<_> = before.roles.get(role).map(|role| role.members.iter().collect()).unwrap_or_default();
        let joined = now.members.iter().filter(|member| !known.contains(member));
        found.extend(joined.map(|member| format!("{member} joins {role}")));
    }
    for (name, person) in &after.people {
        let Some(known) = before.people.get(name) else { continue };
        if known.bot && !person.bot {
            found.push(format!("{name} is no bot any more, and counts"));
        }
        let keys = person.ssh.iter().filter(|key| !known.ssh.contains(key)).count()
            + person.openpgp.iter().filter(|key| !known.openpgp.contains(key)).count()
            + person.gitsign.iter().filter(|key| !known.gitsign.contains(key)).count();
        if keys > 0 {
            found.push(format!("{name} has {keys} more {}", if keys == 1 { "key" } else { "keys" }));
        }
    }
    found
}

fn rule_loosened(rule: &PolicyRule, after: &[PolicyRule]) -> Option<String> {
    let paths = rule.paths.join(", ");
    let same =
        |other: &&PolicyRule| other.role == rule.role && rule.paths.iter().all(|path| other.paths.contains(path));
    match after.iter().filter(same).map(|other| other.signers).max() {
        None => Some(format!("nothing asks for {} of {} on {paths} any more", rule.signers, rule.role)),
        Some(signers) if signers < rule.signers => {
            Some(format!("{paths}: {} of {} → {signers}", rule.signers, rule.role))
        }
        Some(_) => None,
    }
}
