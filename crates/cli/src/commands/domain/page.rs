//! The same as a page for the browser.

use berth_pipeline::{DomainReport, percent};

use super::figures;
use crate::output::grouped;
use crate::report::{Column, Figure, Figures, Histogram, Kind, Mark, Report, Row, Section, SizeBin, Table, Text};

/// Makes the page of a report on what was `named`.
pub(super) fn page(report: &DomainReport, named: &str) -> Report {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let model = &report.model;
    let list = |all: &[String]| if all.is_empty() { "not stated".to_owned() } else { all.join(", ") };
    let facts = vec![
        fact("Collection", named.to_owned()),
        fact("Documents", grouped(report.documents.documents as u64)),
        fact("Read closely", format!("{}, seed {}", grouped(report.documents.sampled as u64), report.seed)),
        fact("Model", model.name.clone()),
        fact("Trained for", list(&model.languages)),
        fact("Berth", report.version.to_owned()),
    ];
    let skipped = report.documents.skipped;
    let warning = format!("{} files or rows were passed over and are in no figure.", grouped(skipped as u64));
    let text = |heading: &str, paragraphs: &[String]| {
        Section::Text(Text { heading: heading.to_owned(), paragraphs: paragraphs.to_vec() })
    };
    Report {
        title: format!("How foreign a collection is to {}", model.name),
        subtitle: "By how the model's tokenizer reads it; nothing was embedded".to_owned(),
        facts,
        warnings: if skipped > 0 { vec![warning] } else { Vec::new() },
        sections: vec![
            text(&format!("Verdict: {}", report.verdict.verdict.as_str()), &report.verdict.reasons),
            text("What to try", &report.verdict.advice),
            Section::Figures(tiles(report)),
            Section::Histogram(histogram(report)),
            Section::Table(languages(report)),
            Section::Table(split_words(report)),
            Section::Table(unknown(report)),
            Section::Table(all_figures(report)),
        ],
    }
}

fn tiles(report: &DomainReport) -> Figures {
    let (vocabulary, lengths) = (&report.vocabulary, &report.lengths);
    let figure = |name: &str, value: String, note: &str| Figure { name: name.to_owned(), value, note: note.to_owned() };
    let mut figures = vec![
        figure(
            "Pieces a word",
            format!("{:.2}", vocabulary.pieces_per_letter_word),
            "with a letter; English prose: 1.1 to 1.3",
        ),
        figure("Unknown tokens", percent(vocabulary.unknown_share), "from 1 % on the script is not read"),
        figure("Words in four or more", percent(vocabulary.long_split_share), "pieces, of words with a letter"),
        figure("Longer than a window", percent(lengths.beyond_window_share), "of documents"),
    ];
    if let Some(perplexity) = &report.perplexity {
        let note = format!("over {} tokens", grouped(perplexity.tokens as u64));
        figures.push(figure("Pseudo-perplexity", format!("{:.2}", perplexity.pseudo_perplexity), &note));
    }
    Figures { heading: "At a glance".to_owned(), figures }
}

fn histogram(report: &DomainReport) -> Histogram {
    let model = &report.model;
    let bins = report.lengths.histogram.iter();
    let mark = |name: String, size: usize| Mark { name, size: size as f64 };
    let mut marks: Vec<Mark> =
        model.trained_tokens.iter().map(|&trained| mark(format!("trained with {trained}"), trained)).collect();
    marks.push(mark(format!("window {}", model.window_tokens), model.window_tokens));
    if model.max_tokens != model.window_tokens {
        marks.push(mark(format!("limit {}", model.max_tokens), model.max_tokens));
    }
    Histogram {
        heading: "Length of documents".to_owned(),
        note: format!(
            "Tokens of title and text, in steps of a factor of √2. Documents beyond a window are cut into several: {:.1} on \
             average.",
            report.lengths.windows_per_document
        ),
        size: "tokens".to_owned(),
        one: "document".to_owned(),
        several: "documents".to_owned(),
        bins: bins.map(|bin| SizeBin { from: bin.from.into(), to: bin.to.into(), count: bin.documents }).collect(),
        marks,
    }
}

fn languages(report: &DomainReport) -> Table {
    let rows = report.languages.iter().map(|language| -> Row {
        let claimed = match language.claimed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not known",
        };
        let code = language.code.unwrap_or("cannot be told");
        vec![code.into(), language.documents.into(), (100.0 * language.share).into(), claimed.into()]
    });
    Table {
        heading: "Languages".to_owned(),
        note: "By the function words and letters of each document; of source code no language can be told.".to_owned(),
        columns: vec![
            Column::new("Language", Kind::Text),
            Column::new("Documents", Kind::Number(0)),
            Column::new("Share, %", Kind::Bar(1)),
            Column::new("Model trained for it", Kind::Text),
        ],
        rows: rows.collect(),
        collapsed_after: Some(10),
        ..Table::default()
    }
}

fn split_words(report: &DomainReport) -> Table {
    let words = report.vocabulary.split_words.iter();
    Table {
        heading: "Words that the model knows only in pieces".to_owned(),
        note: "The most frequent words of four pieces or more.".to_owned(),
        columns: vec![
            Column::new("Word", Kind::Text),
            Column::new("Pieces", Kind::Text),
            Column::new("Occurrences", Kind::Bar(0)),
        ],
        rows: words
            .map(|word| vec![word.text.as_str().into(), word.pieces.join(" ").into(), (word.count as usize).into()])
            .collect(),
        sortable: true,
        filterable: true,
        collapsed_after: Some(20),
    }
}

fn unknown(report: &DomainReport) -> Table {
    let vocabulary = &report.vocabulary;
    let kinds = [("word", &vocabulary.unknown_words), ("character", &vocabulary.unknown_characters)];
    let rows = kinds.into_iter().flat_map(|(kind, all)| {
        all.iter().map(move |one| vec![one.text.as_str().into(), kind.into(), (one.count as usize).into()])
    });
    Table {
        heading: "What the model does not read at all".to_owned(),
        note: "All of these are one and the same token to it.".to_owned(),
        columns: vec![
            Column::new("Text", Kind::Text),
            Column::new("Kind", Kind::Text),
            Column::new("Occurrences", Kind::Bar(0)),
        ],
        rows: rows.collect(),
        ..Table::default()
    }
}

fn all_figures(report: &DomainReport) -> Table {
    Table {
        heading: "All figures".to_owned(),
        columns: vec![Column::new("Figure", Kind::Text), Column::new("Value", Kind::Text)],
        rows: figures(report).into_iter().map(|(name, value)| vec![name.into(), value.into()]).collect(),
        ..Table::default()
    }
}
