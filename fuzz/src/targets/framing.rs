//! The framing of messages: the five-byte header over any split of a body into DATA frames.
//!
//! Checked: how a body is split changes nothing of what comes of it; an upload that ends well was
//! framed well and wrote what its messages hold; one that fails says how many bytes stand, which are
//! those of whole messages before the fault.

use bytes::Bytes;
use linmemd::proto::v1;
use prost::Message;

use crate::law::{self, Verdict};
use crate::planted;
use crate::rpcs::rpc;
use crate::world::{HEADER, World, framed, with};

/// Pieces that a body is split into, fewer than these.
const PIECES: usize = 24;
/// Beside the kind: messages carry more than an input can say, and pieces are as much longer.
pub(crate) const LARGE: u8 = 0x80;
/// How much a large message carries, and by how much its body's pieces are longer.
const LARGE_BYTES: usize = 80 << 10;
const LONGER: usize = 64;
const RPCS: [&str; 4] = ["UploadMemory", "WriteMemory", "PutSegment", "ReadMemory"];

pub(super) fn run(input: &[u8]) {
    let [kind, count, rest @ ..] = input else { return };
    let count = usize::from(*count) % PIECES;
    let Some((splits, body)) = rest.split_at_checked(count) else { return };
    let name = RPCS[usize::from(*kind & !LARGE) % RPCS.len()];
    let (is_large, mut body) = (*kind & LARGE != 0, body.to_vec());
    if is_large {
        body = enlarged(name, &body);
    }
    let unit = if is_large { LONGER } else { 1 };
    let repeats = |message: &&[u8]| {
        v1::PutSegmentRequest::decode(*message).is_ok_and(|put| put.request_id.is_some())
    };
    // The second would be a repeat of the first, whose segment is gone.
    if name == "PutSegment" && framed_well(&body).0.iter().any(repeats) {
        return;
    }
    with(|world| {
        let body = Bytes::from(body);
        let whole = outcome(world, name, vec![body.clone()]);
        let mut pieces = pieces(&body, splits, unit);
        if planted::here(pieces.len() > 2 && pieces[0].len() == 3) {
            pieces.swap(0, 1);
        }
        let split = outcome(world, name, pieces);
        same(&whole, &split);
        if name == "UploadMemory" {
            upload(&whole, &body);
        }
    });
}

/// A body whose whole messages carry much, as what they say last; the rest of it is as it was.
fn enlarged(name: &str, body: &[u8]) -> Vec<u8> {
    let much = Bytes::from(vec![7; LARGE_BYTES]);
    let mut more = match name {
        "WriteMemory" => {
            v1::WriteMemoryRequest { data: much, ..Default::default() }.encode_to_vec()
        }
        "PutSegment" => v1::PutSegmentRequest { data: much, ..Default::default() }.encode_to_vec(),
        // What is not known is read past.
        _ => v1::UploadMemoryRequest { data: much, ..Default::default() }.encode_to_vec(),
    };
    let (messages, _) = framed_well(body);
    let length = messages.iter().map(|message| HEADER + message.len()).sum();
    let mut large: Vec<u8> = Vec::new();
    for message in messages {
        large.extend_from_slice(&framed(&[message, &more].concat()));
        // One is enough to be large, and the others are as they were.
        more.clear();
    }
    large.extend_from_slice(&body[length..]);
    large
}

/// A body in pieces, each as many units long as its number says but for the last.
fn pieces(body: &Bytes, splits: &[u8], unit: usize) -> Vec<Bytes> {
    let (mut rest, mut pieces) = (body.clone(), Vec::new());
    for split in splits {
        pieces.push(rest.split_to((usize::from(*split) * unit).min(rest.len())));
    }
    pieces.push(rest);
    pieces
}

fn outcome(world: &mut World, name: &str, pieces: Vec<Bytes>) -> Verdict {
    let rpc = rpc(name);
    let answer = world.send(rpc, false, pieces);
    let verdict = law::verdict(rpc, &answer);
    if name == "PutSegment"
        && let Verdict::Done(messages) = &verdict
    {
        let put = v1::PutSegmentResponse::decode(messages[0].as_slice()).expect("one");
        let segment_id = put.segment.expect("a segment").segment_id;
        let drop = v1::DropSegmentRequest { segment_id, allow_missing: true };
        world.must::<v1::DropSegmentResponse>("DropSegment", &drop);
    }
    verdict
}

fn same(one: &Verdict, other: &Verdict) {
    match (one, other) {
        (Verdict::Done(one), Verdict::Done(other)) => {
            // What the server names or dates differs from one to the next.
            assert_eq!(one.len(), other.len());
        }
        // With a request_id the second is a repeat of the first.
        (Verdict::Refused(one), Verdict::Refused(other)) => assert_eq!(one, other),
        (one, other) => panic!("whole {one:?}, in pieces {other:?}"),
    }
}

/// The messages of a body that are whole and not compressed, and whether nothing else is in it.
pub(crate) fn framed_well(mut body: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut messages = Vec::new();
    while let [0, a, b, c, d, after @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((message, after)) = after.split_at_checked(length) else { break };
        messages.push(message);
        body = after;
    }
    (messages, body.is_empty())
}

fn upload(verdict: &Verdict, body: &[u8]) {
    let (messages, well) = framed_well(body);
    let data: Vec<Option<Bytes>> = messages
        .iter()
        .map(|message| v1::UploadMemoryRequest::decode(*message).ok().map(|message| message.data))
        .collect();
    match verdict {
        Verdict::Parked => {}
        Verdict::Done(answers) => {
            assert!(well, "it was not framed well");
            let done = v1::UploadMemoryResponse::decode(answers[0].as_slice()).expect("one");
            let data: Vec<u8> = data.into_iter().flatten().flat_map(|data| data.to_vec()).collect();
            assert_eq!(done.bytes_written, data.len() as u64);
            assert_eq!(done.crc32c, crc32c::crc32c(&data));
        }
        Verdict::Refused(refusal) => {
            let stands: u64 = refusal.metadata["bytes_written"].parse().expect("a number");
            let mut sum = 0;
            let mut sums = vec![0];
            for data in data.iter().map_while(Option::as_ref) {
                sum += data.len() as u64;
                sums.push(sum);
            }
            assert!(sums.contains(&stands), "{stands} of {sums:?}");
        }
    }
}
