//! Owns the spelling of bytes and times, both ways: `"64MiB"`, `"5m"`. Only binary units: a `MB`
//! that is 4.9 % less than a `MiB` is refused rather than guessed. No bounds here.

use std::time::Duration;

use crate::config::defaults::{GIB, KIB, MIB, TIB};

const UNITS: [(&str, u64); 5] = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

/// Reads `"64MiB"`, `"64 MiB"`, `"4096"`. The error is for text that is no such thing; a number of
/// bytes past 64 bits saturates, for the bound to refuse.
pub(super) fn read_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '_');
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let scale = match unit.trim_start() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    Some(read_whole(digits)?.saturating_mul(scale))
}

/// The shortest TOML for so many bytes: in the largest unit that leaves no remainder.
pub(super) fn show_bytes(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    match unit {
        Some((name, scale)) if *scale > 1 => format!("\"{}{name}\"", bytes / scale),
        _ => bytes.to_string(),
    }
}

/// Reads `"5s"`, `"1m 30s"`, `"250ms"`; bare digits are seconds.
pub(super) fn read_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    match read_whole(text) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => humantime::parse_duration(text).ok(),
    }
}

/// TOML for a time.
pub(super) fn show_time(time: Duration) -> String {
    format!("\"{}\"", humantime::format_duration(time))
}

/// Reads decimal digits, `_` between them allowed as in TOML; past 64 bits it saturates.
pub(super) fn read_whole(text: &str) -> Option<u64> {
    let framed = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if text.is_empty() || framed {
        return None;
    }
    text.chars().filter(|letter| *letter != '_').try_fold(0_u64, |sum, letter| {
        let digit = letter.to_digit(10)?;
        Some(sum.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_read_in_binary_units_only() {
        assert_eq!(read_bytes("64MiB"), Some(64 * MIB));
        assert_eq!(read_bytes(" 64 MiB "), Some(64 * MIB));
        assert_eq!(read_bytes("4_096"), Some(4096));
        assert_eq!(read_bytes("0"), Some(0));
        assert_eq!(read_bytes("99999999999999999999TiB"), Some(u64::MAX));
        for refused in ["64MB", "64mib", "64M", "MiB", "", "-1", "1.5GiB", "_1", "1__0", "1MiB2"] {
            assert_eq!(read_bytes(refused), None, "{refused}");
        }
    }

    #[test]
    fn times_are_read_with_units_and_bare_digits_are_seconds() {
        assert_eq!(read_time("5m"), Some(Duration::from_secs(300)));
        assert_eq!(read_time("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(read_time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read_time("300"), Some(Duration::from_secs(300)));
        for refused in ["", "5x", "-5s", "soon"] {
            assert_eq!(read_time(refused), None, "{refused}");
        }
    }

    proptest! {
        #[test]
        fn shown_bytes_read_back(bytes: u64) {
            prop_assert_eq!(read_bytes(show_bytes(bytes).trim_matches('"')), Some(bytes));
        }

        #[test]
        fn shown_times_read_back(millis in 0_u64..1 << 40) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(read_time(show_time(time).trim_matches('"')), Some(time));
        }
    }
}
