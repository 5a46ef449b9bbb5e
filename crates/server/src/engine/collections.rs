//! Collections: indexes under names, opened when they are first asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use berth_pipeline::{IndexReader, Searcher, StoredWeights, index_exists, is_plain_name, stored_weights};
use tokio::sync::{Mutex, OnceCell};

use super::documents::Lengths;
use super::writing::Writer;
use super::{blocking, detached};
use crate::failure::{Code, Failure};
use crate::metrics::SearchTimes;
use crate::options::CollectionPlace;

/// How long an index that could not be opened is not tried again for those who only ask whether it can.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How old the knowledge of an index's last commit may be. What this server commits is seen at once.
const REFRESH: Duration = Duration::from_millis(100);
/// Most bytes of a name.
const LONGEST_NAME: usize = 128;

/// An index under a name.
pub(crate) struct Collection {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    open: std::sync::Mutex<Slot>,
    /// Milliseconds since the start of the process at which it was last used.
    last_used: AtomicU64,
    /// What was known of it when it was last looked at, or why nothing could be, and when that was.
    known: std::sync::Mutex<Option<(Instant, Result<Known, Failure>)>>,
    /// What searches of it took.
    pub(crate) searches: SearchTimes,
    /// Who writes to it.
    pub(crate) writer: Writer,
}

/// A place for an index; whoever comes first opens it, and the others wait for that.
type Slot = Arc<OnceCell<Arc<OpenCollection>>>;

/// An index that is in memory.
pub(crate) struct OpenCollection {
    /// Asks no model yet.
    base: RwLock<Base>,
    last_refresh: std::sync::Mutex<Instant>,
    path: PathBuf,
    /// How long documents are, with the commit that they are of.
    lengths: std::sync::Mutex<Option<(u64, Lengths)>>,
}

#[derive(Clone)]
struct Base {
    searcher: Searcher,
    weights: Option<StoredWeights>,
}

impl OpenCollection {
    fn open(path: &Path) -> Result<Self, Failure> {
        let reader = Arc::new(IndexReader::open(path)?);
        let base = RwLock::new(Base::over(path, reader)?);
        Ok(Self {
            base,
            last_refresh: std::sync::Mutex::new(Instant::now()),
            path: path.to_path_buf(),
            lengths: std::sync::Mutex::default(),
        })
    }

    fn base(&self) -> Base {
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What searches, as of at most [`REFRESH`] ago, with the weights that the index stores.
    pub(crate) async fn fresh(self: &Arc<Self>) -> Result<(Searcher, Option<StoredWeights>), Failure> {
        let is_due = {
            let mut last = self.last_refresh.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = last.elapsed() >= REFRESH;
            if is_due {
                *last = Instant::now();
            }
            is_due
        };
        if is_due {
            let this = Arc::clone(self);
            blocking(move || this.refresh()).await?;
        }
        let Base { searcher, weights } = self.base();
        Ok((searcher, weights))
    }

    /// What `count` says of the lengths of documents; of the same commit it is asked once.
    pub(crate) fn lengths(
        &self,
        count: impl FnOnce(&Searcher) -> Result<Lengths, Failure>,
    ) -> Result<Lengths, Failure> {
        let searcher = self.base().searcher;
        let generation = searcher.reader().snapshot().generation();
        let known = self.lengths.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((of, lengths)) if of == generation => Ok(lengths),
            _ => {
                let lengths = count(&searcher)?;
                *self.lengths.lock().unwrap_or_else(PoisonError::into_inner) = Some((generation, lengths.clone()));
                Ok(lengths)
            }
        }
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        let reader = Arc::clone(self.base().searcher.reader());
        let status = reader.snapshot().status();
        status.lexical_bytes + status.dense_bytes + status.token_bytes
    }

