//! The pool's threads: how many, where, how nice, and what they keep to.
//!
//! Law: a thread that cannot be as nice or where it should be works all the same and says so.

use std::sync::Arc;

use crate::config::Config;
use crate::daemon::confinement::Confinement;
use crate::daemon::pinning::Pinning;
use crate::daemon::start_error::StartError;
use crate::os::confine::Role;
use crate::os::kernel::Kernel;
use crate::os::threads::set_nice;
use crate::registry::Pool;

/// Starts them.
pub(super) fn start(
    config: &Config,
    kernel: &Arc<dyn Kernel>,
    pinning: Pinning,
    confinement: &Confinement,
) -> Result<Pool, StartError> {
    let (kernel, nice, threads) = (Arc::clone(kernel), config.pool.nice, pinning.threads());
    confinement.expect(threads);
    let confinement = confinement.clone();
    let pool = Pool::start(threads, move |number| {
        pinning.pin(number);
        if let Err(error) = set_nice(&*kernel, nice) {
            tracing::warn!(%error, "the pool runs at the daemon's own priority");
        }
        confinement.enter(Role::Pool);
    })?;
    Ok(pool)
}
