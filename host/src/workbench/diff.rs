//! Diff: which lines are missing, and which are too many.
//!
//! Samples have no order, so what is compared are sorted lines; a missing one stands beside the one it became, as far as their
//! order brings them together.

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In both.
    Both,
    /// Expected, and not there.
    Missing,
    /// There, and not expected.
    Extra,
}

/// A line of a comparison.
pub type Line<'a> = (Side, &'a str);

/// Compares two sorted lists; a line that is there twice counts twice.
pub fn diff<'a>(expected: &'a [String], actual: &'a [String]) -> Vec<Line<'a>> {
    let (mut expected, mut actual) = (expected.iter().peekable(), actual.iter().peekable());
    let mut lines = Vec::new();
    loop {
        let line = match (expected.peek(), actual.peek()) {
            (None, None) => return lines,
            (Some(due), Some(there)) if due == there => {
                actual.next();
                (Side::Both, expected.next())
            }
            (Some(due), Some(there)) if due > there => (Side::Extra, actual.next()),
            (Some(_), _) => (Side::Missing, expected.next()),
            (None, Some(_)) => (Side::Extra, actual.next()),
        };
        lines.push((line.0, line.1.expect("it was peeked at").as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(expected: &str, actual: &str) -> String {
        let lines =
            |text: &str| text.split(' ').filter(|l| !l.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let sign = |side| match side {
            Side::Both => '=',
            Side::Missing => '-',
            Side::Extra => '+',
        };
        diff(&lines(expected), &lines(actual))
            .iter()
            .map(|(side, line)| format!("{}{line}", sign(*side)))
            .collect()
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told_in_order() {
        assert_eq!(compared("a b c", "a b c"), "=a=b=c");
        assert_eq!(compared("a c d", "a b d"), "=a+b-c=d");
        assert_eq!(compared("a", ""), "-a");
        assert_eq!(compared("", "a a"), "+a+a");
        assert_eq!(compared("a a", "a"), "=a-a");
    }
}
