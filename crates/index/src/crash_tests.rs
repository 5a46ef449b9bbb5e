//! What is left of an index when the machine stops, or the disk fails, at any step of a commit.
//!
//! A model of the disk (`disk_model.rs`) follows every step. From it, disks are made at each step: the one that a killed
//! process leaves, and several that a power cut may leave. Disks that fail are in `faults.rs`, processes that are really
//! killed in `kills.rs`.

mod disk_model;
mod exchanges;
mod faults;
mod kills;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use berth_types::{
    Chunk, ContentKey, Document, DocumentRecord, Embedding, ErrorKind, Fingerprint, RowKind, SparseVector, TokenMatrix,
};

use crate::disk::{Disk, Step};
use crate::manifest::FORMATS;
use crate::{
    Error, IndexReader, IndexSettings, IndexWriter, NewChunk, SparseRow, SparseSettings, TokenSettings, verify,
};
use disk_model::{Files, Model, write_disk};

pub(crate) type Contents = BTreeMap<String, String>;

pub(crate) fn settings() -> IndexSettings {
    let fingerprint = Fingerprint { model: "test".to_string(), parts: BTreeMap::new() };
    IndexSettings {
        fingerprint,
        dimensions: 3,
        window_tokens: 8,
        overlap_tokens: 0,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    }
}

/// The same index with token rows.
pub(crate) fn settings_with_tokens() -> IndexSettings {
    let fingerprint = Fingerprint { model: "tokens".to_string(), parts: BTreeMap::new() };
    IndexSettings { tokens: Some(TokenSettings { fingerprint, dimensions: 2 }), ..settings() }
}

/// The same index with sparse vectors.
pub(crate) fn settings_with_sparse() -> IndexSettings {
    let fingerprint = Fingerprint { model: "pieces".to_string(), parts: BTreeMap::new() };
    IndexSettings { sparse: Some(SparseSettings { fingerprint }), ..settings() }
}

/// A piece for each byte of a text, as heavy as it is frequent.
fn pieces(text: &str) -> SparseRow {
    let mut weights: BTreeMap<u32, f32> = BTreeMap::new();
    for byte in text.bytes() {
        *weights.entry(u32::from(byte)).or_default() += 0.25;
    }
    let key = ContentKey([text.bytes().fold(1, u8::wrapping_add); 16]);
    SparseRow { key, vector: SparseVector::quantized(weights).unwrap() }
}

/// A vector for each byte of a text.
fn tokens(text: &str) -> TokenMatrix {
    TokenMatrix::normalized(text.bytes().flat_map(|byte| [f32::from(byte) - 100.0, 7.0]).collect(), 2).unwrap()
}

pub(crate) fn put(writer: &mut IndexWriter, id: &str, text: &str) -> Result<(), Error> {
    let document = Document { id: id.to_string(), text: text.to_string(), ..Document::default() };
    let (with_tokens, with_sparse) = (writer.settings().tokens.is_some(), writer.settings().sparse.is_some());
    let chunk = |range: std::ops::Range<usize>, ordinal| {
        let sum: u8 = text[range.clone()].bytes().fold(1, u8::wrapping_add);
        NewChunk {
            chunk: Chunk { ordinal, byte_range: range.clone(), tokens: 1 },
            key: ContentKey([sum; 16]),
            embedding: Embedding::normalized(vec![f32::from(sum), 1.0, ordinal as f32]).unwrap(),
            tokens: with_tokens.then(|| tokens(&text[range.clone()]).quantized()),
            sparse: with_sparse.then(|| pieces(&text[range])),
        }
    };
    let middle = text.len() / 2;
    writer.put(&document, &DocumentRecord::default(), vec![chunk(0..middle, 0), chunk(middle..text.len(), 1)])
}

/// A small generator (splitmix64), so that what happens can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, which is left out.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

const SEED: u64 = 20_261_127;
/// Stands for the synonyms among the contents; no document has this id.
const SYNONYMS: &str = "synonyms";

