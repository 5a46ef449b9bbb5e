//! What is looked at before the files of a checkpoint are believed: their size, their names, and whether they fit.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Error;
use crate::paths::inside;

/// How a file begins that stands for another one in a repository.
pub(crate) const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// Bytes of the largest published `tokenizer.json` (250,000 pieces), ten times over.
const LARGEST_TOKENIZER: u64 = 256 << 20;

/// Reads a file that has no reason to be larger than `largest` bytes.
///
/// # Errors
/// What the system says; a file that is larger is not read.
pub(crate) fn read_small(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {largest} bytes"));
    let file = File::open(path)?;
    if file.metadata()?.len() > largest {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest { Err(too_large()) } else { Ok(bytes) }
}

/// Refuses a safetensors file that is a pointer to the real one, or that names a tensor twice. The container's own
/// reader takes the second of two tensors of one name, another reader the first.
///
/// # Errors
/// `Pointer` or `TensorTwice`. A header that cannot be read is left to the container's reader.
pub(crate) fn check_container(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(LFS_POINTER) {
        return Err(Error::Pointer { path: path.to_owned() });
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Ok(()) };
    let header = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|length| rest.get(..length));
    let Some(names) = header.and_then(|header| serde_json::from_slice::<Names>(header).ok()) else { return Ok(()) };
    match names.twice {
        Some(tensor) => Err(Error::TensorTwice { path: path.to_owned(), tensor }),
        None => Ok(()),
    }
}

/// Refuses a `tokenizer.json` whose ids do not fit the table of `rows` word embeddings. A folder without one passes.
///
/// # Errors
/// `TokenizerSyntax` or `TokenBeyondTable`, naming the token; `PathOutside` or `Read`.
pub(crate) fn check_vocabulary(checkpoint: &Path, rows: usize) -> Result<(), Error> {
    let path = inside(checkpoint, "tokenizer.json")?;
    let bytes = match read_small(&path, LARGEST_TOKENIZER) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() => return Ok(()),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let tokenizer: Tokenizer = serde_json::from_slice(&bytes)
        .map_err(|error| Error::TokenizerSyntax { path: path.clone(), message: error.to_string() })?;
    let added = tokenizer.added_tokens.into_iter().map(|added| (added.id, added.content));
    let largest = added.chain(tokenizer.model.vocab.0).max_by_key(|(id, _)| *id);
    match largest {
        Some((id, token)) if id >= rows as u64 => Err(Error::TokenBeyondTable { path, token, id, rows }),
        _ => Ok(()),
    }
}

/// `tokenizer.json`, as far as ids are concerned.
#[derive(Deserialize)]
struct Tokenizer {
    #[serde(default)]
    added_tokens: Vec<Added>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    vocab: Largest,
}

/// The largest id of a vocabulary: an object of ids, or a list of pieces whose places are the ids (Unigram).
struct Largest(Option<(u64, String)>);

impl<'de> Deserialize<'de> for Largest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Vocabulary;
        impl<'de> Visitor<'de> for Vocabulary {
            type Value = Largest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of ids or a list of pieces")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Largest, A::Error> {
                let mut largest: Option<(u64, String)> = None;
                while let Some((token, id)) = entries.next_entry::<String, u64>()? {
                    if largest.as_ref().is_none_or(|(other, _)| id > *other) {
                        largest = Some((id, token));
                    }
                }
                Ok(Largest(largest))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Largest, A::Error> {
                let mut last = None;
                let mut id = 0;
                while let Some((piece, _)) = pieces.next_element::<(String, IgnoredAny)>()? {
                    last = Some((id, piece));
                    id += 1;
                }
                Ok(Largest(last))
            }
        }
        from.deserialize_any(Vocabulary)
    }
}

/// The names in a container's header, and the first that stands there again.
struct Names {
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Header;
        impl<'de> Visitor<'de> for Header {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Names, A::Error> {
                let mut seen = HashSet::new();
                let mut twice = None;
                while let Some((name, _)) = entries.next_entry::<String, IgnoredAny>()? {
                    if !seen.contains(&name) {
                        seen.insert(name);
                    } else if twice.is_none() {
                        twice = Some(name);
                    }
                }
                Ok(Names { twice })
            }
        }
        from.deserialize_map(Header)
    }
}
