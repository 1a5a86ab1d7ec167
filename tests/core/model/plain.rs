//! The model: memories as plain vectors, and the contract's rules in the simplest words there are.

use std::collections::BTreeMap;

use super::deeds::{Access, Answer, Deed, Form, Place, Seen, Spec, Wish, name, pattern};
use super::modelled::{Modelled, PAGE, STAYS, Trap, WENT, refused};
use crate::floors::{ARENA, MEMORIES, QUOTA_BYTES, RESERVED_BYTES};

const HOST_PAGE: u128 = 4096;
/// An index of 32 bits, an offset of 32 bits, and a page.
const WASM32_REACH: u128 = (8 << 30) + (64 << 10);
const DEFAULT_GUARD: u64 = 65_536;
const DEFAULT_MAXIMUM: u64 = 4096;

/// The memories, and the last age.
#[derive(Default)]
pub(super) struct Model(pub(super) BTreeMap<u8, Modelled>, u32);

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
            Access::Init(seed, segment, source) => {
                Deed::Init { name, offset, segment: pattern(seed, segment), source, length }
            }
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
            Deed::Reset { name } => self.with(*name, |memory| {
                memory.reset();
                Answer::Done
            }),
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
            Deed::Init { name, offset, segment, source, length } => self.with(*name, |memory| {
                let end = u128::from(*source) + u128::from(*length);
                if end > segment.len() as u128 {
                    memory.seen.trap_count += 1;
                    return Trap::Outside(segment.len() as u64).into();
                }
                let part = usize::try_from(*source).unwrap()..usize::try_from(end).unwrap();
                let written = memory.write(*offset, &segment[part]);
                written.map_or_else(Answer::from, |()| Answer::Done)
            }),
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
                            memory.was_read(at, end);
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
        let size = u128::from(spec.initial) * u128::from(PAGE);
        let end = |(offset, data): &(u64, Vec<u8>)| u128::from(*offset) + data.len() as u128;
        if spec.segments.iter().any(|segment| end(segment) > size) {
            return refused("INVALID_SPEC");
        }
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
        let mut bytes = vec![0; usize::try_from(spec.initial * PAGE).unwrap()];
        for (offset, data) in &spec.segments {
            let offset = usize::try_from(*offset).unwrap();
            bytes[offset..offset + data.len()].copy_from_slice(data);
        }
        let seen = Seen { name: name(number), maximum_pages: maximum, ..Seen::default() };
        let (fates, is_shared) = (vec![STAYS; bytes.len()], spec.form.is_shared());
        let (most, moves, may_go) = (room, heap, !heap && !fixed);
        let regions = Default::default();
        let modelled = Modelled {
            bytes,
            fates,
            most,
            is_paid,
            moves,
            may_go,
            copies,
            reserved,
            regions,
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
