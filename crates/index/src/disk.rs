//! The only door through which an index changes the disk, so that order and durability are decided in one place and
//! tests can stop the world, or fail, at every step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::Fault;

/// Hands out files to write, and renames, removes and syncs.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) probe: Option<Probe>,
    /// Every write takes about half of what it is given, as a system may.
    #[cfg(test)]
    pub(crate) short_writes: bool,
}

/// Sees every step before it is taken, and may forbid it.
#[cfg(test)]
pub(crate) type Probe = std::sync::Arc<dyn Fn(&Step) -> io::Result<()> + Send + Sync>;

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

/// A change that is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    CreateDirectory(PathBuf),
    Create(PathBuf),
    Write(PathBuf, usize),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
}

#[cfg(test)]
impl Disk {
    /// A disk whose every step the probe sees first.
    pub(crate) fn probed(probe: impl Fn(&Step) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { probe: Some(std::sync::Arc::new(probe)), ..Self::default() }
    }
}

impl Disk {
    #[cfg(test)]
    fn before(&self, step: &Step) -> io::Result<()> {
        self.probe.as_ref().map_or(Ok(()), |probe| probe(step))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the tests' probe stops or fails here")]
    fn before(&self, _step: &Step) -> io::Result<()> {
        Ok(())
    }

    /// Creates a directory whose parent exists; does nothing when it is there.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), Error> {
        if path.is_dir() {
            return Ok(());
        }
        self.before(&Step::CreateDirectory(path.to_path_buf()))
            .and_then(|()| fs::create_dir(path))
            .map_err(|error| Error::io("create", path, error))
    }

    /// Creates a file that must not exist.
    pub(crate) fn create(&self, path: &Path) -> Result<DiskFile, Error> {
        let file = self
            .before(&Step::Create(path.to_path_buf()))
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(path))
            .map_err(|error| Error::io("create", path, error))?;
        Ok(DiskFile { file, path: path.to_path_buf(), disk: self.clone() })
    }

    /// Creates a file, writes it and brings it to the disk. The directory's entry is not synced.
    pub(crate) fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.create(path)?;
        file.write_all(bytes).map_err(|error| Error::io("write", path, error))?;
        file.sync()
    }

    /// Replaces a file by a rename and syncs its directory: after a crash it holds the old bytes or the new.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        self.remove_if_there(&temporary)?;
        self.write_new(&temporary, bytes)?;
        self.rename(&temporary, path)?;
        self.sync_directory(parent_of(path))
    }

    /// Gives a file or directory another name, in the place of what has it. The names are not synced.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.before(&Step::Rename(from.to_path_buf(), to.to_path_buf()))
            .and_then(|()| fs::rename(from, to))
            .map_err(|error| Error::io("replace", to, error))
    }

    /// Gives a file a second name, which must be free.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.before(&Step::Link(from.to_path_buf(), to.to_path_buf()))
            .and_then(|()| fs::hard_link(from, to))
            .map_err(|error| Error::io("link", to, error))
    }

    /// Removes a file; a file that is not there is fine.
    pub(crate) fn remove_if_there(&self, path: &Path) -> Result<(), Error> {
        match self.before(&Step::Remove(path.to_path_buf())).and_then(|()| fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Removes a directory with all that is in it, as far as that can be removed; one that is not there is fine.
    pub(crate) fn remove_tree(&self, path: &Path) {
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.remove_tree(&entry.path());
            } else {
                let _ = self.remove_if_there(&entry.path());
            }
        }
        let _ = self.before(&Step::Remove(path.to_path_buf())).and_then(|()| fs::remove_dir(path));
    }

    /// Makes created, renamed and removed entries of a directory durable.
    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), Error> {
        self.before(&Step::SyncDirectory(path.to_path_buf()))
            .and_then(|()| sync_entries(path))
            .map_err(|error| Error::io("sync", path, error))
    }

    /// Makes the name of a file or directory durable.
    ///
    /// Where the directory above may not be read, it is whoever made the name that has to answer for it.
    pub(crate) fn sync_name(&self, path: &Path) -> Result<(), Error> {
        match self.sync_directory(parent_of(path)) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }
}

/// The directory that a name stands in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn sync_entries(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Other systems have no such call; their file systems journal directory entries themselves.
#[cfg(not(unix))]
fn sync_entries(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A file that is being written. Its errors carry its path.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings all bytes to the disk and closes the file.
    pub(crate) fn sync(self) -> Result<(), Error> {
        self.disk
            .before(&Step::Sync(self.path.clone()))
            .and_then(|()| self.file.sync_all())
            .map_err(|error| Error::io("sync", &self.path, error))
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = if self.disk.short_writes { &bytes[..bytes.len().div_ceil(2)] } else { bytes };
        self.disk
            .before(&Step::Write(self.path.clone(), bytes.len()))
            .and_then(|()| self.file.write(bytes))
            .map_err(|error| Fault::from_error(Error::io("write", &self.path, error)).into_io())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
