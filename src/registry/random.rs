//! Bits that nobody can guess, for names and uids.
//!
//! Law: the kernel's alone. Knows nothing of what they are for.

use crate::model::Id;

/// 128 random bits of the kernel's.
pub(super) fn random_bits() -> u128 {
    let mut bits = [0; 16];
    // getrandom fails only on kernels without the call; a zero id is then caught as a collision
    // rather than handed out twice.
    let _unavailable = getrandom::fill(&mut bits);
    u128::from_le_bytes(bits)
}

/// A name that nobody has.
#[must_use]
pub fn random_id() -> Id {
    Id::random(random_bits())
}
