//! Examines an installation part by part; each part gets a verdict and, where it is not well, a remedy.

use std::num::NonZeroUsize;
use std::path::Path;

use berth_encoder::{FileState, Runtime, cpu_features, default_precision, plan_threads};
use berth_index::IndexReader;
use berth_types::{Device, ErrorKind, Precision};
use serde::Serialize;

use crate::encoding::{DEFAULT_MODEL, EncoderChoice, open_encoder_for};
use crate::{Error, Home, models};

/// How well a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, but not as well as it could.
    Warning,
    /// Does not work.
    Bad,
}

/// One part of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the part.
    pub name: &'static str,
    /// How well it is.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
}

impl Check {
    fn good(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Good, finding: finding.into(), remedy: None }
    }

    fn poor(name: &'static str, verdict: Verdict, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict, finding: finding.into(), remedy: Some(remedy.into()) }
    }
}

/// Examines everything that answering a question needs, with the model on `device`; `index` is examined when it is named.
pub fn examine(home: &Home, model: Option<&str>, index: Option<&Path>, device: Device) -> Vec<Check> {
    let mut checks = vec![
        Check::good("berth", format!("{} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)),
        Check::good("home", home.root().display().to_string()),
        examine_processor(),
        examine_threads(),
    ];
    // The model that the index was built with, unless another one is named.
    let built_with = index
        .and_then(|index| IndexReader::open(index).ok())
        .map(|reader| reader.snapshot().settings().fingerprint.model.clone());
    let model = model.map_or_else(|| built_with.unwrap_or_else(|| DEFAULT_MODEL.to_owned()), str::to_owned);
    let runtime = Runtime::load(&home.runtime_library());
    checks.extend(examine_runtime(home, &runtime));
    checks.push(examine_model(home, &model));
    if runtime.is_ok() {
        checks.push(examine_encoding(home, &model, device));
    }
    checks.extend(index.map(examine_index));
    checks
}

fn examine_processor() -> Check {
    let features = cpu_features().names().join(", ");
    let precision = default_precision();
    if precision == Precision::Int8 {
        return Check::good("processor", format!("{features}; int8 is exact here and the default"));
    }
    let finding = format!(
        "{} (no exact 8-bit products); fp32 is the default",
        if features.is_empty() { "baseline" } else { &features }
    );
    let remedy = "nothing to mend; a processor with AVX2 and FMA, or ARM dot products, embeds about twice as fast";
    Check::poor("processor", Verdict::Warning, finding, remedy)
}

fn examine_threads() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let plan = plan_threads(cores);
    Check::good(
        "threads",
        format!("{cores} cores: {} workers with {} thread each, one text a run", plan.workers, plan.intra_threads),
    )
}

fn examine_runtime(home: &Home, runtime: &Result<Runtime, berth_encoder::Error>) -> Vec<Check> {
    match runtime {
        Ok(runtime) => vec![
            Check::good(
                "runtime",
                format!("ONNX Runtime {} in {}", runtime.version(), home.runtime_library().display()),
            ),
            Check::good("providers", runtime.providers().join(", ")),
        ],
        Err(error) => {
            let remedy = "run scripts/setup, or set ORT_DYLIB_PATH to an ONNX Runtime library";
            vec![Check::poor("runtime", Verdict::Bad, error.to_string(), remedy)]
        }
    }
}

fn examine_model(home: &Home, name: &str) -> Check {
    let remedy = models::remedy(home, name);
    let found = models::installed(home, name).and_then(|model| Ok((model.verify()?, model)));
    match found {
        Ok((files, model)) => {
            let damaged: Vec<String> =
                files.iter().filter(|file| file.state != FileState::Ok).map(|file| file.path.clone()).collect();
            if damaged.is_empty() {
                let card = model.card();
                let finding = format!(
                    "{name}: {} dimensions, windows of {} tokens, {} files intact",
                    card.dimensions,
                    card.recommended_window_tokens,
                    files.len()
                );
                Check::good("model", finding)
            } else {
                Check::poor("model", Verdict::Bad, format!("{name}: damaged: {}", damaged.join(", ")), remedy)
            }
        }
        Err(error) => Check::poor("model", Verdict::Bad, error.to_string(), remedy),
    }
}

/// Puts one sentence through the whole chain.
fn examine_encoding(home: &Home, model: &str, device: Device) -> Check {
    let choice = EncoderChoice { model: Some(model.to_owned()), workers: Some(1), device, ..EncoderChoice::default() };
    let started = std::time::Instant::now();
    let encoded = open_encoder_for(home, &choice, None).and_then(|encoder| {
        let loaded_ms = started.elapsed().as_secs_f64() * 1e3;
        let row = encoder.encode_query("a ship lies at her berth")?;
        let total_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok((encoder.precision(), encoder.device(), row, loaded_ms, total_ms - loaded_ms))
    });
    match encoded {
        Ok((precision, device, row, loaded_ms, query_ms)) => Check::good(
            "encoding",
            format!(
                "a sentence of {} tokens in {} on {device}: model loaded in {loaded_ms:.0} ms, encoded in {query_ms:.1} ms",
                row.tokens,
                precision.as_str()
            ),
        ),
        Err(error) => {
            Check::poor("encoding", Verdict::Bad, error.to_string(), "mend what is named above, then ask again")
        }
    }
}

fn examine_index(index: &Path) -> Check {
    match IndexReader::open(index).map_err(Error::from) {
        Ok(reader) => {
            let status = reader.snapshot().status();
            let finding = format!(
                "{}: {} documents, {} chunks, generation {}; `berth verify` reads every byte",
                index.display(),
                status.documents,
                status.chunks,
                status.generation
            );
            if status.lexical_chunks == status.dense_rows {
                Check::good("index", finding)
            } else {
                let remedy = "run `berth verify`, then index again into a new folder";
                Check::poor("index", Verdict::Bad, format!("{finding}; the halves differ"), remedy)
            }
        }
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "run `berth index PATH --index DIR` to make one",
                ErrorKind::Corrupted => "restore it from a copy, or remove the folder and index again",
                _ => "see the message",
            };
            Check::poor("index", Verdict::Bad, error.to_string(), remedy)
        }
    }
}
