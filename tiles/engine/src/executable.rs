//! Executable experts in an ONNX runtime, and how far they may be from the engine.
//!
//! [`blyan_tiles::executable`] defines the format. [`Runner`] hands a graph and the integers that it
//! refers to over to `rten`, with no operator but the five of the format; the graph itself makes
//! floats of the integers.
//!
//! # How far apart the two may be
//!
//! The engine and the runtime read the same weights as the same floats, but sum in orders of their own.
//! A sum of `n` products in any order, each step rounded, is within `((1 + u)ⁿ − 1) · Σ|w||x|` of the
//! exact one, with `u =` [`UNIT_ROUNDOFF`]. For an expert of width `n` and inner width `m`, where
//! `Aⱼ = Σᵢ |w1ⱼᵢ||xᵢ|`: the inner sums come in twice because they are squared, squaring rounds once,
//! and the outer sum has `m` products. So each side is within about
//!
//! ```text
//! (2n + m + 1) · u · Σⱼ |w2ₒⱼ| · Aⱼ²
//! ```
//!
//! of the exact value, and the two are within twice as much of one another. [`HIGHER_ORDER`] makes up
//! for what "about" leaves out. That is the tolerance of one number; there is no other. It is what
//! could happen at worst: errors mostly cancel, so differences are far below it.

use crate::{network, weights::float, Device, Error, Result};
use blyan_primitives::model::{Component, TensorSpec};
use blyan_tiles::{
	executable::{Bound, Reference},
	Executable,
};
use rten::{op_types, Model, ModelOptions, OpRegistry, ValueView};

/// The most that rounding to an `f32` changes a number, as a part of it: half the distance between
/// one and the next float.
pub const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;
/// The terms of second order in the bound are below a sixteenth of the first as long as widths are
/// below 2¹⁶, which they are.
pub const HIGHER_ORDER: f64 = 17.0 / 16.0;
/// Below the smallest normal number rounding is not relative any more. What that can add up to is less
/// than this.
pub const UNDERFLOW: f64 = 2.0 * f32::MIN_POSITIVE as f64;
/// The most numbers that all rows of a graph may have together in one run, 1 GiB. The weights come
/// on top, which are as large as the graph says, and what a product needs while it is computed.
pub const MAX_ROW_NUMBERS: usize = 1 << 28;

/// What the runtime knows the weights as; it wants a name that ends like this.
const LOCATION: &str = "weights.data";
/// The increment of SplitMix64's state.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// An executable expert that was loaded.
#[derive(Debug)]
pub struct Runner {
	component: String,
	model: Model,
	input: usize,
	output: usize,
	row_columns: usize,
}

impl Runner {
	/// Loads a graph with its weights. The runtime holds a copy of them as floats.
	pub fn load(bound: &Bound<'_>) -> Result<Self> {
		let executable = bound.executable();
		let operators = OpRegistry::with_ops(&[
			&op_types::Cast,
			&op_types::MatMul,
			&op_types::Mul,
			&op_types::Relu,
			&op_types::Transpose,
		]);
		let mut options = ModelOptions::with_ops(operators);
		options.external_data(LOCATION, bound.payload().to_vec());
		let model = options
			.load(bound.onnx(LOCATION))
			.map_err(|error| runtime("load", executable.component(), &error))?;
		Ok(Self {
			component: executable.component().to_owned(),
			model,
			input: executable.input().width as usize,
			output: executable.output().width as usize,
			row_columns: executable.row_columns() as usize,
		})
	}

