//! Bytes as people look at them: the view of `hexdump -C`, and hexadecimal text back to bytes.
//!
//! Its law: the view is fed in pieces of any length and prints the same lines as if fed at once;
//! repeated lines become one `*`, and the last line is the offset of the end.

/// Writes a hex view piece by piece.
#[derive(Debug)]
pub(crate) struct HexView {
    /// Where the next line begins.
    offset: u64,
    pending: Vec<u8>,
    /// The line before, to be compared with.
    last: Option<[u8; LINE]>,
    squeezing: bool,
    color: bool,
}

/// Why a text is not hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HexError {
    #[error("`{0}` is no hexadecimal digit: say pairs such as 48656c6c6f or \"48 65 6c\"")]
    Digit(char),
    #[error("an odd number of hexadecimal digits: every byte takes two")]
    Odd,
}

impl HexView {
    /// A view whose first byte is at `offset`.
    pub(crate) fn new(offset: u64, color: bool) -> Self {
        Self { offset, pending: Vec::new(), last: None, squeezing: false, color }
    }

    /// The lines that these bytes complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> String {
        let mut out = String::new();
        if !self.pending.is_empty() {
            let take = (LINE - self.pending.len()).min(bytes.len());
            self.pending.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.pending.len() < LINE {
                return out;
            }
            let line = std::mem::take(&mut self.pending);
            self.full_line(&line, &mut out);
        }
        let mut lines = bytes.chunks_exact(LINE);
        for line in &mut lines {
            self.full_line(line, &mut out);
        }
        self.pending.extend_from_slice(lines.remainder());
        out
    }

    /// The last, shorter line and the offset of the end.
    pub(crate) fn finish(mut self) -> String {
        let mut out = String::new();
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.line(&rest, &mut out);
        }
        let end = self.offset.saturating_add(u64::try_from(rest.len()).unwrap_or(0));
        self.paint(OFFSET, &format!("{end:08x}"), &mut out);
        out.push('\n');
        out
    }

    fn full_line(&mut self, line: &[u8], out: &mut String) {
        let same = self.last.is_some_and(|last| last == line);
        if !same {
            self.line(line, out);
            self.squeezing = false;
            self.last = line.try_into().ok();
        } else if !self.squeezing {
            out.push_str("*\n");
            self.squeezing = true;
        }
        self.offset = self.offset.saturating_add(16);
    }

    fn line(&self, line: &[u8], out: &mut String) {
        self.paint(OFFSET, &format!("{:08x}", self.offset), out);
        for place in 0..LINE {
            out.push_str(if place % 8 == 0 { "  " } else { " " });
            match line.get(place) {
                Some(0) => self.paint(ZERO, "00", out),
                Some(byte) => self.paint(PLAIN, &format!("{byte:02x}"), out),
                None => out.push_str("  "),
            }
        }
        let text: String = line.iter().map(|&byte| printable(byte)).collect();
        out.push_str("  |");
        self.paint(TEXT, &text, out);
        out.push_str("|\n");
    }

    fn paint(&self, style: &str, text: &str, out: &mut String) {
        if self.color && !style.is_empty() {
            out.push_str(&format!("\x1b[{style}m{text}\x1b[0m"));
        } else {
            out.push_str(text);
        }
    }
}

/// Bytes in pairs of digits, as [`parse`] reads them.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from pairs of hexadecimal digits; white space, colons and a leading 0x are passed over.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, HexError> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for digit in text.chars().filter(|c| !c.is_whitespace() && *c != ':') {
        let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
        let value = value.ok_or(HexError::Digit(digit))?;
        match high.take() {
            None => high = Some(value),
            Some(high) => bytes.push(high << 4 | value),
        }
    }
    if high.is_some() { Err(HexError::Odd) } else { Ok(bytes) }
}

const LINE: usize = 16;

const OFFSET: &str = "36";
const ZERO: &str = "2";
const PLAIN: &str = "";
const TEXT: &str = "32";

fn printable(byte: u8) -> char {
    if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn view(offset: u64, bytes: &[u8]) -> String {
        let mut view = HexView::new(offset, false);
        let mut out = view.push(bytes);
        out.push_str(&view.finish());
        out
    }

    #[test]
    fn it_looks_like_hexdump() {
        let expected = "\
00000000  48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 0a 00 ff  |Hello, world!...|
00000010  7a                                                |z|
00000011
";
        assert_eq!(view(0, b"Hello, world!\n\x00\xffz"), expected);
    }

    #[test]
    fn repeated_lines_become_one_star() {
        let mut bytes = vec![0; 64];
        bytes.extend_from_slice(b"0123456789abcdef");
        let text = view(0x1_0000, &bytes);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("00010000  00 00"));
        assert_eq!(lines[1], "*");
        assert!(lines[2].starts_with("00010040  30 31"));
        assert_eq!(lines[3], "00010050");
    }

    #[test]
    fn nothing_is_one_line_and_offsets_beyond_4_gib_widen() {
        assert_eq!(view(5, b""), "00000005\n");
        assert!(view(1 << 33, b"x").starts_with("200000000  78"));
    }

    #[test]
    fn colour_is_added_only_where_asked_for() {
        let mut colored = HexView::new(0, true);
        assert!(colored.push(&[1; 16]).contains("\x1b[36m"));
        assert!(!view(0, &[1; 16]).contains('\x1b'));
    }

    #[test]
    fn hexadecimal_text_is_read_in_its_usual_forms() {
        for text in ["48656c", "48 65 6C", "48:65:6c", "0x48656c"] {
            assert_eq!(parse(text).as_deref(), Ok(&b"Hel"[..]), "{text}");
        }
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("4"), Err(HexError::Odd));
        assert_eq!(parse("4g"), Err(HexError::Digit('g')));
    }

    proptest! {
        #[test]
        fn pieces_print_as_the_whole_does(
            bytes in prop::collection::vec(0u8..2, 0..200),
            cuts in prop::collection::vec(1usize..40, 0..10),
        ) {
            let mut pieces = HexView::new(0, false);
            let (mut out, mut rest) = (String::new(), &bytes[..]);
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                out.push_str(&pieces.push(piece));
                rest = tail;
            }
            out.push_str(&pieces.push(rest));
            out.push_str(&pieces.finish());
            prop_assert_eq!(out, view(0, &bytes));
        }
    }
}
