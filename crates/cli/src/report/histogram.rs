//! How many things there are of each size: bars beside each other over an axis in powers, with marks at sizes that matter.

use std::fmt::Write;

use super::chart::{Field, WIDTH, nothing, numbers, open, room_for, svg, x_axis, y_axis};
use super::scale::{Scale, Ticks, is_drawable, rounded};
use super::table::{Cell, Column, Kind};
use super::text::{counted, escaped, number, shortened};

/// The last number below the axis reaches beyond the field by half its width.
const RIGHT: f64 = WIDTH - 26.0;
/// Room for the name of the vertical axis; below it stand the names of marks, and then the field.
const HEAD: f64 = 24.0;
const MARK_ROW: f64 = 13.0;
const FIELD_HEIGHT: f64 = 200.0;
const BELOW: f64 = 46.0;
/// Letters of the name of a mark.
const MARK_NAME: usize = 24;
/// Powers of two below the axis, at most.
const MOST_LABELS: usize = 8;

/// A distribution of sizes that span several powers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    pub(crate) heading: String,
    pub(crate) note: String,
    /// What the sizes are, such as "tokens".
    pub(crate) size: String,
    /// What is counted: one, and several of them.
    pub(crate) one: String,
    pub(crate) several: String,
    pub(crate) bins: Vec<SizeBin>,
    pub(crate) marks: Vec<Mark>,
}

/// The things of about the same size.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SizeBin {
    /// The least size, above zero.
    pub(crate) from: f64,
    /// The size that is too much.
    pub(crate) to: f64,
    pub(crate) count: usize,
}

/// A size that matters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mark {
    pub(crate) name: String,
    pub(crate) size: f64,
}

impl SizeBin {
    fn is_sound(&self) -> bool {
        is_drawable(self.from) && is_drawable(self.to) && 0.0 < self.from && self.from < self.to
    }
}

impl Histogram {
    fn said(&self, bin: &SizeBin) -> String {
        let count = counted(bin.count, &self.one, &self.several);
        format!("{} {} to below {}: {count}", self.size, number(bin.from, 0), number(bin.to, 0))
    }
}

/// Draws the section of a distribution.
pub(super) fn section(id: &str, histogram: &Histogram) -> String {
    let mut out = open(id, "panel", &histogram.heading, &histogram.note);
    let bins: Vec<&SizeBin> = histogram.bins.iter().filter(|bin| bin.is_sound()).collect();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    if most == 0 {
        return nothing(out, &format!("There are no {}.", histogram.several));
    }
    let marks: Vec<&Mark> = histogram.marks.iter().filter(|mark| is_drawable(mark.size) && mark.size > 0.0).collect();
    let low = bins.iter().map(|bin| bin.from).fold(f64::INFINITY, f64::min);
    let high = bins.iter().map(|bin| bin.to).fold(0.0, f64::max);
    let (_, tallest) = rounded((0.0, most as f64), 5);
    let ticks = Ticks::within((0.0, tallest), 5);
    let top = HEAD + MARK_ROW * marks.len() as f64 + 8.0;
    let field = Field { left: room_for(ticks.labels()), right: RIGHT, top, bottom: top + FIELD_HEIGHT };
    let x = Scale::log((low, high), (field.left, field.right));
    let y = Scale::linear((0.0, tallest), (field.bottom, field.top));

    let mut body = String::new();
    y_axis(&mut body, Field { top: HEAD, ..field }, &y, &ticks, &histogram.several);
    for bin in bins {
        let (from, to, above) = (x.place(bin.from), x.place(bin.to), y.place(bin.count as f64));
        let _ = writeln!(
            body,
            "<g class=\"point\"><title>{}</title>\
             <rect class=\"hit\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <rect class=\"bar c0\" x=\"{:.1}\" y=\"{above:.1}\" width=\"{:.1}\" height=\"{:.1}\"/></g>",
            escaped(&histogram.said(bin)),
            field.top,
            to - from,
            field.bottom - field.top,
            from + 0.5,
            (to - from - 1.0).max(0.5),
            field.bottom - above
        );
    }
    for (row, mark) in marks.iter().filter(|mark| (low..=high).contains(&mark.size)).enumerate() {
        let (at, above) = (x.place(mark.size), HEAD + MARK_ROW * row as f64);
        // Where there is more room.
        let (class, beside) = if at < f64::midpoint(field.left, field.right) { ("", 4.0) } else { (" end", -4.0) };
        let _ = writeln!(
            body,
            "<path class=\"mean\" d=\"M{at:.1} {above:.1}V{:.1}\"/>\
             <text class=\"value{class}\" x=\"{:.1}\" y=\"{above:.1}\" dy=\".7em\">{}</text>",
            field.bottom,
            at + beside,
            escaped(&shortened(&mark.name, MARK_NAME))
        );
    }
    let labels: Vec<_> = powers(low, high).into_iter().map(|value| (x.place(value), number(value, 0))).collect();
    x_axis(&mut body, field, &labels, &histogram.size);

    let mut sentence = format!("{} by {}.", histogram.several, histogram.size);
    for mark in marks {
        let _ = write!(sentence, " {}: {}.", mark.name, number(mark.size, 0));
    }
    let drawing = svg(id, field.bottom + BELOW, &histogram.heading, &sentence, &body);
    let _ = write!(out, "<figure>{drawing}</figure>\n{}</section>\n", table(histogram));
    out
}

/// Powers of two within `low..=high`, every second or third where there are many.
fn powers(low: f64, high: f64) -> Vec<f64> {
    let all: Vec<f64> = (0..40).map(|power| 2_f64.powi(power)).filter(|value| (low..=high).contains(value)).collect();
    let step = all.len().div_ceil(MOST_LABELS).max(1);
    all.into_iter().step_by(step).collect()
}

fn table(histogram: &Histogram) -> String {
    let columns = [
        Column::new(format!("{} from", histogram.size), Kind::Number(0)),
        Column::new("to below", Kind::Number(0)),
        Column::new(&histogram.several, Kind::Number(0)),
    ];
    let rows: Vec<Vec<Cell>> =
        histogram.bins.iter().map(|bin| vec![bin.from.into(), bin.to.into(), bin.count.into()]).collect();
    numbers(&histogram.heading, &columns, &rows)
}
