//! Releases that are bad, each in its way: they harm at most their first wave.

use super::*;

/// The ways in which a release is bad.
fn modes() -> [(&'static str, Mode); 5] {
    [
        ("at once", Mode::AtOnce),
        ("after ten minutes", Mode::After(seconds("10m"))),
        ("in soak", Mode::InSoak),
        ("by silence", Mode::Silence),
        ("by losing the network", Mode::NetworkLoss(seconds("10m"))),
    ]
}

fn rollouts() -> [Rollout; 3] {
    let gated = |mut wave: Wave| {
        wave.gate = bellwether_schemas::manifest::Gate::Manual;
        wave
    };
    [
        Rollout::default(),
        rollout(vec![canaries(), percent("early", 30), gated(percent("rest", 100))]),
        Rollout { on_failure: bellwether_schemas::manifest::OnFailure::Revert, retries: 1, ..Rollout::default() },
    ]
}

/// Simulates releases that are bad everywhere with so many seeds; says what does not hold.
fn harm(seeds: std::ops::Range<u64>, sizes: &[usize]) -> Vec<String> {
    let story = story();
    let mut found = Vec::new();
    for seed in seeds {
        let place = usize::try_from(seed).expect("small");
        let (how, mode) = modes()[place % 5];
        let rollout = rollouts()[place / 5 % 3].clone();
        let scene = scene(&story, rollout, sizes[place / 15 % sizes.len()]);
        let offline = rate(["0%", "2%"][place / 7 % 2]);
        let faults = Faults { failure_rate: rate("100%"), mode, offline, ..Faults::default() };
        let outcome = simulate(&scene, &faults, seed);
        let first = &outcome.waves[0];
        // A wave that takes the whole fleet is the end of the rollout: what fails as its soak ends has nobody left to stop.
        let stops = outcome.is_halted() || first.members == outcome.devices;
        if outcome.harm_reached() != Some(0) || outcome.harmed > first.members || !stops {
            found.push(format!(
                "seed {seed}, {} devices, {how}, {offline} off: harmed {} of {} in {:?}, {:?} {:?}",
                outcome.devices,
                outcome.harmed,
                first.members,
                outcome.waves.iter().map(|wave| (wave.name.as_str(), wave.harmed)).collect::<Vec<_>>(),
                outcome.state,
                outcome.moments.iter().map(|m| (m.at.duration_since(START).as_secs(), m.what)).collect::<Vec<_>>(),
            ));
        }
    }
    found
}

#[test]
fn a_bad_release_harms_at_most_its_first_wave() {
    let found = harm(0..300, &[10, 40, 100]);
    let some = found.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(found.is_empty(), "{} of 300:\n{some}", found.len());
}

/// As above, for `ci/test --long`.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_bad_releases_harm_at_most_their_first_wave() {
    let found = harm(0..10_000, &[1, 10, 40, 100]);
    let some = found.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(found.is_empty(), "{} of 10,000:\n{some}", found.len());
}
