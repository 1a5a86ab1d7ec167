//! Claims about what the audit log says of sets: each of their memories, made, ended or left open.
//!
//! Law: as `audit.rs`.

use linmemd::client::proto::{
    CreateMemorySetRequest, DeleteMemorySetRequest, MemorySpec, NewMember, Owner,
};
use linmemd::os::kernel::{Advice, Call};
use serde_json::Value;

use crate::audit::{house, shown, so_many, why};
use crate::grpc::{Wire, framed};
use crate::harness::{PAGE, eventually, pages};

#[tokio::test]
async fn a_set_is_told_with_each_of_its_memories_and_a_connections_memory_with_its_connection() {
    let (house, folder) = house(|_| {});
    let (client, maker) = (house.client().await, house.client().await);
    let member = |name: &str| NewMember { memory_id: Some(name.to_owned()), spec: Some(pages(1)) };
    let request = || CreateMemorySetRequest {
        set_id: Some("s".to_owned()),
        members: vec![member("a"), member("b")],
        ..CreateMemorySetRequest::default()
    };
    let set = client.create_memory_set(request()).await.unwrap();
    assert_eq!(why(client.create_memory_set(request()).await), "SET_EXISTS");
    client.delete("a").await.unwrap();
    client.delete_memory_set("s", false).await.unwrap();
    let spec = MemorySpec { owner: Owner::Connection.into(), ..pages(1) };
    let tied = maker.create(Some("t"), spec).await.unwrap();
    drop(maker);
    let lines = so_many(&folder, 9).await;
    let fields = ["event", "method", "outcome", "id", "set", "uid"];
    let told: Vec<_> = lines.iter().map(|line| shown(line, &fields)).collect();
    let of = |rpc: &str| format!("linmem.v1.MemoryService/{rpc}");
    let [make, end] = ["CreateMemorySet", "DeleteMemorySet"].map(of);
    let [create, delete] = ["CreateMemory", "DeleteMemory"].map(of);
    let [a, b] = [0, 1].map(|place| set.members[place].uid.as_str());
    let t = tied.uid.as_str();
    assert_eq!(
        told,
        [
            ["create", &make, "OK", "s", "", ""],
            ["create", &make, "OK", "a", "s", a],
            ["create", &make, "OK", "b", "s", b],
            ["create", &make, "SET_EXISTS", "s", "", ""],
            ["delete", &delete, "OK", "a", "", a],
            ["delete", &end, "OK", "s", "", ""],
            ["delete", &end, "OK", "b", "s", b],
            ["create", &create, "OK", "t", "", t],
            ["delete", "connection", "OK", "t", "", t],
        ]
    );
    assert_eq!(lines[1]["call_id"], lines[0]["call_id"]);
    assert_eq!(shown(&lines[8], &["tenant", "peer"]), ["default", "127.0.0.1"]);
    house.stop().await;
}

fn set_of_two() -> CreateMemorySetRequest {
    let member = |name: &str| NewMember { memory_id: Some(name.to_owned()), spec: Some(pages(2)) };
    CreateMemorySetRequest {
        set_id: Some("s".to_owned()),
        members: vec![member("a"), member("b")],
        ..CreateMemorySetRequest::default()
    }
}

#[tokio::test]
async fn the_memories_of_a_set_are_told_of_where_the_outcome_leaves_open_what_became_of_them() {
    let (house, folder) = house(|config| config.memory.slabs = false);
    let client = house.client().await;
    let wire = Wire::connect(house.grpc()).await;
    let is_all = async |lines: usize, event: &str, outcome: &str| {
        let told = so_many(&folder, lines).await.split_off(lines - 3);
        let fields = ["event", "outcome", "id", "set"];
        let all: Vec<_> = told.iter().map(|line| shown(line, &fields)).collect();
        let of = |id, set| [event, outcome, id, set];
        assert_eq!(all, [of("s", ""), of("a", "s"), of("b", "s")]);
        told.iter().map(|line| line["uid"].clone()).collect::<Vec<_>>()
    };
    // Its caller goes while it is made.
    let pause = house.kernel.pause_at(Call::MapReserved);
    let mut started = wire.begin("CreateMemorySet", &[]).await;
    started.body.send_data(framed(&set_of_two()).into(), true).unwrap();
    pause.reached(1).await;
    drop((started, wire));
    let uids = is_all(3, "create", "CANCELLED").await;
    assert!(uids[1..].iter().all(Value::is_string), "{uids:?}");
    drop(pause);
    // Its caller's time is over while it ends.
    let set = client.create_memory_set(set_of_two()).await.unwrap();
    client.fill("a", 0, 2 * PAGE, 1).await.unwrap();
    let _made = is_all(6, "create", "OK").await;
    let pause = house.kernel.pause_at(Call::Advise(Advice::DontNeed));
    // Of a client that keeps no time of its own, and would cancel it.
    let wire = Wire::connect(house.grpc()).await;
    let delete = DeleteMemorySetRequest { set_id: "s".to_owned(), ..Default::default() };
    let answer = wire.call("DeleteMemorySet", &[("grpc-timeout", "1S")], framed(&delete)).await;
    assert_eq!(answer.status.unwrap().code(), tonic::Code::DeadlineExceeded);
    let uids = is_all(9, "delete", "DEADLINE_EXCEEDED").await;
    assert_eq!(uids[2], set.members[1].uid);
    drop(pause);
    eventually("it ends all the same", async || client.memory("b").await.is_err()).await;
    // It fails as nothing should.
    client.create_memory_set(set_of_two()).await.unwrap();
    let _made = is_all(12, "create", "OK").await;
    house.kernel.plan.panic_at(Call::Unmap);
    assert_eq!(why(client.delete_memory_set("s", false).await), "INTERNAL_FAULT");
    let _gone = is_all(15, "delete", "INTERNAL_FAULT").await;
}
