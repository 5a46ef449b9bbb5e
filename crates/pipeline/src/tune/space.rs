//! What can be chosen, and from what.

use std::num::NonZeroUsize;

use berth_types::{Aggregate, Fusion, Lists, Normalize, Profile, Rerank, Reranker, SPARSE_WEIGHT};

/// Steps of a share from 0 to 1, for the fusion that is the default.
const FINE_STEPS: u8 = 20;
/// The same for the others: the more settings, the more of them are better by chance.
const COARSE_STEPS: u8 = 10;
/// Constants of reciprocal rank fusion.
const RRF_K: [f32; 2] = [10.0, 60.0];
/// Shares of the sparse list.
const SPARSE_WEIGHTS: [f32; 5] = [0.0, 0.05, 0.2, 0.3, 0.5];
/// Chunks asked of each list.
pub(super) const DEPTHS: [usize; 2] = [200, 1000];
/// What BM25 of titles adds.
const TITLE_BOOSTS: [f32; 4] = [0.0, 0.25, 0.5, 1.0];
/// Documents that late interaction orders anew, and its shares.
const RERANK_DEPTHS: [usize; 3] = [20, 50, 100];
const RERANK_WEIGHTS: [f32; 3] = [0.25, 0.5, 0.75];

/// All settings, an axis for each part. The first value of each is as the index is searched now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Space {
    fusions: Vec<Fusion>,
    sparse_weights: Vec<f32>,
    aggregates: Vec<Aggregate>,
    depths: Vec<Option<NonZeroUsize>>,
    title_boosts: Vec<f32>,
    reranks: Vec<Option<Rerank>>,
    /// Windows that passages were cut by, as positions in a list of the caller's.
    windows: usize,
}

/// What makes parts of the space worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offers {
    pub(super) sparse: bool,
    pub(super) several_chunks: bool,
    pub(super) titles: bool,
    pub(super) late: bool,
    pub(super) windows: usize,
}

/// One of all settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setting {
    pub(super) fusion: Fusion,
    pub(super) sparse_weight: f32,
    pub(super) aggregate: Aggregate,
    pub(super) lists: Lists,
    pub(super) rerank: Option<Rerank>,
    pub(super) window: usize,
}

impl Space {
    /// `baseline` is how the index is searched now.
    pub(super) fn of(offers: Offers, baseline: &Profile) -> Self {
        let only_if = |there: bool, others: &[f32]| if there { others.to_vec() } else { Vec::new() };
        let aggregates =
            [Aggregate::Max, Aggregate::TopMean(2), Aggregate::TopMean(3), Aggregate::Sum, Aggregate::First];
        let aggregates = if offers.several_chunks { &aggregates[..] } else { &[] };
        let reranks = RERANK_DEPTHS.iter().flat_map(|&depth| {
            let by = Reranker::Late;
            RERANK_WEIGHTS.iter().map(move |&weight| Some(Rerank { by, depth, weight: Some(weight), budget_ms: None }))
        });
        let lists = baseline.lists.unwrap_or_default();
        let depths = std::iter::once(None).chain(DEPTHS.map(NonZeroUsize::new)).collect();
        let reranks = std::iter::once(None).chain(reranks);
        Self {
            fusions: with_default(baseline.fusion, fusions()),
            sparse_weights: with_default(
                baseline.sparse_weight.unwrap_or(SPARSE_WEIGHT),
                only_if(offers.sparse, &[&[SPARSE_WEIGHT], &SPARSE_WEIGHTS[..]].concat()),
            ),
            aggregates: with_default(baseline.aggregate.unwrap_or_default(), aggregates.to_vec()),
            depths: with_default(lists.depth, depths),
            title_boosts: with_default(lists.title_boost, only_if(offers.titles, &TITLE_BOOSTS)),
            reranks: with_default(baseline.rerank, if offers.late { reranks.collect() } else { Vec::new() }),
            windows: offers.windows,
        }
    }

    /// How many values each axis has.
    pub(super) fn axes(&self) -> Vec<usize> {
        vec![
            self.fusions.len(),
            self.aggregates.len(),
            self.title_boosts.len(),
            self.depths.len(),
            self.sparse_weights.len(),
            self.reranks.len(),
            self.windows,
        ]
    }

