//! Printable: text from elsewhere, as a terminal or a log may show it.
//!
//! In: any text. Out: the same, with what would do something instead of being seen written out. Never: an escape code; a mark
//! that changes in which direction what stands around it is read.

use std::borrow::Cow;

/// The text with control characters and marks of direction written as in `\u{1b}`. Its lines stay lines.
pub fn printable(text: &str) -> Cow<'_, str> {
    inert(text, |c, out| out.extend(c.escape_default()))
}

/// The text with each character that acts as `write` writes it.
pub fn inert(text: &str, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let acts = |c: char| (c.is_control() && c != '\n') || is_unseen_mark(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether a character is not seen but changes how others are read: their direction (UAX #9, explicit directional formatting and
/// implicit marks), where lines end, or which text they seem to be (zero width, tags).
pub fn is_unseen_mark(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(printable(text), expected);
    }

    #[test]
    fn what_would_move_or_paint_is_written_out() {
        check("\x1b[31mred\x07\r\u{9b}2J\x7f", r"\u{1b}[31mred\u{7}\r\u{9b}2J\u{7f}");
        check("a\u{200b}b\u{2028}c\u{feff}d\u{e0041}", r"a\u{200b}b\u{2028}c\u{feff}d\u{e0041}");
        check("a\u{202e}b\u{2066}c\u{200f}", r"a\u{202e}b\u{2066}c\u{200f}");
    }

    #[test]
    fn what_is_only_seen_stays() {
        let text = "größe{a=\"日本\"} 1\n\\n שלום\n";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }
}
