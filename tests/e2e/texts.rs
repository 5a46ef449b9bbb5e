//! What commands over texts promise beside their answers: files that are whole, numbers that are numbers, signals, memory,
//! exit codes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ended, number};
use crate::tiny::{Tiny, floats, lines};

/// Shape that the head of an array states, and the numbers behind it.
fn array(path: &Path) -> (String, usize) {
    let bytes = fs::read(path).expect("an array");
    let head = String::from_utf8_lossy(&bytes[..128]).into_owned();
    let shape = head.split("'shape': ").nth(1).and_then(|rest| rest.split(')').next()).expect("a shape").to_owned();
    (shape + ")", (bytes.len() - 128) / 4)
}

#[test]
fn arrays_are_as_wide_as_their_head_says() {
    // Behind the pooling lies a Dense module from 32 to 24 values, which another pooling leaves out.
    let tiny = Tiny::new("bert-sentence");
    for (more, width) in
        [(&[][..], 24), (&["--pooling", "mean"], 32), (&["--pooling", "mean", "--dimensions", "28"], 28)]
    {
        let words = [&["embed", "--format", "npy", "--out", "v.npy", "a", "b"], more].concat();
        tiny.run(&words).expect_code(0).expect_message(&[&format!("2 vectors of {width} values")]);
        assert_eq!(array(&tiny.place.path("v.npy")), (format!("(2, {width})"), 2 * width));
    }
    tiny.run(&["embed", "--dimensions", "28", "a"]).expect_code(2).expect_message(&["28", "24"]);
    tiny.run(&["embed", "--pooling", "cls", "--dimensions", "33", "a"]).expect_code(2).expect_message(&["33", "32"]);
}

#[test]
fn layers_are_those_that_were_asked_for() {
    let tiny = Tiny::new("bert-base");
    let text = "déjà vu, the cat";
    let tokens = lines(&tiny.run(&["embed", "--tokens", text]).expect_code(0)).remove(0);
    let row = lines(&tiny.run(&["embed", "--layers", "2,0", text]).expect_code(0)).remove(0);
    assert_eq!((&row["ids"], &row["bytes"]), (&tokens["ids"], &tokens["bytes"]));
    let layers = row["layers"].as_array().expect("layers");
    assert_eq!(layers.iter().map(|layer| number(layer, "layer")).collect::<Vec<_>>(), [2, 0]);
    // The last layer has what --tokens gives.
    let vectors = |value: &Value| value["vectors"].as_array().expect("vectors").iter().map(floats).collect::<Vec<_>>();
    for (one, other) in vectors(&layers[0]).iter().zip(&vectors(&tokens)) {
        assert!(one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5));
    }
    assert_eq!(vectors(&layers[1]).len(), row["ids"].as_array().expect("ids").len());

    let refused = |layers: &str, words: &[&str]| {
        tiny.run(&["embed", "--layers", layers, "a"]).expect_code(2).expect_message(words);
    };
    refused("1,3", &["layer 3", "the last one is 2"]);
    refused("1,1", &["layer 1", "twice"]);
    refused("one", &["one", "--layers"]);
    tiny.run(&["embed", "--layers", "1", "--tokens", "a"]).expect_code(2);
    tiny.run(&["embed", "--layers", "1", "--format", "npy", "--out", "x", "a"]).expect_code(2);
    let long = "the cat sat on the mat ".repeat(300);
    tiny.run(&["embed", "--layers", "1", &long]).expect_code(1).expect_message(&["--truncate"]);
    let cut = lines(&tiny.run(&["embed", "--layers", "1", "--truncate", &long]).expect_code(0)).remove(0);
    assert!(number(&cut, "truncated") > 500);
}

#[test]
fn a_text_without_tokens_is_one_window() {
    let tiny = Tiny::new("bert-base");
    for text in ["", "  "] {
        let whole = lines(&tiny.run(&["embed", text]).expect_code(0)).remove(0);
        let windows = lines(&tiny.run(&["embed", "--windows", text]).expect_code(0));
        assert_eq!(windows.len(), 1);
        assert_eq!((number(&windows[0], "window"), number(&windows[0], "tokens")), (0, 0));
        assert_eq!(windows[0]["embedding"], whole["embedding"]);
    }
}

