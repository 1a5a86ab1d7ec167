//! `completions`: a shell's completion script, made from the definition of the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::CtlError;
use crate::output::Output;

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl completions bash > ~/.local/share/bash-completion/completions/linmemctl
  linmemctl completions zsh > ~/.zfunc/_linmemctl
  linmemctl completions fish > ~/.config/fish/completions/linmemctl.fish")]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs, output: &Output) -> Result<(), CtlError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "linmemctl", &mut script);
    output.raw(&script)
}
