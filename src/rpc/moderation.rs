//! [`Moderation`]: while much of one message is still to come, its bytes are taken in fewer and
//! larger pieces.
//!
//! A serving thread takes bytes in faster than most peers send them. Left alone it sleeps and is
//! woken for every few kilobytes of a large message, and the waking costs both sides more than the
//! bytes do. What network cards do about interrupts is done here with the kernel's receive low-water
//! mark (SO_RCVLOWAT of socket(7)): the thread is woken when a good piece has come.
//!
//! ```text
//!  a message's header ──> Rest ──> while MUCH of it is to come: the mark is at PIECE
//!                                  near its end, or PATIENCE after the last bytes: at 1
//! ```
//!
//! Law: the mark is up only while more bytes than it are due, and nothing that the peer sends waits
//! for it longer than [`PATIENCE`]; a peer that is slower is not moderated for the rest of its
//! message. A socket whose mark cannot be lowered again is ended. Sees no byte, only how many.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The mark while it is up. Uploads of 1 MiB messages beside the echo's, each the median of 12
/// rounds: no mark 0.88; 64 KiB 0.93, 128 KiB 0.97, 256 KiB 0.96, 512 KiB 0.98.
const PIECE: u32 = 128 << 10;
/// The mark is up while at least so much of a message is to come: more than the mark by what frames
/// and other calls may have had of the bytes that were counted.
const MUCH: usize = 192 << 10;
/// How long the mark stays up without bytes: longer than a sender on a busy machine is off its core.
/// At 128 KiB: 1 ms 0.91, 3 ms 0.97, 4 ms 0.97.
const PATIENCE: Duration = Duration::from_millis(4);

/// Sets a socket's receive low-water mark; whether it did.
pub type SetMark<S> = Box<dyn Fn(&S, u32) -> bool + Send>;

/// What is still to come of a message, told to its connection's socket once.
#[derive(Debug, Default)]
pub(crate) struct Rest(AtomicUsize);

impl Rest {
    /// So many bytes of a message are to come after all that the connection has handed on.
    pub(crate) fn tell(&self, bytes: usize) {
        if bytes >= MUCH {
            self.0.store(bytes, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Option<usize> {
        // Nearly always nothing was told; a load is less than a swap.
        (self.0.load(Ordering::Relaxed) > 0).then(|| self.0.swap(0, Ordering::Relaxed))
    }
}

/// One socket's mark and what decides about it.
pub(crate) struct Moderation<S> {
    set_mark: SetMark<S>,
    told: Arc<Rest>,
    /// What is due of the message told of last; 0 once its peer was too slow.
    due: usize,
    /// Whether bytes came since the socket was last found empty.
    came: bool,
    /// There while the mark is up.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Moderation<S> {
    pub(crate) fn new(set_mark: SetMark<S>, told: Arc<Rest>) -> Self {
        Self { set_mark, told, due: 0, came: false, patience: None }
    }

    /// Before a read: `torn` bytes have come that the connection could not hand on yet.
    pub(crate) fn before(&mut self, torn: usize) {
        if let Some(rest) = self.told.take() {
            self.due = rest.saturating_sub(torn);
        }
    }

    /// A read brought so many bytes.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.due = self.due.saturating_sub(bytes);
        self.came = true;
    }

    /// A read brought none: whether to be woken for one byte or for a piece of them.
    ///
    /// # Errors
    /// That the mark is up and cannot be lowered.
    pub(crate) fn idle(&mut self, socket: &S, context: &mut Context<'_>) -> io::Result<()> {
        let came = std::mem::take(&mut self.came);
        if self.due < MUCH {
            return self.lower(socket);
        }
        if self.patience.is_none() {
            if !(self.set_mark)(socket, PIECE) {
                self.due = 0;
                return Ok(());
            }
            self.patience = Some(Box::pin(sleep(PATIENCE)));
        }
        let Some(patience) = &mut self.patience else { return Ok(()) };
        if came {
            let until = Instant::now().checked_add(PATIENCE);
            patience.as_mut().reset(until.unwrap_or_else(Instant::now));
        }
        if patience.as_mut().poll(context).is_ready() {
            self.due = 0;
            return self.lower(socket);
        }
        Ok(())
    }

    /// The kernel wakes who waits, where bytes are there already.
    fn lower(&mut self, socket: &S) -> io::Result<()> {
        if self.patience.take().is_some() && !(self.set_mark)(socket, 1) {
            return Err(io::Error::other("the receive low-water mark cannot be lowered"));
        }
        Ok(())
    }
}

impl<S> fmt::Debug for Moderation<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = self.patience.is_some();
        f.debug_struct("Moderation")
            .field("due", &self.due)
            .field("up", &up)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;
    use std::task::Poll;

    use super::*;

    /// A socket's marks, in order, and after how many of them it refuses.
    struct Socket {
        marks: Arc<Mutex<Vec<u32>>>,
        moderation: Moderation<()>,
        told: Arc<Rest>,
    }

    impl Socket {
        fn refusing_after(marks: usize) -> Self {
            let (log, told) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Rest::default()));
            let logged = Arc::clone(&log);
            let set_mark = move |(): &(), mark| {
                let mut logged = logged.lock().unwrap();
                logged.push(mark);
                logged.len() <= marks
            };
            let moderation = Moderation::new(Box::new(set_mark), Arc::clone(&told));
            Self { marks: log, moderation, told }
        }

