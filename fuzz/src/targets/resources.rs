//! Segments, memory sets, views, statistics and shares.
//!
//! Checked: a segment that was put is as long as its data, has its checksum, and is found again with
//! it; lists are in order and their tokens lead on; a view shows what its range holds, under the
//! checksum that it says; what was dropped or closed is gone. Of shares: `shares.rs`.

use std::time::{Duration, SystemTime};

use linmemd::proto::v1;
use prost::Message;

use crate::law::Verdict;
use crate::rpcs::number_among;
use crate::targets::shares;
use crate::world::{World, with};
use crate::{planted, script};

/// Beside the kind of an RPC that [`shares`] judges: the tenant that memories are shared with calls.
pub(crate) const OF_GRANTEE: u8 = 0x80;

const RPCS: [&str; 20] = [
    "PutSegment",
    "GetSegment",
    "ListSegments",
    "InitMemory",
    "DropSegment",
    "CreateMemorySet",
    "GetMemorySet",
    "ListMemorySets",
    "DeleteMemorySet",
    "OpenView",
    "RefreshView",
    "CloseView",
    "ResetMemoryStats",
    // Those from here on are either tenant's.
    "ShareMemory",
    "ListShares",
    "RevokeShare",
    "MountShare",
    "ReadMemory",
    "WriteMemory",
    "GrowMemory",
];

/// No call: as long goes by as it takes for a share to run out that ends soon.
pub(crate) const PASS: u8 = 0x7F;
/// A moment that is earlier than this is as long from now: only the daemon's clock knows when.
const DAY: i64 = 86_400;

/// The number that stands for an RPC in an input.
pub(crate) fn kind(name: &str) -> u8 {
    number_among(&RPCS, name)
}

pub(super) fn run(input: &[u8]) {
    with(|world| {
        for (kind, bytes) in script::calls(input) {
            if kind == PASS {
                world.wait();
                continue;
            }
            let mut bytes = world.filled(bytes);
            if RPCS[usize::from(kind & !OF_GRANTEE) % RPCS.len()] == "ShareMemory" {
                bytes = from_now(bytes);
            }
            let bytes = &bytes;
            let place = usize::from(kind & !OF_GRANTEE) % RPCS.len();
            let (name, is_shares) = (RPCS[place], place >= usize::from(self::kind("ShareMemory")));
            let of_grantee = is_shares && kind & OF_GRANTEE != 0;
            let verdict = if of_grantee {
                world.call_of_grantee(name, bytes)
            } else {
                world.call(name, bytes)
            };
            if let Verdict::Done(messages) = verdict {
                assert_eq!(messages.len(), 1, "{name} is unary");
                if is_shares {
                    shares::judge(world, name, of_grantee, bytes, &messages[0]);
                } else {
                    judge(world, name, bytes, &messages[0]);
                }
            }
        }
    });
}

/// A share that is to end in a while, with the moment when.
fn from_now(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut request) = v1::ShareMemoryRequest::decode(bytes.as_slice()) else { return bytes };
    let Some(time) = &mut request.expire_time else { return bytes };
    let nanos = Duration::from_nanos(u64::try_from(time.nanos).unwrap_or(u64::MAX));
    if !(0..DAY).contains(&time.seconds) || nanos >= Duration::from_secs(1) {
        return bytes;
    }
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    *time = (SystemTime::now() + seconds + nanos).into();
    request.encode_to_vec()
}

fn of<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what was answered OK is one")
}

