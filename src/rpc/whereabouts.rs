//! [`Whereabouts`]: where a caller is, as the audit log says it.
//!
//! Law: addresses are canonical. What is counted for a caller is counted for its network where its address
//! is of IPv6, as in `places.rs`.

use std::fmt;
use std::net::IpAddr;

use crate::rpc::places::whose;
use crate::tenancy::Peer;

/// Where a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// At this address.
    Address(IpAddr),
    /// Anywhere in the network of 64 bits of this address of IPv6.
    Network(IpAddr),
    /// On this host, as this user.
    User(u32),
}

impl Whereabouts {
    /// Of a caller; none where neither is known.
    pub(crate) fn of(peer: &Peer, address: Option<IpAddr>) -> Option<Self> {
        match (peer, address) {
            (Peer::User { uid, .. }, _) => Some(Self::User(*uid)),
            (_, address) => address.map(|address| Self::Address(address.to_canonical())),
        }
    }

    /// What stands for all that one host can be.
    pub(crate) fn whole(self) -> Self {
        match self {
            Self::Address(address @ IpAddr::V6(_)) => Self::Network(whose(address)),
            whereabouts => whereabouts,
        }
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Network(address) => write!(f, "{address}/64"),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_where_its_address_is_and_one_host_is_one_network() {
        let said = |address: &str| {
            let at = Whereabouts::of(&Peer::Anonymous, Some(address.parse().unwrap())).unwrap();
            [at, at.whole()].map(|at| at.to_string())
        };
        assert_eq!(said("::ffff:10.0.0.7"), ["10.0.0.7"; 2]);
        assert_eq!(said("2001:db8::1:2:3:4"), ["2001:db8::1:2:3:4", "2001:db8::/64"]);
        let user = Whereabouts::of(&Peer::User { uid: 7, is_own: true }, None).unwrap();
        assert_eq!([user, user.whole()].map(|user| user.to_string()), ["uid 7"; 2]);
        assert_eq!(Whereabouts::of(&Peer::Anonymous, None), None);
    }
}
