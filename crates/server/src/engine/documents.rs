//! What collections hold: documents put in, taken out and read, and what is said of the whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use berth_pipeline::{
    BuiltWith, Encoders, IndexStatus, IngestOptions, Searcher, SparseSettings, StoredDocument, create_index,
};
use berth_types::{Document, FieldDeclaration, FieldKind, Head, Viewer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::collections::{Collection, Known, OpenCollection};
use super::models::of_field;
use super::writing::{Written, bytes_of, too_fast};
use super::{Context, Engine, blocking, check_answer, check_limit, check_some, detached, missing};
use crate::access::audit::Entry;
use crate::access::keys::Scope;
use crate::failure::{Code, Failure};
use crate::metrics::LatencyReport;

/// Text of documents that wait to be written, in KiB, for all collections together.
pub(crate) const WRITE_ROOM_KIB: usize = 256 << 10;
/// Documents of which the lengths are looked at.
const SAMPLED: usize = 500;
/// Longest id of a document, as the index has it.
const LONGEST_ID: usize = 1024;

/// Documents on their way into a collection.
pub(crate) struct Putting {
    caller: Arc<str>,
    collection: Arc<Collection>,
    ids: Vec<String>,
    answer: oneshot::Receiver<Result<Written, Failure>>,
    _room: OwnedSemaphorePermit,
}

/// What is said of a collection in a list.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) error: Option<String>,
    /// As far as it is open.
    pub(crate) known: Option<Known>,
}

/// What is said of one collection.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) status: IndexStatus,
    pub(crate) built_with: BuiltWith,
    pub(crate) dimensions: usize,
    pub(crate) sparse_model: Option<String>,
    pub(crate) has_token_rows: bool,
    /// Whether it says who may find its documents, so that a question has to say who asks.
    pub(crate) needs_viewer: bool,
    pub(crate) fields: BTreeMap<String, FieldKind>,
    pub(crate) latency: LatencyReport,
}

/// How long documents are, by a sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lengths {
    pub(crate) sampled: usize,
    /// Tokens of each document that was looked at.
    pub(crate) tokens: Vec<u64>,
    /// Chunks of each document.
    pub(crate) chunks: Vec<u64>,
}

/// What a new collection is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewCollection {
    pub(crate) name: String,
    /// The default one where it is empty.
    pub(crate) model: String,
    pub(crate) window: Option<usize>,
    pub(crate) overlap: Option<usize>,
    pub(crate) fields: Vec<FieldDeclaration>,
    pub(crate) access_field: Option<String>,
}

impl Engine {
    /// Hands documents in; what is returned waits until they are durable.
    pub(crate) async fn put(
        &self,
        context: &Context,
        collection: &Arc<Collection>,
        documents: Vec<Document>,
        access: Vec<String>,
    ) -> Result<Putting, Failure> {
        context.caller.may_in(Scope::Write, &collection.name)?;
        check_some("documents", documents.len())?;
        check_limit("max-inputs", "documents", documents.len(), self.limits.get().inputs)?;
        for (number, document) in documents.iter().enumerate() {
            check_id(&document.id).map_err(|failure| failure.at("document", number))?;
        }
        let kib = documents.iter().map(|document| bytes_of(document) / 1024 + 1).sum::<usize>().min(WRITE_ROOM_KIB);
        let room = Arc::clone(&self.write_room).acquire_many_owned(kib as u32);
        let room = tokio::time::timeout_at(context.deadline.into(), room).await;
        let Ok(Ok(room)) = room else {
            return Err(too_fast(self.limits.get().wait));
        };
        let ids = documents.iter().map(|document| document.id.clone()).collect();
        let change = (documents, access);
        let answer = collection.writer.put(collection, &self.writer_context(), change, context.deadline).await?;
        let caller = Arc::clone(&context.caller.id);
        Ok(Putting { caller, collection: Arc::clone(collection), ids, answer, _room: room })
    }

    /// Waits until what was handed in is durable, and notes it.
    pub(crate) async fn written(self: &Arc<Self>, putting: Putting) -> Result<Written, Failure> {
        let engine = Arc::clone(self);
        detached(async move {
            // Its room is given back at the end.
            let Putting { caller, collection, ids, answer, _room } = putting;
            let written = answer.await.unwrap_or_else(|_| Err(Failure::lost()));
            let entry = Entry::new(&caller, "index", &collection.name, ids.iter().map(String::as_str));
            engine.audit.note(&entry, written.as_ref().map(|written| Some(written.generation)));
            written
        })
        .await
    }

