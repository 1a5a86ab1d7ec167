//! Claims about DiscardMemory: the range is zero, its RAM is the host's, everything else stands, and
//! whatever the kernel refuses the bytes are zero all the same.

use linmemd::client::Client;
use linmemd::client::proto::{Backing, GetMemoryRequest, MemorySpec, MemoryView};
use linmemd::os::kernel::{Advice, Call};

use crate::harness::{House, PAGE, Witness, pages, pattern};

async fn resident(client: &Client, memory_id: &str) -> u64 {
    let view = MemoryView::Full.into();
    let get = GetMemoryRequest { memory_id: memory_id.to_owned(), view, ..Default::default() };
    client.get_memory(get).await.unwrap().resident_bytes.unwrap()
}

/// A memory of 8 pages in each home that pages can have, full of known bytes.
async fn filled(client: &Client) -> Vec<String> {
    let homes = [
        ("slab", MemorySpec::default()),
        ("dedicated", MemorySpec { maximum_pages: Some(64), ..Default::default() }),
        ("file", MemorySpec { backing: Backing::Memfd.into(), ..Default::default() }),
    ];
    let mut ids = Vec::new();
    for (id, spec) in homes {
        let maximum_pages = spec.maximum_pages.or(Some(8));
        let spec = MemorySpec { initial_pages: 8, maximum_pages, ..spec };
        client.create(Some(id), spec).await.unwrap();
        client.write(id, 0, pattern(8 * PAGE, 5)).await.unwrap();
        ids.push(id.to_owned());
    }
    ids
}

#[tokio::test]
async fn a_discarded_range_is_zero_its_whole_pages_are_the_hosts_and_the_rest_stands() {
    let house = House::start();
    let client = house.client().await;
    let witness = Witness::of(&client, "w").await;
    for id in filled(&client).await {
        let quotas = async || {
            let quotas = client.server_info().await.unwrap().quotas;
            quotas.iter().map(|quota| quota.used).collect::<Vec<_>>()
        };
        let charged = quotas().await;
        // 100 bytes of a host page before, 3 pages and 4 KiB whole, 1 byte after.
        let (offset, length) = (PAGE - 100, 100 + 3 * PAGE + 4096 + 1);
        let given = client.discard(&id, offset, length).await.unwrap();
        assert_eq!(given, 3 * PAGE + 4096, "{id}");
        assert_eq!(resident(&client, &id).await, 8 * PAGE - given, "{id}");
        let mut wanted = pattern(8 * PAGE, 5).to_vec();
        let (from, to) =
            (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
        wanted[from..to].fill(0);
        let bytes = client.read(&id, 0, 8 * PAGE).await.unwrap();
        assert!(bytes == wanted, "{id}");
        assert_eq!(quotas().await, charged, "{id}: the charge stays");
        client.write(&id, offset, "again").await.unwrap();
        assert_eq!(client.read(&id, offset, 5).await.unwrap(), "again");
    }
    witness.is_unharmed().await;
    house.stop().await;
}

#[tokio::test]
async fn less_than_a_host_page_and_nothing_at_all_are_zeroed_in_place() {
    let house = House::start();
    let client = house.client().await;
    for id in filled(&client).await {
        assert_eq!(client.discard(&id, 10, 4000).await.unwrap(), 0);
        assert_eq!(client.read(&id, 10, 4000).await.unwrap(), vec![0; 4000]);
        assert_eq!(client.read(&id, 0, 10).await.unwrap(), pattern(10, 5));
        assert_eq!(client.discard(&id, 8 * PAGE, 0).await.unwrap(), 0);
        assert_eq!(client.discard(&id, 0, 8 * PAGE).await.unwrap(), 8 * PAGE);
    }
    house.stop().await;
}

#[tokio::test]
async fn where_the_kernel_takes_nothing_back_the_bytes_are_zero_all_the_same() {
    let house = House::start();
    let client = house.client().await;
    for id in filled(&client).await {
        let call = if id == "file" { Call::Punch } else { Call::Advise(Advice::DontNeed) };
        house.kernel.plan.fail_call(call, libc::EINVAL, 1);
        assert_eq!(client.discard(&id, 100, 5 * PAGE).await.unwrap(), 0, "{id}");
        let zero = client.read(&id, 100, 5 * PAGE).await.unwrap();
        assert!(zero.iter().all(|byte| *byte == 0), "{id}");
        let after = pattern(8 * PAGE, 5).slice(usize::try_from(5 * PAGE + 100).unwrap()..);
        assert!(client.read(&id, 5 * PAGE + 100, 3 * PAGE - 100).await.unwrap() == after);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_long_discard_keeps_the_memory_to_itself_from_its_first_slice_to_its_last() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(4096)).await.unwrap();
    client.write("m", 0, "first").await.unwrap();
    client.write("m", 200 << 20, "last").await.unwrap();
    let pause = house.kernel.pause_at(Call::Advise(Advice::DontNeed));
    let discarding = tokio::spawn({
        let client = client.clone();
        async move { client.discard("m", 1, (256 << 20) - 1).await }
    });
    pause.reached(1).await;
    let reading = tokio::spawn({
        let client = client.clone();
        async move { client.read("m", 200 << 20, 4).await }
    });
    let witness = Witness::of(&client, "w").await;
    assert!(!reading.is_finished());
    drop(pause);
    assert_eq!(discarding.await.unwrap().unwrap(), (256 << 20) - 4096);
    assert_eq!(reading.await.unwrap().unwrap(), [0; 4].as_slice());
    assert_eq!(client.read("m", 0, 2).await.unwrap(), b"f\0".as_slice());
    witness.is_unharmed().await;
    house.stop().await;
}
