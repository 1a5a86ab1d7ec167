//! [`Presented`]: the certificates that live connections came by, judged anew when what they are judged by
//! changes.
//!
//! ```text
//! files change ── in force ── the register is copied ── each chain verified once ── withdrawn, told in batches
//! handshake over ── in the register ── made with the files in force? no: verified by those of now
//! ```
//!
//! Law: a certificate that a new connection would be refused with is withdrawn from those that stand. One
//! that was verified by the files of before, while they changed, is judged by those of now: it is in the
//! register before it asks which are in force, and they are in force before the register is copied.
//! Nothing is verified while the register is held, for serving threads take it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::tenancy::{Standing, Withdrawal};

/// Those of connections that are over are swept out when there are twice as many as there were.
const FEW: usize = 64;
/// Between two times that withdrawals are told: whoever is told judges all that lasts anew.
const BATCH: Duration = Duration::from_millis(250);

/// Whoever judges certificates; none where none is asked for.
pub(super) type Verifier = Option<Arc<dyn ClientCertVerifier>>;

/// A certificate and those that it was signed by.
type Chain = Arc<[CertificateDer<'static>]>;

/// All that stand.
#[derive(Debug, Default)]
pub(super) struct Presented(Mutex<Register>);

#[derive(Debug, Default)]
struct Register {
    all: Vec<(Withdrawal, Chain)>,
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
        let kept = (withdrawal.clone(), Chain::from(chain));
        self.with(|register| {
            register.sweep();
            register.all.push(kept);
        });
        if let Some(verifier) = judge()
            && !stands(&verifier, chain)
        {
            withdrawal.withdraw();
        }
        standing
    }

    /// Judges all of them anew by the files that are in force; how many are withdrawn. `tell` is called
    /// when the first is, then now and then, and after the last.
    pub(super) fn judge(&self, verifier: &Verifier, mut tell: impl FnMut()) -> usize {
        let mut by_chain: HashMap<Chain, Vec<Withdrawal>> = HashMap::new();
        for (withdrawal, chain) in self.with(|register| register.all.clone()) {
            by_chain.entry(chain).or_default().push(withdrawal);
        }
        let (mut count, mut untold, mut told) = (0usize, false, None::<Instant>);
        for (chain, withdrawals) in by_chain {
            let standing: Vec<_> = withdrawals.iter().filter(|one| !one.is_over()).collect();
            if !standing.is_empty() && !stands(verifier, &chain) {
                standing.iter().for_each(|withdrawal| withdrawal.withdraw());
                count = count.saturating_add(standing.len());
                untold = true;
            }
            if untold && told.is_none_or(|told| told.elapsed() >= BATCH) {
                tell();
                (untold, told) = (false, Some(Instant::now()));
            }
        }
        if untold {
            tell();
        }
        count
    }

    fn with<R>(&self, work: impl FnOnce(&mut Register) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

#[cfg(all(test, not(linmemd_loom)))]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};
    use std::thread;

    use rustls::client::danger::HandshakeSignatureValid;
    use rustls::server::danger::ClientCertVerified;
    use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};

    use super::*;

    type Judge = dyn Fn(u8) -> bool + Send + Sync;

    /// Refuses certificates, each of one byte, of which this says no.
    struct Judging(Box<Judge>);

    impl std::fmt::Debug for Judging {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Judging")
        }
    }

    impl ClientCertVerifier for Judging {
        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }

        fn verify_client_cert(
            &self,
            own: &CertificateDer<'_>,
            _others: &[CertificateDer<'_>],
            _now: UnixTime,
        ) -> Result<ClientCertVerified, rustls::Error> {
            let refused = rustls::Error::InvalidCertificate(CertificateError::Revoked);
            if (self.0)(own[0]) { Ok(ClientCertVerified::assertion()) } else { Err(refused) }
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _own: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            unreachable!("TLS 1.3 only")
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _own: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            unreachable!("no handshake here")
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            Vec::new()
        }
    }

    fn judging(judge: impl Fn(u8) -> bool + Send + Sync + 'static) -> Verifier {
        Some(Arc::new(Judging(Box::new(judge))))
    }

    fn come(presented: &Presented, certificate: u8) -> Standing {
        presented.add(&[CertificateDer::from(vec![certificate])], || None)
    }

    fn stands_still(standing: &Standing) -> bool {
        !standing.withdrawal().is_over()
    }

    #[test]
    fn whoever_comes_while_all_are_judged_waits_for_no_verification() {
        let presented = Arc::new(Presented::default());
        let old = come(&presented, 1);
        let (begin, begun) = channel();
        let (go_on, may_go_on) = sync_channel::<()>(0);
        let (begin, may_go_on) = (Mutex::new(begin), Mutex::new(may_go_on));
        let verifier = judging(move |_certificate| {
            begin.lock().unwrap().send(()).unwrap();
            may_go_on.lock().unwrap().recv().unwrap();
            false
        });
        let judge = {
            let presented = Arc::clone(&presented);
            thread::spawn(move || presented.judge(&verifier, || ()))
        };
        begun.recv().unwrap();
        let (tell, told) = channel();
        let comes = thread::spawn(move || tell.send(come(&presented, 2)).unwrap());
        let new = told.recv_timeout(Duration::from_secs(10));
        go_on.send(()).unwrap();
        assert_eq!(judge.join().unwrap(), 1);
        comes.join().unwrap();
        assert!(stands_still(&new.expect("it waited for all of them")) && !stands_still(&old));
    }

    #[test]
    fn whoever_comes_by_the_files_of_before_is_judged_by_those_of_now_whichever_is_first() {
        let presented = Presented::default();
        let refuses = || judging(|_certificate| false);
        let chain = [CertificateDer::from(vec![1])];
        let after = presented.add(&chain, || Some(refuses()));
        assert!(!stands_still(&after), "they had changed when it looked");
        // They change, and all are judged, between its being in the register and its look.
        let between = presented.add(&chain, || {
            assert_eq!(presented.judge(&refuses(), || ()), 1);
            None
        });
        assert!(!stands_still(&between));
    }

    #[test]
    fn the_first_that_is_withdrawn_is_told_before_the_others_are_judged() {
        let presented = Presented::default();
        let all: Vec<_> = (0..200).map(|certificate| come(&presented, certificate)).collect();
        let mut told = Vec::new();
        let withdrawn = presented.judge(&judging(|certificate| certificate >= 100), || {
            told.push(all.iter().filter(|one| !stands_still(one)).count());
        });
        assert_eq!((withdrawn, told.first(), told.last()), (100, Some(&1), Some(&100)));
        assert!(told.len() < 50, "in batches: {told:?}");
        assert!(all[100..].iter().all(stands_still));
        assert_eq!(presented.judge(&judging(|_| true), || panic!("nobody is withdrawn")), 0);
    }

    #[test]
    fn a_chain_that_many_came_by_is_verified_once_and_what_is_over_or_withdrawn_never() {
        let presented = Presented::default();
        let many: Vec<_> = (0..100).map(|_| come(&presented, 1)).collect();
        drop(come(&presented, 2));
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        let verifier = judging(move |certificate| {
            tell.lock().unwrap().send(certificate).unwrap();
            false
        });
        assert_eq!(presented.judge(&verifier, || ()), 100);
        assert!(!many.iter().any(stands_still));
        assert_eq!(presented.judge(&verifier, || ()), 0);
        drop(verifier);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1]);
    }
}
