//! The same values in layouts that chance makes: whatever is changed, nothing else is, and no comment is lost.

use proptest::prelude::{ProptestConfig, any, proptest};

use super::Step::{Item, Key};
use super::{Document, Shape, Step, Written};

/// What chance decides, one byte a question.
struct Dice<'d> {
    bytes: std::iter::Cycle<std::slice::Iter<'d, u8>>,
    /// Comments that were written: each is another one.
    comments: usize,
}

impl Dice<'_> {
    fn throw(&mut self, sides: u8) -> usize {
        usize::from(self.bytes.next().map_or(0, |byte| byte % sides))
    }

    fn one_in(&mut self, sides: u8) -> bool {
        self.throw(sides) == 0
    }

    fn pick<'p>(&mut self, choices: &[&'p str]) -> &'p str {
        choices[self.throw(u8::try_from(choices.len()).expect("few choices"))]
    }

    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# c{}: x - y [z", self.comments)
    }

    /// Comments and empty lines between others.
    fn between(&mut self, column: usize, out: &mut Vec<String>) {
        if self.one_in(4) {
            let comment = self.comment();
            out.push(format!("{:column$}{comment}", ""));
        }
        if self.one_in(6) {
            out.push(String::new());
        }
    }

    /// A comment behind a value.
    fn tail(&mut self) -> String {
        if self.one_in(4) { format!("{}{}", self.pick(&[" ", "   "]), self.comment()) } else { String::new() }
    }

    fn scalar(&mut self, text: &str) -> String {
        match self.throw(3) {
            0 => format!("\"{text}\""),
            1 => format!("'{text}'"),
            _ => text.to_owned(),
        }
    }

    fn key(&mut self, key: &str) -> String {
        if self.one_in(5) { format!("\"{key}\"") } else { key.to_owned() }
    }
}

/// Writes values in the layout that the dice make.
struct Writer<'d> {
    dice: Dice<'d>,
    step: usize,
    /// By how much a list stands behind its key.
    behind: usize,
    /// One value in so many is in flow style.
    flow: u8,
}

impl Writer<'_> {
    fn flow(&mut self, value: &Shape) -> String {
        let space = self.dice.pick(&["", " "]);
        match value {
            Shape::Scalar { text, .. } => self.dice.scalar(text),
            Shape::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{space}{}{space}]", items.join(self.dice.pick(&[", ", ",  "])))
            }
            Shape::Map(entries) => {
                let entry = |(key, value): &(String, Shape)| format!("{}: {}", self.dice.key(key), self.flow(value));
                let entries: Vec<_> = entries.iter().map(entry).collect();
                format!("{{{space}{}{space}}}", entries.join(", "))
            }
        }
    }

    /// A list in flow style, one item a line.
    fn tall(&mut self, items: &[Shape], column: usize) -> String {
        let mut text = "[\n".to_owned();
        for (at, item) in items.iter().enumerate() {
            let comma = if at + 1 < items.len() || self.dice.one_in(3) { "," } else { "" };
            text.push_str(&format!("{:column$}  {}{comma}\n", "", self.flow(item)));
        }
        text + &format!("{:column$}]", "")
    }

    fn value(&mut self, before: String, value: &Shape, column: usize, out: &mut Vec<String>) {
        let is_empty = matches!(value, Shape::List(items) if items.is_empty());
        match value {
            Shape::List(items) if !is_empty && !self.dice.one_in(self.flow) => {
                out.push(before + &self.dice.tail());
                let column = column + self.behind;
                for item in items {
                    self.dice.between(column, out);
                    let gap = self.dice.pick(&[" ", " ", "   "]);
                    self.item(format!("{:column$}-{gap}", ""), item, out);
                }
            }
            Shape::Map(entries) if !self.dice.one_in(self.flow) => {
                out.push(before + &self.dice.tail());
                self.map(entries, column + self.step, out);
            }
            Shape::List(items) if !is_empty && self.dice.one_in(3) => {
                let text = before + " " + &self.tall(items, column) + &self.dice.tail();
                out.extend(text.split('\n').map(str::to_owned));
            }
            value => {
                let text = before + self.dice.pick(&[" ", "  "]) + &self.flow(value) + &self.dice.tail();
                out.push(text);
            }
        }
    }

    fn item(&mut self, before: String, item: &Shape, out: &mut Vec<String>) {
        match item {
            Shape::Map(entries) if !self.dice.one_in(self.flow) => {
                let (column, begin) = (before.len(), out.len());
                self.map(entries, column, out);
                let first = (begin..out.len()).find(|line| out[*line].trim_start().starts_with(|c| c != '#'));
                let first = first.expect("a map has an entry");
                out[first] = before + out[first].trim_start();
            }
            item => {
                let text = before + &self.flow(item) + &self.dice.tail();
                out.push(text);
            }
        }
    }

    fn map(&mut self, entries: &[(String, Shape)], column: usize, out: &mut Vec<String>) {
        for (key, value) in entries {
            self.dice.between(column, out);
            let before = format!("{:column$}{}:", "", self.dice.key(key));
            self.value(before, value, column, out);
        }
    }
}

