//! Claims about tenants that are closed: nobody calls as them, what they had open ends, what they have
//! stays, and comes back with them; and about tenants that go.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime};

use linmemd::client::proto::{
    ShareAccess, ShareDirection, WaitOnAddressRequest, WatchEventsRequest,
};
use linmemd::client::{Client, ClientError};
use linmemd::config::{Config, TenantState};
use linmemd::token::Token;

use crate::authorization::by_tokens;
use crate::contract::refused;
use crate::grpc::{Wire, framed};
use crate::harness::{House, Witness, eventually, pages};
use crate::reloads::Reloading;
use crate::shares::give;

const CALLERS: [(&str, &str, &[&str]); 3] = [
    ("owner", "other", &["reader", "writer", "watcher", "metrics"]),
    ("operator", "default", &["operator"]),
    ("cleaner", "default", &["reader", "writer", "operator"]),
];

fn token(place: usize) -> Token {
    Token::new([u8::try_from(place).unwrap() + 1; 32])
}

fn identities(config: &mut Config) {
    config.identities = by_tokens(&CALLERS, token);
    config.http.allow_anonymous = true;
}

async fn client(house: &House, place: usize) -> Client {
    house.client_by(token(place).reveal()).await
}

fn close(config: &mut Config, name: &str) {
    let found = config.tenants.iter_mut().find(|tenant| tenant.name == name);
    found.unwrap().state = TenantState::Closed;
}

