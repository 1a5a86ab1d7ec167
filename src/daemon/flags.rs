//! Owns the command line of `linmemd`: its flags, its verbs and their help. Values of flags are
//! taken as text and judged by `config`, so that their mistakes are reported with all others. It
//! does nothing itself: `verbs.rs` and `check.rs` answer the verbs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::FlagLayer;

/// Serves sandboxed linear memories over gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "linmemd", version, after_help = LAYERS)]
pub struct Flags {
    /// Configuration file, TOML. Default: none, only defaults, environment and flags
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Address of the gRPC listener, instead of grpc.listen [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDR", global = true)]
    pub listen: Option<String>,
    /// Address of /metrics, /healthz and /readyz, instead of http.listen [default: 127.0.0.1:9420]
    #[arg(long, value_name = "ADDR", global = true)]
    pub metrics_listen: Option<String>,
    /// Path of a Unix socket to serve as well, instead of grpc.unix_socket [default: none]
    #[arg(long, value_name = "PATH", global = true)]
    pub unix_socket: Option<String>,
    /// What to do instead of serving. Default: none, serve.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What `linmemd` does instead of serving.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Check a configuration file alone, without environment, flags and the files that it names (`check`
    /// looks at these): `ok` and the configuration's hash, or every mistake and exit 1
    CheckConfig {
        /// The file, TOML
        file: PathBuf,
    },
    /// Print every effective value as TOML, with where it came from, and the hash of all of them
    PrintConfig,
    /// Say what the daemon would give up of this host before it serves, and why something cannot be, and
    /// which files that the configuration names are missing, unusable or others' to change: exit 0, or 1
    /// where there is one or a measure that the configuration does not switch off is off
    Check {
        /// Answer with one JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Flags {
    /// Reads a command line, program name first. The error is clap's, with its exit code: help and
    /// version are errors too.
    pub fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let flags = Self::try_parse_from(arguments)?;
        // A flag that check-config would not look at must not seem to be checked.
        if matches!(flags.verb, Some(Verb::CheckConfig { .. })) && flags.has_any() {
            let message = "check-config checks FILE alone and takes no other flag";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(flags)
    }

    /// The flags that are a layer of the configuration.
    pub fn layer(&self) -> FlagLayer {
        FlagLayer {
            listen: self.listen.clone(),
            metrics_listen: self.metrics_listen.clone(),
            unix_socket: self.unix_socket.clone(),
        }
    }

    fn has_any(&self) -> bool {
        self.config.is_some() || self.layer() != FlagLayer::default()
    }
}

/// What stands below the help.
const LAYERS: &str = "Configuration is layered: defaults, then the file, then the environment \
(LINMEMD_<SECTION>__<KEY>, as LINMEMD_GRPC__LISTEN), then flags.";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::read(std::iter::once("linmemd").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_definition_holds_together() {
        Flags::command().debug_assert();
    }

    #[test]
    fn no_argument_serves_with_defaults() {
        let flags = read(&[]).unwrap();
        assert_eq!(flags.verb, None);
        assert_eq!(flags.layer(), FlagLayer::default());
    }

    #[test]
    fn flags_may_stand_before_or_behind_print_config() {
        let before = read(&["--listen", "[::1]:1", "print-config"]).unwrap();
        let behind = read(&["print-config", "--listen", "[::1]:1"]).unwrap();
        assert_eq!(before, behind);
        assert_eq!(before.verb, Some(Verb::PrintConfig));
        assert_eq!(before.layer().listen.as_deref(), Some("[::1]:1"));
    }

    #[test]
    fn each_flag_reaches_its_own_place_in_the_layer() {
        let flags = read(&[
            "--listen",
            "a",
            "--metrics-listen",
            "b",
            "--unix-socket",
            "c",
            "--config",
            "d",
        ])
        .unwrap();
        let some = |text: &str| Some(text.to_owned());
        let layer =
            FlagLayer { listen: some("a"), metrics_listen: some("b"), unix_socket: some("c") };
        assert_eq!(flags.layer(), layer);
        assert_eq!(flags.config, Some(PathBuf::from("d")));
    }

    #[test]
    fn check_config_refuses_flags_that_it_would_not_check() {
        assert!(read(&["check-config", "f"]).is_ok());
        for flag in ["--config", "--listen", "--metrics-listen", "--unix-socket"] {
            let error = read(&["check-config", "f", flag, "x"]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{flag}");
        }
        assert!(read(&["check-config"]).is_err());
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert_eq!(read(&["--lisen", "a"]).unwrap_err().kind(), ErrorKind::UnknownArgument);
    }
}
