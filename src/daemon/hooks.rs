//! The hooks of the config, made before anything is served, and made anew by a reload.
//!
//! Law: all of them or no daemon: a hook that is not there denies nothing.

use crate::config::{Config, FailurePolicy as ConfigPolicy, Hook};
use crate::daemon::start_error::StartError;
use crate::model::HookId;
use crate::registry::LabelSelector;
use crate::tenancy::{FailurePolicy, HookSpec, Tenants};

/// Makes them, each in its tenant or in all.
///
/// # Errors
/// [`StartError::Hook`] with the first that cannot be made.
pub(super) fn make(config: &Config, tenants: &Tenants) -> Result<(), StartError> {
    for tenant in tenants.iter() {
        let hooks = of(config, tenant.namespace.name.as_str())?;
        tenant.hooks.fit(&hooks).map_err(|failure| StartError::Hook {
            id: tenant.namespace.name.to_string(),
            why: failure.to_string(),
        })?;
        tenant.hooks.configure(hooks);
    }
    Ok(())
}

/// Those of one tenant.
///
/// # Errors
/// [`StartError::Hook`] with the first that is none.
pub(super) fn of(config: &Config, tenant: &str) -> Result<Vec<(HookId, HookSpec)>, StartError> {
    let is_its = |hook: &&Hook| hook.tenant.as_deref().is_none_or(|its| its == tenant);
    let made = config.hooks.iter().filter(is_its).map(|hook| {
        let refused = |why: String| StartError::Hook { id: hook.name.clone(), why };
        let id = HookId::new(&hook.name).map_err(|bad| refused(bad.to_string()))?;
        Ok((id, spec(hook).map_err(refused)?))
    });
    made.collect()
}

fn spec(hook: &Hook) -> Result<HookSpec, String> {
    Ok(HookSpec {
        selector_text: hook.label_selector.clone(),
        selector: LabelSelector::parse(&hook.label_selector)?,
        failure_policy: match hook.failure_policy {
            ConfigPolicy::FailClosed => FailurePolicy::FailClosed,
            ConfigPolicy::FailOpen => FailurePolicy::FailOpen,
        },
        answer_timeout: hook.answer_timeout,
        rank: hook.rank,
    })
}
