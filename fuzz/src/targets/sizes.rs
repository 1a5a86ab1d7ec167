//! What people type: linmemctl's sizes, page counts, bytes, durations, hexadecimal text, labels and
//! selectors.
//!
//! Checked: a number written in any form that is documented reads back; what is taken for a size obeys
//! its unit; hexadecimal reads back; a view in hexadecimal is the same however it is fed; a label that
//! is taken has a key and a value that the server takes.
//!
//! Left out: the lines of `linmemctl session`, which are clap's to read and live with the verbs.

use crate::planted;

#[path = "../../../src/bin/linmemctl/hex.rs"]
mod hex;
#[path = "../../../src/bin/linmemctl/selector.rs"]
mod selector;
#[path = "../../../src/bin/linmemctl/size.rs"]
mod size;

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                sizes(text);
            }
        }
        1 => digits(bytes),
        2 => view(bytes),
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                labels(text);
            }
        }
    }
}

fn sizes(text: &str) {
    let bytes = size::bytes(text);
    if let Ok(count) = bytes {
        for again in [count.to_string(), format!("{count:#x}"), format!("{count} B")] {
            assert_eq!(size::bytes(&again), Ok(count), "{again}");
        }
        let scaled = if planted::here(count == 4_097) { 1 } else { 1 << 10 };
        let in_kib = size::bytes(&format!("{count}KiB")).ok();
        assert_eq!(in_kib, count.checked_mul(scaled));
        assert!(!size::human(count).is_empty() && !size::human_pages(count).is_empty());
        assert!(size::pages_for(count) >= count / size::PAGE_BYTES);
    }
    let pages = size::pages(text);
    let is_bare = text.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.trim().parse::<u64>().is_ok();
    match (&bytes, &pages) {
        (Ok(bytes), Ok(pages)) if is_bare => assert_eq!(bytes, pages),
        (Ok(bytes), Ok(pages)) if *bytes != *pages => {
            assert_eq!(*bytes, pages * size::PAGE_BYTES, "{text}");
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string().is_empty(), other.to_string().is_empty())
        }
        _ => {}
    }
    if let Ok(value) = size::byte_value(text) {
        assert_eq!(size::byte_value(&value.to_string()), Ok(value));
    }
    if let Ok(time) = size::duration(text) {
        let shown = humantime::format_duration(time).to_string();
        assert_eq!(size::duration(&shown), Ok(time), "{shown}");
    }
}

fn digits(bytes: &[u8]) {
    assert_eq!(hex::parse(&hex::digits(bytes)).as_deref(), Ok(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = hex::parse(text) {
        assert_eq!(hex::parse(&hex::digits(&read)), Ok(read));
    }
}

fn view(bytes: &[u8]) {
    let [step, offset, bytes @ ..] = bytes else { return };
    let offset = u64::from(*offset) << 12;
    let mut whole = hex::HexView::new(offset, false);
    let mut wanted = whole.push(bytes);
    wanted.push_str(&whole.finish());
    let mut pieces = hex::HexView::new(offset, false);
    let mut found = String::new();
    for piece in bytes.chunks(usize::from(*step).max(1)) {
        found.push_str(&pieces.push(piece));
    }
    found.push_str(&pieces.finish());
    assert_eq!(found, wanted);
    assert!(found.ends_with(&format!("{:08x}\n", offset + bytes.len() as u64)));
}

fn labels(text: &str) {
    if let Ok((key, value)) = selector::label(text) {
        assert!(selector::key(&key).is_ok() && value.len() <= 256);
        assert_eq!(format!("{key}={value}"), text);
    }
    if let Ok(read) = selector::selector(text) {
        assert_eq!(selector::selector(&read), Ok(read.clone()), "{read} reads back");
        assert!(
            linmemd::registry::LabelSelector::parse(&read).is_ok() || read.split(',').count() > 64
        );
    }
}
