//! What the holder of a [`Grant`], or of an [`Access`] by one, may do.
//!
//! Law: roles are what the grant says and nothing else; who asks for them is rpc's one table.

use std::sync::Arc;

use crate::error::Failure;
use crate::tenancy::access::Access;
use crate::tenancy::identity::Grant;
use crate::tenancy::roles::{Need, Roles};

impl Access {
    /// What the caller may do.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.grant.roles
    }

    /// Whether the caller's own tenant is another: an operator looks at one.
    #[must_use]
    pub fn is_of_another(&self) -> bool {
        let own = self.grant.identity.as_ref().map(|identity| identity.tenant.as_str());
        own.is_some_and(|own| own != self.tenant.namespace.name.as_str())
    }

    /// What the caller has been given, and until when.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// That the caller may do what a call does.
    ///
    /// # Errors
    /// [`Failure::RoleMissing`].
    pub fn require(&self, need: Need, rpc: &'static str) -> Result<(), Failure> {
        self.grant.require(need, rpc)
    }

    /// That whoever has this now may still do all that it could with `before`.
    ///
    /// # Errors
    /// [`Failure::GrantRevoked`].
    pub fn still_is(&self, before: &Self) -> Result<(), Failure> {
        let same = Arc::ptr_eq(&self.tenant, &before.tenant);
        if same && self.roles().and(before.roles()) == before.roles() {
            return Ok(());
        }
        Err(Failure::GrantRevoked)
    }
}

impl Grant {
    /// That whoever was given this may do what a call does.
    ///
    /// # Errors
    /// [`Failure::RoleMissing`].
    pub fn require(&self, need: Need, rpc: &'static str) -> Result<(), Failure> {
        if self.roles.meet(need) {
            return Ok(());
        }
        let how = match (&self.identity, need) {
            (Some(_), _) => "use credentials that are mapped with it",
            (None, Need::Operate) => {
                "call it over the Unix socket as the daemon's own user or root"
            }
            (None, _) => "show credentials that are mapped with it",
        };
        Err(Failure::RoleMissing { rpc, role: need.role(), how })
    }
}