    /// Removes documents; returns when that is durable.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        context: &Context,
        name: &str,
        ids: Vec<String>,
    ) -> Result<Written, Failure> {
        let collection = self.collection(context, name, Scope::Write)?;
        check_some("ids", ids.len())?;
        check_limit("max-inputs", "ids", ids.len(), self.limits.get().inputs)?;
        for (number, id) in ids.iter().enumerate() {
            check_id(id).map_err(|failure| failure.at("id", number))?;
        }
        let answer =
            collection.writer.remove(&collection, &self.writer_context(), ids.clone(), context.deadline).await?;
        let (engine, caller) = (Arc::clone(self), Arc::clone(&context.caller.id));
        detached(async move {
            let written = answer.await.unwrap_or_else(|_| Err(Failure::lost()));
            let entry = Entry::new(&caller, "delete", &collection.name, ids.iter().map(String::as_str));
            engine.audit.note(&entry, written.as_ref().map(|written| Some(written.generation)));
            written
        })
        .await
    }

    /// Stored documents, in the order of their ids; those that are not there, or not for the caller, are left out.
    pub(crate) async fn documents(
        &self,
        context: &Context,
        name: &str,
        ids: Vec<String>,
        (principals, as_owner): (&[String], bool),
    ) -> Result<Vec<StoredDocument>, Failure> {
        let (open, viewer) = self.opened_for(context, name, principals, as_owner).await?;
        check_some("ids", ids.len())?;
        let limits = self.limits.get();
        check_limit("max-inputs", "ids", ids.len(), limits.inputs)?;
        let (deadline, most) = (context.deadline, limits.answer_bytes);
        self.reading(context, open, move |open| {
            let snapshot = open.reader().snapshot();
            let view = snapshot.view(viewer.as_ref(), SystemTime::now())?;
            let mut found: Vec<StoredDocument> = Vec::new();
            let mut bytes = 0;
            for id in &ids {
                if Instant::now() >= deadline {
                    return Err(Failure::deadline());
                }
                if let Some(document) = view.document(id)? {
                    bytes += bytes_of(&document.document);
                    check_answer("ids", bytes, most)?;
                    found.push(document);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Ids and titles of documents behind `after`, by id.
    pub(crate) async fn list_documents(
        &self,
        context: &Context,
        name: &str,
        (after, limit): (String, usize),
        (principals, as_owner): (&[String], bool),
    ) -> Result<Vec<(String, String)>, Failure> {
        let (open, viewer) = self.opened_for(context, name, principals, as_owner).await?;
        check_limit("max-k", "limit", limit, self.limits.get().k)?;
        let deadline = context.deadline;
        self.reading(context, open, move |open| {
            let snapshot = open.reader().snapshot();
            let view = snapshot.view(viewer.as_ref(), SystemTime::now())?;
            let (mut page, mut after, mut ahead) = (Vec::new(), after, limit);
            while page.len() < limit {
                let ids = snapshot.ids_after(&after, ahead)?;
                let Some(last) = ids.last().cloned() else { break };
                for id in ids {
                    if page.len() == limit {
                        break;
                    }
                    if Instant::now() >= deadline {
                        return Err(Failure::deadline());
                    }
                    if let Some(stored) = view.document(&id)? {
                        page.push((id, stored.document.title));
                    }
                }
                // Where few are for the viewer, more are looked at each time.
                (after, ahead) = (last, ahead.saturating_mul(4));
            }
            Ok(page)
        })
        .await
    }

    /// The collections that the caller may search.
    pub(crate) async fn list(&self, context: &Context) -> Result<Vec<Listed>, Failure> {
        context.caller.may(Scope::Search)?;
        let mut listed = Vec::new();
        for collection in self.collections.all().into_iter().filter(|own| context.caller.sees(&own.name)) {
            let name = collection.name.clone();
            let is_open = collection.if_open().is_some();
            listed.push(match collection.look().await {
                Ok(known) => {
                    // How much is hidden from someone is not for them to know.
                    let known = Some(known).filter(|known| !(known.has_access_lists && context.caller.is_someone()));
                    Listed { name, state: if is_open { "open" } else { "closed" }, error: None, known }
                }
                Err(failure) => Listed { name, state: "failed", error: Some(failure.message), known: None },
            });
        }
        Ok(listed)
    }

    /// What a collection holds.
    pub(crate) async fn describe(&self, context: &Context, name: &str) -> Result<Described, Failure> {
        let collection = self.collection(context, name, Scope::Search)?;
        let (searcher, _) = collection.get().await?.fresh().await?;
        let snapshot = searcher.reader().snapshot();
        let settings = snapshot.settings();
        let mut status = snapshot.status();
        if snapshot.policy().access_field.is_some() && context.caller.is_someone() {
            // How much is hidden from someone is not for them to know.
            let viewer = context.caller.viewer(&[], false)?;
            let view = snapshot.view(viewer.as_ref(), SystemTime::now())?;
            let documents = view.document_numbers(None)?.len() as u64;
            let IndexStatus { generation, format, .. } = status;
            status = IndexStatus { documents, generation, format, ..IndexStatus::default() };
        }
        Ok(Described {
            name: collection.name.clone(),
            status,
            built_with: BuiltWith::of(settings),
            dimensions: settings.dimensions,
            sparse_model: settings.sparse.as_ref().map(|SparseSettings { fingerprint }| fingerprint.model.clone()),
            has_token_rows: settings.tokens.is_some(),
            needs_viewer: snapshot.policy().access_field.is_some(),
            fields: snapshot.fields().clone(),
            latency: collection.searches.latency.report(),
        })
    }

    /// How long the documents of a collection are, by a sample that is spread over all of them.
    pub(crate) async fn lengths(&self, context: &Context, name: &str) -> Result<Lengths, Failure> {
        let collection = self.collection(context, name, Scope::Search)?;
        let open = collection.get().await?;
        let (searcher, _) = open.fresh().await?;
        if searcher.reader().snapshot().policy().access_field.is_some() && context.caller.is_someone() {
            return Ok(Lengths::default());
        }
        self.reading(context, searcher, move |_| open.lengths(measured)).await
    }

    /// Makes a collection without documents.
    pub(crate) async fn create(self: &Arc<Self>, context: &Context, wanted: NewCollection) -> Result<(), Failure> {
        context.caller.may_in(Scope::Admin, &wanted.name)?;
        let (engine, caller) = (Arc::clone(self), Arc::clone(&context.caller.id));
        detached(async move {
            let created = engine.create_now(&wanted).await;
            let entry = Entry::new(&caller, "create", &wanted.name, [].into_iter());
            engine.audit.note(&entry, created.as_ref().map(|()| None));
            created
        })
        .await
    }

    async fn create_now(&self, wanted: &NewCollection) -> Result<(), Failure> {
        self.collections.place_for(&wanted.name)?;
        let key = self.models.key(&wanted.model, Head::Sentence);
        let model = self.models.get(&key).await.map_err(of_field)?;
        let mut options = IngestOptions {
            window_tokens: wanted.window,
            overlap_tokens: wanted.overlap,
            fields: wanted.fields.clone(),
            ..IngestOptions::default()
        };
        options.policy.access_field.clone_from(&wanted.access_field);
        // One after the other, so that of those who ask for one name together the second finds it taken.
        let _turn = self.collections.making.lock().await;
        let place = self.collections.place_for(&wanted.name)?;
        blocking(move || Ok(create_index(Encoders::of(model.encoder()), &place.path, &options)?)).await?;
        self.collections.look_around();
        Ok(())
    }

    async fn opened_for(
        &self,
        context: &Context,
        name: &str,
        principals: &[String],
        as_owner: bool,
    ) -> Result<(Searcher, Option<Viewer>), Failure> {
        let collection = self.collection(context, name, Scope::Search)?;
        let viewer = context.caller.viewer(principals, as_owner)?;
        let open: Arc<OpenCollection> = collection.get().await?;
        Ok((open.fresh().await?.0, viewer))
    }

    /// Reads from an index on a thread, after waiting at the door of searches.
    async fn reading<T: Send + 'static>(
        &self,
        context: &Context,
        searcher: Searcher,
        read: impl FnOnce(&Searcher) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let pass = self.searches.enter(1, context.deadline).await?;
        let deadline = context.deadline;
        blocking(move || {
            let _pass = pass;
            if Instant::now() >= deadline {
                return Err(Failure::deadline());
            }
            read(&searcher)
        })
        .await
    }
}

fn measured(searcher: &Searcher) -> Result<Lengths, Failure> {
    let snapshot = searcher.reader().snapshot();
    let records = snapshot.records()?;
    let step = records.len().div_ceil(SAMPLED).max(1);
    let chunks = records.values().map(|record| u64::from(record.chunks)).collect();
    let mut lengths = Lengths { chunks, ..Lengths::default() };
    for id in records.keys().step_by(step) {
        if let Some(stored) = snapshot.document(id)? {
            lengths.tokens.push(stored.chunks.iter().map(|chunk| u64::from(chunk.tokens)).sum());
        }
    }
    lengths.sampled = lengths.tokens.len();
    Ok(lengths)
}

/// Fields and their kinds, by words such as `year:integer`.
pub(crate) fn declared(words: &[String]) -> Result<Vec<FieldDeclaration>, Failure> {
    let fields: Result<Vec<_>, _> = words.iter().map(|words| words.parse::<FieldDeclaration>()).collect();
    fields.map_err(|error| Failure::invalid("fields", error.to_string()))
}

/// The document of an id, or words that there is none.
pub(crate) fn the_one(mut found: Vec<StoredDocument>, id: &str) -> Result<StoredDocument, Failure> {
    let shown: String = id.chars().take(200).collect();
    found.pop().ok_or_else(|| missing("id", format!("there is no document '{shown}', or it is not for you")))
}

fn check_id(id: &str) -> Result<(), Failure> {
    if id.is_empty() {
        return Err(Failure::invalid("id", "a document has no id; give each one of its own"));
    }
    if id.len() > LONGEST_ID {
        let message = format!("an id has {} bytes; it may have at most {LONGEST_ID}", id.len());
        return Err(Failure { limit: Some("id-bytes"), ..Failure::invalid("id", message) });
    }
    if id.contains('\0') {
        return Err(Failure::new(Code::InvalidInput, "an id has a NUL byte"));
    }
    Ok(())
}
