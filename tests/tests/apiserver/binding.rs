//! Binding: what differs between two runs of one script, and must differ in the same way.
//!
//! In: what was recorded, and what the fake answered. Out: where they differ. Never: a version, uid or token taken for
//! another one than at first sight, or versions in another order.

use std::collections::BTreeMap;

use serde_json::Value;

/// Recorded versions, uids, tokens, names and addresses, and what they are in this run.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    texts: BTreeMap<String, String>,
    versions: BTreeMap<u64, u64>,
}

/// Fields whose values are bound.
const BOUND: [&str; 5] = ["uid", "continue", "clusterIP", "name", "deletionUid"];

impl Bindings {
    /// Says that what was recorded as `recorded` is `actual` in this run.
    pub(crate) fn version(&mut self, recorded: &str, actual: &str) -> Result<(), String> {
        let (Ok(recorded), Ok(actual)) = (recorded.parse::<u64>(), actual.parse::<u64>()) else {
            return if recorded == actual { Ok(()) } else { Err(format!("{recorded:?} became {actual:?}")) };
        };
        match self.versions.get(&recorded) {
            Some(bound) if *bound != actual => Err(format!("version {recorded} is {bound}, not {actual}")),
            Some(_) => Ok(()),
            None => {
                let below =
                    self.versions.range(..recorded).next_back().is_none_or(|(_, bound)| *bound <= actual);
                let above = self.versions.range(recorded..).next().is_none_or(|(_, bound)| *bound >= actual);
                self.versions.insert(recorded, actual);
                if below && above {
                    Ok(())
                } else {
                    Err(format!("version {recorded} became {actual}: out of order"))
                }
            }
        }
    }

    fn text(&mut self, recorded: &str, actual: &str) -> Result<(), String> {
        let bound = self.texts.entry(recorded.to_owned()).or_insert_with(|| actual.to_owned());
        if bound == actual { Ok(()) } else { Err(format!("{recorded:?} is {bound:?}, not {actual:?}")) }
    }

    /// A recorded text as this run would have it; versions only where they stand for one.
    pub(crate) fn translate(&self, recorded: &str) -> String {
        const SHORTEST: usize = 8;
        let mut out = String::new();
        let mut rest = recorded;
        while !rest.is_empty() {
            let known = self.texts.iter().filter(|(recorded, _)| recorded.len() >= SHORTEST);
            let found = known.filter(|(recorded, _)| rest.starts_with(recorded.as_str()));
            match found.max_by_key(|(recorded, _)| recorded.len()) {
                Some((recorded, actual)) => {
                    out.push_str(actual);
                    rest = &rest[recorded.len()..];
                }
                None => {
                    let mut rest_chars = rest.chars();
                    out.extend(rest_chars.next());
                    rest = rest_chars.as_str();
                }
            }
        }
        out
    }

    /// A version as this run has it; one that was not seen stays as it is.
    pub(crate) fn version_of(&self, recorded: &str) -> String {
        let bound = recorded.parse().ok().and_then(|recorded: u64| self.versions.get(&recorded));
        bound.map_or_else(|| recorded.to_owned(), u64::to_string)
    }

    /// A recorded body as this run would send it.
    pub(crate) fn body(&self, recorded: &Value) -> Value {
        match recorded {
            Value::Object(map) => {
                let fields = map.iter().map(|(name, value)| {
                    let value = match (name.as_str(), value) {
                        ("resourceVersion", Value::String(text)) => self.version_of(text).into(),
                        _ => self.body(value),
                    };
                    (name.clone(), value)
                });
                Value::Object(fields.collect())
            }
            Value::Array(list) => list.iter().map(|value| self.body(value)).collect(),
            Value::String(text) => self.translate(text).into(),
            other => other.clone(),
        }
    }

