//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of uploads and downloads.
//!
//! Law: every end computes it here, so client and server cannot differ in anything but the bytes.

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

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

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
