//! Sizes as people write them: bytes, binary and decimal units, pages, hexadecimal.
//!
//! Its law: nothing is guessed. An ambiguous unit, a fraction that is not whole bytes and a page
//! count that is not whole pages are refused with what is accepted. Arithmetic is checked.

/// Bytes of a WebAssembly page.
pub(crate) const PAGE_BYTES: u64 = 65_536;

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SizeError {
    #[error("`{0}` is no size: say bytes (4096, 0x1000), 64KiB, 1.5MiB, 2GB or 3pages")]
    Form(String),
    #[error(
        "`{text}` is ambiguous: say {number}{unit}iB (powers of 1024) or {number}{unit}B (of 1000)"
    )]
    Ambiguous { text: String, number: String, unit: String },
    #[error("`{0}` is not a whole number of bytes")]
    Fraction(String),
    #[error("`{0}` is more than 2^64 - 1 bytes")]
    TooLarge(String),
    #[error("`{text}` is not whole pages of 64 KiB: say {below} or {above} pages")]
    NotWholePages { text: String, below: u64, above: u64 },
    #[error("`{0}` is no byte value: say 0 to 255 or 0x00 to 0xff")]
    Byte(String),
    #[error("`{0}` is no duration: say 500ms, 30s, 5m, 2h, 7days")]
    Duration(String),
}

/// Bytes; a number alone is bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, SizeError> {
    let (number, unit) = split(text)?;
    number.times(unit.unwrap_or(1), text)
}

/// Pages; a number alone is pages, and a size in bytes must be whole pages.
pub(crate) fn pages(text: &str) -> Result<u64, SizeError> {
    let (number, unit) = split(text)?;
    let Some(unit) = unit else { return number.times(1, text) };
    let bytes = number.times(unit, text)?;
    let below = bytes / PAGE_BYTES;
    match bytes % PAGE_BYTES {
        0 => Ok(below),
        _ => Err(SizeError::NotWholePages { text: text.to_owned(), below, above: below + 1 }),
    }
}

/// One byte's value.
pub(crate) fn byte_value(text: &str) -> Result<u8, SizeError> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.map_err(|_| SizeError::Byte(text.to_owned()))
}

/// A duration; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, SizeError> {
    if let Ok(seconds) = text.parse() {
        return Ok(std::time::Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| SizeError::Duration(text.to_owned()))
}

/// The fewest pages that hold so many bytes.
pub(crate) fn pages_for(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_BYTES)
}

/// Bytes for people: the largest binary unit, with one decimal where it is not whole.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(6);
    let unit = UNITS[usize::try_from(power - 1).unwrap_or(0)];
    let one = 1u64 << (power * 10);
    match (bytes / one, bytes % one) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, rest) => format!("{whole}.{} {unit}", u128::from(rest) * 10 / u128::from(one)),
    }
}

/// Pages for people: how many and how much that is.
pub(crate) fn human_pages(pages: u64) -> String {
    let word = if pages == 1 { "page" } else { "pages" };
    format!("{pages} {word} ({})", human(pages.saturating_mul(PAGE_BYTES)))
}

/// A whole part and decimals.
struct Number {
    whole: u64,
    decimals: u64,
    /// Ten to the number of decimals.
    scale: u64,
}

impl Number {
    fn times(&self, unit: u64, text: &str) -> Result<u64, SizeError> {
        let total = u128::from(self.whole) * u128::from(unit);
        let part = u128::from(self.decimals) * u128::from(unit);
        if part % u128::from(self.scale) != 0 {
            return Err(SizeError::Fraction(text.to_owned()));
        }
        u64::try_from(total + part / u128::from(self.scale))
            .map_err(|_| SizeError::TooLarge(text.to_owned()))
    }
}

