//! What is on a disk, and what would be after a power cut: which bytes of which file were synced, and which names of which
//! directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Random;
use crate::disk::Step;

/// Disks with a choice of their own among what was not synced, at each step.
const CHANCES: usize = 3;
/// What a file system puts where a length reached the disk and the bytes did not.
const NOISE: usize = 77;

pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Follows the steps of a writer.
#[derive(Default)]
pub(super) struct Model {
    next_inode: usize,
    /// By path: what a running system sees.
    names: BTreeMap<PathBuf, usize>,
    /// By path: names whose directory was synced since.
    durable: BTreeMap<PathBuf, usize>,
    /// Changes of names whose directory was not synced since, in their order.
    waiting: Vec<Change>,
    /// By inode: bytes that were synced.
    synced: BTreeMap<usize, Vec<u8>>,
}

/// A change of names that reaches the disk all at once.
enum Change {
    /// A file gets an inode, or goes; `gone` is the path that goes at the same time.
    File { path: PathBuf, inode: Option<usize>, gone: Option<PathBuf> },
    /// A directory takes the place of an empty one, or of none.
    Folder { from: PathBuf, path: PathBuf },
}

impl Change {
    fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Folder { path, .. } => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::File { path, inode, gone } => {
                if let Some(gone) = gone {
                    names.remove(gone);
                }
                match inode {
                    Some(inode) => drop(names.insert(path.clone(), *inode)),
                    None => drop(names.remove(path)),
                }
            }
            Self::Folder { from, path } => {
                let inside: Vec<PathBuf> = names.keys().filter(|name| name.starts_with(from)).cloned().collect();
                for name in inside {
                    let inode = names.remove(&name).unwrap();
                    names.insert(path.join(name.strip_prefix(from).unwrap()), inode);
                }
            }
        }
    }
}

impl Model {
    /// Takes a step as done.
    pub(super) fn take(&mut self, step: &Step) {
        match step {
            Step::CreateDirectory(_) | Step::Write(..) => {}
            Step::Create(path) => {
                self.next_inode += 1;
                self.name(path, Some(self.next_inode), None);
            }
            Step::Sync(path) => {
                self.synced.insert(self.names[path], fs::read(path).unwrap());
            }
            Step::Rename(from, to) => {
                if let Some(&inode) = self.names.get(from) {
                    self.name(to, Some(inode), Some(from));
                } else {
                    self.change(Change::Folder { from: from.clone(), path: to.clone() });
                }
            }
            Step::Link(from, to) => self.name(to, self.names.get(from).copied(), None),
            Step::Remove(path) => self.name(path, None, None),
            Step::SyncDirectory(folder) => {
                let inside = |path: &Path| path.parent() == Some(folder);
                for change in self.waiting.iter().filter(|change| inside(change.path())) {
                    if let Change::Folder { .. } = change {
                        change.apply(&mut self.durable);
                    }
                }
                self.durable.retain(|path, _| !inside(path));
                self.durable.extend(self.names.iter().filter(|(path, _)| inside(path)).map(|(p, i)| (p.clone(), *i)));
                self.waiting.retain(|change| !inside(change.path()));
            }
        }
    }

    fn name(&mut self, path: &Path, inode: Option<usize>, gone: Option<&PathBuf>) {
        self.change(Change::File { path: path.to_path_buf(), inode, gone: gone.cloned() });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.waiting.push(change);
    }

    /// Bytes of an inode after a power cut: what was synced, or noise.
    fn after_power_cut(&self, inode: usize) -> Vec<u8> {
        self.synced.get(&inode).cloned().unwrap_or_else(|| vec![0; NOISE])
    }

    /// What the disk may hold if the machine, or the process alone, stops here.
    pub(super) fn disks(&self, random: &mut Random) -> Vec<Files> {
        let read = |(path, _): (&PathBuf, &usize)| fs::read(path).ok().map(|bytes| (path.clone(), bytes));
        let killed: Files = self.names.iter().filter_map(read).collect();
        let cut = |names: &BTreeMap<PathBuf, usize>| -> Files {
            names.iter().map(|(path, &inode)| (path.clone(), self.after_power_cut(inode))).collect()
        };
        // The rename of the commit point reached the disk, later names in the same or other directories did not.
        let mut renamed_first = self.durable.clone();
        let commit_point = |path: &Path| path.ends_with("lexical/meta.json");
        renamed_first.extend(self.names.iter().filter(|(path, _)| commit_point(path)).map(|(p, i)| (p.clone(), *i)));
        let mut disks = vec![killed, cut(&self.names), cut(&self.durable), cut(&renamed_first)];
        disks.extend((0..CHANCES).map(|_| self.by_chance(random)));
        disks
    }

    /// Some of the changes of names that were not synced, as if the others were to be written later; and of files that were
    /// not synced nothing, the first part, zeroes of the right length, or all.
    fn by_chance(&self, random: &mut Random) -> Files {
        let mut names = self.durable.clone();
        for change in &self.waiting {
            if random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let path_of = |inode: usize| self.names.iter().find(|(_, other)| **other == inode).map(|(path, _)| path);
        let mut bytes = |inode: usize| {
            if let Some(synced) = self.synced.get(&inode) {
                return synced.clone();
            }
            let written = path_of(inode).and_then(|path| fs::read(path).ok()).unwrap_or_default();
            match random.below(4) {
                0 => Vec::new(),
                1 => written[..random.below(written.len() as u64 + 1) as usize].to_vec(),
                2 => vec![0; written.len()],
                _ => written,
            }
        };
        names.into_iter().map(|(path, inode)| (path, bytes(inode))).collect()
    }
}

pub(super) fn write_disk(files: &Files, from: &Path, to: &Path) {
    for folder in ["lexical", "dense"] {
        fs::create_dir_all(to.join(folder)).unwrap();
    }
    for (path, bytes) in files {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
