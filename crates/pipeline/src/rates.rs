//! How fast a model was the last time, by model and device, so that a plan can say how long a run will take.
//!
//! Kept in `BERTH_HOME/cache`: what is lost there is measured again by the next run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use berth_encoder::Encoder;

use crate::{Home, fingerprint_hash};

/// Fewer tokens than this say little: most of the time goes to opening and committing.
const LEAST_TOKENS: u64 = 2_000;

fn file(home: &Home) -> PathBuf {
    home.cache().join("rates.json")
}

fn key(encoder: &Encoder) -> String {
    format!("{} on {}", fingerprint_hash(encoder.fingerprint()), encoder.device())
}

fn rates(home: &Home) -> BTreeMap<String, f64> {
    let text = fs::read(file(home)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Tokens a second of the last run with this model on this device; none before there was one.
pub fn last_rate(home: &Home, encoder: &Encoder) -> Option<f64> {
    rates(home).get(&key(encoder)).copied().filter(|rate| rate.is_finite() && *rate > 0.0)
}

/// Remembers how fast a run was. A rate that cannot be kept is only missed by the next plan.
pub fn remember_rate(home: &Home, encoder: &Encoder, tokens: u64, seconds: f64) {
    if tokens < LEAST_TOKENS || seconds <= 0.0 {
        return;
    }
    let mut rates = rates(home);
    rates.insert(key(encoder), tokens as f64 / seconds);
    let path = file(home);
    let temporary = path.with_extension(format!("json.{}", std::process::id()));
    let text = serde_json::to_vec_pretty(&rates).expect("numbers by name are plain data");
    let kept = fs::create_dir_all(home.cache())
        .and_then(|()| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, &path));
    if kept.is_err() {
        let _ = fs::remove_file(&temporary);
    }
}
