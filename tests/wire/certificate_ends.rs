//! Claims about the end of what a certificate opened: when it is revoked, when its time is over, and when its
//! connection is old.

use std::time::{Duration, SystemTime};

use linmemd::client::Client;
use linmemd::client::proto::MemorySpec;

use crate::contract::refused;
use crate::harness::{House, eventually, pages, within};
use crate::identities::{Authority, by_uri};

#[tokio::test]
async fn what_a_certificate_opened_ends_when_it_is_revoked() {
    let authority = Authority::new();
    authority.revoke(77);
    let house = House::with(|config| {
        authority.configure(config);
        config.tls.client_crl = Some(authority.path("crl.pem"));
        config.identities =
            vec![by_uri("alice", "spiffe://x/alice"), by_uri("bob", "spiffe://x/bob")];
    });
    let alice = authority.connect(&house, Some(&authority.client("spiffe://x/alice", 78))).await;
    let bob = authority.connect(&house, Some(&authority.client("spiffe://x/bob", 79))).await;
    alice.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let wait = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { client.wait32("m", 0, 0, None).await })
    };
    let (of_alice, of_bob) = (wait(&alice), wait(&bob));
    eventually("both wait", async || house.daemon.server.running() == 2).await;
    let session = alice.session(|_| ()).await.unwrap();
    let attached = session.attach("m").await.unwrap();
    authority.revoke(78);
    let refusal = within("the wait is ended", of_alice).await.unwrap();
    refused(refusal, "CREDENTIALS_REFUSED", &[]);
    refused(alice.write("m", 0, vec![1; 4]).await, "CREDENTIALS_REFUSED", &[]);
    let late = attached.execute_one(crate::sessions::write(0, b"late").into()).await;
    assert!(late.is_err());
    assert_eq!(bob.read("m", 0, 4).await.unwrap(), [0; 4].as_slice());
    assert!(!of_bob.is_finished(), "whose certificate stands is left alone");
    bob.delete("m").await.unwrap();
    refused(of_bob.await.unwrap(), "MEMORY_NOT_FOUND", &[("memory_id", &"m")]);
    house.close().await;
}

#[tokio::test]
async fn what_a_certificate_opened_is_over_within_a_second_of_its_end() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let owner = authority.connect(&house, Some(&authority.client("spiffe://x/alice", 2))).await;
    owner.create(Some("m"), MemorySpec { shared: true, ..pages(1) }).await.unwrap();
    let end = SystemTime::now() + Duration::from_secs(3);
    let brief = authority.connect(&house, Some(&authority.brief(end, "spiffe://x/alice", 3))).await;
    refused(brief.wait32("m", 0, 0, None).await, "CREDENTIALS_EXPIRED", &[]);
    assert!(SystemTime::now() < end + Duration::from_secs(1));
    owner.delete("m").await.unwrap();
    house.close().await;
}

#[tokio::test]
async fn a_connection_by_certificate_is_told_to_go_when_it_is_old() {
    let authority = Authority::new();
    let house = House::with(|config| {
        authority.configure(config);
        config.tls.max_connection_age = Duration::from_secs(1);
        config.grpc.idle_timeout = Duration::from_secs(100);
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let client = authority.connect(&house, Some(&authority.client("spiffe://x/alice", 2))).await;
    client.server_info().await.unwrap();
    assert_eq!(house.daemon.server.connections(), 1);
    eventually("it is gone", async || house.daemon.server.connections() == 0).await;
    client.server_info().await.unwrap();
}
