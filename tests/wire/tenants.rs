//! Claims about tenants: each has its own names, lists and quotas, and the others' memories do not
//! exist for it.

use bytes::Bytes;
use linmemd::client::proto::{DownloadMemoryRequest, GetMemoryRequest, UpdateMemoryRequest};
use linmemd::client::{Client, ClientError, Upload};
use linmemd::proto::DESCRIPTORS;
use prost::Message;
use prost::encoding::{string, uint32};
use prost_types::field_descriptor_proto::Type;

use crate::contract::refused;
use crate::grpc::{Wire, prefixed};
use crate::harness::{House, PAGE, Witness, pages, tenant};

fn two() -> House {
    House::with(|config| {
        config.tenants = vec![tenant("default", None), tenant("red", None), tenant("blue", None)];
    })
}

#[tokio::test]
async fn the_same_id_in_two_tenants_is_two_memories() {
    let house = two();
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    let of_red = red.create(Some("m"), pages(1)).await.unwrap();
    let of_blue = blue.create(Some("m"), pages(1)).await.unwrap();
    assert_ne!(of_red.uid, of_blue.uid);
    red.write("m", 5, Bytes::from_static(b"red")).await.unwrap();
    blue.write("m", 5, Bytes::from_static(b"blue")).await.unwrap();
    assert_eq!(red.read("m", 5, 4).await.unwrap(), "red\0");
    assert_eq!(blue.read("m", 5, 4).await.unwrap(), "blue");
    red.delete("m").await.unwrap();
    assert_eq!(blue.read("m", 5, 4).await.unwrap(), "blue");
    assert_eq!(blue.list("").await.unwrap().len(), 1);
    assert!(red.list("").await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test]
async fn another_tenants_memory_does_not_exist_for_any_rpc() {
    let house = two();
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    let witness = Witness::of(&red, "m").await;
    let uid = red.memory("m").await.unwrap().uid;
    everything_is_absent(&blue, &uid).await;
    everything_is_absent(&house.client().await, &uid).await;
    assert!(blue.list("").await.unwrap().is_empty());
    witness.is_unharmed().await;
    house.stop().await;
}

async fn everything_is_absent(client: &Client, uid: &str) {
    let absent: [(&str, &dyn std::fmt::Display); 1] = [("memory_id", &"m")];
    let id = || "m".to_owned();
    refused(client.memory("m").await, "MEMORY_NOT_FOUND", &absent);
    let with_uid =
        GetMemoryRequest { memory_id: id(), uid: Some(uid.to_owned()), ..Default::default() };
    refused(client.get_memory(with_uid).await, "MEMORY_NOT_FOUND", &absent);
    refused(client.read("m", 0, 1).await, "MEMORY_NOT_FOUND", &absent);
    refused(client.write("m", 0, "x").await, "MEMORY_NOT_FOUND", &absent);
    refused(client.fill("m", 0, 1, 1).await, "MEMORY_NOT_FOUND", &absent);
    refused(client.discard("m", 0, 1).await, "MEMORY_NOT_FOUND", &absent);
    refused(client.grow("m", 1).await, "MEMORY_NOT_FOUND", &absent);
    refused(client.delete("m").await, "MEMORY_NOT_FOUND", &absent);
    let keep = linmemd::client::proto::KeepAliveMemoryRequest { memory_id: id(), uid: None };
    refused(client.keep_alive_memory(keep).await, "MEMORY_NOT_FOUND", &absent);
    let update = UpdateMemoryRequest { memory_id: id(), ..Default::default() };
    refused(client.update_memory(update).await, "MEMORY_NOT_FOUND", &absent);
    let download = DownloadMemoryRequest { memory_id: id(), ..Default::default() };
    refused(client.download(download).await.map(drop), "MEMORY_NOT_FOUND", &absent);
    let upload = client.upload_chunks(Upload::to("m"), [Bytes::from_static(b"x")], |_| ()).await;
    let written = [absent[0], ("bytes_written", &0)];
    refused(upload, "MEMORY_NOT_FOUND", &written);
}

/// RPCs that name a memory, and a request of each that names `m` and says what must be said beside.
fn that_name_a_memory() -> Vec<(String, Vec<u8>)> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = || files.file.iter().filter(|file| file.package() == "linmem.v1");
    let request = |message: &str| {
        let name = message.rsplit('.').next().unwrap();
        let mut messages = ours().flat_map(|file| &file.message_type);
        let fields = &messages.find(|one| one.name() == name).unwrap().field;
        let mut request = Vec::new();
        for field in fields {
            let tag = field.number().try_into().unwrap();
            match field.name() {
                "memory_id" => string::encode(tag, &"m".to_owned(), &mut request),
                "width" => uint32::encode(tag, &4, &mut request),
                _ if field.r#type() == Type::Enum => uint32::encode(tag, &1, &mut request),
                _ => {}
            }
        }
        fields.iter().any(|field| field.name() == "memory_id").then(|| prefixed(0, &request))
    };
    let services = ours().flat_map(|file| &file.service);
    let all = services.flat_map(|service| service.method.iter().map(move |rpc| (service, rpc)));
    all.filter_map(|(service, rpc)| {
        let path = format!("/linmem.v1.{}/{}", service.name(), rpc.name());
        Some((path, request(rpc.input_type())?))
    })
    .collect()
}

