//! The part of [`Access`] for segments.
//!
//! Law: as `access.rs`; apart from it for its length alone.

use std::sync::Arc;

use crate::error::Failure;
use crate::memory::Sources;
use crate::metrics::Trap;
use crate::model::{AccessKind, RequestKey, SegmentId, ShareAccess};
use crate::registry::Segment;
use crate::tenancy::access::{Access, Occasion, Target};
use crate::units::ByteCount;

/// A part of a segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPart<'a> {
    /// The segment's name.
    pub segment_id: &'a str,
    /// Where the part begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

impl Access {
    /// Keeps bytes as a segment.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::put_segment`].
    pub async fn put_segment(
        &self,
        occasion: &Occasion,
        id: Option<SegmentId>,
        data: Sources,
        request: Option<RequestKey>,
    ) -> Result<Arc<Segment>, Failure> {
        let Occasion { now, gate } = occasion;
        self.tenant.rates.take(0, data.length().get())?;
        let namespace = &self.tenant.namespace;
        self.registry.put_segment(namespace, id, data, request, *now, gate).await
    }

    /// A segment whose bytes are asked for as well.
    ///
    /// # Errors
    /// SEGMENT_NOT_FOUND, RATE_LIMITED; what `admit` says of its length.
    pub fn segment_with_data(
        &self,
        id: &str,
        admit: impl FnOnce(ByteCount) -> Result<(), Failure>,
    ) -> Result<Arc<Segment>, Failure> {
        let segment = self.tenant.namespace.segment(id)?;
        let length = ByteCount::of(&segment.bytes);
        admit(length)?;
        self.tenant.rates.take(0, length.get())?;
        Ok(segment)
    }

    /// Ends a segment.
    ///
    /// # Errors
    /// As [`crate::registry::Registry::drop_segment`].
    pub fn drop_segment(&self, occasion: &Occasion, id: &SegmentId) -> Result<(), Failure> {
        self.registry.drop_segment(&self.tenant.namespace, id, &occasion.gate)
    }

    /// Puts a part of a segment into a memory.
    ///
    /// # Errors
    /// As [`Self::find`] and [`crate::registry::Registry::write`], SEGMENT_NOT_FOUND, OUT_OF_BOUNDS.
    pub async fn init(
        &self,
        occasion: &Occasion,
        target: Target<'_>,
        offset: u64,
        part: SegmentPart<'_>,
    ) -> Result<(), Failure> {
        let found = self.reach(target, occasion.now)?;
        let record = Arc::clone(found.record());
        let segment = self.tenant.namespace.segment(part.segment_id)?;
        let source = record.source(&segment, part.offset, part.length);
        let source = source.inspect_err(|_trap| self.tenant.meters.trapped(Trap::OutOfBounds))?;
        self.tenant.rates.take(0, part.length)?;
        let (source, kind) = (source.into(), AccessKind::Init);
        let init = self.write_at(occasion, record, offset, source, kind, |_written| ());
        self.through(&found, ShareAccess::ReadWrite, &occasion.gate, init).await
    }
}
