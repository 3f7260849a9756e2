//! The known word that was probably meant.

/// The known word nearest to `found`, if one is near enough to be what was meant.
pub fn nearest<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if found.len() > 64 {
        return None;
    }
    let found = plain(found);
    let length = found.chars().count();
    known
        .into_iter()
        .map(|word| (plain(word), word))
        // A word that is longer or shorter by more than may differ needs no closer look.
        .filter(|(known, word)| known.chars().count().abs_diff(length) <= most(word))
        .map(|(known, word)| (strsim::osa_distance(&found, &known), word))
        .filter(|(distance, word)| *distance <= most(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many characters of a word may differ.
fn most(word: &str) -> usize {
    (word.chars().count() / 3).clamp(1, 3)
}

/// A word without case and separators: `match_labels` means `matchLabels`.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_probably_meant() {
        let known = ["matchLabels", "matchExpressions", "path", "mode", "percent"];
        for (found, meant) in [
            ("matchlabels", Some("matchLabels")),
            ("match_labels", Some("matchLabels")),
            ("matchLable", Some("matchLabels")),
            ("paht", Some("path")),
            ("percnt", Some("percent")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
    }
}
