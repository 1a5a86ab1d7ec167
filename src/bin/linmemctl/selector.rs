//! Labels and label selectors as they are typed.
//!
//! Its law: the same grammar as the server's (`key`, `!key`, `key=value`, `key!=value`, joined by
//! commas), checked here so that a slip of the pen is a usage error. It matches nothing itself.

/// Why a text is no label or no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("`{0}` is no label: say key=value")]
    Label(String),
    #[error(
        "`{0}` is no label key: it begins with a letter or digit and has up to 128 of letters, \
         digits and . _ : -"
    )]
    Key(String),
    #[error("the value of label `{0}` is longer than 256 bytes")]
    Value(String),
    #[error("`{0}` is no selector term: say key, !key, key=value or key!=value, joined by commas")]
    Term(String),
}

/// `key=value`; the value may be empty.
pub(crate) fn label(text: &str) -> Result<(String, String), SelectorError> {
    let (key, value) = text.split_once('=').ok_or_else(|| SelectorError::Label(text.to_owned()))?;
    let key = self::key(key)?;
    match value.len() {
        0..=256 => Ok((key, value.to_owned())),
        _ => Err(SelectorError::Value(key)),
    }
}

/// A label's key.
pub(crate) fn key(text: &str) -> Result<String, SelectorError> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
    match first && rest && text.len() <= 128 {
        true => Ok(text.to_owned()),
        false => Err(SelectorError::Key(text.to_owned())),
    }
}

/// A whole selector, spaces around its terms removed. Empty matches everything.
pub(crate) fn selector(text: &str) -> Result<String, SelectorError> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let terms: Result<Vec<&str>, SelectorError> = text.split(',').map(term).collect();
    Ok(terms?.join(","))
}

fn term(text: &str) -> Result<&str, SelectorError> {
    let text = text.trim();
    let refused = || SelectorError::Term(text.to_owned());
    let name = match text.split_once("!=").or_else(|| text.split_once('=')) {
        Some((_, value)) if value.len() > 256 => return Err(refused()),
        Some((name, _)) => name,
        None => text.strip_prefix('!').unwrap_or(text),
    };
    key(name).map_err(|_| refused())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_a_key_and_a_value_that_may_hold_anything() {
        assert_eq!(label("team=red"), Ok(("team".to_owned(), "red".to_owned())));
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(label("empty="), Ok(("empty".to_owned(), String::new())));
        assert!(matches!(label("team"), Err(SelectorError::Label(_))));
        assert!(matches!(label("=x"), Err(SelectorError::Key(_))));
        assert!(matches!(label(&format!("k={}", "v".repeat(257))), Err(SelectorError::Value(_))));
    }

    #[test]
    fn the_four_kinds_of_terms_are_accepted() {
        assert_eq!(selector("a, !b ,c=d,e!=f").as_deref(), Ok("a,!b,c=d,e!=f"));
        assert_eq!(selector("  ").as_deref(), Ok(""));
    }

    #[test]
    fn a_slip_of_the_pen_is_refused_with_the_grammar() {
        for text in ["a,,b", "=v", "!", "a b", "!a=b", "-x"] {
            let error = selector(text).unwrap_err().to_string();
            assert!(error.contains("say key, !key"), "{text}: {error}");
        }
    }
}
