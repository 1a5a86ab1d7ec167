//! When a call is made again, and after how long.
//!
//! Its law: a call is repeated only if the failure promised that nothing happened and said SAME,
//! or if a second effect is impossible (no side effects, or a request_id); never past the caller's
//! deadline and never more often than the policy says. It makes no calls itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::client::error::{ClientError, Retry};

/// How often and how patiently a call is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The pause after the first attempt where the server names none; doubled each time.
    pub first_pause: Duration,
    /// The longest pause of our own.
    pub longest_pause: Duration,
    /// The longest pause that the server may ask for; a longer one ends the call with its failure.
    pub longest_retry_after: Duration,
}

impl RetryPolicy {
    /// Every failure is the caller's at once.
    pub const NONE: Self = Self {
        attempts: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        longest_retry_after: Duration::ZERO,
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            longest_retry_after: Duration::from_secs(30),
        }
    }
}

/// What a second arrival of a call would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing that the first did not: no side effects, or a request_id.
    Harmless,
    /// Perhaps a second effect.
    Effective,
}

/// The attempts of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    policy: RetryPolicy,
    deadline: Option<Instant>,
    made: u32,
}

impl Attempts {
    pub(super) fn begin(policy: &RetryPolicy, deadline: Option<Duration>) -> Self {
        // A deadline beyond the clock's end is none.
        let deadline = deadline.and_then(|after| Instant::now().checked_add(after));
        Self { policy: policy.clone(), deadline, made: 0 }
    }

    /// Counts an attempt; the time that is left for it, where there is a deadline.
    pub(super) fn start(&mut self) -> Result<Option<Duration>, ClientError> {
        self.made += 1;
        match self.deadline {
            None => Ok(None),
            Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Err(ClientError::DeadlinePassed),
                left => Ok(Some(left)),
            },
        }
    }

    pub(super) fn is_last(&self) -> bool {
        self.made >= self.policy.attempts
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// New progress was made, so that the count starts anew.
    pub(super) fn progressed(&mut self) {
        self.made = 0;
    }

    /// Waits until the next attempt is due, or gives the error back as the call's end.
    pub(super) async fn pause_after(
        &mut self,
        error: ClientError,
        repeat: Repeat,
    ) -> Result<(), ClientError> {
        if self.is_last() {
            return Err(error);
        }
        self.pause_patiently(error, repeat).await
    }

    /// The same for a caller that counts the time and not the attempts; a policy of one attempt has none
    /// to spare.
    pub(super) async fn pause_patiently(
        &mut self,
        error: ClientError,
        repeat: Repeat,
    ) -> Result<(), ClientError> {
        if self.policy.attempts <= 1 || !may_repeat(&error, repeat) {
            return Err(error);
        }
        let asked = error.failure().and_then(|failure| failure.retry_after);
        let Some(pause) = pause(&self.policy, self.made, asked, jitter()) else {
            return Err(error);
        };
        if self.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
            return Err(error);
        }
        sleep(pause).await;
        Ok(())
    }
}

fn may_repeat(error: &ClientError, repeat: Repeat) -> bool {
    match error {
        ClientError::Refused(failure) if failure.changed_nothing => failure.retry == Retry::Same,
        ClientError::Refused(failure) => {
            failure.code == Code::Unavailable && repeat == Repeat::Harmless
        }
        ClientError::Transport { never_sent, .. } => *never_sent || repeat == Repeat::Harmless,
        ClientError::Endpoint(_)
        | ClientError::DeadlinePassed
        | ClientError::Checksum { .. }
        | ClientError::Source(_)
        | ClientError::Sink(_)
        | ClientError::Answer(_)
        | ClientError::Random(_) => false,
    }
}

/// The pause after attempt `made`: what the server asked for, or our own doubling one, stretched
/// by up to a quarter so that clients that failed together do not come back together.
fn pause(policy: &RetryPolicy, made: u32, asked: Option<Duration>, jitter: u8) -> Option<Duration> {
    let base = match asked {
        Some(asked) if asked > policy.longest_retry_after => return None,
        Some(asked) => asked,
        None => {
            let doublings = made.saturating_sub(1).min(16);
            policy.first_pause.saturating_mul(1 << doublings).min(policy.longest_pause)
        }
    };
    Some(base + base.mul_f64(f64::from(jitter) / 1024.0))
}

fn jitter() -> u8 {
    let mut byte = [0];
    match getrandom::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::error::Failure;

    fn refused(retry: Retry, changed_nothing: bool, code: Code) -> ClientError {
        ClientError::Refused(Box::new(Failure {
            code,
            reason: "R".to_owned(),
            retry,
            message: String::new(),
            metadata: Default::default(),
            call_id: None,
            retry_after: None,
            field_violations: Vec::new(),
            changed_nothing,
        }))
    }

    #[test]
    fn same_is_repeated_even_for_a_write_because_nothing_changed() {
        let same = refused(Retry::Same, true, Code::Unavailable);
        assert!(may_repeat(&same, Repeat::Effective));
        let never = refused(Retry::Never, true, Code::NotFound);
        assert!(!may_repeat(&never, Repeat::Harmless));
        let change = refused(Retry::AfterChange, true, Code::ResourceExhausted);
        assert!(!may_repeat(&change, Repeat::Harmless));
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_a_repeat_is_harmless() {
        let proxy = refused(Retry::Unknown, false, Code::Unavailable);
        assert!(may_repeat(&proxy, Repeat::Harmless));
        assert!(!may_repeat(&proxy, Repeat::Effective));
        let broken = ClientError::Transport { message: String::new(), never_sent: false };
        assert!(may_repeat(&broken, Repeat::Harmless));
        assert!(!may_repeat(&broken, Repeat::Effective));
        let unsent = ClientError::Transport { message: String::new(), never_sent: true };
        assert!(may_repeat(&unsent, Repeat::Effective));
        assert!(!may_repeat(&ClientError::DeadlinePassed, Repeat::Harmless));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_honour_the_server() {
        let policy = RetryPolicy::default();
        let ms = Duration::from_millis;
        assert_eq!(pause(&policy, 1, None, 0), Some(ms(50)));
        assert_eq!(pause(&policy, 3, None, 0), Some(ms(200)));
        assert_eq!(pause(&policy, 30, None, 0), Some(ms(2000)));
        assert_eq!(pause(&policy, 1, Some(ms(700)), 0), Some(ms(700)));
        assert_eq!(pause(&policy, 1, Some(Duration::from_secs(31)), 0), None);
        let stretched = pause(&policy, 1, Some(ms(100)), 255).unwrap();
        assert!(stretched > ms(120) && stretched <= ms(125), "{stretched:?}");
    }

    #[tokio::test]
    async fn a_pause_that_would_outlast_the_deadline_ends_the_call_at_once() {
        let mut attempts =
            Attempts::begin(&RetryPolicy::default(), Some(Duration::from_millis(20)));
        assert!(attempts.start().unwrap().is_some());
        let error = refused(Retry::Same, true, Code::Unavailable);
        let ended = attempts.pause_after(error, Repeat::Harmless).await;
        assert!(matches!(ended, Err(ClientError::Refused(_))));
    }
}
