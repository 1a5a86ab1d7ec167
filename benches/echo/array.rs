//! The plain server's bytes.
//!
//! Owns: one array, touched at start. Law: a range is copied in or out under a lock that nobody
//! else wants, one for each MiB, so that the copy is all it costs and no `unsafe` is needed. Does
//! not: promise that a range over a MiB's edge is atomic; linmemd does.

use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use bytes::{Bytes, BytesMut};

use crate::shape::MEMORY_BYTES;

const PART_BYTES: usize = 1 << 20;

/// One array of [`MEMORY_BYTES`], for the process's life.
#[derive(Debug)]
pub(crate) struct Array(Vec<RwLock<&'static mut [u8]>>);

impl Array {
    /// The array, every byte written once.
    pub(crate) fn new() -> Self {
        let bytes = Box::leak(vec![0xA5_u8; MEMORY_BYTES].into_boxed_slice());
        Self(bytes.chunks_mut(PART_BYTES).map(RwLock::new).collect())
    }

    /// A copy of a range; none if it is not all inside.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Option<Bytes> {
        let mut copy = BytesMut::with_capacity(inside(offset, length)?.len());
        self.append(offset, length, &mut copy)?;
        Some(copy.freeze())
    }

    /// The same behind what there is.
    pub(crate) fn append(&self, offset: u64, length: u64, to: &mut BytesMut) -> Option<()> {
        for (part, within) in parts(inside(offset, length)?) {
            let bytes = self.0[part].read().unwrap_or_else(PoisonError::into_inner);
            to.extend_from_slice(&bytes[within]);
        }
        Some(())
    }

    /// Copies bytes in; none, and nothing done, if they would not all be inside.
    pub(crate) fn write(&self, offset: u64, mut data: &[u8]) -> Option<()> {
        for (part, within) in parts(inside(offset, data.len() as u64)?) {
            let (now, later) = data.split_at(within.len());
            let mut bytes = self.0[part].write().unwrap_or_else(PoisonError::into_inner);
            bytes[within].copy_from_slice(now);
            data = later;
        }
        Some(())
    }
}

fn inside(offset: u64, length: u64) -> Option<Range<usize>> {
    let end = offset.checked_add(length)?;
    (end <= MEMORY_BYTES as u64).then_some(())?;
    Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
}

fn parts(range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let part = at / PART_BYTES;
        let start = at % PART_BYTES;
        let end = PART_BYTES.min(start + range.end.saturating_sub(at));
        at += end - start;
        (start < end).then_some((part, start..end))
    })
}
