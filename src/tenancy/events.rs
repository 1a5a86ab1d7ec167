//! The part of [`Access`] that watches what happens to a tenant's memories.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use crate::registry::{Beginning, EventKinds, LabelSelector, Unwatchable, Watch};
use crate::tenancy::access::Access;

impl Access {
    /// Begins to watch.
    ///
    /// # Errors
    /// Where it cannot begin there.
    pub fn watch(
        &self,
        beginning: Beginning,
        selector: LabelSelector,
        kinds: EventKinds,
    ) -> Result<Watch, Unwatchable> {
        self.tenant.namespace.watch(beginning, selector, kinds)
    }

    /// Counts events that a watcher was too slow for.
    pub fn note_events_dropped(&self, count: u64) {
        self.tenant.meters.dropped_events(count);
    }
}
