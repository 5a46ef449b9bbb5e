//! BM25 over 10,000 generated chunks in memory, and the speed of the analyser.
#![allow(missing_docs)]

use berth_index::analysis;
use berth_index::lexical::{self, Fields};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tantivy::schema::{FAST, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexWriter, Searcher, doc};

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

fn index(dice: &mut Dice) -> (Searcher, Fields) {
    let indexing =
        TextFieldIndexing::default().set_tokenizer(analysis::ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let text = TextOptions::default().set_indexing_options(indexing);
    let mut schema = Schema::builder();
    let fields = Fields {
        body: schema.add_text_field("body", text.clone()),
        title: schema.add_text_field("title", text),
        chunk_id: schema.add_u64_field("chunk_id", FAST),
        document_no: schema.add_u64_field("document_no", FAST),
    };
    let index = Index::create_in_ram(schema.build());
    analysis::register(&index);
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 100_000_000).expect("writer");
    for number in 0..CHUNKS {
        let chunk = doc!(fields.body => dice.text(WORDS_PER_CHUNK), fields.chunk_id => number,
            fields.document_no => number / 3);
        writer.add_document(chunk).expect("added");
    }
    writer.commit().expect("committed");
    (index.reader().expect("reader").searcher(), fields)
}

fn bm25(criterion: &mut Criterion) {
    let mut dice = Dice(7);
    let (searcher, fields) = index(&mut dice);
    for words in [3, 12, 200] {
        let queries: Vec<String> = (0..32).map(|_| dice.text(words)).collect();
        let mut next = queries.iter().cycle();
        criterion.bench_function(&format!("bm25/10k chunks/{words} words, best 500"), |bencher| {
            bencher.iter(|| lexical::search(&searcher, &fields, next.next().expect("endless"), 500).expect("answered"));
        });
    }
}

fn analyse(criterion: &mut Criterion) {
    let mut dice = Dice(7);
    let english = std::iter::repeat_with(|| dice.text(500)).take(20).collect::<String>();
    let korean = "한국어를 배우는 사람은 서울에서 살고 있다. ".repeat(2000);
    let mut group = criterion.benchmark_group("analysis");
    for (name, text) in [("latin", english), ("korean", korean)] {
        let index = Index::create_in_ram(Schema::builder().build());
        analysis::register(&index);
        let mut analyzer = index.tokenizers().get(analysis::ANALYZER).expect("registered");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut bytes = 0;
                analyzer.token_stream(&text).process(&mut |token| bytes += token.text.len());
                bytes
            });
        });
    }
    group.finish();
}

criterion_group!(benches, analyse, bm25);
criterion_main!(benches);
