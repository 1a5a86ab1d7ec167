//! What an arena that is locked at start asks of a reservation beside what all do: how much of it the
//! kernel says is locked, and whether a range refuses a read.
//!
//! Law: `mod.rs`'s. No byte is read here: a range is asked about by a call that fails where a read would.

use std::path::Path;

use crate::os::OsError;
use crate::os::facts::number;
use crate::os::kernel::Advice;
use crate::os::reservation::Reservation;
use crate::units::ByteCount;

const SMAPS: &str = "/proc/self/smaps";

impl Reservation {
    /// How much of it the kernel keeps in RAM, by its own account. Reads of all mappings of the process:
    /// for a start, not for a request.
    ///
    /// # Errors
    /// What reading said.
    pub fn locked_bytes(&self) -> Result<ByteCount, OsError> {
        let text = self.kernel.read_file(Path::new(SMAPS)).map_err(|errno| OsError {
            call: "read /proc/self/smaps",
            errno,
            bytes: 0,
        })?;
        let start = self.base.as_ptr().addr() as u64;
        Ok(locked(&text, start, start.saturating_add(self.total_bytes.get())))
    }

    /// Whether whole host pages of the body can be read.
    ///
    /// # Errors
    /// EFAULT or EINVAL where they cannot; else what the kernel said.
    pub fn can_be_read(&self, from: ByteCount, to: ByteCount) -> Result<(), OsError> {
        self.advise_between(from, to, Advice::PopulateRead)
    }
}

/// The locked bytes of mappings that lie within `[start, end)`.
fn locked(smaps: &str, start: u64, end: u64) -> ByteCount {
    let (mut inside, mut sum) = (false, 0_u64);
    for line in smaps.lines() {
        if let Some((from, to)) = ends(line) {
            inside = start <= from && to <= end;
        } else if let Some(rest) = line.strip_prefix("Locked:")
            && inside
        {
            let kilobytes: u64 = rest.trim().strip_suffix(" kB").and_then(number).unwrap_or(0);
            sum = sum.saturating_add(kilobytes.saturating_mul(1024));
        }
    }
    ByteCount::new(sum)
}

/// Where the mapping lies that a line is the head of.
fn ends(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_bytes_are_those_of_mappings_within_the_range_and_no_others() {
        let smaps = "1000-2000 rw-p 00000000 00:00 0 \nSize:  4 kB\nLocked:  4 kB\n\
                     VmFlags: rd wr\n2000-4000 rw-p 00000000 00:00 0  [anon:linmemd]\n\
                     Locked:                8 kB\n4000-5000 ---p 0 00:00 0\nLocked:  0 kB\n";
        assert_eq!(locked(smaps, 0x2000, 0x5000), ByteCount::new(8192));
        assert_eq!(locked(smaps, 0, u64::MAX), ByteCount::new(12_288));
        assert_eq!(locked("nonsense\nLocked: 4 kB\n", 0, u64::MAX), ByteCount::ZERO);
    }
}
