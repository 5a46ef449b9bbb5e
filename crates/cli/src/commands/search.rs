//! `berth search QUERY --index DIR`: hits for people, or JSON.

use std::fmt::Write;
use std::path::Path;
use std::time::SystemTime;

use berth_pipeline::{
    Circumstances, Encoder, EncoderChoice, Error, FusionChoice, Home, IndexError, ResolvedFusion, Searcher,
    SearcherOptions, log_query, open_head, snippet,
};
use berth_types::{Explanation, FacetCount, Head, Hit, Mode, Query, Rerank, Reranker, SearchReply};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::Outcome;
use crate::args::SearchArgs;
use crate::commands::index::encoder_choice;
use crate::commands::weights::{self, OfIndex};
use crate::output::{self, Terms, WrongUsage, grouped, paint, printable, say, shorten};

/// Most characters of a chunk that are shown.
const SNIPPET_CHARS: usize = 320;
/// Columns before the text of a hit.
const INDENT: &str = "    ";

/// The contract of `berth search --json`.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    reply: &'a SearchReply,
    /// How the halves were joined, with `--explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    fusion: Option<ResolvedFusion>,
}

pub(crate) fn run(home: &Home, args: &SearchArgs, terms: Terms) -> anyhow::Result<Outcome> {
    let mode = args.ranking.mode;
    let OfIndex { stored, settings } = weights::of_index(&args.index)?;
    let has_sparse = settings.sparse.is_some();
    let fusion_args = &args.ranking.fusion;
    let stored = fusion_args.base(stored, &settings)?;
    if fusion_args.sparse_weight.is_some_and(|weight| weight > 0.0) && mode == Mode::Hybrid && !has_sparse {
        return Err(Error::from(IndexError::NoSparseVectors { path: args.index.clone() }).into());
    }
    let choice = FusionChoice {
        aggregate: args.shaping.aggregate,
        rerank: args.rerank.rerank(),
        without_rerank: args.rerank.is_off(),
        ..fusion_args.choice()
    };
    let is_sorted = args.narrowing.narrowing().sort.is_some();
    let circumstances = Circumstances { mode, is_sorted, ..Circumstances::of(&settings) };
    let resolved = choice.resolved(stored.as_ref(), circumstances);
    if let Some(stored) = stored.filter(|stored| fusion_args.asks_for_weight(stored) && mode == Mode::Hybrid) {
        weights::warn(&stored, &args.index);
    }
    let query = Query {
        text: args.query.join(" "),
        k: args.k,
        mode,
        dense: args.ranking.dense.search(),
        lists: resolved.lists,
        fusion: resolved.fusion,
        sparse_weight: resolved.sparse_weight.unwrap_or(0.0),
        rerank: resolved.rerank,
        shaping: args.shaping.shaping(resolved.aggregate),
        explain: args.explain,
        narrowing: args.narrowing.narrowing(),
    };
    let mut choice = encoder_choice(&args.encoder);
    // One query needs one worker, and one session opens sooner than two.
    choice.workers = choice.workers.or(Some(1));
    // What only lists needs no model.
    let lists = query.text.is_empty();
    let (opened, rerank) = if lists { (Mode::Lexical, None) } else { (mode, query.rerank) };
    let options = SearcherOptions {
        mode: opened,
        rerank,
        semantic_highlights: query.shaping.semantic_highlights && !lists,
        sparse: query.sparse_weight > 0.0,
    };
    let searcher = Searcher::open(home, &args.index, &choice, &options)?;
    let searcher = match rerank {
        Some(Rerank { by: Reranker::Cross, .. }) => searcher.with_cross_encoder(cross_encoder(home, args)?),
        _ => searcher,
    };
    let reply = searcher.search(&query)?;
    if args.log
        && !lists
        && let Err(error) = log_query(&args.index, &reply, SystemTime::now())
    {
        say(&format!("berth: the question is not logged: {error}"));
    }
    for warning in &reply.warnings {
        say(&format!("berth: {warning}"));
    }
    // Which weights counted is a part of how scores came about.
    let fusion = (args.explain && mode == Mode::Hybrid && !lists).then_some(resolved);
    if args.json {
        output::print_json(&Printed { reply: &reply, fusion })?;
    } else {
        output::print(&render(&reply, terms))?;
        if let Some(resolved) = fusion {
            let origin = match &fusion_args.profile {
                Some(path) => format!(" (of {})", path.display()),
                None if resolved.from_index => " (stored in the index)".to_owned(),
                None => String::new(),
            };
            output::print(&format!(
                "{}\n",
                paint(terms.quiet, format!("{}{origin}", weights::words(&resolved.into())))
            ))?;
        }
    }
    if let Some(suggestion) = reply.suggestion.as_ref().filter(|_| !args.json) {
        say(&format!("berth: did you mean: {suggestion}"));
    }
    if reply.hits.is_empty() && !args.json {
        say(&format!("berth: nothing found in {}", args.index.display()));
    }
    Ok(if reply.hits.is_empty() { Outcome::NothingFound } else { Outcome::Done })
}

