//! What changed between two runs, query by query.

use std::fmt::Write;

use super::chart::{Field, WIDTH, nothing, numbers, open, room_for, svg, y_axis};
use super::scale::{Scale, Ticks, extent, is_drawable, rounded};
use super::table::{Cell, Column, Kind};
use super::text::{counted, escaped, number, p_value, shortened, signed};

const HEIGHT: f64 = 330.0;
const FIELD: Field = Field { left: 40.0, right: WIDTH - 8.0, top: 30.0, bottom: HEIGHT - 10.0 };
/// Bars beyond this would be thinner than a point of the screen; neighbours are then drawn as one, by their mean.
const MOST_BARS: usize = 600;
/// Closer than this, rounding decides which is larger.
const EQUAL: f64 = 1e-9;
/// Differences up to this are zero with three decimals.
const SHOWN: f64 = 0.0005;
/// Queries that are named for each side.
const NAMED: usize = 4;
/// Letters of a query in a tooltip.
const TOOLTIP: usize = 160;

/// The differences of a measure between two runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deltas {
    pub(crate) heading: String,
    pub(crate) note: String,
    /// The measure, for instance "nDCG@10".
    pub(crate) measure: String,
    pub(crate) baseline: String,
    pub(crate) candidate: String,
    /// In any order. Those without a finite value in both runs are counted and left out.
    pub(crate) queries: Vec<QueryDelta>,
    /// The confidence interval of the mean difference.
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) p_value: Option<f64>,
}

/// One query in both runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryDelta {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) baseline: f64,
    pub(crate) candidate: f64,
}

impl QueryDelta {
    fn delta(&self) -> f64 {
        self.candidate - self.baseline
    }

    /// Its text, or its id where there is none.
    fn name(&self) -> &str {
        if self.text.trim().is_empty() { &self.id } else { &self.text }
    }
}

/// How many queries became better, stayed, or became worse, and by how much on the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Summary {
    better: usize,
    equal: usize,
    worse: usize,
    mean: f64,
}

impl Summary {
    fn of(queries: &[&QueryDelta]) -> Self {
        let better = queries.iter().filter(|query| query.delta() > EQUAL).count();
        let worse = queries.iter().filter(|query| query.delta() < -EQUAL).count();
        let mean = queries.iter().map(|query| query.delta()).sum::<f64>() / queries.len().max(1) as f64;
        Self { better, equal: queries.len() - better - worse, worse, mean }
    }
}

/// Draws the section of differences.
pub(super) fn section(id: &str, deltas: &Deltas) -> String {
    let mut out = open(id, "panel wide", &deltas.heading, &deltas.note);
    let mut queries: Vec<&QueryDelta> =
        deltas.queries.iter().filter(|query| is_drawable(query.baseline) && is_drawable(query.candidate)).collect();
    let left_out = deltas.queries.len() - queries.len();
    if queries.is_empty() {
        return nothing(out, "There is no query with a value in both runs.");
    }
    queries.sort_by(|a, b| b.delta().total_cmp(&a.delta()).then_with(|| a.id.cmp(&b.id)));
    let summary = Summary::of(&queries);
    let shares: Vec<&[&QueryDelta]> = queries.chunks(queries.len().div_ceil(MOST_BARS)).collect();
    let interval = deltas.interval.filter(|&(low, high)| is_drawable(low) && is_drawable(high));

    let drawing =
        svg(id, HEIGHT, &deltas.heading, &sentence(deltas, &summary), &body(deltas, &shares, summary.mean, interval));
    let per_bar = match shares[0].len() {
        1 => "Each bar is one query".to_owned(),
        several => format!("Each bar is the mean of {several} queries that are next to each other"),
    };
    let _ = write!(
        out,
        "<div class=\"beside\"><figure>{drawing}<figcaption>Above zero <bdi>{}</bdi> is better, below it \
         <bdi>{}</bdi>. {per_bar}, the largest gain \
         first.</figcaption></figure>\n\
         <div class=\"findings\">{}{}{}</div></div>\n{}</section>\n",
        escaped(&deltas.candidate),
        escaped(&deltas.baseline),
        tally(deltas, &summary, interval, left_out),
        extremes("Gained most", queries.iter().copied().take(NAMED).filter(|query| query.delta() > SHOWN)),
        extremes("Lost most", queries.iter().rev().copied().take(NAMED).filter(|query| query.delta() < -SHOWN)),
        table(deltas, &shares)
    );
    out
}

