//! Claims about shares: who gives them to whom, what their names show, and that nothing else of their
//! owner is reached by them.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use linmemd::client::proto::event::Detail;
use linmemd::client::proto::{
    CopyMemoryRequest, DownloadMemoryRequest, EventKind, ListMemoriesRequest, ListSharesRequest,
    Memory, MemorySpec, MountShareRequest, Share, ShareAccess, ShareDirection, ShareMemoryRequest,
    ShareStep,
};
use linmemd::client::{Client, ClientError, EventItem, Upload, Watch};
use prost_types::Timestamp;

use crate::contract::{invalid, refused};
use crate::grpc::{Wire, framed};
use crate::harness::{House, PAGE, eventually, pages, pattern, tenant, within};

pub(crate) fn house() -> House {
    House::with(|config| {
        config.tenants = ["blue", "red", "green"].map(|name| tenant(name, None)).to_vec();
    })
}

pub(crate) async fn give(
    owner: &Client,
    memory_id: &str,
    grantee: &str,
    access: ShareAccess,
    expire_time: Option<SystemTime>,
) -> Result<Share, ClientError> {
    let request = ShareMemoryRequest {
        memory_id: memory_id.to_owned(),
        grantee_tenant: grantee.to_owned(),
        access: access.into(),
        expire_time: expire_time.map(Into::into),
        ..Default::default()
    };
    owner.share_memory(request).await
}

/// A share of `m` for red, mounted there under this name.
pub(crate) async fn lent(house: &House, access: ShareAccess, name: &str) -> Share {
    let owner = house.client_of("blue").await;
    let share = give(&owner, "m", "red", access, None).await.unwrap();
    house.client_of("red").await.mount_share(&share.share_id, Some(name)).await.unwrap();
    share
}

