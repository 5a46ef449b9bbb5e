//! What holds for every page: texts stay texts, nothing is missing without being said, numbers read as they should.

use sha2::{Digest, Sha256};

use super::scale::{Scale, Ticks, rounded};
use super::text::{counted, escaped, number, p_value, shortened, signed};
use super::*;

/// A page with every kind of section, and `text` wherever a text comes from outside.
fn page(text: &str) -> String {
    let t = || text.to_owned();
    let axis = || Axis { title: t(), decimals: 2, ..Axis::default() };
    let point = |x: f64| Point { x, y: 0.5, note: t() };
    let query = |id: &str, candidate: f64| QueryDelta { id: id.to_owned(), text: t(), baseline: 0.5, candidate };
    let estimate = Estimate { value: 0.1, interval: Some((0.0, 0.2)) };
    let report = Report {
        title: t(),
        subtitle: t(),
        facts: vec![(t(), t()), ("Command".to_owned(), t())],
        warnings: vec![t()],
        sections: vec![
            Section::Text(Text { heading: t(), paragraphs: vec![t()] }),
            Section::Verdict(Verdict { heading: t(), accepted: false, reasons: vec![t()] }),
            Section::Figures(Figures { heading: t(), figures: vec![Figure { name: t(), value: t(), note: t() }] }),
            Section::Table(Table {
                heading: t(),
                note: t(),
                columns: vec![
                    Column::new(t(), Kind::Text),
                    Column::new(t(), Kind::Text),
                    Column::new(t(), Kind::Bar(2)),
                ],
                rows: vec![vec![t().into(), t().into(), t().into()], vec![t().into(), t().into(), 0.5.into()]],
                sortable: true,
                filterable: true,
                collapsed_after: Some(1),
            }),
            Section::Bars(Bars {
                heading: t(),
                note: t(),
                axis: t(),
                decimals: 3,
                signed: true,
                series: vec![t(), t()],
                groups: vec![Group { name: t(), bars: vec![estimate; 2] }],
            }),
            Section::Histogram(Histogram {
                heading: t(),
                note: t(),
                size: t(),
                one: t(),
                several: t(),
                bins: vec![SizeBin { from: 1.0, to: 2.0, count: 3 }],
                marks: vec![Mark { name: t(), size: 1.5 }],
            }),
            Section::Lines(Lines {
                heading: t(),
                note: t(),
                x: axis(),
                y: axis(),
                series: vec![Series { name: t(), points: vec![point(0.0), point(1.0)] }],
            }),
            Section::Deltas(Deltas {
                heading: t(),
                note: t(),
                measure: t(),
                baseline: t(),
                candidate: t(),
                queries: vec![query("1", 0.7), query("2", 0.2), query("3", 0.5)],
                interval: Some((-0.1, 0.1)),
                p_value: Some(0.5),
            }),
            Section::Reliability(Reliability {
                heading: t(),
                note: t(),
                predicted: t(),
                observed: t(),
                bins: vec![Bin { predicted: 0.5, observed: 0.4, count: 3 }],
            }),
        ],
    };
    report.render()
}

fn only(section: Section) -> String {
    Report { title: "A report".to_owned(), sections: vec![section], ..Report::default() }.render()
}

/// What the sections of a page say: the page without its style and its script.
fn content(page: &str) -> &str {
    let (_, rest) = page.split_once("<main>").unwrap();
    rest.split_once("</main>").unwrap().0
}

