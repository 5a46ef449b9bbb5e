//! What is left of an index and its alternates when the machine stops, or the disk fails, at any step of an exchange.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_types::{ErrorKind, Fingerprint};

use super::disk_model::{Files, Model, write_disk};
use super::{Contents, Random, SEED, contents, put, quick_directory, settings, settings_with_tokens};
use crate::alternate::{Alternate, EXCHANGE_FILE, Exchange, LEAVING_FOLDER, drop_alternate, find_alternate};
use crate::disk::{Disk, Step};
use crate::{Error, IndexReader, IndexSettings, IndexWriter, Keeping, first_segment_of_next, keep_snapshot, verify};

fn other_settings() -> IndexSettings {
    let fingerprint = Fingerprint { model: "other".to_string(), parts: BTreeMap::new() };
    IndexSettings { fingerprint, ..settings_with_tokens() }
}

fn settings_of(dir: &Path) -> IndexSettings {
    IndexReader::open(dir).unwrap().snapshot().settings().clone()
}

fn expected() -> Contents {
    let texts = [("a", "first of all"), ("c", "third one"), ("d", "fourth and last")];
    texts.map(|(id, text)| (id.to_string(), text.to_string())).into()
}

/// Fills an index with a commit and another that deletes.
fn fill(mut writer: IndexWriter) {
    for (id, text) in [("a", "first of all"), ("b", "second text"), ("c", "third one")] {
        put(&mut writer, id, text).unwrap();
    }
    writer.commit().unwrap();
    writer.remove("b").unwrap();
    put(&mut writer, "d", "fourth and last").unwrap();
    writer.finish().unwrap();
}

/// An index with a next one inside.
fn build(index: &Path, disk: &Disk) {
    fill(IndexWriter::on_disk(index, &settings(), disk.clone()).unwrap());
    let first = first_segment_of_next(&IndexReader::open(index).unwrap().snapshot());
    let next = Alternate::Next.path(index);
    fill(IndexWriter::numbered_from(first, &next, &other_settings(), disk.clone()).unwrap());
}

/// Checks that the index is whole with the one or the other model, and that the alternate beside it is whole too. Says
/// whether the exchange was made.
fn check(dir: &Path, step: &Step) -> bool {
    let found = contents(dir).unwrap_or_else(|error| panic!("before {step:?}: {error}"));
    assert_eq!(found, expected(), "before {step:?}");
    let is_done = settings_of(dir) == other_settings();
    let (there, absent) =
        if is_done { (Alternate::Former, Alternate::Next) } else { (Alternate::Next, Alternate::Former) };
    let alternate = find_alternate(dir, there).unwrap().unwrap_or_else(|| panic!("no {there:?} before {step:?}"));
    assert_eq!(contents(&alternate).unwrap(), expected(), "before {step:?}");
    assert_eq!(settings_of(&alternate), if is_done { settings() } else { other_settings() });
    assert_eq!(find_alternate(dir, absent).unwrap(), None, "before {step:?}");
    is_done
}

fn check_settled(dir: &Path) {
    for name in [EXCHANGE_FILE, LEAVING_FOLDER, ".dropped"] {
        assert!(!dir.join(name).exists(), "{name}");
    }
}

