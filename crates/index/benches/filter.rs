//! Filters of every width over 100,000 documents: the slowest of many answers of both halves together, without encoding.
//!
//! Documents are made up, unless `BERTH_ANN` names the folder of `scripts/bench_ann`: then they are the passages of its
//! index, texts and vectors, and so are the questions.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench of one table, which it prints")]
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, Snapshot};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind};

const DOCUMENTS: u64 = 100_000;
const DIMENSIONS: usize = 384;
const WORDS_A_TEXT: usize = 60;
const WORDS_A_QUERY: usize = 6;
const VOCABULARY: f64 = 50_000.0;
const QUERIES: usize = 200;
const DEPTH: usize = 500;
/// Each question counts with its fastest answer: whatever else the machine does only ever slows one down.
const ROUNDS: usize = 3;

/// A small linear congruential generator (Knuth's MMIX constants): the same words on every machine.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Words whose frequency falls with their number as in natural text (Zipf).
    fn text(&mut self, words: usize) -> String {
        let syllables = ["ka", "ro", "ti", "me", "sul", "pen", "da", "vo", "lin", "ger"];
        let mut text = String::new();
        for _ in 0..words {
            let number = VOCABULARY.powf(self.unit()) as u32;
            text.extend(number.to_string().bytes().map(|digit| syllables[usize::from(digit - b'0')]));
            text.push(' ');
        }
        text
    }

    fn vector(&mut self) -> Embedding {
        let values = (0..DIMENSIONS).map(|_| (self.unit() - 0.5) as f32).collect();
        Embedding::normalized(values).expect("not all zero")
    }
}

/// A text with its vector.
type Pair = (String, Embedding);

/// Documents, one after the other, and questions.
fn source() -> (Box<dyn Iterator<Item = Pair>>, Vec<Pair>) {
    let Some(folder) = std::env::var_os("BERTH_ANN").map(PathBuf::from) else {
        let (mut documents, mut questions) = (Dice(7), Dice(99));
        let mut made_up = move |words| (documents.text(words), documents.vector());
        let documents = std::iter::repeat_with(move || made_up(WORDS_A_TEXT));
        let questions = std::iter::repeat_with(|| (questions.text(WORDS_A_QUERY), questions.vector()));
        return (Box::new(documents), questions.take(QUERIES).collect());
    };
    let snapshot = IndexReader::open(&folder.join("windows.berth")).expect("the index of scripts/bench_ann").snapshot();
    let ids = snapshot.document_ids("", usize::MAX).expect("ids");
    let passages = ids.into_iter().flat_map(move |id| {
        let stored = snapshot.document(&id).expect("a sound index").expect("a document of that id");
        let chunks = snapshot.embedded_chunks(stored.document_no).expect("a sound index").into_iter();
        let pair = move |chunk: berth_index::EmbeddedChunk| {
            let text = stored.document.text[chunk.chunk.byte_range].to_owned();
            (text, Embedding::normalized(chunk.vector).expect("of unit length"))
        };
        chunks.map(pair).collect::<Vec<_>>()
    });
    let text = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row of JSON");
        row["text"].as_str().expect("a text").to_owned()
    };
    let texts = fs::read_to_string(folder.join("questions.jsonl")).expect("questions of scripts/bench_ann");
    let vectors = fs::read(folder.join("questions.npy")).expect("vectors of scripts/bench_ann");
    let header_bytes = 10 + usize::from(u16::from_le_bytes([vectors[8], vectors[9]]));
    let values: Vec<f32> = vectors[header_bytes..].as_chunks::<4>().0.iter().map(|&v| f32::from_le_bytes(v)).collect();
    let vectors = values.chunks_exact(DIMENSIONS).map(|row| Embedding::normalized(row.to_vec()).expect("a vector"));
    (Box::new(passages), texts.lines().map(text).zip(vectors).take(QUERIES).collect())
}

