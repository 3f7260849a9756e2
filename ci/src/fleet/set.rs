//! `bellwether fleet set`: changes single fields of a fleet's manifest.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::{FleetName, codes, yaml};
use clap::Args;

use super::artifact;
use super::meant;
use super::place::{self, Assignment, Found, Place};
use super::value::{Meant, Scalar, is_no_text, is_plain};
use crate::decision::{self, ChangeOptions, Decided};
use crate::failure::Failure;
use crate::meant::hint;
use crate::output::Output;
use crate::repo::{Edit, WorkingCopy};
use crate::yaml_edit::{self, Document, Shape, Step, Written};

const EXAMPLES: &str = "Examples:
  bellwether fleet set edge vars.greeting=\"Good morning\" --commit && git push
  bellwether fleet set edge 'artifacts[name=firmware].source.path=artifacts/fw-2.tar.zst'   (and its sha256 and length)
  bellwether fleet set edge 'files[path=/opt/app/app.conf].mode=0600' 'probes[0].attempts=5' --reason \"slow disks\" --commit
  bellwether fleet set edge --unset vars.greeting --commit         (the field goes; so does an item, and with the last its list)
  bellwether fleet set device.kiosk-7 vars.greeting=Hi --commit     (a device that is a fleet of its own)

PATH begins at spec.template if its first field is files, artifacts or probes (or one that is not supported yet), else at
spec. [0] is the first item of a list, [name=app] the one whose name is so; a key with a dot stands in quotes:
'selector.matchLabels.\"example.com/site\"=kiel'. A field that is not there yet is added to the fields beside it.

VALUE is text, and gets the quotes of YAML where it needs them. What looks like a number, true, false or null is that, unless
the field holds text now or takes only text; 'vars.port=\"8080\"' is text anyhow. Lists and maps are edited by hand.

A new source.path of an artifact brings its sha256 and length along, from the file in the working copy, unless they are set
too. Nothing is written if the manifest would not be valid.";

/// Options of `fleet set`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SetArgs {
    /// The fleet
    fleet: FleetName,
    /// What to set: a field, and what it shall hold
    #[arg(value_name = "PATH=VALUE", required_unless_present = "unset")]
    assignments: Vec<Assignment>,
    /// Remove a field or an item of a list, before anything is set; may be repeated
    #[arg(long, value_name = "PATH")]
    unset: Vec<Place>,
    /// Why, for whoever reads it later: it stands in the commit's message
    #[arg(long)]
    reason: Option<String>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(args: &SetArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    decision::check_fleet(&copy, &args.fleet)?;
    let path = args.fleet.path();
    let before = copy.read(&path)?.expect("a fleet that was found has a manifest");
    let text = std::str::from_utf8(&before).map_err(|_| layout(&path, "the file is not UTF-8"))?;
    let after = changed(&copy, args, text)?;
    if after.as_bytes() == before {
        return Err(Failure::finding(codes::ALREADY_THERE, format!("{path} says all of that already"))
            .hint("If it is not in force, it is not committed, not pushed, or not accepted: bellwether trust check"));
    }
    artifact::require_committed(&copy, &args.assignments, args.change.commits(), output)?;
    let edit = Edit { path, before: Some(before), after: Some(after.into_bytes()) };
    let decided = Decided { edits: &[edit], summary: &summary(args), found: None };
    decision::change(&copy, &decided, &args.change, output)
}

/// The changed text.
fn changed(copy: &WorkingCopy, args: &SetArgs, text: &str) -> Result<String, Failure> {
    read_best(copy, args, &args.assignments, text).map_err(|refused| match refused {
        Refused::Impossible(failure) => failure,
        Refused::Invalid { failure, problems } => {
            let meant = others(copy, args, text, problems);
            failure.hint(match meant.as_slice() {
                [] => "Set it otherwise; bellwether fleet set --help says how values are read. Lists and maps as a whole are \
                       edited by hand."
                    .to_owned(),
                meant => format!("Did you mean {}? bellwether fleet set --help says how values are read.", meant.join(" ")),
            })
        }
    })
}

/// What was probably meant, of values that make the manifest have so many problems: in each case fewer come of it.
fn others(copy: &WorkingCopy, args: &SetArgs, text: &str, problems: usize) -> Vec<String> {
    let fewer = |at: usize, value: &String| {
        let mut assignments = args.assignments.clone();
        assignments[at].value.clone_from(value);
        match read_best(copy, args, &assignments, text) {
            Ok(_) => true,
            Err(Refused::Invalid { problems: left, .. }) => left < problems,
            Err(Refused::Impossible(_)) => false,
        }
    };
    let meant = args.assignments.iter().enumerate().filter_map(|(at, set)| {
        let other = meant::others(&set.value).into_iter().find(|value| fewer(at, value))?;
        Some(format!("'{}={other}'", set.place))
    });
    meant.collect()
}

