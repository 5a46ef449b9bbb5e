//! The report of an evaluation as a page.

use berth_pipeline::{EvalReport, ModeDetails, ModePair, RECALL_LEVELS, ReliabilityBin, SpanReport};

use crate::commands::weights::words;
use crate::output::{bytes, command_line, grouped};
use crate::report::{
    Axis, Bars, Bin, Cell, Column, Deltas, Estimate, Group, Kind, Lines, Point, QueryDelta, Reliability, Report,
    Section, Series, Table,
};

/// Rows of a table that are shown before the reader asks for all.
const SHOWN_ROWS: usize = 50;
/// Missed documents that are named of one query.
const NAMED: usize = 5;

/// Everything that was measured.
pub(super) fn page(report: &EvalReport) -> Report {
    let mut sections = vec![Section::Table(figures(report))];
    if report.index.is_some() {
        sections.push(Section::Table(cost(report)));
    }
    sections.extend(report.spans.as_ref().map(|spans| Section::Table(span_table(spans))));
    sections.push(Section::Bars(bars(report)));
    sections.push(Section::Lines(curves(report)));
    if let Some(chief) = report.chief() {
        sections.extend(reliability(chief));
    }
    sections.extend(report.comparisons.iter().map(|pair| Section::Deltas(deltas(report, pair))));
    sections.push(Section::Table(queries(report)));
    Report {
        title: format!("Search quality on {}", report.dataset),
        subtitle: "How well judged queries are answered, and what an answer costs".to_owned(),
        facts: facts(report),
        warnings: report.warnings.clone(),
        sections,
    }
}

fn facts(report: &EvalReport) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("Collection", format!("{}, {}", report.dataset, report.split)),
        fact("Queries", grouped(report.queries as u64)),
        fact("Judgements", grouped(report.judgements as u64)),
    ];
    if let Some(index) = report.index {
        let (documents, chunks) = (grouped(index.documents), grouped(index.chunks));
        facts.push(fact("Index", format!("{documents} documents, {chunks} chunks, {}", bytes(index.bytes))));
    }
    if let Some((model, fingerprint)) = report.model.as_ref().zip(report.fingerprint.as_ref()) {
        facts.push(fact("Model", format!("{model} ({fingerprint})")));
    }
    if let Some(joining) = report.joining {
        let origin = if joining.from_index { " (stored)" } else { "" };
        facts.push(fact("Settings", format!("{}{origin}", words(&joining.into()))));
    }
    facts.extend(report.filter.as_ref().map(|filter| fact("Filter", filter.clone())));
    if let Some(pair) = report.comparisons.first() {
        let of = &pair.comparison;
        facts.push(fact("Tests", format!("{} rounds, seed {}", grouped(of.rounds as u64), of.seed)));
    }
    facts.push(fact("Berth", report.version.to_owned()));
    facts.push(fact("Command", command_line()));
    facts
}

fn figures(report: &EvalReport) -> Table {
    let columns = std::iter::once(Column::new("Mode", Kind::Text));
    let measures = report.measures.iter().map(|measure| Column::new(measure.to_string(), Kind::Bar(4)));
    let row = |(mode, of_mode): (&String, &berth_pipeline::ModeReport)| {
        let values = of_mode.metrics.iter().map(|(_, value)| Cell::from(value));
        std::iter::once(mode.as_str().into()).chain(values).collect()
    };
    Table {
        heading: "Measures".to_owned(),
        note: "Means over all queries that have a relevant document; 1 is the best there can be.".to_owned(),
        columns: columns.chain(measures).collect(),
        rows: report.modes.iter().map(row).collect(),
        sortable: true,
        ..Table::default()
    }
}

