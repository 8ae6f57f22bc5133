//! Samples: an answer with plain samples, a `prometheus.ReadResponse`.

use super::wire::{Broken, Fields, Value};
use super::{Cause, Columns, Runs, Window, histogram, malformed, refused};

/// What a series that comes with nothing at all has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing, as far as is known.
    Nothing,
    /// Native histograms, of which a server before 2.44 says nothing.
    Histograms,
}

/// Reads one whole answer, uncompressed: how many series came with nothing at all.
pub fn samples(
    response: &[u8],
    window: Window,
    silence: Silence,
    runs: &mut impl Runs,
) -> Result<usize, Cause> {
    let mut samples = Samples::new(response, window, silence);
    while samples.read(usize::MAX, runs)? {}
    Ok(samples.silent)
}

/// An answer that is read in turns with other work.
#[derive(Debug)]
pub struct Samples<'a> {
    window: Window,
    silence: Silence,
    columns: Columns,
    response: Fields<'a>,
    /// The result at work, and where it stands.
    result: Option<(Fields<'a>, usize)>,
    results: usize,
    /// Series that came with nothing at all, so far.
    pub silent: usize,
}

impl<'a> Samples<'a> {
    /// Of a whole answer, uncompressed.
    pub fn new(response: &'a [u8], window: Window, silence: Silence) -> Samples<'a> {
        let (response, columns) = (Fields::new(response), Columns::default());
        Samples { window, silence, columns, response, result: None, results: 0, silent: 0 }
    }

    /// Reads series that take so many bytes, or one; whether there is more.
    pub fn read(&mut self, bytes: usize, runs: &mut impl Runs) -> Result<bool, Cause> {
        let mut read = 0;
        while read < bytes {
            let Some((series, offset)) = self.next()? else { return Ok(false) };
            read += series.len();
            let has_any = one(series, offset, (self.window, self.silence), &mut self.columns, runs)?;
            self.silent += usize::from(!has_any);
        }
        Ok(true)
    }

    /// The next series, and where it stands.
    fn next(&mut self) -> Result<Option<(&'a [u8], usize)>, Cause> {
        loop {
            if let Some((series, start)) = &mut self.result {
                if let Some(inner) = message(series)? {
                    return Ok(Some((inner, *start + series.at - inner.len())));
                }
                self.result = None;
            }
            let Some(result) = message(&mut self.response)? else { break };
            self.results += 1;
            self.result = Some((Fields::new(result), self.response.at - result.len()));
        }
        match self.results {
            1 => Ok(None),
            _ => Err(malformed(self.response.at, "expected one result, for the one query")),
        }
    }
}

/// The next message in field 1.
fn message<'a>(fields: &mut Fields<'a>) -> Result<Option<&'a [u8]>, Cause> {
    while let Some(field) = fields.next().map_err(broken)? {
        if let (1, Value::Bytes(inner)) = field {
            return Ok(Some(inner));
        }
    }
    Ok(None)
}

/// One `prometheus.TimeSeries`; whether it has anything.
fn one(
    series: &[u8],
    offset: usize,
    (window, silence): (Window, Silence),
    columns: &mut Columns,
    runs: &mut impl Runs,
) -> Result<bool, Cause> {
    columns.clear();
    let (mut labels, mut left_out, mut has_any) = (0, 0, false);
    let mut fields = Fields::new(series);
    let at = |broken: Broken| malformed(offset + broken.at, broken.what);
    loop {
        let start = fields.at;
        match fields.next().map_err(at)? {
            // They stand first and together, as every encoder writes them: what lies between is the key.
            Some((1, Value::Bytes(_))) if start == labels => labels = fields.at,
            Some((1, _)) => return Err(malformed(offset + start, "a label stands behind the samples")),
            Some((2, Value::Bytes(sample))) => {
                has_any = true;
                let (time, value) = pair(sample).map_err(at)?;
                columns.push(&window, time, value);
                columns.within_bounds().map_err(|what| malformed(offset + start, what))?;
            }
            Some((4, Value::Bytes(message))) => {
                has_any = true;
                let (time, sum) = histogram::told(message).map_err(at)?;
                if window.has(time) {
                    match histogram::copied(message) {
                        Some(message) => columns.push_histogram(time, sum, message),
                        None => left_out += 1,
                    }
                }
                columns.within_bounds().map_err(|what| malformed(offset + start, what))?;
            }
            Some(_) => {}
            None => break,
        }
    }
    if !has_any && silence == Silence::Histograms {
        left_out += 1;
    }
    let given = runs.run(&series[..labels], columns.run(), left_out);
    given.map(|()| has_any).map_err(|refusal| refused(offset, refusal))
}

/// A `prometheus.Sample`.
fn pair(sample: &[u8]) -> Result<(i64, f64), Broken> {
    let (mut time, mut value) = (0, 0);
    let mut fields = Fields::new(sample);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Fixed64(bits)) => value = bits,
            (2, Value::Varint(millis)) => time = millis as i64,
            _ => {}
        }
    }
    Ok((time, f64::from_bits(value)))
}

fn broken(broken: Broken) -> Cause {
    malformed(broken.at, broken.what)
}
