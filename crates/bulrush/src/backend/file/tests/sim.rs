//! A disk whose power can be cut at each operation.
//!
//! It records what is asked of it; a cut is then made after any number of operations, as often as a test likes. What was synced
//! survives. Of what was not, the test says what does: bytes that were written come back whole, not at all, up to some place, or
//! with pages missing, and of the changes of the directory any may have happened.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::random::Random;
use crate::backend::file::disk::{Disk, DiskFile};

const PAGE: usize = 4_096;

/// What becomes of everything that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// It is there: the process was killed, and the machine goes on.
    Stays,
    /// It is there, and durable.
    Lands,
    /// It is lost.
    Lost,
    /// Any of it may be lost.
    Torn,
}

/// One operation on the disk.
#[derive(Debug, Clone)]
enum Op {
    Create(String, usize),
    Append(usize, Vec<u8>),
    Sync(usize),
    Truncate(usize, u64),
    Rename(String, String),
    Remove(String),
    SyncDir,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
}

/// A change of the directory that was not synced.
#[derive(Debug, Clone)]
enum DirChange {
    Put(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

/// The disk at a moment.
#[derive(Debug, Clone, Default)]
pub struct Image {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<DirChange>,
}

impl Image {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(name, inode) => {
                assert_eq!(*inode, self.inodes.len());
                self.inodes.push(Inode::default());
                self.names.insert(name.clone(), *inode);
                self.changes.push(DirChange::Put(name.clone(), *inode));
            }
            Op::Append(inode, bytes) => self.inodes[*inode].current.extend_from_slice(bytes),
            Op::Sync(inode) => {
                let inode = &mut self.inodes[*inode];
                inode.durable.clone_from(&inode.current);
            }
            Op::Truncate(inode, len) => self.inodes[*inode].current.truncate(*len as usize),
            Op::Rename(from, to) => {
                let inode = self.names.remove(from).expect("only files that are there are renamed");
                self.names.insert(to.clone(), inode);
                self.changes.push(DirChange::Rename(from.clone(), to.clone(), inode));
            }
            Op::Remove(name) => {
                self.names.remove(name);
                self.changes.push(DirChange::Remove(name.clone()));
            }
            Op::SyncDir => {
                self.durable_names.clone_from(&self.names);
                self.changes.clear();
            }
        }
    }

    /// What is found when the power is back.
    pub fn cut(&self, unsynced: Unsynced, random: &mut Random) -> Image {
        if unsynced == Unsynced::Stays {
            return self.clone();
        }
        let keeps = |random: &mut Random| match unsynced {
            Unsynced::Lost => false,
            Unsynced::Torn => random.chance(50),
            _ => true,
        };
        let mut names = self.durable_names.clone();
        for change in &self.changes {
            if keeps(random) {
                match change {
                    DirChange::Put(name, inode) => drop(names.insert(name.clone(), *inode)),
                    DirChange::Remove(name) => drop(names.remove(name)),
                    DirChange::Rename(from, to, inode) => {
                        if names.get(from) == Some(inode) {
                            names.remove(from);
                        }
                        names.insert(to.clone(), *inode);
                    }
                }
            }
        }
        let inodes = self.inodes.iter().map(|inode| {
            let bytes = match unsynced {
                Unsynced::Lost => inode.durable.clone(),
                Unsynced::Torn => torn(inode, random),
                _ => inode.current.clone(),
            };
            Inode { durable: bytes.clone(), current: bytes }
        });
        Image { inodes: inodes.collect(), durable_names: names.clone(), names, changes: Vec::new() }
    }

    /// Content of a file.
    pub fn content(&mut self, name: &str) -> &mut Vec<u8> {
        let inode = self.names[name];
        &mut self.inodes[inode].current
    }

    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let inode = self.names.remove(from).expect("there is such a file");
        self.names.insert(to.to_owned(), inode);
    }
}

/// What may be found of a file that was written and not synced.
fn torn(inode: &Inode, random: &mut Random) -> Vec<u8> {
    let (durable, current) = (&inode.durable, &inode.current);
    if current.len() <= durable.len() {
        return if random.chance(50) { current.clone() } else { durable.clone() };
    }
    let grown = current.len() - durable.len();
    let mut found = current.clone();
    if random.chance(50) {
        found.truncate(durable.len() + random.below(grown + 1));
    }
    if random.chance(50) {
        for page in 0..found.len().div_ceil(PAGE) {
            if random.chance(40) {
                let (from, to) = ((page * PAGE).max(durable.len()), ((page + 1) * PAGE).min(found.len()));
                if from < to {
                    found[from..to].fill(0);
                }
            }
        }
    }
    found
}

/// The disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    start: Image,
    now: Image,
    ops: Vec<Op>,
    /// From this operation on every one fails.
    dead_after: Option<usize>,
    /// The kind of error it fails with.
    fails_with: Option<io::ErrorKind>,
}

impl SimDisk {
    /// A disk that holds what is found after a cut.
    pub fn holding(image: Image) -> Self {
        let state = State { start: image.clone(), now: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Makes every operation fail from the `n`th on.
    pub fn fail_after(&self, n: usize, kind: io::ErrorKind) {
        let mut state = self.lock();
        state.dead_after = Some(n);
        state.fails_with = Some(kind);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Operations so far.
    pub fn ops(&self) -> usize {
        self.lock().ops.len()
    }

    /// The disk as it is now.
    pub fn image(&self) -> Image {
        self.lock().now.clone()
    }

    /// The disk after each number of operations, none first.
    pub fn history(&self) -> impl Iterator<Item = Image> + use<> {
        let state = self.lock();
        let (mut image, ops) = (state.start.clone(), state.ops.clone());
        let mut ops = ops.into_iter();
        let mut next = Some(image.clone());
        std::iter::from_fn(move || {
            let found = next.take()?;
            next = ops.next().map(|op| {
                image.apply(&op);
                image.clone()
            });
            Some(found)
        })
    }

    fn act(&self, op: impl FnOnce(&Image) -> io::Result<Op>) -> io::Result<()> {
        let mut state = self.lock();
        if state.dead_after.is_some_and(|n| state.ops.len() >= n) {
            return Err(state.fails_with.unwrap_or(io::ErrorKind::Other).into());
        }
        let op = op(&state.now)?;
        state.now.apply(&op);
        state.ops.push(op);
        Ok(())
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut made = 0;
        self.act(|now| {
            made = now.inodes.len();
            Ok(Op::Create(name.to_owned(), made))
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), inode: made }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.lock().now.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.act(|now| {
            now.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            Ok(Op::Rename(from.to_owned(), to.to_owned()))
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.act(|now| {
            now.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(Op::Remove(name.to_owned()))
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().now.names())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.act(|_| Ok(Op::SyncDir))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.act(|_| Ok(Op::Append(self.inode, bytes.to_vec())))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.act(|_| Ok(Op::Sync(self.inode)))
    }

    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.lock();
        let content = &state.now.inodes[self.inode].current;
        let from = content.len().min(offset as usize);
        let n = buf.len().min(content.len() - from);
        buf[..n].copy_from_slice(&content[from..from + n]);
        Ok(n)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().now.inodes[self.inode].current.len() as u64)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.disk.act(|_| Ok(Op::Truncate(self.inode, len)))
    }
}
