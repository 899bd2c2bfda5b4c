//! Keys with which programs call the API.
//!
//! A key reads `blr_<prefix>_<secret>`. The prefix is public: it finds the row, and stands in lists and logs. Of the secret only the
//! hash is kept. Unknown, wrong, expired and revoked keys are told apart by nobody, neither in the answer nor in the time it takes.

use crate::db::{DbRow, query};
use crate::ids::{hex, new_id, now_ms};
use crate::scoped::Scoped;
use crate::secrets::{hash, is_secret, new_secret, same};
use crate::{Owner, Scope, Store, StoreError};

/// What every key begins with, so that a key in a place where none should be is found.
const MARK: &str = "blr_";
/// Characters of a prefix: six random bytes in hexadecimal digits.
const PREFIX_CHARS: usize = 12;
/// The use of a key is written down at most this often: a write for every request would make all of them wait for each other.
const TOUCH_EVERY_MS: i64 = 60_000;
/// What the secret of an unknown key is compared with. It is the hash of no secret: a hash of zeros is not to be found.
const NOBODY_S_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A key to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// For whom it stands.
    pub owner: Owner,
    /// What it may do: `user`, `viewer` or `admin`. Who may issue which is the caller's to decide.
    pub role: String,
    /// What people call it.
    pub name: String,
    /// When it ends, ms since 1970; never, where none is given.
    pub expires_at_ms: Option<i64>,
}

/// An issued key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Its identifier.
    pub id: String,
    /// For whom it stands.
    pub owner: Owner,
    /// What it may do: `user`, `viewer` or `admin`.
    pub role: String,
    /// What people call it.
    pub name: String,
    /// The public part of its text, by which it is recognized.
    pub prefix: String,
    /// When it was issued, ms since 1970.
    pub created_at_ms: i64,
    /// When it ends, ms since 1970.
    pub expires_at_ms: Option<i64>,
    /// When it was last used, ms since 1970, to the minute.
    pub last_used_at_ms: Option<i64>,
    /// When it was revoked, ms since 1970.
    pub revoked_at_ms: Option<i64>,
}

impl ApiKeyRow {
    /// Whether the key opens anything at `now_ms`.
    pub fn is_good_at(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|end_ms| now_ms < end_ms)
    }
}

/// The table of keys.
#[derive(Debug, Clone, Copy)]
pub struct ApiKeys<'s> {
    store: &'s Store,
}

const COLUMNS: &str =
    "id, tenant, owner, role, name, prefix, created_at, expires_at, last_used_at, revoked_at";

/// How rows of this table are found and read.
const ROWS: Scoped<ApiKeyRow> = Scoped { table: "api_keys", columns: COLUMNS, read };