/// A temporary directory in memory where there is such a place: what is tested there are steps, not disks.
pub(crate) fn quick_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// The commits of the workload, each as what it changes.
const COMMITS: [&[(&str, Option<&str>)]; 4] = [
    &[("a", Some("first of all")), ("b", Some("second text"))],
    &[("a", Some("replaced text")), ("c", Some("third one"))],
    &[("b", None), ("d", Some("fourth and last"))],
    &[("a", None), ("c", None), ("e", Some("only this and the fourth"))],
];

fn change(writer: &mut IndexWriter, changes: &[(&str, Option<&str>)]) -> Result<(), Error> {
    for (id, text) in changes {
        match text {
            Some(text) => put(writer, id, text)?,
            None => drop(writer.remove(id)?),
        }
    }
    writer.set_synonyms(Some(&synonyms_of(changes)))?;
    Ok(())
}

/// What lies beside the documents changes with each commit.
fn synonyms_of(changes: &[(&str, Option<&str>)]) -> String {
    let ids: Vec<&str> = changes.iter().map(|(id, _)| *id).collect();
    format!("{}, changed", ids.join(" "))
}

/// What the index holds after each number of commits.
fn states() -> Vec<Contents> {
    let mut states = vec![Contents::new()];
    for changes in COMMITS {
        let mut next = states[states.len() - 1].clone();
        for (id, text) in changes {
            match text {
                Some(text) => drop(next.insert((*id).to_string(), (*text).to_string())),
                None => drop(next.remove(*id)),
            }
        }
        next.insert(SYNONYMS.to_string(), synonyms_of(changes));
        states.push(next);
    }
    states
}

/// Reads everything; also checks that both halves agree.
pub(crate) fn contents(dir: &Path) -> Result<Contents, Error> {
    let report = verify(dir)?;
    if let Some(problem) = report.problems.first().cloned() {
        return Err(Error::Corrupted { file: problem.file, reason: problem.reason });
    }
    let snapshot = IndexReader::open(dir)?.snapshot();
    let mut contents = Contents::new();
    for id in snapshot.document_ids("", usize::MAX)? {
        let document = snapshot.document(&id)?.expect("a listed document").document;
        contents.insert(id, document.text);
    }
    let dense = snapshot.dense(&Embedding::normalized(vec![1.0, 1.0, 1.0]).unwrap(), usize::MAX)?;
    assert_eq!(dense.len(), contents.len() * 2);
    if snapshot.settings().tokens.is_some() {
        let mut token_rows = 0;
        for hit in dense {
            let chunk = snapshot.passage(hit.chunk_id)?.expect("a chunk that was found");
            token_rows += chunk.text.len() as u64;
            let score = snapshot.late_scores(&tokens(&chunk.text), &[hit.chunk_id])?[0].expect("a chunk that is there");
            assert!((score - chunk.text.len() as f32).abs() < 0.02 * score, "{score} for {chunk:?}");
        }
        assert_eq!(report.token_rows, token_rows);
    }
    if snapshot.settings().sparse.is_some() {
        let everything = SparseVector::quantized((0..256).map(|byte| (byte, 1.0))).unwrap();
        let hits = snapshot.sparse_within(&everything, None, usize::MAX)?;
        for hit in &hits {
            let chunk = snapshot.passage(hit.chunk_id)?.expect("a chunk that was found");
            assert_eq!(snapshot.sparse_vector(hit.chunk_id)?, Some(pieces(&chunk.text).vector));
            assert_eq!(hit.score, chunk.text.len() as f32 * 0.25, "{chunk:?}");
        }
        assert_eq!((hits.len() as u64, hits.len()), (report.sparse_vectors, contents.len() * 2));
    }
    contents.extend(snapshot.synonyms_text().map(|text| (SYNONYMS.to_string(), text.to_string())));
    Ok(contents)
}

#[test]
fn a_stop_at_any_step_leaves_the_old_commit_or_the_new_one() {
    stop_at_any_step(&settings());
}

