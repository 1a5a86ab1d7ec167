//! [`Verdicts`]: what was found out in vain about whoever a connection's calls came by, and what that cost.
//!
//! A signature keeps the thread about as long as a TLS handshake does, and whoever forges one has it
//! verified for a frame.
//!
//! ```text
//! shown ── found out a moment ago? ──────────────────────> the same answer
//!   └── its party owes much for what was in vain? ────────> OVERLOADED, unverified
//!         └── verified ── in vain ──> a handshake's frames: the connection's (`manners.rs`), and where
//!                                     a stranger showed it, its party's too (`turns.rs`)
//! ```
//!
//! Law: who is let in costs nobody anything here. What has run out was somebody's: it is its connection's
//! alone. Verifies nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Failure;
use crate::rpc::admission::ShownForIt;
use crate::rpc::party::Party;
use crate::rpc::turns::{self, HANDSHAKE, PER_SECOND};
use crate::tenancy::Denied;

/// How long an answer counts: a token may come to count, and a client that repeats one that does not is
/// told soon enough.
const MOMENT: Duration = Duration::from_secs(1);

/// The last thing that was verified in vain.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<Option<Verdict>>);

#[derive(Debug)]
struct Verdict {
    denied: Denied,
    shown: ShownForIt,
    generation: u64,
    found: SystemTime,
}

impl Verdicts {
    /// What was found out a moment ago about who shows this, by the same table.
    pub(crate) fn known(
        &self,
        generation: u64,
        authorization: Option<&[u8]>,
        tenant: Option<&[u8]>,
        now: SystemTime,
    ) -> Option<Denied> {
        let last = self.last();
        let known = last.as_ref().filter(|last| {
            last.generation == generation
                && now.duration_since(last.found).is_ok_and(|passed| passed < MOMENT)
                && last.shown.is(authorization, tenant)
        });
        known.map(|last| last.denied.clone())
    }

    /// Somebody who shows this is refused by that table: charged for, and kept, where a signature was
    /// verified.
    pub(crate) fn refused(
        &self,
        denied: &Denied,
        shown: ShownForIt,
        generation: u64,
        now: SystemTime,
        party: &Party,
    ) {
        if !denied.is_signed {
            return;
        }
        party.owe(HANDSHAKE);
        if denied.is_of_a_stranger() {
            turns::charge(party, HANDSHAKE.into(), Instant::now());
        }
        *self.last() = Some(Verdict { denied: denied.clone(), shown, generation, found: now });
    }

    fn last(&self) -> MutexGuard<'_, Option<Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a signature may be verified for this party now.
///
/// # Errors
/// OVERLOADED, where it owes much.
pub(crate) fn leave(party: &Party) -> Result<(), Failure> {
    match turns::charge(party, 0, Instant::now()) {
        Some(owes) if owes.is_deep => Err(Failure::Overloaded {
            limit_name: "refused_tokens_per_second",
            limit: u64::from(PER_SECOND.checked_div(HANDSHAKE).unwrap_or(0)),
            used: None,
            after: owes.time,
        }),
        _ => Ok(()),
    }
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;
    use crate::tenancy::{Identity, Peer, Role, Roles};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn party() -> Arc<Party> {
        static PARTIES: AtomicU64 = AtomicU64::new(0);
        Party::of(None, PARTIES.fetch_add(1, Ordering::Relaxed))
    }

    fn shown(token: &str) -> ShownForIt {
        ShownForIt::new(&Arc::new(Peer::Anonymous), Some(token.as_bytes()), None)
    }

    fn denied(failure: Failure, is_signed: bool) -> Denied {
        Denied { failure, who: None, is_signed }
    }

    fn forged() -> Denied {
        denied(Failure::CredentialsRefused, true)
    }

    #[test]
    fn what_was_verified_in_vain_is_not_verified_again_at_once() {
        let (verdicts, party) = (Verdicts::default(), party());
        let known = |token: &str, generation, after| {
            verdicts.known(generation, Some(token.as_bytes()), None, NOW + after).is_some()
        };
        verdicts.refused(&forged(), shown("one"), 7, NOW, &party);
        assert!(known("one", 7, Duration::ZERO) && known("one", 7, MOMENT / 2));
        assert!(!known("one", 7, MOMENT), "it may come to count");
        assert!(!known("one", 8, Duration::ZERO), "somebody else may call now");
        assert!(!known("two", 7, Duration::ZERO));
        assert!(verdicts.known(7, Some(b"one"), None, NOW - MOMENT).is_none(), "the clock was set");
        assert_eq!((party.owed(), party.owed()), (HANDSHAKE, 0));
        verdicts.refused(&denied(Failure::CredentialsMissing, false), shown("x"), 7, NOW, &party);
        assert!(known("one", 7, Duration::ZERO) && !known("x", 7, Duration::ZERO));
        assert_eq!(party.owed(), 0, "nothing was verified");
    }

    #[test]
    fn a_party_of_forgers_is_refused_unverified_and_another_and_the_late_are_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            spawn_local(turns::give_turns());
            yield_now().await;
            let (forger, late, other) = (party(), party(), party());
            let identity = Identity {
                name: "alice".to_owned(),
                tenant: crate::model::TenantName::new("blue").unwrap(),
                roles: Roles::of([Role::Reader]),
                expires: None,
            };
            let mismatch = Failure::TenantMismatch { tenant: "red".to_owned() };
            let known = Denied { who: Some(Arc::new(identity)), ..denied(mismatch, true) };
            let verdicts = Verdicts::default();
            let mut count = 0;
            while leave(&forger).is_ok() && count < 1_000 {
                count += 1;
                verdicts.refused(&forged(), shown("f"), 0, NOW, &forger);
                let expired = denied(Failure::CredentialsExpired, true);
                verdicts.refused(&expired, shown("e"), 0, NOW, &late);
                verdicts.refused(&known, shown("k"), 0, NOW, &late);
            }
            assert!((125..300).contains(&count), "{count}");
            let refused = leave(&forger).unwrap_err();
            assert!(
                matches!(refused, Failure::Overloaded { limit: 125, after, .. } if !after.is_zero())
            );
            leave(&late).expect("whoever is known, or was");
            leave(&other).expect("never forged anything");
        });
    }
}
