//! A file that is there only once it is complete: written under another name beside its own, which it takes by a rename.
//!
//! What is named may be no place for that. A link is followed first, so that it stays and the file behind it is replaced.
//! A pipe, a terminal, `/dev/null` or a file that is open already (`/dev/stdout`) is written to as it is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

/// Links that are followed one after the other, as many as Linux follows.
const MOST_LINKS: usize = 40;
/// Folders whose entries stand for files that are open already.
const OPEN_FILES: [&str; 2] = ["/proc", "/dev/fd"];

/// A file under a temporary name, which goes when it is dropped before it was kept.
#[derive(Debug)]
pub struct Draft {
    /// As named.
    out: PathBuf,
    /// None where what is written goes straight to its place.
    renamed: Option<Renamed>,
}

#[derive(Debug)]
struct Renamed {
    temporary: PathBuf,
    target: PathBuf,
}

/// Where a file goes.
enum Place {
    /// To this path, by a rename.
    File(PathBuf),
    /// Straight into what is there.
    Stream,
}

impl Draft {
    /// Makes the file beside `out`, or opens `out` where it is a pipe, a device or a file that is open already.
    ///
    /// # Errors
    /// `NoPlace` when `out` is a folder or something else that nothing can be written to, `Io` when it cannot be made.
    pub fn create(out: &Path) -> Result<(Self, File), Error> {
        let failed = || Error::io("write", out);
        match place(out)? {
            Place::Stream => {
                // A file that is open already may have been begun by others.
                let file = OpenOptions::new().append(true).open(out).map_err(failed())?;
                Ok((Self { out: out.to_path_buf(), renamed: None }, file))
            }
            Place::File(target) => {
                let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let temporary = target.with_file_name(format!(".{name}.{}", std::process::id()));
                let file = File::create(&temporary).map_err(failed())?;
                let draft = Self { out: out.to_path_buf(), renamed: Some(Renamed { temporary, target }) };
                Ok((draft, file))
            }
        }
    }

    /// The same for a file that is not written from its beginning to its end.
    ///
    /// # Errors
    /// `NoPlace` also when `out` is a pipe, a device or a file that is open already.
    pub(super) fn create_file(out: &Path) -> Result<(Self, File), Error> {
        match place(out)? {
            Place::File(_) => Self::create(out),
            Place::Stream => {
                let reason = "it is no regular file, and this format is not written from beginning to end";
                Err(Error::NoPlace { path: out.to_path_buf(), reason })
            }
        }
    }

    /// Puts the file in its place, also where a power cut follows.
    ///
    /// # Errors
    /// `Io` when the disk refuses.
    pub fn keep(mut self, file: &File) -> Result<(), Error> {
        let Some(Renamed { temporary, target }) = &self.renamed else { return Ok(()) };
        let keep = || -> io::Result<()> {
            file.sync_all()?;
            fs::rename(temporary, target)
        };
        keep().map_err(Error::io("write", &self.out))?;
        self.renamed = None;
        Ok(())
    }

    pub(crate) fn failed(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io("write", &self.out)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(Renamed { temporary, .. }) = &self.renamed {
            // There is nothing else to do about a file that cannot be removed.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Follows links, and looks at what is there.
fn place(out: &Path) -> Result<Place, Error> {
    let mut target = out.to_path_buf();
    let mut links = 0;
    loop {
        if OPEN_FILES.iter().any(|folder| target.starts_with(folder)) {
            return Ok(Place::Stream);
        }
        let Ok(next) = fs::read_link(&target) else { break };
        links += 1;
        if links > MOST_LINKS {
            let reason = "its links lead in a circle";
            return Err(Error::NoPlace { path: out.to_path_buf(), reason });
        }
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    let kind = match fs::metadata(&target) {
        Ok(there) => there.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::File(target)),
        Err(error) => return Err(Error::io("write", out)(error)),
    };
    if kind.is_file() {
        return Ok(Place::File(target));
    }
    let refused = |reason| Err(Error::NoPlace { path: out.to_path_buf(), reason });
    if kind.is_dir() {
        return refused("it is a folder");
    }
    if is_stream(kind) { Ok(Place::Stream) } else { refused("it is neither a file nor a pipe") }
}

#[cfg(unix)]
fn is_stream(kind: fs::FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_fifo() || kind.is_char_device()
}

#[cfg(not(unix))]
fn is_stream(_: fs::FileType) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use std::thread;

    use super::*;

    fn write(out: &Path, content: &[u8]) -> Result<(), Error> {
        let (draft, mut file) = Draft::create(out)?;
        file.write_all(content).unwrap();
        draft.keep(&file)
    }

    #[test]
    fn a_link_stays_and_what_it_names_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/file"), "old").unwrap();
        // The second link leads through the first, and the third to what is not there yet.
        symlink("folder/file", at("one")).unwrap();
        symlink(at("one"), at("two")).unwrap();
        symlink("folder/new", at("three")).unwrap();
        for (link, file) in [("one", "folder/file"), ("two", "folder/file"), ("three", "folder/new")] {
            write(&at(link), link.as_bytes()).unwrap();
            assert!(at(link).is_symlink(), "{link}");
            assert_eq!(fs::read_to_string(at(file)).unwrap(), link);
        }
        assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 2);
    }

    #[test]
    fn a_pipe_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(Draft::create_file(&pipe), Err(Error::NoPlace { .. })));
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut read = String::new();
                File::open(pipe).unwrap().read_to_string(&mut read).map(|_| read).unwrap()
            }
        });
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(!pipe.is_file() && fs::read_dir(dir.path()).unwrap().count() == 1);
    }

    #[test]
    fn what_is_no_place_for_a_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        symlink("round", at("about")).unwrap();
        symlink("about", at("round")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, reason) in [("folder", "a folder"), ("round", "circle"), ("socket", "neither")] {
            let error = Draft::create(&at(name)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
    }
}
