//! Claims about what the audit log says of who is refused: who that is, whose tenant, where from and what
//! they named, at each of the places where somebody can be.
//!
//! Law: as `audit.rs`. Entries of one caller come in order; those of several connections may not.

use linmemd::client::proto::{GetMemoryRequest, GrowMemoryRequest, ShareAccess};
use linmemd::client::{Client, ClientError};
use linmemd::config::{Config, TenantState};
use linmemd::token::Token;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::audit::{house, lines, shown, so_many, why};
use crate::authorization::{client_of, identities};
use crate::grpc::{Wire, framed};
use crate::harness::{House, eventually, http_ask, pages, tenant};
use crate::identities::{Authority, by_uri};
use crate::shares::give;

const FIELDS: [&str; 5] = ["outcome", "caller", "tenant", "named_tenant", "method"];

fn method(rpc: &str) -> String {
    format!("linmem.v1.{rpc}")
}

/// Those of refusals, once there are so many; each has its call and where it is from.
async fn denials(folder: &TempDir, count: usize) -> Vec<Value> {
    let all = || lines(folder).into_iter().filter(|line| line["event"] == "deny");
    eventually("they are told", async || all().count() >= count).await;
    let all: Vec<Value> = all().collect();
    assert_eq!(all.len(), count, "{all:#?}");
    assert!(all.iter().all(|line| line["peer"] == "127.0.0.1"), "{all:#?}");
    all
}

fn red_is_closed(config: &mut Config) {
    identities(config);
    config.tenants[1].state = TenantState::Closed;
}

#[tokio::test]
async fn a_refusal_at_the_door_says_who_called_of_which_tenant_and_which_they_named() {
    let (house, folder) = house(red_is_closed);
    let named = |client: &Client, tenant: &str| client.with_tenant(Some(tenant)).unwrap();
    let reader = client_of(&house, "reader").await;
    assert_eq!(why(reader.create(None, pages(1)).await), "ROLE_MISSING");
    let owner = client_of(&house, "owner").await;
    assert_eq!(why(named(&owner, "red").memory("m").await), "TENANT_MISMATCH");
    // What no client of ours would send.
    let wire = Wire::connect(house.grpc()).await;
    let authorization = format!("Bearer {}", Token::new([0; 32]).reveal());
    let headers = [("authorization", authorization.as_str()), ("linmem-tenant", "n\\\"o")];
    let request = framed(&GetMemoryRequest::default());
    assert_eq!(why(wire.call("GetMemory", &headers, request).await.outcome()), "TENANT_MISMATCH");
    let operator = client_of(&house, "operator").await;
    assert_eq!(why(operator.read("m", 0, 1).await), "ROLE_MISSING");
    assert_eq!(why(named(&operator, "red").read("m", 0, 1).await), "ROLE_MISSING");
    let expired = client_of(&house, "expired").await;
    assert_eq!(why(expired.memory("m").await), "CREDENTIALS_EXPIRED");
    let of_closed = client_of(&house, "other").await;
    assert_eq!(why(of_closed.memory("m").await), "CREDENTIALS_REFUSED");
    let unknown = house.client_by(Token::new([99; 32]).reveal()).await;
    assert_eq!(why(named(&unknown, "blue").memory("m").await), "CREDENTIALS_REFUSED");
    let lines = denials(&folder, 8).await;
    let get = method("MemoryService/GetMemory");
    let (create, read) = (method("MemoryService/CreateMemory"), method("MemoryService/ReadMemory"));
    let told: Vec<_> = lines.iter().map(|line| shown(line, &FIELDS)).collect();
    assert_eq!(
        told,
        [
            ["ROLE_MISSING", "reader", "blue", "", &create],
            ["TENANT_MISMATCH", "owner", "blue", "red", &get],
            ["TENANT_MISMATCH", "owner", "blue", "n\\\\\\\"o", &get],
            ["ROLE_MISSING", "operator", "blue", "", &read],
            ["ROLE_MISSING", "operator", "red", "", &read],
            ["CREDENTIALS_EXPIRED", "expired", "blue", "", &get],
            ["CREDENTIALS_REFUSED", "other", "red", "", &get],
            ["CREDENTIALS_REFUSED", "", "", "blue", &get],
        ]
    );
    assert!(lines.iter().all(|line| line["call_id"].is_string()));
}

#[tokio::test]
async fn a_refusal_by_a_share_says_of_which_memory_and_is_counted() {
    let (house, folder) = house(|config| {
        config.tenants = ["blue", "red"].map(|name| tenant(name, None)).to_vec();
    });
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    let share = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
    red.mount_share(&share.share_id, Some("lent")).await.unwrap();
    assert_eq!(why(red.write("lent", 0, "x").await), "GRANT_READ_ONLY");
    let request = GrowMemoryRequest {
        memory_id: "lent".to_owned(),
        delta_pages: 1,
        ..GrowMemoryRequest::default()
    };
    assert_eq!(why(red.grow_memory(request).await), "GRANT_READ_ONLY");
    let told = denials(&folder, 2).await;
    let (write, grow) = (method("MemoryService/WriteMemory"), method("MemoryService/GrowMemory"));
    for (line, method) in told.iter().zip([&write, &grow]) {
        let fields = shown(line, &["outcome", "tenant", "id", "method"]);
        assert_eq!(fields, ["GRANT_READ_ONLY", "red", "lent", method]);
    }
    let labels = [("reason", "GRANT_READ_ONLY")];
    let counted = house.scrape().await.value("linmemd_auth_failures_total", &labels);
    assert_eq!(counted, 2.0);
    house.stop().await;
}

