//! One writer at a time, by a lock that ends with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::Error;

/// File that is locked; it stays when the lock is gone.
pub(crate) const LOCK_FILE: &str = "writer.lock";

/// The right to write an index.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock of the index in `dir`.
    ///
    /// # Errors
    /// `Locked` when another writer has it, `Io` when the directory cannot be written.
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_path_buf() }),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }
}
