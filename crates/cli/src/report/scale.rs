//! From values to places on an axis, and where an axis has its marks.

use super::text::number;

/// Beyond this nothing is drawn: places on an axis would lose their meaning in rounding.
const LARGEST: f64 = 1e12;

/// Whether a value has a place on some axis.
pub(super) fn is_drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// Whether two values are far enough apart to be the ends of an axis.
pub(super) fn is_range((low, high): (f64, f64)) -> bool {
    let apart = high - low;
    is_drawable(low) && is_drawable(high) && apart > 1e-12 && apart > 1e-9 * low.abs().max(high.abs())
}

/// Maps `low..=high` onto `from..=to`, in units of the drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// `low` has to be below `high`.
    pub(super) fn linear((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        debug_assert!(low < high);
        Self { low, high, from, to, log: false }
    }

    /// `low` has to be above zero and below `high`.
    pub(super) fn log((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        debug_assert!(0.0 < low && low < high);
        Self { low, high, from, to, log: true }
    }

    /// The place of a value; values outside lie on the nearer end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high, value) = if self.log {
            (self.low.ln(), self.high.ln(), value.max(self.low).ln())
        } else {
            (self.low, self.high, value)
        };
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }
}

/// The least and the largest of the values that can be drawn.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| is_drawable(*value)).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// Marks of an axis, a step of 1, 2 or 5 times a power of ten apart, and how many decimals tell them apart.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    pub(super) values: Vec<f64>,
    decimals: usize,
}

impl Ticks {
    /// Marks within `low..=high`, about `wanted` of them.
    pub(super) fn within((low, high): (f64, f64), wanted: usize) -> Self {
        let step = nice_step((high - low) / wanted.max(1) as f64);
        let first = (low / step - 1e-6).ceil() as i64;
        let last = (high / step + 1e-6).floor() as i64;
        let values = (first..=last).map(|place| place as f64 * step).collect();
        Self { values, decimals: (-(step.log10() + 1e-9).floor()).max(0.0) as usize }
    }

    /// All marks as they are written.
    pub(super) fn labels(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|&value| self.label(value))
    }

    /// How a mark is written.
    pub(super) fn label(&self, value: f64) -> String {
        number(value, self.decimals)
    }
}

/// Widens a range to whole steps of about `wanted` marks; a range of one value gets room on both sides.
pub(super) fn rounded((low, high): (f64, f64), wanted: usize) -> (f64, f64) {
    let (low, high) = if is_range((low, high)) {
        (low, high)
    } else {
        let room = if low.abs() < 1e-9 { 1.0 } else { low.abs() / 10.0 };
        (low - room, high + room)
    };
    let step = nice_step((high - low) / wanted.max(1) as f64);
    ((low / step + 1e-6).floor() * step, (high / step - 1e-6).ceil() * step)
}

fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}