fn split(text: &str) -> Result<(Number, Option<u64>), SizeError> {
    let form = || SizeError::Form(text.to_owned());
    let trimmed = text.trim();
    let hex = trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X"));
    let is_digit = |c: char| match hex {
        Some(_) => c.is_ascii_hexdigit() || c == '_',
        None => c.is_ascii_digit() || c == '_' || c == '.',
    };
    let body = hex.unwrap_or(trimmed);
    let end = body.find(|c| !is_digit(c)).unwrap_or(body.len());
    let digits = body[..end].replace('_', "");
    let word = body[end..].trim();
    let number = match hex {
        Some(_) => Number {
            whole: u64::from_str_radix(&digits, 16).map_err(|_| form())?,
            decimals: 0,
            scale: 1,
        },
        None => decimal(&digits).ok_or_else(form)?,
    };
    let unit = match word.to_ascii_lowercase().as_str() {
        "" => None,
        "b" | "byte" | "bytes" => Some(1),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "tib" => Some(1 << 40),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        "page" | "pages" => Some(PAGE_BYTES),
        "k" | "m" | "g" | "t" => {
            let (number, unit) = (digits, word.to_ascii_uppercase());
            return Err(SizeError::Ambiguous { text: text.to_owned(), number, unit });
        }
        _ => return Err(form()),
    };
    match (unit, number.scale) {
        // "1.5" alone: of what?
        (None, scale) if scale > 1 => Err(form()),
        _ => Ok((number, unit)),
    }
}

fn decimal(digits: &str) -> Option<Number> {
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || decimals.contains('.') || digits.ends_with('.') {
        return None;
    }
    let scale = 10u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let decimals = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
    Some(Number { whole: whole.parse().ok()?, decimals, scale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_documented_form_is_read() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("1_000", 1000),
            ("0x10000", 65_536),
            ("0X1f", 31),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1MiB", 1 << 20),
            ("1.5MiB", 3 << 19),
            ("2GB", 2_000_000_000),
            ("3 pages", 196_608),
            ("3pages", 196_608),
            ("1page", 65_536),
            ("0.5 page", 32_768),
            ("0x2 pages", 131_072),
            ("7B", 7),
            (" 8 bytes ", 8),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_is() {
        for text in ["", "x", "-1", "1.5", "1.", ".5KiB", "1.2.3KiB", "0x", "0xg", "5 parsecs"] {
            let error = bytes(text).unwrap_err();
            assert!(error.to_string().contains("64KiB"), "{text}: {error}");
        }
        assert!(bytes("1M").unwrap_err().to_string().contains("say 1MiB"));
        assert!(matches!(bytes("0.3KiB"), Err(SizeError::Fraction(_))));
        assert!(matches!(bytes("16777216TiB"), Err(SizeError::TooLarge(_))));
        assert!(bytes("18446744073709551616").is_err());
    }

    #[test]
    fn page_counts_are_pages_unless_a_unit_says_otherwise() {
        for (text, expected) in [("3", 3), ("3 pages", 3), ("1MiB", 16), ("0x10", 16), ("0", 0)] {
            assert_eq!(pages(text), Ok(expected), "{text}");
        }
        let error = pages("100KiB").unwrap_err().to_string();
        assert!(error.contains("say 1 or 2 pages"), "{error}");
    }

    #[test]
    fn byte_values_and_durations_say_their_range() {
        assert_eq!((byte_value("255"), byte_value("0xff")), (Ok(255), Ok(255)));
        assert!(byte_value("256").is_err() && byte_value("0x100").is_err());
        assert_eq!(duration("2").unwrap().as_secs(), 2);
        assert_eq!(duration("500ms").unwrap().as_millis(), 500);
        assert!(duration("soon").is_err());
    }

    #[test]
    fn human_sizes_are_short() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (65_536, "64 KiB"), (1_600, "1.5 KiB")];
        for (bytes, expected) in cases {
            assert_eq!(human(bytes), expected);
        }
        assert_eq!(human(u64::MAX), "15.9 EiB");
        assert_eq!(human_pages(1), "1 page (64 KiB)");
        assert_eq!((pages_for(0), pages_for(1), pages_for(65_537)), (0, 1, 2));
    }

    proptest! {
        #[test]
        fn any_number_of_bytes_reads_back(value: u64) {
            prop_assert_eq!(bytes(&value.to_string()), Ok(value));
            prop_assert_eq!(bytes(&format!("{value:#x}")), Ok(value));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            drop((bytes(&text), pages(&text), byte_value(&text), duration(&text)));
        }
    }
}
