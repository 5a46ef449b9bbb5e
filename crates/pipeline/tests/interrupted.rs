//! Interruption at a chosen moment: nothing that was not read counts as gone, and a part never replaces a whole.
//!
//! Needs the runtime and the model that scripts/setup installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use berth_encoder::Encoder;
use berth_index::IndexReader;
use berth_pipeline::{
    EncoderChoice, Encoders, Home, IngestOptions, IngestReport, Problem, Progress, ProgressState, ingest, open_encoder,
};

/// Interrupts the run as soon as it has come so far.
struct Interrupter<'a> {
    cancel: &'a AtomicBool,
    far_enough: fn(&ProgressState) -> bool,
}

impl Progress for Interrupter<'_> {
    fn update(&mut self, state: &ProgressState) {
        if (self.far_enough)(state) {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }
    fn problem(&mut self, _problem: &Problem) {}
    fn committed(&mut self, _generation: u64) {}
}

fn encoder() -> Encoder {
    let root = std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).unwrap();
    let encoder = open_encoder(&Home::at(root), &EncoderChoice::default(), None);
    encoder.unwrap_or_else(|error| panic!("{error}; run scripts/setup first"))
}

fn run(encoder: &Encoder, folder: &Path, sync: bool, far_enough: fn(&ProgressState) -> bool) -> IngestReport {
    let options = IngestOptions {
        paths: vec![folder.join("docs")],
        window_tokens: Some(64),
        overlap_tokens: Some(8),
        sync,
        ..IngestOptions::default()
    };
    let cancel = AtomicBool::new(false);
    let mut interrupter = Interrupter { cancel: &cancel, far_enough };
    ingest(Encoders::of(encoder), &folder.join("index"), &options, &mut interrupter, &cancel).unwrap()
}

fn stored(folder: &Path) -> (u64, u64) {
    let status = IndexReader::open(&folder.join("index")).unwrap().snapshot().status();
    (status.documents, status.chunks)
}

fn long_text(word: &str, sentences: usize) -> String {
    (0..sentences).map(|number| format!("Sentence {number} is about a {word} and the number {number}.\n")).collect()
}

#[test]
fn what_was_not_read_is_not_gone() {
    let encoder = encoder();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("docs")).unwrap();
    let rows: String = (0..60).map(|number| format!("{{\"_id\":\"{number}\",\"text\":\"\"}}\n")).collect();
    fs::write(folder.path().join("docs/rows.jsonl"), rows).unwrap();
    assert_eq!(run(&encoder, folder.path(), false, |_| false).added, 60);

    let report = run(&encoder, folder.path(), true, |state| state.documents > 0);
    assert!(report.interrupted, "{report:?}");
    assert_eq!((report.removed, report.refused), (0, None));
    assert_eq!(stored(folder.path()).0, 60);
}

#[test]
fn a_part_never_takes_the_place_of_a_whole() {
    let encoder = encoder();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("docs")).unwrap();
    let file = folder.path().join("docs/long.txt");

    fs::write(&file, long_text("harbour", 1_500)).unwrap();
    let report = run(&encoder, folder.path(), false, |state| state.chunks >= 80);
    assert_eq!((report.interrupted, report.unfinished), (true, 1), "{report:?}");
    let (_, part) = stored(folder.path());
    assert!(part >= 80, "{part}");
    let report = run(&encoder, folder.path(), false, |_| false);
    assert_eq!((report.added, report.reused as u64), (1, part), "{report:?}");
    let whole = stored(folder.path());

    fs::write(&file, long_text("lighthouse", 1_500)).unwrap();
    let report = run(&encoder, folder.path(), false, |state| state.chunks >= 80);
    assert_eq!((report.interrupted, report.unfinished), (true, 0), "{report:?}");
    assert_eq!(stored(folder.path()), whole, "the old document was replaced by a part of the new one");
}
