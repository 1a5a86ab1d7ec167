//! [`LabelSelector`]: `key`, `!key`, `key=value`, `key!=value`, comma-joined; all must hold.
//!
//! Law: as in Kubernetes, `key!=value` also holds where there is no such key. Knows labels only.

use crate::model::{Id, MAX_LABELS};

/// A parsed selector. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Has(String),
    HasNot(String),
    Is(String, String),
    IsNot(String, String),
}

impl LabelSelector {
    /// Parses a selector.
    ///
    /// # Errors
    /// What is wrong and what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let terms: Vec<&str> = text.split(',').collect();
        if terms.len() > MAX_LABELS {
            return Err(format!("has {} terms; at most {MAX_LABELS}", terms.len()));
        }
        terms.into_iter().map(|term| parse_term(term.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels of which these are the values satisfy every term.
    #[must_use]
    pub fn selects<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Has(key) => value_of(key).is_some(),
            Term::HasNot(key) => value_of(key).is_none(),
            Term::Is(key, value) => value_of(key) == Some(value),
            Term::IsNot(key, value) => value_of(key) != Some(value),
        })
    }
}

fn parse_term(term: &str) -> Result<Term, String> {
    let owned = |key: &str| {
        if Id::is_valid(key) {
            Ok(key.to_owned())
        } else {
            Err("each term is key, !key, key=value or key!=value; a key matches \
                 [A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
                .to_owned())
        }
    };
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(Term::IsNot(owned(key.trim())?, value.trim().to_owned()));
    }
    if let Some((key, value)) = term.split_once('=') {
        return Ok(Term::Is(owned(key.trim())?, value.trim().to_owned()));
    }
    match term.strip_prefix('!') {
        Some(key) => Ok(Term::HasNot(owned(key.trim())?)),
        None => Ok(Term::Has(owned(term)?)),
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let value_of = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        LabelSelector::parse(selector).unwrap().selects(value_of)
    }

    #[test]
    fn every_term_must_hold() {
        let labels = [("env", "prod"), ("team", "a")];
        for holds in ["", "env", "!zone", "env=prod", "env!=dev,team", "zone!=x", "env = prod"] {
            assert!(selects(holds, &labels), "{holds}");
        }
        for fails in ["zone", "!env", "env=dev", "env!=prod", "env,zone"] {
            assert!(!selects(fails, &labels), "{fails}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for bad in ["=x", ",", "a,,b", "a b", "!", "!a=b"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
        assert!(LabelSelector::parse(&vec!["a"; 65].join(",")).is_err());
    }
}
