//! Partitions' books are exact after any sequence of payments, returns, creations and ends, and what
//! is left of a minimum can always be paid.

use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;

use crate::error::Failure;
use crate::model::{PartitionId, PartitionLimits, PartitionSpec};
use crate::registry::ledger::{Account, Amount, Charge, Limits, Payer};
use crate::registry::partition::{Partition, PartitionFigures, Partitions};
use crate::units::ByteCount;

const PLENTY: Limits = Limits {
    bytes: u64::MAX,
    mappings: 1 << 40,
    reserved_bytes: 1 << 40,
    memories: 1 << 40,
    ..Limits::NONE
};

struct House {
    host: Arc<Account>,
    tenant: Arc<Account>,
    partitions: Partitions,
}

impl House {
    fn of(budget: u64) -> Self {
        let host = Account::new(Limits { bytes: budget, ..PLENTY });
        let partitions = Partitions::new(&host);
        Self { tenant: Account::new(PLENTY), host, partitions }
    }

    fn found(
        &self,
        id: &str,
        parent: Option<&str>,
        minimum: u64,
        maximum: u64,
    ) -> Result<Arc<Partition>, Failure> {
        self.limited(id, parent, [minimum, maximum], PartitionLimits::default())
    }

    fn limited(
        &self,
        id: &str,
        parent: Option<&str>,
        [minimum, maximum]: [u64; 2],
        limits: PartitionLimits,
    ) -> Result<Arc<Partition>, Failure> {
        let spec = PartitionSpec {
            parent: parent.map(name),
            limits,
            ..PartitionSpec::new(ByteCount::new(minimum), ByteCount::new(maximum))
        };
        let parent = spec.parent.as_ref().map(|parent| self.partitions.find(parent)).transpose()?;
        let begun = SystemTime::UNIX_EPOCH;
        let partition = self.partitions.found(name(id), spec, parent.as_ref(), begun)?;
        drop(parent);
        self.partitions.insert(&partition, || Ok(())).map(|()| partition)
    }

    fn pay(&self, partition: Option<&Arc<Partition>>, bytes: u64) -> Result<Charge, Failure> {
        let payer = Payer::new(&self.tenant, &self.host);
        let payer = partition.map_or(Arc::clone(&payer), |one| payer.within(Arc::clone(one)));
        let amount = Amount { memories: 1, ..Amount::committed(ByteCount::new(bytes)) };
        Charge::pay(&payer, amount)
    }

    fn end(&self, partition: &Arc<Partition>) -> Result<(), Failure> {
        partition.end()?;
        self.partitions.remove(partition);
        partition.give_back_minimum();
        Ok(())
    }

    fn host_bytes(&self) -> u64 {
        let holdings = self.host.holdings();
        holdings[0].used + holdings[1].used
    }
}

fn name(id: &str) -> PartitionId {
    PartitionId::new(id).unwrap()
}

#[test]
fn a_minimum_is_paid_once_and_what_is_above_it_is_borrowed() {
    let house = House::of(1_000);
    let one = house.found("one", None, 300, 500).unwrap();
    assert_eq!(house.host_bytes(), 300);
    let small = house.pay(Some(&one), 200).unwrap();
    assert_eq!((house.host_bytes(), one.holds().borrowed_bytes), (300, 0));
    let large = house.pay(Some(&one), 250).unwrap();
    assert_eq!((house.host_bytes(), one.holds().borrowed_bytes), (450, 150));
    let refused = house.pay(Some(&one), 51).unwrap_err();
    let limit_name = "partition_committed_bytes";
    let full =
        Failure::PartitionFull { partition_id: name("one"), limit_name, limit: 500, asked: 51 };
    assert_eq!(refused, full);
    drop(small);
    assert_eq!((house.host_bytes(), one.holds().borrowed_bytes), (300, 0));
    drop(large);
    assert_eq!((house.host_bytes(), one.holds().used_bytes), (300, 0));
    house.end(&one).unwrap();
    assert_eq!(house.host_bytes(), 0);
    assert!(house.tenant.is_empty());
}

#[test]
fn minimums_never_add_up_to_more_than_the_budget() {
    let house = House::of(1_000);
    house.found("a", None, 600, 1_000).unwrap();
    assert!(matches!(house.found("b", None, 401, 500), Err(Failure::HostExhausted { .. })));
    house.found("b", None, 400, 500).unwrap();
    // A child's comes out of its parent's, and what that has not is borrowed.
    house.found("a1", Some("a"), 600, 600).unwrap();
    assert!(matches!(house.found("a2", Some("a"), 1, 1), Err(Failure::HostExhausted { .. })));
    let above = house.found("a3", Some("a"), 500, 500);
    assert!(matches!(above, Err(Failure::PartitionFull { limit: 1_000, .. })), "{above:?}");
    assert_eq!(house.host_bytes(), 1_000);
}

