//! Frames: an answer as a stream of chunks: a length, a checksum, and a `prometheus.ChunkedReadResponse`, again and again
//! (`storage/remote/chunked.go`).

use super::histogram::{self, Kind, Unreadable};
use super::wire::{Broken, Fields, Value, varint};
use super::{Cause, Columns, Runs, Window, chunk, malformed, refused};

/// The largest frame. A server writes 1 MiB by default, and more only where one series alone has more, which none has of a window.
const FRAME_BYTES_MAX: usize = 4 << 20;

const CHECKSUM_BYTES: usize = 4;

const XOR: u64 = 1;
const HISTOGRAM: u64 = 2;
const FLOAT_HISTOGRAM: u64 = 3;

/// Reads an answer while it arrives, a frame at a time.
#[derive(Debug)]
pub struct Frames {
    window: Window,
    columns: Columns,
    /// The beginning of a frame whose end has not arrived.
    carry: Vec<u8>,
    /// Bytes of the frames before it.
    offset: usize,
}

impl Frames {
    /// For a query of this window.
    pub fn new(window: Window) -> Frames {
        Frames { window, columns: Columns::default(), carry: Vec::new(), offset: 0 }
    }

    /// What is held until the frame's end arrives, in bytes.
    pub fn carried(&self) -> usize {
        self.carry.capacity()
    }

    /// Reads the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8], runs: &mut impl Runs) -> Result<(), Cause> {
        self.carry.extend_from_slice(bytes);
        let carry = std::mem::take(&mut self.carry);
        let mut used = 0;
        while let Some((frame, len)) = frame(&carry[used..]).map_err(|what| malformed(self.offset, what))? {
            self.one(frame, runs)?;
            used += len;
            self.offset += len;
        }
        self.carry = carry;
        self.carry.drain(..used);
        Ok(())
    }

    /// The body has ended. A stream has no end of its own: one that breaks off between two frames is told by HTTP.
    pub fn finish(self) -> Result<(), Cause> {
        match self.carry.is_empty() {
            true => Ok(()),
            false => Err(malformed(self.offset, "the answer breaks off")),
        }
    }

    /// One `prometheus.ChunkedReadResponse`.
    fn one(&mut self, frame: &[u8], runs: &mut impl Runs) -> Result<(), Cause> {
        let offset = self.offset;
        let mut fields = Fields::new(frame);
        let at = |broken: Broken| malformed(offset + broken.at, broken.what);
        while let Some(field) = fields.next().map_err(at)? {
            match field {
                (1, Value::Bytes(series)) => self.series(series, runs)?,
                (2, Value::Varint(query)) if query != 0 => {
                    return Err(malformed(offset, "expected results of the one query"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One `prometheus.ChunkedSeries`.
    fn series(&mut self, series: &[u8], runs: &mut impl Runs) -> Result<(), Cause> {
        let Frames { window, columns, offset, .. } = self;
        let at = |broken: Broken| malformed(*offset + broken.at, broken.what);
        columns.clear();
        let (mut labels, mut too_large) = (0, 0);
        let mut fields = Fields::new(series);
        loop {
            let start = fields.at;
            match fields.next().map_err(at)? {
                Some((1, Value::Bytes(_))) if start == labels => labels = fields.at,
                Some((1, _)) => return Err(malformed(*offset, "a label stands behind the chunks")),
                Some((2, Value::Bytes(chunk))) => {
                    let Chunk { encoding, data } = Chunk::read(chunk).map_err(at)?;
                    let read = match encoding {
                        XOR => chunk::xor(data, |at, value| columns.push(window, at, value))
                            .and_then(|()| columns.within_bounds())
                            .map(|()| 0)
                            .map_err(Unreadable::from),
                        HISTOGRAM => histogram::chunk(data, Kind::Whole, window, columns),
                        FLOAT_HISTOGRAM => histogram::chunk(data, Kind::Float, window, columns),
                        _ => Err(Unreadable::Unknown),
                    };
                    too_large += read.map_err(|why| match why {
                        Unreadable::Broken(what) => malformed(*offset, what),
                        Unreadable::Unknown | Unreadable::TooLarge => Cause::Encoding,
                    })?;
                }
                Some(_) => {}
                None => break,
            }
        }
        runs.run(&series[..labels], columns.run(), too_large).map_err(|refusal| refused(*offset, refusal))
    }
}

/// A `prometheus.Chunk`.
struct Chunk<'a> {
    encoding: u64,
    data: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(bytes: &'a [u8]) -> Result<Chunk<'a>, Broken> {
        let mut chunk = Chunk { encoding: 0, data: &[] };
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (3, Value::Varint(encoding)) => chunk.encoding = encoding,
                (4, Value::Bytes(data)) => chunk.data = data,
                _ => {}
            }
        }
        Ok(chunk)
    }
}

/// The message of the frame at the beginning of `bytes`, and how long the frame is; `None` if more has to come.
fn frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, &'static str> {
    let Some((len, head)) = varint(bytes)? else { return Ok(None) };
    let len = usize::try_from(len).ok().filter(|len| *len <= FRAME_BYTES_MAX);
    let len = len.ok_or("a frame is larger than 4 MiB")?;
    let Some((checksum, rest)) = bytes[head..].split_first_chunk::<CHECKSUM_BYTES>() else { return Ok(None) };
    let Some(message) = rest.get(..len) else { return Ok(None) };
    match u32::from_be_bytes(*checksum) == castagnoli(message) {
        true => Ok(Some((message, head + CHECKSUM_BYTES + len))),
        false => Err("a frame's checksum is another one"),
    }
}

/// CRC-32C (RFC 3720, B.4), by bytes.
pub(super) fn castagnoli(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc: u32, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}
