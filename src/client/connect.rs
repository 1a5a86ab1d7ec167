//! The client itself: how its connections are opened and what every request of it carries.
//!
//! Its law: windows and message limits are large enough that the connection is never the bound
//! (h2 closes connections whose small frames pile up in a small window), and every request bears
//! the tenant and the time that is left. It makes no calls: `calls.rs`, `upload.rs` and
//! `download.rs` do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{self, Certificate, Channel, ClientTlsConfig, Identity};

use crate::client::endpoint::{Endpoint, EndpointError};
use crate::client::error::ClientError;
use crate::client::proto::admin_service_client::AdminServiceClient;
use crate::client::proto::event_service_client::EventServiceClient;
use crate::client::proto::hook_service_client::HookServiceClient;
use crate::client::proto::memory_service_client::MemoryServiceClient;
use crate::client::retry::RetryPolicy;

/// The metadata key that names a tenant.
pub const TENANT_METADATA: &str = "linmem-tenant";

/// The metadata key of a bearer token.
const AUTHORIZATION_METADATA: &str = "authorization";

/// How to reach a daemon.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where it is.
    pub endpoint: Endpoint,
    /// For which tenant; absent: the one that the credentials, or the listener, imply.
    pub tenant: Option<String>,
    /// The time that each call may take, repeats included; absent: any. On `connect` it bounds the
    /// connecting, too.
    pub deadline: Option<Duration>,
    /// Connections that calls are dealt out to in turn. One HTTP/2 connection is bound by one lock
    /// on either side, so that several are faster. A memory of OWNER_CONNECTION goes with the one that
    /// its create took, whichever that was.
    pub connections: usize,
    /// The time that opening a connection may take.
    pub connect_timeout: Duration,
    /// How calls are repeated.
    pub retry: RetryPolicy,
    /// What every call shows as its bearer token; absent: none.
    pub token: Option<BearerToken>,
    /// What `https://` is spoken with; without it: nobody's certificate counts.
    pub tls: Option<TlsOptions>,
}

/// What TLS is spoken with. All of it is PEM.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// The authorities whose certificate the daemon must show.
    pub ca: Vec<u8>,
    /// The certificate to show, and its private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the daemon's certificate must have; absent: the endpoint's host.
    pub server_name: Option<String>,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows = self.identity.is_some();
        f.debug_struct("TlsOptions").field("shows_certificate", &shows).finish_non_exhaustive()
    }
}

/// A bearer token. It is shown to nobody but the daemon.
#[derive(Clone)]
pub struct BearerToken(MetadataValue<Ascii>);

impl BearerToken {
    /// A token as it was given out: one line of visible ASCII.
    ///
    /// # Errors
    /// [`EndpointError::Token`].
    pub fn new(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EndpointError::Token);
        }
        let value = MetadataValue::try_from(format!("Bearer {text}"));
        let mut value = value.map_err(|_| EndpointError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// A client of one daemon for one tenant. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    channels: Arc<Channels>,
    tenant: Option<MetadataValue<Ascii>>,
    token: Option<BearerToken>,
    deadline: Option<Duration>,
    retry: RetryPolicy,
}

impl ConnectOptions {
    /// One connection, no deadline, the default tenant.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tenant: None,
            deadline: None,
            connections: 1,
            connect_timeout: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            token: None,
            tls: None,
        }
    }
}

