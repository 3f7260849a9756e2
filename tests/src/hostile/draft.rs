//! A commit that is being written.

use bellwether_core::objects::ObjectSource as _;
use bellwether_core::verify::{POLICY_PATH, attach_signature, sign_commit};
use bellwether_schemas::{Code, CommitId};

use super::history::Recorded;
use super::{Entry, Files, History, PolicyText, Who};

/// A commit that is being written: parents and files are chosen, the signature is missing.
#[must_use = "a draft is no commit before it is signed"]
pub struct Draft<'h> {
    history: &'h mut History,
    parents: Vec<CommitId>,
    files: Files,
    endorses: Option<CommitId>,
    headers: String,
    message: Option<String>,
}

impl<'h> Draft<'h> {
    pub(super) fn new(history: &'h mut History, parents: Vec<CommitId>, files: Files) -> Self {
        Self { history, parents, files, endorses: None, headers: String::new(), message: None }
    }

    /// Writes a file. What was a folder there, or a file where its folder is to be, goes.
    pub fn write(self, path: &str, content: &str) -> Self {
        self.entry(path, "100644", content)
    }

    /// Writes an entry of any mode.
    pub fn entry(mut self, path: &str, mode: &'static str, content: &str) -> Self {
        self.files.retain(|other, _| !is_below(other, path) && !is_below(path, other));
        self.files.insert(path.to_owned(), Entry { mode, content: content.to_owned() });
        self
    }

    /// Writes a policy.
    pub fn policy(self, policy: &PolicyText) -> Self {
        let text = policy.text();
        self.history.policies.insert(text.clone(), policy.clone());
        self.write(POLICY_PATH, &text)
    }

    /// Takes a file away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove(mut self, path: &str) -> Self {
        self.files.remove(path).expect("the file is there");
        self
    }

    /// Takes a file away if it is there: what a merge brings may stand in its place.
    pub fn remove_if_there(mut self, path: &str) -> Self {
        self.files.remove(path);
        self
    }

    /// Makes a path what it is in another commit.
    pub fn take(mut self, path: &str, from: CommitId) -> Self {
        match self.history.files(&from).get(path).cloned() {
            Some(Entry { mode, content }) => self.entry(path, mode, &content),
            None => {
                self.files.remove(path);
                self
            }
        }
    }

    /// Makes all files what they are in another commit.
    pub fn take_all(mut self, from: CommitId) -> Self {
        self.files = self.history.files(&from).clone();
        self
    }

    /// Gives it other parents.
    pub fn parents(mut self, parents: &[CommitId]) -> Self {
        self.parents = parents.to_vec();
        self
    }

    /// Adds the trailer of an endorsement.
    pub fn endorses(mut self, commit: CommitId) -> Self {
        self.endorses = Some(commit);
        self
    }

    /// Gives it a message, which endorses nothing.
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Adds a header after the committer.
    pub fn header(mut self, line: &str) -> Self {
        self.headers = format!("{}{line}\n", self.headers);
        self
    }

    /// Signs and writes it.
    ///
    /// # Panics
    /// When the signer does not take its headers.
    pub fn by(self, who: Who) -> CommitId {
        self.signed(who).1
    }

    /// Signs it and pushes it, and it must be accepted as the new head.
    ///
    /// # Panics
    /// When it is not.
    pub fn lands(self, who: Who) -> CommitId {
        let (history, commit) = self.signed(who);
        history.accepts(commit)
    }

    /// Signs it, and lands it by a merge that another one signs: the merge.
    ///
    /// # Panics
    /// When that is not accepted.
    pub fn lands_by_merge(self, who: Who, merges: Who) -> CommitId {
        let (history, commit) = self.signed(who);
        let main = history.main();
        history.merge(main, commit).lands(merges)
    }

    /// Signs it and pushes it, and it must be refused with this code.
    ///
    /// # Panics
    /// When it is not.
    pub fn refused(self, who: Who, code: Code) {
        let (history, commit) = self.signed(who);
        history.refuses(commit, code);
    }

    fn signed(mut self, who: Who) -> (&'h mut History, CommitId) {
        let raw = self.unsigned();
        let signed = match who.key() {
            Some(key) => sign_commit(&raw, key).expect("a plain commit and key"),
            None => raw,
        };
        // What no signer takes is written without one, and is no commit that could count.
        let sound = self.headers.is_empty();
        self.finish(signed, who, sound)
    }

    /// Writes it with the signature of another commit.
    ///
    /// # Panics
    /// When the other one has none.
    pub fn with_signature_of(mut self, other: CommitId) -> CommitId {
        let (_, raw) = self.history.objects.raw(&other).expect("it was written");
        let text = String::from_utf8(raw).expect("commits are text");
        let (_, rest) = text.split_once("gpgsig ").expect("it is signed");
        let (armoured, _) = rest.split_once("\n\n").expect("a message follows");
        let unsigned = self.unsigned();
        let raw = attach_signature(&unsigned, &armoured.replace("\n ", "\n")).expect("a plain commit");
        let who = self.history.commits[&other].signer;
        self.finish(raw, who, false).1
    }

    fn unsigned(&mut self) -> Vec<u8> {
        let tree = self.history.write_tree(&self.files);
        let parents: String = self.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let number = self.history.commits.len();
        let who = format!("Somebody <somebody@example.com> {} +0100", 1_700_000_000 + number);
        let trailer = self.endorses.map_or_else(String::new, |id| format!("\nEndorses: {id}\n"));
        let message = self.message.clone().unwrap_or_else(|| format!("Commit {number}\n{trailer}"));
        let headers = &self.headers;
        format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n{headers}\n{message}").into_bytes()
    }

    fn finish(self, raw: Vec<u8>, signer: Who, sound: bool) -> (&'h mut History, CommitId) {
        let Self { history, parents, files, endorses, .. } = self;
        let commit = history.write_commit(raw, Recorded { parents, files, signer, sound, endorses });
        (history, commit)
    }
}

/// Whether `path` lies in the folder `folder`.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
