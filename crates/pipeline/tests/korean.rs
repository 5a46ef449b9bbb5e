//! Korean search by words: a gate that sees when CJK analysis breaks. No model is needed: the vectors are all alike.
//!
//! It runs where `BERTH_DATASETS` names a folder with the collection `korquad`; elsewhere it says that it did not.

#![allow(clippy::print_stdout, reason = "a gate says what it measured")]

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;

use berth_eval::{Dataset, Measure, Run, evaluate};
use berth_index::{IndexReader, IndexSettings, IndexWriter, NewChunk};
use berth_types::{Chunk, ContentKey, Document, DocumentRecord, Embedding, Fingerprint, RowKind};

/// Bigrams reach .944 on this split; a broken analyser falls far below.
const LEAST_NDCG: f64 = 0.93;
/// Share of the questions whose paragraph is among the first ten.
const LEAST_RECALL: f64 = 0.95;

#[test]
fn finds_the_paragraph_of_a_korean_question() {
    let Some(datasets) = std::env::var_os("BERTH_DATASETS") else {
        println!("not measured: BERTH_DATASETS does not name the folder of collections");
        return;
    };
    let collection = PathBuf::from(datasets).join("korquad");
    if !collection.is_dir() {
        println!("not measured: {} is not there", collection.display());
        return;
    }
    let dataset = Dataset::open(&collection, "dev").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = IndexSettings {
        fingerprint: Fingerprint { model: "none".into(), parts: BTreeMap::new() },
        dimensions: 2,
        window_tokens: 512,
        overlap_tokens: 0,
        rows: RowKind::F32,
        tokens: None,
        sparse: None,
    };
    let mut writer = IndexWriter::create_or_open(folder.path(), &settings).unwrap();
    let corpus = std::io::BufReader::new(std::fs::File::open(dataset.corpus_path()).unwrap());
    for line in corpus.lines() {
        let row: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let document = Document { id: field("_id"), title: field("title"), text: field("text"), ..Document::default() };
        let chunk = Chunk { ordinal: 0, byte_range: 0..document.text.len(), tokens: 1 };
        let embedding = Embedding::normalized(vec![1.0, 0.0]).unwrap();
        let chunks = vec![NewChunk { chunk, key: ContentKey([0; 16]), embedding, tokens: None, sparse: None }];
        writer.put(&document, &DocumentRecord::default(), chunks).unwrap();
    }
    writer.finish().unwrap();

    let snapshot = IndexReader::open(folder.path()).unwrap().snapshot();
    let mut run = Run::new();
    for query in &dataset.queries {
        let hits = snapshot.lexical(&query.text, 10).unwrap().hits;
        let ranking = hits.iter().map(|hit| (snapshot.document_id(hit.document_no).unwrap().unwrap(), hit.score));
        run.insert(&query.id, ranking.collect()).unwrap();
    }
    let measures = [Measure::Ndcg(Some(10)), Measure::Recall(100)];
    let mean = evaluate(&run, &dataset.qrels, &measures).mean;
    // No list has more than ten.
    let [ndcg, recall] = measures.map(|measure| mean.get(measure).unwrap());
    println!("korquad dev: lexical nDCG@10 {ndcg:.4}, recall@10 {recall:.4}");
    assert!(recall >= LEAST_RECALL, "lexical recall@10 on KorQuAD dev is {recall:.4}, below {LEAST_RECALL}");
    assert!(ndcg >= LEAST_NDCG, "lexical nDCG@10 on KorQuAD dev is {ndcg:.4}, below {LEAST_NDCG}");
}
