//! Claims about ListMemories: every memory once, page by page, as the selector says, BASIC.

use std::collections::BTreeSet;

use linmemd::client::Client;
use linmemd::client::proto::{ListMemoriesRequest, MemorySpec, MemoryView};

use crate::contract::{invalid, refused};
use crate::harness::{House, pages};

async fn page(client: &Client, selector: &str, size: u32, token: &str) -> (Vec<String>, String) {
    let request = ListMemoriesRequest {
        label_selector: selector.to_owned(),
        page_size: size,
        page_token: token.to_owned(),
        ..Default::default()
    };
    let page = client.list_memories(request).await.unwrap();
    (page.memories.into_iter().map(|memory| memory.memory_id).collect(), page.next_page_token)
}

fn labelled(labels: &[(&str, &str)]) -> MemorySpec {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    MemorySpec { labels, ..pages(0) }
}

#[tokio::test]
async fn pages_show_every_memory_once_whatever_is_made_and_deleted_between() {
    let house = House::start();
    let client = house.client().await;
    for number in 0..105 {
        client.create(Some(&format!("m{number:03}")), pages(0)).await.unwrap();
    }
    let (first, _) = page(&client, "", 0, "").await;
    assert_eq!(first.len(), 100, "the default size of a page");
    let (all, token) = page(&client, "", 5_000, "").await;
    assert_eq!((all.len(), token.as_str()), (105, ""));
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (ids, next) = page(&client, "", 10, &token).await;
        assert!(ids.len() <= 10);
        if let Some(last) = ids.last() {
            client.delete(last).await.unwrap();
        }
        seen.extend(ids);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(seen.len(), 105);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 105);
    house.stop().await;
}

#[tokio::test]
async fn a_selector_selects_by_key_absence_value_and_difference() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("plain"), labelled(&[])).await.unwrap();
    client.create(Some("a1"), labelled(&[("a", "1")])).await.unwrap();
    client.create(Some("a2"), labelled(&[("a", "2"), ("b", "")])).await.unwrap();
    for (selector, ids) in [
        ("", &["a1", "a2", "plain"][..]),
        ("a", &["a1", "a2"]),
        ("!a", &["plain"]),
        ("a=1", &["a1"]),
        ("a!=1", &["a2", "plain"]),
        ("a,b", &["a2"]),
        ("b=", &["a2"]),
        ("a=1,b", &[]),
        ("c", &[]),
    ] {
        let (mut found, token) = page(&client, selector, 10, "").await;
        found.sort();
        assert_eq!(
            (found.as_slice(), token.as_str()),
            (&*ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), ""),
            "{selector}"
        );
    }
    for selector in ["a=1,", ",", "=1", "!", "a b", "!a=1", "ä"] {
        let label_selector = selector.to_owned();
        let request = ListMemoriesRequest { label_selector, ..Default::default() };
        invalid(client.list_memories(request).await, "label_selector");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_page_of_memories_with_many_labels_ends_at_about_a_mebibyte() {
    const MEMORIES: usize = 90;
    let house = House::start();
    let client = house.client().await;
    let labels = (0..64).map(|number| (format!("{number:0>128}"), "v".repeat(256)));
    let spec = MemorySpec { labels: labels.collect(), ..pages(0) };
    for number in 0..MEMORIES {
        client.create(Some(&format!("m{number:03}")), spec.clone()).await.unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (ids, next) = page(&client, "", 1_000, &token).await;
        assert!((1..43).contains(&ids.len()), "{}", ids.len());
        seen.extend(ids);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    let all: Vec<String> = (0..MEMORIES).map(|number| format!("m{number:03}")).collect();
    assert_eq!(seen, all);
    house.stop().await;
}

#[tokio::test]
async fn a_token_of_another_list_or_of_nobody_is_refused() {
    let house = House::start();
    let client = house.client().await;
    for id in ["a", "b", "c"] {
        client.create(Some(id), labelled(&[("k", "v")])).await.unwrap();
    }
    let (_, token) = page(&client, "", 1, "").await;
    let (_, labelled) = page(&client, "k", 1, "").await;
    for (selector, token) in
        [("k", token.as_str()), ("", labelled.as_str()), ("", "x"), ("", "."), ("", "e3b0c442.ä")]
    {
        let request = ListMemoriesRequest {
            label_selector: selector.to_owned(),
            page_token: token.to_owned(),
            ..Default::default()
        };
        let failure = refused(client.list_memories(request).await, "PAGE_TOKEN_INVALID", &[]);
        assert_eq!(failure.field_violations[0].field, "page_token");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_list_shows_basic_and_refuses_full() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let request = |view| ListMemoriesRequest { view, ..Default::default() };
    invalid(client.list_memories(request(MemoryView::Full.into())).await, "view");
    invalid(client.list_memories(request(9)).await, "view");
    for view in [MemoryView::Unspecified, MemoryView::Basic] {
        let listed = client.list_memories(request(view.into())).await.unwrap().memories;
        assert_eq!(listed, [client.memory("m").await.unwrap()]);
    }
    house.stop().await;
}
