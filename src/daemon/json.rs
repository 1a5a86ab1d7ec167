//! [`quoted`]: a string of JSON, for what the daemon writes by itself: the audit log and `check --json`.
//!
//! Law: plain ASCII whatever the text is, so that it can end no line and no field (RFC 8259, section 7).

/// The text, in quotation marks.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => quoted.push(char::from(byte)),
            Ok(_) | Err(_) => quoted.push_str(&format!("\\u{unit:04x}")),
        }
    }
    quoted.push('"');
    quoted
}