/// Names of all tags in their order, and whether each opens or closes; panics when they do not nest.
fn tags(page: &str) -> Vec<&str> {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (middle, rest) = rest.rsplit_once("<script>").unwrap();
    let (_, after) = rest.split_once("</script>").unwrap();
    let mut names = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for part in [before, middle, after] {
        for tag in part.split('<').skip(1) {
            let name = &tag
                [..tag.find([' ', '>', '/', '\n']).filter(|&end| end > 0).unwrap_or_else(|| tag.find('>').unwrap())];
            names.push(name);
            let (inside, _) = tag.split_once('>').unwrap();
            if let Some(name) = name.strip_prefix('/').or_else(|| inside.strip_prefix('/')) {
                assert_eq!(open.pop(), Some(name));
            } else if !inside.ends_with('/') && !matches!(name, "!doctype" | "meta") {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    names
}

#[test]
fn a_text_cannot_write_the_page() {
    let plain = page("a text");
    let characters: String = (0..0x3000).filter_map(char::from_u32).collect();
    let hostile = [
        "</script><script>alert(1)</script>",
        "</title></style></svg><img src=x onerror=alert(1)>",
        "\" onload=\"alert(1)' onload='alert(1)",
        "<!-- --> ]]> &lt; &#60; {{title}}",
        &characters,
    ];
    for text in hostile {
        let written = page(text);
        assert_eq!(tags(&written), tags(&plain), "{text:.40}");
        // As many quotes as without the text: it ends no attribute.
        assert_eq!(written.matches('"').count(), plain.matches('"').count(), "{text:.40}");
        assert!(!written.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:.40}");
    }
}

#[test]
fn a_text_cannot_turn_around_what_follows() {
    assert_eq!(escaped("a\u{202e}b\u{2067}c\u{0}d\u{85}e\nf"), "abc d e\nf");
    assert_eq!(escaped("한국어 <b> & \"q\" 'q' עברית"), "한국어 &lt;b&gt; &amp; &quot;q&quot; &#39;q&#39; עברית");
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page("a text");
    for outside in ["http:", "https:", "//", "src=", "@import", "url("] {
        let outside_of_script = page.replace(super::page::SCRIPT, "");
        assert!(!outside_of_script.replace(super::page::SCRIPT_HASH, "").contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'") && !page.contains("script-src 'unsafe-inline'"));
}

#[test]
fn the_script_that_runs_is_ours() {
    let digest = Sha256::digest(super::page::SCRIPT.as_bytes());
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let bits: Vec<u8> = digest.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let six = |bits: &[u8]| (0..6).fold(0, |sum, place| 2 * sum + usize::from(bits.get(place).copied().unwrap_or(0)));
    let base64: String = bits.chunks(6).map(|bits| letters[six(bits)]).collect();
    assert_eq!(super::page::SCRIPT_HASH, format!("sha256-{base64}="), "after a change of report.js, put its hash here");
    assert!(!super::page::SCRIPT.contains("</script"));
}

#[test]
fn sections_without_data_say_so() {
    let empty = [
        Section::Table(Table::default()),
        Section::Table(Table { columns: vec![Column::new("a", Kind::Text)], ..Table::default() }),
        Section::Bars(Bars { series: vec!["a".to_owned()], groups: vec![Group::default()], ..Bars::default() }),
        Section::Histogram(Histogram { bins: vec![SizeBin::default()], ..Histogram::default() }),
        Section::Lines(Lines { series: vec![Series::default()], ..Lines::default() }),
        Section::Deltas(Deltas::default()),
        Section::Reliability(Reliability { bins: vec![Bin::default()], ..Reliability::default() }),
    ];
    for section in empty {
        let page = only(section.clone());
        tags(&page);
        assert!(content(&page).contains("There "), "{section:?}");
        assert!(!content(&page).contains("NaN") && !content(&page).contains("<svg"), "{section:?}");
    }
    for section in [
        Section::Text(Text::default()),
        Section::Figures(Figures::default()),
        Section::Verdict(Verdict { heading: String::new(), accepted: true, reasons: Vec::new() }),
    ] {
        tags(&only(section));
    }
    assert!(content(&Report::default().render()).contains("There is nothing in this report."));
}

#[test]
fn values_that_are_not_finite_are_dashes() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5];
    let estimate = |value: f64| Estimate { value, interval: Some((value, f64::NAN)) };
    let point = |value: f64| Point { x: value, y: 1.0 - value, note: String::new() };
    let range = Some((f64::NAN, 1.0));
    let sections = vec![
        Section::Table(Table {
            columns: vec![
                Column::new("a", Kind::Bar(3)),
                Column::new("b", Kind::Signed(1)),
                Column::new("c", Kind::Text),
            ],
            rows: odd
                .iter()
                .map(|&value| vec![value.into(), Cell::Within { value, low: value, high: value }])
                .collect(),
            ..Table::default()
        }),
        Section::Bars(Bars {
            series: vec!["a".to_owned()],
            groups: odd.iter().map(|&value| Group { name: "g".to_owned(), bars: vec![estimate(value)] }).collect(),
            ..Bars::default()
        }),
        Section::Histogram(Histogram {
            bins: odd.iter().map(|&from| SizeBin { from, to: 1.0, count: 2 }).collect(),
            marks: odd.iter().map(|&size| Mark { name: "m".to_owned(), size }).collect(),
            ..Histogram::default()
        }),
        Section::Lines(Lines {
            x: Axis { range, log: true, ..Axis::default() },
            y: Axis { range, ..Axis::default() },
            series: vec![Series { name: "s".to_owned(), points: odd.iter().map(|&value| point(value)).collect() }],
            ..Lines::default()
        }),
        Section::Deltas(Deltas {
            queries: odd.iter().map(|&value| QueryDelta { candidate: value, ..QueryDelta::default() }).collect(),
            interval: range,
            p_value: Some(f64::NAN),
            ..Deltas::default()
        }),
        Section::Reliability(Reliability {
            bins: odd.iter().map(|&value| Bin { predicted: value, observed: value, count: 1 }).collect(),
            ..Reliability::default()
        }),
    ];
    for section in sections {
        let page = only(section);
        tags(&page);
        let content = content(&page);
        assert!(!content.contains("NaN") && !content.contains("inf"), "{content}");
        assert!(content.contains('–') || content.contains("3 queries have no value"), "{content}");
    }
}

#[test]
fn one_query_is_drawn() {
    let query = QueryDelta { id: "1".to_owned(), baseline: 0.25, candidate: 0.5, ..QueryDelta::default() };
    let page = only(Section::Deltas(Deltas { queries: vec![query.clone()], ..Deltas::default() }));
    assert_eq!(content(&page).matches("<rect class=\"better\"").count(), 1);
    assert!(content(&page).contains("1\n0.250 → 0.500 (+0.250)") && content(&page).contains("<b>+0.2500</b>"));
    let same = QueryDelta { candidate: 0.25, ..query };
    let page = only(Section::Deltas(Deltas { queries: vec![same], ..Deltas::default() }));
    assert!(!content(&page).contains("<rect class=\"better\"") && content(&page).contains("<b>0.0000</b>"));
}

#[test]
fn many_queries_stay_usable() {
    let query = |place: usize| QueryDelta {
        id: format!("{place:04}"),
        text: format!("a query of about forty letters, number {place}"),
        baseline: (place * 7 % 11) as f64 / 11.0,
        candidate: (place * 5 % 13) as f64 / 13.0,
    };
    let mut deltas = Deltas { queries: (0..4500).map(query).collect(), ..Deltas::default() };
    let page = only(Section::Deltas(deltas.clone()));
    let bars = content(&page).matches("<g class=\"point\">").count();
    assert!((300..=600).contains(&bars), "{bars} bars");
    assert!(page.len() < 500_000, "{} bytes", page.len());
    deltas.queries.reverse();
    assert!(only(Section::Deltas(deltas)) == page, "the order of the queries does not matter");
}

#[test]
fn long_tables_show_their_first_rows() {
    let table = Table {
        columns: vec![
            Column::new("Query", Kind::Text),
            Column::new("nDCG@10", Kind::Bar(3)),
            Column::new("Δ", Kind::Signed(2)),
        ],
        rows: vec![
            vec!["a".into(), 0.5.into(), (-0.5).into()],
            vec!["b".into(), 1.0.into(), 0.25.into()],
            vec!["c".into(), Cell::Within { value: 0.25, low: 0.125, high: 1.0 }, Cell::from(None::<f64>)],
        ],
        collapsed_after: Some(2),
        sortable: true,
        ..Table::default()
    };
    let page = only(Section::Table(table));
    let content = content(&page);
    assert_eq!((content.matches("<tr>").count(), content.matches("<tr hidden>").count()), (3, 1));
    assert!(content.contains("data-sortable data-shown=\"2\"") && content.contains("3 rows"));
    assert!(content.contains("width:50.0%\"></i></span>0.500</td>"), "{content}");
    assert!(
        content.contains("<td class=\"n down\">−0.50</td>") && content.contains("0.250 <small>[0.125, 1.000]</small>")
    );
}

#[test]
fn curves_over_the_same_places_share_the_rows_of_their_table() {
    let series = |name: &str, xs: &[f64]| Series {
        name: name.to_owned(),
        points: xs.iter().map(|&x| Point { x, y: 0.25, note: String::new() }).collect(),
    };
    let mut lines = Lines {
        x: Axis { title: "dimensions".to_owned(), log: true, ..Axis::default() },
        y: Axis { title: "nDCG@10".to_owned(), decimals: 2, ..Axis::default() },
        series: vec![series("cut", &[96.0, 384.0]), series("rotated", &[96.0, 384.0])],
        ..Lines::default()
    };
    let page = only(Section::Lines(lines.clone()));
    assert!(
        content(&page).contains("<tr><td class=\"n\">96</td><td class=\"n\">0.25</td><td class=\"n\">0.25</td></tr>")
    );
    assert!(
        content(&page).contains("cut: dimensions 96, nDCG@10 0.25</title>") && content(&page).contains(">384</text>")
    );
    lines.series[1].points.pop();
    let page = only(Section::Lines(lines));
    assert!(content(&page).contains("<th scope=\"row\" dir=\"auto\">rotated</th><td class=\"n\">96</td>"));
}

#[test]
fn sizes_are_drawn_with_the_marks_that_lie_among_them() {
    let bin = |from: f64, count: usize| SizeBin { from, to: 2.0 * from, count };
    let mark = |size: f64| Mark { name: format!("mark at {size}"), size };
    let page = only(Section::Histogram(Histogram {
        size: "tokens".to_owned(),
        one: "document".to_owned(),
        several: "documents".to_owned(),
        bins: vec![bin(64.0, 1), bin(128.0, 0), bin(256.0, 1200)],
        marks: vec![mark(128.0), mark(512.0), mark(9000.0)],
        ..Histogram::default()
    }));
    let content = content(&page);
    assert!(content.contains("tokens 64 to below 128: 1 document<") && content.contains(": 1,200 documents<"));
    assert_eq!(content.matches("class=\"mean\"").count(), 2, "a mark beyond all sizes has no place");
    assert!(content.contains("mark at 9000: 9,000."), "but it is said");
    assert!(content.contains(">256</text>") && content.contains("<td class=\"n\">256</td>"), "{content}");
}

#[test]
fn calibration_error_weighs_bins_by_their_cases() {
    let bins = |bins: &[(f64, f64, usize)]| -> Vec<Bin> {
        bins.iter().map(|&(predicted, observed, count)| Bin { predicted, observed, count }).collect()
    };
    let error = reliability::calibration_error;
    assert_eq!(error(&bins(&[(0.5, 0.5, 7), (0.25, 0.25, 1)])), Some(0.0));
    assert_eq!(error(&bins(&[(0.5, 0.25, 3), (0.75, 0.75, 1), (0.1, f64::NAN, 9)])), Some(0.1875));
    assert_eq!(error(&bins(&[(0.5, 0.5, 0)])), None);
}

#[test]
fn looks_keep_series_apart() {
    assert_eq!(chart::looks(&["hybrid", "lexical", "dense"]), [2, 1, 0]);
    assert_eq!(chart::looks(&["before", "dense", "after"]), [1, 0, 2]);
    let mut looks = chart::looks(&["a", "sparse", "b", "c", "d", "e"]);
    looks.sort_unstable();
    assert_eq!(looks, [0, 1, 2, 3, 4, 5]);
    assert_eq!(chart::looks(&["a"; 9]).len(), 9);
}

#[test]
fn axes_cover_their_values() {
    let ends = [-1e12, -731.0, -1.0, -0.31, -1e-9, 0.0, 1e-300, 0.004, 0.0041, 0.5, 1.0, 99.9, 4500.0, 1e12];
    for (place, &low) in ends.iter().enumerate() {
        for &high in &ends[place..] {
            let (from, to) = rounded((low, high), 5);
            let tiny = (to - from) * 1e-6;
            assert!(from < to && from <= low + tiny && high <= to + tiny, "{low} to {high}: {from} to {to}");
            let ticks = Ticks::within((from, to), 5).values;
            assert!((2..=9).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.is_sorted(), "{ticks:?}");
            let scale = Scale::linear((from, to), (10.0, 110.0));
            let places: Vec<f64> = [from, low, high, to].iter().map(|&value| scale.place(value)).collect();
            assert!(places.is_sorted() && places[0] == 10.0 && places[3] == 110.0, "{places:?}");
        }
    }
    let log = Scale::log((1.0, 100.0), (0.0, 2.0));
    assert_eq!([0.1, 1.0, 10.0, 100.0, 1e9].map(|value| log.place(value)), [0.0, 0.0, 1.0, 2.0, 2.0]);
}

#[test]
fn numbers_for_people() {
    let three = [0.0, -0.0, 0.1234, -0.0001, -1234.5, 1e6, f64::NAN, f64::NEG_INFINITY, -1e300];
    assert_eq!(
        three.map(|value| number(value, 3)),
        ["0.000", "0.000", "0.123", "0.000", "−1,234.500", "1,000,000.000", "–", "–", "−1.00e300"]
    );
    assert_eq!([999.0, 1000.0, 0.5].map(|value| number(value, 0)), ["999", "1,000", "0"]);
    assert_eq!([0.05, -0.05, 0.0, 0.0001].map(|value| signed(value, 2)), ["+0.05", "−0.05", "0.00", "0.00"]);
    assert_eq!([0.04, 0.000_02].map(p_value), ["0.040", "< 0.001"]);
    assert_eq!([0, 1, 4500].map(|count| counted(count, "query", "queries")), ["0 queries", "1 query", "4,500 queries"]);
    assert_eq!(["short", "한국어 질의", ""].map(|text| shortened(text, 5)), ["short", "한국어…", ""]);
}
