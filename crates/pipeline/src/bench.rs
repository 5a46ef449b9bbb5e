//! Measures how fast a model embeds here, for each way to use the cores, and holds it against what the machine's matrix
//! products reach.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, matmul_peak, resident_bytes};
use berth_types::Device;
use serde::Serialize;

use crate::encoding::{DEFAULT_MODEL, EncoderChoice, Prepared, opened, options_for, prepare};
use crate::samples::TextRow;
use crate::{Error, Home, models};

/// Least rows handed in ahead of the answers that are waited for.
const ROWS_AHEAD: usize = 64;
/// Queries by which latency is measured, on an idle model and under load.
const QUERIES: usize = 100;
/// Ten tokens with those at both ends.
const QUERY: &str = "how do ships find harbour at night";
/// Time for which a product is run to find the machine's peak.
const CALIBRATION: Duration = Duration::from_millis(500);
/// Text for rows where none is named; what it says does not matter, only how long the rows are.
const SENTENCE: &str = "The pilot brought the ship through the narrow channel before the tide turned. ";

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Which model and where; `workers` is the larger number of workers that is tried.
    pub encoder: EncoderChoice,
    /// JSONL rows with `text`, and `title` where there is one; `None`: made-up texts of mixed length.
    pub texts: Option<PathBuf>,
    /// Most texts that are read.
    pub limit: usize,
    /// Time for each plan.
    pub seconds: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Name of the model.
    pub model: String,
    /// Arithmetic.
    pub precision: String,
    /// Where it ran.
    pub device: String,
    /// ONNX Runtime's version.
    pub runtime: String,
    /// Different rows that were used, again and again.
    pub rows: usize,
    /// Their mean length in ids.
    pub mean_tokens: f64,
    /// Floating-point operations for one id of a row of that length, by the model's shape; none where it is not known.
    pub flops_per_token: Option<f64>,
    /// One entry for each way to use the cores.
    pub plans: Vec<PlanReport>,
}

/// Figures of one way to use the cores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Rows in the model at the same time.
    pub workers: usize,
    /// Threads inside each run.
    pub intra_threads: usize,
    /// Time to open the model.
    pub open_ms: f64,
    /// Ids of rows a second.
    pub tokens_per_second: f64,
    /// Rows a second.
    pub texts_per_second: f64,
    /// Ids that the model ran for each id of a row: 1 where nothing is padded.
    pub padded_ratio: f64,
    /// What as many threads reach in matrix products alone, in operations a second; none on a GPU.
    pub peak_flops: Option<f64>,
    /// Share of it that the rows used; none where the model's shape is not known.
    pub share_of_peak: Option<f64>,
    /// Median time of a query on the idle model.
    pub query_idle_p50_ms: f64,
    /// 99th percentile of it.
    pub query_idle_p99_ms: f64,
    /// Median time of a query while bulk rows fill the queue.
    pub query_loaded_p50_ms: f64,
    /// 99th percentile of it.
    pub query_loaded_p99_ms: f64,
    /// Median time of one bulk row that has the model to itself.
    pub row_p50_ms: f64,
    /// Resident memory of the process after all this.
    pub resident_bytes: Option<u64>,
}

/// Measures each plan in turn. `Ok(None)` means that `cancel` became true.
///
/// # Errors
/// A model that is not installed, a device that cannot serve, a file that cannot be read.
pub fn bench_encode(home: &Home, options: &BenchOptions, cancel: &AtomicBool) -> Result<Option<BenchReport>, Error> {
    let name = options.encoder.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let model = models::installed(home, name)?;
    // A graph that is made on first use is made before any time is taken.
    let Prepared { model, runtime, options: base } = prepare(home, model, options_for(home, &options.encoder))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let most = options.encoder.workers.unwrap_or(cores);
    let mut plans = vec![(1, 1)];
    if most > 1 {
        plans.extend([(most, 1), (1, most)]);
    }
    let mut report: Option<BenchReport> = None;
    for (workers, intra_threads) in plans {
        let asked = EncoderOptions { workers: Some(workers), intra_threads: Some(intra_threads), ..base.clone() };
        let started = Instant::now();
        let encoder = opened(home, Encoder::open(&model, &runtime, &asked), &model)?;
        let open_ms = started.elapsed().as_secs_f64() * 1e3;
        let rows = read_rows(&encoder, options)?;
        let mean_tokens = rows.iter().map(Vec::len).sum::<usize>() as f64 / rows.len() as f64;
        let flops = shape_of(&model).map(|shape| shape.flops_per_token(mean_tokens));
        let peak_flops = match encoder.device() {
            Device::Cpu => Some(matmul_peak(&runtime, encoder.product(), workers * intra_threads, CALIBRATION)?),
            _ => None,
        };
        let Some(mut plan) = measure(&encoder, &rows, options.seconds, cancel)? else { return Ok(None) };
        plan.open_ms = open_ms;
        plan.peak_flops = peak_flops;
        plan.share_of_peak = flops.zip(peak_flops).map(|(flops, peak)| flops * plan.tokens_per_second / peak);
        let report = report.get_or_insert_with(|| BenchReport {
            model: name.to_owned(),
            precision: encoder.precision().to_string(),
            device: encoder.device().to_string(),
            runtime: runtime.version(),
            rows: rows.len(),
            mean_tokens,
            flops_per_token: flops,
            plans: Vec::new(),
        });
        report.plans.push(plan);
        // A GPU has one plan, whatever is asked.
        if encoder.plan().workers != workers {
            break;
        }
    }
    Ok(report)
}

