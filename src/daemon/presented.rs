//! [`Presented`]: the certificates that live connections came by, judged anew when what they are judged by
//! changes.
//!
//! Law: a certificate that a new connection would be refused with is withdrawn from those that stand. One
//! that was verified by the files of before, while they changed, is judged by those of now. Lock order:
//! this before the files in force.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::tenancy::{Standing, Withdrawal};

/// Those of connections that are over are swept out when there are twice as many as there were.
const FEW: usize = 64;

/// Whoever judges certificates; none where none is asked for.
pub(super) type Verifier = Option<Arc<dyn ClientCertVerifier>>;

/// All that stand.
#[derive(Debug, Default)]
pub(super) struct Presented(Mutex<Register>);

#[derive(Debug, Default)]
struct Register {
    all: Vec<(Withdrawal, Vec<CertificateDer<'static>>)>,
    sweep_at: usize,
}

impl Presented {
    /// A connection came by this chain; `judge` is whoever judges now, where that is not who did.
    pub(super) fn add(
        &self,
        chain: &[CertificateDer<'static>],
        judge: impl FnOnce() -> Option<Verifier>,
    ) -> Standing {
        let standing = Standing::default();
        let withdrawal = standing.withdrawal();
        let mut register = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register.sweep();
        register.all.push((withdrawal.clone(), chain.to_vec()));
        if let Some(verifier) = judge()
            && !stands(&verifier, chain)
        {
            withdrawal.withdraw();
        }
        standing
    }

    /// Judges all of them anew; how many are withdrawn.
    pub(super) fn judge(&self, verifier: &Verifier) -> usize {
        let mut register = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register.all.retain(|(withdrawal, _)| !withdrawal.is_over());
        let before = register.all.len();
        register.all.retain(|(withdrawal, chain)| {
            let stays = stands(verifier, chain);
            if !stays {
                withdrawal.withdraw();
            }
            stays
        });
        before.saturating_sub(register.all.len())
    }
}

impl Register {
    fn sweep(&mut self) {
        if self.all.len() >= self.sweep_at {
            self.all.retain(|(withdrawal, _)| !withdrawal.is_over());
            self.sweep_at = self.all.len().saturating_mul(2).max(FEW);
        }
    }
}

fn stands(verifier: &Verifier, chain: &[CertificateDer<'static>]) -> bool {
    let (Some(verifier), Some((own, others))) = (verifier, chain.split_first()) else {
        return false;
    };
    verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
}
