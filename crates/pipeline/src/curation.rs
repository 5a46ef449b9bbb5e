//! What people add to an index so that it answers better: synonyms and pinned results. Neither needs a model.

use std::path::Path;

use berth_index::{IndexReader, Pins};

use crate::Error;
use crate::policy::with_writer;

/// Puts synonyms in the place of those of an index; none removes them. Returns how many words there are.
///
/// # Errors
/// A line that cannot be understood; an index that is not there, damaged, or being written by another process.
pub fn set_synonyms(index: &Path, text: Option<&str>) -> Result<usize, Error> {
    with_writer(index, |writer| Ok(writer.set_synonyms(text)?))
}

/// The synonyms of an index as they were given; none where there are none.
///
/// # Errors
/// An index that is not there or damaged.
pub fn synonyms(index: &Path) -> Result<Option<String>, Error> {
    Ok(IndexReader::open(index)?.snapshot().synonyms_text().map(str::to_owned))
}

/// What is pinned in an index.
///
/// # Errors
/// An index that is not there or damaged.
pub fn pins(index: &Path) -> Result<Pins, Error> {
    Ok(IndexReader::open(index)?.snapshot().pins()?)
}

/// Pins documents to a question, by their ids or the ends of their paths; returns the ids.
///
/// # Errors
/// `DocumentNotFound`; a question without words; an index that is not there, damaged, or being written by another process.
pub fn pin(index: &Path, query: &str, documents: &[String]) -> Result<Vec<String>, Error> {
    with_writer(index, |writer| {
        // Read under the writer's lock, so that two who pin at once do not undo each other.
        let snapshot = IndexReader::open(index)?.snapshot();
        let mut ids = Vec::new();
        for name in documents {
            let ending = format!("/{}", name.trim_start_matches("./").trim_start_matches('/'));
            let is_id = snapshot.document_number(name)?.is_some();
            let found = if is_id { vec![name.clone()] } else { snapshot.document_ids(&ending, 2)? };
            match <[String; 1]>::try_from(found) {
                Ok([id]) => ids.push(id),
                Err(found) => {
                    let (name, several) = (name.clone(), !found.is_empty());
                    return Err(Error::DocumentNotFound { name, index: index.to_path_buf(), several });
                }
            }
        }
        let mut pins = snapshot.pins()?;
        pins.set(query, &ids)?;
        writer.set_pins(&pins)?;
        Ok(ids)
    })
}

/// Unpins what is pinned to a question; says whether anything was.
///
/// # Errors
/// An index that is not there, damaged, or being written by another process.
pub fn unpin(index: &Path, query: &str) -> Result<bool, Error> {
    with_writer(index, |writer| {
        let mut pins = IndexReader::open(index)?.snapshot().pins()?;
        let was_pinned = pins.remove(query);
        if was_pinned {
            writer.set_pins(&pins)?;
        }
        Ok(was_pinned)
    })
}
