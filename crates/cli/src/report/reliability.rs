//! Calibration: whether what was said to be likely came true as often as was said.

use std::fmt::Write;

use super::chart::{Field, WIDTH, nothing, numbers, open, room_for, svg, x_axis, y_axis};
use super::scale::{Scale, Ticks};
use super::table::{Cell, Column, Kind};
use super::text::{counted, escaped, number};

const HEIGHT: f64 = 376.0;
const RIGHT: f64 = WIDTH - 14.0;

/// A calibration plot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reliability {
    pub(crate) heading: String,
    pub(crate) note: String,
    /// What is predicted, for instance "probability of relevance".
    pub(crate) predicted: String,
    /// What is observed, for instance "share of relevant hits".
    pub(crate) observed: String,
    pub(crate) bins: Vec<Bin>,
}

/// The cases of about the same prediction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bin {
    /// The mean prediction, from 0 to 1.
    pub(crate) predicted: f64,
    /// The share that came true, from 0 to 1.
    pub(crate) observed: f64,
    pub(crate) count: usize,
}

impl Bin {
    fn is_sound(&self) -> bool {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        self.count > 0 && share(self.predicted) && share(self.observed)
    }
}

/// Expected calibration error: the mean distance of observed from predicted over all cases (Naeini and others, 2015).
/// Bins that are empty or not between 0 and 1 do not count; `None` when none is left.
pub(super) fn calibration_error(bins: &[Bin]) -> Option<f64> {
    let sound = || bins.iter().filter(|bin| bin.is_sound());
    let cases: f64 = sound().map(|bin| bin.count as f64).sum();
    let distance: f64 = sound().map(|bin| bin.count as f64 * (bin.observed - bin.predicted).abs()).sum();
    (cases > 0.0).then(|| distance / cases)
}

/// Draws the section of a calibration plot.
pub(super) fn section(id: &str, plot: &Reliability) -> String {
    let mut out = open(id, "panel", &plot.heading, &plot.note);
    let Some(error) = calibration_error(&plot.bins) else {
        return nothing(out, "There is no bin with cases.");
    };
    let bins: Vec<&Bin> = plot.bins.iter().filter(|bin| bin.is_sound()).collect();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1);
    let cases: usize = bins.iter().map(|bin| bin.count).sum();
    let ticks = Ticks::within((0.0, 1.0), 5);
    let left = room_for(ticks.labels().chain([number(most as f64, 0)]));
    let field = Field { left, right: RIGHT, top: 32.0, bottom: 262.0 };
    let counts = Field { left, right: RIGHT, top: 276.0, bottom: HEIGHT - 42.0 };
    let x = Scale::linear((0.0, 1.0), (field.left, field.right));
    let y = Scale::linear((0.0, 1.0), (field.bottom, field.top));
    let tall = Scale::linear((0.0, most as f64), (counts.bottom, counts.top));

    let mut body = String::new();
    y_axis(&mut body, field, &y, &ticks, &plot.observed);
    let marks: Vec<_> = ticks.values.iter().map(|&value| (x.place(value), ticks.label(value))).collect();
    x_axis(&mut body, counts, &marks, &plot.predicted);
    let _ = writeln!(
        body,
        "<path class=\"diagonal\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\
         <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\" dy=\".35em\">{}</text>",
        field.left,
        field.bottom,
        field.right,
        field.top,
        counts.left - 6.0,
        counts.top + 2.0,
        number(most as f64, 0)
    );
    let mut path = String::new();
    for (place, bin) in bins.iter().enumerate() {
        let (at_x, at_y) = (x.place(bin.predicted), y.place(bin.observed));
        let _ = write!(path, "{}{at_x:.1} {at_y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    let _ = writeln!(body, "<path class=\"line accent\" d=\"{path}\"/>");
    let wide = (0.7 * (field.right - field.left) / plot.bins.len().max(4) as f64).max(2.0);
    for bin in bins {
        let (at_x, at_y) = (x.place(bin.predicted), y.place(bin.observed));
        let said = format!(
            "predicted {}, observed {}, {}",
            number(bin.predicted, 3),
            number(bin.observed, 3),
            counted(bin.count, "case", "cases")
        );
        let from = (at_x - wide / 2.0).clamp(counts.left, counts.right - wide);
        let top = tall.place(bin.count as f64).min(counts.bottom - 1.0);
        let _ = writeln!(
            body,
            "<g class=\"point\"><title>{said}</title><path class=\"gap\" d=\"M{at_x:.1} {at_y:.1}V{:.1}\"/>\
             <circle class=\"hit\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"9\"/>\
             <circle class=\"dot\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"4.5\"/>\
             <rect class=\"count-bar\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{:.1}\"/></g>",
            y.place(bin.predicted),
            counts.bottom - top
        );
    }

    let error = number(error, 3);
    let sentence = format!(
        "{} over {} for {}. The expected calibration error is {error}.",
        plot.observed,
        plot.predicted,
        counted(cases, "case", "cases")
    );
    let _ = write!(
        out,
        "<figure>{}<figcaption>Expected calibration error <b>{error}</b> over {}. On the dashed line all is as often true as \
         predicted; below it the prediction is too sure. The bars count the cases.</figcaption></figure>\n{}</section>\n",
        svg(id, HEIGHT, &plot.heading, &sentence, &body),
        escaped(&counted(cases, "case", "cases")),
        table(plot)
    );
    out
}

fn table(plot: &Reliability) -> String {
    let columns = [
        Column::new("Bin", Kind::Number(0)),
        Column::new(&plot.predicted, Kind::Number(3)),
        Column::new(&plot.observed, Kind::Number(3)),
        Column::new("Cases", Kind::Number(0)),
    ];
    let rows: Vec<Vec<Cell>> = (1_usize..)
        .zip(&plot.bins)
        .map(|(place, bin)| vec![place.into(), bin.predicted.into(), bin.observed.into(), bin.count.into()])
        .collect();
    numbers(&plot.heading, &columns, &rows)
}
