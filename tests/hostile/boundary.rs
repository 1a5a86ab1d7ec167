//! Boundary values for every field of every RPC's request, from the descriptors.
//!
//! Owns: [`all`], the list of requests. Law: what is in it follows from the protos alone, in order, so
//! that a number always means the same request; each is a request that would do, with one field more,
//! which is at a limit or past it. Fields of messages in messages are among them, down to
//! [`DEEPEST`].

use std::collections::HashMap;

use linmemd::proto::DESCRIPTORS;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::calls::MEMORY;
use crate::protobuf::{FIXED32, FIXED64, LENGTH, VARINT, delimited, key, raw, varint};

/// Messages in messages are looked into so far.
const DEEPEST: usize = 4;
/// A message in itself so often.
const NESTED: usize = 200;

/// A request, by the path of its RPC.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// A method, and a message that its request would do with.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

struct Types {
    messages: HashMap<String, DescriptorProto>,
    methods: Vec<(String, String)>,
}

/// Every method of ours with a plain request. Drain comes last: only an operator's is heard.
pub(crate) fn plain() -> Vec<Plain> {
    let types = types();
    let request = |(path, name): &(String, String)| Plain {
        path: path.clone(),
        body: types.messages.get(name).map(base).unwrap_or_default(),
    };
    types.methods.iter().map(request).collect()
}

/// Every request at a limit.
pub(crate) fn all() -> Vec<Request> {
    let types = types();
    let mut all = Vec::new();
    for (path, name) in &types.methods {
        let Some(message) = types.messages.get(name) else { continue };
        let base = base(message);
        let mut fields = Vec::new();
        collect(&types, message, &mut Vec::new(), &mut fields);
        for broken in broken() {
            fields.push(broken);
        }
        for field in fields {
            let body = [base.clone(), field].concat();
            all.push(Request { path: path.clone(), body });
        }
    }
    all
}

fn types() -> Types {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors");
    let mut types = Types { messages: HashMap::new(), methods: Vec::new() };
    for file in &files.file {
        for message in &file.message_type {
            name(&format!(".{}", file.package()), message, &mut types.messages);
        }
        for service in file.service.iter().filter(|_| file.package() == "linmem.v1") {
            for method in &service.method {
                let path = format!("/linmem.v1.{}/{}", service.name(), method.name());
                types.methods.push((path, method.input_type().to_owned()));
            }
        }
    }
    types
}

fn name(prefix: &str, message: &DescriptorProto, into: &mut HashMap<String, DescriptorProto>) {
    let name = format!("{prefix}.{}", message.name());
    for nested in &message.nested_type {
        self::name(&name, nested, into);
    }
    into.insert(name, message.clone());
}

/// What makes a request one that would do, as far as names say it. What it opens for a time is open for the
/// shortest, or memory would still be its tenant's by right when it is looked at.
fn base(message: &DescriptorProto) -> Vec<u8> {
    let mut base = Vec::new();
    for field in &message.field {
        let value = match field.name() {
            "memory_id" | "source_memory_id" | "destination_memory_id" => MEMORY,
            "segment_id" | "set_id" | "view_id" | "hook_id" | "partition_id" => "x",
            "ttl" => {
                let a_second = raw(1, VARINT, &[1]);
                base.extend(delimited(number(field), &a_second));
                continue;
            }
            _ => continue,
        };
        base.extend(delimited(number(field), value.as_bytes()));
    }
    base
}

fn number(field: &FieldDescriptorProto) -> u32 {
    u32::try_from(field.number()).expect("a number")
}

/// All values of all fields, each inside of the messages that lead to it.
fn collect(
    types: &Types,
    message: &DescriptorProto,
    above: &mut Vec<u32>,
    into: &mut Vec<Vec<u8>>,
) {
    for field in &message.field {
        let number = number(field);
        let mut values = values(field);
        values.extend(misshapen(number));
        for value in &values {
            into.push(inside(above, value));
        }
        // Twice, and often: the last one counts, or all of a list.
        if let Some(value) = values.first().filter(|value| value.len() < 32) {
            into.push(inside(above, &value.repeat(2)));
            into.push(inside(above, &value.repeat(2_000)));
        }
        if field.r#type() == Type::Message && above.len() < DEEPEST {
            into.push(inside(above, &nested(number)));
            if let Some(inner) = types.messages.get(field.type_name()) {
                above.push(number);
                collect(types, inner, above, into);
                above.pop();
            }
        }
    }
}

fn inside(above: &[u32], value: &[u8]) -> Vec<u8> {
    above.iter().rev().fold(value.to_vec(), |inner, number| delimited(*number, &inner))
}

