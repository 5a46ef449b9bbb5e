//! The walk through a layer: from a node to whichever neighbours are closest to the query, until none is closer.

use crate::Error;
use crate::dense::codes::{CodeQuery, Codes};

/// Neighbours that are looked at in one go.
const MOST_LOOKED_AT: usize = 512;
/// Memory of walks, used again and again by one thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    visited: Visited,
    pool: Pool,
    fresh: Vec<u32>,
    similarities: Vec<f32>,
}

/// What a walk needs to know of a layer.
pub(crate) trait Links {
    /// The nodes that a node leads to.
    fn neighbours(&self, node: u32) -> Result<&[u32], Error>;

    /// Makes sure that the codes of a node may be read.
    fn check(&self, node: u32) -> Result<(), Error>;

    /// Asks the memory for a node's links before they are needed.
    fn prefetch(&self, node: u32);
}

impl Scratch {
    /// Finds up to `ef` of the nodes closest to the query, best first, ties by node.
    ///
    /// Where `allowed` is given, only such nodes are found; from others the walk goes on to their neighbours at once, so
    /// that it crosses regions where few are allowed (two hops, Patel et al. 2024, ACORN-1). `nodes` is their number in
    /// the layer.
    pub(crate) fn walk<L: Links>(
        &mut self,
        links: &L,
        codes: &Codes<'_>,
        query: &CodeQuery,
        (start, nodes): (u32, usize),
        ef: usize,
        allowed: Option<&dyn Fn(u32) -> bool>,
    ) -> Result<&[Found], Error> {
        let Self { visited, pool, fresh, similarities } = self;
        visited.clear(nodes);
        pool.clear(ef);
        visited.insert(start);
        links.check(start)?;
        pool.offer(Found { node: start, similarity: query.similarity(codes, start) });
        while let Some(node) = pool.next() {
            fresh.clear();
            for &neighbour in links.neighbours(node)? {
                if !visited.insert(neighbour) {
                    continue;
                }
                match allowed {
                    Some(allowed) if !allowed(neighbour) => {
                        for &beyond in links.neighbours(neighbour)? {
                            if fresh.len() < MOST_LOOKED_AT && allowed(beyond) && visited.insert(beyond) {
                                fresh.push(beyond);
                            }
                        }
                    }
                    _ => fresh.push(neighbour),
                }
            }
            for &node in fresh.iter() {
                CodeQuery::prefetch(codes, node);
            }
            for &node in fresh.iter() {
                links.check(node)?;
            }
            similarities.resize(fresh.len(), 0.0);
            query.similarities(codes, fresh, similarities);
            for (&node, &similarity) in fresh.iter().zip(similarities.iter()) {
                if pool.offer(Found { node, similarity }) {
                    links.prefetch(node);
                }
            }
        }
        if allowed.is_some_and(|allowed| !allowed(start)) {
            pool.remove(start);
        }
        Ok(pool.found())
    }

    /// Goes from node to node as long as a neighbour is closer, and returns the last.
    pub(crate) fn descend<L: Links>(
        &mut self,
        links: &L,
        codes: &Codes<'_>,
        query: &CodeQuery,
        start: u32,
    ) -> Result<u32, Error> {
        links.check(start)?;
        let mut best = Found { node: start, similarity: query.similarity(codes, start) };
        loop {
            let before = best.node;
            let neighbours = links.neighbours(before)?;
            for &node in neighbours {
                links.check(node)?;
            }
            self.similarities.resize(neighbours.len(), 0.0);
            query.similarities(codes, neighbours, &mut self.similarities);
            for (&node, &similarity) in neighbours.iter().zip(&self.similarities) {
                let found = Found { node, similarity };
                if found.key() > best.key() {
                    best = found;
                }
            }
            if best.node == before {
                return Ok(best.node);
            }
        }
    }
}

/// A node with its similarity to the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    pub(crate) node: u32,
    pub(crate) similarity: f32,
}

impl Found {
    /// Orders by similarity, then by falling node: the higher, the better. The lowest bit is free.
    #[inline]
    pub(crate) fn key(self) -> u64 {
        let bits = self.similarity.to_bits();
        // Of numbers below zero all bits are turned, of others the sign: then they order as numbers do.
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(ordered) << 32 | u64::from(!self.node << 1)
    }

    #[inline]
    fn of_key(key: u64) -> Self {
        let ordered = (key >> 32) as u32;
        let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
        Self { node: !(key as u32) >> 1, similarity: f32::from_bits(bits) }
    }
}

/// The best nodes so far, best first, and which of them the walk has been at.
///
/// An entry is a node's [`key`](Found::key) with a bit for whether the walk has yet to go there.
#[derive(Debug, Default)]
struct Pool {
    entries: Vec<u64>,
    found: Vec<Found>,
    /// Where the first of them stands that the walk has not been at; there may be none from here on.
    next: usize,
    ef: usize,
}

impl Pool {
    fn clear(&mut self, ef: usize) {
        self.entries.clear();
        self.next = 0;
        self.ef = ef.max(1);
    }

    /// Takes a node if it is among the best; says whether.
    #[inline]
    fn offer(&mut self, found: Found) -> bool {
        let entry = found.key() | 1;
        if self.entries.len() == self.ef {
            if entry <= self.entries[self.ef - 1] {
                return false;
            }
            self.entries.pop();
        }
        let place = self.entries.partition_point(|&better| better > entry);
        self.entries.insert(place, entry);
        self.next = self.next.min(place);
        true
    }

    /// The best node that the walk has not been at.
    fn next(&mut self) -> Option<u32> {
        let place = self.next + self.entries[self.next..].iter().position(|entry| entry & 1 == 1)?;
        self.entries[place] &= !1;
        self.next = place + 1;
        Some(Found::of_key(self.entries[place]).node)
    }

    fn remove(&mut self, node: u32) {
        self.entries.retain(|&entry| Found::of_key(entry).node != node);
    }

    fn found(&mut self) -> &[Found] {
        self.found.clear();
        self.found.extend(self.entries.iter().map(|&entry| Found::of_key(entry)));
        &self.found
    }
}

/// Which nodes a walk has seen: a bit each, and which words have any, so that forgetting costs what was seen.
#[derive(Debug, Default)]
struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    fn clear(&mut self, nodes: usize) {
        for word in self.touched.drain(..) {
            self.words[word as usize] = 0;
        }
        let words = nodes.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Whether the node was not there.
    fn insert(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.words[node as usize / 64], 1u64 << (node % 64));
        if *word & bit != 0 {
            return false;
        }
        if *word == 0 {
            self.touched.push(node / 64);
        }
        *word |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_pool_keeps_the_best_in_order(values in prop::collection::vec(-4i8..4, 0..60), ef in 1usize..20) {
            let mut pool = Pool::default();
            pool.clear(ef);
            let all: Vec<Found> = (0..).zip(&values)
                .map(|(node, &value)| Found { node, similarity: f32::from(value) / 2.0 }).collect();
            for &found in &all {
                pool.offer(found);
            }
            let mut wanted = all.clone();
            wanted.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.node.cmp(&b.node)));
            wanted.truncate(ef);
            prop_assert_eq!(pool.found(), &wanted[..]);
            let visited: Vec<u32> = std::iter::from_fn(|| pool.next()).collect();
            prop_assert_eq!(visited, wanted.iter().map(|found| found.node).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_seen_is_forgotten() {
        let mut visited = Visited::default();
        for nodes in [10, 1000, 100] {
            visited.clear(nodes);
            for node in (0..nodes as u32).step_by(3) {
                assert!(visited.insert(node));
                assert!(!visited.insert(node));
            }
        }
    }
}
