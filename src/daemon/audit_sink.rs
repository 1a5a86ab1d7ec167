//! [`Sink`]: where the audit log's lines are appended, each whole or told not to be.
//!
//! Law: a line that could be written in part only is not there, and what comes after it begins a line of its
//! own: what is left of it spoils no other. Does not know what lines say.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};

/// Lines go there.
#[derive(Debug)]
pub(super) struct Sink<W> {
    to: W,
    /// Whether its last line has no end.
    is_torn: bool,
}

impl<W: Write> Sink<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, is_torn: false }
    }

    #[cfg(test)]
    pub(super) const fn to(&mut self) -> &mut W {
        &mut self.to
    }

    /// Appends a line, which has an end.
    ///
    /// # Errors
    /// What the host says; the line is not there then, or not all of it.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let line = if self.is_torn { Cow::Owned(format!("\n{line}")) } else { Cow::Borrowed(line) };
        let (written, outcome) = self.write(line.as_bytes());
        if let Some(last) = written.checked_sub(1) {
            self.is_torn = line.as_bytes().get(last) != Some(&b'\n');
        }
        // But for its end, which comes before the next one.
        if written.saturating_add(1) == line.len() { Ok(()) } else { outcome }
    }

    /// How much of it is written, and what it ended with.
    fn write(&mut self, line: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0_usize;
        while let Some(rest) = line.get(written..).filter(|rest| !rest.is_empty()) {
            match self.to.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(count) => written = written.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file on a disk with so much room.
    #[derive(Default)]
    struct Disk {
        file: Vec<u8>,
        room: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.file.extend_from_slice(&bytes[..count]);
            if count == 0 { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is in the file after three lines, the second of them with so much room, and which of them are
    /// said to be there.
    fn with_room(room: usize) -> (String, [bool; 3]) {
        let mut disk = Disk { room: 1_000, ..Disk::default() };
        let mut is_torn = false;
        let told =
            [("one\n", 1_000), ("second\n", room), ("three\n", 1_000)].map(|(line, room)| {
                disk.room = room;
                let mut sink = Sink { to: &mut disk, is_torn };
                let told = sink.append(line).is_ok();
                is_torn = sink.is_torn;
                told
            });
        (String::from_utf8(disk.file).unwrap(), told)
    }

    #[test]
    fn a_line_that_was_written_in_part_spoils_none_after_it() {
        let lost = [true, false, true];
        assert_eq!(with_room(0), ("one\nthree\n".to_owned(), lost));
        assert_eq!(with_room(1), ("one\ns\nthree\n".to_owned(), lost));
        assert_eq!(with_room(5), ("one\nsecon\nthree\n".to_owned(), lost));
        let whole = ("one\nsecond\nthree\n".to_owned(), [true; 3]);
        assert_eq!([with_room(6), with_room(7)], [whole.clone(), whole], "its end came later");
    }

    #[test]
    fn a_line_is_begun_anew_only_once() {
        let mut disk = Disk { room: 2, ..Disk::default() };
        let mut sink = Sink::new(&mut disk);
        assert!(sink.append("lost\n").is_err() && sink.append("lost too\n").is_err());
        sink.to.room = 1;
        assert!(sink.append("still\n").is_err(), "room for the end of the line alone");
        sink.to.room = 100;
        assert!(sink.append("kept\n").is_ok());
        assert_eq!(disk.file, b"lo\nkept\n");
    }
}