fn of_share(share: &Share) -> [(&'static str, &dyn Display); 1] {
    [("share_id", &share.share_id)]
}

#[tokio::test]
async fn a_share_is_given_listed_mounted_and_used_by_the_name_that_its_grantee_chose() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let labels = [("secret".to_owned(), "of blue".to_owned())].into();
    let spec = MemorySpec { labels, display_name: "Blue's".to_owned(), ..pages(2) };
    let memory = blue.create(Some("m"), spec).await.unwrap();
    let bytes = pattern(2 * PAGE, 3);
    blue.write("m", 0, bytes.clone()).await.unwrap();
    let share = give(&blue, "m", "red", ShareAccess::ReadWrite, None).await.unwrap();
    assert_eq!((share.share_id.len(), share.mounted), (32, false));
    assert_eq!((share.memory_id.as_str(), &share.uid), ("m", &memory.uid));
    assert_eq!(
        blue.shares(ShareDirection::Unspecified).await.unwrap(),
        std::slice::from_ref(&share)
    );
    assert_eq!(blue.shares(ShareDirection::Received).await.unwrap(), []);
    let [offered] = red.shares(ShareDirection::Received).await.unwrap().try_into().unwrap();
    let hidden = Share { memory_id: String::new(), uid: String::new(), ..share.clone() };
    assert_eq!(offered, hidden, "the owner's name is nobody's to learn");
    let mounted = red.mount_share(&share.share_id, Some("theirs")).await.unwrap();
    assert_eq!((mounted.memory_id.as_str(), mounted.shared_from.as_str()), ("theirs", "blue"));
    assert_eq!((&mounted.uid, &mounted.etag), (&memory.uid, &String::new()));
    let seen = mounted.spec.clone().unwrap();
    assert_eq!((seen.labels.len(), seen.display_name.as_str()), (0, ""));
    assert_eq!(red.memory("theirs").await.unwrap().uid, memory.uid);
    let [seen] = red.shares(ShareDirection::Unspecified).await.unwrap().try_into().unwrap();
    assert_eq!((seen.memory_id.as_str(), seen.mounted, seen.uid), ("theirs", true, memory.uid));
    // Bytes are the same ones, whichever way they go.
    assert_eq!(red.read("theirs", 0, 2 * PAGE).await.unwrap(), bytes);
    red.write("theirs", 5, "red was here").await.unwrap();
    assert_eq!(blue.read("m", 5, 12).await.unwrap(), "red was here");
    red.fill("theirs", 100, 50, 9).await.unwrap();
    assert_eq!(red.gather("theirs", 1, vec![100, 149]).await.unwrap(), vec![9, 9]);
    red.upload_chunks(Upload::to("theirs"), [pattern(PAGE, 1)], |_progress| ()).await.unwrap();
    assert_eq!(blue.read("m", 0, PAGE).await.unwrap(), pattern(PAGE, 1));
    let request = DownloadMemoryRequest { memory_id: "theirs".to_owned(), ..Default::default() };
    let mut download = red.download(request).await.unwrap();
    let mut all = Vec::new();
    while let Some(part) = download.next().await.unwrap() {
        all.extend_from_slice(&part);
    }
    assert_eq!(all, blue.read("m", 0, 2 * PAGE).await.unwrap());
    red.create(Some("own"), pages(1)).await.unwrap();
    for (source, destination) in [("theirs", "own"), ("own", "theirs")] {
        let (source, destination) = (source.to_owned(), destination.to_owned());
        red.copy_memory(CopyMemoryRequest {
            source_memory_id: source,
            destination_memory_id: destination,
            source_offset: 0,
            destination_offset: 64,
            length: 100,
            ..Default::default()
        })
        .await
        .unwrap();
    }
    let session = red.session(|_notice| ()).await.unwrap();
    assert_eq!(session.attach("theirs").await.unwrap().uid, mounted.uid);
    drop(session);
    // What is done by it is counted at the memory.
    assert!(blue.memory("m").await.unwrap().stats.unwrap().write_count >= 5);
    blue.revoke_share(&share.share_id, false).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn a_share_is_its_two_tenants_and_to_others_answers_as_one_that_is_not_there() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    let green = house.client_of("green").await;
    blue.create(Some("m"), pages(1)).await.unwrap();
    let share = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
    refused(green.revoke_share(&share.share_id, false).await, "SHARE_NOT_FOUND", &of_share(&share));
    let own = blue.mount_share(&share.share_id, None).await;
    refused(own, "SHARE_NOT_FOUND", &of_share(&share));
    assert_eq!(green.shares(ShareDirection::Unspecified).await.unwrap(), []);
    let wire = Wire::connect(house.grpc()).await;
    let mut answers = Vec::new();
    for _foreign_then_absent in 0..2 {
        let request = MountShareRequest { share_id: share.share_id.clone(), memory_id: None };
        let headers = [("linmem-tenant", "green")];
        let answer = wire.call("MountShare", &headers, framed(&request)).await;
        assert!(answer.body.is_empty());
        let length = answer.status.as_ref().unwrap().details().len();
        let Err(ClientError::Refused(mut failure)) = answer.outcome() else { panic!("mounted") };
        // The call's own number; it is as long.
        assert!(failure.metadata.remove("call_id").is_some());
        answers.push((failure.code, failure.message, failure.metadata, length));
        red.revoke_share(&share.share_id, true).await.unwrap();
    }
    assert_eq!(answers[0], answers[1]);
    house.stop().await;
}

