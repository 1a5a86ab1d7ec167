//! [`Overload`]: how short of memory the host is, in steps, and what is refused from each on.
//!
//! ```text
//! calm │ stop populating │ purge volatile │ drop warm │ refuse growth │ refuse creates │ shed calls
//!      │ no pages in     │ ranges go      │ no RAM is │ nothing grows │ nothing is made│ it reads, and
//!      │ advance         │ (volatility.rs)│ kept idle │               │                │ gives back
//! ```
//!
//! Law: a step includes those before it. What is refused is refused by name before it is paid for and
//! before its first effect, counted, and can be tried again; what reads, and what gives memory back, is
//! refused at no step. What takes nothing that is short is not either: the arena's memories and those of
//! the pools of huge pages have their RAM, and those of a partition what was set aside for it, beyond
//! which a partition is lent nothing (`partition/`). Pages in advance are never left out in silence: who
//! asks for them has them or OVERLOADED. Which step it is is judged elsewhere (`daemon/ladder.rs`); to
//! ask costs one load.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Failure;
use crate::model::{Allocator, Form, Locking, Populate};
use crate::registry::ledger::{Amount, Payer};
use crate::units::WasmPages;

/// When to try again what was refused: no step is over sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How short of memory the host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Step {
    /// Not at all.
    #[default]
    Calm,
    /// No pages are taken in advance.
    StopPopulating,
    /// Volatile ranges go, oldest first.
    PurgeVolatile,
    /// No RAM is kept for what is to come.
    DropWarm,
    /// Nothing grows.
    RefuseGrowth,
    /// Nothing new is made.
    RefuseCreates,
    /// Memories are read and given back, no more.
    ShedCalls,
}

impl Step {
    /// Every one of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Calm,
        Self::StopPopulating,
        Self::PurgeVolatile,
        Self::DropWarm,
        Self::RefuseGrowth,
        Self::RefuseCreates,
        Self::ShedCalls,
    ];

    /// Those that refuse something.
    pub const REFUSING: [Self; 4] =
        [Self::StopPopulating, Self::RefuseGrowth, Self::RefuseCreates, Self::ShedCalls];

    /// Its name in failures, metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calm => "none",
            Self::StopPopulating => "stop_populating",
            Self::PurgeVolatile => "purge_volatile",
            Self::DropWarm => "drop_warm",
            Self::RefuseGrowth => "refuse_growth",
            Self::RefuseCreates => "refuse_creates",
            Self::ShedCalls => "shed_calls",
        }
    }

    /// What whoever is refused for it can do.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Calm | Self::StopPopulating | Self::PurgeVolatile | Self::DropWarm => {
                "no pages are taken in advance; ask for none (populate, locking)"
            }
            Self::RefuseGrowth => "nothing grows; delete or discard something",
            Self::RefuseCreates => "nothing new is made; delete or discard something",
            Self::ShedCalls => "memories are only read and given back; delete or discard something",
        }
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL.into_iter().find(|step| *step > self).unwrap_or(self)
    }

    /// The one before it.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::ALL.into_iter().rfind(|step| *step < self).unwrap_or(self)
    }
}

/// How short of memory the host is, for everybody.
#[derive(Debug, Default)]
pub struct Overload {
    step: AtomicU8,
    /// How often something was refused, by step.
    refused: [AtomicU64; Step::ALL.len()],
}

impl Overload {
    /// The step that it has come to.
    #[must_use]
    pub fn step(&self) -> Step {
        let step = self.step.load(Ordering::Relaxed);
        Step::ALL.get(usize::from(step)).copied().unwrap_or_default()
    }

