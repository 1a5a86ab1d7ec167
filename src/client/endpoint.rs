//! Where a daemon is: `https://HOST:PORT`, `http://HOST:PORT` or `unix:///PATH`.
//!
//! Its law: a form that cannot work is refused here, with what is accepted, before any socket is
//! opened. It does not resolve names and does not connect.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of a daemon that was not configured otherwise.
pub const DEFAULT_PORT: u16 = 7420;

/// The endpoint of a daemon that was not configured otherwise.
pub const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7420";

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP listener, without TLS.
    Http {
        /// A name or an address; IPv6 in brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A TCP listener, with TLS.
    Https {
        /// A name or an address; IPv6 in brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Why a text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Any other form.
    #[error(
        "endpoint `{0}`: expected https://HOST:PORT, http://HOST:PORT or unix:///ABSOLUTE/PATH{1}"
    )]
    Form(String, String),
    /// A tenant that cannot stand in metadata.
    #[error("tenant `{0}`: expected visible ASCII characters without spaces")]
    Tenant(String),
    /// A token that cannot stand in metadata. It is not repeated.
    #[error("the token is not one line of visible ASCII characters")]
    Token,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let form = |hint: String| EndpointError::Form(text.to_owned(), hint);
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') && path.len() > 1 {
                true => Ok(Self::Unix(PathBuf::from(path))),
                false => Err(form(" (three slashes: the path is absolute)".to_owned())),
            };
        }
        let secured = text.strip_prefix("https://");
        let Some(rest) = secured.or_else(|| text.strip_prefix("http://")) else {
            let bare = !text.contains("://") && !text.is_empty() && !text.contains('/');
            return Err(form(match bare {
                true => format!("; did you mean http://{text}?"),
                false => String::new(),
            }));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = authority.parse().map_err(|_| form(String::new()))?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(form(String::new()));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().len() > authority.host().len() => {
                return Err(form(" (the port is a number up to 65535)".to_owned()));
            }
            None => DEFAULT_PORT,
        };
        let host = authority.host().to_owned();
        Ok(match secured {
            Some(_) => Self::Https { host, port },
            None => Self::Http { host, port },
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, port } => write!(f, "http://{host}:{port}"),
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms_read_back_as_they_were_written() {
        for text in [
            "http://127.0.0.1:7420",
            "http://[::1]:9",
            "https://memories.example:7420",
            "unix:///run/linmemd.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert!(DEFAULT_ENDPOINT.parse::<Endpoint>().is_ok());
    }

    #[test]
    fn an_absent_port_is_the_daemons_own() {
        let endpoint: Endpoint = "http://memories.example/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "http://memories.example:7420");
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_can() {
        for text in [
            "",
            "127.0.0.1:7420",
            "ftp://h:1",
            "unix://relative",
            "unix:///",
            "http://",
            "http://h:1/path",
            "http://h:99999",
            "http://u@h:1",
            "http://h:",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT"), "{text}: {error}");
        }
        let bare = "127.0.0.1:7420".parse::<Endpoint>().unwrap_err().to_string();
        assert!(bare.contains("did you mean http://127.0.0.1:7420?"), "{bare}");
    }
}
