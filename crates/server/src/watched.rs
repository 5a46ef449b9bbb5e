//! Files that are read again when they change.

use std::fmt::Display;
use std::fs;
use std::mem;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Files that belong together, and what became of them the last time.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// When each was changed, as it was read; nothing after a failure.
    modified: Vec<Option<SystemTime>>,
    /// What was wrong.
    wrong: Option<String>,
}

impl Watched {
    /// Files that are about to be read for the first time.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let last = Mutex::new(Last { modified: modified(&paths), wrong: None });
        Self { paths, last }
    }

    /// What `read` gives, if a file has changed since, or in any case where that is `asked` for. The same failure is said once
    /// unless asked, and what failed is tried again each time: files may become readable without being changed.
    pub(crate) fn reload<T, E: Display>(
        &self,
        asked: bool,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = modified(&self.paths);
        if !asked && now == last.modified {
            return Ok(None);
        }
        let result = read();
        let wrong = result.as_ref().err().map(ToString::to_string);
        last.modified = if wrong.is_none() { now } else { Vec::new() };
        let said = mem::replace(&mut last.wrong, wrong);
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if !asked && last.wrong == said => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn modified(paths: &[PathBuf]) -> Vec<Option<SystemTime>> {
    paths.iter().map(|path| fs::metadata(path).and_then(|file| file.modified()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn files_are_read_when_they_change_or_failed_or_are_asked_for_and_a_failure_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, "one").unwrap();
        let watched = Watched::new([path.clone()]);
        let reload = |asked| watched.reload(asked, || fs::read_to_string(&path).map_err(|error| error.to_string()));

        assert_eq!(reload(false), Ok(None));
        assert_eq!(reload(true), Ok(Some("one".to_owned())));
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(reload(false), Ok(Some("two".to_owned())));
        assert_eq!(reload(false), Ok(None));
        fs::rename(&path, folder.path().join("away")).unwrap();
        assert!(reload(false).is_err());
        assert_eq!(reload(false), Ok(None));
        assert!(reload(true).is_err());
        // As it was, with the time that it had.
        fs::rename(folder.path().join("away"), &path).unwrap();
        assert_eq!(reload(false), Ok(Some("two".to_owned())));
        assert_eq!(reload(false), Ok(None));
        fs::remove_file(&path).unwrap();
        assert!(reload(false).is_err());
    }
}
