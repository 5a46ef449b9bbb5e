//! Removes what no commit names.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::directory::LEXICAL_FOLDER;
use crate::disk::Disk;
use crate::manifest::{DENSE_FOLDER, Manifest};

/// Removes dense files, manifests and temporary files that the commit does not name.
///
/// Files of the lexical half are the engine's to remove. A file that cannot be removed stays until the next time.
pub(crate) fn collect(dir: &Path, disk: &Disk, manifest: &Manifest) {
    let current = Manifest::file_name(manifest.generation);
    remove_where(dir, disk, |name| is_manifest(name) && name != current || is_temporary(name));
    let named: HashSet<&str> = manifest.dense_files().map(|file| file.name.as_str()).collect();
    remove_where(&dir.join(DENSE_FOLDER), disk, |name| !named.contains(name));
    remove_where(&dir.join(LEXICAL_FOLDER), disk, is_temporary);
}

/// Removes everything in the two folders and every manifest: what a creation left that did not come to its end.
pub(crate) fn clear(dir: &Path, disk: &Disk) {
    remove_where(dir, disk, |name| is_manifest(name) || is_temporary(name));
    remove_where(&dir.join(DENSE_FOLDER), disk, |_| true);
    remove_where(&dir.join(LEXICAL_FOLDER), disk, |_| true);
}

pub(crate) fn is_manifest(name: &str) -> bool {
    name.strip_prefix("manifest-")
        .and_then(|rest| rest.strip_suffix(".json"))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
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
