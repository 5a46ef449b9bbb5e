//! Spans of time as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// A thousand years: longer than anything is kept, short enough for every sum in microseconds.
const MOST_SECONDS: u64 = 1_000 * 366 * 86_400;

/// A span of whole seconds, at least one: `45s`, `30m`, `12h`, `30d`, `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeSpan {
    /// Its length.
    pub seconds: u64,
}

/// Words that are no span.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{0}' is no span of time; write a whole number and s, m, h, d or w, such as 30d, for at most a thousand years"
)]
pub struct NotASpan(String);

impl TimeSpan {
    /// Its length in microseconds.
    pub fn micros(self) -> i64 {
        i64::try_from(self.seconds.min(MOST_SECONDS)).unwrap_or(0) * 1_000_000
    }
}

impl FromStr for TimeSpan {
    type Err = NotASpan;

    fn from_str(words: &str) -> Result<Self, NotASpan> {
        let parse = || {
            let unit = words.chars().last()?;
            let (_, unit_seconds) = UNITS.into_iter().find(|&(name, _)| name == unit)?;
            let digits = &words[..words.len() - 1];
            let count: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            let seconds = count.checked_mul(unit_seconds)?;
            (1..=MOST_SECONDS).contains(&seconds).then_some(Self { seconds })
        };
        parse().ok_or_else(|| NotASpan(words.to_owned()))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&(_, seconds): &(char, u64)| self.seconds.is_multiple_of(seconds);
        let (name, seconds) = UNITS.into_iter().find(fits).unwrap_or(('s', 1));
        write!(f, "{}{name}", self.seconds / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        for (words, seconds) in [("1s", 1), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)] {
            assert_eq!(words.parse(), Ok(TimeSpan { seconds }), "{words}");
        }
        for words in ["", "d", "0d", "-1d", "+1d", "1.5d", "30", "30 d", "1y", "99999999999999w", "400000w", "3é"] {
            assert!(words.parse::<TimeSpan>().is_err(), "{words}");
        }
        for words in ["45s", "90m", "13h", "30d", "2w"] {
            assert_eq!(words.parse::<TimeSpan>().unwrap().to_string(), words);
        }
        assert_eq!("24h".parse::<TimeSpan>().unwrap().to_string(), "1d");
        assert_eq!(TimeSpan { seconds: u64::MAX }.micros(), MOST_SECONDS as i64 * 1_000_000);
    }
}
