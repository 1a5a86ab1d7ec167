//! [`Seats`]: the connections of the HTTP listener, and who of them gives way to a newcomer.
//!
//! ```text
//! newcomer ── fewer than PER_ADDRESS of its address ── fewer than IN_ALL ──────────────> is seated
//!                └── one of that address ends first       └── one of any ends first ───> is seated
//!                           the longest there of those whose request has not come, or else of all
//! ```
//!
//! Law: a newcomer is always seated, for it may be a probe, and an unanswered one ends the daemon and all
//! its memories: so whoever would fill the listener only turns out its own. Knows nothing of HTTP.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::Counter;
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once: a few Prometheus servers and probes.
const IN_ALL: usize = 64;
/// Of one address: a flood from one leaves the others' alone.
const PER_ADDRESS: usize = 16;

/// The connections that are there.
#[derive(Debug)]
pub(super) struct Seats {
    /// In the order in which they came.
    seated: VecDeque<Seated>,
    tasks: JoinSet<()>,
    turned_out: Counter,
}

/// Set once a connection's request has come whole.
pub(super) type Asked = Arc<AtomicBool>;

#[derive(Debug)]
struct Seated {
    address: IpAddr,
    has_asked: Asked,
    task: AbortHandle,
}

impl Seats {
    /// None is taken; those that are turned out are counted there.
    pub(super) fn new(turned_out: Counter) -> Self {
        Self { seated: VecDeque::new(), tasks: JoinSet::new(), turned_out }
    }

    /// Serves a connection from this address, for which another may have to end.
    pub(super) fn seat<F>(&mut self, address: IpAddr, serve: impl FnOnce(Asked) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = address.to_canonical();
        self.make_room(address);
        let has_asked = Asked::default();
        let task = self.tasks.spawn(serve(Arc::clone(&has_asked)));
        self.seated.push_back(Seated { address, has_asked, task });
    }

    /// Waits until a connection ends; for ever where there is none.
    pub(super) async fn one_ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            // Turned out; or it panicked, which the log has been told.
            Some(Err(ended)) => ended.id(),
        };
        self.seated.retain(|seated| seated.task.id() != id);
    }

    fn make_room(&mut self, address: IpAddr) {
        let of_address = self.seated.iter().filter(|seated| seated.address == address).count();
        let gives_way: &dyn Fn(&Seated) -> bool = if of_address >= PER_ADDRESS {
            &|seated| seated.address == address
        } else if self.seated.len() >= IN_ALL {
            &|_| true
        } else {
            return;
        };
        let is_silent = |seated: &Seated| !seated.has_asked.load(Ordering::Relaxed);
        let silent = self.seated.iter().position(|seated| gives_way(seated) && is_silent(seated));
        let longest = silent.or_else(|| self.seated.iter().position(gives_way));
        if let Some(seated) = longest.and_then(|place| self.seated.remove(place)) {
            seated.task.abort();
            self.turned_out.increment(1);
        }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Connections that stay, each from such an address and perhaps with its request there.
    fn seats(each: impl IntoIterator<Item = (u8, bool)>) -> Seats {
        let mut seats = Seats::new(Counter::noop());
        for (from, asks) in each {
            seat(&mut seats, from, asks);
        }
        seats
    }

    fn seat(seats: &mut Seats, from: u8, asks: bool) {
        seats.seat(Ipv4Addr::new(10, 0, 0, from).into(), |has_asked| {
            has_asked.store(asks, Ordering::Relaxed);
            std::future::pending()
        });
    }

    fn of(seats: &Seats, from: u8) -> (usize, usize) {
        let address = Ipv4Addr::new(10, 0, 0, from);
        let of = seats.seated.iter().filter(|seated| seated.address == address);
        let asked = of.clone().filter(|seated| seated.has_asked.load(Ordering::Relaxed));
        (of.count(), asked.count())
    }

    #[tokio::test]
    async fn of_an_address_that_has_its_share_the_longest_silent_gives_way_and_no_other_address() {
        let own = (0..PER_ADDRESS).map(|n| (1, n % 2 == 0));
        let mut seats = seats([(2, false), (2, true)].into_iter().chain(own));
        for _ in 0..100 {
            seat(&mut seats, 1, true);
        }
        assert_eq!(of(&seats, 1), (PER_ADDRESS, PER_ADDRESS), "the silent went first");
        assert_eq!(of(&seats, 2), (2, 1));
        let newest = seats.seated.back().unwrap().task.id();
        seat(&mut seats, 1, false);
        assert!(seats.seated.iter().any(|seated| seated.task.id() == newest));
        assert_eq!(of(&seats, 1), (PER_ADDRESS, PER_ADDRESS - 1));
    }

    #[tokio::test]
    async fn where_every_seat_is_taken_the_longest_silent_of_all_gives_way_and_who_ends_leaves_one()
    {
        let mut seats = seats((0..IN_ALL).map(|n| (u8::try_from(n).unwrap(), n != 7)));
        seat(&mut seats, 200, true);
        assert_eq!((of(&seats, 7), of(&seats, 0)), ((0, 0), (1, 1)));
        seat(&mut seats, 201, true);
        assert_eq!((of(&seats, 0), of(&seats, 200)), ((0, 0), (1, 1)), "then whoever was first");
        assert_eq!(seats.seated.len(), IN_ALL);
        // Those two.
        seats.one_ended().await;
        seats.one_ended().await;
        assert_eq!(seats.seated.len(), IN_ALL);
        seats.seated[3].task.abort();
        seats.one_ended().await;
        assert_eq!(seats.seated.len(), IN_ALL - 1);
        seat(&mut seats, 202, true);
        assert_eq!((seats.seated.len(), of(&seats, 1)), (IN_ALL, (1, 1)));
    }
}
