//! `bellwether simulate`: what a change of a fleet would do, on a virtual clock and a virtual fleet.

mod cast;
mod commits;
mod markdown;
mod options;
mod svg;
mod text;

use std::io::IsTerminal as _;

use bellwether_core::simulate::{self as core, NotStaged, Outcome, RateOutcome, Scene, Stage};
use bellwether_schemas::api::{RolloutState, WaitingOn};
use bellwether_schemas::codes;

use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Form, Output, Paint};
use crate::repo::WorkingCopy;

use crate::span;
use cast::Cast;
use commits::Commits;
pub(crate) use options::SimulateArgs;
use text::Marks;

pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let form = args.output;
    if args.sweep.is_some() && matches!(form, Form::Svg | Form::Markdown) {
        let what = if form == Form::Svg { "be drawn" } else { "go into a comment" };
        return Err(Failure::new(codes::USAGE, format!("a sweep cannot {what}, only one rollout can"))
            .hint("Leave --sweep away, or print the sweep with --output text or json"));
    }
    let copy = WorkingCopy::discover(&args.repo)?;
    let commits = commits::read(&copy, args.from.as_deref(), &args.to, args.next)?;
    let Commits { objects, history, before, after } = &commits;
    let next = before.is_none();
    let stage = Stage { objects, history, before: before.as_ref(), after, fleet: &args.fleet };
    if !after.fleets().contains_key(&args.fleet) {
        let there = after.fleets().keys().map(|fleet| fleet.as_str());
        let look = "Fleets are the files in fleets/, as they are committed: git ls-files fleets";
        return Err(not_staged(NotStaged::NoSuchFleet(args.fleet.clone()), args).hint(meant::hint(
            args.fleet.as_str(),
            there,
            look,
        )));
    }
    let cast = Cast::of(args, &stage)?;
    let mut scene = stage.set(&cast.devices, args.start, args.horizon).map_err(|why| not_staged(why, args))?;
    scene.approvals = args.approve_after;
    let paint = if form == Form::Text { Paint::stdout() } else { Paint::none() };
    let header = header(args, &scene, &cast, next, paint);
    if form == Form::Text {
        output::line(&header);
    }
    match args.sweep {
        Some(runs) => {
            let rates = core::sweep(&scene, &args.faults(&scene.rollout), &core::rates(), runs, args.seed);
            tell_sweep(&described(args, &scene, next), &rates, form.into());
            Ok(())
        }
        None => {
            let outcome = core::simulate(&scene, &args.faults(&scene.rollout), args.seed);
            tell(&header, &described(args, &scene, next), &outcome, form);
            finished(args, &scene, &outcome)
        }
    }
}

/// How a rollout ended, in a sentence.
pub(crate) fn in_a_sentence(outcome: &Outcome) -> String {
    text::summary(outcome, Paint::none()).lines().next().unwrap_or_default().to_owned()
}

fn not_staged(why: NotStaged, args: &SimulateArgs) -> Failure {
    match &why {
        NotStaged::NoSuchFleet(_) => Failure::finding(codes::NO_SUCH_OBJECT, why.to_string()),
        NotStaged::NothingChanges { .. } => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string()).hint(format!(
            "Ask for its next change, whatever it is: bellwether simulate --fleet {} --next. Or name two landings between which it \
             changes: --from, --to",
            args.fleet
        )),
        NotStaged::RolloutUnread(_) => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string())
            .hint("bellwether validate shows what is wrong with it"),
        NotStaged::NoDevices(_) => Failure::finding(codes::NOTHING_TO_SIMULATE, why.to_string()).hint(match args.inventory {
            Some(_) => format!(
                "None of these devices has the labels that fleets/{}.yaml selects. With made-up ones: bellwether simulate \
                 --fleet {0} --next",
                args.fleet
            ),
            None => format!(
                "No labels would make a device one of this fleet alone: compare the selectors in fleets/ with {}",
                args.fleet.path()
            ),
        }),
        NotStaged::Object(error) => crate::repo::git("an object cannot be read", error),
    }
}

