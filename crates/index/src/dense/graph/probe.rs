//! Looks whether every node of a new graph can be reached and is found, and links those that are not.
//!
//! The heuristic that keeps links few can leave a node that no other leads to: one of many equal rows, or one between
//! clusters. A frozen graph has room for any number of links, so such a node gets one more from the closest that has few.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Layer;
use super::walk::{Found, Links, Scratch};
use crate::Error;
use crate::dense::codes::{CodeQuery, Codes};

/// Nodes that a probe may hold on to; a search never asks for fewer.
const PROBE_EF: usize = 32;
/// Closest nodes among which the one with fewest links gets another.
const HOSTS: usize = 16;
/// Nodes that are looked for on behalf of one that cannot be reached.
const REPAIR_EF: usize = 128;
/// How often nodes that are not found are linked anew before they are left to wider searches.
const MOST_ROUNDS: usize = 8;

/// What a probe found, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Probed {
    /// Nodes that no chain of links led to, and that do now.
    pub(crate) linked: usize,
    /// Nodes that a search for their own row did not find, and that have more links now.
    pub(crate) sought: usize,
    /// Nodes that a narrow search does not find even so.
    pub(crate) missed: usize,
}

/// Makes every node of the lowest layer reachable from the first, and most be found by a search for themselves.
pub(crate) fn probe(codes: &Codes<'_>, layers: &mut [Layer]) -> Probed {
    let mut probed = Probed { linked: link_unreached(codes, layers), ..Probed::default() };
    let all: Vec<u32> = (0..layers[0].nodes() as u32).collect();
    let mut unfound = missed(codes, layers, &all);
    probed.sought = unfound.len();
    for _ in 0..MOST_ROUNDS {
        if unfound.is_empty() {
            break;
        }
        link(codes, layers, &unfound);
        unfound = missed(codes, layers, &unfound);
    }
    probed.missed = unfound.len();
    probed
}

/// Links what cannot be reached; returns how many nodes were.
fn link_unreached(codes: &Codes<'_>, layers: &mut [Layer]) -> usize {
    let mut reached = vec![false; layers[0].nodes()];
    spread(&layers[0], 0, &mut reached);
    let unreached: Vec<u32> = (0..).zip(&reached).filter(|(_, reached)| !**reached).map(|(node, _)| node).collect();
    let mut patched = Patched { layer: &layers[0], changed: HashMap::new() };
    let (mut scratch, mut query) = (Scratch::default(), CodeQuery::empty(codes.stride()));
    let mut linked = 0;
    for node in unreached {
        if reached[node as usize] {
            continue;
        }
        linked += 1;
        query.set_row(codes, node);
        // From a node that can be reached a walk comes to such nodes only.
        let start = Some(start_of(layers, codes, &query, &mut scratch)).filter(|&start| reached[start as usize]);
        patched.host(&mut scratch, codes, &query, start.unwrap_or(0), node);
        spread(&patched, node, &mut reached);
    }
    let lowest = patched.into_layer();
    if let Some(lowest) = lowest {
        layers[0] = lowest;
    }
    linked
}

/// Links nodes once more.
fn link(codes: &Codes<'_>, layers: &mut [Layer], nodes: &[u32]) {
    let mut patched = Patched { layer: &layers[0], changed: HashMap::new() };
    let (mut scratch, mut query) = (Scratch::default(), CodeQuery::empty(codes.stride()));
    for &node in nodes {
        query.set_row(codes, node);
        let start = start_of(layers, codes, &query, &mut scratch);
        patched.host(&mut scratch, codes, &query, start, node);
    }
    if let Some(lowest) = patched.into_layer() {
        layers[0] = lowest;
    }
}

/// Those of the nodes for which a search for their own codes finds neither them nor an equal, ascending.
fn missed(codes: &Codes<'_>, layers: &[Layer], nodes: &[u32]) -> Vec<u32> {
    let is_missed = |(scratch, query): &mut (Scratch, CodeQuery), node: u32| {
        query.set_row(codes, node);
        let (start, own) = (start_of(layers, codes, query, scratch), query.similarity(codes, node));
        let whole = layers[0].nodes();
        let found = in_memory(scratch.walk(&layers[0], codes, query, (start, whole), PROBE_EF, None));
        let is_found = found.iter().any(|found| found.node == node || found.similarity >= own);
        (!is_found).then_some(node)
    };
    let place = || (Scratch::default(), CodeQuery::empty(codes.stride()));
    nodes.par_iter().with_min_len(256).map_init(place, |place, &node| is_missed(place, node)).flatten_iter().collect()
}

/// Where the walk through the lowest layer begins.
fn start_of(layers: &[Layer], codes: &Codes<'_>, query: &CodeQuery, scratch: &mut Scratch) -> u32 {
    let upper = layers.iter().skip(1).rev();
    upper.fold(0, |start, layer| in_memory(scratch.descend(layer, codes, query, start)))
}

/// Marks everything that links lead to from a node.
fn spread<L: Links>(layer: &L, from: u32, reached: &mut [bool]) {
    let mut waiting = vec![from];
    reached[from as usize] = true;
    while let Some(node) = waiting.pop() {
        for &to in in_memory(layer.neighbours(node)) {
            if !std::mem::replace(&mut reached[to as usize], true) {
                waiting.push(to);
            }
        }
    }
}

fn in_memory<T>(result: Result<T, Error>) -> T {
    result.expect("links in memory can be read")
}

impl Links for Layer {
    fn neighbours(&self, node: u32) -> Result<&[u32], Error> {
        Ok(Layer::neighbours(self, node))
    }

    fn check(&self, _node: u32) -> Result<(), Error> {
        Ok(())
    }

    fn prefetch(&self, _node: u32) {}
}

/// A layer of which some nodes have other links.
struct Patched<'a> {
    layer: &'a Layer,
    changed: HashMap<u32, Vec<u32>>,
}

impl Patched<'_> {
    /// Gives the closest of the nodes with few links one more, to `node`.
    fn host(&mut self, scratch: &mut Scratch, codes: &Codes<'_>, query: &CodeQuery, start: u32, node: u32) {
        let nodes = self.layer.nodes();
        let found = in_memory(scratch.walk(&*self, codes, query, (start, nodes), REPAIR_EF, None));
        let has = |host: &Found| in_memory(self.neighbours(host.node)).contains(&node);
        let hosts = found.iter().filter(|host| host.node != node && !has(host)).take(HOSTS);
        let host = hosts.min_by_key(|host| in_memory(self.neighbours(host.node)).len());
        if let Some(&Found { node: host, .. }) = host {
            let links = self.changed.entry(host).or_insert_with(|| self.layer.neighbours(host).to_vec());
            links.push(node);
        }
    }

    /// The whole layer; none when it is as it was.
    fn into_layer(self) -> Option<Layer> {
        if self.changed.is_empty() {
            return None;
        }
        let links = |node| self.changed.get(&node).map_or_else(|| self.layer.neighbours(node), |links| &links[..]);
        Some(Layer::of_lists(&(0..self.layer.nodes() as u32).map(links).collect::<Vec<_>>()))
    }
}

impl Links for Patched<'_> {
    fn neighbours(&self, node: u32) -> Result<&[u32], Error> {
        Ok(self.changed.get(&node).map_or_else(|| self.layer.neighbours(node), |links| &links[..]))
    }

    fn check(&self, _node: u32) -> Result<(), Error> {
        Ok(())
    }

    fn prefetch(&self, _node: u32) {}
}
