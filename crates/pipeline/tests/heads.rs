//! Every head from a checkpoint to its answer, compared with what transformers and sentence-transformers give: a fixture is
//! imported, its graph is made on first use, and texts go the whole way.
//!
//! Needs the runtime that scripts/setup installs.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use berth_encoder::Step;
use berth_pipeline::{
    Encoder, EncoderChoice, Encoders, Home, ImportOptions, IngestOptions, InstalledModel, Overlong, Progress,
    ProgressState, Prompt, Searcher, SearcherOptions, Strategy, import, ingest, installed, max_sim, open_encoder,
    open_head, open_sparse_encoder,
};
use berth_types::{
    DenseSearch, Fusion, Head, Lists, Mode, Narrowing, Precision, Problem, Query, Shaping, SparseVector, sparse_score,
};
use serde_json::Value;

/// Largest difference of a value that is allowed.
const TOLERANCE: f32 = 1e-4;

struct Fixture {
    home: Home,
    _root: tempfile::TempDir,
    folder: PathBuf,
    goldens: Value,
    tensors: HashMap<String, Vec<f32>>,
}

impl Fixture {
    /// Imports a fixture into a home of its own.
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints").join(name);
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(root.path().join("home"));
        link_runtime(&home);
        import_as_tiny(&home, &folder);
        let goldens = serde_json::from_slice(&fs::read(folder.join("goldens.json")).unwrap()).unwrap();
        let tensors = read_tensors(&folder.join("goldens.safetensors"));
        Self { home, _root: root, folder, goldens, tensors }
    }

    fn open(&self, head: Head) -> Encoder {
        let (model, precision) = (Some("tiny".to_owned()), Some(Precision::Fp32));
        let choice = EncoderChoice { model, precision, workers: Some(1), ..EncoderChoice::default() };
        open_head(&self.home, &choice, head, None).unwrap()
    }

    /// Texts with the golden `output`, its values, and the positions that were kept.
    fn outputs<'a>(&'a self, output: &'a str) -> impl Iterator<Item = (&'a Value, &'a [f32], Option<Vec<usize>>)> {
        let text = |name: &Value| {
            let texts = self.goldens["texts"].as_array().unwrap();
            texts.iter().find(|text| text["name"] == *name).unwrap()
        };
        let wanted = self.goldens["outputs"].as_array().unwrap().iter().filter(move |entry| entry["output"] == output);
        wanted.map(move |entry| {
            let positions = entry["positions"].as_array();
            let positions = positions.map(|all| all.iter().map(|one| one.as_u64().unwrap() as usize).collect());
            (text(&entry["text"]), &self.tensors[entry["tensor"].as_str().unwrap()][..], positions)
        })
    }
}

/// Puts the runtime of this machine into a home of a test's own.
fn link_runtime(home: &Home) {
    let outer = std::env::var_os("BERTH_HOME").map_or_else(Home::default_root, |home| Some(PathBuf::from(home)));
    let runtime = Home::at(outer.unwrap()).runtime_library();
    fs::create_dir_all(home.root().join("runtime")).unwrap();
    assert!(runtime.is_file(), "no ONNX Runtime at {}: run scripts/setup", runtime.display());
    // One place for both where ORT_DYLIB_PATH names it. A link, since a process holds one library of one file.
    if home.runtime_library() != runtime {
        symlink(&runtime, home.runtime_library()).unwrap();
    }
}

fn import_as_tiny(home: &Home, folder: &Path) {
    let options = ImportOptions { name: Some("tiny".to_owned()), ..ImportOptions::default() };
    import(home, folder.to_str().unwrap(), &options).unwrap();
}

/// The 32-bit tensors of a safetensors file: eight bytes of length, a JSON header, the data.
fn read_tensors(path: &Path) -> HashMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let mut tensors = HashMap::new();
    for (name, entry) in header.as_object().unwrap() {
        if entry["dtype"] == "F32" {
            let at = |place: usize| entry["data_offsets"][place].as_u64().unwrap() as usize;
            let floats = data[at(0)..at(1)].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
            tensors.insert(name.clone(), floats.collect());
        }
    }
    tensors
}

