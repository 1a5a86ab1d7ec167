//! `linmemd check`: looks at every file that the config names, takes every measure of confinement in a
//! process of its own, and says what became of each.
//!
//! Law: what it says was tried, by the very code that the daemon starts with, as this user on this
//! kernel; it binds no port and makes no file. Exit code 0 where every measure that the config does not
//! switch off is taken, at least as far as the kernel has it, and every file is there and nobody else's
//! to change; 1 where one is not.

use std::io::{self, Write};

use crate::config::Config;
use crate::daemon::confinement::{Confinement, State, Told};
use crate::daemon::credentials::Credentials;
use crate::daemon::json::quoted;
use crate::daemon::named_files::{self, Found};
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
    let Found { mut refused, untrusted } = named_files::look(config);
    if refused.is_empty() {
        refused.extend(unusable(config));
    }
    let socket = config.grpc.unix_socket.as_deref().map(unix_socket::examine);
    let place = socket.as_ref().and_then(|socket| socket.as_deref().ok());
    refused.extend(confinement.begin(kernel, place).err().map(|error| error.to_string()));
    for role in Role::ALL {
        confinement.spawn(role.word().to_owned(), role, || {}, || {})?;
    }
    refused.extend(confinement.conclude().err().map(|error| error.to_string()));
    let told = confinement.told();
    match form {
        Form::Json => {
            let place = place.map(|place| place.to_string_lossy());
            json(&told, place.as_deref(), [&refused, &untrusted], out)?
        }
        Form::Plain | Form::Coloured => {
            for one in &told {
                line(one, form, out)?;
            }
            if let Some(place) = place {
                writeln!(out, "{:<NAME$} {}", "unix_socket", place.display())?;
            }
            for one in refused.iter().chain(&untrusted) {
                writeln!(out, "{one}")?;
            }
        }
    }
    let is_off = told.iter().any(|one| one.state == State::Off);
    Ok(Code::from(is_off || !refused.is_empty() || !untrusted.is_empty()))
}

/// What is in the files of credentials and cannot be used, all of it.
fn unusable(config: &Config) -> Vec<String> {
    let judged = match Credentials::load(config) {
        Ok(credentials) => credentials.judge(config).map(drop),
        Err(error) => Err(vec![error]),
    };
    judged.err().unwrap_or_default().iter().map(ToString::to_string).collect()
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
    [refused, untrusted]: [&[String]; 2],
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
    let [refused, untrusted] = [refused, untrusted]
        .map(|lines| lines.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(","));
    writeln!(
        out,
        "{{\"measures\":[{measures}],\"unix_socket\":{socket},\"refused\":[{refused}],\
         \"untrusted\":[{untrusted}]}}"
    )
}
