//! Owns the kinds of value that are lists of names, of words and of nodes, and the kind of pages. A kind knows no
//! key.

use crate::config::PageKind;
use crate::config::kinds::{Kind, Whole, quoted};
use crate::config::raw::{Raw, Refusal};
use crate::config::words;

/// The largest node that a kernel can be built for.
const LAST_NODE: u32 = 1_023;

/// Ids: the grammar that memories have too.
pub(super) struct Ids;
/// NUMA nodes, each once; the text says what none of them means.
pub(super) struct Nodes(pub(super) &'static str);
/// A kind of pages.
pub(super) struct Pages;
/// Words of a closed list, each once and at least one; the text says what they are.
pub(super) struct Words(pub(super) &'static [&'static str]);

impl Kind for Ids {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Refusal> {
        let names = texts(raw)?;
        if names.iter().all(|name| words::is_id(name)) {
            Ok(names)
        } else {
            Err(Refusal::Malformed)
        }
    }

    fn show(&self, value: &Vec<String>) -> Option<String> {
        show(value)
    }

    fn accepts(&self) -> String {
        "an array of names that match [A-Za-z0-9][A-Za-z0-9._:-]{0,127}".to_owned()
    }

    fn absent(&self) -> &'static str {
        "all"
    }

    fn found(&self, raw: &Raw) -> String {
        culprit(raw, |item| item.text().is_some_and(words::is_id))
    }
}

impl Kind for Nodes {
    type Value = Vec<u32>;

    fn read(&self, raw: &Raw) -> Result<Vec<u32>, Refusal> {
        let one = Whole(0, LAST_NODE);
        let nodes: Vec<u32> = match raw {
            Raw::List(items) => {
                items.iter().map(|item| one.read(item)).collect::<Result<_, _>>()?
            }
            Raw::Bare(text) if text.trim().is_empty() => Vec::new(),
            Raw::Bare(text) => text
                .split(',')
                .map(|node| one.read(&Raw::Bare(node.trim().to_owned())))
                .collect::<Result<_, _>>()?,
            _ => return Err(Refusal::WrongType),
        };
        let mut each = nodes.clone();
        each.sort_unstable();
        each.dedup();
        if each.len() == nodes.len() { Ok(nodes) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &Vec<u32>) -> Option<String> {
        let nodes: Vec<String> = value.iter().map(u32::to_string).collect();
        (!nodes.is_empty()).then(|| format!("[{}]", nodes.join(", ")))
    }

    fn accepts(&self) -> String {
        format!(
            "an array of NUMA nodes from 0 to {LAST_NODE}, each once, as [0, 1] (in the environment: \
             joined by commas)"
        )
    }

    fn absent(&self) -> &'static str {
        self.0
    }

    fn found(&self, raw: &Raw) -> String {
        culprit(raw, |item| Whole(0, LAST_NODE).read(item).is_ok())
    }
}

impl Kind for Pages {
    type Value = PageKind;

    fn read(&self, raw: &Raw) -> Result<PageKind, Refusal> {
        match raw.text().ok_or(Refusal::WrongType)? {
            "base" => Ok(PageKind::Base),
            "2m" => Ok(PageKind::Huge2M),
            "1g" => Ok(PageKind::Huge1G),
            _ => Err(Refusal::Malformed),
        }
    }

    fn show(&self, value: &PageKind) -> Option<String> {
        Some(quoted(match value {
            PageKind::Base => "base",
            PageKind::Huge2M => "2m",
            PageKind::Huge1G => "1g",
        }))
    }

    fn accepts(&self) -> String {
        "\"base\", \"2m\" or \"1g\"".to_owned()
    }
}

impl Kind for Words {
    type Value = Vec<String>;

    fn read(&self, raw: &Raw) -> Result<Vec<String>, Refusal> {
        let words = texts(raw)?;
        let known = words.iter().all(|word| self.0.contains(&word.as_str()));
        let mut each = words.clone();
        each.sort_unstable();
        each.dedup();
        let fits = known && !words.is_empty() && each.len() == words.len();
        if fits { Ok(words) } else { Err(Refusal::Malformed) }
    }

    fn show(&self, value: &Vec<String>) -> Option<String> {
        show(value)
    }

    fn accepts(&self) -> String {
        format!("an array of one or more of {}, each once", self.0.join(", "))
    }

    fn found(&self, raw: &Raw) -> String {
        culprit(raw, |item| item.text().is_some_and(|word| self.0.contains(&word)))
    }
}

/// What of a refused array is to be looked at: its first element that does not fit, or that is there
/// twice.
pub(super) fn culprit(raw: &Raw, fits: impl Fn(&Raw) -> bool) -> String {
    let Raw::List(items) = raw else { return raw.to_string() };
    let of = items.len();
    let mut numbered = items.iter().zip(1_usize..);
    if let Some((item, number)) = numbered.find(|(item, _)| !fits(item)) {
        return format!("{item}, element {number} of {of}");
    }
    let twice = items.iter().zip(1_usize..).find_map(|(item, number)| {
        let first = items.iter().position(|other| other == item)?.saturating_add(1);
        (first < number).then(|| format!("{item} twice, elements {first} and {number} of {of}"))
    });
    twice.unwrap_or_else(|| if of == 0 { "an empty array".to_owned() } else { raw.to_string() })
}

/// The texts of an array.
fn texts(raw: &Raw) -> Result<Vec<String>, Refusal> {
    let Raw::List(items) = raw else { return Err(Refusal::WrongType) };
    items.iter().map(|item| item.text().map(str::to_owned).ok_or(Refusal::WrongType)).collect()
}

/// An array of them; none where there are none.
fn show(texts: &[String]) -> Option<String> {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    (!quoted.is_empty()).then(|| format!("[{}]", quoted.join(", ")))
}
