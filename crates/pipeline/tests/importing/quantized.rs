//! What can be chosen for graphs in integers: products that stay in fp32, texts that ranges are measured over. Both are
//! recorded, hold for graphs that are made later, and are refused where they cannot be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use berth_encoder::cpu_features;
use berth_export::{ExportOptions, export, products};
use berth_pipeline::{EncoderChoice, Error, Home, ImportOptions, installed, open_head};
use berth_types::{Head, MeasuredRanges, Precision, Quantization};

use crate::goldens::Goldens;
use crate::ready_made::vector;
use crate::{copy_of, fixtures, import_folder, in_fp32, new_home, open_at};

const STATIC: Precision = Precision::Int8Static;

fn at(precision: Precision) -> ImportOptions {
    ImportOptions { precisions: vec![precision], ..ImportOptions::default() }
}

fn keeping(names: &[&str], options: ImportOptions) -> ImportOptions {
    ImportOptions { keep_fp32: Some(names.iter().map(|&name| name.to_owned()).collect()), ..options }
}

fn over(texts: &Path, options: ImportOptions) -> ImportOptions {
    ImportOptions { calibrate: Some(texts.to_path_buf()), ..options }
}

fn chosen(home: &Home, name: &str) -> Quantization {
    installed(home, name).unwrap().card().quantization.clone()
}

fn ranges(home: &Home, name: &str) -> MeasuredRanges {
    chosen(home, name).ranges.unwrap()
}

/// Names of the products of a fixture's graph for `head`.
fn names(fixture: &Path, head: Head) -> Vec<String> {
    products(fixture, head).unwrap().into_iter().map(|product| product.name).collect()
}

/// The texts that were recorded for a fixture, as a file.
fn texts_of(fixture: &Path, folder: &Path) -> PathBuf {
    let texts: Vec<String> =
        Goldens::of(fixture).texts.iter().map(|text| text.text.replace(['\n', '\r'], " ")).collect();
    let path = folder.join("texts.txt");
    fs::write(&path, texts.join("\n")).unwrap();
    path
}

/// Mean distance of a model's vectors to those of its fp32 graph, over the texts of its fixture.
fn distance(home: &Home, fixture: &Path, name: &str, precision: Precision) -> f32 {
    let model = installed(home, name).unwrap();
    let [exact, other] = [Precision::Fp32, precision].map(|precision| open_at(&model, Head::Sentence, precision));
    let texts = Goldens::of(fixture).texts;
    let distances = texts.iter().map(|text| {
        let (one, other) = (vector(&exact, &text.text), vector(&other, &text.text));
        one.iter().zip(&other).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    });
    distances.sum::<f32>() / texts.len() as f32
}

/// Asks for a graph that is made on first use. On a processor that could not run it none is made; an import makes it then.
fn make_on_first_use(home: &Home, head: Head, precision: Precision) {
    let choice = EncoderChoice {
        model: Some("bert-mlm".to_owned()),
        precision: Some(precision),
        workers: Some(1),
        ..EncoderChoice::default()
    };
    if let Err(error) = open_head(home, &choice, head, None) {
        assert!(matches!(error, Error::Encoder(berth_encoder::Error::Int8Saturates { .. })), "{error}");
        let options = ImportOptions { heads: vec![head], ..at(precision) };
        import_folder(home, &fixtures().join("bert-mlm"), &options).unwrap();
    }
}

#[test]
fn products_that_are_kept_bring_vectors_nearer_to_fp32() {
    let (_folder, home) = new_home();
    let fixture = fixtures().join("bert-sentence");
    let all = names(&fixture, Head::Sentence);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let precisions = [Precision::Fp32, Precision::Int8, Precision::Q8, Precision::Q4];
    let options = |name: &str| ImportOptions {
        name: Some(name.to_owned()),
        precisions: precisions.to_vec(),
        ..ImportOptions::default()
    };
    import_folder(&home, &fixture, &options("plain")).unwrap();
    import_folder(&home, &fixture, &keeping(&all, options("kept"))).unwrap();
    let hash = |name: &str, file: &str| installed(&home, name).unwrap().files()[file].blake3.clone();
    assert_eq!(hash("plain", "fp32.onnx"), hash("kept", "fp32.onnx"), "there is nothing to keep in fp32");
    // Without exact products of 8-bit integers the encoder refuses some of the others.
    for &precision in precisions[1..].iter().filter(|precision| cpu_features().computes(**precision)) {
        let [plain, kept] = ["plain", "kept"].map(|name| distance(&home, &fixture, name, precision));
        assert!(kept < plain, "{precision}: {kept} with products kept, {plain} without");
    }
}

