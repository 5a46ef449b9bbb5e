//! A graph over the rows of a segment (HNSW, Malkov and Yashunin 2018): built once, frozen into flat arrays, walked
//! from disk.
//!
//! Nodes are numbered in the order of the graph: those of the highest layer first, so that a layer consists of the
//! nodes below a number, and among those of the same height in the order of the rows. Node 0 is where each walk begins.
//! Walks compare rows in 8 bits ([`codes`](super::codes)); whoever asks scores what was found on the rows themselves.

mod build;
mod file;
mod heights;
#[cfg(any(test, feature = "hnsw_rs"))]
mod hnsw_rs;
mod probe;
mod recall;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use build::build;
pub use build::{GraphBuilder, GraphParameters};
pub(crate) use file::{GraphFile, write_graph};
pub(crate) use heights::Order;
#[cfg(any(test, feature = "hnsw_rs"))]
pub(crate) use hnsw_rs::build_with_hnsw_rs;
pub(crate) use probe::probe;
pub(crate) use recall::sampled_recall;
pub(crate) use walk::Scratch;

/// A layer of a graph: for each of its nodes the nodes that it leads to, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layer {
    /// Where the links of each node begin, and where the last ones end: one more than the layer has nodes.
    pub(crate) offsets: Vec<u32>,
    /// Nodes of the layer.
    pub(crate) links: Vec<u32>,
}

impl Layer {
    /// A layer of nodes whose links are given one by one.
    fn of_lists(nodes: &[impl AsRef<[u32]>]) -> Self {
        let mut layer = Self { offsets: Vec::with_capacity(nodes.len() + 1), links: Vec::new() };
        layer.offsets.push(0);
        for links in nodes {
            layer.links.extend_from_slice(links.as_ref());
            layer.offsets.push(u32::try_from(layer.links.len()).expect("fewer links than a segment may have"));
        }
        layer
    }

    fn nodes(&self) -> usize {
        self.offsets.len() - 1
    }

    fn neighbours(&self, node: u32) -> &[u32] {
        &self.links[self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize]
    }
}
