//! How many workers fit into a limit of memory. Pure, but for the question how much this process holds.

use std::fs;

use berth_types::ByteSize;

use crate::Error;

/// What opening takes for a moment, as a multiple of the graph's file: the file itself, its parsed form, and the weights
/// as they are kept. Measured with ONNX Runtime 1.31.1: an fp32 graph of 86 MiB took 233 MiB, an int8 graph of 22 MiB took
/// 76 MiB, the tokenizer's 12 MiB in both.
const OPENING_COPIES: u64 = 3;
/// What opening takes beside the graph: the tokenizer, and code that is read in for the first time.
const OPENING_MARGIN_BYTES: u64 = 16 << 20;
/// Share that is added to what a run was measured to need: chunks of the arena do not fit each other's gaps exactly.
/// 5,000 rows of 3 to 512 ids on two workers grew by 24 MiB where the longest row alone takes 10 (all-MiniLM-L6-v2, int8).
const RUN_MARGIN_PERCENT: u64 = 25;
/// Threads, queues and whatever a process does beside the model.
const MARGIN_BYTES: u64 = 4 << 20;

/// What was measured of a model, in bytes of resident memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The process with the model open and idle.
    pub(crate) open: u64,
    /// What the longest row adds while it runs.
    pub(crate) run: u64,
}

impl Needs {
    /// What `workers` that run at the same time need.
    fn of(self, workers: usize) -> u64 {
        let run = self.run + self.run * RUN_MARGIN_PERCENT / 100;
        self.open + MARGIN_BYTES + run * workers as u64
    }
}

/// Checks that a graph of `graph_bytes` can be opened by a process that holds `resident`.
///
/// # Errors
/// `MemoryLimit`.
pub(crate) fn check_opening(limit: u64, resident: u64, graph_bytes: u64) -> Result<(), Error> {
    let needed = resident + graph_bytes * OPENING_COPIES + OPENING_MARGIN_BYTES;
    if needed > limit { Err(too_small(limit, needed)) } else { Ok(()) }
}

/// The most workers that fit into `limit`, up to `wanted`.
///
/// # Errors
/// `MemoryLimit` when not even one fits.
pub(crate) fn plan_workers(limit: u64, wanted: usize, needs: Needs) -> Result<usize, Error> {
    match (1..=wanted.max(1)).rev().find(|&workers| needs.of(workers) <= limit) {
        Some(workers) => Ok(workers),
        None => Err(too_small(limit, needs.of(1))),
    }
}

fn too_small(limit: u64, needed: u64) -> Error {
    Error::MemoryLimit { limit: ByteSize(limit), needed: ByteSize(needed) }
}

/// What this process holds in memory, by the kernel's account; nothing where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn one_worker_that_does_not_fit_is_refused_with_what_it_needs() {
        let needs = Needs { open: 77 * MIB, run: 12 * MIB };
        assert_eq!(plan_workers(96 * MIB, 2, needs).unwrap(), 1);
        assert_eq!(plan_workers(111 * MIB, 2, needs).unwrap(), 2);
        assert_eq!(plan_workers(1 << 40, 2, needs).unwrap(), 2);
        let refusal = plan_workers(90 * MIB, 2, needs).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "a memory limit of 90.0 MiB is too small for this model: it needs at least 96.0 MiB"
        );
    }

    #[test]
    fn opening_counts_the_copies_of_a_moment() {
        assert!(check_opening(111 * MIB, 20 * MIB, 25 * MIB).is_ok());
        assert!(matches!(check_opening(110 * MIB, 20 * MIB, 25 * MIB), Err(Error::MemoryLimit { .. })));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_says_what_this_process_holds() {
        assert!(resident_bytes().unwrap() > MIB / 4);
    }

    proptest! {
        #[test]
        fn what_is_planned_fits_and_one_more_would_not(
            limit in 0..4_000 * MIB, wanted in 1_usize..64, open in 0..2_000 * MIB, run in 0..500 * MIB,
        ) {
            let needs = Needs { open, run };
            match plan_workers(limit, wanted, needs) {
                Ok(workers) => {
                    prop_assert!((1..=wanted).contains(&workers) && needs.of(workers) <= limit);
                    prop_assert!(workers == wanted || needs.of(workers + 1) > limit);
                }
                Err(Error::MemoryLimit { needed, .. }) => {
                    prop_assert!(needed.0 > limit);
                    prop_assert_eq!(plan_workers(needed.0, wanted.min(1), needs).unwrap(), 1);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
