//! The bytes in which adapters and maps are kept.
//!
//! `BERTHMAP`, format (u32), length of the header (u32), header (JSON), values (f32), BLAKE3 of all that stands before it;
//! numbers are little endian. The hash is checked before the header is read, and every length before it is used.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;

const MAGIC: &[u8; 8] = b"BERTHMAP";
const FORMAT: u32 = 1;
const PREFIX_BYTES: usize = MAGIC.len() + 4 + 4;
const HASH_BYTES: usize = blake3::OUT_LEN;

/// What every header states; the rest of it belongs to the kind.
#[derive(Serialize, Deserialize)]
struct Header<H> {
    kind: String,
    #[serde(flatten)]
    own: H,
}

/// Writes a header of `kind` and values.
pub(crate) fn pack<H: Serialize>(kind: &str, own: &H, values: &[&[f32]]) -> Vec<u8> {
    let header = Header { kind: kind.to_owned(), own };
    let header = serde_json::to_vec(&header).expect("a header is plain data");
    let value_bytes = 4 * values.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len() + value_bytes + HASH_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend(values.iter().copied().flatten().flat_map(|value| value.to_le_bytes()));
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

/// Reads what [`pack`] wrote for a `kind`: the header and all values, which are finite.
///
/// # Errors
/// `Foreign`, `OtherFormat`, `Damaged`, or `OtherKind` for whole bytes of another kind.
pub(crate) fn unpack<H: DeserializeOwned>(bytes: &[u8], kind: &'static str) -> Result<(H, Vec<f32>), Error> {
    let Some(prefix) = bytes.get(..PREFIX_BYTES) else {
        return Err(Error::Foreign { reason: "it is too short" });
    };
    if prefix[..MAGIC.len()] != MAGIC[..] {
        return Err(Error::Foreign { reason: "it does not begin as one" });
    }
    let format = u32_at(prefix, MAGIC.len());
    if format != FORMAT {
        return Err(Error::OtherFormat { found: format, known: FORMAT });
    }
    let Some((content, hash)) =
        bytes.split_last_chunk::<HASH_BYTES>().filter(|(content, _)| content.len() >= PREFIX_BYTES)
    else {
        return Err(damaged("it ends early"));
    };
    if blake3::hash(content) != *hash {
        return Err(damaged("its hash is not that of its bytes"));
    }
    let header_bytes = u32_at(prefix, MAGIC.len() + 4) as usize;
    let Some((header, values)) = content[PREFIX_BYTES..].split_at_checked(header_bytes) else {
        return Err(damaged("its header is longer than all of it"));
    };
    let found: Header<serde_json::Value> = serde_json::from_slice(header).map_err(|error| unreadable(&error))?;
    if found.kind != kind {
        return Err(Error::OtherKind { found: found.kind, wanted: kind });
    }
    let header = serde_json::from_value(found.own).map_err(|error| unreadable(&error))?;
    let (values, rest) = values.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(damaged("its values are no whole numbers of 32 bits"));
    }
    let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Err(damaged("a value is not a finite number"));
    }
    Ok((header, values))
}

pub(crate) fn damaged(reason: impl Into<String>) -> Error {
    Error::Damaged { reason: reason.into() }
}

fn unreadable(error: &serde_json::Error) -> Error {
    damaged(format!("its header cannot be read: {error}"))
}

fn u32_at(bytes: &[u8], position: usize) -> u32 {
    u32::from_le_bytes(bytes[position..position + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Own {
        name: String,
        share: f32,
    }

    fn own() -> Own {
        Own { name: "é".to_owned(), share: 0.1 }
    }

    fn read(bytes: &[u8]) -> Result<(Own, Vec<f32>), Error> {
        unpack(bytes, "test")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(-1e30_f32..1e30, 0..40), cut in 0_usize..40) {
            let (one, other) = values.split_at(cut.min(values.len()));
            prop_assert_eq!(read(&pack("test", &own(), &[one, other])), Ok((own(), values)));
        }

        #[test]
        fn no_bytes_are_taken_on_trust(position in 0_usize..1000, change in 1_u8.., shorter in 0_usize..1000) {
            let whole = pack("test", &own(), &[&[1.0, 2.0]]);
            let mut bytes = whole.clone();
            bytes[position % whole.len()] ^= change;
            prop_assert!(read(&bytes).is_err());
            prop_assert!(read(&whole[..shorter % whole.len()]).is_err());
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let whole = pack("test", &own(), &[&[1.0, 2.0]]);
        assert!(matches!(read(b"{}"), Err(Error::Foreign { .. })));
        assert!(matches!(read(&[0; 100]), Err(Error::Foreign { .. })));
        assert_eq!(unpack::<Own>(&whole, "other"), Err(Error::OtherKind { found: "test".to_owned(), wanted: "other" }));
        let mut newer = whole.clone();
        newer[8] = 2;
        assert_eq!(read(&newer), Err(Error::OtherFormat { found: 2, known: 1 }));
        assert!(read(&whole[..20]).unwrap_err().to_string().contains("ends early"));
        assert!(read(&whole[..whole.len() - 1]).unwrap_err().to_string().contains("hash"));
    }

    #[test]
    fn whole_bytes_with_impossible_content_are_refused() {
        let sealed = |content: &[u8]| [content, blake3::hash(content).as_bytes()].concat();
        let whole = pack("test", &own(), &[&[1.0]]);
        let content = &whole[..whole.len() - HASH_BYTES];
        let mut long_header = content.to_vec();
        long_header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&sealed(&long_header)).unwrap_err().to_string().contains("longer than all of it"));
        assert!(read(&sealed(&content[..content.len() - 1])).unwrap_err().to_string().contains("no whole numbers"));
        let mut broken_header = content.to_vec();
        broken_header[PREFIX_BYTES] = b'[';
        assert!(read(&sealed(&broken_header)).unwrap_err().to_string().contains("cannot be read"));
        assert!(read(&pack("test", &own(), &[&[f32::NAN]])).unwrap_err().to_string().contains("finite"));
    }
}
