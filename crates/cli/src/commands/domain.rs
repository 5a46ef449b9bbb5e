//! `berth domain report PATH… | --index DIR`: how foreign documents are to a model.

mod page;

use std::fmt::Write;

use berth_pipeline::{
    DomainOptions, DomainReport, DomainVerdict, Error, Home, LanguageFigures, SplitWord, domain_report,
    is_standard_input, percent,
};
use unicode_width::UnicodeWidthStr;

use crate::Outcome;
use crate::commands::index::{cancel_on_signals, encoder_choice, skipped};
use crate::domain_args::{DomainAction, DomainArgs, DomainReportArgs};
use crate::output::{self, Terms, grouped, paint, printable, say};
use crate::progress::Display;

/// Columns of the names of figures.
const NAMES: usize = 12;
/// Languages that are named.
const LANGUAGES_SHOWN: usize = 5;
/// Unknown words and characters that are shown of each.
const UNKNOWN_SHOWN: usize = 5;
/// Columns of the longest cut word that does not move the others.
const WORD_COLUMNS: usize = 28;

pub(crate) fn run(home: &Home, args: &DomainArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let DomainAction::Report(args) = &args.action;
    if let Some(path) = args.paths.iter().find(|path| !path.exists() && !is_standard_input(path)) {
        return Err(Error::PathNotFound { path: path.clone() }.into());
    }
    let options = DomainOptions {
        paths: args.paths.clone(),
        index: args.index.clone(),
        follow_links: args.follow,
        encoder: encoder_choice(&args.encoder),
        window_tokens: args.window,
        sample_documents: args.sample_documents as usize,
        sample_passages: args.sample_passages as usize,
        seed: args.seed,
        split_words: usize::from(args.split_words),
    };
    let cancel = cancel_on_signals()?;
    let mut display = Display::new(args.quiet);
    let result = domain_report(home, &options, &mut display, &cancel);
    display.clear();
    let Some(report) = result? else {
        say("berth: interrupted; nothing was reported");
        return Ok(Outcome::Interrupted);
    };
    let named = measured(args);
    if let Some(path) = &args.html {
        std::fs::write(path, page::page(&report, &named).render()).map_err(Error::io("write", path))?;
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&text(&report, &named, terms))?;
    }
    if let Some(skipped) = skipped(&report.skipped_by_reason).filter(|_| !args.quiet) {
        say(&format!("berth: {skipped}"));
    }
    Ok(Outcome::Done)
}

/// What was measured, as it was named.
fn measured(args: &DomainReportArgs) -> String {
    let index = args.index.iter().filter(|_| args.paths.is_empty());
    let names: Vec<String> = args.paths.iter().chain(index).map(|path| path.display().to_string()).collect();
    printable(&names.join(", "))
}

fn text(report: &DomainReport, named: &str, terms: Terms) -> String {
    let mut page = format!("{} to {}\n\n", paint(terms.title, named), report.model.name);
    let DomainVerdict { verdict, reasons, advice } = &report.verdict;
    line(&mut page, "verdict", &paint(terms.title, verdict.as_str()));
    list(&mut page, "because", reasons, terms);
    list(&mut page, "try", advice, terms);
    page.push('\n');
    for (name, value) in figures(report) {
        list(&mut page, name, &[printable(&value)], terms);
    }
    if !report.vocabulary.split_words.is_empty() {
        page.push_str("\nwords that the model knows only in pieces\n");
        page.push_str(&split_words(&report.vocabulary.split_words, terms));
    }
    page
}

fn line(page: &mut String, name: &str, value: &str) {
    let _ = writeln!(page, "{name:<NAMES$}  {value}");
}

/// Entries below each other beside one name, wrapped.
fn list(page: &mut String, name: &str, entries: &[String], terms: Terms) {
    let mut name = name;
    for entry in entries {
        for (number, part) in wrapped(entry, terms.columns - NAMES - 4).into_iter().enumerate() {
            let indent = if number == 0 { "" } else { "  " };
            line(page, name, &format!("{indent}{part}"));
            name = "";
        }
    }
}

fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.width() + 1 + word.width() <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// All figures but the cut words, each with its name: what the text and the page say.
fn figures(report: &DomainReport) -> Vec<(&'static str, String)> {
    let DomainReport { documents, vocabulary, lengths, model, .. } = report;
    let count = |count: usize| grouped(count as u64);
    let mut rows = vec![(
        "documents",
        format!(
            "{} · {} without text · {} with a title · {} characters",
            count(documents.documents),
            count(documents.empty),
            count(documents.titled),
            grouped(documents.characters)
        ),
    )];
    let is_sample = documents.sampled < documents.documents;
    if is_sample {
        let seed = report.seed;
        let sampled = count(documents.sampled);
        rows.push(("sample", format!("{sampled} documents (seed {seed}); all figures below are of these")));
    }
    let of_sample = if is_sample { " of the sample, more in all" } else { "" };
    let near = percent(documents.near_copies as f64 / documents.sampled.max(1) as f64);
    let exact = percent(documents.exact_copies as f64 / documents.documents.max(1) as f64);
    let (exact_copies, near_copies) = (count(documents.exact_copies), count(documents.near_copies));
    let copies = format!("{exact_copies} exact ({exact}) · {near_copies} near ({near}{of_sample})");
    rows.push(("copies", copies));
    rows.push(("languages", languages(report)));
    rows.push((
        "tokens",
        format!(
            "{} in {} words, {:.2} a word · {} go on with a word · {} are single characters of one",
            grouped(vocabulary.tokens),
            grouped(vocabulary.words),
            vocabulary.pieces_per_word,
            percent(vocabulary.continuing_share),
            percent(vocabulary.single_character_share)
        ),
    ));
    rows.push(("unknown", unknown(report)));
    rows.push((
        "cut words",
        format!(
            "{:.2} pieces a word with a letter · {} of these in four or more",
            vocabulary.pieces_per_letter_word,
            percent(vocabulary.long_split_share)
        ),
    ));
    rows.push(("signs", format!("{} of words have neither letter nor digit", percent(vocabulary.sign_share))));
    let used = percent(vocabulary.used_share);
    rows.push(("vocabulary", format!("{used} of {} pieces occur", count(model.vocabulary))));
    rows.push((
        "length",
        format!(
            "median {} tokens · a quarter above {} · one in ten above {} · one in 100 above {} · longest {}",
            grouped(lengths.median.into()),
            grouped(lengths.p75.into()),
            grouped(lengths.p90.into()),
            grouped(lengths.p99.into()),
            grouped(lengths.most.into())
        ),
    ));
    rows.push((
        "window",
        format!(
            "{} tokens: {} of documents are longer · {:.1} windows each",
            model.window_tokens,
            percent(lengths.beyond_window_share),
            lengths.windows_per_document
        ),
    ));
    let mut limits = format!("{} tokens: {} are longer", model.max_tokens, percent(lengths.beyond_most_share));
    if let (Some(trained), Some(share)) = (model.trained_tokens, lengths.beyond_trained_share) {
        let _ = write!(limits, " · trained with {trained}: {} are longer", percent(share));
    }
    rows.push(("limit", limits));
    let perplexity = match &report.perplexity {
        Some(measured) => format!(
            "{:.2} (pseudo-perplexity) over {} tokens of {} passages",
            measured.pseudo_perplexity, measured.tokens, measured.passages
        ),
        None => format!("not measured: {}", report.perplexity_unavailable.as_deref().unwrap_or_default()),
    };
    rows.push(("perplexity", perplexity));
    rows
}

fn languages(report: &DomainReport) -> String {
    let said = |language: &LanguageFigures| {
        let foreign = if language.claimed == Some(false) { " (not the model's)" } else { "" };
        format!("{} {}{foreign}", language.code.unwrap_or("untold"), percent(language.share))
    };
    let mut shown: Vec<String> = report.languages.iter().take(LANGUAGES_SHOWN).map(said).collect();
    let others = report.languages.len().saturating_sub(LANGUAGES_SHOWN);
    if others > 0 {
        shown.push(format!("{others} more"));
    }
    if shown.is_empty() {
        shown.push("none".to_owned());
    }
    let trained = &report.model.languages;
    if trained.is_empty() {
        shown.push("the model's card names none".to_owned());
    }
    shown.join(" · ")
}

fn unknown(report: &DomainReport) -> String {
    let vocabulary = &report.vocabulary;
    let mut text = format!(
        "{} of tokens · {} of words",
        percent(vocabulary.unknown_share),
        percent(vocabulary.unknown_word_share)
    );
    for (what, all) in [("words", &vocabulary.unknown_words), ("characters", &vocabulary.unknown_characters)] {
        if !all.is_empty() {
            let shown = all.iter().take(UNKNOWN_SHOWN);
            let shown: Vec<String> = shown.map(|one| format!("{} ({})", one.text, grouped(one.count))).collect();
            let _ = write!(text, " · {what}: {}", shown.join(", "));
        }
    }
    text
}

fn split_words(words: &[SplitWord], terms: Terms) -> String {
    let widest = words.iter().map(|word| word.text.width()).max().unwrap_or(0).min(WORD_COLUMNS);
    let mut page = String::new();
    for word in words {
        let text = printable(&word.text);
        let padding = " ".repeat(widest.saturating_sub(text.width()));
        let pieces = paint(terms.quiet, printable(&word.pieces.join(" ")));
        let _ = writeln!(page, "{:>NAMES$}  {text}{padding}  {pieces}", grouped(word.count));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("한국어 문서 ab", 11), ["한국어 문서", "ab"]);
        assert_eq!(wrapped("incomprehensible", 5), ["incomprehensible"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
