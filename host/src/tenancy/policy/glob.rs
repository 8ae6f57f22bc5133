//! Glob: a word in which `*` stands for any run of characters, also none.

use std::fmt;

/// A pattern such as `team-*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// The pattern as it is written.
    pub fn new(text: impl Into<String>) -> Glob {
        Glob(text.into())
    }

    /// Whether all of `text` fits. Takes time in proportion to both lengths at worst.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Where to go on if what follows the last star does not fit: the star takes one more.
        let mut star = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, t));
                p += 1;
            } else if pattern.get(p) == Some(&text[t]) {
                p += 1;
                t += 1;
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, fits, others) in [
            ("team", vec!["team"], vec!["teams", "tea", ""]),
            ("team-*", vec!["team-", "team-a", "team-a-b"], vec!["team", "my-team-a"]),
            ("*", vec!["", "a", "a.b"], vec![]),
            ("*-a*b", vec!["-ab", "x-aab", "-a-ab"], vec!["ab", "-a", "-abc"]),
            ("**a", vec!["a", "ba"], vec!["ab"]),
            ("", vec![""], vec!["a"]),
            ("a.b", vec!["a.b"], vec!["axb"]),
        ] {
            let glob = Glob::new(pattern);
            for text in fits {
                assert!(glob.matches(text), "{pattern} {text}");
            }
            for text in others {
                assert!(!glob.matches(text), "{pattern} {text}");
            }
        }
    }
}
