//! How long it takes to cut texts of several kinds into windows, token offsets given.

use std::fmt::Write as _;
use std::ops::Range;

use berth_chunker::{WindowOptions, windows};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Offsets of pieces of at most four characters that do not cross white space: about as many as a WordPiece model makes.
fn offsets(text: &str) -> Vec<Range<u32>> {
    let mut offsets: Vec<Range<u32>> = Vec::new();
    let mut characters = 0;
    for (start, character) in text.char_indices() {
        let end = (start + character.len_utf8()) as u32;
        if character.is_whitespace() {
            characters = 0;
        } else if characters == 0 || characters == 4 {
            offsets.push(start as u32..end);
            characters = 1;
        } else if let Some(last) = offsets.last_mut() {
            last.end = end;
            characters += 1;
        }
    }
    offsets
}

/// Numbered clauses under headings, as in a merger agreement of 321,000 characters.
fn contract() -> String {
    let mut text = String::new();
    for section in 0_u32.. {
        if text.len() >= 321_000 {
            break;
        }
        write!(text, "Section {section}. Representations of the Company.\n\n").expect("a String takes all text");
        for clause in 'a'..='f' {
            writeln!(
                text,
                "({clause}) The Company Inc. and each of its Subsidiaries has filed, on a timely basis, all reports \
                 required to be filed by it under Section {section}.{section}(b). No such report contained any untrue \
                 statement of a material fact; each complied in all material respects with the Act (as amended)."
            )
            .expect("a String takes all text");
        }
        text.push('\n');
    }
    text
}

fn bench(criterion: &mut Criterion) {
    let texts = [
        ("contract", contract()),
        ("korean", "계약 당사자는 본 계약에 따라 다음 사항을 준수하여야 한다. 위반하면 책임을 진다! ".repeat(3_000)),
        ("chinese", "本协议自双方签字之日起生效。任何一方违反本协议，应承担违约责任！".repeat(3_000)),
        ("one word", "a".repeat(100_000)),
        ("marks", format!("e{}", "\u{301}".repeat(50_000))),
    ];
    let options = WindowOptions { window_tokens: 240, overlap_tokens: 64 };
    let mut group = criterion.benchmark_group("windows");
    for (name, text) in &texts {
        let offsets = offsets(text);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| bencher.iter(|| windows(text, &offsets, &options)));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
