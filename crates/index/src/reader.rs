//! Opens an index for reading, and follows its commits.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::directory::{LEXICAL_FOLDER, META_FILE, OpenFiles, read_meta};
use crate::manifest::missing_is_corrupted;
use crate::open::any_manifest;
use crate::{Error, Snapshot};

/// How often opening starts anew because a commit replaced the one that was being opened.
const MOST_ATTEMPTS: usize = 100;

/// A reader of an index. Any number may exist beside the writer, in any process; none of them writes to the disk.
#[derive(Debug)]
pub struct IndexReader {
    dir: PathBuf,
    files: Arc<OpenFiles>,
    snapshot: RwLock<Arc<Snapshot>>,
    refreshing: Mutex<()>,
}

/// Whether there is an index in this directory, sound or damaged.
pub fn exists(dir: &Path) -> bool {
    dir.join(LEXICAL_FOLDER).join(META_FILE).exists() || matches!(any_manifest(dir), Ok(Some(_)))
}

impl IndexReader {
    /// Opens the last commit of the index in `dir`.
    ///
    /// # Errors
    /// `NotFound`, `UnknownFormat`, `Corrupted`, `Io`.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let files = Arc::new(OpenFiles::default());
        let snapshot = open_last(dir, &files)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            files,
            snapshot: RwLock::new(Arc::new(snapshot)),
            refreshing: Mutex::new(()),
        })
    }

    /// The commit that was last opened. It stays as it is for as long as it is held.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the last commit if another one, or another arrangement of its segments, is on the disk; says whether.
    ///
    /// # Errors
    /// As [`open`](Self::open); the snapshot stays as it was.
    pub fn refresh(&self) -> Result<bool, Error> {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if meta_of(&self.dir)? == self.snapshot().meta() {
            return Ok(false);
        }
        let newer = Arc::new(open_last(&self.dir, &self.files)?);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(true)
    }
}

/// Opens the last commit. Where a writer removes files of a commit that is being opened, the newer one is opened.
pub(crate) fn open_last(dir: &Path, files: &Arc<OpenFiles>) -> Result<Snapshot, Error> {
    let mut meta = meta_of(dir)?;
    for _ in 1..MOST_ATTEMPTS {
        let error = match Snapshot::open(dir, files, Arc::new(meta.clone())) {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) => error,
        };
        let newer = meta_of(dir)?;
        if newer == meta {
            return Err(missing_is_corrupted(error));
        }
        meta = newer;
    }
    Snapshot::open(dir, files, Arc::new(meta))
}

/// The unsealed bytes of the commit point.
pub(crate) fn meta_of(dir: &Path) -> Result<Vec<u8>, Error> {
    if let Some(meta) = read_meta(dir)? {
        return Ok(meta);
    }
    match any_manifest(dir)? {
        None if dir.is_file() || dir.ancestors().skip(1).any(Path::is_file) => Err(Error::is_a_file(dir)),
        None => Err(Error::NotFound { path: dir.to_path_buf() }),
        Some(manifest) => {
            let reason = format!("it is not there, yet {manifest} is");
            Err(Error::corrupted(&dir.join(LEXICAL_FOLDER).join(META_FILE), reason))
        }
    }
}
