//! The ledger is exact: after every refusal, and after any sequence of payments and returns.

use std::sync::Arc;

use proptest::prelude::*;

use crate::error::Failure;
use crate::registry::ledger::{Account, Amount, Charge, KINDS, Limits, Payer, Traits};

const PLENTY: Limits = Limits {
    bytes: 1 << 40,
    mappings: 1 << 40,
    reserved_bytes: 1 << 40,
    memories: 1 << 40,
    ..Limits::NONE
};

const ONE: Amount = Amount {
    committed_bytes: 100,
    overhead_bytes: 10,
    mappings: 3,
    reserved_bytes: 1000,
    memories: 1,
    traits: Traits::LOCKED.and(Traits::HUGE),
};

fn pay(tenant: &Arc<Account>, host: &Arc<Account>, amount: Amount) -> Result<Charge, Failure> {
    Charge::pay(&Payer::new(tenant, host), amount)
}

/// One limit below [`ONE`], and the name that a refusal gives it.
fn too_small() -> [(Limits, &'static str); 6] {
    [
        (Limits { bytes: 109, ..PLENTY }, "committed_bytes"),
        (Limits { mappings: 2, ..PLENTY }, "mappings"),
        (Limits { reserved_bytes: 999, ..PLENTY }, "reserved_bytes"),
        (Limits { memories: 0, ..PLENTY }, "memories"),
        (Limits { locked_bytes: 99, ..PLENTY }, "locked_bytes"),
        (Limits { huge_page_bytes: 99, ..PLENTY }, "huge_page_bytes"),
    ]
}

#[test]
fn a_refusal_of_any_kind_by_the_tenants_account_takes_nothing_from_either() {
    for (limits, name) in too_small() {
        let (tenant, host) = (Account::new(limits), Account::new(PLENTY));
        let refused = pay(&tenant, &host, ONE).unwrap_err();
        assert!(
            matches!(refused, Failure::QuotaExceeded { limit_name, used: 0, .. } if limit_name == name),
            "{refused:?}"
        );
        assert!(tenant.is_empty() && host.is_empty(), "{name}");
    }
}

#[test]
fn a_refusal_of_any_kind_by_the_hosts_account_takes_nothing_from_either() {
    for (limits, name) in too_small() {
        let (tenant, host) = (Account::new(PLENTY), Account::new(limits));
        let refused = pay(&tenant, &host, ONE).unwrap_err();
        assert!(
            matches!(refused, Failure::HostExhausted { limit_name, .. } if limit_name == name),
            "{refused:?}"
        );
        assert!(tenant.is_empty() && host.is_empty(), "{name}");
    }
}

#[test]
fn exactly_the_limit_is_admitted_and_one_more_is_not() {
    let limits = Limits {
        bytes: 110,
        mappings: 3,
        reserved_bytes: 1000,
        memories: 1,
        locked_bytes: 100,
        huge_page_bytes: 100,
    };
    let (tenant, host) = (Account::new(limits), Account::new(limits));
    let charge = pay(&tenant, &host, ONE).unwrap();
    assert!(pay(&tenant, &host, Amount::overhead(1)).is_err());
    drop(charge);
    assert!(tenant.is_empty() && host.is_empty());
}

#[test]
fn a_limit_lowered_below_what_is_used_takes_nothing_and_admits_nothing() {
    let (tenant, host) = (Account::new(PLENTY), Account::new(PLENTY));
    let charge = pay(&tenant, &host, ONE).unwrap();
    host.set_mappings_limit(1);
    assert!(pay(&tenant, &host, ONE).is_err());
    assert_eq!(host.holdings()[2].used, 3);
    drop(charge);
    assert!(host.is_empty());
}

#[test]
fn a_payment_that_would_pass_64_bits_is_refused() {
    let limits = Limits { bytes: u64::MAX, ..PLENTY };
    let (tenant, host) = (Account::new(limits), Account::new(limits));
    let held = pay(&tenant, &host, Amount::overhead(u64::MAX)).unwrap();
    assert!(pay(&tenant, &host, Amount::overhead(1)).is_err());
    drop(held);
    assert!(tenant.is_empty() && host.is_empty());
}

#[derive(Clone, Debug)]
enum Deed {
    Pay { committed: u64, overhead: u64 },
    Drop(usize),
    Absorb(usize, usize),
    SetOverhead(usize, u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..400u64, 0..100u64).prop_map(|(committed, overhead)| Deed::Pay { committed, overhead }),
        any::<usize>().prop_map(Deed::Drop),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Deed::Absorb(a, b)),
        (any::<usize>(), 0..500u64).prop_map(|(a, overhead)| Deed::SetOverhead(a, overhead)),
    ]
}