#[tokio::test]
async fn an_absent_and_a_foreign_memory_are_alike_to_the_byte_for_every_rpc_that_names_one() {
    let house = two();
    let red = house.client_of("red").await;
    red.list("").await.unwrap();
    let mut all = Vec::new();
    for exists in [false, true] {
        if exists {
            red.create(Some("m"), pages(1)).await.unwrap();
        }
        // Calls of the same numbers, on connections whose numbers are as long.
        let wire = Wire::connect(house.grpc()).await;
        let mut answers = Vec::new();
        for (path, request) in that_name_a_memory() {
            let mut started = wire.begin_path(&path, &[("linmem-tenant", "blue")]).await;
            started.body.send_data(request.into(), true).unwrap();
            let status = started.answer().await.status.unwrap();
            let error = ClientError::from(status.clone());
            let Some(call_id) = error.failure().and_then(|failure| failure.call_id.clone()) else {
                // CreateMemory makes it, and it is to be absent again.
                house.client_of("blue").await.delete("m").await.unwrap();
                continue;
            };
            let details = String::from_utf8_lossy(status.details()).replace(&call_id, "");
            let (code, message) = (status.code(), status.message().to_owned());
            answers.push((path, code, message, details, status.metadata().clone().into_headers()));
        }
        all.push(answers);
    }
    let [absent, foreign] = &all[..] else { panic!() };
    for (one, other) in absent.iter().zip(foreign) {
        assert_eq!(one, other);
    }
    assert_eq!(absent.len(), foreign.len());
    let told = absent.iter().filter(|(.., details, _)| details.contains("MEMORY_NOT_FOUND"));
    assert_eq!(told.count(), absent.len() - 2, "two name a tenant or a share first: {absent:?}");
    red.delete("m").await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn one_tenants_quota_is_not_anothers() {
    let house = House::with(|config| {
        config.tenants = vec![tenant("red", Some(64 * PAGE)), tenant("blue", Some(64 * PAGE))];
    });
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    red.create(Some("most"), pages(60)).await.unwrap();
    let outcome = red.create(Some("more"), pages(60)).await;
    let failure = outcome.unwrap_err().failure().cloned().unwrap();
    assert_eq!(failure.reason, "QUOTA_EXCEEDED");
    assert_eq!(failure.number("limit"), Some(64 * PAGE));
    blue.create(Some("most"), pages(60)).await.unwrap();
    let info = blue.server_info().await.unwrap();
    assert_eq!(info.tenant, "blue");
    let memories = info.quotas.iter().find(|quota| quota.resource == "memories").unwrap();
    assert_eq!(memories.used, 1);
    house.stop().await;
}

#[tokio::test]
async fn a_tenant_that_is_not_configured_is_a_mismatch_and_so_is_a_missing_default() {
    let house = House::with(|config| config.tenants = vec![tenant("red", None)]);
    for (client, named) in [
        (house.client_of("green").await, "green"),
        (house.client_of("RED").await, "RED"),
        (house.client().await, "default"),
    ] {
        refused(client.server_info().await, "TENANT_MISMATCH", &[("tenant", &named)]);
        refused(client.create(None, pages(1)).await, "TENANT_MISMATCH", &[("tenant", &named)]);
    }
    assert_eq!(house.client_of("red").await.server_info().await.unwrap().tenant, "red");
    house.stop().await;
}

#[tokio::test]
async fn each_tenant_has_families_of_its_own() {
    let house = two();
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    Witness::of(&red, "m").await;
    Witness::of(&blue, "m").await;
    blue.read("m", 0, 10).await.unwrap();
    let page = house.scrape().await;
    let reads =
        |name| page.value("linmemd_accesses_total", &[("tenant", name), ("operation", "read")]);
    assert_eq!((reads("red"), reads("blue"), reads("default")), (0.0, 1.0, 0.0));
    for name in ["red", "blue"] {
        let labels = [("tenant", name)];
        assert_eq!(page.value("linmemd_tenant_memories", &labels), 1.0);
        assert_eq!(page.value("linmemd_tenant_size_bytes", &labels), 2.0 * PAGE as f64);
    }
    house.stop().await;
}

#[tokio::test]
async fn tenants_past_the_cap_are_one_label_whose_figures_are_the_sums_of_theirs() {
    let quotas = [("first", 4), ("red", 64), ("blue", 32), ("idle", 16)];
    let house = House::with(|config| {
        config.metrics.tenants_cap = 1;
        config.tenants = quotas.map(|(name, pages)| tenant(name, Some(pages * PAGE))).to_vec();
    });
    let shown = async |family: &str| {
        let labels = [("tenant", "_other"), ("resource", "committed_bytes")];
        house.scrape().await.value(family, &labels[..if family.contains("quota") { 2 } else { 1 }])
    };
    assert_eq!(
        shown("linmemd_quota_limit").await,
        112.0 * 65_536.0,
        "of those that nobody came to"
    );
    assert_eq!(shown("linmemd_quota_used").await, 0.0);
    let (red, blue) = (house.client_of("red").await, house.client_of("blue").await);
    red.create(Some("m"), pages(2)).await.unwrap();
    blue.create(Some("m"), pages(3)).await.unwrap();
    assert_eq!(shown("linmemd_quota_limit").await, 112.0 * 65_536.0);
    assert_eq!(shown("linmemd_quota_used").await, 5.0 * 65_536.0);
    assert_eq!(shown("linmemd_tenant_memories").await, 2.0);
    assert_eq!(shown("linmemd_tenant_size_bytes").await, 5.0 * 65_536.0);
    red.delete("m").await.unwrap();
    assert_eq!(shown("linmemd_tenant_memories").await, 1.0);
    assert_eq!(shown("linmemd_quota_used").await, 3.0 * 65_536.0);
    house.stop().await;
}
