//! One document between tokenising and the index: its chunks, and the vectors that are there or still owed.

use std::collections::{HashMap, VecDeque};

use berth_encoder::PendingRow;
use berth_index::{NewChunk, SparseRow};
use berth_types::{ContentKey, Embedding, TokenRows};

use crate::Error;
use crate::late::PendingTokens;
use crate::prepare::{Incoming, PreparedChunk};
use crate::sparse::PendingSparse;

/// Where the vectors of a chunk come from.
pub(super) enum Row {
    /// The index has them.
    Known(Vectors),
    /// The models still owe them.
    Pending(PendingVectors),
    /// An earlier chunk of the same document, by ordinal, has the same text.
    SameAs(usize),
}

/// The vector of a chunk, and what the index has beside it.
#[derive(Clone)]
pub(super) struct Vectors {
    pub(super) embedding: Embedding,
    /// The vectors of its tokens.
    pub(super) tokens: Option<TokenRows>,
    pub(super) sparse: Option<SparseRow>,
}

/// The same on its way.
pub(super) struct PendingVectors {
    pub(super) embedding: PendingRow,
    pub(super) tokens: Option<PendingTokens>,
    pub(super) sparse: Option<PendingSparse>,
}

impl PendingVectors {
    fn wait(self) -> Result<Vectors, Error> {
        let tokens = self.tokens.map(PendingTokens::wait).transpose()?;
        let sparse = self.sparse.map(PendingSparse::wait).transpose()?;
        Ok(Vectors { embedding: self.embedding.wait()?, tokens: tokens.map(|tokens| tokens.quantized()), sparse })
    }
}

/// What two chunks of the same vectors have in common: what each model reads.
type Keys = (ContentKey, Option<ContentKey>);

fn keys(chunk: &PreparedChunk) -> Keys {
    (chunk.key, chunk.sparse.as_ref().map(|passage| passage.key))
}

/// How far a document's chunks have been handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// More chunks come.
    Coming,
    /// All are here.
    Whole,
    /// The run was interrupted; no more come.
    CutShort,
}

/// A document whose chunks are with the encoder.
pub(super) struct Encoding {
    pub(super) incoming: Incoming,
    pub(super) stage: Stage,
    /// Chunks with their vectors, from the first on without a gap.
    pub(super) chunks: Vec<NewChunk>,
    /// Chunks that went through the model, and chunks that did not have to; since the last time they were taken.
    pub(super) embedded: usize,
    pub(super) reused: usize,
    /// Chunks that the index has of this run already, as a part of the document.
    pub(super) stored_chunks: usize,
    waiting: VecDeque<(PreparedChunk, Row)>,
    ordinals: HashMap<Keys, usize>,
    total_chunks: usize,
    bytes_counted: u64,
}

/// A chunk that has got its vector.
pub(super) struct Settled {
    /// Whether the model was asked for it.
    pub(super) was_pending: bool,
    /// Bytes of the source that are done with it.
    pub(super) bytes: u64,
}

impl Encoding {
    pub(super) fn new(incoming: Incoming, total_chunks: usize) -> Self {
        Self {
            incoming,
            stage: Stage::Coming,
            chunks: Vec::with_capacity(total_chunks),
            embedded: 0,
            reused: 0,
            stored_chunks: 0,
            waiting: VecDeque::new(),
            ordinals: HashMap::with_capacity(total_chunks),
            total_chunks,
            bytes_counted: 0,
        }
    }

    /// An earlier chunk of the same vectors, by ordinal.
    pub(super) fn same(&self, chunk: &PreparedChunk) -> Option<usize> {
        self.ordinals.get(&keys(chunk)).copied()
    }

    /// Takes the next chunk.
    pub(super) fn hand_in(&mut self, chunk: PreparedChunk, row: Row) {
        if matches!(row, Row::Pending(..)) {
            self.ordinals.insert(keys(&chunk), chunk.chunk.ordinal as usize);
        }
        self.waiting.push_back((chunk, row));
    }

    /// Waits for the vector of the next chunk; none when no chunk waits for one.
    pub(super) fn settle_next(&mut self) -> Result<Option<Settled>, Error> {
        let Some((PreparedChunk { chunk, key, .. }, row)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let was_pending = matches!(row, Row::Pending(..));
        let Vectors { embedding, tokens, sparse } = match row {
            Row::Known(vectors) => vectors,
            Row::Pending(pending) => pending.wait()?,
            Row::SameAs(ordinal) => {
                let NewChunk { embedding, tokens, sparse, .. } = self.chunks[ordinal].clone();
                Vectors { embedding, tokens, sparse }
            }
        };
        self.embedded += usize::from(was_pending);
        self.reused += usize::from(!was_pending);
        self.chunks.push(NewChunk { chunk, key, embedding, tokens, sparse });
        let bytes_done = self.incoming.bytes * self.chunks.len() as u64 / self.total_chunks.max(1) as u64;
        let bytes = bytes_done - self.bytes_counted;
        self.bytes_counted = bytes_done;
        Ok(Some(Settled { was_pending, bytes }))
    }

    /// Bytes of the source that no chunk has counted.
    pub(super) fn bytes_left(&self) -> u64 {
        self.incoming.bytes - self.bytes_counted
    }
}