/// The field in itself, over and over.
fn nested(number: u32) -> Vec<u8> {
    (0..NESTED).fold(Vec::new(), |inner, _| delimited(number, &inner))
}

fn values(field: &FieldDescriptorProto) -> Vec<Vec<u8>> {
    let number = number(field);
    let varints = |values: &[u64]| -> Vec<Vec<u8>> {
        values.iter().map(|value| raw(number, VARINT, &varint(*value))).collect()
    };
    match field.r#type() {
        Type::Bool => varints(&[0, 1, 2, u64::MAX]),
        Type::Enum => {
            let mut all = varints(&(0..24).collect::<Vec<u64>>());
            all.extend(varints(&[127, (1 << 31) - 1, 1 << 31, u64::from(u32::MAX), u64::MAX]));
            all
        }
        Type::Fixed32 | Type::Sfixed32 | Type::Float => WORDS
            .iter()
            .map(|value| raw(number, FIXED32, &value.to_le_bytes()))
            .chain([delimited(number, &[0; 4 * 300])])
            .collect(),
        Type::Fixed64 | Type::Sfixed64 | Type::Double => LONGS
            .iter()
            .map(|value| raw(number, FIXED64, &value.to_le_bytes()))
            .chain([delimited(number, &[0xFF; 8 * 300])])
            .collect(),
        Type::String => strings().iter().map(|text| delimited(number, text)).collect(),
        Type::Bytes => [0, 1, 63, 64, 65, 4_096, 65_536, 300_000]
            .iter()
            .map(|length| delimited(number, &vec![0xA5; *length]))
            .collect(),
        Type::Message | Type::Group => vec![
            delimited(number, &[]),
            delimited(number, &[0xFF; 12]),
            delimited(number, &[0; 12]),
            delimited(number, &raw(1_000, VARINT, &[1])),
        ],
        _ => {
            let mut all = varints(&LONGS);
            // As long as a varint may be, and longer.
            all.push(raw(number, VARINT, &[[0x80; 9].as_slice(), &[0]].concat()));
            all.push(raw(number, VARINT, &[[0xFF; 9].as_slice(), &[0x7F]].concat()));
            all.push(raw(number, VARINT, &[[0x80; 10].as_slice(), &[0]].concat()));
            all.push(delimited(number, &[0x7F; 300]));
            all
        }
    }
}

const WORDS: [u32; 9] =
    [0, 1, u32::MAX, u32::MAX - 1, 1 << 31, (1 << 31) - 1, 0x7F80_0000, 0x7FC0_0001, 0xFFA0_0001];

const LONGS: [u64; 20] = [
    0,
    1,
    63,
    64,
    127,
    128,
    65_535,
    65_536,
    65_537,
    131_072,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 48,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
    0x7FF8_0000_0000_0001,
];

fn strings() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "",
        "a",
        ".",
        "-a",
        "a/b",
        "a b",
        "\0",
        "\n",
        "%s%n",
        "../../x",
        "ä",
        "\u{202E}",
        "*",
        "!a",
        "a=b,c",
        "0",
        "18446744073709551616",
        "00000000-0000-0000-0000-000000000000",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    all.extend([128, 129, 4_096, 65_536, 300_000].map(|length| vec![b'a'; length]));
    // No UTF-8: alone, cut off, overlong, a surrogate.
    all.extend([vec![0xFF], vec![0xC3], vec![0xC0, 0x80], vec![0xED, 0xA0, 0x80]]);
    all
}

/// A field in shapes that it does not have.
fn misshapen(number: u32) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..8).map(|wire| raw(number, wire, &[1, 2, 3, 4])).collect();
    all.push(raw(number, VARINT, &[]));
    all.push(raw(number, VARINT, &[0x80; 11]));
    all.push(raw(number, FIXED64, &[1, 2, 3, 4, 5, 6, 7, 8]));
    // Lengths past the end, by one and by all that there is.
    all.push(raw(number, LENGTH, &[5, b'a', b'b', b'c', b'd']));
    all.push(raw(number, LENGTH, &varint(u64::from(u32::MAX))));
    all.push(raw(number, LENGTH, &varint(u64::MAX)));
    all
}

/// What is wrong without being of any field.
fn broken() -> Vec<Vec<u8>> {
    let most = (1 << 29) - 1;
    vec![
        vec![0],
        vec![0xFF; 20],
        raw(0, LENGTH, &[0]),
        raw(most, VARINT, &[1]),
        delimited(most, &[0xAB; 1_000]),
        varint(u64::MAX),
        // Groups that nobody ends, and ends of none.
        key(most, 3).repeat(300),
        key(most, 4),
        [key(1_000, 3), key(1_000, 4)].concat().repeat(100),
    ]
}
