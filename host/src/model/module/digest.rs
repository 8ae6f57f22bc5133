//! Digest: the name that content gives itself.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash. Written `sha256:` and 64 digits, lower case, as the OCI image specification has it (Digests).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// What is wrong with a digest, as the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm, or none.
    #[error("is not a SHA-256 digest; write sha256: and 64 hexadecimal digits")]
    Algorithm,
    /// Not 64 digits, or upper case.
    #[error("has no 64 hexadecimal digits in lower case")]
    Digits,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Reads the 64 digits alone, as `sha256sum` prints them.
    pub fn from_hex(text: &str) -> Result<Digest, DigestError> {
        let text = text.as_bytes();
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(DigestError::Digits);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Digest(bytes))
    }

    /// The 64 digits alone.
    pub fn hex(&self) -> String {
        self.to_string().split_off("sha256:".len())
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::Digits),
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        Digest::from_hex(text.strip_prefix("sha256:").ok_or(DigestError::Algorithm)?)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_reads_as_it_is_written() {
        let digest = Digest::of(b"");
        assert_eq!((digest.to_string().as_str(), EMPTY.parse()), (EMPTY, Ok(digest)));
        assert_eq!(Digest::from_hex(&digest.hex()), Ok(digest));
        assert_ne!(Digest::of(b"x"), digest);
    }

    #[test]
    fn what_is_no_digest_says_why() {
        for (text, error) in [
            ("", DigestError::Algorithm),
            ("sha512:00", DigestError::Algorithm),
            ("sha256:", DigestError::Digits),
            ("sha256:e3b0", DigestError::Digits),
            (&EMPTY.replace('e', "E"), DigestError::Digits),
            (&EMPTY.replace('4', "+"), DigestError::Digits),
            (&EMPTY.replace("44", "ä"), DigestError::Digits),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }
}
