//! [`RequestLog`]: what a tenant's `request_id`s led to, so that a repeat gets the first success.
//!
//! Law: kept are a hash and a fixed-size result, charged as overhead; the oldest goes first, at the
//! window's end, at the tenant's cap, or when it would not fit the quota. Failures are not
//! remembered. Does not know what the requests were.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Failure;
use crate::model::{MemoryId, Now, RequestKey, Uuid};
use crate::registry::ledger::{Amount, Charge, Payer};
use crate::units::ByteCount;

/// What one entry is charged: key, hash, result and its places in the two collections.
const ENTRY_BYTES: u64 = 384;
/// What a repeat is told to wait while the first still runs.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) window: Duration,
    pub(super) entries: usize,
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Led {
    Created {
        id: MemoryId,
        uid: Uuid,
    },
    Grown {
        previous_pages: u64,
        current_pages: u64,
    },
    /// What its operations answered.
    Executed {
        results: Box<[u8]>,
    },
    Copied,
}

/// What to do with a request.
#[derive(Debug)]
pub(super) enum Begun {
    /// Carry it out, and say with the token what it led to.
    Run(Running),
    /// It was carried out before.
    Done(Led),
}

/// A request being carried out. Dropped without [`Running::led_to`], it is forgotten.
#[derive(Debug)]
pub(super) struct Running {
    log: Option<(Arc<RequestLog>, Uuid)>,
}

#[derive(Debug)]
pub(super) struct RequestLog {
    keep: Memory,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Uuid, Entry>,
    /// The ids by their place in the order of arrival.
    order: BTreeMap<u64, Uuid>,
    arrivals: u64,
    /// What the entries free when they go.
    kept_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    body: [u8; 16],
    begun: Instant,
    place: u64,
    /// Absent while it runs.
    led: Option<Led>,
    charge: Charge,
}

impl Entry {
    /// What it frees when it goes: nothing while it runs.
    const fn cost(&self) -> u64 {
        if self.led.is_some() { self.charge.amount().overhead_bytes } else { 0 }
    }
}

impl RequestLog {
    pub(super) fn new(keep: Memory) -> Arc<Self> {
        Arc::new(Self { keep, state: Mutex::default() })
    }

    /// Looks a request up and, if it is new, notes that it runs. The second payer pays where the first
    /// cannot: a memory is had out of its partition's minimum when the host has nothing left.
    pub(super) fn begin(
        self: &Arc<Self>,
        key: Option<RequestKey>,
        now: Now,
        payers: [&Arc<Payer>; 2],
    ) -> Result<Begun, Failure> {
        self.begin_with(key, ByteCount::ZERO, now, payers)
    }

    /// The same of one whose results are kept with it, and charged as so many entries.
    pub(super) fn begin_with(
        self: &Arc<Self>,
        key: Option<RequestKey>,
        results: ByteCount,
        now: Now,
        payers: [&Arc<Payer>; 2],
    ) -> Result<Begun, Failure> {
        let entries = results.get().div_ceil(ENTRY_BYTES).saturating_add(1);
        let Some(key) = key else { return Ok(Begun::Run(Running { log: None })) };
        let mut state = self.state();
        state.forget_before(now.steady.checked_sub(self.keep.window));
        if let Some(entry) = state.entries.get(&key.id) {
            if entry.body != key.body {
                return Err(Failure::RequestIdReused { request_id: key.id });
            }
            return match &entry.led {
                Some(led) => Ok(Begun::Done(led.clone())),
                None => Err(Failure::Overloaded {
                    limit_name: "running_request_id",
                    limit: 1,
                    used: None,
                    after: RETRY_AFTER,
                }),
            };
        }
        while state.entries.len() >= self.keep.entries && state.forget_oldest() {}
        let charge = loop {
            let [first, second] = payers;
            let amount = Amount::overhead(ENTRY_BYTES.saturating_mul(entries));
            let pay = |payer| Charge::pay(payer, amount);
            match pay(first).or_else(|failure| pay(second).map_err(|_second| failure)) {
                Ok(charge) => break charge,
                Err(failure) => {
                    if !state.forget_oldest() {
                        return Err(failure);
                    }
                }
            }
        };
        let place = state.arrivals;
        state.arrivals = place.wrapping_add(1);
        state.order.insert(place, key.id);
        let entry = Entry { body: key.body, begun: now.steady, place, led: None, charge };
        state.entries.insert(key.id, entry);
        drop(state);
        Ok(Begun::Run(Running { log: Some((Arc::clone(self), key.id)) }))
    }

