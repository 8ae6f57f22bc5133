//! Piece: samples of one series that stand together in a request: floats, or native histograms.
//!
//! In: samples in order of time. Out: a series' samples as both versions of remote write have them. Never: floats and histograms in one piece:
//! a receiver takes a series' floats before its histograms, whatever their times.

use bytes::Bytes;

use super::encode::{Sample, append_varint};
use crate::model::Timestamp;

/// Samples of one series, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Floats.
    Floats(Vec<(Timestamp, f64)>),
    /// Native histograms: a `prometheus.Histogram` each, which 2.0 has under another name.
    Histograms(Vec<(Timestamp, Bytes)>),
}

impl Piece {
    /// How many samples.
    pub fn len(&self) -> usize {
        match self {
            Piece::Floats(samples) => samples.len(),
            Piece::Histograms(samples) => samples.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them are histograms.
    pub(super) fn histograms(&self) -> usize {
        match self {
            Piece::Floats(_) => 0,
            Piece::Histograms(samples) => samples.len(),
        }
    }

    /// The time of the first one and that of the last one.
    pub(super) fn ends(&self) -> Option<[Timestamp; 2]> {
        match self {
            Piece::Floats(samples) => Some([samples.first()?.0, samples.last()?.0]),
            Piece::Histograms(samples) => Some([samples.first()?.0, samples.last()?.0]),
        }
    }

    /// The samples' fields, those of histograms with this tag.
    pub(super) fn encode(&self, histogram_tag: u8) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Piece::Floats(samples) => {
                samples
                    .iter()
                    .for_each(|(at, value)| out.extend_from_slice(Sample::encode(*at, *value).bytes()));
            }
            Piece::Histograms(samples) => {
                for (_, message) in samples {
                    out.push(histogram_tag);
                    append_varint(message.len() as u64, &mut out);
                    out.extend_from_slice(message);
                }
            }
        }
        out
    }
}

/// When a `prometheus.Histogram` was; `None` if it is none.
pub(super) fn moment(message: &[u8]) -> Option<Timestamp> {
    let Moment { timestamp } = prost::Message::decode(message).ok()?;
    Some(Timestamp(timestamp))
}

/// Histograms with their times; `None` if one of them is none.
pub(super) fn timed(messages: &[Bytes]) -> Option<Piece> {
    let timed = messages.iter().map(|message| Some((moment(message)?, message.clone())));
    timed.collect::<Option<_>>().map(Piece::Histograms)
}

/// All that is read of a `prometheus.Histogram`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Moment {
    #[prost(int64, tag = "15")]
    timestamp: i64,
}
