use proptest::prelude::*;
use tantivy::schema::{FAST, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexWriter, doc};

use super::*;
use crate::analysis::{self, Analyses};

/// An index in memory: each inner list is one segment of (chunk number, title, text).
fn index(segments: &[Vec<(u64, &str, String)>]) -> (Searcher, Fields) {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(analysis::ANALYZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let text = TextOptions::default().set_indexing_options(indexing);
    let mut schema = Schema::builder();
    let fields = Fields {
        body: schema.add_text_field("body", text.clone()),
        title: schema.add_text_field("title", text),
        chunk_id: schema.add_u64_field("chunk_id", FAST | STORED),
        document_no: schema.add_u64_field("document_no", FAST),
    };
    let index = Index::create_in_ram(schema.build());
    analysis::register(&index);
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(tantivy::merge_policy::NoMergePolicy));
    for segment in segments {
        for (chunk_id, title, text) in segment {
            let body = format!("{title}\n{text}");
            writer
                .add_document(doc!(fields.body => body, fields.title => *title,
                    fields.chunk_id => *chunk_id, fields.document_no => chunk_id / 10))
                .unwrap();
        }
        writer.commit().unwrap();
    }
    (index.reader().unwrap().searcher(), fields)
}

fn asked(text: &str) -> AskedWords {
    AskedWords { words: plain_words(text, &Analyses::default()), title_boost: 0.0 }
}

fn search(searcher: &Searcher, fields: &Fields, text: &str, depth: usize) -> Result<LexicalAnswer, Error> {
    search_terms(searcher, fields, &asked(text), (None, None), depth)
}