#[test]
fn what_is_kept_is_recorded_and_holds_until_it_is_chosen_anew() {
    let (_folder, home) = new_home();
    let fixture = fixtures().join("bert-mlm");
    // One of the encoder, and one that only fill-mask has.
    let (own, trunk) = ("head.decoder", "encoder.layer.1.output.dense");
    let trunk = names(&fixture, Head::Tokens).into_iter().find(|name| name.ends_with(trunk)).unwrap();
    let kept = [trunk.as_str(), own];
    let import = |options: ImportOptions| import_folder(&home, &fixture, &options).unwrap();
    assert!(!import(keeping(&kept, at(Precision::Q8))).already_installed);
    assert!(import(at(Precision::Q8)).already_installed);
    assert!(import(keeping(&kept, at(Precision::Q8))).already_installed);

    // A graph that is made on first use, of a head without one of the products.
    make_on_first_use(&home, Head::Tokens, Precision::Q8);
    let expected = home.root().join("expected.onnx");
    let exporting = |head, kept: &[&str]| ExportOptions {
        head,
        precision: Precision::Q8,
        normalize: installed(&home, "bert-mlm").unwrap().card().normalize,
        keep_fp32: kept.iter().map(|&name| name.to_owned()).collect(),
        ..ExportOptions::default()
    };
    let check = |head: Head, kept: &[&str]| {
        export(&fixture, &exporting(head, kept), &expected).unwrap();
        let made = fs::read(home.model("bert-mlm").join(head.graph_file(Precision::Q8))).unwrap();
        assert!(made == fs::read(&expected).unwrap(), "{head} is another graph");
    };
    check(Head::FillMask, &kept);
    check(Head::Tokens, &[&trunk]);

    // Files that were damaged come back as they were chosen.
    let graph = home.model("bert-mlm").join(Head::FillMask.graph_file(Precision::Q8));
    fs::write(&graph, b"damaged").unwrap();
    import(at(Precision::Q8));
    check(Head::FillMask, &kept);

    // All graphs are made again for another choice.
    make_on_first_use(&home, Head::Tokens, Precision::Q8);
    let report = import(keeping(&[], at(Precision::Q8)));
    assert!(!report.already_installed);
    assert_eq!(report.graphs, ["q8.fill-mask.onnx", "q8.tokens.onnx"]);
    assert_eq!(chosen(&home, "bert-mlm"), Quantization::default());
    check(Head::FillMask, &[]);
    check(Head::Tokens, &[]);
}

