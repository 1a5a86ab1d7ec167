//! Claims about what operators and machines ask: health, reflection, the host, the pages, and the
//! drain that only the daemon's own user may ask for.

use std::fmt::Display;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use linmemd::client::proto::{ListTenantsRequest, Quota, TenantState};
use linmemd::client::{Client, ConnectOptions};
use linmemd::config;
use tonic::codegen::tokio_stream::{self, StreamExt};
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::contract::refused;
use crate::grpc::{Wire, framed, header};
use crate::harness::{House, connect, eventually, http_get, pages, tenant, within};

async fn channel(house: &House) -> Channel {
    Channel::from_shared(format!("http://{}", house.grpc())).unwrap().connect().await.unwrap()
}

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_is_told_by_service_and_watchers_see_the_drain() {
    let house = House::start();
    let mut health = HealthClient::new(channel(&house).await);
    for service in
        ["", "linmem.v1.MemoryService", "linmem.v1.AdminService", "linmem.v1.EventService"]
    {
        let status = health.check(named(service)).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let absent = health.check(named("no.such.Service")).await.unwrap_err();
    assert_eq!(absent.code(), tonic::Code::NotFound);
    let mut watch = health.watch(named("")).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    house.daemon.server.drain().await;
    let next = within("the watcher is told", watch.next()).await;
    assert_eq!(next.unwrap().unwrap().status(), ServingStatus::NotServing);
    house.close().await;
}

#[tokio::test]
async fn a_deadline_ends_a_health_watch_too() {
    let house = House::start();
    let wire = crate::grpc::Wire::connect(house.grpc()).await;
    let path = "/grpc.health.v1.Health/Watch";
    let mut started = wire.begin_path(path, &[("grpc-timeout", "50m")]).await;
    let body = crate::grpc::framed(&named(""));
    started.body.send_data(body.into(), true).unwrap();
    let kept = started.response.await.unwrap();
    eventually("it ended", async || house.daemon.server.running() == 0).await;
    drop(kept);
    house.stop().await;
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let house = House::start();
    let channel = channel(&house).await;
    {
        use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
        let request = tonic_reflection::pb::v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(channel.clone());
        let answer = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
        let answer = format!("{:?}", answer.into_inner().next().await.unwrap().unwrap());
        for service in ["linmem.v1.MemoryService", "linmem.v1.AdminService", "grpc.health.v1"] {
            assert!(answer.contains(service), "{answer}");
        }
    }
    {
        use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
        let symbol = "linmem.v1.MemoryService".to_owned();
        let request = tonic_reflection::pb::v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol(symbol)),
        };
        let mut client = ServerReflectionClient::new(channel);
        let answer = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
        let answer = format!("{:?}", answer.into_inner().next().await.unwrap().unwrap());
        assert!(answer.contains("FileDescriptorResponse"), "{answer}");
    }
    house.stop().await;
}

#[tokio::test]
async fn over_tcp_an_operator_may_look_and_not_drain() {
    let house = House::start();
    let client = house.client().await;
    let host = client.host().await.unwrap();
    assert!(host.host_page_bytes >= 4096 && !host.draining && !host.kernel_release.is_empty());
    assert_eq!(host.listeners[0].address, house.grpc().to_string());
    assert!(host.limits.iter().all(|limit| !limit.source.is_empty()));
    let role: [(&str, &dyn std::fmt::Display); 1] = [("role", &"operator")];
    refused(client.drain().await, "ROLE_MISSING", &role);
    assert!(!house.daemon.server.is_draining());
    let info = client.server_info().await.unwrap();
    assert_eq!(info.roles, ["reader", "writer", "hook_decider", "watcher", "operator_read_only"]);
    house.stop().await;
}

