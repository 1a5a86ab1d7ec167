//! Claims about the end of a share: everything that came by it ends within a second and says why, nothing
//! is applied after, and its name is free.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime};

use linmemd::client::proto::open_session_request::Message as Asked;
use linmemd::client::proto::{
    DownloadMemoryRequest, MemorySpec, OpenViewRequest, RefreshViewRequest, SessionAttach,
    SessionWait, Share, ShareAccess, UploadMemoryRequest, WaitOnAddressRequest,
    session_notice::Notice,
};
use linmemd::client::{Client, ClientError};

use crate::contract::refused;
use crate::grpc::{Started, Wire, framed};
use crate::harness::{House, PAGE, eventually, pages, pattern, within};
use crate::sessions::{Raw, attach, error, read, single};
use crate::shares::{give, house, lent};

const HEADERS: [(&str, &str); 1] = [("linmem-tenant", "red")];
/// More than the windows of a stream and a connection hold together.
const LARGE: u64 = 512;

fn large() -> MemorySpec {
    MemorySpec {
        initial_pages: LARGE,
        maximum_pages: Some(LARGE),
        shared: true,
        ..Default::default()
    }
}

/// One of each kind that lasts, all by one share of `m` that is mounted as `lent`.
struct Open {
    red: Client,
    stuck: Started,
    ends: Vec<(&'static str, Started)>,
    raw: Raw,
    view_id: String,
}

impl Open {
    async fn all(house: &House, blue: &Client) -> Self {
        let red = house.client_of("red").await;
        let memory_id = || "lent".to_owned();
        // A download that nobody reads takes the whole window of its connection.
        let (wire, full) = (Wire::connect(house.grpc()).await, Wire::connect(house.grpc()).await);
        let mut stuck = full.begin("DownloadMemory", &HEADERS).await;
        let download = DownloadMemoryRequest { memory_id: memory_id(), ..Default::default() };
        stuck.body.send_data(framed(&download).into(), true).unwrap();
        let mut upload = wire.begin("UploadMemory", &HEADERS).await;
        let first = UploadMemoryRequest {
            memory_id: Some(memory_id()),
            data: vec![1; 64].into(),
            ..Default::default()
        };
        upload.body.send_data(framed(&first).into(), false).unwrap();
        let mut wait = wire.begin("WaitOnAddress", &HEADERS).await;
        let address = 4096;
        let request = WaitOnAddressRequest {
            memory_id: memory_id(),
            address,
            width: 4,
            ..Default::default()
        };
        wait.body.send_data(framed(&request).into(), true).unwrap();
        let opened = red.open_view(OpenViewRequest {
            memory_id: memory_id(),
            length: 64,
            ..Default::default()
        });
        let view_id = opened.await.unwrap().view.unwrap().view_id;
        let raw = Raw::open(&red).await;
        raw.say(Asked::Start(Default::default()));
        raw.say(attach(1, 1, "lent"));
        raw.say(Asked::Wait(SessionWait {
            tag: 2,
            handle: 1,
            address: 8192,
            width: 4,
            ..Default::default()
        }));
        eventually("both wait", async || house.tenant("red").namespace.waiters() == 2).await;
        eventually("the upload has begun", async || blue.read("m", 0, 1).await.unwrap()[0] == 1)
            .await;
        Self { red, stuck, ends: vec![("upload", upload), ("wait", wait)], raw, view_id }
    }

