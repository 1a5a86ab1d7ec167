//! The daemon's process: flags, config, log, start, run, exit code.
//!
//! Exit codes: 0 after a drain, 1 where something kept it from serving or a second signal came, 2
//! for a command line that is none.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use linmemd::config::{self, Loaded, LogFormat};
use linmemd::daemon::flags::Flags;
use linmemd::daemon::{Addresses, Daemon, Exit, Signals, logging, run, verbs};
use linmemd::os::kernel::Linux;

/// Measured: 10 to 20 % more unary calls than with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags = match Flags::read(env::args_os()) {
        Ok(flags) => flags,
        Err(error) => error.exit(),
    };
    match verbs::answer(&flags, env::vars_os(), &mut io::stdout(), &mut io::stderr()) {
        Ok(None) => {}
        Ok(Some(code)) => return ExitCode::from(code),
        Err(_closed) => return ExitCode::FAILURE,
    }
    match config::load(flags.config.as_deref(), env::vars_os(), &flags.layer()) {
        Ok(loaded) => serve(&loaded),
        Err(mistakes) => fail(&mistakes),
    }
}

fn serve(loaded: &Loaded) -> ExitCode {
    let config = &loaded.config;
    logging::install(&config.log);
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return fail(&error),
    };
    let mut daemon = match Daemon::start(config, Arc::new(Linux)) {
        Ok(daemon) => daemon,
        Err(error) => return fail(&error),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), grpc = %daemon.addresses.grpc,
        http = %daemon.addresses.http, unix_socket = ?daemon.addresses.unix_socket, "serving"
    );
    if config.log.format == LogFormat::Text && io::stderr().is_terminal() {
        greet(&daemon.addresses);
    }
    let exit = run(&daemon, signals, config.drain.limit);
    daemon.forget_socket();
    // What was cut holds nothing that outlives the process: no need to wait for it.
    match exit {
        Exit::Drained => std::process::exit(0),
        Exit::Forced => std::process::exit(1),
    }
}

/// Three commands to try next, for whoever started it by hand; `tests/readme.rs` runs them.
fn greet(addresses: &Addresses) {
    let endpoint = match addresses.grpc.to_string() {
        grpc if grpc == DEFAULT_ADDRESS => String::new(),
        grpc => format!("--endpoint http://{grpc} "),
    };
    let run = "cargo run --release --bin linmemctl --";
    // Nobody reads it where standard error is closed.
    let _unread = writeln!(
        io::stderr(),
        "\nContents live in RAM and end with this process. In another terminal, try:\n\n  \
         {run} {endpoint}create demo 1\n  \
         {run} {endpoint}write demo 0 --text hello\n  \
         {run} {endpoint}dump demo 0 64\n"
    );
}

/// Where linmemctl looks without being told.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7420";

fn fail(error: &impl std::fmt::Display) -> ExitCode {
    let _unread = writeln!(io::stderr(), "linmemd: {error}");
    ExitCode::FAILURE
}
