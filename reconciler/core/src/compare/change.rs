//! What becomes of the devices of one fleet.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bellwether_schemas::allow::{Allowed, NotAllowed};
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::spec::{DeviceSpec, SpecFile, TargetRef};
use bellwether_schemas::{FleetName, Sha256Digest};
use serde::Serialize;

use super::{Device, Sides, Targets};
use crate::declare::{Declared, Facts, FleetLine, TemplateAt};
use crate::objects::ObjectError;
use crate::render::{Content, Contents, RenderError, Rendered, render};

/// A fleet that changes.
#[derive(Debug, Clone)]
pub struct FleetChange<'d> {
    /// The fleet.
    pub fleet: FleetName,
    /// What becomes of it.
    pub fate: FleetFate,
    /// Its devices after the change: all of them where its target changes, else those that come.
    pub members: Vec<Member<'d>>,
    /// How many devices leave it.
    pub left: usize,
    /// Each distinct change of a spec, that of most devices first.
    pub variants: Vec<Variant>,
}

/// What becomes of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetFate {
    /// It is new.
    Comes,
    /// It is gone.
    Goes,
    /// It has another target.
    Changes,
    /// Its target is what it was; devices come or leave.
    Stays,
}

/// A device of a fleet that changes.
#[derive(Debug, Clone)]
pub struct Member<'d> {
    /// The device.
    pub device: &'d Device,
    /// The fleet that it comes from.
    pub from: Option<FleetName>,
    /// What becomes of what it runs.
    pub change: Change,
    /// Whether a pin says what it runs after the change: it takes no part in the rollout.
    pub is_pinned: bool,
    /// The first thing for which it would refuse the other spec that it gets, by what its operator allows, if that is known.
    pub refuses: Option<Arc<NotAllowed>>,
}

/// What becomes of what a device runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It runs the same.
    None(Sha256Digest),
    /// It gets another spec, or its first one.
    Spec {
        /// The digest before, if it had one.
        before: Option<Sha256Digest>,
        /// The digest after.
        after: Sha256Digest,
        /// The place of the change among the fleet's variants.
        variant: usize,
    },
    /// What it shall run cannot be rendered: it keeps what it runs.
    Unrendered(String),
}

/// One distinct change: the same for many devices, but for what is their own.
#[derive(Debug, Clone)]
pub struct Variant {
    /// How many devices get it.
    pub devices: usize,
    /// The device that stands for them.
    pub example: String,
    /// What of theirs is different in the changes of the others: `device` for names, else keys of labels.
    pub differs_by: BTreeSet<String>,
    /// What that device runs, if it runs anything.
    pub before: Option<Shown>,
    /// What it would run.
    pub after: Shown,
}

/// A spec, and where the contents are that it names.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The spec.
    pub spec: DeviceSpec,
    /// The contents of its targets.
    pub contents: Vec<(TargetRef, Content)>,
}

impl FleetChange<'_> {
    /// How many devices get another spec.
    pub fn changed(&self) -> usize {
        self.members.iter().filter(|member| matches!(member.change, Change::Spec { .. })).count()
    }

    /// The devices that get another spec by the rollout.
    pub fn rolled_out(&self) -> impl Iterator<Item = &Member<'_>> {
        self.members.iter().filter(|member| !member.is_pinned && matches!(member.change, Change::Spec { .. }))
    }

    /// Whether anything becomes of it.
    pub(super) fn is_any(&self) -> bool {
        self.fate != FleetFate::Stays || !self.members.is_empty() || self.left > 0
    }
}

/// Renders both sides.
pub(super) struct Painter<'a> {
    pub(super) sides: &'a Sides<'a>,
    pub(super) known: Targets,
}