#[tokio::test]
async fn what_is_asked_of_a_share_is_checked_and_no_tenants_existence_shows() {
    let house = house();
    let blue = house.client_of("blue").await;
    let memory = blue.create(Some("m"), pages(1)).await.unwrap();
    let request = ShareMemoryRequest {
        memory_id: "m".to_owned(),
        grantee_tenant: "red".to_owned(),
        access: ShareAccess::Read.into(),
        ..Default::default()
    };
    let wrong = |change: fn(&mut ShareMemoryRequest)| {
        let mut request = request.clone();
        change(&mut request);
        blue.share_memory(request)
    };
    invalid(wrong(|request| request.access = 0).await, "access");
    invalid(wrong(|request| request.access = 77).await, "access");
    invalid(wrong(|request| request.grantee_tenant = "no name".to_owned()).await, "grantee_tenant");
    invalid(wrong(|request| request.grantee_tenant = "blue".to_owned()).await, "grantee_tenant");
    let past = |seconds, nanos| Some(Timestamp { seconds, nanos });
    for time in [past(1, 0), past(i64::MIN, i32::MIN), past(i64::MAX, i32::MAX), past(-1, 5)] {
        let request = ShareMemoryRequest { expire_time: time, ..request.clone() };
        invalid(blue.share_memory(request).await, "expire_time");
    }
    let other = "00000000-0000-4000-8000-000000000000";
    let uid: &[(&str, &dyn Display)] = &[("uid", &memory.uid)];
    let request = ShareMemoryRequest { uid: Some(other.to_owned()), ..request };
    refused(blue.share_memory(request).await, "UID_MISMATCH", uid);
    // A tenant that there is not is as good as one that there is.
    let nobody = give(&blue, "m", "nobody", ShareAccess::Read, None).await.unwrap();
    let somebody = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
    let blank = |share: Share| Share {
        share_id: String::new(),
        grantee_tenant: String::new(),
        create_time: None,
        ..share
    };
    assert_eq!(blank(nobody), blank(somebody));
    for id in ["", "no id", "!"] {
        invalid(blue.mount_share(id, None).await, "share_id");
        invalid(blue.revoke_share(id, true).await, "share_id");
    }
    house.stop().await;
}

#[tokio::test]
async fn a_share_has_one_name_and_a_name_is_of_one_memory() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    let share = lent(&house, ShareAccess::Read, "theirs").await;
    for name in [Some("again"), Some("theirs"), None] {
        let again = red.mount_share(&share.share_id, name).await;
        refused(again, "SHARE_EXISTS", &of_share(&share));
    }
    let taken: &[(&str, &dyn Display)] = &[("memory_id", &"theirs")];
    refused(red.create(Some("theirs"), pages(1)).await, "MEMORY_EXISTS", taken);
    let second = give(&blue, "m", "red", ShareAccess::ReadWrite, None).await.unwrap();
    let mount = red.mount_share(&second.share_id, Some("theirs")).await;
    refused(mount, "MEMORY_EXISTS", taken);
    red.create(Some("own"), pages(1)).await.unwrap();
    let mount = red.mount_share(&second.share_id, Some("own")).await;
    refused(mount, "MEMORY_EXISTS", &[("memory_id", &"own")]);
    invalid(red.mount_share(&second.share_id, Some("no name")).await, "memory_id");
    let picked = red.mount_share(&second.share_id, None).await.unwrap();
    assert_eq!(picked.memory_id.len(), 32);
    // Each of the two is as its own share says.
    red.write(&picked.memory_id, 0, "x").await.unwrap();
    let numbers: &[(&str, &dyn Display)] = &[("memory_id", &"theirs"), ("access", &"READ")];
    refused(red.write("theirs", 0, "x").await, "GRANT_READ_ONLY", numbers);
    red.revoke_share(&share.share_id, false).await.unwrap();
    red.create(Some("theirs"), pages(1)).await.unwrap();
    house.stop().await;
}

