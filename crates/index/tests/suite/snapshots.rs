//! Snapshots: kept beside a writer, verified, listed, restored; and never written.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use berth_index::{Error, IndexWriter, Keeping, keep_snapshot, list_snapshots, restore_snapshot, verify_snapshot};
use berth_types::ErrorKind;

use crate::support::{assert_sound, contents, copy, open, open_with_tokens, put, settings, snapshot};

fn build(dir: &Path) {
    let mut writer = open_with_tokens(dir);
    for number in 0..20 {
        put(&mut writer, &number.to_string(), &format!("document number {number} of a small set of many words"));
    }
    writer.commit().unwrap();
    writer.remove("3").unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_snapshot_comes_back_as_the_index_that_it_was() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    build(&at("index"));
    let expected = contents(&snapshot(&at("index")));
    for (name, keeping) in [("linked", Keeping::Link), ("copied", Keeping::Copy)] {
        let kept = keep_snapshot(&at("index"), &at("new/snapshots").join(name), keeping).unwrap();
        assert_eq!((kept.generation, kept.documents), (3, 19));
        assert!(kept.bytes() > 0 && kept.files() > 10);
    }
    // What happens to the index afterwards is no concern of theirs.
    let mut writer = open_with_tokens(&at("index"));
    put(&mut writer, "1", "replaced");
    writer.commit().unwrap();
    writer.purge().unwrap();
    drop(writer);
    fs::remove_dir_all(at("index")).unwrap();

    for name in ["linked", "copied"] {
        let kept = at("new/snapshots").join(name);
        assert_eq!(verify_snapshot(&kept).unwrap().problems, []);
        assert_eq!(contents(&snapshot(&kept)), expected, "a snapshot can be searched as it is");
        let index = at("restored").join(name);
        assert!(restore_snapshot(&kept, &index, Keeping::Link).unwrap());
        assert!(!restore_snapshot(&kept, &index, Keeping::Copy).unwrap(), "it is there already");
        assert_eq!(contents(&snapshot(&index)), expected);
        let mut writer = open_with_tokens(&index);
        put(&mut writer, "new", "work goes on");
        writer.finish().unwrap();
        assert_sound(&index);
        assert!(matches!(restore_snapshot(&kept, &index, Keeping::Link), Err(Error::PlaceTaken { .. })));
        assert_eq!(verify_snapshot(&kept).unwrap().problems, []);
    }
    let listed = list_snapshots(&at("new/snapshots")).unwrap();
    assert_eq!(listed.iter().map(|(path, _)| path.file_name().unwrap()).collect::<Vec<_>>(), ["copied", "linked"]);
    assert!(listed.iter().all(|(_, kept)| kept.as_ref().is_ok_and(|kept| kept.documents == 19)));
    assert!(
        fs::read_dir(at("restored")).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.'))
    );
}

#[test]
fn a_link_shares_the_bytes_and_a_copy_does_not() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    build(&at("index"));
    keep_snapshot(&at("index"), &at("linked"), Keeping::Link).unwrap();
    keep_snapshot(&at("index"), &at("copied"), Keeping::Copy).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let inode = |name: &str| fs::metadata(at(name).join("dense/00000000.rows")).unwrap().ino();
        assert!(inode("index") == inode("linked") && inode("index") != inode("copied"));
    }
}

#[test]
fn a_snapshot_under_writes_is_one_commit() {
    let base = tempfile::tempdir().unwrap();
    let index = base.path().join("index");
    let mut writer = open(&index);
    put(&mut writer, "0", "the first");
    writer.commit().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..40 {
                // Every commit holds the documents 0 to its round, each with the text of that round.
                for id in 0..=round {
                    put(&mut writer, &id.to_string(), &format!("text of round {round} for all"));
                }
                writer.commit().unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        for number in 0.. {
            let target = base.path().join(format!("snapshot {number}"));
            keep_snapshot(&index, &target, if number % 2 == 0 { Keeping::Link } else { Keeping::Copy }).unwrap();
            assert_eq!(verify_snapshot(&target).unwrap().problems, []);
            let found = contents(&snapshot(&target));
            assert!(found.iter().all(|(_, text)| *text == found[0].1), "{found:?}");
            if done.load(Ordering::SeqCst) {
                assert!(number > 0, "no snapshot beside a writer");
                break;
            }
        }
    });
}

#[test]
fn a_snapshot_is_never_written_and_never_replaced() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    build(&at("index"));
    keep_snapshot(&at("index"), &at("kept"), Keeping::Link).unwrap();
    let refused = IndexWriter::create_or_open(&at("kept"), &settings()).unwrap_err();
    assert!(matches!(refused, Error::IsSnapshot { .. }), "{refused}");
    let refused = keep_snapshot(&at("index"), &at("kept"), Keeping::Link).unwrap_err();
    assert!(matches!(refused, Error::PlaceTaken { .. }), "{refused}");
    fs::write(at("file"), "of somebody").unwrap();
    for taken in ["file", "file/below"] {
        let refused = keep_snapshot(&at("index"), &at(taken), Keeping::Link).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    }
    for none in ["index", "nowhere"] {
        let refused = restore_snapshot(&at(none), &at("restored"), Keeping::Link).unwrap_err();
        assert!(matches!(refused, Error::NoSnapshot { .. }), "{refused}");
    }
    assert!(matches!(keep_snapshot(&at("nowhere"), &at("other"), Keeping::Link), Err(Error::NotFound { .. })));
}

#[test]
fn a_damaged_snapshot_is_not_restored() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    build(&at("index"));
    keep_snapshot(&at("index"), &at("kept"), Keeping::Copy).unwrap();
    let mut names = Vec::new();
    for folder in ["", "lexical", "dense"] {
        for entry in fs::read_dir(at("kept").join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() && entry.file_name() != "writer.lock" {
                names.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    assert!(names.len() > 10);
    for name in names {
        let damaged = at("damaged");
        copy(&at("kept"), &damaged);
        let mut bytes = fs::read(damaged.join(&name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        for bytes in [Some(&bytes[..]), Some(&bytes[..middle]), None] {
            match bytes {
                Some(bytes) => fs::write(damaged.join(&name), bytes).unwrap(),
                None => fs::remove_file(damaged.join(&name)).unwrap(),
            }
            let is_list = name.ends_with("snapshot.json");
            if !(is_list && bytes.is_none()) {
                let problems = verify_snapshot(&damaged).unwrap().problems;
                assert!(problems.iter().any(|problem| problem.file == name), "{}: {problems:?}", name.display());
                let error = restore_snapshot(&damaged, &at("restored"), Keeping::Link).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
                assert!(error.to_string().contains(name.to_str().unwrap()), "{error}");
                assert!(!is_list || list_snapshots(&damaged).unwrap()[0].1.is_err());
            }
            assert!(!at("restored").exists());
        }
        fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn a_damaged_index_is_not_kept() {
    let base = tempfile::tempdir().unwrap();
    let (index, kept) = (base.path().join("index"), base.path().join("kept"));
    build(&index);
    let rows = index.join("dense/00000000.rows");
    let mut bytes = fs::read(&rows).unwrap();
    let place = bytes.len() - 200;
    bytes[place] ^= 1;
    fs::write(&rows, bytes).unwrap();
    let error = keep_snapshot(&index, &kept, Keeping::Link).unwrap_err();
    assert!(matches!(&error, Error::Corrupted { file, .. } if *file == rows), "{error}");
    assert!(!kept.exists());
}