fn cost(report: &EvalReport) -> Table {
    let columns = [
        ("Mode", Kind::Text),
        ("p50, ms", Kind::Number(1)),
        ("p99, ms", Kind::Number(1)),
        ("Index, bytes", Kind::Number(0)),
        ("Bytes a document", Kind::Number(0)),
        ("Tokens embedded", Kind::Number(0)),
        ("Embedding, s", Kind::Number(1)),
        ("Tokens/s", Kind::Number(0)),
    ];
    let documents = report.index.map_or(1, |index| index.documents.max(1)) as f64;
    let row = |(mode, of_mode): (&String, &berth_pipeline::ModeReport)| {
        let size = of_mode.index_bytes.map(|bytes| bytes as f64);
        // BM25 alone embeds nothing.
        let encode = report.encode.filter(|encode| encode.tokens > 0 && mode != "lexical");
        vec![
            mode.as_str().into(),
            of_mode.p50_ms.into(),
            of_mode.p99_ms.into(),
            size.into(),
            size.map(|size| size / documents).into(),
            encode.map(|encode| encode.tokens as f64).into(),
            encode.map(|encode| encode.seconds).into(),
            encode.map(|encode| encode.tokens_per_second).into(),
        ]
    };
    Table {
        heading: "Cost".to_owned(),
        note:
            "Wall time of one query after the other, encoding included; bytes on disk of the halves that answer; what \
               embedding the whole collection took when its index was built."
                .to_owned(),
        columns: columns.map(|(name, kind)| Column::new(name, kind)).into(),
        rows: report.modes.iter().map(row).collect(),
        ..Table::default()
    }
}

fn span_table(spans: &SpanReport) -> Table {
    let columns = [("Mode", Kind::Text), ("Recall", Kind::Bar(4)), ("Precision", Kind::Bar(4)), ("IoU", Kind::Bar(4))];
    let row = |(mode, of): (&String, &berth_pipeline::SpanScores)| {
        vec![mode.as_str().into(), of.recall.into(), of.precision.into(), of.iou.into()]
    };
    Table {
        heading: "Answers inside documents".to_owned(),
        note: format!(
            "By tokens of the model, the first {} passages of each of {} queries: the share of the answer that they hold, and \
             the share of them that is answer. A token that stands in two passages costs twice.",
            spans.k,
            grouped(spans.queries as u64)
        ),
        columns: columns.map(|(name, kind)| Column::new(name, kind)).into(),
        rows: spans.modes.iter().map(row).collect(),
        ..Table::default()
    }
}

fn bars(report: &EvalReport) -> Bars {
    let measure = report.measures.first().map_or_else(String::new, ToString::to_string);
    let group = |of: &ModeDetails| {
        let value = report.measures.first().and_then(|measure| of.evaluation.mean.get(*measure)).unwrap_or(f64::NAN);
        Group { name: of.mode.clone(), bars: vec![Estimate { value, interval: of.interval }] }
    };
    Bars {
        heading: format!("{measure} with interval"),
        note: "The interval holds 95 % of bootstrap samples of the queries. Intervals of two modes may overlap although one is \
               better on nearly each query: what hybrid search gains over each half stands below."
            .to_owned(),
        axis: measure.clone(),
        decimals: 4,
        signed: false,
        series: vec![measure],
        groups: report.details.iter().map(group).collect(),
    }
}

fn curves(report: &EvalReport) -> Lines {
    let series = |mode: &ModeDetails| {
        let level = |(level, &y): (usize, &f64)| {
            let x = level as f64 / (RECALL_LEVELS - 1) as f64;
            Point { x, y, note: String::new() }
        };
        Series { name: mode.mode.clone(), points: mode.curve.iter().enumerate().map(level).collect() }
    };
    Lines {
        heading: "Precision over recall".to_owned(),
        note: "The highest precision at any rank that reaches so much recall, or more; mean over queries.".to_owned(),
        x: Axis { title: "recall".to_owned(), range: Some((0.0, 1.0)), decimals: 1, ..Axis::default() },
        y: Axis { title: "precision".to_owned(), range: Some((0.0, 1.0)), decimals: 3, ..Axis::default() },
        series: report.details.iter().map(series).collect(),
    }
}

