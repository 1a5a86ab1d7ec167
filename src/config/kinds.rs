//! Owns the kinds of value: how each is read, which bounds it has, how it is shown as TOML and how
//! its acceptable values are put in words. A kind knows no key; `keys.rs` joins the two.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::LogFormat;
use crate::config::lists::culprit;
use crate::config::raw::{Raw, Refusal};
use crate::config::units;
use crate::config::words;

/// The longest path that fits a Unix socket's address beside its closing zero, bytes.
const SOCKET_PATH: usize = 107;

/// A kind of value.
pub(super) trait Kind {
    type Value;
    fn read(&self, raw: &Raw) -> Result<Self::Value, Refusal>;
    /// The value as TOML; none where it is absent.
    fn show(&self, value: &Self::Value) -> Option<String>;
    /// What is accepted, as it stands after `accepted: `.
    fn accepts(&self) -> String;
    /// What absence means; empty for what cannot be absent.
    fn absent(&self) -> &'static str {
        ""
    }
    /// What of a refused value is to be looked at, as it stands after `found `.
    fn found(&self, raw: &Raw) -> String {
        raw.to_string()
    }
}

/// `true` or `false`.
pub(super) struct Switch;
/// An IP address and a port.
pub(super) struct Address;
/// An absolute path of a file.
pub(super) struct FilePath;
/// The path of a Unix socket.
pub(super) struct SocketPath;
/// Host names.
pub(super) struct Hosts;
/// An id: the grammar that memories have too.
pub(super) struct Id;
/// Log levels.
pub(super) struct Filter;
/// The shape of log lines.
pub(super) struct Format;
/// A number of bytes, from the first bound to the second, both accepted.
pub(super) struct Bytes(pub(super) u64, pub(super) u64);
/// A time, from the first bound to the second, both accepted.
pub(super) struct Time(pub(super) Duration, pub(super) Duration);
/// A whole number, from the first bound to the second, both accepted.
pub(super) struct Whole<N>(pub(super) N, pub(super) N);
/// A factor, from the first bound to the second, both accepted.
pub(super) struct Factor(pub(super) f64, pub(super) f64);
/// Something or nothing; the text says what nothing means.
pub(super) struct Optional<K>(pub(super) K, pub(super) &'static str);

impl Kind for Switch {
    type Value = bool;

    fn read(&self, raw: &Raw) -> Result<bool, Refusal> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Bare(text) => text.trim().parse().map_err(|_| Refusal::Malformed),
            _ => Err(Refusal::WrongType),
        }
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }
}

impl Kind for Address {
    type Value = SocketAddr;

    fn read(&self, raw: &Raw) -> Result<SocketAddr, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        text.trim().parse().map_err(|_| Refusal::Malformed)
    }

    fn show(&self, value: &SocketAddr) -> Option<String> {
        Some(quoted(&value.to_string()))
    }

    fn accepts(&self) -> String {
        "an IP address and a port, as \"127.0.0.1:7420\" or \"[::1]:7420\"".to_owned()
    }
}

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, raw: &Raw) -> Result<PathBuf, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        let path = PathBuf::from(text);
        let named = path.file_name().is_some() && !text.ends_with('/');
        if path.is_absolute() && named && !text.contains(char::is_control) {
            Ok(path)
        } else {
            Err(Refusal::Malformed)
        }
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }

    fn accepts(&self) -> String {
        "an absolute path of a file".to_owned()
    }
}

impl Kind for SocketPath {
    type Value = PathBuf;

    fn read(&self, raw: &Raw) -> Result<PathBuf, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        if text.len() > SOCKET_PATH {
            return Err(Refusal::OutOfRange);
        }
        FilePath.read(raw)
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        FilePath.show(value)
    }

    fn accepts(&self) -> String {
        format!("an absolute path of at most {SOCKET_PATH} bytes")
    }
}

impl Kind for Hosts {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Refusal> {
        let names: Vec<String> = match raw {
            Raw::List(items) => items
                .iter()
                .map(|item| item.text().map(str::to_owned).ok_or(Refusal::WrongType))
                .collect::<Result<_, _>>()?,
            Raw::Bare(text) if text.trim().is_empty() => Vec::new(),
            Raw::Bare(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            _ => return Err(Refusal::WrongType),
        };
        if names.iter().all(|name| words::is_host(name)) {
            Ok(names)
        } else {
            Err(Refusal::Malformed)
        }
    }

    fn show(&self, value: &Vec<String>) -> Option<String> {
        let names: Vec<String> = value.iter().map(|name| quoted(name)).collect();
        Some(format!("[{}]", names.join(", ")))
    }

    fn accepts(&self) -> String {
        "an array of host names or IP addresses without scheme and port, as [\"metrics.example\"] \
         (in the environment: joined by commas)"
            .to_owned()
    }

    fn found(&self, raw: &Raw) -> String {
        culprit(raw, |item| item.text().is_some_and(words::is_host))
    }
}

impl Kind for Id {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        if words::is_id(text) { Ok(text.to_owned()) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn accepts(&self) -> String {
        "a name that matches [A-Za-z0-9][A-Za-z0-9._:-]{0,127}".to_owned()
    }
}

impl Kind for Filter {
    type Value = String;

