//! What the lexical engine sees as its directory: files in checksummed blocks, and a `meta.json` whose rename is the
//! commit of the whole index.
//!
//! A reader's directory is pinned to one `meta.json`, so that the engine cannot slip to a later commit while it opens
//! the files of this one. The engine's own list of files (`.managed.json`) is not kept: the listing of the directory is
//! that list. Its lock files are not made: the writer's lock stands for them, and readers need none because they
//! recover when a file vanishes under them.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::{Directory, HasLen, TantivyError};

use crate::Error;
use crate::blocks::{BlockFile, BlockWriter, seal_text, through_io, unseal_text};
use crate::disk::Disk;
use crate::error::Fault;
use crate::garbage::is_engine_file;
use crate::lock::WriterLock;

/// Folder of the lexical half inside an index.
pub(crate) const LEXICAL_FOLDER: &str = "lexical";
/// The commit point, inside that folder.
pub(crate) const META_FILE: &str = "meta.json";
const MANAGED_FILE: &str = ".managed.json";

/// Files that are mapped, so that blocks stay verified from one commit to the next.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<HashMap<PathBuf, Weak<BlockFile>>>);

impl OpenFiles {
    /// The file under this path, mapped at most once.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<BlockFile>, Error> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(path).and_then(Weak::upgrade) {
            return Ok(file);
        }
        files.retain(|_, file| file.strong_count() > 0);
        let file = Arc::new(BlockFile::open(path)?);
        files.insert(path.to_path_buf(), Arc::downgrade(&file));
        Ok(file)
    }

    pub(crate) fn forget(&self, path: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

/// The first thing that went wrong with a file since the last commit. The engine turns some errors into mere text, or
/// loses them in a thread.
#[derive(Debug, Default)]
pub(crate) struct FirstFault(Mutex<Option<Fault>>);

impl FirstFault {
    fn keep(&self, error: &io::Error) {
        if let Some(fault) = Fault::in_io(error) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| fault.clone());
        }
    }

    /// Forgets the fault: a commit has succeeded since, so that it explains nothing that follows.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What the engine's error means: the fault behind it, if there was one. It explains one error only.
    pub(crate) fn explain(&self, error: TantivyError) -> Error {
        match Error::from(error) {
            Error::Lexical(error) => {
                let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
                fault.map_or(Error::Lexical(error), |fault| fault.to_error())
            }
            error => error,
        }
    }
}

/// The engine's directory.
#[derive(Clone)]
pub(crate) struct LexicalDirectory {
    root: PathBuf,
    files: Arc<OpenFiles>,
    role: Role,
}

#[derive(Clone)]
enum Role {
    Reader { meta: Arc<Vec<u8>> },
    Writer(Arc<WriterSide>),
}

struct WriterSide {
    disk: Disk,
    /// Held by whoever can still write, threads of the engine included.
    _lock: Arc<WriterLock>,
    /// Why nothing more is published: `meta.json` could not be replaced, or the directory not be synced before it. The
    /// engine counts the segments of a commit as committed by then, and would otherwise publish them with its next
    /// merge, under the payload of the commit before.
    frozen: Mutex<Option<Fault>>,
    fault: Arc<FirstFault>,
}

impl WriterSide {
    fn keep<T>(&self, result: Result<T, Error>) -> io::Result<T> {
        result.map_err(through_io).inspect_err(|error| self.fault.keep(error))
    }

    /// As [`keep`](Self::keep); after an error nothing more is published.
    fn keep_or_freeze(&self, result: Result<(), Error>) -> io::Result<()> {
        self.keep(result).inspect_err(|error| {
            let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
            if frozen.is_none() {
                *frozen = Fault::in_io(error).cloned();
            }
        })
    }
}

impl LexicalDirectory {
    /// A directory that shows the commit whose `meta.json` is given.
    pub(crate) fn pinned(index: &Path, files: Arc<OpenFiles>, meta: Arc<Vec<u8>>) -> Self {
        Self { root: index.join(LEXICAL_FOLDER), files, role: Role::Reader { meta } }
    }

