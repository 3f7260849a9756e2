//! Text for the comments of hosting services. What is shown comes from whoever wrote the change: it must stay text.

use crate::get::printable;

/// What a comment may have at most, in characters (GitHub's limit).
pub(crate) const MAX_COMMENT: usize = 65_536;

/// `text` in one line, as code: nothing in it is markup, a mention or a link.
pub(crate) fn code(text: &str) -> String {
    let text = printable(text).replace('\n', " ");
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    // A space at both ends is taken away again (CommonMark, "Code spans").
    let pad = if text.starts_with('`') || text.ends_with('`') || text.trim().is_empty() { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// `text` as a block of code in this language.
pub(crate) fn block(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_run(text, '`') + 1).max(3));
    let lines: Vec<_> = text.trim_end_matches('\n').split('\n').map(no_action).collect();
    format!("{fence}{language}\n{}\n{fence}\n", lines.join("\n"))
}

/// A line that GitLab does not take for a quick action: it looks for them by lines, and some versions look into code.
fn no_action(line: &str) -> String {
    if line.starts_with('/') { format!("{NOTHING}{line}") } else { line.to_owned() }
}

/// `text` as text in Markdown: what could be markup, a mention, a reference or HTML is shown as it is. It never stands at the
/// beginning of a line: there a list or a quick action could begin.
pub(crate) fn plain(text: &str) -> String {
    shown(
        text,
        |hash| format!("`{hash}`"),
        |plain, c| match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' | '^' => plain.extend(['\\', c]),
            _ => html_character(plain, c),
        },
    )
}

/// `text` as text between HTML tags, such as a summary: Markdown does not look into it, and backslashes would be seen.
pub(crate) fn html(text: &str) -> String {
    shown(text, |hash| format!("<code>{hash}</code>"), html_character)
}

fn html_character(html: &mut String, c: char) {
    match c {
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '&' => html.push_str("&amp;"),
        _ => html.push(c),
    }
}

/// Takes no room, and is a part of no reference: services look for those in the text that is shown, whatever was escaped.
const NOTHING: char = '\u{200b}';

/// `text` in one line, made inert: what refers to people, issues, merge requests, labels, milestones, snippets and the like
/// is parted by nothing, and what could be the id of a commit is code.
fn shown(text: &str, hash: impl Fn(&str) -> String, character: impl Fn(&mut String, char)) -> String {
    let text = printable(text).replace('\n', " ").replace("www.", &format!("www{NOTHING}."));
    let mut all = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let word = rest.split(|c: char| !is_of_word(c)).next().unwrap_or_default();
        let (part, next) = rest.split_at(word.len().max(first.len_utf8()));
        if is_hash(word) {
            all.push_str(&hash(word));
        } else {
            part.chars().for_each(|c| character(&mut all, c));
        }
        if is_key_of_issue(word, next) || begins_reference(first, next) {
            all.push(NOTHING);
        }
        rest = next;
    }
    all
}

/// Whether a character makes what follows it a reference or an address. Commands in hints are copied: they stay whole.
fn begins_reference(c: char, next: &str) -> bool {
    let begins = |is_one: fn(char) -> bool| next.starts_with(is_one);
    match c {
        '#' | '!' | '$' | '&' => begins(|c| c.is_ascii_digit()),
        '@' => begins(is_of_word),
        '~' | '%' => begins(|c| is_of_word(c) || !c.is_ascii() || c == '"'),
        ':' => next.starts_with("//"),
        // So GitLab writes some: [issue:12].
        '[' => is_named(next),
        _ => false,
    }
}

const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether services could take a word for the id of a commit.
fn is_hash(word: &str) -> bool {
    (7..=64).contains(&word.len()) && word.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Whether a reference goes on behind its bracket: `issue:12]`.
fn is_named(text: &str) -> bool {
    let name = text.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '_');
    name.len() < text.len() && name.starts_with(':')
}

/// Whether a word is the key of an issue: `GH-1`, `GL-1`, or that of another tracker in capitals. Our own codes are none.
fn is_key_of_issue(word: &str, rest: &str) -> bool {
    let digits =
        rest.strip_prefix('-').map_or("", |number| number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    let is_key = matches!(word, "gh" | "gl" | "Gh" | "Gl" | "gH" | "gL")
        || word.len() > 1
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && !word.contains(|c: char| c.is_ascii_lowercase());
    is_key && !digits.is_empty() && (word, digits.len()) != ("BW", 4)
}

/// The beginning of a text that somebody else chose, no longer than a line should be.
pub(crate) fn beginning(text: &str) -> String {
    const LONGEST: usize = 500;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What can be folded, closed at first. `summary` is HTML.
pub(crate) fn folded(summary: &str, inner: &str) -> String {
    format!("<details><summary>{summary}</summary>\n\n{}\n\n</details>\n", inner.trim_end())
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_code_stays_code() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a\n# b"), "`a # b`");
        assert_eq!(block("diff", "+```\n"), "````diff\n+```\n````\n");
    }

    #[test]
    fn what_is_text_stays_text() {
        assert_eq!(plain("<img src=x> **b** [l](u)"), "&lt;img src=x&gt; \\*\\*b\\*\\* \\[l\\](u)");
        assert_eq!(plain("a_b `c`"), "a\\_b \\`c\\`");
        assert_eq!(html("a_b `c` <b> [0]"), "a_b `c` &lt;b&gt; [0]", "a backslash would be seen");
        assert_eq!(plain("a\nb\u{202e}c"), "a b\u{fffd}c");
    }

    #[test]
    fn what_refers_to_something_is_parted() {
        for (text, inert) in [
            ("@team", "@|team"),
            ("acme/fleet#12", "acme/fleet#|12"),
            ("GH-1 gl-2 PROJ-3", "GH|-1 gl|-2 PROJ|-3"),
            ("!5 ~bug %v1 $7", "!|5 ~|bug %|v1 $|7"),
            ("&12 ^alert#3", "&amp;|12 ^alert#|3"),
            ("[issue:12] [0:1]", "[|issue:12] [0:1]"),
            ("https://x www.x", "https:|//x www|.x"),
            ("at 0a1b2c3d, 12345", "at <code>0a1b2c3d</code>, 12345"),
            // These are copied, and refer to nothing.
            ("edge-1 of BW-0103: 5 % & more!", "edge-1 of BW-0103: 5 % &amp; more!"),
            ("cd $HOME && x --a=b != #c", "cd $HOME &amp;&amp; x --a=b != #c"),
            ("facade_of_0123456789 ü7654321", "facade_of_0123456789 ü<code>7654321</code>"),
        ] {
            assert_eq!(html(text), inert.replace('|', "\u{200b}"));
            let without = |text: &str| text.replace(['\\', '`'], "").replace("<code>", "").replace("</code>", "");
            assert_eq!(without(&plain(text)), without(&html(text)), "Markdown parts it alike");
        }
    }

    #[test]
    fn no_line_of_a_block_is_a_quick_action() {
        assert_eq!(block("yaml", "a\n/close\n"), "```yaml\na\n\u{200b}/close\n```\n");
    }
}
