//! Files that came in or that jobs made: the rows. Their bytes are in the object store ([`crate::Objects`]).

use std::str::FromStr;

use crate::db::{DbRow, query};
use crate::ids::{new_id, now_ms};
use crate::scoped::Scoped;
use crate::{Owner, Scope, Store, StoreError, StoredObject, WriteTx};

/// How far the work on a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// It is here, or is going to be; nothing works on it.
    Pending,
    /// A job works on it.
    Processing,
    /// A job is done with it.
    Completed,
    /// A job could not use or make it; the row says why.
    Failed,
}

impl FileState {
    const ALL: [Self; 4] = [Self::Pending, Self::Processing, Self::Completed, Self::Failed];

    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether a file may go from this state to `next`. Work may start from any state, also again (a retried job finds
    /// its file processing, a second enrichment finds it completed), and ends only where it had started; what nothing works
    /// on yet can already be found unusable.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Pending => false,
            Self::Processing => true,
            Self::Completed => self == Self::Processing,
            Self::Failed => matches!(self, Self::Pending | Self::Processing),
        }
    }
}

impl FromStr for FileState {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| StoreError::unreadable("files", "state", name))
    }
}

/// A file to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Whose it is.
    pub owner: Owner,
    /// The name that the client gave it, as it came. It is kept only in the two forms of [`display_name`] and
    /// [`download_name`], and never becomes a path.
    pub client_name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// The media type that the content was found to have.
    pub content_type: String,
    /// Where the bytes are: the key that [`crate::Objects::put`] gave.
    pub object_key: String,
    /// The entity that it is about, if that is known.
    pub entity: Option<String>,
}

/// A file that a job is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutput {
    /// Its identifier: the job's, so that a job that runs again makes the same file.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// The entity that it is about, if it is about one.
    pub entity: Option<String>,
}

/// Whether a file was completed.
#[must_use = "a file on which nobody works is not completed"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// It was; `replaced` is the key of the bytes that it had before, to be deleted after the commit.
    Done {
        /// The key of an object that no row names any more.
        replaced: Option<String>,
    },
    /// There is no such file on which a job works: it was deleted, say.
    NotInWork,
}

/// A registered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// A plain name to save it under: ASCII letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The name to show to people, without control characters. Escape it like any text.
    pub display_name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// Its media type.
    pub content_type: String,
    /// How far the work on it is.
    pub state: FileState,
    /// Where the bytes are. Never shown.
    pub object_key: String,
    /// The entity that it is about.
    pub entity: Option<String>,
    /// Why it failed, for its owner.
    pub problem: Option<String>,
    /// When it was registered, ms since 1970.
    pub created_at_ms: i64,
    /// When its row last changed, ms since 1970.
    pub updated_at_ms: i64,
}

impl FileRow {
    /// Whether it has bytes: what a job is still to make has none.
    pub fn has_bytes(&self) -> bool {
        !self.object_key.starts_with(NO_OBJECT)
    }
}

/// The table of files.
#[derive(Debug, Clone, Copy)]
pub struct Files<'s> {
    store: &'s Store,
}

const COLUMNS: &str = "id, tenant, owner, name, display_name, size, sha256, content_type, state, object_key, entity, problem, \
                       created_at, updated_at";

/// How the key of a file begins that has no bytes yet; no key of an object does.
const NO_OBJECT: &str = "none:";
/// SHA-256 of no bytes.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// How rows of this table are found and read.
const ROWS: Scoped<FileRow> = Scoped { table: "files", columns: COLUMNS, read };

