//! The part of [`Access`] that lets bytes go: volatile ranges.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use crate::error::Failure;
use crate::model::Volatility;
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Lets the bytes of a range be purged from now on, or has them stay. Whether any had been.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::set_volatility`], OUT_OF_BOUNDS.
    pub async fn set_volatility(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
        volatility: Volatility,
    ) -> Result<bool, Failure> {
        let record = self.find(target, occasion.now)?;
        let range = self.within(&record, offset, length)?;
        self.registry.set_volatility(record, range, volatility, &occasion.gate).await
    }
}
