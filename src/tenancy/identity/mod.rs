//! [`Identities`]: who may call, by which credentials, as which tenant and in which roles.
//!
//! ```text
//! bearer token    SHA-256 ──┐
//! bearer JWT      claim   ──┤
//! certificate     SAN URI ──┼──> Identity: tenant, roles, expiry ──> Grant
//! certificate     SAN DNS ──┤
//! Unix socket     user id ──┘
//! ```
//!
//! Law: every identity is mapped by the config; none is derived from a name in a credential. What a
//! call shows counts before what its connection showed. Who shows something that is not mapped is
//! refused, and so is who shows what two mappings match; who shows nothing is let in where a listener
//! asks for nothing. User 0 is a user like any other, once anyone is mapped. Does not read files.

mod denied;
mod jwt;
mod standing;
#[cfg(all(test, not(linmemd_loom)))]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

pub use denied::Denied;
pub use jwt::{Issuer, IssuerSettings, JwtAlgorithm, KeySetError};
pub use standing::{Standing, Withdrawal};

use crate::error::Failure;
use crate::model::TenantName;
use crate::tenancy::identity::jwt::{Outline, Unclaimed};
use crate::tenancy::roles::{Role, Roles};
use crate::token::{Token, TokenHash};

/// How a connection came, and what it showed.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Over TCP, with nothing.
    Anonymous,
    /// Over the Unix socket.
    User {
        /// The user, as the kernel says.
        uid: u32,
        /// Whether that is the daemon's own user, or root.
        is_own: bool,
    },
    /// Over TLS, with a certificate that the listener's authority has signed.
    Certificate(Certificate),
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Its subject alternative names that are URIs.
    pub uris: Vec<String>,
    /// Those that are DNS names.
    pub dns: Vec<String>,
    /// When it runs out.
    pub not_after: SystemTime,
    /// Whether it has been withdrawn before that.
    pub standing: Standing,
}

/// What a caller shows.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A certificate with this URI.
    SanUri(String),
    /// A certificate with this DNS name.
    SanDns(String),
    /// The token with this hash.
    Token(TokenHash),
    /// A token of this issuer with this claim.
    Jwt {
        /// The issuer.
        issuer: String,
        /// The claim's name.
        claim: String,
        /// What it says.
        value: String,
    },
    /// The Unix socket, as this user.
    Uid(u32),
}

/// Who shows what.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// What is shown.
    pub credential: Credential,
    /// Who that is.
    pub identity: Identity,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The mapping's name, for the log.
    pub name: String,
    /// Whose memories are meant.
    pub tenant: TenantName,
    /// What may be done.
    pub roles: Roles,
    /// Until when.
    pub expires: Option<SystemTime>,
}

/// What somebody has been given by showing credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Absent: nobody known, and nothing was asked.
    pub identity: Option<Arc<Identity>>,
    /// What may be done.
    pub roles: Roles,
    /// Until when.
    pub expires: Option<SystemTime>,
    /// Whether a signature was verified for it.
    is_signed: bool,
}

/// Where nothing need be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unasked {
    /// On the TCP listener.
    pub tcp: bool,
    /// On the Unix socket.
    pub unix: bool,
}

/// Two mappings that one caller could match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "[[identity]] {first:?} and {second:?} are mapped by the same credential; keep one of them"
)]
pub struct TwiceMapped {
    /// The one.
    pub first: String,
    /// The other.
    pub second: String,
}

/// Who may call.
#[derive(Debug, Default)]
pub struct Identities {
    by_uri: HashMap<String, Arc<Identity>>,
    by_dns: HashMap<String, Arc<Identity>>,
    by_token: HashMap<[u8; 32], (TokenHash, Arc<Identity>)>,
    by_uid: HashMap<u32, Arc<Identity>>,
    /// By the issuer, the claim's name and what it says.
    by_claim: HashMap<String, HashMap<String, HashMap<String, Arc<Identity>>>>,
    issuers: Vec<Issuer>,
    unasked: Unasked,
}

/// What whoever shows nothing may do, where nothing is asked.
const ANYONE: Roles = Roles::of([
    Role::Reader,
    Role::Writer,
    Role::HookDecider,
    Role::Watcher,
    Role::OperatorReadOnly,
]);

impl Identities {
    /// Nobody is mapped and nothing is asked; the daemon's own user and root are operators over the
    /// Unix socket.
    #[must_use]
    pub fn nobody() -> Self {
        Self { unasked: Unasked { tcp: true, unix: true }, ..Self::default() }
    }

    /// These. Where there are any, they are asked for but where `unasked` says not.
    ///
    /// # Errors
    /// [`TwiceMapped`].
    pub fn new(
        mappings: Vec<Mapping>,
        issuers: Vec<Issuer>,
        unasked: Unasked,
    ) -> Result<Self, TwiceMapped> {
        let mut all = Self { issuers, unasked, ..Self::default() };
        for Mapping { credential, identity } in mappings {
            let identity = Arc::new(identity);
            let second = identity.name.clone();
            let before = match credential {
                Credential::SanUri(uri) => all.by_uri.insert(uri, identity),
                Credential::SanDns(dns) => all.by_dns.insert(dns.to_ascii_lowercase(), identity),
                Credential::Uid(uid) => all.by_uid.insert(uid, identity),
                Credential::Token(hash) => {
                    let before = all.by_token.insert(*hash.bytes(), (hash, identity));
                    before.map(|(_, identity)| identity)
                }
                Credential::Jwt { issuer, claim, value } => {
                    let of_issuer = all.by_claim.entry(issuer).or_default();
                    of_issuer.entry(claim).or_default().insert(value, identity)
                }
            };
            if let Some(first) = before {
                return Err(TwiceMapped { first: first.name.clone(), second });
            }
        }
        Ok(all)
    }

