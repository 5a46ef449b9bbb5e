//! Chooses settings by judgements, and says what the choice is worth on queries that it has not seen.
//!
//! Pure: what a setting scores, query by query, is told by a function. Settings lie on axes, each with a number of values, the first
//! of which is the default. The search goes along one axis after the other from the best point so far (coordinate ascent), and
//! takes the value with the highest
//!
//! ```text
//! mean of the differences to the default − caution · their standard error
//! ```
//!
//! so that a setting which is better by chance on few queries has to be better by more. How cautious to be is itself chosen,
//! by an inner cross-validation; an outer one, which the choice of the caution is a part of, says what all this gains on queries
//! that had no say (nested cross-validation, Cawley and Talbot 2010).

use std::collections::HashMap;

use crate::random::Random;

/// How settings are searched.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneOptions {
    /// Parts that are held out in turn.
    pub folds: usize,
    /// Parts of the rest that are held out in turn to choose the caution.
    pub inner_folds: usize,
    /// Cautions to choose from.
    pub cautions: Vec<f64>,
    /// How often the search goes along all axes, at most.
    pub passes: usize,
    /// What the parts are drawn by.
    pub seed: u64,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self { folds: 5, inner_folds: 4, cautions: vec![0.0, 0.5, 1.0, 2.0], passes: 3, seed: 1 }
    }
}

/// What was chosen, and what such a choice is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Position on each axis, chosen on all queries.
    pub chosen: Vec<usize>,
    /// The caution it was chosen with.
    pub caution: f64,
    /// What each query scores by default.
    pub default: Vec<f64>,
    /// What each query scores by the settings that were chosen while it was held out.
    pub held_out: Vec<f64>,
    /// What each query scores by `chosen`, which has seen it.
    pub fitted: Vec<f64>,
    /// The held-out parts.
    pub folds: Vec<TunedFold>,
    /// Settings that were scored.
    pub settings: usize,
}

/// One part that was held out.
#[derive(Debug, Clone, PartialEq)]
pub struct TunedFold {
    /// Positions of its queries.
    pub queries: Vec<usize>,
    /// Chosen on all others.
    pub chosen: Vec<usize>,
    /// With this caution.
    pub caution: f64,
}

/// Chooses a point on `axes` (number of values of each) for queries whose scores `score` tells, in the same order for every point.
///
/// `score` is asked once for each point. There have to be at least as many queries as folds; parts are drawn from positions, so
/// that the same order of queries gives the same choice.
///
/// # Errors
/// Whatever `score` returns.
pub fn tune<E>(
    axes: &[usize],
    options: &TuneOptions,
    score: &mut dyn FnMut(&[usize]) -> Result<Vec<f64>, E>,
) -> Result<Tuning, E> {
    let default_point = vec![0; axes.len()];
    let default = score(&default_point)?;
    let queries: Vec<usize> = (0..default.len()).collect();
    let mut search = Search { axes, options, score, known: HashMap::from([(default_point, default.clone())]) };
    let mut held_out = default.clone();
    let mut folds = Vec::with_capacity(options.folds);
    for queries in parts(&queries, options.folds, options.seed) {
        let rest: Vec<usize> = (0..default.len()).filter(|query| queries.binary_search(query).is_err()).collect();
        let (chosen, caution) = search.choose(&rest)?;
        let scores = search.scores(&chosen)?;
        for &query in &queries {
            held_out[query] = scores[query];
        }
        folds.push(TunedFold { queries, chosen, caution });
    }
    let (chosen, caution) = search.choose(&queries)?;
    let fitted = search.scores(&chosen)?.clone();
    let settings = search.known.len();
    Ok(Tuning { chosen, caution, default, held_out, fitted, folds, settings })
}

struct Search<'a, E> {
    axes: &'a [usize],
    options: &'a TuneOptions,
    score: &'a mut dyn FnMut(&[usize]) -> Result<Vec<f64>, E>,
    known: HashMap<Vec<usize>, Vec<f64>>,
}

