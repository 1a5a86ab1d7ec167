//! [`serve`]: what one serving runtime does: takes its [`Arrival`]s and serves each.
//!
//! Law: one task for each connection. What a socket can be asked for, its receive low-water mark, is
//! asked of the kernel here, for rpc knows none.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::os::kernel::Kernel;
use crate::rpc::{self, ConnectionLimits, Place, Server, SetMark};
use crate::tenancy::Caller;

/// A connection on its way to the runtime that will serve it.
#[derive(Debug)]
pub(super) enum Arrival {
    Tcp(TcpStream),
    Unix(UnixStream, Caller),
}

/// Arrivals and their places, to one runtime. The acceptor takes the place: the runtimes count too
/// late for a burst.
pub(super) type Seated = (Arrival, Place);

/// Serves each to its end, until no more can come.
pub(super) async fn serve(
    mut arrivals: UnboundedReceiver<Seated>,
    server: Arc<Server>,
    limits: ConnectionLimits,
    kernel: Arc<dyn Kernel>,
) {
    while let Some((arrival, place)) = arrivals.recv().await {
        let server = Arc::clone(&server);
        match arrival {
            Arrival::Tcp(stream) => {
                if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                    let (mark, caller) = (low_water(&kernel), Caller::Anonymous);
                    tokio::spawn(rpc::serve(stream, mark, caller, place, server, limits));
                }
            }
            Arrival::Unix(stream, caller) => {
                if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                    // A Unix socket has no such mark.
                    let mark = Box::new(|_: &_, _| false);
                    tokio::spawn(rpc::serve(stream, mark, caller, place, server, limits));
                }
            }
        }
    }
}

fn low_water(kernel: &Arc<dyn Kernel>) -> SetMark<tokio::net::TcpStream> {
    let kernel = Arc::clone(kernel);
    Box::new(move |stream, bytes| kernel.set_receive_low_water(stream.as_fd(), bytes).is_ok())
}
