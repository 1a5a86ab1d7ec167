//! [`Token`]: a bearer token as a caller shows it, and [`TokenHash`], which is all that is kept of it.
//!
//! ```text
//! lmt_ + 43 characters of base64url (RFC 4648, section 5, no padding) = 256 random bits
//! ```
//!
//! Law: what is not of this form is no token, so that a password cannot be one; the hash is SHA-256
//! of the whole text. The text is never logged, shown or kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How each begins, so that scanners find one that was leaked.
const PREFIX: &str = "lmt_";
/// 256 bits.
const BYTES: usize = 32;

/// A bearer token.
pub struct Token(String);

/// SHA-256 of a token's text.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// The token of these random bits.
    #[must_use]
    pub fn new(bits: [u8; BYTES]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits)))
    }

    /// Reads one, if it is one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bits = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (bits.len() == BYTES).then(|| Self(text.to_owned()))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// For whoever made it to write down: it cannot be had again.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl TokenHash {
    /// The hash of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are of one token, in a time that says nothing of where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_bits_and_nothing_else_is_one() {
        let zeros = Token::new([0; 32]);
        assert_eq!(zeros.reveal(), format!("lmt_{}", "A".repeat(43)));
        let ones = Token::new([255; 32]);
        assert_eq!(ones.reveal(), format!("lmt_{}8", "_".repeat(42)));
        assert!(Token::read(ones.reveal()).unwrap().hash().is(&ones.hash()));
        assert!(!zeros.hash().is(&ones.hash()));
        for text in ["", "lmt_", "secret", &"A".repeat(47), &format!("lmt_{}=", "A".repeat(42))] {
            assert!(Token::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        assert!(!format!("{:?}", Token::new([0; 32])).contains("AAAA"));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_text() {
        let hash = format!("{:?}", Token::new([0; 32]).hash());
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, format!("{:x}", Sha256::digest(format!("lmt_{}", "A".repeat(43)))));
    }
}
