//! [`serve`]: what one serving runtime does: takes its [`Arrival`]s and serves each.
//!
//! Law: one task for each connection, its TLS handshake included. What a socket can be asked for, its receive low-water mark, is
//! asked of the kernel here, for rpc knows none. Connections have turns here.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::daemon::tls::{self, Tls};
use crate::os::kernel::Kernel;
use crate::rpc::{self, ConnectionLimits, Place, Server, SetMark};
use crate::tenancy::Peer;

/// A connection on its way to the runtime that will serve it.
#[derive(Debug)]
pub(super) enum Arrival {
    Tcp(TcpStream),
    Unix(UnixStream, Peer),
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
    tls: Option<Arc<Tls>>,
) {
    tokio::spawn(rpc::give_turns());
    while let Some((arrival, place)) = arrivals.recv().await {
        let server = Arc::clone(&server);
        match arrival {
            Arrival::Tcp(stream) => {
                if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                    match &tls {
                        Some(tls) => {
                            let tls = Arc::clone(tls);
                            tokio::spawn(serve_secured(stream, tls, place, server, limits));
                        }
                        None => {
                            let (mark, peer) = (low_water(&kernel), Peer::Anonymous);
                            tokio::spawn(rpc::serve(stream, mark, peer, place, server, limits));
                        }
                    }
                }
            }
            Arrival::Unix(stream, peer) => {
                if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                    // A Unix socket has no such mark.
                    let mark = Box::new(|_: &_, _| false);
                    tokio::spawn(rpc::serve(stream, mark, peer, place, server, limits));
                }
            }
        }
    }
}

/// Speaks TLS first. Who does not, in time, is gone without a word.
async fn serve_secured(
    stream: tokio::net::TcpStream,
    tls: Arc<Tls>,
    place: Place,
    server: Arc<Server>,
    limits: ConnectionLimits,
) {
    let handshake = TlsAcceptor::from(tls.config()).accept(stream);
    match timeout(limits.tls_timeout, handshake).await {
        Ok(Ok(stream)) => {
            let peer = tls::peer(stream.get_ref().1);
            // What lies in the socket is no message's length.
            let mark = Box::new(|_: &_, _| false);
            rpc::serve(stream, mark, peer, place, server, limits).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            server.note_handshake();
        }
        Err(_late) => server.note_handshake(),
    }
}

fn low_water(kernel: &Arc<dyn Kernel>) -> SetMark<tokio::net::TcpStream> {
    let kernel = Arc::clone(kernel);
    Box::new(move |stream, bytes| kernel.set_receive_low_water(stream.as_fd(), bytes).is_ok())
}
