//! What is learned, and how a step changes it.

use ndarray::Array2;

use crate::adapter::Residual;
use crate::numeric::SplitMix64;
use crate::rows::matrix;
use crate::{AdapterShape, Error, Provenance, QueryAdapter};

/// Matrices that make up a residual: U `[dimensions, rank]` and Vᵀ `[rank, dimensions]`, or R alone. Gradients have the same form.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parameters {
    LowRank { up: Array2<f32>, down: Array2<f32> },
    Full { matrix: Array2<f32> },
}

impl Parameters {
    /// Parameters whose residual is 0: U is 0 and V random, with columns of length 1 on average; or R is 0.
    pub(super) fn identity(shape: AdapterShape, dimensions: usize, random: &mut SplitMix64) -> Result<Self, Error> {
        shape.values(dimensions)?;
        Ok(match shape {
            AdapterShape::LowRank(rank) => {
                let spread = (dimensions as f64).sqrt().recip();
                let down = Array2::from_shape_simple_fn((rank, dimensions), || (random.normal() * spread) as f32);
                Self::LowRank { up: Array2::zeros((dimensions, rank)), down }
            }
            AdapterShape::Full => Self::Full { matrix: Array2::zeros((dimensions, dimensions)) },
        })
    }

    /// The residual of an adapter, its blend included.
    pub(super) fn of(adapter: &QueryAdapter) -> Self {
        let dimensions = adapter.dimensions();
        match adapter.residual() {
            Residual::LowRank { up, down, rank } => Self::LowRank {
                up: matrix(up, *rank).mapv(|value| value * adapter.blend()),
                down: matrix(down, dimensions).to_owned(),
            },
            Residual::Full { matrix: values } => {
                Self::Full { matrix: matrix(values, dimensions).mapv(|value| value * adapter.blend()) }
            }
        }
    }

    pub(super) fn adapter(&self, provenance: &Provenance) -> QueryAdapter {
        let values = |matrix: &Array2<f32>| matrix.iter().copied().collect();
        let (dimensions, residual) = match self {
            Self::LowRank { up, down } => {
                (up.nrows(), Residual::LowRank { up: values(up), down: values(down), rank: up.ncols() })
            }
            Self::Full { matrix } => (matrix.nrows(), Residual::Full { matrix: values(matrix) }),
        };
        QueryAdapter::trained(dimensions, residual, provenance.clone())
    }

    pub(super) fn are_finite(&self) -> bool {
        self.matrices().into_iter().flatten().all(|value| value.is_finite())
    }

    fn matrices(&self) -> Vec<&Array2<f32>> {
        match self {
            Self::LowRank { up, down } => vec![up, down],
            Self::Full { matrix } => vec![matrix],
        }
    }

    fn matrices_mut(&mut self) -> Vec<&mut Array2<f32>> {
        match self {
            Self::LowRank { up, down } => vec![up, down],
            Self::Full { matrix } => vec![matrix],
        }
    }

    fn zeros_like(&self) -> Self {
        let mut zeros = self.clone();
        zeros.matrices_mut().into_iter().for_each(|matrix| matrix.fill(0.0));
        zeros
    }
}

/// Adam (Kingma and Ba, *Adam: a method for stochastic optimization*, 2015) with decoupled weight decay.
pub(super) struct Adam {
    first: Parameters,
    second: Parameters,
    steps: i32,
}

impl Adam {
    // The values that the paper recommends.
    const BETA_1: f32 = 0.9;
    const BETA_2: f32 = 0.999;
    const EPSILON: f32 = 1e-8;

    pub(super) fn new(parameters: &Parameters) -> Self {
        Self { first: parameters.zeros_like(), second: parameters.zeros_like(), steps: 0 }
    }

    pub(super) fn step(&mut self, parameters: &mut Parameters, gradient: &Parameters, rate: f32, decay: f32) {
        self.steps = self.steps.saturating_add(1);
        let unbias_1 = 1.0 - Self::BETA_1.powi(self.steps);
        let unbias_2 = 1.0 - Self::BETA_2.powi(self.steps);
        let moments = self.first.matrices_mut().into_iter().zip(self.second.matrices_mut());
        let changes = parameters.matrices_mut().into_iter().zip(gradient.matrices());
        for ((values, slopes), (first, second)) in changes.zip(moments) {
            ndarray::Zip::from(values).and(slopes).and(first).and(second).for_each(|value, &slope, first, second| {
                *first = Self::BETA_1 * *first + (1.0 - Self::BETA_1) * slope;
                *second = Self::BETA_2 * *second + (1.0 - Self::BETA_2) * slope * slope;
                let direction = (*first / unbias_1) / ((*second / unbias_2).sqrt() + Self::EPSILON);
                *value -= rate * (direction + decay * *value);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_finds_the_lowest_point() {
        let mut random = SplitMix64::new(1);
        let mut parameters = Parameters::identity(AdapterShape::Full, 2, &mut random).unwrap();
        let goal = Array2::from_shape_vec((2, 2), vec![1.0, -2.0, 0.5, 0.0]).unwrap();
        let mut adam = Adam::new(&parameters);
        for _ in 0..2000 {
            let Parameters::Full { matrix } = &parameters else { unreachable!() };
            let gradient = Parameters::Full { matrix: matrix - &goal };
            adam.step(&mut parameters, &gradient, 0.01, 0.0);
        }
        let Parameters::Full { matrix } = parameters else { unreachable!() };
        assert!((matrix - goal).iter().all(|difference| difference.abs() < 1e-2));
    }

    #[test]
    fn decay_alone_shrinks() {
        let mut parameters = Parameters::Full { matrix: Array2::ones((1, 1)) };
        let mut adam = Adam::new(&parameters);
        let still = parameters.zeros_like();
        adam.step(&mut parameters, &still, 0.1, 0.5);
        assert_eq!(parameters, Parameters::Full { matrix: Array2::from_elem((1, 1), 0.95) });
    }
}
