//! [`Credentials`]: who may call, from the config and the files that it names, and anew when those
//! change.
//!
//! Law: what cannot be read or does not fit changes nothing and is told in the log; what was in force
//! stays so. No key and no token is in any message.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::config::{Config, Identity as IdentityConfig, JwtIssuer};
use crate::daemon::compose::closed;
use crate::daemon::tls::{Current, Tls, TlsError};
use crate::metrics::Metrics;
use crate::model::TenantName;
use crate::rpc::Server;
use crate::tenancy::{
    Credential, Identities, Identity, Issuer, IssuerSettings, JwtAlgorithm, KeySetError, Mapping,
    Role, Tenants, TwiceMapped, Unasked,
};
use crate::token::TokenHash;

/// Why it is not known who may call.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Two identities are one.
    #[error(transparent)]
    Twice(#[from] TwiceMapped),
    /// A key set cannot be read.
    #[error("jwks_file of [[jwt_issuer]] {issuer:?}: {path}: {reason}", path = .path.display())]
    Unreadable {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A key set cannot be used.
    #[error("jwks_file of [[jwt_issuer]] {issuer:?}: {path} {error}", path = .path.display())]
    KeySet {
        /// The issuer.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: KeySetError,
    },
}

/// Who may call by another config, read and judged, not in force.
pub(super) struct Fresh {
    pub(super) identities: Identities,
    pub(super) files: FreshFiles,
}

/// The rest of it, which goes in force with the identities.
pub(super) struct FreshFiles {
    tls: Option<Current>,
    key_sets: Vec<String>,
    config: Config,
}

/// Who may call.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) tls: Option<Arc<Tls>>,
    config: Config,
    key_sets: Vec<String>,
    looked: Instant,
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub(super) fn load(config: &Config) -> Result<Self, CredentialsError> {
        let (tls, key_sets) = (Tls::load(&config.tls)?, key_sets(config)?);
        Ok(Self { tls, config: config.clone(), key_sets, looked: Instant::now() })
    }

    /// Puts them in force.
    ///
    /// # Errors
    /// [`CredentialsError`]; nothing has changed.
    pub(super) fn apply(
        &self,
        tenants: &Tenants,
        metrics: &Metrics,
    ) -> Result<(), CredentialsError> {
        let identities = identities(&self.config, &self.key_sets)?;
        tenants.close(closed(&self.config));
        tenants.set_identities(identities);
        if let Some(tls) = &self.tls {
            metrics.set_tls_expiry(tls.not_after());
        }
        Ok(())
    }

    /// Reads anew what another config says, of the same TLS files.
    ///
    /// # Errors
    /// Everything that cannot be used; nothing has changed.
    pub(super) fn judge(&self, config: &Config) -> Result<Fresh, Vec<CredentialsError>> {
        let mut mistakes = Vec::new();
        let tls = self.tls.as_ref().map_or(Ok(None), |tls| tls.fresh());
        let tls = tls.unwrap_or_else(|error| {
            mistakes.push(error.into());
            None
        });
        let key_sets = key_sets(config);
        let read = key_sets.and_then(|sets| Ok((identities(config, &sets)?, sets)));
        match read {
            Ok((identities, key_sets)) if mistakes.is_empty() => {
                let files = FreshFiles { tls, key_sets, config: config.clone() };
                Ok(Fresh { identities, files })
            }
            Ok(_) => Err(mistakes),
            Err(error) => {
                mistakes.push(error);
                Err(mistakes)
            }
        }
    }

    /// The files and the config go by this from now on; whoever asks puts the identities in force first.
    pub(super) fn take(&mut self, fresh: FreshFiles, server: &Server, metrics: &Metrics) {
        let FreshFiles { tls, key_sets, config } = fresh;
        (self.key_sets, self.config, self.looked) = (key_sets, config, Instant::now());
        if let Some(mine) = &self.tls {
            tls.into_iter().for_each(|fresh| put_in_force(mine, fresh, server));
            metrics.set_tls_expiry(mine.not_after());
        }
    }

    /// Looks at the files, where it is time to, and puts in force what is new.
    pub(super) fn refresh(&mut self, server: &Server, metrics: &Metrics) {
        if self.looked.elapsed() < self.config.tls.reload_interval {
            return;
        }
        self.looked = Instant::now();
        if let Some(tls) = &self.tls {
            match tls.fresh() {
                Ok(Some(fresh)) => put_in_force(tls, fresh, server),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "TLS files changed and cannot be used"),
            }
            metrics.set_tls_expiry(tls.not_after());
        }
        if let Err(error) = self.refresh_key_sets(server) {
            tracing::warn!(%error, "keys of an issuer changed and cannot be used");
        }
    }

    fn refresh_key_sets(&mut self, server: &Server) -> Result<(), CredentialsError> {
        let fresh = key_sets(&self.config)?;
        if fresh != self.key_sets {
            server.set_identities(identities(&self.config, &fresh)?);
            self.key_sets = fresh;
            tracing::info!("keys of an issuer changed");
        }
        Ok(())
    }
}

