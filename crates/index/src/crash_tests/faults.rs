//! A disk that fails: full, broken, or in the middle of a write, at every step of a writer's work.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use berth_types::ErrorKind;

use super::{COMMITS, change, contents, put, quick_directory, settings, settings_with_tokens, states};
use crate::disk::{Disk, Step};
use crate::{Error, IndexReader, IndexSettings, IndexWriter};

/// Input/output error, as Linux and other systems number it.
const EIO: i32 = 5;

/// What the disk does, from a step on or at it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// No room any more (ENOSPC), and none later.
    Full,
    /// No room once.
    FullOnce,
    /// Fails once (EIO).
    Broken,
    /// Takes a part of a write and fails then; other steps fail as [`Fault::Broken`].
    Torn,
}

const FAULTS: [Fault; 4] = [Fault::Full, Fault::FullOnce, Fault::Broken, Fault::Torn];

impl Fault {
    fn strike(self, step: &Step) -> io::Error {
        match (self, step) {
            (Self::Full | Self::FullOnce, _) => io::ErrorKind::StorageFull.into(),
            (Self::Torn, Step::Write(path, bytes)) => {
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(&vec![b'?'; bytes / 2]).unwrap();
                io::Error::from_raw_os_error(EIO)
            }
            _ => io::Error::from_raw_os_error(EIO),
        }
    }
}

/// Runs the workload on a disk that fails at step number `at`. Returns whether there was such a step.
fn fails_at(at: usize, fault: Fault, settings: &IndexSettings) -> bool {
    let base = quick_directory();
    let index = base.path().join("index");
    let states = states();
    let mut writer = IndexWriter::create_or_open(&index, settings).unwrap();
    change(&mut writer, COMMITS[0]).unwrap();
    writer.finish().unwrap();
    let reader = IndexReader::open(&index).unwrap();

    let steps = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&steps);
    let probe = move |step: &Step| {
        let number =
            if matches!(step, Step::Remove(_)) { return Ok(()) } else { counted.fetch_add(1, Ordering::SeqCst) };
        if number == at || (fault == Fault::Full && number > at) { Err(fault.strike(step)) } else { Ok(()) }
    };
    let case = format!("{fault:?} at step {at}");
    let mut acknowledged = 1;
    let mut writer = IndexWriter::on_disk(&index, settings, Disk::probed(probe)).unwrap();
    let mut failed = false;
    for changes in &COMMITS[1..] {
        match change(&mut writer, changes).and_then(|()| writer.commit()) {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {error:?}");
                assert!(error.to_string().contains(index.to_str().unwrap()), "{case}: {error}");
                let after = writer.commit().and_then(|_| put(&mut writer, "x", "refused").map(|()| 0));
                assert!(matches!(after, Err(Error::WriterStopped { .. })), "{case}: {after:?}");
                failed = true;
                break;
            }
        }
    }
    // Readers go on beside a writer that failed: the one that was there, and one that comes.
    assert_eq!(reader.snapshot().document_ids("", 100).unwrap(), ["a", "b"], "{case}");
    let (old, new) = (&states[acknowledged], states.get(acknowledged + 1).unwrap_or(&states[acknowledged]));
    let found = contents(&index).unwrap();
    assert!(found == *old || (failed && found == *new), "{case}: {found:?}");
    drop(writer);
    let reached = steps.load(Ordering::SeqCst) > at;
    assert_eq!(contents(&index).unwrap(), found, "{case}: what is left runs on");
    let mut writer = IndexWriter::create_or_open(&index, settings).unwrap();
    put(&mut writer, "z", "work goes on").unwrap();
    writer.finish().unwrap();
    assert_eq!(contents(&index).unwrap().len(), found.len() + 1, "{case}");
    reached
}

/// The steps to fail at: every one if `BERTH_LONG` is set, else every fifth, from another one in each run.
fn failing_steps() -> impl Iterator<Item = usize> {
    let every = if std::env::var_os("BERTH_LONG").is_some() { 1 } else { 5 };
    (std::process::id() as usize % every..).step_by(every)
}

fn fails_everywhere(settings: &IndexSettings) {
    for fault in FAULTS {
        let steps = failing_steps().take_while(|&at| fails_at(at, fault, settings)).count();
        assert!(steps > 10, "{fault:?}: {steps} steps");
    }
}

#[test]
fn a_disk_that_fails_stops_the_writer_and_loses_nothing() {
    fails_everywhere(&settings());
}

#[test]
fn a_disk_that_fails_stops_the_writer_of_token_rows_and_loses_nothing() {
    fails_everywhere(&settings_with_tokens());
}

/// A system may write less than it was asked to, and may be interrupted while it does.
#[test]
fn short_and_interrupted_writes_are_carried_on() {
    let base = quick_directory();
    let writes = AtomicUsize::new(0);
    let probe = move |step: &Step| {
        let interrupted = matches!(step, Step::Write(..)) && writes.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    };
    let disk = Disk { short_writes: true, ..Disk::probed(probe) };
    let mut writer = IndexWriter::on_disk(&base.path().join("index"), &settings_with_tokens(), disk).unwrap();
    for (number, changes) in COMMITS.iter().enumerate() {
        change(&mut writer, changes).unwrap();
        writer.commit().unwrap();
        assert_eq!(contents(&base.path().join("index")).unwrap(), states()[number + 1]);
    }
}
