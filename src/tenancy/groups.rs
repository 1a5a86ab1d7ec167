//! Groups of operations and copies, through [`Access`].
//!
//! Law: as `access.rs`; in a file of its own for its length.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::{Group, Tally};
use crate::model::{AccessKind, Now, RequestKey};
use crate::registry::{Part, Record};
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Carries a group out and appends its results to `out`.
    ///
    /// # Errors
    /// As [`Registry::execute`](crate::registry::Registry::execute).
    pub async fn execute(
        &self,
        occasion: &Occasion,
        record: Arc<Record>,
        group: Group,
        out: Vec<u8>,
        request: Option<RequestKey>,
    ) -> Result<Vec<u8>, Failure> {
        let Occasion { now, gate } = occasion;
        let tally = group.tally().clone();
        let namespace = &self.tenant.namespace;
        let executed =
            self.registry.execute(namespace, record, group, out, request, *now, gate).await;
        let out = executed.inspect_err(|failure| self.note(failure))?;
        self.count(&tally);
        Ok(out)
    }

    /// The same at once; none where it would have to wait. Whoever calls counts it, with others
    /// ([`Self::count`]).
    pub fn execute_now(
        &self,
        record: &Arc<Record>,
        group: &Group,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), Failure>> {
        let executed = self.registry.execute_now(record, group, out)?;
        Some(executed.inspect_err(|failure| self.note(failure)))
    }

    /// Counts what was accessed.
    pub fn count(&self, tally: &Tally) {
        for (kind, sum) in tally.kinds() {
            self.tenant.meters.accessed(kind.index(), sum.accesses, sum.bytes);
        }
    }

    /// Counts what was refused before the memory was asked, where it is a trap.
    pub fn trapped(&self, record: &Record, failure: &Failure) {
        if self.note_refused(failure) {
            record.note_refused();
        }
    }

    /// What is wrong with a group of a memory that was found before, or that it is gone since: then it has
    /// no size to be measured by. Its name is asked, for a memory goes with its name.
    pub fn unless_gone(&self, record: &Record, failure: Failure, now: Now) -> Failure {
        let target = Target { id: record.id.as_str(), uid: Some(record.uid) };
        match self.find(target, now) {
            Ok(_there) => failure,
            Err(_gone) => Failure::MemoryNotFound { memory_id: record.id.clone() },
        }
    }

    /// A part of a segment's bytes.
    ///
    /// # Errors
    /// SEGMENT_NOT_FOUND, OUT_OF_BOUNDS.
    pub fn segment_part(&self, id: &str, offset: u64, length: u64) -> Result<Bytes, Failure> {
        self.tenant.namespace.segment(id)?.part(offset, length)
    }

    /// Copies a range to one of the same length, of the same memory or another.
    ///
    /// # Errors
    /// As [`Self::find`] and [`Registry::copy`](crate::registry::Registry::copy), OUT_OF_BOUNDS.
    pub async fn copy(
        &self,
        occasion: &Occasion,
        [from, to]: [(Target<'_>, u64); 2],
        length: u64,
        request: Option<RequestKey>,
    ) -> Result<(), Failure> {
        let Occasion { now, gate } = occasion;
        let part = |(target, offset): (Target<'_>, u64)| {
            let record = self.find(target, *now)?;
            let range = self.within(&record, offset, length)?;
            Ok::<_, Failure>(Part { record, range })
        };
        let (from, to) = (part(from)?, part(to)?);
        let namespace = &self.tenant.namespace;
        let copied = self.registry.copy(namespace, from, to, request, *now, gate).await;
        copied.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Copy.index(), 2, length.saturating_mul(2));
        Ok(())
    }

    /// Counts one that was found before; whether it is one.
    fn note_refused(&self, failure: &Failure) -> bool {
        match failure {
            Failure::OutOfBounds(_) | Failure::OutOfSegment { .. } => self.tenant.meters.trap(),
            Failure::Unaligned { .. } => self.tenant.meters.unaligned(),
            Failure::InOperation { failure, .. } => return self.note_refused(failure),
            _ => return false,
        }
        true
    }
}
