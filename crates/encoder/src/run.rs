//! Runs of an open graph, from several threads at once.
//!
//! `ort` lets a session be run through `&mut` only, because not all execution providers stand concurrent runs. ONNX
//! Runtime's own promise is that `Run` may be called from any number of threads on one session, and on the CPU provider
//! it holds: kernels are constant while they run, and the arena and the caches of a session are behind locks. Sharing
//! one session means one copy of the weights, so the raw calls are made by hand, in `run/values.rs`. On a GPU one worker alone runs a session, so
//! that nothing is run at the same time there.

mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::memory::MemoryInfo;
use ort::session::IoBinding;

use self::values::{FLOAT, FLOAT16, INT32, INT64, Value};
use crate::batches::Ladder;
use crate::interface::{After, Axis, Filling, Input, Output};
use crate::pooling::pool;
use crate::session::Graph;
use crate::workers::Answer;
use crate::{Error, Row, Tensor};

/// What went through a graph since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Ids of rows.
    pub tokens: u64,
    /// Ids that only filled a batch up.
    pub padding: u64,
}

/// The same while runs count it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tokens: AtomicU64,
    padding: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Work {
        Work { tokens: self.tokens.load(Ordering::Relaxed), padding: self.padding.load(Ordering::Relaxed) }
    }

    fn count(&self, tokens: usize, all: usize) {
        self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
        self.padding.fetch_add((all - tokens) as u64, Ordering::Relaxed);
    }
}

/// One thread's buffers for the inputs of a shared graph.
pub(crate) struct GraphRunner {
    graph: Arc<Graph>,
    buffers: Vec<Buffer>,
    memory: MemoryInfo<'static>,
    /// On a GPU, what holds its copies of the inputs.
    binding: Option<IoBinding>,
}

/// Buffer of one input, in the integer type that the graph declares.
enum Buffer {
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// Rows that run together, each padded to `tokens`.
#[derive(Debug, Clone, Copy)]
struct Batch<'a> {
    rows: &'a [&'a Row],
    tokens: usize,
}

impl GraphRunner {
    /// A runner of `graph`; with `bound` its inputs are bound to the graph's device before each run, see [`Graph::run_bound`].
    ///
    /// # Errors
    /// What ONNX Runtime says when it makes no binding.
    pub(crate) fn new(graph: Arc<Graph>, bound: bool) -> ort::Result<Self> {
        let buffer = |input: &Input| if input.wide { Buffer::I64(Vec::new()) } else { Buffer::I32(Vec::new()) };
        let buffers = graph.interface.inputs.iter().map(buffer).collect();
        let binding = bound.then(|| graph.session.create_binding()).transpose()?;
        Ok(Self { graph, buffers, memory: MemoryInfo::default(), binding })
    }

    /// Runs the graph on one row, without padding, so that what comes out depends on nothing else.
    ///
    /// Returns the head's outputs in their order, without the axis of rows.
    ///
    /// # Errors
    /// `Run` when ONNX Runtime fails or gives another shape, `NotFinite` when a number is none.
    pub(crate) fn run(&mut self, row: &Row) -> Result<Vec<Tensor>, Error> {
        let batch = Batch { rows: &[row], tokens: row.ids.len() };
        let mut answers = self.run_batch(batch)?;
        self.graph.counters.count(batch.tokens, batch.tokens);
        Ok(answers.pop().unwrap_or_default())
    }

    /// Runs `rows`, each alone or in the batches of `ladder`; answers in the order of `rows`. Where a batch fails its rows
    /// are run alone, so that only the one that is at fault fails.
    pub(crate) fn run_all(&mut self, rows: &[&Row], ladder: Option<Ladder>) -> Vec<Answer> {
        let Some(ladder) = ladder.filter(|_| self.can_batch()) else {
            return rows.iter().map(|row| self.run(row)).collect();
        };
        let lengths: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let mut answers: Vec<Answer> = rows.iter().map(|_| Err(Error::WorkerLost)).collect();
        for planned in ladder.plan(&lengths) {
            let mut together: Vec<&Row> = planned.rows.iter().map(|&row| rows[row]).collect();
            // Empty slots repeat the last row; what comes out for them is dropped.
            let last = together[together.len() - 1];
            together.resize(planned.slots, last);
            match self.run_batch(Batch { rows: &together, tokens: planned.tokens }) {
                Ok(tensors) => {
                    let real = planned.rows.iter().map(|&row| lengths[row]).sum();
                    self.graph.counters.count(real, planned.slots * planned.tokens);
                    for (&row, tensors) in planned.rows.iter().zip(tensors) {
                        answers[row] = Ok(tensors);
                    }
                }
                Err(_) => {
                    for &row in &planned.rows {
                        answers[row] = self.run(rows[row]);
                    }
                }
            }
        }
        answers
    }

