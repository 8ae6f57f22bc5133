//! Envelope: the fields around the results, in any order, and what they say about the answer as a whole.

use super::super::Cause;
use super::super::json::{Cursor, Stop};
use super::super::text::excerpt;

/// How many warnings are kept.
const WARNINGS_MAX: usize = 5;

/// How much of a server's message is kept.
const MESSAGE_BYTES_MAX: usize = 512;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// The document's brace.
    #[default]
    Start,
    /// A field of the document.
    Field,
    /// A comma, or the document's end.
    Next,
    /// A field of `data`.
    DataField,
    /// A comma, or the end of `data`.
    DataNext,
    /// A result.
    Element,
    /// Nothing.
    End,
}

/// What results are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultType {
    /// A value each.
    Vector,
    /// Values at several ticks each.
    Matrix,
}

impl ResultType {
    fn name(self) -> &'static [u8] {
        match self {
            ResultType::Vector => b"vector",
            ResultType::Matrix => b"matrix",
        }
    }

    fn is_another(self) -> &'static str {
        match self {
            ResultType::Vector => "expected resultType \"vector\"",
            ResultType::Matrix => "expected resultType \"matrix\"",
        }
    }

    fn is_missing(self) -> &'static str {
        match self {
            ResultType::Vector => "the answer has no resultType \"vector\"",
            ResultType::Matrix => "the answer has no resultType \"matrix\"",
        }
    }
}

/// The document around the results.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) state: State,
    /// The type that results must have.
    expected: ResultType,
    status: Option<Status>,
    data: bool,
    result: bool,
    /// Whether they have it.
    typed: bool,
    error_type: String,
    error: String,
    partial: bool,
    warnings: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Success,
    Error,
}

impl Envelope {
    /// Around results of this type.
    pub(super) fn new(expected: ResultType) -> Envelope {
        Envelope {
            state: State::Start,
            expected,
            status: None,
            data: false,
            result: false,
            typed: false,
            error_type: String::new(),
            error: String::new(),
            partial: false,
            warnings: Vec::new(),
        }
    }

    /// Reads the next token outside the results.
    pub(super) fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.state = match self.state {
            State::Start => match cursor.open(b'{', b'}', "expected an object")? {
                true => State::Field,
                false => State::End,
            },
            State::Field => self.field(cursor)?,
            State::DataField => self.data_field(cursor)?,
            State::Next if cursor.more(b'}')? => State::Field,
            State::Next => State::End,
            State::DataNext if cursor.more(b'}')? => State::DataField,
            State::DataNext => State::Next,
            State::Element => unreachable!("results are read by the scanner"),
            State::End => {
                cursor.peek()?;
                return Err(Stop::Malformed("expected nothing more"));
            }
        };
        Ok(())
    }

    fn field(&mut self, cursor: &mut Cursor<'_>) -> Result<State, Stop> {
        match cursor.key()? {
            b"status" => {
                self.status = Some(match cursor.string()? {
                    b"success" => Status::Success,
                    b"error" => Status::Error,
                    _ => return Err(Stop::Malformed("expected status \"success\" or \"error\"")),
                });
            }
            b"data" if self.data => return Err(Stop::Malformed("'data' is given twice")),
            b"data" => {
                if !cursor.null()? {
                    let filled = cursor.open(b'{', b'}', "expected an object in 'data'")?;
                    self.data = true;
                    return Ok(if filled { State::DataField } else { State::Next });
                }
            }
            b"errorType" => self.error_type = message(cursor)?,
            b"error" => self.error = message(cursor)?,
            b"isPartial" => self.partial = cursor.boolean()?,
            b"warnings" => self.read_warnings(cursor)?,
            _ => drop(cursor.value()?),
        }
        Ok(State::Next)
    }

    fn data_field(&mut self, cursor: &mut Cursor<'_>) -> Result<State, Stop> {
        match cursor.key()? {
            b"resultType" => match cursor.string()? {
                found if found == self.expected.name() => self.typed = true,
                b"" => {}
                _ => return Err(Stop::Malformed(self.expected.is_another())),
            },
            b"result" if self.result => return Err(Stop::Malformed("'result' is given twice")),
            b"result" => {
                let filled = !cursor.null()? && cursor.open(b'[', b']', "expected a list of results")?;
                self.result = true;
                return Ok(if filled { State::Element } else { State::DataNext });
            }
            _ => drop(cursor.value()?),
        }
        Ok(State::DataNext)
    }

    fn read_warnings(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        // Complete first, then kept: an element that is read again after more bytes came must not count twice.
        let mut warnings = Vec::new();
        let mut more = !cursor.null()? && cursor.open(b'[', b']', "expected a list of warnings")?;
        while more {
            let warning = message(cursor)?;
            if warnings.len() < WARNINGS_MAX {
                warnings.push(warning);
            }
            more = cursor.more(b']')?;
        }
        self.warnings = warnings;
        Ok(())
    }

    /// What the whole document says, once its body has ended at `position`.
    pub(super) fn conclude(self, ended: bool, position: u64) -> Result<(), Cause> {
        let malformed = |what| Err(Cause::Malformed { position, what });
        if self.state != State::End || !ended {
            return malformed("the answer breaks off");
        }
        match self.status {
            Some(Status::Error) => Err(Cause::Query { error_type: self.error_type, message: self.error }),
            None => malformed("the answer has no 'status'"),
            Some(Status::Success) if self.partial => Err(Cause::Partial(vec!["isPartial".to_owned()])),
            Some(Status::Success) if !self.warnings.is_empty() => Err(Cause::Partial(self.warnings)),
            Some(Status::Success) if !self.typed => malformed(self.expected.is_missing()),
            Some(Status::Success) if !self.result => malformed("the answer has no 'result'"),
            Some(Status::Success) => Ok(()),
        }
    }
}

fn message(cursor: &mut Cursor<'_>) -> Result<String, Stop> {
    Ok(excerpt(cursor.string()?, MESSAGE_BYTES_MAX))
}
