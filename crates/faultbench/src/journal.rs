//! The journals that producers and workers keep outside of the store, one line for each thing that happened.
//!
//! A line is written with one call to a file that is opened for appending, so a process that is killed leaves whole lines behind. They are
//! not flushed to the disk: only processes are killed here, and what they wrote stays in the page cache of the kernel.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::clock::now_us;

/// Something that happened, with the moment, µs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: u64,
    /// In which process.
    pub pid: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// A worker process is ready.
    Ready {
        /// The worker's id.
        worker: String,
    },
    /// A handler begins.
    Begin {
        /// Its job.
        job: String,
        /// The token of the take.
        token: String,
    },
    /// A handler ends.
    End {
        /// Its job.
        job: String,
        /// The token of the take.
        token: String,
        /// How.
        how: How,
        /// What it did to the world, and gives as its result.
        effect: String,
    },
    /// The store answered to a settle.
    Settle {
        /// The job.
        job: String,
        /// The token of the take.
        token: String,
        /// Whether it was settled as completed.
        completed: bool,
        /// Whether the store took it.
        accepted: bool,
    },
    /// A producer sends a job.
    Sent {
        /// The job.
        job: String,
    },
    /// The store acknowledged it.
    Acknowledged {
        /// The job.
        job: String,
    },
    /// The store refused it.
    Refused {
        /// The job.
        job: String,
        /// In its words.
        why: String,
        /// Because its memory is full.
        memory: bool,
    },
    /// Nobody knows whether the store has it.
    Indeterminate {
        /// The job.
        job: String,
        /// What is known.
        why: String,
    },
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Well.
    Done,
    /// It was asked to stop, and did.
    Stopped,
    /// Its future was dropped.
    Dropped,
}

/// A journal to write to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    file: Arc<File>,
    pid: u32,
}

impl Journal {
    /// Opens a journal, which may have lines already.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("the journal {} cannot be written", path.display()))?;
        Ok(Self { file: Arc::new(file), pid: std::process::id() })
    }

    /// Writes a line.
    ///
    /// # Panics
    /// If it cannot be written: a run without its ledger proves nothing.
    pub fn write(&self, what: What) {
        self.write_all([what]);
    }

    /// Writes lines that happened at once.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub fn write_all(&self, happened: impl IntoIterator<Item = What>) {
        let (at, pid) = (now_us(), self.pid);
        let mut text = Vec::with_capacity(256);
        for what in happened {
            serde_json::to_writer(&mut text, &Line { at, pid, what })
                .expect("a line is plain text and numbers");
            text.push(b'\n');
        }
        (&*self.file).write_all(&text).expect("the journal of the run can be written");
    }
}

/// All lines of all journals of a folder, by time.
pub fn read_all(folder: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for path in journals(folder)? {
        let text = std::fs::read_to_string(&path)?;
        for line in text.lines() {
            let line = serde_json::from_str(line);
            lines.push(line.with_context(|| format!("a line of {} cannot be read", path.display()))?);
        }
    }
    lines.sort_by_key(|line: &Line| line.at);
    Ok(lines)
}

/// The journals of a folder.
fn journals(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_several_journals_is_read_by_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = Journal::open(&folder.path().join("one.journal")).expect("a journal");
        let other = Journal::open(&folder.path().join("other.journal")).expect("a journal");
        let sent = |job: &str| What::Sent { job: job.to_owned() };
        one.write(sent("a"));
        other.write(sent("b"));
        one.write_all([sent("c"), What::Acknowledged { job: "c".to_owned() }]);
        std::fs::write(folder.path().join("other.log"), "no journal").expect("a file");
        let lines = read_all(folder.path()).expect("they can be read");
        let read: Vec<What> = lines.into_iter().map(|line| line.what).collect();
        assert_eq!(read, [sent("a"), sent("b"), sent("c"), What::Acknowledged { job: "c".to_owned() }]);
    }

    #[test]
    fn a_line_that_is_torn_is_an_error_and_not_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.journal"), "{\"at\":1,\"pid\":2,\"wh").expect("a file");
        assert!(read_all(folder.path()).is_err());
    }
}
