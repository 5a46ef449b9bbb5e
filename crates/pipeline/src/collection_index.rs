//! The index of a collection in BEIR layout, built once and kept by what shapes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use berth_eval::folder_name;
use berth_types::RowKind;
use serde::{Deserialize, Serialize};

use crate::{Encoders, Error, Home, IngestOptions, Progress, ingest};

/// Digits of the hash in the name of an index.
const HASH_DIGITS: usize = 16;

/// Which index of which collection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CollectionIndex<'a> {
    /// Folder in BEIR layout.
    pub(crate) dir: &'a Path,
    /// Ids in a window; `None`: the card's.
    pub(crate) window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: the default.
    pub(crate) overlap_tokens: Option<usize>,
    /// How the values of vectors are kept.
    pub(crate) rows: RowKind,
    /// Folder in which indexes of collections are kept; `None`: in `BERTH_HOME/cache/eval`.
    pub(crate) cache: Option<&'a Path>,
    /// Build it again.
    pub(crate) rebuild: bool,
}

/// What embedding a collection cost, end to end: read, tokenise, embed, commit; summed over runs when it was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct EncodeCost {
    /// Ids handed to the model.
    pub tokens: u64,
    /// Wall time.
    pub seconds: f64,
    /// The quotient.
    pub tokens_per_second: f64,
    /// Documents of the collection.
    pub documents: usize,
    /// Chunks of the collection.
    pub chunks: usize,
}

impl CollectionIndex<'_> {
    /// The folder of the index, built unless it was, and what that cost. `Ok(None)`: interrupted; what is done is kept.
    ///
    /// # Errors
    /// A corpus that cannot be read or holds nothing, a damaged index.
    pub(crate) fn built(
        &self,
        home: &Home,
        encoders: Encoders<'_>,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Option<(PathBuf, EncodeCost)>, Error> {
        let index = self.folder(home, encoders)?;
        Ok(self.build(encoders, &index, progress, cancel)?.map(|cost| (index, cost)))
    }

    fn corpus(&self) -> PathBuf {
        self.dir.join("corpus.jsonl")
    }

    /// A folder named by everything that shapes the index: vectors, windows and the corpus itself. So an index is used again
    /// for what it was built from and nothing else, and no folder of a user's is ever written to.
    fn folder(&self, home: &Home, encoders: Encoders<'_>) -> Result<PathBuf, Error> {
        let corpus = self.corpus();
        let mut hasher = blake3::Hasher::new();
        let mut reader = File::open(&corpus).map_err(Error::io("read", &corpus))?;
        std::io::copy(&mut reader, &mut hasher).map_err(Error::io("read", &corpus))?;
        hasher.update(encoders.dense.fingerprint().canonical().as_bytes());
        if let Some(tokens) = encoders.tokens {
            hasher.update(tokens.settings().fingerprint.canonical().as_bytes());
        }
        if let Some(sparse) = encoders.sparse {
            hasher.update(b"sparse").update(sparse.settings().fingerprint.canonical().as_bytes());
        }
        hasher.update(format!("{:?} {:?}", self.window_tokens, self.overlap_tokens).as_bytes());
        if !self.rows.is_default() {
            hasher.update(self.rows.as_str().as_bytes());
        }
        let hash = hasher.finalize().to_hex();
        let cache = self.cache.map_or_else(|| home.cache().join("eval"), Path::to_path_buf);
        Ok(cache.join(format!("{}-{}", folder_name(self.dir), &hash[..HASH_DIGITS])))
    }

    /// Indexes the collection unless that is done. `Ok(None)`: interrupted.
    fn build(
        &self,
        encoders: Encoders<'_>,
        index: &Path,
        progress: &mut dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Option<EncodeCost>, Error> {
        // Beside the index: what building it has cost so far.
        let mut cost_file = index.as_os_str().to_owned();
        cost_file.push(".json");
        let cost_file = PathBuf::from(cost_file);
        if self.rebuild {
            remove(&cost_file, |path| fs::remove_file(path))?;
            remove(index, |path| fs::remove_dir_all(path))?;
        }
        let mut built: Built =
            fs::read(&cost_file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if !berth_index::exists(index) {
            remove(&cost_file, |path| fs::remove_file(path))?;
            built = Built::default();
        }
        if built.complete {
            return Ok(Some(built.cost));
        }
        let ingest_options = IngestOptions {
            paths: vec![self.corpus()],
            window_tokens: self.window_tokens,
            overlap_tokens: self.overlap_tokens,
            rows: Some(self.rows),
            ..IngestOptions::default()
        };
        let report = ingest(encoders, index, &ingest_options, progress, cancel)?;
        if report.documents == 0 && !report.interrupted {
            return Err(Error::NothingToIndex { path: self.corpus() });
        }
        let cost = &mut built.cost;
        cost.tokens += report.tokens;
        cost.seconds += report.seconds;
        cost.tokens_per_second = cost.tokens as f64 / cost.seconds;
        cost.documents = report.documents;
        cost.chunks = report.chunks;
        built.complete = !report.interrupted;
        let json = serde_json::to_vec(&built).unwrap_or_default();
        fs::write(&cost_file, json).map_err(Error::io("write", &cost_file))?;
        Ok(built.complete.then_some(built.cost))
    }
}

/// What is known of an index in the cache.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Built {
    complete: bool,
    cost: EncodeCost,
}

/// Removes what may be there.
fn remove(path: &Path, how: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), Error> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
