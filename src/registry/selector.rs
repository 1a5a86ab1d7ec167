//! [`LabelSelector`]: `key`, `!key`, `key=value`, `key!=value`, comma-joined; all must hold.
//!
//! Law: as in Kubernetes, `key!=value` also holds where there is no such key. Terms are in order of their
//! keys, as labels are, so that both are gone through once. Knows labels only.

use crate::model::{Id, MAX_LABEL_VALUE_BYTES, MAX_LABELS};

/// Longest text of a selector: each of its terms at its longest, and room for blanks.
const MAX_SELECTOR_BYTES: usize = 32 << 10;

/// A parsed selector. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    None,
    This(String),
    NotThis(String),
}

impl LabelSelector {
    /// Parses a selector.
    ///
    /// # Errors
    /// What is wrong and what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_SELECTOR_BYTES {
            return Err(format!("has {} bytes; at most {MAX_SELECTOR_BYTES}", text.len()));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let count = text.split(',').count();
        if count > MAX_LABELS {
            return Err(format!("has {count} terms; at most {MAX_LABELS}"));
        }
        let mut terms = text
            .split(',')
            .map(|term| parse_term(term.trim()))
            .collect::<Result<Vec<Term>, String>>()?;
        terms.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self(terms))
    }

    /// How many terms it has.
    pub(super) const fn terms(&self) -> usize {
        self.0.len()
    }

    /// Whether labels satisfy every term: keys and values, in order of the keys.
    #[must_use]
    pub fn selects<'a>(&self, labels: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut labels = labels.into_iter();
        let mut label = labels.next();
        self.0.iter().all(|Term { key, wanted }| {
            let key = key.as_bytes();
            while label.is_some_and(|(here, _)| here < key) {
                label = labels.next();
            }
            let value = label.filter(|(here, _)| *here == key).map(|(_, value)| value);
            match wanted {
                Wanted::Any => value.is_some(),
                Wanted::None => value.is_none(),
                Wanted::This(this) => value == Some(this.as_bytes()),
                Wanted::NotThis(this) => value != Some(this.as_bytes()),
            }
        })
    }
}

fn parse_term(term: &str) -> Result<Term, String> {
    let (key, wanted) = if let Some((key, value)) = term.split_once("!=") {
        (key, Wanted::NotThis(parse_value(value)?))
    } else if let Some((key, value)) = term.split_once('=') {
        (key, Wanted::This(parse_value(value)?))
    } else if let Some(key) = term.strip_prefix('!') {
        (key, Wanted::None)
    } else {
        (term, Wanted::Any)
    };
    let key = key.trim();
    if !Id::is_valid(key) {
        return Err("each term is key, !key, key=value or key!=value; a key matches \
                    [A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
            .to_owned());
    }
    Ok(Term { key: key.to_owned(), wanted })
}

fn parse_value(value: &str) -> Result<String, String> {
    let value = value.trim();
    if value.len() > MAX_LABEL_VALUE_BYTES {
        return Err(format!("has a value of more than {MAX_LABEL_VALUE_BYTES} bytes"));
    }
    Ok(value.to_owned())
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        LabelSelector::parse(selector).unwrap().selects(labels)
    }

    proptest! {
        #[test]
        fn it_selects_what_each_of_its_terms_selects_whatever_their_order(
            labels in prop::collection::btree_map("[a-e]{1,2}", "[xy]?", 0..9),
            terms in prop::collection::vec(("[a-e]{1,2}", prop::option::of("[xy]?"), any::<bool>()), 0..9),
        ) {
            let term = |(key, value, is): &(String, Option<String>, bool)| match (value, is) {
                (None, true) => key.clone(),
                (None, false) => format!("!{key}"),
                (Some(value), true) => format!("{key}={value}"),
                (Some(value), false) => format!("{key}!={value}"),
            };
            let text: Vec<String> = terms.iter().map(term).collect();
            let holds = terms.iter().all(|(key, value, is)| *is == match value {
                None => labels.contains_key(key),
                Some(value) => labels.get(key) == Some(value),
            });
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            prop_assert_eq!(selects(&text.join(","), &labels), holds);
        }
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

    #[test]
    fn what_no_label_can_be_is_no_term_and_blanks_are_not_kept_without_end() {
        for (key, value) in [(128, 256), (129, 0), (1, 257)] {
            let (key, value) = ("k".repeat(key), "v".repeat(value));
            for is in ["=", "!=", " = "] {
                let parsed = LabelSelector::parse(&format!("{key}{is}{value}"));
                assert_eq!(parsed.is_ok(), key.len() <= 128 && value.len() <= 256);
            }
        }
        let longest = format!("{:0>128}!={}", "", "v".repeat(256));
        assert!(LabelSelector::parse(&vec![longest; 64].join(",")).is_ok());
        assert!(LabelSelector::parse(&" ".repeat(MAX_SELECTOR_BYTES)).is_ok());
        assert!(LabelSelector::parse(&" ".repeat(MAX_SELECTOR_BYTES + 1)).is_err());
    }
}
