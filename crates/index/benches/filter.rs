//! Filters of every width over 100,000 documents: the slowest of many answers of both halves together, without encoding.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench of one table, which it prints")]
use std::path::Path;
use std::time::{Duration, Instant};

use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk, Snapshot};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint};

const DOCUMENTS: u64 = 100_000;
const DIMENSIONS: usize = 384;
const WORDS_A_TEXT: usize = 60;
const WORDS_A_QUERY: usize = 6;
const VOCABULARY: f64 = 50_000.0;
const QUERIES: usize = 200;
const DEPTH: usize = 500;

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

/// One chunk a document. `n` is spread over the documents without order, each number once.
fn build(dir: &Path, dice: &mut Dice) {
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "none".to_string(), parts: std::collections::BTreeMap::new() },
        dimensions: DIMENSIONS,
        window_tokens: 256,
        overlap_tokens: 0,
        tokens: None,
    };
    let mut writer = IndexWriter::create_or_open(dir, &settings).expect("an empty directory");
    for number in 0..DOCUMENTS {
        let mut metadata = serde_json::Map::new();
        metadata.insert("n".to_owned(), (number * 70_001 % DOCUMENTS).into());
        metadata.insert("lang".to_owned(), ["ko", "en", "ja", "de", "fr"][(number % 5) as usize].into());
        let text = dice.text(WORDS_A_TEXT);
        let document = Document { id: number.to_string(), text, metadata, ..Document::default() };
        let chunk = NewChunk {
            chunk: Chunk { ordinal: 0, byte_range: 0..document.text.len(), tokens: 1 },
            key: ContentKey(u128::from(number).to_le_bytes()),
            embedding: dice.vector(),
            tokens: None,
        };
        writer.put(&document, &DocumentRecord::default(), vec![chunk]).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
}

/// Times of the dense and the lexical list, and of both.
fn measure(snapshot: &Snapshot, filter: Option<&dyn Fn(usize) -> String>) -> [Vec<Duration>; 3] {
    let mut dice = Dice(99);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for query in 0..QUERIES {
        let (question, vector) = (snapshot.question(&dice.text(WORDS_A_QUERY)), dice.vector());
        let filter = filter.map(|filter| filter(query));
        let started = Instant::now();
        let selection = snapshot.selection(filter.as_deref(), None).expect("a filter");
        let found = snapshot.dense_within(&vector, selection.as_deref(), DEPTH).expect("answered");
        let dense = started.elapsed();
        snapshot.lexical_within(&question, filter.as_deref(), DEPTH).expect("answered");
        let both = started.elapsed();
        let matches = selection.map_or(DOCUMENTS as usize, |selection| selection.documents());
        assert_eq!(found.len(), matches.min(DEPTH), "{filter:?}");
        for (times, time) in times.iter_mut().zip([dense, both.saturating_sub(dense), both]) {
            times.push(time);
        }
    }
    for times in &mut times {
        times.sort_unstable();
    }
    times
}

fn show(name: &str, times: &[Vec<Duration>; 3]) {
    print!("{name:>22}");
    for times in times {
        let at = |share: f64| times[((QUERIES as f64 * share) as usize).min(QUERIES - 1)].as_secs_f64() * 1e3;
        print!("   {:>7.2} {:>7.2}", at(0.5), at(0.99));
    }
    println!();
}

fn main() {
    let mut dice = Dice(7);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let started = Instant::now();
    build(dir.path(), &mut dice);
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
    measure(&snapshot, None);
    measure(&snapshot, Some(&|_| "n:0".to_owned()));
    show("all, no filter", &measure(&snapshot, None));
    for (name, share) in [("100 %", 1.0), ("50 %", 0.5), ("10 %", 0.1), ("1 %", 0.01), (".1 %", 0.001)] {
        let matches = (DOCUMENTS as f64 * share) as u64;
        // Another range each time, so that nothing is kept from the filter before; and one that is kept.
        let room = DOCUMENTS - matches;
        let changing = move |query: usize| {
            let low = if room == 0 { 0 } else { query as u64 * 7919 % room };
            format!("n:[{low} TO {}]", low + matches - 1)
        };
        show(&format!("{name}, new filters"), &measure(&snapshot, Some(&changing)));
        show(&format!("{name}, one filter"), &measure(&snapshot, Some(&|_| changing(0))));
    }
    show("one, new filters", &measure(&snapshot, Some(&|query| format!("n:{}", query * 431))));
    show("a fifth, by keyword", &measure(&snapshot, Some(&|query| format!("lang:ko OR n:{query}"))));
    show("no filter, again", &measure(&snapshot, None));
}
