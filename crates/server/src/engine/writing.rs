//! Writes to a collection, one group after the other: whatever came while a group was worked on is the next one, under one
//! commit. Who wrote hears of it when that is durable.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use berth_pipeline::{Encoders, GivenOutcome, GivenReport, IndexReader, IndexSettings, Ingestor};
use berth_types::{Document, Head};
use serde_json::Value;
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::blocking;
use super::collections::Collection;
use super::models::Models;
use crate::failure::{Code, Failure};
use crate::metrics;

/// Writes that wait for their group.
const WAITING: usize = 64;
/// Documents of a group, and bytes of their texts, from which on it takes no further write.
const GROUP_DOCUMENTS: usize = 512;
const GROUP_BYTES: usize = 16 << 20;
/// After which time a write that had to wait for too long may find a place.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an index stays open for writing after the last write. Nobody else can write it meanwhile.
const IDLE: Duration = Duration::from_secs(2);

/// Work for which the index must not be open for writing.
pub(crate) type Maintenance = Box<dyn FnOnce() -> Result<String, Failure> + Send>;

/// What is to be done.
enum Order {
    Write(Write),
    Maintain(Maintenance, oneshot::Sender<Result<String, Failure>>),
}

struct Write {
    change: Change,
    reply: oneshot::Sender<Result<Written, Failure>>,
}

enum Change {
    Put { documents: Vec<Document>, access: Vec<String> },
    Remove { ids: Vec<String> },
}

/// What became of a write; all of it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// What became of each document, in the order in which they came.
    pub(crate) outcomes: Vec<(String, GivenOutcome)>,
    /// What of stored documents cannot be used, by id.
    pub(crate) warnings: Vec<(String, String)>,
    /// How many of the ids that were to go were there.
    pub(crate) deleted: u64,
    /// The commit that has it.
    pub(crate) generation: u64,
}

/// What is said when more is to be written than there is room for.
pub(crate) fn too_fast(retry_after: Duration) -> Failure {
    let message = "writes come faster than they can be stored; send again what was not acknowledged";
    Failure::overloaded("write-room", message, retry_after)
}

/// Bytes that a document takes, about.
pub(crate) fn bytes_of(document: &Document) -> usize {
    fn of(value: &Value) -> usize {
        /// Of whatever value, in memory.
        const VALUE: usize = 32;
        VALUE
            + match value {
                Value::String(string) => string.len(),
                Value::Array(list) => list.iter().map(of).sum(),
                Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + of(value)).sum(),
                _ => 0,
            }
    }
    let metadata: usize = document.metadata.iter().map(|(name, value)| name.len() + of(value)).sum();
    document.id.len() + document.title.len() + document.text.len() + metadata
}

/// The door to the one that writes a collection.
#[derive(Default)]
pub(crate) struct Writer {
    queue: OnceCell<mpsc::Sender<Order>>,
}

/// What the one that writes needs.
#[derive(Clone)]
pub(crate) struct WriterContext {
    pub(crate) models: Arc<Models>,
    /// Set when the server stops: what is inside the models is finished and committed.
    pub(crate) cancel: Arc<AtomicBool>,
}

