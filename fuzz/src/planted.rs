//! Planted bugs: one a target, switched on by `FUZZ_FAULT=1`, to show that the target would find its
//! like.
//!
//! Law: the product is never changed. What the daemon was sent, or what it said, is falsified on the
//! way in one narrow case, as if the decoder at fault had done it; the target's own laws must see it.

use std::sync::LazyLock;

static PLANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("FUZZ_FAULT").is_some_and(|set| set == "1"));

/// Whether the bug is planted, and this is the case that it is in.
pub(crate) fn here(case: bool) -> bool {
    case && *PLANTED
}