fn put_in_force(tls: &Tls, fresh: Current, server: &Server) {
    let withdrawn = tls.put_in_force(fresh, || server.judge_anew());
    tracing::info!(
        withdrawn,
        "TLS files changed; new connections and clients' certificates go by them"
    );
}

fn key_sets(config: &Config) -> Result<Vec<String>, CredentialsError> {
    let unreadable = |issuer: &JwtIssuer, reason: String| CredentialsError::Unreadable {
        issuer: issuer.issuer.clone(),
        path: issuer.jwks_file.clone(),
        reason,
    };
    let read = |issuer: &JwtIssuer| {
        fs::read_to_string(&issuer.jwks_file).map_err(|error| unreadable(issuer, error.to_string()))
    };
    config.jwt_issuers.iter().map(read).collect()
}

fn identities(config: &Config, key_sets: &[String]) -> Result<Identities, CredentialsError> {
    let issuers = config.jwt_issuers.iter().zip(key_sets);
    let issuers = issuers.map(|(one, keys)| {
        Issuer::new(&settings(one), keys).map_err(|error| CredentialsError::KeySet {
            issuer: one.issuer.clone(),
            path: one.jwks_file.clone(),
            error,
        })
    });
    let issuers = issuers.collect::<Result<Vec<_>, _>>()?;
    // The config has checked names, and that each has one credential.
    let mappings = config.identities.iter().filter_map(mapping).collect();
    let unasked = Unasked { tcp: config.is_grpc_anonymous(), unix: config.identities.is_empty() };
    Ok(Identities::new(mappings, issuers, unasked)?)
}

fn settings(one: &JwtIssuer) -> IssuerSettings {
    IssuerSettings {
        issuer: one.issuer.clone(),
        audience: one.audience.clone(),
        algorithms: one.algorithms.iter().filter_map(|name| JwtAlgorithm::of(name)).collect(),
    }
}

fn mapping(one: &IdentityConfig) -> Option<Mapping> {
    let credential = None
        .or_else(|| one.san_uri.clone().map(Credential::SanUri))
        .or_else(|| one.san_dns.clone().map(Credential::SanDns))
        .or_else(|| one.token_sha256.map(|hash| Credential::Token(TokenHash::new(hash))))
        .or_else(|| {
            one.jwt.clone().map(|jwt| Credential::Jwt {
                issuer: jwt.issuer,
                claim: jwt.claim,
                value: jwt.value,
            })
        })
        .or_else(|| one.uid.map(Credential::Uid))?;
    let identity = Identity {
        name: one.name.clone(),
        tenant: TenantName::new(&one.tenant).ok()?,
        roles: one.roles.iter().filter_map(|word| Role::of(word)).collect(),
        expires: one.expire_time,
    };
    Some(Mapping { credential, identity })
}