impl Client {
    /// Opens every connection, so that an absent daemon is known at once.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ClientError> {
        let tenant = tenant_metadata(options.tenant.as_deref())?;
        let endpoint = transport_endpoint(options)?;
        let count = options.connections.max(1);
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(endpoint.connect().await?);
        }
        Ok(Self::over(channels, tenant, options))
    }

    /// Opens each connection at its first call. Must be called inside a tokio runtime.
    pub fn connect_lazy(options: &ConnectOptions) -> Result<Self, ClientError> {
        let tenant = tenant_metadata(options.tenant.as_deref())?;
        let endpoint = transport_endpoint(options)?;
        let channels = (0..options.connections.max(1)).map(|_| endpoint.connect_lazy()).collect();
        Ok(Self::over(channels, tenant, options))
    }

    /// The same connections for another tenant.
    pub fn with_tenant(&self, tenant: Option<&str>) -> Result<Self, ClientError> {
        Ok(Self { tenant: tenant_metadata(tenant)?, ..self.clone() })
    }

    /// The same connections with another deadline for each call.
    pub fn with_deadline(&self, deadline: Option<Duration>) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same connections with another way of repeating.
    pub fn with_retry(&self, retry: RetryPolicy) -> Self {
        Self { retry, ..self.clone() }
    }

    /// The generated stub over the next connection, for calls that this client does not make. Use
    /// [`Client::request`] for its requests.
    pub fn memory_service(&self) -> MemoryServiceClient<Channel> {
        MemoryServiceClient::new(self.channels.next()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The generated stub of the operators' service over the next connection.
    pub fn admin_service(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channels.next()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The generated stub of the service of events over the next connection.
    pub fn event_service(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channels.next()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The generated stub of the hooks' service over the next connection.
    pub fn hook_service(&self) -> HookServiceClient<Channel> {
        HookServiceClient::new(self.channels.next()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// A request that bears the tenant, and the deadline as grpc-timeout.
    pub fn request<T>(&self, message: T) -> Request<T> {
        self.request_within(message, self.deadline)
    }

    /// The deadline that each call has.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// How calls are repeated.
    pub fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    pub(super) fn request_within<T>(&self, message: T, left: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(tenant) = &self.tenant {
            request.metadata_mut().insert(TENANT_METADATA, tenant.clone());
        }
        if let Some(BearerToken(token)) = &self.token {
            request.metadata_mut().insert(AUTHORIZATION_METADATA, token.clone());
        }
        if let Some(left) = left {
            request.set_timeout(left);
        }
        request
    }

    fn over(
        channels: Vec<Channel>,
        tenant: Option<MetadataValue<Ascii>>,
        options: &ConnectOptions,
    ) -> Self {
        Self {
            channels: Arc::new(Channels { all: channels, next: AtomicUsize::new(0) }),
            tenant,
            token: options.token.clone(),
            deadline: options.deadline,
            retry: options.retry.clone(),
        }
    }
}

/// Room for the longest answer of any server that is configured sanely.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

const STREAM_WINDOW_BYTES: u32 = 8 << 20;

const FRAME_BYTES: u32 = 1 << 20;

/// The connections, dealt out in turn. Never empty.
#[derive(Debug)]
struct Channels {
    all: Vec<Channel>,
    next: AtomicUsize,
}

impl Channels {
    fn next(&self) -> Channel {
        let turn = match self.all.len() {
            1 => 0,
            count => self.next.fetch_add(1, Ordering::Relaxed) % count,
        };
        self.all[turn].clone()
    }
}

fn tenant_metadata(tenant: Option<&str>) -> Result<Option<MetadataValue<Ascii>>, EndpointError> {
    let refused = |name: &str| EndpointError::Tenant(name.to_owned());
    let Some(name) = tenant else { return Ok(None) };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(name));
    }
    MetadataValue::try_from(name).map(Some).map_err(|_| refused(name))
}

fn transport_endpoint(options: &ConnectOptions) -> Result<transport::Endpoint, ClientError> {
    let connect_timeout = match options.deadline {
        Some(deadline) => deadline.min(options.connect_timeout),
        None => options.connect_timeout,
    };
    let mut endpoint = transport::Endpoint::from_shared(options.endpoint.to_string())?;
    if matches!(options.endpoint, Endpoint::Https { .. }) {
        endpoint = endpoint.tls_config(tls(options))?;
    }
    Ok(endpoint
        .user_agent(concat!("linmemd-client/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(connect_timeout)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20)))
}

fn tls(options: &ConnectOptions) -> ClientTlsConfig {
    let TlsOptions { ca, identity, server_name } = options.tls.clone().unwrap_or_default();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((certificate, key)) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    match server_name {
        Some(name) => tls.domain_name(name),
        None => tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tenant: Option<&str>) -> ConnectOptions {
        let endpoint = "http://127.0.0.1:1".parse().unwrap();
        let tenant = tenant.map(str::to_owned);
        ConnectOptions { tenant, ..ConnectOptions::new(endpoint) }
    }

    #[tokio::test]
    async fn every_request_bears_the_tenant_and_the_deadline() {
        let client = Client::connect_lazy(&options(Some("blue"))).unwrap();
        let client = client.with_deadline(Some(Duration::from_millis(1500)));
        let request = client.request(());
        assert_eq!(request.metadata().get(TENANT_METADATA).unwrap(), "blue");
        assert_eq!(request.metadata().get("grpc-timeout").unwrap(), "1500000u");
        let plain = client.with_tenant(None).unwrap().with_deadline(None).request(());
        assert!(plain.metadata().is_empty());
    }

    #[tokio::test]
    async fn a_tenant_that_cannot_stand_in_metadata_is_refused() {
        for tenant in ["", "two words", "caf\u{e9}", "line\nbreak"] {
            let refused = Client::connect_lazy(&options(Some(tenant)));
            assert!(matches!(refused, Err(ClientError::Endpoint(EndpointError::Tenant(_)))));
        }
    }

    #[tokio::test]
    async fn an_absent_daemon_is_a_transport_failure_that_was_never_sent() {
        let error = Client::connect(&options(None)).await.unwrap_err();
        assert!(matches!(error, ClientError::Transport { never_sent: true, .. }), "{error:?}");
        let endpoint = "unix:///nowhere/linmemd.sock".parse().unwrap();
        let error = Client::connect(&ConnectOptions::new(endpoint)).await.unwrap_err();
        assert!(matches!(error, ClientError::Transport { never_sent: true, .. }), "{error:?}");
    }
}
