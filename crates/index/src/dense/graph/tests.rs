//! Laws of graphs: what is built links all nodes, is the same on any number of threads, and finds what a scan finds.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use berth_types::{ContentKey, RowKind};

use super::heights::mix;
use super::probe::Probed;
use super::*;
use crate::Error;
use crate::blocks::BlockFile;
use crate::dense::RowLabel;
use crate::dense::codes::{CodeQuery, Codes, encode, stride_of};
use crate::dense::live::{LiveSegment, Shape};
use crate::dense::writing::SegmentPlace;
use crate::disk::Disk;

const DIMENSIONS: usize = 24;

/// Rows around some centres, as texts have them; seeded.
pub(super) fn rows(count: usize, centres: usize, seed: u64) -> Vec<Vec<f32>> {
    let value = |number: u64| (mix(number ^ seed) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
    let row = |number: usize| -> Vec<f32> {
        let centre = number % centres;
        let values = (0..DIMENSIONS).map(|at| {
            value((centre * DIMENSIONS + at) as u64) + 0.8 * value((1 << 40) + (number * DIMENSIONS + at) as u64)
        });
        let row: Vec<f32> = values.collect();
        let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        row.iter().map(|value| value / norm).collect()
    };
    (0..count).map(row).collect()
}

struct Encoded {
    bytes: Vec<u8>,
    scales: Vec<f32>,
}

impl Encoded {
    fn of(rows: &[Vec<f32>], order: &Order) -> Self {
        let stride = stride_of(DIMENSIONS);
        let mut bytes = vec![0; rows.len() * stride];
        let places = order.rows.iter().zip(bytes.chunks_exact_mut(stride));
        let scales = places.map(|(&row, codes)| encode(&rows[row as usize], codes)).collect();
        Self { bytes, scales }
    }

    fn codes(&self) -> Codes<'_> {
        Codes::new(&self.bytes, &self.scales, stride_of(DIMENSIONS))
    }
}

fn built(rows: &[Vec<f32>], parameters: GraphParameters) -> (Encoded, Order, Vec<Layer>, Probed) {
    let order = Order::of(rows.len(), parameters.m);
    let encoded = Encoded::of(rows, &order);
    let mut layers = build(&encoded.codes(), &order, parameters, &AtomicBool::new(false)).unwrap();
    let probed = probe(&encoded.codes(), &mut layers);
    (encoded, order, layers, probed)
}

/// A graph that went through a file.
fn frozen(rows: &[Vec<f32>], parameters: GraphParameters) -> (tempfile::TempDir, GraphFile) {
    let (encoded, order, layers, _) = built(rows, parameters);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000.graph");
    write_graph(&Disk::default(), &path, DIMENSIONS, &encoded.codes(), &order, &layers).unwrap();
    let graph = GraphFile::open(Arc::new(BlockFile::open(&path).unwrap()), rows.len(), DIMENSIONS).unwrap();
    (dir, graph)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn exact(rows: &[Vec<f32>], query: &[f32], k: usize, allowed: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).filter(|&row| allowed(row)).collect();
    order.sort_by(|&a, &b| dot(query, &rows[b]).total_cmp(&dot(query, &rows[a])).then(a.cmp(&b)));
    order.truncate(k);
    order
}

fn recall(graph: &GraphFile, rows: &[Vec<f32>], ef: usize, allowed: Option<&dyn Fn(usize) -> bool>) -> f64 {
    // Of the same kind as the rows, but none of them.
    let queries = self::rows(rows.len() + 200, 40, 1).split_off(rows.len());
    let (mut hits, mut wanted) = (0, 0);
    let mut scratch = Scratch::default();
    for query in &queries {
        let mut found = graph.nearest(&CodeQuery::new(query), ef, allowed, &mut scratch).unwrap();
        assert!(found.iter().all(|&row| allowed.is_none_or(|allowed| allowed(row))), "only what is allowed");
        found.sort_by(|&a, &b| dot(query, &rows[b]).total_cmp(&dot(query, &rows[a])).then(a.cmp(&b)));
        let exact = exact(rows, query, 10, |row| allowed.is_none_or(|allowed| allowed(row)));
        wanted += exact.len();
        hits += exact.iter().filter(|row| found[..found.len().min(10)].contains(row)).count();
    }
    hits as f64 / wanted as f64
}

