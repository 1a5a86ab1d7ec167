//! [`spawn`]: a thread with a runtime of its own.
//!
//! Law: it keeps to its role from the first, ends when it is told to, and gives back now and then what a
//! burst has left of its heap. Knows nothing of its work.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::daemon::confinement::Confinement;
use crate::os::confine::Role;
use crate::os::heap::give_back;

/// Often enough that a burst is forgotten within half a minute, and seldom enough to cost nothing: what
/// is given back and wanted again is a page fault each.
const THRIFT: Duration = Duration::from_secs(10);

/// Tasks that are run before sockets and timers are looked at again. tokio's own number is 61: where each
/// is a greedy connection's turn, whoever is not among them is not even seen for tens of milliseconds.
const TASKS: u32 = 8;

/// Starts it: `prepare` is done before it keeps to its role, `work` until it is over or `stop` says so.
pub(super) fn spawn<F: Future<Output = ()>>(
    name: String,
    role: Role,
    prepare: impl FnOnce() + Send + 'static,
    work: impl FnOnce() -> F + Send + 'static,
    mut stop: watch::Receiver<bool>,
    confinement: &Confinement,
) -> io::Result<JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().event_interval(TASKS).enable_all().build()?;
    confinement.spawn(name, role, prepare, move || {
        runtime.block_on(async {
            let work = work();
            tokio::select! {
                () = work => {}
                () = thrift() => {}
                // The sender lives as long as the daemon.
                _stopped = stop.wait_for(|stop| *stop) => {}
            }
        });
    })
}

async fn thrift() {
    loop {
        sleep(THRIFT).await;
        give_back();
    }
}
