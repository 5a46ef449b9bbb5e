//! Memory stays within bounds, whatever the lengths of the rows. Alone in its process, because it looks at all of it.

mod installed;

use std::collections::VecDeque;

use berth_encoder::{Encoder, EncoderOptions, Error, InstalledModel, Runtime, default_precision, resident_bytes};

/// Rows by default, and with `BERTH_LONG`; every twentieth is the first measure.
const ROWS: usize = 400;
const LONG_ROWS: usize = 20_000;
/// Growth that is allowed between the two measures.
const GROWTH: f64 = 1.2;

/// Between 3 and `max_tokens` ids, by a generator with a fixed seed (splitmix64).
fn random_row(seed: &mut u64, max_tokens: usize) -> Vec<u32> {
    let mut next = || {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = *seed;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let tokens = 3 + (next() % (max_tokens as u64 - 2)) as usize;
    (0..tokens).map(|_| 1_000 + (next() % 20_000) as u32).collect()
}

fn encode(encoder: &Encoder, rows: usize, seed: &mut u64) {
    let mut pending = VecDeque::new();
    for _ in 0..rows {
        pending.push_back(encoder.submit_passage(random_row(seed, encoder.card().max_tokens)).unwrap());
        if pending.len() > 8 {
            pending.pop_front().unwrap().wait().unwrap();
        }
    }
    for row in pending {
        row.wait().unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_rows_and_a_limit_is_kept() {
    let runtime = Runtime::load(&installed::library()).unwrap();
    let model = InstalledModel::open(&installed::home().join("models/all-minilm-l6-v2")).unwrap();
    let precision = default_precision();
    let open = |limit: Option<u64>, workers| {
        let options = EncoderOptions {
            precision: Some(precision),
            workers: Some(workers),
            memory_limit_bytes: limit,
            ..EncoderOptions::default()
        };
        Encoder::open(&model, &runtime, &options)
    };

    // Asked for too much, the refusal says what would do; with that, it opens and keeps to it.
    let refusal = open(Some(1 << 20), 4).err().unwrap();
    let Error::MemoryLimit { needed, .. } = refusal else { panic!("{refusal}") };
    let mut limit = needed.0;
    let limited = loop {
        match open(Some(limit), 4) {
            Ok(encoder) => break encoder,
            // The first refusal came before anything was opened, from the length of the graph alone.
            Err(Error::MemoryLimit { needed, .. }) if needed.0 > limit => limit = needed.0,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(limited.plan().workers <= 4);
    let mut seed = 1;
    encode(&limited, ROWS / 4, &mut seed);
    let held = resident_bytes().unwrap();
    assert!(held <= limit, "{held} bytes are held with a limit of {limit}");
    drop(limited);

    let encoder = open(None, 2).unwrap();
    let rows = if std::env::var_os("BERTH_LONG").is_some() { LONG_ROWS } else { ROWS };
    encode(&encoder, rows / 20, &mut seed);
    let early = resident_bytes().unwrap();
    encode(&encoder, rows - rows / 20, &mut seed);
    let late = resident_bytes().unwrap();
    assert!(late as f64 <= early as f64 * GROWTH, "{early} bytes after {} rows, {late} after {rows}", rows / 20);
}
