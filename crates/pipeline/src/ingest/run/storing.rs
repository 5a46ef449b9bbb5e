//! What a run puts into the index: whole documents, parts of long ones, commits, and removal of what is gone.

use std::mem::take;
use std::time::Instant;

use berth_index::IndexWriter;
use berth_types::DocumentRecord;

use super::{Encoding, IngestReport, Run};
use crate::Error;
use crate::prepare::{Change, Incoming};
use crate::source::Problem;
use crate::sync::plan_removal;

/// Chunks of an unfinished document that are worth storing at a commit, beside twice those that are stored already, so
/// that a document is written a logarithmic number of times.
const LEAST_GROWTH: usize = 512;

impl Run<'_> {
    pub(super) fn write(&mut self, document: Encoding) -> Result<(), Error> {
        self.advance(document.bytes_left());
        let Encoding { incoming, chunks, embedded, reused, .. } = document;
        let Incoming { document, record, change, .. } = incoming;
        let stored_chunks = chunks.len();
        // What was handed in has no file.
        let place = if record.file.is_empty() { &document.id } else { &record.file };
        match self.writer.put(&document, &record, chunks) {
            Ok(()) => {}
            // The index cannot hold this one document; it takes all others.
            Err(error @ berth_index::Error::InvalidDocument { .. }) => {
                self.report.skipped_by_reason.unreadable += 1;
                let (place, reason) = (place.clone(), format!("{error}; skipped"));
                self.note(Problem { place, reason, lost: true });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        for warning in self.writer.take_field_warnings() {
            self.note(Problem { place: place.clone(), reason: warning.to_string(), lost: false });
        }
        match change {
            Change::Added => {
                self.report.added += 1;
                self.added_hashes.push(record.content_hash);
            }
            Change::Changed => self.report.changed += 1,
            Change::Moved => self.report.moved += 1,
        }
        self.report.chunks += stored_chunks;
        self.report.embedded += embedded;
        self.report.reused += reused;
        self.pass();
        Ok(())
    }

    /// Stores the chunks that a document has so far, so that the next run finds their vectors. Its record has no content
    /// hash, which tells that run that the document is not whole. Says whether it was stored: a part never takes the
    /// place of a whole document or of a longer part.
    pub(super) fn write_part(&mut self, document: &mut Encoding) -> Result<bool, Error> {
        let Incoming { document: whole, record, .. } = &document.incoming;
        let known = self.writer.record(&whole.id);
        if known.is_some_and(|known| !known.content_hash.is_empty() || known.chunks as usize >= document.chunks.len()) {
            return Ok(false);
        }
        let record = DocumentRecord { content_hash: String::new(), ..record.clone() };
        match self.writer.put(whole, &record, document.chunks.clone()) {
            Ok(()) => {}
            // It will be said when the document is whole.
            Err(berth_index::Error::InvalidDocument { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        // They are said when the document is whole.
        self.writer.forget_field_warnings();
        document.stored_chunks = document.chunks.len();
        self.report.embedded += take(&mut document.embedded);
        self.report.reused += take(&mut document.reused);
        Ok(true)
    }

    /// Commits when it is time; a long document that is still coming is stored in part.
    pub(super) fn commit_when_due(&mut self) -> Result<(), Error> {
        if self.last_commit.elapsed() < self.commit_every {
            return Ok(());
        }
        if let Some(mut first) = self.encoding.pop_front() {
            let result = if first.chunks.len() >= 2 * first.stored_chunks + LEAST_GROWTH {
                self.write_part(&mut first)
            } else {
                Ok(false)
            };
            self.encoding.push_front(first);
            result?;
        }
        self.commit()
    }

    pub(super) fn commit(&mut self) -> Result<(), Error> {
        if self.writer.has_changes() {
            let generation = self.writer.commit()?;
            self.report.generation = generation;
            self.progress.committed(generation);
        }
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Removes what is gone from the sources, or counts it when that was not asked for.
    pub(in super::super) fn settle_gone(&mut self, sync: bool, force: bool) -> Result<(), Error> {
        let removal = plan_removal(self.writer.records(), &self.seen, &self.added_hashes);
        if !sync {
            self.report.gone = removal.gone.len();
            return Ok(());
        }
        if !force {
            self.report.refused = removal.objection();
        }
        if self.report.refused.is_some() {
            return Ok(());
        }
        for id in &removal.gone {
            self.writer.remove(id)?;
        }
        self.report.removed = removal.lost();
        self.report.moved += removal.moved;
        self.report.added -= removal.moved;
        Ok(())
    }

    /// Commits, and closes the index.
    pub(in super::super) fn finish(mut self, started: Instant) -> Result<IngestReport, Error> {
        self.commit()?;
        // The generation is the old one when there was nothing to commit.
        if self.report.interrupted {
            // Whoever interrupts does not want to wait for merges and graphs; the next run makes them.
            return Ok(self.pause(started)?.0);
        }
        let (report, writer) = self.reported(started);
        let generation = writer.finish()?;
        // What merges took counts too.
        Ok(IngestReport { generation, seconds: started.elapsed().as_secs_f64(), ..report })
    }

    /// Commits, and hands the writer back for what comes next; merges go on in the background.
    pub(in super::super) fn pause(mut self, started: Instant) -> Result<(IngestReport, IndexWriter), Error> {
        self.report.generation = self.writer.commit()?;
        Ok(self.reported(started))
    }

    fn reported(self, started: Instant) -> (IngestReport, IndexWriter) {
        let mut report = self.report;
        report.skipped = report.skipped_by_reason.total();
        report.unknown_share = share(self.unknown, self.pieces);
        report.pieces_per_word = share(self.pieces, self.words);
        report.seconds = started.elapsed().as_secs_f64();
        (report, self.writer)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
