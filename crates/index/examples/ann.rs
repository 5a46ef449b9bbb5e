//! Measures the dense half alone: how long a graph takes to build, how fast it answers, and how much it finds.
//!
//! `ann VECTORS.npy QUERIES.npy DIR [--kind KIND] [--depth N] [--rounds N] [WAY,WAY,…]` puts the vectors into an index in
//! DIR when it is not there yet, and says what that cost. When it is there, it is searched in each way, one question after
//! the other on one thread: a number is the width of a walk over the graph, a word a first stage, with `@N` behind it how
//! much it hands on. Prints an object a line. `scripts/bench_ann` runs it beside other engines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Instant;

use berth_index::{DenseOptions, IndexReader, IndexSettings, IndexWriter, NewChunk, Snapshot, exists};
use berth_types::{
    Chunk, ContentKey, DenseSearch, Document, DocumentRecord, Embedding, Fingerprint, FirstStage, RowKind,
};

/// Nearest rows that are compared with those of a scan.
const PLACES: usize = 10;
const WAYS: &str = "16,24,32,48,64,96,128,192,256";
const USAGE: &str = "usage: ann VECTORS.npy QUERIES.npy DIR [--kind KIND] [--depth N] [--rounds N] [WAY,WAY,…]";

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What is asked, and how often.
#[derive(Clone, Copy)]
struct Asking {
    depth: usize,
    /// Each question counts with its fastest answer.
    rounds: usize,
}

fn main() -> Outcome<()> {
    let (mut kind, mut asking, mut ways) = (RowKind::F32, Asking { depth: PLACES, rounds: 1 }, WAYS.to_owned());
    let mut places = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match &word[..] {
            "--kind" => kind = words.next().ok_or(USAGE)?.parse()?,
            "--depth" => asking.depth = words.next().ok_or(USAGE)?.parse()?,
            "--rounds" => asking.rounds = words.next().ok_or(USAGE)?.parse()?,
            _ if places.len() == 3 => ways = word,
            _ => places.push(word),
        }
    }
    let [vectors, queries, dir] = &places[..] else { return Err(USAGE.into()) };
    let dir = Path::new(dir);
    if !exists(dir) {
        return build(dir, Path::new(vectors), kind);
    }
    let queries = Rows::open(Path::new(queries))?.map(|row| -> Outcome<Embedding> { Ok(Embedding::normalized(row?)?) });
    let queries = queries.collect::<Outcome<Vec<Embedding>>>()?;
    let started = Instant::now();
    let snapshot = IndexReader::open(dir)?.snapshot();
    let open_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    snapshot.dense(&queries[0], asking.depth)?;
    say(&format!(
        r#"{{"open_seconds":{open_seconds:.4},"first_question_ms":{:.1},"status":{}}}"#,
        started.elapsed().as_secs_f64() * 1e3,
        serde_json::to_string(&snapshot.status())?
    ));
    let mut exact = Vec::with_capacity(queries.len());
    for query in &queries {
        exact.push(chunk_ids(&snapshot.dense_exact(query, asking.depth)?));
    }
    for way in ways.split(',') {
        measure(&snapshot, &queries, &exact, way, asking)?;
    }
    Ok(())
}

