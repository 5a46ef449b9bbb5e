//! What first stages of a search know of a segment's rows: signs, and lengths of prefixes.
//!
//! Both are made when they are first asked for, by reading every row once, and kept in memory as long as the segment is
//! open. Nothing of them is on the disk.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::scan::ROWS_A_TASK;
use super::segment::Segment;
use crate::Error;

/// Signs of a segment's rows and lengths of their prefixes, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    signs: OnceLock<Signs>,
    /// One divided by the length of each row's first values, by how many these are.
    scales: Mutex<Vec<(usize, Arc<Vec<f32>>)>>,
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

    /// What brings the first `values` values of each row to unit length; 0 where they are all 0.
    pub(super) fn scales(&self, segment: &Segment, values: usize) -> Result<Arc<Vec<f32>>, Error> {
        let known = || self.scales.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, scales)) = known().iter().find(|(of, _)| *of == values) {
            return Ok(Arc::clone(scales));
        }
        let mut scales = vec![0.0f32; segment.rows()];
        over_rows(segment, scales.par_chunks_mut(ROWS_A_TASK), |rows, scales| {
            for (row, scale) in rows.chunks_exact(segment.dimensions()).zip(scales) {
                let norm = row[..values].iter().map(|value| value * value).sum::<f32>().sqrt();
                *scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            }
        })?;
        let scales = Arc::new(scales);
        known().push((values, Arc::clone(&scales)));
        Ok(scales)
    }
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
fn over_rows<T: Send>(
    segment: &Segment,
    places: rayon::slice::ChunksMut<'_, T>,
    make: impl Fn(&[f32], &mut [T]) + Sync,
) -> Result<(), Error> {
    places.enumerate().try_for_each(|(task, places)| {
        let start = task * ROWS_A_TASK;
        make(&segment.vectors(start..segment.rows().min(start + ROWS_A_TASK))?, places);
        Ok(())
    })
}
