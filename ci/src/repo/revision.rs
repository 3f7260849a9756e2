//! What names a commit: an id, also a short one, a branch, a tag, `HEAD~1`; and what was meant by what names none.

use bellwether_schemas::{CommitId, codes};

use super::{WorkingCopy, git};
use crate::failure::Failure;

/// The names of branches and tags, each with what it has to be called.
struct Names(Vec<(String, String)>);

impl WorkingCopy {
    /// The commit that `text`, the value of `option`, names. What names none is wrong usage, not something that was found.
    pub(crate) fn resolve(&self, option: &str, text: &str) -> Result<CommitId, Failure> {
        if text == "HEAD" && self.head()?.is_none() {
            let message = format!("the branch {} has no commit yet", self.branch()?);
            return Err(Failure::new(codes::NO_SUCH_OBJECT, message)
                .hint("Switch to a branch that has one: git branch --all. Or begin: bellwether trust init --commit"));
        }
        match self.repo.rev_parse_single(format!("{text}^{{commit}}").as_str()) {
            Ok(id) => Ok(CommitId::from_bytes(id.detach().as_slice()).expect("a git id has 20 or 32 bytes")),
            // The library tells of what it was given, which is not what anybody wrote.
            Err(_) => Err(self.unknown(option, text)),
        }
    }

    fn unknown(&self, option: &str, text: &str) -> Failure {
        if text.trim().is_empty() {
            return Failure::new(codes::NO_SUCH_OBJECT, format!("{option}: it is empty, and names no commit"))
                .hint("Name a commit, tag or branch. In a pipeline, look at where the value should come from.");
        }
        if self.begins_several_ids(text) {
            return Failure::new(codes::NO_SUCH_OBJECT, format!("{option}: {text} begins the ids of several objects"))
                .hint("Give more digits of the commit that is meant: git log --format=%H");
        }
        let failure = Failure::new(codes::NO_SUCH_OBJECT, format!("{option}: {text} names no commit"));
        if let Some((from, _)) = text.split_once("..").filter(|(from, _)| !from.is_empty()) {
            return failure.hint(format!("That is a range, and one commit is asked for, such as {from}"));
        }
        let (name, steps) = text.split_at(text.find(['~', '^', '@', ':']).unwrap_or(text.len()));
        let look = match self.is_shallow() {
            true => "This clone is shallow and may lack it: git fetch --unshallow",
            false => "Name a commit, tag or branch that is there: git log --oneline; git branch --all",
        };
        if !steps.is_empty() && self.repo.rev_parse_single(name).is_ok() {
            return match self.is_shallow() {
                true => failure.hint(look),
                false => failure.hint(format!("{name} is there, but not {steps} of it: git log --oneline {name}")),
            };
        }
        let names = match self.names() {
            Ok(names) => names,
            Err(failure) => return failure,
        };
        if let Some(called) = names.on_a_server(name) {
            return failure.hint(format!("The server has such a branch: name it {called}{steps}"));
        }
        match names.nearest(name) {
            Some(called) => failure.hint(format!("Did you mean {called}{steps}? {look}")),
            None => failure.hint(look),
        }
    }

    /// Whether a short id could be more than one.
    fn begins_several_ids(&self, text: &str) -> bool {
        let prefix = gix::hash::Prefix::from_hex(text);
        prefix.is_ok_and(|prefix| matches!(self.repo.objects.lookup_prefix(prefix, None), Ok(Some(Err(())))))
    }

    /// Local branches first, then those of servers and tags: of two that are as near, the first is meant.
    fn names(&self) -> Result<Names, Failure> {
        let unreadable = |e: &(dyn std::error::Error + 'static)| git("the branches cannot be read", e);
        let references = self.repo.references().map_err(|e| unreadable(&e))?;
        let mut names = vec![("HEAD".to_owned(), "HEAD".to_owned())];
        for reference in references.local_branches().map_err(|e| unreadable(&e))?.flatten() {
            let name = reference.name().shorten().to_string();
            names.push((name.clone(), name));
        }
        for reference in references.remote_branches().map_err(|e| unreadable(&e))?.flatten() {
            let name = reference.name().shorten().to_string();
            // A server's HEAD is another name of one of its branches.
            if let Some((_, branch)) = name.split_once('/').filter(|(_, branch)| *branch != "HEAD") {
                names.push((branch.to_owned(), name.clone()));
                names.push((name.clone(), name));
            }
        }
        for reference in references.tags().map_err(|e| unreadable(&e))?.flatten() {
            let name = reference.name().shorten().to_string();
            names.push((name.clone(), name));
        }
        Ok(Names(names))
    }
}

impl Names {
    /// What a branch is called that only a server has.
    fn on_a_server(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(word, called)| word == name && called != name).map(|(_, called)| called.as_str())
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        let word = bellwether_schemas::yaml::nearest(name, self.0.iter().map(|(word, _)| word.as_str()))?;
        self.0.iter().find(|(known, _)| known == word).map(|(_, called)| called.as_str())
    }
}
