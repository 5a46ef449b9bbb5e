//! Builds a graph: nodes join in batches, and a batch looks only at the graph before it.
//!
//! What hnswlib and hnsw_rs do under locks, one node at a time, is done here in two steps a batch: all its nodes look for
//! their neighbours at once, each on its own in a graph that does not change; then the links back are added, each thread
//! for nodes of its own. So nothing is locked, and the graph is the same however many threads there are (batches as in
//! ParlayANN, Dobson et al. 2023). A batch is at most a fiftieth of the graph so far, its nodes drawn from everywhere, so
//! that a node misses few of its neighbours for joining together with them.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::heights::mix;
use super::walk::{Found, Links, Scratch};
use super::{Layer, Order};
use crate::Error;
use crate::dense::codes::{CodeQuery, Codes};

/// The share of the graph that joins at once.
const BATCH_SHARE: usize = 50;
/// Most nodes that join at once: enough to keep all threads busy, few enough that their links back fit the caches.
const LARGEST_BATCH: usize = 4096;
/// Nodes whose links back are added by one thread at a time.
const NODES_A_TASK: usize = 512;

/// What builds graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GraphBuilder {
    /// Ours: nodes join in batches, without locks, and the graph does not depend on threads.
    #[default]
    Batches,
    /// That of the crate `hnsw_rs`.
    #[cfg(any(test, feature = "hnsw_rs"))]
    HnswRs,
}

/// How a graph is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphParameters {
    /// What builds it.
    pub builder: GraphBuilder,
    /// Links of a node that joins, and most links of a node in the upper layers; in the lowest twice as many.
    pub m: usize,
    /// Nodes among which a joining node chooses its neighbours.
    pub ef_construction: usize,
}

impl Default for GraphParameters {
    /// What hnswlib, faiss and Qdrant are commonly run with for rows of some hundred values.
    fn default() -> Self {
        Self { builder: GraphBuilder::Batches, m: 16, ef_construction: 200 }
    }
}

/// Links all nodes; the lowest layer first. `codes` stand in the order of `order`. None when it is told to stop.
pub(crate) fn build(
    codes: &Codes<'_>,
    order: &Order,
    parameters: GraphParameters,
    stop: &AtomicBool,
) -> Option<Vec<Layer>> {
    let GraphParameters { m, ef_construction, .. } = parameters;
    let mut layers: Vec<Growing> = order
        .layer_nodes
        .iter()
        .enumerate()
        .map(|(layer, &nodes)| Growing::new(nodes, if layer == 0 { 2 * m } else { m }))
        .collect();
    let sequence = sequence(order);
    let mut joined = 1;
    while joined < sequence.len() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let batch = (joined / BATCH_SHARE).clamp(1, LARGEST_BATCH).min(sequence.len() - joined);
        let nodes = &sequence[joined..joined + batch];
        let chosen: Vec<Vec<Vec<Found>>> = nodes
            .par_iter()
            .map_init(|| Joiner::new(codes, &layers), |joiner, &node| joiner.choose(node, m, ef_construction))
            .collect();
        for (layer, growing) in layers.iter_mut().enumerate() {
            let mut back: Vec<(u32, Found)> = Vec::new();
            for (&node, chosen) in nodes.iter().zip(&chosen) {
                let Some(chosen) = chosen.get(layer) else { continue };
                growing.set(node, chosen);
                back.extend(chosen.iter().map(|to| (to.node, Found { node, similarity: to.similarity })));
            }
            back.par_sort_unstable_by_key(|&(to, from)| (to, from.node));
            growing.link_back(codes, &back);
        }
        joined += batch;
    }
    Some(layers.into_iter().map(Growing::frozen).collect())
}

/// The order in which nodes join: node 0, where walks begin, then the upper layers before the lower, so that walks can use
/// them, each from everywhere.
fn sequence(order: &Order) -> Vec<u32> {
    let height = |node: u32| order.layer_nodes.iter().take_while(|&&nodes| (node as usize) < nodes).count();
    let mut sequence: Vec<u32> = (0..order.rows.len() as u32).collect();
    if let Some(others) = sequence.get_mut(1..) {
        others.sort_by_cached_key(|&node| (Reverse(height(node)), mix(u64::from(node)), node));
    }
    sequence
}

/// A layer that is being built: a fixed number of places for the links of each node, with their similarities.
struct Growing {
    width: usize,
    degrees: Vec<u16>,
    links: Vec<u32>,
    similarities: Vec<f32>,
}

impl Growing {
    fn new(nodes: usize, width: usize) -> Self {
        let places = nodes * width;
        Self { width, degrees: vec![0; nodes], links: vec![0; places], similarities: vec![0.0; places] }
    }

    fn nodes(&self) -> usize {
        self.degrees.len()
    }

    fn set(&mut self, node: u32, links: &[Found]) {
        let start = node as usize * self.width;
        self.degrees[node as usize] = links.len() as u16;
        for (place, link) in (start..).zip(links) {
            self.links[place] = link.node;
            self.similarities[place] = link.similarity;
        }
    }

