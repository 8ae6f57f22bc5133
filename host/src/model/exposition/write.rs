//! Write: one sample as a line of Prometheus' text format.

use std::fmt::Write as _;

use crate::model::{Labels, METRIC_NAME, Timestamp};

/// Appends `name{label="value",…} value timestamp`, escaped as the text format asks, and a line break. A name the
/// format cannot write bare is given as a quoted `__name__`, which a reader can paste into a query.
pub fn write_sample(out: &mut String, labels: &Labels, value: f64, at: Timestamp) {
    write_untimed(out, labels, value);
    out.pop();
    let _ = writeln!(out, " {}", at.as_millis());
}

/// As [`write_sample`], without a timestamp.
pub fn write_untimed(out: &mut String, labels: &Labels, value: f64) {
    let name = labels.metric_name().unwrap_or_default();
    let bare = is_metric_name(name);
    if bare {
        out.push_str(name);
    }
    let mut separator = '{';
    for (label, value) in labels.iter().filter(|(label, _)| !(bare && *label == METRIC_NAME)) {
        out.push(separator);
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value);
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    out.push(' ');
    match value {
        v if v.is_nan() => out.push_str("NaN"),
        f64::INFINITY => out.push_str("+Inf"),
        f64::NEG_INFINITY => out.push_str("-Inf"),
        v => _ = write!(out, "{v}"),
    }
    out.push('\n');
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let starts = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b':';
    bytes.next().is_some_and(starts) && bytes.all(|b| starts(b) || b.is_ascii_digit())
}

fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pairs: &[(&str, &str)], value: f64) -> String {
        let mut out = String::new();
        write_sample(&mut out, &Labels::from_pairs(pairs.iter().copied()).unwrap(), value, Timestamp(1_500));
        out
    }

    #[test]
    fn samples_are_written_as_the_text_format_wants_them() {
        assert_eq!(written(&[("__name__", "up")], 1.0), "up 1 1500\n");
        assert_eq!(written(&[("__name__", "up"), ("a", "x")], f64::NAN), "up{a=\"x\"} NaN 1500\n");
        let nasty = written(&[("__name__", "up"), ("a", "\\ \"é\"\n"), ("b", "1")], f64::NEG_INFINITY);
        assert_eq!(nasty, "up{a=\"\\\\ \\\"é\\\"\\n\",b=\"1\"} -Inf 1500\n");
        assert_eq!(written(&[("__name__", "a.b")], 0.1), "{__name__=\"a.b\"} 0.1 1500\n");
    }
}
