//! `bellwether trust show`: the policy that judges the next landing, so that people can read it.

use std::path::PathBuf;

use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::manifest::TrustPolicy;
use bellwether_schemas::{CommitId, codes};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::change::{joined, parse};
use super::keys;
use crate::failure::Failure;
use crate::get::printable;
use crate::output::{self, Output, Paint};
use crate::repo::WorkingCopy;

const EXAMPLES: &str = "Examples:
  bellwether trust show                       (as the newest commit has it)
  bellwether trust show --at origin/main      (what is in force on the server)
  bellwether trust show --output json         (for programs)";

/// Long enough to renew a policy without haste.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Options of `trust show`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowArgs {
    /// The commit whose policy is shown
    #[arg(long, default_value = "HEAD", value_name = "COMMIT")]
    at: String,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
}

pub(crate) fn run(args: &ShowArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let at = copy.resolve("--at", &args.at)?;
    let text = copy.committed(Some(gix::ObjectId::from_bytes_or_panic(at.as_bytes())), POLICY_PATH)?;
    let text = text.ok_or_else(|| {
        Failure::finding(codes::NOT_A_REPOSITORY, format!("the commit {} has no {POLICY_PATH}", at.short()))
            .hint("Write a first policy: bellwether trust init")
    })?;
    let policy = parse(&text)?;
    if output == Output::Json {
        output::json(&as_json(&policy, &at));
    } else {
        output::line(as_text(&policy, &at, Timestamp::now()));
    }
    if args.at == "HEAD" && copy.read(POLICY_PATH)?.as_deref() != Some(text.as_slice()) {
        output::note(format!("Note: {POLICY_PATH} has changes that are not committed; they are not shown."));
    }
    Ok(())
}

fn as_json(policy: &TrustPolicy, at: &CommitId) -> serde_json::Value {
    let people = policy
        .people
        .iter()
        .map(|(name, person)| serde_json::json!({ "name": name, "bot": person.bot, "keys": keys::of(person) }));
    let roles = policy.roles.iter().map(|(name, role)| serde_json::json!({ "name": name, "members": role.members }));
    serde_json::json!({
        "commit": at, "version": policy.version, "branch": policy.branch, "expires": policy.expires,
        "maxSilence": policy.max_silence, "sigstoreRoot": policy.sigstore_root, "abandons": policy.abandons,
        "people": people.collect::<Vec<_>>(), "roles": roles.collect::<Vec<_>>(), "rules": policy.rules,
    })
}

fn as_text(policy: &TrustPolicy, at: &CommitId, now: Timestamp) -> String {
    let paint = Paint::stdout();
    let mut text = format!(
        "{}\n\n  version     {}\n  branch      {}\n  expires     {}\n",
        paint.bold(&format!("Who may sign what, from commit {} on", at.short())),
        policy.version,
        printable(&policy.branch),
        expiry(policy.expires, now, paint),
    );
    if let Some(silence) = policy.max_silence {
        text.push_str(&format!("  maxSilence  {silence} without a signed commit mean: frozen\n"));
    }
    if let Some(abandoned) = &policy.abandons {
        text.push_str(&format!("  abandons    {}\n", abandoned.short()));
    }
    text.push_str(&format!("\n{}\n", paint.bold("People")));
    for (name, person) in &policy.people {
        let bot = if person.bot { "bot: may write, never counts".to_owned() } else { String::new() };
        let listed =
            keys::of(person).into_iter().map(|key| format!("{:<7}  {}", key.kind.field(), printable(&key.name)));
        let lines: Vec<_> = (!bot.is_empty()).then_some(bot).into_iter().chain(listed).collect();
        text.push_str(&rows(name.as_str(), &lines, "no key"));
    }
    text.push_str(&format!("\n{}\n", paint.bold("Roles")));
    for (name, role) in &policy.roles {
        text.push_str(&rows(name.as_str(), &[joined(&role.members)], ""));
    }
    text.push_str(&format!(
        "\n{}\n",
        paint.bold("Rules: all that match a path must hold; what none matches cannot change")
    ));
    let width = policy.rules.iter().map(|rule| rule.paths.join(", ").len()).max().unwrap_or_default();
    for rule in &policy.rules {
        text.push_str(&format!("  {:width$}  {} of {}\n", rule.paths.join(", "), rule.signers, rule.role));
    }
    text
}

/// A name, and what belongs to it on lines below each other.
fn rows(name: &str, lines: &[String], none: &str) -> String {
    let Some((first, rest)) = lines.split_first() else { return format!("  {name:<10}  {none}\n") };
    let rest: String = rest.iter().map(|line| format!("  {:<10}  {line}\n", "")).collect();
    format!("  {name:<10}  {first}\n{rest}")
}

fn expiry(expires: Timestamp, now: Timestamp, paint: Paint) -> String {
    let left = expires.duration_since(now);
    let days = left.as_hours() / 24;
    let renew = "set a later one in trust/policy.yaml and raise version";
    if !left.is_positive() {
        paint.red(&format!("{expires}: expired, new landings wait; {renew}"))
    } else if left <= SOON {
        paint.yellow(&format!("{expires}: in {days} days; {renew}"))
    } else {
        format!("{expires} (in {days} days)")
    }
}
