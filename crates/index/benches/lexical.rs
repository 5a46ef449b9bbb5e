//! BM25 over 10,000 generated chunks, and the speed at which texts are taken apart.
#![allow(missing_docs)]

use std::path::Path;

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, highlight};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CHUNKS: u64 = 10_000;
const WORDS_PER_CHUNK: usize = 180;
const VOCABULARY: f64 = 50_000.0;

/// A small linear congruential generator (Knuth's MMIX constants): the same words on every machine.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A word whose frequency falls with its number as in natural text (Zipf).
    fn word(&mut self) -> String {
        let number = VOCABULARY.powf(self.unit()) as u32;
        let syllables = ["ka", "ro", "ti", "me", "sul", "pen", "da", "vo", "lin", "ger"];
        number.to_string().bytes().map(|digit| syllables[usize::from(digit - b'0')]).collect()
    }

    fn text(&mut self, words: usize) -> String {
        (0..words).map(|_| self.word() + " ").collect()
    }
}

/// One chunk a document; the vectors are not looked at.
fn build(dir: &Path, dice: &mut Dice) {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "none".to_string(), parts: std::collections::BTreeMap::new() },
        dimensions: 1,
        window_tokens: 256,
        overlap_tokens: 0,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    for number in 0..CHUNKS {
        let document = Document { id: number.to_string(), text: dice.text(WORDS_PER_CHUNK), ..Document::default() };
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..document.text.len(), tokens: 1 },
            key: ContentKey([0; 16]),
            embedding: Embedding::normalized(vec![1.0]).expect("a unit"),
            tokens: None,
            sparse: None,
        };
        writer.put(&document, &DocumentRecord::default(), vec![chunk]).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
}

fn bm25(criterion: &mut Criterion) {
    let mut dice = Dice(7);
    let dir = tempfile::tempdir().expect("a temporary directory");
    build(dir.path(), &mut dice);
    let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
    for words in [3, 12, 200] {
        let queries: Vec<String> = (0..32).map(|_| dice.text(words)).collect();
        let mut next = queries.iter().cycle();
        criterion.bench_function(&format!("bm25/10k chunks/{words} words, best 500"), |bencher| {
            bencher.iter(|| snapshot.lexical(next.next().expect("endless"), 500).expect("answered"));
        });
    }
}

/// Marking a word takes the whole text apart, as indexing does.
fn analyse(criterion: &mut Criterion) {
    let mut dice = Dice(7);
    let english = std::iter::repeat_with(|| dice.text(500)).take(20).collect::<String>();
    let korean = "한국어를 배우는 사람은 서울에서 살고 있다. ".repeat(2000);
    let mut group = criterion.benchmark_group("highlight");
    for (name, text) in [("latin", english), ("korean", korean)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| highlight::Highlighter::new("absent").ranges(&text)));
    }
    group.finish();
}

criterion_group!(benches, analyse, bm25);
criterion_main!(benches);
