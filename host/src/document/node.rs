//! Nodes: a YAML document as a tree that remembers its lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_saphyr::{Options, Spanned};

use super::{FILE_BYTES_MAX, Path, Problem, Segment};

/// Blocks within blocks; our deepest resource has seven.
const DEPTH_MAX: usize = 48;
/// Values in one file; a file of the largest size has fewer unless it is made to hurt.
const NODES_MAX: usize = 250_000;

/// One value of a document, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line in the file, from 1; `None` when the document did not come from a file.
    pub line: Option<u32>,
    /// What it is.
    pub value: Value,
}

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number not below zero.
    Unsigned(u64),
    /// A whole number below zero.
    Signed(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list; every entry with its position in the file.
    List(Vec<(usize, Node)>),
    /// A mapping; every field with its key, whose line is the field's.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// The line in the file, from 1.
    pub line: Option<u32>,
}

/// Reads every document of a file. Documents that say nothing are left out.
///
/// The error is about the file as a whole: it is not YAML, or too large.
pub fn parse(text: &str) -> Result<Vec<Node>, Problem> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
        return Err(Problem::error(Path::root(), message, "spread it over several files"));
    }
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().and_then(|l| u32::try_from(l.line()).ok()).filter(|l| *l > 0);
        if let Some(line) = tabbed_line(text, line) {
            let cure = "indent with spaces, two for each level";
            let problem = Problem::error(Path::root(), "a tab stands in the indentation", cure);
            return Problem { line: Some(line), ..problem };
        }
        let (message, cure) = in_our_words(&one_line(&error.to_string()));
        Problem { line, ..Problem::error(Path::root(), message, cure) }
    })
}

/// What the parser says, as far as people see it often, and what to write instead.
fn in_our_words(said: &str) -> (String, &'static str) {
    if let Some(key) = said.strip_prefix("duplicate mapping key: ") {
        let key = key.split_once(", set ").map_or(key, |(key, _)| key);
        return (format!("{key:?} stands here a second time"), "keep one of them, with all that they say");
    }
    let has = |all: &[&str]| all.iter().any(|words| said.contains(words));
    let cure = match () {
        () if has(&["simple key expected"]) => "write a colon and a space behind the name",
        () if has(&["block mapping", "block collection", "'-' indicator", "mapping values are not"]) => {
            "indent what belongs together by the same number of spaces"
        }
        () if has(&["illegal placement", "did not find expected", "unclosed", "unexpected end"]) => {
            "close what is opened before it: [, {, ' or \""
        }
        () => "",
    };
    (format!("the file is not valid YAML: {said}"), cure)
}

/// The line whose indentation holds a tab, if that is what the parser stumbled over. It names the line where it gave up,
/// or where what it was reading began.
fn tabbed_line(text: &str, error_at: Option<u32>) -> Option<u32> {
    const LINES_BEFORE_MAX: u32 = 2;
    const LINES_AFTER_MAX: u32 = 1;
    let error_at = error_at?;
    let near = error_at.saturating_sub(LINES_BEFORE_MAX)..=error_at.saturating_add(LINES_AFTER_MAX);
    let is_tabbed = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    (1..)
        .zip(text.lines())
        .find(|(number, line)| near.contains(number) && is_tabbed(line))
        .map(|(number, _)| number)
}

fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX },
    }
}

/// The parser's message without its own account of the place, in one line of bounded length.
fn one_line(message: &str) -> String {
    const MESSAGE_CHARS_MAX: usize = 200;
    let joined = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = joined.find(" at line ").unwrap_or(joined.len());
    joined[..end].chars().take(MESSAGE_CHARS_MAX).collect()
}

