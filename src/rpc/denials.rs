//! [`Denials`]: which refusals for who calls are told one by one, and how many are not.
//!
//! ```text
//! one more ──> its peer has an allowance, and all have one ──> told by itself
//!                   └── either is used up ──> counted ── LATE after the first of them ──> told as a number
//! ```
//!
//! Law: a stranger makes as many as it likes, and decides neither how long the audit log is nor how much is
//! kept here. All are told, each or counted. Peers of whom there is something to remember have a place each
//! while there is one; the others share one. Has no clock and no lock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use crate::rpc::allowance::{Allowance, Terms};
use crate::rpc::whereabouts::Whereabouts;

/// One peer's: 64 at once, 16 a second. Who mistypes a token is told of in full.
const EACH: Terms = Terms { most: 64, each: Duration::from_micros(62_500), deepest: 0 };
/// All peers' together: 256 at once, 64 a second, which is 20 KB: one host may have thousands of networks.
const ALL: Terms = Terms { most: 256, each: Duration::from_micros(15_625), deepest: 0 };
/// Peers that have a place of their own.
const MOST_PEERS: usize = 256;
/// From the first that is counted to the number.
const LATE: Duration = Duration::from_secs(1);

/// So many refusals of one peer that were not told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Of whom; none: of whom is not known, or of several.
    pub peer: Option<Whereabouts>,
    /// When the first of them was.
    pub since: SystemTime,
    /// How many.
    pub entries: u64,
}

/// What is told of refusals.
#[derive(Debug, Default)]
pub(super) struct Denials {
    /// Of all; there once one has been refused.
    all: Option<Allowance>,
    peers: HashMap<Option<Whereabouts>, One>,
    /// Those of whom something is counted, each once, by when that is told.
    due: VecDeque<(Instant, Option<Whereabouts>)>,
}

/// One peer.
#[derive(Debug)]
struct One {
    allowance: Allowance,
    untold: u64,
    since: SystemTime,
}

impl Denials {
    /// Whether one more of this peer is told by itself. It is counted where it is not.
    pub(super) fn is_told(
        &mut self,
        peer: Option<Whereabouts>,
        time: SystemTime,
        now: Instant,
    ) -> bool {
        let peer = self.place(peer.map(Whereabouts::whole), now);
        let all = self.all.get_or_insert_with(|| Allowance::whole(&ALL, now));
        let whole = || One { allowance: Allowance::whole(&EACH, now), untold: 0, since: time };
        let one = self.peers.entry(peer).or_insert_with(whole);
        let is_left = one.allowance.take(&EACH, 0, now) > 0 && all.take(&ALL, 0, now) > 0;
        if is_left && one.allowance.draw(1) && all.draw(1) {
            return true;
        }
        if one.untold == 0 {
            one.since = time;
            self.due.push_back((now.checked_add(LATE).unwrap_or(now), peer));
        }
        one.untold = one.untold.saturating_add(1);
        false
    }

    /// When a number is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// One that is due by then; the next whatsoever where no time is said.
    pub(super) fn take(&mut self, now: Option<Instant>) -> Option<Untold> {
        let is_due = |due: &(Instant, _)| now.is_none_or(|now| due.0 <= now);
        let (_, peer) = self.due.front().copied().filter(is_due)?;
        self.due.pop_front();
        let one = self.peers.get_mut(&peer)?;
        Some(Untold { peer, since: one.since, entries: std::mem::take(&mut one.untold) })
    }

    /// Whose place is this peer's.
    fn place(&mut self, peer: Option<Whereabouts>, now: Instant) -> Option<Whereabouts> {
        if self.peers.len() < MOST_PEERS || self.peers.contains_key(&peer) {
            return peer;
        }
        // Of who has been quiet for long enough there is nothing to remember.
        let is_busy =
            |one: &mut One| one.untold > 0 || one.allowance.take(&EACH, 0, now) < EACH.most;
        self.peers.retain(|_, one| is_busy(one));
        peer.filter(|_| self.peers.len() < MOST_PEERS)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    const TIME: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(number: u32) -> Option<Whereabouts> {
        Some(Whereabouts::Address(std::net::Ipv4Addr::from_bits(number).into()))
    }

    /// How many of so many are told by themselves.
    fn told(denials: &mut Denials, peer: Option<Whereabouts>, count: usize, now: Instant) -> usize {
        (0..count).filter(|_| denials.is_told(peer, TIME, now)).count()
    }

    #[test]
    fn a_peer_has_so_many_a_second_and_the_rest_is_one_number() {
        let (mut denials, begin) = (Denials::default(), Instant::now());
        assert_eq!(told(&mut denials, at(1), 1_000, begin), 64);
        assert_eq!(told(&mut denials, at(2), 10, begin), 10, "others have their own");
        assert_eq!(denials.next(), Some(begin + LATE));
        let soon = begin + LATE / 2;
        assert_eq!(told(&mut denials, at(1), 100, soon), 8);
        assert_eq!(denials.take(Some(soon)), None);
        let number = Untold { peer: at(1), since: TIME, entries: 936 + 92 };
        assert_eq!(denials.take(Some(begin + LATE)), Some(number));
        assert_eq!((denials.take(None), denials.next()), (None, None), "told once");
        assert_eq!(told(&mut denials, at(1), 100, begin + LATE * 60), 64, "after a minute's quiet");
        assert_eq!(denials.take(None).map(|number| number.entries), Some(36), "at the end");
    }

    #[test]
    fn however_many_peers_come_what_is_kept_and_told_of_them_is_bounded() {
        let (mut denials, begin) = (Denials::default(), Instant::now());
        let mut by_themselves = 0;
        let mut counted = 0;
        for number in 0..100_000 {
            let now = begin + Duration::from_micros(100) * number;
            by_themselves += told(&mut denials, at(number), 1, now);
            while let Some(untold) = denials.take(Some(now)) {
                counted += untold.entries;
            }
            assert!(denials.peers.len() <= MOST_PEERS + 1 && denials.due.len() <= MOST_PEERS + 1);
        }
        // Ten seconds.
        assert!((800..=256 + 640).contains(&by_themselves), "{by_themselves}");
        counted += std::iter::from_fn(|| denials.take(None)).map(|one| one.entries).sum::<u64>();
        assert_eq!(by_themselves as u64 + counted, 100_000, "all are told");
        let later = begin + Duration::from_secs(60);
        assert_eq!(told(&mut denials, at(7), 100, later), 64, "there is room again");
        assert_eq!(denials.take(None).and_then(|untold| untold.peer), at(7));
    }

    #[test]
    fn the_addresses_of_one_network_are_one_peer() {
        let (mut denials, now) = (Denials::default(), Instant::now());
        let network: u128 = 0x2001_0db8 << 96;
        let address = |host: u128| std::net::Ipv6Addr::from_bits(network | host).into();
        let peers = (0..100).map(|host| Some(Whereabouts::Address(address(host))));
        assert_eq!(peers.filter(|peer| denials.is_told(*peer, TIME, now)).count(), 64);
        let untold = denials.take(None).unwrap();
        let said = untold.peer.map(|peer| peer.to_string());
        assert_eq!((said.as_deref(), untold.entries), (Some("2001:db8::/64"), 36));
    }
}
