//! What can be wrong with a tokenizer's file, with the folder of an installed model, and with a text, as one table: each
//! case is refused by name, or read without harm.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use berth_encoder::{Error, InstalledModel, TextTokenizer, Tokens};
use berth_types::{CardSource, Head, ModelCard, Pooling, Problem, Prompts, Quantization};
use serde_json::{Value, json};

type Prepare = Box<dyn FnOnce(&Path)>;

/// One case: a folder of an installed model, and what has to be said of it.
struct Case {
    fault: &'static str,
    words: Vec<&'static str>,
    prepare: Prepare,
}

#[derive(Default)]
struct Table(Vec<Case>);

impl Table {
    /// Changes the folder of a small model after it was installed.
    fn folder(&mut self, fault: &'static str, words: &[&'static str], change: impl FnOnce(&Path) + 'static) {
        let prepare: Prepare = Box::new(|folder| {
            install(folder, &tokenizer());
            change(folder);
        });
        self.0.push(Case { fault, words: words.to_vec(), prepare });
    }

    /// Installs a model with another `tokenizer.json`, so that its hash is right.
    fn text(&mut self, fault: &'static str, text: impl Into<Vec<u8>> + 'static) {
        let prepare: Prepare = Box::new(|folder| install_bytes(folder, text.into()));
        self.0.push(Case { fault, words: vec!["tokenizer.json"], prepare });
    }

    /// The same, changed as JSON.
    fn json(&mut self, fault: &'static str, change: impl FnOnce(&mut Value) + 'static) {
        let mut file = tokenizer();
        change(&mut file);
        self.text(fault, file.to_string());
    }
}

/// A BERT tokenizer of letters, as pieces and as beginnings.
fn tokenizer() -> Value {
    let letters = ('a'..='z').chain('0'..='9').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into_iter().chain(letters);
    let vocabulary: serde_json::Map<String, Value> = words.enumerate().map(|(id, word)| (word, json!(id))).collect();
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}

fn install(folder: &Path, tokenizer: &Value) {
    install_bytes(folder, tokenizer.to_string().into_bytes());
}

fn install_bytes(folder: &Path, tokenizer: Vec<u8>) {
    fs::write(folder.join("tokenizer.json"), tokenizer).unwrap();
    fs::write(folder.join("config.json"), json!({"model_type": "bert", "vocab_size": 100}).to_string()).unwrap();
    let card = ModelCard {
        name: "small".to_owned(),
        description: String::new(),
        licence: String::new(),
        dimensions: 8,
        pooling: Pooling::Mean,
        normalize: true,
        recommended_window_tokens: 16,
        max_tokens: 32,
        trained_tokens: None,
        languages: vec![],
        lowercase: false,
        heads: vec![],
        labels: vec![],
        problem: Problem::default(),
        matryoshka: vec![],
        prompts: Prompts::default(),
        late: None,
        ready_made: None,
        quantization: Quantization::default(),
        source: CardSource::default(),
        files: vec![],
    };
    InstalledModel::seal(folder, &card, "a test").unwrap();
}

fn open(folder: &Path) -> Result<TextTokenizer, Error> {
    TextTokenizer::of(&InstalledModel::open(folder)?, Head::Sentence)
}

#[test]
fn every_fault_is_refused_by_name() {
    let whole = tempfile::tempdir().unwrap();
    install(whole.path(), &tokenizer());
    assert_eq!(open(whole.path()).unwrap().tokenize("abc 1").unwrap().ids.len(), 4, "the table harms a whole model");

    let mut table = Table::default();
    files(&mut table);
    syntax(&mut table);
    vocabularies(&mut table);
    parts(&mut table);
    folders(&mut table);
    cards(&mut table);

    let mut cases_by_fault: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for (number, case) in table.0.into_iter().enumerate() {
        *cases_by_fault.entry(case.fault).or_default() += 1;
        let folder = tempfile::tempdir().unwrap();
        (case.prepare)(folder.path());
        let failure = match catch_unwind(AssertUnwindSafe(|| open(folder.path()).map(drop))) {
            Ok(Err(error)) => {
                let message = error.to_string();
                case.words
                    .iter()
                    .find(|word| !message.contains(*word))
                    .map(|word| format!("{message:?} lacks {word:?}"))
            }
            Ok(Ok(())) => Some("was accepted".to_owned()),
            Err(_) => Some("panicked".to_owned()),
        };
        failures.extend(failure.map(|failure| format!("case {number}, {}: {failure}", case.fault)));
    }
    let (faults, cases) = (cases_by_fault.len(), cases_by_fault.values().sum::<usize>());
    #[expect(clippy::print_stdout, reason = "the table says what it tried")]
    {
        println!("{cases_by_fault:#?}\n{faults} distinct faults, {cases} cases");
    }
    assert!(failures.is_empty(), "{} of {cases} cases:\n{}", failures.len(), failures.join("\n"));
    assert!(faults >= 30 && cases >= 100, "the table has shrunk: {faults} faults, {cases} cases");
}

