//! `token`: bearer tokens, made here and known to the daemon by their hash.
//!
//! Its law: asks no daemon; the token goes to standard output once and is kept nowhere.

use clap::{Args, Subcommand};
use linmemd::client::Token;
use serde_json::json;

use crate::failure::CtlError;
use crate::output::Output;

/// Arguments of `token`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  linmemctl token new --json | jq -r .token > token
  linmemctl --token-file token ls")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token of 256 random bits, and the hash by which the daemon's config knows it.
    New,
}

/// Runs the verb.
pub(crate) fn run(args: &TokenArgs, output: &Output) -> Result<(), CtlError> {
    let TokenVerb::New = args.verb;
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)
        .map_err(|error| CtlError::Host(format!("the host gives no random bits: {error}")))?;
    let token = Token::new(bits);
    let hash = format!("{:?}", token.hash());
    let text = format!(
        "{}\n\nKeep it: it cannot be shown again. In the daemon's config:\n\n[[identity]]\n\
         name = \"...\"\ntenant = \"...\"\nroles = [\"reader\", \"writer\"]\n\
         token_sha256 = \"{hash}\"",
        token.reveal()
    );
    output.either(&json!({ "token": token.reveal(), "token_sha256": hash }), &text)
}