#[test]
fn finds_what_a_scan_finds() {
    let rows = rows(5_000, 40, 1);
    let (_dir, graph) = frozen(&rows, GraphParameters { m: 8, ef_construction: 64, ..GraphParameters::default() });
    let found = recall(&graph, &rows, 100, None);
    assert!(found >= 0.98, "recall@10 {found}");
    for share in [2, 4, 8] {
        let allowed = move |row: usize| mix(row as u64).is_multiple_of(share);
        let found = recall(&graph, &rows, 100, Some(&allowed));
        assert!(found >= 0.9, "recall@10 {found} of one in {share}");
    }
}

/// The rows as a segment, without token rows or anything that was deleted.
fn segment(dir: &std::path::Path, rows: &[Vec<f32>]) -> LiveSegment {
    let shape = Shape { dimensions: DIMENSIONS, kind: RowKind::F32, token_dimensions: None };
    let place = SegmentPlace { folder: dir.to_path_buf(), disk: Disk::default(), files: Arc::default(), shape };
    let label = |row: usize| RowLabel { chunk_id: row as u64, document_no: row as u64, key: ContentKey([0; 16]) };
    let labels: Vec<RowLabel> = (0..rows.len()).map(label).collect();
    let without_tokens = None::<(Vec<u64>, std::iter::Empty<Result<&[u8], Error>>)>;
    place.write(0, &labels, rows.iter().map(|row| Ok(&row[..])), without_tokens).unwrap()
}

#[test]
fn finds_as_much_as_the_graph_of_hnsw_rs() {
    let rows = rows(4_000, 40, 1);
    let dir = tempfile::tempdir().unwrap();
    let live = segment(dir.path(), &rows);
    let parameters = GraphParameters { m: 8, ef_construction: 60, ..GraphParameters::default() };
    let (order, mut layers) = build_with_hnsw_rs(&live.segment, parameters).unwrap();
    let encoded = Encoded::of(&rows, &order);
    probe(&encoded.codes(), &mut layers);
    let path = dir.path().join("00000000.graph");
    write_graph(&Disk::default(), &path, DIMENSIONS, &encoded.codes(), &order, &layers).unwrap();
    let theirs = GraphFile::open(Arc::new(BlockFile::open(&path).unwrap()), rows.len(), DIMENSIONS).unwrap();
    let (_dir, ours) = frozen(&rows, parameters);
    // At the same number of links: theirs has more a node.
    let links = |layers: &[Layer]| layers[0].links.len();
    let more = links(&layers) as f64 / links(&built(&rows, parameters).2) as f64;
    for ef in [16, 32, 64] {
        let our_ef = (ef as f64 * more).round() as usize;
        let (ours, theirs) = (recall(&ours, &rows, our_ef, None), recall(&theirs, &rows, ef, None));
        assert!(ours >= theirs - 0.02, "recall@10 {ours} at {our_ef} against {theirs} at {ef}");
    }
}

#[test]
fn a_graph_is_the_same_on_any_number_of_threads() {
    let rows = rows(1_500, 20, 2);
    let of_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| built(&rows, GraphParameters { m: 6, ef_construction: 40, ..GraphParameters::default() }).2)
    };
    assert_eq!(of_threads(1), of_threads(5));
}

#[test]
fn every_node_is_found_even_among_equals() {
    // 3 different rows, 700 times each, and 50 that stand alone.
    let mut many: Vec<Vec<f32>> = (0..2_100).map(|number| rows(3, 3, 3)[number % 3].clone()).collect();
    many.extend(rows(50, 50, 4));
    let (encoded, _, layers, probed) =
        built(&many, GraphParameters { m: 4, ef_construction: 30, ..GraphParameters::default() });
    assert!(probed.linked > 0, "so many equals cannot all be linked by the heuristic");
    assert_eq!(probed.missed, 0);
    let mut reached = vec![false; many.len()];
    let mut waiting = vec![0u32];
    while let Some(node) = waiting.pop() {
        if !std::mem::replace(&mut reached[node as usize], true) {
            waiting.extend(layers[0].neighbours(node));
        }
    }
    assert!(reached.iter().all(|&reached| reached), "a chain of links leads to every node");
    assert_eq!(encoded.codes().rows(), many.len());
}

#[test]
fn smallest_graphs() {
    for count in 1..6 {
        let rows = rows(count, 2, 5);
        let (_dir, graph) = frozen(&rows, GraphParameters::default());
        let found = graph.nearest(&CodeQuery::new(&rows[0]), 10, None, &mut Scratch::default()).unwrap();
        assert_eq!(found.len(), count);
        assert_eq!(found[0], exact(&rows, &rows[0], 1, |_| true)[0]);
    }
}