impl Painter<'_> {
    pub(super) fn fleet<'d>(
        &mut self,
        fleet: &FleetName,
        members: &[(&'d Device, Option<&FleetName>)],
        left: usize,
    ) -> Result<Option<FleetChange<'d>>, ObjectError> {
        let (before, after) = (self.sides.before.fleets(), self.sides.after.declared().fleets());
        let fate = match (before.get(fleet), after.get(fleet)) {
            (None, None) => return Ok(None),
            (None, Some(_)) => FleetFate::Comes,
            (Some(_), None) => FleetFate::Goes,
            (Some(before), Some(after)) if before.target.landing == after.target.landing => FleetFate::Stays,
            (Some(_), Some(_)) => FleetFate::Changes,
        };
        let mut change = FleetChange { fleet: fleet.clone(), fate, members: Vec::new(), left, variants: Vec::new() };
        let Some(line) = after.get(fleet) else { return Ok(Some(change)) };
        let (mut variants, mut judged) = (Variants::default(), Judged::default());
        for (device, from) in members {
            let was = from.and_then(|from| before.get(from));
            let goals = (
                was.map(|was| self.goal(self.sides.before, was, device)),
                self.goal(self.sides.after.declared(), line, device),
            );
            let is_pinned = matches!(goals.1, Goal::Pinned(_));
            let (became, spec) = self.member(device, goals, &mut variants)?;
            let from = from.filter(|from| *from != fleet).cloned();
            let refuses = spec.and_then(|spec| judged.of(device, &spec));
            change.members.push(Member { device, from, change: became, is_pinned, refuses });
        }
        change.variants = variants.sorted(&mut change.members);
        Ok(Some(change))
    }

    /// What a member of a fleet runs on a side, or is on the way to.
    fn goal<'s>(&self, declared: &'s Declared, line: &'s FleetLine, device: &Device) -> Goal<'s> {
        let Some(commit) = declared.pin(&device.name) else { return Goal::Target(&line.target) };
        let fleet = &line.target.name;
        let template = match self.sides.history.number_of(&commit) {
            None => Err(format!("it is pinned to {}, which is not in the accepted history", commit.short())),
            Some(number) => {
                let template = declared.template_in_force(fleet, number);
                template
                    .map(|template| &**template)
                    .ok_or_else(|| format!("it is pinned to v{number}, and there was no fleet {fleet} then"))
            }
        };
        Goal::Pinned(template)
    }

    /// What becomes of what a device runs, and the other spec that it gets.
    fn member(
        &mut self,
        device: &Device,
        (was, is): (Option<Goal<'_>>, Goal<'_>),
        variants: &mut Variants,
    ) -> Result<(Change, Option<Rendered>), ObjectError> {
        let facts = device.facts(self.sides.after.declared().inventory());
        let after = match self.paint(is, device, &facts)? {
            Ok(after) => after,
            Err(why) => return Ok((Change::Unrendered(why), None)),
        };
        let facts_before = device.facts(self.sides.before.inventory());
        let before = was.map(|was| self.paint(was, device, &facts_before)).transpose()?.and_then(Result::ok);
        if before.as_ref().is_some_and(|before| before.digest == after.digest) {
            return Ok((Change::None(after.digest), None));
        }
        let variant = variants.of(before.as_ref(), &after, device, &facts);
        let change = Change::Spec { before: before.map(|before| before.digest), after: after.digest, variant };
        Ok((change, Some(after)))
    }

    fn paint(
        &mut self,
        goal: Goal<'_>,
        device: &Device,
        facts: &Facts,
    ) -> Result<Result<Rendered, String>, ObjectError> {
        let template = match goal {
            Goal::Target(template) | Goal::Pinned(Ok(template)) => template,
            Goal::Pinned(Err(why)) => return Ok(Err(why)),
        };
        let mut contents = Contents::new(self.sides.objects, &mut self.known);
        match render(template, &device.name, facts, &mut contents) {
            Ok(rendered) => Ok(Ok(rendered)),
            Err(RenderError::Object(error)) => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// Which template a device shall run.
enum Goal<'s> {
    /// The target of its fleet.
    Target(&'s TemplateAt),
    /// What its pin names, or why there is no such thing.
    Pinned(Result<&'s TemplateAt, String>),
}

/// What devices would refuse. Each spec is held against each allowlist once, as the devices do it.
#[derive(Default)]
struct Judged<'d> {
    by_spec: HashMap<(Sha256Digest, &'d Allowed), Option<Arc<NotAllowed>>>,
}

impl<'d> Judged<'d> {
    fn of(&mut self, device: &'d Device, spec: &Rendered) -> Option<Arc<NotAllowed>> {
        let allowed = device.allows.as_deref()?;
        let judge = || allowed.check(&read(spec)).err().map(Arc::new);
        self.by_spec.entry((spec.digest, allowed)).or_insert_with(judge).clone()
    }
}

/// The distinct changes of a fleet, as they are found.
#[derive(Default)]
struct Variants {
    found: Vec<Variant>,
    /// The labels of the example of each.
    labels: Vec<Labels>,
    by_digests: HashMap<(Option<Sha256Digest>, Sha256Digest), usize>,
    by_text: HashMap<String, usize>,
}

impl Variants {
    fn of(&mut self, before: Option<&Rendered>, after: &Rendered, device: &Device, facts: &Facts) -> usize {
        let digests = (before.map(|before| before.digest), after.digest);
        if let Some(known) = self.by_digests.get(&digests) {
            self.found[*known].devices += 1;
            return *known;
        }
        let (before, after) = (before.map(Shown::of), Shown::of(after));
        let differing = differing(before.as_ref(), &after);
        let (text, own) = impersonal(&differing, device, facts);
        let (found, labels) = (&mut self.found, &mut self.labels);
        let place = *self.by_text.entry(text).or_insert_with(|| {
            found.push(Variant {
                devices: 0,
                example: device.shown.clone(),
                differs_by: BTreeSet::new(),
                before,
                after,
            });
            labels.push(facts.labels.clone());
            found.len() - 1
        });
        // The first is not different from itself, nor is who has the same label.
        if self.found[place].devices > 0 {
            let of_example = &self.labels[place];
            let differs = |key: &String| key == DEVICE || of_example.get(key) != facts.labels.get(key);
            self.found[place].differs_by.extend(own.into_iter().filter(differs));
        }
        self.found[place].devices += 1;
        self.by_digests.insert(digests, place);
        place
    }

    /// That of most devices first; what members say of their places follows.
    fn sorted(self, members: &mut [Member<'_>]) -> Vec<Variant> {
        let mut order: Vec<usize> = (0..self.found.len()).collect();
        order.sort_by_key(|place| (std::cmp::Reverse(self.found[*place].devices), *place));
        let places: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        for member in members {
            if let Change::Spec { variant, .. } = &mut member.change {
                *variant = places[variant];
            }
        }
        let mut found: Vec<_> = self.found.into_iter().map(Some).collect();
        order.into_iter().filter_map(|place| found[place].take()).collect()
    }
}

impl Shown {
    fn of(rendered: &Rendered) -> Self {
        Self { spec: read(rendered), contents: rendered.targets.clone() }
    }
}

fn read(rendered: &Rendered) -> DeviceSpec {
    serde_json::from_slice(&rendered.canonical).expect("a rendered spec is one")
}

/// What differs between two specs, as text: what a template makes of a file with its content, for that has what is a device's
/// own in it.
fn differing(before: Option<&Shown>, after: &Shown) -> String {
    let parts = |shown: &Shown| -> BTreeMap<String, String> {
        let spec = &shown.spec;
        let file = |file: &SpecFile| {
            let made = shown.contents.iter().find_map(|(target, content)| match content {
                Content::Text(text) if file.source.as_ref() == Some(target) => Some(text.to_string()),
                _ => None,
            });
            let source = if made.is_some() { None } else { file.source };
            json(&SpecFile { content: made.or_else(|| file.content.clone()), source, ..file.clone() })
        };
        let files = spec.files.iter().map(|each| (format!("file {}", each.path), file(each)));
        let artifacts = spec.artifacts.iter().map(|artifact| (format!("artifact {}", artifact.name), json(artifact)));
        let probes = std::iter::once(("probes".to_owned(), json(&spec.probes)));
        files.chain(artifacts).chain(probes).collect()
    };
    let (before, after) = (before.map(parts).unwrap_or_default(), parts(after));
    let names = before.keys().chain(after.keys());
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let shown = |name: &String| format!("{name}: {:?} {:?}\n", before.get(name), after.get(name));
    let mut texts: Vec<_> = names.filter(differs).map(shown).collect();
    texts.sort();
    texts.dedup();
    texts.concat()
}

/// What stands for a device's name in [`Variant::differs_by`].
const DEVICE: &str = "device";

/// The same without what is the device's own: its name, and the values of its labels; and what of that is in it.
fn impersonal(text: &str, device: &Device, facts: &Facts) -> (String, Vec<String>) {
    /// Shorter values stand in much that has nothing to do with them.
    const SHORTEST: usize = 3;
    let mut own: Vec<(&str, &str)> = vec![(device.name.as_str(), DEVICE)];
    own.extend(facts.labels.iter().map(|(key, value)| (value.as_str(), key.as_str())));
    own.retain(|(value, _)| value.len() >= SHORTEST);
    own.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    let mut text = text.to_owned();
    let mut names = Vec::new();
    for (value, name) in own {
        if text.contains(value) {
            text = text.replace(value, &format!("{{{name}}}"));
            names.push(name.to_owned());
        }
    }
    (text, names)
}

fn json(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("parts of a spec are JSON")
}
