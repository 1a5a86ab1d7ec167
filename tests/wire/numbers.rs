//! Claims about what is counted and told: the same figures in GetMemory, in the tenant's families
//! and in each memory's; limits as configured; methods and codes by name.

use std::time::Duration;

use linmemd::client::Upload;
use linmemd::client::proto::DownloadMemoryRequest;
use linmemd::config::Config;

use crate::harness::{House, PAGE, pages, tenant};

const TENANT: (&str, &str) = ("tenant", "default");

#[tokio::test]
async fn one_memorys_peak_and_accesses_are_the_same_wherever_they_are_shown() {
    let house = House::with(|config| config.metrics.each_memory = true);
    let client = house.client().await;
    client.create(Some("m"), pages(3)).await.unwrap();
    client.write("m", 0, vec![1; 100]).await.unwrap();
    client.read("m", 0, 50).await.unwrap();
    client.read("m", 1, 51).await.unwrap();
    client.fill("m", 0, 3 * PAGE, 2).await.unwrap();
    client.discard("m", 7, 1000).await.unwrap();
    let upload = Upload { chunk_bytes: 65_536, ..Upload::to("m") };
    client.upload_chunks(upload, [vec![3; 100_000].into()], |_| ()).await.unwrap();
    let download = DownloadMemoryRequest {
        memory_id: "m".to_owned(),
        chunk_bytes: Some(PAGE),
        ..Default::default()
    };
    client.download_to(download, &mut Vec::new(), |_| ()).await.unwrap();
    client.grow("m", 2).await.unwrap();
    client.read("m", 9 * PAGE, 1).await.unwrap_err();

    let memory = client.memory("m").await.unwrap();
    let stats = memory.stats.unwrap();
    assert_eq!((stats.read_count, stats.read_bytes), (2 + 3, 101 + 3 * PAGE));
    assert_eq!(
        (stats.write_count, stats.write_bytes),
        (1 + 1 + 1 + 2, 100 + 3 * PAGE + 1000 + 100_000)
    );
    assert_eq!(stats.access_count, stats.read_count + stats.write_count);
    assert_eq!((stats.grow_count, stats.grow_failure_count), (1, 0));
    assert_eq!((stats.trap_count, stats.largest_access_bytes), (1, 3 * PAGE));
    assert_eq!((memory.size_bytes, memory.peak_bytes), (5 * PAGE, 5 * PAGE));

    let page = house.scrape().await;
    let (mut accesses, mut bytes) = (0.0, 0.0);
    for operation in ["read", "write", "fill", "discard", "upload", "download"] {
        let labels = [TENANT, ("operation", operation)];
        accesses += page.value("linmemd_accesses_total", &labels);
        bytes += page.value("linmemd_access_bytes_total", &labels);
    }
    assert_eq!(accesses, stats.access_count as f64);
    assert_eq!(bytes, (stats.read_bytes + stats.write_bytes) as f64);
    let each = [TENANT, ("memory_id", "m")];
    assert_eq!(page.value("linmemd_each_memory_accesses_total", &each), accesses);
    let peak = memory.peak_bytes as f64;
    assert_eq!(page.value("linmemd_each_memory_size_bytes", &each), peak);
    assert_eq!(page.value("linmemd_each_memory_peak_bytes", &each), peak);
    assert_eq!(page.value("linmemd_tenant_peak_bytes", &[TENANT]), peak);
    assert_eq!(page.value("linmemd_tenant_size_bytes", &[TENANT]), peak);
    assert_eq!(page.value("linmemd_tenant_memories", &[TENANT]), 1.0);
    let traps = [TENANT, ("reason", "OUT_OF_BOUNDS")];
    assert_eq!(page.value("linmemd_traps_total", &traps), 1.0);

    client.delete("m").await.unwrap();
    let page = house.scrape().await;
    assert!(!page.has("linmemd_each_memory_size_bytes"), "the series go with the memory");
    assert_eq!(page.value("linmemd_tenant_size_bytes", &[TENANT]), 0.0);
    assert_eq!(page.value("linmemd_tenant_peak_bytes", &[TENANT]), peak);
    house.stop().await;
}

