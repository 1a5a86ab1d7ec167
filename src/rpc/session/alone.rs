//! [`alone`]: what stands in a memory's queue, in a task of its own.
//!
//! Law: a session is polled only while its peer takes what it says. Whoever's turn it is with a memory
//! keeps it from all others until it is polled, and so must be, whatever that peer does. Is called off with
//! whoever waits for it.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::error::Failure;

/// A task that ends when this is dropped.
struct Alone<T>(JoinHandle<T>);

/// Does this in a task of its own. A panic in it is one here.
///
/// # Errors
/// INTERNAL_FAULT, where the runtime ends first.
pub(super) async fn alone<T: Send + 'static>(
    wait: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    Alone(tokio::spawn(wait)).await
}

impl<T> Future for Alone<Result<T, Failure>> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(done) => done,
            Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
            Err(_runtime_ended) => Err(Failure::InternalFault),
        })
    }
}

impl<T> Drop for Alone<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
