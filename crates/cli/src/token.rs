//! `bulrush token`: bearer tokens for a server's API.

use std::path::PathBuf;
use std::time::Duration;

use bulrush_service::{Claims, DataDir, Problems, Role, TokenKeys, args};
use clap::{Args, Subcommand};

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArguments {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, and nothing else
    New(NewToken),
}

#[derive(Debug, Args)]
struct NewToken {
    /// The data folder of the server that is to accept it (the secret in it is made if there is none yet)
    #[arg(long, value_name = "DIR", required_unless_present_any = ["jwt_secret", "jwt_secret_file"])]
    data: Option<PathBuf>,
    /// user: own jobs; viewer: all, read-only; admin: all
    #[arg(long, default_value = "user")]
    role: Role,
    /// Whom it stands for
    #[arg(long, value_name = "ID")]
    sub: String,
    /// Of which organization
    #[arg(long, default_value = "default")]
    tenant: String,
    /// Hours that it is good for
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=24 * 366))]
    hours: u64,
    #[command(flatten)]
    keys: args::TokenArgs,
}

/// Makes a token.
pub fn run(arguments: TokenArguments) -> anyhow::Result<()> {
    let TokenCommand::New(new) = arguments.command;
    let own = new.data.as_ref().map(|data| anyhow::Ok(DataDir::open(data)?.token_secret()?)).transpose()?;
    let mut problems = Problems::default();
    let keys = new.keys.keys(own, &mut problems);
    problems.finish()?;
    if let Some(keys) = keys {
        println!("{}", mint(&keys, &new.sub, &new.tenant, new.role, Duration::from_hours(new.hours))?);
    }
    Ok(())
}

/// A token for somebody.
pub fn mint(
    keys: &TokenKeys,
    sub: &str,
    tenant: &str,
    role: Role,
    good_for: Duration,
) -> anyhow::Result<String> {
    let claims = Claims { sub: sub.to_owned(), tenant: tenant.to_owned(), role, tier: None };
    Ok(keys.mint(&claims, good_for)?)
}
