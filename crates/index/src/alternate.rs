//! Alternates: whole indexes of the same documents by another model, in folders inside an index.
//!
//! The *next* one is built there while the index serves; the *former* one is what an exchange took the place of. An
//! exchange makes the commit of an alternate the next commit of the index, by the one rename that every commit is made by,
//! so that readers and a stopped machine see the one or the other. `docs/format.md` has the steps.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blocks::{seal_text, unseal_text};
use crate::directory::{LEXICAL_FOLDER, META_FILE, OpenFiles, read_meta};
use crate::disk::Disk;
use crate::kept::{Keeping, keep_file, place_commit};
use crate::lock::WriterLock;
use crate::manifest::{DENSE_FOLDER, Manifest};
use crate::reader::open_last;
use crate::{Error, Snapshot, garbage, kept, open, reader};

/// Present while an exchange is under way.
pub(crate) const EXCHANGE_FILE: &str = "exchange.json";
/// Version of what it says.
const FORMAT: u32 = 1;
/// Where the commit that leaves is put together.
pub(crate) const LEAVING_FOLDER: &str = ".leaving";
/// What an alternate is called while it is being removed.
const DROPPED_FOLDER: &str = ".dropped";
/// Numbers of dense segments that an alternate has for itself. A file's name is in its hash, so that it keeps its name when
/// it changes its folder.
const SEGMENT_NUMBERS: u64 = 1_000_000;

/// An index inside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alternate {
    /// Is to take the place of the index.
    Next,
    /// Had its place before the last exchange.
    Former,
}

impl Alternate {
    /// The folder inside `index`.
    pub fn path(self, index: &Path) -> PathBuf {
        index.join(self.as_str())
    }

    /// Its name, and that of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Former => "former",
        }
    }

    /// What the index becomes when this one takes its place.
    fn other(self) -> Self {
        match self {
            Self::Next => Self::Former,
            Self::Former => Self::Next,
        }
    }
}

/// What an exchange is about to do, in a file until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    format: u32,
    /// Number of the commit that the exchange makes. No other commit has it while the plan is there: whoever opens the index
    /// for writing settles the plan first.
    generation: u64,
    adopts: Alternate,
}

impl Plan {
    fn read(index: &Path) -> Result<Option<Self>, Error> {
        let path = index.join(EXCHANGE_FILE);
        let sealed = match fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let plan: Self = serde_json::from_slice(&unseal_text(&path, sealed)?)
            .map_err(|error| Error::corrupted(&path, format!("it cannot be understood: {error}")))?;
        if plan.format != FORMAT {
            let (found, supported) = (plan.format.to_string(), FORMAT.to_string());
            return Err(Error::UnknownFormat { file: path, found, supported });
        }
        Ok(Some(plan))
    }

    /// Whether the commit was made.
    fn is_done(&self, index: &Path) -> Result<bool, Error> {
        let Some(meta) = read_meta(index)? else { return Ok(false) };
        let manifest = Manifest::of_commit(index, &meta)?;
        Ok(manifest.is_some_and(|manifest| manifest.generation >= self.generation))
    }
}

/// Looks whether the plan of an exchange, if there is one, is as it was written.
pub(crate) fn check(index: &Path) -> Result<(), Error> {
    Plan::read(index).map(|_| ())
}

/// Where an alternate of `index` is; none when there is none, or nothing was committed to it yet.
///
/// # Errors
/// `Corrupted`, `Io`.
pub fn find_alternate(index: &Path, which: Alternate) -> Result<Option<PathBuf>, Error> {
    let mut place = which.path(index);
    // An exchange that was interrupted behind its commit.
    if let Some(plan) = Plan::read(index)?
        && plan.is_done(index)?
    {
        let leaving = index.join(LEAVING_FOLDER);
        if plan.adopts == which {
            return Ok(None);
        }
        if leaving.is_dir() {
            place = leaving;
        }
    }
    Ok(reader::exists(&place).then_some(place))
}