    /// Positions are one list for all rows of a run, so that rows with their own cannot share one; and without a mask a
    /// graph cannot tell padding from a row.
    fn can_batch(&self) -> bool {
        let has = |filling| self.graph.interface.inputs.iter().any(|input| input.filling == filling);
        has(Filling::Mask) && !has(Filling::Positions)
    }

    fn run_batch(&mut self, batch: Batch<'_>) -> Result<Vec<Vec<Tensor>>, Error> {
        let failed = |message: String| Error::Run { tokens: batch.tokens, message };
        let graph = Arc::clone(&self.graph);
        let mut inputs = Vec::with_capacity(self.buffers.len());
        for (input, buffer) in graph.interface.inputs.iter().zip(&mut self.buffers) {
            let value = match buffer {
                Buffer::I32(buffer) => {
                    fill(buffer, input.filling, batch, |id| id as i32);
                    Value::over(&self.memory, buffer, &shape_of(input.filling, batch), INT32)
                }
                Buffer::I64(buffer) => {
                    fill(buffer, input.filling, batch, i64::from);
                    Value::over(&self.memory, buffer, &shape_of(input.filling, batch), INT64)
                }
            };
            inputs.push(value.map_err(|error| failed(error.to_string()))?);
        }
        let outputs = match &mut self.binding {
            Some(binding) => graph.run_bound(binding, &self.memory, &inputs),
            None => graph.run_raw(&inputs),
        }
        .map_err(|error| failed(error.to_string()))?;
        let mut answers: Vec<Vec<Tensor>> = vec![Vec::with_capacity(outputs.len()); batch.rows.len()];
        for (output, value) in graph.interface.outputs.iter().zip(&outputs) {
            read(output, value, batch, &mut answers).map_err(failed)?;
        }
        for (row, tensors) in batch.rows.iter().zip(&mut answers) {
            for (output, tensor) in graph.interface.outputs.iter().zip(tensors) {
                finish(graph.interface.after, tensor, row);
                if !all_finite(&tensor.values) {
                    return Err(Error::NotFinite { output: output.name.clone(), tokens: row.ids.len() });
                }
            }
        }
        Ok(answers)
    }
}

/// Does outside of the graph what the graph does not do.
fn finish(after: After, tensor: &mut Tensor, row: &Row) {
    let width = tensor.shape.last().copied().unwrap_or(0);
    match after {
        After::Keep => {}
        After::Pool(pooling) => {
            tensor.values = pool(pooling, &tensor.values, width);
            tensor.shape = vec![width];
        }
        After::Pick => {
            let scores = |&position: &u32| &tensor.values[position as usize * width..(position as usize + 1) * width];
            tensor.values = row.positions.iter().flat_map(scores).copied().collect();
            tensor.shape = vec![row.positions.len(), width];
        }
    }
}

/// Whether all are numbers. In parts without a way out inside, which the compiler makes vectors of.
fn all_finite(values: &[f32]) -> bool {
    values.chunks(1024).all(|part| part.iter().fold(true, |all, value| all & value.is_finite()))
}

fn shape_of(filling: Filling, batch: Batch<'_>) -> Vec<i64> {
    match filling {
        Filling::Positions => vec![batch.rows.iter().map(|row| row.positions.len() as i64).sum()],
        _ => vec![batch.rows.len() as i64, batch.tokens as i64],
    }
}