fn one_segment(texts: &[(&'static str, &str)]) -> (Searcher, Fields) {
    index(&[texts.iter().zip(1..).map(|(&(title, text), number)| (number, title, text.to_owned())).collect()])
}

fn check(texts: &[(&'static str, &str)], query: &str, expected: &[u64]) {
    let (searcher, fields) = one_segment(texts);
    let answer = search(&searcher, &fields, query, 10).unwrap();
    let found: Vec<u64> = answer.hits.iter().map(|hit| hit.chunk_id).collect();
    assert_eq!(found, expected, "{query:?}");
}

#[test]
fn finds_words_however_they_are_written() {
    let texts =
        [("", "Cafés were running"), ("", "한국어를 배운다"), ("", "東京タワーに登る"), ("", "def get_file_name(x):")];
    check(&texts, "cafe run", &[1]);
    check(&texts, "한국어", &[2]);
    check(&texts, "タワー", &[3]);
    check(&texts, "file name", &[4]);
    check(&texts, "東", &[3]);
    check(&texts, "東 file", &[4]);
    check(&texts, "\"unbalanced (cafe AND -x title: OR *", &[1, 4]);
}

#[test]
fn a_title_word_is_looked_for_in_titles() {
    let texts = [("Cats", "about dogs"), ("Dogs", "about cats"), ("Birds", "about birds")];
    check(&texts, "title:cats", &[1]);
    check(&texts, "title:\"dogs", &[2]);
    check(&texts, "title: birds", &[3]);
    let (searcher, fields) = one_segment(&texts);
    assert_eq!(search(&searcher, &fields, "title:cats dogs", 9).unwrap().terms, ["title:cat", "dog"]);
}

#[test]
fn a_question_without_words_is_answered_with_a_warning() {
    let (searcher, fields) = one_segment(&[("", "text")]);
    for query in ["", " ", "\"?!", "\u{1f6a2}"] {
        let answer = search(&searcher, &fields, query, 10).unwrap();
        assert_eq!(answer.hits, []);
        assert_eq!(answer.warnings, ["the query has no searchable words"]);
    }
    assert_eq!(search(&searcher, &fields, "text", 0).unwrap().hits, []);
    let nothing = index(&[]);
    assert_eq!(search(&nothing.0, &nothing.1, "text", 5).unwrap().hits, []);
    assert_eq!(explain(&nothing.0, &nothing.1, &asked("text"), 5, None).unwrap(), []);
}

#[test]
fn a_pasted_document_counts_by_its_rarest_words() {
    let common = "common ".repeat(3);
    let words: Vec<String> = (0..2000).map(|number| format!("w{number}")).collect();
    let texts: Vec<(u64, &str, String)> = vec![(1, "", words.join(" ") + " common"), (2, "", common)];
    let (searcher, fields) = index(&[texts]);
    let long = format!("common {} absent", words.join(" "));
    let answer = search(&searcher, &fields, &long, 10).unwrap();
    assert_eq!(answer.warnings, ["the query has 2002 distinct words; only the rarest 1024 of them count"]);
    assert_eq!(answer.terms.len(), 1024);
    assert!(!answer.terms.contains(&"common".to_owned()));
    assert_eq!(answer.hits.len(), 1);
    let fitting = search(&searcher, &fields, &words[..1024].join(" "), 10).unwrap();
    assert_eq!((fitting.warnings, fitting.hits.len()), (vec![], 1));
}

#[test]
fn a_huge_word_is_found_by_itself() {
    let word = "x".repeat(100_000);
    let (searcher, fields) = one_segment(&[("", &word), ("", "y")]);
    let answer = search(&searcher, &fields, &word, 10).unwrap();
    assert_eq!(answer.hits.iter().map(|hit| hit.chunk_id).collect::<Vec<_>>(), [1]);
}

#[test]
fn ties_go_by_chunk_number_wherever_the_chunks_lie() {
    let text = |number: u64| (number, "", format!("alpha beta gamma {}", if number == 40 { "beta" } else { "delta" }));
    let together = index(&[vec![text(7), text(40), text(3), text(12), text(5)]]);
    let apart = index(&[vec![text(12), text(40)], vec![text(7)], vec![text(5), text(3)]]);
    for query in ["alpha gamma delta beta", "beta", "gamma alpha"] {
        let expected = search(&together.0, &together.1, query, 4).unwrap();
        assert_eq!(expected, search(&apart.0, &apart.1, query, 4).unwrap());
        assert_eq!(expected.hits.len(), 4);
        assert!(expected.hits.windows(2).all(|pair| {
            pair[0].score > pair[1].score || (pair[0].score == pair[1].score && pair[0].chunk_id < pair[1].chunk_id)
        }));
    }
}

#[test]
fn deleted_chunks_are_not_found() {
    let (searcher, fields) = one_segment(&[("", "alpha"), ("", "alpha beta")]);
    let mut writer: IndexWriter = searcher.index().writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(tantivy::merge_policy::NoMergePolicy));
    let beta = Term::from_field_text(fields.body, "beta");
    writer.delete_term(beta);
    writer.commit().unwrap();
    let searcher = searcher.index().reader().unwrap().searcher();
    let hits = search(&searcher, &fields, "alpha", 10).unwrap().hits;
    assert_eq!(hits.iter().map(|hit| hit.chunk_id).collect::<Vec<_>>(), [1]);
    assert_eq!(explain(&searcher, &fields, &asked("alpha"), 2, None).unwrap(), []);
}

#[test]
fn a_sample_by_hand() {
    let (searcher, fields) = one_segment(&[("", "alpha beta"), ("", "beta gamma delta beta")]);
    let scores = explain(&searcher, &fields, &asked("beta beta zeta gamma"), 2, None).unwrap();
    // Two chunks of 2 and 4 words: average 3, length factor 1.2 · (0.25 + 0.75 · 4 / 3) = 1.5.
    let beta = (1.0_f32 + 0.5 / 2.5).ln();
    let gamma = (1.0_f32 + 1.5 / 1.5).ln();
    let expected =
        [("beta", 2, 2, 2, beta, 2.0 * beta * 2.2 * 2.0 / 3.5), ("gamma", 1, 1, 1, gamma, gamma * 2.2 / 2.5)];
    assert_eq!(scores.len(), expected.len());
    for (score, (term, query_frequency, term_frequency, document_frequency, idf, value)) in scores.iter().zip(expected)
    {
        assert_eq!(
            (
                score.term.as_str(),
                score.query_frequency,
                score.term_frequency,
                score.document_frequency,
                score.field_length
            ),
            (term, query_frequency, term_frequency, document_frequency, 4)
        );
        assert!((score.idf - idf).abs() < 1e-6 && (score.score - value).abs() < 1e-6, "{score:?}");
    }
}

fn text_of(words: &[u8]) -> String {
    words.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
}

/// The answer by the scores of every chunk, as [`explain`] has them.
fn by_scoring_everything(
    (searcher, fields): &(Searcher, Fields),
    segments: &[Vec<(u64, &str, String)>],
    query: &str,
    depth: usize,
) -> Vec<ChunkHit> {
    let mut expected = Vec::new();
    for &(chunk_id, ..) in segments.iter().flatten() {
        let scores = explain(searcher, fields, &asked(query), chunk_id, None).unwrap();
        if !scores.is_empty() {
            let score = scores.iter().map(|score| f64::from(score.score)).sum::<f64>() as f32;
            let Plan { terms, .. } = query::plan(searcher, fields, &asked(query), None).unwrap();
            let has = |term: &&QueryTerm| scores.iter().any(|score| score.term == term.name(fields));
            let coverage = terms.iter().filter(has).map(|term| term.share).sum::<f32>().min(1.0);
            expected.push(ChunkHit { chunk_id, document_no: chunk_id / 10, score, coverage });
        }
    }
    expected.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk_id.cmp(&b.chunk_id)));
    expected.truncate(depth);
    expected
}

/// A chunk of `length` words, `common` of them the same, and rare ones that no question has.
fn chunk_of(length: u64, common: u64) -> String {
    "common ".repeat(common as usize) + &"rare ".repeat((length - common) as usize)
}

/// Two words, because the engine prunes for several only; the one that nearly every chunk has counts next to nothing.
const QUESTION: &str = "common rare";

/// A segment of as many chunks as `shapes` says: how many, of which length, with how much of the common word.
fn segment_of(first: u64, shapes: &[(usize, u64, u64)]) -> Vec<(u64, &'static str, String)> {
    let chunks = shapes.iter().flat_map(|&(chunks, length, common)| std::iter::repeat_n((length, common), chunks));
    (first..).zip(chunks).map(|(number, (length, common))| (number, "", chunk_of(length, common))).collect()
}

/// A segment's 128 chunks with the word are one block, for which the pair of length and frequency stands that is best
/// by the segment's own average length. By the average over all segments, 120, the 51st chunk is better: better than
/// the one chunk of the larger segment that is searched first, of which the pair falls short by more than 1 %.
#[test]
fn segments_of_unlike_length_are_searched_exactly_where_a_block_is_judged_by_its_own() {
    // Chunks of the larger segment, then of the smaller; each time the winner stands between others of its block.
    let short_beside_long: [&[_]; 2] =
        [&[(1, 120, 8), (899, 165, 0)], &[(50, 10, 2), (1, 100, 9), (77, 10, 2), (384, 50, 0)]];
    let long_beside_short: [&[_]; 2] =
        [&[(1, 100, 5), (899, 74, 0)], &[(50, 408, 14), (1, 5, 2), (77, 408, 14), (384, 132, 0)]];
    for shapes in [short_beside_long, long_beside_short] {
        let segments = [segment_of(1, shapes[0]), segment_of(1001, shapes[1])];
        let index = index(&segments);
        let expected = by_scoring_everything(&index, &segments, QUESTION, 129);
        assert_eq!((expected[0].chunk_id, expected[1].chunk_id), (1051, 1), "the case is what it is meant to be");
        for depth in [1, 2, 3, 129] {
            assert_eq!(search(&index.0, &index.1, QUESTION, depth).unwrap().hits, expected[..depth], "best {depth}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn segments_of_many_blocks_are_searched_exactly(
        shapes in prop::collection::vec((400..700_u64, 1..120_u64, 0..u64::MAX), 2..4),
        depth in 1..12_usize,
    ) {
        let mut number = 0;
        let mut segments = Vec::new();
        for (chunks, length, mut state) in shapes {
            let mut dice = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let segment: Vec<(u64, &str, String)> = (0..chunks).map(|_| {
                number += 1;
                let common = dice(6) * dice(2) + 1;
                (number, "", chunk_of(common + dice(length * 2), common))
            }).collect();
            segments.push(segment);
        }
        let index = index(&segments);
        let expected = by_scoring_everything(&index, &segments, QUESTION, depth);
        prop_assert_eq!(search(&index.0, &index.1, QUESTION, depth).unwrap().hits, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_answer_is_what_scoring_everything_gives(
        segments in prop::collection::vec(prop::collection::vec(prop::collection::vec(0..12_u8, 0..30), 1..60), 1..4),
        query in prop::collection::vec(0..14_u8, 1..8),
        depth in 1..20_usize,
    ) {
        let mut number = 1000;
        let segments: Vec<Vec<(u64, &str, String)>> = segments.iter().map(|segment| segment.iter().map(|words| {
            number -= 1;
            (number, "", text_of(words))
        }).collect()).collect();
        let index = index(&segments);
        let query = text_of(&query);
        let answer = search(&index.0, &index.1, &query, depth).unwrap();
        let expected = by_scoring_everything(&index, &segments, &query, depth);
        prop_assert_eq!(answer.hits, expected);
    }

    #[test]
    fn no_question_is_an_error(query in "\\PC{0,40}|(title:|\"|'|\\(| |a|b){0,20}") {
        let (searcher, fields) = one_segment(&[("a", "b a"), ("b", "한국어")]);
        search(&searcher, &fields, &query, 3).unwrap();
    }
}

#[test]
fn a_title_boost_adds_what_the_title_alone_scores_and_says_so() {
    let (searcher, fields) = one_segment(&[("alpha beta", "gamma"), ("delta", "alpha gamma"), ("", "alpha")]);
    let with_boost = |title_boost| AskedWords { title_boost, ..asked("alpha gamma") };
    let answer = |title_boost| search_terms(&searcher, &fields, &with_boost(title_boost), (None, None), 9).unwrap();
    let (plain, boosted) = (answer(0.0), answer(0.5));
    assert_eq!(plain, search(&searcher, &fields, "alpha gamma", 9).unwrap());
    let score = |answer: &LexicalAnswer, id| answer.hits.iter().find(|hit| hit.chunk_id == id).unwrap().score;
    let title = search(&searcher, &fields, "title:alpha", 9).unwrap();
    assert_eq!(title.hits.len(), 1);
    assert!((score(&boosted, 1) - score(&plain, 1) - 0.5 * title.hits[0].score).abs() < 1e-6);
    assert_eq!((score(&boosted, 2), score(&boosted, 3)), (score(&plain, 2), score(&plain, 3)));
    let coverage = |answer: &LexicalAnswer| {
        answer.hits.iter().map(|hit| (hit.chunk_id, hit.coverage)).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(coverage(&plain), coverage(&boosted), "a word is covered once");
    assert_eq!(boosted.ceiling_of_words(), plain.ceiling());
    assert!(boosted.ceiling() > plain.ceiling() && boosted.hits.iter().all(|hit| hit.score <= boosted.ceiling()));
    let parts = explain(&searcher, &fields, &with_boost(0.5), 1, None).unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part.term.as_str()).collect();
    assert_eq!(names, ["alpha", "gamma", "title:alpha"]);
    let sum = parts.iter().map(|part| f64::from(part.score)).sum::<f64>() as f32;
    assert_eq!(sum, score(&boosted, 1));
}
