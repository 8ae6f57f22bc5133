//! Entries: what an answer says of each metric, one after another, while it arrives.
//!
//! In: the answer's bytes, cut anywhere. Out: the members of its `data`, each an object of its own, for somebody else to read.
//! Never: more held than one of them, and of that no more than a fixed maximum.

/// A member that is longer is passed over: a metric that a thousand targets describe in a thousand ways.
pub(super) const ENTRY_BYTES_MAX: usize = 1 << 20;

/// The member that says something of metrics, without the blanks that may stand in it.
const DATA: &[u8] = br#"{"data":"#;

/// What an answer has between its first byte and its last.
#[derive(Debug)]
pub(super) struct Entries {
    place: Place,
    /// Braces and brackets that are open.
    depth: usize,
    text: Text,
    /// The member that is being read, with a brace before it.
    member: Vec<u8>,
    is_too_long: bool,
}

/// Where in an answer we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    Behind,
}

/// Whether what comes is part of a text, where braces mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    No,
    Yes,
    /// The next byte stands for something else than itself.
    Escaped,
}

/// One member of `data`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// An object that has this member alone.
    Whole(&'a [u8]),
    /// It has more than [`ENTRY_BYTES_MAX`].
    TooLong,
}

/// It is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(&'static str);

impl Entries {
    pub(super) fn new() -> Entries {
        let (place, text) = (Place::Before, Text::No);
        Entries { place, depth: 0, text, member: vec![b'{'], is_too_long: false }
    }

    /// Reads on; of each member that is complete `each` is told.
    pub(super) fn feed<E: From<Malformed>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for &byte in bytes {
            if self.text != Text::No {
                self.text = match (self.text, byte) {
                    (Text::Yes, b'"') => Text::No,
                    (Text::Yes, b'\\') => Text::Escaped,
                    _ => Text::Yes,
                };
                self.hold(byte);
                continue;
            }
            match byte {
                _ if self.depth == 0 => self.open(byte)?,
                b'{' if self.depth == 1 && self.is_data() => (self.place, self.depth) = (Place::Inside, 2),
                b',' if self.depth == self.members_depth() => self.end(&mut each)?,
                b'}' | b']' => {
                    self.depth -= 1;
                    match self.place == Place::Inside && self.depth == 1 {
                        true => {
                            self.end(&mut each)?;
                            self.place = Place::Behind;
                        }
                        false => self.hold(byte),
                    }
                }
                _ => {
                    self.depth += usize::from(matches!(byte, b'{' | b'['));
                    if byte == b'"' {
                        self.text = Text::Yes;
                    }
                    self.hold(byte);
                }
            }
        }
        Ok(())
    }

    /// Whether there was all of an answer.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        match (self.place, self.depth) {
            (Place::Behind, 0) => Ok(()),
            (Place::Before, 0) => Err(Malformed("it has no object `data`")),
            _ => Err(Malformed("it breaks off")),
        }
    }

    /// Whether what came so far says something of metrics.
    pub(super) fn is_inside(&self) -> bool {
        self.place != Place::Before
    }

    fn open(&mut self, byte: u8) -> Result<(), Malformed> {
        match byte {
            b'{' if self.place == Place::Before && self.member.len() == 1 => self.depth = 1,
            _ if byte.is_ascii_whitespace() => {}
            _ => return Err(Malformed("it is no JSON object")),
        }
        Ok(())
    }

    fn members_depth(&self) -> usize {
        if self.place == Place::Inside { 2 } else { 1 }
    }

    /// Whether `data` begins here.
    fn is_data(&mut self) -> bool {
        let name = self.member.iter().filter(|byte| !byte.is_ascii_whitespace());
        let is_it = self.place == Place::Before && name.eq(DATA);
        if is_it {
            self.member.truncate(1);
        }
        is_it
    }

    fn hold(&mut self, byte: u8) {
        match self.member.len() < ENTRY_BYTES_MAX {
            true => self.member.push(byte),
            false => self.is_too_long = true,
        }
    }

    fn end<E>(&mut self, each: &mut impl FnMut(Entry<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_nothing = self.member[1..].iter().all(u8::is_ascii_whitespace);
        let told = match (self.place, is_nothing) {
            (Place::Inside, false) if self.is_too_long => each(Entry::TooLong),
            (Place::Inside, false) => {
                self.member.push(b'}');
                each(Entry::Whole(&self.member))
            }
            _ => Ok(()),
        };
        self.member.truncate(1);
        self.is_too_long = false;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of an answer that arrives in pieces of so many bytes.
    fn entries(answer: &str, piece: usize) -> Result<Vec<String>, Malformed> {
        let (mut entries, mut all) = (Entries::new(), Vec::new());
        for piece in answer.as_bytes().chunks(piece) {
            entries.feed(piece, |entry| {
                all.push(match entry {
                    Entry::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    Entry::TooLong => "too long".to_owned(),
                });
                Ok::<_, Malformed>(())
            })?;
        }
        entries.finish().map(|()| all)
    }

    #[test]
    fn members_are_the_same_wherever_an_answer_is_cut() {
        let answer = r#" {"status":"success", "infos":{"data":{"x":[1]}}, "da\"ta":{"y":2} ,
            "data" : { "a,}":[{"help":"\\\"}, {"}], "b":[] , "c":{"data":{}}}, "more":{"d":[]}} "#;
        let expected = [r#"{ "a,}":[{"help":"\\\"}, {"}]}"#, r#"{ "b":[] }"#, r#"{ "c":{"data":{}}}"#];
        for piece in 1..answer.len() {
            assert_eq!(entries(answer, piece).unwrap(), expected, "{piece}");
        }
        assert_eq!(entries(r#"{"data":{ }}"#, 3), Ok(vec![]));
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_not_held() {
        let long = "x".repeat(3 * ENTRY_BYTES_MAX);
        let answer = format!(r#"{{"warnings":["{long}"],"data":{{"a":["{long}"],"b":[]}}}}"#);
        assert_eq!(entries(&answer, 4_096).unwrap(), ["too long", r#"{"b":[]}"#]);
        let mut reading = Entries::new();
        reading.feed(answer.as_bytes(), |_| Ok::<_, Malformed>(())).unwrap();
        assert!(reading.member.capacity() <= 2 * ENTRY_BYTES_MAX, "{}", reading.member.capacity());
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for (answer, why) in [
            ("", "it has no object `data`"),
            ("<html>", "it is no JSON object"),
            (r#"{"status":"error"}"#, "it has no object `data`"),
            (r#"{"data":[]}"#, "it has no object `data`"),
            (r#"{"data":{}}}"#, "it is no JSON object"),
            (r#"{"data":{}"#, "it breaks off"),
            (r#"{"data":{"a":["#, "it breaks off"),
        ] {
            assert_eq!(entries(answer, 2), Err(Malformed(why)), "{answer}");
        }
    }
}