/// Fills `buffer` with what `filling` says, row after row; padding is zero.
fn fill<T: From<u8> + Copy>(buffer: &mut Vec<T>, filling: Filling, batch: Batch<'_>, number: impl Fn(u32) -> T) {
    buffer.clear();
    for (position, row) in batch.rows.iter().enumerate() {
        match filling {
            Filling::Ids => buffer.extend(row.ids.iter().map(|&id| number(id))),
            Filling::Mask => {
                let attended = row.ids.len().saturating_sub(row.unattended);
                buffer.extend((0..row.ids.len()).map(|place| T::from(u8::from(place < attended))));
            }
            Filling::Types => buffer.extend(row.types.iter().map(|&kind| T::from(kind))),
            Filling::Places => buffer.extend((0..row.ids.len() as u32).map(&number)),
            Filling::Positions => {
                buffer.extend(row.positions.iter().map(|&position| number(position)));
                continue;
            }
        }
        buffer.resize((position + 1) * batch.tokens, T::from(0));
    }
}

/// Hands each row its part of an output, without what belongs to padding.
fn read(output: &Output, value: &Value<'_>, batch: Batch<'_>, answers: &mut [Vec<Tensor>]) -> Result<(), String> {
    let contents = value.contents().map_err(|error| error.to_string())?;
    let shape: Vec<usize> = contents.shape.iter().map(|&size| size.max(0) as usize).collect();
    let positions = batch.rows.iter().map(|row| row.positions.len()).sum();
    let expected = output.sizes(batch.rows.len(), batch.tokens, positions);
    let fits = expected.len() == shape.len()
        && expected.iter().zip(&shape).all(|(expected, size)| expected.is_none_or(|expected| expected == *size));
    if !fits {
        let expected: Vec<String> =
            expected.iter().map(|size| size.map_or("any".to_owned(), |size| size.to_string())).collect();
        return Err(format!("its output {} has shape {shape:?}, not [{}]", output.name, expected.join(", ")));
    }
    let row_shape = &shape[1..];
    let row_values: usize = row_shape.iter().product();
    let count = row_values * batch.rows.len();
    match contents.element {
        FLOAT => {
            // SAFETY: a tensor of this type and shape holds `count` 32-bit floats.
            let values = unsafe { contents.elements::<f32>(count) };
            share_out(output, row_shape, values, batch, answers, <[f32]>::to_vec);
        }
        FLOAT16 => {
            // SAFETY: the same with 16-bit floats; `f16` is transparent over its 16 bits.
            let values = unsafe { contents.elements::<f16>(count) };
            share_out(output, row_shape, values, batch, answers, HalfFloatSliceExt::to_f32_vec);
        }
        other => return Err(format!("its output {} holds {other:?}", output.name)),
    }
    Ok(())
}

fn share_out<T>(
    output: &Output,
    row_shape: &[usize],
    values: &[T],
    batch: Batch<'_>,
    answers: &mut [Vec<Tensor>],
    widen: impl Fn(&[T]) -> Vec<f32>,
) {
    let row_values: usize = row_shape.iter().product();
    for (number, (row, answer)) in batch.rows.iter().zip(answers).enumerate() {
        let values = widen(&values[number * row_values..(number + 1) * row_values]);
        let tensor = Tensor { shape: row_shape.to_vec(), values };
        answer.push(cut_padding(tensor, &output.axes[1..], row.ids.len()));
    }
}

/// Leaves of each axis of tokens its first `tokens`.
fn cut_padding(tensor: Tensor, axes: &[Axis], tokens: usize) -> Tensor {
    let shape: Vec<usize> = axes
        .iter()
        .zip(&tensor.shape)
        .map(|(axis, &size)| if *axis == Axis::Tokens { size.min(tokens) } else { size })
        .collect();
    if shape == tensor.shape {
        return tensor;
    }
    let mut values = Vec::with_capacity(shape.iter().product());
    copy_part(&tensor.values, &tensor.shape, &shape, &mut values);
    Tensor { shape, values }
}

fn copy_part(values: &[f32], from: &[usize], to: &[usize], copied: &mut Vec<f32>) {
    let (Some((_, from_rest)), Some((&count, to_rest))) = (from.split_first(), to.split_first()) else {
        copied.extend_from_slice(values);
        return;
    };
    let stride: usize = from_rest.iter().product();
    for number in 0..count {
        copy_part(&values[number * stride..(number + 1) * stride], from_rest, to_rest, copied);
    }
}

