//! Snapshots: the files of one commit in a directory of their own, which nothing changes any more.
//!
//! A snapshot is an index that can be read but not written, with `snapshot.json` beside it that names every file by
//! length and hash. It is put together under another name and gets its own by a rename, when all of it is durable; so
//! does an index that is restored.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::blocks::{BlockFile, seal_text, unseal_text};
use crate::directory::{LEXICAL_FOLDER, META_FILE, OpenFiles};
use crate::disk::{Disk, parent_of};
use crate::lock::WriterLock;
use crate::manifest::{DENSE_FOLDER, FileEntry, Manifest};
use crate::reader::{meta_of, open_last};
use crate::weights::{self, WEIGHTS_FILE};
use crate::{Error, Snapshot, VerifyProblem, VerifyReport, beside, garbage, open, reader, verify};

/// What makes a directory a snapshot.
pub(crate) const SNAPSHOT_FILE: &str = "snapshot.json";
/// Version of what `snapshot.json` says.
const FORMAT: u32 = 1;
/// The same where weights are among the files.
const FORMAT_WITH_WEIGHTS: u32 = 2;

/// How files get from an index to a snapshot and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keeping {
    /// By a second name for the same bytes, which are never changed; by a copy where the file system has no such names,
    /// or the directories lie on two of them.
    #[default]
    Link,
    /// By a copy, so that a bad sector under one leaves the other.
    Copy,
}

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptSnapshot {
    /// Version of this list.
    pub format: u32,
    /// Seconds since 1970, by the clock of the machine that made it.
    pub created: u64,
    /// Number of the commit.
    pub generation: u64,
    /// Documents in it.
    pub documents: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// Its files, each by path, length and the BLAKE3 of its bytes.
    files: Vec<FileEntry>,
}

