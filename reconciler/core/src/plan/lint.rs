//! Holds each plan against the rules that no plan may break, before anybody acts on it.
//!
//! It goes by what git says, what is recorded and what devices report, and asks none of the code that makes plans: a mistake in
//! that must not hide here as well. A look costs what the plan does, not the size of the fleet; where debug assertions are on,
//! everything that is kept from one plan to the next is counted again, too.

use std::collections::BTreeMap;

use bellwether_schemas::manifest::{Gate, SkipStep};
use bellwether_schemas::report::Health;
use bellwether_schemas::{Sha256Digest, WaveName};

use super::act::{Acts, Grant};
use super::place::index;
use super::planner::{Planner, Stage};
use super::show::count;
use super::standing::Row;
use super::tally::{Count, Tally};
use super::timing::Contact;
use super::{Action, Landing, Span};

/// A rule that a plan breaks: nothing of it may be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsound(pub(super) String);

/// Looks at what a plan does, against how things stood before it.
pub(super) fn lint(planner: &Planner, before: &Stage, acts: &Acts) -> Result<(), Unsound> {
    if planner.is_frozen() {
        return holds(acts.actions.is_empty(), || "something is done although the history was rewound".to_owned());
    }
    waves(planner, before)?;
    advances(planner, before)?;
    actions(planner, acts)?;
    places(planner, &acts.grants)?;
    if cfg!(debug_assertions) { recount(planner) } else { Ok(()) }
}

/// Waves open one after the other, when their gates are open and nothing stops them, and stay open.
fn waves(planner: &Planner, before: &Stage) -> Result<(), Unsound> {
    let (record, terms) = (&planner.record, &planner.terms);
    let name = |place: usize| record.waves[place].name.clone();
    let open = record.waves.len();
    holds(open >= before.waves, || format!("{} waves were open, and now {open} are", before.waves))?;
    for (place, wave) in record.waves.iter().enumerate() {
        let is_its = record.rollout.waves.get(place).is_some_and(|declared| declared.name == wave.name);
        holds(is_its, || format!("wave {} is not the Rollout's wave {}", wave.name, place + 1))?;
        let is_in_order = wave.advanced_at.is_none_or(|at| wave.completed_at.is_some_and(|completed| completed <= at));
        holds(is_in_order, || format!("wave {} went on before it was complete", wave.name))?;
        holds(place + 1 == open || wave.advanced_at.is_some(), || format!("a wave opens while {} goes on", wave.name))?;
    }
    for place in before.waves..open {
        let wave = &record.rollout.waves[place];
        // What adds nobody is skipped with its gate; an emergency fix goes past it, with those who follow at once.
        if place > 0 && (planner.tallies[place].present == 0 || planner.is_passed(place)) {
            continue;
        }
        let stops = || terms.holds.first().map(|hold| hold.path.as_str());
        holds(stops().is_none(), || format!("wave {} opens in spite of {}", name(place), stops().unwrap_or_default()))?;
        let since = record.halted.as_ref().map(|halt| halt.at);
        let stays_halted = before.halted.as_ref().is_some_and(|halt| Some(halt.at) == since);
        holds(!stays_halted, || format!("wave {} opens in a halt", name(place)))?;
        let is_open = terms.decisions.opened.contains(&wave.name) || planner.skips(SkipStep::Gates);
        holds(wave.gate == Gate::Automatic || is_open, || format!("wave {} opens with its gate closed", name(place)))?;
        holds(place > 0 || planner.tallies[0].members > 0, || format!("wave {} opens without anybody", name(0)))?;
        holds(place > 0 || terms.unmet.is_empty(), || "it starts without what it needs".to_owned())?;
    }
    let is_same = record.stable == before.stable;
    let has_ended = open == planner.all_waves() && record.waves.iter().all(|wave| wave.advanced_at.is_some());
    holds(is_same || (record.is_complete() && has_ended), || "something else is stable, and waves go on".to_owned())
}

/// A wave is complete when its members came to their end, and goes on when enough of them are healthy, and stayed so for its
/// soak without a halt.
fn advances(planner: &Planner, before: &Stage) -> Result<(), Unsound> {
    let record = &planner.record;
    for (place, wave) in record.waves.iter().enumerate().skip(before.advanced) {
        // An emergency fix goes from the first wave, once it is healthy enough, to the last.
        let leaves_some = place + 1 < record.rollout.waves.len() && planner.skips(SkipStep::Waves);
        let was_complete = place + 1 == before.waves && before.completed_at.is_some();
        // A look costs what the plan does: members are looked at when something came of them.
        if wave.completed_at.is_some() && !was_complete && !leaves_some {
            ended(planner, place)?;
        }
        if wave.advanced_at.is_none() {
            continue;
        }
        let stays = |at| before.halted.as_ref().is_some_and(|halt| halt.at == at);
        let is_halted = record.halted.as_ref().is_some_and(|halt| {
            let of_wave = record.rollout.waves.iter().position(|wave| wave.name == halt.wave);
            stays(halt.at) || of_wave.is_some_and(|halted| halted <= place)
        });
        holds(!is_halted, || format!("wave {} goes on in a halt", wave.name))?;
        let adds_nobody = planner.tallies[place].present == 0 && record.rollout.waves[place].select.is_none();
        let is_skipped = place > 0 && (leaves_some || adds_nobody && place >= before.waves);
        if !is_skipped {
            is_healthy_enough(planner, place)?;
            has_soaked(planner, place)?;
        }
    }
    Ok(())
}

