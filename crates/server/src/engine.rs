//! What answers requests, whatever protocol they came by: models and collections, each behind its door.
//!
//! Every request names its caller, and every operation asks what that caller may do before it does anything else; the
//! protocols add nothing to that and can leave nothing out.

pub(crate) mod collections;
pub(crate) mod documents;
pub(crate) mod gate;
pub(crate) mod jobs;
pub(crate) mod models;
pub(crate) mod search;
pub(crate) mod texts;
pub(crate) mod writing;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use berth_pipeline::{Call, Lane};
use berth_types::Head;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use self::collections::{Collection, Collections};
use self::gate::Gate;
use self::jobs::Jobs;
use self::models::Models;
use self::writing::WriterContext;
use crate::access::Caller;
use crate::access::audit::Audit;
use crate::access::keys::Scope;
use crate::failure::{Code, Failure, hide};
use crate::options::{CurrentLimits, ServerOptions};

/// Searches under way for each core: while one waits for the model another looks into the index.
const SEARCHES_A_CORE: usize = 2;

/// Time for what was begun to be ended and noted, also when requests took all the time to drain.
const LAST_WORK: Duration = Duration::from_secs(5);

/// What every request brings beside what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) caller: Caller,
    /// When the answer is of no use any more.
    pub(crate) deadline: Instant,
    /// Whether someone waits for it; by the number of its inputs when none.
    pub(crate) lane: Option<Lane>,
    /// Looks again who asks, for what goes on for longer than a request.
    pub(crate) renewal: Renewal,
}

impl Context {
    /// The same for the next message of a stream, which has its time for itself: a key may be void by now, or have asked too
    /// often.
    ///
    /// # Errors
    /// As for a request of its own.
    pub(crate) fn renewed(&self, time: Duration) -> Result<Self, Failure> {
        let caller = (self.renewal.0)()?;
        Ok(Self { caller, deadline: Instant::now() + time, ..self.clone() })
    }
}

/// Looks who asks.
#[derive(Clone)]
pub(crate) struct Renewal(Arc<dyn Fn() -> Result<Caller, Failure> + Send + Sync>);

impl Renewal {
    pub(crate) fn new(look: impl Fn() -> Result<Caller, Failure> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

/// Models and collections of a server.
pub(crate) struct Engine {
    pub(crate) models: Arc<Models>,
    pub(crate) collections: Collections,
    pub(crate) limits: CurrentLimits,
    pub(crate) audit: Audit,
    pub(crate) jobs: Jobs,
    pub(crate) log_queries: bool,
    tokenizers: texts::Tokenizers,
    searches: Arc<Gate>,
    tokenizing: Arc<Gate>,
    /// Text that waits to be written.
    write_room: Arc<Semaphore>,
    cancel: Arc<AtomicBool>,
    is_ending: AtomicBool,
}

impl Engine {
    pub(crate) fn new(options: &ServerOptions, audit: Audit) -> Arc<Self> {
        let ServerOptions { home, collections, collections_dir, models, memory_budget_bytes, .. } = options;
        let limits = CurrentLimits::new(options.limits.clone());
        let own = collections.iter().map(|place| place.path.clone());
        hide(own.chain(collections_dir.clone()).chain([home.root().to_path_buf()]));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            models: Arc::new(Models::new(home.clone(), models.clone(), limits.clone(), *memory_budget_bytes)),
            collections: Collections::new(collections.clone(), collections_dir.clone()),
            audit,
            jobs: Jobs::default(),
            log_queries: options.log_queries,
            tokenizers: texts::Tokenizers::default(),
            searches: Gate::new(SEARCHES_A_CORE * cores, limits.clone()),
            tokenizing: Gate::new(cores, limits.clone()),
            limits,
            write_room: Arc::new(Semaphore::new(documents::WRITE_ROOM_KIB)),
            cancel: Arc::default(),
            is_ending: AtomicBool::new(false),
        })
    }

