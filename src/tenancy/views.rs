//! The part of [`Access`] for views.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Failure;
use crate::model::{AccessKind, ShareAccess, ViewId};
use crate::registry::{Shown, View};
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Opens a view.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::open_view`], OUT_OF_BOUNDS.
    pub async fn open_view(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
        ttl: Duration,
    ) -> Result<(Arc<View>, Shown), Failure> {
        let Occasion { now, gate } = occasion;
        let found = self.reach(target, *now)?;
        let range = self.within(found.record(), offset, length)?;
        self.tenant.rates.take(0, length)?;
        let namespace = &self.tenant.namespace;
        let open = self.registry.open_view(namespace, &found, range, ttl, *now, gate);
        let opened = self.through(&found, ShareAccess::Read, gate, open).await;
        let opened = opened.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Read.index(), 1, length);
        Ok(opened)
    }

    /// Looks at what a view shows.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::refresh_view`].
    pub async fn refresh_view(
        &self,
        occasion: &Occasion,
        view: &View,
        version: Option<u64>,
    ) -> Result<Shown, Failure> {
        self.tenant.rates.take(0, view.range.length().get())?;
        let (Occasion { now, gate }, lane) = (occasion, self.tenant.namespace.lane());
        let refresh = self.registry.refresh_view(lane, view, version, *now, gate);
        let shown = match view.share() {
            None => refresh.await,
            Some(share) => share.through(ShareAccess::Read, gate, refresh)?.await,
        };
        let shown = shown.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Read.index(), 1, view.range.length().get());
        Ok(shown)
    }

    /// Closes a view.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::close_view`].
    pub fn close_view(&self, occasion: &Occasion, id: &ViewId) -> Result<(), Failure> {
        let Occasion { now, gate } = occasion;
        self.registry.close_view(&self.tenant.namespace, id, *now, gate)
    }
}
