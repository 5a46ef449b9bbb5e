//! What is counted and timed. Names of text-embeddings-inference where they mean the same, `berth_` for what is Berth's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use berth_pipeline::CallTimes;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::Code;

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of counts.
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// Collects for the whole process; the first call begins.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("duration".to_owned()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("size".to_owned()), &COUNTS))
            .expect("the bounds are not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Another recorder is there only when a program that embeds the server has its own; ours then shows nothing.
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}

/// What is counted of the requests of one method. To find a counter by its labels costs more than to count.
struct OfMethod {
    all: Counter,
    success: Counter,
    duration: Histogram,
}

/// Counts a request that has ended. `method` is the word of its protocol: a route, or the name of an RPC.
pub(crate) fn request(method: &str, took: Duration, failed: Option<Code>) {
    // Of methods there are as many as the server has.
    static METHODS: RwLock<BTreeMap<String, OfMethod>> = RwLock::new(BTreeMap::new());
    let count = |of: &OfMethod| {
        of.all.increment(1);
        match failed {
            None => of.success.increment(1),
            Some(code) => {
                counter!("te_request_failure", "method" => method.to_owned(), "err" => code.as_str()).increment(1);
            }
        }
        of.duration.record(took.as_secs_f64());
    };
    if let Some(of) = METHODS.read().unwrap_or_else(PoisonError::into_inner).get(method) {
        return count(of);
    }
    let mut methods = METHODS.write().unwrap_or_else(PoisonError::into_inner);
    count(methods.entry(method.to_owned()).or_insert_with(|| OfMethod {
        all: counter!("te_request_count", "method" => method.to_owned()),
        success: counter!("te_request_success", "method" => method.to_owned()),
        duration: histogram!("te_request_duration", "method" => method.to_owned()),
    }));
}

/// Counts what a request took of a model: `waited` for the door, and what its rows took behind that.
pub(crate) fn model_run(what: &'static str, inputs: usize, waited: Duration, times: CallTimes) {
    let rows = times.rows.max(1) as u32;
    histogram!("te_request_queue_duration").record((waited + times.waited / rows).as_secs_f64());
    histogram!("te_request_inference_duration").record((times.ran / rows).as_secs_f64());
    histogram!("te_batch_next_size").record(inputs as f64);
    match what {
        "embed" => counter!("te_embed_count").increment(inputs as u64),
        "rerank" => counter!("te_rerank_count").increment(inputs as u64),
        _ => counter!("te_predict_count").increment(inputs as u64),
    }
}

/// How many wait for models, as last seen.
pub(crate) fn queue_size(waiting: usize) {
    gauge!("te_queue_size").set(waiting as f64);
}

/// Counts documents that became durable or went.
pub(crate) fn written(collection: &str, put: u64, deleted: u64) {
    counter!("berth_documents_indexed", "collection" => collection.to_owned()).increment(put);
    counter!("berth_documents_deleted", "collection" => collection.to_owned()).increment(deleted);
}

/// Says how many connections there are.
pub(crate) fn connections(count: usize) {
    gauge!("berth_connections").set(count as f64);
}

/// Says how much memory the process has.
pub(crate) fn resident(bytes: u64) {
    gauge!("process_resident_memory_bytes").set(bytes as f64);
}

/// Upper bounds in milliseconds of what is shown.
const SHOWN_MS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0];
/// Each bucket is so much wider than the one before it, so that a quantile is within 5 %.
const GROWTH: f64 = 1.05;
/// The first bucket ends here, in milliseconds; the last of them is beyond half an hour.
const FIRST_MS: f64 = 0.05;
const BUCKETS: usize = 360;

/// Times of one kind of request since the server started.
#[derive(Debug)]
pub(crate) struct Latency {
    buckets: Vec<AtomicU64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

/// Times of the searches of one collection.
#[derive(Default)]
pub(crate) struct SearchTimes {
    pub(crate) latency: Latency,
    histogram: OnceLock<Histogram>,
}

impl SearchTimes {
    /// Counts a search of the collection of this name.
    pub(crate) fn record(&self, collection: &str, took: Duration) {
        self.latency.record(took);
        let made = || histogram!("berth_search_duration", "collection" => collection.to_owned());
        self.histogram.get_or_init(made).record(took.as_secs_f64());
    }
}

/// Times as people look at them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LatencyReport {
    /// Requests.
    count: u64,
    /// Milliseconds within which half of them were answered; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
    /// How many took how long.
    buckets: Vec<LatencyBucket>,
}

/// Requests that took longer than the bucket before, and at most so long.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LatencyBucket {
    /// None: any time.
    upto_ms: Option<f64>,
    count: u64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let ms = took.as_secs_f64() * 1e3;
        let bucket = (ms / FIRST_MS).max(1.0).log(GROWTH).ceil() as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> LatencyReport {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let upper = |bucket: usize| FIRST_MS * GROWTH.powi(bucket as i32);
        let quantile = |share: f64| {
            let wanted = (share * count as f64).ceil().max(1.0) as u64;
            let mut seen = 0;
            let bucket = counts.iter().position(|bucket| {
                seen += bucket;
                seen >= wanted
            });
            bucket.filter(|_| count > 0).map(upper)
        };
        let mut buckets: Vec<LatencyBucket> =
            SHOWN_MS.iter().map(|&ms| LatencyBucket { upto_ms: Some(ms), count: 0 }).collect();
        buckets.push(LatencyBucket { upto_ms: None, count: 0 });
        for (bucket, bucket_count) in counts.iter().enumerate() {
            let shown = SHOWN_MS.iter().position(|&ms| upper(bucket) <= ms * GROWTH.sqrt()).unwrap_or(SHOWN_MS.len());
            buckets[shown].count += bucket_count;
        }
        LatencyReport { count, p50_ms: quantile(0.5), p95_ms: quantile(0.95), p99_ms: quantile(0.99), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_five_percent() {
        let latency = Latency::default();
        assert_eq!((latency.report().count, latency.report().p50_ms), (0, None));
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        let report = latency.report();
        for (seen, expected) in [(report.p50_ms, 50.0), (report.p95_ms, 95.0), (report.p99_ms, 99.0)] {
            let seen = seen.unwrap();
            assert!((seen / expected - 1.0).abs() < 0.06, "{seen} {expected}");
        }
        let counts: Vec<u64> = report.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts.iter().sum::<u64>(), 100);
        let upto_100: u64 = counts[..7].iter().sum();
        assert!(upto_100 >= 97, "{counts:?}");
        latency.record(Duration::from_secs(100_000));
        latency.record(Duration::ZERO);
        assert_eq!(latency.report().count, 102);
    }
}
