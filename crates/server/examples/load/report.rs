//! What was measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::options::{Options, Protocol, What};

/// How a request ended, and when.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) ended: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Answered {
        /// What the server says that a search took.
        took_ms: Option<f64>,
        /// What the server says that it read.
        tokens: u64,
    },
    /// The server has too much to do.
    Rejected {
        retry_after: Option<Duration>,
    },
    Failed(String),
}

/// Replies as they come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answered_ms: Vec<f64>,
    rejected_ms: Vec<f64>,
    /// Server's own times of searches, and what clients waited beyond them.
    took_ms: Vec<f64>,
    beyond_ms: Vec<f64>,
    tokens: u64,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, waited: Duration, outcome: &Outcome) {
        let ms = waited.as_secs_f64() * 1e3;
        match outcome {
            Outcome::Answered { took_ms, tokens } => {
                self.answered_ms.push(ms);
                self.tokens += tokens;
                if let Some(took_ms) = took_ms {
                    self.took_ms.push(*took_ms);
                    self.beyond_ms.push(ms - took_ms);
                }
            }
            Outcome::Rejected { .. } => self.rejected_ms.push(ms),
            Outcome::Failed(why) => *self.failures.entry(why.clone()).or_default() += 1,
        }
    }
}

/// Milliseconds of many requests.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Spread {
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    /// None of nothing.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let max = *sorted.last()?;
        // Nearest rank.
        let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { mean, p50: at(0.5), p95: at(0.95), p99: at(0.99), max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, p50, p95, p99, max } = self;
        write!(to, "mean {mean:.2}  p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms")
    }
}

/// All that a run has to say.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    protocol: Protocol,
    what: What,
    clients: u32,
    /// Requests a second that were sent; absent where clients wait for their answers.
    rate: Option<f64>,
    inputs: u32,
    seconds: f64,
    requests: usize,
    answered: usize,
    /// Turned away for there was too much to do.
    rejected: usize,
    failed: u64,
    /// Why the failed ones failed.
    failures: BTreeMap<String, u64>,
    answered_per_second: f64,
    texts_per_second: f64,
    /// Of texts that became vectors, as the server counts; 0 where it does not say.
    tokens_per_second: f64,
    latency_ms: Option<Spread>,
    /// Time to a rejection.
    rejection_ms: Option<Spread>,
    /// The server's own time of searches.
    took_ms: Option<Spread>,
    /// What clients waited beyond that.
    overhead_ms: Option<Spread>,
}

impl Report {
    pub(crate) fn new(options: &Options, tally: &Tally) -> Self {
        let Options { protocol, what, clients, rate, inputs, seconds, .. } = *options;
        let (answered, rejected) = (tally.answered_ms.len(), tally.rejected_ms.len());
        let failed = tally.failures.values().sum();
        let a_second = |count: f64| count / seconds;
        Self {
            protocol,
            what,
            clients,
            rate,
            inputs,
            seconds,
            requests: answered + rejected + failed as usize,
            answered,
            rejected,
            failed,
            failures: tally.failures.clone(),
            answered_per_second: a_second(answered as f64),
            texts_per_second: a_second(answered as f64 * f64::from(inputs)),
            tokens_per_second: a_second(tally.tokens as f64),
            latency_ms: Spread::of(&tally.answered_ms),
            rejection_ms: Spread::of(&tally.rejected_ms),
            took_ms: Spread::of(&tally.took_ms),
            overhead_ms: Spread::of(&tally.beyond_ms),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, answered, rejected, failed, answered_per_second, tokens_per_second, .. } = self;
        writeln!(to, "{requests} requests: {answered} answered, {rejected} rejected, {failed} failed")?;
        write!(to, "{answered_per_second:.1} answers/s")?;
        if *tokens_per_second > 0.0 {
            write!(to, "  {tokens_per_second:.0} tokens/s")?;
        }
        let spreads = [
            ("answered", self.latency_ms),
            ("rejected", self.rejection_ms),
            ("server's own", self.took_ms),
            ("beyond that", self.overhead_ms),
        ];
        for (name, spread) in spreads {
            if let Some(spread) = spread {
                write!(to, "\n{name:<13} {spread}")?;
            }
        }
        for (why, count) in &self.failures {
            write!(to, "\n{count} × {why}")?;
        }
        Ok(())
    }
}
