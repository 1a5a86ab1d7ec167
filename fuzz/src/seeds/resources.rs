//! Segments, sets, views and shares.

use linmemd::proto::v1;
use prost::Message;

use crate::script::all;
use crate::seeds::{each, name, seconds};
use crate::targets::resources;
use crate::world::{GRANTEE, SHARE, SHARE_FOR_WRITING, SHARE_MADE, UID, VIEW, pages};

pub(super) fn resources() -> Vec<Vec<u8>> {
    let kind = resources::kind;
    let put = v1::PutSegmentRequest {
        segment_id: Some(name("q")),
        data: bytes::Bytes::from(vec![7; 100]),
        request_id: None,
    };
    let get = v1::GetSegmentRequest { segment_id: name("s"), with_data: true };
    let list = v1::ListSegmentsRequest { page_size: 1, ..Default::default() };
    let init = v1::InitMemoryRequest {
        memory_id: name("m"),
        segment_id: name("s"),
        destination_offset: 10,
        source_offset: 4,
        length: 50,
        uid: Some(name(UID)),
    };
    let drop = v1::DropSegmentRequest { segment_id: name("s"), allow_missing: false };
    let member = v1::NewMember { memory_id: None, spec: Some(pages(1, 1)) };
    let create = v1::CreateMemorySetRequest {
        set_id: Some(name("y")),
        members: vec![member],
        ..Default::default()
    };
    let get_set = v1::GetMemorySetRequest { set_id: name("t") };
    let sets = v1::ListMemorySetsRequest { page_size: 1, ..Default::default() };
    let delete = v1::DeleteMemorySetRequest { set_id: name("t"), allow_missing: true };
    let open = v1::OpenViewRequest {
        memory_id: name("m"),
        offset: 16,
        length: 64,
        ttl: seconds(60),
        uid: None,
    };
    let refresh =
        v1::RefreshViewRequest { view_id: name(VIEW), only_if_changed: true, version: Some(1) };
    let close = v1::CloseViewRequest { view_id: name(VIEW), allow_missing: true };
    let absent = v1::DropSegmentRequest { segment_id: name("none"), allow_missing: true };
    let long = v1::OpenViewRequest { length: u64::MAX, ..open.clone() };
    let brief = v1::OpenViewRequest { ttl: seconds(0), ..open.clone() };
    let anew = v1::RefreshViewRequest { only_if_changed: false, version: None, ..refresh.clone() };
    let reset = v1::ResetMemoryStatsRequest { memory_id: name("m"), uid: None };
    let messages = vec![
        (kind("PutSegment"), put.encode_to_vec()),
        (kind("ListSegments"), list.encode_to_vec()),
        (kind("GetSegment"), get.encode_to_vec()),
        (kind("InitMemory"), init.encode_to_vec()),
        (kind("RefreshView"), refresh.encode_to_vec()),
        (kind("OpenView"), open.encode_to_vec()),
        (kind("CloseView"), close.encode_to_vec()),
        (kind("DropSegment"), drop.encode_to_vec()),
        (kind("CreateMemorySet"), create.encode_to_vec()),
        (kind("GetMemorySet"), get_set.encode_to_vec()),
        (kind("ListMemorySets"), sets.encode_to_vec()),
        (kind("DeleteMemorySet"), delete.encode_to_vec()),
        (kind("ResetMemoryStats"), reset.encode_to_vec()),
        (kind("DropSegment"), absent.encode_to_vec()),
        (kind("OpenView"), long.encode_to_vec()),
        (kind("OpenView"), brief.encode_to_vec()),
        (kind("RefreshView"), anew.encode_to_vec()),
    ];
    let mut seeds = vec![all(&messages[..5]), all(&messages[8..12])];
    seeds.extend(each(&messages));
    seeds.extend(shares());
    seeds
}

fn shares() -> Vec<Vec<u8>> {
    let kind = resources::kind;
    let of_grantee = |name: &str| kind(name) | resources::OF_GRANTEE;
    let share = |access: v1::ShareAccess, expire_time| v1::ShareMemoryRequest {
        memory_id: name("n"),
        uid: None,
        grantee_tenant: name(GRANTEE),
        access: access.into(),
        expire_time,
    };
    let late = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 5 });
    let never = Some(prost_types::Timestamp { seconds: 300_000_000_000, nanos: -1 });
    let given = v1::ListSharesRequest {
        direction: v1::ShareDirection::Given.into(),
        page_size: 1,
        page_token: String::new(),
    };
    let received = v1::ListSharesRequest {
        direction: v1::ShareDirection::Received.into(),
        ..Default::default()
    };
    let mount = |share: &str| {
        v1::MountShareRequest { share_id: name(share), memory_id: Some(name("x")) }.encode_to_vec()
    };
    let revoke = v1::RevokeShareRequest { share_id: name(SHARE), allow_missing: true };
    let read = v1::ReadMemoryRequest { memory_id: name("x"), length: 9, ..Default::default() };
    let data = bytes::Bytes::from_static(b"some bytes");
    let write = v1::WriteMemoryRequest { memory_id: name("x"), data, ..Default::default() };
    let grow = v1::GrowMemoryRequest { memory_id: name("x"), delta_pages: 1, ..Default::default() };
    let read_only = share(v1::ShareAccess::Read, late);
    let messages = vec![
        (of_grantee("MountShare"), mount(SHARE)),
        (of_grantee("ReadMemory"), read.encode_to_vec()),
        (of_grantee("WriteMemory"), write.encode_to_vec()),
        (of_grantee("GrowMemory"), grow.encode_to_vec()),
        (of_grantee("ListShares"), received.encode_to_vec()),
        (kind("ListShares"), given.encode_to_vec()),
        (of_grantee("RevokeShare"), revoke.encode_to_vec()),
        (kind("ShareMemory"), read_only.encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::Unspecified, None).encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::Read, never).encode_to_vec()),
        (kind("ShareMemory"), share(v1::ShareAccess::ReadWrite, None).encode_to_vec()),
        (kind("RevokeShare"), revoke.encode_to_vec()),
        (kind("MountShare"), mount(SHARE)),
    ];
    let for_writing = (of_grantee("MountShare"), mount(SHARE_FOR_WRITING));
    let written = [&[for_writing][..], &messages[1..4]].concat();
    let mut seeds = vec![all(&messages[..4]), all(&messages[4..8]), all(&written)];
    let soon = Some(prost_types::Timestamp { seconds: 0, nanos: 5_000_000 });
    let later = Some(prost_types::Timestamp { seconds: 3_600, nanos: 0 });
    for (end, wait) in [(soon, true), (later, false)] {
        let share = share(v1::ShareAccess::Read, end);
        let mut messages = vec![
            (kind("ShareMemory"), share.encode_to_vec()),
            (of_grantee("MountShare"), mount(SHARE_MADE)),
        ];
        messages.extend(wait.then(|| (resources::PASS, Vec::new())));
        messages.push((of_grantee("ReadMemory"), read.encode_to_vec()));
        seeds.push(all(&messages));
    }
    seeds.extend(each(&messages));
    seeds
}
