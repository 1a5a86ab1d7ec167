//! The acceptor: one thread that takes connections and deals them out in turn.
//!
//! Law: running out of descriptors costs a pause and not a core: a reserve descriptor is given up to
//! take one connection and end it, so that its peer is not left hanging. Past the cap, of all or of
//! its address, a connection is ended at once. Says nothing on the wire.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::daemon::arrivals::{Arrival, Seated};
use crate::metrics::Metrics;
use crate::rpc::{Crowded, MostConnections, Origin, Server};
use crate::tenancy::Peer;

/// How long to wait for descriptors to come back.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for the serving runtimes.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) server: Arc<Server>,
    pub(super) runtimes: Vec<UnboundedSender<Seated>>,
    pub(super) most: MostConnections,
    pub(super) own_user: u32,
    pub(super) shed: Shed,
}

/// Connections that were ended for want of room, by what there was no room for.
#[derive(Debug)]
pub(super) struct Shed {
    descriptors: Counter,
    in_all: Counter,
    of_address: Counter,
}

impl Shed {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            descriptors: metrics.calls_shed("descriptors"),
            in_all: metrics.calls_shed("connections"),
            of_address: metrics.calls_shed("connections_per_address"),
        }
    }
}

impl Acceptor {
    /// Accepts until it is dropped.
    pub(super) async fn accept(mut self, tcp: TcpListener, unix: Option<UnixListener>) {
        let mut reserve = reserve();
        let mut turn = 0usize;
        // That there are none is said once until there are some again.
        let mut short = false;
        loop {
            let arrival = tokio::select! {
                accepted = tcp.accept() => accepted.and_then(|(stream, peer)| {
                    stream.set_nodelay(true)?;
                    stream.into_std().map(|stream| (Arrival::Tcp(stream), Origin::Address(peer.ip())))
                }),
                accepted = accept_unix(unix.as_ref()) => accepted.and_then(|stream| {
                    let user = stream.peer_cred()?.uid();
                    let peer = Peer::User { uid: user, is_own: user == self.own_user || user == 0 };
                    let origin = Origin::User(user);
                    stream.into_std().map(|stream| (Arrival::Unix(stream, peer), origin))
                }),
            };
            match arrival {
                Ok((arrival, peer)) => {
                    if reserve.is_none() {
                        reserve = self::reserve();
                    }
                    short &= reserve.is_none();
                    self.deal(arrival, peer, &mut turn);
                }
                Err(error) if is_exhaustion(&error) => {
                    drop(reserve.take());
                    // With the reserve's descriptor free, one peer is told by a close.
                    if let Ok(Ok(taken)) = tokio::time::timeout(Duration::ZERO, tcp.accept()).await
                    {
                        drop(taken);
                    }
                    self.shed.descriptors.increment(1);
                    if !std::mem::replace(&mut short, true) {
                        tracing::warn!(%error, "no descriptors; connections wait");
                    }
                    sleep(PAUSE).await;
                    reserve = self::reserve();
                }
                // The peer was gone before it was accepted.
                Err(_gone) => {}
            }
        }
    }

    fn deal(&mut self, arrival: Arrival, peer: Origin, turn: &mut usize) {
        let place = match self.server.place(peer, self.most) {
            Ok(place) => place,
            Err(Crowded::InAll) => return self.shed.in_all.increment(1),
            Err(Crowded::Address) => return self.shed.of_address.increment(1),
        };
        *turn = turn.wrapping_add(1);
        let next = turn.checked_rem(self.runtimes.len()).unwrap_or(0);
        if let Some(runtime) = self.runtimes.get(next) {
            // A runtime that is gone means that the daemon is ending.
            let _ending = runtime.send((arrival, place));
        }
    }
}

async fn accept_unix(listener: Option<&UnixListener>) -> io::Result<tokio::net::UnixStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Any descriptor will do, and one more of this needs no file to be opened.
fn reserve() -> Option<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned().ok()
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
