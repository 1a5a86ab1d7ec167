//! The real thing through `tenancy::Access`, the door that the wire itself goes through: as a memory's owner,
//! or with every access to its bytes by a share of it.

use linmemd::error::Failure;
use linmemd::memory::{Finding, Outcome};
use linmemd::model::{
    ActiveSegment, AddressSpace, Allocator, Backing, Form, Growth, Guard, Id, IndexType,
    MemorySpec, Owner, Populate, Presentation, ShareAccess, Verification, Volatility,
};
use linmemd::registry::{Expected, LabelSelector, NewShare, PresentationChange, Record, Waited};
use linmemd::tenancy::{Access, SegmentPart};
use linmemd::units::{ByteCount, OutOfBounds, WasmPages};

use super::Door;
use super::deeds::{Answer, Deed, POOL, Seen, Spec, name, pool_bytes};
use crate::floors::{Floors, GRANTEE, block_on, now, occasion, partition_of, target};

pub(super) struct Library {
    floors: Floors,
    grantee: Access,
    /// Bytes are accessed by another tenant, with whom each memory is shared under its own name.
    lends: bool,
}

impl Library {
    pub(super) fn new(lends: bool) -> Self {
        let floors = Floors::with_arena();
        let library = Self { grantee: floors.access_of(GRANTEE), floors, lends };
        library.make_pool();
        library
    }

    /// Whoever accesses bytes.
    fn user(&self) -> &Access {
        if self.lends { &self.grantee } else { &self.floors.access }
    }

    fn lend(&self, id: &Id) -> Result<(), Failure> {
        let grantee = Id::new(GRANTEE).unwrap();
        let new = NewShare { grantee, access: ShareAccess::ReadWrite, expire_time: None };
        let share = self.floors.access.share(&occasion(), target(id.as_str()), new)?;
        self.grantee.mount(&occasion(), &share.id, Some(id.clone())).map(drop)
    }

    fn make_pool(&self) {
        self.floors.create_partition(POOL, partition_of(pool_bytes(), 1 << 30)).expect("a pool");
    }

