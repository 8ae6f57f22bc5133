//! Chunk: samples as Prometheus stores them: Gorilla's XOR encoding (`tsdb/chunkenc/xor.go`).

/// Reads every sample of a chunk's data, in its order.
///
/// # Errors
/// What is wrong with it; `each` has seen what stands before that.
pub(super) fn xor(data: &[u8], mut each: impl FnMut(i64, f64)) -> Result<(), &'static str> {
    let (count, rest) = data.split_first_chunk().ok_or(BREAKS_OFF)?;
    let mut bits = Bits { bytes: rest, at: 0 };
    let mut value = Value::new(0);
    let (mut time, mut delta) = (0_i64, 0_i64);
    for at in 0..u16::from_be_bytes(*count) {
        match at {
            0 => {
                time = bits.signed_varint()?;
                value.bits = bits.take(64)?;
            }
            1 => {
                delta = bits.unsigned_varint()? as i64;
                time = time.wrapping_add(delta);
                value.next(&mut bits)?;
            }
            _ => {
                delta = delta.wrapping_add(change(&mut bits)?);
                time = time.wrapping_add(delta);
                value.next(&mut bits)?;
            }
        }
        each(time, f64::from_bits(value.bits));
    }
    Ok(())
}

pub(super) const BREAKS_OFF: &str = "a chunk breaks off";

/// How much longer or shorter this step is than the one before.
fn change(bits: &mut Bits<'_>) -> Result<i64, &'static str> {
    const WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];
    let mut ones = 0;
    while ones < 4 && bits.take(1)? == 1 {
        ones += 1;
    }
    match WIDTHS[ones] {
        0 => Ok(0),
        64 => Ok(bits.take(64)? as i64),
        width => {
            let number = bits.take(width)? as i64;
            // From -(2^(n-1) - 1) to 2^(n-1).
            Ok(if number > 1 << (width - 1) { number - (1 << width) } else { number })
        }
    }
}

/// A value, and which of its bits differed last.
pub(super) struct Value {
    pub(super) bits: u64,
    leading: u32,
    /// 0 before the first one that differed.
    meaningful: u32,
}

impl Value {
    fn new(bits: u64) -> Value {
        Value { bits, leading: 0, meaningful: 0 }
    }

    /// One that nothing stands before.
    pub(super) fn first(bits: &mut Bits<'_>) -> Result<Value, &'static str> {
        bits.take(64).map(Value::new)
    }

    pub(super) fn next(&mut self, bits: &mut Bits<'_>) -> Result<(), &'static str> {
        if bits.take(1)? == 0 {
            return Ok(());
        }
        if bits.take(1)? == 1 {
            self.leading = bits.take(5)? as u32;
            self.meaningful = match bits.take(6)? as u32 {
                0 => 64,
                meaningful => meaningful,
            };
        }
        let trailing = 64_u32.checked_sub(self.leading + self.meaningful).filter(|_| self.meaningful > 0);
        let trailing = trailing.ok_or("a chunk has a value of more than 64 bits")?;
        self.bits ^= bits.take(self.meaningful)? << trailing;
        Ok(())
    }
}

/// Bits, the highest of each byte first.
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the next one stands.
    pub(super) at: usize,
}

impl Bits<'_> {
    /// How many there are.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next `count` bits, at most 64.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u64, &'static str> {
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(BREAKS_OFF);
        }
        let mut taken = 0;
        while self.at < end {
            let (byte, offset) = (self.bytes[self.at / 8], self.at % 8);
            let width = (8 - offset).min(end - self.at);
            let part = (byte << offset) >> (8 - width);
            taken = taken << width | u64::from(part);
            self.at += width;
        }
        Ok(taken)
    }

    fn unsigned_varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for at in 0..10 {
            let byte = self.take(8)?;
            if at == 9 && byte > 1 {
                break;
            }
            number |= (byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a chunk has a number of more than 64 bits")
    }

    /// Zigzag.
    fn signed_varint(&mut self) -> Result<i64, &'static str> {
        let number = self.unsigned_varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
