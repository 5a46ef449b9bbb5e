//! What folders say of themselves: the tiny checkpoints, and folders as other libraries save them.

use std::fs;
use std::path::Path;

use berth_export::{Error, ExportOptions, Inspection, export, inspect};
use berth_types::{ErrorKind, Head, LateCard, Problem};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::families::fixtures;
use crate::runtime::{self, Batch};
use crate::synthetic::{Checkpoint, HIDDEN};

const IDS: &[i64] = &[2, 7, 11, 3];

/// Puts files beside the weights of `checkpoint`.
fn folder(checkpoint: &Checkpoint, files: &[(&str, Value)]) -> tempfile::TempDir {
    let folder = checkpoint.write();
    for (name, value) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value.to_string()).unwrap();
    }
    folder
}

fn modules(types: &[(&str, &str)]) -> (&'static str, Value) {
    let module = |(number, (kind, path)): (usize, &(&str, &str))| json!({"idx": number, "path": path, "type": kind});
    ("modules.json", types.iter().enumerate().map(module).collect())
}

fn settings(value: Value) -> (&'static str, Value) {
    ("config_sentence_transformers.json", value)
}

/// Weights of a `Dense` module without bias: `[outputs, HIDDEN]`.
fn write_dense(folder: &Path, name: &str, outputs: usize) -> Vec<f32> {
    let values: Vec<f32> = (0..outputs * HIDDEN).map(|number| ((number * 37 % 19) as f32 - 9.0) / 10.0).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![outputs, HIDDEN], &bytes).unwrap();
    fs::create_dir_all(folder.join(name)).unwrap();
    fs::write(
        folder.join(name).join("model.safetensors"),
        safetensors::serialize([("linear.weight", view)], None).unwrap(),
    )
    .unwrap();
    values
}

fn dense_config(outputs: usize) -> Value {
    json!({"in_features": HIDDEN, "out_features": outputs, "bias": false,
        "activation_function": "torch.nn.modules.linear.Identity"})
}

/// One line a folder: what is not the same everywhere.
fn line(name: &str, inspection: &Inspection) -> String {
    let Inspection { head, dimensions, hidden, layers, attention_heads, vocabulary, max_tokens, .. } = inspection;
    let mut line = format!(
        "{name}: {} {head}, {layers} layers of {hidden} with {attention_heads} heads, {vocabulary} ids, rows of \
         {max_tokens}",
        inspection.model_type
    );
    let mut more = |what: &str, value: String| {
        for part in [", ", what, " ", &value] {
            line.push_str(part);
        }
    };
    more("recommended", inspection.recommended_tokens.map_or("none".to_owned(), |tokens| tokens.to_string()));
    if *head == Head::Sentence {
        more(
            "dimensions",
            format!("{dimensions} by {}{}", inspection.pooling, if inspection.normalize { "" } else { " as they are" }),
        );
    }
    if inspection.lowercase {
        more("reads", "lower case".to_owned());
    }
    if !inspection.labels.is_empty() {
        more("labels", format!("{:?} {:?}", inspection.labels, inspection.problem));
    }
    if !inspection.prompts.named.is_empty() {
        more("prompts", format!("{:?}", inspection.prompts.named));
    }
    if let Some(late) = &inspection.late {
        more("late", format!("{late:?}"));
    }
    let own = [Head::FillMask, Head::Classify, Head::Entities, Head::Late];
    let own: Vec<&str> = own.into_iter().filter(|head| inspection.heads.contains(head)).map(Head::as_str).collect();
    more("weights for", if own.is_empty() { "the encoder".to_owned() } else { own.join(" and ") });
    line
}

