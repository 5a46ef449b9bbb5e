//! Curves: precision over recall, quality over size.

use std::fmt::Write;

use super::chart::{Field, WIDTH, key, looks, nothing, numbers, open, room_for, shape, svg, x_axis, y_axis};
use super::scale::{Scale, Ticks, extent, is_drawable, is_range, rounded};
use super::table::{Cell, Column, Kind};
use super::text::{counted, escaped, number};

const HEIGHT: f64 = 296.0;
const FIELD: Field = Field { left: 40.0, right: WIDTH - 14.0, top: 32.0, bottom: HEIGHT - 42.0 };
/// Values of x that are named as they are on a logarithmic axis; with more there are powers of ten.
const NAMED_POINTS: usize = 10;
/// Above so many points, a curve has no shapes on it.
const SHAPED_POINTS: usize = 40;

/// Several curves over one axis.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    pub(crate) heading: String,
    pub(crate) note: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Up to six look different from each other.
    pub(crate) series: Vec<Series>,
}

/// What an axis measures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Axis {
    pub(crate) title: String,
    /// The ends of the axis; without them, what the points need.
    pub(crate) range: Option<(f64, f64)>,
    /// Whether equal ratios are equally far apart; heard on the x axis only. Points at or below zero are then left out.
    pub(crate) log: bool,
    /// Decimals of the numbers in tooltips and in the table.
    pub(crate) decimals: usize,
}

/// One curve.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// In the order in which they are joined. One that is not finite leaves a gap.
    pub(crate) points: Vec<Point>,
}

/// One point of a curve.
#[derive(Debug, Clone, Default)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// What else is known of it; empty for nothing.
    pub(crate) note: String,
}

impl Lines {
    fn shows(&self, point: &Point) -> bool {
        is_drawable(point.x) && is_drawable(point.y) && !(self.x.log && point.x <= 0.0)
    }

    fn drawable(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point))
    }
}

/// Draws the section of curves.
pub(super) fn section(id: &str, lines: &Lines) -> String {
    let mut out = open(id, "panel", &lines.heading, &lines.note);
    let wide = extent(lines.drawable().map(|point| point.x));
    let high = extent(lines.drawable().map(|point| point.y));
    let (Some(wide), Some(high)) = (wide, high) else {
        return nothing(out, "There is no point to draw.");
    };
    let names: Vec<&str> = lines.series.iter().map(|series| series.name.as_str()).collect();
    let looks = looks(&names);

    let mut body = String::new();
    let range = sound(lines.y.range, false).unwrap_or_else(|| rounded(high, 5));
    let y = Scale::linear(range, (FIELD.bottom, FIELD.top));
    let ticks = Ticks::within(range, 5);
    let field = Field { left: room_for(ticks.labels()), ..FIELD };
    y_axis(&mut body, field, &y, &ticks, &lines.y.title);
    let (x, marks) = x_marks(lines, wide, field);
    x_axis(&mut body, field, &marks, &lines.x.title);
    for (series, look) in lines.series.iter().zip(&looks) {
        curve(&mut body, lines, series, *look, &x, &y);
    }

    let sentence = sentence(lines);
    let _ = write!(
        out,
        "<figure>{}{}</figure>\n{}</section>\n",
        svg(id, HEIGHT, &lines.heading, &sentence, &body),
        key(&names, &looks),
        table(lines)
    );
    out
}

/// Ends that an axis can have.
fn sound(range: Option<(f64, f64)>, log: bool) -> Option<(f64, f64)> {
    range.filter(|&ends| is_range(ends) && !(log && ends.0 <= 0.0))
}

