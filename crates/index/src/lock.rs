//! One writer at a time, by a lock that ends with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// File that is locked; it stays when the lock is gone.
pub(crate) const LOCK_FILE: &str = "writer.lock";

/// The right to write an index.
#[derive(Debug)]
pub(crate) struct WriterLock {
    file: File,
    freed: Arc<AtomicBool>,
}

impl WriterLock {
    /// Takes the lock of the index in `dir`.
    ///
    /// # Errors
    /// `Locked` when another writer has it, `NoLocks` where the file system has none, `Io` when the directory cannot be
    /// written.
    pub(crate) fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Error::io("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, freed: Arc::default() }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_path_buf() }),
            Err(TryLockError::Error(error)) => Err(refused(dir, &path, error)),
        }
    }

    /// True once the lock can be taken again. The last owner going is not enough: it frees the lock after that.
    pub(crate) fn freed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.freed)
    }
}

impl Drop for WriterLock {
    /// Closing would not free it while a process that was just forked has the file too, until it becomes another program.
    fn drop(&mut self) {
        // Where it fails, the lock ends with the last such file.
        let _ = self.file.unlock();
        self.freed.store(true, Ordering::Release);
    }
}

/// Network file systems without a lock service, and some in user space, know no locks.
fn refused(dir: &Path, path: &Path, error: io::Error) -> Error {
    /// No locks available, as Linux, macOS and the BSDs number it.
    #[cfg(target_os = "linux")]
    const NO_LOCKS: i32 = 37;
    #[cfg(not(target_os = "linux"))]
    const NO_LOCKS: i32 = 77;
    if error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(NO_LOCKS) {
        return Error::NoLocks { path: dir.to_path_buf(), cause: error.to_string() };
    }
    Error::io("lock", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_without_locks_is_named_as_such() {
        // ENOLCK, ENOSYS and EOPNOTSUPP.
        for number in [37, 38, 95] {
            let error =
                refused(Path::new("index"), Path::new("index/writer.lock"), io::Error::from_raw_os_error(number));
            assert!(matches!(error, Error::NoLocks { .. }), "{number}: {error}");
            assert!(error.to_string().starts_with("index "), "{error}");
        }
        let other = refused(Path::new("index"), Path::new("index/writer.lock"), io::Error::from_raw_os_error(5));
        assert!(matches!(other, Error::Io { action: "lock", .. }), "{other}");
    }

    #[test]
    fn one_lock_at_a_time_and_another_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = WriterLock::take(dir.path()).unwrap();
        assert!(matches!(WriterLock::take(dir.path()), Err(Error::Locked { .. })));
        drop(first);
        assert!(WriterLock::take(dir.path()).is_ok());
    }

    #[test]
    fn a_forked_process_that_has_the_file_still_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let first = WriterLock::take(dir.path()).unwrap();
        let inherited = first.file.try_clone().unwrap();
        let freed = first.freed();
        assert!(!freed.load(Ordering::Acquire));
        drop(first);
        assert!(freed.load(Ordering::Acquire));
        assert!(WriterLock::take(dir.path()).is_ok());
        drop(inherited);
    }
}
