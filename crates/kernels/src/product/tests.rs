use proptest::prelude::*;

use super::*;
use crate::random::values;

/// By AVX2 or not, as far as this processor has it.
fn kernels() -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|&fast| !fast || has_avx2())
}

fn run(fast: bool, states: &[f32], inputs: usize, packed: &PackedMatrix, bias: &[f32]) -> Vec<f32> {
    let PackedMatrix { bytes, scales, sums } = packed;
    let mut product = vec![f32::NAN; states.len() / inputs * scales.len()];
    multiply_by(fast, states, inputs, PackedView { bytes, scales, sums, bias }, &mut product);
    product
}

/// The byte of an input and output.
fn byte(packed: &PackedMatrix, inputs: usize, input: usize, output: usize) -> i8 {
    let [_, blocks, quads, panel, quad] = packed_shape(inputs, packed.scales.len());
    let place = (output / panel * blocks + input / BLOCK) * quads + input % BLOCK / quad;
    packed.bytes[(place * panel + output % panel) * quad + input % quad]
}

/// Compares with sums in double precision: a state is wrong by half a step, a weight by half a scale.
fn check(rows: usize, inputs: usize, outputs: usize, seed: u32) {
    let states = values(rows * inputs, seed, 3.0);
    let weight = values(outputs * inputs, seed ^ 0x4d, 0.5);
    let bias = values(outputs, seed ^ 0x63, 1.0);
    let packed = pack(&weight, inputs);
    let received: Vec<Vec<f32>> = kernels().map(|fast| run(fast, &states, inputs, &packed, &bias)).collect();
    assert!(received.windows(2).all(|two| two[0] == two[1]), "kernels differ in bits");
    for (row, output) in (0..rows).flat_map(|row| (0..outputs).map(move |output| (row, output))) {
        let (states, weight) = (&states[row * inputs..][..inputs], &weight[output * inputs..][..inputs]);
        let (low, high) = reach(states);
        let (step, scale) = (f64::from(high - low) / 127.0, f64::from(packed.scales[output]));
        let (mut exact, mut allowed) = (f64::from(bias[output]), 1e-4);
        for (&state, &weight) in states.iter().zip(weight) {
            let (state, weight) = (f64::from(state), f64::from(weight));
            exact += state * weight;
            allowed += 0.51 * (step * (weight.abs() + scale) + scale * state.abs());
        }
        let value = f64::from(received[0][row * outputs + output]);
        assert!((value - exact).abs() <= allowed, "row {row}, output {output}: {value} for {exact} ± {allowed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_kernel_gives_the_same_bits_and_they_are_right(
        rows in 1usize..9, inputs in 1usize..70, outputs in 1usize..50, seed: u32,
    ) {
        check(rows, inputs, outputs, seed);
    }

    /// The law that the kernels rest on, for weights of any distribution.
    #[test]
    fn no_chain_of_packed_weights_leaves_sixteen_bits(
        weight in prop::collection::vec(
            prop_oneof![Just(1.0_f32), Just(-1.0), -1.0f32..1.0, -0.01f32..0.01, Just(0.0)], 1..100
        ),
    ) {
        let inputs = weight.len();
        let packed = pack(&weight, inputs);
        for from in (0..inputs).step_by(BLOCK) {
            for pair in 0..2 {
                let chain = (from..inputs.min(from + BLOCK)).filter(|at| at % QUAD / 2 == pair);
                let bytes: Vec<i32> = chain.map(|at| i32::from(byte(&packed, inputs, at, 0))).collect();
                let most: i32 = bytes.iter().map(|&byte| byte.max(0) * LARGEST_STATE).sum();
                let least: i32 = bytes.iter().map(|&byte| byte.min(0) * LARGEST_STATE).sum();
                prop_assert!(most <= i32::from(i16::MAX) && least >= i32::from(i16::MIN), "{least} to {most}");
            }
        }
        for (at, &weight) in weight.iter().enumerate() {
            let back = f32::from(byte(&packed, inputs, at, 0)) * packed.scales[0];
            prop_assert!((back - weight).abs() <= packed.scales[0] * 0.501, "{weight} came back as {back}");
        }
    }
}

#[test]
fn the_largest_states_and_weights_do_not_saturate() {
    // All weights equal: the chain's bound decides. All states but one at the top of their range.
    for sign in [1.0, -1.0] {
        let (inputs, outputs) = (48, 17);
        let packed = pack(&vec![sign; inputs * outputs], inputs);
        assert_eq!(byte(&packed, inputs, 5, 16), 32 * sign as i8);
        let mut states = vec![1.0; inputs];
        states[0] = 0.0;
        for fast in kernels() {
            for value in run(fast, &states, inputs, &packed, &vec![0.0; outputs]) {
                // 258 is no multiple of the chain's eight: each weight is 32 scales of 1 / 32.25.
                assert!((value - 47.0 * 32.0 / 32.25 * sign).abs() < 1e-4, "{value}");
            }
        }
    }
}

#[test]
fn a_row_does_not_see_its_neighbours() {
    let (inputs, outputs) = (96, 40);
    let states = values(32 * inputs, 5, 2.0);
    let packed = pack(&values(outputs * inputs, 6, 1.0), inputs);
    let bias = values(outputs, 7, 1.0);
    for fast in kernels() {
        let together = run(fast, &states, inputs, &packed, &bias);
        for (row, states) in states.chunks_exact(inputs).enumerate() {
            assert_eq!(run(fast, states, inputs, &packed, &bias), together[row * outputs..][..outputs]);
        }
    }
}

#[test]
fn edges_are_defined() {
    let packed = pack(&[1.0, 2.0, -3.0, 0.0, 0.0, 0.0], 3);
    let bias = [0.5, 0.25];
    for fast in kernels() {
        assert_eq!(run(fast, &[], 3, &packed, &bias), [0.0; 0]);
        // Equal values have no range, and weights of zero no scale.
        let equal = run(fast, &[2.0; 3], 3, &packed, &bias);
        assert!((equal[0] - 0.5).abs() < 0.1 && equal[1] == 0.25, "{equal:?}");
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let received = run(fast, &[1.0, 2.0, 3.0, 1.0, odd, 3.0], 3, &packed, &bias);
            assert!(received[..2].iter().all(|value| value.is_finite()), "{received:?}");
            assert!(received[2..].iter().all(|value| value.is_nan()), "{received:?}");
        }
    }
}

#[test]
#[should_panic(expected = "a byte for each weight")]
fn a_matrix_that_is_cut_short_is_refused() {
    let mut packed = pack(&[1.0; 32], 16);
    packed.bytes.pop();
    run(false, &[1.0; 16], 16, &packed, &[0.0; 2]);
}