    /// Where `actual` is not what was recorded.
    pub(crate) fn differences(&mut self, recorded: &Value, actual: &Value, at: &str) -> Vec<String> {
        match (recorded, actual) {
            (Value::Object(expected), Value::Object(found)) => {
                let mut out = Vec::new();
                for (name, value) in expected {
                    let place = format!("{at}.{name}");
                    match found.get(name) {
                        None => out.push(format!("{place}: missing; recorded as {value}")),
                        Some(found) => out.extend(self.field(name, value, found, &place)),
                    }
                }
                let more = found.iter().filter(|(name, _)| !expected.contains_key(*name));
                out.extend(more.map(|(name, value)| format!("{at}.{name}: {value}, which was not recorded")));
                out
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                let pairs = expected.iter().zip(found).enumerate();
                pairs.flat_map(|(index, (a, b))| self.differences(a, b, &format!("{at}[{index}]"))).collect()
            }
            _ if recorded == actual => Vec::new(),
            _ => vec![format!("{at}: {actual}, recorded as {recorded}")],
        }
    }

    fn field(&mut self, name: &str, recorded: &Value, actual: &Value, at: &str) -> Vec<String> {
        let told = |result: Result<(), String>| -> Vec<String> {
            result.err().map(|error| format!("{at}: {error}")).into_iter().collect()
        };
        match (name, recorded, actual) {
            ("resourceVersion", Value::String(a), Value::String(b)) => told(self.version(a, b)),
            ("message", Value::String(a), Value::String(b)) => told(self.message(a, b)),
            ("causes", Value::Array(a), Value::Array(b)) => self.as_sets(a, b, at),
            ("clusterIPs", a, b) => self.bind_list(a, b, at),
            (name, Value::String(a), Value::String(b)) if BOUND.contains(&name) => {
                let is_fixed = (name == "name" && !a.starts_with("gen-")) || a.is_empty() || a == "None";
                if is_fixed { self.differences(recorded, actual, at) } else { told(self.text(a, b)) }
            }
            _ => self.differences(recorded, actual, at),
        }
    }

    fn bind_list(&mut self, recorded: &Value, actual: &Value, at: &str) -> Vec<String> {
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
        };
        let (recorded, actual) = (texts(recorded), texts(actual));
        if recorded.len() != actual.len() {
            return vec![format!("{at}: {actual:?}, recorded as {recorded:?}")];
        }
        let pairs = recorded.iter().zip(&actual);
        pairs.filter_map(|(a, b)| self.text(a, b).err()).map(|error| format!("{at}: {error}")).collect()
    }

    /// The order of causes is not stable.
    fn as_sets(&mut self, recorded: &[Value], actual: &[Value], at: &str) -> Vec<String> {
        let sorted = |list: &[Value]| {
            let mut list = list.to_vec();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        };
        self.differences(&sorted(recorded), &sorted(actual), at)
    }

    /// Messages are equal but for what is bound in them; the parts of a list of causes come in any order.
    fn message(&mut self, recorded: &str, actual: &str) -> Result<(), String> {
        let expected = self.translate(recorded);
        let parts = |text: &str| {
            let mut parts: Vec<String> =
                text.split([',', '[', ']']).map(|part| part.trim().to_owned()).collect();
            parts.sort();
            parts
        };
        if parts(&expected) == parts(actual) || self.speaks_of_versions(&expected, actual) {
            return Ok(());
        }
        Err(format!("{actual:?}, recorded as {expected:?}"))
    }

    /// Whether two texts about versions are equal but for the versions.
    fn speaks_of_versions(&mut self, expected: &str, actual: &str) -> bool {
        let about = ["resource version", "ResourceVersion", "Invalid value: \"{"];
        if !about.iter().any(|words| expected.contains(words)) {
            return false;
        }
        let runs = |text: &str| -> Vec<String> {
            let mut runs = vec![String::new()];
            for at in text.chars() {
                let starts = runs.last().and_then(|run| run.chars().next());
                if starts.is_some_and(|first| first.is_ascii_digit() != at.is_ascii_digit()) {
                    runs.push(String::new());
                }
                runs.last_mut().expect("there is one").push(at);
            }
            runs
        };
        let (expected, actual) = (runs(expected), runs(actual));
        expected.len() == actual.len()
            && expected.iter().zip(&actual).all(|(a, b)| a == b || self.version(a, b).is_ok())
    }
}
