//! Memories: each RPC of theirs once, and several after one another.

use linmemd::proto::v1;
use prost::Message;

use crate::script::all;
use crate::seeds::{each, name, seconds};
use crate::targets::memory;
use crate::world::UID;

pub(super) fn memory() -> Vec<Vec<u8>> {
    let kind = memory::kind;
    let (m, n) = (|| name("m"), || name("n"));
    let uid = || Some(name(UID));
    let request_id = || Some(name("00000000-0000-4000-8000-000000000001"));
    let data = || bytes::Bytes::from_static(b"some bytes");
    let read = v1::ReadMemoryRequest { memory_id: m(), uid: uid(), offset: 1, length: 9 };
    let write = v1::WriteMemoryRequest { memory_id: m(), uid: None, offset: 65_000, data: data() };
    let fill = v1::FillMemoryRequest {
        memory_id: n(),
        offset: 70_000,
        length: 300,
        value: 255,
        ..Default::default()
    };
    let copy = v1::CopyMemoryRequest {
        source_memory_id: m(),
        destination_memory_id: n(),
        source_offset: 4,
        destination_offset: 100,
        length: 4_096,
        request_id: request_id(),
        ..Default::default()
    };
    let grow = v1::GrowMemoryRequest {
        memory_id: m(),
        delta_pages: 1,
        expected_pages: Some(1),
        ..Default::default()
    };
    let discard = v1::DiscardMemoryRequest { memory_id: n(), length: 8_192, ..Default::default() };
    let protect = v1::ProtectMemoryRequest {
        memory_id: n(),
        offset: 4_096,
        length: 4_096,
        protection: v1::Protection::Read.into(),
        ..Default::default()
    };
    let volatility = v1::SetVolatilityRequest {
        memory_id: n(),
        offset: 8_192,
        length: 4_096,
        volatility: v1::Volatility::Volatile.into(),
        ..Default::default()
    };
    let verify = v1::VerifyMemoryRequest { memory_id: m(), uid: uid() };
    let get = |view: v1::MemoryView| v1::GetMemoryRequest {
        memory_id: m(),
        view: view.into(),
        uid: None,
    };
    let list = v1::ListMemoriesRequest {
        label_selector: name("env=prod,!x"),
        page_size: 2,
        ..Default::default()
    };
    let paths = ["display_name", "labels", "lease_ttl"].map(name).to_vec();
    let update = v1::UpdateMemoryRequest {
        memory_id: m(),
        display_name: name("shown"),
        labels: [(name("k"), name("v"))].into(),
        lease_ttl: seconds(100),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let delete =
        v1::DeleteMemoryRequest { memory_id: n(), allow_missing: true, ..Default::default() };
    let keep = v1::KeepAliveMemoryRequest { memory_id: name("l"), uid: None };
    let wait = v1::WaitOnAddressRequest {
        memory_id: m(),
        address: 8,
        width: 4,
        expected: 1,
        timeout: seconds(0),
        ..Default::default()
    };
    let notify = v1::NotifyAddressRequest { memory_id: m(), address: 8, count: Some(1), uid: None };
    let download = v1::DownloadMemoryRequest {
        memory_id: n(),
        offset: 10,
        length: Some(100_000),
        chunk_bytes: Some(65_536),
        checksum: true,
        ..Default::default()
    };
    let upload = v1::UploadMemoryRequest {
        memory_id: Some(m()),
        offset: Some(16),
        length: Some(10),
        data: data(),
        crc32c: Some(crc32c::crc32c(&data())),
        ..Default::default()
    };
    let whole = v1::ReadMemoryRequest { length: u64::MAX, ..read.clone() };
    let open = v1::ProtectMemoryRequest {
        protection: v1::Protection::ReadWrite.into(),
        ..protect.clone()
    };
    let keep_bytes = v1::SetVolatilityRequest {
        volatility: v1::Volatility::Nonvolatile.into(),
        ..volatility.clone()
    };
    let all_of_each = v1::ListMemoriesRequest {
        view: v1::MemoryView::Full.into(),
        page_token: name("t"),
        ..Default::default()
    };
    let wait_for =
        |width, timeout| v1::WaitOnAddressRequest { width, timeout, expected: 0, ..wait.clone() };
    let reset = v1::ResetMemoryStatsRequest { memory_id: m(), uid: None };
    let messages = vec![
        (kind("ReadMemory"), read.encode_to_vec()),
        (kind("WriteMemory"), write.encode_to_vec()),
        (kind("FillMemory"), fill.encode_to_vec()),
        (kind("CopyMemory"), copy.encode_to_vec()),
        (kind("GrowMemory"), grow.encode_to_vec()),
        (kind("DiscardMemory"), discard.encode_to_vec()),
        (kind("ProtectMemory"), protect.encode_to_vec()),
        (kind("SetVolatility"), volatility.encode_to_vec()),
        (kind("VerifyMemory"), verify.encode_to_vec()),
        (kind("GetMemory"), get(v1::MemoryView::Basic).encode_to_vec()),
        (kind("GetMemory"), get(v1::MemoryView::Full).encode_to_vec()),
        (kind("ListMemories"), list.encode_to_vec()),
        (kind("UpdateMemory"), update.encode_to_vec()),
        (kind("DeleteMemory"), delete.encode_to_vec()),
        (kind("KeepAliveMemory"), keep.encode_to_vec()),
        (kind("WaitOnAddress"), wait.encode_to_vec()),
        (kind("NotifyAddress"), notify.encode_to_vec()),
        (kind("DownloadMemory"), download.encode_to_vec()),
        (kind("UploadMemory"), upload.encode_to_vec()),
        (kind("ResetMemoryStats"), reset.encode_to_vec()),
        (kind("GetServerInfo"), Vec::new()),
        (kind("ReadMemory"), whole.encode_to_vec()),
        (kind("ProtectMemory"), open.encode_to_vec()),
        (kind("SetVolatility"), keep_bytes.encode_to_vec()),
        (kind("ListMemories"), all_of_each.encode_to_vec()),
        (kind("WaitOnAddress"), wait_for(8, seconds(0)).encode_to_vec()),
        (kind("WaitOnAddress"), wait_for(4, None).encode_to_vec()),
        (kind("WaitOnAddress"), wait_for(8, seconds(-1)).encode_to_vec()),
    ];
    let closed =
        v1::ProtectMemoryRequest { protection: v1::Protection::None.into(), ..protect.clone() };
    let there = v1::WriteMemoryRequest { memory_id: n(), uid: None, offset: 4_096, data: data() };
    let of_there = v1::ReadMemoryRequest { memory_id: n(), uid: None, offset: 4_096, length: 9 };
    let refused = |protect: &v1::ProtectMemoryRequest| {
        all(&[
            (kind("ProtectMemory"), protect.encode_to_vec()),
            (kind("WriteMemory"), there.encode_to_vec()),
            (kind("ReadMemory"), of_there.encode_to_vec()),
        ])
    };
    let mut seeds = vec![refused(&protect), refused(&closed), refused(&open)];
    seeds.extend([all(&messages[1..7]), all(&messages[6..8]), all(&messages[21..24])]);
    seeds.extend(each(&messages));
    seeds
}
