//! `export/export`: a user's data as a file to download.
//!
//! Three parts run at once and wait for each other: [`rows`] reads batches from the store, [`write`] makes bytes of them, and the object
//! store takes the bytes in. The file becomes its owner's in one transaction behind the job's fence, when its last byte is kept.

mod error;
mod rows;
mod table;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulrush::{Context, Failure, JobResult};
use bulrush_catalog::jobs::{Export, ExportFormat, ExportResult};
use bulrush_store::{Area, Completion, FileState, NewOutput, Owner, Scope, StoredObject};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::Dependencies;
pub(crate) use error::ExportError;
use rows::Source;
use table::Batch;

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "export/export";

/// Most bytes of one export.
const BYTES_MAX: u64 = 4 << 30;
/// Batches and pieces that wait between two parts.
const IN_BETWEEN: usize = 4;

/// Makes the file.
pub(crate) async fn run(deps: Dependencies, payload: Export, ctx: Context) -> JobResult<ExportResult> {
    let error = match export(&deps, &payload, &ctx).await {
        Ok(result) => return Ok(result),
        Err(error) => error,
    };
    if !matches!(error, ExportError::Stopped) {
        tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), %error, cause = error.root_cause(), "nothing was exported");
        ctx.log(format!("not exported: {error}"));
    }
    let text = error.to_string();
    let failure = error.into_failure();
    let is_last = match &failure {
        Failure::Unrecoverable { .. } => true,
        Failure::Retry { .. } => ctx.attempt() >= ctx.spec().attempts,
        _ => false,
    };
    if is_last {
        // The job says it too; a store that is away does not change why it failed.
        let (run, nonce, id) = (i64::from(ctx.token().run), ctx.token().nonce(), ctx.id().as_str());
        let noted = deps.store.fenced(id, run, &nonce, async |tx| {
            deps.store.files().set_state(tx, id, FileState::Failed, Some(&text)).await?;
            Ok::<_, ExportError>(())
        });
        if let Err(error) = noted.await {
            tracing::warn!(job = %ctx.id(), %error, "the export's row does not say that it failed");
        }
    }
    Err(failure)
}

async fn export(deps: &Dependencies, payload: &Export, ctx: &Context) -> Result<ExportResult, ExportError> {
    let owner = ctx.spec().owner.as_deref().ok_or(ExportError::NoOwner)?;
    let owner = Owner::new(&owner.tenant, &owner.user);
    // Dropped at its next await when somebody asks for it: what is half-written goes with it.
    let (object, rows) = tokio::select! {
        biased;
        _ = ctx.stopped() => return Err(ExportError::Stopped),
        made = make(deps, payload, ctx, &owner) => made?,
    };
    let result = ExportResult {
        success: true,
        export_id: ctx.id().to_string(),
        file_path: format!("/api/v1/exports/{}/download", ctx.id()),
        format: payload.format,
        rows,
        size: object.size,
        sha256: object.sha256.clone(),
    };
    match finish(deps, ctx, &owner, &object, &result).await {
        Ok(replaced) => {
            if let Some(key) = replaced {
                remove(deps, &key).await;
            }
        }
        Err(error) => {
            remove(deps, &object.key).await;
            return Err(error);
        }
    }
    ctx.progress(100, format!("{} exported", counted(rows)));
    tracing::info!(job = %ctx.id(), rows, size = result.size, format = payload.format.as_str(), "exported");
    Ok(result)
}

/// Everything but the row: the bytes, and how many rows are in them.
async fn make(
    deps: &Dependencies,
    payload: &Export,
    ctx: &Context,
    owner: &Owner,
) -> Result<(StoredObject, u64), ExportError> {
    // Whoever may name another user has named whose data it is; the file is the job's owner's.
    let scope = Scope::owner(&owner.tenant, &payload.user_id);
    let source = Source::open(&deps.store, scope, payload).await?;
    let output = NewOutput {
        id: ctx.id().to_string(),
        owner: owner.clone(),
        name: format!(
            "{}-{}.{}",
            payload.entity.as_str(),
            deps.now().strftime("%Y-%m-%d"),
            payload.format.as_str()
        ),
        content_type: payload.format.content_type().to_owned(),
        entity: payload.about().map(ToOwned::to_owned),
    };
    let token = ctx.token();
    deps.store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            deps.store.files().expect(tx, &output).await?;
            deps.store.files().set_state(tx, &output.id, FileState::Processing, None).await?;
            Ok::<_, ExportError>(())
        })
        .await?;
    ctx.progress(5, "reading");

    let written = Arc::new(AtomicU64::new(0));
    let columns = source.columns();
    let (rows, batches) = mpsc::channel::<Batch>(IN_BETWEEN);
    let read = source.read(rows, |done, all| {
        let rows = written.load(Ordering::Relaxed);
        ctx.progress(
            5 + u8::try_from(done * 85 / all.max(1)).unwrap_or(85),
            format!("{} written", counted(rows)),
        );
    });
    let object = match payload.format {
        ExportFormat::Xlsx => {
            let (book, ()) = tokio::try_join!(write::workbook(columns, batches, written.clone()), read)?;
            if book.texts_cut > 0 {
                ctx.log(format!(
                    "{} texts were cut to {} characters, the most that a cell of a workbook holds; export csv or json for the whole",
                    book.texts_cut,
                    write::CELL_MAX
                ));
            }
            ctx.progress(90, "keeping the workbook");
            let file = tokio::fs::File::from_std(book.file);
            deps.objects.put_reader(Area::Outputs, file, BYTES_MAX).await?
        }
        format => {
            let (pieces, bytes) = mpsc::channel::<Result<Bytes, ExportError>>(IN_BETWEEN);
            let bytes = stream::unfold(bytes, async |mut bytes| Some((bytes.recv().await?, bytes)));
            let put = async { Ok(deps.objects.put(Area::Outputs, bytes, BYTES_MAX).await?) };
            let write = write::text(format, columns, batches, pieces, written.clone());
            let (object, (), ()) = tokio::try_join!(put, write, read)?;
            object
        }
    };
    Ok((object, written.load(Ordering::Relaxed)))
}

/// Makes the file its owner's, with the result of the job, unless another run of the job has written since. Returns what it replaces.
async fn finish(
    deps: &Dependencies,
    ctx: &Context,
    owner: &Owner,
    object: &StoredObject,
    result: &ExportResult,
) -> Result<Option<String>, ExportError> {
    let document = serde_json::to_value(result).map_err(|error| ExportError::Write(error.to_string()))?;
    let (store, token) = (&deps.store, ctx.token());
    store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            let completion = store.files().complete(tx, ctx.id().as_str(), object).await?;
            store.results().put(tx, owner, RESULT_KIND, &document).await?;
            match completion {
                Completion::Done { replaced } => Ok(replaced),
                Completion::NotInWork => Err(ExportError::Removed),
            }
        })
        .await
}

/// Removes an object that no row names. What cannot be removed now is waste, not harm.
async fn remove(deps: &Dependencies, key: &str) {
    if let Err(error) = deps.objects.delete(key).await {
        tracing::warn!(%error, "an export that nobody needs could not be removed");
    }
}

/// So many rows, in words.
fn counted(rows: u64) -> String {
    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
}
