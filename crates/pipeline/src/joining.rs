//! How the lists of an index are asked and joined in the end: what was named, then what a profile says, be it a file's or the
//! index's own, then what is built in.

use std::num::NonZeroUsize;

use berth_index::{IndexSettings, StoredWeights};
use berth_types::{Aggregate, Fusion, Lists, Mode, Normalize, Profile, Query, Rerank, SPARSE_WEIGHT, Shaping};
use serde::{Deserialize, Serialize};

/// Share of the dense half in convex fusion where nobody says it.
const CONVEX_WEIGHT: f32 = 0.7;
/// The same in the others.
const DENSE_WEIGHT: f32 = 0.5;
/// The constant of reciprocal rank fusion where nobody says it.
const RRF_K: f32 = 60.0;

/// Kinds of fusion, by the words that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionKind {
    /// Trusts the lexical half as far as its best answer stands out.
    Adaptive,
    /// Fixed shares.
    Convex,
    /// Reciprocal ranks.
    Rrf,
}

/// What was named of how lists are joined; none: as the index stores it, else as it is built in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FusionChoice {
    /// How two lists become one.
    pub kind: Option<FusionKind>,
    /// Share of the dense half, 0 to 1.
    pub dense_weight: Option<f32>,
    /// How convex fusion puts both halves on one scale.
    pub normalize: Option<Normalize>,
    /// The constant of reciprocal rank fusion.
    pub rrf_k: Option<f32>,
    /// Share of the sparse list, 0 to 1.
    pub sparse_weight: Option<f32>,
    /// What a document scores by its passages.
    pub aggregate: Option<Aggregate>,
    /// Fewest chunks asked of each list.
    pub list_depth: Option<NonZeroUsize>,
    /// What BM25 of titles adds.
    pub title_boost: Option<f32>,
    /// What orders the first documents anew.
    pub rerank: Option<Rerank>,
    /// Nothing does, whatever is stored.
    pub without_rerank: bool,
}

/// What of an index and of a question decides which parts of a profile can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether the index has sparse vectors.
    pub has_sparse: bool,
    /// Whether it has token rows, without which nothing is ordered anew by late interaction.
    pub has_tokens: bool,
    /// Which halves answer: what is stored was chosen for all of them.
    pub mode: Mode,
    /// Whether hits are ordered by a field.
    pub is_sorted: bool,
}

impl Circumstances {
    /// Hybrid search of an index, in the order of scores.
    pub fn of(settings: &IndexSettings) -> Self {
        Self {
            has_sparse: settings.sparse.is_some(),
            has_tokens: settings.tokens.is_some(),
            mode: Mode::Hybrid,
            is_sorted: false,
        }
    }
}

/// How lists are asked and joined in the end, and whether anything of it comes from the index.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResolvedFusion {
    /// The joining of the halves.
    #[serde(flatten)]
    pub fusion: Fusion,
    /// Share of the sparse list, in an index that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse_weight: Option<f32>,
    /// What a document scores by its passages.
    #[serde(skip_serializing_if = "is_default")]
    pub aggregate: Aggregate,
    /// How the lists are asked.
    #[serde(skip_serializing_if = "is_default")]
    pub lists: Lists,
    /// What orders the first documents anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Rerank>,
    /// Whether anything of it comes from the index.
    pub from_index: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ResolvedFusion {
    /// The question, asked so, but for what orders the first documents anew.
    pub(crate) fn asking(self, query: Query) -> Query {
        Query {
            fusion: self.fusion,
            sparse_weight: self.sparse_weight.unwrap_or(0.0),
            lists: self.lists,
            shaping: Shaping { aggregate: self.aggregate, ..query.shaping },
            ..query
        }
    }
}

impl From<ResolvedFusion> for Profile {
    fn from(resolved: ResolvedFusion) -> Self {
        let ResolvedFusion { fusion, sparse_weight, aggregate, lists, rerank, .. } = resolved;
        Self { fusion, sparse_weight, aggregate: Some(aggregate), lists: Some(lists), rerank, origin: None }
    }
}