    /// The setting at a point, a position on each axis.
    pub(super) fn setting(&self, point: &[usize]) -> Setting {
        Setting {
            fusion: self.fusions[point[0]],
            aggregate: self.aggregates[point[1]],
            lists: Lists { title_boost: self.title_boosts[point[2]], depth: self.depths[point[3]] },
            sparse_weight: self.sparse_weights[point[4]],
            rerank: self.reranks[point[5]],
            window: point[6],
        }
    }

    /// What BM25 of titles is tried to add, each once.
    pub(super) fn title_boosts(&self) -> &[f32] {
        &self.title_boosts
    }

    /// Chunks that lists are asked for, besides what is built in.
    pub(super) fn depths(&self) -> impl Iterator<Item = usize> {
        self.depths.iter().flatten().map(|depth| depth.get())
    }

    /// Whether the index offers a choice of the sparse list's share.
    fn has_sparse(&self) -> bool {
        self.sparse_weights.len() > 1
    }

    /// The setting as it is stored; what is as it is built in is left out.
    pub(super) fn profile(&self, point: &[usize], origin: Option<String>) -> Profile {
        let setting = self.setting(point);
        Profile {
            fusion: setting.fusion,
            sparse_weight: self.has_sparse().then_some(setting.sparse_weight),
            aggregate: Some(setting.aggregate).filter(|aggregate| *aggregate != Aggregate::default()),
            lists: Some(setting.lists).filter(|lists| *lists != Lists::default()),
            rerank: setting.rerank,
            origin,
        }
    }
}

fn with_default<T: PartialEq>(default: T, others: Vec<T>) -> Vec<T> {
    let others: Vec<T> = others.into_iter().filter(|other| *other != default).collect();
    std::iter::once(default).chain(others).collect()
}

fn shares(steps: u8) -> impl Iterator<Item = f32> {
    (0..=steps).map(move |step| f32::from(step) / f32::from(steps))
}

fn fusions() -> Vec<Fusion> {
    let adaptive = shares(FINE_STEPS).map(|dense_weight| Fusion::Adaptive { dense_weight });
    let scales = [Normalize::Max, Normalize::MinMax, Normalize::ZScore, Normalize::Bounds];
    let convex = scales
        .into_iter()
        .flat_map(|normalize| shares(COARSE_STEPS).map(move |dense_weight| Fusion::Convex { dense_weight, normalize }));
    let rrf =
        RRF_K.into_iter().flat_map(|k| shares(COARSE_STEPS).map(move |dense_weight| Fusion::Rrf { k, dense_weight }));
    adaptive.chain(convex).chain(rrf).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_point_is_what_is_built_in_and_axes_without_a_choice_have_one_value() {
        let nothing = Offers { sparse: false, several_chunks: false, titles: false, late: false, windows: 1 };
        let space = Space::of(nothing, &Profile::default());
        assert_eq!(space.axes(), [87, 1, 1, 3, 1, 1, 1]);
        assert_eq!(space.profile(&[0; 7], None), Profile::default());
        let all = Space::of(
            Offers { sparse: true, several_chunks: true, titles: true, late: true, windows: 3 },
            &Profile::default(),
        );
        assert_eq!(all.axes(), [87, 5, 4, 3, 6, 10, 3]);
        let profile = all.profile(&[0; 7], None);
        assert_eq!(profile, Profile { sparse_weight: Some(SPARSE_WEIGHT), ..Profile::default() });
        let now =
            Profile { aggregate: Some(Aggregate::Sum), fusion: Fusion::Rrf { k: 7.0, dense_weight: 0.3 }, ..profile };
        let space = Space::of(Offers { several_chunks: true, ..nothing }, &now);
        assert_eq!((space.axes()[0], space.axes()[1]), (88, 5), "what is there now is tried, too, and comes first");
        assert_eq!(space.profile(&[0; 7], None), Profile { sparse_weight: None, ..now });
        let last: Vec<usize> = all.axes().iter().map(|values| values - 1).collect();
        assert_eq!(all.setting(&last).fusion, Fusion::Rrf { k: 60.0, dense_weight: 1.0 });
    }
}
