//! One function, compiled for each width of vectors.

/// Makes `$name`, which calls `$inner` as it was compiled for the widest vectors that the processor has.
///
/// `$inner` is `#[inline(always)]`, so that it takes on the instructions of what it is compiled into, and generic over
/// whether these multiply and add in one step, with one rounding.
macro_rules! on_widest_vectors {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) = $inner:ident) => {
        $(#[$doc])*
        $visible fn $name($($argument: $kind),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($argument: $kind),*) {
                    $inner::<true>($($argument),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $kind),*) {
                    $inner::<true>($($argument),*);
                }
                let has_avx2 = $crate::widest::has_avx2();
                if has_avx2
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the processor has what the function is compiled for.
                    return unsafe { avx512($($argument),*) };
                }
                if has_avx2 {
                    // SAFETY: as above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            // Every 64-bit ARM processor multiplies and adds in one step.
            $inner::<{ cfg!(target_arch = "aarch64") }>($($argument),*);
        }
    };
}

pub(crate) use on_widest_vectors;

/// Whether the processor has AVX2 and multiplies and adds in one step.
pub(crate) fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// `factor · other + sum`; with `FUSED` in one step, which is slow where the processor has no such instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(factor: f32, other: f32, sum: f32) -> f32 {
    if FUSED { factor.mul_add(other, sum) } else { factor * other + sum }
}

/// A polynomial by Horner's rule; the highest power's factor comes first.
#[inline(always)]
pub(crate) fn polynomial<const FUSED: bool>(factors: &[f32], x: f32) -> f32 {
    let mut value = factors[0];
    for &factor in &factors[1..] {
        value = multiply_add::<FUSED>(value, x, factor);
    }
    value
}
