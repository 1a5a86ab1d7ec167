//! [`ServingClock`]: the time of the serving threads, for those below who know no runtime.
//!
//! Law: a wait is made and waited for on a serving thread.

use std::time::{Duration, Instant, SystemTime};

use crate::tenancy::{Clock, Moment};

/// The time of the serving threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServingClock;

impl Clock for ServingClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn after(&self, time: Duration) -> Moment {
        Box::pin(tokio::time::sleep(time))
    }
}
