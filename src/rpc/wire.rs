//! [`Watched`]: a connection's bytes on their way in, looked at just enough to know whether the peer
//! is in the middle of something that it must not be slow about.
//!
//! ```text
//! preface 24 │ frame header 9: length 3, type 1, flags 1, stream 4 │ payload │ frame header …
//! ```
//!
//! Law: the preface, and every frame but DATA, with a header block up to its END_HEADERS, must come
//! whole within a time limit that `connection.rs` keeps; h2 itself waits for ever. Reads no header,
//! changes no byte. How many came is all that `moderation.rs` is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rpc::moderation::Moderation;

const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Since when the peer has been in the middle of something, for whoever keeps time.
#[derive(Debug)]
pub(crate) struct Progress {
    epoch: Instant,
    /// Nanoseconds after `epoch`; 0: it is not.
    since: AtomicU64,
    /// Whether the preface has come.
    greeted: AtomicU64,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let epoch = Instant::now();
        // The preface is due from the start.
        Arc::new(Self { epoch, since: AtomicU64::new(1), greeted: AtomicU64::new(0) })
    }

    /// Since when the peer owes the rest of something; and whether that is the preface.
    pub(crate) fn owes_since(&self) -> Option<(Instant, bool)> {
        let since = self.since.load(Ordering::Relaxed);
        let preface = self.greeted.load(Ordering::Relaxed) == 0;
        let moment = self.epoch.checked_add(std::time::Duration::from_nanos(since));
        moment.filter(|_| since != 0).map(|moment| (moment, preface))
    }

    fn set(&self, owes: bool) {
        let owed = self.since.load(Ordering::Relaxed) != 0;
        if owes && !owed {
            let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.since.store(now.max(1), Ordering::Relaxed);
        } else if !owes && owed {
            self.since.store(0, Ordering::Relaxed);
        }
    }
}

/// A stream whose incoming bytes are watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    place: Place,
    /// In a header block whose END_HEADERS has not come.
    block: bool,
    progress: Arc<Progress>,
    moderation: Moderation<S>,
}

#[derive(Debug)]
enum Place {
    Preface { left: usize },
    Header { bytes: [u8; FRAME_HEADER], have: usize },
    Payload { length: usize, left: usize, data: bool },
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, progress: Arc<Progress>, moderation: Moderation<S>) -> Self {
        Self { stream, place: Place::Preface { left: PREFACE }, block: false, progress, moderation }
    }

    /// How many bytes have come of a frame that is not whole.
    fn torn(&self) -> usize {
        match self.place {
            Place::Payload { length, left, .. } => length.saturating_sub(left),
            Place::Preface { .. } | Place::Header { .. } => 0,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
        let owes = self.block
            || match self.place {
                Place::Preface { .. } => true,
                Place::Header { have, .. } => have > 0,
                Place::Payload { data, .. } => !data,
            };
        self.progress.set(owes);
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.place {
            Place::Preface { left } => {
                let (seen, rest) = bytes.split_at(bytes.len().min(*left));
                *left = left.saturating_sub(seen.len());
                if *left == 0 {
                    self.progress.greeted.store(1, Ordering::Relaxed);
                    self.place = header();
                }
                rest
            }
            Place::Header { bytes: header, have } => {
                let wanted = header.get_mut(*have..).unwrap_or_default();
                let (seen, rest) = bytes.split_at(bytes.len().min(wanted.len()));
                for (slot, byte) in wanted.iter_mut().zip(seen) {
                    *slot = *byte;
                }
                *have = have.saturating_add(seen.len());
                if *have == FRAME_HEADER {
                    let header = *header;
                    self.begin(header);
                }
                rest
            }
            Place::Payload { left, .. } => {
                let (seen, rest) = bytes.split_at(bytes.len().min(*left));
                *left = left.saturating_sub(seen.len());
                if *left == 0 {
                    self.place = self::header();
                }
                rest
            }
        }
    }

    fn begin(&mut self, [high, middle, low, kind, flags, ..]: [u8; FRAME_HEADER]) {
        if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.block = flags & END_HEADERS == 0;
        }
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.place = if length == 0 {
            header()
        } else {
            Place::Payload { length, left: length, data: kind == DATA }
        };
    }
}

const fn header() -> Place {
    Place::Header { bytes: [0; FRAME_HEADER], have: 0 }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.moderation.before(this.torn());
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                let came = buffer.filled().get(before..).unwrap_or_default();
                this.moderation.came(came.len());
                this.see(came);
                Poll::Ready(read)
            }
            Poll::Pending => match this.moderation.idle(&this.stream, context) {
                Ok(()) => Poll::Pending,
                Err(stuck) => Poll::Ready(Err(stuck)),
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(0xAA, usize::from(length)));
        frame
    }

    fn owes_after(bytes: &[u8], step: usize) -> bool {
        let progress = Progress::new();
        let moderation = Moderation::new(Box::new(|(), _| false), Arc::default());
        let mut watched = Watched::new((), Arc::clone(&progress), moderation);
        for piece in bytes.chunks(step) {
            watched.see(piece);
        }
        progress.owes_since().is_some()
    }

    #[test]
    fn the_peer_owes_the_rest_of_a_preface_and_of_every_frame_but_data() {
        let preface = vec![b'P'; PREFACE];
        let with = |more: &[u8]| [preface.as_slice(), more].concat();
        for step in [1, 2, 7, 1000] {
            assert!(owes_after(&preface[..PREFACE - 1], step));
            assert!(!owes_after(&preface, step));
            assert!(!owes_after(&with(&frame(4, 0, 6)), step), "SETTINGS whole");
            assert!(owes_after(&with(&frame(4, 0, 6)[..12]), step), "SETTINGS torn");
            assert!(!owes_after(&with(&frame(HEADERS, END_HEADERS, 5)), step));
            assert!(owes_after(&with(&frame(HEADERS, 0, 5)), step), "header block open");
            let block = [frame(HEADERS, 0, 5), frame(CONTINUATION, 0, 5)].concat();
            assert!(owes_after(&with(&block), step));
            let block = [block, frame(CONTINUATION, END_HEADERS, 0)].concat();
            assert!(!owes_after(&with(&block), step));
            assert!(!owes_after(&with(&frame(DATA, 0, 50)[..20]), step), "DATA may be slow");
        }
    }
}
