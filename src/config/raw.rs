//! Owns a value as a layer gave it, before any key has judged it. All layers end here, so that a
//! key is read the same way wherever its value came from. It knows no key and no bound.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::DeValue;

/// The longest found text that a mistake repeats, characters.
const SHOWN: usize = 80;

/// A value without a judgement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    Boolean(bool),
    Integer(i128),
    Float(f64),
    /// TOML's string.
    Text(String),
    List(Vec<Raw>),
    Table(BTreeMap<String, Raw>),
    Date(String),
    /// What an environment variable or a flag says: only the key knows its type.
    Bare(String),
}

/// Why a key does not take a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    WrongType,
    Malformed,
    OutOfRange,
}

impl Raw {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix())
                .map_or_else(|_| Self::Text(digits.to_string()), Self::Integer),
            DeValue::Float(digits) => {
                digits.as_str().parse().map_or_else(|_| Self::Text(digits.to_string()), Self::Float)
            }
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Datetime(value) => Self::Date(value.to_string()),
            DeValue::Array(items) => {
                Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect())
            }
            DeValue::Table(table) => Self::Table(
                table
                    .iter()
                    .map(|(name, value)| {
                        (name.get_ref().to_string(), Self::from_toml(value.get_ref()))
                    })
                    .collect(),
            ),
        }
    }

    /// The text of a value that is text, or that only its key can tell from text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Bare(text) => Some(text),
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::List(_)
            | Self::Table(_)
            | Self::Date(_) => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Date(value) => write!(f, "the date {value}"),
            Self::Table(_) => write!(f, "a table"),
            Self::List(_) => write!(f, "an array"),
            Self::Text(text) | Self::Bare(text) => match text.char_indices().nth(SHOWN) {
                None => write!(f, "{text:?}"),
                Some((end, _)) => write!(f, "{:?}...", text.get(..end).unwrap_or_default()),
            },
        }
    }
}
