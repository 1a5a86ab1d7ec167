//! [`AuditLog`]: the audit log's thread, which alone waits for its sink.
//!
//! ```text
//! {"time":"2026-11-22T09:00:00.5Z","event":"create","method":"linmem.v1.MemoryService/CreateMemory",
//!  "outcome":"OK","tenant":"default","caller":"web","peer":"10.0.0.7","call_id":"…","id":"m",
//!  "uid":"…","request_id":"…","pages":1}                                            one line an entry
//! {"time":"…","event":"lost","entries":12}                                 where that many are missing
//! {"time":"…","event":"denials","entries":240,"peer":"10.0.0.7"}           so many more `deny` since then
//! ```
//!
//! Law: JSON in ASCII, a line an entry: whatever a caller wrote can end no line and forge no field. What a
//! sink took in part is lost, and spoils no line after it (`audit_sink.rs`). Only
//! appended to; opened once, before the daemon is confined, which cannot open it again: rotate it by
//! copying and truncating. At the end what is queued is written, for a second at most.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::daemon::audit_sink::Sink;
use crate::daemon::confinement::Confinement;
use crate::daemon::json::quoted;
use crate::daemon::start_error::StartError;
use crate::metrics::Metrics;
use crate::os::confine::Role;
use crate::os::process::unblocked;
use crate::rpc::{Audit, AuditEntry, AuditLine, AuditQueue, Untold};

/// For what is queued when the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Only its owner reads who did what.
const MODE: u32 = 0o600;

/// An open sink and the queue that leads to it.
#[derive(Debug)]
pub(super) struct AuditLog {
    sink: File,
    queue: AuditQueue,
}

/// The thread of one, to be ended.
#[derive(Debug)]
pub(super) struct Auditor {
    audit: Arc<Audit>,
    written: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// As the config says; none where it names no file.
    ///
    /// # Errors
    /// [`StartError::Audit`] with what the host says of the file.
    pub(super) fn open(
        config: &Config,
        metrics: &Metrics,
    ) -> Result<(Option<Arc<Audit>>, Option<Self>), StartError> {
        // On the page whether anything is told or not.
        let lost = metrics.audit_lost();
        let Some(path) = config.audit.file.as_deref() else { return Ok((None, None)) };
        let opened = open(path);
        let sink = opened.map_err(|error| StartError::Audit { path: path.to_owned(), error })?;
        let (audit, queue) = Audit::new(config.audit.queue as usize, lost);
        Ok((Some(Arc::new(audit)), Some(Self { sink, queue })))
    }

    /// Writes until it is over.
    pub(super) fn start(self, audit: Arc<Audit>, confinement: &Confinement) -> io::Result<Auditor> {
        let (written, when_written): (Sender<()>, _) = channel();
        let work = move || {
            self.run();
            drop(written);
        };
        let thread = confinement.spawn("audit".to_owned(), Role::Audit, || {}, work)?;
        Ok(Auditor { audit, written: when_written, thread: Some(thread) })
    }

    fn run(self) {
        let mut writer = Writer::new(self.sink);
        while let Some(line) = self.queue.next() {
            let lost = writer.write(&line);
            self.queue.lose(lost);
        }
        writer.tell_missing();
    }
}

/// Lines on their way into a sink.
#[derive(Debug)]
struct Writer<W> {
    sink: Sink<W>,
    /// What is missing behind what is written: since when, and how many entries.
    missing: Option<(SystemTime, u64)>,
    has_failed: bool,
}

impl<W: Write> Writer<W> {
    const fn new(to: W) -> Self {
        Self { sink: Sink::new(to), missing: None, has_failed: false }
    }

    /// One more line; how many entries are lost by it that were not.
    fn write(&mut self, line: &AuditLine) -> u64 {
        match line {
            AuditLine::Lost { since, entries } => {
                self.miss(*since, *entries);
                self.tell_missing();
                0
            }
            AuditLine::Entry(entry) => {
                let mut text = String::with_capacity(512);
                entry_line(&mut text, entry);
                self.add(&text, entry.time, 1)
            }
            AuditLine::Denials(untold) => {
                let mut text = String::new();
                denials_line(&mut text, untold);
                self.add(&text, untold.since, untold.entries)
            }
        }
    }

    /// The line of so many entries; how many of them are lost.
    fn add(&mut self, line: &str, time: SystemTime, entries: u64) -> u64 {
        // Not without what is missing before it.
        if self.tell_missing() && self.append(line) {
            self.has_failed = false;
            return 0;
        }
        self.miss(time, entries);
        entries
    }

    /// Whether nothing is missing that is not told.
    fn tell_missing(&mut self) -> bool {
        let Some((since, entries)) = self.missing else { return true };
        let mut text = String::new();
        lost_line(&mut text, since, entries);
        let is_told = self.append(&text);
        if is_told {
            self.missing = None;
        }
        is_told
    }

    fn miss(&mut self, since: SystemTime, entries: u64) {
        let (_, missing) = self.missing.get_or_insert((since, 0));
        *missing = missing.saturating_add(entries);
    }

