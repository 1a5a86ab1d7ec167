//! What holds of shares, for `resources.rs`: of both sides, the tenant that owns the memories and the
//! one that they are shared with, which owns none.
//!
//! Checked: a share is what was asked for, and its grantee finds it; one that was revoked is nowhere; a
//! mounted memory shows nothing that its owner says of it; a grantee reads what the owner reads, writes
//! only by a share for writing, and never grows and never shares on.

use linmemd::proto::v1;
use prost::Message;

use crate::law::Refusal;
use crate::world::{GRANTEE, World};

/// Who owns the memories.
const OWNER: &str = "default";

fn of<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).expect("what was answered OK is one")
}

/// Judges what was answered OK.
pub(super) fn judge(world: &mut World, name: &str, of_grantee: bool, bytes: &[u8], answer: &[u8]) {
    match name {
        "ShareMemory" => {
            assert!(!of_grantee, "a grantee owns nothing that it could share");
            shared(world, &of(bytes), of(answer));
        }
        "ListShares" => {
            let (asked, listed): (v1::ListSharesRequest, v1::ListSharesResponse) =
                (of(bytes), of(answer));
            let caller = if of_grantee { GRANTEE } else { OWNER };
            let ids = listed.shares.iter().map(|share| &*share.share_id);
            assert!(ids.is_sorted_by(|one, other| one < other));
            for share in &listed.shares {
                let (gave, got) = (share.owner_tenant == caller, share.grantee_tenant == caller);
                match asked.direction() {
                    v1::ShareDirection::Given => assert!(gave, "{share:?}"),
                    v1::ShareDirection::Received => assert!(got, "{share:?}"),
                    v1::ShareDirection::Unspecified => assert!(gave || got, "{share:?}"),
                }
                assert!(!of_grantee || share.mounted || share.memory_id.is_empty(), "{share:?}");
            }
        }
        "RevokeShare" => {
            let v1::RevokeShareRequest { share_id, .. } = of(bytes);
            assert!(received(world).iter().all(|share| share.share_id != share_id));
            let mount = v1::MountShareRequest { share_id, memory_id: None };
            let gone = world.ask_of_grantee::<v1::MountShareResponse>("MountShare", &mount);
            assert_eq!(gone.expect_err("it is gone").reason, "SHARE_NOT_FOUND");
        }
        "MountShare" => {
            let (asked, mounted): (v1::MountShareRequest, v1::MountShareResponse) =
                (of(bytes), of(answer));
            let memory = mounted.memory.expect("a memory");
            assert!(asked.memory_id.is_none_or(|asked| asked == memory.memory_id));
            shows_nothing_of_the_owners(&memory);
            if of_grantee {
                let get =
                    v1::GetMemoryRequest { memory_id: memory.memory_id, ..Default::default() };
                let got = world.ask_of_grantee::<v1::GetMemoryResponse>("GetMemory", &get);
                let got = got.expect("it is mounted").memory.expect("a memory");
                shows_nothing_of_the_owners(&got);
                assert_eq!(got.uid, memory.uid);
            }
        }
        "ReadMemory" if of_grantee => {
            let (asked, read): (v1::ReadMemoryRequest, v1::ReadMemoryResponse) =
                (of(bytes), of(answer));
            let share = by_name(world, &asked.memory_id);
            let owned = owned(world, &share.uid);
            let (offset, length) = (asked.offset, asked.length);
            let own = v1::ReadMemoryRequest { memory_id: owned, offset, length, uid: None };
            let own: v1::ReadMemoryResponse = world.must("ReadMemory", &own);
            assert_eq!(own.data, read.data, "both read the same");
        }
        "WriteMemory" if of_grantee => {
            let asked: v1::WriteMemoryRequest = of(bytes);
            let share = by_name(world, &asked.memory_id);
            assert_eq!(share.access(), v1::ShareAccess::ReadWrite, "{share:?}");
            let (memory_id, length) = (owned(world, &share.uid), asked.data.len() as u64);
            let offset = asked.offset;
            let own = v1::ReadMemoryRequest { memory_id, offset, length, uid: None };
            let own: v1::ReadMemoryResponse = world.must("ReadMemory", &own);
            assert_eq!(own.data, asked.data, "what the grantee wrote");
        }
        "GrowMemory" => assert!(!of_grantee, "a grantee never grows"),
        _ => {}
    }
}

fn shared(world: &mut World, asked: &v1::ShareMemoryRequest, answer: v1::ShareMemoryResponse) {
    let share = answer.share.expect("a share");
    assert_eq!((&*share.owner_tenant, &share.grantee_tenant), (OWNER, &asked.grantee_tenant));
    assert_eq!((share.access, &share.memory_id), (asked.access, &asked.memory_id));
    assert!(!share.mounted && asked.access() != v1::ShareAccess::Unspecified, "{share:?}");
    assert_eq!(share.expire_time, asked.expire_time);
    if share.grantee_tenant == GRANTEE {
        let found = received(world).into_iter().find(|found| found.share_id == share.share_id);
        // One that runs out in a moment may have.
        assert!(found.is_some() || share.expire_time.is_some(), "{share:?} is not found");
        assert!(found.is_none_or(|found| found.memory_id.is_empty() && found.uid.is_empty()));
    }
}

fn shows_nothing_of_the_owners(memory: &v1::Memory) {
    let spec = memory.spec.as_ref().expect("a spec");
    assert!(spec.display_name.is_empty() && spec.labels.is_empty(), "{memory:?}");
    assert!(spec.lease_ttl.is_none() && spec.partition.is_empty(), "{memory:?}");
    assert!(memory.etag.is_empty() && !memory.shared_from.is_empty(), "{memory:?}");
}

/// The shares that the grantee has.
fn received(world: &mut World) -> Vec<v1::Share> {
    let direction = v1::ShareDirection::Received.into();
    let list = v1::ListSharesRequest { direction, page_size: 1_000, ..Default::default() };
    let listed: Result<v1::ListSharesResponse, Refusal> = world.ask_of_grantee("ListShares", &list);
    listed.expect("a list").shares
}

/// The share that the grantee has mounted under this name.
fn by_name(world: &mut World, name: &str) -> v1::Share {
    let found = received(world).into_iter().find(|share| share.mounted && share.memory_id == name);
    found.unwrap_or_else(|| panic!("{name} came by no share"))
}

/// The owner's name of this memory.
fn owned(world: &mut World, uid: &str) -> String {
    let list = v1::ListMemoriesRequest { page_size: 1_000, ..Default::default() };
    let listed: v1::ListMemoriesResponse = world.must("ListMemories", &list);
    let found = listed.memories.into_iter().find(|memory| memory.uid == uid);
    found.expect("its owner has it").memory_id
}