/// Names of a list in pages of so many.
async fn names(client: &Client, page_size: u32) -> Vec<String> {
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListMemoriesRequest { page_size, page_token, ..Default::default() };
        let page = client.list_memories(request).await.unwrap();
        assert!(page.memories.len() <= page_size as usize);
        names.extend(page.memories.into_iter().map(|memory: Memory| memory.memory_id));
        if page.next_page_token.is_empty() {
            return names;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_list_shows_what_is_shared_with_the_tenant_among_its_own_and_its_owner_nothing_new() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    for name in ["b", "d", "f"] {
        red.create(Some(name), pages(1)).await.unwrap();
    }
    for name in ["a", "c", "e", "g"] {
        lent(&house, ShareAccess::Read, name).await;
    }
    for page_size in 1..=8 {
        assert_eq!(names(&red, page_size).await, ["a", "b", "c", "d", "e", "f", "g"]);
        assert_eq!(names(&blue, page_size).await, ["m"]);
    }
    for (selector, count) in [("", 7), ("!any", 7), ("any", 0), ("any!=x", 7)] {
        assert_eq!(red.list(selector).await.unwrap().len(), count, "{selector}");
    }
    let mut listed = Vec::new();
    let mut request = ListSharesRequest { page_size: 3, ..Default::default() };
    loop {
        let page = blue.list_shares(request.clone()).await.unwrap();
        listed.extend(page.shares.into_iter().map(|share| share.share_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(listed.len() == 4 && listed.is_sorted(), "{listed:?}");
    let token =
        { blue.list_shares(ListSharesRequest { page_size: 1, ..Default::default() }).await };
    let page_token = token.unwrap().next_page_token;
    let direction = ShareDirection::Given.into();
    let request = ListSharesRequest { direction, page_size: 1, page_token };
    refused(blue.list_shares(request).await, "PAGE_TOKEN_INVALID", &[]);
    house.stop().await;
}

#[tokio::test]
async fn what_becomes_of_a_share_is_told_to_each_of_its_two_by_its_own_name() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    let watch = |client: &Client| {
        client.watch(Watch {
            kinds: vec![EventKind::Shared, EventKind::Created],
            patience: Duration::from_secs(10),
            ..Default::default()
        })
    };
    let (mut owners, mut grantees) = (watch(&blue), watch(&red));
    for stream in [&mut owners, &mut grantees] {
        assert!(matches!(stream.next().await.unwrap(), EventItem::Started(_)));
    }
    let share = give(&blue, "m", "red", ShareAccess::Read, None).await.unwrap();
    red.mount_share(&share.share_id, Some("theirs")).await.unwrap();
    blue.revoke_share(&share.share_id, false).await.unwrap();
    let wanted = [
        (&mut owners, "m", "red", [ShareStep::Given, ShareStep::Ended]),
        (&mut grantees, "theirs", "blue", [ShareStep::Mounted, ShareStep::Ended]),
    ];
    for (stream, name, tenant, steps) in wanted {
        for step in steps {
            let item = within("it is told", stream.next()).await.unwrap();
            let EventItem::Event(event) = item else { panic!("{item:?}") };
            assert_eq!((event.memory_id.as_str(), event.kind()), (name, EventKind::Shared));
            let Some(Detail::Shared(shared)) = event.detail else { panic!("{event:?}") };
            assert_eq!((shared.step(), shared.access()), (step, ShareAccess::Read));
            assert_eq!((shared.tenant.as_str(), &shared.share_id), (tenant, &share.share_id));
        }
    }
    drop((owners, grantees));
    eventually("nobody watches", async || house.daemon.server.running() == 0).await;
    house.stop().await;
}

#[tokio::test]
async fn by_a_share_nothing_else_of_its_owner_is_reached() {
    let house = house();
    let (blue, red) = (house.client_of("blue").await, house.client_of("red").await);
    blue.create(Some("m"), pages(1)).await.unwrap();
    blue.create(Some("private"), pages(1)).await.unwrap();
    blue.put(Some("segment"), "bytes").await.unwrap();
    lent(&house, ShareAccess::ReadWrite, "theirs").await;
    // The owner's own name for it leads nowhere.
    for name in ["m", "private"] {
        let absent: &[(&str, &dyn Display)] = &[("memory_id", &name)];
        refused(red.read(name, 0, 1).await, "MEMORY_NOT_FOUND", absent);
    }
    let segment = red.init("theirs", 0, "segment", 0, 1).await;
    refused(segment, "SEGMENT_NOT_FOUND", &[("segment_id", &"segment")]);
    red.put(Some("own"), "own").await.unwrap();
    red.init("theirs", 0, "own", 0, 3).await.unwrap();
    assert_eq!(blue.read("m", 0, 3).await.unwrap(), "own");
    assert_eq!(red.segments().await.unwrap().len(), 1);
    // What it names in a failure is the grantee's name for it.
    let grow = red.grow("theirs", 1).await;
    let numbers: &[(&str, &dyn Display)] = &[("memory_id", &"theirs"), ("access", &"READ_WRITE")];
    let failure = refused(grow, "GRANT_READ_ONLY", numbers);
    assert!(failure.message.contains("tenant blue"), "{failure}");
    blue.drop_segment("segment", false).await.unwrap();
    red.drop_segment("own", false).await.unwrap();
    house.stop().await;
}
