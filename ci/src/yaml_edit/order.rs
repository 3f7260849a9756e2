//! The scalars and comments of a YAML text in their order: so that it can be seen whether a comment is lost, or passes a
//! value that it may be about.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser};

/// A part of a text that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A key or a value.
    Scalar(String),
    /// From its `#` on.
    Comment(String),
}

/// What a text says, in its order; says why when it cannot be read.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut behind = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.info().to_owned())?;
        let Event::Scalar(value, ..) = event else { continue };
        let range = span.byte_range().unwrap_or(text.len()..text.len());
        // What is not there stands wherever the parser noticed.
        if range.is_empty() {
            continue;
        }
        pieces.extend(comments(text, behind..range.start));
        pieces.push(Piece::Scalar(value.into_owned()));
        behind = range.end;
    }
    pieces.extend(comments(text, behind..text.len()));
    Ok(pieces)
}

/// The comments between two scalars, where there is nothing else but marks of YAML.
fn comments(text: &str, range: Range<usize>) -> impl Iterator<Item = Piece> {
    let between = text.get(range).unwrap_or_default();
    between.lines().filter_map(|line| Some(Piece::Comment(line[line.find('#')?..].trim_end().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_told_from_what_only_looks_like_one() {
        let text = "# a\n---\nk#1: x#y   # b\n'#c': \"# d\" # e # f\nl: [1, # g\n  # h\n 2]\nb: |  # i\n  # text\n\n  more\n  # j\n # k\n\
                    p:\n  - >\n    # text\n  # l\n  - x\n# m\ne: # n\n# o";
        let found = pieces(text).expect("YAML");
        let comments: Vec<_> = found
            .iter()
            .filter_map(|piece| match piece {
                Piece::Comment(text) => Some(text.as_str()),
                Piece::Scalar(_) => None,
            })
            .collect();
        let expected = ["# a", "# b", "# e # f", "# g", "# h", "# i", "# k", "# l", "# m", "# n", "# o"];
        assert_eq!(comments, expected, "{found:?}");
        assert!(found.contains(&Piece::Scalar("# text\n\nmore\n# j\n".to_owned())), "{found:?}");
    }

    #[test]
    fn a_comment_that_passes_a_value_is_seen() {
        let before = pieces("a: 1\n# of b\nb: 2\n").expect("YAML");
        assert_eq!(pieces("a:   1\n\n  # of b\nb: '2'").expect("YAML"), before);
        assert_ne!(pieces("a: 1\nb: 2\n# of b\n").expect("YAML"), before);
    }
}
