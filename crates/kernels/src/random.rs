//! Input for tests.

/// Values that look random, within ±`reach`; the same for the same `seed`.
pub(crate) fn values(count: usize, seed: u32, reach: f32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * reach
    };
    (0..count).map(|_| next()).collect()
}
