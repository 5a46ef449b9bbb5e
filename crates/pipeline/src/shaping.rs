//! What is shown of what was found: relevance, novelty, near-copies folded together.

use berth_index::diversity::{Pick, diversify};
use berth_index::duplicates::Sketch;
use berth_index::{Snapshot, StoredPassage};
use berth_types::{Explanation, Query};

use crate::Error;
use crate::explain::{explain_share, share_before};
use crate::search::Ranked;

/// Fewest documents among which novelty is looked for.
const LEAST_POOL: usize = 100;
/// Documents looked at for each one that is shown, for novelty and for near-copies.
const POOL_PER_DOCUMENT: usize = 5;
/// Most documents that are shown in the order of novelty: the work grows with the square.
const MOST_NOVEL: usize = 1000;
/// Least cosine of near-copies. Copies have 1 and edited copies hardly less than .9; what is below is told apart at once,
/// without reading its words.
const LEAST_COSINE: f32 = 0.8;

/// What novelty made of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Novelty {
    pick: Pick,
    diversity: f32,
    score_before: f32,
    /// What the score before is divided by; none where it counts as it is.
    highest_before: Option<f32>,
}

/// Leaves out what is less relevant than asked for, and says so where that is everything.
pub(crate) fn keep_relevant(least: f32, ranked: &mut Vec<Ranked>, warnings: &mut Vec<String>) {
    let best = ranked.iter().map(|document| document.relevance).fold(0.0, f32::max);
    let was_empty = ranked.is_empty();
    ranked.retain(|document| document.relevance >= least);
    if ranked.is_empty() && !was_empty {
        warnings.push(format!("nothing relevant: the best answer has a relevance of {best:.2}, below {least:.2}"));
    }
}

/// Orders by maximal marginal relevance over the vectors of the chunks that are shown. `scaled` divides scores by the
/// highest, where they are not on the scale of a cosine.
pub(crate) fn order_by_novelty(
    snapshot: &Snapshot,
    query: &Query,
    scaled: bool,
    ranked: &mut Vec<Ranked>,
) -> Result<(), Error> {
    let diversity = query.shaping.diversity;
    if query.k > MOST_NOVEL {
        let message = format!("diversity orders at most {MOST_NOVEL} documents, not {}", query.k);
        return Err(Error::InvalidSettings(message));
    }
    ranked.truncate(LEAST_POOL.max(query.k * POOL_PER_DOCUMENT));
    let highest_before = ranked.first().map(|first| first.score).filter(|_| scaled);
    let novelty = |pick, score_before| Novelty { pick, diversity, score_before, highest_before };
    let chunk_ids: Vec<u64> = ranked.iter().map(|document| document.chunk_id).collect();
    let mut vectors = Vec::new();
    for (&chunk_id, vector) in chunk_ids.iter().zip(snapshot.vectors_of(&chunk_ids)?) {
        vectors.extend(vector.ok_or(Error::ChunkLost { chunk_id })?);
    }
    let share = |document: &Ranked| share_before(document.score, highest_before);
    let relevance: Vec<f32> = ranked.iter().map(share).collect();
    let dimensions = vectors.len().checked_div(ranked.len()).unwrap_or(0);
    // Near-copies make room for what comes after.
    let count = if query.shaping.collapse.is_some() { ranked.len() } else { query.k };
    let picks = diversify(&relevance, &vectors, dimensions, diversity, count);
    let order = picks.into_iter().map(|pick| {
        let before = &ranked[pick.position];
        Ranked { score: pick.score, novelty: Some(novelty(pick, before.score)), ..before.clone() }
    });
    *ranked = order.collect();
    Ok(())
}

impl Novelty {
    /// The arithmetic, with that of the score before inside.
    pub(crate) fn explain(&self, before: Explanation) -> Explanation {
        let node = |label: &str, value, children| Explanation { label: label.to_owned(), value, children };
        let leaf = |label: &str, value| node(label, value, Vec::new());
        let share = explain_share(before, self.score_before, self.highest_before);
        let (kept, lost) = (1.0 - self.diversity, -self.diversity);
        let likeness = match self.pick.like {
            Some(like) => format!("cosine with place {}, the most alike above", like + 1),
            None => "cosine with what stands above".to_owned(),
        };
        let relevance = kept * share.value;
        let relevance = node("relevance = product", relevance, vec![leaf("1 − diversity", kept), share]);
        let repetition = vec![leaf("− diversity", lost), leaf(&likeness, self.pick.likeness)];
        let repetition = node("repetition = product", lost * self.pick.likeness, repetition);
        node("novelty = relevance + repetition", self.pick.score, vec![relevance, repetition])
    }
}

/// A document to show, with what was read of it.
pub(crate) struct Shown {
    pub(crate) ranked: Ranked,
    pub(crate) passage: StoredPassage,
    /// The documents folded into it.
    pub(crate) folded: Vec<NearCopy>,
}

/// A document that repeats one above.
pub(crate) struct NearCopy {
    pub(crate) id: String,
    /// Share of both passages' runs of three words that both have.
    resemblance: f32,
    cosine: f32,
}

/// The arithmetic of a document, with those that were folded into it: its score stays.
pub(crate) fn explain_folded(folded: &[NearCopy], root: Explanation) -> Explanation {
    if folded.is_empty() {
        return root;
    }
    let copy = |NearCopy { id, resemblance, cosine }: &NearCopy| {
        format!("{id} (resemblance {resemblance:.2}, cosine {cosine:.2})")
    };
    let copies: Vec<String> = folded.iter().map(copy).collect();
    let label = format!("score = score before; folded in: {}", copies.join(", "));
    Explanation { label, value: root.value, children: vec![root] }
}

/// Reads the first `k` documents; with `collapse` each near-copy of one above is folded into it, and the next one moves up.
pub(crate) fn read_shown(snapshot: &Snapshot, query: &Query, ranked: Vec<Ranked>) -> Result<Vec<Shown>, Error> {
    let Some(least) = query.shaping.collapse else {
        let read = |ranked: Ranked| {
            let passage = passage(snapshot, ranked.chunk_id)?;
            Ok(Shown { ranked, passage, folded: Vec::new() })
        };
        return ranked.into_iter().take(query.k).map(read).collect();
    };
    let mut shown: Vec<Shown> = Vec::new();
    let mut seen: Vec<(Sketch, Vec<f32>)> = Vec::new();
    for ranked in ranked.into_iter().take(LEAST_POOL.max(query.k.saturating_mul(POOL_PER_DOCUMENT))) {
        let passage = passage(snapshot, ranked.chunk_id)?;
        let vector = snapshot.vectors_of(&[ranked.chunk_id])?.pop().flatten().unwrap_or_default();
        let sketch = Sketch::of(&passage.text);
        let repeats = seen.iter().enumerate().find_map(|(above, (other, its_vector))| {
            let cosine: f32 = vector.iter().zip(its_vector).map(|(a, b)| a * b).sum();
            let resemblance = if cosine >= LEAST_COSINE { sketch.resemblance(other) } else { 0.0 };
            (resemblance >= least).then_some((above, resemblance, cosine))
        });
        if let Some((above, resemblance, cosine)) = repeats {
            shown[above].folded.push(NearCopy { id: passage.id, resemblance, cosine });
        } else if shown.len() < query.k {
            shown.push(Shown { ranked, passage, folded: Vec::new() });
            seen.push((sketch, vector));
        }
    }
    Ok(shown)
}

fn passage(snapshot: &Snapshot, chunk_id: u64) -> Result<StoredPassage, Error> {
    snapshot.passage(chunk_id)?.ok_or(Error::ChunkLost { chunk_id })
}