impl Writer {
    /// Hands documents in, in their order; what is returned waits until they are durable.
    pub(crate) async fn put(
        &self,
        collection: &Arc<Collection>,
        context: &WriterContext,
        (documents, access): (Vec<Document>, Vec<String>),
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Written, Failure>>, Failure> {
        self.send(collection, context, Change::Put { documents, access }, deadline).await
    }

    /// Hands in ids that are to go.
    pub(crate) async fn remove(
        &self,
        collection: &Arc<Collection>,
        context: &WriterContext,
        ids: Vec<String>,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Written, Failure>>, Failure> {
        self.send(collection, context, Change::Remove { ids }, deadline).await
    }

    /// Does work for which the index must not be open for writing, after what was handed in before.
    pub(crate) async fn maintain(
        &self,
        collection: &Arc<Collection>,
        context: &WriterContext,
        work: Maintenance,
    ) -> Result<oneshot::Receiver<Result<String, Failure>>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.order(collection, context, Order::Maintain(work, reply)).await?;
        Ok(answer)
    }

    async fn send(
        &self,
        collection: &Arc<Collection>,
        context: &WriterContext,
        change: Change,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<Written, Failure>>, Failure> {
        let (reply, answer) = oneshot::channel();
        let order = self.order(collection, context, Order::Write(Write { change, reply }));
        tokio::time::timeout_at(deadline.into(), order).await.unwrap_or_else(|_| Err(too_fast(AGAIN)))?;
        Ok(answer)
    }

    async fn order(&self, collection: &Arc<Collection>, context: &WriterContext, order: Order) -> Result<(), Failure> {
        let start = || async {
            let (sender, receiver) = mpsc::channel(WAITING);
            let writing = Writing {
                path: collection.path.clone(),
                collection: Arc::downgrade(collection),
                context: context.clone(),
                open: None,
            };
            tokio::spawn(writing.run(receiver));
            sender
        };
        let queue = self.queue.get_or_init(start).await;
        queue.send(order).await.map_err(|_| Failure::lost())
    }
}

/// The one that writes a collection.
struct Writing {
    path: PathBuf,
    collection: Weak<Collection>,
    context: WriterContext,
    /// The index, while it is open for writing, and its settings, which nobody changes meanwhile.
    open: Option<(Ingestor, IndexSettings)>,
}

impl Writing {
    async fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut next = None;
        loop {
            let order = match next.take() {
                Some(order) => Some(order),
                None if self.open.is_some() => {
                    let Ok(order) = tokio::time::timeout(IDLE, queue.recv()).await else {
                        self.close().await;
                        continue;
                    };
                    order
                }
                None => queue.recv().await,
            };
            match order {
                None => break,
                Some(Order::Maintain(work, reply)) => {
                    self.close().await;
                    let _ = reply.send(blocking(work).await);
                    self.show().await;
                }
                Some(Order::Write(first)) => {
                    let mut group = Group::begin(first);
                    while group.has_room()
                        && let Ok(order) = queue.try_recv()
                    {
                        // What cannot be of this group begins the next one.
                        next = match order {
                            Order::Write(write) => group.add(write).map(Order::Write),
                            maintain @ Order::Maintain(..) => Some(maintain),
                        };
                        if next.is_some() {
                            break;
                        }
                    }
                    self.write(group).await;
                }
            }
        }
        self.close().await;
    }

    async fn write(&mut self, group: Group) {
        let Group { documents, order, gone, access, writes, .. } = group;
        let documents: Vec<Document> = {
            let mut documents = documents;
            order.into_iter().filter_map(|id| documents.remove(&id)).collect()
        };
        let written = self.apply(documents, gone, access).await;
        if let (Some(collection), Ok(report)) = (self.collection.upgrade(), &written) {
            let put = report.outcomes.values().filter(|outcome| !matches!(outcome, GivenOutcome::Rejected(_)));
            metrics::written(&collection.name, put.count() as u64, report.deleted as u64);
        }
        // Who hears that a document is there must be able to find it.
        self.show().await;
        for (asked, reply) in writes {
            // Who asked may have gone.
            let _ = reply.send(written.as_ref().map(|report| asked.of(report)).map_err(Failure::clone));
        }
    }

    /// Lets searches see the last commit.
    async fn show(&self) {
        let Some(collection) = self.collection.upgrade() else { return };
        if let Some(open) = collection.if_open()
            && let Err(failure) = blocking(move || open.refresh()).await
        {
            tracing::error!(collection = %collection.name, %failure, "a commit cannot be opened");
        }
    }

    async fn apply(
        &mut self,
        documents: Vec<Document>,
        gone: Vec<String>,
        access: Vec<String>,
    ) -> Result<GivenReport, Failure> {
        let path = self.path.clone();
        let (open, settings) = match self.open.take() {
            Some((open, settings)) => (Some(open), settings),
            None => (None, blocking(move || Ok(IndexReader::open(&path)?.snapshot().settings().clone())).await?),
        };
        let models = &self.context.models;
        let dense = models.get(&models.key_of(&settings.fingerprint, Head::Sentence)).await?;
        let tokens = match &settings.tokens {
            Some(tokens) => {
                let head = models.head_of_tokens(&tokens.fingerprint.model)?;
                Some(models.get(&models.key_of(&tokens.fingerprint, head)).await?)
            }
            None => None,
        };
        let sparse = match &settings.sparse {
            Some(sparse) => Some(models.get(&models.key_of(&sparse.fingerprint, Head::Sparse)).await?),
            None => None,
        };
        let (path, cancel) = (self.path.clone(), Arc::clone(&self.context.cancel));
        let (open, report) = blocking(move || {
            let tokens = tokens.map(|model| model.token_encoder()).transpose()?;
            let sparse = sparse.map(|model| model.sparse_encoder()).transpose()?;
            let encoders = Encoders { dense: dense.encoder(), tokens: tokens.as_ref(), sparse: sparse.as_ref() };
            let ingestor = open.map_or_else(|| Ingestor::open(encoders, &path), Ok)?;
            Ok(ingestor.apply(encoders, (documents, &gone), &access, &cancel)?)
        })
        .await?;
        self.open = Some((open, settings));
        if report.ingest.interrupted {
            let message = "the server is stopping; send again what was not acknowledged";
            return Err(Failure::new(Code::Unavailable, message));
        }
        Ok(report)
    }

    /// Merges what is due, and lets others write.
    async fn close(&mut self) {
        let Some((open, _)) = self.open.take() else { return };
        if let Err(failure) = blocking(move || Ok(open.close()?)).await {
            tracing::error!(path = %self.path.display(), %failure, "the index cannot be closed");
        }
    }
}

/// Writes that become one commit. Of several about one id the last one counts.
struct Group {
    documents: HashMap<String, Document>,
    /// Ids of documents, each once, as they came first.
    order: Vec<String>,
    gone: Vec<String>,
    access: Vec<String>,
    bytes: usize,
    writes: Vec<(Asked, oneshot::Sender<Result<Written, Failure>>)>,
}

/// What a write was about, to answer it.
enum Asked {
    Put(Vec<String>),
    Remove(Vec<String>),
}

impl Asked {
    fn of(&self, report: &GivenReport) -> Written {
        let generation = report.ingest.generation;
        match self {
            Self::Put(ids) => {
                // Removed by a later write of the same group: it was there, as far as anybody can tell.
                let outcome = |id: &String| report.outcomes.get(id).cloned().unwrap_or(GivenOutcome::Added);
                let outcomes = ids.iter().map(|id| (id.clone(), outcome(id))).collect();
                let problems =
                    report.ingest.problems.iter().filter(|problem| !problem.lost && ids.contains(&problem.place));
                let warnings = problems.map(|problem| (problem.place.clone(), problem.reason.clone())).collect();
                Written { outcomes, warnings, generation, ..Written::default() }
            }
            Self::Remove(ids) if ids.is_empty() => Written { generation, ..Written::default() },
            Self::Remove(_) => Written { deleted: report.deleted as u64, generation, ..Written::default() },
        }
    }
}

impl Group {
    fn begin(first: Write) -> Self {
        let access = match &first.change {
            Change::Put { access, .. } => access.clone(),
            Change::Remove { .. } => Vec::new(),
        };
        let mut group = Self {
            documents: HashMap::new(),
            order: Vec::new(),
            gone: Vec::new(),
            access,
            bytes: 0,
            writes: Vec::new(),
        };
        group.take(first);
        group
    }

