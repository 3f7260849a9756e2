//! What must hold for the bytes of a manifest before YAML is read from them.

use super::problem::{Problem, Report};
use crate::codes;
use crate::diagnostic::Diagnostic;

/// The text in `bytes`, if it is short enough, UTF-8, and free of characters that hide what it says.
pub(crate) fn check<'t>(path: &str, bytes: &'t [u8], most: usize) -> Result<&'t str, Vec<Diagnostic>> {
    if bytes.len() > most {
        let message = format!("found {} bytes, at most {most} are allowed", bytes.len());
        return Err(vec![Diagnostic::error(codes::TOO_LARGE, path, message).hint("move contents to files/")]);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        let message = format!("found the byte 0x{:02x}, expected UTF-8", bytes[e.valid_up_to()]);
        let end = good.len();
        vec![Diagnostic::error(codes::YAML_SYNTAX, path, message).at(&good, end, end).hint("save the file as UTF-8")]
    })?;
    let mut report = Report::default();
    // A file whose lines end as on Windows has one problem, not one a line.
    let first_return = text.find('\r');
    for (at, character) in text.char_indices().filter(|(at, c)| *c != '\r' || Some(*at) == first_return) {
        let Some((code, what, hint)) = hidden(character) else { continue };
        // They are found in the order in which they are shown.
        if report.is_crowded() {
            report.leave_out();
        } else {
            let message = format!("found {what} (U+{:04X})", u32::from(character));
            report.add(Problem::new(code, at, at + character.len_utf8(), message).hint(hint));
        }
    }
    if report.is_empty() { Ok(text) } else { Err(report.into_diagnostics(path, text)) }
}

/// Why a character is refused, if it is.
pub(crate) fn hidden(character: char) -> Option<(codes::Code, &'static str, &'static str)> {
    match character {
        '\n' | '\t' => None,
        '\u{feff}' => {
            Some((codes::YAML_FORBIDDEN, "a byte order mark", "save the file as UTF-8 without a byte order mark"))
        }
        '\r' => Some((
            codes::YAML_SYNTAX,
            "a carriage return",
            "save the file with line endings LF, as the editor calls them; `* text=auto eol=lf` in .gitattributes keeps them so",
        )),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some((
            codes::YAML_FORBIDDEN,
            "a line break that is not shown as one everywhere",
            "end lines with a line feed",
        )),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some((
            codes::YAML_FORBIDDEN,
            "a character that changes the direction in which text is shown",
            "write it as an escape in double quotes, such as \"\\u202E\", if it is meant",
        )),
        c if c.is_control() => Some((
            codes::YAML_SYNTAX,
            "a control character",
            "write it as an escape in double quotes, such as \"\\e\", if it is meant",
        )),
        _ => None,
    }
}
