//! `bulrush key`: keys with which programs call the API, issued, listed and revoked in the database itself.

use anyhow::{bail, ensure};
use bulrush::model::Millis;
use bulrush_service::{Role, is_name};
use bulrush_store::{ApiKeyRow, NewApiKey, Owner, Scope, Store, now_ms};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::database::DatabaseArguments;
use crate::table::table;
use crate::time::moment;

/// Keys that are read at once.
const PAGE: u32 = 500;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// One JSON object a line instead of a table
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Issue a key and print it, once: it cannot be had again
    Create(Create),
    /// Show the keys that there are, newest first, and those that are over
    List(List),
    /// Revoke a key for good; it opens nothing from now on
    Revoke {
        /// The key's id, as `list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Whom it stands for
    #[arg(long, value_name = "ID")]
    sub: String,
    /// Of which organization
    #[arg(long, default_value = "default")]
    tenant: String,
    /// user: own jobs; viewer: all, read-only; admin: all
    #[arg(long, default_value = "user")]
    role: Role,
    /// What it is for; it is known by this in lists
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Days that it is good for; until it is revoked, where none are given
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=3660))]
    days: Option<i64>,
}

#[derive(Debug, Args)]
struct List {
    /// Only those of this organization
    #[arg(long)]
    tenant: Option<String>,
    /// Only those that stand for this one
    #[arg(long, value_name = "ID", requires = "tenant")]
    sub: Option<String>,
}

/// Runs a command on keys.
pub async fn run(arguments: KeyArguments) -> anyhow::Result<()> {
    let store = arguments.database.open().await?;
    let done = match &arguments.command {
        KeyCommand::Create(new) => create(&store, new, arguments.json).await,
        KeyCommand::List(which) => list(&store, which, arguments.json).await,
        KeyCommand::Revoke { id } => revoke(&store, id, arguments.json).await,
    };
    store.close().await;
    done
}

async fn create(store: &Store, new: &Create, as_json: bool) -> anyhow::Result<()> {
    for (option, text) in [("--sub", &new.sub), ("--tenant", &new.tenant), ("--name", &new.name)] {
        ensure!(is_name(text), "{option} must have 1 to 200 bytes and no control characters");
    }
    let key = NewApiKey {
        owner: Owner::new(&new.tenant, &new.sub),
        role: new.role.as_str().to_owned(),
        name: new.name.clone(),
        expires_at_ms: new.days.map(|days| now_ms().saturating_add(days * DAY_MS)),
    };
    let (row, text) = store.api_keys().issue(&key).await?;
    if as_json {
        let mut told = described(&row);
        told["key"] = text.into();
        println!("{told}");
    } else {
        // The key alone goes where it can be caught: KEY=$(bulrush key create …).
        println!("{text}");
        eprintln!("keep it now, it is not shown again; to take it back: bulrush key revoke {}", row.id);
    }
    Ok(())
}

async fn list(store: &Store, which: &List, as_json: bool) -> anyhow::Result<()> {
    let scope = match (&which.tenant, &which.sub) {
        (Some(tenant), Some(sub)) => Scope::owner(tenant, sub),
        (Some(tenant), None) => Scope::Tenant(tenant.clone()),
        (None, _) => Scope::All,
    };
    let header = ["id", "prefix", "name", "for", "tenant", "role", "created", "expires", "last used", ""];
    let mut table = table(header, 0..0);
    let mut before: Option<String> = None;
    loop {
        let page = store.api_keys().list(&scope, before.as_deref(), PAGE).await?;
        for row in &page {
            if as_json {
                println!("{}", described(row));
                continue;
            }
            table.add_row([
                row.id.clone(),
                row.prefix.clone(),
                plain(&row.name),
                plain(&row.owner.user),
                plain(&row.owner.tenant),
                row.role.clone(),
                at(Some(row.created_at_ms)),
                at(row.expires_at_ms),
                at(row.last_used_at_ms),
                state(row).to_owned(),
            ]);
        }
        match page.last() {
            Some(last) if page.len() >= PAGE as usize => before = Some(last.id.clone()),
            _ => break,
        }
    }
    if !as_json {
        println!("{table}");
    }
    Ok(())
}

async fn revoke(store: &Store, id: &str, as_json: bool) -> anyhow::Result<()> {
    if !store.api_keys().revoke(&Scope::All, id, now_ms()).await? {
        bail!("no key has the id {id:?}; the first column of `bulrush key list` shows those that there are");
    }
    if as_json {
        println!("{}", json!({"id": id, "done": "revoked"}));
    } else {
        println!("{id} revoked");
    }
    Ok(())
}

fn described(row: &ApiKeyRow) -> serde_json::Value {
    json!({
        "id": row.id, "prefix": row.prefix, "name": row.name, "sub": row.owner.user, "tenant": row.owner.tenant,
        "role": row.role, "createdAt": row.created_at_ms, "expiresAt": row.expires_at_ms,
        "lastUsedAt": row.last_used_at_ms, "revokedAt": row.revoked_at_ms, "state": state(row),
    })
}

fn state(row: &ApiKeyRow) -> &'static str {
    match row {
        row if row.revoked_at_ms.is_some() => "revoked",
        row if !row.is_good_at(now_ms()) => "expired",
        _ => "good",
    }
}

fn at(at_ms: Option<i64>) -> String {
    moment(at_ms.and_then(|at_ms| Millis::try_from(at_ms).ok()))
}

/// A text of somebody else's choosing without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