/// The members of the wave at `place`.
fn members(planner: &Planner, place: usize) -> impl Iterator<Item = &Row> {
    planner.rows.iter().map(|row| &**row).filter(move |row| row.note.wave == Some(place))
}

/// No member of the wave at `place` may still become healthy, or fail; who came late does not hold it.
fn ended(planner: &Planner, place: usize) -> Result<(), Unsound> {
    let is_done = |row: &Row| row.target().is_none() || row.note.failed.is_some() || is_healthy(planner, row);
    let at_work = members(planner, place).find(|row| !row.note.late && counts(planner, row) && !is_done(row));
    let wave = &planner.record.waves[place].name;
    at_work.map_or(Ok(()), |row| Err(Unsound(format!("wave {wave} is complete, and {} has not ended", row.device))))
}

/// As many members of the wave at `place` are healthy as must be. The first wave and one that names its devices need one.
fn is_healthy_enough(planner: &Planner, place: usize) -> Result<(), Unsound> {
    let rollout = &planner.record.rollout;
    let needed = rollout.min_healthy.max(u32::from(place == 0 || rollout.waves[place].select.is_some()));
    let healthy = members(planner, place).filter(|row| is_healthy(planner, row)).count();
    let wave = &rollout.waves[place].name;
    holds(count(healthy) >= u64::from(needed), || format!("wave {wave} goes on with {healthy} healthy of {needed}"))
}

/// Served time passed for the whole soak of the wave at `place`, and its members had time to report after a start.
fn has_soaked(planner: &Planner, place: usize) -> Result<(), Unsound> {
    let (record, timing) = (&planner.record, &planner.timing);
    let (wave, rollout) = (&record.waves[place], &record.rollout);
    let Some(completed) = wave.completed_at.filter(|_| !planner.skips(SkipStep::Soak)) else { return Ok(()) };
    let until = record.gaps.after(completed, rollout.waves[place].soak);
    let is_early = completed < timing.serving_since && timing.now < timing.grace_end();
    holds(timing.now >= until && !is_early, || format!("wave {} goes on before its soak is over", wave.name))?;
    // Whoever never comes to an end with its own soak is not waited for without end.
    let is_waited_for = timing.now < record.gaps.after(until, rollout.device_timeout);
    let soaks = |row: &&Row| is_waited_for && !row.note.late && row.observed.changing && is_healthy(planner, row);
    let soaks = members(planner, place).find(soaks);
    soaks.map_or(Ok(()), |row| Err(Unsound(format!("wave {} goes on, and {} still soaks", wave.name, row.device))))
}

/// Whether a member counts in its wave: it is there, and no pin keeps it.
fn counts(planner: &Planner, row: &Row) -> bool {
    row.observed.paused.is_none() && row.pin.is_none() && planner.timing.contact(&row.observed) == Contact::Live
}

fn is_healthy(planner: &Planner, row: &Row) -> bool {
    let runs = row.target().is_some_and(|target| row.observed.runs(target));
    runs && row.observed.health == Health::Healthy && counts(planner, row)
}

/// Nobody is offered what it may not run, or when it may not.
fn actions(planner: &Planner, acts: &Acts) -> Result<(), Unsound> {
    let in_order = acts.actions.windows(2).all(|pair| pair[0].0 < pair[1].0);
    holds(in_order, || "two things are done for one device".to_owned())?;
    let mut windows = BTreeMap::new();
    for (i, action) in &acts.actions {
        let row = &planner.rows[index(*i)];
        let is_let = match action {
            Action::Withdraw => Ok(()),
            Action::Offer { template, digest, window, .. } => may_begin(planner, row)
                .and_then(|()| may_run(planner, row, *template, *digest))
                .and_then(|()| is_time(planner, row, (*digest, *window), &mut windows)),
        };
        is_let.map_err(|breach| Unsound(format!("{} {breach}", row.device)))?;
    }
    Ok(())
}

type Breach = &'static str;

/// Whether a device may be offered anything.
fn may_begin(planner: &Planner, row: &Row) -> Result<(), Breach> {
    match planner.timing.contact(&row.observed) {
        _ if row.observed.paused.is_some() => Err("is offered something, and it is paused"),
        Contact::Silent | Contact::Stale => Err("is offered something, and it is silent"),
        Contact::Live if !planner.terms.holds.is_empty() => Err("is offered something in spite of a Hold"),
        Contact::Live => Ok(()),
    }
}

