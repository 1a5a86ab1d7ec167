//! Named contexts: the config file, the verb `context`, and which settings a call gets.
//!
//! Its law: a flag goes before the environment, that before the context, that before the default.
//! The file holds no secrets and is replaced whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, Subcommand};
use linmemd::client::{DEFAULT_ENDPOINT, Endpoint};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{Globals, Typed};
use crate::credentials::Credentials;
use crate::failure::CtlError;
use crate::output::Output;
use crate::table::table;

/// Arguments of `context`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl context set lab --endpoint http://lab:7420 --tenant blue
  linmemctl context use lab
  linmemctl --context lab ls
  linmemctl context ls")]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    verb: ContextVerb,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
enum ContextVerb {
    /// List contexts; `*` marks the one in use.
    Ls,
    /// Show the settings that calls get now, and where each comes from.
    Show,
    /// Make or change a context from --endpoint and --tenant.
    Set {
        /// The context's name.
        name: String,
    },
    /// Use a context from now on.
    Use {
        /// The context's name.
        name: String,
    },
    /// Forget a context.
    Rm {
        /// The context's name.
        name: String,
    },
}

/// What can go wrong with contexts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("no place for a config file: set HOME, XDG_CONFIG_HOME or LINMEMCTL_CONFIG")]
    NoPlace,
    #[error("cannot {action} `{path}`: {source}")]
    File { action: &'static str, path: String, source: io::Error },
    #[error("`{path}` is no config of linmemctl: {message}")]
    Form { path: String, message: String },
    #[error("no context `{0}`: see `linmemctl context ls`, or make it with `context set`")]
    Unknown(String),
    #[error("`{0}` is no name for a context: letters, digits and . _ - only")]
    Name(String),
    #[error("context `{name}`: {source}")]
    Endpoint { name: String, source: linmemd::client::EndpointError },
}

/// The settings of a call and where each came from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) tenant: Option<String>,
    pub(crate) credentials: Credentials,
    endpoint_source: String,
    tenant_source: String,
}

impl ContextError {
    /// The exit code for scripts.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown(_) => 3,
            Self::Name(_) | Self::NoPlace | Self::Form { .. } | Self::Endpoint { .. } => 2,
            Self::File { .. } => 1,
        }
    }
}

/// The settings that flags, environment, context and defaults give together.
pub(crate) fn settings(globals: &Globals, typed: Typed) -> Result<Settings, CtlError> {
    // A file that nothing is asked of must not stand in the way.
    if globals.endpoint.is_some() && globals.tenant.is_some() && globals.context.is_none() {
        return Ok(resolve(globals, typed, None)?);
    }
    let file = match path(globals) {
        Ok(path) => read(&path)?,
        Err(_) if globals.context.is_none() => File::default(),
        Err(error) => return Err(error.into()),
    };
    Ok(match globals.context.as_ref().or(file.current.as_ref()) {
        None => resolve(globals, typed, None)?,
        Some(name) => {
            let found = file.contexts.get(name);
            let context = found.ok_or_else(|| ContextError::Unknown(name.clone()))?;
            resolve(globals, typed, Some((name, context)))?
        }
    })
}

/// Runs the verb.
pub(crate) fn run(
    args: &ContextArgs,
    globals: &Globals,
    typed: Typed,
    output: &Output,
) -> Result<(), CtlError> {
    if let ContextVerb::Show = args.verb {
        return show(&settings(globals, typed)?, output);
    }
    let path = path(globals)?;
    let mut file = read(&path)?;
    let done = match &args.verb {
        ContextVerb::Ls => return list(&file, output),
        ContextVerb::Show => return Ok(()),
        ContextVerb::Set { name } => {
            let context = file.contexts.entry(checked(name)?).or_default();
            set(context, globals, typed)?;
            format!("context `{name}` set")
        }
        ContextVerb::Use { name } => {
            if !file.contexts.contains_key(name) {
                return Err(ContextError::Unknown(name.clone()).into());
            }
            file.current = Some(name.clone());
            format!("context `{name}` in use")
        }
        ContextVerb::Rm { name } => {
            file.contexts.remove(name).ok_or_else(|| ContextError::Unknown(name.clone()))?;
            file.current.take_if(|current| current == name);
            format!("context `{name}` forgotten")
        }
    };
    write(&path, &file)?;
    output.either(&json!({ "current": file.current, "contexts": file.contexts }), &done)
}

/// The config file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// One context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

