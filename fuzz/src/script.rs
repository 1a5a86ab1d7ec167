//! [`calls`]: how an input names several messages.
//!
//! ```text
//! | kind 1 | length 2, little-endian | bytes … |   again, to the end; the last one may be short
//! ```
//!
//! Law: every input means something, so that no mutation is lost.

/// Messages of one input; more only makes it slow.
const AT_MOST: usize = 8;

/// The kinds and bytes of an input's messages.
pub(crate) fn calls(input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = input;
    std::iter::from_fn(move || {
        let [kind, low, high, after @ ..] = rest else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        Some((*kind, bytes))
    })
    .take(AT_MOST)
}

/// The input of these.
pub(crate) fn all(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, bytes) in messages {
        put(&mut out, *kind, bytes);
    }
    out
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("a short message");
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}