fn scalar(text: &str) -> Shape {
    Shape::Scalar { text: text.to_owned(), plain: true }
}

fn map(entries: &[(&str, Shape)]) -> Shape {
    Shape::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

/// A text like those of manifests.
fn text(bytes: &[u8]) -> String {
    let mut dice = Dice { bytes: bytes.iter().cycle(), comments: 0 };
    let entry = |n: usize| map(&[("id", scalar(&format!("t{n}"))), ("labels", map(&[("a", scalar("b"))]))]);
    let entries = Shape::List((0..dice.throw(4)).map(entry).collect());
    let words = Shape::List((0..=dice.throw(3)).map(|n| scalar(&format!("w{n}"))).collect());
    let mut fields =
        vec![("list", entries), ("words", words), ("pin", map(&[("commit", scalar("c0ffee"))])), ("last", scalar("x"))];
    fields.rotate_left(dice.throw(4));
    let (step, flow) = ([1, 2, 4, 8][dice.throw(4)], [200, 200, 5, 2][dice.throw(4)]);
    let behind = [0, step, 1][dice.throw(3)];
    let is_open = dice.one_in(5);
    let end = dice.pick(&["\n", "\n", "\n\n", ""]);
    let mut writer = Writer { dice, step, behind, flow };
    let mut lines = Vec::new();
    writer.map(&[("kind".to_owned(), scalar("x")), ("spec".to_owned(), map(&fields))], 0, &mut lines);
    if is_open {
        writer.dice.between(step, &mut lines);
    }
    lines.join("\n") + end
}

/// The comments of a text, in order: as all are written here, they hold no other `#`.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.find('#').map(|at| &line[at..])).collect()
}

/// How many lines of `before` are not in `after`, in their order.
fn lost(before: &str, after: &str) -> usize {
    let [old, new] = [before, after].map(|text| text.lines().collect::<Vec<_>>());
    let operations = similar::capture_diff_slices(similar::Algorithm::Myers, &old, &new);
    operations.iter().filter(|op| op.tag() != similar::DiffTag::Equal).map(|op| op.old_range().len()).sum()
}

/// What a change makes of a text and of what it says; a layout that is refused stays as it is.
fn check(
    before: &str,
    change: impl FnOnce(&mut Document) -> Result<(), String>,
    meant: impl FnOnce(&mut Shape),
) -> Option<String> {
    let mut document = Document::read(before).unwrap_or_else(|why| panic!("{why}:\n{before}"));
    let mut shape = document.shape();
    if let Err(why) = change(&mut document) {
        assert!(why.contains("a comment"), "{why}:\n{before}");
        return None;
    }
    meant(&mut shape);
    assert_eq!(document.shape(), shape, "\n{before}\n---\n{}", document.text());
    Some(document.text().to_owned())
}