fn resolve(
    globals: &Globals,
    typed: Typed,
    context: Option<(&String, &Context)>,
) -> Result<Settings, ContextError> {
    let given = |typed: bool, flag: &str, variable: &str| match typed {
        true => flag.to_owned(),
        false => variable.to_owned(),
    };
    let of_context = |name: &str| format!("context {name}");
    let (endpoint, endpoint_source) = match (&globals.endpoint, context) {
        (Some(endpoint), _) => {
            (endpoint.clone(), given(typed.endpoint, "--endpoint", "LINMEMCTL_ENDPOINT"))
        }
        (None, Some((name, Context { endpoint: Some(text), .. }))) => {
            let parsed = text.parse();
            let endpoint =
                parsed.map_err(|source| ContextError::Endpoint { name: name.clone(), source })?;
            (endpoint, of_context(name))
        }
        (None, _) => (default_endpoint(), "default".to_owned()),
    };
    let (tenant, tenant_source) = match (&globals.tenant, context) {
        (Some(tenant), _) => {
            (Some(tenant.clone()), given(typed.tenant, "--tenant", "LINMEMCTL_TENANT"))
        }
        (None, Some((name, Context { tenant: Some(tenant), .. }))) => {
            (Some(tenant.clone()), of_context(name))
        }
        (None, _) => (None, "default".to_owned()),
    };
    let credentials = globals.credentials.clone();
    Ok(Settings { endpoint, tenant, credentials, endpoint_source, tenant_source })
}

fn default_endpoint() -> Endpoint {
    DEFAULT_ENDPOINT.parse().unwrap_or(Endpoint::Http { host: "127.0.0.1".into(), port: 7420 })
}

fn set(context: &mut Context, globals: &Globals, typed: Typed) -> Result<(), CtlError> {
    if !typed.endpoint && !typed.tenant {
        return Err(CtlError::Usage("say --endpoint, --tenant or both".to_owned()));
    }
    // Only what was typed: what the environment holds today is not meant for the file.
    if let (true, Some(endpoint)) = (typed.endpoint, &globals.endpoint) {
        context.endpoint = Some(endpoint.to_string());
    }
    if let (true, Some(tenant)) = (typed.tenant, &globals.tenant) {
        context.tenant = Some(tenant.clone());
    }
    Ok(())
}

fn list(file: &File, output: &Output) -> Result<(), CtlError> {
    if output.json {
        return output.value(&json!({ "current": file.current, "contexts": file.contexts }));
    }
    let row = |(name, context): (&String, &Context)| {
        let mark = if file.current.as_ref() == Some(name) { "*" } else { "" };
        let or = |text: &Option<String>, other: &str| text.clone().unwrap_or(other.to_owned());
        let (endpoint, tenant) = (or(&context.endpoint, DEFAULT_ENDPOINT), or(&context.tenant, ""));
        vec![mark.to_owned(), name.clone(), endpoint, tenant]
    };
    let rows = file.contexts.iter().map(row).collect();
    output.line(&table(&["", "NAME", "ENDPOINT", "TENANT"], rows))
}

fn show(settings: &Settings, output: &Output) -> Result<(), CtlError> {
    let value = json!({
        "endpoint": settings.endpoint.to_string(), "endpoint_source": settings.endpoint_source,
        "tenant": settings.tenant, "tenant_source": settings.tenant_source,
    });
    let tenant = settings.tenant.as_deref().unwrap_or("(as the server decides)");
    let text = format!(
        "endpoint  {}  ({})\ntenant    {tenant}  ({})",
        settings.endpoint, settings.endpoint_source, settings.tenant_source
    );
    output.either(&value, &text)
}

fn checked(name: &str) -> Result<String, ContextError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !name.is_empty() && name.bytes().all(fits) {
        true => Ok(name.to_owned()),
        false => Err(ContextError::Name(name.to_owned())),
    }
}

fn path(globals: &Globals) -> Result<PathBuf, ContextError> {
    if let Some(path) = &globals.config {
        return Ok(path.clone());
    }
    let xdg = globals.xdg_config_home.clone().filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let base = xdg.or_else(|| home().map(|home| home.join(".config")));
    Ok(base.ok_or(ContextError::NoPlace)?.join("linmemctl").join("config.toml"))
}

fn read(path: &Path) -> Result<File, ContextError> {
    let shown = || path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| ContextError::Form { path: shown(), message: error.to_string() }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        Err(source) => Err(ContextError::File { action: "read", path: shown(), source }),
    }
}

fn write(path: &Path, file: &File) -> Result<(), ContextError> {
    let failed = |action, path: &Path, source| {
        let path = path.display().to_string();
        ContextError::File { action, path, source }
    };
    let text = toml::to_string_pretty(file).map_err(|error| ContextError::Form {
        path: path.display().to_string(),
        message: error.to_string(),
    })?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| failed("make", folder, source))?;
    }
    let beside = path.with_extension("toml.new");
    fs::write(&beside, text).map_err(|source| failed("write", &beside, source))?;
    fs::rename(&beside, path).map_err(|source| failed("write", path, source))
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
