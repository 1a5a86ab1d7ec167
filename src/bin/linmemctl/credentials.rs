//! What a caller shows and whom it believes: flags that name files, and what is in them.
//!
//! Its law: a secret is read from a file and never from the command line, where every user of the
//! host could see it; it is never printed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use linmemd::client::{BearerToken, ConnectOptions, Endpoint, EndpointError, TlsOptions};

use crate::failure::CtlError;

/// Flags that name credentials.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Credentials")]
pub(crate) struct Credentials {
    /// The file of a bearer token, as `linmemctl token new` makes one.
    #[arg(long, global = true, env = "LINMEMCTL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities that an https:// daemon's certificate must come from, PEM.
    #[arg(long, global = true, env = "LINMEMCTL_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show to it, PEM.
    #[arg(long, global = true, env = "LINMEMCTL_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, global = true, env = "LINMEMCTL_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The name that the daemon's certificate must have [default: the endpoint's host].
    #[arg(long, global = true, env = "LINMEMCTL_SERVER_NAME", value_name = "NAME")]
    server_name: Option<String>,
}

impl Credentials {
    /// Adds what the files hold to how a daemon is reached.
    pub(crate) fn add_to(&self, options: &mut ConnectOptions) -> Result<(), CtlError> {
        if let Some(path) = &self.token_file {
            let token = String::from_utf8(read(path)?)
                .map_err(|_| EndpointError::Token)
                .and_then(|text| BearerToken::new(&text))
                .map_err(|error| CtlError::Usage(format!("{}: {error}", path.display())))?;
            options.token = Some(token);
        }
        let Endpoint::Https { .. } = options.endpoint else { return Ok(()) };
        let Some(ca) = &self.ca else {
            let text = "https:// needs --ca FILE, the authority that the daemon's certificate comes \
                        from";
            return Err(CtlError::Usage(text.to_owned()));
        };
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        let server_name = self.server_name.clone();
        options.tls = Some(TlsOptions { ca: read(ca)?, identity, server_name });
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CtlError> {
    fs::read(path).map_err(|error| CtlError::Usage(format!("{}: {error}", path.display())))
}
