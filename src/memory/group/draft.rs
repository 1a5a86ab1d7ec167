//! [`Draft`]: a group in the making, one operation after the other.
//!
//! Law: an operation that does not fit ends the draft with the failure that a caller is told; the
//! limits are checked as it grows, before anything is kept. Sizes only grow, so what fits stays fit.

use bytes::Bytes;

use crate::error::Failure;
use crate::memory::group::{Group, Operand, Step};
use crate::memory::scalars::{Load, Operator, Width};
use crate::model::AccessKind;
use crate::units::{ByteCount, ByteRange, OutOfBounds, WasmPages};

/// How large a group may be.
#[derive(Clone, Copy, Debug)]
pub struct GroupLimits {
    /// Operations, each range of a gather or scatter one.
    pub operations: u32,
    /// Bytes touched.
    pub bytes: ByteCount,
    /// Bytes of results.
    pub reply: ByteCount,
}

/// A group in the making, of a memory of some size.
#[derive(Debug)]
pub struct Draft {
    group: Group,
    /// Operands of few bytes.
    small: Vec<u8>,
    size: ByteCount,
    /// What the memory may grow to.
    maximum: WasmPages,
    limits: GroupLimits,
    /// Operations that are not one step each; then so many have been begun.
    begun: Option<u32>,
}

impl Draft {
    /// Nothing yet.
    #[must_use]
    pub fn new(size: ByteCount, maximum: WasmPages, limits: GroupLimits) -> Self {
        let group = Group { operands: vec![Bytes::new()], ..Group::default() };
        Self { group, small: Vec::new(), size, maximum, limits, begun: None }
    }

    /// Makes room for so many operations, or as many as there may be.
    pub fn reserve(&mut self, operations: usize) {
        self.group.steps.reserve_exact(operations.min(self.limits.operations as usize));
    }

    /// What follows, up to the next such call, is one operation, whose place is one after the last's.
    pub fn begin_operation(&mut self) {
        self.begun = Some(self.begun.map_or(0, |last| last.saturating_add(1)));
    }

    /// Answers a range's bytes.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn read(&mut self, kind: AccessKind, offset: u64, length: u64) -> Result<(), Failure> {
        let range = self.range(offset, length)?;
        self.access(kind, range, false)?;
        self.step(Step::Read(range), length)
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn write(&mut self, kind: AccessKind, offset: u64, bytes: Bytes) -> Result<(), Failure> {
        let range = self.range(offset, bytes.len() as u64)?;
        let operand = self.keep(bytes)?;
        self.store(kind, range, operand)
    }

