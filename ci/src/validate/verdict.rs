//! Whether what is checked out would count, once it is on a base branch: as it is, or merged by a button that signs nothing.

use std::collections::BTreeSet;

use bellwether_core::verify::{
    Explanation, Fault, POLICY_PATH, Policy, Refusal, Stop, VerifiedHistory, is_of_tree, odd_entries,
};
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::{CommitId, PersonName, codes};
use jiff::Timestamp;

use super::base::Base;
use super::{index, unsigned};
use crate::failure::Failure;
use crate::history::{Objects, Verifier, could_count, first_changed, first_parents, parents, refused, signed_by};
use crate::repo::{WorkingCopy, git};

/// So many people are named who could make a change count.
const NAMED: usize = 5;

/// So many paths are named that both sides changed.
const CONFLICTS: usize = 10;

/// Why `head` would not count on `base`, of which its branch does not have it already; nothing where it would.
pub(super) fn problems(
    copy: &WorkingCopy,
    base: Base,
    head: &CommitId,
    now: Timestamp,
) -> Result<Vec<Diagnostic>, Failure> {
    let Base { commit: base, verifier, history } = base;
    let mut history = match history {
        Ok(history) => history,
        Err(failure) => {
            let why =
                format!("{} itself does not count, so nothing can land on it: {}", base.short(), failure.message());
            let hint = unsigned::repair(copy, &base, &verifier.branch)?;
            let hint = hint.unwrap_or_else(|| failure.advice().to_owned());
            return Ok(vec![Diagnostic::error(failure.code(), &first_changed(copy, &base)?, why).hint(hint)]);
        }
    };
    let odd = odd_in(copy, head)?;
    if !odd.is_empty() {
        // Whoever signs for it, and however it is merged.
        return Ok(index::told(odd));
    }
    let on_line = first_parents(copy, head, |id| *id == base)?;
    let leads_on = on_line.last().map_or(Ok(Vec::new()), |oldest| parents(copy, oldest))?.first() == Some(&base);
    let pushed = if leads_on { Some(history.judge(&verifier.objects, head, now).stop) } else { None };
    match pushed {
        // A merge that is there is what lands; of a branch a button makes another landing than a push.
        Some(None) if on_line.len() == 1 && parents(copy, head)?.len() > 1 => Ok(Vec::new()),
        Some(None) => {
            let merged = merged(copy, &mut history, &verifier, head, now)?;
            let told = merged.map(|problem| {
                let message = format!("pushed as it is, it counts; {}", problem.message);
                Diagnostic { severity: Severity::Warning, message, ..problem }
            });
            Ok(told.into_iter().collect())
        }
        // A test merge of a hosting service is judged as what it is; of a branch there is more to say.
        Some(Some(Stop::Refused(refusal))) if on_line.len() == 1 && parents(copy, head)?.len() > 1 => {
            let judged = judged(copy, &mut history, &verifier, head, &refusal)?;
            Ok(vec![judged])
        }
        _ => {
            let merged = merged(copy, &mut history, &verifier, head, now)?;
            let found = match (merged, pushed) {
                (None, Some(Some(Stop::Refused(refusal)))) => {
                    let why = format!("pushed as it is, it would be refused: {}; merged, it counts", refusal.why);
                    let problem = told(copy, &refusal, why)?;
                    Some(Diagnostic { severity: Severity::Warning, ..problem })
                }
                // The merge is made without it, and so says less than it: a commit before the head has it.
                (Some(problem), Some(Some(Stop::Refused(refusal))))
                    if problem.code == codes::MERGE_UNCLEAN && is_of_tree(refusal.code) =>
                {
                    Some(as_it_is(copy, &refusal)?)
                }
                (merged, _) => merged,
            };
            Ok(found.into_iter().collect())
        }
    }
}

/// The newest commit that somebody wrote: of the merge that a hosting service makes for a test, that of the branch.
pub(super) fn branch_tip(copy: &WorkingCopy, base: &CommitId, head: &CommitId) -> Result<CommitId, Failure> {
    match parents(copy, head)?.as_slice() {
        [first, branch] if first == base => Ok(*branch),
        _ => Ok(*head),
    }
}

/// What is wrong with a merge that is there.
fn judged(
    copy: &WorkingCopy,
    history: &mut VerifiedHistory,
    verifier: &Verifier,
    merge: &CommitId,
    refusal: &Refusal,
) -> Result<Diagnostic, Failure> {
    let explained = history.explain(&verifier.objects, merge).map_err(refused)?;
    Ok(match &explained.refusal {
        Some(_) => {
            let tip = parents(copy, merge)?.last().copied().unwrap_or(*merge);
            why_not(copy, &tip, &explained, history.policy())?
        }
        None => as_it_is(copy, refusal)?,
    })
}

/// What the files of a commit have that no landing may hold.
fn odd_in(copy: &WorkingCopy, commit: &CommitId) -> Result<Vec<Fault>, Failure> {
    let read = || -> Result<_, gix::Error> {
        let tree = copy.git().find_commit(gix::ObjectId::from_bytes_or_panic(commit.as_bytes()))?.tree()?;
        tree.traverse().breadthfirst.files()
    };
    let files = read().map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))?;
    let files = files.iter().filter(|file| !file.mode.is_tree());
    Ok(odd_entries(files.map(|file| (file.filepath.as_slice(), u32::from(file.mode.value())))))
}

