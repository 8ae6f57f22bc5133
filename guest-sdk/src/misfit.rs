//! Misfit: a value that is not what a field takes, in words of the field.
//!
//! In: what `serde` and `serde_json` say of it. Out: what it is, what the field takes, and how that is written. Never: a type of Rust's,
//! which whoever wrote the configuration has not heard of.

/// `-1 is not a whole number of at least 0`, of `invalid value: integer `-1`, expected usize at line 1 column 9`.
pub(crate) fn told(message: &str) -> String {
    // The document was written as YAML, where its line is another one.
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return rest.replacen(", expected", " is not known here: write", 1);
    }
    if message.starts_with("data did not match any variant of untagged enum ") {
        return "it has none of the forms that it may have".to_owned();
    }
    let misfit = ["invalid type: ", "invalid value: "].iter().find_map(|kind| message.strip_prefix(kind));
    let Some((found, expected)) = misfit.and_then(|misfit| misfit.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let (found, wanted) = (Found::of(found), Wanted::of(expected));
    format!("{} is not {}{}", found.words(), wanted.words(&found, expected), wanted.cure(&found))
}

/// What was written.
enum Found<'a> {
    Text(&'a str),
    Number(&'a str),
    Truth(&'a str),
    Other(&'a str),
}

impl<'a> Found<'a> {
    fn of(found: &'a str) -> Found<'a> {
        let quoted = |text: &'a str| text.trim_matches('`');
        match found.split_once(' ') {
            Some(("string", text)) => Found::Text(text),
            Some(("integer", number)) => Found::Number(quoted(number)),
            Some(("floating", point)) => Found::Number(quoted(point.trim_start_matches("point "))),
            Some(("boolean", truth)) => Found::Truth(quoted(truth)),
            _ => Found::Other(match found {
                "null" | "unit value" => "nothing",
                "sequence" => "a list",
                "map" => "a mapping",
                other => other,
            }),
        }
    }

    fn words(&self) -> &'a str {
        match self {
            Found::Text(text) | Found::Number(text) | Found::Truth(text) | Found::Other(text) => text,
        }
    }
}

/// What the field takes.
enum Wanted {
    /// None below zero; the largest, where a person could go beyond it.
    Count(Option<&'static str>),
    Whole,
    Number,
    Truth,
    Text,
    List,
    Mapping,
    Other,
}

impl Wanted {
    fn of(expected: &str) -> Wanted {
        match expected {
            "u8" => Wanted::Count(Some("255")),
            "u16" => Wanted::Count(Some("65535")),
            "u32" => Wanted::Count(Some("4294967295")),
            "u64" | "usize" => Wanted::Count(None),
            "i8" | "i16" | "i32" | "i64" | "isize" => Wanted::Whole,
            "f32" | "f64" => Wanted::Number,
            "a boolean" => Wanted::Truth,
            "a string" => Wanted::Text,
            "a sequence" => Wanted::List,
            "a map" => Wanted::Mapping,
            other if other.starts_with("struct ") => Wanted::Mapping,
            _ => Wanted::Other,
        }
    }

    fn words(&self, found: &Found<'_>, expected: &str) -> String {
        let is_large = |max: &str| {
            let Found::Number(number) = found else { return false };
            number.bytes().all(|byte| byte.is_ascii_digit()) && (number.len(), *number) > (max.len(), max)
        };
        match self {
            Wanted::Count(Some(max)) if is_large(max) => return format!("a whole number of at most {max}"),
            Wanted::Count(_) => "a whole number of at least 0",
            Wanted::Whole => "a whole number",
            Wanted::Number => "a number",
            Wanted::Truth => "true or false",
            Wanted::Text => "text",
            Wanted::List => "a list",
            Wanted::Mapping => "a mapping",
            Wanted::Other => expected,
        }
        .to_owned()
    }

    /// Where the value is right and its form is not.
    fn cure(&self, found: &Found<'_>) -> String {
        match (self, found) {
            (Wanted::Text, Found::Number(text) | Found::Truth(text)) => format!(": write \"{text}\""),
            (Wanted::Count(_) | Wanted::Whole | Wanted::Number | Wanted::Truth, Found::Text(_)) => {
                ": write it without quotes".to_owned()
            }
            (Wanted::List, _) => ": write each entry after a dash, or all of them in [ ]".to_owned(),
            (Wanted::Mapping, _) => ": write fields with their values, as in name: value".to_owned(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &str) {
        assert_eq!(told(&format!("{message} at line 1 column 7")), expected);
    }

    #[test]
    fn numbers_are_told_as_people_count() {
        check("invalid value: integer `-1`, expected usize", "-1 is not a whole number of at least 0");
        check("invalid type: floating point `1.5`, expected u64", "1.5 is not a whole number of at least 0");
        check("invalid value: integer `300`, expected u8", "300 is not a whole number of at most 255");
        check("invalid value: integer `-300`, expected u8", "-300 is not a whole number of at least 0");
        let quoted = "\"3\" is not a whole number: write it without quotes";
        check("invalid type: string \"3\", expected i32", quoted);
        check("invalid type: null, expected f64", "nothing is not a number");
    }

    #[test]
    fn other_types_are_told_with_how_they_are_written() {
        check("invalid type: integer `1`, expected a string", "1 is not text: write \"1\"");
        check("invalid type: boolean `true`, expected a string", "true is not text: write \"true\"");
        let yes = "\"yes, expected no\" is not true or false: write it without quotes";
        check("invalid type: string \"yes, expected no\", expected a boolean", yes);
        let list = ": write each entry after a dash, or all of them in [ ]";
        check("invalid type: string \"a\", expected a sequence", &format!("\"a\" is not a list{list}"));
        let mapping = "a list is not a mapping: write fields with their values, as in name: value";
        check("invalid type: sequence, expected struct Config", mapping);
        let variant = "`median` is not known here: write one of `sum`, `avg`";
        check("unknown variant `median`, expected one of `sum`, `avg`", variant);
    }

    #[test]
    fn what_is_told_in_words_of_the_field_stays() {
        for message in ["missing field `to`", "unknown field `a`, expected `b`", "a filter's own words"] {
            check(message, message);
        }
        check("invalid type: map, expected a duration like 30s", "a mapping is not a duration like 30s");
    }
}
