//! Reference: what serde_json reads of an answer of the query API.
//!
//! In: a body. Out: its results as they stand, or nothing where it is no JSON, or of another shape.
//! Never: a judgement; that is the scanner's.
//!
//! Of a field that stands twice the last one counts. A key that is written with escapes is not read, since the scanner
//! compares keys as they stand and no server writes them so; such an answer is compared with nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The document, as far as the scanner looks at it.
#[derive(Default)]
pub(crate) struct Document<'a> {
    pub(crate) status: String,
    pub(crate) is_partial: bool,
    pub(crate) warnings: usize,
    pub(crate) result_types: Vec<String>,
    pub(crate) results: Option<Vec<Element<'a>>>,
    /// Whether a field stands twice that may not.
    pub(crate) twice: bool,
    has_data: bool,
}

/// One result.
#[derive(Default)]
pub(crate) struct Element<'a> {
    pub(crate) metric: Option<&'a RawValue>,
    pub(crate) value: Option<(&'a RawValue, String)>,
    pub(crate) values: Option<Vec<(&'a RawValue, String)>>,
    /// When native histograms are of.
    pub(crate) histogram: Option<&'a RawValue>,
    pub(crate) histograms: Option<Vec<&'a RawValue>>,
    /// Whether a field stands twice.
    pub(crate) twice: bool,
}

/// Labels in their order, one name perhaps twice.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Option<Document<'_>> {
    serde_json::from_slice(body).ok()
}

/// Reads the labels of a result.
pub(crate) fn pairs(metric: &RawValue) -> Option<Vec<(String, String)>> {
    serde_json::from_str::<Pairs>(metric.get()).ok().map(|pairs| pairs.0)
}

/// A number of seconds as milliseconds.
pub(crate) fn millis(moment: &RawValue) -> Option<i64> {
    let seconds: f64 = moment.get().parse().ok()?;
    Some((seconds * 1000.0).round() as i64)
}

/// What is filled field by field.
trait Fields<'de>: Default {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error>;
}

struct Filling<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for Filling<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut filled = T::default();
        // Borrowed, so that one with an escape is an error.
        while let Some(key) = map.next_key::<&str>()? {
            filled.field(key, &mut map)?;
        }
        Ok(filled)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Document<'a>, D::Error> {
        from.deserialize_map(Filling(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Element<'a>, D::Error> {
        from.deserialize_map(Filling(PhantomData))
    }
}

impl<'de: 'a, 'a> Fields<'de> for Document<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "status" => self.status = map.next_value()?,
            "isPartial" => self.is_partial = map.next_value()?,
            "warnings" => self.warnings = map.next_value::<Option<Vec<String>>>()?.unwrap_or_default().len(),
            "error" | "errorType" => drop(map.next_value::<String>()?),
            "data" => {
                if let Some(Data { result_types, results, twice }) = map.next_value()? {
                    self.twice |= twice || std::mem::replace(&mut self.has_data, true);
                    (self.result_types, self.results) = (result_types, results);
                }
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Data<'a> {
    result_types: Vec<String>,
    results: Option<Vec<Element<'a>>>,
    twice: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Data<'a>, D::Error> {
        from.deserialize_map(Filling(PhantomData))
    }
}

impl<'de: 'a, 'a> Fields<'de> for Data<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        match key {
            "resultType" => self.result_types.push(map.next_value()?),
            "result" => {
                let results = map.next_value::<Option<_>>()?.unwrap_or_default();
                self.twice |= self.results.replace(results).is_some();
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Fields<'de> for Element<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        type Moment<'a> = (&'a RawValue, IgnoredAny);
        self.twice |= match key {
            "metric" => self.metric.replace(map.next_value()?).is_some(),
            "value" => self.value.replace(map.next_value()?).is_some(),
            "values" => self.values.replace(map.next_value()?).is_some(),
            "histogram" => self.histogram.replace(map.next_value::<Moment<'a>>()?.0).is_some(),
            "histograms" => {
                let all = map.next_value::<Vec<Moment<'a>>>()?;
                self.histograms.replace(all.into_iter().map(|(moment, _)| moment).collect()).is_some()
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
                false
            }
        };
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                if pairs.len() > 1_000 {
                    return Err(M::Error::custom("more labels than are compared"));
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(All)
    }
}
