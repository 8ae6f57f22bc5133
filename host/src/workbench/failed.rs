//! Failed: a filter that failed at its work, and among which series it did.
//!
//! In: the rows of the call that failed. Out: an error that names the first one and the last one. Never: all of a batch, or more
//! than the beginning of a long series.

use std::fmt;

use crate::filter;
use crate::model::Labels;

/// Of a series, in bytes.
const SERIES_BYTES_MAX: usize = 300;

/// A filter failed at its work.
#[derive(Debug)]
pub struct Failed {
    cause: filter::Error,
    call: Call,
    rows: usize,
    ends: Option<[String; 2]>,
    scrape: usize,
    culprit: Option<String>,
}

/// What a filter was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// To judge series.
    Classify,
    /// To look at samples.
    Process,
}

impl Failed {
    /// In a call with these rows, by the labels that they came with.
    pub(super) fn among<'a>(
        cause: filter::Error,
        call: Call,
        mut rows: impl ExactSizeIterator<Item = &'a Labels> + DoubleEndedIterator,
    ) -> Box<Failed> {
        let count = rows.len();
        let first = rows.next();
        let ends = first.map(|first| [first, rows.next_back().unwrap_or(first)].map(told));
        Box::new(Failed { cause, call, rows: count, ends, scrape: 1, culprit: None })
    }

    /// In which scrape, counted from 1.
    pub(super) fn in_scrape(mut self: Box<Failed>, scrape: usize) -> Box<Failed> {
        self.scrape = scrape;
        self
    }

    /// With which series of the scrape it begins.
    pub(super) fn because_of(mut self: Box<Failed>, culprit: &Labels) -> Box<Failed> {
        self.culprit = Some(told(culprit));
        self
    }

    /// Why.
    pub fn cause(&self) -> &filter::Error {
        &self.cause
    }

    /// The series at fault; if that is not known, those that the call was about.
    pub fn at(&self) -> String {
        match (&self.culprit, &self.ends) {
            (Some(culprit), _) => culprit.clone(),
            (None, Some([first, last])) if self.rows > 1 => format!("{first} to {last}"),
            (None, Some([only, _])) => only.clone(),
            (None, None) => format!("scrape {}", self.scrape),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { cause, call, rows, ends, scrape, culprit } = self;
        write!(f, "{cause}; ")?;
        if *scrape > 1 {
            write!(f, "in scrape {scrape}, ")?;
        }
        let (asked, what) = match call {
            Call::Classify => ("it was asked about", "series"),
            Call::Process => ("it was shown", "samples"),
        };
        match ends {
            Some([only, _]) if *rows == 1 => write!(f, "{asked} {only}")?,
            Some([first, last]) => write!(f, "{asked} {rows} {what}, from {first} to {last}")?,
            None => f.write_str("it was told that the tick is over")?,
        }
        match culprit {
            Some(culprit) if *rows != 1 => write!(f, "; the first one with which it fails is {culprit}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

fn told(labels: &Labels) -> String {
    let mut text = labels.to_string();
    if text.len() > SERIES_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SERIES_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(names: &[&str]) -> Box<Failed> {
        let series: Vec<Labels> =
            names.iter().map(|name| Labels::from_pairs([("__name__", *name)]).unwrap()).collect();
        let cause = filter::Error::Refused { filter: "mine".into(), message: "no".into() };
        Failed::among(cause, Call::Classify, series.iter())
    }

    #[test]
    fn a_failure_names_the_series_that_it_was_about() {
        let told = "filter mine refuses the batch: no; it was asked about 3 series, from a{} to c{}";
        let three = failed(&["a", "b", "c"]);
        assert_eq!((three.to_string(), three.at()), (told.into(), "a{} to c{}".into()));
        let culprit = Labels::from_pairs([("__name__", "b")]).unwrap();
        let known = three.because_of(&culprit);
        let told = format!("{told}; the first one with which it fails is b{{}}");
        assert_eq!((known.to_string(), known.at()), (told, "b{}".into()));
        let one = failed(&["a"]).in_scrape(2);
        assert_eq!(one.to_string(), "filter mine refuses the batch: no; in scrape 2, it was asked about a{}");
        assert_eq!(failed(&[]).at(), "scrape 1");
        assert!(failed(&["a".repeat(400).as_str()]).at().len() < 310);
    }
}