#[cfg(test)]
#[path = "../tests/installed/mod.rs"]
mod installed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::Decision;
    use crate::{EncoderOptions, InstalledModel, Runtime};

    #[test]
    fn a_bound_run_gives_the_same_bits_and_a_failed_one_leaves_nothing_behind() {
        let runtime = Runtime::load(&installed::library()).expect("an ONNX Runtime: run scripts/setup");
        let model = InstalledModel::open(&installed::home().join("models/all-minilm-l6-v2"))
            .expect("a model: run scripts/setup");
        let options = EncoderOptions::default();
        let decision = Decision::make(&model, &runtime, &options).unwrap();
        let graph = decision.open(&model, &runtime, &options).unwrap().graph;
        let mut free = GraphRunner::new(Arc::clone(&graph), false).unwrap();
        let mut bound = GraphRunner::new(graph, true).unwrap();
        // Outputs differ in size from run to run, and buffers are used again.
        for length in [7, 120, 3, 512, 7] {
            let row = Row::from((1000..1000 + length).collect::<Vec<u32>>());
            assert_eq!(bound.run(&row).unwrap(), free.run(&row).unwrap(), "{length} ids");
        }
        let outside = Row::from(vec![101, u32::MAX / 2, 102]);
        assert!(matches!(bound.run(&outside), Err(Error::Run { tokens: 3, .. })));
        let row = Row::from(vec![101, 2054, 102]);
        assert_eq!(bound.run(&row).unwrap(), free.run(&row).unwrap());
    }

    #[test]
    fn inputs_are_padded_on_the_right() {
        let rows =
            [Row { ids: vec![7, 8, 9], types: vec![0, 1, 1], positions: vec![1], unattended: 1 }, Row::from(vec![5])];
        let check = |filling, expected: &[i64]| {
            let mut buffer = Vec::new();
            let rows: Vec<&Row> = rows.iter().collect();
            fill(&mut buffer, filling, Batch { rows: &rows, tokens: 4 }, i64::from);
            assert_eq!(buffer, expected, "{filling:?}");
        };
        check(Filling::Ids, &[7, 8, 9, 0, 5, 0, 0, 0]);
        check(Filling::Mask, &[1, 1, 0, 0, 1, 0, 0, 0]);
        check(Filling::Types, &[0, 1, 1, 0, 0, 0, 0, 0]);
        check(Filling::Places, &[0, 1, 2, 0, 0, 0, 0, 0]);
        check(Filling::Positions, &[1]);
    }

    #[test]
    fn what_the_graph_leaves_is_done_outside() {
        let tensor = Tensor { shape: vec![3, 2], values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 9.0] };
        let finished = |after, positions: &[u32]| {
            let mut tensor = tensor.clone();
            finish(after, &mut tensor, &Row { positions: positions.to_vec(), ..Row::from(vec![7; 3]) });
            (tensor.shape, tensor.values)
        };
        assert_eq!(finished(After::Keep, &[]), (vec![3, 2], tensor.values.clone()));
        assert_eq!(finished(After::Pool(berth_types::Pooling::Mean), &[]), (vec![2], vec![3.0, 5.0]));
        assert_eq!(finished(After::Pick, &[2, 0]), (vec![2, 2], vec![5.0, 9.0, 1.0, 2.0]));
    }

    #[test]
    fn a_number_that_is_none_is_found_anywhere() {
        assert!(all_finite(&[]) && all_finite(&[f32::MAX; 3000]));
        for (place, value) in [(0, f32::NAN), (1023, f32::INFINITY), (1024, f32::NEG_INFINITY), (2999, f32::NAN)] {
            let mut values = vec![0.5; 3000];
            values[place] = value;
            assert!(!all_finite(&values), "{place}");
        }
    }

    #[test]
    fn what_belongs_to_padding_is_cut_off() {
        let tensor = Tensor { shape: vec![2, 3, 3], values: (0..18_u8).map(f32::from).collect() };
        let axes = [Axis::Any, Axis::Tokens, Axis::Tokens];
        let cut = cut_padding(tensor.clone(), &axes, 2);
        assert_eq!(cut.shape, [2, 2, 2]);
        assert_eq!(cut.values, [0.0, 1.0, 3.0, 4.0, 9.0, 10.0, 12.0, 13.0]);
        assert_eq!(cut_padding(tensor.clone(), &axes, 3), tensor);
        assert_eq!(cut_padding(tensor.clone(), &[Axis::Any; 3], 1), tensor);
    }
}
