//! `encode_lines MODEL int8|fp32`: encodes what the lines on standard input ask for, as scripts/bench_peers measures it.
//!
//! Each request and each answer is one JSON object on one line:
//!
//! - `{"do": "bulk", "texts": FILE}` gives `{"seconds": S}`, tokenising included;
//! - `{"do": "queries", "texts": FILE}` gives `{"ms": [..]}`, one text at a time;
//! - `{"do": "vectors", "texts": FILE, "out": FILE}` gives `{"rows": N}` and writes float32 rows as `.npy`.
//!
//! `FILE` is a JSON list of strings. A text is cut at 256 tokens, special tokens included, as the peers cut it; Berth
//! itself would make windows of the whole text. The first line out, `{"ready": true}`, comes when the first text has been
//! encoded. The library is found by `ORT_DYLIB_PATH`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, PendingRow, Runtime};
use berth_types::Embedding;
use serde::Deserialize;
use serde_json::json;

/// Where the peers cut: the model's own `max_seq_length`.
const LIMIT_TOKENS: usize = 256;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Bulk { texts: String },
    Queries { texts: String },
    Vectors { texts: String, out: String },
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, precision] = words.as_slice() else {
        return Err("usage: encode_lines MODEL int8|fp32".into());
    };
    let options = EncoderOptions { precision: Some(precision.parse()?), ..EncoderOptions::default() };
    let runtime = Runtime::load(Path::new(&std::env::var("ORT_DYLIB_PATH")?))?;
    let encoder = Encoder::open(&InstalledModel::open(Path::new(model))?, &runtime, &options)?;
    encoder.encode_query("a first text")?;

    let mut answers = io::stdout().lock();
    writeln!(answers, "{}", json!({"ready": true}))?;
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Bulk { texts } => {
                let texts = read_texts(&texts)?;
                let start = Instant::now();
                encode(&encoder, &texts)?;
                json!({"seconds": start.elapsed().as_secs_f64()})
            }
            Request::Queries { texts } => {
                let mut times = Vec::new();
                for text in read_texts(&texts)? {
                    let start = Instant::now();
                    encoder.encode_query(&text)?;
                    times.push(1000.0 * start.elapsed().as_secs_f64());
                }
                json!({"ms": times})
            }
            Request::Vectors { texts, out } => {
                let rows = encode(&encoder, &read_texts(&texts)?)?;
                write_npy(Path::new(&out), &rows, encoder.card().dimensions)?;
                json!({"rows": rows.len()})
            }
        };
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}

/// Tokenises on this thread while the workers encode; their queue holds it back.
fn encode(encoder: &Encoder, texts: &[String]) -> Result<Vec<Embedding>, berth_encoder::Error> {
    let room = LIMIT_TOKENS - encoder.reserved_tokens(0);
    let mut pending = Vec::with_capacity(texts.len());
    for text in texts {
        let ids = encoder.tokenizer().tokenize(text)?.ids;
        pending.push(encoder.submit_passage(encoder.passage_row(&[], &ids[..ids.len().min(room)])?)?);
    }
    pending.into_iter().map(PendingRow::wait).collect()
}

fn read_texts(path: &str) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Writes `rows` in version 1.0 of NumPy's format: magic, length of the header, header padded to 64 bytes, values.
fn write_npy(path: &Path, rows: &[Embedding], dimensions: usize) -> io::Result<()> {
    let shape = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {dimensions}), }}", rows.len());
    let header_bytes = (10 + shape.len() + 1).next_multiple_of(64) - 10;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(header_bytes as u16).to_le_bytes())?;
    writeln!(file, "{shape:<width$}", width = header_bytes - 1)?;
    for value in rows.iter().flat_map(Embedding::as_slice) {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
}
