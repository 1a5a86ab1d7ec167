//! [`Gathered`]: one message as the frames that it came in, uncopied.
//!
//! Law: a frame of any size worth keeping is kept as it is; small ones are joined, so that a message
//! sent a byte at a time costs no more than its length. [`Gathered::take_frames`] hands bytes on
//! without copying those either. Knows nothing of gRPC.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};

/// A frame below this is copied. One that is kept keeps all that was read with it, 64 KiB or so, of which
/// it is to be a good part; most clients send frames of exactly this.
const SMALL: usize = 16 * 1024;
/// Joined frames are handed on at this size.
const JOINED: usize = 64 * 1024;

/// Bytes in the frames that they came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    frames: VecDeque<Bytes>,
    joined: BytesMut,
    length: usize,
}

impl Gathered {
    /// A message that came in one frame, whatever its size: nothing to join.
    pub(crate) fn whole(frame: Bytes) -> Self {
        let length = frame.len();
        Self { frames: VecDeque::from([frame]), joined: BytesMut::new(), length }
    }

    /// Appends a frame.
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.length = self.length.saturating_add(frame.len());
        if frame.len() < SMALL {
            self.joined.extend_from_slice(&frame);
            if self.joined.len() >= JOINED {
                self.settle();
            }
        } else {
            self.settle();
            self.frames.push_back(frame);
        }
    }

    /// No frame comes any more. To be called before it is read.
    pub(crate) fn settle(&mut self) {
        if !self.joined.is_empty() {
            self.frames.push_back(mem::take(&mut self.joined).freeze());
        }
    }

    /// All of it, where it is one frame.
    ///
    /// # Errors
    /// Itself, where it is more.
    pub(crate) fn into_whole(mut self) -> Result<Bytes, Self> {
        if self.frames.len() > 1 {
            return Err(self);
        }
        Ok(self.frames.pop_front().unwrap_or_default())
    }

    /// How many bytes it holds.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Takes the first `length` bytes, in their frames; all where there are fewer.
    pub(crate) fn take_frames(&mut self, length: usize) -> Vec<Bytes> {
        let mut taken = Vec::with_capacity(self.frames.len());
        let mut left = length.min(self.length);
        self.length = self.length.saturating_sub(left);
        while left > 0
            && let Some(frame) = self.frames.front_mut()
        {
            let piece = frame.split_to(left.min(frame.len()));
            left = left.saturating_sub(piece.len());
            taken.push(piece);
            self.drop_empty();
        }
        taken
    }

    fn drop_empty(&mut self) {
        while self.frames.front().is_some_and(Bytes::is_empty) {
            self.frames.pop_front();
        }
    }
}

impl Buf for Gathered {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map(AsRef::as_ref).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        let mut left = count.min(self.length);
        self.length = self.length.saturating_sub(left);
        while left > 0
            && let Some(frame) = self.frames.front_mut()
        {
            let step = left.min(frame.len());
            frame.advance(step);
            left = left.saturating_sub(step);
            self.drop_empty();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let mut pieces = self.take_frames(length);
        if pieces.len() <= 1 {
            return pieces.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(length);
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole.freeze()
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_frames_the_bytes_are_the_same(
            sizes in prop::collection::vec(prop_oneof![0..40usize, 15_000..18_000usize], 0..12),
            cuts in prop::collection::vec(0..18_000usize, 0..8),
        ) {
            let all: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut gathered = Gathered::default();
            let mut at = 0;
            for size in sizes {
                gathered.push(Bytes::copy_from_slice(&all[at..at + size]));
                at += size;
            }
            gathered.settle();
            let mut seen = Vec::new();
            for (turn, cut) in cuts.into_iter().enumerate() {
                if turn % 2 == 0 {
                    gathered.take_frames(cut).iter().for_each(|piece| seen.extend_from_slice(piece));
                } else {
                    let cut = cut.min(gathered.remaining());
                    seen.extend_from_slice(&gathered.copy_to_bytes(cut));
                }
                prop_assert_eq!(gathered.remaining(), all.len() - seen.len());
            }
            let rest = gathered.remaining();
            seen.extend_from_slice(&gathered.copy_to_bytes(rest));
            prop_assert_eq!(seen, all);
        }
    }

    #[test]
    fn a_message_sent_a_byte_at_a_time_costs_its_length_and_few_frames() {
        let mut gathered = Gathered::default();
        for _ in 0..300_000 {
            gathered.push(Bytes::from_static(b"x"));
        }
        gathered.settle();
        assert!(gathered.frames.len() <= 300_000 / JOINED + 1);
    }
}
