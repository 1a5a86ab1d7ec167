//! [`Namespace::pay`]: what is only remembered for a tenant gives way to what it asks for now.
//!
//! Law: what was refused for want of bytes is paid where events and request ids that are kept make up for
//! it: the oldest go, events first, and no more than are needed; none where all of them would not do. So
//! whoever deletes a memory finds room for another like it, however much is told of that or remembered.

use std::sync::Arc;

use crate::error::Failure;
use crate::registry::ledger::{Account, Amount, Charge, Holding, Payer};
use crate::registry::namespace::Namespace;

/// Others may take what was made free.
const ATTEMPTS: usize = 4;

impl Namespace {
    /// Pays, if need be with what is kept of events and request ids.
    ///
    /// # Errors
    /// As [`Charge::pay`].
    pub(super) fn pay(&self, payer: &Arc<Payer>, amount: Amount) -> Result<Charge, Failure> {
        let mut outcome = Charge::pay(payer, amount);
        for _attempt in 1..ATTEMPTS {
            let is_for_bytes = matches!(
                outcome,
                Err(Failure::QuotaExceeded { limit_name: "committed_bytes", .. }
                    | Failure::HostExhausted { limit_name: "committed_bytes", .. })
            );
            if !is_for_bytes || !self.give_way(amount) {
                break;
            }
            outcome = Charge::pay(payer, amount);
        }
        outcome
    }

    fn give_way(&self, amount: Amount) -> bool {
        let accounts = [&*self.account, self.home.payer.host()];
        let missing = accounts.map(|account| missing(account, amount)).into_iter().max();
        let missing = missing.unwrap_or(0);
        let kept = self.events().charged_bytes().saturating_add(self.requests.charged_bytes());
        if missing > kept {
            return false;
        }
        let given = self.home.events.give_way(missing);
        self.requests.give_way(missing.saturating_sub(given));
        true
    }
}

fn missing(account: &Account, amount: Amount) -> u64 {
    let Holding { limit, used, .. } = account.bytes();
    used.saturating_add(amount.bytes()).saturating_sub(limit)
}
