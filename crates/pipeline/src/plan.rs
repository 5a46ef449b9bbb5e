//! What a run of indexing would do, without doing it: nothing is written, and the model does not run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use berth_encoder::Encoder;
use berth_index::{IndexReader, Policy, Snapshot};
use berth_types::DocumentRecord;
use serde::Serialize;

use crate::ingest::{list_sources, settings_for};
use crate::policy::{AccessGiven, objection};
use crate::prepare::{Change, Cutting, Incoming, prepare};
use crate::source::{Item, Problem, content_hash, path_text, read_file};
use crate::sync::{Known, Seen, compare, plan_removal};
use crate::{Error, IngestOptions};

/// Documents that a plan names one by one.
const MOST_NAMED: usize = 1_000;

/// What is to happen to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Planned {
    /// The index has none of this id.
    Added,
    /// Its content differs.
    Changed,
    /// The same content under another path or id; nothing of it is embedded.
    Moved,
    /// It is gone from below the named paths.
    Removed,
    /// It has expired.
    Expired,
}

/// A document that would not stay as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDocument {
    /// Its id.
    pub document: String,
    /// What would happen to it.
    pub change: Planned,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PlanOfRun {
    /// Documents at the named paths.
    pub documents: usize,
    /// New ones.
    pub added: usize,
    /// Those whose content differs.
    pub changed: usize,
    /// Same content under another path or id.
    pub moved: usize,
    /// Those that a sync would remove.
    pub removed: usize,
    /// Those that would be removed because they have expired.
    pub expired: usize,
    /// Those that stay as they are.
    pub unchanged: usize,
    /// Rows and files that would be left out.
    pub skipped: usize,
    /// Chunks that the model would run for.
    pub to_embed: usize,
    /// Chunks of added and changed documents whose vector is known.
    pub reused: usize,
    /// Ids that the model would read.
    pub tokens: u64,
    /// How long that would take; null where it is not known how fast the model is here.
    pub seconds: Option<f64>,
    /// Why sync would be refused.
    pub refused: Option<String>,
    /// Why nothing that has expired would be removed.
    pub expiry_refused: Option<String>,
    /// What changes, the first thousand, in the order of the sources; removals last.
    pub changes: Vec<PlannedDocument>,
    /// Whether the plan was interrupted before its end.
    pub interrupted: bool,
}

/// Plans what [`ingest`](crate::ingest) would do with the same options. `tokens_per_second` gives the time.
///
/// # Errors
/// As of a run: paths that do not exist, an index of another model or window.
pub fn plan(
    encoder: &Encoder,
    index: &Path,
    options: &IngestOptions,
    tokens_per_second: Option<f64>,
    cancel: &AtomicBool,
) -> Result<PlanOfRun, Error> {
    let listing = list_sources(options)?;
    let settings = settings_for(encoder, index, options)?;
    let snapshot = if berth_index::exists(index) { Some(IndexReader::open(index)?.snapshot()) } else { None };
    let records = snapshot.as_ref().map(|snapshot| snapshot.records()).transpose()?.unwrap_or_default();
    let policy = snapshot.as_ref().map(|snapshot| snapshot.policy().clone()).unwrap_or_default();
    let policy = options.policy.applied(&policy);
    let access = AccessGiven::of(&options.access, &policy, index)?;
    let built_with = snapshot.as_ref().map(|snapshot| snapshot.settings());
    let takes_vectors = built_with.is_none_or(|settings| settings.tokens.is_none() && settings.sparse.is_none());
    let mut planning = Planning {
        encoder,
        policy,
        access,
        clock: SystemTime::now(),
        fingerprint_hash: *blake3::hash(encoder.fingerprint().canonical().as_bytes()).as_bytes(),
        cutting: Cutting { window_tokens: settings.window_tokens, overlap_tokens: settings.overlap_tokens },
        takes_vectors,
        snapshot,
        records,
        seen: Seen { roots: listing.roots.clone(), ..Seen::default() },
        keys: HashSet::new(),
        added: Vec::new(),
        files_there: HashMap::new(),
        plan: PlanOfRun { skipped: listing.skipped.total(), ..PlanOfRun::default() },
    };
    planning.seen.doubtful_files.extend(listing.doubtful);
    planning.take_out_expired(options.force)?;
    for file in &listing.files {
        let mut outcome = Ok(());
        read_file(&file.path, &mut |item| {
            outcome = planning.take(&file.path, item);
            outcome.is_ok() && !cancel.load(Ordering::Relaxed)
        });
        outcome?;
        if cancel.load(Ordering::Relaxed) {
            planning.plan.interrupted = true;
            return Ok(planning.plan);
        }
    }
    Ok(planning.finish(options, tokens_per_second))
}

struct Planning<'a> {
    encoder: &'a Encoder,
    policy: Policy,
    access: Option<AccessGiven>,
    clock: SystemTime,
    fingerprint_hash: [u8; 32],
    cutting: Cutting,
    /// Whether vectors that come with documents are enough: not where token rows or sparse vectors are to be made too.
    takes_vectors: bool,
    snapshot: Option<Arc<Snapshot>>,
    records: BTreeMap<String, DocumentRecord>,
    seen: Seen,
    /// Of chunks that would be embedded already.
    keys: HashSet<berth_types::ContentKey>,
    /// Ids and content hashes of new documents.
    added: Vec<(String, String)>,
    files_there: HashMap<String, bool>,
    plan: PlanOfRun,
}

