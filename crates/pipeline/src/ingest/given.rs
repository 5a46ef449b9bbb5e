//! Documents that were handed in instead of read from files, and removal by id, under one commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use berth_index::{IndexReader, IndexWriter};
use berth_types::{Document, DocumentRecord};
use serde::Serialize;

use super::run::{Documents, Run};
use super::{Encoders, IngestOptions, IngestReport, Progress, check_window, remove_all, settings_for};
use crate::Error;
use crate::policy::{AccessGiven, Expired};
use crate::prepare::Cutting;
use crate::source::Listing;

/// What became of documents that were handed in, and of ids that were to go.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct GivenReport {
    /// What was indexed.
    #[serde(flatten)]
    pub ingest: IngestReport,
    /// How many of the ids that were to go were there.
    pub deleted: usize,
    /// What became of each document, by id.
    #[serde(skip)]
    pub outcomes: BTreeMap<String, GivenOutcome>,
}

/// What became of a document that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenOutcome {
    /// It is new.
    Added,
    /// It took the place of another version.
    Changed,
    /// It was there as it is.
    Unchanged,
    /// It is not in the index, for this reason.
    Rejected(String),
}

/// Makes an index without documents, unless one is there.
///
/// # Errors
/// Settings that cannot work; a folder that cannot be written.
pub fn create_index(encoders: Encoders<'_>, index: &Path, options: &IngestOptions) -> Result<(), Error> {
    let settings = encoders.complete(settings_for(encoders.dense, index, options)?);
    check_window(&settings, encoders.tokens)?;
    let mut writer = IndexWriter::create_or_open(index, &settings)?;
    writer.declare_fields(&options.fields)?;
    options.policy.apply_in_passing(index, &mut writer)?;
    writer.finish()?;
    Ok(())
}

/// An index that is open for changes one after the other. While it is, nobody else can write the index.
pub struct Ingestor {
    writer: IndexWriter,
    index: PathBuf,
    cutting: Cutting,
}

impl Ingestor {
    /// Opens an index that is there.
    ///
    /// # Errors
    /// An index that is not there, damaged, of another model, or being written by another process.
    pub fn open(encoders: Encoders<'_>, index: &Path) -> Result<Self, Error> {
        // Says that it is not there, where an option would make one.
        IndexReader::open(index)?;
        let settings = encoders.complete(settings_for(encoders.dense, index, &IngestOptions::default())?);
        let writer = IndexWriter::create_or_open(index, &settings)?;
        let cutting = Cutting { window_tokens: settings.window_tokens, overlap_tokens: settings.overlap_tokens };
        Ok(Self { writer, index: index.to_path_buf(), cutting })
    }

    /// Puts `documents`, each of another id, into the index, removes the ids of `gone`, and commits both; when it returns, all
    /// of it is durable. A document takes the place of that of its id, wherever that came from. `access` may find those that
    /// do not say who may.
    ///
    /// Documents that cannot be stored are left out and named in the report; the others are in.
    ///
    /// # Errors
    /// A full disk, a model that fails. Nothing of it may be there then, or a part that was committed; the index has to be
    /// opened again, and the same call completes it.
    pub fn apply(
        mut self,
        encoders: Encoders<'_>,
        (documents, gone): (Vec<Document>, &[String]),
        access: &[String],
        cancel: &AtomicBool,
    ) -> Result<(Self, GivenReport), Error> {
        let started = Instant::now();
        let access = AccessGiven::of(access, self.writer.policy(), &self.index)?;
        let mut outcomes: BTreeMap<String, GivenOutcome> = BTreeMap::new();
        let before: Vec<(String, Option<DocumentRecord>)> =
            documents.iter().map(|document| (document.id.clone(), self.writer.record(&document.id).cloned())).collect();
        let deleted = remove_all(&mut self.writer, gone)?;
        let bytes = documents.iter().map(|document| document.text.len() as u64).sum();
        let listing = Listing { bytes, ..Listing::default() };
        let mut nobody = Unwatched;
        // One commit for all, at the end.
        let mut run = Run::new(encoders, self.writer, &mut nobody, cancel, &listing, Duration::MAX);
        run.begin_with(SystemTime::now(), access, Expired::default());
        run.read_documents(Documents::Given(documents), listing, self.cutting)?;
        let (ingest, writer) = run.pause(started)?;
        for (id, before) in before {
            let outcome = match (&before, writer.record(&id)) {
                // By now it would say so itself, where it was rejected.
                (None, None) => GivenOutcome::Rejected("it has expired".to_owned()),
                (Some(_), None) => GivenOutcome::Rejected("it has expired, and went".to_owned()),
                (None, Some(_)) => GivenOutcome::Added,
                (Some(before), Some(after)) if before == after => GivenOutcome::Unchanged,
                (Some(_), Some(_)) => GivenOutcome::Changed,
            };
            outcomes.insert(id, outcome);
        }
        for problem in ingest.problems.iter().filter(|problem| problem.lost) {
            outcomes.insert(problem.place.clone(), GivenOutcome::Rejected(problem.reason.clone()));
        }
        Ok((Self { writer, ..self }, GivenReport { ingest, deleted, outcomes }))
    }

    /// Merges what is due and closes the index.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn close(self) -> Result<u64, Error> {
        Ok(self.writer.finish()?)
    }
}

/// Nobody is told how far a run is.
struct Unwatched;

impl Progress for Unwatched {
    fn update(&mut self, _: &super::ProgressState) {}
    fn problem(&mut self, _: &crate::Problem) {}
    fn committed(&mut self, _: u64) {}
}