#[test]
fn a_stop_at_any_step_of_an_exchange_leaves_both_indexes_whole() {
    let base = quick_directory();
    let index = base.path().join("index");
    let disks: Arc<Mutex<Vec<(Step, Files)>>> = Arc::default();
    let (model, random) = (Mutex::new(Model::default()), Mutex::new(Random(SEED)));
    let exchanging = Arc::new(AtomicBool::new(false));
    let (taken, recording) = (Arc::clone(&disks), Arc::clone(&exchanging));
    let disk = Disk::probed(move |step: &Step| {
        let mut model = model.lock().unwrap();
        if recording.load(Ordering::SeqCst) {
            let disks = model.disks(&mut random.lock().unwrap());
            taken.lock().unwrap().extend(disks.into_iter().map(|files| (step.clone(), files)));
        }
        model.take(step);
        Ok(())
    });
    build(&index, &disk);
    exchanging.store(true, Ordering::SeqCst);
    Exchange::on_disk(&index, disk).unwrap().adopt(Alternate::Next).unwrap();
    check_settled(&index);

    let (mut checked, mut done) = (HashSet::new(), 0);
    let disks = std::mem::take(&mut *disks.lock().unwrap());
    for (number, (step, files)) in disks.iter().enumerate() {
        if !checked.insert(files.clone()) {
            continue;
        }
        let dir = base.path().join(number.to_string());
        write_disk(files, &index, &dir);
        let is_done = check(&dir, step);
        done += usize::from(is_done);
        if number % 2 == 0 {
            // Whoever writes settles it.
            let writer = IndexWriter::create_or_open(&dir, &settings_of(&dir)).unwrap();
            drop(writer);
        } else if is_done {
            Exchange::begin(&dir).unwrap();
        } else {
            Exchange::begin(&dir).unwrap().adopt(Alternate::Next).unwrap();
            assert!(check(&dir, step));
        }
        check(&dir, step);
        check_settled(&dir);
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(checked.len() > 50 && done > 5 && done < checked.len(), "{} disks, {done} with the new one", checked.len());
}

/// A disk that refuses from some step on, as a full one does.
#[test]
fn an_exchange_that_fails_leaves_the_index_as_it_was_and_can_be_made_later() {
    let base = quick_directory();
    let mut finished = false;
    for limit in 0.. {
        let dir = base.path().join("index");
        build(&dir, &Disk::default());
        let steps = AtomicUsize::new(0);
        let disk = Disk::probed(move |step: &Step| match step {
            // What is removed makes room.
            Step::Remove(_) => Ok(()),
            _ if steps.fetch_add(1, Ordering::SeqCst) < limit => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        });
        let outcome = Exchange::on_disk(&dir, disk).and_then(|exchange| exchange.adopt(Alternate::Next));
        let is_done = check(&dir, &Step::Sync("the disk refused".into()));
        match outcome {
            Ok(_) => finished = is_done,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        if !is_done {
            Exchange::begin(&dir).unwrap().adopt(Alternate::Next).unwrap();
        }
        drop(Exchange::begin(&dir).unwrap());
        check_settled(&dir);
        assert_eq!((settings_of(&dir), contents(&dir).unwrap()), (other_settings(), expected()));
        fs::remove_dir_all(&dir).unwrap();
        if finished {
            assert!(limit > 20, "{limit}");
            return;
        }
    }
}

#[test]
fn there_and_back_and_on_with_work_in_between() {
    let base = quick_directory();
    let dir = base.path().join("index");
    build(&dir, &Disk::default());
    let open = IndexReader::open(&dir).unwrap();
    let before = open.snapshot();
    let generation = before.generation();
    for turn in 1..=4_u64 {
        let (adopts, model) = if turn % 2 == 1 { (Alternate::Next, "other") } else { (Alternate::Former, "test") };
        let number = Exchange::begin(&dir).unwrap().adopt(adopts).unwrap();
        assert!(number >= generation + turn);
        // A reader that was open goes on with what it had, and finds the other one when it asks.
        assert_eq!(before.document_ids("", 9).unwrap(), ["a", "c", "d"]);
        assert!(open.refresh().unwrap());
        assert_eq!(open.snapshot().settings().fingerprint.model, model);
        for folder in [dir.clone(), if turn % 2 == 1 { Alternate::Former } else { Alternate::Next }.path(&dir)] {
            let mut writer = IndexWriter::create_or_open(&folder, &settings_of(&folder)).unwrap();
            put(&mut writer, &format!("turn {turn}"), "of text that is new").unwrap();
            writer.remove(&format!("turn {}", turn - 1)).unwrap();
            writer.finish().unwrap();
            assert_eq!(contents(&folder).unwrap().len(), 4, "{}", folder.display());
            assert_eq!(verify(&folder).unwrap().problems, []);
        }
    }
    let absent = Exchange::begin(&dir).unwrap().adopt(Alternate::Former).unwrap_err();
    assert!(matches!(absent, Error::NoAlternate { .. }) && absent.to_string().contains("former"), "{absent}");
    let writer = IndexWriter::create_or_open(&Alternate::Next.path(&dir), &other_settings()).unwrap();
    for error in [
        drop_alternate(&dir, Alternate::Next).unwrap_err(),
        Exchange::begin(&dir).unwrap().adopt(Alternate::Next).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Locked { .. }), "{error}");
    }
    drop(writer);
    assert!(drop_alternate(&dir, Alternate::Next).unwrap());
    assert!(!drop_alternate(&dir, Alternate::Next).unwrap());
    assert_eq!(contents(&dir).unwrap().len(), 4);
    let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == "next" || name == ".dropped"), "{names:?}");
}

#[test]
fn an_alternate_is_read_before_it_counts_and_what_is_none_is_left_alone() {
    let base = quick_directory();
    let dir = base.path().join("index");
    build(&dir, &Disk::default());
    let next = Alternate::Next.path(&dir);
    for inside in [dir.join("kept"), next.join("kept/deeper")] {
        let error = keep_snapshot(&dir, &inside, Keeping::Link).unwrap_err();
        assert!(matches!(error, Error::InsideIndex { .. }), "{error}");
    }
    fs::write(next.join("notes.txt"), "of somebody").unwrap();
    let error = drop_alternate(&dir, Alternate::Next).unwrap_err();
    assert!(matches!(error, Error::NotAnIndex { .. }), "{error}");
    fs::remove_file(next.join("notes.txt")).unwrap();

    let rows = fs::read_dir(next.join("dense")).unwrap().map(|entry| entry.unwrap().path());
    let mut rows = rows.filter(|path| path.extension().is_some_and(|extension| extension == "rows"));
    let rows = rows.next().unwrap();
    let whole = fs::read(&rows).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 3] ^= 1;
    fs::write(&rows, damaged).unwrap();
    let problems = verify(&dir).unwrap().problems;
    assert!(problems.iter().any(|problem| problem.file.starts_with("next")), "{problems:?}");
    let error = Exchange::begin(&dir).unwrap().adopt(Alternate::Next).unwrap_err();
    assert!(matches!(error, Error::Corrupted { .. }), "{error}");
    assert_eq!(settings_of(&dir), settings());
    fs::write(&rows, whole).unwrap();
    Exchange::begin(&dir).unwrap().adopt(Alternate::Next).unwrap();
    assert_eq!(verify(&dir).unwrap().problems, []);
}
