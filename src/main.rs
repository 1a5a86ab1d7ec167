//! The daemon's process: flags, config, log, start, run, exit code.
//!
//! Exit codes: 0 after a drain, 1 where something kept it from serving or a second signal came, 2
//! for a command line that is none.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use linmemd::config::{self, Config, Loaded, LogFormat};
use linmemd::daemon::check::{Form, check};
use linmemd::daemon::confinement::Confinement;
use linmemd::daemon::flags::{Flags, Verb};
use linmemd::daemon::{Addresses, Daemon, Exit, Signals, Source, config_file, logging, run, verbs};
use linmemd::os::confine::Process;
use linmemd::os::heap::only_when_told;
use linmemd::os::kernel::Linux;

/// Measured: 10 to 20 % more unary calls than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    only_when_told();
    let flags = match Flags::read(env::args_os()) {
        Ok(flags) => flags,
        Err(error) => error.exit(),
    };
    match verbs::answer(&flags, env::vars_os(), &mut io::stdout(), &mut io::stderr()) {
        Ok(None) => {}
        Ok(Some(code)) => return ExitCode::from(code),
        Err(_closed) => return ExitCode::FAILURE,
    }
    let is_ours =
        |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(b"LINMEMD_");
    let environment: Vec<_> = env::vars_os().filter(is_ours).collect();
    let (file, layer) = (flags.config.clone(), flags.layer());
    let original = file.as_deref().map(config_file::Original::at);
    let load = move || {
        if let Some(kept_out) = original.as_ref().and_then(config_file::Original::kept_out) {
            return Err(vec![kept_out]);
        }
        let read = |path| config_file::read(path).map(|read| (path, read));
        let file = file.as_deref().map(read).transpose();
        let file = file.map_err(|untrusted| vec![untrusted.to_string()])?;
        let loaded = config::load_read(file, environment.iter().cloned(), &layer);
        loaded.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let loaded: Loaded = match load() {
        Ok(loaded) => loaded,
        Err(mistakes) => return fail(&mistakes.join("\n")),
    };
    let file = flags.config.as_deref();
    let confinement = Confinement::new(&loaded.config, file, Box::new(Process));
    match flags.verb {
        Some(Verb::Check { json }) => tell(&loaded.config, &confinement, json),
        _ => serve(&loaded, confinement, Box::new(load)),
    }
}

/// Tries what `serve` would do to confine itself.
fn tell(config: &Config, confinement: &Confinement, json: bool) -> ExitCode {
    let coloured = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let form = match (json, coloured) {
        (true, _) => Form::Json,
        (false, true) => Form::Coloured,
        (false, false) => Form::Plain,
    };
    match check(config, &Linux, confinement, form, &mut io::stdout()) {
        Ok(code) => ExitCode::from(code),
        Err(_closed) => ExitCode::FAILURE,
    }
}

fn serve(loaded: &Loaded, confinement: Confinement, anew: Box<Source>) -> ExitCode {
    let config = &loaded.config;
    let last_words = logging::install(&config.log);
    // Afterwards it is not to be asked for any more.
    let at_terminal = io::stderr().is_terminal();
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let started = Daemon::start_confined(config, Arc::new(Linux), confinement.clone());
    let mut daemon = match started {
        Ok(daemon) => daemon,
        Err(error) => return fail(&error),
    };
    daemon.reload_from(anew);
    confinement.log();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), grpc = %daemon.addresses.grpc,
        http = %daemon.addresses.http, unix_socket = ?daemon.addresses.unix_socket, "serving"
    );
    if config.log.format == LogFormat::Text && at_terminal {
        greet(&daemon.addresses);
    }
    let exit = run(&daemon, signals, config.drain.limit);
    daemon.forget_socket();
    let code = match exit {
        Exit::Drained => {
            daemon.end_audit();
            0
        }
        Exit::Forced => 1,
    };
    drop(last_words);
    // What was cut holds nothing that outlives the process: no need to wait for it.
    std::process::exit(code)
}

/// Three commands to try next, for whoever started it by hand; `tests/readme.rs` runs them.
fn greet(addresses: &Addresses) {
    let endpoint = match addresses.grpc.to_string() {
        grpc if grpc == DEFAULT_ADDRESS => String::new(),
        grpc => format!("--endpoint http://{grpc} "),
    };
    let run = "cargo run --release --bin linmemctl --";
    logging::say(&format!(
        "\nContents live in RAM and end with this process. In another terminal, try:\n\n  \
         {run} {endpoint}create demo 1\n  \
         {run} {endpoint}write demo 0 --text hello\n  \
         {run} {endpoint}dump demo 0 64\n\n"
    ));
}

/// Where linmemctl looks without being told.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7420";

fn fail(error: &impl std::fmt::Display) -> ExitCode {
    logging::say(&format!("linmemd: {error}\n"));
    ExitCode::FAILURE
}
