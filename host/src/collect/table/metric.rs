//! Metric: what a result's raw label object says.
//!
//! In: the raw bytes, as the query API writes them (a JSON object) or as remote read does (protobuf). Out: the series' identity, as
//! far as Sluice is concerned. Never: an identity guessed from bytes that are not one flat list of names and values.

use crate::model::Labels;

use super::super::json::{Cursor, Stop};
use super::super::read::{Fields, LABEL, Value};
use super::super::text::unescape;

/// Labels read from one raw object, in its order; reused from object to object.
#[derive(Debug, Default)]
pub(super) struct Metric {
    text: String,
    /// Where names and values end in `text`.
    ends: Vec<usize>,
}

/// Why a result has no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Void {
    /// It has no metric name, so no pattern can have asked for it.
    Nameless,
    /// A label stands twice, or has no name.
    Illegal,
}

impl Metric {
    /// Reads one raw object, in either form: no object of JSON begins with the byte that every label of protobuf begins with.
    pub(super) fn read(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        self.text.clear();
        self.ends.clear();
        match raw.first() {
            Some(&LABEL) => self.read_protobuf(raw),
            _ => self.read_json(raw),
        }
    }

    fn read_protobuf(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        let mut labels = Fields::new(raw);
        while let Some(label) = labels.next().map_err(|broken| broken.what)? {
            let (1, Value::Bytes(label)) = label else { return Err("expected a label") };
            let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
            let mut fields = Fields::new(label);
            while let Some(field) = fields.next().map_err(|broken| broken.what)? {
                match field {
                    (1, Value::Bytes(text)) => name = text,
                    (2, Value::Bytes(text)) => value = text,
                    _ => {}
                }
            }
            for text in [name, value] {
                self.text.push_str(str::from_utf8(text).map_err(|_| "a label is not UTF-8")?);
                self.ends.push(self.text.len());
            }
        }
        Ok(())
    }

    fn read_json(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        let mut cursor = Cursor::new(raw, 0);
        let mut more = cursor.open(b'{', b'}', "expected an object of labels").map_err(words)?;
        while more {
            let name = cursor.key().map_err(words)?;
            self.push(name)?;
            let value = cursor.string().map_err(words)?;
            self.push(value)?;
            more = cursor.more(b'}').map_err(words)?;
        }
        match cursor.at == raw.len() {
            true => Ok(()),
            false => Err("expected an object of labels"),
        }
    }

    fn push(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        unescape(raw, &mut self.text)?;
        self.ends.push(self.text.len());
        Ok(())
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.chunks_exact(2).map(move |ends| {
            let pair = (&self.text[start..ends[0]], &self.text[ends[0]..ends[1]]);
            start = ends[1];
            pair
        })
    }

    /// The value of `name` as the source has it; empty if it has none.
    pub(super) fn value(&self, name: &str) -> &str {
        self.pairs().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// The series' identity: the source's own external labels taken off, `added` put on where the series has no such
    /// label itself.
    pub(super) fn identity(&self, external: &Labels, added: &Labels) -> Result<Labels, Void> {
        let mut pairs: Vec<_> =
            self.pairs().filter(|(n, v)| !v.is_empty() && external.get(n) != Some(*v)).collect();
        let own = pairs.len();
        for pair in added.iter() {
            if !pairs[..own].iter().any(|(name, _)| *name == pair.0) {
                pairs.push(pair);
            }
        }
        let labels = Labels::from_vec(&mut pairs).map_err(|_| Void::Illegal)?;
        labels.metric_name().is_some().then_some(()).ok_or(Void::Nameless)?;
        Ok(labels)
    }
}

fn words(stop: Stop) -> &'static str {
    match stop {
        Stop::Incomplete => "expected an object of labels",
        Stop::Malformed(what) => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str) -> Result<String, Void> {
        let external = Labels::from_pairs([("region", "eu"), ("cluster", "x")]).unwrap();
        let added = Labels::from_pairs([("cluster", "added"), ("zone", "z")]).unwrap();
        let mut metric = Metric::default();
        metric.read(raw.as_bytes()).unwrap();
        metric.identity(&external, &added).map(|labels| labels.to_string())
    }

    #[test]
    fn external_labels_go_and_source_labels_come_unless_the_series_has_them() {
        for (raw, identity) in [
            (r#"{"__name__":"up","a":"1"}"#, r#"up{a="1",cluster="added",zone="z"}"#),
            (r#"{"__name__":"up","region":"eu","cluster":"x"}"#, r#"up{cluster="added",zone="z"}"#),
            (
                r#"{"__name__":"up","region":"us","zone":"own"}"#,
                r#"up{cluster="added",region="us",zone="own"}"#,
            ),
            (r#"{"__name__":"up","zone":""}"#, r#"up{cluster="added",zone="z"}"#),
            (r#" { "__name__" : "up" , "a" : "\u0031" } "#.trim(), r#"up{a="1",cluster="added",zone="z"}"#),
        ] {
            assert_eq!(check(raw).as_deref(), Ok(identity), "{raw}");
        }
    }

    #[test]
    fn a_result_without_identity_is_told_apart() {
        assert_eq!(check("{}"), Err(Void::Nameless));
        assert_eq!(check(r#"{"a":"1"}"#), Err(Void::Nameless));
        assert_eq!(check(r#"{"__name__":"up","a":"1","a":"2"}"#), Err(Void::Illegal));
        assert_eq!(check(r#"{"__name__":"up","":"2"}"#), Err(Void::Illegal));
    }

    #[test]
    fn what_is_no_flat_object_of_strings_is_refused() {
        for raw in [
            "",
            "{",
            "[]",
            r#"{"a":1}"#,
            r#"{"a":{}"#,
            r#"{"a"}"#,
            r#"{"a":"b",}"#,
            "{\"a\":\"\\ud800\"}",
            "{}x",
        ] {
            assert!(Metric::default().read(raw.as_bytes()).is_err(), "{raw}");
        }
    }
}
