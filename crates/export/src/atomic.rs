//! Writes a file so that it appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `write` on a temporary file beside `out`, syncs it, renames it to `out` and syncs the folder.
///
/// # Errors
/// The first error of the file system; the temporary file is removed, and what was at `out` stays.
pub(crate) fn replace(out: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let (folder, temporary) = beside(out)?;
    let leftover = Leftover(Some(temporary.clone()));
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
    write(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()?;
    drop(writer);
    fs::rename(&temporary, out)?;
    leftover.keep();
    File::open(folder)?.sync_all()
}

/// The folder of `out`, and a name in it that no other writer uses, in this process or another.
fn beside(out: &Path) -> io::Result<(PathBuf, PathBuf)> {
    static WRITERS: AtomicU64 = AtomicU64::new(0);
    let Some(name) = out.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.tmp", process::id(), WRITERS.fetch_add(1, Ordering::Relaxed)));
    Ok((folder.clone(), folder.join(hidden)))
}

/// Removes a temporary file unless it was renamed.
struct Leftover(Option<PathBuf>);

impl Leftover {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may not have been created, and a failure to remove it must not hide the first error.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("graph");
        fs::write(&out, "old").unwrap();
        replace(&out, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["graph"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("graph");
        fs::write(&out, "old").unwrap();
        let failed = replace(&out, |file| {
            file.write_all(b"ha")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&out).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["graph"]);
    }
}