    /// What a caller is given for what it shows: its connection's peer, and what the call's
    /// `authorization` says. A signature is verified only with `leave`.
    ///
    /// # Errors
    /// CREDENTIALS_MISSING, CREDENTIALS_REFUSED, CREDENTIALS_EXPIRED; as `leave`.
    pub fn judge(
        &self,
        peer: &Peer,
        authorization: Option<&[u8]>,
        now: SystemTime,
        leave: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Grant, Denied> {
        let grant = match authorization {
            Some(authorization) => self.bearer(authorization, leave)?,
            None => self.peer(peer)?,
        };
        if grant.has_expired(now) {
            return Err(Denied::of(&grant, Failure::CredentialsExpired));
        }
        Ok(grant)
    }

    fn bearer(
        &self,
        authorization: &[u8],
        leave: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Grant, Denied> {
        let text = std::str::from_utf8(authorization).map_err(|_| Failure::CredentialsRefused)?;
        let (scheme, shown) = text.split_once(' ').ok_or(Failure::CredentialsRefused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Failure::CredentialsRefused.into());
        }
        let shown = shown.trim();
        match Token::read(shown) {
            Some(token) => Ok(self.token(&token.hash())?),
            None => self.jwt(shown, leave),
        }
    }

    /// Found by its hash, which a caller cannot choose without the token; then compared whole.
    fn token(&self, hash: &TokenHash) -> Result<Grant, Failure> {
        match self.by_token.get(hash.bytes()) {
            Some((kept, identity)) if kept.is(hash) => Ok(Grant::of(identity, None)),
            _ => Err(Failure::CredentialsRefused),
        }
    }

    fn jwt(
        &self,
        token: &str,
        leave: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Grant, Denied> {
        let outline = Outline::read(token).ok_or(Failure::CredentialsRefused)?;
        let signs = |issuer| Some((issuer, Issuer::key(issuer, &outline)?));
        let (issuer, key) =
            self.issuers.iter().find_map(signs).ok_or(Failure::CredentialsRefused)?;
        leave()?;
        let claims = issuer.claims(token, key).map_err(|unclaimed| match unclaimed {
            Unclaimed::Expired => Denied::verified(Failure::CredentialsExpired),
            Unclaimed::Refused => Denied::verified(Failure::CredentialsRefused),
        })?;
        let mapped = self.by_claim.get(issuer.name()).into_iter().flatten();
        let found = mapped.filter_map(|(claim, values)| values.get(claims.text(claim)?));
        let grant = one(found).map(|identity| Grant::of(identity, Some(claims.expires)));
        grant.map(Grant::verified).map_err(Denied::verified)
    }

    fn peer(&self, peer: &Peer) -> Result<Grant, Failure> {
        match peer {
            Peer::Certificate(certificate) if certificate.standing.is_withdrawn() => {
                Err(Failure::CredentialsRefused)
            }
            Peer::Certificate(certificate) => {
                let uris = certificate.uris.iter().filter_map(|uri| self.by_uri.get(uri));
                let dns = certificate.dns.iter();
                let dns = dns.filter_map(|name| self.by_dns.get(&name.to_ascii_lowercase()));
                one(uris.chain(dns))
                    .map(|identity| Grant::of(identity, Some(certificate.not_after)))
            }
            Peer::User { uid, is_own } => match self.by_uid.get(uid) {
                Some(identity) => Ok(Grant::of(identity, None)),
                None if self.unasked.unix && *is_own => {
                    Ok(Grant::of_anyone(ANYONE.with(Role::Operator)))
                }
                None if self.unasked.unix => Ok(Grant::of_anyone(ANYONE)),
                None => Err(Failure::CredentialsMissing),
            },
            Peer::Anonymous if self.unasked.tcp => Ok(Grant::of_anyone(ANYONE)),
            Peer::Anonymous => Err(Failure::CredentialsMissing),
        }
    }
}

impl Grant {
    fn of(identity: &Arc<Identity>, expires: Option<SystemTime>) -> Self {
        let expires = [identity.expires, expires].into_iter().flatten().min();
        let (identity, roles) = (Some(Arc::clone(identity)), identity.roles);
        Self { identity, roles, expires, is_signed: false }
    }

    fn verified(self) -> Self {
        Self { is_signed: true, ..self }
    }

    const fn of_anyone(roles: Roles) -> Self {
        Self { identity: None, roles, expires: None, is_signed: false }
    }

    /// Whether a signature was verified for it.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Whether what it was given for has run out.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The only one; several mappings of one identity count as several.
fn one<'a>(
    mut found: impl Iterator<Item = &'a Arc<Identity>>,
) -> Result<&'a Arc<Identity>, Failure> {
    match (found.next(), found.next()) {
        (Some(identity), None) => Ok(identity),
        _ => Err(Failure::CredentialsRefused),
    }
}