	/// Runs the graph on rows of finite numbers, `[tokens, input width]`, one after the other, and
	/// returns `[tokens, output width]`.
	pub fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
		let tokens = rows(input, self.input, self.row_columns)?;
		let value = ValueView::from_shape([tokens, self.input], input)
			.map_err(|error| runtime("give the input to", &self.component, &error))?;
		let output = self
			.model
			.run_one(value.into(), None)
			.map_err(|error| runtime("run", &self.component, &error))?;
		let (shape, output) = output
			.into_shape_vec::<f32, 2>()
			.map_err(|error| runtime("read the output of", &self.component, &error))?;
		if shape != [tokens, self.output] {
			let message = format!("the output has the shape {shape:?}");
			let component = self.component.clone();
			return Err(Error::Runtime { action: "run", component, message });
		}
		finite("output", &output)?;
		Ok(output)
	}
}

fn runtime(action: &'static str, component: &str, error: &dyn std::error::Error) -> Error {
	Error::Runtime { action, component: component.to_owned(), message: error.to_string() }
}

/// The number of rows of an input. `row_columns` are those of all rows of the graph. Fails if the
/// input is not made of rows, has too many of them, or is not finite.
fn rows(input: &[f32], width: usize, row_columns: usize) -> Result<usize> {
	let most = MAX_ROW_NUMBERS / row_columns.max(1);
	let (count, found) = (input.len() / width.max(1), input.len());
	if count == 0 || count > most || count.checked_mul(width) != Some(found) {
		return Err(Error::Rows { width, found, most });
	}
	finite("input", input)?;
	Ok(count)
}

fn finite(what: &'static str, values: &[f32]) -> Result<()> {
	if values.iter().all(|value| value.is_finite()) {
		return Ok(());
	}
	Err(Error::NotFinite { what })
}

/// How far what a runtime computed is from what the engine computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
	/// Rows of the input.
	pub tokens: usize,
	/// The largest number that the engine computes, without its sign.
	pub largest: f64,
	/// The largest difference.
	pub difference: f64,
	/// The largest difference as a part of its tolerance: at most one, or the two do not compute the
	/// same.
	pub of_tolerance: f64,
}

impl Comparison {
	/// Whether every number is within its tolerance.
	pub fn agrees(&self) -> bool {
		self.of_tolerance <= 1.0
	}

	/// The largest difference as a part of the largest number.
	pub fn relative(&self) -> f64 {
		self.difference / self.largest.max(f64::from(f32::MIN_POSITIVE))
	}
}

/// Compares what a runtime made of an input with what the engine makes of it on `device`.
///
/// Fails if the graph is another one than that of an expert.
pub fn compare(
	bound: &Bound<'_>,
	input: &[f32],
	output: &[f32],
	device: &Device,
) -> Result<Comparison> {
	let expected = by_engine(bound, input, device)?;
	let tolerances = tolerances(bound, input)?;
	if output.len() != expected.len() {
		let width = bound.executable().output().width as usize;
		let most = expected.len() / width.max(1);
		return Err(Error::Rows { width, found: output.len(), most });
	}
	finite("output", output)?;
	let mut comparison = Comparison {
		tokens: input.len() / bound.executable().input().width.max(1) as usize,
		largest: 0.0,
		difference: 0.0,
		of_tolerance: 0.0,
	};
	for ((expected, found), tolerance) in expected.iter().zip(output).zip(tolerances) {
		let (expected, found) = (f64::from(*expected), f64::from(*found));
		let difference = (expected - found).abs();
		comparison.largest = comparison.largest.max(expected.abs());
		comparison.difference = comparison.difference.max(difference);
		comparison.of_tolerance = comparison.of_tolerance.max(difference / tolerance);
	}
	Ok(comparison)
}

/// What the engine makes of rows of finite numbers, `[tokens, width]`, with the expert that a graph
/// stands for: `[tokens, width]`.
///
/// Fails if the graph is another one than that of an expert.
pub fn by_engine(bound: &Bound<'_>, input: &[f32], device: &Device) -> Result<Vec<f32>> {
	let [w1, w2] = matrices(bound.executable())?;
	let [inner, width] = w1.shape.map(|extent| extent as usize);
	let tokens = rows(input, width, bound.executable().row_columns() as usize)?;
	let device = device.tensors();
	let matrix = |tensor: &Reference, shape: [usize; 2]| {
		let weights = bound.tensor(tensor).iter().map(|weight| float(*weight)).collect();
		network::floats(weights, shape, device)
	};
	let x = network::floats(input.to_vec(), [tokens, width], device);
	let output = network::expert_output(x, matrix(w1, [inner, width]), matrix(w2, [width, inner]));
	let output = network::read(output)?;
	finite("output", &output)?;
	Ok(output)
}

