//! Where the files of a checkpoint may lie: inside its folder, and nowhere else.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::Error;

/// Folders between a snapshot and its graphs or modules: the revision, and one such as `onnx`.
const DEEPEST_IN_SNAPSHOT: usize = 2;

/// The path of the file that a checkpoint calls `relative`, which has to lie inside `folder`.
///
/// Names come from foreign files (a list of shards, the external data of a graph), and a folder may hold symbolic links:
/// both are followed only as long as they stay inside. One way out is allowed, because the cache of the Hugging Face hub
/// is built that way: from `REPO/snapshots/REVISION` to `REPO/blobs`.
///
/// A file that is not there is not refused here, so that whoever opens it can say what is missing. The path that is
/// returned is the name inside the folder, not the target of a link. Nothing is opened; another process that exchanges
/// a link afterwards is not seen.
///
/// # Errors
/// `PathOutside` for an empty or absolute name, one with `..`, `\` or a control character, a link that leaves the folder,
/// and anything that is no regular file; `Read` when the folder cannot be looked at.
pub fn inside(folder: &Path, relative: &str) -> Result<PathBuf, Error> {
    let refused = |problem| Error::PathOutside { folder: folder.to_owned(), named: relative.to_owned(), problem };
    if let Some(problem) = bad_name(relative) {
        return Err(refused(problem));
    }
    let path = folder.join(relative);
    let Ok(target) = path.canonicalize() else {
        return Ok(path);
    };
    let root = folder.canonicalize().map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let in_hub_cache = || blobs_of(&root).is_some_and(|blobs| target.starts_with(blobs));
    if !target.starts_with(&root) && !in_hub_cache() {
        return Err(refused("leads outside of the folder by a symbolic link"));
    }
    // A pipe would be waited for, and a device never ends.
    match fs::metadata(&target) {
        Ok(metadata) if !metadata.is_file() => Err(refused("is no regular file")),
        Ok(_) => Ok(path),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// What is wrong with a name before any file is looked at. Backslashes part folders on one system and not on another.
fn bad_name(relative: &str) -> Option<&'static str> {
    if relative.is_empty() {
        return Some("is empty");
    }
    if relative.chars().any(|character| character == '\\' || character.is_control()) {
        return Some("holds a backslash or a control character");
    }
    let mut components = Path::new(relative).components().peekable();
    components.peek()?;
    components.find_map(|component| match component {
        Component::Normal(_) | Component::CurDir => None,
        Component::ParentDir => Some("holds .., which may lead outside of the folder"),
        Component::RootDir | Component::Prefix(_) => Some("is absolute, not inside of the folder"),
    })
}

/// The folder to which the links of `root` lead when it is a snapshot of the hub's cache, or a folder in one.
fn blobs_of(root: &Path) -> Option<PathBuf> {
    let is_snapshots = |folder: &&Path| folder.file_name().is_some_and(|name| name == "snapshots");
    let snapshots = root.ancestors().skip(1).take(DEEPEST_IN_SNAPSHOT).find(is_snapshots)?;
    Some(snapshots.parent()?.join("blobs"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(folder: &Path, relative: &str) -> String {
        inside(folder, relative).unwrap_err().to_string()
    }

    #[test]
    fn plain_names_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("onnx")).unwrap();
        fs::write(folder.path().join("onnx/model.onnx"), "").unwrap();
        for name in ["onnx/model.onnx", "./onnx/model.onnx", "not there", "a..b"] {
            assert_eq!(inside(folder.path(), name).unwrap(), folder.path().join(name));
        }
    }

    #[test]
    fn names_that_lead_outside_are_refused_whatever_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            ("", "is empty"),
            ("..", ".."),
            ("../x", ".."),
            ("onnx/../../x", ".."),
            ("/etc/passwd", "absolute"),
            ("..\\x", "backslash"),
            ("C:\\x", "backslash"),
            ("x\0", "control character"),
            ("x\n", "control character"),
            (".", "no regular file"),
        ];
        for (name, problem) in names {
            let message = refusal(folder.path(), name);
            assert!(message.contains(problem) && message.contains(&format!("{name:?}")), "{name:?}: {message}");
        }
    }

    #[test]
    fn links_may_not_leave_the_folder() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &Path| symlink(target, folder.path().join(name)).unwrap();
        fs::write(folder.path().join("here"), "").unwrap();
        link("within", Path::new("here"));
        link("file", outside.path());
        link("folder", outside.path().parent().unwrap());
        link("endless", Path::new("/dev/zero"));
        link("dangling", Path::new("nowhere"));
        assert!(inside(folder.path(), "within").is_ok());
        assert!(inside(folder.path(), "dangling").is_ok(), "what is missing is said by whoever opens it");
        let through_folder = format!("folder/{}", outside.path().file_name().unwrap().to_str().unwrap());
        for name in ["file", &through_folder, "endless"] {
            assert!(refusal(folder.path(), name).contains("symbolic link"), "{name}");
        }
    }

    #[test]
    fn a_snapshot_of_the_hub_leads_to_the_blobs_of_its_own_repository() {
        let hub = tempfile::tempdir().unwrap();
        let snapshot = |repository: &str| hub.path().join(repository).join("snapshots/0123abcd");
        for repository in ["models--one", "models--two"] {
            fs::create_dir_all(snapshot(repository).join("onnx")).unwrap();
            fs::create_dir(hub.path().join(repository).join("blobs")).unwrap();
            fs::write(hub.path().join(repository).join("blobs/cafe"), "").unwrap();
        }
        let one = snapshot("models--one");
        symlink("../../blobs/cafe", one.join("model.safetensors")).unwrap();
        symlink("../../../blobs/cafe", one.join("onnx/model.onnx")).unwrap();
        symlink("../../../models--two/blobs/cafe", one.join("other")).unwrap();
        assert!(inside(&one, "model.safetensors").is_ok());
        assert!(inside(&one, "onnx/model.onnx").is_ok());
        assert!(inside(&one.join("onnx"), "model.onnx").is_ok());
        assert!(refusal(&one, "other").contains("symbolic link"));
    }
}