    fn attempt(&self, deed: &Deed) -> Result<Answer, Failure> {
        let (access, user) = (&self.floors.access, self.user());
        match deed {
            Deed::Create { name: number, spec } => {
                let id = Id::new(&name(*number)).unwrap();
                let spec = asked(spec)?;
                block_on(access.create(&occasion(), Some(id.clone()), spec, None))?;
                if self.lends { self.lend(&id).map(|()| Answer::Done) } else { Ok(Answer::Done) }
            }
            Deed::Grow { name: number, delta, expected } => {
                let id = name(*number);
                let occasion = occasion();
                let grow = access.grow(&occasion, target(&id), *delta, *expected, None, |_| ());
                let grown = block_on(grow)?;
                Ok(Answer::Grown(grown.previous.get(), grown.current.get()))
            }
            Deed::Read { name: number, offset, length } => {
                let (id, occasion) = (name(*number), occasion());
                let read = user.read(&occasion, target(&id), *offset, *length, |_| Ok(Vec::new()));
                block_on(read).map(Answer::Bytes)
            }
            Deed::Write { name: number, offset, data } => {
                let (id, occasion) = (name(*number), occasion());
                let data = bytes::Bytes::from(data.clone()).into();
                block_on(user.write(&occasion, target(&id), *offset, data))?;
                Ok(Answer::Done)
            }
            Deed::Fill { name: number, offset, length, value } => {
                let id = name(*number);
                block_on(user.fill(&occasion(), target(&id), *offset, *length, *value))?;
                Ok(Answer::Done)
            }
            Deed::Discard { name: number, offset, length } => {
                let id = name(*number);
                let given = block_on(access.discard(&occasion(), target(&id), *offset, *length))?;
                assert!(given.get() <= *length);
                Ok(Answer::Done)
            }
            Deed::Init { name: number, offset, segment, source, length } => {
                let (id, occasion, data) = (name(*number), occasion(), segment.clone());
                let data = bytes::Bytes::from(data).into();
                let put = block_on(user.put_segment(&occasion, None, data, None))?;
                let part =
                    SegmentPart { segment_id: put.id.as_str(), offset: *source, length: *length };
                let init = block_on(user.init(&occasion, target(&id), *offset, part));
                user.drop_segment(&occasion, &put.id)?;
                init.map(|()| Answer::Done)
            }
            Deed::Volatile { name: number, offset, length, may_go } => {
                let (id, occasion) = (name(*number), occasion());
                let volatility =
                    if *may_go { Volatility::Volatile } else { Volatility::Nonvolatile };
                let set =
                    access.set_volatility(&occasion, target(&id), *offset, *length, volatility);
                block_on(set).map(Answer::WasPurged)
            }
            Deed::Purge => {
                let outcome = self.floors.registry.purge(ByteCount::new(u64::MAX));
                assert_eq!((outcome.busy, outcome.refused), (0, 0), "{outcome:?}");
                // Of a second copy as well.
                assert!(outcome.given_back_bytes <= 2 * outcome.purged_bytes, "{outcome:?}");
                Ok(Answer::Purged(outcome.purged_bytes))
            }
            Deed::Upload { name: number, offset, chunks } => self.upload(*number, *offset, chunks),
            Deed::Download { name: number, offset, length, chunk } => {
                self.download(*number, *offset, *length, *chunk)
            }
            Deed::Rename { name: number, display_name } => {
                let display_name = Some(display_name.clone());
                let change = PresentationChange { display_name, ..Default::default() };
                access.update(target(&name(*number)), change, now()).map(|_record| Answer::Done)
            }
            Deed::Get { name: number } => {
                Ok(Answer::Seen(seen(&*access.find(target(&name(*number)), now())?)))
            }
            Deed::Reset { name: number } => {
                access.reset_stats(target(&name(*number)), now()).map(|_record| Answer::Done)
            }
            Deed::List => {
                let listing = access.list(&LabelSelector::default(), None, 100, now());
                assert_eq!(listing.next, None);
                Ok(Answer::Listed(listing.records.iter().map(|record| seen(record)).collect()))
            }
            Deed::Wait { name: number, address, width, expected } => {
                let id = name(*number);
                let expected = match u32::try_from(*expected) {
                    Ok(expected) if *width == 4 => Expected::Bits32(expected),
                    _ => Expected::Bits64(*expected),
                };
                let waited = block_on(user.wait(&occasion(), target(&id), *address, expected))?;
                Ok(Answer::Waited(matches!(waited, Waited::Parked(_))))
            }
            Deed::Notify { name: number, address } => {
                user.notify(target(&name(*number)), *address, u32::MAX, now()).map(Answer::Woken)
            }
            Deed::Verify { name: number } => {
                let id = name(*number);
                let report = block_on(access.verify(&occasion(), target(&id)))?;
                let failed = |one: &Finding| matches!(one.outcome, Outcome::Failed(_));
                assert!(!report.findings.iter().any(failed), "{report:?}");
                Ok(Answer::Done)
            }
            Deed::Delete { name: number } => {
                self.floors.delete(&name(*number)).map(|()| Answer::Done)
            }
        }
    }

    fn upload(&self, number: u8, offset: u64, chunks: &[Vec<u8>]) -> Result<Answer, Failure> {
        let access = self.user();
        let found = access.reach(target(&name(number)), now())?;
        let occasion = occasion();
        let nothing = [Vec::new()];
        let (mut at, mut crc32c) = (offset, 0);
        for chunk in if chunks.is_empty() { &nothing[..] } else { chunks } {
            let record = std::sync::Arc::clone(found.record());
            let data = bytes::Bytes::from(chunk.clone()).into();
            let expected = crc32c::crc32c_append(crc32c, chunk);
            let upload = access.upload(&occasion, record, at, data, crc32c);
            let needs = ShareAccess::ReadWrite;
            crc32c = block_on(access.through(&found, needs, &occasion.gate, upload))?;
            assert_eq!(crc32c, expected, "of all chunks so far");
            occasion.gate.rearm();
            at = at.saturating_add(chunk.len() as u64);
        }
        Ok(Answer::Done)
    }

    fn download(
        &self,
        number: u8,
        offset: u64,
        length: u64,
        chunk: u64,
    ) -> Result<Answer, Failure> {
        let access = self.user();
        let found = access.reach(target(&name(number)), now())?;
        let (occasion, mut all) = (occasion(), Vec::new());
        let range = access.within(found.record(), offset, length)?;
        let mut rest = Some(range).filter(|_| length > 0);
        while let Some(range) = rest {
            let (here, after) = range.split(ByteCount::new(chunk));
            all = block_on(access.download(&occasion, &found, here, all))?;
            rest = after;
        }
        Ok(Answer::Bytes(all))
    }
}

impl Door for Library {
    fn carry_out(&mut self, deed: &Deed) -> Answer {
        self.attempt(deed).unwrap_or_else(|failure| match failure {
            Failure::OutOfBounds(OutOfBounds { size, .. }) => {
                Answer::Refused("OUT_OF_BOUNDS".to_owned(), Some(size))
            }
            Failure::OutOfSegment { part, .. } => {
                Answer::Refused("OUT_OF_BOUNDS".to_owned(), Some(part.size))
            }
            failure => Answer::Refused(reason(&failure).to_owned(), None),
        })
    }