impl KeptSnapshot {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

/// The folder of a snapshot, and what its list says or what is wrong with the list.
pub type ListedSnapshot = (PathBuf, Result<KeptSnapshot, Error>);

/// Keeps the last commit of the index in `index` as a snapshot in the new directory `target`. A writer may go on
/// meanwhile. Every byte is verified, so that nothing damaged is kept.
///
/// # Errors
/// `PlaceTaken`, `Locked` when another process makes a snapshot there, `NotFound`, `Corrupted`, `UnknownFormat`, `Io`.
pub fn keep_snapshot(index: &Path, target: &Path, keeping: Keeping) -> Result<KeptSnapshot, Error> {
    keep_on(&Disk::default(), index, target, keeping)
}

pub(crate) fn keep_on(disk: &Disk, index: &Path, target: &Path, keeping: Keeping) -> Result<KeptSnapshot, Error> {
    let snapshot = open_last(index, &Arc::new(OpenFiles::default()))?;
    let draft = Draft::begin(disk, target)?;
    let mut files = place_commit(disk, &snapshot, index, &draft.folder, keeping, true)?;
    weights::check(index)?;
    match fs::read(index.join(WEIGHTS_FILE)) {
        Ok(bytes) => {
            disk.write_new(&draft.folder.join(WEIGHTS_FILE), &bytes)?;
            files.push(entry_of(Path::new(WEIGHTS_FILE), &bytes));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", &index.join(WEIGHTS_FILE), error)),
    }
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    // An older release refuses files that it does not know; it says why by the format.
    let format = if files.iter().any(|file| file.name == WEIGHTS_FILE) { FORMAT_WITH_WEIGHTS } else { FORMAT };
    let status = snapshot.status();
    let kept = KeptSnapshot {
        format,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        generation: status.generation,
        documents: status.documents,
        chunks: status.chunks,
        files,
    };
    let list = serde_json::to_vec_pretty(&kept).expect("a list of files is plain data");
    let sealed = seal_text(SNAPSHOT_FILE, &[&list[..], b"\n"].concat());
    disk.write_new(&draft.folder.join(SNAPSHOT_FILE), &sealed)?;
    draft.finish(&snapshot)?;
    Ok(kept)
}

/// Puts the files of a commit of `index` into `folder`, which has the two halves already; returns them by path. With
/// `check` each is read to its end, and named with the hash of its bytes. No directory is synced.
pub(crate) fn place_commit(
    disk: &Disk,
    snapshot: &Snapshot,
    index: &Path,
    folder: &Path,
    keeping: Keeping,
    check: bool,
) -> Result<Vec<FileEntry>, Error> {
    let mut files = Vec::new();
    for file in snapshot.block_files() {
        let inside = file.path().strip_prefix(index).unwrap_or(file.path());
        if check {
            file.verify()?;
            files.push(entry_of(inside, file.raw()));
        }
        keep_file(disk, file, &folder.join(inside), keeping)?;
    }
    let manifest_name = Manifest::file_name(snapshot.generation());
    let manifest = manifest_bytes(index, snapshot)?;
    let meta = seal_text(META_FILE, snapshot.meta());
    for (inside, bytes) in [(PathBuf::from(manifest_name), manifest), (Path::new(LEXICAL_FOLDER).join(META_FILE), meta)]
    {
        disk.write_new(&folder.join(&inside), &bytes)?;
        files.push(entry_of(&inside, &bytes));
    }
    for (file, text) in snapshot.texts().named(&snapshot.manifest().beside) {
        disk.write_new(&folder.join(&file.name), text.as_bytes())?;
        files.push(file.clone());
    }
    files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Makes the new index `index` out of the snapshot in `snapshot`, after verifying every byte of it. False when that very
/// commit is what `index` holds already: then nothing is done.
///
/// # Errors
/// `NoSnapshot`, `Corrupted`, `UnknownFormat`, `PlaceTaken` when something else is in `index`, `Locked`, `Io`.
pub fn restore_snapshot(snapshot: &Path, index: &Path, keeping: Keeping) -> Result<bool, Error> {
    restore_on(&Disk::default(), snapshot, index, keeping)
}

pub(crate) fn restore_on(disk: &Disk, from: &Path, index: &Path, keeping: Keeping) -> Result<bool, Error> {
    let kept = read_list(from)?;
    for file in &kept.files {
        check_file(from, file)?;
    }
    let snapshot = open_last(from, &Arc::new(OpenFiles::default()))?;
    if index.join(LEXICAL_FOLDER).join(META_FILE).exists() && meta_of(index)? == snapshot.meta() {
        return open_last(index, &Arc::new(OpenFiles::default())).map(|_| false);
    }
    let draft = Draft::begin(disk, index)?;
    for entry in &kept.files {
        let place = draft.folder.join(&entry.name);
        if entry.is_text() {
            disk.write_new(&place, &read(&from.join(&entry.name))?)?;
        } else {
            keep_file(disk, &BlockFile::open(&from.join(&entry.name))?, &place, keeping)?;
        }
        // The bytes that are there now, whichever way they came.
        check_file(&draft.folder, entry)?;
    }
    draft.finish(&snapshot)?;
    Ok(true)
}

/// Reads every byte of a snapshot; as [`verify`], with the files compared to `snapshot.json` too.
///
/// # Errors
/// `NoSnapshot`, `UnknownFormat`, `Io`. Damage is a problem in the report.
pub fn verify_snapshot(dir: &Path) -> Result<VerifyReport, Error> {
    let kept = match read_list(dir) {
        Err(Error::Corrupted { reason, .. }) => {
            let mut report = verify(dir)?;
            report.problems.push(VerifyProblem { file: SNAPSHOT_FILE.into(), reason });
            return Ok(report);
        }
        kept => kept?,
    };
    let mut report = verify(dir)?;
    for file in &kept.files {
        match check_file(dir, file) {
            Ok(()) => {}
            Err(Error::Corrupted { reason, .. }) => {
                let problem = VerifyProblem { file: PathBuf::from(&file.name), reason };
                if !report.problems.iter().any(|known| known.file == problem.file) {
                    report.problems.push(problem);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// The snapshots among the entries of `folder`, by name, or that in `folder` itself. Only their lists are read.
///
/// # Errors
/// `Io` when the folder cannot be listed.
pub fn list_snapshots(folder: &Path) -> Result<Vec<ListedSnapshot>, Error> {
    if folder.join(SNAPSHOT_FILE).exists() {
        return Ok(vec![(folder.to_path_buf(), read_list(folder))]);
    }
    let mut snapshots = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))? {
        let entry = entry.map_err(|error| Error::io("list", folder, error))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().join(SNAPSHOT_FILE).exists() {
            snapshots.push((entry.path(), read_list(&entry.path())));
        }
    }
    snapshots.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(snapshots)
}

/// Whether a directory is a snapshot.
pub fn is_snapshot(dir: &Path) -> bool {
    dir.join(SNAPSHOT_FILE).exists()
}

/// Refuses a directory that is a snapshot, to whoever wants to write.
///
/// # Errors
/// `IsSnapshot`.
pub fn refuse_snapshot(dir: &Path) -> Result<(), Error> {
    if is_snapshot(dir) { Err(Error::IsSnapshot { path: dir.to_path_buf() }) } else { Ok(()) }
}

fn read_list(dir: &Path) -> Result<KeptSnapshot, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = dir.join(SNAPSHOT_FILE);
    let sealed = match fs::read(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(Error::NoSnapshot { path: dir.to_path_buf() });
        }
        sealed => sealed.map_err(|error| Error::io("read", &path, error))?,
    };
    let list = unseal_text(&path, sealed)?;
    let wrong = |error: serde_json::Error| Error::corrupted(&path, format!("it cannot be understood: {error}"));
    let Format { format } = serde_json::from_slice(&list).map_err(wrong)?;
    if ![FORMAT, FORMAT_WITH_WEIGHTS].contains(&format) {
        let (found, supported) = (format.to_string(), format!("{FORMAT} to {FORMAT_WITH_WEIGHTS}"));
        return Err(Error::UnknownFormat { file: path, found, supported });
    }
    let kept: KeptSnapshot = serde_json::from_slice(&list).map_err(wrong)?;
    match kept.files.iter().find(|file| !file.is_ours()) {
        Some(file) => Err(Error::corrupted(&path, format!("it names '{}', which is no file of an index", file.name))),
        None => Ok(kept),
    }
}

impl FileEntry {
    /// Whether this path inside a snapshot is that of a file of an index.
    fn is_ours(&self) -> bool {
        let parts: Option<Vec<&str>> = Path::new(&self.name)
            .components()
            .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
            .collect();
        match parts.as_deref() {
            Some([name]) => garbage::is_manifest(name) || beside::is_file(name) || *name == WEIGHTS_FILE,
            Some([DENSE_FOLDER, name]) => garbage::is_dense_file(name),
            Some([LEXICAL_FOLDER, name]) => *name == META_FILE || garbage::is_engine_file(name),
            _ => false,
        }
    }

    /// Manifest, commit point and texts beside them, which are not in blocks.
    fn is_text(&self) -> bool {
        !self.name.contains('/') || self.name.ends_with(META_FILE)
    }
}

fn entry_of(inside: &Path, bytes: &[u8]) -> FileEntry {
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    FileEntry { name: parts.join("/"), bytes: bytes.len() as u64, hash: blake3::hash(bytes).to_hex().to_string() }
}

/// Reads a file of a snapshot to its end, and compares it with the list.
fn check_file(dir: &Path, entry: &FileEntry) -> Result<(), Error> {
    let path = dir.join(&entry.name);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::corrupted(&path, "the snapshot's list names it, but it is not there"),
        _ => Error::io("read", &path, error),
    };
    let file = File::open(&path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes != entry.bytes {
        return Err(Error::corrupted(&path, format!("it has {bytes} bytes, the snapshot's list says {}", entry.bytes)));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(failed)?;
    if hasher.finalize().to_hex().as_str() != entry.hash {
        return Err(Error::corrupted(&path, "its bytes do not match the hash in the snapshot's list"));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

/// The manifest as it was written; from memory where a newer commit has removed it. Opening the draft compares it with the
/// commit point.
fn manifest_bytes(index: &Path, snapshot: &Snapshot) -> Result<Vec<u8>, Error> {
    let path = index.join(Manifest::file_name(snapshot.generation()));
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(snapshot.manifest().serialized().0),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

/// Brings an open file to `place`: what is open, whatever its path leads to by now.
pub(crate) fn keep_file(disk: &Disk, file: &BlockFile, place: &Path, keeping: Keeping) -> Result<(), Error> {
    if keeping == Keeping::Link && disk.link(file.path(), place).is_ok() {
        if BlockFile::open(place).is_ok_and(|linked| linked.seal() == file.seal()) {
            return Ok(());
        }
        // A writer has given the name to another file since.
        disk.remove_if_there(place)?;
    }
    disk.write_new(place, file.raw())
}

/// A directory that is being put together beside its place, under a name that begins with a dot.
struct Draft<'a> {
    disk: &'a Disk,
    folder: PathBuf,
    target: PathBuf,
    /// Stays in the directory, as in every index.
    _lock: WriterLock,
}

impl<'a> Draft<'a> {
    /// Clears away what an interrupted attempt left there.
    fn begin(disk: &'a Disk, target: &Path) -> Result<Self, Error> {
        let taken = || Error::PlaceTaken { path: target.to_path_buf() };
        let above = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
        if let Some(index) = above.ancestors().skip(1).find(|folder| reader::exists(folder)) {
            return Err(Error::InsideIndex { path: target.to_path_buf(), index: index.to_path_buf() });
        }
        match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() != io::ErrorKind::NotADirectory => {
                return Err(Error::io("list", target, error));
            }
            _ => return Err(taken()),
        }
        let name = target.file_name().ok_or_else(taken)?.to_string_lossy();
        let parent = parent_of(target);
        let folder = parent.join(format!(".{name}.unfinished"));
        if !parent.is_dir() {
            open::create_levels(parent, disk)?;
        }
        disk.create_directory(&folder)?;
        let lock = WriterLock::take(&folder)?;
        garbage::clear(&folder, disk);
        for file in [SNAPSHOT_FILE, WEIGHTS_FILE] {
            disk.remove_if_there(&folder.join(file))?;
        }
        for half in [LEXICAL_FOLDER, DENSE_FOLDER] {
            disk.create_directory(&folder.join(half))?;
        }
        Ok(Self { disk, folder, target: target.to_path_buf(), _lock: lock })
    }

    /// Checks that the directory holds the very commit, makes it durable and gives it its name.
    fn finish(self, snapshot: &Snapshot) -> Result<(), Error> {
        let finished = open_last(&self.folder, &Arc::new(OpenFiles::default()))?;
        if finished.meta() != snapshot.meta() {
            return Err(Error::corrupted(&self.folder, "it is not the commit that was to be kept"));
        }
        for folder in [&self.folder.join(LEXICAL_FOLDER), &self.folder.join(DENSE_FOLDER), &self.folder] {
            self.disk.sync_directory(folder)?;
        }
        self.disk.rename(&self.folder, &self.target)?;
        self.disk.sync_name(&self.target)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::IndexWriter;
    use crate::crash_tests::{put, settings};
    use crate::disk::Step;

    /// A rename may reach the disk before anything else that was not synced.
    #[test]
    fn a_directory_gets_its_name_when_all_of_it_is_durable() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        let mut writer = IndexWriter::create_or_open(&at("index"), &settings()).unwrap();
        put(&mut writer, "a", "some text").unwrap();
        writer.finish().unwrap();
        for keeping in [Keeping::Link, Keeping::Copy] {
            let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
            let seen = Arc::clone(&steps);
            let disk = Disk::probed(move |step| {
                seen.lock().unwrap().push(step.clone());
                Ok(())
            });
            let (kept, restored) = (at(&format!("{keeping:?}")), at(&format!("restored {keeping:?}")));
            keep_on(&disk, &at("index"), &kept, keeping).unwrap();
            restore_on(&disk, &kept, &restored, keeping).unwrap();
            let steps = std::mem::take(&mut *steps.lock().unwrap());
            for place in [kept, restored] {
                let name = place.file_name().unwrap().to_str().unwrap();
                let draft = at(&format!(".{name}.unfinished"));
                let position = |wanted: &Step| steps.iter().rposition(|step| step == wanted);
                let renamed = position(&Step::Rename(draft.clone(), place.clone())).unwrap();
                assert_eq!(steps[renamed + 1], Step::SyncDirectory(base.path().to_path_buf()));
                for folder in ["", "lexical", "dense"].map(|folder| draft.join(folder)) {
                    let synced = position(&Step::SyncDirectory(folder.components().collect())).unwrap();
                    assert!(synced < renamed, "{steps:?}");
                    for (at, step) in steps.iter().enumerate() {
                        match step {
                            Step::Create(path) if path.parent() == Some(&folder) => {
                                let written = position(&Step::Sync(path.clone())).unwrap();
                                assert!(at < written && written < synced, "{step:?}");
                            }
                            Step::Link(_, path) if path.parent() == Some(&folder) => assert!(at < synced, "{step:?}"),
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}
