//! Read: samples from Prometheus' text format, or OpenMetrics.
//!
//! Comments, types and exemplars are skipped: whoever reads here wants samples.

use crate::model::{Labels, METRIC_NAME, Timestamp};

/// The line with which OpenMetrics ends an exposition. What follows is the next one: the same series at a later time.
const END: &str = "# EOF";

/// Timestamps below this are seconds, as OpenMetrics has them, others milliseconds, as Prometheus' own format has them.
/// (In milliseconds this is 1973.)
const SECONDS_MAX: f64 = 1e11;

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series.
    pub labels: Labels,
    /// The value.
    pub value: f64,
    /// Its time, if the line has one.
    pub at: Option<Timestamp>,
}

/// A line that is no sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct Unreadable {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub cause: String,
}

/// The samples of each exposition in `text`: there are several if all but the last are followed by `# EOF`.
///
/// # Errors
/// The first line that is no sample.
pub fn parse(text: &str) -> Result<Vec<Vec<Sample>>, Unreadable> {
    let mut expositions = vec![Vec::new()];
    let mut ended = false;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line == END {
            ended = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            if std::mem::take(&mut ended) {
                expositions.push(Vec::new());
            }
            let sample = sample(line).map_err(|cause| Unreadable { line: number + 1, cause })?;
            expositions.last_mut().expect("there is one").push(sample);
        }
    }
    Ok(expositions)
}

fn sample(line: &str) -> Result<Sample, String> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace());
    let (name, rest) = line.split_at(name_end.ok_or("a sample needs a value after its name")?);
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('{') {
        Some(inside) => labels(inside, &mut pairs)?,
        None => rest,
    };
    let (value, at) = value(rest)?;
    let labels = Labels::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    let labels = labels.map_err(|error| error.to_string())?;
    if labels.metric_name().is_none() {
        return Err("a sample needs a metric name: name{label=\"value\"} 1".into());
    }
    Ok(Sample { labels, value, at })
}

/// Reads `a="b",…}`, or `"name",a="b",…}`, and returns what follows.
fn labels<'a>(mut text: &'a str, pairs: &mut Vec<(String, String)>) -> Result<&'a str, String> {
    loop {
        text = text.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(after) = text.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = text.find(['=', ',', '}']).ok_or("the labels have no closing brace")?;
                (text[..end].trim().to_owned(), &text[end..])
            }
        };
        let after = after.trim_start();
        let Some(after) = after.strip_prefix('=') else {
            // A quoted name alone is the metric's.
            if text.starts_with('"') {
                pairs.push((METRIC_NAME.to_owned(), name));
                text = after;
                continue;
            }
            return Err(format!("label {name} needs a value: {name}=\"…\""));
        };
        let quoted = after.trim_start().strip_prefix('"');
        let quoted = quoted.ok_or_else(|| format!("the value of label {name} stands in double quotes"))?;
        let (value, after) = unquote(quoted)?;
        pairs.push((name, value));
        text = after;
    }
}

/// Reads up to the closing quote, and returns the text and what follows.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            _ => value.push(c),
        }
    }
    Err("a quote is not closed".into())
}

/// Reads a value, and a timestamp if there is one; an exemplar behind them is skipped.
fn value(text: &str) -> Result<(f64, Option<Timestamp>), String> {
    let text = text.split_once(" # ").map_or(text, |(sample, _)| sample);
    let mut words = text.split_whitespace();
    let value = words.next().ok_or("a sample needs a value")?;
    let value = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    let at = words.next().map(time).transpose()?;
    match words.next() {
        Some(word) => Err(format!("{word:?} is too much: a value and a timestamp are all")),
        None => Ok((value, at)),
    }
}

fn time(word: &str) -> Result<Timestamp, String> {
    let number: f64 = word
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| format!("{word:?} is no timestamp: write milliseconds since 1970, or nothing"))?;
    let millis = if number.abs() < SECONDS_MAX { number * 1000.0 } else { number };
    Ok(Timestamp(millis.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::super::write_untimed;
    use super::*;

    fn read(line: &str) -> Result<(String, Option<i64>), String> {
        let samples = parse(line).map_err(|error| error.to_string())?;
        let [sample] = &samples[0][..] else { return Err("not one sample".into()) };
        let mut text = String::new();
        write_untimed(&mut text, &sample.labels, sample.value);
        Ok((text.trim_end().to_owned(), sample.at.map(Timestamp::as_millis)))
    }

    #[test]
    fn samples_are_read_in_every_form_that_servers_write() {
        for (line, expected, at) in [
            ("up 1", "up 1", None),
            (r#"up{job="a",b=""} 1 1700000000000"#, r#"up{job="a"} 1"#, Some(1_700_000_000_000)),
            ("up 1 1700000000.5", "up 1", Some(1_700_000_000_500)),
            (r#"up{ job = "a" , } +Inf"#, r#"up{job="a"} +Inf"#, None),
            (r#"m{a="q\"\\z\n",b="}, ="} NaN"#, r#"m{a="q\"\\z\n",b="}, ="} NaN"#, None),
            (r#"{"up",job="a"} 1e3"#, r#"up{job="a"} 1000"#, None),
            (r##"h_bucket{le="1"} 3 # {trace="x"} 0.5 1.7"##, r#"h_bucket{le="1"} 3"#, None),
        ] {
            assert_eq!(read(line), Ok((expected.to_owned(), at)), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_sample_is_named() {
        for (line, cause) in [
            ("up", "a sample needs a value after its name"),
            ("up{a} 1", r#"label a needs a value: a="…""#),
            ("up{a=b} 1", "the value of label a stands in double quotes"),
            (r#"up{a="b} 1"#, "a quote is not closed"),
            (r#"up{a="b" 1"#, "the labels have no closing brace"),
            (r#"up{a="b",a="c"} 1"#, r#"label "a" is given twice"#),
            (r#"{a="b"} 1"#, r#"a sample needs a metric name: name{label="value"} 1"#),
            (r#"up{a="b"}"#, "a sample needs a value"),
            ("up one", r#""one" is no number"#),
            ("up 1 now", r#""now" is no timestamp: write milliseconds since 1970, or nothing"#),
            ("up 1 2 3", r#""3" is too much: a value and a timestamp are all"#),
        ] {
            let text = format!("# HELP up Up.\n{line}\n");
            assert_eq!(parse(&text).unwrap_err().to_string(), format!("line 2: {cause}"));
        }
    }

    #[test]
    fn what_follows_an_end_is_the_next_exposition() {
        let lengths = |text| parse(text).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths("a 1\nb 2\n# EOF\n\na 2\n# EOF\n"), [2, 1]);
        assert_eq!(lengths("a 1\n# EOF"), [1]);
        assert_eq!(lengths(""), [0]);
    }
}
