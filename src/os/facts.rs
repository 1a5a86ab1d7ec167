//! Reading what the kernel tells in small text files: `Facts`, which notes what it could not
//! learn, and the one way to read a number and a `kB` line.
//!
//! Law: a file that is missing or says something unexpected is an [`Absent`] with its reason, never
//! an error and never a guess. Does not know what the facts are for.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use crate::os::kernel::Kernel;
use crate::units::ByteCount;

/// Something that this host does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The file, or what was looked for.
    pub what: String,
    /// Why it is not known.
    pub reason: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

/// Reads files and remembers what was missing.
#[derive(Debug)]
pub(super) struct Facts<'k> {
    kernel: &'k dyn Kernel,
    absent: Vec<Absent>,
}

impl<'k> Facts<'k> {
    pub(super) fn of(kernel: &'k dyn Kernel) -> Self {
        Self { kernel, absent: Vec::new() }
    }

    pub(super) fn into_absent(self) -> Vec<Absent> {
        self.absent
    }

    pub(super) fn note(&mut self, what: impl fmt::Display, reason: impl fmt::Display) {
        self.absent.push(Absent { what: what.to_string(), reason: reason.to_string() });
    }

    /// The whole file.
    pub(super) fn text(&mut self, path: impl AsRef<Path>) -> Option<String> {
        let path = path.as_ref();
        let read = self.kernel.read_file(path);
        self.known(path, read)
    }

    /// The whole file where it exists; that it does not is nothing to note.
    pub(super) fn text_if_there(&mut self, path: &Path) -> Option<String> {
        match self.kernel.read_file(path) {
            Err(libc::ENOENT) => None,
            read => self.known(path, read),
        }
    }

    /// The names in a directory.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        let read = self.kernel.read_directory(Path::new(path));
        self.known(Path::new(path), read).unwrap_or_default()
    }

    /// A file that is one number.
    pub(super) fn number(&mut self, path: impl AsRef<Path>) -> Option<u64> {
        let path = path.as_ref();
        let text = self.text(path)?;
        let number = number(&text);
        if number.is_none() {
            self.note(path.display(), format_args!("no number: {:?}", text.trim()));
        }
        number
    }

    /// The line `KEY:   N kB` of a text that has been read from `path`.
    pub(super) fn amount(&mut self, path: &str, text: &str, key: &str) -> Option<ByteCount> {
        let amount = amount(text, key);
        if amount.is_none() {
            self.note(format_args!("{key} of {path}"), "no such line, or no number of kB in it");
        }
        amount
    }

    fn known<T>(&mut self, path: &Path, read: Result<T, i32>) -> Option<T> {
        match read {
            Ok(known) => Some(known),
            Err(errno) => {
                self.note(path.display(), io::Error::from_raw_os_error(errno));
                None
            }
        }
    }
}

/// A text that is one number.
pub(super) fn number<N: FromStr>(text: &str) -> Option<N> {
    text.trim().parse().ok()
}

/// The line `KEY:   N kB`, which may begin with `Node N` (as in a NUMA node's file), in bytes.
pub(super) fn amount(text: &str, key: &str) -> Option<ByteCount> {
    let line = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.split_whitespace().next_back() == Some(key)).then_some(value)
    })?;
    let kilobytes: u64 = number(line.trim().strip_suffix("kB")?)?;
    kilobytes.checked_mul(1024).map(ByteCount::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failing::FailingKernel;

    #[test]
    fn an_amount_is_read_in_bytes_and_only_from_its_own_line() {
        let text = "MemTotal:       24684084 kB\nMemFree:  1 kB\nHugePages_Total:  3\n";
        assert_eq!(amount(text, "MemTotal"), Some(ByteCount::new(24_684_084 * 1024)));
        assert_eq!(amount("Node 1 MemFree:   5 kB\n", "MemFree"), Some(ByteCount::new(5120)));
        assert_eq!(amount(text, "Mem"), None);
        assert_eq!(amount(text, "HugePages_Total"), None);
        assert_eq!(amount("MemTotal: 18446744073709551615 kB", "MemTotal"), None);
        assert_eq!(amount("MemTotal:", "MemTotal"), None);
    }

    #[test]
    fn what_is_missing_or_no_number_is_noted_with_its_reason() {
        let kernel = FailingKernel::new();
        kernel.replace_files([("/a", "twelve\n"), ("/b", " 12\n")]);
        let mut facts = Facts::of(&kernel);
        assert_eq!(facts.number("/a"), None);
        assert_eq!(facts.number("/b"), Some(12));
        assert_eq!(facts.number("/c"), None);
        assert_eq!(facts.text_if_there(Path::new("/c")), None);
        let told: Vec<String> = facts.into_absent().iter().map(Absent::to_string).collect();
        assert_eq!(
            told,
            ["/a: no number: \"twelve\"", "/c: No such file or directory (os error 2)"]
        );
    }
}