/// The changed text, each new field read so that it can be.
fn read_best(copy: &WorkingCopy, args: &SetArgs, assignments: &[Assignment], text: &str) -> Result<String, Refused> {
    let wanted = |texts: &BTreeSet<usize>| valid(copy, args, assignments, text, texts);
    let mut texts = BTreeSet::new();
    let mut best = wanted(&texts);
    // A new field may take text only: 644 of a mode, 3 of a label.
    for (at, _) in assignments.iter().enumerate().filter(|(_, set)| is_no_text(&set.value)) {
        let Err(Refused::Invalid { problems: before, .. }) = &best else { break };
        texts.insert(at);
        let other = wanted(&texts);
        if matches!(&other, Err(Refused::Invalid { problems, .. }) if problems >= before) {
            texts.remove(&at);
        } else {
            best = other;
        }
    }
    best
}

/// Why a change was not made.
enum Refused {
    /// It cannot be.
    Impossible(Failure),
    /// What it makes is no valid manifest.
    Invalid { failure: Failure, problems: usize },
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Impossible(failure)
    }
}

/// The changed text, if it is a valid manifest that says what was meant; the new fields of `texts` hold text.
fn valid(
    copy: &WorkingCopy,
    args: &SetArgs,
    assignments: &[Assignment],
    text: &str,
    texts: &BTreeSet<usize>,
) -> Result<String, Refused> {
    let path = args.fleet.path();
    let mut change = Change::of(path.clone(), text)?;
    args.unset.iter().try_for_each(|place| change.unset(place))?;
    for (at, set) in assignments.iter().enumerate() {
        let new = if texts.contains(&at) { Meant::Text } else { Meant::AsItLooks };
        change.set(&set.place, &set.value, new)?;
    }
    let explicit: BTreeSet<_> = assignments.iter().map(|set| change.whole(&set.place)).collect();
    for fact in artifact::facts(assignments) {
        if !explicit.contains(&change.whole(&fact.place)) {
            change.set(&fact.place, &fact.value(copy)?, Meant::AsItLooks)?;
        }
    }
    let after = change.finish()?;
    match yaml::parse(&path, after.as_bytes()) {
        Ok(AnyManifest::Fleet(_) | AnyManifest::Device(_)) => Ok(after),
        Ok(_) => Err(Failure::finding(codes::WRONG_KIND, format!("{path} is no Fleet")).into()),
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let message = format!("{path} would not be valid, so it stays as it is:\n{}", list.join("\n"));
            let code = problems.first().map_or(codes::WRONG_VALUE, |problem| problem.code);
            Err(Refused::Invalid { failure: Failure::finding(code, message), problems: problems.len() })
        }
    }
}

/// A manifest that is being changed, in its text and in what it says at once.
struct Change {
    path: String,
    document: Document,
    shape: Shape,
}

impl Change {
    fn of(path: String, text: &str) -> Result<Self, Failure> {
        let document = Document::read(text).map_err(|why| layout(&path, &why))?;
        let shape = document.shape();
        Ok(Self { path, document, shape })
    }

    /// Sets a value, which of a new field is meant as `new` says.
    fn set(&mut self, place: &Place, value: &str, new: Meant) -> Result<(), Failure> {
        let found = place.find(&self.shape);
        if found.is_whole() {
            return self.replace(place, &found.steps, value);
        }
        let keys = found.lacking_keys().filter(|keys| keys.len() == 1 || place.is_free());
        let (Some(keys), Some(Shape::Map(entries))) = (keys, self.shape.at_mut(&found.steps)) else {
            return Err(self.not_there(place, &found));
        };
        let Scalar { written, text, plain } = Scalar::new(value, None, new);
        let (entry, said) = nested(&keys, &written, Shape::Scalar { text, plain });
        entries.push(said);
        self.document.push_entry(&found.steps, &entry).map_err(|why| layout(&self.path, &why))
    }

