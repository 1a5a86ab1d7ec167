//! [`Places`]: how many connections there are, in all and of each [`Origin`].
//!
//! Law: a place is taken before a connection is served and given back by `Drop`. An address of IPv6
//! stands for its network of 64 bits, which is what one host has at the least; who comes by a Unix socket
//! has no address and is counted by user.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of an address of IPv6 that says whose it is.
const NETWORK: u128 = u128::MAX << 64;

/// Where a connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// By TCP.
    Address(IpAddr),
    /// By the Unix socket.
    User(u32),
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct MostConnections {
    /// In all.
    pub in_all: u64,
    /// From one address, or of one user.
    pub per_address: u64,
}

/// Which limit a connection is one too many for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// That of all.
    InAll,
    /// That of its address, or user.
    Address,
}

/// The connections' places.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: AtomicU64,
    by_origin: Mutex<HashMap<Origin, u64>>,
}

/// A connection's place among those that are served. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    peer: Origin,
    is_counted: bool,
}

impl Places {
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// A place for one more, from there.
    pub(crate) fn take(
        self: &Arc<Self>,
        peer: Origin,
        most: MostConnections,
    ) -> Result<Place, Crowded> {
        let room = |have: u64| (have < most.in_all).then(|| have.saturating_add(1));
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        taken.map_err(|_full| Crowded::InAll)?;
        let mut place = Place { places: Arc::clone(self), peer, is_counted: false };
        let mut by_origin = self.by_origin();
        let count = by_origin.entry(place.origin()).or_default();
        if *count >= most.per_address {
            // The place, which is not counted there, gives back what it has.
            drop(by_origin);
            return Err(Crowded::Address);
        }
        *count = count.saturating_add(1);
        place.is_counted = true;
        Ok(place)
    }

    fn by_origin(&self) -> MutexGuard<'_, HashMap<Origin, u64>> {
        self.by_origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whose it is: a network stands for its addresses.
    pub(crate) fn origin(&self) -> Origin {
        match self.peer {
            Origin::Address(address) => Origin::Address(whose(address)),
            user @ Origin::User(_) => user,
        }
    }

    /// Where the connection is from; none for a Unix socket.
    pub(crate) const fn peer(&self) -> Option<IpAddr> {
        match self.peer {
            Origin::Address(address) => Some(address),
            Origin::User(_) => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::AcqRel);
        if !self.is_counted {
            return;
        }
        if let Entry::Occupied(mut count) = self.places.by_origin().entry(self.origin()) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Whom it stands for.
pub(super) fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address => address,
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    const MOST: MostConnections = MostConnections { in_all: 5, per_address: 2 };

    #[test]
    fn an_address_has_so_many_places_and_leaves_others_theirs() {
        let places = Arc::new(Places::default());
        let take = |peer: &str| places.take(Origin::Address(peer.parse().unwrap()), MOST);
        let mut kept = vec![take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap()];
        assert_eq!(take("10.0.0.1").unwrap_err(), Crowded::Address);
        kept.push(take("2001:db8::1").unwrap());
        kept.push(take("2001:db8::ffff:1").unwrap());
        assert_eq!(take("2001:db8::2").unwrap_err(), Crowded::Address, "one network");
        kept.push(take("2001:db8:0:1::1").unwrap());
        assert_eq!(places.taken(), 5, "a refusal takes none");
        assert_eq!(take("10.0.0.2").unwrap_err(), Crowded::InAll);
        assert_eq!(places.take(Origin::User(0), MOST).unwrap_err(), Crowded::InAll);
        kept.remove(0);
        kept.push(take("10.0.0.1").unwrap());
        kept.clear();
        assert_eq!((places.taken(), places.by_origin().len()), (0, 0), "nothing is kept of them");
    }

    #[test]
    fn so_has_a_user_of_the_socket() {
        let places = Arc::new(Places::default());
        let take = |user| places.take(Origin::User(user), MOST);
        let _kept = [take(1000).unwrap(), take(1000).unwrap(), take(0).unwrap()];
        assert_eq!(take(1000).unwrap_err(), Crowded::Address);
        take(0).unwrap();
    }
}
