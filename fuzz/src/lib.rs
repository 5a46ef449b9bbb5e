//! The smallest checkpoint that can be exported, and how a fuzzer's bytes become the files of one.

use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Which file of a checkpoint the bytes behind the first one are. The other files are whole.
const CONFIG: u8 = 0;
const WEIGHTS: u8 = 1;
const TOKENIZER: u8 = 2;
const INDEX: u8 = 3;
const MODULES: u8 = 4;
const POOLING: u8 = 5;
/// Config and weights: two bytes say how long the config is.
const BOTH: u8 = 6;

/// `config.json` of the smallest checkpoint.
pub const SMALL_CONFIG: &str = r#"{"model_type":"bert","hidden_size":2,"num_hidden_layers":1,"num_attention_heads":1,"intermediate_size":3,"vocab_size":4,"max_position_embeddings":5,"type_vocab_size":1,"hidden_act":"gelu"}"#;
const SMALL_TOKENIZER: &str =
    r#"{"added_tokens":[{"id":3,"content":"[SEP]"}],"model":{"type":"WordPiece","vocab":{"a":0,"b":1,"c":2}}}"#;
const SMALL_INDEX: &str = r#"{"metadata":{},"weight_map":{"embeddings.LayerNorm.bias":"model-1.safetensors"}}"#;
const SMALL_MODULES: &str =
    r#"[{"type":"x.Transformer","path":""},{"type":"x.Pooling","path":"1_Pooling"},{"type":"x.Normalize","path":"2"}]"#;
const SMALL_POOLING: &str = r#"{"pooling_mode_mean_tokens":true}"#;

/// `model.safetensors` of the smallest checkpoint.
pub fn small_weights() -> Vec<u8> {
    let linear = |name: &str, outputs, inputs| {
        [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
    };
    let norm = |name: &str| [(format!("{name}.weight"), vec![2]), (format!("{name}.bias"), vec![2])];
    let layer = |name: &str| format!("encoder.layer.0.{name}");
    let mut tensors = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![4, 2]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![5, 2]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![1, 2]),
    ];
    tensors.extend(norm("embeddings.LayerNorm"));
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        tensors.extend(linear(&layer(name), 2, 2));
    }
    tensors.extend(linear(&layer("intermediate.dense"), 3, 2));
    tensors.extend(linear(&layer("output.dense"), 2, 3));
    tensors.extend(norm(&layer("attention.output.LayerNorm")));
    tensors.extend(norm(&layer("output.LayerNorm")));
    let bytes: Vec<u8> = (0..12_u8).flat_map(|number| f32::from(number).to_le_bytes()).collect();
    let views = tensors.into_iter().map(|(name, shape)| {
        let length = shape.iter().product::<usize>() * 4;
        (name, TensorView::new(Dtype::F32, shape, &bytes[..length]).expect("lengths fit the shapes above"))
    });
    safetensors::serialize(views, None).expect("the tensors above are sound")
}

/// Inputs that are whole, one for each way in.
pub fn checkpoint_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let behind = |kind: u8, file: &[u8]| [&[kind], file].concat();
    let length = (SMALL_CONFIG.len() as u16).to_le_bytes();
    let both = [&length[..], SMALL_CONFIG.as_bytes(), &small_weights()].concat();
    vec![
        ("config", behind(CONFIG, SMALL_CONFIG.as_bytes())),
        ("weights", behind(WEIGHTS, &small_weights())),
        ("tokenizer", behind(TOKENIZER, SMALL_TOKENIZER.as_bytes())),
        ("index", behind(INDEX, SMALL_INDEX.as_bytes())),
        ("modules", behind(MODULES, SMALL_MODULES.as_bytes())),
        ("pooling", behind(POOLING, SMALL_POOLING.as_bytes())),
        ("both", behind(BOTH, &both)),
    ]
}

/// Writes the checkpoint that `input` stands for into `folder`; false where it stands for none.
pub fn write_checkpoint(folder: &Path, input: &[u8]) -> bool {
    let Some((&kind, file)) = input.split_first() else { return false };
    let weights = small_weights();
    let mut files: Vec<(&str, &[u8])> = match kind {
        CONFIG => vec![("config.json", file), ("model.safetensors", &weights)],
        WEIGHTS => vec![("config.json", SMALL_CONFIG.as_bytes()), ("model.safetensors", file)],
        INDEX => vec![
            ("config.json", SMALL_CONFIG.as_bytes()),
            ("model.safetensors.index.json", file),
            ("model-1.safetensors", &weights),
        ],
        BOTH => {
            let Some((length, rest)) = file.split_first_chunk::<2>() else { return false };
            let Some((config, file)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else { return false };
            vec![("config.json", config), ("model.safetensors", file)]
        }
        _ => vec![("config.json", SMALL_CONFIG.as_bytes()), ("model.safetensors", &weights)],
    };
    match kind {
        TOKENIZER => files.push(("tokenizer.json", file)),
        MODULES => files.extend([("modules.json", file), ("1_Pooling/config.json", SMALL_POOLING.as_bytes())]),
        POOLING => {
            files.extend([("modules.json", SMALL_MODULES.as_bytes()), ("1_Pooling/config.json", file)]);
        }
        _ => {}
    }
    for name in
        ["model.safetensors", "model.safetensors.index.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"]
    {
        // Files of the input before; most are not there.
        let _ = fs::remove_file(folder.join(name));
    }
    fs::create_dir_all(folder.join("1_Pooling")).expect("the scratch folder can be written");
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("the scratch folder can be written");
    }
    true
}

/// A folder for this process, in memory where the system has such a place.
pub fn scratch() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    let within = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder = within.join(format!("berth-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the scratch folder can be made");
    folder
}
