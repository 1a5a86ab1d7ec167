//! The model: memories as plain vectors, and the contract's rules in the simplest words there are.

use std::collections::BTreeMap;

use super::deeds::{Access, Answer, Deed, Form, Place, Seen, Spec, Wish, name, pattern};
use crate::floors::{ARENA, MEMORIES, QUOTA_BYTES, RESERVED_BYTES};

const PAGE: u64 = 65_536;
const HOST_PAGE: u128 = 4096;
/// An index of 32 bits, an offset of 32 bits, and a page.
const WASM32_REACH: u128 = (8 << 30) + (64 << 10);
const DEFAULT_GUARD: u64 = 65_536;
const DEFAULT_MAXIMUM: u64 = 4096;

/// The memories, and the last age.
#[derive(Default)]
pub(super) struct Model(pub(super) BTreeMap<u8, Modelled>, u32);

/// What becomes of a byte: it stays, it went, or it may go, with that age.
const STAYS: u32 = 0;
const WENT: u32 = 1;

pub(super) struct Modelled {
    pub(super) bytes: Vec<u8>,
    pub(super) is_shared: bool,
    /// One for each byte.
    fates: Vec<u32>,
    /// What growth may reach.
    most: u64,
    /// Whether it is charged for that from the start.
    is_paid: bool,
    /// Whether growth is a move, for which there are two of it.
    moves: bool,
    /// Whether its pages are the kernel's to take back.
    may_go: bool,
    /// How many copies of it are charged.
    copies: u64,
    reserved: u64,
    pub(super) seen: Seen,
}

pub(super) enum Trap {
    /// An access outside a memory of this size, in bytes.
    Outside(u64),
    /// An access of bytes that went.
    Purged,
}

impl From<Trap> for Answer {
    fn from(trap: Trap) -> Self {
        match trap {
            Trap::Outside(size) => Self::Refused("OUT_OF_BOUNDS".to_owned(), Some(size)),
            Trap::Purged => refused("PURGED"),
        }
    }
}

pub(super) fn refused(reason: &str) -> Answer {
    Answer::Refused(reason.to_owned(), None)
}

impl Model {
    pub(super) fn resolve(&self, wish: &Wish) -> Deed {
        let (name, place, length, kind) = match wish {
            Wish::Deed(deed) => return deed.clone(),
            Wish::Access { name, place, length, kind } => (*name, *place, *length, *kind),
        };
        let size = self.0.get(&name).map_or(0, |memory| memory.bytes.len() as u64);
        let offset = match place {
            Place::Part(part) => size * u64::from(part) / PAGE,
            Place::End(before) => size.saturating_sub(length).saturating_add_signed(-before),
            Place::Top(before) => u64::MAX - before,
        };
        match kind {
            Access::Read => Deed::Read { name, offset, length },
            Access::Write(seed) => Deed::Write { name, offset, data: pattern(seed, length) },
            Access::Fill(value) => Deed::Fill { name, offset, length, value },
            Access::Discard => Deed::Discard { name, offset, length },
            Access::Volatile(may_go) => Deed::Volatile { name, offset, length, may_go },
            Access::Upload(seed, chunk) => {
                let chunk = usize::try_from(chunk).unwrap();
                let chunks = pattern(seed, length).chunks(chunk).map(<[u8]>::to_vec).collect();
                Deed::Upload { name, offset, chunks }
            }
            Access::Download(chunk) => Deed::Download { name, offset, length, chunk },
            Access::Wait(comparison) => self.wait_for(name, offset, comparison),
            Access::Notify => Deed::Notify { name, address: offset },
        }
    }

    pub(super) fn look_at_all(&self) -> Vec<Deed> {
        let whole = |(name, memory): (&u8, &Modelled)| {
            let length = memory.bytes.len() as u64;
            [
                Deed::Get { name: *name },
                Deed::Volatile { name: *name, offset: 0, length, may_go: false },
                Deed::Download { name: *name, offset: 0, length, chunk: 1 << 20 },
            ]
        };
        self.0.iter().flat_map(whole).collect()
    }

