//! Owns the grammars of names in the configuration and the nearest-name suggestion. Pure
//! functions on text; it knows no key.

use std::net::IpAddr;

use tracing_subscriber::EnvFilter;

/// The longest id, bytes.
const ID: usize = 128;
/// The longest host name, bytes (RFC 1035).
const HOST: usize = 253;

/// `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`, as memory ids have it.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= ID
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// A host name or an IP address, without brackets, scheme and port.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= HOST && text.split('.').all(label))
}

/// A label selector, as ListMemories has it: `key`, `!key`, `key=value`, `key!=value`, joined by commas.
pub(super) fn is_label_selector(text: &str) -> bool {
    let term = |term: &str| {
        let key = match term.split_once("!=").or_else(|| term.split_once('=')) {
            Some((key, _value)) => key,
            None => term.strip_prefix('!').unwrap_or(term),
        };
        is_id(key.trim())
    };
    text.trim().is_empty() || text.split(',').all(|one| term(one.trim()))
}

/// A filter that `EnvFilter` takes. A bare word must be a level: `EnvFilter` would take a
/// misspelt level for a target and leave the log silent.
pub(super) fn is_log_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let bare_word_is_level = |directive: &str| {
        directive.contains(['=', '[', ']', '{', '}'])
            || LEVELS.iter().any(|level| directive.eq_ignore_ascii_case(level))
    };
    text.split(',').all(|directive| bare_word_is_level(directive.trim()))
        && EnvFilter::builder().parse(text).is_ok()
}

/// The candidate that is nearest to a misspelt name, if one is near enough to be meant: a third
/// of its letters wrong at most.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(ID).collect();
    let most = |candidate: &str| candidate.len().max(3) / 3;
    candidates
        .into_iter()
        // Each letter that one has more is one to drop.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most(candidate))
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= most(candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, change or swap with their neighbour, to turn one name into the other.
fn distance(name: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().collect();
    let mut above: Vec<usize> = (0..=candidate.len()).collect();
    // The row above that, and the one that is being made.
    let (mut before, mut current) = (above.clone(), above.clone());
    for (row, letter) in name.iter().enumerate() {
        current[0] = row + 1;
        for (column, other) in candidate.iter().enumerate() {
            let changed = above[column] + usize::from(letter != other);
            let mut least = changed.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0
                && column > 0
                && *letter == candidate[column - 1]
                && name[row - 1] == *other;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current[column + 1] = least;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let keys = ["listen", "idle_timeout", "max_connections"];
        assert_eq!(nearest("max_conections", keys), Some("max_connections"));
        assert_eq!(nearest("lsiten", keys), Some("listen"));
        assert_eq!(nearest("idletimeout", keys), Some("idle_timeout"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
    }

    #[test]
    fn an_id_follows_the_grammar_of_the_api() {
        for good in ["a", "0", "default", "team-a.prod:eu_1", &"x".repeat(128)] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "_other", "-a", ".a", "a b", "ä", "a/b", &"x".repeat(129)] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_has_no_scheme_and_no_port() {
        for good in ["localhost", "metrics.example", "10.0.0.1", "::1", "a_b.c-d"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "http://a", "a:9420", "[::1]", "a..b", "-a", "a b", "*"] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn a_misspelt_level_is_no_filter() {
        for good in ["info", "INFO", "warn,linmemd::rpc=debug", "info,linmemd=TRACE"] {
            assert!(is_log_filter(good), "{good}");
        }
        for bad in ["", "inof", "info,", "linmemd=loud", "info,linmemd", "info, linmemd=trace"] {
            assert!(!is_log_filter(bad), "{bad}");
        }
    }
}
