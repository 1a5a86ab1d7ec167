//! [`Segment`]: bytes that a tenant keeps beside its memories, to be put into them.
//!
//! Law: a segment's bytes never change, are in one piece of exactly their length, and are paid for as
//! overhead as long as anyone has the segment; whoever puts them into a memory shares them. They are in
//! no memory's pages. Does not know memories.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::error::Failure;
use crate::model::{Id, Resource, SegmentId, Uuid};
use crate::registry::by_name::Entry;
use crate::registry::ledger::Charge;
use crate::registry::quota::Taken;
use crate::units::{ByteCount, ByteRange};

/// Segments that a tenant may have, where nothing else is said.
pub const MOST_SEGMENTS: usize = 16_384;
/// What a segment is charged beside its bytes: the record, its name, its place in the order.
pub(super) const SEGMENT_BYTES: u64 = 256;

/// One segment.
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// Its bytes. Who keeps them longer than the segment keeps what nobody pays for; [`Self::part`] keeps
    /// the segment too.
    pub bytes: Bytes,
    /// CRC-32C of them.
    pub crc32c: u32,
    /// When it was put.
    pub created: SystemTime,
    /// New for every segment ever put, so that a repeated put finds its own.
    pub(super) uid: Uuid,
    pub(super) _charge: Charge,
    pub(super) _bytes: Taken,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Its bytes with what pays for them.
struct Paid(Arc<Segment>);

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Entry for Segment {
    const RESOURCE: Resource = Resource::Segment;
    const MOST: usize = MOST_SEGMENTS;

    fn id(&self) -> &Id {
        &self.id
    }
}

impl Segment {
    /// A part of its bytes, shared; the segment stays paid for as long as anyone has it.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, naming the segment.
    pub fn part(self: &Arc<Self>, offset: u64, length: u64) -> Result<Bytes, Failure> {
        match ByteRange::within(offset, length, ByteCount::of(&self.bytes)) {
            Ok(part) => {
                let start = ByteCount::new(part.start()).as_usize();
                let whole = Bytes::from_owner(Paid(Arc::clone(self)));
                Ok(whole.slice(start..ByteCount::new(part.end()).as_usize()))
            }
            Err(part) => Err(Failure::OutOfSegment { segment_id: self.id.clone(), part }),
        }
    }
}