    pub(super) fn delete_all(&self) -> Vec<Deed> {
        self.0.keys().map(|name| Deed::Delete { name: *name }).collect()
    }

    pub(super) fn carry_out(&mut self, deed: &Deed) -> Answer {
        match deed {
            Deed::Create { name, spec } => self.create(*name, spec),
            Deed::Grow { name, delta, expected } => self.grow(*name, *delta, *expected),
            Deed::Rename { name, display_name } => self.with(*name, |memory| {
                memory.seen.display_name.clone_from(display_name);
                Answer::Done
            }),
            Deed::Get { name } => self.with(*name, |memory| Answer::Seen(memory.seen())),
            Deed::List => Answer::Listed(self.0.values().map(Modelled::seen).collect()),
            Deed::Wait { name, address, width, expected } => {
                self.with(*name, |memory| memory.wait(*address, *width, *expected))
            }
            Deed::Notify { name, address } => self.with(*name, |memory| memory.notify(*address)),
            Deed::Verify { name } => self.with(*name, |_memory| Answer::Done),
            Deed::Delete { name } => match self.0.remove(name) {
                Some(_) => Answer::Done,
                None => refused("MEMORY_NOT_FOUND"),
            },
            Deed::Read { name, offset, length } => self.with(*name, |memory| {
                memory.read(*offset, *length).map_or_else(Answer::from, Answer::Bytes)
            }),
            Deed::Write { name, offset, data } => self.with(*name, |memory| {
                memory.write(*offset, data).map_or_else(Answer::from, |()| Answer::Done)
            }),
            Deed::Fill { name, offset, length, value } => {
                self.with(*name, |memory| memory.fill(*offset, *length, *value))
            }
            Deed::Discard { name, offset, length } => {
                self.with(*name, |memory| memory.fill(*offset, *length, 0))
            }
            Deed::Volatile { name, offset, length, may_go } => {
                self.1 += 1;
                let fate = if *may_go { self.1 + WENT } else { STAYS };
                self.with(*name, |memory| memory.volatile(*offset, *length, fate))
            }
            Deed::Purge => Answer::Purged(self.0.values_mut().map(Modelled::purge).sum()),
            Deed::Upload { name, offset, chunks } => self.with(*name, |memory| {
                let mut at = *offset;
                let nothing = [Vec::new()];
                let messages = if chunks.is_empty() { &nothing[..] } else { chunks };
                for chunk in messages {
                    if let Err(trap) = memory.write(at, chunk) {
                        return trap.into();
                    }
                    at = at.saturating_add(chunk.len() as u64);
                }
                Answer::Done
            }),
            Deed::Download { name, offset, length, chunk } => {
                self.with(*name, |memory| match memory.within(*offset, *length) {
                    Ok((from, to)) => {
                        let chunk = usize::try_from(*chunk).unwrap();
                        for at in (from..to).step_by(chunk) {
                            let end = to.min(at + chunk);
                            if let Err(trap) = memory.admit(at, end) {
                                return trap.into();
                            }
                            memory.was_read((end - at) as u64);
                        }
                        Answer::Bytes(memory.bytes[from..to].to_vec())
                    }
                    Err(trap) => trap.into(),
                })
            }
        }
    }

    fn with(&mut self, name: u8, act: impl FnOnce(&mut Modelled) -> Answer) -> Answer {
        self.0.get_mut(&name).map_or_else(|| refused("MEMORY_NOT_FOUND"), act)
    }

    fn committed(&self) -> u128 {
        self.0.values().map(Modelled::committed).sum()
    }

