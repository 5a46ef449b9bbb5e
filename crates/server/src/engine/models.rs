//! Models that are in memory: opened when they are first asked for, closed when others need the room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use berth_pipeline::{
    DEFAULT_MODEL, Encoder, EncoderChoice, Error, Home, Lane, SparseEncoder, TokenEncoder, choice_for, installed,
    open_head, settled_precision,
};
use berth_types::{Device, Fingerprint, Head, Precision};
use tokio::sync::OnceCell;

use super::gate::Gate;
use super::{blocking, detached, uptime_ms};
use crate::failure::{Code, Failure};
use crate::options::CurrentLimits;

/// What one open model answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModelKey {
    pub(crate) name: String,
    /// As suits the machine when none.
    pub(crate) precision: Option<Precision>,
    pub(crate) head: Head,
}

/// A model in memory, with its two doors: for those who wait for one answer, and for work in quantity.
pub(crate) struct Model {
    encoder: Encoder,
    interactive: Arc<Gate>,
    bulk: Arc<Gate>,
    tokens: OnceLock<TokenEncoder>,
    sparse: OnceLock<SparseEncoder>,
    /// Size of its graph on disk.
    bytes: u64,
}

impl Model {
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The door for requests in this lane.
    pub(crate) fn gate(&self, lane: Lane) -> &Arc<Gate> {
        match lane {
            Lane::Query => &self.interactive,
            Lane::Bulk => &self.bulk,
        }
    }

    /// The model for late interaction; it must have been opened for that.
    pub(crate) fn token_encoder(&self) -> Result<TokenEncoder, Failure> {
        prepared(&self.tokens, || TokenEncoder::over(self.encoder.clone()))
    }

    /// The model for sparse vectors; it must have been opened for that.
    pub(crate) fn sparse_encoder(&self) -> Result<SparseEncoder, Failure> {
        prepared(&self.sparse, || SparseEncoder::over(self.encoder.clone()))
    }
}

