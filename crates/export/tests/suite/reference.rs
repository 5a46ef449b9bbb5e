//! BERT in plain loops and f64, to compare graphs with.

use crate::synthetic::{Checkpoint, HEADS, HIDDEN, LAYERS};

type Rows = Vec<Vec<f64>>;

/// The nonlinearities as their papers write them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Nonlinearity {
    Gelu,
    GeluTanh,
    Relu,
}

/// Token states of one text without padding: `[tokens][hidden]`.
pub(crate) fn states(checkpoint: &Checkpoint, ids: &[i64], types: &[i64], nonlinearity: Nonlinearity) -> Rows {
    let row = |table: &str, index: usize| -> Vec<f64> {
        let values = tensor(checkpoint, &format!("embeddings.{table}_embeddings.weight"));
        values[index * HIDDEN..(index + 1) * HIDDEN].to_vec()
    };
    let mut states: Rows = (0..ids.len())
        .map(|at| {
            let (word, position) = (row("word", ids[at] as usize), row("position", at));
            let kind = row("token_type", types[at] as usize);
            (0..HIDDEN).map(|n| word[n] + position[n] + kind[n]).collect()
        })
        .collect();
    states = norm(checkpoint, "embeddings.LayerNorm", &states);
    for layer in 0..LAYERS {
        let at = format!("encoder.layer.{layer}");
        let context = attention(checkpoint, &at, &states);
        let attended = linear(checkpoint, &format!("{at}.attention.output.dense"), &context);
        states = norm(checkpoint, &format!("{at}.attention.output.LayerNorm"), &add(&attended, &states));
        let mut wide = linear(checkpoint, &format!("{at}.intermediate.dense"), &states);
        wide.iter_mut().flatten().for_each(|value| *value = apply(nonlinearity, *value));
        let narrow = linear(checkpoint, &format!("{at}.output.dense"), &wide);
        states = norm(checkpoint, &format!("{at}.output.LayerNorm"), &add(&narrow, &states));
    }
    states
}

/// Average of the rows.
pub(crate) fn mean(states: &Rows) -> Vec<f64> {
    (0..HIDDEN).map(|n| states.iter().map(|row| row[n]).sum::<f64>() / states.len() as f64).collect()
}

/// A row at unit norm.
pub(crate) fn unit(row: &[f64]) -> Vec<f64> {
    let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| value / norm).collect()
}

fn attention(checkpoint: &Checkpoint, at: &str, states: &Rows) -> Rows {
    let [query, key, value] =
        ["query", "key", "value"].map(|part| linear(checkpoint, &format!("{at}.attention.self.{part}"), states));
    let width = HIDDEN / HEADS;
    let mut context = vec![vec![0.0; HIDDEN]; states.len()];
    for head in 0..HEADS {
        let part = head * width..(head + 1) * width;
        for (from, row) in context.iter_mut().enumerate() {
            let score = |to: usize| {
                let dot: f64 = part.clone().map(|n| query[from][n] * key[to][n]).sum();
                (dot / (width as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = (0..states.len()).map(score).collect();
            let total: f64 = scores.iter().sum();
            for n in part.clone() {
                row[n] = scores.iter().zip(&value).map(|(score, row)| score / total * row[n]).sum();
            }
        }
    }
    context
}

fn linear(checkpoint: &Checkpoint, name: &str, states: &Rows) -> Rows {
    let weight = tensor(checkpoint, &format!("{name}.weight"));
    let bias = tensor(checkpoint, &format!("{name}.bias"));
    let inputs = weight.len() / bias.len();
    let one = |row: &Vec<f64>| -> Vec<f64> {
        let output = |n: usize| bias[n] + (0..inputs).map(|i| weight[n * inputs + i] * row[i]).sum::<f64>();
        (0..bias.len()).map(output).collect()
    };
    states.iter().map(one).collect()
}

fn norm(checkpoint: &Checkpoint, name: &str, states: &Rows) -> Rows {
    let weight = tensor(checkpoint, &format!("{name}.weight"));
    let bias = tensor(checkpoint, &format!("{name}.bias"));
    let one = |row: &Vec<f64>| -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
        (0..row.len()).map(|n| (row[n] - mean) / (variance + 1e-12).sqrt() * weight[n] + bias[n]).collect()
    };
    states.iter().map(one).collect()
}

fn add(one: &Rows, other: &Rows) -> Rows {
    one.iter().zip(other).map(|(one, other)| one.iter().zip(other).map(|(a, b)| a + b).collect()).collect()
}

fn apply(nonlinearity: Nonlinearity, x: f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Nonlinearity::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Nonlinearity::Relu => x.max(0.0),
    }
}

/// The error function by its Taylor series, exact to rounding for the small arguments of these tests.
fn erf(x: f64) -> f64 {
    assert!(x.abs() < 5.0, "the series loses digits at {x}");
    let mut term = x;
    let mut sum = x;
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn tensor(checkpoint: &Checkpoint, name: &str) -> Vec<f64> {
    checkpoint.tensors[name].row_major.iter().map(|&value| f64::from(value)).collect()
}
