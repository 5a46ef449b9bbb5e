//! Models by name: the cards that come with Berth, and what is installed.

use std::fs;

use berth_encoder::InstalledModel;
use berth_types::ModelCard;
use serde::Serialize;

use crate::home::is_plain_name;
use crate::{Error, Home};

/// Cards that come with Berth, as (name, TOML).
pub(crate) const EMBEDDED_CARDS: [(&str, &str); 1] =
    [("all-minilm-l6-v2", include_str!("../../../models/all-minilm-l6-v2.toml"))];

/// One line of `berth model list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelListing {
    /// Name to import or use.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Values in an embedding.
    pub dimensions: usize,
    /// Recommended window in tokens.
    pub window_tokens: usize,
    /// Whether it can be used now.
    pub installed: bool,
}

/// The cards that come with Berth.
pub fn embedded_cards() -> Vec<ModelCard> {
    let parse = |(name, text): &(&str, &str)| {
        toml::from_str::<ModelCard>(text)
            .unwrap_or_else(|error| panic!("the built-in card {name} is malformed: {error}"))
    };
    EMBEDDED_CARDS.iter().map(parse).collect()
}

/// Cards and installed models, by name.
///
/// # Errors
/// When the folder of models cannot be read.
pub fn list(home: &Home) -> Result<Vec<ModelListing>, Error> {
    let listing = |card: &ModelCard, installed| ModelListing {
        name: card.name.clone(),
        description: card.description.clone(),
        dimensions: card.dimensions,
        window_tokens: card.recommended_window_tokens,
        installed,
    };
    let installed = installed_names(home)?;
    let mut models = Vec::new();
    for name in &installed {
        models.push(listing(InstalledModel::open(&home.model(name))?.card(), true));
    }
    models.extend(
        embedded_cards().iter().filter(|card| !installed.contains(&card.name)).map(|card| listing(card, false)),
    );
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

/// Opens an installed model by name.
///
/// # Errors
/// `ModelNotInstalled` with the names that are; otherwise what the encoder says of the folder.
pub fn installed(home: &Home, name: &str) -> Result<InstalledModel, Error> {
    let directory = home.model(name);
    if !is_plain_name(name) || !directory.is_dir() {
        let names = installed_names(home)?;
        let installed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let remedy = remedy(home, name);
        return Err(Error::ModelNotInstalled { name: name.to_owned(), models: home.models(), installed, remedy });
    }
    Ok(InstalledModel::open(&directory)?)
}

/// What to do to have the model `name` whole: import its card, or the folder that it came from, as far as that is known.
pub fn remedy(home: &Home, name: &str) -> String {
    if EMBEDDED_CARDS.iter().any(|(card, _)| *card == name) {
        return format!("run `berth model import {name}`");
    }
    let card = fs::read_to_string(home.model(name).join("card.toml"));
    match card.ok().and_then(|text| toml::from_str::<ModelCard>(&text).ok()) {
        Some(card) if is_plain_name(name) && !card.source.folder.is_empty() => {
            let ready_made = if card.ready_made.is_some() { " --ready-made" } else { "" };
            let folder = quoted(&card.source.folder);
            format!("run `berth model import {folder} --name {name}{ready_made}`")
        }
        _ => {
            format!("no card has that name; import a folder under it: `berth model import DIR --name {}`", quoted(name))
        }
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+@:".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The family of an installed model: `model_type` of its `config.json`, where that says one.
pub fn family(model: &InstalledModel) -> Option<String> {
    let config = fs::read(model.dir().join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    Some(config["model_type"].as_str()?.to_owned())
}

/// Reads every file of an installed model again and compares it with the hash recorded at import.
///
/// # Errors
/// As [`installed`].
pub fn verify_model(home: &Home, name: &str) -> Result<Vec<berth_encoder::FileVerdict>, Error> {
    Ok(installed(home, name)?.verify()?)
}

pub(crate) fn installed_names(home: &Home) -> Result<Vec<String>, Error> {
    let models = home.models();
    let entries = match fs::read_dir(&models) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", &models)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", &models))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_plain_name(&name) && entry.path().join("card.toml").is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_names_the_place_that_a_model_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        assert_eq!(remedy(&home, "all-minilm-l6-v2"), "run `berth model import all-minilm-l6-v2`");
        assert!(remedy(&home, "nope").ends_with("`berth model import DIR --name nope`"));
        fs::create_dir_all(home.model("mine")).unwrap();
        let card = "name = 'mine'\ndimensions = 4\npooling = 'mean'\nnormalize = true\nmax_tokens = 9\n\
                    recommended_window_tokens = 9\nsource.folder = '/models/my own'\n";
        fs::write(home.model("mine").join("card.toml"), card).unwrap();
        assert_eq!(remedy(&home, "mine"), "run `berth model import '/models/my own' --name mine`");
    }

    #[test]
    fn built_in_cards_parse_and_name_themselves() {
        let names: Vec<String> = embedded_cards().into_iter().map(|card| card.name).collect();
        assert_eq!(names, EMBEDDED_CARDS.map(|(name, _)| name));
    }
}
