//! Groups of operations and copies, through [`Access`].
//!
//! Law: as `access.rs`; in a file of its own for its length.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::{Group, Tally};
use crate::metrics::Trap;
use crate::model::{AccessKind, Now, RequestKey, ShareAccess};
use crate::registry::{Found, Gate, Part, Record, Share};
use crate::tenancy::access::{Access, Occasion, Target};

impl Access {
    /// Takes what a group costs of the rates, beside the call's one operation.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub fn take_for(&self, group: &Group) -> Result<(), Failure> {
        self.tenant.rates.take_group(|| group.tally().whole())
    }

    /// Carries out a group that has been taken of the rates and appends its results to `out`.
    ///
    /// # Errors
    /// As [`Registry::execute`](crate::registry::Registry::execute).
    pub async fn execute(
        &self,
        occasion: &Occasion,
        found: impl Into<Found>,
        group: Group,
        out: Vec<u8>,
        request: Option<RequestKey>,
    ) -> Result<Vec<u8>, Failure> {
        let Occasion { now, gate } = occasion;
        let (tally, needs) = (group.tally().clone(), needs(&group));
        let (namespace, found) = (&self.tenant.namespace, found.into());
        let record = Arc::clone(found.record());
        let execute = self.registry.execute(namespace, record, group, out, request, *now, gate);
        let executed = match &found {
            Found::Own(_) => execute.await,
            Found::Lent(share) => share.through(needs, gate, execute)?.await,
        };
        let out = executed.inspect_err(|failure| self.note(failure))?;
        self.count(&tally);
        Ok(out)
    }

    /// The same at once; none where it would have to wait. Whoever calls counts it, with others
    /// ([`Self::count`]).
    pub fn execute_now(
        &self,
        found: &Found,
        group: &Group,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), Failure>> {
        let pass = |share: &Arc<Share>| share.pass(needs(group), &Gate::new());
        let _passage = match found.share().map(pass).transpose() {
            Ok(passage) => passage,
            Err(failure) => return Some(Err(failure)),
        };
        let executed = self.registry.execute_now(found.record(), group, out)?;
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
    pub fn unless_gone(&self, found: &Found, failure: Failure, now: Now) -> Failure {
        let target = Target { id: found.name().as_str(), uid: Some(found.record().uid) };
        match self.reach(target, now) {
            Ok(_there) => failure,
            Err(_gone) => found.gone(now),
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
            let found = self.reach(target, *now)?;
            let record = Arc::clone(found.record());
            let range = self.within(&record, offset, length)?;
            Ok::<_, Failure>((found, Part { record, range }))
        };
        let ((source, from), (destination, to)) = (part(from)?, part(to)?);
        self.tenant.rates.take(1, length.saturating_mul(2))?;
        let namespace = &self.tenant.namespace;
        let copy = self.registry.copy(namespace, from, to, request, *now, gate);
        let copy = self.through(&destination, ShareAccess::ReadWrite, gate, copy);
        let copied = self.through(&source, ShareAccess::Read, gate, copy).await;
        copied.inspect_err(|failure| self.note(failure))?;
        self.tenant.meters.accessed(AccessKind::Copy.index(), 2, length.saturating_mul(2));
        Ok(())
    }

    /// Counts one that was found before; whether it is one.
    fn note_refused(&self, failure: &Failure) -> bool {
        match failure {
            Failure::OutOfBounds(_) | Failure::OutOfSegment { .. } => {
                self.tenant.meters.trapped(Trap::OutOfBounds)
            }
            Failure::Unaligned { .. } => self.tenant.meters.trapped(Trap::Unaligned),
            Failure::InOperation { failure, .. } => return self.note_refused(failure),
            _ => return false,
        }
        true
    }
}

/// What a group needs of a share. To wake is no read.
const fn needs(group: &Group) -> ShareAccess {
    if group.is_a_writers() { ShareAccess::ReadWrite } else { ShareAccess::Read }
}
