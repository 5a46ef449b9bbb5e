//! The builder of the crate `hnsw_rs`, one node at a time under locks: what ours is held to, and can be exchanged for.
//!
//! Its files are never written or read; links are copied out of memory. What it asserts is made sure of before.

use hnsw_rs::prelude::{Distance, Hnsw};

use super::heights::MOST_LAYERS;
use super::{GraphParameters, Layer, Order};
use crate::Error;
use crate::dense::dot::dots;
use crate::dense::segment::Segment;

/// Most links a node that it takes; beyond, it ends the process.
const MOST_LINKS: usize = 255;

/// 1 − cosine of rows of unit length, never below 0, which rounding would make of equal rows.
#[derive(Debug, Clone, Copy, Default)]
struct CosineDistance;

impl Distance<f32> for CosineDistance {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        let mut score = [0.0];
        dots(a, b, &mut score);
        (1.0 - score[0]).max(0.0)
    }
}

/// Links all rows of a segment that has some; the lowest layer first.
pub(crate) fn build_with_hnsw_rs(segment: &Segment, parameters: GraphParameters) -> Result<(Order, Vec<Layer>), Error> {
    let rows = segment.rows();
    let m = parameters.m.clamp(2, MOST_LINKS);
    let graph = Hnsw::<f32, _>::new(m, rows, MOST_LAYERS, parameters.ef_construction, CosineDistance);
    let vectors = (0..rows).map(|row| segment.vectors(row..row + 1)).collect::<Result<Vec<_>, Error>>()?;
    let data: Vec<(&[f32], usize)> = vectors.iter().map(AsRef::as_ref).zip(0..).collect();
    graph.parallel_insert_slice(&data);
    let points: Vec<_> = graph.get_point_indexation().into_iter().collect();
    let mut heights = vec![0; rows];
    for point in &points {
        heights[point.get_origin_id()] = usize::from(point.get_point_id().0);
    }
    let order = Order::of_heights(&heights);
    let mut node_of = vec![0u32; rows];
    for (node, &row) in (0..).zip(&order.rows) {
        node_of[row as usize] = node;
    }
    let mut links: Vec<Vec<Vec<u32>>> = order.layer_nodes.iter().map(|&nodes| vec![Vec::new(); nodes]).collect();
    for point in &points {
        let node = node_of[point.get_origin_id()] as usize;
        for (layer, neighbours) in point.get_neighborhood_id().iter().enumerate().take(links.len()) {
            let nodes = links[layer].len();
            let to = neighbours.iter().map(|neighbour| node_of[neighbour.get_origin_id()]);
            // A link may lead down to a point that this layer does not have.
            let to: Vec<u32> = to.filter(|&to| (to as usize) < nodes && to as usize != node).collect();
            if node < nodes {
                links[layer][node] = to;
            }
        }
    }
    Ok((order, links.iter().map(|nodes| Layer::of_lists(nodes)).collect()))
}
