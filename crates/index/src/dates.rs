//! Moments as texts, for whoever writes or reads them beside an index.

use std::time::SystemTime;

use crate::fields::{Moment, written};
use crate::policy::micros_of;

/// A moment of the clock, in UTC, to the second: `2026-05-17T10:00:00Z`, or the day alone at its first moment.
pub fn of_clock(clock: SystemTime) -> String {
    written(micros_of(clock).div_euclid(1_000_000) * 1_000_000)
}

/// A moment in microseconds since 1970, as it is written.
pub fn of_micros(micros: i64) -> String {
    written(micros)
}

/// The first microsecond since 1970 of a day or a moment; none for what is neither.
pub fn micros(text: &str) -> Option<i64> {
    Moment::parse(text).map(|moment| moment.start)
}