impl<'s> Files<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Registers a file, pending, under a new identifier. Do so after its bytes are in the object store: then a row always
    /// has its bytes, and what a crash leaves behind is an object that no row names.
    pub async fn insert(&self, tx: &mut WriteTx, file: &NewFile) -> Result<FileRow, StoreError> {
        let now_ms = now_ms();
        let row = FileRow {
            id: new_id()?,
            owner: file.owner.clone(),
            name: download_name(&file.client_name),
            display_name: display_name(&file.client_name),
            size: file.size,
            sha256: file.sha256.clone(),
            content_type: file.content_type.clone(),
            state: FileState::Pending,
            object_key: file.object_key.clone(),
            entity: file.entity.clone(),
            problem: None,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        query(
            "INSERT INTO files (id, tenant, owner, name, display_name, size, sha256, content_type, state, object_key, entity, \
                                created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        )
        .bind(&row.id)
        .bind(&row.owner.tenant)
        .bind(&row.owner.user)
        .bind(&row.name)
        .bind(&row.display_name)
        .bind(i64::try_from(row.size).unwrap_or(i64::MAX))
        .bind(&row.sha256)
        .bind(&row.content_type)
        .bind(row.state.as_str())
        .bind(&row.object_key)
        .bind(&row.entity)
        .bind(now_ms)
        .execute(tx.connection())
        .await?;
        Ok(row)
    }

    /// Registers a file that a job is to make, pending, unless its identifier is there already. Returns whether it was new.
    ///
    /// Until [`complete`](Self::complete) it has no bytes: size 0, the hash of nothing, and a key that names no object.
    pub async fn expect(&self, tx: &mut WriteTx, output: &NewOutput) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO files (id, tenant, owner, name, display_name, size, sha256, content_type, state, object_key, entity, \
                                created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $11) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&output.id)
        .bind(&output.owner.tenant)
        .bind(&output.owner.user)
        .bind(download_name(&output.name))
        .bind(display_name(&output.name))
        .bind(SHA256_OF_NOTHING)
        .bind(&output.content_type)
        .bind(FileState::Pending.as_str())
        .bind(format!("{NO_OBJECT}{}", output.id))
        .bind(&output.entity)
        .bind(now_ms())
        .execute(tx.connection())
        .await?;
        Ok(done == 1)
    }

    /// Says that a job has made the file `id`, on which it works: its bytes are in `object`. For the platform's own work, in a job's
    /// fenced transaction.
    pub async fn complete(
        &self,
        tx: &mut WriteTx,
        id: &str,
        object: &StoredObject,
    ) -> Result<Completion, StoreError> {
        let before = query("SELECT object_key FROM files WHERE id = $1 AND state = $2")
            .bind(id)
            .bind(FileState::Processing.as_str())
            .fetch_optional(tx.connection())
            .await?;
        let Some(before) = before else { return Ok(Completion::NotInWork) };
        let before: String = before.first()?;
        // Its owner may have removed it, or another run have moved it on, since it was read.
        let done = query(
            "UPDATE files SET size = $2, sha256 = $3, object_key = $4, state = $5, problem = NULL, updated_at = $6 \
             WHERE id = $1 AND state = $7 AND object_key = $8",
        )
        .bind(id)
        .bind(i64::try_from(object.size).unwrap_or(i64::MAX))
        .bind(&object.sha256)
        .bind(&object.key)
        .bind(FileState::Completed.as_str())
        .bind(now_ms())
        .bind(FileState::Processing.as_str())
        .bind(&before)
        .execute(tx.connection())
        .await?;
        if done != 1 {
            return Ok(Completion::NotInWork);
        }
        Ok(Completion::Done { replaced: (!before.starts_with(NO_OBJECT)).then_some(before) })
    }

    /// The file `id`, if `scope` may see it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<FileRow>, StoreError> {
        ROWS.get(self.store, scope, id).await
    }

    /// Up to `limit` files that `scope` may see, newest first, older than `before` (the instant and identifier of the last
    /// one seen).
    pub async fn list(
        &self,
        scope: &Scope,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<FileRow>, StoreError> {
        let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
        let sql = format!(
            "SELECT {COLUMNS} FROM files WHERE {} AND (created_at < $3 OR (created_at = $3 AND id < $4)) \
             ORDER BY created_at DESC, id DESC LIMIT $5",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(before_ms)
            .bind(before_id)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Says what entity the file `id` is about, if `scope` may see the file. Returns whether it was there.
    pub async fn set_entity(
        &self,
        tx: &mut WriteTx,
        scope: &Scope,
        id: &str,
        entity: &str,
    ) -> Result<bool, StoreError> {
        let sql =
            format!("UPDATE files SET entity = $4, updated_at = $5 WHERE {} AND id = $3", scope.condition());
        let done = query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .bind(entity)
            .bind(now_ms())
            .execute(tx.connection())
            .await?;
        Ok(done == 1)
    }

    /// Moves the file `id` to `next`, with the `problem` of a failed one, if it is in a state from which it may
    /// ([`FileState::may_become`]). Returns whether it did. For the platform's own work: pass a job's fenced transaction.
    pub async fn set_state(
        &self,
        tx: &mut WriteTx,
        id: &str,
        next: FileState,
        problem: Option<&str>,
    ) -> Result<bool, StoreError> {
        let from: Vec<&str> = FileState::ALL
            .into_iter()
            .filter(|state| state.may_become(next))
            .map(FileState::as_str)
            .collect();
        // At most four states; a place that is not needed repeats the first, and no state at all matches nothing.
        let nth = |index: usize| from.get(index).or(from.first()).copied().unwrap_or_default();
        let done = query(
            "UPDATE files SET state = $1, problem = $2, updated_at = $3 WHERE id = $4 AND state IN ($5, $6, $7, $8)",
        )
        .bind(next.as_str())
        .bind(problem)
        .bind(now_ms())
        .bind(id)
        .bind(nth(0))
        .bind(nth(1))
        .bind(nth(2))
        .bind(nth(3))
        .execute(tx.connection())
        .await?;
        Ok(done == 1)
    }

    /// Removes the row of file `id`, if `scope` may see it, and returns the key of its object, to be deleted after the commit.
    pub async fn delete(
        &self,
        tx: &mut WriteTx,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        let sql = format!("DELETE FROM files WHERE {} AND id = $3 RETURNING object_key", scope.condition());
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .fetch_optional(tx.connection())
            .await?
            .map(|row| row.first())
            .transpose()
    }
}

fn read(row: &DbRow) -> Result<FileRow, StoreError> {
    let size: i64 = row.try_get("size")?;
    let state: &str = row.try_get("state")?;
    Ok(FileRow {
        id: row.try_get("id")?,
        owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        size: size.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        content_type: row.try_get("content_type")?,
        state: state.parse()?,
        object_key: row.try_get("object_key")?,
        entity: row.try_get("entity")?,
        problem: row.try_get("problem")?,
        created_at_ms: row.try_get("created_at")?,
        updated_at_ms: row.try_get("updated_at")?,
    })
}

/// What follows the last separator of either kind: a browser may send the path that its user chose.
fn last_component(client_name: &str) -> &str {
    client_name.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// A client's file name as it may be shown: its last component without control characters and without the characters that turn
/// the direction of text (which make `exe.csv` read as `vsc.exe`), at most 255 characters; `file` if nothing is left.
pub fn display_name(client_name: &str) -> String {
    let shown = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}')
    };
    let name: String = last_component(client_name).chars().filter(shown).take(255).collect();
    let name = name.trim();
    if name.is_empty() || name.chars().all(|c| c == '.') { "file".to_owned() } else { name.to_owned() }
}

/// A client's file name as somebody may save it under on any system: ASCII letters, digits, `.`, `_` and `-`, no leading or
/// trailing dot or dash, no name of a device, at most 100 characters with the extension kept; `file` if nothing is left.
pub fn download_name(client_name: &str) -> String {
    const LONGEST: usize = 100;
    let plain: String = display_name(client_name)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    let plain = plain.trim_matches(['.', '-', '_']);
    let (stem, extension) = match plain.rsplit_once('.') {
        Some((stem, extension)) if (1..=10).contains(&extension.len()) => (stem, extension),
        _ => (plain, ""),
    };
    let mut stem = stem.trim_matches(['.', '-', '_']).to_owned();
    stem.truncate(LONGEST - 11);
    // Windows reads a device's name as the device, whatever its extension.
    let base = stem.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let is_device = matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (base.len() == 4 && (base.starts_with("COM") || base.starts_with("LPT")));
    if stem.is_empty() || is_device {
        stem.insert_str(0, if stem.is_empty() { "file" } else { "file_" });
    }
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_become_harmless_and_stay_recognizable() {
        let long = format!("{}.csv", "x".repeat(5_000));
        for (given, shown, saved) in [
            ("prices 2024.csv", "prices 2024.csv", "prices_2024.csv"),
            ("../../evil.csv", "evil.csv", "evil.csv"),
            ("C:\\Users\\x\\prices.csv", "prices.csv", "prices.csv"),
            ("a\0.csv", "a.csv", "a.csv"),
            ("CON", "CON", "file_CON"),
            ("nul.tar.gz", "nul.tar.gz", "file_nul.tar.gz"),
            ("lpt1.csv", "lpt1.csv", "file_lpt1.csv"),
            ("=cmd.csv", "=cmd.csv", "cmd.csv"),
            ("\u{202e}vsc.exe", "vsc.exe", "vsc.exe"),
            (".htaccess", ".htaccess", "htaccess"),
            ("Übernachtungen.csv", "Übernachtungen.csv", "bernachtungen.csv"),
            ("", "file", "file"),
            ("..", "file", "file"),
            ("a/", "file", "file"),
            ("\r\n", "file", "file"),
            ("日本.csv", "日本.csv", "csv"),
        ] {
            assert_eq!(
                (display_name(given).as_str(), download_name(given).as_str()),
                (shown, saved),
                "{given:?}"
            );
        }
        assert_eq!(display_name(&long).len(), 255);
        let saved = download_name("名前.pdf.csv");
        assert!(saved.bytes().all(|b| b.is_ascii_graphic()), "{saved}");
    }

    #[test]
    fn a_state_is_left_only_as_the_table_says() {
        use FileState::{Completed, Failed, Pending, Processing};
        let legal = [
            (Pending, Processing),
            (Pending, Failed),
            (Processing, Processing),
            (Processing, Completed),
            (Processing, Failed),
            (Completed, Processing),
            (Failed, Processing),
        ];
        for from in FileState::ALL {
            for to in FileState::ALL {
                assert_eq!(from.may_become(to), legal.contains(&(from, to)), "{from:?} to {to:?}");
            }
            assert_eq!(from.as_str().parse::<FileState>().unwrap(), from);
        }
    }
}
