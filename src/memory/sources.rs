//! [`Sources`]: bytes to be written, in the pieces that they came in, and how many they are.
//!
//! Law: the length is summed once, here, and is that of the pieces. Does not know where they go.

use bytes::Bytes;

use crate::checksum::crc32c_append;
use crate::units::ByteCount;

/// Bytes to be written, one piece after the other.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pieces: Vec<Bytes>,
    length: ByteCount,
}

impl Sources {
    /// These pieces, in this order.
    #[must_use]
    pub fn new(pieces: Vec<Bytes>) -> Self {
        // Bytes that exist in this process cannot add up to more than 64 bits say.
        let length =
            pieces.iter().fold(0u64, |sum, piece| sum.saturating_add(ByteCount::of(piece).get()));
        Self { pieces, length: ByteCount::new(length) }
    }

    /// How many bytes they are in all.
    #[must_use]
    pub const fn length(&self) -> ByteCount {
        self.length
    }

    /// The CRC-32C of what came before, whose own is `before` (0: nothing), and these.
    #[must_use]
    pub fn crc32c(&self, before: u32) -> u32 {
        self.pieces.iter().fold(before, |crc, piece| crc32c_append(crc, piece))
    }

    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }
}

impl From<Bytes> for Sources {
    fn from(piece: Bytes) -> Self {
        Self::new(vec![piece])
    }
}
