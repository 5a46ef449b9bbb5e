//! Damaged files: every one is noticed, named, and answered by an error, never by a panic or a wrong answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use berth_index::{DenseOptions, Error, IndexReader, IndexWriter, Pins, store_weights, stored_weights, verify};
use berth_types::{ErrorKind, Profile};

use crate::support::{
    contents, copy, embed, embed_words, open_with_tokens as open, put, settings_with_tokens, snapshot,
};

/// An index with two dense segments, one of them with a graph, token rows, tombstones, a lexical segment with deletions,
/// synonyms and pinned results.
fn build(dir: &Path) {
    build_of(dir, "document", "3");
}

/// The same of other texts, and another deletion.
fn build_of(dir: &Path, word: &str, removed: &str) {
    let mut writer = open(dir);
    writer.set_dense_options(DenseOptions { graph_from_rows: 60, ..DenseOptions::default() });
    for number in 0..40 {
        put(&mut writer, &format!("{number}"), &format!("{word} number {number} of a small set of many words"));
    }
    writer.commit().unwrap();
    writer.remove(removed).unwrap();
    writer.set_synonyms(Some(&format!("# words that mean the same\n{word}, text of many words\n"))).unwrap();
    let mut pins = Pins::default();
    pins.set(word, &["7".to_owned()]).unwrap();
    writer.set_pins(&pins).unwrap();
    put(&mut writer, "7", &format!("another text by {word}"));
    put(&mut writer, "empty", "");
    writer.finish().unwrap();
    store_weights(dir, Profile::default()).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["", "lexical", "dense"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() && entry.file_name() != "writer.lock" {
                files.push(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    files.sort();
    files
}

/// All that can be asked, an answer a line.
fn answers(dir: &Path) -> Result<Vec<String>, Error> {
    let snapshot = IndexReader::open(dir)?.snapshot();
    let mut lines = vec![format!("{:?}", snapshot.status())];
    lines.push(format!("{:?}", stored_weights(dir, &snapshot.settings().fingerprint)?));
    for question in ["number 12", "another", "absent", "words of many"] {
        let lexical = snapshot.lexical(question, 20)?;
        let mut dense = snapshot.dense(&embed(question), 20)?;
        // So narrow that it is worth a walk over the graph.
        dense.extend(snapshot.dense_with_ef(&embed(question), 1, 1)?);
        for hit in lexical.hits.iter().chain(&dense) {
            lines.push(format!("{question}: {hit:?} {:?}", snapshot.chunk(hit.chunk_id)?));
        }
        let ids: Vec<u64> = lexical.hits.iter().map(|hit| hit.chunk_id).collect();
        lines.push(format!("{:?}", snapshot.dense_scores(&embed(question), &ids)?));
        lines.push(format!("{:?}", snapshot.late_scores(&embed_words(question), &ids)?));
    }
    lines.push(format!("{:?} {:?}", snapshot.synonyms_text(), snapshot.pins()?));
    for id in snapshot.document_ids("", 1000)? {
        lines.push(format!("{:?}", snapshot.document(&id)?));
    }
    Ok(lines)
}

/// Checks an index in which `damaged` is not as it was written.
fn check(dir: &Path, damaged: &[&Path], what: &str, sound_answers: &[String]) {
    check_reading(dir, damaged, what, sound_answers);
    match IndexWriter::create_or_open(dir, &settings_with_tokens()) {
        Ok(writer) => drop(writer),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupted, "{what}: {error:?}"),
    }
}

fn check_reading(dir: &Path, damaged: &[&Path], what: &str, sound_answers: &[String]) {
    let report = match verify(dir) {
        Ok(report) => report.problems.into_iter().map(|problem| problem.file).collect::<BTreeSet<_>>(),
        Err(error) => panic!("{what}: verify gave up: {error}"),
    };
    assert!(report.iter().any(|file| damaged.contains(&file.as_path())), "{what}: verify names {report:?}");
    match answers(dir) {
        Ok(answers) => assert_eq!(answers, sound_answers, "{what}: another answer"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{what}: {error:?}");
            let named = damaged.iter().any(|file| error.to_string().contains(file.to_str().unwrap()));
            assert!(named, "{what}: {error}");
        }
    }
}

/// Calls `damage` on a copy of each file's bytes and checks what comes of it.
fn with_each_file(damage: impl Fn(&[u8]) -> Vec<(String, Option<Vec<u8>>)>) -> usize {
    let base = tempfile::tempdir().unwrap();
    let (sound, damaged) = (base.path().join("sound"), base.path().join("damaged"));
    build(&sound);
    let sound_answers = answers(&sound).unwrap();
    let mut cases = 0;
    for file in files(&sound) {
        let bytes = fs::read(sound.join(&file)).unwrap();
        for (what, changed) in damage(&bytes) {
            if changed.as_deref() == Some(&bytes) {
                continue;
            }
            // An index may have no weights of its own.
            if changed.is_none() && file.ends_with("weights.json") {
                continue;
            }
            copy(&sound, &damaged);
            match changed {
                Some(changed) => fs::write(damaged.join(&file), changed).unwrap(),
                None => fs::remove_file(damaged.join(&file)).unwrap(),
            }
            check(&damaged, &[&file], &format!("{}: {what}", file.display()), &sound_answers);
            fs::remove_dir_all(&damaged).unwrap();
            cases += 1;
        }
    }
    cases
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let cases = with_each_file(|bytes| {
        let places = [0, 1, bytes.len() / 5, bytes.len() / 3, bytes.len() / 2, bytes.len() - 30, bytes.len() - 1];
        let flip = |(number, &place): (usize, &usize)| {
            let mut changed = bytes.to_vec();
            changed[place] ^= 1 << number;
            (format!("bit {number} of byte {place}"), Some(changed))
        };
        places.iter().enumerate().map(flip).collect()
    });
    assert!(cases > 80, "{cases}");
}

#[test]
fn a_file_that_is_cut_or_grown_is_noticed() {
    let cases = with_each_file(|bytes| {
        let cut = |length: usize| (format!("cut to {length} bytes"), Some(bytes[..length].to_vec()));
        let grown = ("one byte more".to_string(), Some([bytes, &[0]].concat()));
        vec![cut(0), cut(10), cut(bytes.len() / 2), cut(bytes.len() - 1), grown]
    });
    assert!(cases > 50, "{cases}");
}

#[test]
fn a_zeroed_page_is_noticed() {
    let cases = with_each_file(|bytes| {
        let zero = |start: usize| {
            let mut changed = bytes.to_vec();
            let end = changed.len().min(start + 4096);
            changed[start..end].fill(0);
            (format!("zeroes from {start}"), Some(changed))
        };
        vec![zero(0), zero(bytes.len() / 2), zero(bytes.len().saturating_sub(4096))]
    });
    assert!(cases > 20, "{cases}");
}

#[test]
fn a_file_that_is_gone_is_noticed() {
    let cases = with_each_file(|_| vec![("removed".to_string(), None)]);
    assert!(cases > 9, "{cases}");
}

#[test]
fn files_in_each_others_place_are_noticed() {
    let base = tempfile::tempdir().unwrap();
    let (sound, damaged) = (base.path().join("sound"), base.path().join("damaged"));
    build(&sound);
    let sound_answers = answers(&sound).unwrap();
    let files = files(&sound);
    for (number, one) in files.iter().enumerate() {
        for other in files.iter().skip(number + 1).step_by(3) {
            copy(&sound, &damaged);
            fs::copy(sound.join(one), damaged.join(other)).unwrap();
            fs::copy(sound.join(other), damaged.join(one)).unwrap();
            let what = format!("{} and {} swapped", one.display(), other.display());
            check(&damaged, &[one, other], &what, &sound_answers);
            fs::remove_dir_all(&damaged).unwrap();
        }
    }
}

#[test]
fn files_of_another_index_are_noticed() {
    let base = tempfile::tempdir().unwrap();
    let (index, other) = (base.path().join("index"), base.path().join("other"));
    build(&index);
    build_of(&other, "another", "5");
    let theirs = files(&other);
    let sound_answers = answers(&index).unwrap();
    let mut cases = 0;
    // A commit point of another index is a sound one, and so are its weights.
    let whole = |file: &PathBuf| file.ends_with("meta.json") || file.ends_with("weights.json");
    for file in files(&index).iter().filter(|file| theirs.contains(file) && !whole(file)) {
        let mixed = base.path().join("mixed");
        copy(&index, &mixed);
        fs::copy(other.join(file), mixed.join(file)).unwrap();
        check(&mixed, &[file], &format!("{} of another index", file.display()), &sound_answers);
        fs::remove_dir_all(&mixed).unwrap();
        cases += 1;
    }
    assert!(cases >= 5, "{cases}");
}

#[test]
fn leftovers_are_no_damage_and_are_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    let before = files(dir.path());
    let lexical = "lexical/0123456789abcdef0123456789abcdef.idx";
    for leftover in ["lexical/meta.json.tmp", lexical, "dense/00000099.rows", "manifest-77.json"] {
        fs::write(dir.path().join(leftover), "half of a file").unwrap();
    }
    crate::support::assert_sound(dir.path());
    assert_eq!(contents(&snapshot(dir.path())).len(), 40);
    drop(open(dir.path()));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_reader_changes_nothing_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    build(dir.path());
    fs::remove_file(dir.path().join("writer.lock")).unwrap();
    let state = |folder: &str| {
        let metadata = fs::metadata(dir.path().join(folder)).unwrap();
        (fs::read_dir(dir.path().join(folder)).unwrap().count(), metadata.modified().unwrap())
    };
    let before = ["", "lexical", "dense"].map(state);
    answers(dir.path()).unwrap();
    crate::support::assert_sound(dir.path());
    assert_eq!(["", "lexical", "dense"].map(state), before);
}

/// Random corruptions in all; with `BERTH_LONG` set, ten times as many.
const CORRUPTIONS: usize = 10_600;
/// Every so many of them, the damaged index is opened for writing too.
const WRITER_EVERY: usize = 16;
const SEED: u64 = 20_261_127;

/// A small generator (splitmix64), so that what happens can be repeated.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize >> 1
}

