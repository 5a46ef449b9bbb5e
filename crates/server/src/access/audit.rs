//! A line of JSON for each write: who did what to which collection, and how it ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use berth_pipeline::dates;
use serde::Serialize;

use crate::failure::Failure;

/// Ids that a line names at most.
const IDS_NAMED: usize = 20;

/// Where writes are noted.
#[derive(Debug)]
pub(crate) struct Audit {
    file: Option<(PathBuf, Mutex<File>)>,
}

/// A write.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    /// Id of the key, or the address.
    pub(crate) caller: &'a str,
    /// "index", "delete", "snapshot", …
    pub(crate) action: &'a str,
    pub(crate) collection: &'a str,
    /// How many documents it was about.
    pub(crate) documents: usize,
    /// The first of them.
    pub(crate) ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        caller: &'a str,
        action: &'a str,
        collection: &'a str,
        ids: impl ExactSizeIterator<Item = &'a str>,
    ) -> Self {
        let documents = ids.len();
        Self { caller, action, collection, documents, ids: ids.take(IDS_NAMED).collect() }
    }
}

impl Audit {
    /// Notes writes in a file, at its end; nowhere but in the server's log without one.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file =
            path.map(|path| Ok::<_, io::Error>((path.to_path_buf(), Mutex::new(append_to(path)?)))).transpose()?;
        Ok(Self { file })
    }

    /// Opens the file by its name again, for whoever moved it away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        if let Some((path, file)) = &self.file {
            *file.lock().unwrap_or_else(PoisonError::into_inner) = append_to(path)?;
        }
        Ok(())
    }

    /// Notes a write and how it ended: with a generation, or with a failure.
    pub(crate) fn note(&self, entry: &Entry<'_>, outcome: Result<Option<u64>, &Failure>) {
        let (word, generation) = match outcome {
            Ok(generation) => ("done", generation),
            Err(failure) => (failure.code.as_str(), None),
        };
        let Entry { caller, action, collection, documents, .. } = entry;
        tracing::info!(target: "berth::audit", caller, action, collection, documents, outcome = word, "write");
        let Some((path, file)) = &self.file else { return };
        let line = Line { time: dates::of_clock(SystemTime::now()), entry, outcome: word, generation };
        let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
        });
        if let Err(error) = written {
            tracing::error!(path = %path.display(), %error, "the audit log cannot be written");
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[test]
    fn each_write_is_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(Some(&path)).unwrap();
        let ids = ["a", "b"];
        let entry = Entry::new("k1", "index", "notes", ids.into_iter());
        audit.note(&entry, Ok(Some(7)));
        audit.note(&entry, Err(&Failure::new(Code::Unavailable, "x")));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["caller"], &lines[0]["ids"], &lines[0]["generation"]),
            (&"k1".into(), &serde_json::json!(["a", "b"]), &7.into())
        );
        assert_eq!((lines[1]["outcome"].as_str(), lines[1].get("generation")), (Some("unavailable"), None));
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    }
}