    fn create(&mut self, number: u8, spec: &Spec) -> Answer {
        let reach = if spec.is_64 { 1 << 47 } else { 65_536 };
        let maximum = match spec.maximum {
            Some(maximum) => maximum,
            None if spec.may_grow => DEFAULT_MAXIMUM.max(spec.initial),
            None => spec.initial,
        };
        let is_full = spec.form == Form::Wasm32Full;
        if spec.initial > reach || maximum > reach || maximum < spec.initial {
            return refused("INVALID_SPEC");
        }
        if is_full && spec.is_64 {
            return refused("INVALID_SPEC");
        }
        let heap = spec.form.is_heap();
        if heap && [spec.guard.0, spec.guard.1].iter().any(|guard| guard.is_some_and(|g| g > 0)) {
            return refused("INVALID_SPEC");
        }
        if spec.form.is_shared() && spec.maximum.is_none() {
            return refused("INVALID_SPEC");
        }
        let fixed = spec.form == Form::Fixed;
        let slot = ARENA.1;
        let maximum = match (fixed, spec.maximum) {
            (true, None) if spec.may_grow => slot,
            (true, Some(maximum)) => maximum.min(slot),
            _ => maximum,
        };
        let long = |guard: &Option<u64>| guard.is_some_and(|guard| guard > DEFAULT_GUARD);
        if fixed && (spec.initial > slot || long(&spec.guard.0) || long(&spec.guard.1)) {
            return refused("INVALID_SPEC");
        }
        let room = if spec.may_grow { maximum } else { spec.initial };
        let body = u128::from(room) * u128::from(PAGE);
        let guard = |bytes: Option<u64>| {
            u128::from(bytes.unwrap_or(DEFAULT_GUARD)).next_multiple_of(HOST_PAGE)
        };
        let after = guard(spec.guard.1);
        let after = if is_full { after.max(WASM32_REACH - body) } else { after };
        let reserved = guard(spec.guard.0) + body + after;
        let Ok(reserved) = u64::try_from(reserved) else { return refused("INVALID_SPEC") };
        // A heap sets nothing aside for growth.
        let reserved = if heap { 0 } else { reserved };
        // A slot has its length and one guard of its own.
        let reserved = if fixed { slot * PAGE + DEFAULT_GUARD } else { reserved };
        if self.0.contains_key(&number) {
            return refused("MEMORY_EXISTS");
        }
        let copies = if spec.form == Form::Redundant { 2 } else { 1 };
        let Some(reserved) = reserved.checked_mul(copies) else { return refused("QUOTA_EXCEEDED") };
        let is_paid = matches!(spec.form, Form::Maximum | Form::MemfdMaximum);
        let charged = if is_paid { room } else { spec.initial };
        let committed = self.committed() + u128::from(charged * copies) * u128::from(PAGE);
        let others: u128 = self.0.values().map(|memory| u128::from(memory.reserved)).sum();
        // Overhead is not modelled: these sequences stay far from the quota or pass it by far.
        if self.0.len() >= MEMORIES as usize
            || committed > u128::from(QUOTA_BYTES)
            || others + u128::from(reserved) > u128::from(RESERVED_BYTES)
        {
            return refused("QUOTA_EXCEEDED");
        }
        let bytes = vec![0; usize::try_from(spec.initial * PAGE).unwrap()];
        let seen = Seen { name: name(number), maximum_pages: maximum, ..Seen::default() };
        let (fates, is_shared) = (vec![STAYS; bytes.len()], spec.form.is_shared());
        let (most, moves, may_go) = (room, heap, !heap && !fixed);
        let modelled = Modelled {
            bytes,
            fates,
            most,
            is_paid,
            moves,
            may_go,
            copies,
            reserved,
            seen,
            is_shared,
        };
        self.0.insert(number, modelled);
        Answer::Done
    }

    fn grow(&mut self, name: u8, delta: u64, expected: Option<u64>) -> Answer {
        let committed = self.committed();
        self.with(name, |memory| {
            let before = memory.bytes.len() as u64 / PAGE;
            let after = u128::from(before) + u128::from(delta);
            let twice = if memory.moves && delta > 0 { before } else { 0 };
            let more = (u128::from(delta) + u128::from(twice)) * u128::from(PAGE);
            let more = more * u128::from(memory.copies);
            let why = if expected.is_some_and(|expected| expected != before) {
                "SIZE_MISMATCH"
            } else if after > u128::from(memory.most) {
                "MAXIMUM_REACHED"
            } else if !memory.is_paid && committed + more > u128::from(QUOTA_BYTES) {
                "QUOTA_EXCEEDED"
            } else {
                let after = u64::try_from(after).unwrap();
                memory.bytes.resize(usize::try_from(after * PAGE).unwrap(), 0);
                memory.fates.resize(memory.bytes.len(), STAYS);
                memory.seen.grow_count += u64::from(delta > 0);
                return Answer::Grown(before, after);
            };
            memory.seen.grow_failure_count += 1;
            refused(why)
        })
    }
}