#[test]
fn under_pressure_nothing_is_lent_and_what_was_lent_comes_back() {
    let house = House::of(1_000);
    let one = house.found("one", None, 300, 900).unwrap();
    let inner = house.found("inner", Some("one"), 0, 900).unwrap();
    let lent = house.pay(Some(&inner), 400).unwrap();
    house.partitions.set_pressure(true);
    let refused = house.pay(Some(&inner), 1).unwrap_err();
    let name = "partition_borrowing";
    assert!(matches!(refused, Failure::HostExhausted { limit_name, .. } if limit_name == name));
    drop(lent);
    // What is left of a parent's minimum is no borrowing from the host.
    let whole = house.pay(Some(&inner), 300).unwrap();
    house.pay(Some(&one), 1).unwrap_err();
    house.partitions.set_pressure(false);
    drop(house.pay(Some(&one), 1).unwrap());
    drop(whole);
}

#[test]
fn a_partition_in_use_does_not_end_and_one_that_ended_takes_nothing() {
    let house = House::of(1_000);
    let one = house.found("one", None, 300, 900).unwrap();
    let inner = house.found("inner", Some("one"), 100, 200).unwrap();
    let in_use = |memories, children| {
        Err(Failure::PartitionInUse { partition_id: name("one"), memories, children })
    };
    assert_eq!(house.end(&one), in_use(0, 1));
    let charge = house.pay(Some(&one), 10).unwrap();
    house.end(&inner).unwrap();
    assert_eq!(house.end(&one), in_use(1, 0));
    drop(charge);
    house.end(&one).unwrap();
    assert_eq!(house.pay(Some(&one), 1).unwrap_err(), one.not_found());
    assert_eq!(house.end(&one), Err(one.not_found()));
    drop(one);
    assert_eq!(house.host_bytes(), 0);
}

#[test]
fn what_outlives_an_ended_partition_is_paid_until_its_end() {
    let house = House::of(1_000);
    let one = house.found("one", None, 300, 900).unwrap();
    let payer = Payer::new(&house.tenant, &house.host).within(Arc::clone(&one));
    let request_id = Charge::pay(&payer, Amount::overhead(40)).unwrap();
    house.end(&one).unwrap();
    assert_eq!(house.host_bytes(), 40);
    drop(request_id);
    drop((payer, one));
    assert_eq!(house.host_bytes(), 0);
}

#[test]
fn a_full_partition_beside_it_never_takes_what_is_left_of_a_minimum() {
    const ROUNDS: u64 = 1_000;
    let house = House::of(1_000);
    let greedy = house.found("greedy", None, 100, 700).unwrap();
    let held = house.found("held", None, 300, 400).unwrap();
    std::thread::scope(|scope| {
        let (house, greedy, held) = (&house, &greedy, &held);
        scope.spawn(move || {
            for round in 0..ROUNDS {
                let charges: Vec<Charge> =
                    std::iter::from_fn(|| house.pay(Some(greedy), 1 + round % 97).ok()).collect();
                drop(charges);
            }
        });
        scope.spawn(move || {
            for _round in 0..ROUNDS {
                let first = house.pay(Some(held), 200).expect("a part of the minimum");
                let rest = house.pay(Some(held), 100).expect("the rest of it");
                assert!(house.host_bytes() <= 1_000);
                drop((first, rest));
            }
        });
    });
    assert_eq!(house.host_bytes(), 400);
    assert!(house.tenant.is_empty());
}

#[derive(Clone, Debug)]
enum Deed {
    Found { parent: Option<usize>, minimum: u64, more: u64 },
    End(usize),
    Pay { partition: Option<usize>, bytes: u64 },
    Drop(usize),
    Absorb(usize),
    Press(bool),
}

fn deed() -> impl Strategy<Value = Deed> {
    let one = || prop::option::of(any::<usize>());
    prop_oneof![
        3 => (one(), 0..400u64, 0..400u64)
            .prop_map(|(parent, minimum, more)| Deed::Found { parent, minimum, more }),
        1 => any::<usize>().prop_map(Deed::End),
        8 => (one(), 0..300u64).prop_map(|(partition, bytes)| Deed::Pay { partition, bytes }),
        4 => any::<usize>().prop_map(Deed::Drop),
        1 => any::<usize>().prop_map(Deed::Absorb),
        1 => any::<bool>().prop_map(Deed::Press),
    ]
}

/// A partition with what is paid from it directly.
struct Known {
    partition: Arc<Partition>,
    charges: Vec<Charge>,
}

impl Known {
    fn paid(&self) -> u64 {
        self.charges.iter().map(|charge| charge.amount().bytes()).sum()
    }
}

/// What each partition must be using, by the definition: its own and the larger of minimum and use of
/// each child.
fn used(all: &[Known], of: &Known) -> u64 {
    let id = Some(&of.partition.id);
    let children = all.iter().filter(|one| one.partition.spec.parent.as_ref() == id);
    of.paid() + children.map(|child| paid_above(all, child)).sum::<u64>()
}

fn paid_above(all: &[Known], of: &Known) -> u64 {
    used(all, of).max(of.partition.spec.minimum.get())
}