fn measure(
    encoder: &Encoder,
    rows: &[Vec<u32>],
    seconds: f64,
    cancel: &AtomicBool,
) -> Result<Option<PlanReport>, Error> {
    // The first runs make the arena grow.
    encoder.encode_rows(rows.iter().take(2 * encoder.plan().workers).cloned().collect())?;
    let idle = query_times(encoder, QUERIES)?;
    let mut row_times = Vec::new();
    for row in rows.iter().cycle().take(QUERIES / 5) {
        let started = Instant::now();
        encoder.submit_passage(row.clone())?.wait()?;
        row_times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    row_times.sort_unstable_by(f64::total_cmp);

    let before = encoder.work();
    let started = Instant::now();
    let (stop, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
    let texts = feed(encoder, rows, || started.elapsed().as_secs_f64() >= seconds || cancel.load(Ordering::Relaxed))?;
    let elapsed = started.elapsed().as_secs_f64();
    let work = encoder.work();
    if cancel.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let loaded = thread::scope(|scope| {
        let turns = &turns;
        let feeder = scope.spawn(|| {
            feed(encoder, rows, || {
                turns.fetch_add(1, Ordering::Relaxed);
                stop.load(Ordering::Relaxed)
            })
        });
        // The queue is full before the first query is asked.
        while turns.load(Ordering::Relaxed) < rows_ahead(encoder) && !feeder.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        let times = query_times(encoder, QUERIES);
        stop.store(true, Ordering::Relaxed);
        feeder.join().unwrap_or(Err(Error::WorkerLost("bulk rows")))?;
        times
    })?;

    let tokens = work.tokens - before.tokens;
    let padding = work.padding - before.padding;
    let plan = encoder.plan();
    Ok(Some(PlanReport {
        workers: plan.workers,
        intra_threads: plan.intra_threads,
        open_ms: 0.0,
        tokens_per_second: tokens as f64 / elapsed,
        texts_per_second: texts as f64 / elapsed,
        padded_ratio: (tokens + padding) as f64 / (tokens.max(1)) as f64,
        peak_flops: None,
        share_of_peak: None,
        query_idle_p50_ms: quantile(&idle, 0.5),
        query_idle_p99_ms: quantile(&idle, 0.99),
        query_loaded_p50_ms: quantile(&loaded, 0.5),
        query_loaded_p99_ms: quantile(&loaded, 0.99),
        row_p50_ms: quantile(&row_times, 0.5),
        resident_bytes: resident_bytes(),
    }))
}

/// Keeps the queue full until `done`; returns how many rows came back.
fn feed(encoder: &Encoder, rows: &[Vec<u32>], done: impl Fn() -> bool) -> Result<usize, Error> {
    let ahead = rows_ahead(encoder);
    let mut pending = VecDeque::with_capacity(ahead);
    let mut count = 0;
    let mut next = rows.iter().cycle();
    while !done() {
        if let Some(row) = next.next() {
            pending.push_back(encoder.submit_passage(row.clone())?);
        }
        if pending.len() >= ahead
            && let Some(first) = pending.pop_front()
        {
            first.wait()?;
            count += 1;
        }
    }
    for row in pending {
        row.wait()?;
        count += 1;
    }
    Ok(count)
}

/// Enough rows to keep every worker busy and every batch full.
fn rows_ahead(encoder: &Encoder) -> usize {
    encoder.rows_under_way().max(ROWS_AHEAD)
}

/// Sorted times of `count` queries, one after the other, in milliseconds.
fn query_times(encoder: &Encoder, count: usize) -> Result<Vec<f64>, Error> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        encoder.encode_query(QUERY)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// The texts as rows of at most a window each; what is longer is left out, since only speed is looked at.
fn read_rows(encoder: &Encoder, options: &BenchOptions) -> Result<Vec<Vec<u32>>, Error> {
    let mut rows = Vec::new();
    let mut push = |title: &str, text: &str| -> Result<(), Error> {
        let window = encoder.card().recommended_window_tokens;
        let mut title = encoder.tokenizer().tokenize(title)?.ids;
        title.truncate(window / 4);
        let mut body = encoder.tokenizer().tokenize(text)?.ids;
        body.truncate(window.saturating_sub(encoder.reserved_tokens(title.len())));
        rows.push(encoder.passage_row(&title, &body)?);
        Ok(())
    };
    match &options.texts {
        Some(path) => {
            let file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
            for (number, line) in file.lines().take(options.limit).enumerate() {
                let line = line.map_err(Error::io("read", path))?;
                let line = line.trim_start_matches('\u{feff}');
                if line.trim().is_empty() {
                    continue;
                }
                let TextRow { title, text } = TextRow::parse(path, number, line)?;
                push(&title, &text)?;
            }
        }
        // From one sentence to a full window, evenly.
        None => (0..options.limit.min(64)).try_for_each(|number| push("", &SENTENCE.repeat(1 + number % 16)))?,
    }
    if rows.is_empty() {
        return Err(Error::InvalidSettings("there is no text to measure with".to_owned()));
    }
    Ok(rows)
}

/// What of a model's configuration decides how much it computes.
struct Shape {
    hidden: f64,
    layers: f64,
    intermediate: f64,
    /// Products with the intermediate size: one up and one down, and a second one up where a gate is beside (GeGLU).
    feed_forward_products: f64,
}

impl Shape {
    /// Multiplications and additions for one token of a row of `tokens`: the four projections of attention, those
    /// of the feed-forward part, and the products of queries with keys and of weights with values. All else is below 1 %.
    fn flops_per_token(&self, tokens: f64) -> f64 {
        let projections = 8.0 * self.hidden * self.hidden;
        let feed_forward = 2.0 * self.feed_forward_products * self.hidden * self.intermediate;
        let attention = 4.0 * self.hidden * tokens;
        self.layers * (projections + feed_forward + attention)
    }
}

/// Reads config.json; families name its keys differently.
fn shape_of(model: &InstalledModel) -> Option<Shape> {
    let text = std::fs::read(model.dir().join("config.json")).ok()?;
    shape_in(&serde_json::from_slice(&text).ok()?)
}

fn shape_in(config: &serde_json::Value) -> Option<Shape> {
    let number = |names: &[&str]| names.iter().find_map(|name| config.get(name)?.as_f64());
    Some(Shape {
        hidden: number(&["hidden_size", "dim"])?,
        layers: number(&["num_hidden_layers", "n_layers"])?,
        intermediate: number(&["intermediate_size", "hidden_dim"])?,
        feed_forward_products: if config["model_type"] == "modernbert" { 3.0 } else { 2.0 },
    })
}

/// The value below which a share of the sorted values lies; 0 when there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = (sorted.len() as f64 * share) as usize;
    sorted.get(position.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_a_third_product() {
        let config = |family: &str| {
            let sizes = serde_json::json!({"model_type": family, "hidden_size": 768, "num_hidden_layers": 22, "intermediate_size": 1152});
            shape_in(&sizes).unwrap().flops_per_token(0.0)
        };
        assert_eq!(config("modernbert"), 22.0 * (8.0 * 768.0 * 768.0 + 6.0 * 768.0 * 1152.0));
        assert_eq!(config("bert"), 22.0 * (8.0 * 768.0 * 768.0 + 4.0 * 768.0 * 1152.0));
    }

    #[test]
    fn minilm_computes_what_its_shape_says() {
        let shape = Shape { hidden: 384.0, layers: 6.0, intermediate: 1536.0, feed_forward_products: 2.0 };
        assert_eq!(shape.flops_per_token(0.0), 21_233_664.0);
        assert_eq!(shape.flops_per_token(100.0) - shape.flops_per_token(0.0), 921_600.0);
    }

    #[test]
    fn quantiles_of_few_values() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[3.0], 0.99), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 3.0);
    }
}
