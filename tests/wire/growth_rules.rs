//! Claims about `[grow_policy]`: what it refuses is refused before any hook is asked, and takes nothing.

use linmemd::client::proto::MemorySpec;
use linmemd::config::GrowPolicy;

use crate::harness::{House, PAGE, eventually, pages, tenant};
use crate::hooks::{asked, charged, denied, events};

fn large() -> MemorySpec {
    MemorySpec { maximum_pages: Some(1024), ..pages(1) }
}

#[tokio::test]
async fn a_step_past_the_largest_is_denied_before_any_hook_and_a_tenants_own_goes_first() {
    let house = House::with(|config| {
        config.grow_policy.largest_step_pages = Some(4);
        config.tenants = ["default", "other"].map(|name| tenant(name, None)).to_vec();
        config.tenants[1].grow_policy =
            GrowPolicy { largest_step_pages: Some(8), ..GrowPolicy::default() };
    });
    let (client, other) = (house.client().await, house.client_of("other").await);
    client.create(Some("m"), large()).await.unwrap();
    other.create(Some("m"), large()).await.unwrap();
    client.create_grow_hook(asked("h")).await.unwrap();
    let failure = denied(client.grow("m", 5).await, "DENIED", "policy:largest_step_pages");
    assert!(failure.message.contains("5 pages at a time; at most 4"), "{failure}");
    denied(client.grow("m", 4).await, "ABSENT", "h");
    denied(client.create(Some("n"), pages(5)).await, "DENIED", "policy:largest_step_pages");
    assert_eq!(other.grow("m", 8).await.unwrap().current_pages, 9);
    denied(other.grow("m", 9).await, "DENIED", "policy:largest_step_pages");
    assert_eq!(events(&house.scrape().await, "pre", "absent"), 1.0);
    assert_eq!((charged(&client).await, charged(&other).await), (1, 9));
    house.stop().await;
}

#[tokio::test]
async fn growth_past_its_rate_is_denied_and_what_was_refused_later_takes_nothing_of_it() {
    let house = House::with(|config| config.grow_policy.rate_pages_per_second = Some(100));
    let client = house.client().await;
    client.create(Some("m"), large()).await.unwrap();
    // The page of the creation comes back first; then it is a second's worth and two more, which the
    // next ones wait for.
    eventually("a whole second's worth is there", async || client.grow("m", 299).await.is_ok())
        .await;
    denied(client.grow("m", 1).await, "DENIED", "policy:rate_pages_per_second");
    assert_eq!(charged(&client).await, 300);
    house.stop().await;

    // So slow that none comes back within the test.
    let house = House::with(|config| config.grow_policy.rate_pages_per_second = Some(1));
    let client = house.client().await;
    client.create(Some("m"), MemorySpec { initial_pages: 0, ..large() }).await.unwrap();
    client.create_grow_hook(asked("h")).await.unwrap();
    for _refused in 0..3 {
        denied(client.grow("m", 100).await, "ABSENT", "h");
    }
    client.delete_grow_hook("h", false).await.unwrap();
    assert_eq!(client.grow("m", 100).await.unwrap().current_pages, 100);
    denied(client.grow("m", 100).await, "DENIED", "policy:rate_pages_per_second");
    house.stop().await;
}

#[tokio::test]
async fn a_tenant_does_not_grow_past_its_share_of_the_hosts_budget() {
    let house = House::with(|config| {
        config.memory.host_budget = Some(100 * PAGE);
        config.grow_policy.budget_share = Some(0.1);
    });
    let client = house.client().await;
    client.create(Some("m"), large()).await.unwrap();
    assert_eq!(client.grow("m", 8).await.unwrap().current_pages, 9);
    let failure = denied(client.grow("m", 1).await, "DENIED", "policy:budget_share");
    assert!(failure.message.contains("10 %"), "{failure}");
    denied(client.create(Some("n"), pages(1)).await, "DENIED", "policy:budget_share");
    assert_eq!(charged(&client).await, 9);
    house.stop().await;
}