proptest! {
    #[test]
    fn sums_are_exact_limits_are_kept_and_minimums_can_be_paid_whatever_happens(
        deeds in prop::collection::vec(deed(), 0..80),
        budget in 0..3_000u64,
    ) {
        let house = House::of(budget);
        let mut all: Vec<Known> = Vec::new();
        let mut outside: Vec<Charge> = Vec::new();
        for (number, deed) in deeds.into_iter().enumerate() {
            match deed {
                Deed::Found { parent, minimum, more } => {
                    let id = format!("p{number}");
                    let parent = parent.filter(|_| !all.is_empty()).map(|at| at % all.len());
                    let parent = parent.map(|at| all[at].partition.id.to_string());
                    let found = house.found(&id, parent.as_deref(), minimum, minimum + more);
                    let known = |partition| Known { partition, charges: Vec::new() };
                    all.extend(found.ok().map(known));
                }
                Deed::End(at) if !all.is_empty() => {
                    let at = at % all.len();
                    let id = Some(all[at].partition.id.clone());
                    let childless = all.iter().all(|one| one.partition.spec.parent != id);
                    let ended = house.end(&all[at].partition).is_ok();
                    prop_assert_eq!(ended, childless && all[at].charges.is_empty());
                    if ended {
                        all.remove(at);
                    }
                }
                Deed::Pay { partition: Some(at), bytes } if !all.is_empty() => {
                    let at = at % all.len();
                    let left = all[at].partition.unused_minimum().0;
                    let paid = house.pay(Some(&all[at].partition), bytes);
                    prop_assert!(paid.is_ok() || bytes > left, "{bytes} of {left}");
                    all[at].charges.extend(paid);
                }
                Deed::Pay { bytes, .. } => outside.extend(house.pay(None, bytes)),
                Deed::Drop(at) => {
                    let lists = all.iter_mut().map(|one| &mut one.charges);
                    let mut lists: Vec<_> = lists.chain([&mut outside]).collect();
                    let at = at % lists.len();
                    lists[at].pop();
                }
                Deed::Absorb(at) if !all.is_empty() => {
                    let at = at % all.len();
                    if all[at].charges.len() > 1 {
                        let more = all[at].charges.pop().unwrap();
                        all[at].charges.last_mut().unwrap().absorb(more);
                    }
                }
                Deed::Press(pressure) => house.partitions.set_pressure(pressure),
                _ => {}
            }
            for one in &all {
                let holds = one.partition.holds();
                prop_assert_eq!(holds.used_bytes, used(&all, one));
                prop_assert!(holds.used_bytes <= one.partition.spec.maximum.get());
                let memories: u32 = one.charges.iter().map(|one| u32::from(one.amount().memories)).sum();
                prop_assert_eq!(holds.memories, u64::from(memories));
            }
            let roots = all.iter().filter(|one| one.partition.spec.parent.is_none());
            let outside: u64 = outside.iter().map(|charge| charge.amount().bytes()).sum();
            let sum = roots.map(|one| paid_above(&all, one)).sum::<u64>() + outside;
            prop_assert_eq!(house.host_bytes(), sum);
            prop_assert!(sum <= budget);
        }
        // Children before parents: a parent was made first.
        while let Some(last) = all.pop() {
            drop(last.charges);
            house.end(&last.partition).unwrap();
        }
        drop(outside);
        prop_assert!(house.host.is_empty() && house.tenant.is_empty());
    }
}

#[test]
fn what_is_no_bytes_is_limited_here_and_by_those_above_and_nothing_is_paid_where_one_refuses() {
    let world = House::of(10_000);
    let limits = |memories, mappings| PartitionLimits {
        memories: Some(memories),
        mappings: Some(mappings),
        reserved_bytes: Some(100),
    };
    let outer = world.limited("outer", None, [0, 5_000], limits(2, 9)).unwrap();
    let inner = world.limited("inner", Some("outer"), [0, 4_000], limits(5, 4)).unwrap();
    let pay = |memories, mappings, reserved_bytes| {
        let payer = Payer::new(&world.tenant, &world.host).within(Arc::clone(&inner));
        let bytes = Amount { committed_bytes: 10, ..Amount::default() };
        Charge::pay(&payer, Amount { memories, mappings, reserved_bytes, ..bytes })
    };
    let first = pay(1, 3, 60).unwrap();
    let refusal = |limit_name, limit, asked| Failure::PartitionFull {
        partition_id: name("inner"),
        limit_name,
        limit,
        asked,
    };
    assert_eq!(pay(1, 2, 0).unwrap_err(), refusal("partition_mappings", 4, 2));
    assert_eq!(pay(1, 0, 41).unwrap_err(), refusal("partition_reserved_bytes", 100, 41));
    let second = pay(1, 1, 40).unwrap();
    let Err(Failure::HostExhausted { limit_name, .. }) = pay(1, 0, 0) else { panic!("room") };
    assert_eq!(limit_name, "partition_borrowing");
    for partition in [&outer, &inner] {
        let holds = partition.holds();
        assert_eq!((holds.used_bytes, holds.mappings, holds.reserved_bytes), (20, 4, 100));
    }
    drop(first);
    let third = pay(1, 3, 60).unwrap();
    drop([second, third]);
    assert_eq!(outer.holds(), PartitionFigures::default());
    assert_eq!(inner.holds(), PartitionFigures::default());
}