#[test]
fn ranges_are_measured_over_texts_and_hold_for_other_heads() {
    let (folder, home) = new_home();
    let fixture = fixtures().join("bert-mlm");
    let texts = texts_of(&fixture, folder.path());
    let sentence = || ImportOptions { heads: vec![Head::Sentence], ..at(STATIC) };
    let import = |options: ImportOptions| import_folder(&home, &fixture, &options).unwrap();
    assert_eq!(import(over(&texts, sentence())).graphs, ["int8-static.onnx"]);
    let measured = ranges(&home, "bert-mlm");
    assert!(measured.texts > 3, "{measured:?}");
    let expected: BTreeSet<String> = names(&fixture, Head::FillMask).into_iter().collect();
    assert_eq!(measured.products.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(!home.model("bert-mlm").join(".calibration.onnx").exists());
    assert!(import(sentence()).already_installed);
    assert!(import(over(&texts, sentence())).already_installed);

    // On first use, also with products of its own.
    make_on_first_use(&home, Head::FillMask, STATIC);
    let hash = || {
        let model = installed(&home, "bert-mlm").unwrap();
        assert_eq!(model.files().len(), 5, "{:?}", model.files());
        ["int8-static.onnx", "int8-static.fill-mask.onnx"].map(|file| model.files()[file].blake3.clone())
    };
    let first = hash();

    // Another choice of products needs no texts: their ranges were measured with the others.
    let kept = names(&fixture, Head::Tokens).remove(3);
    import(keeping(&[&kept], sentence()));
    assert_eq!(ranges(&home, "bert-mlm"), measured);
    let mixed = hash();
    import(keeping(&[], sentence()));
    assert_eq!(hash(), first);
    assert!(mixed[0] != first[0] && mixed[1] != first[1]);

    // Other texts, other ranges, for all graphs that there are.
    fs::write(&texts, "one text\n").unwrap();
    assert!(!import(over(&texts, in_fp32())).already_installed);
    assert_eq!(ranges(&home, "bert-mlm").texts, 1);
    let report = import(sentence());
    assert!(report.already_installed && report.graphs.contains(&"fp32.fill-mask.onnx".to_owned()), "{report:?}");
}

#[test]
fn static_vectors_are_near_to_fp32_when_the_texts_are_like_them() {
    // Without exact products of 8-bit integers the encoder refuses these graphs.
    if cpu_features().int8_kernel().is_none() {
        return;
    }
    let (folder, home) = new_home();
    let fixture = fixtures().join("bert-sentence");
    let texts = texts_of(&fixture, folder.path());
    let options = || ImportOptions { precisions: vec![Precision::Fp32, STATIC], ..ImportOptions::default() };
    import_folder(&home, &fixture, &over(&texts, options())).unwrap();
    let plain = distance(&home, &fixture, "bert-sentence", STATIC);
    assert!(plain < 0.2, "{plain}");
    let all = names(&fixture, Head::Sentence);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    import_folder(&home, &fixture, &keeping(&all, options())).unwrap();
    let kept = distance(&home, &fixture, "bert-sentence", STATIC);
    assert!(kept < plain, "{kept} with products kept, {plain} without");
}

#[test]
fn names_outlive_a_change_of_the_weights_and_ranges_do_not() {
    let (folder, home) = new_home();
    let copy = copy_of("bert-sentence");
    let texts = texts_of(copy.path(), folder.path());
    let named = |options: ImportOptions| ImportOptions { name: Some("changing".to_owned()), ..options };
    let kept = names(copy.path(), Head::Sentence).remove(0);
    import_folder(&home, copy.path(), &named(over(&texts, keeping(&[&kept], at(STATIC))))).unwrap();
    let config = copy.path().join("config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    let error = import_folder(&home, copy.path(), &named(at(STATIC))).unwrap_err();
    assert!(matches!(&error, Error::CalibrationNeeded { model } if model == "changing"), "{error}");
    import_folder(&home, copy.path(), &named(in_fp32())).unwrap();
    assert_eq!(chosen(&home, "changing"), Quantization { keep_fp32: BTreeSet::from([kept]), ranges: None });
}

#[test]
fn choices_that_cannot_be_are_refused_and_change_nothing() {
    let (folder, home) = new_home();
    let fixture = fixtures().join("bert-sentence");
    let refused = |options: ImportOptions, words: &[&str]| {
        let message = import_folder(&home, &fixture, &options).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
        assert!(fs::read_dir(home.models()).map_or(0, Iterator::count) == 0, "{message}");
    };
    let known = names(&fixture, Head::Sentence).remove(0);
    refused(keeping(&[&known, "pooler.dense"], in_fp32()), &["pooler.dense", "the products are", &known]);
    refused(at(STATIC), &["'bert-sentence'", "--precision int8-static", "--calibrate FILE"]);
    let texts = folder.path().join("texts.jsonl");
    refused(over(&texts, at(STATIC)), &["texts.jsonl", "read"]);
    fs::write(&texts, "{\"_id\": \"1\", \"title\": \"only\"}\n").unwrap();
    refused(over(&texts, at(STATIC)), &["texts.jsonl line 1", "text"]);
    fs::write(&texts, "\n{\"text\": \"\"}\n").unwrap();
    refused(over(&texts, at(STATIC)), &["texts.jsonl", "no text"]);
    fs::write(&texts, "{\"text\": \"some text\"}\n").unwrap();
    refused(over(&texts, at(Precision::Q8)), &["--calibrate", "--precision int8-static"]);
    let ready = |options: ImportOptions| ImportOptions { ready_made: true, ..options };
    refused(ready(over(&texts, ImportOptions::default())), &["--calibrate"]);
    refused(ready(keeping(&[], ImportOptions::default())), &["--keep-fp32"]);

    // A graph that would be made on first use.
    import_folder(&home, &fixture, &in_fp32()).unwrap();
    let (model, precision) = (Some("bert-sentence".to_owned()), Some(STATIC));
    let choice = EncoderChoice { model, precision, ..EncoderChoice::default() };
    let error = open_head(&home, &choice, Head::Tokens, None).err().unwrap();
    match cpu_features().kernel(STATIC) {
        Ok(_) => assert!(matches!(&error, Error::CalibrationNeeded { model } if model == "bert-sentence"), "{error}"),
        // Whether ranges are there is not asked where nothing could run with them.
        Err(refusal) => assert_eq!(error.to_string(), refusal.to_string()),
    }
}
