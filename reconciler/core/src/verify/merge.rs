//! Merges: whether one is clean, and what a clean one would hold.

use bellwether_schemas::{CommitId, codes};

use super::branch::Branch;
use super::diff::{Difference, PathChange, Trees};
use super::line::{Line, SideCommit};
use super::name;
use super::refusal::Fault;
use super::tree::Node;

/// How a landing came to its content.
#[derive(Debug)]
pub(crate) enum Merge {
    /// It has one parent.
    None,
    /// Each path's entry comes from the only side that changed it.
    Clean(Branch),
    /// It is new content by its signer: why.
    Unclean(Fault),
}

fn unclean(path: &[u8], why: impl Into<String>) -> Fault {
    Fault::new(codes::MERGE_UNCLEAN, why).path(name::shown(path))
}

impl Merge {
    /// Judges the merge of `parents[1]` onto the head of `line`, which is `parents[0]`; `changes` is what the landing
    /// changes of the head's tree.
    ///
    /// # Errors
    /// An object cannot be read now. Everything else that is wrong with the branch makes the merge unclean.
    pub(crate) fn of(
        trees: &mut Trees<'_>,
        line: &Line,
        parents: &[CommitId],
        side: &[SideCommit],
        changes: &[PathChange],
    ) -> Result<Self, Fault> {
        let tip = match parents {
            [] | [_] => return Ok(Self::None),
            [_, tip] => *tip,
            more => {
                let why = format!("a merge with {} parents is never clean", more.len());
                return Ok(Self::Unclean(Fault::new(codes::MERGE_UNCLEAN, why)));
            }
        };
        let branch = Branch::read(trees, line, tip, side);
        let judged = branch.and_then(|branch| {
            let wanted = clean_changes(trees, line, &branch)?;
            agree(&wanted, changes).map(|()| branch)
        });
        match judged {
            Ok(branch) => Ok(Self::Clean(branch)),
            Err(fault) if fault.is_passing() => Err(fault),
            // Whatever is wrong with a branch refuses nothing by itself.
            Err(fault) => Ok(Self::Unclean(Fault { code: codes::MERGE_UNCLEAN, ..fault })),
        }
    }
}

/// What a clean merge of a branch changes of the tree at the head of `line`.
///
/// # Errors
/// [`codes::MERGE_UNCLEAN`] where both sides changed a path; else something cannot be compared.
pub(crate) fn clean_changes(trees: &mut Trees<'_>, line: &Line, branch: &Branch) -> Result<Vec<Difference>, Fault> {
    let changed = branch.changed();
    if let Some(path) = branch.conflicts(line).next() {
        return Err(unclean(path, "both sides changed it since the branch left the line"));
    }
    let head = *line.at(line.head_number()).expect("a line has a head");
    let head = super::line::read_skeleton(trees.objects, head)?.tree;
    let mut differences = Vec::new();
    // What only the branch changed comes from it; all else is the head's, whatever the branch's tip has there.
    let mut take = |found: Difference| {
        if changed.contains(found.path.as_slice()) {
            differences.push(found);
        }
        Ok(())
    };
    trees.differences(Some(head), branch.tip_tree, &mut branch.left.clone(), &mut take)?;
    differences.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(differences)
}

/// Whether a merge's changes are those of a clean one. Both are sorted.
fn agree(wanted: &[Difference], changes: &[PathChange]) -> Result<(), Fault> {
    let (mut wanted, mut found) = (wanted.iter().peekable(), changes.iter().peekable());
    loop {
        let path = match (wanted.peek(), found.peek()) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) => a.path.as_slice().min(b.path.as_bytes()),
            (Some(a), None) => a.path.as_slice(),
            (None, Some(b)) => b.path.as_bytes(),
        };
        let wanted = wanted.next_if(|wanted| wanted.path == path);
        let found = found.next_if(|found| found.path.as_bytes() == path);
        match (wanted, found) {
            (Some(wanted), Some(found)) if wanted.after == found.after.map(Node::File) => {}
            (Some(_), Some(_)) => return Err(unclean(path, "what it holds comes from neither side")),
            (Some(_), None) => return Err(unclean(path, "only the branch changed it, and the merge drops that")),
            (None, _) => return Err(unclean(path, "the merge changes it, and no commit of the branch does")),
        }
    }
}
