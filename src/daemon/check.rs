//! `linmemd check`: takes every measure of confinement in a process of its own and says what became of
//! each.
//!
//! Law: what it says was tried, by the very code that the daemon starts with, as this user on this
//! kernel; it binds no port. Exit code 0 where every measure that the config does not switch off is
//! taken, at least as far as the kernel has it; 1 where one is not.

use std::io::{self, Write};

use crate::config::Config;
use crate::daemon::confinement::{Confinement, State, Told};
use crate::daemon::json::quoted;
use crate::daemon::unix_socket;
use crate::daemon::verbs::Code;
use crate::os::confine::Role;
use crate::os::kernel::Kernel;

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Plain,
    /// For people at a terminal.
    Coloured,
    /// For programs: one JSON object.
    Json,
}

/// Takes the measures, and answers. The process can do little else afterwards.
///
/// # Errors
/// Where nobody takes the answer.
pub fn check(
    config: &Config,
    kernel: &dyn Kernel,
    confinement: &Confinement,
    form: Form,
    out: &mut impl Write,
) -> io::Result<Code> {
    let socket = config.grpc.unix_socket.as_deref().map(unix_socket::place).transpose();
    let place = socket.as_ref().ok().and_then(Option::as_ref).map(|(path, _)| path.as_path());
    let mut refused: Vec<String> =
        socket.as_ref().err().map(ToString::to_string).into_iter().collect();
    refused.extend(confinement.begin(kernel, place).err().map(|error| error.to_string()));
    for role in Role::ALL {
        confinement.spawn(role.word().to_owned(), role, || {}, || {})?;
    }
    refused.extend(confinement.conclude().err().map(|error| error.to_string()));
    let told = confinement.told();
    match form {
        Form::Json => {
            json(&told, place.map(|place| place.to_string_lossy()).as_deref(), &refused, out)?
        }
        Form::Plain | Form::Coloured => {
            for one in &told {
                line(one, form, out)?;
            }
            if let Some(place) = place {
                writeln!(out, "{:<NAME$} {}", "unix_socket", place.display())?;
            }
            for one in &refused {
                writeln!(out, "{one}")?;
            }
        }
    }
    let is_off = told.iter().any(|one| one.state == State::Off);
    Ok(Code::from(is_off || !refused.is_empty()))
}

/// Columns of names and states.
const NAME: usize = 24;
const STATE: usize = 12;

fn line(told: &Told, form: Form, out: &mut impl Write) -> io::Result<()> {
    let Told { measure, state, reason } = told;
    let shown = format!("{:<STATE$}", state.word().to_uppercase());
    let shown = match (form, state) {
        (Form::Coloured, State::On) => format!("\u{1b}[32m{shown}\u{1b}[0m"),
        (Form::Coloured, State::Off) => format!("\u{1b}[31m{shown}\u{1b}[0m"),
        (Form::Coloured, _) => format!("\u{1b}[33m{shown}\u{1b}[0m"),
        _ => shown,
    };
    writeln!(out, "{}", format!("{:<NAME$} {shown} {reason}", measure.word()).trim_end())
}

fn json(
    told: &[Told],
    socket: Option<&str>,
    refused: &[String],
    out: &mut impl Write,
) -> io::Result<()> {
    let measures = told.iter().map(|one| {
        format!(
            "{{\"measure\":{},\"state\":{},\"reason\":{}}}",
            quoted(one.measure.word()),
            quoted(one.state.word()),
            quoted(&one.reason)
        )
    });
    let measures = measures.collect::<Vec<_>>().join(",");
    let socket = socket.map_or_else(|| "null".to_owned(), quoted);
    let refused = refused.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(",");
    writeln!(out, "{{\"measures\":[{measures}],\"unix_socket\":{socket},\"refused\":[{refused}]}}")
}
