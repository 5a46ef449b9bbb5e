//! Bars with confidence intervals: gains, or the same measure for several groups side by side.

use std::fmt::Write;

use super::chart::{Field, WIDTH, looks, nothing, numbers, open, svg, x_axis};
use super::scale::{Scale, Ticks, extent, is_drawable, rounded};
use super::table::{Cell, Column, Kind};
use super::text::{DASH, escaped, number, shortened, signed};

const ROW: f64 = 22.0;
const GROUP_HEAD: f64 = 24.0;
const TOP: f64 = 8.0;
const BELOW: f64 = 46.0;
/// Room for a number behind the longest bar.
const NUMBER: f64 = 62.0;
/// Letters of a name that fit before the bars.
const NAME: usize = 20;

/// Bars of several series in several groups. With one series, the groups are the bars.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bars {
    pub(crate) heading: String,
    pub(crate) note: String,
    /// What the bars measure.
    pub(crate) axis: String,
    pub(crate) decimals: usize,
    /// Whether the values are differences, written with their sign.
    pub(crate) signed: bool,
    pub(crate) series: Vec<String>,
    pub(crate) groups: Vec<Group>,
}

/// The bars that belong together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// One for each series.
    pub(crate) bars: Vec<Estimate>,
}

/// A value and how sure it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    /// What is not finite is shown as a dash.
    pub(crate) value: f64,
    /// The confidence interval.
    pub(crate) interval: Option<(f64, f64)>,
}

impl Estimate {
    fn sound_interval(&self) -> Option<(f64, f64)> {
        self.interval.filter(|&(low, high)| is_drawable(low) && is_drawable(high))
    }
}

impl Bars {
    fn written(&self, value: f64) -> String {
        if self.signed { signed(value, self.decimals) } else { number(value, self.decimals) }
    }

    fn said(&self, estimate: &Estimate) -> String {
        let value = self.written(estimate.value);
        estimate.sound_interval().map_or(value.clone(), |(low, high)| {
            format!("{value}, interval {} to {}", self.written(low), self.written(high))
        })
    }
}

/// Draws the section of bars.
pub(super) fn section(id: &str, bars: &Bars) -> String {
    let mut out = open(id, "panel", &bars.heading, &bars.note);
    let estimates = || bars.groups.iter().flat_map(|group| group.bars.iter().take(bars.series.len()));
    let ends = estimates().flat_map(|one| {
        let (low, high) = one.sound_interval().unwrap_or((one.value, one.value));
        [one.value, low, high]
    });
    let Some((low, high)) = extent(ends) else {
        return nothing(out, "There is no value to draw.");
    };
    let range = rounded((low.min(0.0), high.max(0.0)), 5);
    let grouped = bars.series.len() > 1;
    let names: Vec<&str> = bars.series.iter().map(String::as_str).collect();
    let looks = looks(&names);
    let labels: Vec<&str> =
        if grouped { names.clone() } else { bars.groups.iter().map(|group| group.name.as_str()).collect() };
    let longest = labels.iter().map(|label| label.chars().count().min(NAME)).max().unwrap_or(0);
    let left = (8.0 * longest as f64 + 12.0).max(40.0);
    let rows = bars.groups.len() * bars.series.len();
    let heads = if grouped { GROUP_HEAD * bars.groups.len() as f64 } else { 0.0 };
    let field = Field { left, right: WIDTH - NUMBER, top: TOP, bottom: TOP + heads + ROW * rows as f64 + 6.0 };
    let x = Scale::linear(range, (field.left, field.right));

    let mut body = String::new();
    let ticks = Ticks::within(range, 5);
    for &value in &ticks.values {
        let _ =
            writeln!(body, "<path class=\"grid\" d=\"M{:.1} {:.1}V{:.1}\"/>", x.place(value), field.top, field.bottom);
    }
    let marks: Vec<_> = ticks.values.iter().map(|&value| (x.place(value), ticks.label(value))).collect();
    x_axis(&mut body, field, &marks, &bars.axis);
    let mut top = field.top;
    for group in &bars.groups {
        if grouped {
            let _ =
                writeln!(body, "<text class=\"group\" x=\"2\" y=\"{:.1}\">{}</text>", top + 17.0, escaped(&group.name));
            top += GROUP_HEAD;
        }
        let first = top;
        for (place, look) in looks.iter().enumerate() {
            let name = if grouped { names[place] } else { &group.name };
            let missing = Estimate { value: f64::NAN, interval: None };
            bar(&mut body, bars, (name, *look), group.bars.get(place).unwrap_or(&missing), (&x, field.left, top));
            top += ROW;
        }
        let _ = writeln!(body, "<path class=\"zero\" d=\"M{:.1} {first:.1}V{top:.1}\"/>", x.place(0.0));
    }
    let drawing = svg(id, field.bottom + BELOW, &bars.heading, &sentence(bars), &body);
    let _ = write!(out, "<figure>{drawing}</figure>\n{}</section>\n", table(bars));
    out
}

