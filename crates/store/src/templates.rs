//! Templates: jobs to be added again and again.

use crate::db::{DbRow, query};
use crate::ids::{new_id, now_ms};
use crate::scoped::Scoped;
use crate::{Owner, Scope, Store, StoreError, WriteTx};

/// What a template says; all of it is replaced at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateContent {
    /// Its name, unique for its owner.
    pub name: String,
    /// The queue that its jobs go to.
    pub queue: String,
    /// The name of its jobs.
    pub job_name: String,
    /// The data of its jobs: JSON text, kept byte for byte. Whoever takes it in checks it.
    pub data: String,
    /// The options of its jobs: JSON text, too.
    pub options: String,
    /// What it is for; may be empty.
    pub description: String,
}

/// A stored template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it says.
    pub content: TemplateContent,
    /// 1 at first, and one more with each change.
    pub version: i64,
    /// When it was made, ms since 1970.
    pub created_at_ms: i64,
    /// When it was last changed, ms since 1970.
    pub updated_at_ms: i64,
}

/// What became of a new template.
#[must_use = "a template whose name is taken is not kept"]
#[expect(clippy::large_enum_variant, reason = "one at a time, handed on at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateCreated {
    /// It is kept.
    Yes(Template),
    /// Its owner has another one of this name; nothing was kept.
    NameTaken,
    /// Its owner has as many as may be; nothing was kept.
    Full,
}

/// What became of a change to a template.
#[must_use = "a change that meets another one is not made"]
#[expect(clippy::large_enum_variant, reason = "one at a time, handed on at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateUpdated {
    /// It was made; this is how the template stands now.
    Yes(Template),
    /// Somebody has changed the template since it was read: it stands at this version. Nothing was changed.
    Conflict {
        /// The version at which it stands.
        version: i64,
    },
    /// Its owner has another one of the new name; nothing was changed.
    NameTaken,
    /// There is none that may be seen.
    Absent,
}

/// The table of templates.
#[derive(Debug, Clone, Copy)]
pub struct Templates<'s> {
    store: &'s Store,
}

const COLUMNS: &str =
    "id, tenant, owner, name, queue, job_name, data, options, description, version, created_at, updated_at";

/// What writers of this table exclude each other by, where what they write depends on several rows.
const TEMPLATES: &str = "templates";

/// How rows of this table are found and read.
const ROWS: Scoped<Template> = Scoped { table: "templates", columns: COLUMNS, read };