fn body(deltas: &Deltas, shares: &[&[&QueryDelta]], mean: f64, interval: Option<(f64, f64)>) -> String {
    let means: Vec<f64> = shares.iter().map(|share| Summary::of(share).mean).collect();
    let (low, high) =
        extent(means.iter().copied().chain([0.0]).chain(interval.into_iter().flat_map(|(low, high)| [low, high])))
            .unwrap_or((0.0, 0.0));
    let range = if high - low < EQUAL { (-1.0, 1.0) } else { rounded((low, high), 4) };
    let y = Scale::linear(range, (FIELD.bottom, FIELD.top));
    let zero = y.place(0.0);
    let ticks = Ticks::within(range, 4);
    let field = Field { left: room_for(ticks.labels()), ..FIELD };
    let step = (field.right - field.left) / shares.len() as f64;
    // Thin bars overlap a little, or the page would shine through between them.
    let wide = if step > 4.0 { (step - 1.0).min(40.0) } else { step + 0.3 };

    let mut body = String::new();
    let title = format!("difference of {}", deltas.measure);
    y_axis(&mut body, field, &y, &ticks, &title);
    for (place, (share, mean)) in shares.iter().zip(&means).enumerate() {
        let x = field.left + place as f64 * step;
        let end = y.place(*mean);
        let side = if *mean < 0.0 { "worse" } else { "better" };
        let _ = write!(
            body,
            "<g class=\"point\"><title>{}</title>\
             <rect class=\"hit\" x=\"{x:.2}\" y=\"{:.1}\" width=\"{step:.2}\" height=\"{:.1}\"/>",
            escaped(&said(share, *mean)),
            field.top,
            field.bottom - field.top
        );
        if mean.abs() > EQUAL {
            let _ = write!(
                body,
                "<rect class=\"{side}\" x=\"{:.2}\" y=\"{:.1}\" width=\"{wide:.2}\" height=\"{:.1}\"/>",
                x + (step - wide) / 2.0,
                zero.min(end),
                (end - zero).abs().max(0.5)
            );
        }
        body.push_str("</g>\n");
    }
    let _ = writeln!(body, "<path class=\"zero\" d=\"M{:.1} {zero:.1}H{:.1}\"/>", field.left, field.right);
    if let Some((low, high)) = interval {
        let (top, bottom) = (y.place(high.max(low)), y.place(low.min(high)));
        let _ = writeln!(
            body,
            "<rect class=\"band\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            field.left,
            field.right - field.left,
            bottom - top
        );
    }
    // Losses are at the right and gains at the left: the name of the mean stands where there are no bars, and beyond the
    // interval where there is room.
    let at = y.place(mean);
    let (x, class) = if mean < 0.0 { (field.left + 4.0, "") } else { (field.right - 2.0, " end") };
    let (top, bottom) = interval.map_or((at, at), |(low, high)| (at.min(y.place(high)), at.max(y.place(low))));
    let above = if mean < 0.0 { bottom + 18.0 > field.bottom } else { top - 18.0 > field.top };
    let (edge, lift) = if above { (top, "-.6em") } else { (bottom, "1.3em") };
    let _ = writeln!(
        body,
        "<path class=\"mean\" d=\"M{:.1} {at:.1}H{:.1}\"/>\
         <text class=\"value{class}\" x=\"{x:.1}\" y=\"{edge:.1}\" dy=\"{lift}\">mean {}</text>",
        field.left,
        field.right,
        signed(mean, 4)
    );
    body
}

