//! A document as one run of bytes, the way its head stores it.
//!
//! A version byte, then id, title, text and metadata (JSON), each as its length (u32, little-endian) and its bytes, then
//! 0, or 1 and the source likewise.

use std::ops::Range;

use berth_types::Document;

const VERSION: u8 = 1;

/// Longest document that can be stored: lengths are 32-bit, and the engine's postings count bytes likewise.
pub(crate) const MAX_TEXT_BYTES: usize = u32::MAX as usize / 2;

pub(crate) fn encode(document: &Document) -> Vec<u8> {
    let metadata = if document.metadata.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&document.metadata).expect("JSON values have a text")
    };
    let mut bytes = Vec::with_capacity(document.text.len() + document.title.len() + document.id.len() + 64);
    bytes.push(VERSION);
    for part in [&document.id, &document.title, &document.text, &metadata] {
        put(&mut bytes, part);
    }
    match &document.source {
        None => bytes.push(0),
        Some(source) => {
            bytes.push(1);
            put(&mut bytes, source);
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, part: &str) {
    bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
    bytes.extend_from_slice(part.as_bytes());
}

/// `None` when the bytes are not what [`encode`] gives.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Document> {
    if take(&mut bytes, 1)? != [VERSION] {
        return None;
    }
    let id = part(&mut bytes)?;
    let title = part(&mut bytes)?;
    let text = part(&mut bytes)?;
    let metadata = part(&mut bytes)?;
    let metadata = if metadata.is_empty() { serde_json::Map::new() } else { serde_json::from_str(&metadata).ok()? };
    let source = match take(&mut bytes, 1)? {
        [0] => None,
        [1] => Some(part(&mut bytes)?),
        _ => return None,
    };
    bytes.is_empty().then_some(Document { id, title, text, metadata, source })
}

/// A part of a stored document.
pub(crate) struct Passage {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) source: Option<String>,
}

/// As [`decode`], of the text only these bytes; `None` too when they do not lie in it between characters.
pub(crate) fn decode_passage(mut bytes: &[u8], byte_range: Range<usize>) -> Option<Passage> {
    if take(&mut bytes, 1)? != [VERSION] {
        return None;
    }
    let id = part(&mut bytes)?;
    let title = part(&mut bytes)?;
    let text = part_bytes(&mut bytes)?.get(byte_range)?;
    let text = std::str::from_utf8(text).ok()?.to_owned();
    part_bytes(&mut bytes)?;
    let source = match take(&mut bytes, 1)? {
        [0] => None,
        [1] => Some(part(&mut bytes)?),
        _ => return None,
    };
    bytes.is_empty().then_some(Passage { id, title, text, source })
}

fn part(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(part_bytes(bytes)?.to_vec()).ok()
}

fn part_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?) as usize;
    take(bytes, length)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_document_comes_back(
            id in ".*", title in ".*", text in "(?s).*", source in prop::option::of(".*"),
            key in ".*", value in any::<i64>(),
        ) {
            let mut document = Document { id, title, text, source, ..Document::default() };
            prop_assert_eq!(decode(&encode(&document)), Some(document.clone()));
            document.metadata.insert(key, value.into());
            let bytes = encode(&document);
            prop_assert_eq!(decode(&bytes), Some(document.clone()));
            let length = document.text.len();
            let passage = decode_passage(&bytes, 0..length).unwrap();
            prop_assert_eq!(
                (&passage.id, &passage.title, &passage.text, &passage.source),
                (&document.id, &document.title, &document.text, &document.source)
            );
            prop_assert!(decode_passage(&bytes, 0..length + 1).is_none());
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None);
                prop_assert!(decode_passage(&bytes[..cut], 0..length).is_none());
            }
        }
    }
}