/// A change that takes nothing away: at most one line becomes another one, and every comment stays where it is.
fn adds(before: &str, change: impl FnOnce(&mut Document) -> Result<(), String>, meant: impl FnOnce(&mut Shape)) {
    let Some(after) = check(before, change, meant) else { return };
    assert_eq!(comments(&after), comments(before), "\n{before}\n---\n{after}");
    assert!(lost(before, &after) <= 1, "\n{before}\n---\n{after}");
}

fn at<'s>(shape: &'s mut Shape, path: &[Step<'_>]) -> &'s mut Shape {
    shape.at_mut(path).expect("it is there")
}

fn items<'s>(shape: &'s mut Shape, path: &[Step<'_>]) -> &'s mut Vec<Shape> {
    match at(shape, path) {
        Shape::List(items) => items,
        other => panic!("{other:?}"),
    }
}

fn entries<'s>(shape: &'s mut Shape, path: &[Step<'_>]) -> &'s mut Vec<(String, Shape)> {
    match at(shape, path) {
        Shape::Map(entries) => entries,
        other => panic!("{other:?}"),
    }
}

const SPEC: [Step<'static>; 1] = [Key("spec")];
const LIST: [Step<'static>; 2] = [Key("spec"), Key("list")];
const WORDS: [Step<'static>; 2] = [Key("spec"), Key("words")];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_leaves_every_other_line(bytes in proptest::collection::vec(any::<u8>(), 40..200)) {
        let before = text(&bytes);
        let item = Written { flow: "{id: new}".to_owned(), block: vec!["id: new".to_owned()] };
        let new = map(&[("id", scalar("new"))]);
        adds(&before, |text| text.extend_list(&SPEC, "list", &[item.clone(), item.clone()]), |shape| {
            items(shape, &LIST).extend([new.clone(), new.clone()]);
        });
        adds(&before, |text| text.extend_list(&SPEC, "more", std::slice::from_ref(&item)), |shape| {
            entries(shape, &SPEC).push(("more".to_owned(), Shape::List(vec![new.clone()])));
        });
        adds(&before, |text| text.push_item(&WORDS, &Written::line("new")), |shape| {
            items(shape, &WORDS).push(scalar("new"));
        });
        adds(&before, |text| text.push_entry(&SPEC, &Written::line("more: new")), |shape| {
            entries(shape, &SPEC).push(("more".to_owned(), scalar("new")));
        });
        let commit = [Key("spec"), Key("pin"), Key("commit")];
        adds(&before, |text| text.replace(&commit, "other"), |shape| *at(shape, &commit) = scalar("other"));
        adds(&before, |text| text.replace(&[WORDS[0], WORDS[1], Item(0)], "other"), |shape| {
            *at(shape, &[WORDS[0], WORDS[1], Item(0)]) = scalar("other");
        });
    }

    #[test]
    fn what_is_removed_takes_its_own_lines(bytes in proptest::collection::vec(any::<u8>(), 40..200), chosen: u8) {
        let before = text(&bytes);
        let length = items(&mut Document::read(&before).expect("YAML").shape(), &LIST).len();
        let places = (0..length).filter(|at| chosen & (1 << at) != 0).collect::<std::collections::BTreeSet<_>>();
        let without = |shape: &mut Shape| {
            let mut at = 0..;
            items(shape, &LIST).retain(|_| !places.contains(&at.next().expect("no end")));
        };
        let after = [
            check(&before, |text| text.remove_items(&LIST, &places), without),
            check(&before, |text| text.remove_item(&WORDS, 0), |shape| drop(items(shape, &WORDS).remove(0))),
            check(&before, |text| text.remove_entry(&SPEC, "pin"), |shape| {
                entries(shape, &SPEC).retain(|(key, _)| key != "pin");
            }),
        ];
        for after in after.into_iter().flatten() {
            // Read the other way round: all that is there now was there before, but for one line that says that nothing is left.
            assert!(lost(&after, &before) <= 1, "\n{before}\n---\n{after}");
            let there = comments(&before);
            assert!(comments(&after).iter().all(|comment| there.contains(comment)), "\n{before}\n---\n{after}");
        }
    }
}
