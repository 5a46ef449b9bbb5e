//! Writes inputs to start from: `cargo run --bin seeds` fills `corpus/checkpoint` and `corpus/graph`.

use std::fs;
use std::path::Path;

use berth_export::{ExportOptions, export};
use berth_fuzz::{checkpoint_seeds, scratch, write_checkpoint};
use berth_types::{Head, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["checkpoint", "graph"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    let folder = scratch();
    for (name, input) in checkpoint_seeds() {
        write_checkpoint(&folder, &input);
        let exported = export(&folder, &ExportOptions::default(), &folder.join("out.onnx"));
        println!("{name}: {}", exported.map_or_else(|error| error.to_string(), |report| format!("{report:?}")));
        fs::write(corpus.join("checkpoint").join(name), input)?;
    }
    let whole = checkpoint_seeds().remove(0).1;
    write_checkpoint(&folder, &whole);
    for head in [Head::Sentence, Head::Tokens, Head::Layers, Head::Attention] {
        for precision in Precision::ALL {
            let name = head.graph_file(precision);
            let out = folder.join("out.onnx");
            match export(&folder, &ExportOptions { head, precision, ..ExportOptions::default() }, &out) {
                Ok(_) => fs::copy(&out, corpus.join("graph").join(&name))?,
                Err(error) => {
                    println!("{name}: {error}");
                    continue;
                }
            };
        }
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}
