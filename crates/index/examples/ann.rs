//! Measures the dense half alone: how long a graph takes to build, how fast it answers, and how much it finds.
//!
//! `ann VECTORS.npy QUERIES.npy DIR [EF,EF,…]` puts the vectors into an index in DIR (which is used again when it is there),
//! searches it with each width, one question after the other on one thread, and prints an object a line.
//! `scripts/bench_ann` runs it beside other engines.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use berth_index::{DenseOptions, IndexReader, IndexSettings, IndexWriter, NewChunk, exists};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint};

/// Nearest rows that are compared with those of a scan.
const PLACES: usize = 10;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries, dir, widths @ ..] = &words[..] else {
        return Err("usage: ann VECTORS.npy QUERIES.npy DIR [EF,EF,…]".into());
    };
    let dir = Path::new(dir);
    if !exists(dir) {
        build(dir, &read_npy(Path::new(vectors))?)?;
    }
    let opened = Instant::now();
    let reader = IndexReader::open(dir)?;
    let snapshot = reader.snapshot();
    say(&format!(
        r#"{{"open_seconds":{:.4},"status":{}}}"#,
        opened.elapsed().as_secs_f64(),
        serde_json::to_string(&snapshot.status())?
    ));
    let queries: Vec<Embedding> =
        read_npy(Path::new(queries))?.into_iter().map(Embedding::normalized).collect::<Result<_, _>>()?;
    let widths = widths.first().map_or("16,24,32,48,64,96,128,192,256", String::as_str);
    let exact: Vec<Vec<u64>> = queries
        .iter()
        .map(|query| Ok(snapshot.dense_exact(query, PLACES)?.iter().map(|hit| hit.chunk_id).collect()))
        .collect::<Outcome<_>>()?;
    for ef in widths.split(',') {
        let ef: usize = ef.parse()?;
        let mut times = Vec::with_capacity(queries.len());
        let mut hits = 0;
        for (query, exact) in queries.iter().zip(&exact) {
            let started = Instant::now();
            let found = snapshot.dense_with_ef(query, PLACES, ef)?;
            times.push(started.elapsed().as_secs_f64());
            hits += found.iter().filter(|hit| exact.contains(&hit.chunk_id)).count();
        }
        let total: f64 = times.iter().sum();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e3;
        say(&format!(
            r#"{{"ef":{ef},"recall@10":{:.4},"queries_per_second":{:.0},"p50_ms":{:.4},"p99_ms":{:.4}}}"#,
            hits as f64 / (queries.len() * PLACES) as f64,
            queries.len() as f64 / total,
            at(0.5),
            at(0.99)
        ));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a measurement is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Puts each vector as a document of its own, first without a graph, so that the time of the graph is seen alone.
fn build(dir: &Path, rows: &[Vec<f32>]) -> Outcome<()> {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "vectors".into(), parts: BTreeMap::new() },
        dimensions: rows.first().ok_or("no vectors")?.len(),
        window_tokens: 64,
        overlap_tokens: 0,
        tokens: None,
    };
    let started = Instant::now();
    let mut writer = IndexWriter::create_or_open(dir, &settings)?;
    writer.set_dense_options(DenseOptions { graph_from_rows: u64::MAX, ..DenseOptions::default() });
    for (number, row) in rows.iter().enumerate() {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..1, tokens: 1 },
            key: ContentKey(key),
            embedding: Embedding::normalized(row.clone())?,
            tokens: None,
        };
        let document = Document { id: number.to_string(), text: "x".into(), ..Document::default() };
        writer.put(&document, &DocumentRecord::default(), vec![chunk])?;
    }
    writer.compact()?;
    let stored = started.elapsed();
    writer.set_dense_options(DenseOptions::default());
    let started = Instant::now();
    writer.finish()?;
    say(&format!(
        r#"{{"store_seconds":{:.2},"graph_seconds":{:.2}}}"#,
        stored.as_secs_f64(),
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Rows of a two-dimensional array of little-endian `f32` in C order.
fn read_npy(path: &Path) -> Outcome<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path)?;
    let header_bytes = usize::from(u16::from_le_bytes(bytes[8..10].try_into()?));
    let header = std::str::from_utf8(&bytes[10..10 + header_bytes])?;
    if !header.contains("'<f4'") || header.contains("True") {
        return Err(format!("{}: not an array of f32 in C order", path.display()).into());
    }
    let shape = header.split_once("'shape'").and_then(|(_, rest)| rest.split_once('(')).ok_or("no shape")?.1;
    let shape = shape.split_once(')').ok_or("no shape")?.0;
    let shape: Vec<usize> = shape.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
    let [_, columns] = shape[..] else { return Err("not two-dimensional".into()) };
    let values = bytes[10 + header_bytes..]
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().expect("four bytes")));
    let values: Vec<f32> = values.collect();
    Ok(values.chunks_exact(columns).map(<[f32]>::to_vec).collect())
}
