//! What comes before a message: frames, headers, lengths.

use linmemd::proto::v1;
use prost::Message;

use crate::seeds::name;
use crate::targets::{connection, framing};
use crate::world::framed;

pub(super) fn framing() -> Vec<Vec<u8>> {
    let data = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let first = v1::UploadMemoryRequest {
        memory_id: Some(name("m")),
        offset: Some(8),
        data: data("first"),
        ..Default::default()
    };
    let next = v1::UploadMemoryRequest { data: data("the next one"), ..Default::default() };
    let last = v1::UploadMemoryRequest {
        crc32c: Some(crc32c::crc32c(b"firstthe next one")),
        ..Default::default()
    };
    let body: Vec<u8> = [first.encode_to_vec(), next.encode_to_vec(), last.encode_to_vec()]
        .iter()
        .flat_map(|message| framed(message).to_vec())
        .collect();
    let write = v1::WriteMemoryRequest {
        memory_id: name("m"),
        offset: 3,
        data: bytes::Bytes::from(vec![5; 300]),
        uid: None,
    };
    let put = v1::PutSegmentRequest { data: data("a segment"), ..Default::default() };
    let read = v1::ReadMemoryRequest { memory_id: name("m"), length: 4, ..Default::default() };
    // There is more room in it.
    let to_n = v1::UploadMemoryRequest { memory_id: Some(name("n")), ..Default::default() };
    let large = framed(&to_n.encode_to_vec());
    let wide = v1::WriteMemoryRequest { memory_id: name("n"), ..Default::default() };
    let with = |kind: u8, splits: &[u8], body: &[u8]| {
        let count = u8::try_from(splits.len()).expect("few");
        [&[kind, count], splits, body].concat()
    };
    vec![
        with(0, &[], &body),
        with(0, &[1, 1, 1, 1, 1, 1], &body),
        with(0, &[5, 10], &body),
        with(0, &[], &[&body[..], &[1, 0, 0, 0, 0]].concat()),
        with(0, &[], &[&body[..], &[0, 0xFF, 0, 0, 0]].concat()),
        with(1, &[4, 6], &framed(&write.encode_to_vec())),
        with(2, &[4, 6], &framed(&put.encode_to_vec())),
        with(3, &[2], &framed(&read.encode_to_vec())),
        with(3, &[], &[&framed(&read.encode_to_vec())[..], &[0; 5]].concat()),
        with(framing::LARGE, &[], &large),
        with(framing::LARGE, &[100, 200, 255], &large),
        with(framing::LARGE, &[63; 20], &large),
        with(framing::LARGE, &[1, 2, 100, 3], &[&large[..], &large].concat()),
        with(framing::LARGE | 1, &[100, 200], &framed(&wide.encode_to_vec())),
        with(framing::LARGE | 2, &[100, 3, 200], &framed(&put.encode_to_vec())),
        with(framing::LARGE | 3, &[100, 200], &framed(&read.encode_to_vec())),
        with(framing::LARGE | 3, &[200], &framed(&[0x0A, 0xFF])),
    ]
}

pub(super) fn headers() -> Vec<Vec<u8>> {
    let texts = [
        "\u{0}1S",
        "\u{0}99999999n",
        "\u{0}5m",
        "\u{0}1H",
        "\u{0}12u",
        "\u{0}1234567u",
        "\u{0}3M",
        "\u{0}-1S",
        "\u{1}default",
        "\u{1}other",
        "\u{1}third",
        "\u{2}application/grpc",
        "\u{2}application/grpc+proto",
        "\u{2}application/grpc;x",
        "\u{2}text/html",
        "\u{3}linmem.v1.MemoryService/GetServerInfo",
        "\u{3}linmem.v1.MemoryService/ReadMemory",
        "\u{3}linmem.v1.Nope/Nope",
        "\u{3}",
        "\u{4}\u{3}\0\0\0\0\0",
        "\u{4}\u{0}\0\0\0\0\u{19}\n\u{17}linmem.v1.MemoryService",
        "\u{4}\u{9}\0\0\0\0\u{3}\n\u{1}x",
        "\u{5}user-agent:x",
        "\u{5}grpc-encoding:gzip",
        "\u{5}x-bin:AAAA",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as literals that are not indexed, which need no table.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).expect("short"));
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub(super) fn connection() -> Vec<Vec<u8>> {
    let request = block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", "/linmem.v1.MemoryService/GetServerInfo"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    let (head, tail) = request.split_at(30);
    let data = frame(0, 1, 1, &[0; 5]);
    let with = |kind: u8, frames: &[Vec<u8>]| [vec![kind], frames.concat()].concat();
    vec![
        with(0x80, &[frame(1, 4, 1, &request), data.clone()]),
        with(0x81, &[frame(1, 4, 1, &request), data.clone()]),
        with(2, &[frame(1, 0, 1, head), frame(9, 4, 1, tail), data]),
        with(3, &[frame(1, 0, 1, head), frame(9, 0, 1, tail)]),
        with(0, &[frame(4, 1, 0, &[]), frame(6, 0, 0, &[1; 8]), frame(8, 0, 0, &[0, 0, 1, 0])]),
        with(0, &[frame(7, 0, 0, &[0; 8]), frame(2, 0, 1, &[0, 0, 0, 0, 5])]),
        with(0, &[frame(4, 0, 0, &[0, 4, 0, 0, 0, 9, 0, 5, 0, 1, 0, 0])]),
        with(0, &[frame(5, 4, 1, &[0, 0, 0, 2]), frame(0x30, 0, 0, b"unknown")]),
        with(4, &[connection::PREFACE.to_vec()]),
        with(4, &[b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()]),
        with(4, &[connection::PREFACE[..20].to_vec()]),
    ]
}
