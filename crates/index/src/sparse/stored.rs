//! A chunk's vector as one run of bytes, the way its entry stores it.
//!
//! A version byte, the key of what the model read (16), how many pieces there are, then for each piece how much its id
//! exceeds the one before (the first: its id) and its impact, a byte. Numbers are LEB128: seven bits a byte, the lowest first,
//! the highest bit set where more follow.

use berth_types::{ContentKey, MAX_PIECES, SparseVector};

use crate::SparseRow;

const VERSION: u8 = 1;

pub(crate) fn encode(row: &SparseRow) -> Vec<u8> {
    let pieces = row.vector.pieces();
    let mut bytes = Vec::with_capacity(20 + pieces.len() * 3);
    bytes.push(VERSION);
    bytes.extend_from_slice(&row.key.0);
    put(&mut bytes, pieces.len() as u32);
    let mut last = 0;
    for &(id, impact) in pieces {
        put(&mut bytes, id - last);
        bytes.push(impact);
        last = id;
    }
    bytes
}

/// `None` when the bytes are not what [`encode`] gives.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<SparseRow> {
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION {
        return None;
    }
    let (&key, rest) = rest.split_first_chunk::<16>()?;
    bytes = rest;
    let count = take(&mut bytes)? as usize;
    // A piece takes two bytes at least.
    if count > MAX_PIECES || count > bytes.len() / 2 {
        return None;
    }
    let mut pieces = Vec::with_capacity(count);
    let mut last = 0_u32;
    for _ in 0..count {
        last = last.checked_add(take(&mut bytes)?)?;
        let (&impact, rest) = bytes.split_first()?;
        bytes = rest;
        pieces.push((last, impact));
    }
    let vector = SparseVector::from_pieces(pieces).ok()?;
    bytes.is_empty().then_some(SparseRow { key: ContentKey(key), vector })
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A number in its shortest form.
fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in (0..u32::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u32::from(byte & 0x7f);
        number |= bits.checked_mul(1 << shift)?;
        if byte & 0x80 == 0 {
            return (bits != 0 || shift == 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_row() -> impl Strategy<Value = SparseRow> {
        let pieces = prop::collection::btree_map(prop_oneof![0..300_u32, any::<u32>()], 1..=255_u8, 0..60);
        (any::<[u8; 16]>(), pieces).prop_map(|(key, pieces)| {
            let vector = SparseVector::from_pieces(pieces.into_iter().collect()).unwrap();
            SparseRow { key: ContentKey(key), vector }
        })
    }

    #[test]
    fn a_sample_by_hand() {
        let vector = SparseVector::from_pieces(vec![(5, 9), (133, 255)]).unwrap();
        let bytes = encode(&SparseRow { key: ContentKey([3; 16]), vector });
        assert_eq!(bytes, [&[1][..], &[3; 16], &[2, 5, 9, 0x80, 1, 255]].concat());
        // A piece twice, an impact of 0, a number that is longer than it has to be, one that is too long.
        for wrong in [&[2, 5, 9, 0, 9][..], &[1, 5, 0], &[0x80, 0], &[1, 0xff, 0xff, 0xff, 0xff, 0x1f, 9]] {
            assert_eq!(decode(&[&[1][..], &[3; 16], wrong].concat()), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_vector_comes_back(row in any_row()) {
            let bytes = encode(&row);
            prop_assert_eq!(decode(&bytes), Some(row));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None);
            }
            prop_assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        }

        /// What is decoded is encoded as it was: there is one form of a vector.
        #[test]
        fn damage_is_no_panic(row in any_row(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = encode(&row);
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Some(other) = decode(&bytes) {
                prop_assert_eq!(encode(&other), bytes);
            }
        }

        #[test]
        fn noise_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(row) = decode(&bytes) {
                prop_assert_eq!(encode(&row), bytes);
            }
        }
    }
}