/// How far apart two computations of each number may be, `[tokens, width]`; the module's
/// documentation says why.
pub fn tolerances(bound: &Bound<'_>, input: &[f32]) -> Result<Vec<f64>> {
	let [w1, w2] = matrices(bound.executable())?;
	let [inner, width] = w1.shape.map(|extent| extent as usize);
	rows(input, width, bound.executable().row_columns() as usize)?;
	let sizes = |tensor: &Reference| -> Vec<f64> {
		bound.tensor(tensor).iter().map(|weight| f64::from(float(*weight)).abs()).collect()
	};
	let (w1, w2) = (sizes(w1), sizes(w2));
	let products = |matrix: &[f64], cols: usize, x: &[f64]| -> Vec<f64> {
		let row = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
		matrix.chunks(cols).map(row).collect()
	};
	let roundings = (2 * width + inner + 1) as f64;
	let factor = 2.0 * roundings * UNIT_ROUNDOFF * HIGHER_ORDER;
	let mut tolerances = Vec::with_capacity(input.len());
	for row in input.chunks(width) {
		let x: Vec<f64> = row.iter().map(|x| f64::from(*x).abs()).collect();
		let squared: Vec<f64> = products(&w1, width, &x).iter().map(|a| a * a).collect();
		let sums = products(&w2, inner, &squared);
		tolerances.extend(sums.iter().map(|sum| factor * sum + UNDERFLOW));
	}
	Ok(tolerances)
}

/// The two matrices of an expert. Fails if the graph is another one.
fn matrices(executable: &Executable) -> Result<[&Reference; 2]> {
	let spec = |tensor: &Reference| TensorSpec {
		name: tensor.name.clone(),
		shape: tensor.shape,
		offset_bytes: tensor.offset_bytes,
	};
	let component = Component {
		name: executable.component().to_owned(),
		tensors: executable.tensors().iter().map(spec).collect(),
		bytes: executable.tensors().last().map_or(0, Reference::end_bytes),
	};
	match (Executable::expert(&component, executable.root()), executable.tensors()) {
		(Ok(expert), [w1, w2]) if expert == *executable => Ok([w1, w2]),
		_ => Err(Error::NotAnExpert { component: component.name }),
	}
}