/// A handshake with this that is refused.
async fn is_refused(house: &House, authority: &Authority, shown: &crate::identities::Shown) {
    let outcome = match Client::connect(&authority.options(house, Some(shown))).await {
        Ok(client) => client.server_info().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(outcome, Err(ClientError::Transport { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_handshake_that_is_refused_for_its_certificate_is_told_and_one_that_is_none_is_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.revoke(78);
    let (house, folder) = house(|config| {
        authority.configure(config);
        config.tls.client_crl = Some(authority.path("crl.pem"));
        config.identities = vec![by_uri("alice", "spiffe://x/alice")];
    });
    let uri = "spiffe://x/alice";
    let mut noise = TcpStream::connect(house.grpc()).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    for (shown, outcome) in [
        (stranger.client(uri, 2), "CREDENTIALS_REFUSED"),
        (authority.client(uri, 78), "CREDENTIALS_REFUSED"),
        (authority.former_client(uri, 3), "CREDENTIALS_EXPIRED"),
    ] {
        let before = lines(&folder).len();
        is_refused(&house, &authority, &shown).await;
        // A client may try more than once.
        eventually("it is told", async || lines(&folder).len() > before).await;
        let last = lines(&folder).pop().unwrap();
        let fields = ["event", "method", "outcome", "peer", "caller"];
        assert_eq!(
            crate::audit::shown(&last, &fields),
            ["deny", "TLS handshake", outcome, "127.0.0.1", ""]
        );
    }
    eventually("the noise is counted", async || {
        let labels = [("reason", "TLS_HANDSHAKE")];
        house.scrape().await.value("linmemd_auth_failures_total", &labels) >= 4.0
    })
    .await;
    assert!(lines(&folder).iter().all(|line| line["outcome"] != "OK"));
    assert!(lines(&folder).iter().all(|line| line["method"] == "TLS handshake"));
}

#[tokio::test]
async fn who_is_refused_the_metrics_page_is_told_and_who_reads_it_is_not() {
    let (house, folder) = house(identities);
    let ask = async |token: Option<Token>| {
        let header = token.map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
        let address = house.daemon.addresses.http;
        http_ask(address, "/metrics", header.as_deref().unwrap_or_default()).await.0
    };
    assert_eq!(ask(None).await, 401);
    assert_eq!(ask(Some(Token::new([99; 32]))).await, 401);
    assert_eq!(ask(Some(Token::new([2; 32]))).await, 403);
    assert_eq!(ask(Some(Token::new([7; 32]))).await, 200);
    let told = so_many(&folder, 3).await;
    let told: Vec<_> = told.iter().map(|line| shown(line, &FIELDS)).collect();
    assert_eq!(
        told,
        [
            ["CREDENTIALS_MISSING", "", "", "", "GET /metrics"],
            ["CREDENTIALS_REFUSED", "", "", "", "GET /metrics"],
            ["ROLE_MISSING", "reader", "blue", "", "GET /metrics"],
        ]
    );
    assert!(lines(&folder).iter().all(|line| line["peer"] == "127.0.0.1"));
}

#[tokio::test]
async fn a_stranger_that_is_refused_without_end_fills_no_disk_and_hides_nothing() {
    const CALLS: u64 = 400;
    let (house, folder) = house(identities);
    let wire = Wire::connect(house.grpc()).await;
    for _ in 0..CALLS {
        let request = framed(&GetMemoryRequest::default());
        let answer = wire.call("GetMemory", &[], request).await.outcome();
        assert!(matches!(answer, Err(ClientError::Refused(_))), "{answer:?}");
    }
    let owner = client_of(&house, "owner").await;
    owner.create(Some("m"), pages(1)).await.unwrap();
    let of = |event: &str| {
        let all = lines(&folder).into_iter().filter(|line| line["event"] == event);
        all.collect::<Vec<_>>()
    };
    let counted =
        || -> u64 { of("denials").iter().filter_map(|one| one["entries"].as_u64()).sum() };
    eventually("each is told or counted", async || {
        of("deny").len() as u64 + counted() == CALLS && of("create").len() == 1
    })
    .await;
    assert!(of("denials").iter().all(|line| line["peer"] == "127.0.0.1"), "{:?}", of("denials"));
    assert!(of("deny").len() >= 64 && of("lost").is_empty());
    // However long it took.
    let seconds = of("denials").len() as u64 + 1;
    assert!(counted() > 0 && of("deny").len() as u64 <= 64 + 32 * seconds, "{}", counted());
    owner.delete("m").await.unwrap();
}
