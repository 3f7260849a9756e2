//! Scenarios: scripts with golden output that drive the reconciler's verification, classification, planning and rendering
//! without I/O. Together they are the manual of rollouts (`docs/rollouts.md`).
//!
//! In: the text of a scenario. Out: the same text, with what its commands print now. All of it is deterministic.

mod check;
mod clock;
mod command;
mod device;
mod git;
pub mod manual;
mod names;
pub mod script;
mod server;
mod show;
mod site;
mod truth;

use script::{Item, Script, Step};
use site::Site;

/// Runs a scenario, and returns it with what it prints.
///
/// # Errors
/// The line of the command that fails, and why.
pub fn run(script: &Script) -> Result<Script, String> {
    let mut site = Site::new();
    let mut ran = script.clone();
    let is_known = script.finding.is_some();
    let mut steps: Vec<&mut Step> = ran.items.iter_mut().filter_map(Item::step).collect();
    let last = steps.len().saturating_sub(1);
    for (i, step) in steps.iter_mut().enumerate() {
        step.output.clear();
        let done = command::run(&mut site, step).and_then(|output| {
            step.output = output;
            if i == last { site.plan_anew() } else { Ok(()) }
        });
        match done {
            Ok(()) => {}
            // What is known to be wrong is shown.
            Err(why) if is_known => {
                site.log.flush(&site.clock, &site.git);
                step.output.extend(site.log.take());
                step.output.push(format!("!! {}", show::retell(&why, &site.clock, &site.git)));
            }
            Err(why) => return Err(format!("{}: {why}", step.line)),
        }
    }
    Ok(ran)
}