    /// A directory that may be written for as long as the lock is held.
    pub(crate) fn writable(index: &Path, disk: Disk, lock: Arc<WriterLock>) -> Self {
        let side = WriterSide { disk, _lock: lock, frozen: Mutex::default(), fault: Arc::default() };
        Self { root: index.join(LEXICAL_FOLDER), files: Arc::default(), role: Role::Writer(Arc::new(side)) }
    }

    /// The files that are mapped through this directory.
    pub(crate) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    /// Where the first fault of this directory is kept.
    pub(crate) fn first_fault(&self) -> Arc<FirstFault> {
        match &self.role {
            Role::Writer(side) => Arc::clone(&side.fault),
            Role::Reader { .. } => Arc::default(),
        }
    }

    fn writer(&self) -> io::Result<&WriterSide> {
        match &self.role {
            Role::Writer(side) => Ok(side),
            Role::Reader { .. } => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)),
        }
    }

    /// The files of segments, as the JSON list that the engine expects: it removes those that it does not need.
    fn list_files(&self) -> io::Result<Vec<u8>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            if let Ok(name) = entry?.file_name().into_string()
                && is_engine_file(&name)
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(serde_json::to_vec(&names)?)
    }
}

/// Reads and unseals the commit point of the index in `dir`; `None` when there is none.
///
/// # Errors
/// `Corrupted`, `Io`.
pub(crate) fn read_meta(dir: &Path) -> Result<Option<Vec<u8>>, Error> {
    let path = dir.join(LEXICAL_FOLDER).join(META_FILE);
    match fs::read(&path) {
        Ok(sealed) => unseal_text(&path, sealed).map(Some),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

impl fmt::Debug for LexicalDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LexicalDirectory({})", self.root.display())
    }
}

