//! Multi-head attention of one row of tokens.

#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(target_arch = "x86_64")]
mod i16;
mod portable;

use std::cell::RefCell;

use crate::widest::has_avx2;

/// Values in a vector.
const LANES: usize = 16;
/// Vectors that a thread keeps between calls: 4 MiB, more than rows of 512 tokens need.
const KEPT: usize = 1 << 16;

/// Added to it, a number is rounded to a whole one, which then stands in the lowest bits.
const SHIFT: f32 = 12_582_912.0;
/// Minimax polynomial of 2ˣ on ±½ for weights that are rounded anyway, highest power first; its relative error is 2.6e-6.
#[cfg(target_arch = "x86_64")]
const SHORT_POWERS: [f32; 5] = [0.009_570_102, 0.055_917_863, 0.240_247_44, 0.693_121_8, 0.999_999_3];

/// How a state divides into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Number of heads.
    pub heads: usize,
    /// Values in a head's part of a state; a multiple of 16.
    pub width: usize,
}

impl AttentionShape {
    /// Values in a state.
    pub fn hidden(self) -> usize {
        self.heads * self.width
    }

    /// Whether there is a kernel for heads of this width.
    pub fn is_supported(self) -> bool {
        self.heads > 0 && self.width > 0 && self.width.is_multiple_of(LANES)
    }
}

/// A vector in memory, on a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only kernels for x86 look into it"))]
struct Line([i32; LANES]);

/// Memory that a thread keeps between calls.
#[derive(Debug, Default)]
struct Scratch {
    kept: Vec<u32>,
    lines: Vec<Line>,
    scores: Vec<[f32; LANES]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// The numbers in which attention multiplies on this processor: `bf16` (8 binary digits, AVX-512), `i16` (AVX2), or `f32`.
pub fn attention_numbers() -> &'static str {
    match Kernel::best() {
        Kernel::Bf16 => "bf16",
        Kernel::I16 => "i16",
        Kernel::Portable => "f32",
    }
}

/// Whether the processor multiplies pairs of bf16.
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Writes `softmax(query · keyᵀ / √width) · value` of each head into `context`.
///
/// `qkv` is `[tokens, 3 · hidden]`: each token's query, key and value, row-major; `context` is `[tokens, hidden]`. Keys
/// whose `mask` is zero are left out as if their tokens were not there, so that padding changes no bit of the other
/// tokens' contexts; where all are, contexts are zero. A number that is none, or a key beyond 1e33, is never hidden: the
/// contexts that it is part of are none.
///
/// # Panics
/// When the lengths do not fit each other, or the shape is not supported.
pub fn attend(qkv: &[f32], mask: Option<&[i32]>, shape: AttentionShape, context: &mut [f32]) {
    SCRATCH.with_borrow_mut(|scratch| {
        attend_by(Kernel::best(), qkv, mask, shape, scratch, context);
        if scratch.lines.len() + scratch.scores.len() > KEPT {
            *scratch = Scratch::default();
        }
    });
}

/// What computes attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// In f32.
    Portable,
    /// In 16-bit integers, by AVX2.
    I16,
    /// In bf16, by AVX-512.
    Bf16,
}

impl Kernel {
    fn is_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::I16 => has_avx2(),
            Self::Bf16 => has_bf16(),
        }
    }

    fn best() -> Self {
        [Self::Bf16, Self::I16].into_iter().find(|kernel| kernel.is_here()).unwrap_or(Self::Portable)
    }
}

