//! [`Watched`]: a connection's bytes on their way in, looked at just enough to know whether the peer
//! is in the middle of something that it must not be slow about.
//!
//! ```text
//! preface 24 │ frame header 9: length 3, type 1, flags 1, stream 4 │ payload │ frame header …
//! ```
//!
//! Law: the preface, and every frame, with a header block up to its END_HEADERS, must come whole
//! within a time limit that `connection.rs` keeps; h2 itself waits for ever. Reads no header, changes
//! no byte. How many came is all that `moderation.rs` is told, and which frames what `manners.rs` is. Bytes
//! on their way out pass unseen, when `polls.rs` lets them; `untaken.rs` is told when the socket takes none.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::rpc::manners::Manners;
use crate::rpc::moderation::Moderation;
use crate::rpc::party::Party;
use crate::rpc::polls;
use crate::rpc::untaken::Untaken;

const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// What is no small frame any more.
const SMALL: usize = 16 << 10;
/// A read among small frames brings no more than this, or the rest of the frame that is coming, however
/// much room there is: what it brings is taken in one turn. Some twenty calls of a client that
/// compresses no headers: 16 KiB made a turn of a millisecond.
const LITTLE: usize = 4 << 10;

/// What a peer is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    Preface,
    /// A frame that is not DATA, or a header block.
    Frame,
    /// DATA with so long a payload.
    Data(usize),
}

/// Since when the peer has been in the middle of something, for whoever keeps time.
#[derive(Debug)]
pub(crate) struct Progress {
    epoch: Instant,
    /// Nanoseconds after `epoch`; 0: it is not.
    since: AtomicU64,
    /// Of what: [`PREFACE_OWED`], 0 for a frame, else DATA and its length.
    what: AtomicU64,
}

const PREFACE_OWED: u64 = u64::MAX;

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let epoch = Instant::now();
        // The preface is due from the start.
        let (since, what) = (AtomicU64::new(1), AtomicU64::new(PREFACE_OWED));
        Arc::new(Self { epoch, since, what })
    }

    /// Since when the peer owes the rest of something, and of what.
    pub(crate) fn owes_since(&self) -> Option<(Instant, Owed)> {
        let since = self.since.load(Ordering::Relaxed);
        let what = match self.what.load(Ordering::Relaxed) {
            PREFACE_OWED => Owed::Preface,
            0 => Owed::Frame,
            length => Owed::Data(usize::try_from(length).unwrap_or(usize::MAX)),
        };
        let moment = self.epoch.checked_add(std::time::Duration::from_nanos(since));
        moment.filter(|_| since != 0).map(|moment| (moment, what))
    }

    /// What the peer owes now, and whether it began since this was last said.
    fn set(&self, owes: Option<Owed>, began: bool) {
        let owed = self.since.load(Ordering::Relaxed) != 0;
        let Some(what) = owes else {
            if owed {
                self.since.store(0, Ordering::Relaxed);
            }
            return;
        };
        if began || !owed {
            let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.since.store(now.max(1), Ordering::Relaxed);
        }
        let what = match what {
            Owed::Preface => PREFACE_OWED,
            Owed::Frame => 0,
            Owed::Data(length) => u64::try_from(length).unwrap_or(u64::MAX),
        };
        self.what.store(what, Ordering::Relaxed);
    }
}

/// A stream whose incoming bytes are watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    place: Place,
    /// In a header block whose END_HEADERS has not come.
    block: bool,
    /// What is owed began with bytes that were seen last.
    began: bool,
    /// The length of the frame that came last: another one like it may follow.
    last: usize,
    progress: Arc<Progress>,
    moderation: Moderation<S>,
    manners: Manners,
    untaken: Arc<Untaken>,
}

#[derive(Debug)]
enum Place {
    Preface { left: usize },
    Header { bytes: [u8; FRAME_HEADER], have: usize },
    Payload { length: usize, left: usize, data: bool },
}

impl<S> Watched<S> {
    pub(crate) fn new(
        stream: S,
        party: Arc<Party>,
        progress: Arc<Progress>,
        moderation: Moderation<S>,
        untaken: Arc<Untaken>,
    ) -> Self {
        let (place, manners) = (Place::Preface { left: PREFACE }, Manners::new(party));
        let (block, began, last) = (false, false, 0);
        Self { stream, place, block, began, last, progress, moderation, manners, untaken }
    }