/// What rolls out to whom, and what is assumed.
fn header(args: &SimulateArgs, scene: &Scene<'_>, cast: &Cast, next: bool, paint: Paint) -> String {
    let target = format!("v{} ({})", scene.target.number, scene.target.commit.short());
    let what = match (next, args.next) {
        (false, _) => target,
        (true, true) => format!("the next change after {target}"),
        (true, false) => format!("the next change after {target}, before which nothing landed,"),
    };
    let fleet = paint.bold(args.fleet.as_str());
    let mut lines = vec![format!("Fleet {fleet}: {what} rolls out from {} on\n", args.start)];
    let assumptions = std::iter::once(("devices", cast.described())).chain(args.assumptions(&scene.rollout));
    lines.extend(assumptions.map(|(name, text)| format!("  {name:<10}{text}")));
    lines.join("\n") + "\n"
}

fn tell(header: &str, scene: &serde_json::Value, outcome: &Outcome, form: Form) {
    match form {
        Form::Svg => output::line(svg::picture(outcome).trim_end()),
        Form::Markdown => {
            output::line(markdown::fold(header, outcome).trim_end());
        }
        Form::Text | Form::Sarif | Form::Github | Form::Gitlab | Form::Junit => {
            let marks = if std::io::stdout().is_terminal() { Marks::BLOCKS } else { Marks::ASCII };
            output::line(text::describe(outcome, marks, Paint::stdout()));
        }
        Form::Json => output::json(&serde_json::json!({
            "scene": scene, "outcome": outcome, "summary": text::summary(outcome, Paint::none()),
        })),
    }
}

fn tell_sweep(scene: &serde_json::Value, rates: &[RateOutcome], output: Output) {
    match output {
        Output::Text => output::line(text::describe_sweep(rates)),
        Output::Json => output::json(&serde_json::json!({ "scene": scene, "sweep": rates })),
    }
}

/// The scene, for programs.
fn described(args: &SimulateArgs, scene: &Scene<'_>, next: bool) -> serde_json::Value {
    let assumptions: serde_json::Map<String, serde_json::Value> =
        args.assumptions(&scene.rollout).into_iter().map(|(name, text)| (name.replace(' ', ""), text.into())).collect();
    serde_json::json!({
        "fleet": scene.fleet, "next": next, "head": scene.head, "target": scene.target,
        "from": scene.before.map(|before| before.head), "rollout": *scene.rollout, "devices": scene.devices.len(),
        "start": scene.start, "horizon": scene.horizon, "assumptions": assumptions,
    })
}

/// A finding is a rollout that neither ends nor stops and does not wait for people, and one that stops by itself.
fn finished(args: &SimulateArgs, scene: &Scene<'_>, outcome: &Outcome) -> Result<(), Failure> {
    let waits_for_people = matches!(outcome.reason, Some(WaitingOn::Gate { .. } | WaitingOn::Held { .. }));
    match outcome.state {
        RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected if args.assumes_nothing() => {
            let wave = outcome.halted_in.as_ref().map(|wave| format!(" in wave {wave}")).unwrap_or_default();
            let what = format!("the rollout halts{wave}, and nothing was assumed to fail");
            Err(Failure::finding(codes::SIMULATION_HALTED, what))
        }
        RolloutState::Complete | RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected => Ok(()),
        RolloutState::Waiting | RolloutState::Progressing if waits_for_people => Ok(()),
        RolloutState::Waiting | RolloutState::Progressing => Err(unfinished(args, scene, outcome)),
    }
}

fn unfinished(args: &SimulateArgs, scene: &Scene<'_>, outcome: &Outcome) -> Failure {
    let took = span::after(outcome.start, outcome.end);
    if let Some(wave) = text::never_passed(outcome) {
        let what = format!("the rollout does not end: wave {} selects nobody ({})", wave.name, codes::EMPTY_WAVE);
        return Failure::finding(codes::SIMULATION_UNFINISHED, what).hint(format!(
            "Give a device the labels that wave {} selects, or change the wave in rollouts/{}.yaml.",
            wave.name, args.fleet
        ));
    }
    let failure = Failure::finding(codes::SIMULATION_UNFINISHED, format!("the rollout does not end within {took}"));
    match outcome.end < scene.end() {
        // What waits for nothing that a clock brings is not over later.
        true => failure.hint("Nothing more happens after that, however long it waits: mend what it waits for."),
        false => failure,
    }
}