    /// Opens the last commit when there is a newer one. Weights and curves of relevance lie beside the commits and are read
    /// again too.
    pub(crate) fn refresh(&self) -> Result<(), Failure> {
        let reader = Arc::clone(self.base().searcher.reader());
        let is_newer = reader.refresh()?;
        let weights = weights_of(&self.path, &reader)?;
        let known = self.base().weights;
        if is_newer || weights != known {
            let newer = Base::over(&self.path, reader)?;
            *self.base.write().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        Ok(())
    }
}

impl Base {
    fn over(path: &Path, reader: Arc<IndexReader>) -> Result<Self, Failure> {
        let weights = weights_of(path, &reader)?;
        Ok(Self { searcher: Searcher::over_reader(path, reader, None, None, None)?, weights })
    }
}

fn weights_of(path: &Path, reader: &IndexReader) -> Result<Option<StoredWeights>, Failure> {
    Ok(stored_weights(path, &reader.snapshot().settings().fingerprint)?)
}

impl Collection {
    fn new(place: &CollectionPlace) -> Arc<Self> {
        Arc::new(Self {
            name: place.name.clone(),
            path: place.path.clone(),
            open: std::sync::Mutex::default(),
            last_used: AtomicU64::new(0),
            known: std::sync::Mutex::default(),
            searches: SearchTimes::default(),
            writer: Writer::default(),
        })
    }

    /// The index, opened when it is not.
    pub(crate) async fn get(&self) -> Result<Arc<OpenCollection>, Failure> {
        self.last_used.store(super::uptime_ms(), Ordering::Relaxed);
        self.opened().await
    }

    /// Whether it could be opened when that was tried last. To ask is no use of it.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((_, Ok(_))) => Ok(()),
            Some((looked, Err(failure))) if looked.elapsed() < TRY_AGAIN => Err(failure),
            _ => self.look().await.map(|_| ()),
        }
    }

    /// What is known of it, looked at anew where it is open or was never looked at. To ask is no use of it.
    pub(crate) async fn look(&self) -> Result<Known, Failure> {
        if self.if_open().is_none()
            && let Some(known) = self.last_known()
        {
            return Ok(known);
        }
        let looked = async {
            let (searcher, _) = self.opened().await?.fresh().await?;
            let snapshot = searcher.reader().snapshot();
            let (status, model) = (snapshot.status(), snapshot.settings().fingerprint.model.clone());
            let has_access_lists = snapshot.policy().access_field.is_some();
            Ok(Known { documents: status.documents, chunks: status.chunks, model, has_access_lists })
        };
        let looked = looked.await;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), looked.clone()));
        looked
    }

    fn last_known(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|(_, known)| known.as_ref().ok().cloned())
    }

    fn slot(&self) -> Slot {
        Arc::clone(&self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn opened(&self) -> Result<Arc<OpenCollection>, Failure> {
        let slot = self.slot();
        if let Some(open) = slot.get() {
            return Ok(Arc::clone(open));
        }
        let (name, path) = (self.name.clone(), self.path.clone());
        // To the end, though who asked may be gone by then.
        detached(async move {
            let open = || async {
                let opened = blocking(move || OpenCollection::open(&path)).await;
                let opened = opened.map_err(|failure| match failure.code {
                    Code::NotFound => Failure::new(Code::NotFound, format!("collection '{name}' has no index yet")),
                    _ => failure,
                })?;
                tracing::info!(collection = %name, "collection opened");
                Ok(Arc::new(opened))
            };
            slot.get_or_try_init(open).await.cloned()
        })
        .await
    }

    /// The index, if it is in memory.
    pub(crate) fn if_open(&self) -> Option<Arc<OpenCollection>> {
        self.slot().get().cloned()
    }

    /// Lets go of the index until it is asked for again.
    pub(crate) fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Slot::default();
    }

    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }
}

/// What is known of a collection.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) documents: u64,
    pub(crate) chunks: u64,
    pub(crate) model: String,
    /// Whether it says who may find its documents.
    pub(crate) has_access_lists: bool,
}

/// All collections of a server.
pub(crate) struct Collections {
    /// Those that were named when the server was started.
    named: Vec<CollectionPlace>,
    /// Where others lie, and new ones are made.
    folder: Option<PathBuf>,
    known: RwLock<BTreeMap<String, Arc<Collection>>>,
    /// Held while the folder is looked through and what was found becomes known.
    looking: std::sync::Mutex<()>,
    /// Held while one is made.
    pub(crate) making: Mutex<()>,
}

