//! Claims about what a session may keep, how long it may keep a thread, and whose bytes its handles are.

use linmemd::client::Client;
use linmemd::client::proto::operation::Operation as Kind;
use linmemd::client::proto::session_group::Group;
use linmemd::client::proto::session_notice::Notice;
use linmemd::client::proto::session_result::Outcome;
use linmemd::client::proto::{
    FillOperation, InitOperation, MemorySpec, Opcode, OpenSessionRequest, Operation, OperationList,
    PackedOperations, SessionDetach, SessionStart, SessionWait, ShareAccess, SizeOperation,
    open_session_request::Message as Asked, open_session_response::Message as Word,
};
use linmemd::config::Quota;
use linmemd::os::kernel::{Advice, Call};
use tokio::task::JoinHandle;

use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, eventually, pages, within};
use crate::kernel::Pause;
use crate::sessions::{Raw, attach, data, error, group, read, reason, single, write};
use crate::shares::{give, house as house_of_tenants, lent};

/// More than what is done at once: on the pool.
const LONG: usize = 512 << 10;

/// Keeps `m` from all others until the pause is dropped.
pub(crate) async fn kept(house: &House, client: &Client) -> (Pause, JoinHandle<()>) {
    let pause = house.kernel.pause_at(Call::Advise(Advice::DontNeed));
    let client = client.clone();
    let discard = tokio::spawn(async move {
        client.discard("m", 0, PAGE).await.unwrap();
    });
    pause.reached(1).await;
    (pause, discard)
}

