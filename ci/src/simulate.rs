//! `bellwether simulate`: what a change of a fleet would do, on a virtual clock and a virtual fleet.

mod commits;
mod options;
mod svg;
mod text;

use std::io::IsTerminal as _;

use bellwether_core::simulate::{
    self as core, Known, NotStaged, Outcome, RateOutcome, Scene, Stage, known_devices, virtual_devices,
};
use bellwether_schemas::api::{RolloutState, WaitingOn};
use bellwether_schemas::codes;

use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Form, Output, Paint};
use crate::repo::WorkingCopy;

use crate::span::{self, grouped};
use commits::Commits;
pub(crate) use options::SimulateArgs;
use text::Marks;

/// Devices that are made up, unless somebody says how many.
const DEVICES: u32 = 100;

pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let form = args.output;
    if args.sweep.is_some() && form == Form::Svg {
        return Err(Failure::new(codes::USAGE, "a sweep cannot be drawn, only one rollout can")
            .hint("Leave --sweep away, or print the sweep with --output text or json"));
    }
    let copy = WorkingCopy::discover(&args.repo)?;
    let commits = commits::read(&copy, args.from.as_deref(), &args.to, args.next)?;
    let Commits { objects, history, before, after } = &commits;
    let stage = Stage { objects, history, before: before.as_ref(), after, fleet: &args.fleet };
    if !after.fleets().contains_key(&args.fleet) {
        let there = after.fleets().keys().map(|fleet| fleet.as_str());
        let look = "Fleets are the files in fleets/, as they are committed: git ls-files fleets";
        return Err(not_staged(NotStaged::NoSuchFleet(args.fleet.clone())).hint(meant::hint(
            args.fleet.as_str(),
            there,
            look,
        )));
    }
    let devices = devices(args, &stage)?;
    let mut scene = stage.set(&devices, args.start, args.horizon).map_err(not_staged)?;
    scene.approvals = args.approve_after;
    if form == Form::Text {
        output::line(header(args, &scene, &devices));
    }
    match args.sweep {
        Some(runs) => {
            let rates = core::sweep(&scene, &args.faults(&scene.rollout), &core::rates(), runs, args.seed);
            tell_sweep(args, &scene, &rates, form.into());
            Ok(())
        }
        None => {
            let outcome = core::simulate(&scene, &args.faults(&scene.rollout), args.seed);
            tell(args, &scene, &outcome, form);
            finished(args, &outcome)
        }
    }
}

/// How a rollout ended, in a sentence.
pub(crate) fn in_a_sentence(outcome: &Outcome) -> String {
    text::summary(outcome, Paint::none()).lines().next().unwrap_or_default().to_owned()
}

fn devices(args: &SimulateArgs, stage: &Stage<'_>) -> Result<Vec<Known>, Failure> {
    match &args.inventory {
        Some(place) => {
            let listed = crate::inventory::read(place, args.ca.as_deref())?.into_iter();
            let known = listed.map(|device| Known {
                name: device.name,
                entry: device.entry,
                labels: device.labels,
                like: None,
            });
            Ok(known_devices(stage, known.collect()))
        }
        None => Ok(virtual_devices(stage, args.devices.unwrap_or(DEVICES))),
    }
}

fn not_staged(why: NotStaged) -> Failure {
    match &why {
        NotStaged::NoSuchFleet(_) => Failure::finding(codes::NO_SUCH_OBJECT, why.to_string()),
        NotStaged::NothingChanges { .. } => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string()),
        NotStaged::RolloutUnread(_) => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string())
            .hint("bellwether validate shows what is wrong with it"),
        NotStaged::NoDevices(_) => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string()).hint(
            "Devices get their labels in enrollments/ and devices/. Mint a token first (bellwether token mint), or give \
             devices: --inventory FILE",
        ),
        NotStaged::Object(error) => crate::repo::git("an object cannot be read", error),
    }
}

/// What rolls out to whom, and what is assumed.
fn header(args: &SimulateArgs, scene: &Scene<'_>, devices: &[Known]) -> String {
    let target = format!("v{} ({})", scene.target.number, scene.target.commit.short());
    let what = if args.next { format!("the next change after {target}") } else { target };
    let made_up = devices.iter().any(|device| device.like.is_some());
    let count = grouped(u64::try_from(devices.len()).unwrap_or(u64::MAX));
    let whom = if made_up {
        format!("{count} devices, made up with the labels that git gives to members")
    } else {
        format!("{count} devices of the inventory")
    };
    let fleet = Paint::stdout().bold(args.fleet.as_str());
    let mut lines = vec![format!("Fleet {fleet}: {what} rolls out from {} on\n", args.start)];
    let assumptions = std::iter::once(("devices", whom)).chain(args.assumptions(&scene.rollout));
    lines.extend(assumptions.map(|(name, text)| format!("  {name:<10}{text}")));
    lines.join("\n") + "\n"
}

fn tell(args: &SimulateArgs, scene: &Scene<'_>, outcome: &Outcome, form: Form) {
    match form {
        Form::Svg => output::line(svg::picture(outcome).trim_end()),
        Form::Text | Form::Sarif | Form::Github | Form::Gitlab | Form::Junit | Form::Markdown => {
            let marks = if std::io::stdout().is_terminal() { Marks::BLOCKS } else { Marks::ASCII };
            output::line(text::describe(outcome, marks, Paint::stdout()));
        }
        Form::Json => output::json(&serde_json::json!({
            "scene": described(args, scene), "outcome": outcome, "summary": text::summary(outcome, Paint::none()),
        })),
    }
}

fn tell_sweep(args: &SimulateArgs, scene: &Scene<'_>, rates: &[RateOutcome], output: Output) {
    match output {
        Output::Text => output::line(text::describe_sweep(rates)),
        Output::Json => output::json(&serde_json::json!({ "scene": described(args, scene), "sweep": rates })),
    }
}

/// The scene, for programs.
fn described(args: &SimulateArgs, scene: &Scene<'_>) -> serde_json::Value {
    let assumptions: serde_json::Map<String, serde_json::Value> =
        args.assumptions(&scene.rollout).into_iter().map(|(name, text)| (name.replace(' ', ""), text.into())).collect();
    serde_json::json!({
        "fleet": scene.fleet, "next": args.next, "head": scene.head, "target": scene.target,
        "from": scene.before.map(|before| before.head), "rollout": *scene.rollout, "devices": scene.devices.len(),
        "start": scene.start, "horizon": scene.horizon, "assumptions": assumptions,
    })
}

/// A finding is a rollout that neither ends nor stops and does not wait for people, and one that stops by itself.
fn finished(args: &SimulateArgs, outcome: &Outcome) -> Result<(), Failure> {
    let waits_for_people = matches!(outcome.reason, Some(WaitingOn::Gate { .. }));
    match outcome.state {
        RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected if args.assumes_nothing() => {
            let wave = outcome.halted_in.as_ref().map(|wave| format!(" in wave {wave}")).unwrap_or_default();
            let what = format!("the rollout halts{wave}, and nothing was assumed to fail");
            Err(Failure::finding(codes::SIMULATION_HALTED, what))
        }
        RolloutState::Complete | RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected => Ok(()),
        RolloutState::Waiting | RolloutState::Progressing if waits_for_people => Ok(()),
        RolloutState::Waiting | RolloutState::Progressing => {
            let took = span::after(outcome.start, outcome.end);
            Err(Failure::finding(codes::SIMULATION_UNFINISHED, format!("the rollout does not end within {took}")))
        }
    }
}
