//! The HTTP listener: `/metrics`, `/healthz`, `/readyz`, on a thread of its own.
//!
//! Law: read-only, no tenant bytes, bounded in connections and in time; whoever holds connections open, a
//! newcomer is served (`seats.rs`). On a loopback address only loopback names are answered (a page in someone's browser must not read it by DNS rebinding);
//! elsewhere any, unless the config lists them. Where anyone has the role `metrics`, the page is only
//! for those; probes are for all.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::config::is_loopback;
use crate::daemon::page::Page;
use crate::daemon::seats::{Asked, Seats};
use crate::daemon::tls::Tls;
use crate::error::Failure;
use crate::metrics;
use crate::registry::Step;

/// Until a connection's handshake is done, and until its request's headers are whole.
const HEADERS: Duration = Duration::from_secs(5);
/// Until its answer is taken.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of headers.
const HEADER_BYTES: usize = 64 << 10;

/// Answers scrapes and probes.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) page: Page,
    pub(super) address: SocketAddr,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) tls: Option<Arc<Tls>>,
}

impl Http {
    /// Answers until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let this = Arc::new(self);
        let mut seats = Seats::new(this.page.metrics.calls_shed("http_connections"));
        loop {
            let accepted = tokio::select! {
                // Who has ended needs not be turned out.
                biased;
                () = seats.one_ended() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let this = Arc::clone(&this);
                    seats.seat(peer.ip(), |has_asked| this.secure(stream, peer.ip(), has_asked));
                    // What it has sent already is read before it may have to give way.
                    yield_now().await;
                }
                // Out of descriptors, most likely.
                Err(_refused) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Speaks TLS first, where it is asked to.
    async fn secure(self: Arc<Self>, stream: TcpStream, from: IpAddr, has_asked: Asked) {
        let Some(tls) = &self.tls else { return self.converse(stream, from, has_asked).await };
        let handshake = TlsAcceptor::from(tls.http_config()).accept(stream);
        match timeout(HEADERS, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, from, has_asked).await,
            Ok(Err(_)) | Err(_) => self.page.server.note_handshake(),
        }
    }

    /// One request, one answer: a scraper is back in 15 seconds or so, a probe by a connection of its own.
    async fn converse<S>(self: Arc<Self>, stream: S, from: IpAddr, has_asked: Asked)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            has_asked.store(true, Ordering::Relaxed);
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(&request, from)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .keep_alive(false)
            .max_headers(32)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        // What ends a connection is its peer's business; a slow one loses it, nothing more.
        let _ended = timeout(HEADERS.saturating_add(ANSWER), connection).await;
    }

    fn answer(&self, request: &Request<Incoming>, from: IpAddr) -> Response<Full<Bytes>> {
        if !self.is_allowed(request) {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "this name is not served here; see http.allowed_hosts\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            "/metrics" => {
                if let Some(refusal) = self.refusal(request, from) {
                    return refusal;
                }
                let mut response = text(StatusCode::OK, self.page.render());
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
                response
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.page.server.is_draining() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            "/readyz" => self.readiness(),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
        }
    }

    /// Not ready once new calls are shed, and no sooner: who is not ready is sent nobody, and then
    /// nobody deletes anything either.
    fn readiness(&self) -> Response<Full<Bytes>> {
        match self.page.registry.overload.step() {
            Step::Calm => text(StatusCode::OK, "ready\n"),
            step @ Step::ShedCalls => {
                text(StatusCode::SERVICE_UNAVAILABLE, format!("overload: {}\n", step.word()))
            }
            step => text(StatusCode::OK, format!("ready, overload: {}\n", step.word())),
        }
    }

    /// Why the page is not for whoever asks; none where it is.
    fn refusal(&self, request: &Request<Incoming>, from: IpAddr) -> Option<Response<Full<Bytes>>> {
        if self.page.desk.in_force().is_http_anonymous {
            return None;
        }
        let server = &self.page.server;
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match server.may_scrape(authorization, Some(from)) {
            Ok(()) => None,
            Err(Failure::CredentialsMissing) => {
                let mut response = text(StatusCode::UNAUTHORIZED, "show a bearer token\n");
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
                Some(response)
            }
            Err(failure @ Failure::RoleMissing { .. }) => {
                Some(text(StatusCode::FORBIDDEN, format!("{failure}\n")))
            }
            Err(failure) => Some(text(StatusCode::UNAUTHORIZED, format!("{failure}\n"))),
        }
    }

    fn is_allowed(&self, request: &Request<Incoming>) -> bool {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        is_allowed(host, self.address.ip(), &self.allowed_hosts)
    }
}

fn is_allowed(host: &str, address: IpAddr, allowed: &[String]) -> bool {
    let name = without_port(host);
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
        return true;
    }
    if is_loopback(address) {
        return name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback);
    }
    allowed.is_empty()
}

fn without_port(host: &str) -> &str {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').map_or(bracketed, |(name, _)| name);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_loopback_names_and_those_listed_are_answered() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let listed = ["metrics.example".to_owned()];
        for host in ["localhost", "LOCALHOST:9420", "127.0.0.1:1", "127.9.9.9", "[::1]:9420"] {
            assert!(is_allowed(host, loopback, &[]), "{host}");
        }
        for host in ["", "evil.example", "evil.example:9420", "10.0.0.1", "localhost.evil.example"]
        {
            assert!(!is_allowed(host, loopback, &[]), "{host}");
        }
        assert!(is_allowed("Metrics.example:9420", loopback, &listed));
    }

    #[test]
    fn loopback_in_the_words_of_ipv6_is_loopback() {
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        for host in ["evil.example", "evil.example:9420", "10.0.0.1", "[::ffff:10.0.0.1]"] {
            assert!(!is_allowed(host, mapped, &[]), "{host}");
        }
        for host in ["localhost:9420", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]:9420"] {
            assert!(is_allowed(host, mapped, &[]), "{host}");
        }
    }

    #[test]
    fn elsewhere_any_name_is_answered_unless_some_are_listed() {
        let wide: IpAddr = "0.0.0.0".parse().unwrap();
        assert!(is_allowed("anything", wide, &[]));
        assert!(!is_allowed("anything", wide, &["metrics.example".to_owned()]));
    }
}
