//! Where a model runs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Where a model runs. Numbers count the machine's GPUs from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU through CUDA.
    Cuda(u32),
    /// A GPU through TensorRT.
    TensorRt(u32),
    /// A GPU where one can serve, else the processor.
    Auto,
}

/// A word that names no device.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("device '{word}' is not known; use cpu, cuda, cuda:N, tensorrt, tensorrt:N or auto")]
pub struct UnknownDevice {
    /// As typed.
    pub word: String,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::TensorRt(number) => write!(f, "tensorrt:{number}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(word: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice { word: word.to_owned() };
        let (kind, number) = match word.split_once(':') {
            Some((kind, number)) => {
                // `parse` alone would take a plus sign as well.
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                (kind, Some(if digits { number.parse().map_err(|_| unknown())? } else { return Err(unknown()) }))
            }
            None => (word, None),
        };
        match (kind, number) {
            ("cpu", None) => Ok(Self::Cpu),
            ("auto", None) => Ok(Self::Auto),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("tensorrt", number) => Ok(Self::TensorRt(number.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_to_what_they_name() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3), Device::TensorRt(1), Device::Auto] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert_eq!("tensorrt".parse(), Ok(Device::TensorRt(0)));
    }

    #[test]
    fn other_words_are_refused_by_name() {
        for word in ["", "gpu", "cpu:0", "auto:1", "cuda:", "cuda:+1", "cuda:-1", "cuda:x", "CUDA", "cuda:99999999999"]
        {
            let refusal = word.parse::<Device>().unwrap_err();
            assert!(refusal.to_string().contains("tensorrt:N"), "{refusal}");
        }
    }
}
