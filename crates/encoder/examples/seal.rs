//! `seal FOLDER CARD EXPORTER`: makes an installed model of a folder that holds a tokenizer and graphs.

use std::path::Path;

use berth_encoder::InstalledModel;
use berth_types::ModelCard;

#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, card, exporter] = words.as_slice() else {
        return Err("usage: seal FOLDER CARD EXPORTER".into());
    };
    let card: ModelCard = toml::from_str(&std::fs::read_to_string(card)?)?;
    let model = InstalledModel::seal(Path::new(folder), &card, exporter)?;
    for (name, file) in model.files() {
        println!("{} {} {name}", file.blake3, file.bytes);
    }
    Ok(())
}