    /// Forgets all of them, those that run too.
    pub(super) fn forget_all(&self) {
        let all = std::mem::take(&mut *self.state());
        drop(all);
    }

    /// What is charged for all that it remembers.
    pub(super) fn charged_bytes(&self) -> u64 {
        self.state().kept_bytes
    }

    /// Forgets the oldest until as much is free.
    pub(super) fn give_way(&self, bytes: u64) {
        let mut state = self.state();
        let mut free = 0u64;
        while free < bytes {
            let oldest = state.oldest().and_then(|(id, _)| state.entries.get(&id));
            let Some(cost) = oldest.map(Entry::cost) else { return };
            free = free.saturating_add(cost);
            state.forget_oldest();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The request succeeded.
    pub(super) fn led_to(mut self, led: Led) {
        if let Some((log, id)) = self.log.take() {
            log.state().keep(id, led);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((log, id)) = self.log.take() {
            log.state().forget(id);
        }
    }
}

impl State {
    fn keep(&mut self, id: Uuid, led: Led) {
        if let Some(entry) = self.entries.get_mut(&id) {
            let before = entry.cost();
            entry.led = Some(led);
            self.kept_bytes = self.kept_bytes.saturating_sub(before).saturating_add(entry.cost());
        }
    }

    fn forget(&mut self, id: Uuid) {
        if let Some(entry) = self.entries.remove(&id) {
            self.kept_bytes = self.kept_bytes.saturating_sub(entry.cost());
            self.order.remove(&entry.place);
        }
    }

    fn forget_before(&mut self, moment: Option<Instant>) {
        let Some(moment) = moment else { return };
        while self.oldest().is_some_and(|(_, begun)| begun < moment) {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest that does not run; whether there was one.
    fn forget_oldest(&mut self) -> bool {
        let oldest = self.oldest();
        if let Some((id, _)) = oldest {
            self.forget(id);
        }
        oldest.is_some()
    }

    /// The oldest that does not run. Those that run are few: a tenant's handlers are capped.
    fn oldest(&self) -> Option<(Uuid, Instant)> {
        self.order.values().find_map(|id| {
            let entry = self.entries.get(id)?;
            entry.led.is_some().then_some((*id, entry.begun))
        })
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::registry::ledger::{Account, Limits};
    use std::time::SystemTime;

    fn account(bytes: u64) -> Arc<Account> {
        Account::new(Limits { bytes, mappings: 9, reserved_bytes: 9, memories: 9, ..Limits::NONE })
    }

    /// Tenant and host are one account here: each entry is paid twice.
    fn payer(account: &Arc<Account>) -> Arc<Payer> {
        Payer::new(account, account)
    }

    fn log(entries: usize) -> Arc<RequestLog> {
        RequestLog::new(Memory { window: Duration::from_secs(600), entries })
    }

    fn key(id: u128, body: u8) -> Option<RequestKey> {
        Some(RequestKey { id: Uuid::from_u128(id), body: [body; 16] })
    }

    fn now() -> Now {
        Now { steady: Instant::now(), wall: SystemTime::UNIX_EPOCH }
    }

    const GROWN: Led = Led::Grown { previous_pages: 1, current_pages: 2 };

    fn succeed(log: &Arc<RequestLog>, id: u128, at: Now, account: &Arc<Account>) {
        match log.begin(key(id, 1), at, [&payer(account); 2]).unwrap() {
            Begun::Run(running) => running.led_to(GROWN),
            Begun::Done(_) => panic!("{id} was done before"),
        }
    }

    fn is_done(log: &Arc<RequestLog>, id: u128, at: Now, account: &Arc<Account>) -> bool {
        matches!(log.begin(key(id, 1), at, [&payer(account); 2]), Ok(Begun::Done(GROWN)))
    }

    #[test]
    fn a_repeat_gets_the_first_success_and_another_body_is_refused() {
        let (log, account, now) = (log(8), account(u64::MAX), now());
        succeed(&log, 1, now, &account);
        assert!(is_done(&log, 1, now, &account));
        assert_eq!(
            log.begin(key(1, 2), now, [&payer(&account); 2]).unwrap_err(),
            Failure::RequestIdReused { request_id: Uuid::from_u128(1) }
        );
    }

    #[test]
    fn a_repeat_while_the_first_runs_is_told_to_come_back_and_a_failure_is_forgotten() {
        let (log, account, now) = (log(8), account(u64::MAX), now());
        let first = log.begin(key(1, 1), now, [&payer(&account); 2]).unwrap();
        let repeat = log.begin(key(1, 1), now, [&payer(&account); 2]).unwrap_err();
        assert!(matches!(repeat, Failure::Overloaded { .. }), "{repeat:?}");
        drop(first);
        succeed(&log, 1, now, &account);
    }

    #[test]
    fn where_the_first_payer_cannot_pay_the_second_does_before_anything_is_forgotten() {
        let (log, begun) = (log(8), now());
        let [empty, full] = [account(ENTRY_BYTES * 3), account(ENTRY_BYTES * 2)];
        succeed(&log, 1, begun, &full);
        let payers = [&payer(&full), &payer(&empty)];
        match log.begin(key(2, 1), begun, payers).unwrap() {
            Begun::Run(running) => running.led_to(GROWN),
            Begun::Done(_) => panic!("2 was done before"),
        }
        assert_eq!(empty.holdings()[1].used, 2 * ENTRY_BYTES);
        assert!(is_done(&log, 1, begun, &full) && is_done(&log, 2, begun, &full));
    }

    #[test]
    fn what_would_be_freed_is_known_without_a_count_however_entries_come_and_go() {
        let (log, account, begun) = (log(4), account(u64::MAX), now());
        let agrees = |entries: u64| {
            let counted: u64 = log.state().entries.values().map(Entry::cost).sum();
            assert_eq!(log.charged_bytes(), counted);
            assert_eq!(counted, entries * ENTRY_BYTES);
        };
        let payer = payer(&account);
        let payers = [&payer; 2];
        let [failing, running] = [1, 2].map(|id| log.begin(key(id, 1), begun, payers).unwrap());
        agrees(0);
        drop(failing);
        agrees(0);
        let results = ByteCount::new(ENTRY_BYTES + 1);
        match log.begin_with(key(3, 1), results, begun, payers).unwrap() {
            Begun::Run(running) => running.led_to(GROWN),
            Begun::Done(_) => panic!("3 was done before"),
        }
        agrees(3);
        (4..6).for_each(|id| succeed(&log, id, begun, &account));
        agrees(5);
        // The cap takes the long one, the oldest that does not run.
        succeed(&log, 6, begun, &account);
        agrees(3);
        log.give_way(1);
        agrees(2);
        let Begun::Run(running) = running else { panic!("2 was done before") };
        running.led_to(GROWN);
        agrees(3);
        let later = Now { steady: begun.steady + Duration::from_secs(601), ..begun };
        succeed(&log, 7, later, &account);
        agrees(1);
        let late = log.begin(key(8, 1), later, payers).unwrap();
        log.forget_all();
        agrees(0);
        drop(late);
        agrees(0);
        assert_eq!(account.holdings()[1].used, 0);
    }

    #[test]
    fn the_oldest_goes_first_at_the_cap_at_the_window_and_at_the_quota() {
        let begun = now();
        for (log, account) in [(log(2), account(u64::MAX)), (log(99), account(ENTRY_BYTES * 5))] {
            succeed(&log, 1, begun, &account);
            succeed(&log, 2, begun, &account);
            succeed(&log, 3, begun, &account);
            assert!(is_done(&log, 3, begun, &account));
            assert!(is_done(&log, 2, begun, &account));
            assert!(!is_done(&log, 1, begun, &account));
        }
        let (log, account) = (log(99), account(u64::MAX));
        succeed(&log, 1, begun, &account);
        let later = Now { steady: begun.steady + Duration::from_secs(601), ..begun };
        assert!(!is_done(&log, 1, later, &account));
        assert_eq!(account.holdings()[1].used, 0, "the forgotten entry's charge is back");
    }
}
