//! Many items of a list at once: the text is read again once, not once for each of them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::tree::Value;
use super::{Document, Step, Written, entry, shown};

impl Document {
    /// Adds items at the end of the list `key` of a map, which need not be there yet. One that is empty gets the style of
    /// the map.
    pub(crate) fn extend_list(&mut self, map: &[Step<'_>], key: &str, items: &[Written]) -> Result<(), String> {
        let path: Vec<Step<'_>> = map.iter().copied().chain([Step::Key(key)]).collect();
        if !self.has(&path) {
            return self.push_entry(map, &of_items(key, items));
        }
        match &self.at(&path)?.value {
            Value::List { flow: true, items: there } => match there.last() {
                Some(last) => {
                    let at = last.range.end;
                    self.splice(at..at, &items.iter().map(|item| format!(", {}", item.flow)).collect::<String>())
                }
                None => self.open_list(map, key, items),
            },
            Value::List { flow: false, items: there } => {
                let (Some(first), Some(last)) = (there.first(), there.last()) else {
                    return Err(format!("{}: found an empty list", shown(&path)));
                };
                let (column, end) = (self.dash(first)?.1, last.range.end);
                self.insert_lines_after(end, &lines(items, column))
            }
            Value::Scalar { .. } | Value::Map { .. } => Err(format!("{}: expected a list", shown(&path))),
        }
    }

    /// Removes the items at these places of a list, which has others or becomes `[]`. What stands above an item stays: it may
    /// be about others, too.
    pub(crate) fn remove_items(&mut self, path: &[Step<'_>], places: &BTreeSet<usize>) -> Result<(), String> {
        let Value::List { flow, items } = &self.at(path)?.value else {
            return Err(format!("{}: expected a list", shown(path)));
        };
        if *flow {
            return places.iter().rev().try_for_each(|place| self.remove_item(path, *place));
        }
        let mut gone = Vec::new();
        for place in places {
            let item = items.get(*place).ok_or_else(|| format!("{}: there is no item {place}", shown(path)))?;
            gone.push(self.dash(item)?.0..self.line_end(item.range.end));
        }
        let colon = if places.len() == items.len() { Some(self.colon_of(path)?) } else { None };
        let mut changed = self.text().to_owned();
        gone.into_iter().rev().for_each(|range| changed.replace_range(range, ""));
        // What is gone stands behind it.
        colon.into_iter().for_each(|colon| changed.insert_str(colon, " []"));
        *self = Self::read(&changed)?;
        Ok(())
    }

    /// Behind the colon of the key that has the value at `path`.
    fn colon_of(&self, path: &[Step<'_>]) -> Result<usize, String> {
        let found = match path.split_last() {
            Some((Step::Key(key), map)) => match &self.at(map)?.value {
                Value::Map { entries, .. } => entry(entries, key).map(|entry| entry.start + key.len()),
                Value::Scalar { .. } | Value::List { .. } => None,
            },
            _ => None,
        };
        let colon = found.and_then(|end| self.text()[end..].find(':').map(|length| end + length + 1));
        colon.ok_or_else(|| format!("{}: expected a field", shown(path)))
    }

    /// Puts items into a list that is written as `[]`.
    fn open_list(&mut self, map: &[Step<'_>], key: &str, items: &[Written]) -> Result<(), String> {
        let Value::Map { flow, entries } = &self.at(map)?.value else {
            return Err(format!("{}: expected fields", shown(map)));
        };
        let found = entry(entries, key).ok_or_else(|| format!("{}: there is no {key}", shown(map)))?;
        let brackets: Range<usize> = found.node.range.clone();
        if self.text()[brackets.clone()].contains('#') {
            return Err(format!(
                "line {}: a comment in the empty list would be lost",
                self.line_number(brackets.start)
            ));
        }
        if *flow {
            let inner: Vec<_> = items.iter().map(|item| item.flow.as_str()).collect();
            return self.splice(brackets, &format!("[{}]", inner.join(", ")));
        }
        let line = self.line_start(brackets.start);
        let (column, before) = (found.start - self.line_start(found.start), &self.text()[line..brackets.start]);
        if before.trim().is_empty() {
            // On a line of its own: the items take its place, and its column.
            let column = before.len();
            return self.splice(line..brackets.end, &lines(items, column).join("\n"));
        }
        let (colon, end) = (line + before.trim_end().len(), self.line_end(brackets.end));
        let rest = self.text()[brackets.end..end].to_owned();
        let opened = lines(items, column + 2).join("\n");
        let (rest, last) = rest.strip_suffix('\n').map_or((rest.as_str(), ""), |rest| (rest, "\n"));
        self.splice(colon..end, &format!("{rest}\n{opened}{last}"))
    }

    /// Behind the line's end after `at`.
    fn line_end(&self, at: usize) -> usize {
        self.text()[at..].find('\n').map_or(self.text().len(), |length| at + length + 1)
    }
}

/// The entry of a map that is a list of items.
fn of_items(key: &str, items: &[Written]) -> Written {
    let inner: Vec<_> = items.iter().map(|item| item.flow.as_str()).collect();
    let block = std::iter::once(format!("{key}:")).chain(lines(items, 2)).collect();
    Written { flow: format!("{key}: [{}]", inner.join(", ")), block }
}

/// The lines of items whose hyphens stand in `column`.
fn lines(items: &[Written], column: usize) -> Vec<String> {
    let of_item = |item: &Written| {
        let sign = |at: usize| if at == 0 { "- " } else { "  " };
        let line = |(at, line): (usize, &String)| format!("{:column$}{}{line}", "", sign(at)).trim_end().to_owned();
        item.block.iter().enumerate().map(line).collect::<Vec<_>>()
    };
    items.iter().flat_map(of_item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Step::Key;

    fn item(id: &str) -> Written {
        Written { flow: format!("{{id: {id}}}"), block: vec![format!("id: {id}"), "of: x".to_owned()] }
    }

    fn extended(text: &str) -> Result<String, String> {
        let mut document = Document::read(text)?;
        document.extend_list(&[Key("s")], "l", &[item("a"), item("b")])?;
        Ok(document.text().to_owned())
    }

    fn without(text: &str, places: &[usize]) -> Result<String, String> {
        let mut document = Document::read(text)?;
        document.remove_items(&[Key("s"), Key("l")], &places.iter().copied().collect())?;
        Ok(document.text().to_owned())
    }

    #[test]
    fn items_are_added_in_every_layout() {
        for (before, after) in [
            ("s:\n  l: []\n", "s:\n  l:\n    - id: a\n      of: x\n    - id: b\n      of: x\n"),
            (
                "s:\n  l: []  # none\n  k: 1",
                "s:\n  l:  # none\n    - id: a\n      of: x\n    - id: b\n      of: x\n  k: 1",
            ),
            ("s:\n  l: []", "s:\n  l:\n    - id: a\n      of: x\n    - id: b\n      of: x"),
            ("s:\n  'l':\n    []\n", "s:\n  'l':\n    - id: a\n      of: x\n    - id: b\n      of: x\n"),
            ("\"s\": {k: 1}\n", "\"s\": {k: 1, l: [{id: a}, {id: b}]}\n"),
            ("s: {l: [ ]} # c\n", "s: {l: [{id: a}, {id: b}]} # c\n"),
            ("s:\n  l: [x] # c\n", "s:\n  l: [x, {id: a}, {id: b}] # c\n"),
            (
                "s:\n  l:\n  - x # c\n  # d\n  k: 1\n",
                "s:\n  l:\n  - x # c\n  - id: a\n    of: x\n  - id: b\n    of: x\n  # d\n  k: 1\n",
            ),
            (
                "s:\n    k: 1\n# end\n",
                "s:\n    k: 1\n    l:\n      - id: a\n        of: x\n      - id: b\n        of: x\n# end\n",
            ),
        ] {
            assert_eq!(extended(before).as_deref(), Ok(after), "{before}");
        }
        let lost = "line 2: a comment in the empty list would be lost";
        assert_eq!(extended("s:\n  l: [ # none\n  ]\n"), Err(lost.to_owned()));
        assert_eq!(extended("s:\n  l: 1\n"), Err("s.l: expected a list".to_owned()));
    }

    #[test]
    fn items_are_removed_and_what_is_about_others_stays() {
        let text =
            "s:\n  l:   # all\n  # first\n  - a: 1\n    b: 2 # of b\n  # second\n  - a: 2\n  # third\n  - a: 3\n";
        for (places, after) in [
            (&[0, 2][..], "s:\n  l:   # all\n  # first\n  # second\n  - a: 2\n  # third\n"),
            (&[1], "s:\n  l:   # all\n  # first\n  - a: 1\n    b: 2 # of b\n  # second\n  # third\n  - a: 3\n"),
            (&[0, 1, 2], "s:\n  l: []   # all\n  # first\n  # second\n  # third\n"),
        ] {
            assert_eq!(without(text, places).as_deref(), Ok(after), "{places:?}");
        }
        assert_eq!(without("s:\n  'l':\n  - a: 1 # of a\n", &[0]).as_deref(), Ok("s:\n  'l': []\n"));
        assert_eq!(without("s: {l: [a, b, c]}\n", &[0, 2]).as_deref(), Ok("s: {l: [b]}\n"));
        assert_eq!(without("s: {l: [a, b]}\n", &[0, 1]).as_deref(), Ok("s: {l: []}\n"));
        assert_eq!(without(text, &[3]), Err("s.l: there is no item 3".to_owned()));
    }
}