impl Modelled {
    fn committed(&self) -> u128 {
        if self.is_paid {
            u128::from(self.most) * u128::from(PAGE)
        } else {
            self.bytes.len() as u128 * u128::from(self.copies)
        }
    }

    fn seen(&self) -> Seen {
        Seen { size_pages: self.bytes.len() as u64 / PAGE, ..self.seen.clone() }
    }

    pub(super) fn within(&mut self, offset: u64, length: u64) -> Result<(usize, usize), Trap> {
        let (size, end) = (self.bytes.len() as u64, u128::from(offset) + u128::from(length));
        if end > u128::from(size) {
            self.seen.trap_count += 1;
            return Err(Trap::Outside(size));
        }
        Ok((usize::try_from(offset).unwrap(), usize::try_from(end).unwrap()))
    }

    fn admit(&mut self, from: usize, to: usize) -> Result<(), Trap> {
        if self.fates[from..to].contains(&WENT) {
            self.seen.trap_count += 1;
            return Err(Trap::Purged);
        }
        Ok(())
    }

    /// A range that can be accessed.
    pub(super) fn usable(&mut self, offset: u64, length: u64) -> Result<(usize, usize), Trap> {
        let (from, to) = self.within(offset, length)?;
        self.admit(from, to).map(|()| (from, to))
    }

    fn volatile(&mut self, offset: u64, length: u64, fate: u32) -> Answer {
        let (from, to) = match self.within(offset, length) {
            Ok(range) => range,
            Err(trap) => return trap.into(),
        };
        if !self.may_go {
            // Those of the heap and of the arena are never purged.
            return Answer::WasPurged(false);
        }
        let fates = &mut self.fates[from..to];
        let was_purged = fates.contains(&WENT);
        for old in fates.iter_mut().filter(|old| **old != WENT || fate == STAYS) {
            *old = fate;
        }
        Answer::WasPurged(was_purged)
    }

    /// Whole host pages of one age go; how many bytes.
    fn purge(&mut self) -> u64 {
        let page = usize::try_from(HOST_PAGE).unwrap();
        let pages = self.fates.chunks_mut(page).zip(self.bytes.chunks_mut(page));
        let mut gone = 0;
        for (fates, bytes) in pages {
            if fates[0] > WENT && fates.iter().all(|fate| *fate == fates[0]) {
                fates.fill(WENT);
                bytes.fill(0);
                gone += bytes.len() as u64;
            }
        }
        gone
    }

    fn read(&mut self, offset: u64, length: u64) -> Result<Vec<u8>, Trap> {
        let (from, to) = self.usable(offset, length)?;
        self.was_read(length);
        Ok(self.bytes[from..to].to_vec())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Trap> {
        let length = data.len() as u64;
        let (from, to) = self.usable(offset, length)?;
        self.bytes[from..to].copy_from_slice(data);
        self.written(length);
        Ok(())
    }

    fn fill(&mut self, offset: u64, length: u64, value: u8) -> Answer {
        match self.usable(offset, length) {
            Ok((from, to)) => {
                self.bytes[from..to].fill(value);
                self.written(length);
                Answer::Done
            }
            Err(trap) => trap.into(),
        }
    }

    fn was_read(&mut self, length: u64) {
        self.seen.read_count += 1;
        self.seen.read_bytes += length;
        self.seen.largest_access_bytes = self.seen.largest_access_bytes.max(length);
    }

    fn written(&mut self, length: u64) {
        self.seen.write_count += 1;
        self.seen.write_bytes += length;
        self.seen.largest_access_bytes = self.seen.largest_access_bytes.max(length);
    }
}