fn reliability(chief: &ModeDetails) -> Vec<Section> {
    let plot = |heading: &str, note: &str, bins: &[ReliabilityBin]| {
        let bin = |bin: &ReliabilityBin| {
            let (predicted, observed) = (bin.mean_probability?, bin.share_relevant?);
            Some(Bin { predicted, observed, count: bin.count })
        };
        Section::Reliability(Reliability {
            heading: format!("{heading}, {}", chief.mode),
            note: note.to_owned(),
            predicted: "relevance".to_owned(),
            observed: "share of relevant hits".to_owned(),
            bins: bins.iter().filter_map(bin).collect(),
        })
    };
    let judged = chief.judged.as_ref().map(|calibration| {
        let note = "Only those of each query's first ten hits that were judged. Where few irrelevant documents were \
                    judged, the observed share is too high.";
        plot("Relevance of judged hits", note, &calibration.bins)
    });
    let all = chief.all.as_ref().map(|calibration| {
        let note = "All first ten hits of each query; what was not judged counts as irrelevant. Where not all relevant \
                    documents were judged, the observed share is too low.";
        plot("Relevance of all hits", note, &calibration.bins)
    });
    judged.into_iter().chain(all).collect()
}

fn deltas(report: &EvalReport, pair: &ModePair) -> Deltas {
    let of = &pair.comparison;
    let find = |name: &str| report.details.iter().find(|mode| mode.mode == name);
    let rows = find(&pair.baseline).zip(find(&pair.candidate)).map(|(a, b)| (&a.queries, &b.queries));
    let pairs = rows.into_iter().flat_map(|(a, b)| a.iter().zip(b));
    let queries = pairs.map(|(a, b)| QueryDelta {
        id: a.query.clone(),
        text: a.text.clone(),
        baseline: a.scores.get(of.measure).unwrap_or(f64::NAN),
        candidate: b.scores.get(of.measure).unwrap_or(f64::NAN),
    });
    Deltas {
        heading: format!("{} against {}", pair.candidate, pair.baseline),
        note: format!("The interval of the mean holds {:.0} % of bootstrap samples of the queries.", of.level * 100.0),
        measure: of.measure.to_string(),
        baseline: pair.baseline.clone(),
        candidate: pair.candidate.clone(),
        queries: queries.collect(),
        interval: Some(of.interval),
        p_value: Some(of.p_value),
    }
}

fn queries(report: &EvalReport) -> Table {
    let (Some(chief), Some(&measure)) = (report.chief(), report.measures.first()) else { return Table::default() };
    let mut columns = vec![Column::new("Query", Kind::Text), Column::new("Text", Kind::Text)];
    columns.extend(report.details.iter().map(|of| Column::new(format!("{measure}, {}", of.mode), Kind::Number(4))));
    columns.extend([
        Column::new("First relevant", Kind::Number(0)),
        Column::new("Missed", Kind::Number(0)),
        Column::new("Such as", Kind::Text),
    ]);
    let row = |place: usize| {
        let of_chief = &chief.queries[place];
        let mut cells: Vec<Cell> = vec![of_chief.query.as_str().into(), of_chief.text.as_str().into()];
        let value = |of: &ModeDetails| of.queries.get(place).and_then(|row| row.scores.get(measure));
        cells.extend(report.details.iter().map(|of| Cell::from(value(of))));
        cells.push(of_chief.first_relevant.into());
        cells.push(of_chief.missed.len().into());
        let more = if of_chief.missed.len() > NAMED { ", …" } else { "" };
        let named: Vec<&str> = of_chief.missed.iter().take(NAMED).map(String::as_str).collect();
        cells.push(format!("{}{more}", named.join(", ")).into());
        cells
    };
    Table {
        heading: "All queries".to_owned(),
        note: format!(
            "Place of the first relevant document, and relevant documents that were not found, of {}.",
            chief.mode
        ),
        columns,
        rows: (0..chief.queries.len()).map(row).collect(),
        sortable: true,
        filterable: true,
        collapsed_after: Some(SHOWN_ROWS),
    }
}