    fn replace(&mut self, place: &Place, steps: &[Step<'_>], value: &str) -> Result<(), Failure> {
        let (Some(style), Some(said)) = (self.document.style(steps), self.shape.at_mut(steps)) else {
            let message = format!("{place} holds more than a single value");
            return Err(Failure::finding(codes::WRONG_VALUE, message).hint(format!(
                "Name a field inside it. It has: {}. Lists and maps as a whole are edited by hand.",
                inside(self.shape.at(steps))
            )));
        };
        let meant = if holds_text(said) { Meant::Text } else { Meant::AsItLooks };
        let Scalar { written, text, plain } = Scalar::new(value, Some(style), meant);
        let new = Shape::Scalar { text, plain };
        if *said == new {
            return Ok(());
        }
        *said = new;
        self.document.replace(steps, &written).map_err(|why| layout(&self.path, &why))
    }

    fn unset(&mut self, place: &Place) -> Result<(), Failure> {
        let found = place.find(&self.shape);
        let (true, Some((last, parent))) = (found.is_whole(), found.steps.split_last()) else {
            return Err(self.not_there(place, &found));
        };
        let is_last = matches!(self.shape.at(parent), Some(Shape::List(items)) if items.len() == 1);
        // An empty list says what no list says, but in vars, where a template may go through it.
        let (last, parent) = match parent.split_last() {
            Some((list @ Step::Key(_), above)) if is_last && !place.is_free() => (list, above),
            _ => (last, parent),
        };
        let removed = match (last, self.shape.at_mut(parent)) {
            (Step::Key(key), Some(Shape::Map(entries))) => {
                entries.retain(|(name, _)| name != key);
                self.document.remove_entry(parent, key)
            }
            (Step::Item(at), Some(Shape::List(items))) => {
                items.remove(*at);
                self.document.remove_item(parent, *at)
            }
            _ => Err(format!("{place} cannot be removed")),
        };
        removed.map_err(|why| layout(&self.path, &why))
    }

    /// A place with the numbers of items instead of what they are found by.
    fn whole(&self, place: &Place) -> String {
        yaml_edit::shown(&place.find(&self.shape).steps)
    }

    fn finish(self) -> Result<String, Failure> {
        if self.document.shape() != self.shape {
            return Err(layout(&self.path, "the changed lines would not be read as they are meant"));
        }
        Ok(self.document.text().to_owned())
    }

    fn not_there(&self, place: &Place, found: &Found<'_>) -> Failure {
        let there = place.shown(found.steps.len());
        let nearest = if there.is_empty() { "nothing of it is".to_owned() } else { format!("{there} is") };
        let message = format!("{} has no {place}: as far as {nearest} there", self.path);
        let shape = self.shape.at(&found.steps);
        let names = shape.map(place::next).unwrap_or_default();
        let look = format!("{there} has: {}", inside(shape));
        Failure::finding(codes::NO_SUCH_OBJECT, message).hint(hint(
            &found.first_lacking(),
            names.iter().map(String::as_str),
            look,
        ))
    }
}

/// What is in a value, for a message.
fn inside(shape: Option<&Shape>) -> String {
    const SHOWN: usize = 20;
    let names = shape.map(place::next).unwrap_or_default();
    let more = if names.len() > SHOWN { " and more" } else { "" };
    match names.as_slice() {
        [] => "nothing inside".to_owned(),
        names => names[..names.len().min(SHOWN)].join(", ") + more,
    }
}

/// Whether a scalar is text, as against a number, a truth value or nothing.
fn holds_text(shape: &Shape) -> bool {
    match shape {
        Shape::Scalar { text, plain } => !plain || !(text.is_empty() || text == "~" || is_no_text(text)),
        Shape::List(_) | Shape::Map(_) => false,
    }
}

/// The entry of a map that has the value below `keys`, as text and as what it says.
fn nested(keys: &[&str], written: &str, value: Shape) -> (Written, (String, Shape)) {
    let name = |key: &str| if is_plain(key) { key.to_owned() } else { serde_json::Value::from(key).to_string() };
    let (last, above) = keys.split_last().expect("a field that is lacking has a name");
    let mut entry = Written::line(format!("{}: {written}", name(last)));
    let mut said = ((*last).to_owned(), value);
    for key in above.iter().rev() {
        let lines = entry.block.iter().map(|line| format!("  {line}"));
        let block = std::iter::once(format!("{}:", name(key))).chain(lines).collect();
        entry = Written { flow: format!("{}: {{{}}}", name(key), entry.flow), block };
        said = ((*key).to_owned(), Shape::Map(vec![said]));
    }
    (entry, said)
}

fn summary(args: &SetArgs) -> String {
    let fleet = &args.fleet;
    let set: Vec<_> = args.assignments.iter().map(|set| set.place.to_string()).collect();
    let unset: Vec<_> = args.unset.iter().map(ToString::to_string).collect();
    let title = match (set.as_slice(), unset.as_slice()) {
        ([one], []) => format!("Set {one} of {fleet}"),
        ([], [one]) => format!("Unset {one} of {fleet}"),
        _ => format!("Change {} fields of {fleet}", set.len() + unset.len()),
    };
    let list = match set.len() + unset.len() {
        1 => String::new(),
        _ => {
            let lines = set.iter().map(|place| format!("- set {place}\n"));
            lines.chain(unset.iter().map(|place| format!("- unset {place}\n"))).collect()
        }
    };
    let parts = [title.as_str(), args.reason.as_deref().unwrap_or_default(), &list];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn layout(path: &str, why: &str) -> Failure {
    Failure::finding(codes::LAYOUT, format!("{path}: {why}"))
}
