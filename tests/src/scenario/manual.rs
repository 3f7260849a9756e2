//! The manual of rollouts, made from the scenarios.

use super::script::{Item, Script};

/// Lines of a transcript that the manual shows at most.
const SHOWN: usize = 60;

/// The chapters, by the first digit of the scenarios' names.
const CHAPTERS: [(char, &str); 9] = [
    ('1', "Waves"),
    ('2', "What starts a rollout, and what judges it"),
    ('3', "Failures and halts"),
    ('4', "Going back, and newer commits"),
    ('5', "Windows and budgets"),
    ('6', "Decisions of people"),
    ('7', "Devices that come, go and fall silent"),
    ('8', "When the reconciler was away"),
    ('9', "Large fleets"),
];

const HEAD: &str = "\
<!-- Made from tests/scenarios by `BLESS=1 cargo nextest run -p bellwether-tests --test scenarios`. Do not edit. -->
# Rollouts

How a change reaches devices, rule by rule. Under each rule is a transcript, folded: what engineers, devices and the reconciler do
(lines with `>`), and what follows. Each transcript is a test, so what stands there is what happens.

How to read the transcripts:

- Times count from the beginning: `+2h05m`. Where windows matter they are those of the clocks on the wall.
- `v3` is the third landing on the branch: versions are landing numbers. v1 runs everywhere at the beginning, and v2 brought the
  Rollout, so the first change is v3. `v3.1` is a second offer at the same landing.
- `say edge 2` changes the template of the fleet `edge`; `push` commits what was changed, signs it and pushes it. `hold`, `approve`,
  `retry`, `resume` and `expedite` land the file of that name. `fail edge-1` makes the target fail on that device.
- A device reports once a minute. It takes three minutes from an offer to being healthy: it asks, begins, and probes.
- `ten devices` are edge-1, a canary, and edge-2 to edge-10, with this Rollout:

```yaml
waves:
  - {name: canary, select: {matchLabels: {ring: canary}}, soak: 30m}
  - {name: broad, percent: 100, soak: 10m}
```

## Before you push: simulate

`bellwether simulate` runs the planner on what is committed, on a virtual clock and with virtual devices: when waves, gates and
windows open, when the rollout ends, and how many devices a bad release harms before it is stopped. Whether a release is good it
cannot know: that is what you assume. It changes nothing, and needs no reconciler.

```sh
bellwether simulate --fleet edge --from main        # what this branch, which has all of main, would do to 100 made-up devices
bellwether simulate --fleet edge --from main --listed   # to the devices that git lists, as bellwether diff has it
bellwether simulate --fleet edge --next --inventory URL --failure-rate 100% --mode in-soak   # whom would a bad release harm?
bellwether simulate --fleet edge --next --inventory URL --offline 2% --sweep 200             # how often does which release halt?
```

`--next` is the next change of the fleet, whatever it is: use it for an edit of a Rollout, which counts for that. Made-up devices
have the labels that git gives to members, in the same proportion. Of devices with factory certificates git knows no number: where
the sizes of waves matter, give the real devices, from a reconciler's page, a CSV file, or what
`bellwether get devices --output json` printed.

To choose `maxFailureRate`, read two rows of `--sweep`. Each is a release that fails on each device with the chance in `FAILS ON`.

- **A good one**, which fails only on the few devices that have troubles of their own: `HALTS` is how often it stops all the same,
  and `IN WAVE` where. Is that too often, raise `maxFailureRate` of that wave; in later waves `minFailures`, too.
- **A bad one**: it passes the canary in all `RUNS` but those that `IN WAVE` counts for the canary, and reaches everybody in those
  that are `COMPLETE`; `HARMED` says what that costs. Is that too much, lower `maxFailureRate` of the wave that let it through, or give
  the canary more devices. Ten canaries of which none may fail still pass a release that fails on 5 % in 60 of 100 runs.
- Then commit the Rollout, and look again. `--offline` and `--mode` change both rows: in the first wave's soak silence counts as failure.
";

/// The manual. Scenarios come with the names of their files, in order.
pub fn manual(scripts: &[(String, Script)]) -> String {
    let mut text = HEAD.to_owned();
    for (digit, title) in CHAPTERS {
        let rules: Vec<_> = scripts.iter().filter(|(name, _)| name.starts_with(digit)).collect();
        if rules.is_empty() {
            continue;
        }
        text += &format!("\n## {title}\n");
        for (name, script) in rules {
            text += &rule(name, script);
        }
    }
    text
}

fn rule(name: &str, script: &Script) -> String {
    let mut text = format!("\n### {}\n", script.title);
    let (mut left, mut block) = (SHOWN, Vec::new());
    for item in &script.items {
        match item {
            Item::Text(line) => {
                close(&mut block, &mut text);
                if !(line.is_empty() && text.ends_with("\n\n")) {
                    text += &format!("{line}\n");
                }
            }
            // What happens there is not the rule.
            Item::Step(_) if script.finding.is_some() => {}
            Item::Step(step) => {
                let lines: Vec<String> = step.lines().collect();
                if lines.len() > left && left > 0 {
                    left = 0;
                    block.push(format!("…  (on in tests/scenarios/{name})"));
                } else if left > 0 {
                    left -= lines.len();
                    block.extend(lines);
                }
            }
        }
    }
    close(&mut block, &mut text);
    if let Some(finding) = &script.finding {
        text = format!("{}\n\n**Not so yet:** {finding} (tests/scenarios/{name}).\n", text.trim_end());
    }
    text
}

fn close(block: &mut Vec<String>, text: &mut String) {
    if !block.is_empty() {
        let summary = "<details><summary>What happens</summary>";
        *text += &format!("{summary}\n\n```text\n{}\n```\n\n</details>\n", block.join("\n"));
        block.clear();
    }
}