    /// Whether it is there.
    fn append(&mut self, line: &str) -> bool {
        let appended = self.sink.append(line);
        if let Err(error) = &appended
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::error!(%error, "the audit log cannot be written; entries are lost");
        }
        appended.is_ok()
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        self.audit.end();
        // Ended by the thread's end, which says nothing before. One whose sink takes nothing is left.
        let is_written = self.written.recv_timeout(LAST_WORDS)
            == Err(std::sync::mpsc::RecvTimeoutError::Disconnected);
        match self.thread.take() {
            Some(thread) if is_written => drop(thread.join()),
            Some(_) | None => {
                tracing::warn!("the audit log's sink takes nothing; its last is lost")
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // What these names lead to may be a socket, which cannot be opened.
    let standard = match path.to_str() {
        Some("/dev/stdout") => Some(io::stdout().as_fd().try_clone_to_owned()?),
        Some("/dev/stderr") => Some(io::stderr().as_fd().try_clone_to_owned()?),
        _ => None,
    };
    if let Some(descriptor) = standard {
        return Ok(File::from(descriptor));
    }
    // A pipe that nobody reads is told of, and not waited for.
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    unblocked(file)
}

fn entry_line(out: &mut String, entry: &AuditEntry) {
    begin(out, entry.time, entry.deed.word());
    text(out, "method", Some(entry.method));
    text(out, "outcome", Some(entry.outcome));
    text(out, "tenant", entry.tenant.as_deref());
    text(out, "caller", entry.caller.as_deref());
    text(out, "peer", entry.peer.map(|peer| peer.to_string()).as_deref());
    text(out, "call_id", entry.call_id.as_deref());
    let subject = &entry.subject;
    text(out, "id", subject.id.as_deref());
    text(out, "uid", subject.uid.map(|uid| uid.to_string()).as_deref());
    text(out, "set", subject.set.as_deref());
    text(out, "grantee", subject.grantee.as_deref());
    text(out, "named_tenant", subject.named_tenant.as_deref());
    text(out, "request_id", subject.request_id.as_deref());
    if let Some(pages) = subject.pages {
        number(out, "pages", pages);
    }
    out.push_str("}\n");
}

fn lost_line(out: &mut String, time: SystemTime, entries: u64) {
    begin(out, time, "lost");
    number(out, "entries", entries);
    out.push_str("}\n");
}

fn denials_line(out: &mut String, untold: &Untold) {
    begin(out, untold.since, "denials");
    number(out, "entries", untold.entries);
    text(out, "peer", untold.peer.map(|peer| peer.to_string()).as_deref());
    out.push_str("}\n");
}

fn begin(out: &mut String, time: SystemTime, event: &str) {
    out.push_str("{\"time\":\"");
    // RFC 3339, in UTC. A String takes whatever is written to it.
    let _infallible = write!(out, "{}", prost_types::Timestamp::from(time));
    out.push('"');
    text(out, "event", Some(event));
}

fn number(out: &mut String, name: &str, value: u64) {
    let _infallible = write!(out, ",\"{name}\":{value}");
}

/// A field, where there is one.
fn text(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _infallible = write!(out, ",\"{name}\":{}", quoted(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::{Deed, Subject};

    /// Takes so many bytes, and then none until there is room again.
    struct Full(Vec<u8>, usize);

    impl Write for &mut Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..count]);
            self.1 -= count;
            if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_entries_that_found_no_room_and_they_are_counted() {
        let entry = AuditEntry::uncalled(Deed::Admin, "SIGHUP", "OK");
        let entry = AuditLine::Entry(Box::new(entry));
        for room in 0..300 {
            let mut disk = Full(Vec::new(), room);
            let mut writer = Writer::new(&mut disk);
            let mut lost: u64 = (0..5).map(|_| writer.write(&entry)).sum();
            writer.sink.to().1 = 10_000;
            lost += writer.write(&entry);
            let text = String::from_utf8(disk.0).unwrap();
            let lines = || text.lines().map(serde_json::from_str::<serde_json::Value>);
            let whole: Vec<_> = lines().filter_map(Result::ok).collect();
            let told: u64 = whole.iter().filter_map(|line| line["entries"].as_u64()).sum();
            let kept = whole.iter().filter(|line| line["event"] == "admin").count() as u64;
            assert_eq!((told, kept + lost), (lost, 6), "{room}: {text}");
            assert!(lines().count() - whole.len() <= 1 && text.ends_with("}\n"), "{text}");
        }
    }

    #[test]
    fn whatever_is_in_a_field_a_line_is_one_object_in_ascii() {
        let hostile = "a\"},\n{\"event\":\"x\\\u{0}\u{7f}\u{2028}\u{1f9e0}\u{1b}[31m";
        let some = |text: &str| Some(text.to_owned());
        let entry = AuditEntry {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            deed: Deed::Delete,
            method: "linmem.v1.MemoryService/DeleteMemory",
            call_id: some("c"),
            tenant: some("t"),
            caller: some(hostile),
            peer: None,
            subject: Subject { id: some(hostile), pages: Some(7), ..Subject::default() },
            outcome: "OK",
            is_of_the_door: false,
        };
        let mut out = String::new();
        lost_line(&mut out, entry.time, 3);
        entry_line(&mut out, &entry);
        assert!(out.is_ascii() && out.lines().count() == 2, "{out}");
        let lines: Vec<serde_json::Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["entries"], 3);
        assert_eq!(lines[1]["event"], "delete");
        assert_eq!(lines[1]["time"], "1970-01-01T00:00:01.500Z");
        assert_eq!([&lines[1]["id"], &lines[1]["caller"]], [hostile; 2]);
        assert_eq!(lines[1]["pages"], 7);
        assert_eq!(lines[1].get("peer"), None);
    }
}
