//! Objects in a folder of this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;

use crate::{Area, ObjectError};

/// A started object that nothing was written to for so long has no writer any more: a client that sends nothing is cut off
/// after minutes. Younger ones may belong to another process on the same folder.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// Opens the folder `root`, making it if it is not there, and sweeps what writers that died left half written.
pub(super) async fn open(root: PathBuf) -> Result<LocalFileSystem, ObjectError> {
    let wrap = |path: PathBuf| move |source| ObjectError::Folder { path, source };
    let prepared = {
        let root = root.clone();
        tokio::task::spawn_blocking(move || prepare(&root))
    };
    let real = prepared.await.map_err(|error| wrap(root.clone())(io::Error::other(error)))?;
    let Some(real) = real.map_err(wrap(root.clone()))? else {
        return Err(ObjectError::RootFolder { path: root });
    };
    // Flushed before it is moved to its place, and the folder after: a row that names the object is written later, and
    // must not outlive it in a loss of power.
    Ok(LocalFileSystem::new_with_prefix(&real).map_err(ObjectError::Disk)?.with_fsync(true))
}

/// Makes `root` and sees that it can be written to; `None` if it is the file system's root. Sweeps it.
fn prepare(root: &Path) -> io::Result<Option<PathBuf>> {
    std::fs::create_dir_all(root)?;
    let real = root.canonicalize()?;
    if real.parent().is_none() {
        return Ok(None);
    }
    // Permission bits do not tell: the file system may be mounted read-only.
    drop(tempfile::NamedTempFile::new_in(&real)?);
    for area in Area::ALL {
        let area = real.join(area.as_str());
        std::fs::create_dir_all(&area)?;
        for folder in std::fs::read_dir(&area)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                sweep(&folder.path())?;
            }
        }
    }
    Ok(Some(real))
}

/// Removes the half-written objects of `folder` that nobody writes any more. The library names them `object#number`.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().contains('#') {
            continue;
        }
        let age =
            entry.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
        match age {
            Ok(Ok(age)) if age >= ABANDONED_AFTER => match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => tracing::info!("removed a half-written object that its writer abandoned"),
            },
            // Young, from the future, or gone since: published or removed by its writer.
            _ => {}
        }
    }
    Ok(())
}
