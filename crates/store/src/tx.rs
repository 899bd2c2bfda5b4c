//! Write transactions: plain ones, and those of a job, behind its fence.

use std::ops::{Deref, DerefMut};

use crate::db::Connection;
use crate::{FenceError, Store, StoreError};

/// An open write transaction. Dropped without [`WriteTx::commit`] (an error, a cancelled task), it leaves nothing behind.
///
/// On SQLite there is one writer at a time, and on PostgreSQL others wait for the rows that it has changed, so keep it short: read, fetch and compute before it is opened, and never open a second one
/// while it lives.
#[derive(Debug)]
pub struct WriteTx {
    inner: Connection,
    skip_locked: &'static str,
}

impl WriteTx {
    /// The connection that the transaction runs on.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.inner
    }

    /// Lets no other transaction pass the same `what` until this one ends, so that what it reads is still so when it writes.
    pub(crate) async fn exclude(&mut self, what: &'static str) -> Result<(), StoreError> {
        self.inner.exclude(what).await
    }

    /// What follows a `SELECT` of rows that are to be changed, in any order, by whoever comes first: others leave them out.
    pub(crate) fn skip_locked(&self) -> &'static str {
        self.skip_locked
    }

    /// Makes the writes permanent and visible, all at once.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await
    }
}

/// An open write transaction of one run of a job, which no later run has overtaken. Every writer that takes a [`WriteTx`]
/// takes this one too.
#[derive(Debug)]
pub struct FencedTx {
    tx: WriteTx,
    job: String,
    run: i64,
}

impl FencedTx {
    /// The job that writes.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Which of its runs.
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Makes the writes permanent and visible, all at once.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}

impl Deref for FencedTx {
    type Target = WriteTx;

    fn deref(&self) -> &WriteTx {
        &self.tx
    }
}

impl DerefMut for FencedTx {
    fn deref_mut(&mut self) -> &mut WriteTx {
        &mut self.tx
    }
}

impl Store {
    /// Opens a write transaction, waiting for its turn.
    pub async fn begin(&self) -> Result<WriteTx, StoreError> {
        let database = self.readers();
        Ok(WriteTx { inner: database.begin().await?, skip_locked: database.skip_locked() })
    }

    /// Opens the write transaction of run `run` of `job` with its fence: a higher run than any before wins, the same run
    /// needs the same `nonce`.
    ///
    /// # Errors
    /// [`FenceError::Stale`] if another run, or another holder of this one, has written since.
    pub async fn begin_fenced(&self, job: &str, run: i64, nonce: &str) -> Result<FencedTx, FenceError> {
        let mut tx = self.begin().await?;
        crate::fences::pass(&mut tx, job, run, nonce).await?;
        Ok(FencedTx { tx, job: job.to_owned(), run })
    }

    /// Runs `work` in a write transaction and commits it if it succeeds; anything else rolls it back.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        E: From<StoreError>,
        F: AsyncFnOnce(&mut WriteTx) -> Result<T, E>,
    {
        let mut tx = self.begin().await?;
        let value = work(&mut tx).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// Runs `work` in the write transaction of run `run` of `job` (see [`Store::begin_fenced`]) and commits it if it
    /// succeeds; anything else rolls it back, the fence with it.
    ///
    /// # Errors
    /// [`FenceError::Stale`], as the caller's error, if another run has written since; `work` is then not called.
    pub async fn fenced<T, E, F>(&self, job: &str, run: i64, nonce: &str, work: F) -> Result<T, E>
    where
        E: From<FenceError> + From<StoreError>,
        F: AsyncFnOnce(&mut FencedTx) -> Result<T, E>,
    {
        let mut tx = self.begin_fenced(job, run, nonce).await?;
        let value = work(&mut tx).await?;
        tx.commit().await?;
        Ok(value)
    }
}