    fn read(&self, raw: &Raw) -> Result<String, Refusal> {
        let text = raw.text().ok_or(Refusal::WrongType)?;
        if words::is_log_filter(text) { Ok(text.to_owned()) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn accepts(&self) -> String {
        "off, error, warn, info, debug, trace, or these by target, as \"info,linmemd::rpc=debug\""
            .to_owned()
    }
}

impl Kind for Format {
    type Value = LogFormat;

    fn read(&self, raw: &Raw) -> Result<LogFormat, Refusal> {
        match raw.text().ok_or(Refusal::WrongType)? {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(Refusal::Malformed),
        }
    }

    fn show(&self, value: &LogFormat) -> Option<String> {
        Some(quoted(match value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }))
    }

    fn accepts(&self) -> String {
        "\"text\" or \"json\"".to_owned()
    }
}

impl Kind for Bytes {
    type Value = u64;

    fn read(&self, raw: &Raw) -> Result<u64, Refusal> {
        let bytes = match raw {
            Raw::Integer(value) => u64::try_from(*value).map_err(|_| Refusal::OutOfRange)?,
            Raw::Text(text) | Raw::Bare(text) => {
                units::read_bytes(text).ok_or(Refusal::Malformed)?
            }
            _ => return Err(Refusal::WrongType),
        };
        within(bytes, &self.0, &self.1)
    }

    fn show(&self, value: &u64) -> Option<String> {
        Some(units::show_bytes(*value))
    }

    fn accepts(&self) -> String {
        let (least, most) = (units::show_bytes(self.0), units::show_bytes(self.1));
        format!("bytes from {least} to {most}, with B, KiB, MiB, GiB, TiB or as a plain integer")
    }
}

impl Kind for Time {
    type Value = Duration;

    fn read(&self, raw: &Raw) -> Result<Duration, Refusal> {
        let time = match raw {
            Raw::Integer(value) => {
                Duration::from_secs(u64::try_from(*value).map_err(|_| Refusal::OutOfRange)?)
            }
            Raw::Text(text) | Raw::Bare(text) => {
                units::read_time(text).ok_or(Refusal::Malformed)?
            }
            _ => return Err(Refusal::WrongType),
        };
        within(time, &self.0, &self.1)
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(units::show_time(*value))
    }

    fn accepts(&self) -> String {
        let (least, most) = (units::show_time(self.0), units::show_time(self.1));
        format!("a time from {least} to {most}, with ms, s, m, h or as whole seconds")
    }
}

impl<N: Copy + Display + PartialOrd + TryFrom<i128>> Kind for Whole<N> {
    type Value = N;

    fn read(&self, raw: &Raw) -> Result<N, Refusal> {
        let number = match raw {
            Raw::Integer(value) => *value,
            Raw::Bare(text) => {
                i128::from(units::read_whole(text.trim()).ok_or(Refusal::Malformed)?)
            }
            _ => return Err(Refusal::WrongType),
        };
        within(N::try_from(number).map_err(|_| Refusal::OutOfRange)?, &self.0, &self.1)
    }

    fn show(&self, value: &N) -> Option<String> {
        Some(value.to_string())
    }

    fn accepts(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }
}

impl Kind for Factor {
    type Value = f64;

    fn read(&self, raw: &Raw) -> Result<f64, Refusal> {
        let factor = match raw {
            Raw::Float(value) => *value,
            Raw::Integer(value) => {
                f64::from(i32::try_from(*value).map_err(|_| Refusal::OutOfRange)?)
            }
            Raw::Bare(text) => text.trim().parse().map_err(|_| Refusal::Malformed)?,
            _ => return Err(Refusal::WrongType),
        };
        within(factor, &self.0, &self.1)
    }

    fn show(&self, value: &f64) -> Option<String> {
        Some(format!("{value:?}"))
    }

    fn accepts(&self) -> String {
        format!("a number from {:?} to {:?}", self.0, self.1)
    }
}

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    /// Empty text is absence, so that an upper layer can take back what a lower one set.
    fn read(&self, raw: &Raw) -> Result<Self::Value, Refusal> {
        if raw.text().is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        self.0.read(raw).map(Some)
    }

    fn show(&self, value: &Self::Value) -> Option<String> {
        value.as_ref().and_then(|value| self.0.show(value))
    }

    fn accepts(&self) -> String {
        format!("{}, or \"\" for {}", self.0.accepts(), self.1)
    }

    fn absent(&self) -> &'static str {
        self.1
    }

    fn found(&self, raw: &Raw) -> String {
        self.0.found(raw)
    }
}

/// NaN is within nothing.
fn within<V: PartialOrd>(value: V, least: &V, most: &V) -> Result<V, Refusal> {
    if value >= *least && value <= *most { Ok(value) } else { Err(Refusal::OutOfRange) }
}

/// TOML's own spelling of a string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
