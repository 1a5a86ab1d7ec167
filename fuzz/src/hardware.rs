//! [`flip`]: a bit of a memory's bytes, changed under the daemon as failing hardware changes one.
//!
//! Law: it is found by what lies there, through the kernel's view of this process; nothing of the daemon
//! is asked where its memories are, and no reference points there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// A memory begins where a page of the host does.
const HOST_PAGE: usize = 4096;
/// Looked through at once.
const PIECE: usize = 256 * HOST_PAGE;

/// Changes a bit of the first byte wherever a page begins so, one place after the other, until one was
/// right.
pub(crate) fn flip(beginning: &[u8], mut was_right: impl FnMut() -> bool) -> io::Result<bool> {
    let memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
    for place in places(&memory, beginning)? {
        let Some(first) = beginning.first() else { return Ok(false) };
        memory.write_all_at(&[first ^ 0x10], place)?;
        if was_right() {
            return Ok(true);
        }
        memory.write_all_at(&[*first], place)?;
    }
    Ok(false)
}

/// Where a page begins so, of those that can be written.
fn places(memory: &File, beginning: &[u8]) -> io::Result<Vec<u64>> {
    let (mut found, mut piece) = (Vec::new(), vec![0; PIECE]);
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let end = |text: &str| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (from, to) = (end(from)?, end(to)?);
        if !rights.starts_with("rw") {
            continue;
        }
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).map_or(PIECE, |left| left.min(PIECE));
            // A page that guards a memory has nothing to be read.
            let read = memory.read_at(&mut piece[..length], at).unwrap_or(0);
            for (page, bytes) in piece[..read].chunks(HOST_PAGE).enumerate() {
                if bytes.starts_with(beginning) {
                    found.push(at + (page * HOST_PAGE) as u64);
                }
            }
            at += read.max(HOST_PAGE) as u64;
        }
    }
    Ok(found)
}
