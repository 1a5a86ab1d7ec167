//! Owns the answers of `linmemd check-config` and `linmemd print-config`. They bind no port, start
//! no thread and touch no memory; what they print goes to the writers that they are given.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use crate::config::{self, FlagLayer};
use crate::daemon::flags::{Flags, Verb};

/// The exit code of a verb: 0, or 1 where the configuration has mistakes.
pub type Code = u8;

/// Answers the verb of a command line; none where it has none and the daemon is to serve, or one that
/// `check.rs` answers. The answer goes to `out`, mistakes go to `err`, one a line.
pub fn answer(
    flags: &Flags,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Option<Code>> {
    match &flags.verb {
        None | Some(Verb::Check { .. }) => Ok(None),
        Some(Verb::CheckConfig { file }) => check(file, out, err).map(Some),
        Some(Verb::PrintConfig) => {
            match config::load(flags.config.as_deref(), environment, &flags.layer()) {
                Ok(loaded) => {
                    write!(out, "# config_hash {}\n\n{}", loaded.config.hash(), loaded.print())?;
                    Ok(Some(0))
                }
                Err(mistakes) => writeln!(err, "{mistakes}").map(|()| Some(1)),
            }
        }
    }
}

fn check(file: &Path, out: &mut impl Write, err: &mut impl Write) -> io::Result<Code> {
    match config::load(Some(file), [], &FlagLayer::default()) {
        Ok(loaded) => writeln!(out, "ok\nconfig_hash {}", loaded.config.hash()).map(|()| 0),
        Err(mistakes) => writeln!(err, "{mistakes}").map(|()| 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<Code>, String, String) {
        let flags = Flags::read(std::iter::once("linmemd").chain(arguments.iter().copied()));
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = answer(&flags.unwrap(), environment, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn without_a_verb_there_is_no_answer() {
        assert_eq!(run(&[], &[("LINMEMD_X", "")]), (None, String::new(), String::new()));
    }

    #[test]
    fn check_config_says_ok_or_lists_the_mistakes_of_the_file_alone() {
        let bad = [("LINMEMD_X", "")];
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/linmemd.toml");
        let (code, out, err) = run(&["check-config", shipped], &bad);
        let hash = crate::config::Config::default().hash();
        assert_eq!((code, out, err), (Some(0), format!("ok\nconfig_hash {hash}\n"), String::new()));
        let (code, out, err) = run(&["check-config", "/nowhere"], &[]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.starts_with("/nowhere: cannot be read"), "{err}");
    }

    #[test]
    fn print_config_shows_all_layers_or_all_mistakes() {
        let (code, out, _) = run(&["print-config"], &[("LINMEMD_DRAIN__LIMIT", "3s")]);
        assert_eq!(code, Some(0));
        let line = out.lines().find(|line| line.starts_with("limit")).unwrap();
        assert!(line.ends_with("# env LINMEMD_DRAIN__LIMIT"), "{line}");
        let (code, out, err) = run(&["print-config", "--listen", "x"], &[("LINMEMD_X", "")]);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 2));
    }
}