impl Planning<'_> {
    fn take_out_expired(&mut self, force: bool) -> Result<(), Error> {
        let Some(snapshot) = &self.snapshot else { return Ok(()) };
        let expired = snapshot.expired(&self.policy, self.clock)?;
        self.plan.expiry_refused = objection(&expired, snapshot.status().documents, self.clock).filter(|_| !force);
        if self.plan.expiry_refused.is_none() {
            for (id, _) in expired {
                self.records.remove(&id);
                self.note(id, Planned::Expired);
            }
        }
        Ok(())
    }

    fn take(&mut self, file: &Path, item: Item) -> Result<(), Error> {
        let (mut document, mut record, bytes, vectors) = match item {
            Item::Document { document, record, bytes, vectors } => (document, record, bytes, vectors),
            Item::Problem { problem: Problem { lost: false, .. }, .. } => return Ok(()),
            Item::Problem { .. } => {
                self.plan.skipped += 1;
                self.seen.doubtful_files.insert(PathBuf::from(path_text(file)));
                return Ok(());
            }
            Item::Binary { .. } => {
                self.plan.skipped += 1;
                return Ok(());
            }
        };
        if !self.seen.ids.insert(document.id.clone()) {
            self.plan.skipped += 1;
            return Ok(());
        }
        if let Some(access) = &self.access
            && access.add(&mut document)
        {
            record.content_hash = content_hash(&document);
        }
        let fields = self.snapshot.as_ref().map(|snapshot| snapshot.fields().clone()).unwrap_or_default();
        let expiry = self.policy.expiry_of(&document, &record, &fields);
        let is_expired = expiry.is_some_and(|expiry| self.policy.is_expired(expiry, self.clock));
        let files = &mut self.files_there;
        let is_there = |file: &str| *files.entry(file.to_owned()).or_insert_with(|| Path::new(file).exists());
        let change = match compare(self.records.get(&document.id), &record, is_there) {
            Known::OfAnotherFile => {
                self.plan.skipped += 1;
                return Ok(());
            }
            Known::Differs(_) if is_expired => {
                self.plan.skipped += 1;
                if self.records.remove(&document.id).is_some() {
                    self.note(document.id, Planned::Expired);
                }
                return Ok(());
            }
            Known::Same => {
                self.plan.documents += 1;
                self.plan.unchanged += 1;
                return Ok(());
            }
            Known::Differs(change) => change,
        };
        self.plan.documents += 1;
        match change {
            Change::Added => self.added.push((document.id.clone(), record.content_hash.clone())),
            Change::Changed => self.note(document.id.clone(), Planned::Changed),
            Change::Moved => self.note(document.id.clone(), Planned::Moved),
        }
        let incoming = Incoming { document, record, bytes, change, vectors };
        let prepared = prepare((self.encoder, None), &self.fingerprint_hash, self.cutting, incoming)?;
        for chunk in prepared.chunks {
            let is_given = self.takes_vectors && prepared.incoming.vectors.contains_key(&chunk.key);
            let known = is_given
                || self.snapshot.as_ref().is_some_and(|snapshot| snapshot.has_key(&chunk.key).unwrap_or(false));
            if known || !self.keys.insert(chunk.key) {
                self.plan.reused += 1;
            } else {
                self.plan.to_embed += 1;
                self.plan.tokens += chunk.row.len() as u64;
            }
        }
        Ok(())
    }

    fn note(&mut self, document: String, change: Planned) {
        let count = match change {
            Planned::Added => &mut self.plan.added,
            Planned::Changed => &mut self.plan.changed,
            Planned::Moved => &mut self.plan.moved,
            Planned::Removed => &mut self.plan.removed,
            Planned::Expired => &mut self.plan.expired,
        };
        *count += 1;
        if self.plan.changes.len() < MOST_NAMED {
            self.plan.changes.push(PlannedDocument { document, change });
        }
    }

    /// Tells moves from additions, and what is gone.
    fn finish(mut self, options: &IngestOptions, tokens_per_second: Option<f64>) -> PlanOfRun {
        let hashes: Vec<String> = self.added.iter().map(|(_, hash)| hash.clone()).collect();
        let mut records = std::mem::take(&mut self.records);
        // As the index would be by then.
        let gone: Vec<String> = {
            let removal = plan_removal(records.iter().map(|(id, record)| (id.as_str(), record)), &self.seen, &hashes);
            if options.sync && !options.force {
                self.plan.refused = removal.objection_before();
            }
            removal.gone
        };
        let mut moved: HashMap<String, usize> = HashMap::new();
        if options.sync {
            let mut by_hash: HashMap<String, usize> = HashMap::new();
            for hash in hashes {
                *by_hash.entry(hash).or_default() += 1;
            }
            for id in gone {
                let hash = records.remove(&id).map(|record| record.content_hash).unwrap_or_default();
                match by_hash.get_mut(&hash) {
                    Some(count) if *count > 0 => {
                        *count -= 1;
                        *moved.entry(hash).or_default() += 1;
                    }
                    _ => self.note(id, Planned::Removed),
                }
            }
        }
        let removals = self.plan.changes.iter().position(|planned| planned.change == Planned::Removed);
        let removals = self.plan.changes.split_off(removals.unwrap_or(self.plan.changes.len()));
        for (id, hash) in std::mem::take(&mut self.added) {
            match moved.get_mut(&hash) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    self.note(id, Planned::Moved);
                }
                _ => self.note(id, Planned::Added),
            }
        }
        self.plan.changes.extend(removals);
        self.plan.seconds = match self.plan.tokens {
            0 => Some(0.0),
            tokens => tokens_per_second.map(|rate| tokens as f64 / rate),
        };
        self.plan
    }
}
