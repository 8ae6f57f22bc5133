//! Reason: why a receiver takes a sample never, as far as its words tell.
//!
//! In: the start of an answer's body. Out: one of a few reasons. Never: a decision that rests on it alone; receivers' words are
//! theirs to change.

use super::Error;

/// Why a receiver refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has a newer sample of the series.
    OutOfOrder,
    /// It has another value for the timestamp.
    Duplicate,
    /// It takes nothing of that time any more.
    TooOld,
    /// Its limits on labels, series or sizes.
    Limit,
    /// It takes no native histograms.
    Histograms,
    /// It says that it took the request, and did not write all of it.
    Unwritten,
    /// It does not say, or nothing of these.
    Other,
}

/// What receivers say, in small letters and without anything else: Prometheus and Thanos in sentences, Mimir and Cortex with
/// identifiers in them.
const WORDS: [(&str, Reason); 16] = [
    ("nativehistogramsaredisabled", Reason::Histograms),
    ("nativehistogramingestionisdisabled", Reason::Histograms),
    ("outoforder", Reason::OutOfOrder),
    ("duplicatesample", Reason::Duplicate),
    ("duplicatetimestamp", Reason::Duplicate),
    ("newvaluefortimestamp", Reason::Duplicate),
    ("outofbounds", Reason::TooOld),
    ("tooold", Reason::TooOld),
    ("toofarinthepast", Reason::TooOld),
    ("limit", Reason::Limit),
    ("toolong", Reason::Limit),
    ("toolarge", Reason::Limit),
    ("toomany", Reason::Limit),
    ("toobig", Reason::Limit),
    ("exceed", Reason::Limit),
    ("maxlabel", Reason::Limit),
];

impl Reason {
    /// What `message` tells.
    pub fn told(message: &str) -> Reason {
        let letters = message.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase());
        let letters: String = letters.collect();
        WORDS.iter().find(|(words, _)| letters.contains(words)).map_or(Reason::Other, |(_, reason)| *reason)
    }

    /// Whether it is that there is something as new already.
    pub fn is_old(self) -> bool {
        matches!(self, Reason::OutOfOrder | Reason::Duplicate | Reason::TooOld)
    }
}

impl Error {
    /// Why a request was refused.
    pub fn reason(&self) -> Reason {
        match self {
            Error::Refused { status, .. } if status.as_u16() == 413 => Reason::Limit,
            Error::Refused { message, .. } => Reason::told(message),
            Error::Partial { source, .. } => source.reason(),
            Error::Histograms { .. } => Reason::Histograms,
            Error::Short { .. } => Reason::Unwritten,
            _ => Reason::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_receivers_say_is_understood() {
        for (said, reason) in [
            ("out of order sample", Reason::OutOfOrder),
            ("duplicate sample for timestamp", Reason::Duplicate),
            ("out of bounds", Reason::TooOld),
            ("too old sample", Reason::TooOld),
            (
                "failed pushing to ingester: user=x: the sample has been rejected (err-mimir-sample-out-of-order)",
                Reason::OutOfOrder,
            ),
            (
                "the sample has been rejected because its timestamp is too old (err-mimir-sample-timestamp-too-old)",
                Reason::TooOld,
            ),
            ("new value for timestamp", Reason::Duplicate),
            (
                "received a series whose number of labels exceeds the limit (err-mimir-max-label-names-per-series)",
                Reason::Limit,
            ),
            ("native histograms are disabled", Reason::Histograms),
            ("snappy: corrupt input", Reason::Other),
            ("", Reason::Other),
        ] {
            assert_eq!(Reason::told(said), reason, "{said}");
        }
    }
}
