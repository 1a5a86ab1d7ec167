//! The one place that writes to standard output and standard error.
//!
//! Its law: standard output bears results only, in the form asked for; everything else goes to
//! standard error. Colour and live lines appear only on a terminal that did not refuse them.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde_json::Value;

use crate::failure::CtlError;

/// How results are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Results as JSON.
    pub(crate) json: bool,
    /// The user refused colour.
    pub(crate) no_color: bool,
}

impl Output {
    /// Whether a person reads standard output.
    pub(crate) fn on_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether standard output takes colour.
    pub(crate) fn color(&self) -> bool {
        !self.no_color && self.on_terminal()
    }

    /// Whether a live line may be drawn on standard error.
    pub(crate) fn live(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// A result of a line or more.
    pub(crate) fn line(&self, text: &str) -> Result<(), CtlError> {
        self.raw(text.as_bytes())?;
        self.raw(b"\n")
    }

    /// A result as JSON.
    pub(crate) fn value(&self, value: &Value) -> Result<(), CtlError> {
        self.line(&format!("{value:#}"))
    }

    /// A result as JSON where that is asked for, else as text.
    pub(crate) fn either(&self, value: &Value, text: &str) -> Result<(), CtlError> {
        if self.json { self.value(value) } else { self.line(text) }
    }

    /// Bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), CtlError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CtlError::Output)
    }

    /// Something beside the result; silent for scripts.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            self.complain(text);
        }
    }

    /// A failure. A reader of standard output that went away is none.
    pub(crate) fn failure(&self, error: &CtlError) -> u8 {
        match error {
            CtlError::Output(source) if source.kind() == ErrorKind::BrokenPipe => return 0,
            CtlError::Reported(code) => return *code,
            _ => (),
        }
        match self.json {
            true => self.complain(&format!("{:#}", error.json())),
            false => self.complain(&format!("error: {}", error.text())),
        }
        error.exit_code()
    }

    pub(crate) fn complain(&self, text: &str) {
        // Where standard error is gone there is nobody left to tell.
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}
