//! Specs: CreateMemory and CreateMemorySet, from their bytes to an effective spec and back.
//!
//! Checked: an effective spec leaves nothing unsaid and says what was asked; a guard is what was
//! asked, rounded up to host pages; asking for an effective spec gives the same one; GetMemory shows
//! what CreateMemory did, and verification finds nothing wrong with it
//! but a bit that has been changed; all of it can be given back.

use linmemd::proto::v1;
use prost::Message;

use crate::law::Verdict;
use crate::world::{World, with};
use crate::{hardware, planted};

const HOST_PAGE: u64 = 4096;
/// Beside the kind: a bit of what was made is changed as hardware that fails changes one, where the
/// memory is one that is looked after.
pub(crate) const FAULTY: u8 = 0x80;
/// What is written to such a memory first.
const WRITTEN: [u8; 32] = *b"what was written, page 0, byte 0";

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    with(|world| {
        let bytes = &world.filled(bytes);
        if kind.is_multiple_of(4) {
            set(world, bytes)
        } else {
            one(world, bytes, kind & FAULTY != 0)
        }
    });
}

fn one(world: &mut World, bytes: &[u8], is_faulty: bool) {
    let Verdict::Done(messages) = world.call("CreateMemory", bytes) else { return };
    let asked = v1::CreateMemoryRequest::decode(bytes).expect("what was answered OK is one");
    let made = v1::CreateMemoryResponse::decode(messages[0].as_slice()).expect("one");
    let made = made.memory.expect("a memory");
    let effective = made.spec.clone().expect("a spec");
    says_all(&effective);
    says_what_was_asked(&asked.spec.clone().unwrap_or_default(), &effective);
    assert_eq!(made.size_pages, effective.initial_pages);
    assert!(asked.memory_id.is_none_or(|asked| asked == made.memory_id));
    let get = v1::GetMemoryRequest { memory_id: made.memory_id.clone(), ..Default::default() };
    let got: v1::GetMemoryResponse = world.must("GetMemory", &get);
    assert_eq!(got.memory.and_then(|memory| memory.spec), made.spec);
    is_sound(world, &made.memory_id);
    let keeps_sums = [v1::Verification::Full, v1::Verification::Redundant];
    if is_faulty && made.size_pages > 0 && keeps_sums.contains(&effective.verification()) {
        fails(world, &made.memory_id);
    }
    delete(world, made.memory_id.clone());
    // Where the bytes of segments were put is told; they cannot be asked for once more.
    let again = v1::MemorySpec { segments: Vec::new(), ..effective };
    let create = v1::CreateMemoryRequest {
        memory_id: Some(made.memory_id.clone()),
        spec: Some(again.clone()),
        ..Default::default()
    };
    let second: v1::CreateMemoryResponse = world.must("CreateMemory", &create);
    let second = second.memory.and_then(|memory| memory.spec).expect("a spec");
    assert_eq!(second, again, "an effective spec, asked for");
    delete(world, made.memory_id);
}

fn verified(world: &mut World, memory_id: &str) -> v1::VerificationReport {
    let verify = v1::VerifyMemoryRequest { memory_id: memory_id.to_owned(), uid: None };
    let report: v1::VerifyMemoryResponse = world.must("VerifyMemory", &verify);
    report.report.expect("a report")
}

fn has_failed(report: &v1::VerificationReport) -> bool {
    report.checks.iter().any(|check| check.outcome() == v1::CheckOutcome::Failed)
}

/// What was made a moment ago is as it must be.
fn is_sound(world: &mut World, memory_id: &str) {
    let report = verified(world, memory_id);
    assert!(!has_failed(&report) && report.first_bad_page.is_none(), "{report:?}");
}

