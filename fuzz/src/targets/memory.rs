//! Unary and streamed requests about memories: prost's decoding, our conversion and validation, and
//! what comes of them.
//!
//! Checked beside what `law.rs` checks: a read gives as many bytes as it asked for; what a write or a
//! fill said is what a read finds; a growth is by what was asked; a list is in order and no longer
//! than asked; a download's messages join without a gap, and their checksums are right.

use linmemd::proto::v1;
use prost::Message;

use crate::law::Verdict;
use crate::rpcs::number_among;
use crate::world::{World, with};
use crate::{planted, script};

const RPCS: [&str; 20] = [
    "ReadMemory",
    "WriteMemory",
    "FillMemory",
    "CopyMemory",
    "GrowMemory",
    "DiscardMemory",
    "ProtectMemory",
    "SetVolatility",
    "VerifyMemory",
    "GetMemory",
    "ListMemories",
    "UpdateMemory",
    "DeleteMemory",
    "KeepAliveMemory",
    "WaitOnAddress",
    "NotifyAddress",
    "DownloadMemory",
    "UploadMemory",
    "ResetMemoryStats",
    "GetServerInfo",
];

/// What is read back is no longer.
const READ_BACK: u64 = 64 << 10;

/// The number that stands for an RPC in an input.
pub(crate) fn kind(name: &str) -> u8 {
    number_among(&RPCS, name)
}

pub(super) fn run(input: &[u8]) {
    with(|world| {
        for (kind, bytes) in script::calls(input) {
            let bytes = &world.filled(bytes);
            let name = RPCS[usize::from(kind) % RPCS.len()];
            if let Verdict::Done(messages) = world.call(name, bytes) {
                let first = messages.first().map(Vec::as_slice).unwrap_or_default();
                judge(world, name, bytes, first, &messages);
            }
        }
    });
}

fn judge(world: &mut World, name: &str, bytes: &[u8], first: &[u8], messages: &[Vec<u8>]) {
    if name != "DownloadMemory" {
        assert_eq!(messages.len(), 1, "{name} is unary");
    }
    match name {
        "ReadMemory" => read(&of(bytes), of(first)),
        "WriteMemory" => {
            let v1::WriteMemoryRequest { memory_id, uid, offset, data } = of(bytes);
            found(world, &memory_id, uid, offset, &data);
        }
        "FillMemory" => {
            let v1::FillMemoryRequest { memory_id, uid, offset, length, value } = of(bytes);
            if length <= READ_BACK {
                let value = u8::try_from(value).expect("a byte, or it was refused");
                found(world, &memory_id, uid, offset, &vec![value; length as usize]);
            }
        }
        "GrowMemory" => {
            let (asked, grown): (v1::GrowMemoryRequest, v1::GrowMemoryResponse) =
                (of(bytes), of(first));
            let by = grown.current_pages - grown.previous_pages;
            assert_eq!(by, asked.delta_pages);
            // One that is repeated is told what it was told before.
            let expected = asked.expected_pages.filter(|_| asked.request_id.is_none());
            assert!(expected.is_none_or(|expected| expected == grown.previous_pages));
        }
        "ListMemories" => list(&of(bytes), &of(first)),
        "UpdateMemory" => {
            let (asked, updated): (v1::UpdateMemoryRequest, v1::UpdateMemoryResponse) =
                (of(bytes), of(first));
            let spec = updated.memory.and_then(|memory| memory.spec).expect("a spec");
            let named = |field: &str| {
                let mask = asked.update_mask.as_ref();
                mask.is_some_and(|mask| mask.paths.iter().any(|path| path == field || path == "*"))
            };
            if named("display_name")
                || !asked.display_name.is_empty() && asked.update_mask.is_none()
            {
                assert_eq!(spec.display_name, asked.display_name);
            }
            if named("labels") || !asked.labels.is_empty() && asked.update_mask.is_none() {
                assert_eq!(spec.labels, asked.labels);
            }
        }
        "DownloadMemory" => download(&of(bytes), messages),
        "UploadMemory" => {
            let (asked, done): (v1::UploadMemoryRequest, v1::UploadMemoryResponse) =
                (of(bytes), of(first));
            assert_eq!(done.bytes_written, asked.data.len() as u64);
            assert_eq!(done.crc32c, crc32c::crc32c(&asked.data));
            let memory_id = asked.memory_id.unwrap_or_default();
            found(world, &memory_id, asked.uid, asked.offset.unwrap_or(0), &asked.data);
        }
        "GetMemory" => {
            let got: v1::GetMemoryResponse = of(first);
            let memory = got.memory.expect("a memory");
            assert_eq!(memory.size_bytes, memory.size_pages << 16);
            let maximum = memory.spec.and_then(|spec| spec.maximum_pages).expect("effective");
            assert!(memory.size_pages <= maximum);
        }
        _ => {}
    }
}

fn of<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what was answered OK is one")
}

fn read(asked: &v1::ReadMemoryRequest, mut answer: v1::ReadMemoryResponse) {
    if planted::here(asked.offset.wrapping_add(asked.length) == 1 << 16 && asked.length > 1) {
        answer.data = answer.data.slice(1..);
    }
    assert_eq!(answer.data.len() as u64, asked.length);
}

/// That these bytes are there, where they may be read.
fn found(world: &mut World, memory_id: &str, uid: Option<String>, offset: u64, bytes: &[u8]) {
    let (memory_id, length) = (memory_id.to_owned(), bytes.len() as u64);
    let read = v1::ReadMemoryRequest { memory_id, uid, offset, length };
    match world.ask::<v1::ReadMemoryResponse>("ReadMemory", &read) {
        Ok(read) => assert!(read.data == bytes, "what was written at {offset} is not there"),
        // What may be written may be read, and what may be purged was there a moment ago.
        Err(refusal) => panic!("what was written cannot be read: {refusal:?}"),
    }
}

fn list(asked: &v1::ListMemoriesRequest, answer: &v1::ListMemoriesResponse) {
    let most = match asked.page_size {
        0 => 100,
        size => size.min(1_000) as usize,
    };
    let names: Vec<&str> = answer.memories.iter().map(|one| one.memory_id.as_str()).collect();
    assert!(names.len() <= most);
    assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
    let (_, after) = asked.page_token.split_once('.').unwrap_or_default();
    assert!(names.iter().all(|name| *name > after), "{names:?} after {after}");
}

fn download(asked: &v1::DownloadMemoryRequest, messages: &[Vec<u8>]) {
    let mut at = asked.offset;
    for message in messages {
        let message: v1::DownloadMemoryResponse = of(message);
        assert_eq!(message.offset, at);
        at += message.data.len() as u64;
        let sum = asked.checksum.then(|| crc32c::crc32c(&message.data));
        assert_eq!(message.crc32c, sum);
    }
    assert!(asked.length.is_none_or(|length| at - asked.offset == length));
}
