//! Kills the indexing process at random moments: what was committed stays, in both halves, and is not embedded again.

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use support::{Ended, Workplace, number, write_rows};

/// Kills in all; with `BERTH_LONG` set, `KILLS_LONG`.
const KILLS: usize = 25;
const KILLS_LONG: usize = 200;
/// Every so many kills, one does not wait for a commit: it meets a run that starts, reads, or embeds its first documents.
const EARLY_EVERY: usize = 5;
const DOCUMENTS: usize = 4_000;
const SEED: u64 = 20_261_122;

/// A small generator (splitmix64), so that the moments can be repeated.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn kill_9_loses_nothing_that_was_committed() {
    let place = Workplace::new();
    write_rows(&place, "corpus.jsonl", DOCUMENTS);
    // One thread, so that there is enough to interrupt on a machine with many cores.
    let words =
        ["index", "corpus.jsonl", "--index", "index", "--commit-seconds", "1", "--threads", "1", "--json", "--quiet"];
    let wanted = if std::env::var_os("BERTH_LONG").is_some() { KILLS_LONG } else { KILLS };
    let mut state = SEED;
    let (mut kills, mut kills_after_a_commit) = (0, 0);
    let mut most_committed = 0;
    while kills < wanted {
        let before = place.generation();
        let mut child = place.start(&words);
        if kills % EARLY_EVERY != EARLY_EVERY - 1 {
            place.wait_for_commit(&mut child, before);
        }
        // Commits are a second apart: any step between two of them, and of the second one, may be the last.
        thread::sleep(Duration::from_millis(next(&mut state) % 1_000));
        if child.try_wait().unwrap().is_some() {
            let ended = Ended::from(child.wait_with_output().unwrap()).expect_code(0);
            assert!(ended.stderr.is_empty(), "{}", ended.stderr);
            // Done: begin anew, so that there is always something to interrupt.
            std::fs::remove_dir_all(place.index()).unwrap();
            most_committed = 0;
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if !berth_index_exists(&place) {
            continue;
        }
        place.run(&["verify", "--index", "index"]).expect_code(0);
        let status = place.status_json();
        kills_after_a_commit += usize::from(number(&status, "generation") > before);
        let documents = number(&status, "documents");
        assert_eq!(number(&status, "lexical_chunks"), number(&status, "dense_rows"));
        assert!(documents >= most_committed, "{documents} after {most_committed}: committed documents were lost");
        most_committed = documents;
    }
    assert!(kills_after_a_commit * 4 >= wanted * 3, "only {kills_after_a_commit} of {wanted} runs committed anything");
    let committed = if berth_index_exists(&place) { number(&place.status_json(), "chunks") } else { 0 };
    let rest = ["index", "corpus.jsonl", "--index", "index", "--json", "--quiet"];
    let report = place.run(&rest).expect_code(0).json();
    assert_eq!(number(&report, "embedded") + committed, DOCUMENTS as u64, "chunks were embedded twice");
    let status = place.status_json();
    assert_eq!(number(&status, "documents"), DOCUMENTS as u64);
    assert_eq!(number(&status, "chunks"), DOCUMENTS as u64);
    place.run(&["verify", "--index", "index"]).expect_code(0);

    let reply = place.search_json("report", &["--mode", "lexical", "-k", "10000"]);
    let found: HashSet<&str> =
        reply["hits"].as_array().unwrap().iter().map(|hit| hit["document"].as_str().unwrap()).collect();
    assert_eq!(found.len(), DOCUMENTS, "a document is missing or stands twice");
}

fn berth_index_exists(place: &Workplace) -> bool {
    place.index().join("lexical/meta.json").is_file()
}
