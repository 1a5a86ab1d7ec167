//! A connected verb: the client, how results are written, and what several verbs ask alike.
//!
//! Its law: an absent daemon is told apart from every other failure, with its endpoint.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;
use linmemd::client::proto::{GetMemoryRequest, Memory};
use linmemd::client::{Client, ClientError, ConnectOptions, DEFAULT_CHUNK_BYTES};

use crate::context::Settings;
use crate::failure::CtlError;
use crate::output::Output;

/// What a verb works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

/// One memory, as typed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The memory's id.
    #[arg(value_name = "ID")]
    pub(crate) memory_id: String,
    /// Only if the memory behind the id is still this one.
    #[arg(long, value_name = "UUID")]
    pub(crate) uid: Option<String>,
}

impl Session {
    /// Connects.
    pub(crate) async fn open(
        settings: &Settings,
        timeout: Option<Duration>,
        output: Output,
    ) -> Result<Self, CtlError> {
        let options = options(settings, timeout)?;
        Ok(Self { client: connect(&options).await?, output })
    }

    /// The memory as it is.
    pub(crate) async fn memory(&self, target: &Target) -> Result<Memory, ClientError> {
        let (memory_id, uid) = (target.memory_id.clone(), target.uid.clone());
        self.client.get_memory(GetMemoryRequest { memory_id, uid, ..Default::default() }).await
    }

    /// The longest upload message that this server takes, up to our own.
    pub(crate) async fn chunk_bytes(&self) -> Result<usize, ClientError> {
        let limits = self.client.server_info().await?.limits.unwrap_or_default();
        Ok(match usize::try_from(limits.max_chunk_bytes) {
            Ok(longest) if longest > 0 => longest.min(DEFAULT_CHUNK_BYTES),
            _ => DEFAULT_CHUNK_BYTES,
        })
    }
}

/// How the settings are reached.
pub(crate) fn options(
    settings: &Settings,
    timeout: Option<Duration>,
) -> Result<ConnectOptions, CtlError> {
    let mut options = ConnectOptions {
        tenant: settings.tenant.clone(),
        deadline: timeout,
        ..ConnectOptions::new(settings.endpoint.clone())
    };
    settings.credentials.add_to(&mut options)?;
    Ok(options)
}

/// Connects, and says where to on failure.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<Client, CtlError> {
    Client::connect(options).await.map_err(|source| match source {
        ClientError::Transport { .. } => {
            CtlError::Connect { endpoint: options.endpoint.to_string(), source }
        }
        other => CtlError::Client(other),
    })
}

/// Whether a failure is that the reader of our standard output went away.
pub(crate) fn reader_left(error: &ClientError) -> bool {
    matches!(error, ClientError::Sink(source) if source.kind() == ErrorKind::BrokenPipe)
}
