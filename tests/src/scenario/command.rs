//! The commands of scenarios.

use bellwether_reconciler::brake::LocalHold;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::report::Claim;
use bellwether_schemas::{CommitId, Sha256Digest, Version};

use super::device::{Device, Trouble};
use super::git::{Signers, manifest};
use super::script::{Step, words};
use super::server::{Database, Store};
use super::show;
use super::site::{Placed, Site};

/// Devices that one Enrollment lists at most.
const LISTED: usize = 2_000;

const FLEET: &str = "template:
  files: [{path: /opt/bellwether/message, content: \"say 1 to {{ device.name }}\"}]
  probes: none
";

/// How the ten devices of most scenarios roll out.
const ROLLOUT: &str = "waves:
  - {name: canary, select: {matchLabels: {ring: canary}}, soak: 30m}
  - {name: broad, percent: 100, soak: 10m}
";

/// Runs a command, and returns what it prints.
///
/// # Errors
/// What of it cannot be understood, or what does not hold that must.
pub(super) fn run(site: &mut Site, step: &Step) -> Result<Vec<String>, String> {
    let words = words(&step.command)?;
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    site.log.is_quiet = words.first() == Some(&"quietly");
    if site.log.is_quiet {
        words.remove(0);
    }
    let body = step.body.join("\n");
    let (name, rest) = words.split_first().ok_or("a command has a name")?;
    match *name {
        "clock" | "heartbeat" | "people" | "two" | "devices" | "ten" | "begin" | "introduce" => {
            set_up(site, name, rest)?
        }
        "fleet" | "rollout" | "file" | "remove" | "say" | "label" | "pin" | "unpin" | "lose" | "find" | "vars" => {
            stage(site, name, rest, &body)?;
        }
        "commit" | "push" | "revert" | "rewind" | "restore" => land(site, name, rest)?,
        "hold" | "release" | "approve" | "resume" | "retry" | "expedite" | "overrule" => decide(site, name, rest)?,
        "fail" | "heal" | "dark" | "back" | "power" | "ill" | "well" | "reimage" | "stray" | "flap" | "enroll" => {
            happen(site, name, rest)?;
        }
        "stop" | "start" | "delete" | "brake" => operate(site, name, rest)?,
        "advance" => {
            let until = site.clock.target(rest)?;
            site.advance(until)?;
        }
        "show" => {
            site.look()?;
            for line in show::standing(&site.views, rest.first().copied()) {
                let line = show::retell(&line, &site.clock, &site.git);
                site.log.say(line);
            }
        }
        "why" => {
            site.look()?;
            let names = site.set(rest.first().ok_or("why SET")?)?;
            let devices = site.views.devices.iter().filter(|device| names.contains(&device.name));
            for line in show::reasons(devices) {
                let line = show::retell(&line, &site.clock, &site.git);
                site.log.say(line);
            }
        }
        unknown => return Err(format!("there is no command {unknown:?}")),
    }
    site.log.is_quiet = false;
    Ok(site.log.take())
}

fn set_up(site: &mut Site, name: &str, rest: &[&str]) -> Result<(), String> {
    match (name, rest) {
        ("clock", [at, zone]) => site.clock.set(at, zone),
        ("heartbeat", [span]) => {
            site.heartbeat = span.parse().map_err(|_| format!("{span:?} is no span"))?;
            Ok(())
        }
        ("people", people) => {
            site.people = people.iter().map(|name| (*name).to_owned()).collect();
            Ok(())
        }
        ("two", ["must", "sign", paths @ ..]) => {
            site.doubled = paths.iter().map(|path| (*path).to_owned()).collect();
            Ok(())
        }
        ("devices", [set, labels @ ..]) => list(site, set, labels),
        ("ten", ["devices"]) => {
            list(site, "edge-1", &["ring=canary"])?;
            list(site, "edge-2..edge-10", &[])?;
            stage(site, "rollout", &["edge"], ROLLOUT)
        }
        ("begin", []) => begin(site),
        ("introduce", []) => introduce(site),
        _ => Err(format!("{name} is not used like this")),
    }
}

/// Lists devices in an Enrollment.
fn list(site: &mut Site, set: &str, labels: &[&str]) -> Result<(), String> {
    let now = site.clock.now;
    let enrollment = format!("plant-{}", site.devices.len() / LISTED + 1);
    for name in super::names::expand(set)? {
        let fleet = name.as_str().rsplit_once('-').map_or(name.as_str(), |(prefix, _)| prefix).to_owned();
        let mut all = Labels::from_iter([("fleet".to_owned(), fleet.clone())]);
        for label in labels {
            let (key, value) = label.split_once('=').ok_or_else(|| format!("{label:?} is no label"))?;
            all.insert(key.to_owned(), value.to_owned());
        }
        let path = format!("fleets/{fleet}.yaml");
        if !site.git.files.contains_key(&path) {
            let spec = format!("selector: {{matchLabels: {{fleet: {fleet}}}}}\n{FLEET}");
            site.git.files.insert(path.clone(), manifest(&path, &spec)?);
        }
        site.devices.insert(name, Placed { device: Device::new(now), enrollment: enrollment.clone(), labels: all });
    }
    let mut text = "tokens:\n".to_owned();
    for (name, placed) in site.devices.iter().filter(|(_, placed)| placed.enrollment == enrollment) {
        let labels: Vec<String> = placed.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let hash = Sha256Digest::of(name.as_str().as_bytes());
        text += &format!(
            "  - {{id: {name}, sha256: {hash}, expires: \"2100-01-01T00:00:00Z\", device: {name}, labels: {{{}}}}}\n",
            labels.join(", ")
        );
    }
    let path = format!("enrollments/{enrollment}.yaml");
    let text = manifest(&path, &text)?;
    site.git.files.insert(path, text);
    Ok(())
}

/// The first landing, with everything that is staged: nothing runs anywhere.
fn introduce(site: &mut Site) -> Result<(), String> {
    let (people, doubled) = (site.people.clone(), site.doubled.clone());
    site.git.write_policy(&people, &doubled);
    site.commit("Begin", &site.first_person());
    site.start()?;
    let names = site.devices.keys().cloned().collect();
    site.enroll(&names)
}

/// Everything runs v1; v2 brings the Rollouts.
fn begin(site: &mut Site) -> Result<(), String> {
    let is_quiet = std::mem::replace(&mut site.log.is_quiet, true);
    let origin = site.clock.now;
    site.clock.now = origin - site.heartbeat.signed() * 12;
    let rollouts: Vec<(String, String)> = site
        .git
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("rollouts/"))
        .map(|(p, t)| (p.clone(), t.clone()))
        .collect();
    let fleets: Vec<String> =
        site.git.files.keys().filter_map(|path| Some(path.strip_prefix("fleets/")?.to_owned())).collect();
    for file in &fleets {
        let path = format!("rollouts/{file}");
        let at_once = "waves: [{name: all, percent: 100, soak: 0s}]\nmaxFailureRate: 0%\nminFailures: 1\n";
        site.git.files.insert(path.clone(), manifest(&path, at_once)?);
    }
    introduce(site)?;
    site.advance(origin - site.heartbeat.signed() * 4)?;
    for file in &fleets {
        site.git.files.remove(&format!("rollouts/{file}"));
    }
    site.git.files.extend(rollouts);
    let lags = site.views.devices.iter().find(|device| device.reason.is_some() || device.target != device.digest);
    if let Some(device) = lags {
        return Err(format!("{} does not run v1: {}", device.name, device.why));
    }
    let signers = Signers { with: site.people.get(1).cloned(), ..site.first_person() };
    site.commit("How changes roll out", &signers);
    site.push()?;
    site.advance(origin)?;
    site.log.is_quiet = is_quiet;
    let line = format!("{:<8} v1 runs everywhere; v2 brings the Rollout", site.clock.tell(origin));
    site.log.say(line);
    Ok(())
}

fn stage(site: &mut Site, name: &str, rest: &[&str], body: &str) -> Result<(), String> {
    let mut write = |path: String, spec: &str| -> Result<(), String> {
        let text = manifest(&path, spec)?;
        site.git.files.insert(path, text);
        Ok(())
    };
    match (name, rest) {
        ("fleet", [fleet]) => write(format!("fleets/{fleet}.yaml"), body),
        ("rollout", [fleet]) => write(format!("rollouts/{fleet}.yaml"), body),
        ("file", [path]) => write((*path).to_owned(), body),
        ("remove", [path]) => site.git.files.remove(*path).map(drop).ok_or_else(|| format!("there is no {path}")),
        ("say", [fleet, what]) => {
            let text = site
                .git
                .files
                .get_mut(&format!("fleets/{fleet}.yaml"))
                .ok_or_else(|| format!("there is no {fleet}"))?;
            let at = text.find("say ").ok_or("the template says nothing")? + 4;
            let end = at + text[at..].find(' ').ok_or("the template says nothing")?;
            text.replace_range(at..end, what);
            Ok(())
        }
        ("lose", [path]) => site.git.lose(path),
        ("find", []) => {
            site.git.find();
            Ok(())
        }
        ("label" | "pin" | "unpin" | "vars", [set, rest @ ..]) => {
            for device in site.set(set)? {
                let spec = match (name, rest) {
                    ("pin", [version]) => format!("pin: {{commit: {}}}", commit(site, version)?),
                    ("unpin", []) => "{}".to_owned(),
                    ("label", labels) => format!("labels: {{{}}}", pairs(labels)?),
                    ("vars", vars) => format!("vars: {{{}}}", pairs(vars)?),
                    _ => return Err(format!("{name} is not used like this")),
                };
                let path = format!("devices/{device}.yaml");
                let text = manifest(&path, &spec)?;
                site.git.files.insert(path, text);
            }
            Ok(())
        }
        _ => Err(format!("{name} is not used like this")),
    }
}

fn pairs(words: &[&str]) -> Result<String, String> {
    let pair = |word: &&str| {
        word.split_once('=')
            .map(|(key, value)| format!("{key}: {value}"))
            .ok_or_else(|| format!("{word:?} is no key=value"))
    };
    Ok(words.iter().map(pair).collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// The commit of a version.
fn commit(site: &Site, version: &str) -> Result<CommitId, String> {
    let number: Option<usize> = version.strip_prefix('v').and_then(|number| number.parse().ok());
    let found = number.and_then(|number| site.git.line.get(number.checked_sub(1)?));
    found.copied().ok_or_else(|| format!("there is no {version}"))
}

fn number(version: &str) -> Result<usize, String> {
    version.strip_prefix('v').and_then(|number| number.parse().ok()).ok_or_else(|| format!("{version:?} is no version"))
}

/// Takes `by NAME` and `with NAME` off the end.
fn signers(site: &Site, words: &mut Vec<&str>) -> Signers {
    let mut signers = site.first_person();
    while let [.., how @ ("by" | "with"), who] = words.as_slice() {
        match *how {
            "by" => signers.by = (*who).to_owned(),
            _ => signers.with = Some((*who).to_owned()),
        }
        words.truncate(words.len() - 2);
    }
    signers
}

fn land(site: &mut Site, name: &str, rest: &[&str]) -> Result<(), String> {
    let mut words = rest.to_vec();
    let signers = signers(site, &mut words);
    match (name, words.as_slice()) {
        ("commit", [message]) => site.commit(message, &signers),
        ("push", []) if !site.git.is_dirty() => site.push()?,
        ("push", [message]) => {
            site.commit(message, &signers);
            site.push()?;
        }
        ("push", []) => return Err("something is staged: push \"Message\"".to_owned()),
        ("revert", [version]) => {
            site.git.revert(number(version)?)?;
            site.commit(&format!("Revert {version}"), &signers);
            site.push()?;
        }
        ("rewind", [version]) => {
            site.git.rewind(number(version)?);
            site.push()?;
        }
        ("restore", []) => {
            site.git.restore();
            site.push()?;
        }
        _ => return Err(format!("{name} is not used like this")),
    }
    Ok(())
}

/// Decisions of people: each is a file, landed and pushed at once.
fn decide(site: &mut Site, name: &str, rest: &[&str]) -> Result<(), String> {
    let mut words = rest.to_vec();
    let signers = signers(site, &mut words);
    // Of the newest template, unless it says otherwise.
    let of = match words.as_slice() {
        [.., "of", version] => {
            let of = commit(site, version)?;
            words.truncate(words.len() - 2);
            Some(of)
        }
        _ => None,
    };
    let fleet = words.first().copied().unwrap_or_default();
    let target = site.views.fleets.iter().find(|view| view.name.as_str() == fleet).map(|view| view.template);
    let of = of.or(target);
    let commit = || of.ok_or_else(|| format!("there is no fleet {fleet}"));
    site.decisions += 1;
    let (path, spec) = match (name, words.as_slice()) {
        ("hold", ["all", reason]) => ("holds/stop.yaml".to_owned(), format!("{{all: true, reason: \"{reason}\"}}")),
        ("hold", [fleet, reason]) => {
            ("holds/stop.yaml".to_owned(), format!("{{fleets: [{fleet}], reason: \"{reason}\"}}"))
        }
        ("release", []) => {
            site.git.files.remove("holds/stop.yaml").ok_or("nothing is held")?;
            (String::new(), String::new())
        }
        ("approve", [fleet, wave]) => (
            format!("approvals/approval-{}.yaml", site.decisions),
            format!("{{fleet: {fleet}, commit: {}, open: [{wave}], reason: It is well}}", commit()?),
        ),
        ("resume", [fleet, failures]) => (
            format!("approvals/approval-{}.yaml", site.decisions),
            format!("{{fleet: {fleet}, commit: {}, resume: {{failures: {failures}}}, reason: Known}}", commit()?),
        ),
        ("retry", [fleet, set]) => {
            let names: Vec<String> = site.set(set)?.iter().map(ToString::to_string).collect();
            (
                format!("approvals/approval-{}.yaml", site.decisions),
                format!(
                    "{{fleet: {fleet}, commit: {}, retry: {{devices: [{}]}}, reason: Mended}}",
                    commit()?,
                    names.join(", ")
                ),
            )
        }
        ("expedite", [fleet, skip @ ..]) => (
            format!("expedites/expedite-{}.yaml", site.decisions),
            format!("{{fleet: {fleet}, commit: {}, skip: [{}], reason: Urgent}}", commit()?, skip.join(", ")),
        ),
        ("overrule", [set, over @ ..]) => {
            let names: Vec<String> = site.set(set)?.iter().map(ToString::to_string).collect();
            let lost: Vec<String> = site
                .git
                .named()
                .filter(|(_, name)| over.contains(&name.trim_start_matches("the lost ")))
                .map(|(commit, _)| commit.to_string())
                .collect();
            (
                format!("resumes/resume-{}.yaml", site.decisions),
                format!("{{over: [{}], devices: [{}], reason: Git is right}}", lost.join(", "), names.join(", ")),
            )
        }
        _ => return Err(format!("{name} is not used like this")),
    };
    if !path.is_empty() {
        let text = manifest(&path, &spec)?;
        site.git.files.insert(path, text);
    }
    site.commit(name, &signers);
    site.push()
}

/// What happens on devices.
fn happen(site: &mut Site, name: &str, rest: &[&str]) -> Result<(), String> {
    let (set, how) = match (name, rest) {
        ("power", [how, set]) => (*set, std::slice::from_ref(how)),
        (_, [set, how @ ..]) => (*set, how),
        _ => return Err(format!("{name} SET")),
    };
    if name == "enroll" {
        list(site, set, how)?;
        let names = super::names::expand(set)?;
        site.commit("List new devices", &site.first_person());
        site.push()?;
        return site.enroll(&names);
    }
    let now = site.clock.now;
    for device in site.set(set)? {
        let target = site.views.devices.iter().find(|view| view.name == device).and_then(|view| view.target);
        let placed = &mut site.devices.get_mut(&device).expect("it is in the set").device;
        match (name, how) {
            ("fail", ["at", "its", "offer"]) => {
                let offer = site.store.offer(&device).ok_or_else(|| format!("{device} has no offer"))?;
                placed.fails(Some((offer.digest, Trouble::Probes)), now);
            }
            ("fail", how) => {
                let target = target.ok_or_else(|| format!("{device} has no target that it could fail at"))?;
                placed.fails(Some((target, trouble(how)?)), now);
            }
            ("heal", []) => placed.fails(None, now),
            ("ill", []) => placed.is_ill(true),
            ("well", []) => placed.is_ill(false),
            ("dark", []) | ("power", ["off"]) => placed.is_on = false,
            ("back", []) | ("power", ["on"]) => placed.comes_back(now),
            ("reimage", []) => placed.reimage(now),
            ("flap", ["every", span]) => {
                let span: bellwether_schemas::Seconds = span.parse().map_err(|_| format!("{span:?} is no span"))?;
                placed.flaps = Some(span.signed());
            }
            ("flap", ["no", "more"]) => {
                placed.flaps = None;
                placed.comes_back(now);
            }
            ("stray", [version]) => {
                let landing = u64::try_from(number(version)?).unwrap_or(0);
                let commit = CommitId::from_bytes(&[0xee; 20]).expect("20 bytes");
                let digest = Sha256Digest::of(b"something else");
                placed.runs(Claim { version: Version { landing, commit, revision: 0 }, template: commit, digest });
            }
            _ => return Err(format!("{name} is not used like this")),
        }
    }
    Ok(())
}

fn trouble(how: &[&str]) -> Result<Trouble, String> {
    Ok(match how {
        [] => Trouble::Probes,
        ["at", "once"] => Trouble::AtOnce,
        ["in", "soak"] => Trouble::Soak,
        ["by", "hanging"] => Trouble::Hangs,
        ["by", "dying"] => Trouble::Dies,
        ["at", "downloads"] => Trouble::Downloads,
        ["at", "connectivity"] => Trouble::Connectivity,
        ["at", "rollback", "too"] => Trouble::RollbackToo,
        _ => return Err(format!("nothing fails {how:?}")),
    })
}

/// What happens to the reconciler.
fn operate(site: &mut Site, name: &str, rest: &[&str]) -> Result<(), String> {
    match (name, rest) {
        ("stop", []) => {
            site.server = None;
            site.views = bellwether_reconciler::serve::Views { at: Some(site.clock.now), ..site.views.clone() };
            Ok(())
        }
        ("start", []) => {
            site.start()?;
            Ok(())
        }
        ("delete", ["database"]) => {
            site.database = Database::default();
            Ok(())
        }
        ("delete", ["store"]) => {
            site.store = Store::default();
            Ok(())
        }
        ("brake", ["off"]) => {
            site.local.holds.clear();
            brake(site)
        }
        ("brake", [fleet, reason]) => {
            let fleet = Some(*fleet).filter(|fleet| *fleet != "all").map(Site::fleet).transpose()?;
            site.local.holds.push(LocalHold { fleet, since: site.clock.now, reason: (*reason).to_owned() });
            brake(site)
        }
        _ => Err(format!("{name} is not used like this")),
    }
}

fn brake(site: &mut Site) -> Result<(), String> {
    let local = site.local.clone();
    if let Some(server) = &mut site.server {
        server.world.take_local_holds(local);
    }
    site.pass(Vec::new())
}