#[tokio::test]
async fn over_the_unix_socket_the_daemons_own_user_may_drain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("linmemd.sock");
    let house = House::with(|config| config.grpc.unix_socket = Some(path.clone()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let client = connect(&format!("unix://{}", path.display()), None).await;
    assert_eq!(
        client.server_info().await.unwrap().roles,
        ["reader", "writer", "hook_decider", "watcher", "operator", "operator_read_only"]
    );
    let asked = client.drain().await.unwrap();
    assert_eq!(asked.drain_limit.unwrap().seconds, 10);
    within("the drain was asked for", house.daemon.server.drain_asked()).await;
    house.stop().await;
    assert!(!path.exists(), "the name goes with the daemon");
    let options = ConnectOptions::new(format!("unix://{}", path.display()).parse().unwrap());
    Client::connect(&options).await.unwrap_err();
}

#[tokio::test]
async fn the_pages_say_their_state_and_nothing_else_and_have_versions() {
    let house = House::start();
    let http = house.daemon.addresses.http;
    assert_eq!(http_get(http, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(http_get(http, "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(http_get(http, "/secrets").await.0, 404);
    let (status, page) = http_get(http, "/metrics").await;
    assert_eq!(status, 200);
    for family in ["linmemd_build_info", "linmemd_panics_total", "process_cpu_seconds_total"] {
        assert!(page.contains(&format!("# TYPE {family} ")), "{family}");
    }
    house.stop().await;
}

#[tokio::test]
async fn tenants_are_listed_in_order_with_their_state_and_what_they_have() {
    let house = House::with(|config| {
        let named = ["red", "default", "blue", "gone"];
        config.tenants = named.map(|name| tenant(name, Some(4 << 16))).to_vec();
        config.tenants[3].state = config::TenantState::Closed;
    });
    // It stays: its connection is in the list as well.
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), pages(3)).await.unwrap();
    let operator = house.client().await;
    let mut listed = Vec::new();
    let mut message = ListTenantsRequest { page_size: 3, page_token: String::new() };
    for page in [3, 1] {
        let answer = operator.list_tenants(message.clone()).await.unwrap();
        assert_eq!(answer.tenants.len(), page);
        listed.extend(answer.tenants);
        message.page_token = answer.next_page_token;
    }
    assert!(message.page_token.is_empty());
    assert_eq!(listed, operator.tenants().await.unwrap(), "however the pages are");
    let said: Vec<_> = listed.iter().map(|one| (&*one.tenant, one.state())).collect();
    let (active, closed) = (TenantState::Active, TenantState::Closed);
    let all = [("blue", active), ("default", active), ("gone", closed), ("red", active)];
    assert_eq!(said, all);
    let quota = |place: usize, resource: &str| {
        let quota = listed[place].quotas.iter().find(|quota| quota.resource == resource).unwrap();
        (quota.used, quota.limit)
    };
    assert_eq!((quota(0, "memories").0, quota(3, "memories").0), (1, 0));
    assert_eq!(quota(0, "committed_bytes"), (3 << 16, 4 << 16));
    let own = house.client_of("red").await.server_info().await.unwrap().quotas;
    let resources = |quotas: &[Quota]| -> Vec<_> {
        quotas.iter().map(|quota: &Quota| quota.resource.clone()).collect()
    };
    assert_eq!(resources(&own), resources(&listed[3].quotas), "as the tenant itself is told");
    let of_another_list = ListTenantsRequest { page_token: "00000000.m".to_owned(), page_size: 0 };
    refused(operator.list_tenants(of_another_list).await, "PAGE_TOKEN_INVALID", &[]);
    house.close().await;
}

#[tokio::test]
async fn of_a_question_about_health_no_more_is_kept_than_a_name_takes() {
    const PATH: &str = "/grpc.health.v1.Health/Check";
    let house = House::with(|config| config.grpc.message_timeout = Duration::from_millis(150));
    let wire = Wire::connect(house.grpc()).await;
    let ask = async |pieces: &[&[u8]], ends: bool| {
        let mut started = wire.begin_path(PATH, &[("a-header", "of its own")]).await;
        for piece in pieces {
            started.body.send_data(Bytes::copy_from_slice(piece), false).unwrap();
        }
        if ends {
            started.body.send_data(Bytes::new(), true).unwrap();
        }
        started.answer().await.outcome()
    };
    let refused_for = |outcome, length: usize| {
        let numbers: [(&str, &dyn Display); 4] = [
            ("field", &"message"),
            ("length", &length),
            ("limit", &1_024),
            ("limit_name", &"max_health_bytes"),
        ];
        refused(outcome, "TOO_LARGE", &numbers);
    };
    let long = framed(&named(&"a".repeat(1_100)));
    refused_for(ask(&[&long[..900], &long[900..]], true).await, 1_103);
    refused_for(ask(&[&header(0, 65_536)], false).await, 65_536);
    let whole = framed(&named("linmem.v1.AdminService"));
    let misshapen: [&[&[u8]]; 4] = [&[], &[&whole[..3]], &[&whole[..9]], &[&whole, &whole]];
    for pieces in misshapen {
        refused(ask(pieces, true).await, "INVALID_FIELD", &[("field", &"message")]);
    }
    refused(ask(&[&whole[..9]], false).await, "STALLED", &[]);
    let by_bytes: Vec<&[u8]> = whole.chunks(1).collect();
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    assert_eq!(ask(&by_bytes, true).await.unwrap(), framed(&serving));
    house.stop().await;
}

#[tokio::test]
async fn an_operator_looks_though_all_places_of_its_tenant_are_taken() {
    let house = House::with(|config| config.grpc.handlers_per_tenant = 1);
    let client = house.client().await;
    let wire = Wire::connect(house.grpc()).await;
    let upload = wire.begin("UploadMemory", &[]).await;
    let own = house.tenant("default");
    eventually("its place is taken", async || own.handlers.used() == 1).await;
    let numbers: [(&str, &dyn Display); 3] =
        [("limit_name", &"tenant_handlers"), ("limit", &1), ("used", &1)];
    refused(client.memory("m").await, "OVERLOADED", &numbers);
    assert_eq!(client.tenants().await.unwrap().len(), 1);
    client.host().await.unwrap();
    drop(upload);
    eventually("its place is free", async || own.handlers.used() == 0).await;
    house.stop().await;
}
