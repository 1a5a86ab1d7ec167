//! Deadlines: read from `grpc-timeout`, kept by [`Bounded`], which also stops panics.
//!
//! Law: at the deadline the call's gate is closed and the work polled once more. Work that had no
//! effect yet gives everything back and says DEADLINE_PASSED; work past its first effect runs to its
//! end unseen, and the caller is told DEADLINE_EXCEEDED at once. The timer is looked at first, so it
//! wins a tie. A caller that loses its right to a call that waits is like a deadline that passes, but for
//! work past its first effect, whose end is told.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::time::{Sleep, sleep_until};

use crate::error::Failure;
use crate::registry::{Panicked, catch};
use crate::rpc::call::Call;
use crate::rpc::lapse::{Lapse, lapse};
use crate::rpc::method::Kind;
use crate::rpc::status::Refusal;

/// The moment a call must end, where it says so.
///
/// # Errors
/// INVALID_FIELD where the header is not what gRPC says: at most eight digits and a unit.
pub(crate) fn deadline(
    headers: &HeaderMap,
    started: Instant,
    max_deadline: Duration,
) -> Result<Option<Instant>, Failure> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(timeout).ok_or_else(|| Failure::InvalidField {
        field: "grpc-timeout",
        why: "must be one to eight digits and a unit: H, M, S, m, u or n".to_owned(),
    })?;
    Ok(started.checked_add(timeout.min(max_deadline)))
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    // Eight digits of hours fit 64 bits of seconds with room to spare.
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// A wait for a deadline, or for ever.
pub(crate) fn timer(deadline: Option<Instant>) -> Option<Pin<Box<Sleep>>> {
    deadline.map(|deadline| Box::pin(sleep_until(deadline.into())))
}

/// Work within a deadline and while its caller has the right to it, whose panics end here.
pub(crate) struct Bounded<'a, F> {
    timer: Option<Pin<Box<Sleep>>>,
    call: &'a Call,
    /// Of what has waited. Boxed: most calls do not.
    ends: Option<Box<Ends>>,
    work: F,
}

/// When the caller loses its right, and why it has.
struct Ends {
    lapse: Lapse,
    why: Option<Failure>,
}

/// How bounded work ended.
pub(crate) enum Ended<T> {
    /// By itself, or at the deadline.
    Over(Result<T, Refusal>),
    /// By a panic.
    Broken,
}

impl<'a, F> Bounded<'a, F> {
    /// This call's work.
    pub(crate) fn new(call: &'a Call, deadline: Option<Instant>, work: F) -> Self {
        Self { timer: timer(deadline), call, ends: None, work }
    }

    /// Closes the gate if the caller has lost its right now.
    fn look(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(ends) = &mut self.ends
            && ends.why.is_none()
            && let Poll::Ready(failure) = ends.lapse.as_mut().poll(context)
        {
            ends.why = Some(failure);
            self.call.occasion.gate.close();
            return true;
        }
        false
    }

    /// A gate that was closed because the caller lost its right, and not at the deadline.
    fn why(&mut self, refusal: Refusal) -> Refusal {
        let why = self.ends.as_mut().and_then(|ends| ends.why.take());
        match (&refusal.failure, why) {
            (Failure::DeadlinePassed, Some(failure)) => Refusal { failure, ..refusal },
            _ => refusal,
        }
    }
}

impl<T, F> Future for Bounded<'_, F>
where
    F: Future<Output = Result<T, Refusal>> + Unpin,
{
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<T>> {
        let this = &mut *self;
        let expired =
            this.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if expired {
            this.timer = None;
            // A stream's message that is being carried out is short: it is waited for, so that the
            // answer can say how many bytes stand.
            if !this.call.occasion.gate.close() && this.call.method.kind() == Kind::Unary {
                return Poll::Ready(Ended::Over(Err(Failure::DeadlineExceeded.into())));
            }
        }
        this.look(context);
        match catch(|| Pin::new(&mut this.work).poll(context)) {
            Ok(Poll::Pending) => {
                // From now on it waits, and so long its caller can lose its right.
                if this.ends.is_none() {
                    this.ends = Some(Box::new(Ends { lapse: lapse(this.call), why: None }));
                    if this.look(context) {
                        context.waker().wake_by_ref();
                    }
                }
                Poll::Pending
            }
            Ok(Poll::Ready(outcome)) => {
                Poll::Ready(Ended::Over(outcome.map_err(|refusal| this.why(refusal))))
            }
            Err(Panicked) => Poll::Ready(Ended::Broken),
        }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_exactly_those_of_grpc() {
        assert_eq!(timeout("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("5m"), Some(Duration::from_millis(5)));
        for bad in ["", "1", "H", "-1S", "+1S", "1s", "123456789S", "1.5S", "1 S", "١S", "1ß"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_longer_deadline_is_cut_to_the_longest() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", http::HeaderValue::from_static("99999999H"));
        let now = Instant::now();
        let hour = Duration::from_secs(3600);
        assert_eq!(deadline(&headers, now, hour).unwrap(), now.checked_add(hour));
    }
}
