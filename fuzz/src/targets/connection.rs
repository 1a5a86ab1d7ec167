//! A connection's bytes: preface, frames and headers as they come, in pieces of any size.
//!
//! Checked: whatever came, the connection ends when its client does; nothing of it is held
//! afterwards; and an honest connection beside it is served.

use linmemd::proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::planted;
use crate::world::{OWN, World, serving, with};

/// What a client says first, and what it then must.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// How long a connection may take to end.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// How many bytes are written at once, by the input's first byte.
const STEPS: [usize; 4] = [usize::MAX, 1, 7, 64];

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    with(|world| {
        let honest = kind & 0x80 != 0;
        let before = world.server.connections();
        let mut sent = if kind & 4 == 0 { PREFACE.to_vec() } else { Vec::new() };
        sent.extend_from_slice(bytes);
        let step = STEPS[usize::from(*kind) % STEPS.len()];
        converse(world, &sent, step);
        world.settle();
        // As if a stream that is reset kept its connection's place.
        let kept = u64::from(planted::here(kind & 4 == 0 && resets(bytes)));
        assert_eq!(world.server.connections() + kept, before);
        if honest {
            world.must::<v1::GetServerInfoResponse>("GetServerInfo", &v1::GetServerInfoRequest {});
        }
    });
}

/// Whether there is a whole RST_STREAM of a stream among these frames.
fn resets(mut bytes: &[u8]) -> bool {
    while let [a, b, c, kind, _, d, e, f, g, after @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((_, rest)) = after.split_at_checked(length) else { return false };
        if *kind == 3 && length == 4 && [d, e, f, g] != [&0; 4] {
            return true;
        }
        bytes = rest;
    }
    false
}

/// Sends bytes, hangs up, and waits until the daemon has, too.
fn converse(world: &World, sent: &[u8], step: usize) {
    let (mut near, served) = serving(&world.server, OWN);
    world.runtime.block_on(async {
        let said = async {
            for piece in sent.chunks(step.min(sent.len().max(1))) {
                // Who has been told to go away need not be heard.
                if near.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _closed = near.shutdown().await;
            let mut said = Vec::new();
            let _ended = near.read_to_end(&mut said).await;
        };
        let both = async { tokio::join!(said, served) };
        tokio::time::timeout(PATIENCE, both).await.expect("it ends with its client");
    })
}
