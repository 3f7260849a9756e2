//! A simulation, and a sweep, as text.

use bellwether_core::plan::{moment, sentence};
use bellwether_core::simulate::{Moment, MomentKind, Outcome, RateOutcome, WaveOutcome};
use bellwether_schemas::api::{RolloutState, WaitingOn};
use jiff::Timestamp;

use crate::get::{printable, table};
use crate::output::Paint;
use crate::span::{after, grouped, spoken};

/// How wide bars are.
const WIDTH: i64 = 50;

/// What bars are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    waits: char,
    rolls: char,
    soaks: char,
}

impl Marks {
    /// For a terminal.
    pub(super) const BLOCKS: Self = Self { waits: '░', rolls: '█', soaks: '▒' };
    /// For everything else.
    pub(super) const ASCII: Self = Self { waits: '?', rolls: '#', soaks: '~' };
}

/// The waves with their bars, what happened, and a summary.
pub(super) fn describe(outcome: &Outcome, marks: Marks, paint: Paint) -> String {
    let span = outcome.end.duration_since(outcome.start).as_secs().max(1);
    let mut waves = table(&["WAVE", "DEVICES", "HEALTHY", "FAILED", "HARMED", &format!("0 TO {}", spoken(span))]);
    for wave in &outcome.waves {
        waves.add_row([
            wave.name.to_string(),
            grouped(wave.members),
            grouped(wave.healthy),
            grouped(wave.failed),
            grouped(wave.harmed),
            format!("|{}|", bar(outcome, wave, marks)),
        ]);
    }
    let mut moments = table(&["AFTER", "AT", "WHAT"]);
    for moment in &outcome.moments {
        moments.add_row(told(outcome, moment));
    }
    let legend =
        format!("{} offered and applied, {} soaks, {} waits for an approval", marks.rolls, marks.soaks, marks.waits);
    let (waves, moments) = (trimmed(&waves.to_string()), trimmed(&moments.to_string()));
    format!("{waves}\n  {legend}\n\n{moments}\n\n{}", summary(outcome, paint))
}