/// Says how long the questions take, and how much of what a scan finds is found.
fn measure(
    snapshot: &Snapshot,
    queries: &[Embedding],
    exact: &[Vec<u64>],
    way: &str,
    Asking { depth, rounds }: Asking,
) -> Outcome<()> {
    let width = way.parse::<usize>().ok();
    let (stage, oversample) = way.split_once('@').map_or((way, None), |(stage, count)| (stage, Some(count)));
    let first_stage = if width.is_some() { FirstStage::Auto } else { stage.parse()? };
    let search = DenseSearch { first_stage, oversample: oversample.map(str::parse).transpose()? };
    let ask = |query: &Embedding| match width {
        Some(ef) => snapshot.dense_with_ef(query, depth, ef),
        None => snapshot.dense_by(query, None, depth, search),
    };
    // What a first stage keeps in memory is made by the first questions.
    queries.iter().take(20).try_for_each(|query| ask(query).map(drop))?;
    let mut times = vec![f64::INFINITY; queries.len()];
    let (mut nearest, mut all) = (0, 0);
    for round in 0..rounds {
        for ((query, exact), time) in queries.iter().zip(exact).zip(&mut times) {
            let started = Instant::now();
            let found = ask(query)?;
            *time = time.min(started.elapsed().as_secs_f64());
            if round == 0 {
                let found = chunk_ids(&found);
                nearest += exact.iter().take(PLACES).filter(|chunk| found.contains(chunk)).count();
                all += exact.iter().filter(|chunk| found.contains(chunk)).count();
            }
        }
    }
    let total: f64 = times.iter().sum();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] * 1e3;
    let way = if width.is_some() { format!(r#""ef":{way}"#) } else { format!(r#""stage":"{way}""#) };
    let count = |places: usize| (queries.len() * places.min(exact[0].len())) as f64;
    say(&format!(
        r#"{{{way},"depth":{depth},"recall@10":{:.4},"recall":{:.4},"queries_per_second":{:.0},"p50_ms":{:.4},"p99_ms":{:.4}}}"#,
        nearest as f64 / count(PLACES),
        all as f64 / count(depth),
        queries.len() as f64 / total,
        at(0.5),
        at(0.99)
    ));
    Ok(())
}

fn chunk_ids(hits: &[berth_index::ChunkHit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.chunk_id).collect()
}

#[expect(clippy::print_stdout, reason = "what a measurement is for")]
fn say(line: &str) {
    println!("{line}");
}

/// Puts each vector as a document of its own, first without a graph, so that the time of the graph is seen alone.
fn build(dir: &Path, vectors: &Path, kind: RowKind) -> Outcome<()> {
    let rows = Rows::open(vectors)?;
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "vectors".into(), parts: BTreeMap::new() },
        dimensions: rows.columns,
        window_tokens: 64,
        overlap_tokens: 0,
        rows: kind,
        tokens: None,
        sparse: None,
    };
    let started = Instant::now();
    let mut writer = IndexWriter::create_or_open(dir, &settings)?;
    writer.set_dense_options(DenseOptions { graph_from_rows: u64::MAX, ..DenseOptions::default() });
    for (number, row) in rows.enumerate() {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..1, tokens: 1 },
            key: ContentKey(key),
            embedding: Embedding::normalized(row?)?,
            tokens: None,
            sparse: None,
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
        r#"{{"store_seconds":{:.2},"graph_seconds":{:.2},"peak_mb":{}}}"#,
        stored.as_secs_f64(),
        started.elapsed().as_secs_f64(),
        peak_mb().map_or("null".to_owned(), |peak| peak.to_string())
    ));
    Ok(())
}

/// Most resident memory of this process so far, mapped files included; where Linux says it.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?;
    Some(kilobytes.trim().parse::<u64>().ok()? / 1024)
}

/// Rows of a two-dimensional array of little-endian `f32` in C order, read one by one.
struct Rows {
    file: BufReader<File>,
    left: usize,
    columns: usize,
}

impl Rows {
    fn open(path: &Path) -> Outcome<Self> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut start = [0; 10];
        file.read_exact(&mut start)?;
        let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
        file.read_exact(&mut header)?;
        let header = std::str::from_utf8(&header)?;
        if !header.contains("'<f4'") || header.contains("True") {
            return Err(format!("{}: not an array of f32 in C order", path.display()).into());
        }
        let shape = header.split_once("'shape'").and_then(|(_, rest)| rest.split_once('(')).ok_or("no shape")?.1;
        let shape = shape.split_once(')').ok_or("no shape")?.0;
        let shape: Vec<usize> = shape.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>()?;
        let [left, columns] = shape[..] else { return Err("not two-dimensional".into()) };
        Ok(Self { file, left, columns })
    }
}

impl Iterator for Rows {
    type Item = Outcome<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut bytes = vec![0; 4 * self.columns];
        let read = self.file.read_exact(&mut bytes);
        let values = || bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        Some(read.map(|()| values()).map_err(Into::into))
    }
}
