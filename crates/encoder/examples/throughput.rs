//! `throughput MODEL CORPUS.jsonl [int8|fp32] [workers] [documents]`: tokens a second over windows of 256 ids.
//!
//! Windows are taken without regard to sentences, 64 ids apart from overlapping fully, title first: about what indexing
//! hands to the model. The library is found by `ORT_DYLIB_PATH`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use serde::Deserialize;

const OVERLAP_TOKENS: usize = 64;

#[derive(Deserialize)]
struct Row {
    title: String,
    text: String,
}

#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, corpus, rest @ ..] = words.as_slice() else {
        return Err("usage: throughput MODEL CORPUS.jsonl [int8|fp32] [workers] [documents]".into());
    };
    let options = EncoderOptions {
        precision: rest.first().map(|word| word.parse()).transpose()?,
        workers: rest.get(1).map(|word| word.parse()).transpose()?,
        ..EncoderOptions::default()
    };
    let documents = rest.get(2).map_or(Ok(1000), |word| word.parse())?;

    let start = Instant::now();
    let runtime = Runtime::load(Path::new(&std::env::var("ORT_DYLIB_PATH")?))?;
    let library_time = start.elapsed();
    let start = Instant::now();
    let encoder = Encoder::open(&InstalledModel::open(Path::new(model))?, &runtime, &options)?;
    let model_time = start.elapsed();
    let start = Instant::now();
    encoder.encode_query("how quickly does a first query come back")?;
    println!("library {library_time:.0?}, model {model_time:.0?}, first query {:.0?}", start.elapsed());

    let start = Instant::now();
    let mut rows = Vec::new();
    let mut text_bytes = 0;
    for line in fs::read_to_string(corpus)?.lines().take(documents) {
        let row: Row = serde_json::from_str(line)?;
        text_bytes += row.title.len() + row.text.len();
        let (title, body) =
            (encoder.tokenizer().tokenize(&row.title)?.ids, encoder.tokenizer().tokenize(&row.text)?.ids);
        let room = encoder.card().recommended_window_tokens - encoder.reserved_tokens(title.len());
        let mut from = 0;
        loop {
            let to = (from + room).min(body.len());
            rows.push(encoder.passage_row(&title, &body[from..to])?);
            if to == body.len() {
                break;
            }
            from = to - OVERLAP_TOKENS;
        }
    }
    let megabytes_a_second = text_bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    println!("tokenised {:.1} MB at {megabytes_a_second:.1} MB/s on one thread", text_bytes as f64 / 1e6);

    let (windows, tokens) = (rows.len(), rows.iter().map(Vec::len).sum::<usize>());
    let start = Instant::now();
    encoder.encode_rows(rows)?;
    let seconds = start.elapsed().as_secs_f64();
    let (precision, workers) = (encoder.precision(), encoder.plan().workers);
    println!(
        "{precision}, {workers} workers: {windows} windows, {tokens} tokens in {seconds:.1} s, {:.0} tokens/s",
        tokens as f64 / seconds
    );
    Ok(())
}