#[tokio::test]
async fn a_handle_reads_the_memory_that_it_has_though_it_changes_hands_within_a_write() {
    let house = House::start();
    let client = house.client().await;
    for (name, value) in [("m", 1), ("n", 2)] {
        client.create(Some(name), pages(1)).await.unwrap();
        client.fill(name, 0, PAGE, value).await.unwrap();
    }
    let mut raw = Raw::attached(&client).await;
    raw.say(single(2, read(0, 1)));
    raw.say(Asked::Detach(SessionDetach { tag: 3, handle: 1 }));
    raw.say(attach(4, 1, "n"));
    raw.say(single(5, read(0, 1)));
    assert_eq!(data(&raw.result(2).await), [1]);
    raw.result(3).await;
    raw.result(4).await;
    assert_eq!(data(&raw.result(5).await), [2]);
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn what_waits_in_a_session_is_in_flight_and_more_of_it_is_taken_as_it_is_done() {
    const IN_FLIGHT: u64 = 8 << 20;
    let house = House::with(|config| config.grpc.in_flight_bytes_per_tenant = IN_FLIGHT);
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let (pause, discard) = kept(&house, &client).await;
    let own = house.tenant("default");
    let bytes: &'static [u8] = vec![7; LONG].leak();
    for tag in 2..66 {
        raw.say(single(tag, write(0, bytes)));
    }
    eventually("half of the budget is taken", async || {
        own.in_flight_bytes.used() > IN_FLIGHT / 2 - LONG as u64 - PAGE
    })
    .await;
    // What came is 32 MiB; what is kept of it is no more than that, and others are served.
    let other = house.client().await;
    other.create(Some("n"), pages(16)).await.unwrap();
    other.write("n", 0, bytes).await.unwrap();
    assert!(own.in_flight_bytes.used() <= IN_FLIGHT / 2 + PAGE, "{:?}", own.in_flight_bytes);
    drop(pause);
    discard.await.unwrap();
    for tag in 2..66 {
        let result = raw.result(tag).await;
        assert!(matches!(result.outcome, Some(Outcome::Single(_))), "{result:?}");
    }
    eventually("all of it is back", async || own.in_flight_bytes.used() == 0).await;
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn small_groups_that_wait_are_in_flight_by_what_they_are_kept_in() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let (pause, discard) = kept(&house, &client).await;
    let own = house.tenant("default");
    // Four bytes each on the wire, and in steps of 40.
    let size = Operation::from(Kind::Size(SizeOperation {}));
    let list = || Group::List(OperationList { operations: vec![size.clone(); 50] });
    for tag in 2..102 {
        raw.say(group(tag, 1, true, list()));
    }
    eventually("all of them wait", async || own.in_flight_bytes.used() >= 100 * 50 * 40).await;
    drop(pause);
    discard.await.unwrap();
    for tag in 2..102 {
        raw.result(tag).await;
    }
    eventually("all of it is back", async || own.in_flight_bytes.used() == 0).await;
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_group_of_much_work_leaves_its_thread_to_others_meanwhile() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    client.create(Some("small"), pages(1)).await.unwrap();
    // Some of them are served by the thread that serves the session.
    let mut others = Vec::new();
    for _ in 0..16 {
        others.push(house.client().await);
    }
    let mut raw = Raw::attached(&client).await;
    // 4 GiB of stores in a message of some bytes an operation.
    let fills = PackedOperations {
        opcodes: vec![Opcode::MemoryFill.into()],
        addresses: vec![0; 16_384],
        lengths: vec![256 << 10],
        data: vec![7; 16_384].into(),
    };
    raw.say(group(2, 1, false, Group::Packed(fills)));
    eventually("it has begun", async || client.read("m", 0, 1).await.unwrap()[0] == 7).await;
    for other in &others {
        other.read("small", 0, 1).await.unwrap();
    }
    assert!(!raw.has_more().await, "16 reads took as long as 4 GiB of stores");
    raw.result(2).await;
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn groups_that_wait_when_their_session_goes_do_nothing_whatever_others_of_it_did() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    client.create(Some("n"), pages(16)).await.unwrap();
    let own = house.tenant("default");
    let mut raw = Raw::attached(&client).await;
    raw.say(attach(2, 2, "n"));
    raw.result(2).await;
    let long: &'static [u8] = vec![7; LONG].leak();
    let store = || Group::Single(Operation { operation: Some(write(PAGE, long)) });
    raw.say(group(3, 2, false, store()));
    raw.result(3).await;
    let (pause, discard) = kept(&house, &client).await;
    raw.say(group(4, 1, false, store()));
    eventually("it waits", async || own.in_flight_bytes.used() >= LONG as u64).await;
    drop(raw);
    eventually("the session is gone", async || own.sessions.used() == 0).await;
    drop(pause);
    discard.await.unwrap();
    eventually("nothing runs", async || own.in_flight_bytes.used() == 0).await;
    assert_eq!(client.read("m", PAGE, 1).await.unwrap(), [0].as_slice());
    assert_eq!(client.read("n", PAGE, 1).await.unwrap(), [7].as_slice());
    house.stop().await;
}

#[tokio::test]
async fn a_group_of_an_expired_memory_answers_after_those_before_it() {
    let house = House::start();
    let client = house.client().await;
    let lease_ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    client.create(Some("m"), MemorySpec { lease_ttl, ..pages(1) }).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let (pause, discard) = kept(&house, &client).await;
    raw.say(single(2, read(0, 1)));
    eventually("it is over", async || client.memory("m").await.is_err()).await;
    raw.say(single(3, read(0, 1)));
    raw.say(Asked::Detach(SessionDetach { tag: 4, handle: 9 }));
    assert_eq!(reason(raw.result(4).await), "INVALID_FIELD");
    drop(pause);
    discard.await.unwrap();
    raw.result(2).await;
    assert_eq!(reason(raw.result(3).await), "MEMORY_NOT_FOUND");
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_handle_attached_anew_to_the_same_memory_hears_of_it() {
    let house = house_of_tenants();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let spec = MemorySpec { maximum_pages: Some(9), ..pages(1) };
    blue.create(Some("m"), spec).await.unwrap();
    let first = lent(&house, ShareAccess::ReadWrite, "lent").await;
    let mut raw = Raw::open(&red).await;
    raw.say(Asked::Start(Default::default()));
    raw.say(attach(1, 1, "lent"));
    assert!(matches!(raw.hear().await, Some(Word::Started(_))));
    raw.result(1).await;
    blue.revoke_share(&first.share_id, false).await.unwrap();
    let notice = async |raw: &mut Raw| match raw.hear().await {
        Some(Word::Notice(notice)) => notice.notice.unwrap(),
        other => panic!("a notice was due, not {other:?}"),
    };
    assert!(matches!(notice(&mut raw).await, Notice::Detached(_)));
    let second = give(&blue, "m", "red", ShareAccess::ReadWrite, None).await.unwrap();
    red.mount_share(&second.share_id, Some("lent")).await.unwrap();
    raw.say(attach(2, 1, "lent"));
    raw.result(2).await;
    blue.grow("m", 2).await.unwrap();
    assert_eq!(notice(&mut raw).await, Notice::GrownToPages(3));
    blue.delete("m").await.unwrap();
    assert!(matches!(notice(&mut raw).await, Notice::Detached(_)));
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_segment_that_is_dropped_is_paid_for_until_the_groups_that_use_it_are_over() {
    let house = House::with(|config| {
        config.quota = Quota { segment_bytes: Some(100), ..Quota::default() };
    });
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    client.put(Some("s"), vec![7; 60]).await.unwrap();
    let mut raw = Raw::attached(&client).await;
    let (pause, discard) = kept(&house, &client).await;
    let own = house.tenant("default");
    let init = InitOperation { segment_id: "s".to_owned(), length: 60, ..Default::default() };
    raw.say(single(2, Kind::Init(init)));
    raw.say(single(3, Kind::Fill(FillOperation { offset: 100, length: 1, value: 7 })));
    eventually("both wait", async || own.in_flight_bytes.used() > 0).await;
    client.drop_segment("s", false).await.unwrap();
    let put = async || client.put(Some("t"), vec![8; 60]).await;
    assert!(put().await.is_err(), "its bytes are still there");
    drop(pause);
    discard.await.unwrap();
    raw.result(2).await;
    raw.result(3).await;
    assert_eq!(client.read("m", 59, 1).await.unwrap(), [7].as_slice());
    eventually("its bytes are given back", async || put().await.is_ok()).await;
    client.drop_segment("t", false).await.unwrap();
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn a_session_whose_peer_takes_nothing_keeps_no_memory_that_it_waited_for() {
    let house = House::start();
    let client = house.client().await;
    client.create(Some("m"), pages(1)).await.unwrap();
    let own = house.tenant("default");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let wire = Wire::with(house.grpc(), builder).await;
    for waits_at_address in [false, true] {
        let mut session = wire.begin("OpenSession", &[]).await;
        let mut say = |message| {
            let message = OpenSessionRequest { message: Some(message) };
            session.body.send_data(framed(&message).into(), false).unwrap();
        };
        let (pause, discard) = kept(&house, &client).await;
        say(Asked::Start(Default::default()));
        say(attach(1, 1, "m"));
        if waits_at_address {
            let (tag, handle, width, expected) = (2, 1, 4, 1);
            say(Asked::Wait(SessionWait { tag, handle, width, expected, ..Default::default() }));
        } else {
            say(single(2, read(0, 1)));
            eventually("it waits", async || own.in_flight_bytes.used() > 0).await;
        }
        // What came so far is done.
        client.server_info().await.unwrap();
        drop(pause);
        discard.await.unwrap();
        within("others have it", client.write("m", 0, "mine")).await.unwrap();
    }
    drop(wire);
    house.stop().await;
}

#[tokio::test]
async fn a_session_waits_for_room_that_others_take() {
    const IN_FLIGHT: u64 = 5 << 20;
    let house = House::with(|config| config.grpc.in_flight_bytes_per_tenant = IN_FLIGHT);
    let client = house.client().await;
    client.create(Some("m"), pages(16)).await.unwrap();
    let own = house.tenant("default");
    let mut raw = Raw::attached(&client).await;
    own.in_flight_bytes.take_anyway(IN_FLIGHT);
    let bytes: &'static [u8] = vec![7; LONG].leak();
    raw.say(single(2, write(0, bytes)));
    for _ in 0..3 {
        assert!(client.server_info().await.is_ok());
    }
    own.in_flight_bytes.give_back(IN_FLIGHT);
    assert!(matches!(raw.result(2).await.outcome, Some(Outcome::Single(_))));
    drop(raw);
    house.stop().await;
}

#[tokio::test]
async fn results_are_in_flight_until_they_are_out_and_no_session_has_more_than_its_tenant() {
    const IN_FLIGHT: u64 = 8 << 20;
    const EACH: u64 = 2 << 20;
    let house = House::with(|config| config.grpc.in_flight_bytes_per_tenant = IN_FLIGHT);
    let client = house.client().await;
    client.create(Some("m"), pages(32)).await.unwrap();
    let own = house.tenant("default");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let wire = Wire::with(house.grpc(), builder).await;
    let said = [
        Asked::Start(SessionStart::default()),
        attach(1, 1, "m"),
        single(2, read(0, EACH)),
        single(3, read(0, EACH)),
    ];
    let said = said.map(|message| framed(&OpenSessionRequest { message: Some(message) })).concat();
    let mut sessions = Vec::new();
    for _ in 0..16 {
        let mut session = wire.begin("OpenSession", &[]).await;
        session.body.send_data(said.clone().into(), false).unwrap();
        sessions.push(session);
    }
    eventually("as much is read as there is room for", async || {
        own.in_flight_bytes.used() > IN_FLIGHT - EACH
    })
    .await;
    // Time for more, if there were any.
    for _ in 0..100 {
        assert_eq!(client.memory("m").await.unwrap().size_pages, 32);
        assert!(own.in_flight_bytes.used() <= IN_FLIGHT + PAGE, "{:?}", own.in_flight_bytes);
    }
    drop(sessions);
    wire.connection.abort();
    eventually("all of it is back", async || own.in_flight_bytes.used() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn groups_whose_messages_and_results_are_all_of_the_budget_are_done_one_after_the_other() {
    const HALF: usize = 2 << 20;
    let house = House::with(|config| config.grpc.in_flight_bytes_per_tenant = 8 << 20);
    let client = house.client().await;
    client.create(Some("m"), pages(64)).await.unwrap();
    let bytes: &'static [u8] = vec![7; HALF].leak();
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let raw = Raw::attached(&house.client().await).await;
        let operations = [write(0, bytes), read(0, HALF as u64)].map(Operation::from).to_vec();
        raw.say(group(2, 1, true, Group::List(OperationList { operations })));
        sessions.push(raw);
    }
    for raw in &mut sessions {
        let result = raw.result(2).await;
        assert!(matches!(result.outcome, Some(Outcome::List(_))), "{:?}", error(result));
    }
    drop(sessions);
    house.stop().await;
}