fn files(table: &mut Table) {
    for name in ["tokenizer.json", "config.json", "card.toml"] {
        table.folder("file missing", &[name], move |folder| fs::remove_file(folder.join(name)).unwrap());
        table.folder("file is a folder", &[name], move |folder| {
            fs::remove_file(folder.join(name)).unwrap();
            fs::create_dir(folder.join(name)).unwrap();
        });
        table.folder("file of another hash", &[name, "changed since it was installed"], move |folder| {
            let mut bytes = fs::read(folder.join(name)).unwrap();
            // A space at the end changes no meaning, only the hash.
            bytes.push(b'\n');
            fs::write(folder.join(name), bytes).unwrap();
        });
        table.folder("file that was emptied", &[name], move |folder| fs::write(folder.join(name), "").unwrap());
        table.folder("file that became endless", &[name], move |folder| {
            fs::File::options().write(true).open(folder.join(name)).unwrap().set_len(1 << 40).unwrap();
        });
    }
    table.folder("file that is not listed", &["tokenizer.json"], |folder| {
        let path = folder.join("model.json");
        let mut list: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        list["files"].as_object_mut().unwrap().remove("tokenizer.json");
        fs::write(path, list.to_string()).unwrap();
    });
}

fn syntax(table: &mut Table) {
    let whole = tokenizer().to_string();
    for twelfth in 0..12 {
        table.text("tokenizer cut off", whole[..whole.len() * twelfth / 12].to_owned());
    }
    for other in ["[]", "7", "null", "\"WordPiece\"", "{}"] {
        table.text("tokenizer of other JSON", other);
    }
    table.text("tokenizer that is not UTF-8", b"{\"version\": \"1.0\", \"\xff\xfe\": 1}".to_vec());
    table.text("tokenizer with a byte order mark", format!("\u{feff}{whole}"));
    for surrogate in ["\\ud800", "\\udfff", "\\ud83d x", "\\ud800\\ud800"] {
        table.text("token with a lone surrogate", whole.replace("\"##a\"", &format!("\"{surrogate}\"")));
    }
    for control in ['\0', '\n', '\u{1f}'] {
        table.text("token with a bare control character", whole.replace("\"##a\"", &format!("\"{control}\"")));
    }
    table.text("tokenizer nested without end", "{\"normalizer\": ".repeat(100_000));
    table.text("tokenizer nested without end", "[".repeat(1_000_000));
    let deep = "{\"type\":\"Sequence\",\"normalizers\":[".repeat(5_000) + &"]}".repeat(5_000);
    table.text(
        "normaliser nested without end",
        whole.replace("\"normalizer\":{", &format!("\"normalizer\":{deep},\"was\":{{")),
    );
    for version in ["2.0", "", "x"] {
        table.json("version of another time", move |file| file["version"] = json!(version));
    }
}

