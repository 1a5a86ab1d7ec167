//! Groups of operations: lists, columns, and requests of either as raw bytes.
//!
//! Checked: the same operations as a list on one memory and in columns on its twin have equal results,
//! or are refused for the same reason, and leave equal bytes; a list has one result an operation, each
//! of the kind that its operation has; a group that is refused changed nothing.

use std::cell::RefCell;

use bytes::Bytes;
use linmemd::proto::v1::execute_operations_request::Group;
use linmemd::proto::v1::execute_operations_response::Results;
use linmemd::proto::v1::operation::Operation as Kind;
use linmemd::proto::v1::operation_result::Result as Found;
use linmemd::proto::v1::value::Value as Bits;
use linmemd::proto::v1::{
    ExecuteOperationsRequest, ExecuteOperationsResponse, Operation, OperationList, OperationResult,
    PackedOperations, ReadMemoryRequest, ReadMemoryResponse,
};
use prost::Message;

use crate::law::Refusal;
use crate::planted;
use crate::targets::packed::packed;
use crate::world::{TWINS, World, with};

/// The bytes of each twin.
const BYTES: u64 = 1 << 16;

/// Beside the kind: the group's operations over and over, until they are more than one group may have.
pub(crate) const MANY: u8 = 0x80;
/// More than that.
const TOO_MANY: usize = 16_385;

thread_local! {
    /// What the twins held when they were looked at last.
    static HELD: RefCell<Option<Bytes>> = const { RefCell::new(None) };
}

pub(super) fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    with(|world| match kind % 4 {
        0 => {
            // The twins must stay alike.
            let request = ExecuteOperationsRequest::decode(bytes);
            if !request.is_ok_and(|request| TWINS.contains(&request.memory_id.as_str())) {
                let _judged = world.call("ExecuteOperations", bytes);
            }
        }
        1 => columns(world, bytes, kind & MANY != 0),
        _ => both(world, bytes, kind & MANY != 0),
    });
}

/// These over and over, as too many, where so many of their length are not too long for a message:
/// nothing stays nothing.
pub(super) fn repeated<T: Clone>(few: Vec<T>, length: usize) -> Vec<T> {
    /// What a message may have beside a write, or less.
    const FIT: usize = 1 << 20;
    if length * (TOO_MANY / few.len().max(1) + 1) > FIT {
        return few;
    }
    few.iter().cycle().take(TOO_MANY).cloned().collect()
}

fn execute(
    world: &mut World,
    twin: &str,
    group: Group,
) -> Result<ExecuteOperationsResponse, Refusal> {
    let request = ExecuteOperationsRequest {
        memory_id: twin.to_owned(),
        group: Some(group),
        ..Default::default()
    };
    world.ask("ExecuteOperations", &request)
}

/// Columns that may be anything, on both.
fn columns(world: &mut World, bytes: &[u8], is_many: bool) {
    let Ok(mut columns) = PackedOperations::decode(bytes) else { return };
    if is_many {
        columns.addresses = repeated(columns.addresses, bytes.len());
    }
    let is_many = columns.addresses.len() == TOO_MANY;
    let [one, two] = TWINS.map(|twin| execute(world, twin, Group::Packed(columns.clone())));
    assert_eq!(one, two);
    assert!(!is_many || one.is_err(), "{TOO_MANY} operations are carried out");
    compare(world, one.is_ok());
}

/// A list on one, the same in columns on the other.
fn both(world: &mut World, bytes: &[u8], is_many: bool) {
    let Ok(mut list) = OperationList::decode(bytes) else { return };
    if is_many {
        list.operations = repeated(list.operations, bytes.len());
    }
    let is_many = list.operations.len() == TOO_MANY;
    let count = list.operations.len();
    let kinds: Vec<Option<Kind>> =
        list.operations.iter().map(|operation| operation.operation.clone()).collect();
    let columns = packed(&list.operations).map(Group::Packed);
    let second = columns.unwrap_or_else(|| Group::List(list.clone()));
    let one = execute(world, TWINS[0], Group::List(list));
    let two = execute(world, TWINS[1], second);
    let done = one.is_ok();
    assert!(!is_many || !done, "{TOO_MANY} operations are carried out");
    match (one, two) {
        (Ok(one), Ok(two)) => {
            let Some(Results::List(one)) = one.results else { panic!("{one:?} is no list") };
            assert_eq!(one.results.len(), count);
            for (kind, result) in kinds.iter().zip(&one.results) {
                fits(kind.as_ref().expect("or it was refused"), result);
            }
            let mut flat: Vec<u8> = one.results.iter().flat_map(raw).collect();
            let is_swap = matches!(kinds.first(), Some(Some(Kind::AtomicCmpxchg(_))));
            if planted::here(is_swap && count == 1) {
                flat.truncate(7);
            }
            match two.results {
                Some(Results::Packed(two)) => assert!(flat == two.data, "{kinds:?}"),
                Some(Results::List(two)) => assert_eq!(one, two),
                None => panic!("no results"),
            }
        }
        // Of too many, columns are counted before they are looked at.
        (Err(one), Err(two)) => {
            assert!(is_many || one.reason == two.reason, "{kinds:?}: {one:?}, {two:?}")
        }
        (one, two) => panic!("{kinds:?}: {one:?} as a list, {two:?} in columns"),
    }
    if !done || kinds.iter().flatten().any(stores) {
        compare(world, done);
    }
}

