//! A scenario file: a title, prose, and commands with the output that they must have.
//!
//! ```text
//! # A canary goes first
//!
//! Prose: what the rule is.
//!
//! > rollout edge
//! | waves:
//! |   - {name: canary, select: {matchLabels: {ring: canary}}}
//! > push "Say 2"
//!   +0m    edge: v3 begins
//! ```
//!
//! A first line `! finding: …` marks a scenario whose output is not what the design says.

/// A scenario as it is written.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What is wrong with what it shows, where it is known to be wrong.
    pub finding: Option<String>,
    /// Its title.
    pub title: String,
    /// What follows the title, in order.
    pub items: Vec<Item>,
}

/// A part of a scenario.
#[derive(Debug, Clone)]
pub enum Item {
    /// A line of prose.
    Text(String),
    /// A command.
    Step(Step),
}

/// A command with what belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The number of its line.
    pub line: usize,
    /// The command.
    pub command: String,
    /// The lines of a file that it writes.
    pub body: Vec<String>,
    /// What it prints.
    pub output: Vec<String>,
}

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    /// The number of the first line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim_end())) {
            let step = match script.items.last_mut() {
                Some(Item::Step(step)) => Some(step),
                Some(Item::Text(_)) | None => None,
            };
            if let Some(found) = line.strip_prefix("! finding: ") {
                script.finding = Some(found.to_owned());
            } else if let Some(title) = line.strip_prefix("# ") {
                if !script.title.is_empty() {
                    return Err(format!("{number}: a scenario has one title"));
                }
                script.title = title.to_owned();
            } else if let Some(command) = line.strip_prefix("> ") {
                let command = command.to_owned();
                script.items.push(Item::Step(Step { line: number, command, ..Step::default() }));
            } else if let Some(body) = line.strip_prefix('|') {
                let step = step.ok_or_else(|| format!("{number}: a line of a file without a command before it"))?;
                step.body.push(body.strip_prefix(' ').unwrap_or(body).to_owned());
            } else if let Some(output) = line.strip_prefix("  ") {
                let step = step.ok_or_else(|| format!("{number}: output without a command before it"))?;
                step.output.push(output.to_owned());
            } else {
                script.items.push(Item::Text(line.to_owned()));
            }
        }
        if script.title.is_empty() {
            return Err("1: a scenario begins with `# Title`".to_owned());
        }
        Ok(script)
    }

    /// The file again.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.finding.iter().map(|found| format!("! finding: {found}")));
        lines.push(format!("# {}", self.title));
        for item in &self.items {
            match item {
                Item::Text(line) => lines.push(line.clone()),
                Item::Step(step) => lines.extend(step.lines()),
            }
        }
        lines.join("\n") + "\n"
    }
}

impl Item {
    pub(super) fn step(&mut self) -> Option<&mut Step> {
        match self {
            Self::Step(step) => Some(step),
            Self::Text(_) => None,
        }
    }
}

impl Step {
    /// It as it is written.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let body = self.body.iter().map(|line| format!("| {line}").trim_end().to_owned());
        let output = self.output.iter().map(|line| format!("  {line}"));
        std::iter::once(format!("> {}", self.command)).chain(body).chain(output)
    }
}

/// The words of a command; a text in quotes is one.
///
/// # Errors
/// A quote that does not end.
pub(super) fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for c in command.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("a quote does not end".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_it_was_read() {
        let text = "! finding: x\n# Title\n\nProse.\n\n> rollout edge\n| waves:\n|   - a\n> push\n  +0m  out\n";
        assert_eq!(Script::parse(text).map(|script| script.text()), Ok(text.to_owned()));
        assert_eq!(Script::parse("# a\n  out").map(|_| ()), Err("2: output without a command before it".to_owned()));
        assert_eq!(words("hold edge \"a b\" x"), Ok(["hold", "edge", "a b", "x"].map(str::to_owned).to_vec()));
    }
}
