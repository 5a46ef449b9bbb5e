//! One commit, as readers see it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use berth_types::{DenseSearch, Embedding, FirstStage, TokenMatrix};
use tantivy::Index;

use crate::Question;
use crate::beside::Texts;
use crate::blocks::BlockFile;
use crate::dense::{self, Effort, LiveSegment, open_segments};
use crate::directory::{LexicalDirectory, OpenFiles};
use crate::highlight::Highlighter;
use crate::lexical::AskedWords;
use crate::lookup::Lookup;
use crate::manifest::Manifest;
use crate::select::Selections;
use crate::synonyms::Synonyms;
use crate::{
    ChunkHit, Error, IndexSettings, IndexStatus, LexicalAnswer, StoredChunk, StoredDocument, StoredPassage, analysis,
    lexical, open,
};

/// One commit of an index, both halves; never changes.
pub struct Snapshot {
    dir: PathBuf,
    meta: Arc<Vec<u8>>,
    manifest: Manifest,
    lookup: Lookup,
    dense: Vec<LiveSegment>,
    status: IndexStatus,
    selections: Selections,
    texts: Texts,
    /// Made when a question is asked.
    synonyms: OnceLock<Option<Synonyms>>,
    /// When documents expire, ascending, each moment once; made when it is asked for.
    expiry_moments: OnceLock<Vec<i64>>,
    /// Ids by the words of their question; made when a question is asked.
    pinned: OnceLock<HashMap<Vec<String>, Vec<String>>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("dir", &self.dir).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Opens the commit whose `meta.json`, unsealed, is given.
    pub(crate) fn open(dir: &Path, files: &Arc<OpenFiles>, meta: Arc<Vec<u8>>) -> Result<Self, Error> {
        let Some(manifest) = Manifest::of_commit(dir, &meta)? else {
            return Err(Error::NotFound { path: dir.to_path_buf() });
        };
        let index = Index::open(LexicalDirectory::pinned(dir, Arc::clone(files), Arc::clone(&meta)))?;
        analysis::register(&index);
        let lookup = open::lookup(dir, &index, &manifest, files)?;
        let dense = open_segments(dir, files, &manifest)?;
        let texts = Texts::read(dir, &manifest.beside)?;
        let status = status(&lookup, &dense, &manifest);
        if (status.lexical_chunks, status.dense_rows) != (manifest.counts.chunks, manifest.counts.chunks) {
            let reason = format!(
                "it counts {} chunks, the lexical half has {} and the dense half {}",
                manifest.counts.chunks, status.lexical_chunks, status.dense_rows
            );
            return Err(Error::corrupted(&dir.join(Manifest::file_name(manifest.generation)), reason));
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            meta,
            manifest,
            lookup,
            dense,
            status,
            selections: Selections::default(),
            texts,
            synonyms: OnceLock::new(),
            expiry_moments: OnceLock::new(),
            pinned: OnceLock::new(),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The texts beside the documents.
    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    pub(crate) fn pinned(&self) -> &OnceLock<HashMap<Vec<String>, Vec<String>>> {
        &self.pinned
    }

    pub(crate) fn synonyms(&self) -> Option<&Synonyms> {
        // They were understood when they were put; a release that understands less goes without.
        let parse =
            || self.texts.synonyms.as_deref().and_then(|text| Synonyms::parse_for(text, &self.manifest.analyses).ok());
        self.synonyms.get_or_init(parse).as_ref()
    }

    pub(crate) fn expiry_moments(&self) -> Result<&[i64], Error> {
        if let Some(moments) = self.expiry_moments.get() {
            return Ok(moments);
        }
        let mut moments: Vec<i64> = self.expiries(self.policy())?.into_iter().map(|(_, moment)| moment).collect();
        moments.sort_unstable();
        moments.dedup();
        Ok(self.expiry_moments.get_or_init(|| moments))
    }

    pub(crate) fn meta(&self) -> &[u8] {
        &self.meta
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    pub(crate) fn selections(&self) -> &Selections {
        &self.selections
    }

    pub(crate) fn dense_segments(&self) -> &[LiveSegment] {
        &self.dense
    }

    /// Every file of the commit that is in blocks, held open. A newer commit may have removed their names.
    pub(crate) fn block_files(&self) -> Vec<&BlockFile> {
        let mut files: Vec<&BlockFile> = self.lookup.files.iter().map(AsRef::as_ref).collect();
        for live in &self.dense {
            files.extend(live.files());
        }
        files.sort_unstable_by_key(|file| file.path());
        files
    }

    /// What the index was built with.
    pub fn settings(&self) -> &IndexSettings {
        &self.manifest.settings
    }

    /// Number of the commit.
    pub fn generation(&self) -> u64 {
        self.manifest.generation
    }

    /// What the index holds and how much room it takes.
    pub fn status(&self) -> IndexStatus {
        self.status.clone()
    }

    /// The `depth` chunks of highest cosine, best first, ties by chunk number.
    ///
    /// Cosines are exact. Small segments are scanned; over the graph of a large one a chunk may be missed, at a rate that
    /// [`status`](Self::status) estimates.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense(&self, query: &Embedding, depth: usize) -> Result<Vec<ChunkHit>, Error> {
        self.check_dimensions(query)?;
        dense::nearest(&self.dense, query.as_slice(), depth, None, Effort::default())
    }

    /// As [`dense`](Self::dense), with walks over graphs that hold on to `ef` rows at least: more are slower, and miss less.
    ///
    /// # Errors
    /// As [`dense`](Self::dense).
    pub fn dense_with_ef(&self, query: &Embedding, depth: usize, ef: usize) -> Result<Vec<ChunkHit>, Error> {
        self.check_dimensions(query)?;
        dense::nearest(&self.dense, query.as_slice(), depth, None, Effort { least_ef: ef, ..Effort::default() })
    }

    /// As [`dense`](Self::dense), by comparing every row.
    ///
    /// # Errors
    /// As [`dense`](Self::dense).
    pub fn dense_exact(&self, query: &Embedding, depth: usize) -> Result<Vec<ChunkHit>, Error> {
        self.check_dimensions(query)?;
        let search = DenseSearch { first_stage: FirstStage::Full, oversample: None };
        dense::nearest(&self.dense, query.as_slice(), depth, None, Effort { search, ..Effort::default() })
    }

    /// The cosine of each of the chunks, in their order; `None` for a chunk that this commit does not hold.
    ///
    /// # Errors
    /// `DimensionMismatch`, `Corrupted`.
    pub fn dense_scores(&self, query: &Embedding, chunk_ids: &[u64]) -> Result<Vec<Option<f32>>, Error> {
        self.check_dimensions(query)?;
        dense::scores(&self.dense, query.as_slice(), chunk_ids)
    }

    /// The vector of each of the chunks, of unit norm, in their order; `None` for a chunk that this commit does not hold.
    ///
    /// # Errors
    /// `Corrupted`.
    pub fn vectors_of(&self, chunk_ids: &[u64]) -> Result<Vec<Option<Vec<f32>>>, Error> {
        dense::vectors_of(&self.dense, chunk_ids)
    }

    /// The MaxSim of each of the chunks, in their order: the sum over the query's tokens of the highest cosine with a token
    /// of the chunk, both in 8 bits. `None` for a chunk that this commit does not hold.
    ///
    /// # Errors
    /// `NoTokenRows` when the index was built without, `DimensionMismatch`, `Corrupted`.
    pub fn late_scores(&self, query: &TokenMatrix, chunk_ids: &[u64]) -> Result<Vec<Option<f32>>, Error> {
        let Some(tokens) = &self.manifest.settings.tokens else {
            return Err(Error::NoTokenRows { path: self.dir.clone() });
        };
        let (expected, received) = (tokens.dimensions, query.dimensions());
        if expected != received {
            return Err(Error::DimensionMismatch { expected, received });
        }
        dense::late_scores(&self.dense, query, chunk_ids)
    }

    pub(crate) fn check_dimensions(&self, query: &Embedding) -> Result<(), Error> {
        let (expected, received) = (self.manifest.settings.dimensions, query.dimensions());
        if expected == received { Ok(()) } else { Err(Error::DimensionMismatch { expected, received }) }
    }

    /// The `depth` chunks of highest BM25 score, best first, ties by chunk number. There are no operators.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn lexical(&self, text: &str, depth: usize) -> Result<LexicalAnswer, Error> {
        let words = lexical::plain_words(text, &self.manifest.analyses);
        let words = AskedWords { words, title_boost: 0.0 };
        let fields = self.lookup.schema.fields();
        lexical::search_terms(&self.lookup.searcher, &fields, &words, (None, None), depth)
    }

    /// One chunk with its document; `None` when this commit does not hold it.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn chunk(&self, chunk_id: u64) -> Result<Option<StoredChunk>, Error> {
        self.lookup.chunk(chunk_id)
    }

