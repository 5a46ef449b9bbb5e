//! BM25 over 10,000 generated chunks, beside plain tantivy over real texts, and the speed at which texts are taken apart.
//!
//! The comparison takes SciFact and CoSQA, a chunk a document, where `BERTH_DATASETS` names their folder: every question
//! of SciFact, 500 chunks asked for, one thread. Plain tantivy has its own analyser for English (`en_stem`), a disjunction of
//! the question's terms and its own collector; both indexes are one segment.
#![allow(missing_docs)]

use std::path::Path;

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, highlight};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, Searcher, Term, doc};

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
fn build(dir: &Path, texts: impl Iterator<Item = String>) {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "none".to_string(), parts: std::collections::BTreeMap::new() },
        dimensions: 1,
        window_tokens: 256,
        overlap_tokens: 0,
        tokens: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    for (number, text) in texts.enumerate() {
        let document = Document { id: number.to_string(), text, ..Document::default() };
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..document.text.len(), tokens: 1 },
            key: ContentKey([0; 16]),
            embedding: Embedding::normalized(vec![1.0]).expect("a unit"),
            tokens: None,
        };
        writer.put(&document, &DocumentRecord::default(), vec![chunk]).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
    IndexWriter::create_or_open(dir, &settings).expect("the index just built").compact().expect("room on the disk");
}

fn bm25(criterion: &mut Criterion) {
    let mut dice = Dice(7);
    let dir = tempfile::tempdir().expect("a temporary directory");
    build(dir.path(), (0..CHUNKS).map(|_| dice.text(WORDS_PER_CHUNK)));
    let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
    for words in [3, 12, 200] {
        let queries: Vec<String> = (0..32).map(|_| dice.text(words)).collect();
        let mut next = queries.iter().cycle();
        criterion.bench_function(&format!("bm25/10k chunks/{words} words, best 500"), |bencher| {
            bencher.iter(|| snapshot.lexical(next.next().expect("endless"), 500).expect("answered"));
        });
    }
}

/// Title and text of every document, and the questions of SciFact.
fn collections() -> Option<(Vec<String>, Vec<String>)> {
    let folder = std::path::PathBuf::from(std::env::var_os("BERTH_DATASETS")?);
    let rows = |name: &str, file: &str| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.join(name).join(file)).expect("a collection");
        text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    };
    let field = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let corpus = rows("scifact", "corpus.jsonl").into_iter().chain(rows("cosqa", "corpus.jsonl"));
    let texts = corpus.map(|row| field(&row, "title") + "\n" + &field(&row, "text")).collect();
    let questions = rows("scifact", "queries.jsonl").iter().map(|row| field(row, "text")).collect();
    Some((texts, questions))
}

fn beside_tantivy(criterion: &mut Criterion) {
    let Some((texts, questions)) = collections() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    build(dir.path(), texts.iter().cloned());
    let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
    let plain = tempfile::tempdir().expect("a temporary directory");
    let (searcher, body) = plain_tantivy(plain.path(), &texts);
    let mut analyzer = searcher.index().tokenizer_for_field(body).expect("its own analyser");
    let mut group = criterion.benchmark_group("beside tantivy, best 500");
    group.throughput(Throughput::Elements(questions.len() as u64));
    group.bench_function("berth", |bencher| {
        bencher.iter(|| {
            let hits = |question: &String| snapshot.lexical(question, 500).expect("answered").hits.len();
            questions.iter().map(hits).sum::<usize>()
        });
    });
    group.bench_function("tantivy", |bencher| {
        bencher.iter(|| {
            let mut hits = |question: &String| {
                let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
                let mut stream = analyzer.token_stream(question);
                while let Some(token) = stream.next() {
                    let term = Term::from_field_text(body, &token.text);
                    clauses.push((Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))));
                }
                let collector = TopDocs::with_limit(500).order_by_score();
                searcher.search(&BooleanQuery::new(clauses), &collector).expect("answered").len()
            };
            questions.iter().map(&mut hits).sum::<usize>()
        });
    });
    group.finish();
}

/// The texts in an index of tantivy's own, of one segment.
fn plain_tantivy(dir: &Path, texts: &[String]) -> (Searcher, Field) {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("en_stem")
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
    let index = Index::create_in_dir(dir, schema.build()).expect("an empty directory");
    let mut writer: tantivy::IndexWriter = index.writer_with_num_threads(1, 200_000_000).expect("memory");
    for text in texts {
        writer.add_document(doc!(body => text.as_str())).expect("room");
    }
    writer.commit().expect("room on the disk");
    (index.reader().expect("the index just built").searcher(), body)
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

criterion_group!(benches, analyse, bm25, beside_tantivy);
criterion_main!(benches);
