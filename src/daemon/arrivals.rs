//! [`serve`]: what one serving runtime does: takes its [`Arrival`]s and serves each.
//!
//! Law: one task for each connection, its TLS handshake included, for which it waits until it may begin.
//! What a socket can be asked for, its receive low-water mark, is asked of the kernel here, for rpc knows
//! none. Connections have turns here.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use futures_util::FutureExt;
use rustls::CertificateError;
use rustls::server::Acceptor;
use tokio::io::{Interest, Ready};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use crate::daemon::tls::Tls;
use crate::error::Failure;
use crate::os::kernel::Kernel;
use crate::rpc::{self, ConnectionLimits, Newcomer, Place, Server, SetMark};
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
        let newcomer = Newcomer::new(&server, place);
        match arrival {
            Arrival::Tcp(stream) => {
                if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                    let (mark, tls) = (low_water(&kernel), tls.clone());
                    tokio::spawn(serve_tcp(stream, mark, tls, newcomer, limits));
                }
            }
            Arrival::Unix(stream, peer) => {
                if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                    tokio::spawn(serve_unix(stream, peer, newcomer, limits));
                }
            }
        }
    }
}

async fn serve_tcp(
    stream: tokio::net::TcpStream,
    mark: SetMark<tokio::net::TcpStream>,
    tls: Option<Arc<Tls>>,
    newcomer: Newcomer,
    limits: ConnectionLimits,
) {
    if !newcomer.may_begin(|| is_gone(stream.ready(Interest::READABLE))).await {
        return;
    }
    match tls {
        Some(tls) => serve_secured(stream, tls, newcomer, limits).await,
        None => rpc::serve(stream, mark, Peer::Anonymous, newcomer, limits).await,
    }
}

async fn serve_unix(
    stream: tokio::net::UnixStream,
    peer: Peer,
    newcomer: Newcomer,
    limits: ConnectionLimits,
) {
    if newcomer.may_begin(|| is_gone(stream.ready(Interest::READABLE))).await {
        // A Unix socket has no such mark.
        rpc::serve(stream, Box::new(|_: &_, _| false), peer, newcomer, limits).await;
    }
}

/// Whether nothing more will come of a socket, which says whether it is readable.
fn is_gone(readable: impl Future<Output = io::Result<Ready>>) -> bool {
    let readable = std::pin::pin!(readable).now_or_never();
    readable.is_some_and(|readable| readable.is_ok_and(Ready::is_read_closed))
}

/// Speaks TLS first. Who does not, in time, is gone without a word.
async fn serve_secured(
    stream: tokio::net::TcpStream,
    tls: Arc<Tls>,
    newcomer: Newcomer,
    limits: ConnectionLimits,
) {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let handshake = async {
        // Nothing costly is done before it has said all that it says first.
        let said = hello.await?;
        newcomer.may_shake_hands().await;
        let config = tls.config();
        said.into_stream(Arc::clone(&config)).await.map(|stream| (stream, config))
    };
    match timeout(limits.tls_timeout, handshake).await {
        Ok(Ok((stream, made_with))) => {
            let peer = tls.peer(stream.get_ref().1, &made_with);
            // What lies in the socket is no message's length.
            let mark = Box::new(|_: &_, _| false);
            rpc::serve(stream, mark, peer, newcomer, limits).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            newcomer.failed(refusal(&error).as_ref());
        }
        Err(_late) => newcomer.failed(None),
    }
}

/// Why a handshake failed, where that is the certificate that was shown.
fn refusal(error: &io::Error) -> Option<Failure> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some(Failure::CredentialsExpired),
        rustls::Error::InvalidCertificate(_) => Some(Failure::CredentialsRefused),
        _ => None,
    }
}

fn low_water(kernel: &Arc<dyn Kernel>) -> SetMark<tokio::net::TcpStream> {
    let kernel = Arc::clone(kernel);
    Box::new(move |stream, bytes| kernel.set_receive_low_water(stream.as_fd(), bytes).is_ok())
}
