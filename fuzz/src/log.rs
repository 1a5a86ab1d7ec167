//! [`listen`]: the daemon's log, as an operator has it, and [`Audit`], its log of who did what.
//!
//! Law: whatever is shown to the daemon, no token is in the one, and a line of the other is one object of
//! JSON in ASCII: nobody ends it or forges a second.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use tracing_subscriber::filter::LevelFilter;

use crate::known::{JWTS, TOKENS};

/// Has the daemon tell what it does, for as long as this process lives.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Listener);
        log.with_max_level(LevelFilter::INFO).init();
    });
}

/// Hears each line, and keeps none.
struct Listener;

impl Write for Listener {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Who has a token in the name of something has told it.
        let is_named = |at: usize| {
            let word = line[..at].rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            word.windows(4).any(|part| part == b"_id=")
        };
        let holds = |token: &str| {
            let mut parts = line.windows(token.len()).enumerate();
            parts.any(|(at, part)| part == token.as_bytes() && !is_named(at))
        };
        let tokens = TOKENS.iter().map(|(token, _)| token.as_str());
        let is_told = tokens.chain(JWTS.iter().map(|(token, _)| *token)).any(holds);
        assert!(!is_told, "a token is in the log: {}", String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder in RAM, or the next best.
pub(crate) fn ram() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}

/// Lines are looked at when there are so many bytes of them.
const OFTEN: u64 = 64 << 10;

/// The file that who did what is written to, in RAM.
pub(crate) struct Audit {
    path: PathBuf,
    file: File,
    /// Whether the first line may have lost its beginning.
    is_cut: bool,
}

impl Audit {
    pub(crate) fn new() -> Self {
        let path = ram().join(format!("linmemd-fuzz-audit-{}", std::process::id()));
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        Self { path, file: file.expect("a file in RAM"), is_cut: false }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes its name away, once the daemon has opened it: a process that fuzzes may end at any moment.
    pub(crate) fn forget_path(&self) {
        std::fs::remove_file(&self.path).expect("a file with a name");
    }

    /// Looks at what was written, now and then.
    pub(crate) fn look(&mut self) {
        if self.file.metadata().is_ok_and(|file| file.len() >= OFTEN) {
            self.read();
        }
    }

    fn read(&mut self) {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0)).expect("its beginning");
        self.file.read_to_end(&mut text).expect("all of it");
        self.file.set_len(0).expect("an empty file");
        let is_cut = std::mem::replace(&mut self.is_cut, true);
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        // The last one is being written, or empty.
        lines.pop();
        for line in lines.iter().skip(usize::from(is_cut)) {
            let is_one = line.is_ascii()
                && serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|it| it.is_object());
            assert!(is_one, "{}", String::from_utf8_lossy(line));
        }
    }
}
