//! The hooks of the config, made before anything is served.
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
    for hook in &config.hooks {
        let refused = |why: String| StartError::Hook { id: hook.name.clone(), why };
        let id = HookId::new(&hook.name).map_err(|bad| refused(bad.to_string()))?;
        let spec = spec(hook).map_err(refused)?;
        let is_its = |name: &str| hook.tenant.as_deref().is_none_or(|tenant| tenant == name);
        for tenant in tenants.iter().filter(|one| is_its(one.namespace.name.as_str())) {
            let made = tenant.hooks.configure(id.clone(), spec.clone());
            made.map_err(|failure| refused(failure.to_string()))?;
        }
    }
    Ok(())
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
