//! redact::keyed: a hash that only those can look up who know the key.
//!
//! Source: HMAC, RFC 2104, with SHA-256.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Bytes of a hash that are shown, two digits each: two of a million values meet once in 37 million sets of that size.
const SHOWN_BYTES: usize = 8;

/// A key, ready to hash with.
#[derive(Clone)]
pub(crate) struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    pub(crate) fn new(salt: &str) -> Key {
        let mut block = [0; BLOCK_BYTES];
        let salt = salt.as_bytes();
        if salt.len() > BLOCK_BYTES {
            block[..32].copy_from_slice(&Sha256::digest(salt));
        } else {
            block[..salt.len()].copy_from_slice(salt);
        }
        let padded = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Key { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// The same for the same text, in hexadecimal.
    pub(crate) fn hash(&self, text: &str) -> String {
        let inner = self.inner.clone().chain_update(text).finalize();
        let hash = self.outer.clone().chain_update(inner).finalize();
        let mut shown = String::with_capacity(2 * SHOWN_BYTES);
        for byte in &hash[..SHOWN_BYTES] {
            write!(shown, "{byte:02x}").expect("a String takes everything");
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_standards() {
        // RFC 4231, test cases 2 and 6.
        assert_eq!(Key::new("Jefe").hash("what do ya want for nothing?"), "5bdcc146bf60754e");
        // Its key is no text; a key that is longer than a block is hashed first.
        let long = "a".repeat(131);
        assert_eq!(Key::new(&long).hash("x"), Key::new(&long).hash("x"));
        assert_ne!(Key::new(&long).hash("x"), Key::new(&long[..130]).hash("x"));
    }
}
