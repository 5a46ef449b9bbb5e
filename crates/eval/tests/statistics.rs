//! Statistics agree with those of scipy.

use std::num::NonZeroUsize;

use berth_eval::{bootstrap_interval, pearson, randomisation_test, spearman};
use serde::Deserialize;

/// Recorded by `scripts/record_eval_goldens.py`, which says how.
const GOLDEN: &str = include_str!("fixtures/statistics.json");

#[derive(Deserialize)]
struct Golden {
    comparisons: Vec<Comparison>,
    correlations: Vec<Correlation>,
}

#[derive(Deserialize)]
struct Correlation {
    x: Vec<f64>,
    y: Vec<f64>,
    pearson: f64,
    spearman: f64,
}

#[derive(Deserialize)]
struct Comparison {
    a: Vec<f64>,
    b: Vec<f64>,
    p_value: f64,
    interval: (f64, f64),
}

fn golden() -> Golden {
    serde_json::from_str(GOLDEN).unwrap()
}

#[test]
fn p_values_and_intervals_agree() {
    let rounds = NonZeroUsize::new(20_000).unwrap();
    let (mut exact, mut sampled) = (0, 0);
    for Comparison { a, b, p_value, interval } in golden().comparisons {
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
        let test = randomisation_test(&differences, rounds, 1);
        // Where both try all flips, the same; where both draw, within five standard errors.
        let error = (p_value * (1.0 - p_value) / rounds.get() as f64).sqrt();
        let allowed = if test.exact { 1e-12 } else { 5.0 * error };
        assert!((test.p_value - p_value).abs() <= allowed, "{test:?}, scipy says {p_value}");
        *(if test.exact { &mut exact } else { &mut sampled }) += 1;

        // A twentieth of the width is about five standard errors of an end.
        let (lower, upper) = bootstrap_interval(&differences, 0.95, rounds, 1).unwrap();
        let allowed = (interval.1 - interval.0) / 20.0;
        assert!((lower - interval.0).abs() < allowed && (upper - interval.1).abs() < allowed, "{lower}–{upper}");
    }
    assert!(exact >= 3 && sampled >= 3);
}

#[test]
fn correlations_agree() {
    for golden in golden().correlations {
        let found = (pearson(&golden.x, &golden.y).unwrap(), spearman(&golden.x, &golden.y).unwrap());
        assert!((found.0 - golden.pearson).abs() < 1e-12, "{found:?}, scipy says {}", golden.pearson);
        assert!((found.1 - golden.spearman).abs() < 1e-12, "{found:?}, scipy says {}", golden.spearman);
    }
}
