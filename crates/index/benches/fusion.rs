//! Fusion of two lists of 200 documents, half of them shared.
#![allow(missing_docs)]

use std::hint::black_box;

use berth_index::{ChunkHit, fusion};
use berth_types::{Fusion, Normalize};
use criterion::{Criterion, criterion_group, criterion_main};

const DOCUMENTS: u64 = 200;

/// Two chunks a document, scores falling from `highest`.
fn hits(first_document: u64, highest: f32) -> Vec<ChunkHit> {
    let hit = |number: u64| ChunkHit {
        chunk_id: first_document * 2 + number,
        document_no: first_document + number / 2,
        score: highest * (1.0 - number as f32 / 1000.0),
        coverage: 1.0 - number as f32 / 1000.0,
    };
    (0..DOCUMENTS * 2).map(hit).collect()
}

fn fuse(criterion: &mut Criterion) {
    let (dense, lexical) = (hits(0, 0.8), hits(DOCUMENTS / 2, 25.0));
    let kinds = [
        ("adaptive", Fusion::Adaptive { dense_weight: 0.5 }),
        ("convex", Fusion::Convex { dense_weight: 0.7, normalize: Normalize::Max }),
        ("rrf", Fusion::Rrf { k: 60.0, dense_weight: 0.5 }),
    ];
    for (name, kind) in kinds {
        criterion.bench_function(&format!("fusion/2x200/{name}"), |bencher| {
            bencher.iter(|| {
                let dense = fusion::best_per_document(black_box(&dense), dense.len());
                let lexical = fusion::best_per_document(black_box(&lexical), lexical.len());
                fusion::fuse(&dense, &lexical, &[], &kind)
            });
        });
    }
}

criterion_group!(benches, fuse);
criterion_main!(benches);
