//! [`Sources`]: bytes to be written, in the pieces that they came in, and how many they are.
//!
//! Law: the length is summed once, here, and is that of the pieces. Does not know where they go.

use bytes::Bytes;

use crate::checksum::{Crc64, crc32c_append};
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

    /// Their CRC-64/NVME.
    #[must_use]
    pub fn crc64(&self) -> u64 {
        let mut crc = Crc64::new();
        self.pieces.iter().for_each(|piece| crc.update(piece));
        crc.value()
    }

    /// The same bytes in one piece of exactly their length, which keeps no frame that they came in.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.length.as_usize());
        self.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.into()
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
