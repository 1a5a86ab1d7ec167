//! `linmemctl`: linear memories from the shell.
//!
//! Its law: one verb does one thing, says on standard output only its result, and ends with the
//! exit code that help documents. It is a client like any other: everything goes through
//! `linmemd::client`. This file reads the command line, connects, and hands over to a verb.

mod advice;
mod args;
mod bench;
mod context;
mod credentials;
mod failure;
mod hex;
mod json;
mod output;
mod progress;
mod selector;
mod session;
mod size;
mod table;
mod verbs;

use std::process::ExitCode;

use crate::args::{Command, Verb};
use crate::failure::CtlError;
use crate::output::Output;
use crate::session::Session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = match args::read() {
        Ok(command) => command,
        Err(code) => return ExitCode::from(code),
    };
    let globals = &command.cli.globals;
    let output = Output { json: globals.json, no_color: globals.no_color() };
    match run(command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(output.failure(&error)),
    }
}

fn run(command: Command, output: Output) -> Result<(), CtlError> {
    let globals = &command.cli.globals;
    match &command.cli.verb {
        Verb::Completions(args) => return verbs::completions::run(args, &output),
        Verb::Token(args) => return verbs::token::run(args, &output),
        Verb::Context(args) => return context::run(args, globals, command.typed, &output),
        _ => (),
    }
    let settings = context::settings(globals, command.typed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CtlError::Host(format!("cannot start a runtime: {error}")))?;
    let result = runtime.block_on(async {
        if let Verb::Bench(args) = command.cli.verb {
            return bench::run(args, &settings, globals.timeout, output).await;
        }
        let session = Session::open(&settings, globals.timeout, output).await?;
        verbs::run(command.cli.verb, &session).await
    });
    // A read of standard input may still be parked in a thread: it must not hold the end up.
    runtime.shutdown_background();
    result.map_err(|error| error.over(&settings.endpoint))
}