impl<E> Search<'_, E> {
    fn scores(&mut self, point: &[usize]) -> Result<&Vec<f64>, E> {
        if !self.known.contains_key(point) {
            let scores = (self.score)(point)?;
            self.known.insert(point.to_vec(), scores);
        }
        Ok(&self.known[point])
    }

    /// The best point by these queries alone, with the caution that proves best on parts of them.
    fn choose(&mut self, queries: &[usize]) -> Result<(Vec<usize>, f64), E> {
        let mut best: Option<(f64, f64)> = None;
        let inner = parts(queries, self.options.inner_folds, self.options.seed.wrapping_add(1));
        for &caution in &self.options.cautions {
            let mut sum = 0.0;
            for held_out in &inner {
                let rest: Vec<usize> =
                    queries.iter().copied().filter(|query| held_out.binary_search(query).is_err()).collect();
                let point = self.ascend(&rest, caution)?;
                let scores = self.scores(&point)?;
                sum += held_out.iter().map(|&query| scores[query]).sum::<f64>();
            }
            // Of equals the more cautious.
            if best.is_none_or(|(highest, _)| sum >= highest) {
                best = Some((sum, caution));
            }
        }
        let caution = best.map_or(0.0, |(_, caution)| caution);
        Ok((self.ascend(queries, caution)?, caution))
    }

    fn ascend(&mut self, queries: &[usize], caution: f64) -> Result<Vec<usize>, E> {
        let mut point = vec![0; self.axes.len()];
        let mut highest = 0.0;
        for _ in 0..self.options.passes {
            let before = point.clone();
            for axis in 0..self.axes.len() {
                for value in 0..self.axes[axis] {
                    let mut other = point.clone();
                    other[axis] = value;
                    let worth = self.worth(&other, queries, caution)?;
                    if worth > highest {
                        (point, highest) = (other, worth);
                    }
                }
            }
            if point == before {
                break;
            }
        }
        Ok(point)
    }

    /// Mean difference to the default, less `caution` standard errors; 0 for the default itself.
    fn worth(&mut self, point: &[usize], queries: &[usize], caution: f64) -> Result<f64, E> {
        self.scores(point)?;
        let (scores, default) = (&self.known[point], &self.known[&vec![0; self.axes.len()]]);
        let count = queries.len() as f64;
        let (mut sum, mut squares) = (0.0, 0.0);
        for &query in queries {
            let difference = scores[query] - default[query];
            sum += difference;
            squares += difference * difference;
        }
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0);
        Ok(mean - caution * (variance / count).sqrt())
    }
}

/// Divides into parts of nearly the same size; each rises.
fn parts(items: &[usize], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut drawn = items.to_vec();
    let mut random = Random::new(seed);
    for last in (1..drawn.len()).rev() {
        drawn.swap(last, random.below(last + 1));
    }
    let mut parts = vec![Vec::new(); count.clamp(1, items.len().max(1))];
    let size = parts.len();
    for (position, item) in drawn.into_iter().enumerate() {
        parts[position % size].push(item);
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Scores of 200 queries: noise that is the same for every setting, plus `gain` of the setting, plus noise of the setting.
    fn scores(gain: f64, setting: u64, noise: f64) -> Vec<f64> {
        let (mut of_query, mut of_setting) = (Random::new(7), Random::new(1000 + setting));
        let unit = |random: &mut Random| random.bits() as f64 / u64::MAX as f64;
        (0..200).map(|_| 0.5 + 0.3 * unit(&mut of_query) + gain + noise * (unit(&mut of_setting) - 0.5)).collect()
    }

    fn run(axes: &[usize], score: impl Fn(&[usize]) -> Vec<f64>) -> Tuning {
        tune(axes, &TuneOptions::default(), &mut |point| Ok::<_, Infallible>(score(point))).unwrap()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn what_is_better_is_found_on_every_axis_and_holds_on_queries_that_were_held_out() {
        let gain = |point: &[usize]| 0.02 * [0.0, 1.0, 3.0][point[0]] + 0.05 * f64::from(u8::from(point[1] == 1));
        let tuning = run(&[3, 2], |point| scores(gain(point), 0, 0.0));
        assert_eq!(tuning.chosen, [2, 1]);
        assert!((mean(&tuning.held_out) - mean(&tuning.default) - 0.11).abs() < 1e-9);
        assert_eq!((tuning.settings, tuning.folds.len()), (6, 5));
    }

    #[test]
    fn of_what_differs_by_chance_the_held_out_queries_tell_nothing_good() {
        let tuning = run(&[60], |point| scores(0.0, point[0] as u64, if point[0] == 0 { 0.0 } else { 0.2 }));
        let gain = |scores: &[f64]| mean(scores) - mean(&tuning.default);
        // The best of sixty is better on what it was chosen by, if caution did not prevent its being chosen.
        assert!(gain(&tuning.held_out) < 0.005, "{}", gain(&tuning.held_out));
        assert!(gain(&tuning.fitted) >= 0.0);
    }

    #[test]
    fn without_anything_to_choose_the_default_stays() {
        let tuning = run(&[], |_| scores(0.0, 0, 0.0));
        assert_eq!(tuning.chosen, [] as [usize; 0]);
        assert_eq!((&tuning.held_out, &tuning.fitted), (&tuning.default, &tuning.default));
    }

    proptest! {
        #[test]
        fn parts_hold_everything_once(count in 1..8_usize, items in 1..40_usize, seed in any::<u64>()) {
            let items: Vec<usize> = (0..items).collect();
            let parts = parts(&items, count, seed);
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, items);
            let sizes = parts.iter().map(Vec::len);
            prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }
}
