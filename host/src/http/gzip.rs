//! Gzip: an answer that comes compressed, unpacked piece by piece.
//!
//! In: what came. Out: what it stands for, some tens of kilobytes at a time, whatever the ratio. Never: the whole of it in
//! memory; an answer that was cut off, or has another checksum than it says, taken for complete.

use std::fmt;
use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

/// Unpacks one body.
pub(super) struct Gunzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    packed: Bytes,
}

impl Gunzip {
    pub(super) fn new() -> Gunzip {
        Gunzip { decoder: MultiGzDecoder::new(Vec::new()), packed: Bytes::new() }
    }

    /// Takes the next piece; the one before must be used up.
    pub(super) fn feed(&mut self, packed: Bytes) {
        self.packed = packed;
    }

    /// The next unpacked piece; `None` when more has to come. The decoder has a buffer of its own and takes no more at once
    /// than fills it.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.packed.is_empty() {
            let taken = self.decoder.write(&self.packed)?;
            if taken == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "there is something behind its end"));
            }
            self.packed.advance(taken);
            if let Some(piece) = self.unpacked() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// What is left at the end. An error says that the end had not come.
    pub(super) fn finish(&mut self) -> io::Result<Option<Bytes>> {
        self.decoder.try_finish()?;
        Ok(self.unpacked())
    }

    fn unpacked(&mut self) -> Option<Bytes> {
        let unpacked = self.decoder.get_mut();
        (!unpacked.is_empty()).then(|| Bytes::from(std::mem::take(unpacked)))
    }
}

impl fmt::Debug for Gunzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gunzip").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes of pieces of this size, and the largest piece.
    fn unpacked(packed: &[u8], piece: usize) -> io::Result<(Vec<u8>, usize)> {
        let (mut gunzip, mut all, mut largest) = (Gunzip::new(), Vec::new(), 0);
        let mut take = |bytes: Bytes| {
            largest = largest.max(bytes.len());
            all.extend_from_slice(&bytes);
        };
        for piece in packed.chunks(piece) {
            gunzip.feed(Bytes::copy_from_slice(piece));
            while let Some(bytes) = gunzip.next()? {
                take(bytes);
            }
        }
        while let Some(bytes) = gunzip.finish()? {
            take(bytes);
        }
        Ok((all, largest))
    }

    #[test]
    fn what_was_packed_comes_out_whatever_the_pieces() {
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let two = [packed(&text), packed(b"and more")].concat();
        for piece in [1, 7, 4096, two.len()] {
            let (out, _) = unpacked(&two, piece).unwrap();
            assert!(out == [&text[..], b"and more"].concat(), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_bomb_comes_in_small_pieces() {
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100 << 10);
        let (out, largest) = unpacked(&bomb, bomb.len()).unwrap();
        assert!(out.len() == 64 << 20 && largest <= 128 << 10, "{largest}");
    }

    #[test]
    fn what_is_cut_off_or_altered_is_no_answer() {
        let whole = packed(b"a body that is long enough to be cut somewhere in the middle of it");
        for cut in [1, 12, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
            assert!(unpacked(&whole[..cut], 1 << 20).is_err(), "cut at {cut}");
        }
        let mut altered = whole.clone();
        let checksum = altered.len() - 7;
        altered[checksum] ^= 1;
        assert!(unpacked(&altered, 1 << 20).is_err());
        assert!(unpacked(b"plain text", 1 << 20).is_err());
    }
}