/// What came from somewhere else than a file has no lines.
impl From<&serde_json::Value> for Node {
    fn from(json: &serde_json::Value) -> Node {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match (n.as_u64(), n.as_i64()) {
                (Some(n), _) => Value::Unsigned(n),
                (None, Some(n)) => Value::Signed(n),
                (None, None) => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Node::from).enumerate().collect()),
            Json::Object(fields) => {
                let field = |(key, value)| (Key { text: String::clone(key), line: None }, Node::from(value));
                Value::Map(fields.iter().map(field).collect())
            }
        };
        Node { line: None, value }
    }
}

impl Node {
    /// As JSON. A number that JSON does not have is null.
    pub fn into_json(self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => value.into(),
            Value::Unsigned(value) => value.into(),
            Value::Signed(value) => value.into(),
            Value::Float(value) => value.into(),
            Value::Text(value) => value.into(),
            Value::List(entries) => entries.into_iter().map(|(_, entry)| entry.into_json()).collect(),
            Value::Map(fields) => {
                fields.into_iter().map(|(key, node)| (key.text, node.into_json())).collect()
            }
        }
    }

    /// The field `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(fields) => fields.iter().find(|(k, _)| k.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The field `key` as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What serde calls a value that should not be here.
    pub(super) fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(b) => Unexpected::Bool(*b),
            Value::Unsigned(n) => Unexpected::Unsigned(*n),
            Value::Signed(n) => Unexpected::Signed(*n),
            Value::Float(n) => Unexpected::Float(*n),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    /// Takes a place out of the tree; whether there was anything.
    pub(super) fn prune(&mut self, path: &Path) -> bool {
        let Some((last, steps)) = path.segments().split_last() else { return false };
        let mut node = self;
        for step in steps {
            let Some(below) = node.step_mut(step) else { return false };
            node = below;
        }
        match (&mut node.value, last) {
            (Value::Map(fields), Segment::Key(key)) => {
                let before = fields.len();
                fields.retain(|(k, _)| k.text != *key);
                fields.len() < before
            }
            (Value::List(entries), Segment::Index(index)) => {
                let before = entries.len();
                entries.retain(|(i, _)| i != index);
                entries.len() < before
            }
            _ => false,
        }
    }

    fn step_mut(&mut self, step: &Segment) -> Option<&mut Node> {
        match (&mut self.value, step) {
            (Value::Map(fields), Segment::Key(key)) => {
                fields.iter_mut().find(|(k, _)| k.text == *key).map(|(_, node)| node)
            }
            (Value::List(entries), Segment::Index(index)) => {
                entries.iter_mut().find(|(i, _)| i == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Where the value that was read from `path` of this tree stands in the file: its place there, and the line of
    /// the deepest part of it that exists.
    pub(super) fn locate(&self, path: &Path) -> (Path, Option<u32>) {
        let mut node = Some(self);
        let mut line = self.line;
        let mut place = Vec::with_capacity(path.segments().len());
        for segment in path.segments() {
            let (segment, below) = match (node.map(|n| &n.value), segment) {
                (Some(Value::Map(fields)), Segment::Key(key)) => {
                    let found = fields.iter().find(|(k, _)| k.text == *key);
                    line = found.and_then(|(k, _)| k.line).or(line);
                    (segment.clone(), found.map(|(_, node)| node))
                }
                (Some(Value::List(entries)), Segment::Index(index)) => match entries.get(*index) {
                    Some((original, node)) => {
                        line = node.line.or(line);
                        (Segment::Index(*original), Some(node))
                    }
                    None => (segment.clone(), None),
                },
                _ => (segment.clone(), None),
            };
            place.push(segment);
            node = below;
        }
        (place.into(), line)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { line: line(referenced.line()), value })
    }
}

/// Zero is the parser's word for "unknown".
fn line(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|n| *n > 0)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = entries.next_element::<Node>()? {
            list.push((list.len(), node));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = fields.next_entry::<Spanned<String>, Node>()? {
            map.push((Key { line: line(key.referenced.line()), text: key.value }, node));
        }
        Ok(Value::Map(map))
    }
}
