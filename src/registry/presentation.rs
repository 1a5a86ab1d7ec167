//! [`Said`]: a presentation as a record keeps it, and [`PresentationVersion`], as it is handed out.
//!
//! ```text
//! said   | 1 | lease, expiry: 8 bytes each |  or  | 0 |   then   | display name | key | value | …
//! text   | length, seven bits a byte | bytes |
//! ```
//!
//! Law: one allocation, as long as what is said; none where nothing is. There may be a million of
//! these, and a map of one label alone would take more than a whole record. Times are whole
//! nanoseconds. Does not know which changes are allowed.

use std::time::{Duration, SystemTime};

use crate::model::Presentation;
use crate::registry::looks::Looks;
use crate::registry::selector::LabelSelector;

/// What UpdateMemory may change, and the tag of this version of it.
#[derive(Clone, Debug, Default)]
pub struct PresentationVersion {
    /// What it says.
    pub presentation: Presentation,
    /// Changes whenever it does.
    pub etag: String,
    /// When the lease runs out, for people.
    pub expire_time: Option<SystemTime>,
}

/// What is said of a memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Box<[u8]>);

impl Said {
    pub(super) fn new(said: &Presentation, expire_time: Option<SystemTime>) -> Self {
        if *said == Presentation::default() {
            return Self::default();
        }
        let mut bytes = Vec::new();
        match said.lease_ttl {
            Some(lease) => {
                bytes.push(1);
                bytes.extend(nanoseconds(lease).to_le_bytes());
                bytes.extend(expire_time.map_or(0, since_1970).to_le_bytes());
            }
            None => bytes.push(0),
        }
        put(&mut bytes, &said.display_name);
        for (key, value) in &said.labels {
            put(&mut bytes, key);
            put(&mut bytes, value);
        }
        Self(bytes.into())
    }

    pub(super) fn presentation(&self) -> Presentation {
        let mut texts = self.texts();
        let display_name = texts.next().unwrap_or_default().to_owned();
        let mut labels = std::collections::BTreeMap::new();
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            labels.insert(key.to_owned(), value.to_owned());
        }
        Presentation { display_name, labels, lease_ttl: self.lease_ttl() }
    }

    /// Whether its labels are what a selector wants.
    pub(super) fn is_selected(&self, selector: &LabelSelector, looks: &mut Looks) -> bool {
        if selector.terms() == 0 {
            return true;
        }
        looks.compare(selector.terms(), self.length());
        selector.selects(self.labels())
    }

    /// How many bytes it takes.
    pub(super) const fn length(&self) -> usize {
        self.0.len()
    }

    pub(super) fn lease_ttl(&self) -> Option<Duration> {
        self.times().map(|(lease, _)| Duration::from_nanos(lease))
    }

    pub(super) fn expire_time(&self) -> Option<SystemTime> {
        self.times().and_then(|(_, expiry)| after_1970(expiry))
    }

    /// The lease runs out then instead.
    pub(super) fn renew(&mut self, expire_time: Option<SystemTime>) {
        if self.0.first() == Some(&1)
            && let Some(place) = self.0.get_mut(9..17)
        {
            place.copy_from_slice(&expire_time.map_or(0, since_1970).to_le_bytes());
        }
    }

    /// The labels, in order of their keys.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut packed = self.packed().skip(1);
        std::iter::from_fn(move || Some((packed.next()?, packed.next()?)))
    }

    fn times(&self) -> Option<(u64, u64)> {
        let (1, rest) = self.0.split_first()? else { return None };
        let (lease, rest) = rest.split_first_chunk()?;
        let (expiry, _) = rest.split_first_chunk()?;
        Some((u64::from_le_bytes(*lease), u64::from_le_bytes(*expiry)))
    }

    /// The display name, then keys and values in turn.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.packed().map_while(|text| std::str::from_utf8(text).ok())
    }

    /// The same as bytes.
    fn packed(&self) -> impl Iterator<Item = &[u8]> {
        let texts = match self.0.first() {
            Some(1) => self.0.get(17..),
            _ => self.0.get(1..),
        };
        let mut rest = texts.unwrap_or_default();
        std::iter::from_fn(move || {
            let (mut length, mut shift) = (0_usize, 0_u32);
            loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                length |= usize::from(byte & 0x7F).checked_shl(shift)?;
                if byte & 0x80 == 0 {
                    break;
                }
                shift = shift.checked_add(7)?;
            }
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(text)
        })
    }
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while let Ok(low) = u8::try_from(length & 0x7F)
        && length > 0x7F
    {
        bytes.push(low | 0x80);
        length >>= 7;
    }
    bytes.extend(u8::try_from(length));
    bytes.extend(text.as_bytes());
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Times before 1970 are 1970, and times after 2554 are 2554.
pub(super) fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanoseconds)
}

pub(super) fn after_1970(time: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(time))
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_said_is_said_again(
            display_name in ".{0,300}",
            labels in prop::collection::btree_map(".{0,140}", ".{0,300}", 0..9),
            lease in prop::option::of((1..1_u64 << 58, 0..1_u64 << 62)),
            other in any::<u64>(),
        ) {
            let lease_ttl = lease.map(|(lease, _)| Duration::from_nanos(lease));
            let expire_time = lease.and_then(|(_, expiry)| after_1970(expiry));
            let presentation = Presentation { display_name, labels, lease_ttl };
            let mut said = Said::new(&presentation, expire_time);
            prop_assert_eq!(said.expire_time(), expire_time);
            let labels = presentation.labels.iter();
            let labels = labels.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            prop_assert!(said.labels().eq(labels));
            prop_assert_eq!(&said.presentation(), &presentation);
            said.renew(after_1970(other));
            prop_assert_eq!(said.expire_time(), lease.and_then(|_| after_1970(other)));
            prop_assert_eq!(said.presentation(), presentation);
        }
    }

    #[test]
    fn one_short_label_takes_eight_bytes_and_nothing_takes_none() {
        let labels = [("app".to_owned(), "x".to_owned())].into();
        let presentation = Presentation { labels, ..Presentation::default() };
        assert_eq!(Said::new(&presentation, None).0.len(), 8);
        assert_eq!(Said::new(&Presentation::default(), None).0.len(), 0);
    }
}
