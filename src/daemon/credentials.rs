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
use crate::daemon::tls::{Tls, TlsError};
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
        tenants.set_identities(identities(&self.config, &self.key_sets)?);
        if let Some(tls) = &self.tls {
            metrics.set_tls_expiry(tls.not_after());
        }
        Ok(())
    }

    /// Looks at the files, where it is time to, and puts in force what is new.
    pub(super) fn refresh(&mut self, server: &Server, metrics: &Metrics) {
        if self.looked.elapsed() < self.config.tls.reload_interval {
            return;
        }
        self.looked = Instant::now();
        match self.tls.as_ref().map(|tls| tls.refresh()) {
            Some(Ok(true)) => tracing::info!("TLS files changed; new connections go by them"),
            Some(Err(error)) => tracing::warn!(%error, "TLS files changed and cannot be used"),
            Some(Ok(false)) | None => {}
        }
        if let Err(error) = self.refresh_key_sets(server) {
            tracing::warn!(%error, "keys of an issuer changed and cannot be used");
        }
        if let Some(tls) = &self.tls {
            metrics.set_tls_expiry(tls.not_after());
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