#[test]
fn a_place_among_documents_counts_documents() {
    let tiny = Tiny::new("bert-cross-encoder");
    let input = "\"law\"\n\nbad\n{\"text\":\"a\",\"text_pair\":\"b\"}\n\"heat\"\n\"cold\"\n";
    let rows =
        lines(&tiny.run_with(&["rerank", "heat flow"], input).expect_code(1).expect_message(&["text 3", "text 4"]));
    let mut places: Vec<u64> = rows.iter().map(|row| number(row, "index")).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}

#[test]
fn entities_begin_and_end_with_what_can_be_seen() {
    let tiny = Tiny::new("modernbert-entities");
    let text = "Maria  went   to    Berlin and  London   with   the  University \n of  Oxford  . ".repeat(3);
    for strategy in ["simple", "first", "max", "average"] {
        let row = lines(&tiny.run(&["entities", "--strategy", strategy, &text]).expect_code(0)).remove(0);
        for entity in row["entities"].as_array().expect("entities") {
            let found = entity["text"].as_str().expect("a text");
            assert_eq!(found.trim(), found, "{strategy}");
            assert_eq!(found, &text[number(entity, "start") as usize..number(entity, "end") as usize]);
        }
    }
}

#[cfg(unix)]
#[test]
fn results_go_into_pipes_and_through_links() {
    let tiny = Tiny::new("bert-base");
    let at = |name: &str| tiny.place.path(name);
    fs::create_dir(at("folder")).expect("a folder");
    fs::write(at("folder/v.jsonl"), "old").expect("a file");
    std::os::unix::fs::symlink("folder/v.jsonl", at("link")).expect("a link");
    let expected = tiny.run(&["embed", "a"]).expect_code(0).stdout;
    tiny.run(&["embed", "--out", "link", "a"]).expect_code(0);
    assert!(at("link").is_symlink());
    assert_eq!(fs::read_to_string(at("folder/v.jsonl")).expect("lines"), expected);
    assert_eq!(tiny.run(&["embed", "--out", "/dev/stdout", "a"]).expect_code(0).stdout, expected);

    assert!(Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo").success());
    for (words, part) in
        [(&["embed", "--out", "pipe", "a"], "embedding"), (&["attention", "--html", "pipe", "a"], "<html")]
    {
        let reader = thread::spawn({
            let pipe = at("pipe");
            move || fs::read_to_string(pipe).expect("what was written")
        });
        tiny.run(words).expect_code(0);
        assert!(reader.join().expect("a reader").contains(part));
        assert!(!at("pipe").is_file(), "the pipe is there still");
    }
    tiny.run(&["embed", "--format", "npy", "--out", "pipe", "a"]).expect_code(2).expect_message(&["pipe", "regular"]);
    tiny.run(&["embed", "--out", "folder", "a"]).expect_code(2).expect_message(&["folder"]);
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_file_behind() {
    let tiny = Tiny::new("bert-base");
    tiny.run(&["embed", "--tokens", "a"]).expect_code(0);
    let out = tiny.place.path("out");
    fs::create_dir(&out).expect("a folder");
    let files = || fs::read_dir(&out).expect("a folder").count();
    for format in ["jsonl", "npy", "parquet"] {
        for signal in ["-INT", "-TERM"] {
            let mut child = tiny.start(&["embed", "--format", format, "--out", "out/v"]);
            let mut stdin = child.stdin.take().expect("a pipe");
            // The input stays open: the run waits for more.
            stdin.write_all(b"\"a\"\n").expect("a line is written");
            let deadline = Instant::now() + Duration::from_secs(60);
            while files() == 0 && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            assert!(files() > 0, "no file was begun");
            // The file is begun a moment before the signals are listened to.
            thread::sleep(Duration::from_millis(200));
            let signalled = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
            assert!(signalled.success());
            let ended = Ended::from(child.wait_with_output().expect("the binary ends")).expect_code(130);
            assert_eq!((files(), ended.stdout.as_str()), (0, ""), "{format}");
        }
    }
}

#[test]
fn exit_codes_tell_a_wrong_word_from_a_broken_model() {
    let tiny = Tiny::new("bert-base");
    for words in [&["--device", "cuda"][..], &["--precision", "q4"], &["--memory-limit", "30MB"], &["--threads", "1"]] {
        let words = [&["tokens"], words, &["x"]].concat();
        tiny.run(&words).expect_code(2).expect_message(&["unexpected argument"]);
    }
    for floor in ["nan", "inf", "much"] {
        tiny.run(&["embed", "--sparse", "--floor", floor, "a"]).expect_code(2).expect_message(&[floor, "a number"]);
    }
    let rows = tiny.place.write("rows.jsonl", "\"a ship\"\n{\"title\":\"Log\",\"text\":\"a berth\"}\n");
    let rows = rows.to_str().expect("a path in UTF-8");
    let bench =
        |rows: &str| tiny.run(&["bench", "encode", "--seconds", "0.1", "--threads", "1", "--json", "--texts", rows]);
    assert_eq!(number(&bench(rows).expect_code(0).json(), "rows"), 2);
    let bad = tiny.place.write("bad.jsonl", "\"a ship\"\n7\n");
    bench(bad.to_str().expect("a path in UTF-8")).expect_code(2).expect_message(&["bad.jsonl line 2", "neither"]);

    let card = tiny.place.path("home/models/tiny/card.toml");
    fs::write(&card, fs::read_to_string(&card).expect("a card") + "\nnonsense = \n").expect("a broken card");
    tiny.run(&["embed", "a"]).expect_code(4).expect_message(&["card.toml"]);
    let masked = Tiny::new("bert-mlm");
    masked.run(&["fill-mask", "--perplexity", ""]).expect_code(1).expect_message(&["no tokens to measure"]);
}

/// Most resident memory of a process, in MiB, looked at until it ends.
#[cfg(target_os = "linux")]
fn peak_mib(words: &[&str], tiny: &Tiny, input: &str) -> u64 {
    let mut child = tiny.start(words);
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let input = input.to_owned();
    let writer = thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let reader = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("a process").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) / 1024);
        thread::sleep(Duration::from_millis(5));
    }
    writer.join().expect("the input was written");
    reader.join().expect("a reader").expect("the output was read");
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_input() {
    let tiny = Tiny::new("bert-base");
    let words = ["embed", "--truncate", "--threads", "1"];
    let line = format!("{}\n", Value::from("the cat sat on the mat ".repeat(20_000)));
    // What is read and not answered is bounded in bytes: many lines take no more than a few.
    let few = peak_mib(&words, &tiny, &line.repeat(3));
    let many = peak_mib(&words, &tiny, &line.repeat(16));
    assert!(many < few + 24, "{few} MiB with three lines, {many} MiB with sixteen");
    // An answer that would go beyond the limit is refused, and the next text is answered.
    let tokens = ["embed", "--tokens", "--memory-limit", "100MiB"];
    let long = format!("{}\n\"a\"\n", Value::from("the cat sat on the mat ".repeat(90_000)));
    let ended = tiny.run_with(&tokens, &long).expect_code(1).expect_message(&["text 1", "memory limit of 100.0 MiB"]);
    assert_eq!(lines(&ended).len(), 1);
    assert!(peak_mib(&tokens, &tiny, &long) <= 110);
    // A line without end is passed over, not held.
    let endless = "x".repeat(100 << 20);
    let input = format!("{endless}\n\"a\"\n");
    let ended = tiny.run_with(&words, &input).expect_code(1).expect_message(&["text 1", "104857600 bytes"]);
    assert_eq!(lines(&ended).len(), 1);
    let peak = peak_mib(&words, &tiny, &input);
    assert!(peak < few + 64, "{peak} MiB");
}