fn said(share: &[&QueryDelta], mean: f64) -> String {
    if let [query] = share {
        return format!(
            "{}\n{} → {} ({})",
            shortened(query.name(), TOOLTIP),
            number(query.baseline, 3),
            number(query.candidate, 3),
            signed(query.delta(), 3)
        );
    }
    let count = counted(share.len(), "query", "queries");
    let first = share.first().map_or("", |query| query.name());
    format!("{count}, mean {}\nfirst: {}", signed(mean, 3), shortened(first, TOOLTIP))
}

/// Counts and the mean, for the eye and in words.
fn tally(deltas: &Deltas, summary: &Summary, interval: Option<(f64, f64)>, left_out: usize) -> String {
    let mut out = String::from("<div class=\"split\" aria-hidden=\"true\">");
    let parts = [("better", summary.better), ("equal", summary.equal), ("worse", summary.worse)];
    for (side, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
        let _ = write!(out, "<i class=\"{side}\" style=\"flex-grow:{count}\"></i>");
    }
    out.push_str("</div>\n<dl class=\"tally\">");
    for (side, count) in parts {
        let _ = write!(out, "<div><dt><i class=\"{side}\"></i>{side}</dt><dd>{}</dd></div>", number(count as f64, 0));
    }
    let _ = write!(out, "</dl>\n<p>Mean difference of {} <b>{}</b>", escaped(&deltas.measure), signed(summary.mean, 4));
    if let Some((low, high)) = interval {
        let _ = write!(out, ", interval {} to {}", signed(low, 4), signed(high, 4));
    }
    if let Some(p) = deltas.p_value.filter(|p| p.is_finite()) {
        let _ = write!(out, ", p {}{}", if p < 0.001 { "" } else { "= " }, escaped(&p_value(p)));
    }
    out.push_str(".</p>\n");
    if left_out > 0 {
        let verb = if left_out == 1 { "has" } else { "have" };
        let _ = writeln!(
            out,
            "<p class=\"note\">{} {verb} no value in one of the runs.</p>",
            counted(left_out, "query", "queries")
        );
    }
    out
}

fn extremes<'a>(heading: &str, queries: impl Iterator<Item = &'a QueryDelta>) -> String {
    let mut items = String::new();
    for query in queries {
        let _ = writeln!(
            items,
            "<li><span dir=\"auto\">{}</span><b>{}</b></li>",
            escaped(&shortened(query.name(), TOOLTIP)),
            signed(query.delta(), 3)
        );
    }
    if items.is_empty() { items } else { format!("<h3>{heading}</h3>\n<ol class=\"extremes\">\n{items}</ol>\n") }
}

fn sentence(deltas: &Deltas, summary: &Summary) -> String {
    format!(
        "{} of {} against {}: {} better, {} equal, {} worse, mean difference {}.",
        deltas.measure,
        deltas.candidate,
        deltas.baseline,
        summary.better,
        summary.equal,
        summary.worse,
        signed(summary.mean, 4)
    )
}

/// The bars in numbers.
fn table(deltas: &Deltas, shares: &[&[&QueryDelta]]) -> String {
    let each = shares.iter().all(|share| share.len() == 1);
    let mut columns = vec![
        Column::new(if each { "Query" } else { "First query" }, Kind::Text),
        Column::new(&deltas.baseline, Kind::Number(3)),
        Column::new(&deltas.candidate, Kind::Number(3)),
        Column::new("Difference", Kind::Signed(3)),
    ];
    if !each {
        columns.push(Column::new("Queries", Kind::Number(0)));
    }
    let rows: Vec<Vec<Cell>> = shares
        .iter()
        .map(|share| {
            let mean =
                |of: fn(&QueryDelta) -> f64| share.iter().map(|query| of(query)).sum::<f64>() / share.len() as f64;
            vec![
                shortened(share[0].name(), TOOLTIP).into(),
                mean(|query| query.baseline).into(),
                mean(|query| query.candidate).into(),
                mean(QueryDelta::delta).into(),
                share.len().into(),
            ]
        })
        .collect();
    numbers(&deltas.heading, &columns, &rows)
}