    fn has_room(&self) -> bool {
        self.documents.len() < GROUP_DOCUMENTS && self.bytes < GROUP_BYTES
    }

    /// Takes a write in, or gives it back when it cannot be of this group. Removals are answered with how many were there,
    /// so that no two of them share a group.
    fn add(&mut self, write: Write) -> Option<Write> {
        let fits = match &write.change {
            // A group with lists of those who may find its documents can fail for them, which is not for removals to bear.
            Change::Put { access, .. } => *access == self.access && (access.is_empty() || !self.has_removal()),
            Change::Remove { .. } => self.access.is_empty() && !self.has_removal(),
        };
        if !fits {
            return Some(write);
        }
        self.take(write);
        None
    }

    fn has_removal(&self) -> bool {
        self.writes.iter().any(|(asked, _)| matches!(asked, Asked::Remove(_)))
    }

    fn take(&mut self, Write { change, reply }: Write) {
        let asked = match change {
            Change::Put { documents, .. } => {
                let ids = documents.iter().map(|document| document.id.clone()).collect();
                for document in documents {
                    self.bytes += bytes_of(&document);
                    self.gone.retain(|id| *id != document.id);
                    if self.documents.insert(document.id.clone(), document.clone()).is_none() {
                        self.order.push(document.id);
                    }
                }
                Asked::Put(ids)
            }
            Change::Remove { ids } => {
                for id in &ids {
                    self.documents.remove(id);
                }
                self.gone.extend(ids.iter().cloned());
                Asked::Remove(ids)
            }
        };
        self.writes.push((asked, reply));
    }
}

/// How many documents became what.
pub(crate) fn counted(outcomes: &[(String, GivenOutcome)]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::from([("added", 0), ("changed", 0), ("unchanged", 0), ("rejected", 0)]);
    for (_, outcome) in outcomes {
        let word = match outcome {
            GivenOutcome::Added => "added",
            GivenOutcome::Changed => "changed",
            GivenOutcome::Unchanged => "unchanged",
            GivenOutcome::Rejected(_) => "rejected",
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(ids: &[(&str, &str)], access: &[&str]) -> Write {
        let document = |(id, text): &(&str, &str)| Document {
            id: (*id).to_owned(),
            text: (*text).to_owned(),
            ..Document::default()
        };
        let access = access.iter().map(ToString::to_string).collect();
        Write {
            change: Change::Put { documents: ids.iter().map(document).collect(), access },
            reply: oneshot::channel().0,
        }
    }

    fn remove(ids: &[&str]) -> Write {
        Write {
            change: Change::Remove { ids: ids.iter().map(ToString::to_string).collect() },
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn of_several_writes_about_one_id_the_last_one_counts() {
        let mut group = Group::begin(put(&[("a", "1"), ("b", "1"), ("a", "2")], &[]));
        assert!(group.add(put(&[("c", "1"), ("b", "3")], &[])).is_none());
        assert!(group.add(remove(&["c", "d"])).is_none());
        let texts: Vec<(&str, Option<&str>)> = group
            .order
            .iter()
            .map(|id| (id.as_str(), group.documents.get(id).map(|document| document.text.as_str())))
            .collect();
        assert_eq!(texts, [("a", Some("2")), ("b", Some("3")), ("c", None)]);
        assert_eq!(group.gone, ["c", "d"]);
        assert!(group.add(put(&[("d", "9")], &[])).is_none());
        assert_eq!(group.gone, ["c"]);
        assert_eq!(group.writes.len(), 4);
    }

    #[test]
    fn documents_for_others_and_further_removals_begin_a_group() {
        let mut group = Group::begin(put(&[("a", "1")], &["alice"]));
        assert!(group.add(put(&[("b", "1")], &["bob"])).is_some());
        assert!(group.add(put(&[("b", "1")], &["alice"])).is_none());
        assert!(group.add(remove(&["x"])).is_some());
        let mut group = Group::begin(put(&[("a", "1")], &[]));
        assert!(group.add(remove(&["x"])).is_none());
        assert!(group.add(remove(&["y"])).is_some());
        assert!(group.add(put(&[("b", "1")], &[])).is_none());
        let mut group = Group::begin(remove(&["x"]));
        assert!(group.add(put(&[("a", "1")], &["alice"])).is_some());
    }
}