fn bar(
    body: &mut String,
    bars: &Bars,
    (name, look): (&str, usize),
    estimate: &Estimate,
    (x, left, top): (&Scale, f64, f64),
) {
    let middle = top + ROW / 2.0;
    let _ = write!(
        body,
        "<g class=\"point\"><title>{}: {}</title>\
         <rect class=\"hit\" x=\"0\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{ROW}\"/>\
         <text class=\"name end\" x=\"{:.1}\" y=\"{middle:.1}\" dy=\".35em\">{}</text>",
        escaped(name),
        bars.said(estimate),
        left - 8.0,
        escaped(&shortened(name, NAME))
    );
    if !is_drawable(estimate.value) {
        let _ = writeln!(
            body,
            "<text class=\"value\" x=\"{:.1}\" y=\"{middle:.1}\" dy=\".35em\">{DASH}</text></g>",
            x.place(0.0) + 6.0
        );
        return;
    }
    let (zero, end) = (x.place(0.0), x.place(estimate.value));
    let _ = write!(
        body,
        "<rect class=\"bar c{look}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\"/>",
        zero.min(end),
        middle - 7.0,
        (end - zero).abs()
    );
    let mut behind = zero.max(end);
    if let Some((low, high)) = estimate.sound_interval() {
        let (from, to) = (x.place(low), x.place(high));
        let _ = write!(
            body,
            "<path class=\"whisker\" d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {0:.1}v8M{to:.1} {0:.1}v8\"/>",
            middle - 4.0
        );
        behind = behind.max(to);
    }
    let _ = writeln!(
        body,
        "<text class=\"value\" x=\"{:.1}\" y=\"{middle:.1}\" dy=\".35em\">{}</text></g>",
        behind + 6.0,
        bars.written(estimate.value)
    );
}

fn sentence(bars: &Bars) -> String {
    let mut text = format!("{}.", bars.axis);
    for group in &bars.groups {
        for (series, estimate) in bars.series.iter().zip(&group.bars) {
            let name = if bars.series.len() > 1 { format!("{}, {series}", group.name) } else { group.name.clone() };
            let _ = write!(text, " {name}: {}.", bars.said(estimate));
        }
    }
    text
}

fn table(bars: &Bars) -> String {
    let kind = if bars.signed { Kind::Signed(bars.decimals) } else { Kind::Number(bars.decimals) };
    let mut columns = vec![Column::new("Group", Kind::Text)];
    columns.extend(bars.series.iter().map(|series| Column::new(series, kind)));
    let rows: Vec<Vec<Cell>> = bars
        .groups
        .iter()
        .map(|group| {
            let cells = group.bars.iter().map(|one| match one.sound_interval() {
                Some((low, high)) => Cell::Within { value: one.value, low, high },
                None => one.value.into(),
            });
            std::iter::once(group.name.as_str().into()).chain(cells).collect()
        })
        .collect();
    numbers(&bars.heading, &columns, &rows)
}
