//! Removes what no commit names, and nothing that an index did not write.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::Error;
use crate::beside;
use crate::directory::{LEXICAL_FOLDER, META_FILE};
use crate::disk::Disk;
use crate::lock::LOCK_FILE;
use crate::manifest::{DENSE_FOLDER, Manifest};
use crate::weights::WEIGHTS_FILE;

/// What is left in `lexical/` by a commit point that was not replaced.
const META_TEMPORARY: &str = "meta.json.tmp";

/// Removes dense files and manifests that the commit does not name.
///
/// What a writer will name in its next commit stays: `is_held` says so of a file in `dense/`. Files of the lexical half are the engine's to remove. A file that cannot be removed stays until the next time.
pub(crate) fn collect(dir: &Path, disk: &Disk, manifest: &Manifest, is_held: impl Fn(&str) -> bool) {
    let current = Manifest::file_name(manifest.generation);
    remove_where(dir, disk, |name| is_manifest(name) && name != current);
    let is_named = |name: &str| manifest.beside.files().any(|file| file.name == name);
    remove_where(dir, disk, |name| beside::is_file(name) && !is_named(name));
    let named: HashSet<&str> = manifest.dense_files().map(|file| file.name.as_str()).collect();
    let is_garbage = |name: &str| is_dense_file(name) && !named.contains(name) && !is_held(name);
    remove_where(&dir.join(DENSE_FOLDER), disk, is_garbage);
}

/// Removes the commit point that was being written when a writer stopped.
///
/// Only before the engine runs: its merges write a file of this name on a thread of their own.
pub(crate) fn remove_unfinished_meta(dir: &Path, disk: &Disk) {
    let _ = disk.remove_if_there(&dir.join(LEXICAL_FOLDER).join(META_TEMPORARY));
}

/// Removes every file of an index: what a creation left that did not come to its end.
pub(crate) fn clear(dir: &Path, disk: &Disk) {
    remove_where(dir, disk, |name| is_manifest(name) || beside::is_file(name));
    remove_where(&dir.join(DENSE_FOLDER), disk, is_dense_file);
    remove_where(&dir.join(LEXICAL_FOLDER), disk, is_lexical_file);
}

/// Whether `dense/` and `lexical/` are folders that hold files of an index only, as far as they exist.
pub(crate) fn folders_are_ours(dir: &Path) -> Result<bool, Error> {
    for (folder, is_ours) in [(DENSE_FOLDER, is_dense_file as fn(&str) -> bool), (LEXICAL_FOLDER, is_lexical_file)] {
        let folder = dir.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
            Err(error) => return Err(Error::io("list", &folder, error)),
        };
        for entry in entries {
            let name = entry.map_err(|error| Error::io("list", &folder, error))?.file_name();
            if !name.to_str().is_some_and(is_ours) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether a folder holds nothing but an index.
pub(crate) fn is_ours(dir: &Path) -> Result<bool, Error> {
    let entries = fs::read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    for entry in entries {
        let name = entry.map_err(|error| Error::io("list", dir, error))?.file_name();
        let is_known = |name: &str| {
            let names = [DENSE_FOLDER, LEXICAL_FOLDER, LOCK_FILE, WEIGHTS_FILE];
            names.contains(&name) || is_manifest(name) || beside::is_file(name)
        };
        if !name.to_str().is_some_and(is_known) {
            return Ok(false);
        }
    }
    folders_are_ours(dir)
}

/// `manifest-17.json`
pub(crate) fn is_manifest(name: &str) -> bool {
    name.strip_prefix("manifest-").and_then(|rest| rest.strip_suffix(".json")).is_some_and(is_number)
}

/// `00000017.rows`, `00000017.tokens`, `00000017.graph` and `00000017-4.deleted`; more digits where eight do not suffice.
pub(crate) fn is_dense_file(name: &str) -> bool {
    let is_segment = |number: &str| number.len() >= 8 && is_number(number);
    let of_segment = [".rows", ".tokens", ".graph"];
    if let Some(number) = of_segment.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        return is_segment(number);
    }
    let parts = name.strip_suffix(".deleted").and_then(|stem| stem.split_once('-'));
    parts.is_some_and(|(number, generation)| is_segment(number) && is_number(generation))
}

/// `meta.json`, what it is renamed from, and the engine's segments.
fn is_lexical_file(name: &str) -> bool {
    name == META_FILE || name == META_TEMPORARY || is_engine_file(name)
}

/// A segment's number in 32 hex digits, a dot, and whatever part of it the file holds.
pub(crate) fn is_engine_file(name: &str) -> bool {
    name.split_once('.').is_some_and(|(segment, part)| {
        segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit()) && !part.is_empty()
    })
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn remove_where(folder: &Path, disk: &Disk, doomed: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(&doomed) {
            let _ = disk.remove_if_there(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_own_files_by_name() {
        for ours in [
            "00000000.rows",
            "12345678.rows",
            "123456789.rows",
            "00000017.tokens",
            "00000017.graph",
            "00000001-2.deleted",
            "00000001-234.deleted",
        ] {
            assert!(is_dense_file(ours), "{ours}");
        }
        for foreign in [
            "0000000.rows",
            "rows",
            ".rows",
            "0000000a.rows",
            "0000000.tokens",
            ".tokens",
            "notes.md",
            "00000001.rows.tmp",
            "00000001.deleted",
        ] {
            assert!(!is_dense_file(foreign), "{foreign}");
        }
        let segment = "0123456789abcdef0123456789abcdef";
        for ours in ["meta.json", "meta.json.tmp", &format!("{segment}.idx"), &format!("{segment}.7.del")] {
            assert!(is_lexical_file(ours), "{ours}");
        }
        for foreign in
            ["notes.md", "a.tmp", "meta.json.bak", segment, &format!("{segment}."), &format!("{segment}0.idx")]
        {
            assert!(!is_lexical_file(foreign), "{foreign}");
        }
        assert!(
            is_manifest("manifest-1.json") && !is_manifest("manifest-.json") && !is_manifest("manifest-1.json.tmp")
        );
    }

    #[test]
    fn a_commit_point_that_a_merge_is_writing_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::crash_tests::settings();
        drop(crate::IndexWriter::create_or_open(dir.path(), &settings).unwrap());
        let temporary = dir.path().join(LEXICAL_FOLDER).join(META_TEMPORARY);
        fs::write(&temporary, "half of it").unwrap();
        let manifest = crate::IndexReader::open(dir.path()).unwrap().snapshot().manifest().clone();
        collect(dir.path(), &Disk::default(), &manifest, |_| false);
        assert!(temporary.exists());
        drop(crate::IndexWriter::create_or_open(dir.path(), &settings).unwrap());
        assert!(!temporary.exists());
    }
}