    /// The collection that a request means, if its caller may do `scope` there.
    pub(crate) fn collection(&self, context: &Context, name: &str, scope: Scope) -> Result<Arc<Collection>, Failure> {
        let caller = &context.caller;
        caller.may(scope)?;
        let name = match (name, caller.collections()) {
            // Of several collections, the only one that the key is for.
            ("", Some([only])) => only,
            _ => name,
        };
        if !name.is_empty() {
            caller.may_in(scope, name)?;
            return self.collections.get(name);
        }
        let collection = self.collections.get("")?;
        // Which one it would be is not for everyone to know.
        if !caller.sees(&collection.name) {
            return Err(Failure::invalid("collection", "name a collection that the key is for"));
        }
        Ok(collection)
    }

    fn writer_context(&self) -> WriterContext {
        WriterContext { models: Arc::clone(&self.models), cancel: Arc::clone(&self.cancel) }
    }

    /// The lane of a request with so many inputs.
    fn lane(context: &Context, inputs: usize) -> Lane {
        /// Requests of more texts than these are work in quantity.
        const FEW: usize = 8;
        context.lane.unwrap_or(if inputs <= FEW { Lane::Query } else { Lane::Bulk })
    }

    /// How many wait at all doors.
    pub(crate) fn waiting(&self) -> usize {
        let models = self.models.loaded();
        let of_models = models.iter().map(|(_, model)| {
            [Lane::Query, Lane::Bulk].into_iter().map(|lane| model.gate(lane).waiting()).sum::<usize>()
        });
        self.searches.waiting() + self.tokenizing.waiting() + of_models.sum::<usize>()
    }

    /// Whether every collection could be opened when that was tried last; those that were never tried are opened. Who asks need
    /// not be anybody, so that nothing is said of which it is.
    pub(crate) async fn check_ready(&self) -> Result<(), Failure> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Unavailable, "the server is stopping"));
        }
        for collection in self.collections.all() {
            if let Err(failure) = collection.check().await {
                tracing::warn!(collection = %collection.name, %failure, "not ready");
                return Err(Failure::new(
                    Code::Unavailable,
                    "a collection cannot be opened; the server's log says which",
                ));
            }
        }
        Ok(())
    }

    /// Opens the models that the collections were built with.
    pub(crate) async fn warm_up(&self) {
        for collection in self.collections.all() {
            let Some(open) = collection.if_open() else { continue };
            let Ok((searcher, _)) = open.fresh().await else { continue };
            let key = self.models.key_of(&searcher.reader().snapshot().settings().fingerprint, Head::Sentence);
            if let Err(failure) = self.models.get(&key).await {
                tracing::warn!(collection = %collection.name, %failure, "the model of the collection cannot be opened");
            }
        }
    }

    /// Closes models and collections that nobody uses, the least recently used first, until what is open is within the budget.
    /// The model and the collection that were used last stay.
    pub(crate) fn make_room(&self, budget_bytes: Option<u64>) {
        let Some(budget) = budget_bytes else { return };
        let mut models: Vec<_> = self.models.in_memory();
        models.sort_by_key(|(_, last_used_ms, _)| *last_used_ms);
        let indexes = self.collections.all().into_iter().filter_map(|collection| {
            let bytes = collection.if_open()?.bytes();
            Some((collection.last_used(), bytes, collection))
        });
        let mut indexes: Vec<_> = indexes.collect();
        indexes.sort_by_key(|(last_used_ms, ..)| *last_used_ms);
        let of_models: u64 = models.iter().map(|(.., bytes)| bytes).sum();
        let mut total = of_models + indexes.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        models.pop();
        indexes.pop();
        let (mut models, mut indexes) = (models.into_iter().peekable(), indexes.into_iter().peekable());
        while total > budget {
            let next_model = models.peek().map_or(u64::MAX, |(_, last_used_ms, _)| *last_used_ms);
            let next_index = indexes.peek().map_or(u64::MAX, |(last_used_ms, ..)| *last_used_ms);
            if next_index <= next_model
                && let Some((_, bytes, collection)) = indexes.next()
            {
                collection.close();
                tracing::info!(collection = %collection.name, "collection closed to keep to the memory budget");
                total -= bytes;
            } else if let Some((key, _, bytes)) = models.next() {
                self.models.close(&key);
                total -= bytes;
            } else {
                return;
            }
        }
    }

    /// Says from now on that the server is about to end.
    pub(crate) fn announce_end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Ends what takes long: writers finish what is inside the models and commit it. Waits until `until` for what goes on
    /// though nobody waits for it any more.
    pub(crate) async fn stop(&self, until: Instant) {
        self.cancel.store(true, Ordering::Relaxed);
        let mut at_work = AT_WORK.subscribe();
        let all_done = at_work.wait_for(|count| *count == 0);
        let until = until.max(Instant::now() + LAST_WORK);
        if tokio::time::timeout_at(until.into(), all_done).await.is_err() {
            tracing::warn!("writes or jobs were cut: they took longer than the time to drain");
        }
    }
}

