//! What the processor can do, and which precision and threads follow from it.

use berth_types::{OwnOperators, Precision};

use crate::Error;

/// Class of Berth's own products with a scale for each row, which give the same bits on every processor.
pub(crate) const ROWS_KERNEL: &str = "rows";

/// Instructions that decide which kernels ONNX Runtime takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of the processor's own list")]
pub struct CpuFeatures {
    /// x86: 256-bit integers.
    pub avx2: bool,
    /// x86: multiply and add in one step.
    pub fma: bool,
    /// x86: 512-bit vectors.
    pub avx512f: bool,
    /// x86: 8-bit dot products on 512-bit vectors, accumulated in 32 bits.
    pub avx512_vnni: bool,
    /// x86: dot products of pairs of bf16 on 512-bit vectors, accumulated in f32.
    pub avx512_bf16: bool,
    /// x86: 8-bit dot products on 256-bit vectors.
    pub avx_vnni: bool,
    /// ARM: 8-bit dot products, accumulated in 32 bits.
    pub dotprod: bool,
}

impl CpuFeatures {
    /// Names of those that are there, in the order of the fields.
    pub fn names(&self) -> Vec<&'static str> {
        [
            (self.avx2, "avx2"),
            (self.fma, "fma"),
            (self.avx512f, "avx512f"),
            (self.avx512_vnni, "avx512_vnni"),
            (self.avx512_bf16, "avx512_bf16"),
            (self.avx_vnni, "avx_vnni"),
            (self.dotprod, "dotprod"),
        ]
        .into_iter()
        .filter_map(|(present, name)| present.then_some(name))
        .collect()
    }

    /// Class of ONNX Runtime's kernel that multiplies unsigned activations with signed weights without saturating; `None`
    /// where there is none: older x86 adds pairs of products in 16 bits, which overflow.
    pub fn int8_kernel(&self) -> Option<&'static str> {
        if self.avx512_vnni {
            Some("avx512-vnni")
        } else if self.avx_vnni {
            Some("avx-vnni")
        } else if self.dotprod {
            Some("arm-dotprod")
        } else {
            None
        }
    }

    /// Berth's own operators that are better here than ONNX Runtime's: attention where the processor multiplies in bf16,
    /// products where those of ONNX Runtime saturate.
    pub fn own_operators(&self) -> OwnOperators {
        if self.avx512_vnni && self.avx512_bf16 {
            OwnOperators::Attention
        } else if self.int8_kernel().is_none() && self.avx2 && self.fma {
            OwnOperators::Products
        } else {
            OwnOperators::None
        }
    }

    /// The precision that is fastest here without losing accuracy.
    pub fn default_precision(&self) -> Precision {
        if self.computes(Precision::Int8) { Precision::Int8 } else { Precision::Fp32 }
    }

    /// Whether graphs of `precision` that are made for this processor keep their accuracy on it.
    pub fn computes(&self, precision: Precision) -> bool {
        self.kernel(precision).is_ok()
    }

    /// Name of the kernel class for `precision`, part of the fingerprint.
    ///
    /// # Errors
    /// `Int8Saturates` where products of 8-bit numbers would overflow.
    pub fn kernel(&self, precision: Precision) -> Result<&'static str, Error> {
        match precision {
            Precision::Fp32 | Precision::Fp16 => Ok("f32"),
            Precision::Int8 if self.own_operators() == OwnOperators::Products => Ok(ROWS_KERNEL),
            _ => self.int8_kernel().ok_or_else(|| Error::Int8Saturates { precision, features: self.describe() }),
        }
    }

    /// What the processor has, for messages.
    pub(crate) fn describe(self) -> String {
        let names = self.names();
        if names.is_empty() { "no vector instructions".to_owned() } else { names.join(", ") }
    }
}

/// Reads the processor's features.
pub fn cpu_features() -> CpuFeatures {
    #[cfg(target_arch = "x86_64")]
    {
        CpuFeatures {
            avx2: std::arch::is_x86_feature_detected!("avx2"),
            fma: std::arch::is_x86_feature_detected!("fma"),
            avx512f: std::arch::is_x86_feature_detected!("avx512f"),
            avx512_vnni: std::arch::is_x86_feature_detected!("avx512vnni"),
            avx512_bf16: berth_kernels::has_bf16(),
            avx_vnni: std::arch::is_x86_feature_detected!("avxvnni"),
            dotprod: false,
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        CpuFeatures { dotprod: std::arch::is_aarch64_feature_detected!("dotprod"), ..CpuFeatures::default() }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        CpuFeatures::default()
    }
}

/// The precision that is fastest on this processor without losing accuracy.
pub fn default_precision() -> Precision {
    cpu_features().default_precision()
}

/// How cores are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadPlan {
    /// Threads that run one text at a time each, all through one session.
    pub workers: usize,
    /// Threads inside each run.
    pub intra_threads: usize,
}

/// Plans threads for `cores` cores: a worker a core, which measures fastest. All share the weights, so that one more costs
/// the memory of a run.
pub fn plan_threads(cores: usize) -> ThreadPlan {
    ThreadPlan { workers: cores.max(1), intra_threads: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASWELL: CpuFeatures = CpuFeatures {
        avx2: true,
        fma: true,
        avx512f: false,
        avx512_vnni: false,
        avx512_bf16: false,
        avx_vnni: false,
        dotprod: false,
    };

    #[test]
    fn precisions_are_refused_where_they_saturate() {
        assert_eq!(HASWELL.own_operators(), OwnOperators::Products);
        assert_eq!(HASWELL.kernel(Precision::Int8).unwrap(), ROWS_KERNEL);
        let refusal = HASWELL.kernel(Precision::Int8Static).unwrap_err().to_string();
        assert!(
            refusal.contains("int8-static") && refusal.contains("avx2") && refusal.contains("use fp32"),
            "{refusal}"
        );

        let older = CpuFeatures { fma: false, ..HASWELL };
        assert_eq!((older.default_precision(), older.own_operators()), (Precision::Fp32, OwnOperators::None));
        assert!(!older.computes(Precision::Int8));
        assert_eq!(older.kernel(Precision::Fp32).unwrap(), "f32");
    }

    #[test]
    fn each_exact_kernel_has_its_class() {
        let check = |features: CpuFeatures, class| {
            assert_eq!(features.default_precision(), Precision::Int8);
            assert_eq!(features.kernel(Precision::Int8).unwrap(), class);
            assert_ne!(features.own_operators(), OwnOperators::Products);
        };
        check(CpuFeatures { avx512_vnni: true, avx_vnni: true, ..HASWELL }, "avx512-vnni");
        check(CpuFeatures { avx_vnni: true, ..HASWELL }, "avx-vnni");
        check(CpuFeatures { dotprod: true, ..CpuFeatures::default() }, "arm-dotprod");
    }

    #[test]
    fn plans_never_ask_for_more_threads_than_cores() {
        assert_eq!(plan_threads(0), ThreadPlan { workers: 1, intra_threads: 1 });
        assert_eq!(plan_threads(2), ThreadPlan { workers: 2, intra_threads: 1 });
        assert_eq!(plan_threads(64), ThreadPlan { workers: 64, intra_threads: 1 });
        for cores in 1..300 {
            let plan = plan_threads(cores);
            assert!(plan.workers * plan.intra_threads <= cores);
        }
    }
}