    /// Goes on only where these bytes are.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn compare(&mut self, offset: u64, expected: Bytes) -> Result<(), Failure> {
        let range = self.range(offset, expected.len() as u64)?;
        let operand = self.keep(expected)?;
        self.access(AccessKind::Compare, range, false)?;
        self.group.compares = true;
        self.step(Step::Compare(range, operand), 0)
    }

    /// Answers a number.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn load(&mut self, address: Address, load: Load) -> Result<(), Failure> {
        let range = self.number(address, load.width)?;
        self.loaded(AccessKind::Load, range, load)
    }

    /// Stores a number: its lowest `width` bytes.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn store_number(
        &mut self,
        address: Address,
        width: Width,
        number: &[u8],
    ) -> Result<(), Failure> {
        let range = self.number(address, width)?;
        let operand = self.keep_small(number.get(..width.bytes()).unwrap_or(number));
        self.store(AccessKind::Store, range, operand)
    }

    /// Sets every byte of a range.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn fill(&mut self, offset: u64, length: u64, value: u8) -> Result<(), Failure> {
        let range = self.range(offset, length)?;
        self.access(AccessKind::Fill, range, true)?;
        self.step(Step::Fill(range, value), 0)
    }

    /// Copies a range within the memory; the ranges may overlap.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, TOO_LARGE.
    pub fn copy(&mut self, from: u64, to: u64, length: u64) -> Result<(), Failure> {
        let (from, into) = (self.range(from, length)?, self.range(to, length)?);
        self.access(AccessKind::Copy, from, false)?;
        self.access(AccessKind::Copy, into, true)?;
        self.step(Step::Copy(from, into), 0)
    }

    /// Answers a number that is loaded atomically.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, UNALIGNED, TOO_LARGE.
    pub fn atomic_load(
        &mut self,
        address: Address,
        width: Width,
        to: Width,
    ) -> Result<(), Failure> {
        let range = self.aligned(address, width)?;
        self.loaded(AccessKind::Atomic, range, Load::zero(width, to))
    }

    /// Stores a number atomically: its lowest `width` bytes.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, UNALIGNED, TOO_LARGE.
    pub fn atomic_store(
        &mut self,
        address: Address,
        width: Width,
        number: u64,
    ) -> Result<(), Failure> {
        let range = self.aligned(address, width)?;
        let operand = self.keep_small(number.to_le_bytes().get(..width.bytes()).unwrap_or(&[]));
        self.store(AccessKind::Atomic, range, operand)
    }

    /// Changes a number and answers what it was.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, UNALIGNED, TOO_LARGE.
    pub fn rmw(
        &mut self,
        address: Address,
        [width, to]: [Width; 2],
        operator: Operator,
        operand: u64,
    ) -> Result<(), Failure> {
        let range = self.aligned(address, width)?;
        self.access(AccessKind::Atomic, range, true)?;
        self.step(Step::Rmw { range, to, operator, operand }, to.count().get())
    }

    /// Stores a number where all 64 bits of another are there, zero-extended; answers what was there.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, UNALIGNED, TOO_LARGE.
    pub fn cmpxchg(
        &mut self,
        address: Address,
        [width, to]: [Width; 2],
        expected: u64,
        replacement: u64,
    ) -> Result<(), Failure> {
        let range = self.aligned(address, width)?;
        let operand = self.keep_small(&expected.to_le_bytes());
        self.keep_small(&replacement.to_le_bytes());
        self.access(AccessKind::Atomic, range, true)?;
        self.step(Step::Cmpxchg { range, to, operand }, to.count().get())
    }

    /// Answers the size in pages, in eight bytes.
    ///
    /// # Errors
    /// TOO_LARGE.
    pub fn size(&mut self) -> Result<(), Failure> {
        self.step(Step::Size, Width::Eight.count().get())
    }

    /// Wakes waiters once everything else has happened; answers how many, in four bytes.
    ///
    /// # Errors
    /// OUT_OF_BOUNDS, UNALIGNED, TOO_LARGE.
    pub fn notify(&mut self, address: Address, count: u32) -> Result<(), Failure> {
        let address = self.aligned(address, Width::Four)?.start();
        self.group.notifies = true;
        self.step(Step::Notify { address, count }, Width::Four.count().get())
    }

    /// The group.
    #[must_use]
    pub fn finish(mut self) -> Group {
        if let Some(first) = self.group.operands.first_mut() {
            *first = Bytes::from(self.small);
        }
        self.group
    }

    fn range(&self, offset: u64, length: u64) -> Result<ByteRange, Failure> {
        Ok(ByteRange::within(offset, length, self.size)?)
    }

    fn number(&self, address: Address, width: Width) -> Result<ByteRange, Failure> {
        let length = width.count().get();
        match address.effective() {
            Some(offset) => self.range(offset, length),
            None => Err(OutOfBounds { offset: u64::MAX, length, size: self.size.get() }.into()),
        }
    }

    fn aligned(&self, address: Address, width: Width) -> Result<ByteRange, Failure> {
        if let Some(offset) = address.effective()
            && !offset.is_multiple_of(width.count().get())
        {
            return Err(Failure::Unaligned { offset, width: width.count().get() });
        }
        self.number(address, width)
    }

    fn loaded(&mut self, kind: AccessKind, range: ByteRange, load: Load) -> Result<(), Failure> {
        self.access(kind, range, false)?;
        let step = if load == Load::plain(load.width) {
            Step::Read(range)
        } else {
            Step::Load(range, load)
        };
        self.step(step, load.to.count().get())
    }

    fn store(
        &mut self,
        kind: AccessKind,
        range: ByteRange,
        operand: Operand,
    ) -> Result<(), Failure> {
        self.access(kind, range, true)?;
        self.step(Step::Write(range, operand), 0)
    }

    fn access(&mut self, kind: AccessKind, range: ByteRange, stores: bool) -> Result<(), Failure> {
        let touched = self.group.touched.saturating_add(range.length().get());
        if touched > self.limits.bytes.get() {
            let instead = "touch fewer bytes; FillMemory and CopyMemory take any length";
            return Err(too_large(touched, "max_group_bytes", self.limits.bytes.get(), instead));
        }
        self.group.touched = touched;
        self.group.pages.add(range);
        self.group.writes |= stores;
        self.group.tally.add(kind, range, stores, self.maximum);
        Ok(())
    }

    fn step(&mut self, step: Step, answers: u64) -> Result<(), Failure> {
        let reply = self.group.reply.saturating_add(answers);
        if reply > self.limits.reply.get() {
            let (limit, instead) = (self.limits.reply.get(), "read less at once");
            return Err(too_large(reply, "max_group_reply_bytes", limit, instead));
        }
        if self.group.steps.len() >= self.limits.operations as usize {
            let (limit, length) = (self.limits.operations.into(), self.group.steps.len() as u64);
            let instead = "send them in more groups";
            return Err(too_large(length.saturating_add(1), "max_operations", limit, instead));
        }
        self.group.reply = reply;
        self.group.steps.push(step);
        if let Some(operation) = self.begun {
            self.group.operations.push(operation);
        }
        Ok(())
    }

    fn keep(&mut self, bytes: Bytes) -> Result<Operand, Failure> {
        // The limit on operations ends every group long before its operands come to that.
        let piece = u32::try_from(self.group.operands.len()).unwrap_or(u32::MAX);
        if bytes.len() as u64 > self.limits.bytes.get() {
            let (length, limit) = (bytes.len() as u64, self.limits.bytes.get());
            return Err(too_large(length, "max_group_bytes", limit, "send fewer bytes"));
        }
        self.group.operands.push(bytes);
        Ok(Operand { piece, at: 0 })
    }

    fn keep_small(&mut self, bytes: &[u8]) -> Operand {
        // 16 bytes an operation at most, of which there are at most 2^32 / 16 by far.
        let at = u32::try_from(self.small.len()).unwrap_or(u32::MAX);
        self.small.extend_from_slice(bytes);
        Operand { piece: 0, at }
    }
}

/// Where a number is: the sum of both, which does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The dynamic part.
    pub address: u64,
    /// The static part.
    pub static_offset: u64,
}

impl Address {
    /// A place by itself.
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self { address, static_offset: 0 }
    }

    const fn effective(self) -> Option<u64> {
        self.address.checked_add(self.static_offset)
    }
}

const fn too_large(
    length: u64,
    limit_name: &'static str,
    limit: u64,
    instead: &'static str,
) -> Failure {
    Failure::TooLarge { field: "group", length, limit_name, limit, instead }
}
