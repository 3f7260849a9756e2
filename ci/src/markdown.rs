//! Text for the comments of hosting services. What is shown comes from whoever wrote the change: it must stay text.

/// What a comment may have at most, in characters (GitHub's limit).
pub(crate) const MAX_COMMENT: usize = 65_536;

/// `text` in one line, as code: nothing in it is markup, a mention or a link.
pub(crate) fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    // A space at both ends is taken away again (CommonMark, "Code spans").
    let pad = if text.starts_with('`') || text.ends_with('`') || text.trim().is_empty() { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// `text` as a block of code in this language.
pub(crate) fn block(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_run(text, '`') + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

/// `text` as text: what could be markup, a mention, a reference or HTML is shown as it is.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.replace(['\n', '\r'], " ").chars() {
        match c {
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            // Without a letter behind it there is nobody to tell.
            '@' => plain.push_str("@\u{200b}"),
            '#' => plain.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => plain.extend(['\\', c]),
            _ => plain.push(c),
        }
    }
    // Nor is an address one.
    plain.replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

/// What can be folded, closed at first.
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
        assert_eq!(plain("@team #12 https://x"), "@\u{200b}team &#35;12 https:\u{200b}//x");
    }
}