#[tokio::test]
async fn a_closed_tenant_refuses_its_callers_ends_what_they_have_open_and_keeps_its_memories() {
    let it = Reloading::with(identities).await;
    let (owner, operator) = (client(&it.house, 0).await, client(&it.house, 1).await);
    let witness = Witness::of(&owner, "w").await;
    let shared = linmemd::client::proto::MemorySpec { shared: true, ..pages(1) };
    owner.create(Some("s"), shared).await.unwrap();
    let session = owner.session(|_| ()).await.unwrap();
    let handle = session.attach("w").await.unwrap();
    let wire = Wire::connect(it.house.grpc()).await;
    let authorization = format!("Bearer {}", token(0).reveal());
    let headers = [("authorization", authorization.as_str())];
    let wait = WaitOnAddressRequest { memory_id: "s".to_owned(), width: 4, ..Default::default() };
    let watch = WatchEventsRequest::default();
    let mut open = Vec::new();
    for (rpc, first) in [
        ("MemoryService/WaitOnAddress", framed(&wait)),
        ("EventService/WatchEvents", framed(&watch)),
    ] {
        let mut started = wire.begin_path(&format!("/linmem.v1.{rpc}"), &headers).await;
        started.body.send_data(first.into(), true).unwrap();
        open.push(started);
    }
    let is_parked =
        |tenant: &std::sync::Arc<linmemd::tenancy::Tenant>| tenant.namespace.waiters() == 1;
    let tenants = &it.house.daemon.server.tenants;
    eventually("all is open", async || {
        tenants.iter().any(|tenant| is_parked(&tenant)) && it.house.daemon.server.running() >= 1
    })
    .await;

    it.write(|config| close(config, "other"));
    let begun = Instant::now();
    let answer = operator.reload(false).await.unwrap();
    assert_eq!(answer.changes.len(), 1);
    assert_eq!(answer.changes[0].key, "tenant[\"other\"].state");
    for started in open {
        refused(started.answer().await.outcome(), "CREDENTIALS_REFUSED", &[]);
    }
    let read = linmemd::client::proto::ReadOperation { offset: 0, length: 1 };
    let read = linmemd::client::proto::operation::Operation::Read(read);
    let read = linmemd::client::proto::Operation { operation: Some(read) };
    assert!(handle.execute_one(read).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    refused(owner.list("").await, "CREDENTIALS_REFUSED", &[]);
    refused(client(&it.house, 0).await.read("w", 0, 1).await, "CREDENTIALS_REFUSED", &[]);
    let scrape = it.house.daemon.server.may_scrape(Some(authorization.as_bytes()), None);
    assert!(scrape.is_err(), "its role of metrics too");

    // Operators look at it, at no byte.
    let there = operator.with_tenant(Some("other")).unwrap();
    assert_eq!(there.list("").await.unwrap().len(), 2);
    let role: [(&str, &dyn Display); 1] = [("role", &"reader")];
    refused(there.read("w", 0, 1).await, "ROLE_MISSING", &role);
    let page = it.house.scrape().await;
    assert_eq!(page.value("linmemd_tenant_memories", &[("tenant", "other")]), 2.0);
    // Nor can it be left out.
    it.write(|config| {
        config.tenants.retain(|tenant| tenant.name != "other");
        config.identities.retain(|one| one.tenant != "other");
    });
    let Err(ClientError::Refused(failure)) = operator.reload(false).await else { panic!("gone") };
    assert!(failure.message.contains("2 memories"), "{failure}");

    it.write(|_| {});
    operator.reload(false).await.unwrap();
    witness.is_unharmed().await;
    for memory in ["w", "s"] {
        owner.delete(memory).await.unwrap();
    }
    eventually("no call runs", async || it.house.daemon.server.running() == 0).await;
    it.house.close().await;
}

#[tokio::test]
async fn a_closed_tenants_leases_go_on_running_out() {
    let it = Reloading::with(|config| {
        identities(config);
        config.lease.sweep_interval = Duration::from_millis(10);
    })
    .await;
    let (owner, operator) = (client(&it.house, 0).await, client(&it.house, 1).await);
    let ttl = Duration::from_secs(1).try_into().unwrap();
    let spec = linmemd::client::proto::MemorySpec { lease_ttl: Some(ttl), ..pages(1) };
    owner.create(Some("leased"), spec).await.unwrap();
    owner.create(Some("kept"), pages(1)).await.unwrap();
    it.write(|config| close(config, "other"));
    operator.reload(false).await.unwrap();
    let there = operator.with_tenant(Some("other")).unwrap();
    eventually("its lease has run out", async || there.list("").await.unwrap().len() == 1).await;
    it.write(|_| {});
    operator.reload(false).await.unwrap();
    owner.delete("kept").await.unwrap();
    it.house.close().await;
}

#[tokio::test]
async fn where_nobody_is_asked_a_closed_tenant_is_refused_and_the_sockets_owner_opens_it_again() {
    let it = Reloading::with(|config| close(config, "default")).await;
    let anonymous = it.house.client().await;
    refused(anonymous.list("").await, "CREDENTIALS_REFUSED", &[]);
    it.house.client_of("other").await.list("").await.unwrap();
    assert_eq!(it.operator.list("").await.unwrap(), []);
    let role: [(&str, &dyn Display); 1] = [("role", &"writer")];
    refused(it.operator.create(None, pages(1)).await, "ROLE_MISSING", &role);
    let answer = it
        .to(|config| {
            config.tenants.iter_mut().for_each(|tenant| tenant.state = TenantState::Active);
        })
        .await;
    assert_eq!(answer.changes[0].key, "tenant[\"default\"].state");
    anonymous.list("").await.unwrap();
    it.house.stop().await;
}

#[tokio::test]
async fn what_was_shared_with_a_tenant_that_goes_ends_with_it() {
    let it = Reloading::with(|_| {}).await;
    let (owner, other) = (it.house.client().await, it.house.client_of("other").await);
    owner.create(Some("m"), pages(1)).await.unwrap();
    let share = give(&owner, "m", "other", ShareAccess::ReadWrite, None).await.unwrap();
    other.mount_share(&share.share_id, Some("lent")).await.unwrap();
    it.to(|config| config.tenants.retain(|tenant| tenant.name != "other")).await;
    assert_eq!(owner.shares(ShareDirection::Given).await.unwrap(), []);
    it.to(|_| {}).await;
    assert_eq!(other.list("").await.unwrap(), []);
    refused(other.read("lent", 0, 1).await, "MEMORY_NOT_FOUND", &[("memory_id", &"lent")]);
    other.create(Some("lent"), pages(1)).await.unwrap();
    it.house.stop().await;
}

#[tokio::test]
async fn a_share_that_its_grantee_never_mounted_is_not_the_next_tenants_of_that_name() {
    let it = Reloading::with(|_| {}).await;
    let (owner, other) = (it.house.client().await, it.house.client_of("other").await);
    owner.create(Some("m"), pages(1)).await.unwrap();
    let end = SystemTime::now() + Duration::from_secs(3_600);
    let mut offered = Vec::new();
    for (access, end) in [(ShareAccess::ReadWrite, None), (ShareAccess::Read, Some(end))] {
        offered.push(give(&owner, "m", "other", access, end).await.unwrap().share_id);
    }
    let kept = give(&owner, "m", "third", ShareAccess::Read, None).await.unwrap();
    it.to(|config| config.tenants.retain(|tenant| tenant.name != "other")).await;
    assert_eq!(owner.shares(ShareDirection::Given).await.unwrap(), [kept]);
    it.to(|_| {}).await;
    assert_eq!(other.shares(ShareDirection::Received).await.unwrap(), []);
    for share_id in &offered {
        let late = other.mount_share(share_id, Some("lent")).await;
        refused(late, "SHARE_NOT_FOUND", &[("share_id", share_id)]);
        let again = owner.revoke_share(share_id, false).await;
        refused(again, "SHARE_NOT_FOUND", &[("share_id", share_id)]);
    }
    it.house.stop().await;
}

#[tokio::test]
async fn what_a_closed_tenant_has_given_goes_on_and_what_it_was_given_waits_for_it() {
    let it = Reloading::with(identities).await;
    let (owner, cleaner) = (client(&it.house, 0).await, client(&it.house, 2).await);
    for (client, name) in [(&owner, "m"), (&cleaner, "c")] {
        client.create(Some(name), pages(1)).await.unwrap();
    }
    let access = ShareAccess::ReadWrite;
    let given = give(&owner, "m", "default", access, None).await.unwrap();
    let offered = give(&owner, "m", "default", ShareAccess::Read, None).await.unwrap();
    let received = give(&cleaner, "c", "other", access, None).await.unwrap();
    cleaner.mount_share(&given.share_id, Some("lent")).await.unwrap();
    owner.mount_share(&received.share_id, Some("lent")).await.unwrap();
    it.write(|config| close(config, "other"));
    cleaner.reload(false).await.unwrap();

    cleaner.write("lent", 0, "a grantee's").await.unwrap();
    assert_eq!(cleaner.read("lent", 0, 11).await.unwrap(), "a grantee's");
    cleaner.mount_share(&offered.share_id, Some("later")).await.unwrap();
    assert_eq!(cleaner.shares(ShareDirection::Given).await.unwrap().len(), 1);
    refused(owner.read("lent", 0, 1).await, "CREDENTIALS_REFUSED", &[]);
    // The grantee can give it up meanwhile.
    cleaner.revoke_share(&offered.share_id, false).await.unwrap();

    it.write(|_| {});
    cleaner.reload(false).await.unwrap();
    owner.write("lent", 0, "back").await.unwrap();
    assert_eq!(cleaner.read("c", 0, 4).await.unwrap(), "back");
    assert_eq!(owner.read("m", 0, 11).await.unwrap(), "a grantee's");
    for (client, name) in [(&owner, "m"), (&cleaner, "c")] {
        client.delete(name).await.unwrap();
    }
    eventually("no call runs", async || it.house.daemon.server.running() == 0).await;
    it.house.close().await;
}