impl Directory for LexicalDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let path = self.root.join(path);
        match self.files.open(&path) {
            Ok(file) => Ok(Arc::new(Handle(file))),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(OpenReadError::FileDoesNotExist(path))
            }
            Err(error) => Err(OpenReadError::wrap_io_error(through_io(error), path)),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        let path = self.root.join(path);
        let failed = |error| DeleteError::IoError { io_error: Arc::new(error), filepath: path.clone() };
        let side = self.writer().map_err(failed)?;
        self.files.forget(&path);
        side.disk.remove_if_there(&path).map_err(|error| failed(through_io(error)))
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        if let (Role::Reader { .. }, true) = (&self.role, path == Path::new(META_FILE)) {
            return Ok(true);
        }
        let path = self.root.join(path);
        path.try_exists().map_err(|error| OpenReadError::wrap_io_error(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let path = self.root.join(path);
        let failed = |error| OpenWriteError::wrap_io_error(error, path.clone());
        let side = self.writer().map_err(failed)?;
        self.files.forget(&path);
        let created = side.keep(BlockWriter::create(&side.disk, &path));
        let file = EngineFile { writer: Some(created.map_err(failed)?), fault: Arc::clone(&side.fault) };
        Ok(BufWriter::new(Box::new(file)))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let full = self.root.join(path);
        match (&self.role, path.to_str()) {
            (Role::Reader { meta }, Some(META_FILE)) => Ok(meta.as_ref().clone()),
            (Role::Writer(_), Some(MANAGED_FILE)) => {
                self.list_files().map_err(|error| OpenReadError::wrap_io_error(error, full))
            }
            (Role::Reader { .. }, Some(MANAGED_FILE)) => Err(OpenReadError::FileDoesNotExist(full)),
            _ => match fs::read(&full) {
                Ok(sealed) => unseal_text(&full, sealed)
                    .map_err(|error| OpenReadError::wrap_io_error(through_io(error), full.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenReadError::FileDoesNotExist(full)),
                Err(error) => Err(OpenReadError::wrap_io_error(error, full)),
            },
        }
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let side = self.writer()?;
        if path == Path::new(MANAGED_FILE) {
            return Ok(());
        }
        if let Some(fault) = &*side.frozen.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(fault.clone().into_io());
        }
        let name = path.to_string_lossy();
        side.keep_or_freeze(side.disk.replace(&self.root.join(path), &seal_text(&name, data)))
    }

    fn sync_directory(&self) -> io::Result<()> {
        let side = self.writer()?;
        side.keep_or_freeze(side.disk.sync_directory(&self.root))
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    /// Readers ask for new commits themselves.
    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

/// A mapped file, as the engine wants it.
#[derive(Debug)]
struct Handle(Arc<BlockFile>);

impl HasLen for Handle {
    fn len(&self) -> usize {
        self.0.payload_bytes()
    }
}

impl FileHandle for Handle {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        self.0.read_owned(range).map_err(through_io)
    }
}

/// A file that the engine is writing; without a writer once it is finished.
struct EngineFile {
    writer: Option<BlockWriter>,
    fault: Arc<FirstFault>,
}

impl Write for EngineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Some(writer) => writer.write(bytes).inspect_err(|error| self.fault.keep(error)),
            None => Err(io::Error::other("the file is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for EngineFile {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        match self.writer.take() {
            Some(writer) => writer.finish().map(drop).map_err(through_io).inspect_err(|error| self.fault.keep(error)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tantivy::directory::{INDEX_WRITER_LOCK, META_LOCK};

    use super::*;

    #[test]
    fn a_readers_directory_locks_without_writing_and_refuses_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        let directory = LexicalDirectory::pinned(&absent, Arc::default(), Arc::new(b"{}".to_vec()));
        for lock in [&META_LOCK, &INDEX_WRITER_LOCK] {
            assert!(directory.acquire_lock(lock).is_ok());
        }
        assert_eq!(directory.atomic_read(Path::new(META_FILE)).unwrap(), b"{}");
        assert!(directory.exists(Path::new(META_FILE)).unwrap());
        assert!(directory.open_write(Path::new("a.idx")).is_err());
        assert!(directory.atomic_write(Path::new(META_FILE), b"").is_err());
        assert!(directory.delete(Path::new("a.idx")).is_err());
        assert!(directory.sync_directory().is_err());
        assert!(!absent.exists());
    }

    /// A directory whose disk fails for as long as the flag is set.
    fn failing(dir: &Path) -> (LexicalDirectory, Arc<AtomicBool>) {
        std::fs::create_dir(dir.join(LEXICAL_FOLDER)).unwrap();
        let lock = Arc::new(WriterLock::take(dir).unwrap());
        let fail = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fail);
        let probe = move |_: &crate::disk::Step| {
            if failing.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        };
        (LexicalDirectory::writable(dir, Disk::probed(probe), lock), fail)
    }

    #[test]
    fn after_a_commit_point_that_failed_no_other_is_published() {
        let failures: [fn(&LexicalDirectory) -> io::Result<()>; 2] =
            [|directory| directory.atomic_write(Path::new(META_FILE), b"new"), |directory| directory.sync_directory()];
        for failure in failures {
            let dir = tempfile::tempdir().unwrap();
            let (directory, fail) = failing(dir.path());
            directory.atomic_write(Path::new(META_FILE), b"old").unwrap();
            fail.store(true, Ordering::SeqCst);
            failure(&directory).unwrap_err();
            fail.store(false, Ordering::SeqCst);
            let error = directory.atomic_write(Path::new(META_FILE), b"newer").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "it says what went wrong first");
            assert_eq!(read_meta(dir.path()).unwrap().unwrap(), b"old");
        }
    }

    #[test]
    fn a_fault_explains_one_error_and_none_after_a_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (directory, fail) = failing(dir.path());
        let fault = directory.first_fault();
        let explained = || fault.explain(TantivyError::SystemError("a thread died".to_owned()));
        fail.store(true, Ordering::SeqCst);
        let open_and_fail = || drop(directory.open_write(Path::new("a.idx")).map(drop).unwrap_err());
        open_and_fail();
        assert!(matches!(explained(), Error::Io { .. }));
        assert!(matches!(explained(), Error::Lexical(_)));
        open_and_fail();
        fault.forget();
        assert!(matches!(explained(), Error::Lexical(_)));
    }
}