impl FusionChoice {
    /// What was named counts; then what the index stores, as far as it is of the same kind of fusion, and weights and reranking only
    /// for the model that they were chosen for; then what is built in.
    pub fn resolved(&self, stored: Option<&StoredWeights>, circumstances: Circumstances) -> ResolvedFusion {
        let Circumstances { has_sparse, has_tokens, mode, is_sorted } = circumstances;
        let kind = self.kind.or(stored.map(|stored| kind_of(stored.profile.fusion))).unwrap_or(FusionKind::Adaptive);
        let same_kind = stored.filter(|stored| kind_of(stored.profile.fusion) == kind);
        let stored_weight =
            same_kind.filter(|stored| stored.for_this_model).map(|stored| weight_of(stored.profile.fusion));
        let dense_weight = |built_in| self.dense_weight.or(stored_weight).unwrap_or(built_in);
        let fusion = match kind {
            FusionKind::Adaptive => Fusion::Adaptive { dense_weight: dense_weight(DENSE_WEIGHT) },
            FusionKind::Convex => {
                let stored = same_kind.and_then(|stored| match stored.profile.fusion {
                    Fusion::Convex { normalize, .. } => Some(normalize),
                    _ => None,
                });
                let normalize = self.normalize.or(stored).unwrap_or_default();
                Fusion::Convex { dense_weight: dense_weight(CONVEX_WEIGHT), normalize }
            }
            FusionKind::Rrf => {
                let stored = same_kind.and_then(|stored| match stored.profile.fusion {
                    Fusion::Rrf { k, .. } => Some(k),
                    _ => None,
                });
                let k = self.rrf_k.or(stored).unwrap_or(RRF_K);
                Fusion::Rrf { k, dense_weight: dense_weight(DENSE_WEIGHT) }
            }
        };
        let of_this_model = stored.filter(|stored| stored.for_this_model);
        let stored_sparse = of_this_model.and_then(|stored| stored.profile.sparse_weight).filter(|_| has_sparse);
        let sparse_weight = has_sparse.then(|| self.sparse_weight.or(stored_sparse).unwrap_or(SPARSE_WEIGHT));
        let profile = stored.map(|stored| &stored.profile);
        let aggregate = self.aggregate.or(profile.and_then(|profile| profile.aggregate)).unwrap_or_default();
        let lists = profile.and_then(|profile| profile.lists).unwrap_or_default();
        let lists = Lists {
            depth: self.list_depth.or(lists.depth),
            title_boost: self.title_boost.unwrap_or(lists.title_boost),
        };
        let stored_rerank = of_this_model.and_then(|stored| stored.profile.rerank);
        let stored_rerank = stored_rerank.filter(|_| has_tokens && mode == Mode::Hybrid && !is_sorted);
        let rerank = if self.without_rerank { None } else { self.rerank.or(stored_rerank) };
        let is_said = self.kind.is_none() && stored.is_some()
            || stored_weight.is_some() && self.dense_weight.is_none()
            || stored_sparse.is_some() && self.sparse_weight.is_none()
            || self.aggregate.is_none() && profile.is_some_and(|profile| profile.aggregate.is_some())
            || profile.and_then(|profile| profile.lists).is_some()
            || self.rerank.is_none() && rerank.is_some();
        let from_index = is_said && stored.is_some_and(|stored| !stored.from_file);
        ResolvedFusion { fusion, sparse_weight, aggregate, lists, rerank, from_index }
    }

    /// The same as it may be stored. What is neither named nor stored stays none, so that it is as it is built in.
    pub fn profile(&self, stored: Option<&StoredWeights>, circumstances: Circumstances) -> Profile {
        let resolved = self.resolved(stored, circumstances);
        let of_this_model = stored.filter(|stored| stored.for_this_model).map(|stored| &stored.profile);
        let before = stored.map(|stored| &stored.profile);
        let lists = Some(resolved.lists).filter(|lists| *lists != Lists::default());
        Profile {
            fusion: resolved.fusion,
            sparse_weight: self.sparse_weight.or(of_this_model.and_then(|profile| profile.sparse_weight)),
            aggregate: self.aggregate.or(before.and_then(|profile| profile.aggregate)),
            lists,
            rerank: resolved.rerank,
            origin: before.and_then(|profile| profile.origin.clone()),
        }
    }

    /// Whether a dense weight that the index stores would count, were it of this model.
    pub fn asks_for_weight(&self, stored: &StoredWeights) -> bool {
        self.dense_weight.is_none() && self.kind.is_none_or(|kind| kind == kind_of(stored.profile.fusion))
    }
}

fn kind_of(fusion: Fusion) -> FusionKind {
    match fusion {
        Fusion::Adaptive { .. } => FusionKind::Adaptive,
        Fusion::Convex { .. } => FusionKind::Convex,
        Fusion::Rrf { .. } => FusionKind::Rrf,
    }
}