#[tokio::test]
async fn each_memory_has_no_series_unless_asked_for_and_then_up_to_the_cap() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    assert!(!house.scrape().await.has("linmemd_each_memory_size_bytes"));
    house.stop().await;

    let house = House::with(|config| {
        config.metrics.each_memory = true;
        config.metrics.each_memory_cap = 1;
    });
    let client = house.client().await;
    client.create(Some("a"), pages(1)).await.unwrap();
    client.create(Some("b"), pages(1)).await.unwrap();
    let page = house.scrape().await;
    assert_eq!(page.value("linmemd_each_memory_size_bytes", &[("memory_id", "a")]), 65_536.0);
    assert_eq!(page.value("linmemd_each_memory_series_dropped_total", &[]), 1.0);
    house.stop().await;
}

#[tokio::test]
async fn every_limit_that_is_shown_is_the_one_configured() {
    let house = House::with(|config| {
        config.grpc.max_read_bytes = 2 << 20;
        config.grpc.max_write_bytes = 3 << 20;
        config.grpc.in_flight_bytes = 77 << 20;
        config.grpc.in_flight_bytes_per_tenant = 55 << 20;
        config.grpc.handlers_per_tenant = 99;
        config.grpc.waiters_per_tenant = 88;
        config.grpc.streams_per_connection = 44;
        config.grpc.max_deadline = Duration::from_secs(1234);
        config.requests.window = Duration::from_secs(321);
        config.requests.per_tenant = 4321;
        config.memory.default_maximum_pages = 17;
        config.memory.max_queued_grows = 3;
        config.tenants = vec![tenant("default", Some(1 << 30))];
    });
    let client = house.client().await;
    let info = client.server_info().await.unwrap();
    let limits = info.limits.unwrap();
    let seconds = |limit: Option<prost_types::Duration>| limit.unwrap().seconds;
    assert_eq!((limits.max_read_bytes, limits.max_write_bytes), (2 << 20, 3 << 20));
    assert_eq!((limits.in_flight_bytes, limits.tenant_in_flight_bytes), (77 << 20, 55 << 20));
    assert_eq!((limits.tenant_handlers, limits.streams_per_connection), (99, 44));
    assert_eq!(limits.tenant_waiters, 88);
    assert_eq!((seconds(limits.max_deadline), seconds(limits.request_id_window)), (1234, 321));
    assert_eq!((limits.request_ids, limits.default_maximum_pages), (4321, 17));
    assert_eq!((limits.max_queued_grows, limits.page_bytes), (3, PAGE));
    assert_eq!((limits.min_chunk_bytes, limits.default_chunk_bytes), (PAGE, 1 << 20));
    assert_eq!(limits.max_chunk_bytes, 3 << 20);
    assert_eq!((limits.max_labels, limits.max_label_value_bytes), (64, 256));
    let bytes = info.quotas.iter().find(|quota| quota.resource == "committed_bytes").unwrap();
    assert_eq!(bytes.limit, 1 << 30);
    assert_eq!((info.tenant.as_str(), info.boot_id.len()), ("default", 36));
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    house.stop().await;
}

#[tokio::test]
async fn the_defaults_are_the_ones_that_the_contract_names() {
    let defaults = Config::default();
    let house = House::start();
    let limits = house.client().await.server_info().await.unwrap().limits.unwrap();
    assert_eq!((limits.max_read_bytes, limits.max_write_bytes), (63 * PAGE, 63 * PAGE));
    assert_eq!((limits.max_chunk_bytes, limits.default_chunk_bytes), (63 * PAGE, 1 << 20));
    assert_eq!((limits.in_flight_bytes, limits.tenant_in_flight_bytes), (256 << 20, 64 << 20));
    assert_eq!((limits.streams_per_connection, limits.tenant_handlers), (256, 1024));
    assert_eq!(limits.tenant_waiters, 65_536);
    assert_eq!((limits.max_list_page_size, limits.max_queued_grows), (1000, 16));
    assert_eq!((defaults.grpc.max_connections, defaults.drain.limit.as_secs()), (10_000, 10));
    house.stop().await;
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.read("m", 0, 1).await.unwrap();
    client.read("n", 0, 1).await.unwrap_err();
    client.read("m", PAGE, 1).await.unwrap_err();
    let page = house.scrape().await;
    for code in ["OK", "NOT_FOUND", "OUT_OF_RANGE"] {
        let labels = [("method", "linmem.v1.MemoryService/ReadMemory"), ("code", code)];
        assert_eq!(page.value("linmemd_rpc_requests_total", &labels), 1.0, "{code}");
    }
    house.stop().await;
}
