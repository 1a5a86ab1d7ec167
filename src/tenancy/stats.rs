//! The part of [`Access`] that begins statistics anew.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use std::sync::Arc;

use crate::error::Failure;
use crate::model::Now;
use crate::registry::Record;
use crate::tenancy::access::{Access, Target};

impl Access {
    /// Begins a memory's statistics anew; the tenant's meters go on.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn reset_stats(&self, target: Target<'_>, now: Now) -> Result<Arc<Record>, Failure> {
        let record = self.find(target, now)?;
        record.reset_stats(now);
        Ok(record)
    }
}
