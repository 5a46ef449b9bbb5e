//! Sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A number of bytes: `800MB`, `1GiB`, `1.5g`, or plainly `1000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A word that is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{word}' is no size; write bytes, or a number with KB, MB, GB, KiB, MiB or GiB")]
pub struct NotASize {
    /// As typed.
    pub word: String,
}

const UNITS: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(word: &str) -> Result<Self, NotASize> {
        let lower = word.trim().to_ascii_lowercase();
        let found = UNITS.iter().find_map(|&(unit, factor)| Some((lower.strip_suffix(unit)?.trim_end(), factor)));
        let (number, factor) = found.unwrap_or((&lower, 1));
        let digits = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let value = number.parse::<f64>().ok().filter(|value| digits && value.is_finite());
        // Beyond this the number of bytes is none that a machine has, and 64-bit floats are no longer exact.
        let bytes = value.map(|value| value * factor as f64).filter(|bytes| *bytes < 2_f64.powi(53));
        bytes.map(|bytes| Self(bytes as u64)).ok_or_else(|| NotASize { word: word.to_owned() })
    }
}

impl fmt::Display for ByteSize {
    /// In the largest binary unit of which there is at least one, rounded to a tenth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= factor {
                return write!(f, "{:.1} {unit}", self.0 as f64 / factor as f64);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (word, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1GiB", 1 << 30),
            ("1.5g", 3 << 29),
            ("800 MB", 800_000_000),
            ("64mib", 64 << 20),
            ("12b", 12),
        ] {
            assert_eq!(word.parse(), Ok(ByteSize(bytes)), "{word}");
        }
        for word in ["", "GiB", "-1", "1e9", "1.2.3", "inf", "nan", "9999999999TB", "1 G i B"] {
            assert!(word.parse::<ByteSize>().is_err(), "{word}");
        }
    }

    #[test]
    fn sizes_are_written_short() {
        assert_eq!(ByteSize(1 << 30).to_string(), "1.0 GiB");
        assert_eq!(ByteSize(103_600 << 10).to_string(), "101.2 MiB");
        assert_eq!(ByteSize(12).to_string(), "12 bytes");
    }
}
