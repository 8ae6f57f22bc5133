//! Place: where in its configuration a filter finds a mistake.
//!
//! In: a refusal, in the author's words. Out: the place that it begins with, apart. Never: a word of a sentence for a place.

use crate::bindings::types::ConfigError;

/// A refusal that begins with a place, `rules[0].label: …`, is of that place.
pub(crate) fn refusal(text: String) -> ConfigError {
    match text.split_once(": ").filter(|(path, _)| is_place(path)) {
        Some((path, message)) => ConfigError { path: path.to_owned(), message: message.to_owned() },
        None => ConfigError { path: String::new(), message: text },
    }
}

/// Fields and positions in lists, as `serde_path_to_error` writes them too.
fn is_place(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && text.split('.').all(is_step)
}

/// `name`, `name[0]`, `name[0][1]`.
fn is_step(text: &str) -> bool {
    let (name, mut positions) = text.split_at(text.find('[').unwrap_or(text.len()));
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-:".contains(&b));
    while let Some((position, rest)) = positions.strip_prefix('[').and_then(|text| text.split_once(']')) {
        if position.is_empty() || !position.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        positions = rest;
    }
    is_name && positions.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, message: &str) {
        let ConfigError { path: found, message: said } = refusal(text.to_owned());
        assert_eq!((&*found, &*said), (path, message));
    }

    #[test]
    fn a_refusal_that_begins_with_a_place_is_of_that_place() {
        check("rules[0].select: it ends: too early", "rules[0].select", "it ends: too early");
        check("stamps[12][1]: empty", "stamps[12][1]", "empty");
        check("names.node:cpu_total: no name", "names.node:cpu_total", "no name");
        check("k: none would stay", "k", "none would stay");
    }

    #[test]
    fn a_sentence_is_no_place() {
        for text in [
            "an empty prefix drops everything: leave it out",
            "stamp \"a\" is given twice: keep one",
            "rules[x]: no",
            "rules[: no",
            "rules[0]x: no",
            "a..b: no",
            "Error: no",
            ": no",
            "no",
        ] {
            check(text, "", text);
        }
    }
}