/// Whether an exchange was begun and not settled: nobody has written since.
pub fn is_exchanging(index: &Path) -> bool {
    index.join(EXCHANGE_FILE).exists()
}

/// The first number for dense segments of a next index. Every exchange raises the number of the commit, so that no files of
/// two alternates ever have one name.
pub fn first_segment_of_next(current: &Snapshot) -> u64 {
    (current.generation() + 1).saturating_mul(SEGMENT_NUMBERS)
}

/// Removes an alternate; false when there is none.
///
/// # Errors
/// `Locked` while the index or the alternate is being written; `NotFound` when there is no index; `IsSnapshot`, `NotAnIndex`
/// when its folder holds something else; `Corrupted`, `Io`.
pub fn drop_alternate(index: &Path, which: Alternate) -> Result<bool, Error> {
    let exchange = Exchange::begin(index)?;
    let (folder, dropped) = (which.path(index), index.join(DROPPED_FOLDER));
    if !folder.is_dir() {
        return Ok(false);
    }
    kept::refuse_snapshot(&folder)?;
    if !garbage::is_ours(&folder)? {
        return Err(Error::holds_something_else(&folder));
    }
    let _lock = WriterLock::take(&folder)?;
    set_aside(index, &folder, &exchange.disk)?;
    exchange.disk.remove_tree(&dropped);
    Ok(true)
}

/// The right to put an alternate in the place of an index. Nobody writes the index while this is there.
#[derive(Debug)]
pub struct Exchange {
    dir: PathBuf,
    disk: Disk,
    current: Arc<Snapshot>,
    _lock: WriterLock,
}

impl Exchange {
    /// Takes the lock of the index, and settles what an interrupted exchange left.
    ///
    /// # Errors
    /// `NotFound`, `IsSnapshot`, `Locked` while the index is being written, `Corrupted`, `Io`.
    pub fn begin(index: &Path) -> Result<Self, Error> {
        Self::on_disk(index, Disk::default())
    }

    pub(crate) fn on_disk(index: &Path, disk: Disk) -> Result<Self, Error> {
        kept::refuse_snapshot(index)?;
        if !reader::exists(index) {
            return Err(Error::NotFound { path: index.to_path_buf() });
        }
        let lock = WriterLock::take(index)?;
        settle(index, &disk)?;
        let current = Arc::new(open_last(index, &Arc::new(OpenFiles::default()))?);
        Ok(Self { dir: index.to_path_buf(), disk, current, _lock: lock })
    }

