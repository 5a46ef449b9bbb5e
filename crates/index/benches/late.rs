//! MaxSim of the passages that a first search found: 100 windows of 250 tokens against a query of 32.

use std::collections::BTreeMap;
use std::hint::black_box;

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, TokenSettings};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind, TokenMatrix};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CHUNKS: usize = 100;
const CHUNK_TOKENS: usize = 250;
const QUERY_TOKENS: usize = 32;

fn random_tokens(state: &mut u64, tokens: usize, dimensions: usize) -> TokenMatrix {
    let mut value = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    TokenMatrix::normalized((0..tokens * dimensions).map(|_| value()).collect(), dimensions).expect("random rows")
}

fn build(dir: &std::path::Path, dimensions: usize) {
    let fingerprint = Fingerprint { model: "random".to_string(), parts: BTreeMap::new() };
    let tokens = Some(TokenSettings { fingerprint: fingerprint.clone(), dimensions });
    let settings = IndexSettings {
        fingerprint,
        dimensions: 1,
        window_tokens: 256,
        overlap_tokens: 64,
        rows: RowKind::F32,
        tokens,
        sparse: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    let mut state = 88_172_645_463_325_252;
    let document = Document { id: "all".to_string(), text: "x".repeat(CHUNKS), ..Document::default() };
    let chunk = |ordinal: usize| NewChunk {
        chunk: Chunk { ordinal: ordinal as u32, byte_range: ordinal..ordinal + 1, tokens: 1 },
        key: ContentKey(ordinal.to_le_bytes().repeat(2).try_into().expect("sixteen bytes")),
        embedding: Embedding::normalized(vec![1.0]).expect("a direction"),
        tokens: Some(random_tokens(&mut state, CHUNK_TOKENS, dimensions).quantized()),
        sparse: None,
    };
    let chunks = (0..CHUNKS).map(chunk).collect();
    writer.put(&document, &DocumentRecord::default(), chunks).expect("room on the disk");
    writer.finish().expect("room on the disk");
}

fn rerank(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("late interaction, 100 chunks of 250 tokens, 32 query tokens");
    for dimensions in [128, 384] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        build(dir.path(), dimensions);
        let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
        let query = random_tokens(&mut 42, QUERY_TOKENS, dimensions);
        let hits = snapshot.dense(&Embedding::normalized(vec![1.0]).expect("a direction"), CHUNKS);
        let ids: Vec<u64> = hits.expect("a sound index").iter().map(|hit| hit.chunk_id).collect();
        group.throughput(Throughput::Elements((CHUNKS * CHUNK_TOKENS * QUERY_TOKENS) as u64));
        group.bench_function(format!("{dimensions} values a token"), |bencher| {
            bencher.iter(|| black_box(snapshot.late_scores(black_box(&query), &ids).expect("a sound index")));
        });
    }
    group.finish();
}

criterion_group!(benches, rerank);
criterion_main!(benches);
