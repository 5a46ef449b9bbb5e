//! A model of late interaction from its checkpoint to ranked hits: the scores are those of its vectors.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use berth_encoder::heads::late::max_sim;
use berth_encoder::{Encoder, EncoderOptions, InstalledModel, Overlong, Prompt, Runtime};
use berth_export::{ExportOptions, export};
use berth_pipeline::{
    EncoderChoice, Encoders, Home, IndexReader, IngestOptions, Problem, Progress, ProgressState, Searcher,
    SearcherOptions, ingest, open_encoder, open_token_encoder,
};
use berth_types::{
    DenseSearch, Fusion, Head, LateCard, Lists, Mode, ModelCard, Narrowing, Pooling, Precision, Query, Rerank, Shaping,
};

struct Silent;

impl Progress for Silent {
    fn update(&mut self, _: &ProgressState) {}
    fn problem(&mut self, problem: &Problem) {
        panic!("{problem:?}");
    }
    fn committed(&mut self, _: u64) {}
}

/// A home with the runtime of this machine and the tiny ColBERT of the fixtures, installed under its name.
fn home_with_colbert(root: &Path) -> Home {
    let installed = Home::at(std::env::var_os("BERTH_HOME").map(PathBuf::from).or_else(Home::default_root).unwrap());
    let home = Home::at(root);
    // One place for both where ORT_DYLIB_PATH names it.
    let (from, to) = (installed.runtime_library(), home.runtime_library());
    if from != to {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup", from.display()));
    }
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints/bert-late");
    let folder = home.models().join("colbert");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(checkpoint.join(name), folder.join(name)).unwrap();
    }
    let late = LateCard {
        dimensions: 16,
        query_marker: "[unused0]".to_owned(),
        passage_marker: "[unused1]".to_owned(),
        query_tokens: 32,
        skip_punctuation: true,
    };
    let card: ModelCard = toml::from_str(
        "name = 'colbert'\ndimensions = 32\npooling = 'cls'\nnormalize = true\nmax_tokens = 64\n\
         recommended_window_tokens = 48\n",
    )
    .unwrap();
    let mut card = ModelCard { late: Some(late), heads: vec![Head::Late], ..card };
    card.source.folder = checkpoint.display().to_string();
    let options = ExportOptions { precision: Precision::Fp32, pooling: Pooling::Cls, ..ExportOptions::default() };
    export(&checkpoint, &options, &folder.join("fp32.onnx")).unwrap();
    InstalledModel::seal(&folder, &card, "test").unwrap();
    home
}

#[test]
fn hits_of_a_colbert_score_as_its_vectors_do() {
    let base = tempfile::tempdir().unwrap();
    let home = home_with_colbert(&base.path().join("home"));
    let texts = [
        "The cat sat on the mat, and Maria walked home from the University of London.",
        "A ship; a harbour: a berth!",
        "Bread is baked in a hot oven.",
    ];
    let rows: Vec<String> =
        (0..).zip(texts).map(|(id, text)| format!("{{\"_id\":\"{id}\",\"text\":\"{text}\"}}")).collect();
    let corpus = base.path().join("corpus.jsonl");
    std::fs::write(&corpus, rows.join("\n")).unwrap();
    let choice = EncoderChoice {
        model: Some("colbert".to_owned()),
        precision: Some(Precision::Fp32),
        ..EncoderChoice::default()
    };

    let (encoder, index) = (open_encoder(&home, &choice, None).unwrap(), base.path().join("index"));
    // The graph of the head is made here, from the checkpoint.
    let tokens = open_token_encoder(&home, &choice, None, true).unwrap().unwrap();
    assert_eq!(tokens.settings().dimensions, 16);
    let options = IngestOptions { paths: vec![corpus], ..IngestOptions::default() };
    let too_long = IngestOptions { window_tokens: Some(64), ..options.clone() };
    let encoders = Encoders { tokens: Some(&tokens), ..Encoders::of(&encoder) };
    let ingest_with = |options| ingest(encoders, &index, options, &mut Silent, &AtomicBool::new(false));
    let error = ingest_with(&too_long).unwrap_err().to_string();
    assert!(error.contains("choose at most 63"), "{error}");
    let report = ingest_with(&options).unwrap();
    assert_eq!((report.documents, report.chunks), (3, 3));

    let model = InstalledModel::open(&home.models().join("colbert")).unwrap();
    let runtime = Runtime::load(&home.runtime_library()).unwrap();
    let options = EncoderOptions { precision: Some(Precision::Fp32), head: Head::Late, ..EncoderOptions::default() };
    let direct = Encoder::open(&model, &runtime, &options).unwrap();
    let vectors = |text: &str, prompt| direct.ask_late(text, prompt, Overlong::Refuse).unwrap().wait().unwrap().vectors;
    let kept: usize = texts.iter().map(|text| vectors(text, Prompt::Passage).rows().count()).sum();
    assert_eq!(IndexReader::open(&index).unwrap().snapshot().status().token_rows, kept as u64);

    let rerank = Some(Rerank::default());
    let opened = SearcherOptions { mode: Mode::Dense, rerank, ..SearcherOptions::default() };
    let searcher = Searcher::open(&home, &index, &choice, &opened).unwrap();
    let text = "Who walked home to London?".to_owned();
    let query_vectors = vectors(&text, Prompt::Query);
    assert_eq!(query_vectors.rows().count(), 32, "filled up with mask tokens");
    let query = Query {
        text,
        k: 3,
        mode: Mode::Dense,
        dense: DenseSearch::default(),
        lists: Lists::default(),
        fusion: Fusion::default(),
        sparse_weight: 0.0,
        rerank,
        shaping: Shaping::default(),
        explain: false,
        narrowing: Narrowing::default(),
    };
    let hits = searcher.search(&query).unwrap().hits;
    let mut expected: Vec<(f32, String)> = texts
        .iter()
        .map(|text| (max_sim(&query_vectors, &vectors(text, Prompt::Passage)), (*text).to_owned()))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert_eq!(hits.len(), 3);
    for hit in hits {
        // The model was trained to rank by MaxSim, so nothing else counts.
        assert!((hit.score - hit.late.unwrap().score / 32.0).abs() < 1e-6, "{hit:?}");
        let (score, late) = (expected.iter().find(|(_, text)| *text == hit.text).unwrap().0, hit.late.unwrap());
        assert!((late.score - score).abs() < 0.004 * 32.0, "{late:?} for {score}: {}", hit.text);
    }
}