/// One chunk a document. `n` is spread over the documents without order, each number once.
fn build(dir: &Path, documents: impl Iterator<Item = Pair>) {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "none".to_string(), parts: std::collections::BTreeMap::new() },
        dimensions: DIMENSIONS,
        window_tokens: 256,
        overlap_tokens: 0,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    for (number, (text, embedding)) in (0..DOCUMENTS).zip(documents) {
        let mut metadata = serde_json::Map::new();
        metadata.insert("n".to_owned(), (number * 70_001 % DOCUMENTS).into());
        metadata.insert("lang".to_owned(), ["ko", "en", "ja", "de", "fr"][(number % 5) as usize].into());
        let document = Document { id: number.to_string(), text, metadata, ..Document::default() };
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..document.text.len(), tokens: 1 },
            key: ContentKey(u128::from(number).to_le_bytes()),
            embedding,
            tokens: None,
            sparse: None,
        };
        writer.put(&document, &DocumentRecord::default(), vec![chunk]).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
}

/// Sorted times of the dense and the lexical list, and of both, one a question.
fn measure(snapshot: &Snapshot, questions: &[Pair], filter: Option<&dyn Fn(usize) -> String>) -> [Vec<Duration>; 3] {
    let mut least = [(); 3].map(|()| vec![Duration::MAX; questions.len()]);
    for (query, (text, vector)) in (0..ROUNDS).flat_map(|_| questions.iter().enumerate()) {
        let question = snapshot.question(text);
        let filter = filter.map(|filter| filter(query));
        let started = Instant::now();
        let selection = snapshot.selection(filter.as_deref(), None).expect("a filter");
        let found = snapshot.dense_within(vector, selection.as_deref(), DEPTH).expect("answered");
        let dense = started.elapsed();
        snapshot.lexical_within(&question, filter.as_deref(), DEPTH).expect("answered");
        let both = started.elapsed();
        let matches = selection.map_or(DOCUMENTS as usize, |selection| selection.documents());
        assert_eq!(found.len(), matches.min(DEPTH), "{filter:?}");
        for (least, time) in least.iter_mut().zip([dense, both.saturating_sub(dense), both]) {
            least[query] = least[query].min(time);
        }
    }
    for times in &mut least {
        times.sort_unstable();
    }
    least
}

fn show(name: &str, times: &[Vec<Duration>; 3]) {
    print!("{name:>22}");
    for times in times {
        let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)].as_secs_f64() * 1e3;
        print!("   {:>7.2} {:>7.2}", at(0.5), at(0.99));
    }
    println!();
}

fn main() {
    let (documents, questions) = source();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    build(dir.path(), documents);
    let snapshot = IndexReader::open(dir.path()).expect("the index just built").snapshot();
    let status = snapshot.status();
    println!(
        "{DOCUMENTS} documents in {:.0} s, lexical {} bytes, dense {} bytes; milliseconds, p50 and p99",
        started.elapsed().as_secs_f64(),
        status.lexical_bytes,
        status.dense_bytes
    );
    println!("{:>22}   {:>15}   {:>15}   {:>15}", "let through", "dense", "lexical", "both");
    // Once for the page cache, the checksums and the table of documents.
    measure(&snapshot, &questions, None);
    measure(&snapshot, &questions, Some(&|_| "n:0".to_owned()));
    show("all, no filter", &measure(&snapshot, &questions, None));
    for (name, share) in [("100 %", 1.0), ("50 %", 0.5), ("10 %", 0.1), ("1 %", 0.01), (".1 %", 0.001)] {
        let matches = (DOCUMENTS as f64 * share) as u64;
        // Another range each time, so that nothing is kept from the filter before; and one that is kept.
        let room = DOCUMENTS - matches;
        let changing = move |query: usize| {
            let low = if room == 0 { 0 } else { query as u64 * 7919 % room };
            format!("n:[{low} TO {}]", low + matches - 1)
        };
        show(&format!("{name}, new filters"), &measure(&snapshot, &questions, Some(&changing)));
        show(&format!("{name}, one filter"), &measure(&snapshot, &questions, Some(&|_| changing(0))));
    }
    show("one, new filters", &measure(&snapshot, &questions, Some(&|query| format!("n:{}", query * 431))));
    show("a fifth, by keyword", &measure(&snapshot, &questions, Some(&|query| format!("lang:ko OR n:{query}"))));
    show("no filter, again", &measure(&snapshot, &questions, None));
}
