//! Policies of the histories, as data that the reference judges by and as the file that the verifier reads.

use std::fmt::Write as _;

use bellwether_schemas::CommitId;

use super::Who;

/// Everything in a folder needs so many people of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The folder, without `/`.
    pub folder: &'static str,
    /// The role.
    pub role: &'static str,
    /// How many distinct people.
    pub signers: u32,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its version.
    pub version: u64,
    /// Its branch.
    pub branch: &'static str,
    /// The accepted head that it gives up.
    pub abandons: Option<CommitId>,
    /// People with their keys; who has the bot's key is a bot.
    pub people: Vec<(&'static str, Vec<Who>)>,
    /// Roles with their members.
    pub roles: Vec<(&'static str, Vec<&'static str>)>,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Default for PolicyText {
    /// Owners change `trust/`, operators `fleets/` and `files/`, scribes `notes/`; one signer everywhere.
    fn default() -> Self {
        let rule = |folder, role| Rule { folder, role, signers: 1 };
        Self {
            version: 1,
            branch: "main",
            abandons: None,
            people: vec![
                ("alice", vec![Who::Alice]),
                ("bob", vec![Who::Bob]),
                ("carol", vec![Who::Carol, Who::CarolsLaptop]),
                ("ci-bot", vec![Who::Bot]),
                ("mallory", vec![Who::Mallory]),
            ],
            roles: vec![
                ("operators", vec!["alice", "bob", "carol", "ci-bot", "mallory"]),
                ("owners", vec!["alice", "carol"]),
                ("scribes", vec!["alice", "bob", "ci-bot", "mallory"]),
            ],
            rules: vec![
                rule("trust", "owners"),
                rule("fleets", "operators"),
                rule("files", "operators"),
                rule("notes", "scribes"),
            ],
        }
    }
}

impl PolicyText {
    /// The same under another version.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// The same for another branch.
    #[must_use]
    pub fn branch(mut self, branch: &'static str) -> Self {
        self.branch = branch;
        self
    }

    /// The same, giving up an accepted head.
    #[must_use]
    pub fn abandons(mut self, head: CommitId) -> Self {
        self.abandons = Some(head);
        self
    }

    /// The same with so many signers for a folder.
    ///
    /// # Panics
    /// When no rule is for it.
    #[must_use]
    pub fn signers(mut self, folder: &str, signers: u32) -> Self {
        let rule = self.rules.iter_mut().find(|rule| rule.folder == folder);
        rule.expect("a rule is for the folder").signers = signers;
        self
    }

    /// The same without a person.
    #[must_use]
    pub fn without(mut self, person: &str) -> Self {
        self.people.retain(|(name, _)| *name != person);
        self.roles.iter_mut().for_each(|(_, members)| members.retain(|name| *name != person));
        self
    }

    /// The same with one more member of a role.
    #[must_use]
    pub fn with_member(mut self, role: &str, person: &'static str) -> Self {
        self.roles.iter_mut().filter(|(name, _)| *name == role).for_each(|(_, members)| members.push(person));
        self
    }

    /// The person whose key this is, unless it is a bot.
    pub fn person(&self, who: Who) -> Option<&'static str> {
        let owner = self.people.iter().find(|(_, keys)| keys.contains(&who));
        owner.filter(|_| who != Who::Bot).map(|(name, _)| *name)
    }

    /// Whether a person is in a role.
    pub fn is_member(&self, role: &str, person: &str) -> bool {
        self.roles.iter().any(|(name, members)| *name == role && members.contains(&person))
    }

    /// The file.
    pub fn text(&self) -> String {
        let Self { version, branch, .. } = self;
        let mut text = format!(
            "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata:\n  name: policy\nspec:\n  version: {version}\n  \
             branch: {branch}\n  expires: 2099-01-01T00:00:00Z\n  people:\n"
        );
        if let Some(head) = &self.abandons {
            text = text.replace("spec:\n", &format!("spec:\n  abandons: {head}\n"));
        }
        for (name, keys) in &self.people {
            let lines: Vec<String> = keys.iter().map(|who| format!("\"{}\"", who.key_line())).collect();
            let bot = if keys.contains(&Who::Bot) { ", bot: true" } else { "" };
            writeln!(text, "    {name}: {{ssh: [{}]{bot}}}", lines.join(", ")).expect("text grows");
        }
        text.push_str("  roles:\n");
        for (name, members) in &self.roles {
            writeln!(text, "    {name}: {{members: [{}]}}", members.join(", ")).expect("text grows");
        }
        text.push_str("  rules:\n");
        for Rule { folder, role, signers } in &self.rules {
            writeln!(text, "    - {{paths: [\"{folder}/**\"], role: {role}, signers: {signers}}}").expect("text grows");
        }
        text
    }
}