    /// The commit that is to be replaced.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.current
    }

    /// Puts the last commit of an alternate in the place of the index's, which becomes the other alternate. Returns the
    /// number of the commit.
    ///
    /// Every byte of it is read first. Files are given second names, and copied where the file system has no such names. An error leaves the index as it
    /// was, unless it is the disk's after the commit was made.
    ///
    /// # Errors
    /// `NoAlternate`, `Locked` while the alternate is being written, `PlaceTaken` when it has a file of a name that the index
    /// has, `Corrupted`, `Io`.
    pub fn adopt(self, which: Alternate) -> Result<u64, Error> {
        let from = which.path(&self.dir);
        if !reader::exists(&from) {
            return Err(Error::NoAlternate { path: self.dir.clone(), which });
        }
        let _its_lock = WriterLock::take(&from)?;
        let adopted = open_last(&from, &Arc::new(OpenFiles::default()))?;
        let generation = self.current.generation().max(adopted.generation()) + 1;
        let exchanged = self.exchange(&adopted, &from, Plan { format: FORMAT, generation, adopts: which });
        // Whichever commit counts now, the rest follows from it.
        let settled = settle(&self.dir, &self.disk);
        exchanged.and(settled).map(|()| generation)
    }

    fn exchange(&self, adopted: &Snapshot, from: &Path, plan: Plan) -> Result<(), Error> {
        let (dir, disk) = (&self.dir, &self.disk);
        let taken: HashSet<PathBuf> = self.current.block_files().iter().map(|file| file.path().to_path_buf()).collect();
        let mut places = Vec::new();
        for file in adopted.block_files() {
            let place = dir.join(file.path().strip_prefix(from).unwrap_or(file.path()));
            if taken.contains(&place) {
                return Err(Error::PlaceTaken { path: place });
            }
            file.verify()?;
            places.push((file, place));
        }
        let json = serde_json::to_vec(&plan).expect("a plan is plain data");
        disk.replace(&dir.join(EXCHANGE_FILE), &seal_text(EXCHANGE_FILE, &json))?;

        let leaving = dir.join(LEAVING_FOLDER);
        disk.create_directory(&leaving)?;
        for half in [LEXICAL_FOLDER, DENSE_FOLDER] {
            disk.create_directory(&leaving.join(half))?;
        }
        place_commit(disk, &self.current, dir, &leaving, Keeping::Link, false)?;
        for folder in [&leaving.join(LEXICAL_FOLDER), &leaving.join(DENSE_FOLDER), &leaving, dir] {
            disk.sync_directory(folder)?;
        }

        for (file, place) in places {
            // What an interrupted exchange left, or a commit of long ago.
            disk.remove_if_there(&place)?;
            keep_file(disk, file, &place, Keeping::Link)?;
        }
        for half in [LEXICAL_FOLDER, DENSE_FOLDER] {
            disk.sync_directory(&dir.join(half))?;
        }
        // Who may find the documents, synonyms and pins belong to the place, whichever index has it.
        let Manifest { policy, beside, fields, .. } = self.current.manifest().clone();
        let mut manifest = Manifest { generation: plan.generation, policy, beside, ..adopted.manifest().clone() };
        for (name, kind) in fields {
            manifest.fields.entry(name).or_insert(kind);
        }
        let payload = open::write_manifest(dir, disk, &manifest)?;
        let meta_path = dir.join(LEXICAL_FOLDER).join(META_FILE);
        let mut meta: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(adopted.meta())
            .map_err(|error| Error::corrupted(&from.join(LEXICAL_FOLDER).join(META_FILE), error.to_string()))?;
        meta.insert("payload".to_owned(), payload.into());
        let meta = serde_json::to_vec(&meta).expect("JSON has a text");
        disk.replace(&meta_path, &seal_text(META_FILE, &meta))
    }
}

/// Ends an exchange that was interrupted: by going on where its commit was made, by taking back the rest where it was not.
/// Only under the lock of the index.
pub(crate) fn settle(index: &Path, disk: &Disk) -> Result<(), Error> {
    let (leaving, dropped) = (index.join(LEAVING_FOLDER), index.join(DROPPED_FOLDER));
    disk.remove_tree(&dropped);
    let Some(plan) = Plan::read(index)? else {
        // What is left when a plan was taken back.
        disk.remove_tree(&leaving);
        return Ok(());
    };
    if plan.is_done(index)? {
        let place = plan.adopts.other().path(index);
        if leaving.is_dir() {
            set_aside(index, &place, disk)?;
            disk.remove_tree(&dropped);
            disk.rename(&leaving, &place)?;
            disk.sync_directory(index)?;
        }
        set_aside(index, &plan.adopts.path(index), disk)?;
    } else {
        disk.remove_tree(&leaving);
    }
    disk.remove_if_there(&index.join(EXCHANGE_FILE))?;
    disk.sync_directory(index)?;
    disk.remove_tree(&dropped);
    Ok(())
}

/// Takes a folder out of sight at once, for good. One that is not there is fine.
fn set_aside(index: &Path, folder: &Path, disk: &Disk) -> Result<(), Error> {
    if folder.is_dir() {
        disk.rename(folder, &index.join(DROPPED_FOLDER))?;
        disk.sync_directory(index)?;
    }
    Ok(())
}
