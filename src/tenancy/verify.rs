//! Verification, by who may: part of [`Access`].
//!
//! Law: `access.rs`'s.

use crate::error::Failure;
use crate::registry::VerificationReport;
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Verifies a memory as far as its spec says.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::verify`].
    pub async fn verify(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
    ) -> Result<VerificationReport, Failure> {
        let record = self.find(target, occasion.now)?;
        self.registry.verify(self.tenant().namespace.lane(), record, &occasion.gate).await
    }
}
