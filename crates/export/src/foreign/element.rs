//! Element types of tensors, by their numbers in the ONNX schema.

use std::fmt;

use super::schema::Store;

/// The type of a tensor's values (`TensorProto.DataType`), as far as encoders use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// 32-bit floats cut to 16 bits.
    Bf16,
    /// 64-bit floats.
    F64,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Signed, 4 bits, two to a byte.
    I4,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 4 bits, two to a byte.
    U4,
    /// A byte that is 0 or 1.
    Bool,
    /// Texts.
    Text,
}

use ElementType::{Bf16, Bool, F16, F32, F64, I4, I8, I16, I32, I64, Text, U4, U8, U16, U32, U64};

impl ElementType {
    /// The type that the schema numbers `code`.
    pub(super) fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            1 => F32,
            2 => U8,
            3 => I8,
            4 => U16,
            5 => I16,
            6 => I32,
            7 => I64,
            8 => Text,
            9 => Bool,
            10 => F16,
            11 => F64,
            12 => U32,
            13 => U64,
            16 => Bf16,
            21 => U4,
            22 => I4,
            _ => return None,
        })
    }

    /// Bits of a value; none for texts.
    pub fn bits(self) -> Option<u32> {
        match self {
            F64 | I64 | U64 => Some(64),
            F32 | I32 | U32 => Some(32),
            F16 | Bf16 | I16 | U16 => Some(16),
            I8 | U8 | Bool => Some(8),
            I4 | U4 => Some(4),
            Text => None,
        }
    }

    /// Whether the values are floating-point numbers that a row can be read from.
    pub fn is_float(self) -> bool {
        matches!(self, F32 | F16 | Bf16 | F64)
    }

    /// The field of `TensorProto` in which values lie that are not raw.
    pub(super) fn store(self) -> Store {
        match self {
            F32 => Store::Float,
            F64 => Store::Double,
            I64 => Store::Int64,
            U32 | U64 => Store::Uint64,
            _ => Store::Int32,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            F32 => "f32",
            F16 => "f16",
            Bf16 => "bf16",
            F64 => "f64",
            I64 => "i64",
            I32 => "i32",
            I16 => "i16",
            I8 => "i8",
            I4 => "i4",
            U64 => "u64",
            U32 => "u32",
            U16 => "u16",
            U8 => "u8",
            U4 => "u4",
            Bool => "bool",
            Text => "text",
        })
    }
}