/// A bit that hardware has changed is found, and said to be where it is.
fn fails(world: &mut World, memory_id: &str) {
    let write = v1::WriteMemoryRequest {
        memory_id: memory_id.to_owned(),
        data: bytes::Bytes::from_static(&WRITTEN),
        ..Default::default()
    };
    world.must::<v1::WriteMemoryResponse>("WriteMemory", &write);
    let was_found = || {
        let report = verified(world, memory_id);
        let Some(bad) = &report.first_bad_page else { return false };
        assert!(has_failed(&report), "{report:?}");
        assert_eq!((bad.host_page, bad.offset, bad.length), (0, 0, HOST_PAGE), "{report:?}");
        assert_ne!(bad.expected_crc64, bad.found_crc64);
        true
    };
    let was_found = hardware::flip(&WRITTEN, was_found).expect("this process's own bytes");
    assert!(was_found, "a bit that has changed is not found");
}

fn delete(world: &mut World, memory_id: String) {
    let delete = v1::DeleteMemoryRequest { memory_id, ..Default::default() };
    world.must::<v1::DeleteMemoryResponse>("DeleteMemory", &delete);
}

fn set(world: &mut World, bytes: &[u8]) {
    let Verdict::Done(messages) = world.call("CreateMemorySet", bytes) else { return };
    let asked = v1::CreateMemorySetRequest::decode(bytes).expect("what was answered OK is one");
    let made = v1::CreateMemorySetResponse::decode(messages[0].as_slice()).expect("one");
    let made = made.memory_set.expect("a set");
    assert_eq!(made.members.len(), asked.members.len());
    for (member, asked) in made.members.iter().zip(asked.members) {
        assert!(asked.memory_id.is_none_or(|asked| asked == member.memory_id));
        let effective = member.memory.as_ref().and_then(|memory| memory.spec.as_ref());
        let effective = effective.expect("a spec");
        says_all(effective);
        says_what_was_asked(&asked.spec.unwrap_or_default(), effective);
    }
    let delete = v1::DeleteMemorySetRequest { set_id: made.set_id, ..Default::default() };
    world.must::<v1::DeleteMemorySetResponse>("DeleteMemorySet", &delete);
}

/// The words of its own, of which 0 is none.
const fn words(spec: &v1::MemorySpec) -> [i32; 9] {
    [
        spec.index_type,
        spec.owner,
        spec.allocator,
        spec.backing,
        spec.growth,
        spec.reservation,
        spec.populate,
        spec.locking,
        spec.verification,
    ]
}

/// Every default is spelled out.
fn says_all(spec: &v1::MemorySpec) {
    let numa = spec.numa.as_ref().expect("a policy");
    let tagging = spec.tagging.as_ref().expect("tagging");
    let others = [numa.policy, tagging.requirement, tagging.mode];
    assert!(words(spec).iter().chain(&others).all(|word| *word != 0), "{spec:?}");
    assert!(!spec.huge_pages.is_empty() && !spec.huge_pages.contains(&0), "{spec:?}");
    assert!(spec.maximum_pages.is_some_and(|maximum| maximum >= spec.initial_pages), "{spec:?}");
}

fn says_what_was_asked(asked: &v1::MemorySpec, effective: &v1::MemorySpec) {
    for (asked, effective) in words(asked).into_iter().zip(words(effective)) {
        assert!(asked == 0 || asked == effective, "{asked} became {effective}");
    }
    assert_eq!(asked.initial_pages, effective.initial_pages);
    assert_eq!(asked.shared, effective.shared);
    assert_eq!(asked.display_name, effective.display_name);
    assert_eq!(asked.labels, effective.labels);
    let lease = |spec: &v1::MemorySpec| spec.lease_ttl.map(std::time::Duration::try_from);
    assert_eq!(lease(asked), lease(effective));
    assert_eq!(asked.partition, effective.partition);
    assert_eq!(asked.segments.len(), effective.segments.len());
    let fixed = effective.allocator == i32::from(v1::Allocator::Fixed);
    assert!(fixed || asked.maximum_pages.is_none_or(|most| Some(most) == effective.maximum_pages));
    let guard = effective.guard.expect("a guard");
    let rounded = |asked: u64| {
        if planted::here(asked % HOST_PAGE == 1) {
            asked
        } else {
            asked.next_multiple_of(HOST_PAGE)
        }
    };
    let before = asked.guard.and_then(|guard| guard.before_bytes);
    assert!(before.is_none_or(|asked| fixed || guard.before_bytes == Some(rounded(asked))));
}