    fn has_arena(&self) -> bool {
        self.floors.has_arena()
    }

    fn charged(&self) -> Vec<u64> {
        self.floors.delete_partition(POOL).expect("nothing lives in it");
        self.floors.assert_empty();
        let charged = self.floors.charged().to_vec();
        assert!(self.grantee.tenant().namespace.account.is_empty());
        self.make_pool();
        charged
    }
}

fn reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::MemoryNotFound { .. } => "MEMORY_NOT_FOUND",
        Failure::MemoryExists { .. } => "MEMORY_EXISTS",
        Failure::InvalidSpec { .. } => "INVALID_SPEC",
        Failure::QuotaExceeded { .. } => "QUOTA_EXCEEDED",
        Failure::MaximumReached { .. } => "MAXIMUM_REACHED",
        Failure::SizeMismatch { .. } => "SIZE_MISMATCH",
        Failure::Purged { .. } => "PURGED",
        Failure::Unaligned { .. } => "UNALIGNED",
        Failure::ExpectedShared => "EXPECTED_SHARED",
        other => panic!("no sequence leads to {other:?}"),
    }
}

fn asked(spec: &Spec) -> Result<MemorySpec, Failure> {
    let pages = |field, count| {
        WasmPages::new(count).ok_or(Failure::InvalidSpec { field, why: String::new() })
    };
    let absent = if spec.form.is_heap() { 0 } else { 65_536 };
    let guard = |bytes: Option<u64>| ByteCount::new(bytes.unwrap_or(absent));
    Ok(MemorySpec {
        initial: pages("spec.initial_pages", spec.initial)?,
        maximum: spec.maximum.map(|count| pages("spec.maximum_pages", count)).transpose()?,
        index_type: if spec.is_64 { IndexType::I64 } else { IndexType::I32 },
        growth: if spec.may_grow { Growth::Allowed } else { Growth::Disallowed },
        guard: Guard { before: guard(spec.guard.0), after: guard(spec.guard.1) },
        form: form(spec.form).shared(),
        owner: Owner::Tenant,
        presentation: Presentation::default(),
        segments: spec.segments.iter().map(active).collect(),
    })
}

fn active((offset, data): &(u64, Vec<u8>)) -> ActiveSegment {
    ActiveSegment { offset: *offset, data: data.clone().into() }
}

fn form(asked: super::deeds::Form) -> Form {
    use super::deeds::Form as Asked;
    let usual = Form::default();
    match asked {
        Asked::Usual => usual,
        Asked::Memfd => Form { backing: Backing::Memfd, ..usual },
        Asked::Wasm32Full => Form { address_space: AddressSpace::Wasm32Full, ..usual },
        Asked::Initial => Form { populate: Populate::Initial, ..usual },
        Asked::OnGrow => Form { populate: Populate::OnGrow, ..usual },
        Asked::Maximum => Form { populate: Populate::Maximum, ..usual },
        Asked::Heap => Form { allocator: Allocator::Heap, ..usual },
        Asked::Fixed => Form { allocator: Allocator::Fixed, ..usual },
        Asked::HeapShared => Form { allocator: Allocator::Heap, is_shared: true, ..usual },
        Asked::Shared => Form { is_shared: true, ..usual },
        Asked::MemfdMaximum => {
            Form { backing: Backing::Memfd, populate: Populate::Maximum, ..usual }
        }
        Asked::Partition => Form { partition: Some(Id::new(POOL).unwrap()), ..usual },
        Asked::Full => Form { verification: Verification::Full, ..usual },
        Asked::Redundant => Form { verification: Verification::Redundant, ..usual },
    }
}

fn seen(record: &Record) -> Seen {
    let stats = record.stats();
    Seen {
        name: record.id.to_string(),
        display_name: record.presentation().presentation.display_name.clone(),
        size_pages: record.size().get(),
        maximum_pages: record.shape().maximum.get(),
        read_count: stats.read_count,
        write_count: stats.write_count,
        read_bytes: stats.read_bytes,
        write_bytes: stats.write_bytes,
        grow_count: stats.grow_count,
        grow_failure_count: stats.grow_failure_count,
        trap_count: stats.trap_count,
        largest_access_bytes: stats.largest_access_bytes,
        last_access: stats.last_access,
        distinct_regions: stats.distinct_regions,
    }
}
