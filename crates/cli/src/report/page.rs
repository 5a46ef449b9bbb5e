//! The page around the sections: head, facts, warnings, list of contents.

use std::fmt::Write;

use super::chart::open;
use super::text::escaped;
use super::{Figures, Report, Section, Text, Verdict, bars, deltas, histogram, lines, reliability, table};

const STYLE: &str = include_str!("report.css");
pub(super) const SCRIPT: &str = include_str!("report.js");
/// The SHA-256 of the script in base64: no other script runs in the page, whatever a text may have brought in. A test
/// computes it again.
pub(super) const SCRIPT_HASH: &str = "sha256-K0Mj5zNoHqbcTf/GjHnJN4pSeQRX+UB/qPfHKuGNy+A=";
/// From so many sections on, the page begins with a list of them.
const LISTED_SECTIONS: usize = 4;

/// A ship's bollard above water, as on the page of the server.
const BRAND: &str = "<svg class=\"brand\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">\
    <path d=\"M7.5 5v10M16.5 5v10M7.5 8.5h9\"/>\
    <path d=\"M4 18.5c1.3 0 1.3-1 2.7-1s1.3 1 2.6 1 1.4-1 2.7-1 1.3 1 2.7 1 1.3-1 2.6-1 1.4 1 2.7 1\"/></svg>";

/// Writes the page of a report.
pub(super) fn render(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n\
         <noscript><style>tr[hidden] {{ display: table-row; }}</style></noscript>\n</head>\n<body>\n",
        escaped(&report.title)
    );
    head(&mut out, report);
    out.push_str("<main>\n");
    if report.sections.is_empty() {
        out.push_str("<p class=\"nothing\">There is nothing in this report.</p>\n");
    }
    let mut rest = report.sections.iter().enumerate().peekable();
    while let Some((place, section)) = rest.next() {
        if !section.is_narrow() {
            out.push_str(&drawn(place, section));
            continue;
        }
        let _ = write!(out, "<div class=\"pair\">\n{}", drawn(place, section));
        while let Some((place, section)) = rest.next_if(|(_, section)| section.is_narrow()) {
            out.push_str(&drawn(place, section));
        }
        out.push_str("</div>\n");
    }
    let _ = write!(
        out,
        "</main>\n<footer>Everything is in this file: nothing is loaded from elsewhere.</footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    );
    out
}

fn head(out: &mut String, report: &Report) {
    let _ = writeln!(
        out,
        "<header>\n<p class=\"maker\">{BRAND}Berth</p>\n<h1 dir=\"auto\">{}</h1>",
        escaped(&report.title)
    );
    if !report.subtitle.is_empty() {
        let _ = writeln!(out, "<p class=\"lead\" dir=\"auto\">{}</p>", escaped(&report.subtitle));
    }
    if !report.facts.is_empty() {
        out.push_str("<dl class=\"facts\">\n");
        for (name, value) in &report.facts {
            let class = if name.eq_ignore_ascii_case("command") { " class=\"command\"" } else { "" };
            let _ =
                writeln!(out, "<div{class}><dt>{}</dt><dd dir=\"auto\">{}</dd></div>", escaped(name), escaped(value));
        }
        out.push_str("</dl>\n");
    }
    for warning in &report.warnings {
        let _ = writeln!(out, "<p class=\"warning\" dir=\"auto\"><b>Warning:</b> {}</p>", escaped(warning));
    }
    if report.sections.len() >= LISTED_SECTIONS {
        out.push_str("<nav aria-label=\"Contents\"><ul>\n");
        for (place, section) in report.sections.iter().enumerate() {
            let _ = writeln!(out, "<li><a href=\"#s{place}\" dir=\"auto\">{}</a></li>", escaped(section.heading()));
        }
        out.push_str("</ul></nav>\n");
    }
    out.push_str("</header>\n");
}

fn drawn(place: usize, section: &Section) -> String {
    let id = format!("s{place}");
    match section {
        Section::Text(text) => words(&id, text),
        Section::Verdict(verdict) => decision(&id, verdict),
        Section::Figures(figures) => tiles(&id, figures),
        Section::Table(table) => table::section(&id, table),
        Section::Bars(bars) => bars::section(&id, bars),
        Section::Histogram(histogram) => histogram::section(&id, histogram),
        Section::Lines(lines) => lines::section(&id, lines),
        Section::Deltas(deltas) => deltas::section(&id, deltas),
        Section::Reliability(plot) => reliability::section(&id, plot),
    }
}

fn words(id: &str, text: &Text) -> String {
    let mut out = open(id, "words", &text.heading, "");
    paragraphs(&mut out, &text.paragraphs);
    out.push_str("</section>\n");
    out
}

fn decision(id: &str, verdict: &Verdict) -> String {
    let (class, word) = if verdict.accepted { ("verdict yes", "Accepted") } else { ("verdict no", "Refused") };
    let mut out = open(id, class, &verdict.heading, "");
    let _ = writeln!(out, "<p class=\"word\">{word}</p>");
    paragraphs(&mut out, &verdict.reasons);
    out.push_str("</section>\n");
    out
}

fn paragraphs(out: &mut String, paragraphs: &[String]) {
    for paragraph in paragraphs {
        let _ = writeln!(out, "<p dir=\"auto\">{}</p>", escaped(paragraph));
    }
}

fn tiles(id: &str, figures: &Figures) -> String {
    let mut out = open(id, "tiles", &figures.heading, "");
    out.push_str("<dl>\n");
    for figure in &figures.figures {
        let _ = writeln!(
            out,
            "<div><dt dir=\"auto\">{}</dt><dd class=\"large\">{}</dd><dd dir=\"auto\">{}</dd></div>",
            escaped(&figure.name),
            escaped(&figure.value),
            escaped(&figure.note)
        );
    }
    out.push_str("</dl>\n</section>\n");
    out
}