fn vocabularies(table: &mut Table) {
    table.json("tokenizer without a model", |file| drop(file.as_object_mut().unwrap().remove("model")));
    for model in [json!(null), json!([]), json!("WordPiece"), json!({})] {
        table.json("model of other JSON", |file| file["model"] = model);
    }
    for kind in ["GPT", "wordpiece", ""] {
        table.json("model of an unknown kind", move |file| file["model"]["type"] = json!(kind));
    }
    for id in [json!(-1), json!(1.5), json!("3"), json!(null), json!(1_u64 << 32), json!(u64::MAX)] {
        table.json("id that is none", |file| file["model"]["vocab"]["odd"] = id);
    }
    for id in [100, 101, 1_000_000, u32::MAX] {
        table.json("id beyond the embeddings", move |file| file["model"]["vocab"]["odd"] = json!(id));
    }
    for vocabulary in [json!([]), json!(7), json!("abc"), json!(null)] {
        table.json("vocabulary of another form", |file| file["model"]["vocab"] = vocabulary);
    }
    table.json("vocabulary without anything", |file| file["model"]["vocab"] = json!({}));
    table.json("no piece for the unknown", |file| {
        let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
        vocabulary.retain(|token, _| token == "b");
        file["added_tokens"] = json!([]);
        file["post_processor"] = json!(null);
    });
    let bpe =
        |merges: Value| json!({"type": "BPE", "unk_token": "a", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": merges});
    let merges = [
        json!(["a c"]),
        json!(["a b b"]),
        json!(["ab"]),
        json!([["a"]]),
        json!([["b", "a"]]),
        json!([7]),
        json!("a b"),
    ];
    for wrong in merges {
        table.json("merge of what is not there", move |file| file["model"] = bpe(wrong));
    }
    let unigram = |unknown: Value, pieces: Value| json!({"type": "Unigram", "unk_id": unknown, "vocab": pieces});
    for unknown in [json!(2), json!(u64::MAX), json!(-1)] {
        table.json("unknown piece beyond the vocabulary", move |file| {
            file["model"] = unigram(unknown, json!([["<unk>", 0.0], ["a", -1.0]]));
        });
    }
    for pieces in [json!([["a"]]), json!([["a", "x"]]), json!([["a", null]]), json!({"a": -1.0}), json!([7])] {
        table.json("pieces of another form", move |file| file["model"] = unigram(json!(0), pieces));
    }
}

fn parts(table: &mut Table) {
    for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
        for kind in [json!({"type": "Unheard"}), json!("Lowercase"), json!({}), json!(3)] {
            table.json("part of an unknown kind", move |file| file[part] = kind);
        }
    }
    for pattern in ["(", "[", "a{2,1}", "(?<x", "\\", "*", "(?P=none)"] {
        table.json("pattern that is none", move |file| {
            file["pre_tokenizer"] =
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        });
        table.json("pattern that is none", move |file| {
            file["normalizer"] = json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": ""});
        });
    }
    for charsmap in ["AAAA", "!!!!", "/////w==", "AAAAAA==", "AQAAAAA=", "CAAAAP////8="] {
        table.json("character map that is damaged", move |file| {
            file["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": charsmap});
        });
    }
    for pieces in
        [json!([{"SpecialToken": {"id": "[NONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]), json!([7])]
    {
        table.json("template with an unknown token", move |file| {
            file["post_processor"] =
                json!({"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": {}});
        });
    }
    for token in
        [json!({}), json!(7), json!({"id": 0}), json!({"id": -1, "content": "x"}), json!({"id": 0, "content": 7})]
    {
        table.json("added token of another form", move |file| file["added_tokens"] = json!([token]));
    }
    for id in [100, u32::MAX] {
        table.json("added token beyond the embeddings", move |file| {
            file["added_tokens"].as_array_mut().unwrap().push(json!({"id": id, "content": "[NEW]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}));
            file["model"]["vocab"]["[NEW]"] = json!(id);
        });
    }
    for padding in [json!(3), json!({"strategy": "Unheard"}), json!({"strategy": {"Fixed": -1}})] {
        table.json("padding of another form", move |file| file["padding"] = padding);
    }
    for truncation in
        [json!(3), json!({"max_length": -1}), json!({"strategy": "Unheard", "max_length": 4, "stride": 0})]
    {
        table.json("truncation of another form", move |file| file["truncation"] = truncation);
    }
}

fn folders(table: &mut Table) {
    let list = |table: &mut Table, fault, text: &'static str| {
        table.folder(fault, &["model.json"], move |folder| fs::write(folder.join("model.json"), text).unwrap());
    };
    table.folder("folder without a list", &["no installed model"], |folder| {
        fs::remove_file(folder.join("model.json")).unwrap();
    });
    for text in ["", "{", "[]", "7", "{\"format\": 1}", "{\"format\": 1, \"files\": {}}", "{\"format\": \"1\"}"] {
        list(table, "list of other JSON", text);
    }
    for text in ["{\"format\": 0}", "{\"format\": 2, \"files\": {}}", "{\"format\": 4294967295}"] {
        list(table, "list of another format", text);
    }
    let entries = [
        r#"{"format":1,"exporter":"x","files":{"card.toml":{"blake3":"","bytes":-1}}}"#,
        r#"{"format":1,"exporter":"x","files":{"card.toml":{"blake3":7,"bytes":1}}}"#,
        r#"{"format":1,"exporter":"x","files":{"card.toml":{"bytes":1}}}"#,
        r#"{"format":1,"exporter":"x","files":[]}"#,
        r#"{"format":1,"exporter":"x","files":{},"more":1}"#,
        r#"{"format":1,"exporter":"\ud800","files":{}}"#,
    ];
    for text in entries {
        list(table, "list with odd entries", text);
    }
    table.folder("list that became endless", &["model.json"], |folder| {
        fs::File::options().write(true).open(folder.join("model.json")).unwrap().set_len(1 << 40).unwrap();
    });
    for hash in ["", "00", "zz"] {
        table.folder("hash that is none", &["card.toml", "changed"], move |folder| {
            let path = folder.join("model.json");
            let mut list: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            list["files"]["card.toml"]["blake3"] = json!(hash);
            fs::write(path, list.to_string()).unwrap();
        });
    }
}

fn cards(table: &mut Table) {
    let replaced = [
        ("card with a value that cannot be", "dimensions = 8", "dimensions = 0"),
        ("card with a value that cannot be", "max_tokens = 32", "max_tokens = 3"),
        ("card with a value that cannot be", "recommended_window_tokens = 16", "recommended_window_tokens = 33"),
        ("card with a value that cannot be", "recommended_window_tokens = 16", "recommended_window_tokens = 0"),
        ("card with a value of another kind", "dimensions = 8", "dimensions = -8"),
        ("card with a value of another kind", "dimensions = 8", "dimensions = \"8\""),
        ("card with a value of another kind", "dimensions = 8", "dimensions = nan"),
        ("card with a value of another kind", "pooling = \"mean\"", "pooling = \"attention\""),
        ("card with a value of another kind", "normalize = true", "normalize = 1"),
        ("card with an unknown key", "dimensions = 8", "dimensions = 8\nunheard = 1"),
        ("card with a key twice", "dimensions = 8", "dimensions = 8\ndimensions = 8"),
        ("card without a key", "dimensions = 8", ""),
        ("card that is no TOML", "dimensions = 8", "dimensions: 8"),
    ];
    for (fault, from, to) in replaced {
        table.folder(fault, &["card.toml"], move |folder| {
            let path = folder.join("card.toml");
            let card = fs::read_to_string(&path).unwrap();
            assert!(card.contains(from), "{card}");
            fs::write(path, card.replace(from, to)).unwrap();
        });
    }
    table.folder("card that is not UTF-8", &["card.toml", "UTF-8"], |folder| {
        fs::write(folder.join("card.toml"), b"name = \"\xff\"").unwrap();
    });
}

fn check_offsets(text: &str, tokens: &Tokens) {
    assert_eq!(tokens.ids.len(), tokens.offsets.len());
    let mut previous = 0..0;
    for range in &tokens.offsets {
        let (start, end) = (range.start as usize, range.end as usize);
        assert!(start <= end && text.is_char_boundary(start) && text.is_char_boundary(end));
        assert!(range.start >= previous.start && range.end >= previous.end, "{previous:?} then {range:?}");
        previous = range.clone();
    }
}

/// Texts as no one writes them: read whole, with true offsets.
#[test]
fn hostile_texts_are_read() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), &tokenizer());
    let tokenizer = open(folder.path()).unwrap();
    let megabytes = |piece: &str, count: usize| piece.repeat((count << 20) / piece.len());
    let texts = [
        ("ten megabytes of words", megabytes("abc de ", 10)),
        ("a word of a megabyte", megabytes("a", 1)),
        ("spaces", megabytes(" ", 10)),
        ("line ends", megabytes("\r\n", 1)),
        ("marks upon one letter", format!("e{}", megabytes("\u{301}", 1))),
        ("joined emoji", megabytes("👩\u{200d}🚒", 1)),
        ("control characters", (0..32_u8).map(char::from).cycle().take(1 << 18).collect()),
        ("bytes that mean nothing", "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}".repeat(1 << 14)),
        ("turned direction", "\u{202e}abc\u{202c}".repeat(1 << 14)),
        ("special tokens", "[CLS][SEP][PAD][UNK]".repeat(1 << 12)),
        ("nothing", String::new()),
        ("a null", "\0".to_owned()),
    ];
    for (name, text) in texts {
        let tokens = tokenizer.tokenize(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_offsets(&text, &tokens);
        let specials = tokens.ids.iter().filter(|&&id| id == 0 || id == 2 || id == 3).count();
        assert_eq!(specials, 0, "{name}: a text spelled a special token");
    }
}