/// A table without the spaces that fill its last column.
fn trimmed(table: &str) -> String {
    table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn bar(outcome: &Outcome, wave: &WaveOutcome, marks: Marks) -> String {
    let span = outcome.end.duration_since(outcome.start).as_secs().max(1);
    let at = |column: i64| outcome.start + jiff::SignedDuration::from_secs(span * column / WIDTH);
    let reaches = |moment: Option<Timestamp>, column| moment.is_some_and(|moment| moment < at(column + 1));
    let mark = |column: i64| match wave {
        wave if wave.advanced_at.is_some_and(|end| end <= at(column)) => ' ',
        wave if reaches(wave.completed_at, column) && wave.soak.get() > 0 => marks.soaks,
        wave if reaches(wave.opened_at, column) => marks.rolls,
        wave if reaches(wave.gate_reached_at, column) => marks.waits,
        _ => ' ',
    };
    (0..WIDTH).map(mark).collect()
}

fn told(outcome: &Outcome, happened: &Moment) -> [String; 3] {
    let wave = happened.wave.as_ref().map_or("", |wave| wave.as_str());
    let detail = happened.detail.as_deref().map(printable).unwrap_or_default();
    let what = match happened.what {
        MomentKind::Lands => "the change lands".to_owned(),
        MomentKind::WaveCompletes => format!("every device of wave {wave} is done; it soaks"),
        MomentKind::WaveAdvances => format!("the soak of wave {wave} is over"),
        MomentKind::GateReached => format!("wave {wave} waits for an approval"),
        MomentKind::GateOpens => format!("somebody approves wave {wave}"),
        MomentKind::WaveSkipped => format!("wave {wave} is passed over: it adds no device"),
        MomentKind::WaveOpens => format!("wave {wave} opens"),
        MomentKind::WindowOpens => format!("a window of wave {wave} opens ({detail})"),
        MomentKind::Halts => format!("the rollout halts in wave {wave}: {detail}"),
        MomentKind::HaltEnds => "the halt ends: the devices are back".to_owned(),
        MomentKind::Completes => "the rollout is complete".to_owned(),
        MomentKind::Ends => "the simulation ends: nothing more happens".to_owned(),
    };
    [after(outcome.start, happened.at), moment(&happened.at), what]
}

/// What came of it, in sentences.
pub(super) fn summary(outcome: &Outcome, paint: Paint) -> String {
    let took = |at: Timestamp| after(outcome.start, at);
    let state = match (outcome.state, outcome.completed_at) {
        (RolloutState::Complete, Some(at)) => paint.green(&format!("The rollout is complete after {}.", took(at))),
        (state, _) => {
            let reason = outcome.reason.as_ref().map(|reason| printable(&sentence(reason))).unwrap_or_default();
            let text = match (state, &outcome.halted_in) {
                (RolloutState::Halted | RolloutState::Reverting | RolloutState::Rejected, Some(wave)) => {
                    format!("It stops in wave {wave}. {reason}")
                }
                _ => match never_passed(outcome) {
                    Some(wave) => format!("It does not end. {}", nobody_in(wave, outcome)),
                    None if is_held(outcome) => format!("It does not go on. {reason}"),
                    None => format!("It does not end within {}. {reason}", took(outcome.end)),
                },
            };
            paint.red(&text)
        }
    };
    let (all, tried, harmed) = (grouped(outcome.devices), grouped(outcome.tried), grouped(outcome.harmed));
    let worst = match outcome.worst.at {
        Some(at) => format!(
            " At worst {} were unavailable at once, {} after the start.",
            grouped(outcome.worst.unavailable),
            took(at)
        ),
        None => String::new(),
    };
    let unnoticed = match outcome.unnoticed {
        0 => String::new(),
        some => paint
            .yellow(&format!("\n{} of them began to fail after their soak, and nobody looks any more.", grouped(some))),
    };
    format!("{state}\n{tried} of {all} devices tried it, and it failed on {harmed}.{worst}{unnoticed}")
}

/// Whether people stopped it, and so no clock lets it go on.
pub(super) const fn is_held(outcome: &Outcome) -> bool {
    matches!(outcome.reason, Some(WaitingOn::Held { .. }))
}

/// The wave that the rollout waits for, and that takes none of the devices: however long it waits.
pub(super) fn never_passed(outcome: &Outcome) -> Option<&WaveOutcome> {
    let Some(WaitingOn::EmptyWave { wave }) = &outcome.reason else { return None };
    outcome.waves.iter().find(|known| known.name == *wave && known.members == 0)
}

/// What is said of such a wave.
pub(super) fn nobody_in(wave: &WaveOutcome, outcome: &Outcome) -> String {
    let of = match outcome.devices {
        1 => "the one device is not in it".to_owned(),
        devices => format!("none of the {} devices is in it", grouped(devices)),
    };
    format!("Wave {} selects nobody: {of}, and such a wave is never passed.", wave.name)
}

/// The table of a sweep, and what it says.
pub(super) fn describe_sweep(rates: &[RateOutcome]) -> String {
    let mut rows = table(&[
        "FAILS ON",
        "RUNS",
        "COMPLETE",
        "HALTS",
        "IN WAVE",
        "HARMED: MEDIAN",
        "95 %",
        "WORST",
        "TAKES (MEDIAN)",
    ]);
    for rate in rates {
        let waves: Vec<String> = rate
            .halted_in
            .iter()
            .filter(|halted| halted.runs > 0)
            .map(|halted| format!("{} {}", halted.wave, grouped(halted.runs)))
            .collect();
        let takes = if rate.completed > 0 {
            spoken(i64::try_from(rate.seconds.median).unwrap_or(i64::MAX))
        } else {
            "-".to_owned()
        };
        rows.add_row([
            rate.failure_rate.to_string(),
            grouped(rate.runs),
            grouped(rate.completed),
            grouped(rate.halted),
            if waves.is_empty() { "-".to_owned() } else { waves.join(", ") },
            grouped(rate.harmed.median),
            grouped(rate.harmed.p95),
            grouped(rate.harmed.worst),
            takes,
        ]);
    }
    let said = rates.iter().map(|rate| {
        format!(
            "Of {} runs in which it fails on {} of the devices, {} halt, {} reach devices beyond the first wave, and {} harm at most {} devices.",
            grouped(rate.runs),
            rate.failure_rate,
            grouped(rate.halted),
            grouped(rate.beyond_first_wave),
            "95 of 100",
            grouped(rate.harmed.p95)
        )
    });
    format!("{}\n\n{}", trimmed(&rows.to_string()), said.collect::<Vec<_>>().join("\n"))
}