    /// The step from now on.
    pub fn set(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// How often something was refused for a step.
    #[must_use]
    pub fn refused(&self, step: Step) -> u64 {
        self.refused.get(step as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// That something is done which is not from this step on.
    ///
    /// # Errors
    /// OVERLOADED naming the step.
    pub fn admit(&self, until: Step) -> Result<(), Failure> {
        if self.step.load(Ordering::Relaxed) < until as u8 {
            return Ok(());
        }
        if let Some(count) = self.refused.get(until as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let (step, remedy) = (until.word(), until.remedy());
        Err(Failure::HostShort { step, remedy, after: RETRY_AFTER })
    }

    /// That a memory is made.
    pub(super) fn admit_creation(
        &self,
        form: &Form,
        initial: WasmPages,
        payer: &Payer,
    ) -> Result<(), Failure> {
        if self.step() == Step::Calm || !takes(form, payer) {
            return Ok(());
        }
        self.admit(Step::RefuseCreates)?;
        let locked = form.locking != Locking::None;
        let has_pages = initial > WasmPages::ZERO && (locked || form.populate != Populate::None);
        self.admit_in_advance(has_pages || form.populate == Populate::Maximum)
    }

    /// That a memory grows, which costs so much more.
    pub(super) fn admit_growth(
        &self,
        form: &Form,
        more: Amount,
        payer: &Payer,
    ) -> Result<(), Failure> {
        // Of one that has all its pages nothing more is committed.
        if self.step() == Step::Calm || more.committed_bytes == 0 || !takes(form, payer) {
            return Ok(());
        }
        self.admit(Step::RefuseGrowth)?;
        self.admit_in_advance(form.locking != Locking::None || form.populate == Populate::OnGrow)
    }

    fn admit_in_advance(&self, has_pages: bool) -> Result<(), Failure> {
        if has_pages { self.admit(Step::StopPopulating) } else { Ok(()) }
    }
}

/// Whether a memory has its pages of what the host is short of.
fn takes(form: &Form, payer: &Payer) -> bool {
    let of_pool = form.page_kinds.iter().all(|kind| kind.pool().is_some());
    let of_pool = of_pool && !form.page_kinds.is_empty();
    payer.partition().is_none() && form.allocator != Allocator::Fixed && !of_pool
}

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use super::*;
    use crate::model::PageKind;
    use crate::registry::ledger::{Account, Limits};
    use crate::units::ByteCount;
    use std::sync::Arc;

    fn payer() -> Arc<Payer> {
        let account = Account::new(Limits::NONE);
        Payer::new(&account, &account)
    }

    /// The step from which on this is refused.
    fn refused_from(ask: impl Fn(&Overload) -> Result<(), Failure>) -> Option<Step> {
        let overload = Overload::default();
        let mut refused = Step::ALL.into_iter().filter(|step| {
            overload.set(*step);
            assert_eq!(overload.step(), *step);
            ask(&overload).is_err()
        });
        let first = refused.next()?;
        assert!(refused.eq(Step::ALL.into_iter().filter(|step| *step > first)), "and from it on");
        Some(first)
    }

    #[test]
    fn what_is_asked_of_the_host_is_refused_from_its_step_on_and_what_is_not_at_none() {
        use Step::{RefuseCreates, RefuseGrowth, StopPopulating};
        let usual = Form::default();
        let populated = |populate| Form { populate, ..Form::default() };
        let locked = Form { locking: Locking::Locked, ..Form::default() };
        let fixed = Form { allocator: Allocator::Fixed, ..Form::default() };
        let pool = Form { page_kinds: vec![PageKind::Huge2M], ..Form::default() };
        let either = Form { page_kinds: vec![PageKind::Huge2M, PageKind::Base], ..Form::default() };
        let on_grow = populated(Populate::OnGrow);
        let rows = [
            (&usual, Some(RefuseCreates), Some(RefuseGrowth)),
            (&populated(Populate::Initial), Some(StopPopulating), Some(RefuseGrowth)),
            (&on_grow, Some(StopPopulating), Some(StopPopulating)),
            (&populated(Populate::Maximum), Some(StopPopulating), Some(RefuseGrowth)),
            (&locked, Some(StopPopulating), Some(StopPopulating)),
            (&fixed, None, None),
            (&pool, None, None),
            (&either, Some(RefuseCreates), Some(RefuseGrowth)),
        ];
        let payer = payer();
        let (none, one) = (WasmPages::ZERO, WasmPages::new(1).unwrap());
        for (form, creation, growth) in rows {
            let created = refused_from(|overload| overload.admit_creation(form, one, &payer));
            let more = Amount::committed(ByteCount::new(1));
            let grown = refused_from(|overload| overload.admit_growth(form, more, &payer));
            assert_eq!((created, grown), (creation, growth), "{form:?}");
            let more = Amount::overhead(1);
            assert_eq!(refused_from(|overload| overload.admit_growth(form, more, &payer)), None);
        }
        let empty = refused_from(|overload| overload.admit_creation(&on_grow, none, &payer));
        assert_eq!(empty, Some(RefuseCreates), "without pages none are taken in advance");
    }

    #[test]
    fn a_refusal_names_its_step_and_is_counted_for_it() {
        let overload = Overload::default();
        overload.set(Step::ShedCalls);
        for step in Step::REFUSING {
            let refusal = overload.admit(step).unwrap_err();
            assert!(
                matches!(refusal, Failure::HostShort { step: word, .. } if word == step.word())
            );
            assert!(refusal.to_string().contains(step.word()), "{refusal}");
            assert_eq!(overload.refused(step), 1);
        }
        overload.set(Step::RefuseGrowth);
        assert_eq!(overload.admit(Step::RefuseCreates), Ok(()));
        assert_eq!(overload.refused(Step::RefuseCreates), 1);
    }

    #[test]
    fn steps_follow_one_another() {
        for pair in Step::ALL.windows(2) {
            assert!(
                pair[0] < pair[1] && pair[0].next() == pair[1] && pair[1].previous() == pair[0]
            );
        }
        assert_eq!((Step::Calm.previous(), Step::ShedCalls.next()), (Step::Calm, Step::ShedCalls));
    }
}
