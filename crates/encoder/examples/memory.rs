//! `memory MODEL [int8|fp32] [workers] [rows] [limit]`: resident memory while rows of 3 to 512 ids go through the model.
//!
//! Prints the process's resident set after opening, and after 100, 1,000 and each further 1,000 rows. The library is found
//! by `ORT_DYLIB_PATH`.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::Instant;

use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Runtime};
use berth_types::ByteSize;

#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, rest @ ..] = words.as_slice() else {
        return Err("usage: memory MODEL [int8|fp32] [workers] [rows] [limit]".into());
    };
    let options = EncoderOptions {
        precision: rest.first().map(|word| word.parse()).transpose()?,
        workers: rest.get(1).map(|word| word.parse()).transpose()?,
        memory_limit_bytes: rest.get(3).map(|word| word.parse::<ByteSize>()).transpose()?.map(|size| size.0),
        ..EncoderOptions::default()
    };
    let rows: usize = rest.get(2).map_or(Ok(2_000), |word| word.parse())?;
    let runtime = Runtime::load(Path::new(&std::env::var("ORT_DYLIB_PATH")?))?;
    let (before, _) = resident_mib()?;
    let encoder = Encoder::open(&InstalledModel::open(Path::new(model))?, &runtime, &options)?;
    let (now, peak) = resident_mib()?;
    println!(
        "{} workers; before {before:.1} MiB, open {now:.1} MiB, peak while opening {peak:.1} MiB",
        encoder.plan().workers
    );
    let start = Instant::now();
    let mut pending = VecDeque::new();
    let mut seed = 1_u64;
    for row in 1..=rows {
        pending.push_back(encoder.submit_passage(random_row(&mut seed, encoder.card().max_tokens))?);
        if pending.len() > 8
            && let Some(first) = pending.pop_front()
        {
            first.wait()?;
        }
        if row == 100 || row % 1_000 == 0 {
            let (now, peak) = resident_mib()?;
            println!("{row:>6} rows {now:>7.1} MiB, peak {peak:.1} MiB, {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

/// Ids between special tokens, 3 to `max_tokens` of them in all, by a generator with a fixed seed (splitmix64).
fn random_row(seed: &mut u64, max_tokens: usize) -> Vec<u32> {
    let mut next = || {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = *seed;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let tokens = 3 + (next() % (max_tokens as u64 - 2)) as usize;
    let body = (0..tokens - 2).map(|_| 1_000 + (next() % 20_000) as u32);
    std::iter::once(101).chain(body).chain(std::iter::once(102)).collect()
}

/// Resident set of this process and the most that it was, in MiB.
fn resident_mib() -> Result<(f64, f64), Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel does not say")?;
    let peak: f64 = peak.trim_end_matches("kB").trim().parse()?;
    let now = berth_encoder::resident_bytes().ok_or("the kernel does not say")?;
    Ok((now as f64 / f64::from(1 << 20), peak / f64::from(1 << 10)))
}