impl<'s> Templates<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Makes a template under a new identifier, if its owner has fewer than `at_most` and none of its name.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an empty name.
    pub async fn create(
        &self,
        owner: &Owner,
        content: &TemplateContent,
        at_most: u32,
    ) -> Result<TemplateCreated, StoreError> {
        let (id, now_ms) = (new_id()?, now_ms());
        self.store
            .write::<_, StoreError, _>(async |tx| {
                // What is seen from here on is still so at the insert.
                tx.exclude(TEMPLATES).await?;
                if is_name_taken(tx, owner, &content.name, &id).await? {
                    return Ok(TemplateCreated::NameTaken);
                }
                let there: i64 = query("SELECT count(*) FROM templates WHERE tenant = $1 AND owner = $2")
                    .bind(&owner.tenant)
                    .bind(&owner.user)
                    .fetch_one(tx.connection())
                    .await?
                    .first()?;
                if there >= i64::from(at_most) {
                    return Ok(TemplateCreated::Full);
                }
                query(
                    "INSERT INTO templates (id, tenant, owner, name, queue, job_name, data, options, description, version, \
                                            created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10)",
                )
                .bind(&id)
                .bind(&owner.tenant)
                .bind(&owner.user)
                .bind(&content.name)
                .bind(&content.queue)
                .bind(&content.job_name)
                .bind(&content.data)
                .bind(&content.options)
                .bind(&content.description)
                .bind(now_ms)
                .execute(tx.connection())
                .await?;
                Ok(TemplateCreated::Yes(Template {
                    id: id.clone(),
                    owner: owner.clone(),
                    content: content.clone(),
                    version: 1,
                    created_at_ms: now_ms,
                    updated_at_ms: now_ms,
                }))
            })
            .await
    }

    /// The template `id`, if `scope` may see it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<Template>, StoreError> {
        ROWS.get(self.store, scope, id).await
    }

    /// The template that `owner` calls `name`. By owner and not by scope: only there is a name one template's.
    pub async fn get_by_name(&self, owner: &Owner, name: &str) -> Result<Option<Template>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM templates WHERE tenant = $1 AND owner = $2 AND name = $3");
        query(sqlx::AssertSqlSafe(sql))
            .bind(&owner.tenant)
            .bind(&owner.user)
            .bind(name)
            .fetch_optional(self.store.readers())
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// Up to `limit` templates that `scope` may see, in the order of their identifiers (the oldest first), after `after`.
    pub async fn list(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Template>, StoreError> {
        ROWS.list(self.store, scope, after, limit).await
    }

    /// Replaces what the template `id` says, if `scope` may see it and it stands at `expected_version`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an empty name.
    pub async fn update(
        &self,
        scope: &Scope,
        id: &str,
        expected_version: i64,
        content: &TemplateContent,
    ) -> Result<TemplateUpdated, StoreError> {
        let now_ms = now_ms();
        self.store
            .write::<_, StoreError, _>(async |tx| {
                tx.exclude(TEMPLATES).await?;
                let sql = format!("SELECT {COLUMNS} FROM templates WHERE {} AND id = $3", scope.condition());
                let Some(row) = query(sqlx::AssertSqlSafe(sql))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .fetch_optional(tx.connection())
                    .await?
                else {
                    return Ok(TemplateUpdated::Absent);
                };
                let template = read(&row)?;
                if template.version != expected_version {
                    return Ok(TemplateUpdated::Conflict { version: template.version });
                }
                if is_name_taken(tx, &template.owner, &content.name, id).await? {
                    return Ok(TemplateUpdated::NameTaken);
                }
                query(
                    "UPDATE templates SET name = $2, queue = $3, job_name = $4, data = $5, options = $6, description = $7, \
                         version = version + 1, updated_at = $8 \
                     WHERE id = $1",
                )
                .bind(id)
                .bind(&content.name)
                .bind(&content.queue)
                .bind(&content.job_name)
                .bind(&content.data)
                .bind(&content.options)
                .bind(&content.description)
                .bind(now_ms)
                .execute(tx.connection())
                .await?;
                Ok(TemplateUpdated::Yes(Template {
                    content: content.clone(),
                    version: template.version + 1,
                    updated_at_ms: now_ms,
                    ..template
                }))
            })
            .await
    }

    /// Removes the template `id`, if `scope` may see it. Returns whether it was there.
    pub async fn delete(&self, scope: &Scope, id: &str) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM templates WHERE {} AND id = $3", scope.condition());
        self.store
            .write(async |tx| {
                let done = query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .execute(tx.connection())
                    .await?;
                Ok(done == 1)
            })
            .await
    }
}

/// Whether `owner` calls another template than `id` so.
async fn is_name_taken(tx: &mut WriteTx, owner: &Owner, name: &str, id: &str) -> Result<bool, StoreError> {
    let other = query("SELECT 1 FROM templates WHERE tenant = $1 AND owner = $2 AND name = $3 AND id <> $4")
        .bind(&owner.tenant)
        .bind(&owner.user)
        .bind(name)
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    Ok(other.is_some())
}

fn read(row: &DbRow) -> Result<Template, StoreError> {
    Ok(Template {
        id: row.try_get("id")?,
        owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
        content: TemplateContent {
            name: row.try_get("name")?,
            queue: row.try_get("queue")?,
            job_name: row.try_get("job_name")?,
            data: row.try_get("data")?,
            options: row.try_get("options")?,
            description: row.try_get("description")?,
        },
        version: row.try_get("version")?,
        created_at_ms: row.try_get("created_at")?,
        updated_at_ms: row.try_get("updated_at")?,
    })
}
