//! [`lapse`]: when the caller of a call that lasts or waits loses what it was let in by.
//!
//! Law: looked at when the credentials run out and after every change of who may call, never by a
//! clock in between; what was shown is judged anew as a new call's would be, once for all that goes by one
//! door. Ends nothing itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::error::Failure;
use crate::rpc::admission::Door;
use crate::rpc::authorization::need;
use crate::rpc::call::Call;
use crate::rpc::method::Method;

/// The longest sleep: the host's clock may be set.
const NAP: Duration = Duration::from_secs(60);

/// Is ready when the right is gone, with why.
pub(crate) type Lapse = Pin<Box<dyn Future<Output = Failure> + Send>>;

/// When the caller of this call loses it.
pub(crate) fn lapse(call: &Call) -> Lapse {
    let (door, method) = (Arc::clone(&call.door), call.method);
    let mut changes = door.server.identity_changes();
    // It may have changed since the door was opened, before anybody listened.
    if door.server.tenants.generation() != door.generation {
        changes.mark_changed();
    }
    Box::pin(async move {
        let mut expires = door.access.grant().expires;
        loop {
            let left = expires.map(|end| {
                end.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO).min(NAP)
            });
            tokio::select! {
                // The sender lives as long as the server.
                _changed = changes.changed() => {}
                () = nap(left) => {}
            }
            match is_still_let_in(&door, method) {
                Ok(until) => expires = until,
                Err(failure) => return failure,
            }
        }
    })
}

/// Whichever is ready first.
pub(crate) fn either(one: Lapse, other: Lapse) -> Lapse {
    Box::pin(async move {
        tokio::select! {
            failure = one => failure,
            failure = other => failure,
        }
    })
}

async fn nap(left: Option<Duration>) {
    match left {
        Some(left) => sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Until when, as it is now.
fn is_still_let_in(door: &Door, method: Method) -> Result<Option<SystemTime>, Failure> {
    let access = door.judged_anew(SystemTime::now())?;
    if let Some(need) = need(method) {
        access.require(need, method.name())?;
    }
    access.still_is(&door.access)?;
    Ok(access.grant().expires)
}