fn x_marks(lines: &Lines, wide: (f64, f64), field: Field) -> (Scale, Vec<(f64, String)>) {
    let places = (field.left, field.right);
    if !lines.x.log {
        let range = sound(lines.x.range, false).unwrap_or_else(|| rounded(wide, 6));
        let (scale, ticks) = (Scale::linear(range, places), Ticks::within(range, 6));
        let marks = ticks.values.iter().map(|&value| (scale.place(value), ticks.label(value))).collect();
        return (scale, marks);
    }
    let range = sound(lines.x.range, true).unwrap_or(if is_range(wide) { wide } else { (wide.0 / 2.0, wide.1 * 2.0) });
    let scale = Scale::log(range, places);
    let mut values: Vec<f64> = lines.drawable().map(|point| point.x).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if values.len() > NAMED_POINTS {
        let powers = range.0.log10().ceil() as i32..=range.1.log10().floor() as i32;
        values = powers.map(|power| 10_f64.powi(power)).collect();
    }
    // From the right, so that the largest size keeps its name where two would touch.
    let mut marks: Vec<(f64, String)> = Vec::new();
    for value in values.into_iter().rev() {
        let x = scale.place(value);
        if marks.last().is_none_or(|(last, _)| last - x >= 34.0) {
            marks.push((x, number(value, lines.x.decimals)));
        }
    }
    (scale, marks)
}

fn curve(body: &mut String, lines: &Lines, series: &Series, look: usize, x: &Scale, y: &Scale) {
    let mut path = String::new();
    let mut joined = false;
    for point in &series.points {
        let shown = lines.shows(point);
        if shown {
            let _ = write!(path, "{}{:.1} {:.1}", if joined { 'L' } else { 'M' }, x.place(point.x), y.place(point.y));
        }
        joined = shown;
    }
    if path.is_empty() {
        return;
    }
    let _ = writeln!(body, "<path class=\"line c{look}\" d=\"{path}\"/>");
    let shaped = series.points.len() <= SHAPED_POINTS;
    for point in series.points.iter().filter(|point| lines.shows(point)) {
        let (at_x, at_y) = (x.place(point.x), y.place(point.y));
        let _ = write!(body, "<g class=\"point\"><title>{}</title>", escaped(&said(lines, series, point)));
        let _ = write!(body, "<circle class=\"hit\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"8\"/>");
        if shaped {
            let _ = write!(body, "<path class=\"shape c{look}\" d=\"{}\"/>", shape(look, at_x, at_y));
        }
        body.push_str("</g>\n");
    }
}

fn said(lines: &Lines, series: &Series, point: &Point) -> String {
    let mut text = format!(
        "{}: {} {}, {} {}",
        series.name,
        lines.x.title,
        number(point.x, lines.x.decimals),
        lines.y.title,
        number(point.y, lines.y.decimals)
    );
    if !point.note.is_empty() {
        let _ = write!(text, " ({})", point.note);
    }
    text
}

/// Says in words what the curves show: where each begins and ends.
fn sentence(lines: &Lines) -> String {
    let mut text =
        format!("{} over {}, {}.", lines.y.title, lines.x.title, counted(lines.series.len(), "curve", "curves"));
    for series in &lines.series {
        let mut shown = series.points.iter().filter(|point| lines.shows(point));
        let Some(first) = shown.next() else { continue };
        let last = shown.next_back().unwrap_or(first);
        let _ = write!(
            text,
            " {}: {} at {}, {} at {}.",
            series.name,
            number(first.y, lines.y.decimals),
            number(first.x, lines.x.decimals),
            number(last.y, lines.y.decimals),
            number(last.x, lines.x.decimals)
        );
    }
    text
}

/// A column for each curve where all have the same places, else a row for each point.
fn table(lines: &Lines) -> String {
    let places = |series: &Series| series.points.iter().map(|point| point.x.to_bits()).collect::<Vec<_>>();
    let x = Column::new(&lines.x.title, Kind::Number(lines.x.decimals));
    let y = |name: &str| Column::new(name, Kind::Number(lines.y.decimals));
    let mut columns = Vec::new();
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    if lines.series.windows(2).all(|pair| places(&pair[0]) == places(&pair[1])) {
        columns.push(x);
        columns.extend(lines.series.iter().map(|series| y(&series.name)));
        for (place, first) in lines.series[0].points.iter().enumerate() {
            let values = lines.series.iter().map(|series| series.points[place].y.into());
            rows.push(std::iter::once(first.x.into()).chain(values).collect());
        }
    } else {
        columns.extend([Column::new("Series", Kind::Text), x, y(&lines.y.title)]);
        for series in &lines.series {
            rows.extend(
                series.points.iter().map(|point| vec![series.name.as_str().into(), point.x.into(), point.y.into()]),
            );
        }
    }
    numbers(&lines.heading, &columns, &rows)
}