fn prepared<T: Clone>(place: &OnceLock<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Failure> {
    if let Some(ready) = place.get() {
        return Ok(ready.clone());
    }
    let made = make()?;
    Ok(place.get_or_init(|| made).clone())
}

/// A place for a model; whoever comes first opens it, and the others wait for that.
type Slot = Arc<OnceCell<Arc<Model>>>;

struct Open {
    slot: Slot,
    /// Milliseconds since the start of the process.
    last_used_ms: u64,
}

/// All models of a server.
pub(crate) struct Models {
    home: Home,
    choice: EncoderChoice,
    limits: CurrentLimits,
    budget_bytes: Option<u64>,
    open: Mutex<BTreeMap<ModelKey, Open>>,
    /// By which head models give tokens their vectors, as far as that was asked.
    heads: Mutex<BTreeMap<String, Head>>,
    /// What models without a precision of their own run in.
    settled: Mutex<BTreeMap<(String, Head), Precision>>,
}

impl Models {
    pub(crate) fn new(home: Home, choice: EncoderChoice, limits: CurrentLimits, budget_bytes: Option<u64>) -> Self {
        Self {
            home,
            choice,
            limits,
            budget_bytes,
            open: Mutex::default(),
            heads: Mutex::default(),
            settled: Mutex::default(),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The model that is meant where a request names none.
    pub(crate) fn default_name(&self) -> &str {
        self.choice.model.as_deref().unwrap_or(DEFAULT_MODEL)
    }

    /// The key of a model by name; the default one where that is empty.
    pub(crate) fn key(&self, name: &str, head: Head) -> ModelKey {
        let name = if name.is_empty() { self.default_name() } else { name };
        ModelKey { name: name.to_owned(), precision: self.choice.precision, head }
    }

    /// The key of the model that an index was built with; whatever the server was told, the index counts.
    pub(crate) fn key_of(&self, built_with: &Fingerprint, head: Head) -> ModelKey {
        let of_index = EncoderChoice { model: None, precision: None, ..self.choice.clone() };
        let choice = choice_for(&of_index, built_with);
        let name = choice.model.unwrap_or_else(|| built_with.model.clone());
        ModelKey { name, precision: choice.precision, head }
    }

    /// The head by which a model ranks or gives tokens their vectors: late interaction where its card says how.
    pub(crate) fn head_of_tokens(&self, name: &str) -> Result<Head, Failure> {
        let name = if name.is_empty() { self.default_name() } else { name };
        if let Some(head) = self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(*head);
        }
        let head = if installed(&self.home, name)?.card().late.is_some() { Head::Late } else { Head::Tokens };
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), head);
        Ok(head)
    }

    /// The model, opened when it is not.
    pub(crate) async fn get(self: &Arc<Self>, key: &ModelKey) -> Result<Arc<Model>, Failure> {
        self.opened(key).await.map_err(|failure| {
            // Whoever has several models wants to know which one it is about.
            if failure.message.contains(&key.name) {
                return failure;
            }
            failure.about(&format!("model '{}'", key.name))
        })
    }

    async fn opened(self: &Arc<Self>, key: &ModelKey) -> Result<Arc<Model>, Failure> {
        if let Some(open) = self.if_open(key) {
            return Ok(open);
        }
        // It is opened to the end though who asked may be gone by then: else a model that takes longer to open than clients
        // wait never would be.
        let (models, key) = (Arc::clone(self), key.clone());
        detached(async move { models.open(&key).await }).await
    }

    /// The model, if it is in memory.
    fn if_open(&self, key: &ModelKey) -> Option<Arc<Model>> {
        let key = self.if_settled(key)?;
        let mut open = self.lock();
        let entry = open.get_mut(&key)?;
        entry.last_used_ms = uptime_ms();
        entry.slot.get().cloned()
    }

    async fn open(&self, key: &ModelKey) -> Result<Arc<Model>, Failure> {
        let key = &self.settled(key).await?;
        let slot = {
            let mut open = self.lock();
            let entry = open.entry(key.clone()).or_insert_with(|| Open { slot: Slot::default(), last_used_ms: 0 });
            entry.last_used_ms = uptime_ms();
            Arc::clone(&entry.slot)
        };
        let opened = slot.get_or_try_init(|| self.load(key.clone())).await.cloned();
        match &opened {
            Ok(_) => self.make_room(key),
            // A name that is none leaves nothing behind.
            Err(_) => self.lock().retain(|other, open| other != key || open.slot.initialized()),
        }
        opened
    }

    /// The key with the precision that the machine settles on, so that a model is not opened once by that name and once
    /// without.
    async fn settled(&self, key: &ModelKey) -> Result<ModelKey, Failure> {
        if let Some(settled) = self.if_settled(key) {
            return Ok(settled);
        }
        let (home, mut choice, head) = (self.home.clone(), self.choice.clone(), key.head);
        choice.model = Some(key.name.clone());
        let precision = blocking(move || Ok(settled_precision(&home, &choice, head)?)).await?;
        let asked = (key.name.clone(), key.head);
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, precision);
        Ok(ModelKey { precision: Some(precision), ..key.clone() })
    }

    fn if_settled(&self, key: &ModelKey) -> Option<ModelKey> {
        let known = || {
            let asked = (key.name.clone(), key.head);
            self.settled.lock().unwrap_or_else(PoisonError::into_inner).get(&asked).copied()
        };
        let precision = key.precision.or_else(known)?;
        Some(ModelKey { precision: Some(precision), ..key.clone() })
    }

    async fn load(&self, key: ModelKey) -> Result<Arc<Model>, Failure> {
        let (home, limits) = (self.home.clone(), self.limits.clone());
        let mut choice = self.choice.clone();
        choice.model = Some(key.name.clone());
        choice.precision = key.precision;
        let started = Instant::now();
        let (name, head) = (key.name.clone(), key.head);
        let model = blocking(move || {
            let encoder = open_head(&home, &choice, key.head, None)?;
            let files = installed(&home, &key.name)?;
            let graph = key.head.graph_file(encoder.precision());
            // A graph of a checkpoint that came with one has a name of its own.
            let largest = || files.files().values().map(|file| file.bytes).max().unwrap_or(0);
            let bytes = files.files().get(&graph).map_or_else(largest, |file| file.bytes);
            // Enough rows for the model never to wait, from requests of one text each.
            let places = (2 * encoder.rows_under_way()).max(16);
            let bulk_places = if encoder.device() == Device::Cpu { 4 } else { 16 };
            let gate = |places| Gate::new(places, limits.clone());
            let (interactive, bulk) = (gate(places), gate(bulk_places));
            let (tokens, sparse) = (OnceLock::new(), OnceLock::new());
            Ok(Arc::new(Model { encoder, interactive, bulk, tokens, sparse, bytes }))
        })
        .await?;
        let took_ms = started.elapsed().as_millis();
        tracing::info!(model = %name, %head, precision = %model.encoder.precision(), took_ms, "model opened");
        Ok(model)
    }

    /// Closes models that were not used for the longest time until the others, with `kept`, are within the budget. Requests
    /// that have one keep it until they are done.
    fn make_room(&self, kept: &ModelKey) {
        let Some(budget) = self.budget_bytes else { return };
        let mut open = self.lock();
        loop {
            let sizes = open.iter().filter_map(|(key, open)| Some((key, open.last_used_ms, open.slot.get()?.bytes)));
            let sizes: Vec<_> = sizes.collect();
            if sizes.iter().map(|(_, _, bytes)| bytes).sum::<u64>() <= budget {
                return;
            }
            let oldest = sizes.iter().filter(|(key, ..)| *key != kept).min_by_key(|(_, last_used_ms, _)| *last_used_ms);
            let Some(key) = oldest.map(|(key, ..)| (*key).clone()) else { return };
            tracing::info!(model = %key.name, head = %key.head, "model closed to keep to the memory budget");
            open.remove(&key);
        }
    }

    /// Those that are in memory: when each was last used, and the bytes of its graph.
    pub(crate) fn in_memory(&self) -> Vec<(ModelKey, u64, u64)> {
        let open = self.lock();
        open.iter().filter_map(|(key, open)| Some((key.clone(), open.last_used_ms, open.slot.get()?.bytes))).collect()
    }

    /// Lets go of a model until it is asked for again; requests that have it keep it until they are done.
    pub(crate) fn close(&self, key: &ModelKey) {
        tracing::info!(model = %key.name, head = %key.head, "model closed to keep to the memory budget");
        self.lock().remove(key);
    }

    /// Those that are in memory, with their doors.
    pub(crate) fn loaded(&self) -> Vec<(ModelKey, Arc<Model>)> {
        let open = self.lock();
        open.iter().filter_map(|(key, open)| Some((key.clone(), Arc::clone(open.slot.get()?)))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ModelKey, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns what is wrong with a model's name into words about the request.
pub(crate) fn of_field(failure: Failure) -> Failure {
    if failure.code == Code::NotFound { Failure { field: Some("model"), ..failure } } else { failure }
}