/// Kinds of damage, each by its number.
const DAMAGES: [&str; 4] = ["flipped", "cut", "zeroed", "swapped"];

/// Bytes with one kind of damage, and what was done in words; `others` are what may stand in their place.
fn damaged(bytes: &[u8], damage: usize, others: &[&Vec<u8>], state: &mut u64) -> (Vec<u8>, String) {
    let mut changed = bytes.to_vec();
    match damage {
        0 => {
            let places: Vec<usize> = (0..=random(state) % 3).map(|_| random(state) % bytes.len()).collect();
            for &place in &places {
                changed[place] ^= 1 << (random(state) % 8);
            }
            (changed, format!("bits of bytes {places:?}"))
        }
        1 => {
            changed.truncate(random(state) % bytes.len());
            let what = format!("cut to {} bytes", changed.len());
            (changed, what)
        }
        2 => {
            let start = random(state) % bytes.len();
            let end = bytes.len().min(start + [64, 512, 4096][random(state) % 3]);
            changed[start..end].fill(0);
            (changed, format!("zeroes from {start} to {end}"))
        }
        _ => {
            let other = random(state) % others.len();
            (others[other].clone(), format!("file {other} in its place"))
        }
    }
}

/// Puts bytes under a name without touching what has the name, which may be mapped.
fn put_file(path: &Path, bytes: &[u8]) {
    let other = path.with_extension("other");
    fs::write(&other, bytes).unwrap();
    fs::rename(other, path).unwrap();
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures are for whoever asks for them")]
fn random_corruptions_of_every_kind_of_file_are_noticed_and_named() {
    let memory = Path::new("/dev/shm");
    let base = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let (sound, other) = (base.path().join("sound"), base.path().join("other"));
    build(&sound);
    let mut writer = open(&other);
    put(&mut writer, "1", "of another index");
    writer.finish().unwrap();
    let sound_answers = answers(&sound).unwrap();
    let read = |dir: &Path| -> Vec<(Vec<u8>, PathBuf)> {
        files(dir).into_iter().map(|file| (fs::read(dir.join(&file)).unwrap(), file)).collect()
    };
    let whole = read(&sound);
    // A commit point of another index is a sound one.
    let mut theirs = read(&other);
    theirs.retain(|(_, file)| !file.ends_with("meta.json"));
    let wanted = if std::env::var_os("BERTH_LONG").is_some() { 10 * CORRUPTIONS } else { CORRUPTIONS };
    let next = Arc::new(AtomicUsize::new(0));
    let work = |worker: usize| {
        let place = base.path().join(format!("damaged {worker}"));
        copy(&sound, &place);
        let mut cases: BTreeMap<(String, &str), usize> = BTreeMap::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= wanted {
                return cases;
            }
            let mut state = SEED + number as u64;
            let (bytes, file) = &whole[number / DAMAGES.len() % whole.len()];
            let damage = number % DAMAGES.len();
            let others: Vec<&Vec<u8>> =
                whole.iter().chain(&theirs).filter(|(other, _)| other != bytes).map(|(other, _)| other).collect();
            let (changed, what) = damaged(bytes, damage, &others, &mut state);
            if changed == *bytes {
                continue;
            }
            let what = format!("case {number}: {}: {what}", file.display());
            put_file(&place.join(file), &changed);
            let checked = catch_unwind(AssertUnwindSafe(|| check_reading(&place, &[file], &what, &sound_answers)));
            assert!(checked.is_ok(), "{what}");
            if number.is_multiple_of(WRITER_EVERY) {
                let copied = base.path().join(format!("written {worker}"));
                copy(&place, &copied);
                check(&copied, &[file], &what, &sound_answers);
                fs::remove_dir_all(copied).unwrap();
            }
            put_file(&place.join(file), bytes);
            let kind = file.extension().unwrap().to_string_lossy().into_owned();
            *cases.entry((kind, DAMAGES[damage])).or_default() += 1;
        }
    };
    let workers = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut cases: BTreeMap<(String, &str), usize> = BTreeMap::new();
    thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        for (kind, count) in handles.into_iter().flat_map(|handle| handle.join().unwrap()) {
            *cases.entry(kind).or_default() += count;
        }
    });
    let total: usize = cases.values().sum();
    // Zeroes over zeroes are no damage.
    assert!(total * 106 >= wanted * 100, "{total}");
    let kinds: BTreeSet<&String> = cases.keys().map(|(kind, _)| kind).collect();
    assert!(kinds.len() >= 12 && cases.len() == kinds.len() * DAMAGES.len(), "{cases:?}");
    eprintln!("{total} corruptions of {} kinds of files: {cases:?}", kinds.len());
}
