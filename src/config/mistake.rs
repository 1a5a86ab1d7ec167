//! Owns what can be wrong with a configuration, and how it is said: where it came from, what was
//! found, what is accepted, on one line. A closed list. It finds no mistake itself.

use std::fmt;
use std::path::PathBuf;

/// Which layer gave a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// No layer: the built-in default.
    Default,
    /// The file.
    File {
        /// As given to `--config`.
        path: PathBuf,
        /// Counted from 1; 0 is the file as a whole.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// Its name, with the dashes.
        name: &'static str,
    },
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where to look for it.
    pub origin: Origin,
    /// The key, as `grpc.listen` or `tenant[0].name`; empty where the mistake is about no key.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// The host's words.
        reason: String,
    },
    /// The file is no TOML here.
    #[error("is not TOML: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
    },
    /// No such key, section or variable.
    #[error("unknown{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The nearest name that exists, where one is near.
        nearest: Option<String>,
    },
    /// What is an array of tables given by environment.
    #[error(
        "tenants, partitions, hooks, identities and issuers are given in the file only, as \
         [[tenant]], [[partition]], [[hook]], [[identity]] and [[jwt_issuer]]"
    )]
    FileOnly,
    /// A variable whose name or value is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A value of another type.
    #[error("wrong type: found {found}; accepted: {accepted}")]
    WrongType {
        /// The value.
        found: String,
        /// What would have been accepted.
        accepted: String,
    },
    /// The right type, but not readable as what the key means.
    #[error("found {found}; accepted: {accepted}")]
    Malformed {
        /// The value.
        found: String,
        /// What would have been accepted.
        accepted: String,
    },
    /// Below the least or above the greatest.
    #[error("out of range: found {found}; accepted: {accepted}")]
    OutOfRange {
        /// The value.
        found: String,
        /// What would have been accepted.
        accepted: String,
    },
    /// A key without which its table means nothing.
    #[error("missing; accepted: {accepted}")]
    Missing {
        /// What would have been accepted.
        accepted: String,
    },
    /// A name given twice.
    #[error("found {found}, already given at {first}; accepted: a name that no other has")]
    Duplicate {
        /// The name.
        found: String,
        /// Where it was given first.
        first: Origin,
    },
    /// One credential of two identities. What it is is not said: logs are read by many.
    #[error(
        "{identity} has the same credential as {other} ({first}); each credential may be mapped \
         once: give one of them another, or keep one of them"
    )]
    SharedCredential {
        /// Which identity.
        identity: String,
        /// Which had it before.
        other: String,
        /// Where that was.
        first: Origin,
    },
    /// Two keys, each fine alone, that cannot both stand.
    #[error("{found} contradicts {other} = {other_found} ({other_origin}); accepted: {accepted}")]
    Contradiction {
        /// The value of the mistake's own key.
        found: String,
        /// The other key.
        other: String,
        /// The other key's value.
        other_found: String,
        /// Where the other value came from.
        other_origin: Origin,
        /// What would have been accepted.
        accepted: String,
    },
}

/// Everything that is wrong, in the order of file, environment, flags. Never empty. Shown one
/// mistake a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// All of them: by line in the file, then by name in the environment, then flags.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// The mistakes sorted, or none where there are none.
    pub(super) fn collect(mut mistakes: Vec<Mistake>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort_by(|left, right| left.origin.cmp(&right.origin));
        Err(Self(mistakes))
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if self.key.is_empty() {
            return write!(f, ": {}", self.fault);
        }
        let contradicts = matches!(self.fault, Fault::Contradiction { .. });
        let separator = if contradicts { " = " } else { ": " };
        write!(f, ": {}{separator}{}", escaped(&self.key), self.fault)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File { path, line: 0 } => write!(f, "{}", escaped(&path.to_string_lossy())),
            Self::File { path, line } => {
                write!(f, "{}:{line}", escaped(&path.to_string_lossy()))
            }
            Self::Env { name } => write!(f, "env {}", escaped(name)),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// A name from outside without what would break the line that it stands in.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}
