//! Examples: for what `bellwether validate` finds and the risks that `bellwether diff` tells, the most likely mistake and its mend, as `examples/BW-0103.diff`.
//!
//! A line that begins with neither a space, `-` nor `+` names the file that those behind it are of. A space is what stays, `-` the
//! mistake, `+` its mend, and `…` stands for anything. `$ ` begins a command for a shell. Files that the repository does not have are
//! shown as a whole. Each is made and mended by a test of the command (`ci/tests/command/explained.rs`).

use super::Code;

/// Codes and their examples.
macro_rules! examples {
    ($($code:literal),* $(,)?) => {
        const EXAMPLES: &[(&str, &str)] = &[$(($code, include_str!(concat!("examples/", $code, ".diff")))),*];
    };
}

examples![
    "BW-0101", "BW-0102", "BW-0103", "BW-0104", "BW-0105", "BW-0106", "BW-0107", "BW-0108", "BW-0109", "BW-0110",
    "BW-0111", "BW-0112", "BW-0113", "BW-0114", "BW-0115", "BW-0116", "BW-0117", "BW-0118", "BW-0119", "BW-0120",
    "BW-0121", "BW-0122", "BW-0123", "BW-0124", "BW-0125", "BW-0126", "BW-0127", "BW-0128", "BW-0129", "BW-0130",
    "BW-0131", "BW-0132", "BW-0133", "BW-0134", "BW-0204", "BW-0205", "BW-0207", "BW-0208", "BW-0209", "BW-0210",
    "BW-0211", "BW-0215", "BW-0216", "BW-0217", "BW-0218", "BW-0219", "BW-0220", "BW-0221", "BW-0231", "BW-0232",
    "BW-0234", "BW-0235", "BW-0236", "BW-0237", "BW-0240", "BW-0247", "BW-0248", "BW-0275", "BW-0312", "BW-0326",
    "BW-0327", "BW-0801", "BW-0802", "BW-0803", "BW-0804", "BW-0805", "BW-0806", "BW-0807", "BW-0808", "BW-0809",
    "BW-0810", "BW-0811", "BW-0812",
];

/// The example of a code.
pub(super) fn of(code: Code) -> Option<&'static str> {
    EXAMPLES.iter().find(|(known, _)| *known == code.as_str()).map(|(_, example)| *example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_the_example_of_a_code() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codes/examples");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("text"))
            .collect();
        files.sort();
        let known: Vec<_> = EXAMPLES.iter().map(|(code, _)| format!("{code}.diff")).collect();
        assert_eq!(files, known, "the table is in order, and has every file");
        for (code, example) in EXAMPLES {
            assert!(super::super::explain(code).is_some(), "there is no code {code}");
            let begins_with = |sign| example.lines().any(|line| line.starts_with(sign));
            assert!(begins_with('-') || begins_with('+'), "{code} shows no mistake");
            assert!(example.ends_with('\n') && example.lines().all(|line| line.trim_end() == line), "{code}");
        }
    }
}
