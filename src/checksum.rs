//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of uploads and downloads, and
//! CRC-64/NVME (NVM Express NVM command set specification 1.0c, section 5.2.1.3.4), that of stored
//! pages.
//!
//! Law: every end computes it here, so client and server cannot differ in anything but the bytes. No
//! change of up to 64 bits in a row leaves a CRC-64 as it was.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The CRC-32C of what came before, whose own is `before` (0: nothing came), and then `bytes`.
#[must_use]
pub fn crc32c_append(before: u32, bytes: &[u8]) -> u32 {
    // The register before its last step, which inverts it.
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!before));
    digest.update(bytes);
    // The algorithm has 32 bits, so nothing is cut.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is zero")]
    let crc = digest.finalize() as u32;
    crc
}

/// The CRC-64/NVME of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Crc64(Digest);

impl Crc64 {
    /// That of no byte yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    /// These follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

/// The CRC-64/NVME of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    /// Bit by bit, as the specification has it: reflected, begun and ended inverted.
    fn crc64_by_the_bit(bytes: &[u8]) -> u64 {
        let mut register = u64::MAX;
        for byte in bytes {
            register ^= u64::from(*byte);
            for _bit in 0..8 {
                let out = register & 1;
                register = (register >> 1) ^ (out * 0x9A6C_9329_AC4B_C9B5);
            }
        }
        !register
    }

    #[test]
    fn the_crc_64_is_that_of_the_specification_in_any_cuts() {
        assert_eq!(crc64(b"123456789"), 0xAE8B_1486_0A79_9888);
        let bytes: Vec<u8> = (0..4_096u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(crc64(&bytes), crc64_by_the_bit(&bytes));
        for cut in [0, 1, 7, 64, 255, 4_095, 4_096] {
            let (first, rest) = bytes.split_at(cut);
            let mut pieces = Crc64::new();
            pieces.update(first);
            pieces.update(rest);
            assert_eq!(pieces.value(), crc64(&bytes), "{cut}");
        }
    }

    #[test]
    fn no_flipped_byte_leaves_the_crc_64_of_a_page_as_it_was() {
        let mut page = vec![0x5A_u8; 4_096];
        let before = crc64(&page);
        for at in 0..page.len() {
            for flip in [0x01, 0x80, 0xFF] {
                page[at] ^= flip;
                assert_ne!(crc64(&page), before, "{at} {flip}");
                page[at] ^= flip;
            }
        }
    }

    #[test]
    fn the_values_of_rfc_3720_are_found() {
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn any_cuts_give_what_an_independent_implementation_gives_for_the_whole() {
        let bytes: Vec<u8> = (0..70_000u32).map(|n| (n % 251) as u8).collect();
        for cut in [0, 1, 7, 64, 255, 4_096, 65_537, 70_000] {
            let (first, rest) = bytes.split_at(cut);
            assert_eq!(crc32c_append(crc32c(first), rest), ::crc32c::crc32c(&bytes), "{cut}");
        }
    }
}