fn judge(world: &mut World, name: &str, bytes: &[u8], answer: &[u8]) {
    match name {
        "PutSegment" => put(world, &of(bytes), of(answer)),
        "GetSegment" => {
            let (asked, got): (v1::GetSegmentRequest, v1::GetSegmentResponse) =
                (of(bytes), of(answer));
            let segment = got.segment.expect("a segment");
            assert_eq!(segment.segment_id, asked.segment_id);
            let wanted = if asked.with_data { segment.size_bytes } else { 0 };
            assert_eq!(got.data.len() as u64, wanted);
        }
        "DropSegment" => {
            let dropped: v1::DropSegmentRequest = of(bytes);
            let get = v1::GetSegmentRequest { segment_id: dropped.segment_id, with_data: false };
            let gone = world.ask::<v1::GetSegmentResponse>("GetSegment", &get);
            assert_eq!(gone.expect_err("it is gone").reason, "SEGMENT_NOT_FOUND");
        }
        "ListSegments" => {
            let listed: v1::ListSegmentsResponse = of(answer);
            let names: Vec<&str> = listed.segments.iter().map(|one| &*one.segment_id).collect();
            in_order(&names);
            let page_token = listed.next_page_token;
            let more = v1::ListSegmentsRequest { page_token: page_token.clone(), page_size: 1 };
            if !page_token.is_empty() {
                let next: v1::ListSegmentsResponse = world.must("ListSegments", &more);
                leads_on(&names, next.segments.first().map(|one| &*one.segment_id));
            }
        }
        "ListMemorySets" => {
            let listed: v1::ListMemorySetsResponse = of(answer);
            in_order(&listed.memory_sets.iter().map(|one| &*one.set_id).collect::<Vec<_>>());
        }
        "OpenView" => {
            let (asked, opened): (v1::OpenViewRequest, v1::OpenViewResponse) =
                (of(bytes), of(answer));
            assert_eq!(opened.data.len() as u64, asked.length);
            assert_eq!(opened.crc32c, crc32c::crc32c(&opened.data));
            let read = v1::ReadMemoryRequest {
                memory_id: asked.memory_id,
                offset: asked.offset,
                length: asked.length,
                ..Default::default()
            };
            let read: v1::ReadMemoryResponse = world.must("ReadMemory", &read);
            assert_eq!(read.data, opened.data);
        }
        "RefreshView" => {
            let (asked, shown): (v1::RefreshViewRequest, v1::RefreshViewResponse) =
                (of(bytes), of(answer));
            let left_out = asked.only_if_changed && !shown.changed;
            assert!(!left_out || shown.data.is_empty());
            assert!(left_out || shown.crc32c == crc32c::crc32c(&shown.data));
        }
        "CloseView" => {
            let closed: v1::CloseViewRequest = of(bytes);
            let view_id = closed.view_id;
            let refresh = v1::RefreshViewRequest { view_id, ..Default::default() };
            let gone = world.ask::<v1::RefreshViewResponse>("RefreshView", &refresh);
            assert_eq!(gone.expect_err("it is gone").reason, "VIEW_NOT_FOUND");
        }
        "DeleteMemorySet" => {
            let deleted: v1::DeleteMemorySetRequest = of(bytes);
            let get = v1::GetMemorySetRequest { set_id: deleted.set_id };
            let gone = world.ask::<v1::GetMemorySetResponse>("GetMemorySet", &get);
            assert_eq!(gone.expect_err("it is gone").reason, "SET_NOT_FOUND");
        }
        "ResetMemoryStats" => {
            let reset: v1::ResetMemoryStatsResponse = of(answer);
            let stats = reset.memory.and_then(|memory| memory.stats).expect("statistics");
            assert_eq!(stats.access_count, 0);
        }
        _ => {}
    }
}

fn put(world: &mut World, asked: &v1::PutSegmentRequest, answer: v1::PutSegmentResponse) {
    let segment = answer.segment.expect("a segment");
    let mut get = v1::GetSegmentRequest { segment_id: segment.segment_id.clone(), with_data: true };
    if planted::here(asked.data.len() == 200) {
        get.with_data = false;
    }
    // A repeat is told of what was put first, which may be gone.
    match world.ask::<v1::GetSegmentResponse>("GetSegment", &get) {
        Ok(got) => {
            assert_eq!(segment.size_bytes, asked.data.len() as u64);
            assert_eq!(segment.crc32c, crc32c::crc32c(&asked.data));
            assert_eq!(got.data, asked.data);
        }
        Err(refusal) => assert!(asked.request_id.is_some(), "{refusal:?}"),
    }
}

fn in_order(names: &[&str]) {
    assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
}

fn leads_on(names: &[&str], next: Option<&str>) {
    let last = names.last().copied().unwrap_or_default();
    assert!(next.is_some_and(|next| next > last), "after {last} comes {next:?}");
}
