//! The part of [`Access`] for bytes: reads, writes, fills, and the parts of transfers.
//!
//! Law: as `access.rs`; apart from it for its length alone. What goes by a share is `sharing.rs`.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::Sources;
use crate::model::{AccessKind, ShareAccess};
use crate::registry::{Found, Record};
use crate::tenancy::access::{Access, Occasion, Target};
use crate::units::{ByteCount, ByteRange};

impl Access {
    /// Reads a range. `frame` makes what the bytes are appended to, once the range is known to lie
    /// within the size.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::read`], OUT_OF_BOUNDS, and what `frame` says.
    pub async fn read(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
        frame: impl FnOnce(ByteCount) -> Result<Vec<u8>, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        let found = self.reach(target, occasion.now)?;
        let range = self.within(found.record(), offset, length)?;
        self.tenant.rates.take(0, length)?;
        let out = frame(range.length())?;
        // Taken apart, so that the future of a small read keeps no more than its parts.
        let (record, share) = found.into_parts();
        if let Some(share) = share {
            return Box::pin(self.read_lent(occasion, share, range, out)).await;
        }
        self.read_range(occasion, record, range, out, AccessKind::Read).await
    }

    /// Reads a part of a download, which has been taken of the rates.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::read`].
    pub async fn download(
        &self,
        occasion: &Occasion,
        found: &Found,
        range: ByteRange,
        out: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let record = Arc::clone(found.record());
        let read = self.read_range(occasion, record, range, out, AccessKind::Download);
        self.through(found, ShareAccess::Read, &occasion.gate, read).await
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::write`].
    pub async fn write(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        data: Sources,
    ) -> Result<(), Failure> {
        let (record, share) = self.reach(target, occasion.now)?.into_parts();
        self.tenant.rates.take(0, data.length().get())?;
        if let Some(share) = share {
            return Box::pin(self.write_lent(occasion, share, offset, data)).await;
        }
        self.write_at(occasion, record, offset, data, AccessKind::Write, |_written| ()).await
    }

    /// Writes a part of an upload, which has been taken of the rates and as a whole goes [`Self::through`]
    /// what it was reached by; answers the CRC-32C of the upload so far, which was `crc32c`.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::write`].
    pub async fn upload(
        &self,
        occasion: &Occasion,
        record: Arc<Record>,
        offset: u64,
        data: Sources,
        crc32c: u32,
    ) -> Result<u32, Failure> {
        let checksum = move |written: &Sources| written.crc32c(crc32c);
        self.write_at(occasion, record, offset, data, AccessKind::Upload, checksum).await
    }

    /// Sets every byte of a range.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::fill`], OUT_OF_BOUNDS.
    pub async fn fill(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        length: u64,
        value: u8,
    ) -> Result<(), Failure> {
        let found = self.reach(target, occasion.now)?;
        let record = Arc::clone(found.record());
        let range = self.within(&record, offset, length)?;
        self.tenant.rates.take(0, length)?;
        let (lane, gate) = (self.tenant.namespace.lane(), &occasion.gate);
        let fill = self.registry.fill(lane, record, range, value, gate);
        let filled = self.through(&found, ShareAccess::ReadWrite, gate, fill).await;
        filled.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Fill.index(), 1, length);
        Ok(())
    }

    pub(super) async fn read_range(
        &self,
        occasion: &Occasion,
        record: Arc<Record>,
        range: ByteRange,
        out: Vec<u8>,
        kind: AccessKind,
    ) -> Result<Vec<u8>, Failure> {
        let lane = self.tenant.namespace.lane();
        let out = self.registry.read(lane, record, range, out, &occasion.gate).await;
        let out = out.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(kind.index(), 1, range.length().get());
        Ok(out)
    }

    pub(super) async fn write_at<T: Send + 'static>(
        &self,
        occasion: &Occasion,
        record: Arc<Record>,
        offset: u64,
        data: Sources,
        kind: AccessKind,
        then: impl FnOnce(&Sources) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let length = data.length().get();
        self.within(&record, offset, length)?;
        let lane = self.tenant.namespace.lane();
        let said = self.registry.write(lane, record, offset, data, &occasion.gate, then).await;
        let said = said.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(kind.index(), 1, length);
        Ok(said)
    }
}