#[track_caller]
fn assert_close(received: &[f32], expected: &[f32], what: &str) {
    assert_eq!(received.len(), expected.len(), "{what}");
    for (place, (one, other)) in received.iter().zip(expected).enumerate() {
        assert!((one - other).abs() <= TOLERANCE, "{what}, value {place}: {one}, expected {other}");
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    logits.iter().map(|&logit| (f64::from(logit).exp() / sum) as f32).collect()
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn text(golden: &Value) -> &str {
    golden["text"].as_str().unwrap()
}

fn check_class(name: &str) {
    let fixture = Fixture::new(name);
    let encoder = fixture.open(Head::Classify);
    let labels = encoder.card().labels.clone();
    let mut compared = 0;
    for (golden, logits, _) in fixture.outputs("logits") {
        let answer = encoder.ask_class(text(golden), golden["second"].as_str(), Overlong::Cut).unwrap().wait().unwrap();
        let expected: Vec<f32> = match encoder.card().problem {
            Problem::Regression => logits.to_vec(),
            Problem::MultiLabel => logits.iter().copied().map(sigmoid).collect(),
            _ => softmax(logits),
        };
        for (number, expected) in expected.iter().enumerate() {
            let label = labels.get(number).cloned().unwrap_or_else(|| format!("LABEL_{number}"));
            let received = answer.labels.iter().find(|score| score.label == label).unwrap().score;
            assert_close(&[received], &[*expected], &format!("{name}, {}, {label}", golden["name"]));
        }
        assert_eq!(answer.truncated > 0, golden["truncated"] == true, "{name}, {}", golden["name"]);
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn labels_of_every_family() {
    for family in ["bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "mpnet", "modernbert"] {
        check_class(&format!("{family}-classify"));
    }
}

#[test]
fn labels_that_may_all_hold_and_values() {
    check_class("roberta-multilabel");
    check_class("distilbert-regression");
}

#[test]
fn pairs_are_scored_and_cut_as_by_a_cross_encoder() {
    for name in ["bert-cross-encoder", "roberta-cross-encoder"] {
        let fixture = Fixture::new(name);
        let encoder = fixture.open(Head::Classify);
        let mut cut = 0;
        for (golden, logits, _) in fixture.outputs("logits") {
            let Some(second) = golden["second"].as_str() else { continue };
            let what = format!("{name}, {}", golden["name"]);
            let answer = encoder.ask_pair(text(golden), second, true).unwrap().wait().unwrap();
            assert_close(&[answer.score], logits, &what);
            assert_eq!(answer.query_truncated + answer.truncated > 0, golden["truncated"] == true, "{what}");
            cut += usize::from(golden["truncated"] == true);
            let answer = encoder.ask_pair(text(golden), second, false).unwrap().wait().unwrap();
            assert_close(&[answer.score], &[sigmoid(logits[0])], &what);
        }
        assert!(cut > 0, "no pair of {name} is too long");
    }
}

#[test]
fn masks_are_filled_as_transformers_would() {
    for family in ["bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "mpnet", "modernbert"] {
        let fixture = Fixture::new(&format!("{family}-mlm"));
        let encoder = fixture.open(Head::FillMask);
        let (golden, logits, positions) =
            fixture.outputs("logits").find(|(golden, ..)| golden["name"] == "masked").unwrap();
        let ids: Vec<u64> = golden["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let mask = u64::from(encoder.tokenizer().mask_id().unwrap());
        let positions = positions.unwrap_or_else(|| (0..ids.len()).collect());
        let vocabulary = logits.len() / positions.len();
        let answer = encoder.ask_fill_mask(text(golden), 3, Overlong::Refuse).unwrap().wait().unwrap();
        let masked: Vec<usize> = (0..ids.len()).filter(|&place| ids[place] == mask).collect();
        assert_eq!(answer.masks.len(), masked.len(), "{family}");
        for (place, found) in masked.iter().zip(&answer.masks) {
            let row = positions.iter().position(|position| position == place).unwrap();
            let probabilities = softmax(&logits[row * vocabulary..(row + 1) * vocabulary]);
            for guess in &found.guesses {
                assert_close(&[guess.probability], &[probabilities[guess.id as usize]], family);
            }
            let best = probabilities.iter().copied().fold(0.0_f32, f32::max);
            assert_close(&[found.guesses[0].probability], &[best], family);
            assert!(["[MASK]", "<mask>"].contains(&&text(golden)[found.start..found.end]), "{family}");
        }
    }
}

#[test]
fn perplexity_is_that_of_each_token_masked_once() {
    let fixture = Fixture::new("bert-mlm");
    let encoder = fixture.open(Head::FillMask);
    let (mut asked, mut parts) = (encoder.ask_pseudo_perplexity("the cat sat", Overlong::Refuse).unwrap(), 1);
    let answer = loop {
        match asked.step().unwrap() {
            Step::Answer(answer) => break answer,
            Step::More(more) => (asked, parts) = (more, parts + 1),
        }
    };
    // By hand: the same rows, one at a time.
    let tokens = encoder.tokenizer().tokenize("the cat sat").unwrap();
    let mut sum = 0.0;
    for (place, &id) in tokens.ids.iter().enumerate() {
        let mut ids = [encoder.tokenizer().prefix(), &tokens.ids, encoder.tokenizer().suffix()].concat();
        let position = encoder.tokenizer().prefix().len() + place;
        ids[position] = encoder.tokenizer().mask_id().unwrap();
        let row = berth_encoder::Row { ids, positions: vec![position as u32], ..berth_encoder::Row::default() };
        let logits = encoder.submit(row, berth_encoder::Lane::Bulk).unwrap().wait().unwrap().remove(0).values;
        sum += f64::from(softmax(&logits)[id as usize]).ln();
    }
    // Between two tokens one may give up.
    assert_eq!((answer.tokens, parts), (tokens.ids.len(), tokens.ids.len()));
    assert!((answer.log_likelihood - sum).abs() < 1e-3, "{answer:?} {sum}");
    assert!((answer.pseudo_perplexity - (-sum / tokens.ids.len() as f64).exp()).abs() < 1e-2);
}

#[test]
fn sparse_vectors_have_the_weights_of_the_library() {
    let fixture = Fixture::new("bert-splade");
    let encoder = fixture.open(Head::Sparse);
    let mut compared = 0;
    for (golden, weights, _) in fixture.outputs("sparse_embedding") {
        // What spells the mask is only text to every head but fill-mask.
        if text(golden).contains("[MASK]") {
            continue;
        }
        let answer = encoder.ask_sparse(text(golden), 0.0, Overlong::Cut).unwrap().wait().unwrap();
        let mut received = vec![0.0; weights.len()];
        for term in &answer.terms {
            assert!(term.weight > 0.0);
            received[term.id as usize] = term.weight;
        }
        assert_close(&received, weights, &golden["name"].to_string());
        compared += 1;
    }
    assert!(compared > 3);
}

/// Says nothing and expects no problem.
struct Silent;

impl Progress for Silent {
    fn update(&mut self, _: &ProgressState) {}
    fn problem(&mut self, problem: &berth_pipeline::Problem) {
        panic!("{problem:?}");
    }
    fn committed(&mut self, _: u64) {}
}

#[test]
fn hits_of_sparse_search_score_as_the_vectors_do() {
    let fixture = Fixture::new("bert-splade");
    let sentence = fixture.folder.with_file_name("bert-sentence");
    let options = ImportOptions { name: Some("dense".to_owned()), ..ImportOptions::default() };
    import(&fixture.home, sentence.to_str().unwrap(), &options).unwrap();
    let texts = ["the cat sat on the mat", "a ship lies in the harbour", "bread is baked in a hot oven"];
    let (corpus, index) = (fixture.home.root().join("corpus.jsonl"), fixture.home.root().join("index"));
    let row = |(id, text)| format!("{{\"_id\":\"{id}\",\"title\":\"a title\",\"text\":\"{text}\"}}\n");
    fs::write(&corpus, (0..).zip(texts).map(row).collect::<String>()).unwrap();

    let (model, precision) = (Some("dense".to_owned()), Some(Precision::Fp32));
    let choice = EncoderChoice { model, precision, ..EncoderChoice::default() };
    let dense = open_encoder(&fixture.home, &choice, None).unwrap();
    let sparse = open_sparse_encoder(&fixture.home, &choice, None, Some("tiny")).unwrap().unwrap();
    let encoders = Encoders { sparse: Some(&sparse), ..Encoders::of(&dense) };
    let options = IngestOptions { paths: vec![corpus], ..IngestOptions::default() };
    let run = || ingest(encoders, &index, &options, &mut Silent, &AtomicBool::new(false)).unwrap();
    assert_eq!((run().embedded, run().unchanged), (3, 3));

    let opened = SearcherOptions { mode: Mode::Sparse, ..SearcherOptions::default() };
    // Whatever is named for the other model does not concern this one.
    let choice = EncoderChoice { model: Some("nowhere".to_owned()), ..EncoderChoice::default() };
    let searcher = Searcher::open(&fixture.home, &index, &choice, &opened).unwrap();
    let direct = fixture.open(Head::Sparse);
    let vector = |text: &str| {
        let answer = direct.ask_sparse(text, 0.0, Overlong::Refuse).unwrap().wait().unwrap();
        SparseVector::quantized(answer.terms.into_iter().map(|term| (term.id, term.weight))).unwrap()
    };
    let query = Query {
        text: "where the ship lies".to_owned(),
        k: 3,
        mode: Mode::Sparse,
        dense: DenseSearch::default(),
        lists: Lists::default(),
        fusion: Fusion::default(),
        sparse_weight: 0.0,
        rerank: None,
        shaping: Shaping::default(),
        explain: true,
        narrowing: Narrowing::default(),
    };
    let question = vector(&query.text);
    let hits = searcher.search(&query).unwrap().hits;
    assert!(!hits.is_empty() && hits.is_sorted_by(|a, b| a.score >= b.score));
    for hit in hits {
        assert_eq!(hit.score, sparse_score(question.dot(&vector(&format!("a title {}", hit.text)))), "{hit:?}");
        let explanation = hit.explanation.unwrap();
        assert_eq!(explanation.children.iter().map(|piece| piece.value).sum::<f32>(), hit.score);
    }
}

#[test]
fn late_vectors_have_markers_masks_and_no_punctuation() {
    let fixture = Fixture::new("bert-late");
    let encoder = fixture.open(Head::Late);
    let dimensions = encoder.card().late.as_ref().unwrap().dimensions;
    let mut compared = [0, 0];
    for (golden, vectors, positions) in fixture.outputs("token_vectors") {
        let Some(role) = golden["role"].as_str() else { continue };
        if golden["truncated"] == true || positions.is_some() {
            continue;
        }
        let prompt = if role == "query" { Prompt::Query } else { Prompt::Passage };
        let answer = encoder.ask_late(text(golden), prompt, Overlong::Refuse).unwrap().wait().unwrap();
        let kept = golden["scored"].as_array();
        let rows = vectors.chunks_exact(dimensions).enumerate();
        let scored = |place: usize| kept.is_none_or(|kept| kept.contains(&Value::from(place)));
        let expected: Vec<f32> = rows.filter(|(place, _)| scored(*place)).flat_map(|(_, row)| row.to_vec()).collect();
        assert_close(&answer.vectors.values, &expected, &format!("{role} {}", golden["name"]));
        assert!(max_sim(&answer.vectors, &answer.vectors) > 0.0);
        compared[usize::from(role == "query")] += 1;
    }
    assert!(compared[0] > 0 && compared[1] > 0, "{compared:?}");
}

#[test]
fn hidden_states_and_attention_of_every_layer() {
    let fixture = Fixture::new("bert-base");
    let (layers, attention) = (fixture.open(Head::Layers), fixture.open(Head::Attention));
    let hidden = fixture.goldens["texts"].as_array().unwrap().len();
    assert!(hidden > 0);
    for (golden, states, positions) in fixture.outputs("hidden_states.1") {
        let answer = layers.ask_layers(text(golden), Overlong::Cut).unwrap().wait().unwrap();
        let width = answer.layers[1].shape[1];
        let rows = answer.layers[1].values.chunks_exact(width).enumerate();
        let kept = |place: &usize| positions.as_ref().is_none_or(|positions| positions.contains(place));
        let received: Vec<f32> = rows.filter(|(place, _)| kept(place)).flat_map(|(_, row)| row.to_vec()).collect();
        assert_close(&received, states, &golden["name"].to_string());
        assert_eq!(answer.tokens.len(), golden["ids"].as_array().unwrap().len());
    }
    let mut compared = 0;
    for (golden, weights, positions) in fixture.outputs("attentions.0").filter(|(_, _, positions)| positions.is_none())
    {
        assert!(positions.is_none());
        let answer = attention.ask_attention(text(golden), &[], Overlong::Cut).unwrap().wait().unwrap();
        assert_close(&answer.layers[0].heads.concat(), weights, &golden["name"].to_string());
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn sentences_have_prompt_lower_case_and_modules() {
    let fixture = Fixture::new("bert-sentence");
    let encoder = fixture.open(Head::Sentence);
    let mut prompted = 0;
    for (golden, vector, _) in fixture.outputs("sentence_embedding") {
        let prompt = match golden["prompt"].as_str() {
            None => Prompt::None,
            Some("query") => Prompt::Query,
            Some("passage" | "document") => Prompt::Passage,
            Some(_) => continue,
        };
        prompted += usize::from(prompt != Prompt::None);
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let unit: Vec<f32> = vector.iter().map(|value| value / norm).collect();
        let answer = encoder.ask_sentence(text(golden), prompt, Overlong::Cut).unwrap().wait().unwrap();
        assert_close(answer.embedding.as_slice(), &unit, &golden["name"].to_string());
    }
    assert!(prompted > 0);
}

#[test]
fn a_long_text_is_refused_or_cut_and_never_silently() {
    let fixture = Fixture::new("bert-classify");
    let encoder = fixture.open(Head::Classify);
    let long = "the cat sat on the mat ".repeat(200);
    let refused = encoder.ask_class(&long, None, Overlong::Refuse).err().unwrap().to_string();
    assert!(refused.contains("510") && refused.contains("--truncate"), "{refused}");
    let cut = encoder.ask_class(&long, None, Overlong::Cut).unwrap().wait().unwrap();
    assert_eq!(cut.truncated, encoder.tokenizer().tokenize(&long).unwrap().ids.len() - 510);
}

#[test]
fn entities_of_a_long_text_are_those_of_its_parts() {
    let fixture = Fixture::new("bert-entities");
    let encoder = fixture.open(Head::Entities);
    let long = "Maria walked home from the University of London. ".repeat(150);
    let answer = encoder.ask_entities(&long, Strategy::Simple).unwrap().wait().unwrap();
    assert!(answer.windows > 1 && answer.tokens > 1_000);
    let mut end = 0;
    for entity in &answer.entities {
        assert!(entity.start >= end && entity.end > entity.start && entity.end <= long.len(), "{entity:?}");
        assert!(long.is_char_boundary(entity.start) && !long[entity.start..entity.end].starts_with(' '));
        end = entity.end;
    }
    assert!(answer.entities.iter().any(|entity| entity.start > long.len() / 2));
    assert!(encoder.ask_entities("", Strategy::Max).unwrap().wait().unwrap().entities.is_empty());
}

/// Puts NaN for the first value of a tensor of the checkpoint into the graph of `head`, as if it had been installed so.
fn with_nan(fixture: &Fixture, head: Head, tensor: &str) {
    drop(fixture.open(head));
    let weights = read_tensors(&fixture.folder.join("model.safetensors"));
    let model = installed(&fixture.home, "tiny").unwrap();
    let path = model.dir().join(head.graph_file(Precision::Fp32));
    let mut graph = fs::read(&path).unwrap();
    let bytes: Vec<u8> = weights[tensor].iter().flat_map(|value| value.to_le_bytes()).collect();
    let place = graph.windows(bytes.len()).position(|window| window == bytes).expect("the tensor is in the graph");
    graph[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, graph).unwrap();
    InstalledModel::seal(model.dir(), model.card(), "a test").unwrap();
}

#[test]
fn what_is_no_number_is_no_answer() {
    let check = |name: &str, head: Head, tensor: &str, output: &str| {
        let fixture = Fixture::new(name);
        with_nan(&fixture, head, tensor);
        let encoder = fixture.open(head);
        let error = match head {
            Head::Classify => encoder.ask_class("a cat", None, Overlong::Cut).unwrap().wait().unwrap_err(),
            Head::Entities => encoder.ask_entities("a cat", Strategy::Simple).unwrap().wait().unwrap_err(),
            _ => encoder.ask_tokens("a cat").unwrap().wait().unwrap_err(),
        };
        assert!(error.to_string().contains(output), "{error}");
        assert!(matches!(error, berth_encoder::Error::NotFinite { .. }), "{error}");
    };
    check("bert-classify", Head::Classify, "bert.encoder.layer.1.output.LayerNorm.bias", "logits");
    check("bert-entities", Head::Entities, "bert.encoder.layer.1.output.LayerNorm.bias", "logits");
    check("bert-base", Head::Tokens, "encoder.layer.1.output.LayerNorm.bias", "token_embeddings");
    let fixture = Fixture::new("bert-cross-encoder");
    with_nan(&fixture, Head::Classify, "bert.encoder.layer.1.output.LayerNorm.bias");
    assert!(fixture.open(Head::Classify).ask_pair("a", "b", false).unwrap().wait().is_err());
}

#[test]
fn what_cannot_be_made_is_refused_by_name() {
    let fixture = Fixture::new("bert-base");
    let choice =
        EncoderChoice { model: Some("tiny".to_owned()), precision: Some(Precision::Fp32), ..EncoderChoice::default() };
    let message = open_head(&fixture.home, &choice, Head::Classify, None).err().unwrap().to_string();
    assert!(message.contains("classify") && message.contains("attention"), "the heads that there are: {message}");

    // The graph is made once and then belongs to the model.
    let file = Head::Tokens.graph_file(Precision::Fp32);
    assert!(!installed(&fixture.home, "tiny").unwrap().files().contains_key(&file));
    open_head(&fixture.home, &choice, Head::Tokens, None).unwrap();
    let model = installed(&fixture.home, "tiny").unwrap();
    assert!(model.files().contains_key(&file));

    // A damaged file is not made part of the list again.
    let damaged = model.dir().join("config.json");
    fs::write(&damaged, "{}").unwrap();
    let message = open_head(&fixture.home, &choice, Head::Layers, None).err().unwrap().to_string();
    assert!(message.contains("config.json") && message.contains("import"), "{message}");
    assert!(fixture.folder.is_dir());
}

#[test]
fn a_checkpoint_that_moved_is_named() {
    let root = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints/bert-base");
    let folder = root.path().join("moved");
    fs::create_dir(&folder).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    let home = Home::at(root.path().join("home"));
    link_runtime(&home);
    import_as_tiny(&home, &folder);
    let choice =
        EncoderChoice { model: Some("tiny".to_owned()), precision: Some(Precision::Fp32), ..EncoderChoice::default() };
    // Weights that changed since are not mixed with those that are installed.
    let mut weights = fs::read(folder.join("model.safetensors")).unwrap();
    let last = weights.len() - 1;
    weights[last] ^= 1;
    fs::write(folder.join("model.safetensors"), weights).unwrap();
    let message = open_head(&home, &choice, Head::Tokens, None).err().unwrap().to_string();
    assert!(message.contains("model.safetensors") && message.contains("sha256"), "{message}");
    fs::remove_dir_all(&folder).unwrap();
    let message = open_head(&home, &choice, Head::Tokens, None).err().unwrap().to_string();
    assert!(message.contains("moved") && message.contains("tokens"), "{message}");
}
