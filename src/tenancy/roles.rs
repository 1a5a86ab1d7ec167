//! [`Role`], [`Roles`] and [`Need`]: what callers may do, and what a call asks of them.
//!
//! Law: closed lists. A need is met by any one role of a set; no role implies another but through
//! this table. An operator is in no need that shows or changes a tenant's bytes.

use std::fmt;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Look at the tenant's memories and read their bytes.
    Reader,
    /// Everything with the tenant's own memories, reading included.
    Writer,
    /// Register hooks of growth and answer for them.
    HookDecider,
    /// Watch what happens to the tenant's memories.
    Watcher,
    /// Look at the host and change the daemon's course; look at every tenant's memories, at no byte.
    Operator,
    /// Look at the host.
    OperatorReadOnly,
    /// Scrape the metrics page.
    Metrics,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Reader,
        Self::Writer,
        Self::HookDecider,
        Self::Watcher,
        Self::Operator,
        Self::OperatorReadOnly,
        Self::Metrics,
    ];

    /// Its name on the wire and in the config.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::HookDecider => "hook_decider",
            Self::Watcher => "watcher",
            Self::Operator => "operator",
            Self::OperatorReadOnly => "operator_read_only",
            Self::Metrics => "metrics",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of roles.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// These.
    #[must_use]
    pub const fn of<const N: usize>(roles: [Role; N]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < N {
            #[expect(clippy::indexing_slicing, reason = "a const fn has no iterators; at < N")]
            let role = roles[at];
            bits |= role.bit();
            at = at.wrapping_add(1);
        }
        Self(bits)
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Those in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether one of them meets the need.
    #[must_use]
    pub const fn meet(self, need: Need) -> bool {
        self.and(need.any_of()).0 != 0
    }

    /// Whether it is there.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Each of them, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Role::word)).finish()
    }
}

/// What a call asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be somebody.
    Known,
    /// To see which memories, segments and sets there are, not their bytes.
    See,
    /// To read the tenant's bytes.
    Read,
    /// To change the tenant's memories.
    Write,
    /// To see which hooks there are.
    SeeHooks,
    /// To make, end or answer for hooks.
    Decide,
    /// To be told of events.
    Watch,
    /// To look at the host.
    SeeHost,
    /// To change the daemon's course.
    Operate,
    /// To read the metrics page.
    Scrape,
}

impl Need {
    /// The roles any of which meets it; the first is the one to ask for.
    const fn any_of(self) -> Roles {
        match self {
            Self::Known => Roles(u8::MAX),
            Self::See => Roles::of([Role::Reader, Role::Writer, Role::Operator]),
            Self::Read => Roles::of([Role::Reader, Role::Writer]),
            Self::Write => Roles::of([Role::Writer]),
            Self::SeeHooks => {
                Roles::of([Role::Reader, Role::Writer, Role::HookDecider, Role::Operator])
            }
            Self::Decide => Roles::of([Role::HookDecider]),
            Self::Watch => Roles::of([Role::Watcher]),
            Self::SeeHost => Roles::of([Role::OperatorReadOnly, Role::Operator]),
            Self::Operate => Roles::of([Role::Operator]),
            Self::Scrape => Roles::of([Role::Metrics]),
        }
    }

    /// The least role that meets it.
    #[must_use]
    pub fn role(self) -> &'static str {
        self.any_of().iter().next().map_or("", Role::word)
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_and_writes_no_tenants_bytes() {
        let operator = Roles::of([Role::Operator]);
        for need in [Need::Read, Need::Write, Need::Watch, Need::Decide] {
            assert!(!operator.meet(need), "{need:?}");
        }
        assert!(operator.meet(Need::See) && operator.meet(Need::Operate));
    }

    #[test]
    fn a_role_is_found_by_its_word_and_by_no_other() {
        for role in Role::ALL {
            assert_eq!(Role::of(role.word()), Some(role));
            assert!(Roles::of([role]).has(role));
            assert_eq!(Roles::of([role]).iter().collect::<Vec<_>>(), [role]);
        }
        assert_eq!(Role::of("owner"), None);
    }

    #[test]
    fn a_need_names_a_role_that_meets_it() {
        for need in [Need::See, Need::Read, Need::Write, Need::Decide, Need::Watch, Need::Operate] {
            assert!(Roles::of([Role::of(need.role()).unwrap()]).meet(need), "{need:?}");
        }
    }
}