/// What computes gives way to what listens and answers, so that whoever is turned away hears it at once. Threads of models
/// are started from here and have it from here.
const NICENESS: i32 = 5;

thread_local! {
    static GIVES_WAY: () = give_way();
}

/// Of the calling thread alone, where the system knows such a thing. It is no failure where it does not.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Runs what may take its time on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let span = tracing::Span::current();
    let work = move || {
        GIVES_WAY.with(|()| ());
        span.in_scope(work)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a thread that worked on a request ended");
            Err(Failure::lost())
        }
    }
}

/// How much work is under way that goes on when nobody waits for it any more.
static AT_WORK: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// Counts work as being under way for as long as it is kept.
struct AtWork;

impl AtWork {
    fn begin() -> Self {
        AT_WORK.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.send_modify(|count| *count -= 1);
    }
}

/// Begins work that has to come to its end whoever waits for it; a server that stops waits for it as long as it may.
pub(crate) fn begin<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let at_work = AtWork::begin();
    let work = async move {
        let _at_work = at_work;
        work.await
    };
    tokio::spawn(work.in_current_span())
}

/// Does work that has to come to its end also when nobody waits for it any more.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    begin(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the work on a request ended");
        Err(Failure::lost())
    })
}

/// Takes the rows of a request back when nobody waits for it any more.
pub(crate) struct Cancelling(pub(crate) Call);

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Milliseconds since the first call.
pub(crate) fn uptime_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Refuses more of something than a limit allows.
pub(crate) fn check_limit(limit: &'static str, field: &'static str, count: usize, most: usize) -> Result<(), Failure> {
    if count <= most {
        return Ok(());
    }
    Err(Failure::limit(
        limit,
        field,
        format!("{count} are more than the limit {limit} of {most}; send fewer at a time"),
    ))
}

/// Refuses an answer of more bytes than the limit allows.
pub(crate) fn check_answer(field: &'static str, bytes: usize, most: usize) -> Result<(), Failure> {
    if bytes <= most {
        return Ok(());
    }
    let message =
        format!("the answer has more bytes than the limit max-answer-bytes of {most}; ask for less at a time");
    Err(Failure::limit("max-answer-bytes", field, message))
}

/// Refuses nothing where something has to be.
pub(crate) fn check_some(field: &'static str, count: usize) -> Result<(), Failure> {
    if count == 0 { Err(Failure::invalid(field, format!("{field} is empty; send at least one"))) } else { Ok(()) }
}

/// What is not there, in words about a field.
pub(crate) fn missing(field: &'static str, message: impl Into<String>) -> Failure {
    Failure { field: Some(field), ..Failure::new(Code::NotFound, message) }
}
