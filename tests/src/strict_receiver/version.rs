//! Version: which remote write a request is, and which a receiver takes.
//!
//! In: a request's headers. Out: its version. Never: a look at its body; the header decides, as the specification has it.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is its number")]
pub enum Version {
    V1,
    V2,
}

/// What a receiver makes of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speaks {
    /// It takes 1.0, and answers 415 to anything else.
    #[default]
    V1,
    /// It takes 2.0, and answers 415 to anything else.
    V2,
    /// It takes both, and says what it wrote.
    Both,
    /// It takes everything for 1.0, as a Prometheus does that is older than 2.0.
    V1Blindly,
}

impl Version {
    /// The content type of its requests.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Version::V1 => "application/x-protobuf",
            Version::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The version of a request; 1.0 if it says nothing that is known.
    pub(super) fn of(headers: &HeaderMap) -> Version {
        let is_v2 = headers.get(CONTENT_TYPE).is_some_and(|found| found == Version::V2.content_type());
        if is_v2 { Version::V2 } else { Version::V1 }
    }

    pub(super) fn number(self) -> &'static str {
        match self {
            Version::V1 => "0.1.0",
            Version::V2 => "2.0.0",
        }
    }
}

impl Speaks {
    /// Whether a request of this version is written, if it is right.
    pub(super) fn takes(self, version: Version) -> bool {
        match self {
            Speaks::V1 | Speaks::V1Blindly => version == Version::V1,
            Speaks::V2 => version == Version::V2,
            Speaks::Both => true,
        }
    }
}