    /// One chunk with its text and what names its document: as [`chunk`](Self::chunk), without the rest of a text that
    /// may be long.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn passage(&self, chunk_id: u64) -> Result<Option<StoredPassage>, Error> {
        self.lookup.passage(chunk_id)
    }

    /// The position of each of the chunks in its document, from 0, in their order; `None` for a chunk that this commit does
    /// not hold.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn ordinals(&self, chunk_ids: &[u64]) -> Result<Vec<Option<u32>>, Error> {
        self.lookup.ordinals(chunk_ids)
    }

    /// One document with what is remembered of it and its chunks.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document(&self, id: &str) -> Result<Option<StoredDocument>, Error> {
        self.lookup.document(id)
    }

    /// The id of a document by its number, without reading its text; `None` when this commit does not hold it.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_id(&self, document_no: u64) -> Result<Option<String>, Error> {
        self.lookup.id_of(document_no)
    }

    /// The number of a document; `None` when this commit does not hold it.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_number(&self, id: &str) -> Result<Option<u64>, Error> {
        self.lookup.number_of(id)
    }

    /// The first chunk of a document, by the document's number; `None` for one without text.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn first_chunk(&self, document_no: u64) -> Result<Option<u64>, Error> {
        self.lookup.first_chunk(document_no)
    }

    /// At most `limit` ids that end with `suffix`, sorted; an empty suffix fits all.
    ///
    /// # Errors
    /// `Corrupted`, `Lexical`.
    pub fn document_ids(&self, suffix: &str, limit: usize) -> Result<Vec<String>, Error> {
        self.lookup.ids(suffix, limit)
    }

    /// Byte ranges of `text` that a question matches by its words, in order and without overlap.
    pub fn highlight(&self, question: &Question, text: &str) -> Vec<Range<usize>> {
        Highlighter::of(question, &self.manifest.analyses).ranges(text)
    }
}

