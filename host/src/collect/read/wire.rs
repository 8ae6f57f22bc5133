//! Wire: protobuf, as far as remote read needs it.
//!
//! Never: a copy, or a length believed that is longer than what is there.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::collect) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of one message, in its order.
#[derive(Debug, Clone, Copy)]
pub(in crate::collect) struct Fields<'a> {
    pub(in crate::collect) bytes: &'a [u8],
    /// Where the next one begins.
    pub(in crate::collect) at: usize,
}

/// What is wrong with a message, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collect) struct Broken {
    pub(in crate::collect) at: usize,
    pub(in crate::collect) what: &'static str,
}

impl<'a> Fields<'a> {
    pub(in crate::collect) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes, at: 0 }
    }

    /// The next field's number and value; `None` at the end.
    #[inline]
    pub(in crate::collect) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let start = self.at;
        let broken = |what| Broken { at: start, what };
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0);
        let number = number.ok_or(broken("a field without a number"))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let len = self.varint()?;
                let rest = &self.bytes[self.at..];
                let len = usize::try_from(len).ok().filter(|len| *len <= rest.len());
                let len = len.ok_or(broken("a field is longer than its message"))?;
                self.at += len;
                Value::Bytes(&rest[..len])
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take()?)),
            _ => return Err(broken("a field of an unknown type")),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Broken> {
        let (number, len) = varint(&self.bytes[self.at..])
            .map_err(|what| Broken { at: self.at, what })?
            .ok_or(Broken { at: self.at, what: "a message breaks off" })?;
        self.at += len;
        Ok(number)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk().ok_or(Broken { at: self.at, what: "a message breaks off" })?;
        self.at += N;
        Ok(*taken)
    }
}

/// A varint at the beginning of `bytes` and its length; `None` if it breaks off.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, &'static str> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if at == 9 && *byte > 1 {
            return Err("a number of more than 64 bits");
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    Ok(None)
}

/// Appends a varint field, unless it is zero, which is what a missing one means.
pub(super) fn append_varint(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        push_varint(u64::from(field << 3), out);
        push_varint(number, out);
    }
}

/// Appends a field of bytes.
pub(super) fn append_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    push_varint(u64::from(field << 3 | 2), out);
    push_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(super) fn push_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
