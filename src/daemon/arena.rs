//! The arena of fixed memories: from the config to slots that are locked, or to the reason why not.
//!
//! Law: paid by the host before it is mapped, and for good; what cannot be had ends the start.

use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::daemon::compose;
use crate::memory::FixedAllocator;
use crate::os::kernel::Kernel;
use crate::registry::Account;
use crate::units::ByteCount;

/// The arena could not be set aside.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {arena} aside for fixed memories (fixed.slots, fixed.slot_pages): {why}")]
pub struct Unset {
    /// How long it would be, without its guards.
    pub arena: ByteCount,
    /// Why not, and what to do.
    pub why: String,
}

/// The arena; none where none is configured.
pub(super) fn arena(
    config: &Config,
    kernel: &Arc<dyn Kernel>,
    host: &Account,
) -> Result<Option<FixedAllocator>, Unset> {
    let (slots, slot) = (config.fixed.slots, compose::pages(config.fixed.slot_pages));
    if slots == 0 {
        return Ok(None);
    }
    let cost = FixedAllocator::whole(slots, slot);
    let unset = |why: String| Unset { arena: cost.committed, why };
    host.pay_for_good(&cost).map_err(|failure| unset(failure.to_string()))?;
    let begin = Instant::now();
    let fixed = FixedAllocator::arrange(Arc::clone(kernel), slots, slot)
        .map_err(|why| unset(why.to_string()))?;
    let bytes = cost.committed.get();
    tracing::info!(slots, bytes, took = ?begin.elapsed(), "the fixed arena is locked and verified");
    Ok(Some(fixed))
}
