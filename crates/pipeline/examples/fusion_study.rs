//! The fusion study: what both halves say to every query of a collection, before they are joined, as JSON lines.
//!
//! ```sh
//! berth eval --dataset DIR --split train            # builds the index, in BERTH_HOME/cache/eval
//! cargo run --release -p berth-pipeline --example fusion_study INDEX DIR train > train.jsonl
//! ```
//!
//! A line is `{"id", "terms": [[term, count · idf]], "dense": [[document, cosine]], "lexical": [[document, BM25, cosine,
//! coverage]]}`, best first; coverage is the share of the words' idf that the document's best chunk has. docs/ranking.md
//! says what was made of them.
#![allow(clippy::print_stdout, missing_docs, reason = "a program that prints")]

use std::error::Error;
use std::path::PathBuf;

use berth_eval::Dataset;
use berth_index::fusion::best_per_document;
use berth_pipeline::{EncoderChoice, Home, IndexReader, open_encoder};
use serde_json::json;

/// Chunks asked of each half, as a search for ten documents does.
const DEPTH: usize = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [index, dataset, split] = words.as_slice() else {
        return Err("usage: fusion_study INDEX DATASET SPLIT".into());
    };
    let index = PathBuf::from(index);
    let root = std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).ok_or("no BERTH_HOME")?;
    let encoder = open_encoder(&Home::at(root), &EncoderChoice::default(), Some(&index))?;
    let snapshot = IndexReader::open(&index)?.snapshot();
    for query in Dataset::open(&PathBuf::from(dataset), split)?.queries {
        let answer = snapshot.lexical(&query.text, DEPTH)?;
        let embedding = encoder.encode_query(&query.text)?.embedding;
        let dense = best_per_document(&snapshot.dense(&embedding, DEPTH)?, DEPTH);
        let lexical = best_per_document(&answer.hits, DEPTH);
        let chunk_ids: Vec<u64> = lexical.documents.iter().map(|document| document.chunk_id).collect();
        let cosines = snapshot.dense_scores(&embedding, &chunk_ids)?;
        let id = |document_no| snapshot.document_id(document_no);
        let mut dense_list = Vec::new();
        for document in &dense.documents {
            dense_list.push(json!([id(document.document_no)?, document.score]));
        }
        let mut lexical_list = Vec::new();
        for (document, cosine) in lexical.documents.iter().zip(cosines) {
            lexical_list.push(json!([id(document.document_no)?, document.score, cosine, document.coverage]));
        }
        let terms: Vec<_> = answer.terms.iter().zip(&answer.weights).collect();
        println!("{}", json!({"id": query.id, "terms": terms, "dense": dense_list, "lexical": lexical_list}));
    }
    Ok(())
}
