//! What a server is started with. The defaults are good enough to ship.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use berth_pipeline::{EncoderChoice, Home};

/// Everything that a server is told.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where it listens, for gRPC and HTTP alike.
    pub listen: SocketAddr,
    /// Where models are.
    pub home: Home,
    /// Collections by name.
    pub collections: Vec<CollectionPlace>,
    /// A folder whose folders are collections, each under its own name; those that are made while it serves are made here.
    pub collections_dir: Option<PathBuf>,
    /// Model where a request names none, and how models run.
    pub models: EncoderChoice,
    /// File of API keys; none: whoever reaches the server may do everything.
    pub keys: Option<PathBuf>,
    /// Whether it may listen beyond this machine without keys.
    pub open_to_all: bool,
    /// Certificate and key; none: plain.
    pub tls: Option<TlsFiles>,
    /// Origins whose pages may ask from a browser; `*` is all of them.
    pub cors_origins: Vec<String>,
    /// File that writes are noted in, a line of JSON each.
    pub audit: Option<PathBuf>,
    /// Most bytes of open models and indexes, by the size of their files; the least recently used are closed beyond.
    pub memory_budget_bytes: Option<u64>,
    /// Time for requests that are under way when the server is asked to stop.
    pub drain: Duration,
    /// Whether questions are kept in their collection's folder, for `berth queries`.
    pub log_queries: bool,
    /// What requests may ask for.
    pub limits: Limits,
}

/// A collection: an index under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionPlace {
    /// What requests call it.
    pub name: String,
    /// Folder of the index.
    pub path: PathBuf,
}

/// Files of PEM that are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain of certificates, the server's own first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates that sign those of clients; with it, a client without one is turned away.
    pub client_ca: Option<PathBuf>,
}

/// What requests may ask for. Each has a name by which errors call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `max-message-bytes`: bytes of a request.
    pub message_bytes: usize,
    /// `max-inputs`: texts, documents or questions of a request.
    pub inputs: usize,
    /// `max-tokens`: tokens of all texts of a request.
    pub tokens: usize,
    /// `max-k`: hits of a question, and how deep a reranker may look.
    pub k: usize,
    /// `max-query-bytes`: bytes of a question.
    pub query_bytes: usize,
    /// `max-filter-bytes`: bytes of a filter.
    pub filter_bytes: usize,
    /// `max-answer-bytes`: bytes of the documents, hits or vectors of an answer, as they are in memory.
    pub answer_bytes: usize,
    /// `max-header-bytes`: bytes of all headers of a request.
    pub header_bytes: u32,
    /// `max-streams`: requests of a connection at the same time.
    pub streams: u32,
    /// `max-connections`: connections at the same time; further ones wait to be accepted.
    pub connections: usize,
    /// `max-connection-age`: time after which a connection takes no new request; none: no such time.
    pub connection_age: Option<Duration>,
    /// `header-timeout`: time for a client to send its headers, and its handshake.
    pub header_timeout: Duration,
    /// `body-timeout`: time in which a client has to send some of a body that it has begun.
    pub body_timeout: Duration,
    /// `idle-timeout`: time after which a connection that asks nothing is closed.
    pub idle_timeout: Duration,
    /// `request-timeout`: time for an answer where the client names none, and the most that it may name.
    pub request_timeout: Duration,
    /// `max-queue`: requests that wait for the same model, or for a search.
    pub queue: usize,
    /// `max-wait`: time that a request may be expected to wait; one that would wait longer is turned away at once.
    pub wait: Duration,
    /// `rate`: requests a second of a key, or of an address where there are no keys; none: as many as come.
    pub rate: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 32 << 20,
            // As many as the API of OpenAI takes.
            inputs: 2048,
            tokens: 1 << 20,
            k: 1000,
            query_bytes: 64 << 10,
            filter_bytes: 16 << 10,
            answer_bytes: 64 << 20,
            header_bytes: 16 << 10,
            streams: 256,
            connections: 1024,
            connection_age: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(60),
            // So few that those who are let in wait not twice as long as at a load of 64.
            queue: 96,
            wait: Duration::from_secs(2),
            rate: None,
        }
    }
}

/// The limits that hold now; all parts of a server look here, so that they can be changed while it serves.
#[derive(Debug, Clone)]
pub(crate) struct CurrentLimits(Arc<RwLock<Arc<Limits>>>);

impl CurrentLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }

    pub(crate) fn get(&self) -> Arc<Limits> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has others hold from now on; returns those that held.
    pub(crate) fn set(&self, limits: Limits) -> Arc<Limits> {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(limits))
    }
}

impl ServerOptions {
    /// A server on this machine alone, without collections.
    pub fn new(home: Home) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            home,
            collections: Vec::new(),
            collections_dir: None,
            models: EncoderChoice::default(),
            keys: None,
            open_to_all: false,
            tls: None,
            cors_origins: Vec::new(),
            audit: None,
            memory_budget_bytes: None,
            drain: Duration::from_secs(30),
            log_queries: false,
            limits: Limits::default(),
        }
    }
}
