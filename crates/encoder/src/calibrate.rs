//! What this machine's matrix products reach: the peak against which a model's speed is held.
//!
//! Products of ONNX Runtime's run in a graph, which is one product with a constant matrix, as a linear layer is. It is
//! written here byte by byte, because the schema of ONNX is the exporter's and this is three fields of it.

use std::thread;
use std::time::{Duration, Instant};

use berth_kernels::{PackedMatrix, PackedView, multiply_rows, pack};
use ort::session::Session;
use ort::value::TensorRef;

use crate::{Error, Runtime};

/// Rows, columns and depth of the product: large enough that its cost is arithmetic, small enough for a core's cache.
const SIDE: usize = 512;
const FLOAT: u64 = 1;
const INT8: u64 = 3;

/// Arithmetic of a product that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Product {
    /// 32-bit floats.
    Fp32,
    /// Activations quantised as they come to 8 bits, weights of 8 bits with a scale for each column, as int8 graphs have it.
    Int8,
    /// The same with a scale for each row of activations, by Berth's own product.
    Int8Rows,
}

/// One run of the product.
type Run = Box<dyn FnMut() -> ort::Result<()> + Send>;

/// Runs `product` on `threads` threads at the same time, each on its own, for about `time`. Returns floating-point
/// operations a second (two for each multiplication with its addition), of all threads together.
///
/// # Errors
/// `Calibration` when ONNX Runtime does not run the product.
pub fn matmul_peak(runtime: &Runtime, product: Product, threads: usize, time: Duration) -> Result<f64, Error> {
    let failed = |error: ort::Error| Error::Calibration { message: error.to_string() };
    let open = |_| match product {
        Product::Fp32 => graph_product(runtime, &fp32_graph()),
        Product::Int8 => graph_product(runtime, &int8_graph()),
        Product::Int8Rows => Ok(row_product()),
    };
    let mut products = (0..threads.max(1)).map(open).collect::<ort::Result<Vec<Run>>>().map_err(failed)?;
    let start = Instant::now();
    let counts = thread::scope(|scope| {
        let running: Vec<_> = products
            .iter_mut()
            .map(|run| {
                scope.spawn(move || -> ort::Result<u64> {
                    let mut runs = 0;
                    while start.elapsed() < time {
                        run()?;
                        runs += 1;
                    }
                    Ok(runs)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Ok(0))).collect::<ort::Result<Vec<u64>>>()
    });
    let runs: u64 = counts.map_err(failed)?.into_iter().sum();
    let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
    Ok(runs as f64 * operations / start.elapsed().as_secs_f64())
}

fn states() -> Vec<f32> {
    (0..SIDE * SIDE).map(|place| (place % 17) as f32 / 17.0 - 0.5).collect()
}

fn graph_product(runtime: &Runtime, graph: &[u8]) -> ort::Result<Run> {
    let mut session = Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .commit_from_memory(graph)?;
    let values = states();
    Ok(Box::new(move || {
        let input = TensorRef::from_array_view(([SIDE, SIDE], values.as_slice()))?;
        session.run(ort::inputs![input])?;
        Ok(())
    }))
}

fn row_product() -> Run {
    let (values, bias, mut product) = (states(), vec![0.0; SIDE], vec![0.0; SIDE * SIDE]);
    let PackedMatrix { bytes, scales, sums } = pack(&states(), SIDE);
    Box::new(move || {
        let matrix = PackedView { bytes: &bytes, scales: &scales, sums: &sums, bias: &bias };
        multiply_rows(&values, SIDE, matrix, &mut product);
        Ok(())
    })
}

fn fp32_graph() -> Vec<u8> {
    let weight = |place: usize| ((place % 13) as f32 / 13.0 - 0.5).to_le_bytes();
    let weights: Vec<u8> = (0..SIDE * SIDE).flat_map(weight).collect();
    let node = Message::default().text(1, "x").text(1, "w").text(2, "y").text(4, "MatMul");
    product_graph(&node, &[tensor("w", &[SIDE as u64; 2], FLOAT, &weights)])
}

fn int8_graph() -> Vec<u8> {
    let weights: Vec<u8> = (0..SIDE * SIDE).map(|place| (place % 251) as u8).collect();
    let scales: Vec<u8> = (0..SIDE).flat_map(|_| 0.01_f32.to_le_bytes()).collect();
    let inputs = Message::default().text(1, "x").text(1, "w").text(1, "scales");
    let node = inputs.text(2, "y").text(4, "DynamicQuantizeMatMul").text(7, "com.microsoft");
    let constants = [tensor("w", &[SIDE as u64; 2], INT8, &weights), tensor("scales", &[SIDE as u64], FLOAT, &scales)];
    product_graph(&node, &constants)
}

/// `y = x · w` by `node`, with what is constant in it. Numbers of fields are those of `onnx.proto`.
fn product_graph(node: &Message, constants: &[Message]) -> Vec<u8> {
    let mut graph = Message::default().message(1, node).text(2, "product");
    for constant in constants {
        graph = graph.message(5, constant);
    }
    let dimension = Message::default().number(1, SIDE as u64);
    let shape = Message::default().message(1, &dimension).message(1, &dimension);
    let tensor_type = Message::default().number(1, FLOAT).message(2, &shape);
    let value_type = Message::default().message(1, &tensor_type);
    let value = |name: &str| Message::default().text(1, name).message(2, &value_type);
    graph = graph.message(11, &value("x")).message(12, &value("y"));
    let opset = |domain: &str, version: u64| Message::default().text(1, domain).number(2, version);
    let model = Message::default().number(1, 8).message(7, &graph).message(8, &opset("", 17));
    model.message(8, &opset("com.microsoft", 1)).bytes
}

fn tensor(name: &str, dimensions: &[u64], element: u64, raw: &[u8]) -> Message {
    let mut tensor = Message::default();
    for &dimension in dimensions {
        tensor = tensor.number(1, dimension);
    }
    tensor.number(2, element).text(8, name).field(9, raw)
}

/// A message of protocol buffers, field after field.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn field(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.field(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.field(field, &message.bytes)
    }
}
