//! [`Spell`]: how much a stream of messages does before others of its thread have their turn.
//!
//! Law: messages count by their bytes and each besides, for one without any is work too. Who never waits,
//! because all is there already, is interrupted all the same.

/// Bytes of a spell: some tenths of a millisecond, where they are of pages that nobody has touched.
const SPELL_BYTES: u64 = 512 << 10;
/// What a message counts for beside its bytes: 64 empty ones are a spell.
const MESSAGE_BYTES: u64 = SPELL_BYTES / 64;

/// What was done since others had their turn.
#[derive(Debug, Default)]
pub(crate) struct Spell(u64);

impl Spell {
    /// A message of so many bytes is next, after others' turn where enough was done.
    pub(crate) async fn spend(&mut self, bytes: u64) {
        if self.0 >= SPELL_BYTES {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
        self.0 = self.0.saturating_add(bytes.saturating_add(MESSAGE_BYTES));
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// How many messages of so many bytes, all there already, are gone through in each poll.
    fn at_a_time(bytes: u64) -> Vec<u32> {
        let done = std::cell::Cell::new(0);
        let mut stream = pin!(async {
            let mut spell = Spell::default();
            for _message in 0..200 {
                spell.spend(bytes).await;
                done.set(done.get() + 1);
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = Vec::new();
        while stream.as_mut().poll(&mut context).is_pending() {
            polls.push(done.replace(0));
        }
        polls
    }

    #[test]
    fn others_have_their_turn_after_some_messages_or_many_bytes() {
        assert_eq!(at_a_time(0), [64, 64, 64]);
        assert_eq!(at_a_time(120 << 10)[..3], [4, 4, 4]);
        assert_eq!(at_a_time(1 << 20)[..3], [1, 1, 1]);
    }
}
