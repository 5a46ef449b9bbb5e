//! BM25 beside plain tantivy: the same segments, the same terms, the same questions, in one run on one thread.
//!
//! `BERTH_ANN` names the folder of `scripts/bench_ann`, whose index and questions are used. Plain tantivy is given the
//! files of the lexical half without their trailers, and for each question a disjunction of the terms that Berth asks
//! for; both give the numbers of the chunks, and their documents, that they find.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench of one table, which it prints")]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_index::{IndexReader, Snapshot};
use tantivy::collector::TopDocs;
use tantivy::columnar::Column;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::query::{Bm25StatisticsProvider, BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{Index, Searcher, Term};

/// Bytes behind the block table of a file (docs/format.md).
const FOOTER_BYTES: usize = 56;
/// Bytes of the last line of `meta.json`.
const SEAL_BYTES: usize = 74;
const QUESTIONS: usize = 1000;
const ROUNDS: usize = 5;

/// The lexical half as tantivy wrote it.
fn unwrapped(index: &Path) -> Index {
    let directory = RamDirectory::create();
    for entry in fs::read_dir(index.join("lexical")).expect("the lexical half") {
        let path = entry.expect("a name").path();
        let bytes = fs::read(&path).expect("a file");
        let name = path.file_name().expect("a name");
        let payload = if name == "meta.json" {
            &bytes[..bytes.len() - SEAL_BYTES]
        } else {
            let Some(footer) = bytes.len().checked_sub(FOOTER_BYTES) else { continue };
            let payload = u64::from_le_bytes(bytes[footer..footer + 8].try_into().expect("eight bytes"));
            &bytes[..payload as usize]
        };
        directory.atomic_write(Path::new(name), payload).expect("room in memory");
    }
    Index::open(directory).expect("an index of tantivy")
}

/// Finds the best `depth` chunks and reads their numbers, as one does without Berth.
fn plain(
    searcher: &Searcher,
    columns: &[(Column, Column)],
    query: &BooleanQuery,
    depth: usize,
) -> Vec<(f32, u64, u64)> {
    let found = searcher.search(query, &TopDocs::with_limit(depth).order_by_score()).expect("answered");
    let read = |(score, address): (f32, tantivy::DocAddress)| {
        let (chunk_ids, document_nos) = &columns[address.segment_ord as usize];
        let number = |column: &Column| column.first(address.doc_id).expect("a number");
        (score, number(chunk_ids), number(document_nos))
    };
    found.into_iter().map(read).collect()
}

/// What Berth asks the index for, as a query of tantivy's.
fn query(snapshot: &Snapshot, index: &Index, searcher: &Searcher, text: &str) -> BooleanQuery {
    let field = |name: &str| index.schema().get_field(name).expect("a field of the format");
    let answer = snapshot.lexical(text, 1).expect("answered");
    let clause = |(term, weight): (String, f32)| -> (Occur, Box<dyn Query>) {
        let term = match term.strip_prefix("title:") {
            Some(word) => Term::from_field_text(field("title"), word),
            None => Term::from_field_text(field("body"), &term),
        };
        // The weight is the idf times how often the question has the term.
        let chunks = searcher.total_num_docs().expect("answered") as f32;
        let with = searcher.doc_freq(&term).expect("answered") as f32;
        let count = (weight / (1.0 + (chunks - with + 0.5) / (with + 0.5)).ln()).round();
        let query = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
        (Occur::Should, if count > 1.0 { Box::new(BoostQuery::new(query, count)) } else { query })
    };
    BooleanQuery::new(answer.terms.into_iter().zip(answer.weights).map(clause).collect())
}

/// The time of each question, the least of all rounds.
fn least(times: &mut [Duration], at: usize, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    times[at] = times[at].min(started.elapsed());
}

fn main() {
    let Some(folder) = std::env::var_os("BERTH_ANN").map(PathBuf::from) else {
        println!("plain_tantivy: set BERTH_ANN to the folder of scripts/bench_ann");
        return;
    };
    let path = folder.join("windows.berth");
    let snapshot = IndexReader::open(&path).expect("the index of scripts/bench_ann").snapshot();
    let index = unwrapped(&path);
    let searcher = index.reader().expect("a reader").searcher();
    let columns: Vec<(Column, Column)> = searcher
        .segment_readers()
        .iter()
        .map(|reader| {
            let column = |name: &str| reader.fast_fields().u64(name).expect("a column of the format");
            (column("chunk_id"), column("document_no"))
        })
        .collect();
    let texts = fs::read_to_string(folder.join("questions.jsonl")).expect("questions of scripts/bench_ann");
    let texts: Vec<String> = texts
        .lines()
        .take(QUESTIONS)
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["text"].as_str().unwrap().to_owned())
        .collect();
    let queries: Vec<BooleanQuery> = texts.iter().map(|text| query(&snapshot, &index, &searcher, text)).collect();
    println!(
        "{} chunks in {} segments, {} questions; milliseconds, each question's least of {ROUNDS} rounds",
        searcher.num_docs(),
        searcher.segment_readers().len(),
        texts.len()
    );
    println!(
        "{:>6}{:>24}{:>24}{:>24}{:>8}",
        "best", "Berth: mean, p50, p99", "tantivy: mean, p50, p99", "equal scores", "ratio"
    );
    for depth in [10, 500] {
        let (mut berth, mut tantivy) = (vec![Duration::MAX; texts.len()], vec![Duration::MAX; texts.len()]);
        for round in 0..ROUNDS {
            for (at, (text, query)) in texts.iter().zip(&queries).enumerate() {
                let mut ours = || least(&mut berth, at, || drop(black_box(snapshot.lexical(text, depth).unwrap())));
                if round % 2 == 0 {
                    ours();
                    least(&mut tantivy, at, || drop(black_box(plain(&searcher, &columns, query, depth))));
                } else {
                    least(&mut tantivy, at, || drop(black_box(plain(&searcher, &columns, query, depth))));
                    ours();
                }
            }
        }
        // Of a word in several forms Berth takes all to be as rare as the word; tantivy knows no words.
        let (mut comparable, mut agrees) = (0, 0);
        for (text, query) in texts.iter().zip(&queries) {
            let ours = snapshot.lexical(text, depth).unwrap();
            if ours.weights.contains(&0.0) {
                continue;
            }
            let theirs = plain(&searcher, &columns, query, depth);
            let is_same = |(ours, theirs): (&berth_index::ChunkHit, &(f32, u64, u64))| {
                (ours.score - theirs.0).abs() <= 1e-4 * ours.score
            };
            comparable += 1;
            agrees += usize::from(ours.hits.len() == theirs.len() && ours.hits.iter().zip(&theirs).all(is_same));
        }
        let agrees = format!("{agrees} of {comparable}");
        let mean = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64() * 1e3 / times.len() as f64;
        let (ours, theirs) = (mean(&berth), mean(&tantivy));
        let show = |times: &mut [Duration]| {
            times.sort_unstable();
            let at =
                |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)].as_secs_f64() * 1e3;
            format!("{:.3}, {:.3}, {:.3}", mean(times), at(0.5), at(0.99))
        };
        let (berth, tantivy) = (show(&mut berth), show(&mut tantivy));
        println!("{depth:>6}{berth:>24}{tantivy:>24}{agrees:>24}{:>8.2}", ours / theirs);
    }
}