/// `count` numbers that look random and have a mean square of one, as the rows have that an expert is
/// given in a model. They follow from the seed: number `i` is the upper 24 bits of the `i`-th output
/// of SplitMix64, spread evenly over `−√3..√3`.
pub fn random_rows(seed: u64, count: usize) -> Vec<f32> {
	let number = |index: u64| {
		let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN_GAMMA));
		let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		let upper = (z ^ (z >> 31)) >> 40;
		((upper as f64 / f64::from(1u32 << 23) - 1.0) * 3f64.sqrt()) as f32
	};
	(0..count as u64).map(number).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
	use super::*;
	use crate::{demo, layout::Layout, Weights};
	use blyan_primitives::{model::Architecture, H256};
	use blyan_tiles::TileFile;
	use proptest::prelude::*;
	use tempfile::TempDir;

	fn small() -> Architecture {
		Architecture {
			d_model: 24,
			layers: 2,
			heads: 2,
			experts: 3,
			d_ff: 40,
			..demo::ARCHITECTURE
		}
	}

	/// An expert's weights in a file, and its graph.
	fn exported(
		folder: &TempDir,
		component: &Component,
		weights: &[i32],
	) -> (Executable, TileFile) {
		let path = folder.path().join("weights.blyt");
		let root = TileFile::create(&path, weights).unwrap();
		(Executable::expert(component, root).unwrap(), TileFile::open(path).unwrap())
	}

	fn compared(executable: &Executable, file: &TileFile, input: &[f32]) -> Comparison {
		let bound = executable.bind(file).unwrap();
		let output = Runner::load(&bound).unwrap().run(input).unwrap();
		compare(&bound, input, &output, &Device::named("cpu").unwrap()).unwrap()
	}

	#[test]
	fn every_expert_of_a_model_agrees_with_the_engine() {
		let folder = tempfile::tempdir().unwrap();
		let layout = Layout::new(&small()).unwrap();
		let weights = Weights::initial(&small(), H256([3; 32])).unwrap();
		for layer in 0..layout.layers() {
			for expert in 0..layout.experts() {
				let index = layout.expert(layer, expert);
				let component = &layout.components()[index];
				let (executable, file) = exported(&folder, component, &weights.components()[index]);
				assert_eq!(executable.component(), format!("layer.{layer}.expert.{expert}"));
				let comparison = compared(&executable, &file, &random_rows(index as u64, 24 * 33));
				assert!(comparison.agrees(), "{comparison:?}");
				assert!(comparison.largest > 0.01 && comparison.tokens == 33, "{comparison:?}");
			}
		}
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(24))]

		#[test]
		fn any_weights_and_inputs_agree_with_the_engine(
			seed in any::<u64>(),
			width in 1..40u16,
			inner in 1..60u16,
			tokens in 1..9usize,
			scale in -20..20i32,
			shift in 0..24u32,
		) {
			let folder = tempfile::tempdir().unwrap();
			let architecture = Architecture { d_model: width, heads: 1, d_ff: inner, ..small() };
			let layout = Layout::new(&architecture).unwrap();
			let index = layout.expert(1, 2);
			// Up to the ends of the range, where floats are coarser than the integers.
			let weights: Vec<i32> = random_rows(seed, layout.weights(index))
				.into_iter()
				.map(|number| (f64::from(number) * f64::from(1u32 << 30)) as i32 >> shift)
				.collect();
			let (executable, file) = exported(&folder, &layout.components()[index], &weights);
			let mut input = random_rows(!seed, tokens * usize::from(width));
			input.iter_mut().for_each(|number| *number *= 2f32.powi(scale));
			let comparison = compared(&executable, &file, &input);
			prop_assert!(comparison.agrees(), "{:?}", comparison);
		}
	}

	/// A component of one weight in each matrix: whatever the order of sums, there is one result.
	#[test]
	fn weights_are_the_floats_that_the_engine_reads() {
		let folder = tempfile::tempdir().unwrap();
		let spec = |name: &str, offset_bytes: u64| TensorSpec {
			name: name.to_owned(),
			shape: [1, 1],
			offset_bytes,
		};
		let component = Component {
			name: "layer.0.expert.0".to_owned(),
			tensors: vec![spec("w1", 0), spec("w2", 256)],
			bytes: 512,
		};
		for weight in [0, 1, -1, (1 << 24) - 1, (1 << 25) + 1, (1 << 25) + 3, i32::MAX, i32::MIN] {
			let mut weights = vec![0; 128];
			(weights[0], weights[64]) = (1 << 24, weight);
			let (executable, file) = exported(&folder, &component, &weights);
			let bound = executable.bind(&file).unwrap();
			let output = Runner::load(&bound).unwrap().run(&[1.0, -1.0]).unwrap();
			assert_eq!(output, [float(weight), 0.0], "{weight}");
			let engine = by_engine(&bound, &[1.0, -1.0], &Device::named("cpu").unwrap()).unwrap();
			assert_eq!(output, engine, "{weight}");
		}
	}

	#[test]
	fn other_weights_are_beyond_the_tolerance() {
		let folder = tempfile::tempdir().unwrap();
		let layout = Layout::new(&small()).unwrap();
		let index = layout.expert(0, 0);
		let weights = Weights::initial(&small(), H256([3; 32])).unwrap();
		let (executable, file) =
			exported(&folder, &layout.components()[index], &weights.components()[index]);
		let bound = executable.bind(&file).unwrap();
		let input = random_rows(1, 24 * 4);
		let mut output = Runner::load(&bound).unwrap().run(&input).unwrap();
		output[7] += 0.1;
		let device = Device::named("cpu").unwrap();
		let comparison = compare(&bound, &input, &output, &device).unwrap();
		assert!(!comparison.agrees(), "{comparison:?}");
		let refused = compare(&bound, &input, &output[1..], &device);
		assert!(matches!(refused, Err(Error::Rows { width: 24, found: 95, .. })));
	}

	#[test]
	fn inputs_that_are_no_rows_or_not_finite_are_refused() {
		let folder = tempfile::tempdir().unwrap();
		let layout = Layout::new(&small()).unwrap();
		let index = layout.expert(0, 1);
		let weights = vec![1 << 24; layout.weights(index)];
		let (executable, file) = exported(&folder, &layout.components()[index], &weights);
		let bound = executable.bind(&file).unwrap();
		let runner = Runner::load(&bound).unwrap();
		for wrong in [0, 1, 23, 25] {
			let refused = runner.run(&vec![1.0; wrong]);
			assert!(matches!(refused, Err(Error::Rows { width: 24, .. })), "{wrong}");
		}
		for number in [f32::NAN, f32::INFINITY] {
			let refused = runner.run(&[number; 24]);
			assert!(matches!(refused, Err(Error::NotFinite { what: "input" })));
		}
		assert!(matches!(runner.run(&[1e30; 24]), Err(Error::NotFinite { what: "output" })));
	}

	#[test]
	fn rows_of_all_values_are_bounded_together() {
		let folder = tempfile::tempdir().unwrap();
		let architecture = Architecture { d_model: 1, heads: 1, d_ff: u16::MAX, ..small() };
		let layout = Layout::new(&architecture).unwrap();
		let index = layout.expert(0, 0);
		let weights = vec![0; layout.weights(index)];
		let (executable, file) = exported(&folder, &layout.components()[index], &weights);
		let bound = executable.bind(&file).unwrap();
		// Input and output, and the inner rows three times.
		let fits = MAX_ROW_NUMBERS / (2 + 3 * usize::from(u16::MAX));
		let input = vec![1f32; fits + 1];
		let ran = Runner::load(&bound).unwrap().run(&input);
		let computed = by_engine(&bound, &input, &Device::named("cpu").unwrap());
		for refused in [ran, computed, tolerances(&bound, &input).map(|_| Vec::new())] {
			let Err(Error::Rows { width: 1, found, most }) = refused else {
				panic!("more rows than fit together were not refused");
			};
			assert_eq!((found, most), (fits + 1, fits));
		}
	}

	#[test]
	fn only_experts_are_compared() {
		let folder = tempfile::tempdir().unwrap();
		let layout = Layout::new(&small()).unwrap();
		let index = layout.expert(0, 1);
		let weights = vec![1 << 20; layout.weights(index)];
		let (executable, file) = exported(&folder, &layout.components()[index], &weights);
		// The same computation, but not as an expert is exported.
		let mut bytes = executable.encode();
		while let Some(at) = bytes.windows(7).position(|window| window == b"squared") {
			bytes[at..at + 7].copy_from_slice(b"product");
		}
		let renamed = Executable::decode(&bytes).unwrap();
		let bound = renamed.bind(&file).unwrap();
		assert!(Runner::load(&bound).unwrap().run(&[1.0; 24]).is_ok());
		let refused = by_engine(&bound, &[1.0; 24], &Device::named("cpu").unwrap());
		assert!(matches!(refused, Err(Error::NotAnExpert { .. })));
	}
}