    /// Adds links, sorted by the node they start from. A node that has no room for its new ones chooses among all.
    fn link_back(&mut self, codes: &Codes<'_>, back: &[(u32, Found)]) {
        let width = self.width;
        let tasks = self
            .degrees
            .par_chunks_mut(NODES_A_TASK)
            .zip(self.links.par_chunks_mut(NODES_A_TASK * width))
            .zip(self.similarities.par_chunks_mut(NODES_A_TASK * width))
            .enumerate();
        tasks.for_each_init(
            || Chooser::new(codes),
            |chooser, (task, ((degrees, links), similarities))| {
                let first = task * NODES_A_TASK;
                let start = back.partition_point(|&(from, _)| (from as usize) < first);
                let end = back.partition_point(|&(from, _)| (from as usize) < first + degrees.len());
                for group in back[start..end].chunk_by(|a, b| a.0 == b.0) {
                    let at = group[0].0 as usize - first;
                    let degree = degrees[at] as usize;
                    let (links, similarities) = (&mut links[at * width..], &mut similarities[at * width..]);
                    let mut put = |place: usize, link: Found| {
                        links[place] = link.node;
                        similarities[place] = link.similarity;
                    };
                    if degree + group.len() <= width {
                        (degree..).zip(group).for_each(|(place, &(_, link))| put(place, link));
                        degrees[at] += group.len() as u16;
                        continue;
                    }
                    let mut candidates: Vec<Found> = group.iter().map(|&(_, link)| link).collect();
                    candidates.extend(
                        links[..degree]
                            .iter()
                            .zip(&similarities[..degree])
                            .map(|(&node, &similarity)| Found { node, similarity }),
                    );
                    candidates.sort_unstable_by_key(|link| Reverse(link.key()));
                    let chosen = chooser.choose(&candidates, width);
                    degrees[at] = chosen.len() as u16;
                    for (place, &link) in chosen.iter().enumerate() {
                        links[place] = link.node;
                        similarities[place] = link.similarity;
                    }
                }
            },
        );
    }

    fn frozen(self) -> Layer {
        let lists = self.links.chunks_exact(self.width).zip(&self.degrees);
        Layer::of_lists(&lists.map(|(links, &degree)| &links[..degree as usize]).collect::<Vec<_>>())
    }
}

impl Links for Growing {
    fn neighbours(&self, node: u32) -> Result<&[u32], Error> {
        Ok(&self.links[node as usize * self.width..][..self.degrees[node as usize] as usize])
    }

    fn check(&self, _node: u32) -> Result<(), Error> {
        Ok(())
    }

    fn prefetch(&self, _node: u32) {}
}

/// Looks for the neighbours of nodes that join.
struct Joiner<'a> {
    codes: &'a Codes<'a>,
    layers: &'a [Growing],
    query: CodeQuery,
    scratch: Scratch,
    chooser: Chooser<'a>,
}

impl<'a> Joiner<'a> {
    fn new(codes: &'a Codes<'a>, layers: &'a [Growing]) -> Self {
        let chooser = Chooser::new(codes);
        Self { codes, layers, query: chooser.query.clone(), scratch: Scratch::default(), chooser }
    }

    /// The links of a node in each of its layers, the lowest first.
    fn choose(&mut self, node: u32, m: usize, ef: usize) -> Vec<Vec<Found>> {
        self.query.set_row(self.codes, node);
        let height = self.layers.iter().take_while(|layer| (node as usize) < layer.nodes()).count();
        let mut start = 0;
        let mut chosen = vec![Vec::new(); height];
        for (layer, links) in self.layers.iter().enumerate().rev() {
            let walked = if layer >= height {
                self.scratch.descend(links, self.codes, &self.query, start).map(|nearest| start = nearest)
            } else {
                let found = self.scratch.walk(links, self.codes, &self.query, (start, links.nodes()), ef, None);
                found.map(|found| {
                    start = found[0].node;
                    chosen[layer] = self.chooser.choose(found, m).to_vec();
                })
            };
            walked.expect("links in memory can be read");
        }
        chosen
    }
}

/// Chooses links that lead into different directions: a candidate that is closer to one of the chosen than to the node
/// itself can be reached over that one (heuristic of the paper, algorithm 4).
struct Chooser<'a> {
    codes: &'a Codes<'a>,
    query: CodeQuery,
    chosen: Vec<Found>,
}

impl<'a> Chooser<'a> {
    fn new(codes: &'a Codes<'a>) -> Self {
        Self { codes, query: CodeQuery::empty(codes.stride()), chosen: Vec::new() }
    }

    /// At most `most` of the candidates, which stand best first.
    fn choose(&mut self, candidates: &[Found], most: usize) -> &[Found] {
        self.chosen.clear();
        for &candidate in candidates {
            if self.chosen.len() == most {
                break;
            }
            if !self.chosen.is_empty() {
                self.query.set_row(self.codes, candidate.node);
            }
            let query = &self.query;
            let is_behind = |chosen: &Found| query.similarity(self.codes, chosen.node) >= candidate.similarity;
            if !self.chosen.iter().any(is_behind) {
                self.chosen.push(candidate);
            }
        }
        &self.chosen
    }
}