impl Collections {
    pub(crate) fn new(named: Vec<CollectionPlace>, folder: Option<PathBuf>) -> Self {
        let known = named.iter().map(|place| (place.name.clone(), Collection::new(place))).collect();
        let collections = Self {
            named,
            folder,
            known: RwLock::new(known),
            looking: std::sync::Mutex::default(),
            making: Mutex::default(),
        };
        collections.look_around();
        collections
    }

    /// Looks into the folder of collections for such as came or went.
    pub(crate) fn look_around(&self) {
        let Some(folder) = &self.folder else { return };
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let entries: Vec<fs::DirEntry> = match fs::read_dir(folder).and_then(Iterator::collect) {
            Ok(entries) => entries,
            Err(error) => {
                // Those that are known are most likely still there.
                tracing::error!(path = %folder.display(), %error, "the folder of collections cannot be read");
                return;
            }
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let name = name.strip_suffix(".berth").unwrap_or(&name).to_owned();
            if is_name(&name) && index_exists(&path) {
                found.insert(name.clone(), CollectionPlace { name, path });
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| found.contains_key(name) || self.named.iter().any(|place| place.name == *name));
        for (name, place) in found {
            known.entry(name).or_insert_with(|| Collection::new(&place));
        }
    }

    /// The collection of this name; the only one where the name is empty.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Collection>, Failure> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if name.is_empty() {
            let mut all = known.values();
            return match (all.next(), all.next()) {
                (Some(only), None) => Ok(Arc::clone(only)),
                (None, _) => Err(Failure::new(Code::NotFound, "the server has no collection yet")),
                _ => Err(Failure::invalid("collection", "the server has several collections: name one")),
            };
        }
        known.get(name).cloned().ok_or_else(|| unknown(name))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Collection>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Where a new collection of this name will lie.
    pub(crate) fn place_for(&self, name: &str) -> Result<CollectionPlace, Failure> {
        let Some(folder) = &self.folder else {
            let message = "the server was started without a folder for new collections (--collections)";
            return Err(Failure::new(Code::Refused, message));
        };
        // The endings are those of folders that belong to a collection.
        if !is_name(name) || [".berth", ".snapshots"].iter().any(|ending| name.ends_with(ending)) {
            let message = "a collection is named by letters, digits, '-', '_' and '.'; it neither begins with '.' nor ends with \
                           .berth or .snapshots";
            return Err(Failure::invalid("collection", message));
        }
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(name) {
            let failure = Failure::new(Code::Refused, format!("there is a collection '{name}' already"));
            return Err(Failure { field: Some("collection"), ..failure });
        }
        Ok(CollectionPlace { name: name.to_owned(), path: folder.join(name) })
    }
}

/// What is said of a collection that is not there, or not for the one who asks.
pub(crate) fn unknown(name: &str) -> Failure {
    let shown: String = name.chars().take(LONGEST_NAME).collect();
    Failure { field: Some("collection"), ..Failure::new(Code::NotFound, format!("there is no collection '{shown}'")) }
}

/// A name that stays inside its folder, and in an address.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME && is_plain_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_their_folder() {
        for good in ["a", "handbook", "law-2024_v1.2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ü", "a\0", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_may_be_left_out_only_where_there_is_one() {
        let place = |name: &str| CollectionPlace { name: name.into(), path: PathBuf::from("/none") };
        let one = Collections::new(vec![place("a")], None);
        assert_eq!(one.get("").unwrap().name, "a");
        assert_eq!(one.get("b").err().unwrap().code, Code::NotFound);
        let two = Collections::new(vec![place("a"), place("b")], None);
        assert_eq!(two.get("").err().unwrap().code, Code::InvalidInput);
        assert_eq!(Collections::new(Vec::new(), None).get("").err().unwrap().code, Code::NotFound);
        assert_eq!(two.place_for("c").unwrap_err().code, Code::Refused);
    }
}
