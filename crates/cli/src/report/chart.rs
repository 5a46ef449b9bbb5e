//! What all plots share: the drawing with its name, axes, colours and shapes of series, the key, the numbers as a table.

use std::fmt::Write;

use super::scale::{Scale, Ticks};
use super::table::{Column, Row, plain};
use super::text::{escaped, shortened};

/// The width of every drawing in its own units; the page scales it, and sets the size of letters by the room there is.
pub(super) const WIDTH: f64 = 480.0;

/// Letters of the name of an axis that fit into the drawing where letters are largest.
const AXIS_NAME: usize = 48;

/// How many series look different from each other.
const LOOKS: usize = 6;

/// The sides of the field that values are drawn in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// Begins a section with its heading and note.
pub(super) fn open(id: &str, class: &str, heading: &str, note: &str) -> String {
    let mut out = format!(
        "<section class=\"{class}\" id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\" dir=\"auto\">{}</h2>\n",
        escaped(heading)
    );
    if !note.is_empty() {
        let _ = writeln!(out, "<p class=\"note\" dir=\"auto\">{}</p>", escaped(note));
    }
    out
}

/// Says that a section has nothing to show, and ends it.
pub(super) fn nothing(mut out: String, what: &str) -> String {
    let _ = writeln!(out, "<p class=\"nothing\">{}</p>\n</section>", escaped(what));
    out
}

/// A drawing of this height, with a name and a sentence for those who do not see it.
pub(super) fn svg(id: &str, height: f64, name: &str, sentence: &str, body: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
         <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n{body}</svg>\n",
        escaped(name),
        escaped(sentence)
    )
}

/// The room that the longest of the labels at the left takes, where letters are largest.
pub(super) fn room_for(labels: impl IntoIterator<Item = String>) -> f64 {
    let longest = labels.into_iter().map(|label| label.chars().count()).max().unwrap_or(0);
    (8.5 * longest as f64 + 12.0).max(40.0)
}

/// Horizontal lines with their values at the left, and the name of the axis above them.
pub(super) fn y_axis(out: &mut String, field: Field, scale: &Scale, ticks: &Ticks, title: &str) {
    for &value in &ticks.values {
        let y = scale.place(value);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{:.1} {y:.1}H{:.1}\"/>\
             <text class=\"tick end\" x=\"{:.1}\" y=\"{y:.1}\" dy=\".35em\">{}</text>",
            field.left,
            field.right,
            field.left - 6.0,
            ticks.label(value)
        );
    }
    let _ = writeln!(out, "<text class=\"axis\" x=\"2\" y=\"{:.1}\">{}</text>", field.top - 14.0, escaped(title));
}

/// Values below the field, and the name of the axis below them.
pub(super) fn x_axis(out: &mut String, field: Field, marks: &[(f64, String)], title: &str) {
    let _ = writeln!(out, "<path class=\"base\" d=\"M{:.1} {:.1}H{:.1}\"/>", field.left, field.bottom, field.right);
    for (x, label) in marks {
        let _ = writeln!(
            out,
            "<path class=\"base\" d=\"M{x:.1} {:.1}v4\"/>\
             <text class=\"tick middle\" x=\"{x:.1}\" y=\"{:.1}\" dy=\"1em\">{label}</text>",
            field.bottom,
            field.bottom + 5.0
        );
    }
    let _ = writeln!(
        out,
        "<text class=\"axis middle\" x=\"{:.1}\" y=\"{:.1}\" dy=\"2.2em\">{}</text>",
        f64::midpoint(field.left, field.right),
        field.bottom + 5.0,
        escaped(&shortened(title, AXIS_NAME))
    );
}

/// Gives every series its look, a number below [`LOOKS`]. The kinds of retrieval look the same in every plot; other names
/// take in turn what is left.
pub(super) fn looks(names: &[&str]) -> Vec<usize> {
    let known = |name: &str| match name.to_lowercase().as_str() {
        "dense" => Some(0),
        "lexical" => Some(1),
        "hybrid" => Some(2),
        "sparse" => Some(3),
        "late" => Some(4),
        _ => None,
    };
    let taken: Vec<usize> = names.iter().filter_map(|name| known(name)).collect();
    let mut free = (0..LOOKS).filter(|look| !taken.contains(look)).collect::<Vec<_>>().into_iter();
    names.iter().enumerate().map(|(place, name)| known(name).or_else(|| free.next()).unwrap_or(place % LOOKS)).collect()
}

/// The path of a look's shape around a point: disc, square, triangle, diamond, triangle on its head, cross.
pub(super) fn shape(look: usize, x: f64, y: f64) -> String {
    match look {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", x - 4.0),
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        2 => format!("M{x:.1} {:.1}l4.6 8h-9.2z", y - 5.0),
        3 => format!("M{x:.1} {:.1}l5 5l-5 5l-5-5z", y - 5.0),
        4 => format!("M{x:.1} {:.1}l4.6-8h-9.2z", y + 5.0),
        _ => format!("M{:.1} {:.1}l8 8m0-8l-8 8", x - 4.0, y - 4.0),
    }
}

/// The key to the looks.
pub(super) fn key(names: &[&str], looks: &[usize]) -> String {
    let mut out = String::from("<ul class=\"key\">");
    for (name, look) in names.iter().zip(looks) {
        let _ = write!(
            out,
            "<li><svg class=\"look\" viewBox=\"0 0 34 12\" aria-hidden=\"true\">\
             <path class=\"line c{look}\" d=\"M1 6h32\"/>\
             <path class=\"shape c{look}\" d=\"{}\"/></svg><bdi>{}</bdi></li>",
            shape(*look, 17.0, 6.0),
            escaped(name)
        );
    }
    out.push_str("</ul>\n");
    out
}

/// The numbers of a plot, folded away.
pub(super) fn numbers(heading: &str, columns: &[Column], rows: &[Row]) -> String {
    format!(
        "<details class=\"numbers\"><summary>Numbers</summary><div class=\"scroll low\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Numbers\">{}</div></details>\n",
        plain(heading, columns, rows)
    )
}