/// Whether it may run what it is offered.
fn may_run(planner: &Planner, row: &Row, template: Landing, digest: Sha256Digest) -> Result<(), Breach> {
    let record = &planner.record;
    if let Some(pin) = &row.pin {
        let is_pinned = pin.spec.as_ref().is_ok_and(|spec| (spec.template, spec.digest) == (template, digest));
        return if is_pinned { Ok(()) } else { Err("is offered something that its pin does not name") };
    }
    let halted = record.halted.as_ref();
    if template == record.target && row.target() == Some(digest) {
        let is_open = |wave| wave < record.waves.len() || (row.note.follows && planner.has_advanced(0));
        return match () {
            () if halted.is_some_and(|halt| halt.reverts) => Err("is offered what is rejected"),
            () if halted.is_some() => Err("is offered the target in a halt"),
            () if row.note.failed.is_some() => Err("is offered what failed on it"),
            () if record.is_complete() || row.note.wave.is_some_and(is_open) => Ok(()),
            () => Err("is offered the target, and its wave is not open"),
        };
    }
    let is_stable = Some(template) == record.stable && row.stable == Some(digest);
    let good = row.note.good.as_deref();
    let is_good = good.is_some_and(|good| (good.template, good.digest) == (template, digest));
    match halted {
        Some(halt) if halt.reverts && (is_stable || is_good) => Ok(()),
        None if is_stable => Ok(()),
        Some(halt) if !halt.reverts => Err("is offered something in a halt"),
        _ => Err("is offered what is neither its target nor its stable version"),
    }
}

/// Whether the windows let it begin; what it goes back to needs none.
fn is_time(
    planner: &Planner,
    row: &Row,
    (digest, span): (Sha256Digest, Span),
    windows: &mut BTreeMap<(Option<usize>, u32), bool>,
) -> Result<(), Breach> {
    let (now, is_target) = (planner.timing.now, row.target() == Some(digest) && row.pin.is_none());
    let goes_back = planner.record.is_rejected() && row.pin.is_none() && planner.was_reached(row);
    let is_free = goes_back || (is_target && (row.note.returns || planner.skips(SkipStep::Windows)));
    let wave = row.note.wave.filter(|_| is_target);
    let mut is_open =
        || *windows.entry((wave, row.zone)).or_insert_with(|| planner.clocks.is_open(wave, row.zone, now));
    match () {
        () if span.until.is_some_and(|until| until <= now) => Err("is offered something for a time that is over"),
        () if is_free || is_open() => Ok(()),
        () => Err("is offered something outside its windows"),
    }
}

/// No place is given out that is not there.
fn places(planner: &Planner, grants: &[Grant]) -> Result<(), Unsound> {
    let hastened = count(grants.iter().filter(|grant| grant.hastens && grant.in_flight).count());
    for grant in grants {
        let row = &planner.rows[index(grant.row)];
        let is_held = (row.holds || !grant.in_budget) && (row.flies || !grant.in_flight);
        holds(is_held, || format!("{} is offered something, and holds no place for it", row.device))?;
        let hastened = (grant.in_flight && !grant.hastens).then_some(hastened);
        let overdrawn = planner.slots.overdrawn(row, grant.in_budget, hastened);
        holds(overdrawn.is_none(), || {
            format!("{} is offered something, and {} has no place", row.device, overdrawn.unwrap_or_default())
        })?;
    }
    Ok(())
}

/// Counts again what is kept from one plan to the next, and looks whether what a Hold stops was withdrawn.
fn recount(planner: &Planner) -> Result<(), Unsound> {
    let mut tallies = vec![Tally::default(); planner.tallies.len()];
    let noted = planner.rows.iter().filter_map(|row| Some((row.note.wave?, Count::of(row))));
    let departed = planner.departed.iter().filter_map(|(_, note)| Some((note.wave?, Count::of_departed(note))));
    for (wave, count) in noted.chain(departed) {
        if let Some(tally) = tallies.get_mut(wave) {
            tally.add(count);
        }
    }
    let name = |place: usize| -> WaveName { planner.record.rollout.waves[place].name.clone() };
    for (place, (kept, counted)) in planner.tallies.iter().zip(&tallies).enumerate() {
        holds(kept == counted, || format!("wave {} has {counted:?}, and {kept:?} is kept", name(place)))?;
    }
    holds(planner.slots.are_held_by(&planner.rows), || "places are held by others than is kept".to_owned())?;
    let unbegun = |row: &Row| row.observed.outstanding().is_some_and(|offer| !row.observed.has_begun(offer));
    let left = planner.rows.iter().find(|row| unbegun(row) && row.observed.paused.is_none());
    let left = left.filter(|_| !planner.terms.holds.is_empty());
    match left {
        Some(row) => Err(Unsound(format!("{} keeps its offer in spite of a Hold", row.device))),
        None => Ok(()),
    }
}

fn holds(holds: bool, breach: impl FnOnce() -> String) -> Result<(), Unsound> {
    if holds { Ok(()) } else { Err(Unsound(breach())) }
}
