//! Claims about what shares cost, who pays, and how many there may be.

use std::fmt::Display;

use linmemd::client::Client;
use linmemd::client::proto::ShareAccess;

use crate::contract::refused;
use crate::harness::{PAGE, pages, pattern};
use crate::shares::{give, house};

/// What a share is charged, and its mount.
const CHARGED: u64 = 1_024;

async fn overhead(client: &Client) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == "overhead_bytes").unwrap().used
}

async fn committed(client: &Client) -> u64 {
    let quotas = client.server_info().await.unwrap().quotas;
    quotas.iter().find(|quota| quota.resource == "committed_bytes").unwrap().used
}

#[tokio::test]
async fn pages_stay_the_owners_charge_and_each_pays_for_its_part_of_a_share() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(4)).await.unwrap();
    let (owners, grantees) = (overhead(&blue).await, overhead(&red).await);
    let pages_paid = committed(&blue).await;
    let share = give(&blue, "m", "red", ShareAccess::ReadWrite, None).await.unwrap();
    // Beside the ring of events, which comes in steps.
    let events = |tenant: &str| house.tenant(tenant).namespace.events().charged_bytes();
    let before = events("red");
    assert_eq!(overhead(&blue).await, owners + CHARGED);
    assert_eq!(overhead(&red).await, grantees);
    red.mount_share(&share.share_id, Some("theirs")).await.unwrap();
    red.write("theirs", 0, pattern(4 * PAGE, 1)).await.unwrap();
    assert_eq!(overhead(&red).await, grantees + CHARGED + events("red") - before);
    assert_eq!((committed(&red).await, committed(&blue).await), (0, pages_paid));
    red.revoke_share(&share.share_id, false).await.unwrap();
    assert_eq!(overhead(&blue).await, owners);
    assert_eq!(overhead(&red).await, grantees + events("red") - before);
    house.stop().await;
}

#[tokio::test]
async fn shares_and_mounts_are_so_many_and_no_more() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let limits = blue.server_info().await.unwrap().limits.unwrap();
    blue.create(Some("m"), pages(1)).await.unwrap();
    for _share in 0..limits.max_shares {
        let share = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
        red.mount_share(&share.share_id, None).await.unwrap();
    }
    let numbers = |name: &'static &'static str| -> [(&'static str, &dyn Display); 3] {
        [("limit_name", name), ("limit", &1_024), ("used", &1_024)]
    };
    assert_eq!((limits.max_shares, limits.max_mounts), (1_024, 1_024));
    let one_more = give(&blue, "m", "red", ShareAccess::Read, None).await;
    refused(one_more, "QUOTA_EXCEEDED", &numbers(&"shares"));
    // Another's shares are on another's account, and a mount too many is its grantee's.
    let green = house.client_of("green").await;
    green.create(Some("m"), pages(1)).await.unwrap();
    let share = give(&green, "m", "red", ShareAccess::Read, None).await.unwrap();
    let mount = red.mount_share(&share.share_id, None).await;
    refused(mount, "QUOTA_EXCEEDED", &numbers(&"mounts"));
    blue.delete("m").await.unwrap();
    red.mount_share(&share.share_id, None).await.unwrap();
    assert_eq!(red.list("").await.unwrap().len(), 1);
    house.stop().await;
}
