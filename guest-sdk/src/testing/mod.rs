//! Testing: a filter on a laptop, without a host. It runs natively, through the same code as in Wasm.
//!
//! In: a configuration as JSON and series in the text exposition format. Out: what the filter makes of them, in the
//! same format. Never: labels the host would refuse; they are an error here too.

mod bench;
mod exposition;
mod schema;

pub use bench::Bench;
pub use schema::assert_schema;

use crate::bindings::types::{self, LabelSets, Symbols, Verdicts};
use crate::dictionary::{OWN, REMOVE};
use crate::guest::Guest;
use crate::{LabelFilter, Tenant};

/// What went wrong, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Runs a filter over an exposition for a tenant named `test/test`; see [`filter_for`].
///
/// # Errors
/// As [`filter_for`].
pub fn filter<F: LabelFilter>(config_json: &str, exposition: &str) -> Result<String, Error> {
    let tenant = Tenant { namespace: "test".into(), name: "test".into(), source: String::new() };
    filter_for::<F>(&tenant, config_json, exposition)
}

/// Runs a filter over an exposition for a tenant. What is after the labels of a line, value and timestamp, stays as it is;
/// lines of dropped series are left out, comments too.
///
/// # Errors
/// The filter refuses its configuration; a line is not a sample; an edit is one that the host would refuse.
pub fn filter_for<F: LabelFilter>(
    tenant: &Tenant,
    config_json: &str,
    exposition: &str,
) -> Result<String, Error> {
    let Tenant { namespace, name, source } = tenant.clone();
    let mut guest: Guest<F> = configured(types::Tenant { namespace, name, source }, config_json)?;
    let samples = exposition::parse(exposition).map_err(Error)?;
    let (batch, names, values) = batch(&samples);
    let verdicts = guest.classify(&batch).map_err(|cause| Error(format!("classify: {cause}")))?;
    let mut out = String::new();
    for (row, sample) in samples.iter().enumerate() {
        if verdicts.keep[row / 64] >> (row % 64) & 1 == 1 {
            let labels = edited(row, &sample.labels, &verdicts, &names, &values)?;
            exposition::print(&mut out, &labels, &sample.rest);
        }
    }
    Ok(out)
}

fn configured<F: LabelFilter>(tenant: types::Tenant, config_json: &str) -> Result<Guest<F>, Error> {
    let mut guest = Guest::default();
    guest.configure(tenant, config_json).map_err(|error| {
        let place = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path) };
        Error(format!("config: {place}{}", error.message))
    })?;
    Ok(guest)
}

/// The batch the host would send, and its strings by number.
fn batch(samples: &[exposition::Sample]) -> (LabelSets, Vec<&str>, Vec<&str>) {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    let (mut pairs, mut ends) = (Vec::new(), Vec::new());
    for sample in samples {
        for (name, value) in &sample.labels {
            pairs.extend([number(&mut names, name), number(&mut values, value)]);
        }
        ends.push(pairs.len() as u32 / 2);
    }
    let series = (0..samples.len() as u32).collect();
    let batch = LabelSets { new_names: symbols(&names), new_values: symbols(&values), pairs, ends, series };
    (batch, names, values)
}

fn number<'a>(known: &mut Vec<&'a str>, text: &'a str) -> u32 {
    known.iter().position(|other| *other == text).unwrap_or_else(|| {
        known.push(text);
        known.len() - 1
    }) as u32
}

fn symbols<T: AsRef<str>>(strings: &[T]) -> Symbols {
    let (mut text, mut ends) = (String::new(), Vec::new());
    for string in strings {
        text.push_str(string.as_ref());
        ends.push(text.len() as u32);
    }
    Symbols { text, ends }
}

fn edited<T: AsRef<str>>(
    row: usize,
    labels: &[(String, String)],
    verdicts: &Verdicts,
    names: &[T],
    values: &[T],
) -> Result<Vec<(String, String)>, Error> {
    let mut labels = labels.to_vec();
    let edits = verdicts.edits.as_chunks::<3>().0.iter().filter(|edit| edit[0] as usize == row);
    for &[_, name, value] in edits {
        let name = text_of(name, names, &verdicts.new_names);
        if !exposition::is_label_name(&name) {
            return Err(Error(format!(
                "the filter sets {name:?}, which is no label name: use [a-zA-Z_][a-zA-Z0-9_]*"
            )));
        }
        labels.retain(|(other, _)| *other != name);
        if value != REMOVE {
            labels.push((name, text_of(value, values, &verdicts.new_values)));
        }
    }
    labels.sort();
    Ok(labels)
}

fn text_of<T: AsRef<str>>(number: u32, host: &[T], own: &Symbols) -> String {
    let Some(number) = number.checked_sub(OWN) else { return host[number as usize].as_ref().to_owned() };
    let start = if number == 0 { 0 } else { own.ends[number as usize - 1] as usize };
    own.text[start..own.ends[number as usize] as usize].to_owned()
}
