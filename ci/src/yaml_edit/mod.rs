//! Changes single values of a YAML text and leaves everything else as it is: comments, order, quotes, indentation.
//!
//! In: a text that the reader of manifests has accepted. Out: the changed text. Whoever edits reads the result again and
//! compares it with what was meant; nothing here knows what a value means. Flow style (`[a, b]`) and block style are both
//! kept. What would take a comment with it that is not about the removed value is refused.

#[cfg(test)]
mod layouts;
mod lists;
mod order;
mod shape;
mod tree;

pub(crate) use order::pieces;
pub(crate) use shape::{Shape, Style};

use std::ops::Range;

use tree::{Entry, Node, Value};

/// A YAML text that is being changed.
#[derive(Debug)]
pub(crate) struct Document {
    text: String,
    root: Node,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// A new value in both styles, since what surrounds it decides: in flow style one line, in block style lines without
/// their common indentation. For an entry of a map, with its key.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) flow: String,
    pub(crate) block: Vec<String>,
}

impl Written {
    /// A value of one line that looks the same in both styles.
    pub(crate) fn line(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { flow: text.clone(), block: vec![text] }
    }
}

impl Document {
    /// Reads `text`; says why when it cannot be edited.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Ok(Self { root: tree::read(text)?, text: text.to_owned() })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether there is a value.
    pub(crate) fn has(&self, path: &[Step<'_>]) -> bool {
        self.at(path).is_ok()
    }

    /// Puts `text` in the place of a scalar.
    pub(crate) fn replace(&mut self, path: &[Step<'_>], text: &str) -> Result<(), String> {
        let node = self.at(path)?;
        match node.value {
            // Nothing stands behind its key: the text goes behind the colon.
            Value::Scalar { .. } if node.range.is_empty() => {
                let after = self.text[node.range.end..].find(':').map(|colon| node.range.end + colon + 1);
                let at = after.ok_or_else(|| format!("{}: nothing stands there", shown(path)))?;
                self.splice(at..at, &format!(" {text}"))
            }
            Value::Scalar { .. } => self.splice(node.range.clone(), text),
            Value::List { .. } | Value::Map { .. } => Err(format!("{}: expected a single value", shown(path))),
        }
    }

    /// Adds an item at the end of a list.
    pub(crate) fn push_item(&mut self, path: &[Step<'_>], item: &Written) -> Result<(), String> {
        let node = self.at(path)?;
        match &node.value {
            Value::List { flow: true, items } => {
                let (at, text) = match items.last() {
                    Some(last) => (last.range.end, format!(", {}", item.flow)),
                    None => (node.range.start + 1, item.flow.clone()),
                };
                self.splice(at..at, &text)
            }
            Value::List { flow: false, items } => {
                let (Some(first), Some(last)) = (items.first(), items.last()) else {
                    return Err(format!("{}: found an empty list", shown(path)));
                };
                let column = self.dash(first)?.1;
                let mut lines = item.block.iter();
                let first = lines.next().map(|line| format!("{:column$}- {line}", "")).into_iter();
                let lines: Vec<_> = first.chain(lines.map(|line| format!("{:column$}  {line}", ""))).collect();
                self.insert_lines_after(last.range.end, &lines)
            }
            Value::Scalar { .. } | Value::Map { .. } => Err(format!("{}: expected a list", shown(path))),
        }
    }

    /// Adds an entry at the end of a map.
    pub(crate) fn push_entry(&mut self, path: &[Step<'_>], entry: &Written) -> Result<(), String> {
        let node = self.at(path)?;
        match &node.value {
            Value::Map { flow: true, entries } => {
                let (at, text) = match entries.last() {
                    Some(last) => (last.node.range.end, format!(", {}", entry.flow)),
                    None => (node.range.start + 1, entry.flow.clone()),
                };
                self.splice(at..at, &text)
            }
            Value::Map { flow: false, entries } => {
                let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
                    return Err(format!("{}: found an empty map", shown(path)));
                };
                let column = first.start - self.line_start(first.start);
                let lines: Vec<_> = entry.block.iter().map(|line| format!("{:column$}{line}", "")).collect();
                self.insert_lines_after(last.node.range.end, &lines)
            }
            Value::Scalar { .. } | Value::List { .. } => Err(format!("{}: expected fields", shown(path))),
        }
    }

    /// Removes an item of a list. One that has no others becomes `[]`.
    pub(crate) fn remove_item(&mut self, path: &[Step<'_>], at: usize) -> Result<(), String> {
        let Value::List { flow, items } = &self.at(path)?.value else {
            return Err(format!("{}: expected a list", shown(path)));
        };
        let item = items.get(at).ok_or_else(|| format!("{}: there is no item {at}", shown(path)))?;
        if *flow {
            let ranges: Vec<_> = items.iter().map(|item| item.range.clone()).collect();
            return self.remove_in_flow(&ranges, at);
        }
        let ((start, column), end) = (self.dash(item)?, item.range.end);
        if items.len() == 1 {
            // A list may stand in the column of its key, `[]` may not.
            return self.splice(start..end, &format!("{:column$}  []", ""));
        }
        self.remove_lines(start, end)
    }

    /// Removes an entry of a map. One that has no others becomes `{}`.
    pub(crate) fn remove_entry(&mut self, path: &[Step<'_>], key: &str) -> Result<(), String> {
        let node = self.at(path)?;
        let Value::Map { flow, entries } = &node.value else {
            return Err(format!("{}: expected fields", shown(path)));
        };
        let at = entries.iter().position(|entry| entry.key == key);
        let at = at.ok_or_else(|| format!("{}: there is no {key}", shown(path)))?;
        if *flow {
            let ranges: Vec<_> = entries.iter().map(|entry| entry.start..entry.node.range.end).collect();
            return self.remove_in_flow(&ranges, at);
        }
        let (start, end) = (entries[at].start, entries[at].node.range.end);
        if entries.len() == 1 {
            return self.splice(start..end, "{}");
        }
        self.remove_lines(start, end)
    }

    fn at(&self, path: &[Step<'_>]) -> Result<&Node, String> {
        path.iter().try_fold(&self.root, |node, step| {
            let found = match (step, &node.value) {
                (Step::Key(key), Value::Map { entries, .. }) => entry(entries, key).map(|entry| &entry.node),
                (Step::Item(at), Value::List { items, .. }) => items.get(*at),
                _ => None,
            };
            found.ok_or_else(|| format!("{} is not there", shown(path)))
        })
    }

    /// Where the line of a block list's item begins with its hyphen, and the hyphen's column.
    fn dash(&self, item: &Node) -> Result<(usize, usize), String> {
        let line = self.line_start(item.range.start);
        let before = &self.text[line..item.range.start];
        match before.trim() {
            "-" => Ok((line, before.find('-').unwrap_or_default())),
            _ => Err(format!("line {}: expected an item that begins with a hyphen", self.line_number(line))),
        }
    }

    fn remove_in_flow(&mut self, ranges: &[Range<usize>], at: usize) -> Result<(), String> {
        let range = match (at.checked_sub(1).and_then(|before| ranges.get(before)), ranges.get(at + 1)) {
            (Some(before), _) => before.end..ranges[at].end,
            (None, Some(next)) => ranges[at].start..next.start,
            // With it goes the comma that may stand behind it, which an empty list cannot have.
            (None, None) => {
                let rest = &self.text[ranges[at].end..];
                let comma = rest.trim_start().strip_prefix(',').map_or(0, |after| rest.len() - after.len());
                ranges[at].start..ranges[at].end + comma
            }
        };
        let between = [&self.text[range.start..ranges[at].start], &self.text[ranges[at].end.min(range.end)..range.end]];
        if between.iter().any(|text| text.contains('#')) {
            let line = self.line_number(range.start);
            return Err(format!("line {line}: a comment between the items would be lost"));
        }
        self.splice(range, "")
    }

    /// Removes whole lines; what begins at `start` must be the first of its line.
    fn remove_lines(&mut self, start: usize, end: usize) -> Result<(), String> {
        let line = self.line_start(start);
        if !self.text[line..start].trim().is_empty() {
            let number = self.line_number(line);
            return Err(format!("line {number}: expected this on lines of its own"));
        }
        let end = self.text[end..].find('\n').map_or(self.text.len(), |length| end + length + 1);
        self.splice(line..end, "")
    }

    fn insert_lines_after(&mut self, end: usize, lines: &[String]) -> Result<(), String> {
        let end = self.text[end..].find('\n').map_or(self.text.len(), |length| end + length);
        let text: String = lines.iter().map(|line| format!("\n{}", line.trim_end())).collect();
        self.splice(end..end, &text)
    }

    fn splice(&mut self, range: Range<usize>, text: &str) -> Result<(), String> {
        let mut changed = self.text.clone();
        changed.replace_range(range, text);
        *self = Self::read(&changed)?;
        Ok(())
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn line_number(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }
}

fn entry<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// `spec.rules[1]`.
pub(crate) fn shown(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
            Step::Item(at) => text.push_str(&format!("[{at}]")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::{Item, Key};

    const BLOCK: &str = "# first
spec:
  version: 7   # why
  people:
    # the boss
    ada:
      ssh:
        - one   # laptop
        # the next is lost
        - two
      pgp:
        - |
          a

          b
    # last
    bob:
      ssh:
      - three
  # after
  roles: {admins: {members: [ada, bob]}}  # all
";

    fn edited(text: &str, edit: impl FnOnce(&mut Document) -> Result<(), String>) -> Result<String, String> {
        let mut document = Document::read(text)?;
        edit(&mut document)?;
        Ok(document.text().to_owned())
    }

    /// What the change takes away and adds, line by line.
    fn change(edit: impl FnOnce(&mut Document) -> Result<(), String>) -> String {
        let after = edited(BLOCK, edit).expect("the layout is understood");
        let (before, after): (Vec<_>, Vec<_>) = (BLOCK.lines().collect(), after.lines().collect());
        let start = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let longest = before.len().min(after.len()) - start;
        let end = before.iter().rev().zip(after.iter().rev()).take(longest).take_while(|(a, b)| a == b).count();
        let show = |sign: char, lines: &[&str]| lines.iter().map(|line| format!("{sign}{line}\n")).collect::<String>();
        show('-', &before[start..before.len() - end]) + &show('+', &after[start..after.len() - end])
    }

    #[test]
    fn a_scalar_is_replaced_and_its_comment_stays() {
        let changed = change(|text| text.replace(&[Key("spec"), Key("version")], "8"));
        assert_eq!(changed, "-  version: 7   # why\n+  version: 8   # why\n");
    }

    #[test]
    fn items_take_the_style_of_their_list() {
        let item = Written {
            flow: "new".to_owned(),
            block: vec!["|".to_owned(), "x".to_owned(), String::new(), "y".to_owned()],
        };
        let people = [Key("spec"), Key("people")];
        let list = |person, kind| [people[0], people[1], Key(person), Key(kind)];
        assert_eq!(
            change(|text| text.push_item(&list("ada", "ssh"), &item)),
            "+        - |\n+          x\n+\n+          y\n"
        );
        assert_eq!(
            change(|text| text.push_item(&list("ada", "pgp"), &item)),
            "+        - |\n+          x\n+\n+          y\n"
        );
        assert_eq!(
            change(|text| text.push_item(&list("bob", "ssh"), &item)),
            "+      - |\n+        x\n+\n+        y\n"
        );
        let members = [Key("spec"), Key("roles"), Key("admins"), Key("members")];
        let changed = change(|text| text.push_item(&members, &item));
        assert!(changed.contains("+  roles: {admins: {members: [ada, bob, new]}}  # all"), "{changed}");
    }

    #[test]
    fn entries_take_the_style_of_their_map() {
        let entry =
            Written { flow: "eve: {ssh: [x]}".to_owned(), block: vec!["eve:".to_owned(), "  ssh: [x]".to_owned()] };
        let changed = change(|text| text.push_entry(&[Key("spec"), Key("people")], &entry));
        assert_eq!(changed, "+    eve:\n+      ssh: [x]\n");
        let changed = change(|text| text.push_entry(&[Key("spec"), Key("roles")], &entry));
        assert!(changed.contains("+  roles: {admins: {members: [ada, bob]}, eve: {ssh: [x]}}  # all"), "{changed}");
    }

    #[test]
    fn what_is_removed_takes_its_own_lines_only() {
        let people = [Key("spec"), Key("people")];
        assert_eq!(
            change(|text| text.remove_entry(&people, "bob")),
            "-    bob:\n-      ssh:\n-      - three\n",
            "the comments before and after stay"
        );
        let keys = [people[0], people[1], Key("ada"), Key("ssh")];
        assert_eq!(change(|text| text.remove_item(&keys, 1)), "-        - two\n");
        assert_eq!(change(|text| text.remove_item(&keys, 0)), "-        - one   # laptop\n");
    }

    #[test]
    fn a_map_without_its_last_entry_is_written_as_empty() {
        let without = |text: &str| edited(text, |text| text.remove_entry(&[Key("a")], "b"));
        assert_eq!(without("a: {b: {c: 1}}  # all\n").as_deref(), Ok("a: {}  # all\n"));
        assert_eq!(without("a:\n  b: {c: 1}\nd: 1\n").as_deref(), Ok("a:\n  {}\nd: 1\n"));
        assert_eq!(
            without("a:\n  # before\n  b:\n    c: 1  # of c\n# after\n").as_deref(),
            Ok("a:\n  # before\n  {}  # of c\n# after\n")
        );
        assert_eq!(without("a: {d: 1}\n"), Err("a: there is no b".to_owned()));
    }

    #[test]
    fn a_flow_list_keeps_its_commas_and_never_loses_a_comment() {
        let without = |text: &str, at| edited(text, |text| text.remove_item(&[Key("a")], at));
        assert_eq!(without("a: [x, y, z]\n", 0).as_deref(), Ok("a: [y, z]\n"));
        assert_eq!(without("a: [x, y, z]\n", 1).as_deref(), Ok("a: [x, z]\n"));
        assert_eq!(without("a: [x, y, z]\n", 2).as_deref(), Ok("a: [x, y]\n"));
        assert_eq!(
            without("a: [x, # why\n  y]\n", 1),
            Err("line 1: a comment between the items would be lost".to_owned())
        );
        let added = |text: &str| edited(text, |text| text.push_item(&[Key("a")], &Written::line("n")));
        assert_eq!(added("a: []\n").as_deref(), Ok("a: [n]\n"));
        assert_eq!(added("a: [x, ]\n").as_deref(), Ok("a: [x, n, ]\n"));
    }

    #[test]
    fn a_list_without_its_only_item_is_an_empty_one() {
        let without = |text: &str| edited(text, |text| text.remove_item(&[Key("a")], 0));
        assert_eq!(without("a: [x]\nb: 1\n").as_deref(), Ok("a: []\nb: 1\n"));
        assert_eq!(without("a: [x ,]\nb: 1\n").as_deref(), Ok("a: []\nb: 1\n"));
        assert_eq!(without("a:\n- x  # why\nb: 1\n").as_deref(), Ok("a:\n  []  # why\nb: 1\n"));
        assert_eq!(without("a:\n  # of x\n  - c: 1\n    d: 2\n").as_deref(), Ok("a:\n  # of x\n    []\n"));
    }

    #[test]
    fn other_layouts_are_told_not_guessed() {
        let place = |text: &str| edited(text, |text| text.remove_item(&[Key("a"), Item(0)], 0));
        assert_eq!(place("a:\n- - x\n  - y\n"), Err("line 2: expected an item that begins with a hyphen".to_owned()));
        let none = edited("a: 1\n", |text| text.push_item(&[Key("b"), Item(1)], &Written::line("n")));
        assert_eq!(none, Err("b[1] is not there".to_owned()));
    }
}