fn stores(kind: &Kind) -> bool {
    !matches!(
        kind,
        Kind::Read(_)
            | Kind::Compare(_)
            | Kind::Gather(_)
            | Kind::Load(_)
            | Kind::AtomicLoad(_)
            | Kind::Size(_)
            | Kind::Fence(_)
            | Kind::Notify(_)
    )
}

/// That the twins are alike and, where nothing was done, as they were.
fn compare(world: &mut World, done: bool) {
    let [one, two] = TWINS.map(|twin| {
        let memory_id = twin.to_owned();
        let read = ReadMemoryRequest { memory_id, length: BYTES, ..Default::default() };
        world.must::<ReadMemoryResponse>("ReadMemory", &read).data
    });
    assert!(one == two, "the twins differ");
    HELD.with_borrow_mut(|held| {
        let same = held.as_ref().is_none_or(|held| *held == one);
        assert!(done || same, "a refused group changed something");
        *held = Some(one);
    });
}

/// A result is of its operation's kind.
fn fits(kind: &Kind, result: &OperationResult) {
    let well = match (kind, &result.result) {
        (Kind::Read(read), Some(Found::Data(data))) => data.len() as u64 == read.length,
        (Kind::Gather(gather), Some(Found::Data(data))) => {
            data.len() as u64 == gather.offsets.len() as u64 * u64::from(gather.width)
        }
        (Kind::Load(_), Some(Found::Value(value))) => value.value.is_some(),
        (
            Kind::AtomicLoad(_) | Kind::AtomicRmw(_) | Kind::AtomicCmpxchg(_),
            Some(Found::OldValue(_)),
        )
        | (Kind::Notify(_), Some(Found::WokenCount(0))) => true,
        (Kind::Size(_), Some(Found::SizePages(pages))) => *pages == BYTES >> 16,
        (
            Kind::Write(_)
            | Kind::Compare(_)
            | Kind::Scatter(_)
            | Kind::Store(_)
            | Kind::Fill(_)
            | Kind::Copy(_)
            | Kind::Init(_)
            | Kind::AtomicStore(_)
            | Kind::Fence(_),
            None,
        ) => true,
        _ => false,
    };
    assert!(well, "{kind:?} has {result:?}");
}

/// A result as columns have it.
fn raw(result: &OperationResult) -> Vec<u8> {
    match &result.result {
        None => Vec::new(),
        Some(Found::Data(data)) => data.to_vec(),
        Some(Found::OldValue(old)) => old.to_le_bytes().to_vec(),
        Some(Found::SizePages(pages)) => pages.to_le_bytes().to_vec(),
        Some(Found::WokenCount(count)) => count.to_le_bytes().to_vec(),
        Some(Found::Value(value)) => match value.value.as_ref().expect("a number") {
            Bits::I32(value) => value.to_le_bytes().to_vec(),
            Bits::I64(value) => value.to_le_bytes().to_vec(),
            Bits::F32Bits(bits) => bits.to_le_bytes().to_vec(),
            Bits::F64Bits(bits) => bits.to_le_bytes().to_vec(),
            Bits::V128(bytes) => bytes.to_vec(),
        },
    }
}

/// For seeds.
pub(crate) fn list(kinds: Vec<Kind>) -> Vec<u8> {
    let operations = kinds.into_iter().map(|kind| Operation { operation: Some(kind) }).collect();
    OperationList { operations }.encode_to_vec()
}