    /// How many bytes have come of a frame that is not whole.
    fn torn(&self) -> usize {
        match self.place {
            Place::Payload { length, left, .. } => length.saturating_sub(left),
            Place::Preface { .. } | Place::Header { .. } => 0,
        }
    }

    /// What has not come of the payload of the frame that is coming.
    fn coming(&self) -> usize {
        match self.place {
            Place::Payload { left, .. } => left,
            Place::Preface { .. } | Place::Header { .. } => 0,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        self.began = false;
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
        let owes = match self.place {
            Place::Preface { .. } => Some(Owed::Preface),
            _ if self.block => Some(Owed::Frame),
            Place::Header { have: 0, .. } => None,
            Place::Payload { length, data: true, .. } => Some(Owed::Data(length)),
            Place::Header { .. } | Place::Payload { .. } => Some(Owed::Frame),
        };
        self.progress.set(owes, self.began);
    }

    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.place {
            Place::Preface { left } => {
                let (seen, rest) = bytes.split_at(bytes.len().min(*left));
                *left = left.saturating_sub(seen.len());
                if *left == 0 {
                    self.place = header();
                }
                rest
            }
            Place::Header { bytes: header, have } => {
                // A header block is one thing from its first frame on.
                self.began |= *have == 0 && !self.block;
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
        self.manners.frame(kind, flags, length);
        self.last = length;
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
        std::task::ready!(this.manners.poll_turn(context))?;
        this.moderation.before(this.torn());
        let before = buffer.filled().len();
        let little = this.coming().max(LITTLE);
        let read = if buffer.remaining() > little && this.coming().max(this.last) < SMALL {
            this.read_little(little, context, buffer)
        } else {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        };
        match read {
            Poll::Ready(read) => {
                let came = buffer.filled().get(before..).unwrap_or_default();
                this.moderation.came(came.len());
                this.see(came);
                Poll::Ready(read)
            }
            Poll::Pending => {
                this.manners.idle();
                match this.moderation.idle(&this.stream, context) {
                    Ok(()) => Poll::Pending,
                    Err(stuck) => Poll::Ready(Err(stuck)),
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// A buffer that has held a large frame would take a hundred thousand small ones.
    fn read_little(
        &mut self,
        little: usize,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [MaybeUninit::uninit(); SMALL];
        let mut part = ReadBuf::uninit(scratch.get_mut(..little).unwrap_or_default());
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if polls::holds() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.untaken.set_behind(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if polls::holds() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.untaken.set_behind(written.is_pending());
        written
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

    fn watched() -> (Watched<()>, Arc<Progress>) {
        let progress = Progress::new();
        let moderation = Moderation::new(Box::new(|(), _| false), Arc::default());
        let party = Party::of(None, 1);
        let watched = Watched::new((), party, Arc::clone(&progress), moderation, Arc::default());
        (watched, progress)
    }

    fn owes_after(bytes: &[u8], step: usize) -> bool {
        let (mut watched, progress) = watched();
        for piece in bytes.chunks(step) {
            watched.see(piece);
        }
        progress.owes_since().is_some()
    }

    #[test]
    fn time_runs_from_the_beginning_of_a_frame_or_block_and_not_of_a_stream_of_them() {
        let (mut watched, progress) = watched();
        watched.see(&[b'P'; PREFACE]);
        let data = frame(DATA, 0, 200);
        watched.see(&data[..100]);
        let (first, what) = progress.owes_since().unwrap();
        assert_eq!(what, Owed::Data(200));
        watched.see(&data[100..150]);
        assert_eq!(progress.owes_since().unwrap().0, first, "the same frame");
        watched.see(&[&data[150..], &data[..100]].concat());
        let (second, _) = progress.owes_since().unwrap();
        assert!(second > first, "another frame");
        watched.see(&[&data[100..], &frame(HEADERS, 0, 5)].concat());
        let (block, what) = progress.owes_since().unwrap();
        assert_eq!(what, Owed::Frame);
        watched.see(&frame(CONTINUATION, 0, 5));
        assert_eq!(progress.owes_since().unwrap().0, block, "the same block");
    }

    #[test]
    fn the_peer_owes_the_rest_of_a_preface_and_of_every_frame() {
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
            assert!(owes_after(&with(&frame(DATA, 0, 50)[..20]), step), "DATA torn");
        }
    }
}
