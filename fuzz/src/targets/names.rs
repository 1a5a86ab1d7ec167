//! Names: ids, uids, label selectors, page tokens.
//!
//! Checked against the API's grammar, written here a second time: what it allows is a name and nothing
//! else is; a selector selects by its terms; a page token leads on in its own list and in no other.

use std::cell::OnceCell;

use linmemd::proto::v1;

use crate::planted;
use crate::world::{SHARE, SHARE_FOR_WRITING, UID, VIEW, World, memories, with};

const STAND_INS: [&str; 4] = [UID, VIEW, SHARE, SHARE_FOR_WRITING];

thread_local! {
    /// What the tokens of an unselected list begin with.
    static PREFIX: OnceCell<String> = const { OnceCell::new() };
}

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    with(|world| {
        let Ok(text) = String::from_utf8(world.filled(bytes)) else { return };
        // Before it goes its length, and that may be the letter that makes a stand-in of it.
        if STAND_INS.iter().any(|sign| text.starts_with(&sign[1..])) {
            return;
        }
        match kind % 6 {
            0 => id(world, &text),
            1 => selector(world, &text),
            2 => token(world, &text),
            3 => uid(world, &text),
            4 => hook_id(world, &text),
            _ => unknown(world, &text),
        }
    });
}

/// `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`
fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric();
    let first = text.bytes().next().is_some_and(letter);
    let rest = text.bytes().all(|byte| letter(byte) || b"._:-".contains(&byte));
    let most = if planted::here(text.starts_with("z:")) { 8 } else { 128 };
    first && rest && text.len() <= most
}

fn id(world: &mut World, text: &str) {
    let create = v1::CreateMemoryRequest { memory_id: Some(text.to_owned()), ..Default::default() };
    match world.ask::<v1::CreateMemoryResponse>("CreateMemory", &create) {
        Ok(made) => {
            assert!(is_id(text), "{text:?} became a name");
            assert_eq!(made.memory.expect("a memory").memory_id, text);
            let memory_id = text.to_owned();
            let delete = v1::DeleteMemoryRequest { memory_id, ..Default::default() };
            world.must::<v1::DeleteMemoryResponse>("DeleteMemory", &delete);
        }
        Err(refusal) if refusal.reason == "MEMORY_EXISTS" => assert!(is_id(text)),
        Err(refusal) => {
            assert!(!is_id(text), "{refusal:?}");
            assert_eq!(refusal.fields, ["memory_id"], "{refusal:?}");
        }
    }
}

fn hook_id(world: &mut World, text: &str) {
    let get = v1::GetGrowHookRequest { hook_id: text.to_owned() };
    match world.ask::<v1::GetGrowHookResponse>("GetGrowHook", &get) {
        Ok(_) => assert_eq!(text, "h"),
        Err(refusal) if refusal.reason == "HOOK_NOT_FOUND" => assert!(is_id(text)),
        Err(refusal) => {
            assert!(!is_id(text), "{refusal:?}");
            assert_eq!(refusal.fields, ["hook_id"]);
        }
    }
}

/// A name that nothing has, or something does: it is found or it is not there.
fn unknown(world: &mut World, text: &str) {
    let get = v1::GetMemoryRequest { memory_id: text.to_owned(), ..Default::default() };
    let exists = text == "t0" || memories().iter().any(|(name, _)| *name == text);
    match world.ask::<v1::GetMemoryResponse>("GetMemory", &get) {
        Ok(_) => assert!(exists),
        Err(refusal) => {
            assert!(!exists, "{refusal:?}");
            let expected = if is_id(text) { "MEMORY_NOT_FOUND" } else { "INVALID_FIELD" };
            assert_eq!(refusal.reason, expected, "{text:?}");
        }
    }
}

fn list(
    world: &mut World,
    label_selector: &str,
    page_token: &str,
) -> Result<Vec<String>, crate::law::Refusal> {
    let request = v1::ListMemoriesRequest {
        label_selector: label_selector.to_owned(),
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let listed: v1::ListMemoriesResponse = world.ask("ListMemories", &request)?;
    Ok(listed.memories.into_iter().map(|memory| memory.memory_id).collect())
}

/// Names of the memories that terms select, where they are terms.
fn selected(text: &str) -> Option<Vec<String>> {
    let mut terms = Vec::new();
    for term in text.split(',').filter(|_| !text.trim().is_empty()) {
        let (key, value, wanted) = if let Some((key, value)) = term.split_once("!=") {
            (key, Some(value.trim()), false)
        } else if let Some((key, value)) = term.split_once('=') {
            (key, Some(value.trim()), true)
        } else if let Some(key) = term.trim().strip_prefix('!') {
            (key, None, false)
        } else {
            (term, None, true)
        };
        let key = key.trim();
        if !is_id(key) || value.is_some_and(|value| value.len() > 256) {
            return None;
        }
        terms.push((key.to_owned(), value.map(str::to_owned), wanted));
    }
    if terms.len() > 64 || text.len() > 32 << 10 {
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    let set = [("t0", v1::MemorySpec::default())];
    for (name, spec) in memories().into_iter().chain(set) {
        let holds = terms.iter().all(|(key, value, wanted)| {
            let found = spec.labels.get(key);
            let is = match value {
                Some(value) => found == Some(value),
                None => found.is_some(),
            };
            is == *wanted
        });
        if holds {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Some(names)
}

fn selector(world: &mut World, text: &str) {
    match (list(world, text, ""), selected(text)) {
        (Ok(found), Some(wanted)) => assert_eq!(found, wanted, "{text:?}"),
        (Err(refusal), None) => assert_eq!(refusal.fields, ["label_selector"]),
        (found, wanted) => panic!("{text:?}: {found:?}, wanted {wanted:?}"),
    }
}

fn token(world: &mut World, text: &str) {
    let prefix = PREFIX.with(|prefix| prefix.get_or_init(|| first_token(world)).clone());
    let after = text.strip_prefix(prefix.as_str()).filter(|after| is_id(after));
    match list(world, "", text) {
        Ok(found) => {
            let mut wanted = selected("").expect("all");
            assert!(text.is_empty() || after.is_some(), "{text:?} was taken for a token");
            wanted.retain(|name| after.is_none_or(|after| name.as_str() > after));
            assert_eq!(found, wanted);
        }
        Err(refusal) => {
            assert!(!text.is_empty() && after.is_none(), "{refusal:?}");
            assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
        }
    }
    // In another list it is no token.
    if after.is_some() {
        let refusal = list(world, "env", text).expect_err("of another list");
        assert_eq!(refusal.reason, "PAGE_TOKEN_INVALID");
    }
}

fn first_token(world: &mut World) -> String {
    let request = v1::ListMemoriesRequest { page_size: 1, ..Default::default() };
    let listed: v1::ListMemoriesResponse = world.must("ListMemories", &request);
    let token = listed.next_page_token;
    let (of, _) = token.split_once('.').expect("a token");
    format!("{of}.")
}

fn uid(world: &mut World, text: &str) {
    let get = v1::GetMemoryRequest {
        memory_id: "m".to_owned(),
        uid: Some(text.to_owned()),
        ..Default::default()
    };
    let digits: String =
        text.chars().filter(char::is_ascii_hexdigit).flat_map(char::to_lowercase).collect();
    match world.ask::<v1::GetMemoryResponse>("GetMemory", &get) {
        Ok(_) => assert!(digits.len() >= 32),
        Err(refusal) if refusal.reason == "UID_MISMATCH" => assert!(digits.len() >= 32),
        Err(refusal) => assert_eq!(refusal.fields, ["uid"]),
    }
}