/// Counts what a commit holds, without reading more than it is open for.
fn status(lookup: &Lookup, dense: &[LiveSegment], manifest: &Manifest) -> IndexStatus {
    let token_bytes = manifest.tokens().map(|tokens| tokens.file.bytes).sum();
    IndexStatus {
        documents: manifest.counts.documents,
        chunks: manifest.counts.chunks,
        lexical_chunks: lookup.searcher.num_docs().saturating_sub(manifest.counts.textless),
        dense_rows: dense.iter().map(|live| live.deleted.alive()).sum(),
        deleted_rows: dense.iter().map(|live| live.deleted.deleted()).sum(),
        lexical_segments: lookup.searcher.segment_readers().len(),
        dense_segments: dense.len(),
        lexical_bytes: lookup.files.iter().map(|file| file.seal().bytes).sum(),
        dense_bytes: manifest.dense_files().map(|file| file.bytes).sum::<u64>() - token_bytes,
        graph_rows: dense.iter().filter(|live| live.graph.is_some()).map(|live| live.deleted.alive()).sum(),
        graph_recall_at_10: graph_recall(manifest),
        token_rows: manifest.tokens().map(|tokens| tokens.rows).sum(),
        token_bytes,
        generation: manifest.generation,
        format: manifest.format,
    }
}

/// The mean over all graphs, by rows.
fn graph_recall(manifest: &Manifest) -> Option<f64> {
    let graphs = manifest.segments.iter().filter_map(|segment| Some((segment.rows as f64, segment.graph.as_ref()?)));
    let (rows, found) =
        graphs.fold((0.0, 0.0), |(rows, found), (more, graph)| (rows + more, found + more * graph.recall_at_10));
    (rows > 0.0).then(|| found / rows)
}
