//! Serde's side of a [`Node`]: a deserializer whose errors know their path, and what would have been right.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::Key;
use super::{Node, Path, Problem, Segment, Value, nearest};

/// Words as they are to be written: where some look like numbers YAML wants quotes.
fn listed(known: &[&str]) -> String {
    match has_numbers(known) {
        false => known.join(", "),
        true => known.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ") + ", in quotes",
    }
}

/// Whether some words look like numbers, of which none was meant for another one.
fn has_numbers(known: &[&str]) -> bool {
    known.iter().any(|word| word.parse::<f64>().is_ok())
}

/// What did not fit. The path is built from the inside out while serde returns.
#[derive(Debug)]
pub(super) struct Error {
    kind: Kind,
    path: Vec<Segment>,
    line: Option<u32>,
}

#[derive(Debug)]
enum Kind {
    /// Explained in full; a cure follows after the first `; `.
    Other(String),
    UnknownField(&'static [&'static str]),
    MissingField(&'static str),
}

impl Error {
    fn new(kind: Kind) -> Error {
        Error { kind, path: Vec::new(), line: None }
    }

    fn below(mut self, segment: Segment, line: Option<u32>) -> Error {
        self.path.push(segment);
        self.line = self.line.or(line);
        self
    }

    /// The place in the tree, which still counts list entries as the file does.
    pub(super) fn path(&self) -> Path {
        let mut path: Vec<_> = self.path.clone();
        path.reverse();
        path.into()
    }

    /// The name of the field that is missing at [`Error::path`], if that is the matter.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.kind {
            Kind::MissingField(name) => Some(name),
            _ => None,
        }
    }

    /// The field that an unknown one was probably meant to be.
    pub(super) fn meant(&self) -> Option<Path> {
        let Kind::UnknownField(known) = self.kind else { return None };
        let path = self.path();
        let Some(Segment::Key(key)) = path.segments().last() else { return None };
        Some(path.parent()?.key(nearest(key, known.iter().copied())?))
    }

    pub(super) fn into_problem(self) -> Problem {
        let path = self.path();
        let problem = match self.kind {
            Kind::Other(text) => {
                let (message, cure) = text.split_once("; ").unwrap_or((&text, ""));
                Problem::error(path, message, cure)
            }
            Kind::MissingField(name) => {
                Problem::error(path.key(name), "is missing", format!("write {name}: …"))
            }
            Kind::UnknownField(known) => unknown_field(path, known),
        };
        Problem { line: self.line, ..problem }
    }
}

fn unknown_field(path: Path, known: &[&str]) -> Problem {
    let name = match path.segments().last() {
        Some(Segment::Key(key)) => key.clone(),
        _ => String::new(),
    };
    let cure = match nearest(&name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if known.is_empty() => "no field is allowed here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    Problem::error(path, "unknown field", cure)
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path(), self.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Error {
        Error::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::new(Kind::Other(mismatch(found, &expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        Error::new(Kind::Other(mismatch(found, &expected.to_string())))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Error {
        let cure = match nearest(variant, known.iter().copied()).filter(|_| !has_numbers(known)) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("write one of {}", listed(known)),
        };
        Error::new(Kind::Other(format!("{variant:?} is not known here; {cure}")))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Error {
        Error::new(Kind::UnknownField(known))
    }

    fn missing_field(name: &'static str) -> Error {
        Error::new(Kind::MissingField(name))
    }
}

/// `"30 s" is not a duration; write "30s"`, from what serde says of what it found and of what it wanted.
fn mismatch(found: Unexpected<'_>, expected: &str) -> String {
    let found_text = in_words(found);
    let whole = || ("a whole number", "write digits only, without quotes".to_owned());
    let (wanted, cure) = match expected {
        "a string" => ("text", cure_for_text(found, &found_text)),
        "a boolean" => ("true or false", cure_for_boolean(found)),
        "a sequence" => ("a list", "write each entry on a line of its own, after \"- \"".to_owned()),
        "a map" => ("a mapping", "write \"name: value\" lines below it".to_owned()),
        "u8" | "u16" | "u32" | "u64" | "usize" => whole(),
        "i8" | "i16" | "i32" | "i64" | "isize" => whole(),
        "f32" | "f64" => ("a number", "write a number, without quotes".to_owned()),
        other => match other.split_once("; ") {
            Some((wanted, cure)) => (wanted, cure.to_owned()),
            None => return format!("{found_text} is not {other}"),
        },
    };
    format!("{found_text} is not {wanted}; {cure}")
}

fn cure_for_text(found: Unexpected<'_>, found_text: &str) -> String {
    match found {
        Unexpected::Seq => "write one value, in quotes if it begins with [".to_owned(),
        Unexpected::Map => "write one value, in quotes if it begins with {".to_owned(),
        Unexpected::Unit | Unexpected::Option => "write a value behind the colon".to_owned(),
        _ => format!("write \"{found_text}\", in quotes"),
    }
}

/// YAML before 1.2 had more words for the two values, and `kubectl` still takes them.
fn cure_for_boolean(found: Unexpected<'_>) -> String {
    let word = match found {
        Unexpected::Str(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    match &*word {
        "yes" | "on" | "y" => "write true".to_owned(),
        "no" | "off" | "n" => "write false".to_owned(),
        "true" | "false" => format!("write {word}, without quotes"),
        _ => "write true or false".to_owned(),
    }
}

fn in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(b) => b.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Float(n) => n.to_string(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'n>(pub(super) &'n Node);

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Unsigned(n) => visitor.visit_u64(*n),
            Value::Signed(n) => visitor.visit_i64(*n),
            Value::Float(n) => visitor.visit_f64(*n),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(entries) => visitor.visit_seq(Entries(entries.iter())),
            Value::Map(fields) => visitor.visit_map(Fields { rest: fields.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_enum(Word(text)),
            _ => {
                let expected = format!("a word; write one of {}", listed(known));
                Err(de::Error::invalid_type(self.0.unexpected(), &expected.as_str()))
            }
        }
    }

    /// A mapping and nothing else: serde would take a list for the fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => {
                let expected = format!("a mapping; write below it, indented: {}", fields.join(", "));
                Err(de::Error::invalid_type(self.0.unexpected(), &expected.as_str()))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier
    }
}

struct Entries<'n>(std::slice::Iter<'n, (usize, Node)>);

impl<'de> SeqAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.0.next() else { return Ok(None) };
        let value = seed.deserialize(NodeDeserializer(node));
        value.map(Some).map_err(|e| e.below(Segment::Index(*index), node.line))
    }
}

struct Fields<'n> {
    rest: std::slice::Iter<'n, (Key, Node)>,
    current: Option<&'n (Key, Node)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        let text: StrDeserializer<'_, Error> = key.text.as_str().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|e| e.below(Segment::Key(key.text.clone()), key.line))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.current else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let value = seed.deserialize(NodeDeserializer(node));
        value.map_err(|e| e.below(Segment::Key(key.text.clone()), key.line.or(node.line)))
    }
}

struct Word<'n>(&'n str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Error;
    type Variant = Unit;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Error> {
        let text: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(text)?, Unit))
    }
}

/// A variant without content: the only kind our documents have.
struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(de::Error::custom("a word cannot carry content"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a word cannot carry content"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a word cannot carry content"))
    }
}
