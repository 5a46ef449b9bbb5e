//! One document between tokenising and the index: its chunks, and the vectors that are there or still owed.

use std::collections::{HashMap, VecDeque};

use berth_encoder::PendingRow;
use berth_index::NewChunk;
use berth_types::{ContentKey, Embedding, TokenRows};

use crate::Error;
use crate::late::PendingTokens;
use crate::prepare::{Incoming, PreparedChunk};

/// Where the vector of a chunk comes from, and the vectors of its tokens where the index has those.
pub(super) enum Row {
    /// The index has it.
    Known(Embedding, Option<TokenRows>),
    /// The model still owes it.
    Pending(PendingRow, Option<PendingTokens>),
    /// An earlier chunk of the same document, by ordinal, has the same text.
    SameAs(usize),
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
    ordinals: HashMap<ContentKey, usize>,
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

    /// An earlier chunk with this key, by ordinal.
    pub(super) fn same(&self, key: &ContentKey) -> Option<usize> {
        self.ordinals.get(key).copied()
    }

    /// Takes the next chunk.
    pub(super) fn hand_in(&mut self, chunk: PreparedChunk, row: Row) {
        if matches!(row, Row::Pending(..)) {
            self.ordinals.insert(chunk.key, chunk.chunk.ordinal as usize);
        }
        self.waiting.push_back((chunk, row));
    }

    /// Waits for the vector of the next chunk; none when no chunk waits for one.
    pub(super) fn settle_next(&mut self) -> Result<Option<Settled>, Error> {
        let Some((PreparedChunk { chunk, key, .. }, row)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let was_pending = matches!(row, Row::Pending(..));
        let (embedding, tokens) = match row {
            Row::Known(embedding, tokens) => (embedding, tokens),
            Row::Pending(embedding, tokens) => {
                let tokens = tokens.map(PendingTokens::wait).transpose()?;
                (embedding.wait()?, tokens.map(|tokens| tokens.quantized()))
            }
            Row::SameAs(ordinal) => {
                let same = &self.chunks[ordinal];
                (same.embedding.clone(), same.tokens.clone())
            }
        };
        self.embedded += usize::from(was_pending);
        self.reused += usize::from(!was_pending);
        self.chunks.push(NewChunk { chunk, key, embedding, tokens });
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