#[test]
fn a_stop_at_any_step_leaves_token_rows_with_their_chunks() {
    stop_at_any_step(&settings_with_tokens());
}

#[test]
fn a_stop_at_any_step_leaves_sparse_vectors_with_their_chunks() {
    stop_at_any_step(&settings_with_sparse());
}

fn stop_at_any_step(settings: &IndexSettings) {
    let base = quick_directory();
    let index = base.path().join("index");
    // Number of acknowledged commits when a disk was taken; 0 before the index exists.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let disks: Arc<Mutex<Vec<(usize, Step, Files)>>> = Arc::default();
    let (model, random) = (Mutex::new(Model::default()), Mutex::new(Random(SEED)));
    let (seen, taken) = (Arc::clone(&acknowledged), Arc::clone(&disks));
    let probe = move |step: &Step| {
        let mut model = model.lock().unwrap();
        for files in model.disks(&mut random.lock().unwrap()) {
            taken.lock().unwrap().push((seen.load(Ordering::SeqCst), step.clone(), files));
        }
        model.take(step);
        Ok(())
    };
    let disk = Disk::probed(probe);
    let mut writer = IndexWriter::on_disk(&index, settings, disk).unwrap();
    acknowledged.store(1, Ordering::SeqCst);
    for changes in COMMITS {
        change(&mut writer, changes).unwrap();
        writer.commit().unwrap();
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    drop(writer);

    let states = states();
    let (mut checked, mut advanced) = (HashSet::new(), 0);
    let disks = std::mem::take(&mut *disks.lock().unwrap());
    for (number, (acknowledged, step, files)) in disks.iter().enumerate() {
        if !checked.insert((*acknowledged, files.clone())) {
            continue;
        }
        let dir = base.path().join(number.to_string());
        write_disk(files, &index, &dir);
        let found = contents(&dir);
        let state = match (acknowledged, &found) {
            (0, Err(Error::NotFound { .. })) => &states[0],
            (0, Ok(found)) => found,
            (commits, Ok(found)) => {
                let (old, new) = (&states[commits - 1], states.get(*commits).unwrap_or(&states[commits - 1]));
                assert!(found == old || found == new, "before {step:?}: {found:?}, not {old:?} or {new:?}");
                advanced += usize::from(found == new && old != new);
                found
            }
            (_, Err(error)) => panic!("before {step:?} of commit {acknowledged}: {error}"),
        };
        let mut writer = IndexWriter::create_or_open(&dir, settings).unwrap();
        put(&mut writer, "z", "work goes on").unwrap();
        writer.finish().unwrap();
        let mut expected = state.clone();
        expected.insert("z".to_string(), "work goes on".to_string());
        assert_eq!(contents(&dir).unwrap(), expected, "after going on from before {step:?}");
        fs::remove_dir_all(&dir).unwrap();
    }
    assert!(checked.len() > 100 && advanced > 0, "{} disks, {advanced} with the new commit", checked.len());
}

/// A merge of eight segments is held until the next commit has failed at its first sync of the directory, when the
/// engine counts that commit's segments as committed already. The merge then ends while the writer is dropped.
#[test]
fn a_merge_that_ends_after_a_failed_commit_publishes_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (held, fail_next_sync) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (hold, failing) = (Arc::clone(&held), Arc::clone(&fail_next_sync));
    let merges = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&merges);
    let probe = move |step: &Step| {
        let in_merge = std::thread::current().name().is_some_and(|name| name.starts_with("merge_thread"));
        if in_merge && matches!(step, Step::Create(_)) {
            begun.fetch_add(1, Ordering::SeqCst);
            while hold.load(Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        let sync = matches!(step, Step::SyncDirectory(folder) if folder.ends_with("lexical"));
        if sync && failing.swap(false, Ordering::SeqCst) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    };
    let mut writer = IndexWriter::on_disk(dir.path(), &settings(), Disk::probed(probe)).unwrap();
    let mut expected = Contents::new();
    for number in 0..8 {
        put(&mut writer, &number.to_string(), "some text").unwrap();
        expected.insert(number.to_string(), "some text".to_string());
        writer.commit().unwrap();
    }
    put(&mut writer, "8", "of the commit that fails").unwrap();
    fail_next_sync.store(true, Ordering::SeqCst);
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    held.store(false, Ordering::SeqCst);
    drop(writer);
    assert!(merges.load(Ordering::SeqCst) > 0, "a merge was under way");
    assert_eq!(contents(dir.path()).unwrap(), expected);
}

/// The steps that opening takes, as far as they concern the names of directories.
fn directory_steps(index: &Path) -> Vec<Step> {
    let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
    let seen = Arc::clone(&steps);
    let probe = move |step: &Step| {
        if matches!(step, Step::CreateDirectory(_) | Step::SyncDirectory(_)) {
            seen.lock().unwrap().push(step.clone());
        }
        Ok(())
    };
    drop(IndexWriter::on_disk(index, &settings(), Disk::probed(probe)).unwrap());
    std::mem::take(&mut *steps.lock().unwrap())
}

#[test]
fn each_level_of_a_new_index_is_durable_before_the_next() {
    let base = tempfile::tempdir().unwrap();
    let (there, new) = (base.path().join("there"), base.path().join("there/new"));
    fs::create_dir(&there).unwrap();
    let index = new.join("index");
    let steps = directory_steps(&index);
    let expected = [
        Step::SyncDirectory(base.path().to_path_buf()),
        Step::CreateDirectory(new.clone()),
        Step::SyncDirectory(there),
        Step::CreateDirectory(index.clone()),
        Step::SyncDirectory(new),
    ];
    assert_eq!(steps[..5], expected);
    // A run that died between creating the directory and making its name durable leaves an empty one.
    let empty = base.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(directory_steps(&empty)[0], Step::SyncDirectory(base.path().to_path_buf()));
}

/// Rewrites the commit of an index with one number of its format raised, with all hashes right.
fn with_newer_format(dir: &Path, in_payload: bool, in_manifest: bool) {
    use crate::blocks::seal_text;
    let meta_path = dir.join("lexical/meta.json");
    let mut meta: serde_json::Value =
        serde_json::from_slice(&crate::directory::read_meta(dir).unwrap().unwrap()).unwrap();
    let mut payload: serde_json::Value = serde_json::from_str(meta["payload"].as_str().unwrap()).unwrap();
    let newer = FORMATS.end() + 1;
    if in_manifest {
        let path = dir.join(payload["manifest"]["name"].as_str().unwrap());
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest["format"] = newer.into();
        manifest["unheard_of"] = true.into();
        let bytes = serde_json::to_vec(&manifest).unwrap();
        payload["manifest"]["bytes"] = bytes.len().into();
        payload["manifest"]["hash"] = blake3::hash(&bytes).to_hex().as_str().into();
        fs::write(&path, bytes).unwrap();
    }
    if in_payload {
        payload["format"] = newer.into();
    }
    meta["payload"] = payload.to_string().into();
    fs::write(meta_path, seal_text("meta.json", meta.to_string().as_bytes())).unwrap();
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    for (in_payload, in_manifest) in [(true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        drop(IndexWriter::create_or_open(dir.path(), &settings()).unwrap());
        with_newer_format(dir.path(), in_payload, in_manifest);
        for error in [
            IndexReader::open(dir.path()).map(drop).unwrap_err(),
            IndexWriter::create_or_open(dir.path(), &settings()).map(drop).unwrap_err(),
            verify(dir.path()).map(drop).unwrap_err(),
        ] {
            assert!(
                matches!(&error, Error::UnknownFormat { found, .. } if *found == (FORMATS.end() + 1).to_string()),
                "{error}"
            );
            assert_eq!(error.kind(), ErrorKind::Corrupted);
        }
    }
}