#[test]
fn the_tiny_checkpoints_say_what_they_are() {
    let mut names: Vec<String> =
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| fixtures().join(name).join("config.json").is_file());
    names.sort_unstable();
    let line = |name: &String| match inspect(&fixtures().join(name)) {
        Ok(inspection) => line(name, &inspection),
        Err(error) => panic!("{name}: {error}"),
    };
    insta::assert_snapshot!(names.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn files_that_identify_a_checkpoint_are_listed() {
    let files = |name: &str| inspect(&fixtures().join(name)).unwrap().files;
    let sharded = files("bert-sharded");
    assert!(sharded.contains(&"model.safetensors.index.json".to_owned()), "{sharded:?}");
    assert!(sharded.iter().filter(|file| file.starts_with("model-0000")).count() > 1, "{sharded:?}");
    let sentence = files("bert-sentence");
    for name in ["config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"]
    {
        assert!(sentence.contains(&name.to_owned()), "{name} is not in {sentence:?}");
    }
    assert!(sentence.iter().all(|file| !file.contains("goldens")));
}

/// The projection of `late` over the states of the head `tokens`, each scaled to unit norm.
fn projected(folder: &Path, weights: &[f32]) -> Vec<f32> {
    let graph = folder.join("tokens.onnx");
    export(folder, &ExportOptions { head: Head::Tokens, ..ExportOptions::default() }, &graph).unwrap();
    let (_, states) = runtime::run(&mut runtime::open(&graph), &Batch::single(IDS), "token_embeddings");
    let mut vectors = Vec::new();
    for state in states.chunks_exact(HIDDEN) {
        let dot = |row: &[f32]| row.iter().zip(state).map(|(a, b)| a * b).sum::<f32>();
        let vector: Vec<f32> = weights.chunks_exact(HIDDEN).map(dot).collect();
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vectors.extend(vector.iter().map(|value| value / norm));
    }
    vectors
}

#[track_caller]
fn check_late(folder: &Path, weights: &[f32], card: &LateCard) {
    let inspection = inspect(folder).unwrap();
    assert_eq!((inspection.head, inspection.late.as_ref()), (Head::Late, Some(card)));
    assert_eq!(inspection.prompts, berth_types::Prompts::default());
    let graph = folder.join("late.onnx");
    export(folder, &ExportOptions { head: Head::Late, ..ExportOptions::default() }, &graph).unwrap();
    let (shape, received) = runtime::run(&mut runtime::open(&graph), &Batch::single(IDS), "token_vectors");
    assert_eq!(shape, [1, IDS.len() as i64, card.dimensions as i64]);
    for (received, expected) in received.iter().zip(projected(folder, weights)) {
        assert!((received - expected).abs() < 1e-5, "{received} where {expected} is right");
    }
}

#[test]
fn a_folder_of_pylate_is_one_of_late_interaction() {
    let folder = folder(
        &Checkpoint::tiny(),
        &[
            modules(&[("sentence_transformers.models.Transformer", ""), ("pylate.models.Dense.Dense", "1_Dense")]),
            settings(
                json!({"query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 8, "document_length": 9,
            "attend_to_expansion_tokens": false, "do_query_expansion": true, "skiplist_words": []}),
            ),
            ("1_Dense/config.json", dense_config(4)),
        ],
    );
    let weights = write_dense(folder.path(), "1_Dense", 4);
    let card = LateCard {
        dimensions: 4,
        query_marker: "[Q] ".to_owned(),
        passage_marker: "[D] ".to_owned(),
        query_tokens: 8,
        skip_punctuation: false,
    };
    check_late(folder.path(), &weights, &card);
    assert_eq!(inspect(folder.path()).unwrap().recommended_tokens, Some(9));
}

#[test]
fn a_multi_vector_encoder_is_one_of_late_interaction() {
    let marks: Vec<String> = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".chars().map(String::from).collect();
    let folder = folder(
        &Checkpoint::tiny(),
        &[
            modules(&[
                ("sentence_transformers.base.modules.transformer.Transformer", ""),
                ("sentence_transformers.base.modules.dense.Dense", "1_Dense"),
                (
                    "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
                    "2_MultiVectorMask",
                ),
                ("sentence_transformers.base.modules.normalize.Normalize", "3_Normalize"),
            ]),
            settings(json!({"model_type": "MultiVectorEncoder", "prompts": {"query": "[Q] ", "document": ""}})),
            (
                "sentence_bert_config.json",
                json!({"query_expansion": {"strategy": "fixed", "attend": false, "length": 16}}),
            ),
            ("1_Dense/config.json", dense_config(6)),
            ("2_MultiVectorMask/config.json", json!({ "skiplist_words": marks })),
            ("3_Normalize/config.json", json!({"module_input_name": "token_embeddings"})),
        ],
    );
    let weights = write_dense(folder.path(), "1_Dense", 6);
    let card = LateCard {
        dimensions: 6,
        query_marker: "[Q] ".to_owned(),
        passage_marker: String::new(),
        query_tokens: 16,
        skip_punctuation: true,
    };
    check_late(folder.path(), &weights, &card);
}

#[test]
fn a_saved_cross_encoder_scores_as_its_settings_say() {
    let saved = |activation: &str| {
        let files = [
            modules(&[("sentence_transformers.base.modules.transformer.Transformer", "")]),
            settings(json!({"model_type": "CrossEncoder", "activation_fn": format!("torch.nn.modules.{activation}"),
                "prompts": {}})),
        ];
        let mut checkpoint = Checkpoint::tiny();
        let like = checkpoint.tensors["encoder.layer.0.output.dense.bias"].clone();
        for (name, shape) in [
            ("pooler.dense.weight", vec![HIDDEN, HIDDEN]),
            ("pooler.dense.bias", vec![HIDDEN]),
            ("classifier.weight", vec![1, HIDDEN]),
            ("classifier.bias", vec![1]),
        ] {
            let mut values = like.clone();
            values.row_major = vec![0.5; shape.iter().product()];
            values.shape = shape;
            checkpoint.tensors.insert(name.to_owned(), values);
        }
        let inspection = inspect(folder(&checkpoint, &files).path()).unwrap();
        assert_eq!((inspection.head, inspection.labels.len()), (Head::Classify, 1));
        inspection.problem
    };
    assert_eq!(saved("linear.Identity"), Problem::Regression);
    assert_eq!(saved("activation.Sigmoid"), Problem::MultiLabel);
}

#[test]
fn what_is_not_run_is_refused_by_name() {
    let refused = |checkpoint: &Checkpoint, files: &[(&str, Value)], words: &[&str]| {
        let error: Error = inspect(folder(checkpoint, files).path()).unwrap_err();
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
        assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Corrupted), "{message}");
    };
    let tiny = Checkpoint::tiny();
    let class = |name: &str| Checkpoint::tiny().set("architectures", json!([name]));
    refused(&class("BertForQuestionAnswering"), &[], &["BertForQuestionAnswering", "ForTokenClassification"]);
    refused(&class("BertForSequenceClassification"), &[], &["classify", "classifier.weight", "it serves sentence"]);
    refused(&class("HF_ColBERT"), &[], &["late", "linear.weight"]);
    refused(&tiny, &[settings(json!({"matryoshka_dims": [16]}))], &["matryoshka_dims", "at most 8"]);
    refused(&tiny, &[settings(json!({"prompts": {"query": 7}}))], &["prompts.query is 7"]);

    let transformer = ("sentence_transformers.models.Transformer", "");
    refused(&tiny, &[modules(&[transformer, ("sentence_transformers.models.LSTM", "1_LSTM")])], &["LSTM", "Pooling"]);
    refused(
        &tiny,
        &[modules(&[("sentence_transformers.models.Transformer", "0_Transformer")])],
        &["0_Transformer", "move"],
    );
    let saved_as = |kind: &str| [modules(&[transformer]), settings(json!({ "model_type": kind }))];
    refused(&tiny, &saved_as("Reader"), &["Reader", "CrossEncoder"]);
    refused(&tiny, &saved_as("MultiVectorEncoder"), &["Normalize"]);

    let splade =
        modules(&[transformer, ("sentence_transformers.sparse_encoder.models.SpladePooling", "1_SpladePooling")]);
    let sum = ("1_SpladePooling/config.json", json!({"pooling_strategy": "sum"}));
    refused(&tiny, &[splade, sum], &["pooling_strategy", "\"sum\"", "max"]);
    let late = |settings: Value| {
        let modules = modules(&[transformer, ("pylate.models.Dense.Dense", "1_Dense")]);
        [modules, ("1_Dense/config.json", dense_config(4)), self::settings(settings)]
    };
    let refused_late = |value: Value, words: &[&str]| {
        let folder = folder(&tiny, &late(value));
        write_dense(folder.path(), "1_Dense", 4);
        let message = inspect(folder.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    refused_late(json!({"attend_to_expansion_tokens": true}), &["attend_to_expansion_tokens", "false"]);
    refused_late(json!({"skiplist_words": ["the"]}), &["skiplist_words", "the", "punctuation"]);

    let pooled = [
        modules(&[transformer, ("sentence_transformers.models.Pooling", "1_Pooling")]),
        ("1_Pooling/config.json", json!({"pooling_mode": "mean", "include_prompt": false})),
        settings(json!({"prompts": {"query": "q: "}})),
    ];
    refused(&tiny, &pooled, &["include_prompt"]);
}