fn cross_encoder(home: &Home, args: &SearchArgs) -> anyhow::Result<Encoder> {
    let Some(name) = &args.rerank.reranker else {
        let message = "--rerank cross needs the name of an installed cross-encoder: --reranker NAME";
        return Err(WrongUsage(message.to_owned()).into());
    };
    let choice = EncoderChoice { model: Some(name.clone()), ..EncoderChoice::default() };
    Ok(open_head(home, &choice, Head::Classify, None)?)
}

fn render(reply: &SearchReply, terms: Terms) -> String {
    let mut page = String::new();
    for hit in &reply.hits {
        render_hit(&mut page, hit, terms);
        page.push('\n');
    }
    for (field, counts) in &reply.facets {
        render_facet(&mut page, field, counts, terms);
    }
    if !reply.hits.is_empty() {
        let count = reply.hits.len();
        let noun = if count == 1 { "hit" } else { "hits" };
        let line = format!("{count} {noun} in {:.1} ms ({})", reply.took_ms, reply.mode.as_str());
        let _ = writeln!(page, "{}", paint(terms.quiet, line));
    }
    page
}

fn render_facet(page: &mut String, field: &str, counts: &[FacetCount], terms: Terms) {
    let value = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let counts = counts.iter().map(|of| format!("{} {}", printable(&value(&of.value)), grouped(of.count)));
    let counts = counts.collect::<Vec<_>>().join(" · ");
    let _ = writeln!(page, "{}  {counts}\n", paint(terms.title, printable(field)));
}

fn render_hit(page: &mut String, hit: &Hit, terms: Terms) {
    let name = if hit.title.is_empty() { file_name(&hit.document) } else { hit.title.clone() };
    let title = paint(terms.title, shorten(&printable(&name), terms.columns.saturating_sub(14)));
    // What was only listed has neither score nor relevance.
    let is_found = hit.dense.is_some() || hit.lexical.is_some() || hit.sparse.is_some();
    let score = if is_found { paint(terms.quiet, format!("{:.3}", hit.score)) } else { String::new() };
    let _ = writeln!(page, "{}", format!("{:>2}. {title}  {score}", hit.rank).trim_end());

    let mut facts = vec![place(hit), format!("bytes {}–{}", hit.chunk.start, hit.chunk.end)];
    let sources = [
        ("cross", hit.cross),
        ("late", hit.late),
        ("dense", hit.dense),
        ("lexical", hit.lexical),
        ("sparse", hit.sparse),
    ];
    for (name, source) in sources {
        if let Some(source) = source {
            facts.push(format!("{name} #{} {:.2}", source.rank, source.score));
        }
    }
    if hit.pinned {
        facts.push("pinned".to_owned());
    }
    if is_found {
        facts.push(format!("relevance {:.2}", hit.relevance));
    }
    let _ = writeln!(page, "{INDENT}{}", paint(terms.quiet, facts.join(" · ")));
    if !hit.folded.is_empty() {
        let ids: Vec<String> = hit.folded.iter().map(|id| printable(id)).collect();
        let _ = writeln!(page, "{INDENT}{}", paint(terms.quiet, format!("nearly the same: {}", ids.join(", "))));
    }
    for line in wrapped_snippet(hit, terms) {
        let _ = writeln!(page, "{INDENT}{line}");
    }
    if let Some(explanation) = &hit.explanation {
        explain(page, explanation, 0, terms);
    }
}