    /// Each is over within a second of `changed`, for this reason.
    async fn end(mut self, changed: Instant, reason: &str, numbers: &[(&str, &dyn Display)]) {
        let in_time = |what: &str| {
            let took = changed.elapsed();
            assert!(took < Duration::from_secs(1), "{what} took {took:?}");
        };
        for (what, started) in self.ends {
            let outcome = started.answer().await.outcome();
            in_time(what);
            match outcome {
                Err(ClientError::Refused(mut failure)) => {
                    // An upload tells how much of it stands.
                    let written = failure.metadata.remove("bytes_written");
                    assert_eq!(written.as_deref(), (what == "upload").then_some("64"), "{what}");
                    refused(Err::<(), _>(ClientError::Refused(failure)), reason, numbers);
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        // The session goes on; its handle and its wait do not.
        let (mut waited, mut noticed) = (false, false);
        while !waited || !noticed {
            use linmemd::client::proto::open_session_response::Message as Word;
            match self.raw.hear().await {
                Some(Word::Result(result)) if result.tag == 2 => {
                    refused(error(result), reason, numbers);
                    waited = true;
                }
                Some(Word::Notice(notice)) => {
                    assert!(matches!(notice.notice, Some(Notice::Detached(_))), "{notice:?}");
                    noticed = true;
                }
                Some(Word::Started(_) | Word::Result(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        in_time("a session's wait");
        self.raw.say(single(3, read(0, 1)));
        refused(error(self.raw.result(3).await), reason, numbers);
        let request = RefreshViewRequest { view_id: self.view_id.clone(), ..Default::default() };
        refused(self.red.refresh_view(request).await, reason, numbers);
        self.red.close_view(&self.view_id, false).await.unwrap();
        // Who reads nothing can be told nothing: the stream is reset.
        let mut body = self.stuck.response.await.unwrap().into_body();
        let ended = within("it is over", async {
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            body.trailers().await
        });
        let told = ended.await;
        assert!(told.is_err() || told.unwrap().is_some());
        drop(self.raw);
        let gone: &[(&str, &dyn Display)] = &[("memory_id", &"lent")];
        refused(self.red.read("lent", 0, 1).await, "MEMORY_NOT_FOUND", gone);
        assert!(self.red.list("").await.unwrap().is_empty());
        self.red.create(Some("lent"), pages(1)).await.unwrap();
    }
}

async fn mounted(house: &House, expire_time: Option<SystemTime>) -> Share {
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let access = ShareAccess::ReadWrite;
    let share = give(&blue, "m", "red", access, expire_time).await.unwrap();
    red.mount_share(&share.share_id, Some("lent")).await.unwrap();
    share
}

#[tokio::test]
async fn all_that_came_by_a_share_is_over_within_a_second_of_its_revocation() {
    let house = house();
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), large()).await.unwrap();
    let share = mounted(&house, None).await;
    let open = Open::all(&house, &blue).await;
    let changed = Instant::now();
    blue.revoke_share(&share.share_id, false).await.unwrap();
    open.end(changed, "GRANT_REVOKED", &[("share_id", &share.share_id)]).await;
    let again = blue.revoke_share(&share.share_id, false).await;
    refused(again, "SHARE_NOT_FOUND", &[("share_id", &share.share_id)]);
    blue.revoke_share(&share.share_id, true).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn all_that_came_by_a_share_is_over_within_a_second_of_its_expiry() {
    // The sweep comes late.
    let house = House::with(|config| {
        config.tenants = ["blue", "red"].map(|name| crate::harness::tenant(name, None)).to_vec();
        config.lease.sweep_interval = Duration::from_secs(60);
    });
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), large()).await.unwrap();
    let end = SystemTime::now() + Duration::from_secs(4);
    let share = mounted(&house, Some(end)).await;
    let shown = house.client_of("red").await.memory("lent").await.unwrap();
    assert_eq!(shown.expire_time, Some(end.into()));
    let open = Open::all(&house, &blue).await;
    eventually("it has run out", async || SystemTime::now() >= end).await;
    open.end(Instant::now(), "GRANT_REVOKED", &[("share_id", &share.share_id)]).await;
    house.stop().await;
}

#[tokio::test]
async fn a_share_that_nobody_mounted_runs_out_too_and_gives_back_what_it_cost() {
    let house = house();
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), pages(1)).await.unwrap();
    let end = SystemTime::now() + Duration::from_millis(50);
    let share = give(&blue, "m", "red", ShareAccess::Read, Some(end)).await.unwrap();
    eventually("it is over", async || blue.shares(Default::default()).await.unwrap().is_empty())
        .await;
    let red = house.client_of("red").await;
    let late = red.mount_share(&share.share_id, None).await;
    refused(late, "SHARE_NOT_FOUND", &[("share_id", &share.share_id)]);
    house.stop().await;
}

#[tokio::test]
async fn the_end_of_its_memory_ends_a_share_and_is_told_by_the_grantees_name() {
    let house = house();
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), large()).await.unwrap();
    mounted(&house, None).await;
    let open = Open::all(&house, &blue).await;
    let changed = Instant::now();
    blue.delete("m").await.unwrap();
    open.end(changed, "MEMORY_NOT_FOUND", &[("memory_id", &"lent")]).await;
    // Another memory of that name is not what was shared.
    blue.create(Some("m"), pages(1)).await.unwrap();
    assert!(blue.shares(Default::default()).await.unwrap().is_empty());
    house.stop().await;
}

#[tokio::test]
async fn a_share_is_given_up_by_its_grantee_and_its_memory_stays() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    let share = lent(&house, ShareAccess::Read, "lent").await;
    let kept: &[(&str, &dyn Display)] = &[("memory_id", &"lent"), ("access", &"READ")];
    refused(red.delete("lent").await, "GRANT_READ_ONLY", kept);
    red.revoke_share(&share.share_id, false).await.unwrap();
    assert!(red.list("").await.unwrap().is_empty());
    assert!(blue.shares(Default::default()).await.unwrap().is_empty());
    blue.read("m", 0, 1).await.unwrap();
    // One that was never mounted, too.
    let offered = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
    red.revoke_share(&offered.share_id, false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_share_of_a_memory_whose_lease_runs_out_is_over_with_it() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    blue.create(Some("m"), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
    lent(&house, ShareAccess::Read, "lent").await;
    assert!(red.memory("lent").await.unwrap().expire_time.is_some());
    eventually("it is gone", async || red.read("lent", 0, 1).await.is_err()).await;
    let gone: &[(&str, &dyn Display)] = &[("memory_id", &"lent")];
    refused(red.read("lent", 0, 1).await, "MEMORY_NOT_FOUND", gone);
    red.create(Some("lent"), pages(1)).await.unwrap();
    house.stop().await;
}

/// Writes by a share in every way until that is over.
async fn busy(house: &House, number: u8) {
    let red = house.client_of("red").await;
    let session = red.session(|_notice| ()).await.unwrap();
    let handle =
        session.attach_as(SessionAttach { memory_id: "lent".to_owned(), ..Default::default() });
    let handle = handle.await.unwrap();
    for round in 0..u8::MAX {
        let bytes = pattern(512, round ^ number);
        let at = u64::from(number) * 4096;
        let write = linmemd::client::proto::operation::Operation::Write(
            linmemd::client::proto::WriteOperation { offset: at + 1024, data: bytes.clone() },
        );
        let outcomes = [
            red.write("lent", at, bytes).await,
            handle.execute_one(write.into()).await.map(drop),
            // Long enough for the pool, and in slices.
            red.fill("lent", 16 * PAGE, 496 * PAGE, round).await,
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => {}
                Err(ClientError::Refused(failure)) => {
                    let reasons = ["GRANT_REVOKED", "MEMORY_NOT_FOUND"];
                    assert!(reasons.contains(&failure.reason.as_str()), "{failure}");
                    return;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn once_a_revocation_is_answered_nothing_that_came_by_the_share_is_applied() {
    let house = house();
    let blue = house.client_of("blue").await;
    blue.create(Some("m"), large()).await.unwrap();
    for _round in 0..4 {
        let share = mounted(&house, None).await;
        let writes = || async { blue.memory("m").await.unwrap().stats.unwrap().write_count };
        let before = writes().await;
        let owner = async {
            eventually("they write", async || writes().await > before + 12).await;
            blue.revoke_share(&share.share_id, false).await.unwrap();
            let (count, some) = (writes().await, blue.read("m", 0, 32 * PAGE).await.unwrap());
            (count, some)
        };
        let many = futures_util::future::join_all((0..4).map(|number| busy(&house, number)));
        let ((count, bytes), _all) = futures_util::future::join(owner, many).await;
        assert_eq!(writes().await, count);
        assert!(blue.read("m", 0, 32 * PAGE).await.unwrap() == bytes);
    }
    house.stop().await;
}
