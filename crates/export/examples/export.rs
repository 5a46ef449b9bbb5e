//! `export CHECKPOINT OUT [PRECISION] [cls]`: writes one graph and prints what was written.

use std::path::Path;

use berth_export::{ExportOptions, export};
use berth_types::Pooling;
use berth_types::Precision;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, out, rest @ ..] = words.as_slice() else {
        return Err("usage: export CHECKPOINT OUT [PRECISION] [cls]".into());
    };
    let precision = rest.first().map_or(Ok(Precision::Fp32), |word| word.parse())?;
    let pooling = if rest.get(1).is_some_and(|word| word == "cls") { Pooling::Cls } else { Pooling::Mean };
    let options = ExportOptions { precision, pooling, ..ExportOptions::default() };
    println!("{:?}", export(Path::new(checkpoint), &options, Path::new(out))?);
    Ok(())
}
