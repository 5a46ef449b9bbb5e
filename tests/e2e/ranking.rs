//! What is made of the passages that were found: scores that add up, passages, novelty, near-copies, relevance.

use serde_json::Value;

use crate::support::{Workplace, number, write_harbour};
use crate::tiny::{Tiny, lines};

/// Checks that the value of every node is what its label says of its children, and returns the value.
#[track_caller]
fn readd(node: &Value) -> f64 {
    let label = node["label"].as_str().unwrap();
    let value = node["value"].as_f64().unwrap();
    let children: Vec<f64> = node["children"].as_array().into_iter().flatten().map(readd).collect();
    let formula = label.split_once(" = ").map_or("", |(_, formula)| formula);
    let expected = match children.as_slice() {
        [] => value,
        // A place has the score that led to it below, which is no part of its arithmetic.
        [_] if label.starts_with("place in the") => value,
        [before] if formula.starts_with("score before; folded in") => *before,
        parts if formula == "product" => parts.iter().product(),
        [share, coverage] if label.starts_with("covered share") => share * (share * coverage).sqrt(),
        parts if formula.starts_with("sum over") || formula.contains(" + ") && !formula.contains('/') => {
            parts.iter().sum()
        }
        parts if formula.starts_with("mean over") => parts.iter().sum::<f64>() / parts.len() as f64,
        [weight, k, place] if formula == "2 · weight / (k + place)" => 2.0 * weight / (k + place),
        [score, low, span] if formula.ends_with("− low) / span") => {
            if *span > 0.0 {
                (score - low) / span
            } else {
                0.0
            }
        }
        [first, later] if label.starts_with("gap") => {
            if *first > 0.0 {
                1.0 - later / first
            } else {
                0.0
            }
        }
        [cosine, highest] if label.starts_with("agreement") => {
            if *highest > 0.0 {
                (cosine / highest).clamp(0.0, 1.0)
            } else {
                1.0
            }
        }
        [part, whole] if label.starts_with("share") || label.starts_with("mean cosine") => {
            if *whole > 0.0 {
                part / whole
            } else {
                0.0
            }
        }
        _ => panic!("a node that nobody can check: {node}"),
    };
    assert!((value - expected).abs() <= 1e-5 * value.abs().max(1.0), "{value} is not {expected}: {node}");
    value
}

/// Texts long enough for several windows, about one subject each.
fn write_long(place: &Workplace) {
    for (name, words) in [("crane", "crane lifts cargo"), ("tide", "tide lifts ships"), ("bread", "oven bakes bread")] {
        let sentence =
            |n: usize| format!("In year {n} the {words} at pier {}, as the harbour log of that day says. ", n % 7);
        place.write(&format!("docs/{name}.txt"), (1900..1960).map(sentence).collect::<String>());
    }
}

#[test]
fn every_score_can_be_added_up() {
    let place = Workplace::new();
    write_long(&place);
    place.index_json("docs", &[]);
    let ways: [&[&str]; 14] = [
        &[],
        &["--fusion", "convex"],
        &["--fusion", "convex", "--normalize", "min-max"],
        &["--fusion", "convex", "--normalize", "z-score"],
        &["--fusion", "convex", "--normalize", "bounds"],
        &["--fusion", "rrf", "--rrf-k", "10", "--dense-weight", "0.7"],
        &["--mode", "dense"],
        &["--mode", "lexical"],
        &["--aggregate", "top-mean:2"],
        &["--aggregate", "sum"],
        &["--aggregate", "first"],
        &["--passages"],
        &["--diversity", "0.4"],
        &["--diversity", "0.4", "--mode", "lexical", "--passages", "--collapse"],
    ];
    for way in ways {
        let reply = place.search_json("which crane lifts cargo at pier 3", &[way, &["--explain"]].concat());
        assert!(!reply["hits"].as_array().unwrap().is_empty(), "{way:?}");
        for hit in reply["hits"].as_array().unwrap() {
            let (total, score) = (readd(&hit["explanation"]), hit["score"].as_f64().unwrap());
            assert!((total - score).abs() < 1e-5, "{way:?}: {total} is not {score}: {hit}");
        }
    }
}