/// Where the document is, as short as it can be said from here, and its id where that says something else.
fn place(hit: &Hit) -> String {
    let source = hit.source.as_deref().unwrap_or(&hit.document);
    let here = std::env::current_dir().unwrap_or_default();
    let shown = Path::new(source).strip_prefix(here).map_or_else(|_| source.to_owned(), |p| p.display().to_string());
    if source == hit.document { printable(&shown) } else { printable(&format!("{} · {shown}", hit.document)) }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The best part of the chunk as lines, query terms painted.
fn wrapped_snippet(hit: &Hit, terms: Terms) -> Vec<String> {
    let ranges: Vec<_> = hit.highlights.iter().map(|&(start, end)| start..end).collect();
    let carrying = hit.semantic.as_ref().map(|semantic| &semantic.tokens);
    let carrying: Option<Vec<_>> = carrying.map(|tokens| tokens.iter().map(|&(start, end)| start..end).collect());
    let part = snippet(&hit.text, carrying.as_ref().unwrap_or(&ranges), SNIPPET_CHARS);
    let sentence = hit.semantic.as_ref().map_or(0..0, |semantic| semantic.sentence.0..semantic.sentence.1);
    let width = terms.columns.saturating_sub(INDENT.len());
    let mut lines = vec![String::new()];
    let mut used = 0;
    if part.start > 0 {
        lines[0].push('…');
        used = 1;
    }
    let mut words = words_of(&hit.text, part.clone()).peekable();
    while let Some((start, word)) = words.next() {
        let is_last = words.peek().is_none();
        let plain = printable(word);
        let columns = plain.width();
        let line_is_fresh = used == 0 || (used == 1 && part.start > 0 && lines.len() == 1);
        if !line_is_fresh {
            if used + 1 + columns > width {
                lines.push(String::new());
                used = 0;
            } else if let Some(line) = lines.last_mut() {
                line.push(' ');
                used += 1;
            }
        }
        if let Some(line) = lines.last_mut() {
            let word = painted(word, start, &ranges, terms);
            line.push_str(&if sentence.contains(&start) { paint(terms.underlined, word) } else { word });
            if is_last && part.end < hit.text.len() {
                line.push('…');
            }
        }
        used += columns;
    }
    lines
}

/// The words of a part of `text`, each with its byte position.
fn words_of(text: &str, part: std::ops::Range<usize>) -> impl Iterator<Item = (usize, &str)> {
    let offset = part.start;
    let slice = &text[part];
    slice.split_whitespace().map(move |word| (offset + (word.as_ptr().addr() - slice.as_ptr().addr()), word))
}

/// Paints those bytes of a word (which stands at `start`) that lie in one of the sorted ranges.
fn painted(word: &str, start: usize, ranges: &[std::ops::Range<usize>], terms: Terms) -> String {
    let mut out = String::new();
    let mut done = 0;
    for range in ranges.iter().filter(|range| range.end > start && range.start < start + word.len()) {
        let from = range.start.max(start) - start;
        let to = range.end.min(start + word.len()) - start;
        out.push_str(&printable(&word[done..from]));
        out.push_str(&paint(terms.match_, printable(&word[from..to])));
        done = to;
    }
    out.push_str(&printable(&word[done..]));
    out
}

fn explain(page: &mut String, explanation: &Explanation, depth: usize, terms: Terms) {
    let value = paint(terms.quiet, format!("{:>9.4}", explanation.value));
    let _ = writeln!(page, "{INDENT}{value}  {}{}", "  ".repeat(depth), printable(&explanation.label));
    for child in &explanation.children {
        explain(page, child, depth + 1, terms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_types::{HitChunk, SourceScore};

    use super::*;
    use crate::args::ColorChoice;

    fn hit(text: &str, highlights: Vec<(usize, usize)>) -> Hit {
        Hit {
            rank: 1,
            score: 0.8125,
            relevance: 0.625,
            document: "notes/harbour.md".into(),
            title: "Harbour".into(),
            source: Some("notes/harbour.md".into()),
            chunk: HitChunk { ordinal: 0, start: 0, end: text.len() },
            text: text.into(),
            dense: Some(SourceScore { rank: 2, score: 0.5 }),
            lexical: None,
            sparse: None,
            late: None,
            cross: None,
            semantic: None,
            folded: vec!["notes/copy.md".into()],
            pinned: false,
            highlights,
            explanation: None,
        }
    }

    fn empty() -> SearchReply {
        let (query, facets, warnings) = (String::new(), BTreeMap::new(), Vec::new());
        let suggestion = None;
        SearchReply { query, mode: Mode::Hybrid, took_ms: 0.0, hits: Vec::new(), facets, suggestion, warnings }
    }

    fn page(hit: Hit, color: ColorChoice) -> String {
        let reply = SearchReply { query: "q".into(), mode: Mode::Hybrid, took_ms: 1.25, hits: vec![hit], ..empty() };
        render(&reply, Terms { columns: 60, ..Terms::of(color) })
    }

    #[test]
    fn shows_a_hit_to_people() {
        let text = "A berth is a place\nwhere a ship lies at rest, tied to the quay by her lines.";
        insta::assert_snapshot!(page(hit(text, vec![(2, 7), (27, 31)]), ColorChoice::Never), @r"
         1. Harbour  0.812
            notes/harbour.md · bytes 0–76 · dense #2 0.50 · relevance 0.62
            nearly the same: notes/copy.md
            A berth is a place where a ship lies at rest, tied to
            the quay by her lines.

        1 hit in 1.2 ms (hybrid)
        ");
    }

    #[test]
    fn shows_counts_below_the_hits() {
        let count = |value: serde_json::Value, count| FacetCount { value, count };
        let facets = [
            ("lang".to_owned(), vec![count("ko".into(), 1200), count("en".into(), 3)]),
            ("year".to_owned(), vec![count(2020.into(), 1)]),
        ];
        let reply = SearchReply { facets: facets.into(), ..empty() };
        insta::assert_snapshot!(render(&reply, Terms { columns: 60, ..Terms::of(ColorChoice::Never) }), @r"
        lang  ko 1,200 · en 3

        year  2020 1
        ");
    }

    #[test]
    fn paints_query_terms() {
        let shown = page(hit("A berth, moored", vec![(2, 7)]), ColorChoice::Always);
        assert!(shown.contains("A \u{1b}[1m\u{1b}[33mberth\u{1b}[0m, moored"), "{shown:?}");
    }

    #[test]
    fn text_cannot_drive_the_terminal() {
        let shown = page(hit("evil \u{1b}[2J text", vec![]), ColorChoice::Never);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}
