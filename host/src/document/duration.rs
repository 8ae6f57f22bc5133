//! Durations as Go's `time.ParseDuration` reads them: `30s`, `1m30s`, `1.5h`, `100ms`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration written Go's way. Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub Duration);

/// Go's units, in nanoseconds; `µs` is written with either of the two letters mu.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go counts durations in signed 64-bit nanoseconds: about 292 years.
const NANOS_MAX: u128 = i64::MAX as u128;

impl GoDuration {
    /// Reads what Go would read; `None` for everything else, and for negative durations.
    pub fn parse(text: &str) -> Option<GoDuration> {
        if text == "0" {
            return Some(GoDuration(Duration::ZERO));
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        let mut nanos = 0_u128;
        while !rest.is_empty() {
            let (part, after) = parse_part(rest)?;
            nanos = nanos.checked_add(part).filter(|total| *total <= NANOS_MAX)?;
            rest = after;
        }
        (!text.is_empty() && text != "+").then(|| GoDuration(Duration::from_nanos(nanos as u64)))
    }

    /// What a person who wrote `text` probably meant, in a form that parses.
    pub fn suggest(text: &str) -> Option<String> {
        let squeezed: String = text.to_lowercase().split_whitespace().collect();
        let split = squeezed.find(|c: char| c.is_alphabetic()).unwrap_or(squeezed.len());
        let (number, unit) = squeezed.split_at(split);
        let short = match unit {
            "" | "sec" | "secs" | "second" | "seconds" => "s",
            "min" | "mins" | "minute" | "minutes" => "m",
            "hr" | "hrs" | "hour" | "hours" => "h",
            "millisecond" | "milliseconds" | "msec" => "ms",
            "d" | "day" | "days" => return whole_days(number),
            _ => unit,
        };
        let guess = format!("{number}{short}");
        GoDuration::parse(&guess).map(|_| guess)
    }
}

fn whole_days(number: &str) -> Option<String> {
    let hours = number.parse::<u64>().ok()?.checked_mul(24)?;
    GoDuration::parse(&format!("{hours}h")).map(|d| d.to_string())
}

/// One number with its unit, in nanoseconds, and what follows it.
fn parse_part(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    // Digits below a nanosecond's hundredth cannot change the result; Go drops them as well.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let below = u128::from(part) * scale / 10_u128.pow(fraction.len() as u32);
    Some((u128::from(whole) * scale + below, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// As short as it can be said: `30s`, `1m30s`, `1h`, `100ms`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in [UNITS[7], UNITS[6], UNITS[5], UNITS[4], UNITS[1], UNITS[0]] {
            if nanos >= scale {
                write!(f, "{}{unit}", nanos / scale)?;
                nanos %= scale;
            }
        }
        Ok(())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration; write \"30s\", \"1m30s\" or \"1.5h\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
        let refused = || match GoDuration::suggest(text) {
            Some(meant) => {
                let expected = format!("a duration; write \"{meant}\"");
                E::invalid_value(Unexpected::Str(text), &expected.as_str())
            }
            None => E::invalid_value(Unexpected::Str(text), &self),
        };
        GoDuration::parse(text).ok_or_else(refused)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<GoDuration, E> {
        // A large number is as likely one of milliseconds.
        let expected = match number {
            0..100 => format!("a duration; write \"{number}s\""),
            _ => format!("a duration; write its unit, as in \"{number}s\" or \"{number}ms\""),
        };
        Err(E::invalid_value(Unexpected::Unsigned(number), &expected.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        // Rows of Go's own table (src/time/time_test.go), without the negative ones.
        let rows: [(&str, u64); 14] = [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("5.6s", 5_600_000_000),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.004s", 1_004_000_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("3h30m", 12_600_000_000_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
            ("1m30s", 90_000_000_000),
        ];
        for (text, nanos) in rows {
            assert_eq!(GoDuration::parse(text), Some(GoDuration(Duration::from_nanos(nanos))), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "3",
            "-",
            "+",
            "s",
            ".",
            "-5s",
            ".s",
            "+.s",
            "1d",
            "30 s",
            "9223372036854775808ns",
            "3000000h",
        ] {
            assert_eq!(GoDuration::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_suggestion_is_what_was_meant() {
        for (text, meant) in [
            ("30 s", Some("30s")),
            ("30", Some("30s")),
            ("5 minutes", Some("5m")),
            ("1d", Some("24h")),
            ("1M", Some("1m")),
            ("soon", None),
            ("-5s", None),
        ] {
            assert_eq!(GoDuration::suggest(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn a_duration_prints_in_its_shortest_form() {
        for text in ["30s", "1m30s", "1h", "100ms", "1h1ms", "0s"] {
            assert_eq!(GoDuration::parse(text).unwrap().to_string(), text);
        }
    }
}