impl<'s> ApiKeys<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Issues a key: its row, and its text, which cannot be had again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an unknown role, an end that is past, or an owner without a name.
    pub async fn issue(&self, key: &NewApiKey) -> Result<(ApiKeyRow, String), StoreError> {
        let secret = new_secret()?;
        let row = ApiKeyRow {
            id: new_id()?,
            owner: key.owner.clone(),
            role: key.role.clone(),
            name: key.name.clone(),
            prefix: new_prefix()?,
            created_at_ms: now_ms(),
            expires_at_ms: key.expires_at_ms,
            last_used_at_ms: None,
            revoked_at_ms: None,
        };
        self.store
            .write::<_, StoreError, _>(async |tx| {
                query(
                    "INSERT INTO api_keys (id, tenant, owner, role, name, prefix, secret_hash, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                )
                .bind(&row.id)
                .bind(&row.owner.tenant)
                .bind(&row.owner.user)
                .bind(&row.role)
                .bind(&row.name)
                .bind(&row.prefix)
                .bind(hash(&secret))
                .bind(row.created_at_ms)
                .bind(row.expires_at_ms)
                .execute(tx.connection())
                .await?;
                Ok(())
            })
            .await?;
        let text = format!("{MARK}{}_{secret}", row.prefix);
        Ok((row, text))
    }

    /// The key that `text` is, if it is one that is good at `now_ms`.
    pub async fn check(&self, text: &str, now_ms: i64) -> Result<Option<ApiKeyRow>, StoreError> {
        let Some((prefix, secret)) = parts(text) else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS}, secret_hash FROM api_keys WHERE prefix = $1");
        let found = query(sqlx::AssertSqlSafe(sql))
            .bind(prefix)
            .fetch_optional(self.store.readers())
            .await?
            .map(|row| Ok::<_, StoreError>((row.try_get::<String>("secret_hash")?, read(&row)?)))
            .transpose()?;
        // Hashed and compared in every case, so that an unknown prefix takes as long as a wrong secret.
        let kept = found.as_ref().map_or(NOBODY_S_HASH, |(kept, _)| kept);
        let is_right = same(kept, &hash(secret));
        Ok(found.map(|(_, key)| key).filter(|key| is_right && key.is_good_at(now_ms)))
    }

    /// The key `id`, if `scope` may see it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<ApiKeyRow>, StoreError> {
        ROWS.get(self.store, scope, id).await
    }

    /// Up to `limit` keys that `scope` may see, those that are over among them, newest first, issued before the key `before`.
    pub async fn list(
        &self,
        scope: &Scope,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRow>, StoreError> {
        // Identifiers begin with their time, and no identifier follows "~".
        let sql = format!(
            "SELECT {COLUMNS} FROM api_keys WHERE {} AND id < $3 ORDER BY id DESC LIMIT $4",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(before.unwrap_or("~"))
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Revokes the key `id` for good, if `scope` may see it; one that is revoked already keeps its first instant. Returns whether it
    /// was there.
    pub async fn revoke(&self, scope: &Scope, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $4) WHERE {} AND id = $3",
            scope.condition()
        );
        self.store
            .write(async |tx| {
                let done = query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .bind(now_ms)
                    .execute(tx.connection())
                    .await?;
                Ok(done == 1)
            })
            .await
    }

    /// Writes down that the key `id` was used at `now_ms`, at most once a minute. Returns whether it wrote.
    pub async fn touch(&self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        const IS_DUE: &str = "id = $1 AND (last_used_at IS NULL OR last_used_at <= $2)";
        let due_ms = now_ms.saturating_sub(TOUCH_EVERY_MS);
        // Read first: readers do not wait, and nearly every call ends here.
        let sql = format!("SELECT 1 FROM api_keys WHERE {IS_DUE}");
        let is_due = query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(due_ms)
            .fetch_optional(self.store.readers())
            .await?
            .is_some();
        if !is_due {
            return Ok(false);
        }
        let sql = format!("UPDATE api_keys SET last_used_at = $3 WHERE {IS_DUE}");
        self.store
            .write(async |tx| {
                let done = query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(id)
                    .bind(due_ms)
                    .bind(now_ms)
                    .execute(tx.connection())
                    .await?;
                Ok(done == 1)
            })
            .await
    }
}

/// Prefix and secret of a text that has the form of a key.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (prefix, secret) = text.strip_prefix(MARK)?.split_once('_')?;
    let is_prefix =
        prefix.len() == PREFIX_CHARS && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_prefix && is_secret(secret)).then_some((prefix, secret))
}

fn new_prefix() -> Result<String, StoreError> {
    let mut bytes = [0_u8; PREFIX_CHARS / 2];
    getrandom::fill(&mut bytes).map_err(StoreError::Randomness)?;
    Ok(hex(&bytes))
}

fn read(row: &DbRow) -> Result<ApiKeyRow, StoreError> {
    Ok(ApiKeyRow {
        id: row.try_get("id")?,
        owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
        role: row.try_get("role")?,
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        created_at_ms: row.try_get("created_at")?,
        expires_at_ms: row.try_get("expires_at")?,
        last_used_at_ms: row.try_get("last_used_at")?,
        revoked_at_ms: row.try_get("revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_of_exactly_the_form_are_looked_up() {
        let (prefix, secret) = ("0123456789ab", "A-_".repeat(14) + "z");
        let good = format!("blr_{prefix}_{secret}");
        assert_eq!(parts(&good), Some((prefix, secret.as_str())));
        for bad in [
            String::new(),
            "blr_".into(),
            "blr__".into(),
            good.to_uppercase(),
            good[1..].to_owned(),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}A"),
            good[..good.len() - 1].to_owned(),
            good.replace("blr_", "BLR_"),
            good.replace("0123", "012G"),
            good.replace(prefix, "0123456789AB"),
            good.replace(prefix, "0123456789a"),
            format!("blr_{prefix}{secret}"),
            format!("blr_{prefix}_{}=", &secret[1..]),
            format!("blr_{}_{secret}", "é".repeat(6)),
            "x".repeat(100_000),
        ] {
            assert_eq!(parts(&bad), None, "{:?}", &bad.chars().take(80).collect::<String>());
        }
    }
}