fn weight_of(fusion: Fusion) -> f32 {
    match fusion {
        Fusion::Adaptive { dense_weight } | Fusion::Convex { dense_weight, .. } | Fusion::Rrf { dense_weight, .. } => {
            dense_weight
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Circumstances =
        Circumstances { has_sparse: false, has_tokens: false, mode: Mode::Hybrid, is_sorted: false };

    fn args(kind: Option<FusionKind>, dense_weight: Option<f32>) -> FusionChoice {
        FusionChoice { kind, dense_weight, ..FusionChoice::default() }
    }

    #[test]
    fn what_was_named_counts_then_the_index_then_what_is_built_in() {
        let fusion = Fusion::Convex { dense_weight: 0.9, normalize: Normalize::ZScore };
        let profile = Profile { fusion, sparse_weight: Some(0.1), ..Profile::default() };
        let stored = StoredWeights { profile, relevance: None, for_this_model: true, from_file: false };
        let check = |args: FusionChoice, stored: Option<&StoredWeights>, fusion: Fusion, from_index: bool| {
            let resolved = args.resolved(stored, PLAIN);
            assert_eq!((resolved.fusion, resolved.sparse_weight, resolved.from_index), (fusion, None, from_index));
        };
        check(args(None, None), None, Fusion::default(), false);
        check(args(None, None), Some(&stored), fusion, true);
        let named = Fusion::Convex { dense_weight: 0.2, normalize: Normalize::ZScore };
        check(args(None, Some(0.2)), Some(&stored), named, true);
        check(args(Some(FusionKind::Convex), None), Some(&stored), fusion, true);
        let adaptive = Fusion::Adaptive { dense_weight: 0.5 };
        check(args(Some(FusionKind::Adaptive), None), Some(&stored), adaptive, false);
        check(args(Some(FusionKind::Rrf), None), None, Fusion::Rrf { k: 60.0, dense_weight: 0.5 }, false);
        check(
            args(Some(FusionKind::Convex), None),
            None,
            Fusion::Convex { dense_weight: 0.7, normalize: Normalize::Max },
            false,
        );
        let of_another = StoredWeights { for_this_model: false, ..stored.clone() };
        let kind_alone = Fusion::Convex { dense_weight: 0.7, normalize: Normalize::ZScore };
        check(args(None, None), Some(&of_another), kind_alone, true);
        let sparse = |args: FusionChoice, stored| {
            args.resolved(stored, Circumstances { has_sparse: true, ..PLAIN }).sparse_weight
        };
        assert_eq!(sparse(args(None, None), None), Some(SPARSE_WEIGHT));
        assert_eq!(sparse(args(None, None), Some(&stored)), Some(0.1));
        assert_eq!(sparse(args(Some(FusionKind::Rrf), None), Some(&stored)), Some(0.1), "of whichever fusion");
        assert_eq!(sparse(args(None, None), Some(&of_another)), Some(SPARSE_WEIGHT));
        let named = FusionChoice { sparse_weight: Some(0.0), ..args(None, None) };
        assert_eq!(sparse(named, Some(&stored)), Some(0.0));
        let lists = Lists { depth: NonZeroUsize::new(200), title_boost: 0.5 };
        let aggregate = Some(Aggregate::Sum);
        let profile = Profile { lists: Some(lists), aggregate, ..stored.profile.clone() };
        let tuned = StoredWeights { profile, ..stored.clone() };
        let resolved = args(None, None).resolved(Some(&tuned), PLAIN);
        assert_eq!((resolved.lists, resolved.aggregate), (lists, Aggregate::Sum));
        let named = FusionChoice { title_boost: Some(0.0), aggregate: Some(Aggregate::Max), ..args(None, None) };
        let resolved = named.resolved(Some(&tuned), PLAIN);
        assert_eq!((resolved.lists, resolved.aggregate), (Lists { title_boost: 0.0, ..lists }, Aggregate::Max));
        let of_file = StoredWeights::of_file(stored.profile.clone());
        assert!(!args(None, None).resolved(Some(&of_file), PLAIN).from_index, "a file is no index");
        // What is stored orders anew where it can, and where it was chosen for.
        let profile = Profile { rerank: Some(Rerank::default()), ..stored.profile.clone() };
        let anew = StoredWeights { profile, ..stored.clone() };
        let rerank =
            |args: FusionChoice, stored: &StoredWeights, of: Circumstances| args.resolved(Some(stored), of).rerank;
        let with_tokens = Circumstances { has_tokens: true, ..PLAIN };
        assert_eq!(rerank(args(None, None), &anew, with_tokens), Some(Rerank::default()));
        assert_eq!(rerank(args(None, None), &anew, PLAIN), None);
        assert_eq!(rerank(args(None, None), &anew, Circumstances { is_sorted: true, ..with_tokens }), None);
        assert_eq!(rerank(args(None, None), &anew, Circumstances { mode: Mode::Dense, ..with_tokens }), None);
        let of_another = StoredWeights { for_this_model: false, ..anew.clone() };
        assert_eq!(rerank(args(None, None), &of_another, with_tokens), None);
        let without = FusionChoice { without_rerank: true, ..args(None, None) };
        assert_eq!(rerank(without, &anew, with_tokens), None);
        assert!(args(None, None).asks_for_weight(&of_another) && !args(None, Some(0.1)).asks_for_weight(&of_another));
    }
}