/// What is wrong with the merge that a button would make. It is made in memory, and gone afterwards.
fn merged(
    copy: &WorkingCopy,
    history: &mut VerifiedHistory,
    verifier: &Verifier,
    head: &CommitId,
    now: Timestamp,
) -> Result<Option<Diagnostic>, Failure> {
    let changes = match history.plan_merge(&verifier.objects, head) {
        Ok(changes) => changes,
        Err(refusal) if refusal.code == codes::MERGE_UNCLEAN => {
            let paths = history.merge_conflicts(&verifier.objects, head).map_err(refused)?;
            let more = paths.len().saturating_sub(CONFLICTS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = paths.iter().take(CONFLICTS).map(String::as_str).collect::<Vec<_>>().join(", ");
            let why = format!("both sides changed {named}{more} since the branch began");
            let hint = "merge the base into the branch, signed (git merge -S), resolve it there, and have it endorsed";
            let place = paths.first().map_or(POLICY_PATH, String::as_str);
            return Ok(Some(Diagnostic::error(codes::MERGE_CONFLICT, place, why).hint(hint)));
        }
        Err(refusal) => return Ok(Some(as_it_is(copy, &refusal)?)),
    };
    if changes.is_empty() {
        return Ok(None);
    }
    let (memory, merge) = copy.imagine_merge(history.head(), head, &changes)?;
    let explained = match history.explain(&Objects::of(&memory), &merge) {
        Ok(explained) => explained,
        // Its tree cannot be taken, whoever stands for it.
        Err(refusal) => return Ok(Some(as_it_is(copy, &refusal)?)),
    };
    if explained.refusal.is_some() {
        return Ok(Some(why_not(copy, head, &explained, history.policy())?));
    }
    // What is explained is not compared with the clock: the head does not move onto a policy that has expired.
    Ok(match history.judge(&Objects::of(&memory), &merge, now).stop {
        Some(Stop::Refused(refusal)) => Some(as_it_is(copy, &refusal)?),
        Some(Stop::Rewound { .. }) | None => None,
    })
}

/// Why a merge of the branch that ends at `tip` would be refused, with every path that somebody still has to stand for.
fn why_not(
    copy: &WorkingCopy,
    tip: &CommitId,
    explained: &Explanation,
    policy: &Policy,
) -> Result<Diagnostic, Failure> {
    let branch = copy.branch().unwrap_or_else(|_| "BRANCH".to_owned());
    let fault = explained.refusal.as_ref().expect("only what is refused has a reason");
    let lacking: Vec<_> = explained.paths.iter().filter(|path| path.refusal.is_some()).collect();
    let place = lacking.first().map_or(fault.path.as_deref().unwrap_or(POLICY_PATH), |path| &path.path);
    let more = match lacking.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more paths)"),
    };
    let why = format!("merged now, it would be refused: {}{more}", fault.why);
    let could: BTreeSet<&PersonName> = lacking
        .iter()
        .flat_map(|path| &path.rules)
        .filter(|rule| !rule.holds())
        .flat_map(|rule| could_count(policy, rule))
        .collect();
    let names: Vec<_> = could.iter().take(NAMED).map(|person| person.as_str()).collect();
    let is_unsigned = lacking.iter().all(|path| path.wrote.is_empty() && path.endorsed.is_empty());
    let unknown = match signed_by(copy, tip, policy)? {
        Err(fault) if is_unsigned => {
            unsigned::unknown_key(&fault).map(|advice| format!("{}: {advice}; or ", fault.why))
        }
        _ => None,
    };
    let sign = match unknown {
        Some(advice) => advice,
        None if is_unsigned => "sign what you wrote (git commit --amend --no-edit -S), or ".to_owned(),
        None => String::new(),
    };
    let hint = match names.as_slice() {
        [] => codes::explain(fault.code.as_str()).map_or("", |known| known.mend).to_owned(),
        names => format!(
            "missing is {}: {sign}endorse the branch (git switch {branch} && bellwether trust endorse && git push), or land \
             it: bellwether land {branch}",
            names.join(" or ")
        ),
    };
    Ok(Diagnostic::error(fault.code, place, why).hint(hint))
}

fn as_it_is(copy: &WorkingCopy, refusal: &Refusal) -> Result<Diagnostic, Failure> {
    told(copy, refusal, refusal.why.clone())
}

fn told(copy: &WorkingCopy, refusal: &Refusal, why: String) -> Result<Diagnostic, Failure> {
    let place = match &refusal.path {
        Some(path) => path.clone(),
        // A merge that is there in memory only is of no file of its own.
        None if copy.has(&refusal.commit) => first_changed(copy, &refusal.commit)?,
        None => POLICY_PATH.to_owned(),
    };
    Ok(Diagnostic::error(refusal.code, &place, why).hint(refusal.hint))
}