        fn new() -> Self {
            Self::refusing_after(usize::MAX)
        }

        /// What one turn of the connection's task does, of whose bytes `torn` are in half a frame.
        async fn turn(&mut self, came: usize, torn: usize) -> io::Result<()> {
            self.moderation.before(torn);
            if came > 0 {
                self.moderation.came(came);
            }
            poll_fn(|context| Poll::Ready(self.moderation.idle(&(), context))).await
        }

        fn marks(&self) -> Vec<u32> {
            self.marks.lock().unwrap().clone()
        }

        /// Waits for what a peer that sends nothing waits for.
        async fn patience(&mut self) {
            poll_fn(|context| {
                self.moderation.idle(&(), context).unwrap();
                if self.marks().last() == Some(&1) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn the_mark_is_up_in_the_midst_of_a_large_message_and_down_before_its_end() {
        let mut socket = Socket::new();
        socket.turn(5000, 0).await.unwrap();
        socket.told.tell(1 << 20);
        socket.turn(100_000, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE]);
        socket.turn(700_000, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE]);
        socket.turn((1 << 20) - 800_000 - MUCH, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE], "as much as is much is to come");
        socket.turn(1, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE, 1]);
        socket.turn(MUCH - 1, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE, 1]);
        socket.told.tell(1 << 20);
        socket.turn(1, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE, 1, PIECE], "and up for the next one");
    }

    #[tokio::test]
    async fn a_small_message_moves_no_mark() {
        let mut socket = Socket::new();
        socket.told.tell(MUCH - 1);
        socket.turn(100, 0).await.unwrap();
        assert!(socket.marks().is_empty());
    }

    #[tokio::test]
    async fn bytes_of_half_a_frame_have_come_already() {
        let mut socket = Socket::new();
        socket.told.tell(MUCH + 1000);
        socket.turn(0, 1001).await.unwrap();
        assert!(socket.marks().is_empty());
        socket.told.tell(MUCH + 1000);
        socket.turn(0, 1000).await.unwrap();
        assert_eq!(socket.marks(), [PIECE]);
    }

    #[tokio::test]
    async fn a_peer_that_stops_is_waited_for_once_in_a_message() {
        let mut socket = Socket::new();
        socket.told.tell(1 << 20);
        socket.turn(1, 0).await.unwrap();
        socket.patience().await;
        assert_eq!(socket.marks(), [PIECE, 1]);
        socket.turn(1000, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE, 1], "slow, so not moderated any more");
        socket.told.tell(1 << 20);
        socket.turn(1000, 0).await.unwrap();
        assert_eq!(socket.marks(), [PIECE, 1, PIECE], "until the next message");
    }

    #[tokio::test]
    async fn a_socket_that_refuses_the_mark_is_asked_once_in_a_message() {
        let mut socket = Socket::refusing_after(0);
        socket.told.tell(1 << 20);
        for _ in 0..3 {
            socket.turn(1000, 0).await.unwrap();
        }
        assert_eq!(socket.marks(), [PIECE]);
    }

    #[tokio::test]
    async fn a_socket_whose_mark_stays_up_is_ended() {
        let mut socket = Socket::refusing_after(1);
        socket.told.tell(MUCH);
        socket.turn(0, 0).await.unwrap();
        assert!(socket.turn(1, 0).await.is_err());
    }
}
