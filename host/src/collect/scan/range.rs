//! Range: a result with its values at several ticks, as a range query has it.

use std::ops::Range;

use super::super::json::{Cursor, Stop};
use super::value;
use super::{NOT_ASKED_FOR, Sample, labels};
use crate::model::Timestamp;

/// Reads one result: where its labels stand, and into `samples` what it has at which moment; `place` says what a moment is called.
pub(super) fn element<P: Ord + Copy>(
    cursor: &mut Cursor<'_>,
    place: impl Fn(Timestamp) -> Result<P, Stop> + Copy,
    samples: &mut Vec<(P, Sample)>,
) -> Result<Range<usize>, Stop> {
    samples.clear();
    let (mut metric, mut values, mut histograms) = (None, false, false);
    let mut more = cursor.open(b'{', b'}', "expected a result: is it a matrix?")?;
    while more {
        match cursor.key()? {
            b"metric" if metric.is_none() => metric = Some(labels(cursor)?),
            b"values" if !values => {
                values = true;
                list(cursor, place, samples, |cursor| {
                    let value = value::value(cursor.string()?);
                    value.map(Sample::Float).ok_or(Stop::Malformed("expected a sample value"))
                })?;
            }
            b"histograms" if !histograms => {
                histograms = true;
                list(cursor, place, samples, |cursor| cursor.value().map(|_| Sample::Histogram))?;
            }
            b"metric" | b"values" | b"histograms" => return Err(Stop::Malformed("a field is given twice")),
            b"value" | b"histogram" => return Err(Stop::Malformed("one sample instead of a range")),
            _ => drop(cursor.value()?),
        }
        more = cursor.more(b'}')?;
    }
    // A series can have floats at some ticks and histograms at others, never both at one.
    samples.sort_unstable_by_key(|(at, _)| *at);
    if samples.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Stop::Malformed("a result has two samples at one moment"));
    }
    match samples.is_empty() {
        true => Err(Stop::Malformed("a result without 'values'")),
        false => metric.ok_or(Stop::Malformed("a result without 'metric'")),
    }
}

/// Reads `[[timestamp, …], …]`.
fn list<P>(
    cursor: &mut Cursor<'_>,
    place: impl Fn(Timestamp) -> Result<P, Stop>,
    samples: &mut Vec<(P, Sample)>,
    sample: impl Fn(&mut Cursor<'_>) -> Result<Sample, Stop>,
) -> Result<(), Stop> {
    let mut more = cursor.open(b'[', b']', "expected a list of samples")?;
    while more {
        cursor.take(b'[', "expected [timestamp, …]")?;
        let moment = value::seconds(cursor.number()?);
        let at = place(moment.ok_or(NOT_ASKED_FOR)?)?;
        cursor.take(b',', "expected ',' and a sample")?;
        samples.push((at, sample(cursor)?));
        cursor.take(b']', "expected ']'")?;
        more = cursor.more(b']')?;
    }
    Ok(())
}
