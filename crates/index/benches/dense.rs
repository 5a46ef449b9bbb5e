//! The exact scan at the size of a collection of abstracts and at ten times that.

use std::hint::black_box;

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const DIMENSIONS: usize = 384;
const CHUNKS_A_DOCUMENT: usize = 100;

fn random_row(state: &mut u64) -> Embedding {
    let mut value = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    Embedding::normalized((0..DIMENSIONS).map(|_| value()).collect()).expect("random values have a direction")
}

fn build(dir: &std::path::Path, rows: usize) {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "random".to_string(), parts: std::collections::BTreeMap::new() },
        dimensions: DIMENSIONS,
        window_tokens: 256,
        overlap_tokens: 64,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    let mut state = 88_172_645_463_325_252;
    for number in 0..rows / CHUNKS_A_DOCUMENT {
        let document = Document { id: number.to_string(), text: "x".repeat(CHUNKS_A_DOCUMENT), ..Document::default() };
        let chunk = |ordinal: usize| NewChunk {
            chunk: Chunk { ordinal: ordinal as u32, byte_range: ordinal..ordinal + 1, tokens: 1 },
            key: ContentKey((number * CHUNKS_A_DOCUMENT + ordinal).to_le_bytes().repeat(2).try_into().unwrap()),
            embedding: random_row(&mut state),
            tokens: None,
            sparse: None,
        };
        let chunks = (0..CHUNKS_A_DOCUMENT).map(chunk).collect();
        writer.put(&document, &DocumentRecord::default(), chunks).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
}

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dense scan, 384 values a row");
    for rows in [10_000, 100_000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        build(dir.path(), rows);
        let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
        let query = random_row(&mut 42);
        group.throughput(Throughput::Bytes((rows * DIMENSIONS * size_of::<f32>()) as u64));
        group.bench_function(format!("{rows} rows, 200 best"), |bencher| {
            bencher.iter(|| black_box(snapshot.dense(black_box(&query), 200).expect("a sound index")));
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