#[test]
fn documents_score_by_the_rule_and_passages_for_themselves() {
    let place = Workplace::new();
    write_long(&place);
    place.index_json("docs", &[]);
    let ask = |more: &[&str]| place.search_json("crane lifts cargo", more);
    let score = |reply: &Value| reply["hits"][0]["score"].as_f64().unwrap();
    let best = ask(&["--mode", "lexical"]);
    let sum = ask(&["--mode", "lexical", "--aggregate", "sum"]);
    let mean = ask(&["--mode", "lexical", "--aggregate", "top-mean"]);
    assert!(score(&sum) > score(&best) && score(&best) >= score(&mean), "{sum} {best} {mean}");
    let first = ask(&["--aggregate", "first"]);
    assert!(first["hits"].as_array().unwrap().iter().all(|hit| number(&hit["chunk"], "ordinal") == 0), "{first}");

    let passages = ask(&["--passages"]);
    let hits = passages["hits"].as_array().unwrap();
    let of_crane = |hit: &&Value| hit["document"].as_str().unwrap().ends_with("crane.txt");
    assert!(hits.iter().filter(of_crane).count() > 1, "{passages}");
    let mut places: Vec<_> = hits.iter().map(|hit| (hit["document"].to_string(), hit["chunk"].to_string())).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), hits.len(), "each passage once");
}

#[test]
fn one_long_document_does_not_keep_others_out() {
    let tiny = Tiny::new("bert-sentence");
    let sentences = (0..700).map(|n| format!("harbour harbour harbour crane {n}. "));
    tiny.place.write("docs/long.txt", sentences.collect::<String>());
    for n in 0..5 {
        tiny.place.write(
            &format!("docs/short {n}.txt"),
            format!("A harbour, and beside it {n} other things that have words."),
        );
    }
    tiny.run(&["index", "docs", "--index", "index", "--window", "16", "--overlap", "2", "--quiet"]).expect_code(0);
    for more in
        [&[][..], &["--aggregate", "first"], &["--mode", "lexical"], &["--mode", "lexical", "--aggregate", "first"]]
    {
        let reply = tiny.run(&[&["search", "harbour crane", "--index", "index", "--json"], more].concat()).json();
        assert_eq!(reply["hits"].as_array().unwrap().len(), 6, "{more:?}: {reply}");
    }
}

#[test]
fn near_copies_are_folded_and_named() {
    let place = Workplace::new();
    write_harbour(&place);
    let text = std::fs::read_to_string(place.path("docs/berth.md")).unwrap();
    place.write("docs/copy.md", text.replace("the quay", "a quay"));
    place.index_json("docs", &[]);
    let plain = place.search_json("where is a ship moored", &[]);
    assert_eq!(plain["hits"].as_array().unwrap().len(), 4);
    let folded = place.search_json("where is a ship moored", &["--collapse=0.5", "--explain"]);
    let hits = folded["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 3, "{folded}");
    let both = [hits[0]["document"].as_str().unwrap(), hits[0]["folded"][0].as_str().unwrap()];
    assert!(
        both.iter().any(|id| id.ends_with("copy.md")) && both.iter().any(|id| id.ends_with("berth.md")),
        "{both:?}"
    );
    assert!(hits[1..].iter().all(|hit| hit["folded"].is_null()), "{folded}");
    let (told, plain) = (&hits[0]["explanation"], &hits[1]["explanation"]);
    let label = told["label"].as_str().unwrap();
    assert!(label.contains(both[1]) && label.contains("cosine"), "{label}");
    assert!((readd(told) - hits[0]["score"].as_f64().unwrap()).abs() < 1e-5, "{told}");
    assert!(!plain["label"].as_str().unwrap().contains("folded"), "{plain}");

    // Without folding, likeness can cost so much that the copy comes last.
    let diverse = place.search_json("where is a ship moored", &["--diversity", "0.7"]);
    let last = diverse["hits"][3]["document"].as_str().unwrap();
    assert!(last.ends_with("copy.md") || last.ends_with("berth.md"), "{diverse}");
}

#[test]
fn an_answer_can_be_that_nothing_is_relevant() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    for mode in ["hybrid", "dense", "lexical"] {
        let reply = place.search_json("a ship is moored to the quay in a harbour", &["--mode", mode]);
        let relevance: Vec<f64> =
            reply["hits"].as_array().unwrap().iter().map(|hit| hit["relevance"].as_f64().unwrap()).collect();
        assert!(relevance.iter().all(|relevance| (0.0..=1.0).contains(relevance)), "{reply}");
        assert!(relevance[0] > 0.2 && relevance[0] > 4.0 * relevance[1], "{reply}");
    }
    let words = ["search", "the price of tulips", "--index", "index", "--min-relevance", "0.6"];
    place.run(&words).expect_code(3).expect_message(&["nothing relevant", "below 0.60"]);
    let reply = place.run(&[&words[..], &["--json"]].concat()).expect_code(3).json();
    assert_eq!(reply["hits"].as_array().unwrap().len(), 0);
    assert!(reply["warnings"][0].as_str().unwrap().contains("nothing relevant"), "{reply}");
}