fn used(account: &Account) -> [u64; KINDS] {
    account.holdings().map(|holding| holding.used)
}

fn sum(charges: &[Charge]) -> [u64; KINDS] {
    charges.iter().map(Charge::amount).fold([0; KINDS], |sum, amount| {
        [
            sum[0] + amount.committed_bytes,
            sum[1] + amount.overhead_bytes,
            sum[2] + u64::from(amount.mappings),
            sum[3] + amount.reserved_bytes,
            sum[4] + u64::from(amount.memories),
            sum[5] + amount.locked_bytes(),
            sum[6] + amount.huge_page_bytes(),
        ]
    })
}

proptest! {
    #[test]
    fn both_accounts_hold_the_sum_of_the_charges_whatever_happens(
        deeds in prop::collection::vec(deed(), 0..60),
        tenant_bytes in 0..2000u64,
        host_memories in 0..8u64,
    ) {
        let tenant = Account::new(Limits { bytes: tenant_bytes, ..PLENTY });
        let host = Account::new(Limits { memories: host_memories, ..PLENTY });
        let mut charges: Vec<Charge> = Vec::new();
        for deed in deeds {
            let count = charges.len().max(1);
            match deed {
                Deed::Pay { committed, overhead } => {
                    let amount = Amount { committed_bytes: committed, overhead_bytes: overhead, ..ONE };
                    charges.extend(pay(&tenant, &host, amount));
                }
                Deed::Drop(at) if !charges.is_empty() => drop(charges.remove(at % count)),
                Deed::Absorb(from, into) if charges.len() > 1 => {
                    let from = charges.remove(from % count);
                    let into = into % charges.len();
                    charges[into].absorb(from);
                }
                Deed::SetOverhead(at, overhead) if !charges.is_empty() => {
                    let before = charges[at % count].amount();
                    if charges[at % count].set_overhead(overhead).is_err() {
                        prop_assert_eq!(charges[at % count].amount(), before);
                    }
                }
                _ => {}
            }
            prop_assert_eq!(used(&tenant), sum(&charges));
            prop_assert_eq!(used(&host), sum(&charges));
        }
        drop(charges);
        prop_assert!(tenant.is_empty() && host.is_empty());
    }
}

#[test]
fn threads_that_pay_and_return_at_once_never_pass_the_limit_and_leave_nothing() {
    let tenant = Account::new(Limits { memories: 3, ..PLENTY });
    let host = Account::new(PLENTY);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (tenant, host): (&Arc<Account>, &Arc<Account>) = (&tenant, &host);
            scope.spawn(move || {
                for _ in 0..5_000 {
                    let charge = pay(tenant, host, ONE);
                    assert!(tenant.holdings()[4].used <= 3);
                    drop(charge);
                }
            });
        }
    });
    assert!(tenant.is_empty() && host.is_empty());
}

#[test]
fn a_part_of_a_charge_is_given_back_by_itself_and_no_more_than_there_is() {
    let (tenant, host) = (Account::new(PLENTY), Account::new(PLENTY));
    let payer = Payer::new(&tenant, &host);
    let mut whole = Charge::pay(&payer, ONE).unwrap();
    let half = whole.split(Amount { committed_bytes: 60, ..Amount::default() });
    assert_eq!(whole.amount().committed_bytes + half.amount().committed_bytes, ONE.committed_bytes);
    drop(half);
    let rest = whole.split(Amount { committed_bytes: u64::MAX, ..ONE });
    assert_eq!(whole.amount(), Amount { traits: ONE.traits, ..Amount::default() });
    drop(whole);
    assert!(!tenant.is_empty() && !host.is_empty());
    drop(rest);
    assert!(tenant.is_empty() && host.is_empty());
}

#[test]
fn what_was_prepaid_costs_the_tenant_all_of_it_and_the_host_its_overhead() {
    let (tenant, host) = (Account::new(PLENTY), Account::new(PLENTY));
    let payer = Payer::new(&tenant, &host);
    let prepaid = Amount { traits: Traits::PREPAID, ..ONE };
    let mut charge = Charge::pay(&payer, prepaid).unwrap();
    charge.absorb(Charge::pay(&payer, Amount { memories: 0, ..prepaid }).unwrap());
    charge.set_overhead(7).unwrap();
    let used = |account: &Account| account.holdings().map(|holding| holding.used);
    assert_eq!(used(&tenant)[0], 2 * ONE.committed_bytes);
    assert_eq!(used(&host), [0, 7, 0, 0, 1, 0, 0]);
    drop(charge);
    assert!(tenant.is_empty() && host.is_empty());
}