fn attend_by(
    kernel: Kernel,
    qkv: &[f32],
    mask: Option<&[i32]>,
    shape: AttentionShape,
    scratch: &mut Scratch,
    context: &mut [f32],
) {
    assert!(shape.is_supported(), "heads of a multiple of {LANES} values, not {}", shape.width);
    assert_eq!(qkv.len(), 3 * context.len(), "three states a context");
    assert!(context.len().is_multiple_of(shape.hidden()), "contexts of {} values", shape.hidden());
    let tokens = context.len() / shape.hidden();
    scratch.kept.clear();
    match mask {
        None => scratch.kept.extend(0..tokens as u32),
        Some(mask) => {
            assert_eq!(mask.len(), tokens, "one mark a token");
            scratch.kept.extend((0..).zip(mask).filter_map(|(token, &real)| (real != 0).then_some(token)));
        }
    }
    if scratch.kept.is_empty() {
        return context.fill(0.0);
    }
    match kernel {
        // SAFETY: the kernel is here; lengths and shape were checked above.
        #[cfg(target_arch = "x86_64")]
        Kernel::Bf16 => unsafe { bf16::attend(qkv, &scratch.kept, shape, &mut scratch.lines, context) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kernel::I16 => unsafe { i16::attend(qkv, &scratch.kept, shape, &mut scratch.lines, context) },
        _ => portable::attend(qkv, &scratch.kept, shape, &mut scratch.scores, context),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::values;

    /// What there is on this processor, with the unit of its rounding; that of 16-bit integers is one of a row's greatest.
    fn kernels() -> Vec<(Kernel, f64)> {
        let single = f64::from(f32::EPSILON) * 64.0;
        let all = [(Kernel::Portable, single), (Kernel::I16, 1.0 / 2048.0), (Kernel::Bf16, 1.0 / 256.0)];
        all.into_iter().filter(|(kernel, _)| kernel.is_here()).collect()
    }

    fn run(kernel: Kernel, qkv: &[f32], mask: Option<&[i32]>, shape: AttentionShape) -> Vec<f32> {
        let mut context = vec![f32::NAN; qkv.len() / 3];
        // What a thread keeps from other rows must not be seen.
        let (lines, scores) = (vec![Line([-1; LANES]); 4096], vec![[f32::NAN; LANES]; 4096]);
        let mut scratch = Scratch { kept: Vec::new(), lines, scores };
        attend_by(kernel, qkv, mask, shape, &mut scratch, &mut context);
        context
    }

    /// Compares each context with sums in double precision. With the unit `u` of rounding, a score is wrong by `u` of the
    /// size of its products, a weight by twice as much of itself, and it and its value are rounded once more.
    fn check(shape: AttentionShape, tokens: usize, seed: u32, reach: f32, mask: Option<&[i32]>) {
        let hidden = shape.hidden();
        let qkv = values(tokens * 3 * hidden, seed, reach);
        let part = |token: usize, part: usize, head: usize| {
            qkv[(3 * token + part) * hidden + head * shape.width..][..shape.width].iter().map(|&value| f64::from(value))
        };
        let kept: Vec<usize> = (0..tokens).filter(|&token| mask.is_none_or(|mask| mask[token] != 0)).collect();
        for (kernel, unit) in kernels() {
            let received = run(kernel, &qkv, mask, shape);
            for (query, head) in (0..tokens).flat_map(|query| (0..shape.heads).map(move |head| (query, head))) {
                let root = (shape.width as f64).sqrt();
                let score =
                    |&key: &usize| part(query, 0, head).zip(part(key, 1, head)).map(|(a, b)| a * b / root).sum();
                let size = |&key: &usize| {
                    part(query, 0, head).zip(part(key, 1, head)).map(|(a, b)| (a * b / root).abs()).sum::<f64>()
                };
                let scores: Vec<f64> = kept.iter().map(score).collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let wrong = (2.0 * unit * kept.iter().map(size).fold(0.0, f64::max)).exp_m1() + 2.0 * unit;
                for column in 0..shape.width {
                    let of_key = |&key: &usize| part(key, 2, head).nth(column).unwrap_or(f64::NAN);
                    let exact: f64 = weights.iter().zip(&kept).map(|(weight, key)| weight / sum * of_key(key)).sum();
                    let allowed = wrong * kept.iter().map(|key| of_key(key).abs()).fold(0.0, f64::max);
                    let value = f64::from(received[query * hidden + head * shape.width + column]);
                    let place = format!("query {query}, head {head}, column {column}, {kernel:?}");
                    assert!((value - exact).abs() <= allowed, "{place}: {value} for {exact}, allowed {allowed}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_kernel_agrees_with_sums_in_double_precision(
            (tokens, marks) in (1usize..80).prop_flat_map(|tokens| {
                (Just(tokens), prop::collection::vec(0i32..3, tokens))
            }),
            heads in 1usize..4,
            vectors in 1usize..6,
            seed: u32,
            masked: bool,
        ) {
            prop_assume!(marks.iter().any(|&mark| mark != 0));
            let shape = AttentionShape { heads, width: vectors * LANES };
            check(shape, tokens, seed, 1.5, masked.then_some(&marks));
        }
    }

    #[test]
    fn every_length_around_the_blocks() {
        for tokens in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 129, 512] {
            check(AttentionShape { heads: 1, width: 32 }, tokens, 7, 2.0, None);
        }
    }

    #[test]
    fn huge_scores_choose_one_key_and_give_no_nan() {
        let shape = AttentionShape { heads: 2, width: 32 };
        let mut qkv = values(20 * 3 * shape.hidden(), 3, 1e15);
        // The first token's key is every query's best: along a direction that all share.
        for state in qkv.chunks_exact_mut(3 * shape.hidden()) {
            state[0] = 1e17;
            state[shape.width] = 1e17;
        }
        qkv[shape.hidden()] = 1e17;
        qkv[shape.hidden() + shape.width] = 1e17;
        let first = qkv[2 * shape.hidden()..3 * shape.hidden()].to_vec();
        for (kernel, unit) in kernels() {
            for context in run(kernel, &qkv, None, shape).chunks_exact(shape.hidden()) {
                for (value, expected) in context.iter().zip(&first) {
                    let wrong = f64::from((value - expected).abs());
                    assert!(wrong <= unit * 1e15, "{value} for {expected}, {kernel:?}");
                }
            }
        }
    }

    #[test]
    fn a_row_without_a_real_token_is_zero() {
        let shape = AttentionShape { heads: 1, width: 16 };
        let qkv = values(5 * 3 * 16, 1, 1.0);
        for (kernel, _) in kernels() {
            assert_eq!(run(kernel, &qkv, Some(&[0; 5]), shape), [0.0; 5 * 16]);
            assert_eq!(run(kernel, &[], None, shape), [0.0; 0]);
        }
    }

    #[test]
    fn padding_and_threads_change_no_bit() {
        let shape = AttentionShape { heads: 3, width: 32 };
        let (hidden, tokens) = (shape.hidden(), 45);
        let qkv = values(64 * 3 * hidden, 9, 1.0);
        let mask: Vec<i32> = (0..64).map(|token| i32::from(token < tokens)).collect();
        let real = &qkv[..tokens * 3 * hidden];
        for (kernel, _) in kernels() {
            let alone = run(kernel, real, None, shape);
            assert_eq!(run(kernel, &qkv, Some(&mask), shape)[..tokens * hidden], alone);
        }
        let here = || {
            let mut context = vec![0.0; real.len() / 3];
            attend(real, None, shape, &mut context);
            context
        };
        let elsewhere = std::thread::scope(|scope| [scope.spawn(here), scope.spawn(here)].map(|it| it.join().unwrap()));
        assert_eq!(elsewhere, [here(), here()]);
    }

    #[test]
    fn what_is_no_number_is_not_hidden() {
        let shape = AttentionShape { heads: 1, width: 16 };
        for (kernel, _) in kernels() {
            // An infinite key may have an infinitely small weight.
            for (at, value) in [(3, f32::NAN), (16 + 3, f32::NAN), (32 + 3, f32::NAN), (32 + 3, f32::INFINITY)] {
                let mut qkv = values(4 * 48, 5, 1.0);
                qkv[48 + at] = value;
                let context = run(kernel, &qkv, None, shape);
                assert!(context[16..32].iter().any(|value| !value.is_finite()), "{value} at {at}, {kernel:?}");
            }
        }
    }

    #[test]
    fn keys_that_are_too_large_give_what_is_right_or_no_number() {
        let shape = AttentionShape { heads: 1, width: 16 };
        for count in [3, 4] {
            let mut qkv = values(count * 48, 5, 1.0);
            for state in qkv.chunks_exact_mut(48) {
                state[..16].iter_mut().for_each(|query| *query *= 1e-35);
                state[16..32].iter_mut().for_each(|key| *key *= 1e35);
            }
            let exact = run(Kernel::Portable, &qkv, None, shape);
            for (kernel, unit) in kernels() {
                for (value, exact) in run(kernel, &qkv, None, shape).into_iter().zip(&exact) {
                    let wrong = f64::from((value - exact).abs());
                    assert!(value.is_nan() || wrong <= 20.0 * unit, "{value} for {exact}, {kernel:?}");
                }
            }
        }
    }

    #[test]
    fn many_light_keys_weigh_what_they_are_worth_beside_a_heavy_one() {
        let shape = AttentionShape { heads: 1, width: 16 };
        for tokens in [300, 4000] {
            let heavy = (9.0 * (tokens - 1) as f32).ln();
            let mut qkv = vec![0.0; tokens * 48];
            for (token, state) in qkv.chunks_exact_mut(48).enumerate() {
                state[0] = 4.0;
                state[16] = if token == 0 { heavy } else { 0.0 };
                state[32..].fill(if token == 0 { 0.0 } else { 1.0 });
            }
            for (kernel, _) in kernels() {
                let context = run(kernel, &qkv, None, shape);
                assert!(context.iter().all(|value| (value - 0.1).abs() < 2e-3), "{kernel:?}: {}", context[0]);
            }
        }
    }

    #[test]
    fn the_greatest_sums_are_exact() {
        for (width, tokens) in [(16, 60), (32, 64), (64, 120), (128, 128), (4096, 17)] {
            let shape = AttentionShape { heads: 1, width };
            let mut qkv = vec![1.0; tokens * 3 * width];
            for (kernel, _) in kernels() {
                assert!(run(kernel, &qkv, None, shape).iter().all(|value| (value - 1.0).abs() < 1e-6), "{kernel:?}");
            }
            qkv.fill(-1.0);
            for (kernel, _) in kernels() {
                assert!(run(kernel, &qkv, None, shape).iter().all(|value| (value + 1.0).abs() < 1e-6), "{kernel:?}");
            }
        }
    }
}
