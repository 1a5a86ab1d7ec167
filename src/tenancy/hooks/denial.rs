//! What a denied growth is told, in words.
//!
//! Law: what a decider says is cut and escaped before anyone reads it.

use crate::error::{DenialCause, Failure};
use crate::tenancy::hooks::{Hook, MAX_REASON_BYTES};

/// A decider said no.
pub(super) fn denied(hook: &Hook, reason: &str) -> Failure {
    let why = match printable(reason) {
        reason if reason.is_empty() => "it gave no reason".to_owned(),
        reason => reason,
    };
    of(hook, DenialCause::Denied, why)
}

/// Nobody said anything, and the hook fails closed.
pub(super) fn unanswered(hook: &Hook, cause: DenialCause) -> Failure {
    let why = match cause {
        DenialCause::Timeout => {
            format!("no answer came within {:?}, and it fails closed", hook.spec.answer_timeout)
        }
        DenialCause::Denied | DenialCause::Absent => {
            "nobody answers for it (AnswerGrowHook), and it fails closed".to_owned()
        }
    };
    of(hook, cause, why)
}

fn of(hook: &Hook, cause: DenialCause, why: String) -> Failure {
    Failure::GrowDenied { cause, hook_id: hook.id.to_string(), why }
}

/// A reason as it may be shown: its first bytes, escaped where they do not print.
fn printable(reason: &str) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let mut shown = String::new();
    for letter in reason.get(..end).unwrap_or_default().chars() {
        // Quotes print; what controls a terminal or a line of the log does not.
        if matches!(letter, '"' | '\'') {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_debug());
        }
    }
    shown
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_letters_and_controls_nothing() {
        assert_eq!(
            printable("tenant \"a\" is over 80 % (\u{fc}ber)"),
            "tenant \"a\" is over 80 % (\u{fc}ber)"
        );
        assert_eq!(printable("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(printable(&"x".repeat(300)).len(), 256);
        assert_eq!(printable(&"\u{fc}".repeat(300)).chars().count(), 128);
        assert_eq!(printable(&format!("x{}", "\u{fc}".repeat(300))).chars().count(), 128);
    }
}