#[test]
fn a_sentence_and_its_words_carry_the_match() {
    let place = Workplace::new();
    let text = "Bread is baked in an oven. A vessel lies at the quay until the tide turns. Stars are far away.";
    place.write("docs/mixed.txt", text);
    place.index_json("docs", &[]);
    let reply = place.search_json("a ship in the harbour", &["--highlight", "semantic"]);
    let range = |value: &Value| value[0].as_u64().unwrap() as usize..value[1].as_u64().unwrap() as usize;
    let semantic = &reply["hits"][0]["semantic"];
    let sentence = range(&semantic["sentence"]);
    assert!(text[sentence.clone()].starts_with("A vessel lies at the quay"), "{semantic}");
    let tokens: Vec<_> = semantic["tokens"].as_array().unwrap().iter().map(range).collect();
    assert!(
        !tokens.is_empty() && tokens.iter().all(|token| sentence.start <= token.start && token.end <= sentence.end)
    );
    let carrying: Vec<&str> = tokens.iter().map(|token| &text[token.clone()]).collect();
    assert!(carrying.iter().any(|word| word.contains("vessel") || word.contains("quay")), "{carrying:?}");
    assert!(place.search_json("a ship", &[])["hits"][0]["semantic"].is_null());

    let words = ["search", "a ship", "--index", "index", "--highlight", "semantic", "--color", "always"];
    let page = place.run(&words).expect_code(0).stdout;
    assert!(page.contains("\u{1b}[4mvessel"), "{page:?}");
}

#[test]
fn a_cross_encoder_orders_anew_for_as_long_as_it_may() {
    let tiny = Tiny::new("bert-cross-encoder");
    write_harbour(&tiny.place);
    tiny.place.index_json("docs", &[]);
    let ask = |more: &[&str]| {
        let words = ["search", "a ship is in the oven", "--index", "index", "--mode", "lexical", "--json", "--explain"];
        lines(&tiny.run(&[&words[..], more].concat()).expect_code(0)).remove(0)
    };
    let plain = ask(&[]);
    for weight in ["1", "0.5"] {
        let reply = ask(&["--rerank", "cross", "--reranker", "tiny", "--rerank-weight", weight]);
        let hits = reply["hits"].as_array().unwrap();
        assert_eq!(hits.len(), plain["hits"].as_array().unwrap().len());
        for (hit, place) in hits.iter().zip(1..) {
            assert_eq!(number(&hit["cross"], "rank"), place, "{hit}");
            let (total, score) = (readd(&hit["explanation"]), hit["score"].as_f64().unwrap());
            assert!((total - score).abs() < 1e-5 && (0.0..=1.0).contains(&score), "{hit}");
        }
        assert!(hits.is_sorted_by(|a, b| a["score"].as_f64() >= b["score"].as_f64()), "{reply}");
        assert!(reply["warnings"].is_null(), "{reply}");
    }
    let words = ["search", "ship", "--index", "index", "--mode", "lexical", "--rerank", "cross"];
    tiny.run(&words).expect_code(2).expect_message(&["--reranker"]);
}
