//! What first stages of a search know of a segment's rows: signs, and first values in 8 bits.
//!
//! Both are made when they are first asked for, by reading every row once, and kept in memory as long as the segment is
//! open. Nothing of them is on the disk.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::codes::{Codes, encode, stride_of};
use super::scan::ROWS_A_TASK;
use super::segment::Segment;
use crate::Error;

/// Signs and prefixes of a segment's rows, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    signs: OnceLock<Signs>,
    /// By how many values they have.
    prefixes: Mutex<Vec<(usize, Arc<Prefixes>)>>,
}

impl Sketches {
    pub(super) fn signs(&self, segment: &Segment) -> Result<&Signs, Error> {
        if let Some(signs) = self.signs.get() {
            return Ok(signs);
        }
        // Two threads may make them at once; both make the same.
        let signs = Signs::of(segment)?;
        Ok(self.signs.get_or_init(|| signs))
    }

    /// The first `values` values of each row.
    pub(super) fn prefixes(&self, segment: &Segment, values: usize) -> Result<Arc<Prefixes>, Error> {
        let known = || self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, prefixes)) = known().iter().find(|(of, _)| *of == values) {
            return Ok(Arc::clone(prefixes));
        }
        let prefixes = Arc::new(Prefixes::of(segment, values)?);
        known().push((values, Arc::clone(&prefixes)));
        Ok(prefixes)
    }
}

/// The first values of each row, brought to unit length, in 8 bits: a scan reads nothing else.
#[derive(Debug)]
pub(super) struct Prefixes {
    bytes: Vec<u8>,
    scales: Vec<f32>,
    stride: usize,
}

impl Prefixes {
    fn of(segment: &Segment, values: usize) -> Result<Self, Error> {
        let stride = stride_of(values);
        let (mut bytes, mut scales) = (vec![0; segment.rows() * stride], vec![0.0; segment.rows()]);
        let places = bytes.par_chunks_mut(ROWS_A_TASK * stride).zip(scales.par_chunks_mut(ROWS_A_TASK));
        over_rows(segment, places, |rows, (bytes, scales)| {
            let places = bytes.chunks_exact_mut(stride).zip(scales);
            for (row, (codes, scale)) in rows.chunks_exact(segment.dimensions()).zip(places) {
                *scale = encode(&unit(&row[..values]), codes);
            }
        })?;
        Ok(Self { bytes, scales, stride })
    }

    pub(super) fn codes(&self) -> Codes<'_> {
        Codes::new(&self.bytes, &self.scales, self.stride)
    }
}

/// The values brought to unit length; zeros stay.
pub(super) fn unit(values: &[f32]) -> Vec<f32> {
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| if norm > 0.0 { value / norm } else { 0.0 }).collect()
}

/// A bit for each value of each row: set where the value is above zero.
#[derive(Debug)]
pub(super) struct Signs {
    words: Vec<u64>,
    words_a_row: usize,
    dimensions: usize,
}

impl Signs {
    fn of(segment: &Segment) -> Result<Self, Error> {
        let dimensions = segment.dimensions();
        let words_a_row = dimensions.div_ceil(64);
        let mut words = vec![0; segment.rows() * words_a_row];
        over_rows(segment, words.par_chunks_mut(ROWS_A_TASK * words_a_row), |rows, words| {
            for (row, words) in rows.chunks_exact(dimensions).zip(words.chunks_exact_mut(words_a_row)) {
                words.copy_from_slice(&signs_of(row));
            }
        })?;
        Ok(Self { words, words_a_row, dimensions })
    }

    /// Writes for each row from `first` on how many signs it has in common with the query.
    pub(super) fn agreements(&self, query: &[u64], first: usize, agreements: &mut [u16]) {
        assert_eq!(query.len(), self.words_a_row, "signs of the rows' length");
        let words = &self.words[first * self.words_a_row..][..agreements.len() * self.words_a_row];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor counts bits.
            return unsafe { agreements_popcnt(query, words, self.dimensions, agreements) };
        }
        count_agreements(query, words, self.dimensions, agreements);
    }
}

/// The signs of one row, the lowest bit first.
pub(super) fn signs_of(row: &[f32]) -> Vec<u64> {
    let word = |values: &[f32]| values.iter().rev().fold(0, |word, &value| word << 1 | u64::from(value > 0.0));
    row.chunks(64).map(word).collect()
}

/// As [`count_agreements`], with the processor's instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn agreements_popcnt(query: &[u64], words: &[u64], dimensions: usize, agreements: &mut [u16]) {
    count_agreements(query, words, dimensions, agreements);
}

// Compiled for each caller's processor; without it the instruction would not be used.
#[allow(clippy::inline_always, reason = "a target feature reaches only what is inlined")]
#[inline(always)]
fn count_agreements(query: &[u64], words: &[u64], dimensions: usize, agreements: &mut [u16]) {
    for (row, agreement) in words.chunks_exact(query.len()).zip(agreements) {
        let different: u32 = row.iter().zip(query).map(|(row, query)| (row ^ query).count_ones()).sum();
        *agreement = (dimensions - different as usize) as u16;
    }
}

/// Hands the vectors of every row, a task at a time, to `make` with the place for what it makes of them.
fn over_rows<P: Send>(
    segment: &Segment,
    places: impl IndexedParallelIterator<Item = P>,
    make: impl Fn(&[f32], P) + Sync,
) -> Result<(), Error> {
    places.enumerate().try_for_each(|(task, places)| {
        let start = task * ROWS_A_TASK;
        make(&segment.vectors(start..segment.rows().min(start + ROWS_A_TASK))?, places);
        Ok(())
    })
}
