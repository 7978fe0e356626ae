//! The model as tensors. The crate's documentation has the formulas.

use crate::{
	layout::{Layout, BIAS, EMBED, GAIN, HEAD, POSITION, ROUTER, TOKEN, W1, W2, WK, WO, WQ, WV},
	payload::{self, Payload},
	routing, Error, Result,
};
use blyan_tiles::TileFile;
use burn::tensor::{
	activation, DType, Device, IndexingUpdateOp, Int, Tensor, TensorData, Transaction,
};
use std::{fmt::Display, sync::Arc};

/// Added to the mean square before its root is taken.
const NORM_EPSILON: f32 = 1e-6;
/// Added to the scores of bytes that come later; the softmax of it is exactly zero.
const MASKED: f32 = -1e9;

/// For each component and tensor the gradient, in the order of the tensor's weights. A tensor that
/// had no part in the loss has none.
pub(crate) type Gradients = Vec<Vec<Option<Vec<f32>>>>;

/// A model on a device.
pub(crate) struct Network<'a> {
	layout: &'a Layout,
	device: Device,
	/// For each component its tensors, `[rows, cols]`, `f32`: views of one buffer, but for those of
	/// files of `i8`.
	tensors: Vec<Vec<Tensor<2>>>,
	/// For each layer the selection bias, which stays on the host where it is used.
	bias: Vec<Vec<f32>>,
}

/// What the model makes of some windows.
pub(crate) struct Output {
	/// `[windows · length, vocab]`, `f32`: one row for each byte, scores of the byte after it.
	pub logits: Tensor<2>,
	/// For each layer and expert the number of tokens.
	pub loads: Vec<Vec<u32>>,
}

impl<'a> Network<'a> {
	/// Puts weights on a device that are needed elsewhere as well. With `track`, operations are
	/// recorded so that gradients can be had.
	pub fn new(layout: &'a Layout, weights: &[Vec<f32>], device: &Device, track: bool) -> Self {
		// Burn's tensors own their bytes, and a trainer changes its weights after each step.
		Self::of(layout, weights.iter().cloned(), device, track)
	}

	/// Puts weights on a device, one component after the other.
	pub fn of(
		layout: &'a Layout,
		components: impl Iterator<Item = Vec<f32>>,
		device: &Device,
		track: bool,
	) -> Self {
		let mut tensors = Vec::with_capacity(layout.components().len());
		let mut bias = Vec::with_capacity(layout.layers());
		for (component, weights) in components.enumerate() {
			if layout.is_bias(component, BIAS) {
				bias.push(weights[layout.range(component, BIAS)].to_vec());
			}
			let count = layout.components()[component].tensors.len();
			let length = weights.len();
			// One upload for each component, of which nothing is recorded.
			let whole = floats(weights, [length], device);
			let place = |tensor: usize| {
				let first = layout.range(component, tensor).start;
				let view = payload::view(&whole, first, layout.shape(component, tensor));
				if track && !layout.is_bias(component, tensor) {
					view.autodiff().require_grad()
				} else {
					view
				}
			};
			tensors.push((0..count).map(place).collect());
		}
		let device = if track { device.clone().autodiff() } else { device.clone() };
		Self { layout, device, tensors, bias }
	}

	/// Makes tensors of files, one for each component in order. Nothing is recorded.
	pub fn from_files(
		layout: &'a Layout,
		files: &[Arc<TileFile>],
		device: &crate::Device,
	) -> Result<Self> {
		let mut tensors = Vec::with_capacity(files.len());
		let mut bias = Vec::with_capacity(layout.layers());
		for (component, file) in files.iter().enumerate() {
			let count = layout.components()[component].tensors.len();
			let shapes: Vec<[usize; 2]> =
				(0..count).map(|tensor| layout.shape(component, tensor)).collect();
			let matrices = Payload::of(file.clone(), device)?.matrices(&shapes)?;
			if layout.is_bias(component, BIAS) {
				bias.push(read(matrices[BIAS].clone())?);
			}
			tensors.push(matrices);
		}
		Ok(Self { layout, device: device.tensors().clone(), tensors, bias })
	}

	/// Runs the model on `windows` windows of `length` bytes each, one after the other in `bytes`.
	///
	/// `length` is at least one and at most the context.
	pub fn forward(&self, bytes: &[u8], windows: usize, length: usize) -> Result<Output> {
		let width = self.layout.width();
		let count = windows * length;
		let tokens = bytes.iter().map(|byte| i32::from(*byte)).collect();
		let embedded: Tensor<3> = self
			.tensor(EMBED, TOKEN)
			.select(0, indices(tokens, &self.device))
			.reshape([windows, length, width]);
		let positions: Tensor<3> =
			self.tensor(EMBED, POSITION).narrow(0, 0, length).reshape([1, length, width]);
		let mut x: Tensor<2> = embedded.add(positions).reshape([count, width]);

		let mask = self.causal_mask(length);
		let mut loads = Vec::with_capacity(self.layout.layers());
		for layer in 0..self.layout.layers() {
			let attended = self.attend(layer, x.clone(), windows, length, &mask);
			x = x.add(attended);
			let (mixed, load) = self.mix(layer, x.clone())?;
			x = x.add(mixed);
			loads.push(load);
		}
		let head = self.layout.head();
		let last = normalise(x, self.tensor(head, GAIN));
		Ok(Output { logits: linear(last, self.tensor(head, HEAD)), loads })
	}

	/// The loss of each byte of `targets`, in nats: `[rows of logits, 1]`, `f32`.
	pub fn losses(&self, logits: Tensor<2>, targets: &[u8]) -> Tensor<2> {
		let targets: Vec<i32> = targets.iter().map(|byte| i32::from(*byte)).collect();
		let count = targets.len();
		let targets: Tensor<2, Int> = indices(targets, &self.device).reshape([count, 1]);
		activation::log_softmax(logits, 1).gather(1, targets).neg()
	}

	/// The gradients of a loss that this network's forward pass led to. Each loss gives them once.
	pub fn gradients(&self, loss: &Tensor<1>) -> Result<Gradients> {
		let gradients = loss.backward();
		let gradients: Vec<Vec<Option<Tensor<2>>>> = self
			.tensors
			.iter()
			.map(|component| component.iter().map(|tensor| tensor.grad(&gradients)).collect())
			.collect();
		// One read for all of them, since a host that reads waits for the device.
		let all = gradients.iter().flatten().flatten().cloned();
		let values = all.fold(Transaction::default(), Transaction::register).try_execute();
		let mut values = values.map_err(compute)?.into_iter();
		let mut value = |_| {
			let data = values.next().ok_or_else(|| compute("a gradient is missing"))?;
			data.try_into_vec().map_err(compute)
		};
		let mut of = |gradient: Option<Tensor<2>>| gradient.map(&mut value).transpose();
		gradients
			.into_iter()
			.map(|component| component.into_iter().map(&mut of).collect())
			.collect()
	}

	fn tensor(&self, component: usize, tensor: usize) -> Tensor<2> {
		self.tensors[component][tensor].clone()
	}

	/// `[1, 1, length, length]`: zero where a byte (row) may look at another (column).
	fn causal_mask(&self, length: usize) -> Tensor<4> {
		let mut mask = vec![MASKED; length * length];
		for row in 0..length {
			mask[row * length..=row * length + row].fill(0.0);
		}
		floats(mask, [1, 1, length, length], &self.device)
	}

	/// The attention of a layer on `x`, `[windows · length, width]`.
	fn attend(
		&self,
		layer: usize,
		x: Tensor<2>,
		windows: usize,
		length: usize,
		mask: &Tensor<4>,
	) -> Tensor<2> {
		let component = self.layout.attention(layer);
		let (width, heads) = (self.layout.width(), self.layout.heads());
		let per_head = width / heads;
		let h = normalise(x, self.tensor(component, GAIN));
		let split = |matrix: Tensor<2>| -> Tensor<4> {
			linear(h.clone(), matrix).reshape([windows, length, heads, per_head]).swap_dims(1, 2)
		};
		// Scaling the queries is `length / per_head` times cheaper than scaling the scores.
		let queries = split(self.tensor(component, WQ)).mul_scalar(1.0 / (per_head as f64).sqrt());
		let keys = split(self.tensor(component, WK));
		let values = split(self.tensor(component, WV));
		let scores = queries.matmul(keys.transpose()).add(mask.clone());
		let heads_out: Tensor<4> = activation::softmax(scores, 3).matmul(values);
		let joined: Tensor<2> = heads_out.swap_dims(1, 2).reshape([windows * length, width]);
		linear(joined, self.tensor(component, WO))
	}

	/// The experts of a layer on `x`, `[tokens, width]`, and the number of tokens of each.
	///
	/// Every expert computes its own tokens only: their rows are gathered, and what comes out is
	/// added to the rows they came from. A row is touched once by an expert, so nothing depends on
	/// the order within it.
	fn mix(&self, layer: usize, x: Tensor<2>) -> Result<(Tensor<2>, Vec<u32>)> {
		let component = self.layout.router(layer);
		let [count, width] = x.dims();
		let h = normalise(x, self.tensor(component, GAIN));
		let logits = linear(h.clone(), self.tensor(component, ROUTER));
		let routes = routing::route(&read(logits.clone())?, &self.bias[layer]);
		let loads = routes.loads();

		let gates = self.gates(logits, routes.chosen, count);
		let mut sum: Tensor<2> = Tensor::zeros([count, width], (&self.device, DType::F32));
		for (expert, route) in routes.experts.into_iter().enumerate() {
			if route.tokens.is_empty() {
				continue;
			}
			let component = self.layout.expert(layer, expert);
			let tokens = indices(route.tokens, &self.device);
			let slots = indices(route.slots, &self.device);
			let input = h.clone().select(0, tokens.clone());
			let output =
				expert_output(input, self.tensor(component, W1), self.tensor(component, W2));
			let gated = output.mul(gates.clone().select(0, slots));
			sum = sum.select_assign(0, tokens, gated, IndexingUpdateOp::Add);
		}
		Ok((sum, loads))
	}

	/// The softmax over the two chosen logits of each token: `[2 · tokens, 1]`.
	fn gates(&self, logits: Tensor<2>, chosen: Vec<i32>, count: usize) -> Tensor<2> {
		let experts = self.layout.experts();
		let flat: Tensor<2> = logits.reshape([count * experts, 1]);
		let picked: Tensor<2> = flat.select(0, indices(chosen, &self.device)).reshape([count, 2]);
		activation::softmax(picked, 1).reshape([2 * count, 1])
	}
}

/// `x / √(mean(x²) + ε) · gain`, for each row.
fn normalise(x: Tensor<2>, gain: Tensor<2>) -> Tensor<2> {
	let mean_square = x.clone().mul(x.clone()).mean_dim(1);
	let scale = mean_square.add_scalar(NORM_EPSILON).sqrt().recip();
	x.mul(scale).mul(gain)
}

/// One expert on `x`, `[tokens, width]`: `relu(x · w1ᵀ)² · w2ᵀ`.
pub(crate) fn expert_output(x: Tensor<2>, w1: Tensor<2>, w2: Tensor<2>) -> Tensor<2> {
	let inner = activation::relu(linear(x, w1));
	let squared = inner.clone().mul(inner);
	linear(squared, w2)
}

/// `x · Wᵀ`.
fn linear(x: Tensor<2>, matrix: Tensor<2>) -> Tensor<2> {
	x.matmul(matrix.transpose())
}

/// Values on a device. All computing is in 32 bits, whatever the device would prefer.
pub(crate) fn floats<const D: usize>(
	values: Vec<f32>,
	shape: [usize; D],
	device: &Device,
) -> Tensor<D> {
	Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Indices on a device.
fn indices(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
	let count = values.len();
	Tensor::from_data(TensorData::new(values, [count]), (device, DType::I32))
}

/// The values of a tensor, row by row.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
	tensor.try_into_vec_as::<f32>().map_err(compute)
}

/// What a device says went wrong.
fn compute(error: impl Display) -> Error {
	Error::Compute { message: error.to_string() }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
	use super::*;
	use crate::{demo, weights::Weights};
	use blyan_primitives::{model::Architecture, H256};

	/// Two experts, so that routing is the same whatever the weights are and the loss is smooth.
	fn tiny() -> Architecture {
		Architecture {
			d_model: 8,
			layers: 1,
			heads: 2,
			context: 6,
			experts: 2,
			d_ff: 16,
			..demo::ARCHITECTURE
		}
	}

	/// First weights, with embeddings and head as large as those of a trained model.
	fn trained_size(layout: &Layout) -> Vec<Vec<f32>> {
		let mut weights = Weights::initial(layout.architecture(), H256([5; 32])).unwrap().floats();
		for (component, tensor) in [(EMBED, TOKEN), (EMBED, POSITION), (layout.head(), HEAD)] {
			for weight in &mut weights[component][layout.range(component, tensor)] {
				*weight *= 16.0;
			}
		}
		weights
	}

	const INPUTS: &[u8] = b"abcabdacbdca";
	const TARGETS: &[u8] = b"bcabdacbdcab";

	/// The loss, summed in double precision so that small differences show.
	fn loss(layout: &Layout, weights: &[Vec<f32>]) -> f64 {
		let network = Network::new(layout, weights, &Device::flex(), false);
		let logits = network.forward(INPUTS, 2, 6).unwrap().logits;
		let losses = read(network.losses(logits, TARGETS)).unwrap();
		losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
	}

	#[test]
	fn gradients_are_the_slopes_of_the_loss() {
		let layout = Layout::new(&tiny()).unwrap();
		let mut weights = trained_size(&layout);
		let network = Network::new(&layout, &weights, &Device::flex(), true);
		let logits = network.forward(INPUTS, 2, 6).unwrap().logits;
		let gradients = network.gradients(&network.losses(logits, TARGETS).mean()).unwrap();

		// The loss is measured to about 1e-7, so a slope from two of them to about 3e-5.
		let (nudge, noise) = (1.0 / 256.0, 3e-4);
		let mut steep = 0;
		for (component, tensors) in gradients.iter().enumerate() {
			for (tensor, gradient) in tensors.iter().enumerate() {
				assert_eq!(gradient.is_none(), layout.is_bias(component, tensor));
				let Some(gradient) = gradient else { continue };
				let range = layout.range(component, tensor);
				assert_eq!(gradient.len(), range.len());
				let steepest = (0..gradient.len())
					.max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()))
					.unwrap();
				for place in [steepest, gradient.len() / 2] {
					let (at, slope) = (range.start + place, f64::from(gradient[place]));
					let before = weights[component][at];
					weights[component][at] = before + nudge;
					let above = loss(&layout, &weights);
					weights[component][at] = before - nudge;
					let below = loss(&layout, &weights);
					weights[component][at] = before;
					let measured = (above - below) / (2.0 * f64::from(nudge));
					assert!(
						(measured - slope).abs() <= noise + 0.05 * slope.abs(),
						"component {component}, tensor {tensor}, weight {place}: \
						 measured {measured}, computed {slope}"
					);
					steep += u32::from(slope.abs() > 10.0 * noise);
				}
			}
		}
		assert!(steep >= 10, "only {steep} slopes were steep enough to say anything");
	}

	#[test]
	fn recorded_and_unrecorded_passes_agree() {
		let layout = Layout::new(&tiny()).unwrap();
		let weights = trained_size(&layout);
		let run = |track: bool| {
			let network = Network::new(&layout, &weights, &Device::flex(), track);
			read(network.forward(INPUTS, 2, 6).unwrap().logits).unwrap()
		};
		for (a, b) in run(false).into_iter().zip(run(true)) {
			assert!((a - b).abs() < 1e-4, "{a} {b}");
		}
	}

	/// The bits of all logits and gradients. With `apart`, each tensor has a buffer of its own.
	fn bits(layout: &Layout, weights: &[Vec<f32>], apart: bool) -> (Vec<u32>, Vec<Vec<u32>>) {
		let mut network = Network::new(layout, weights, &Device::flex(), true);
		for (component, tensors) in network.tensors.iter_mut().enumerate().filter(|_| apart) {
			for (place, tensor) in tensors.iter_mut().enumerate() {
				let own = weights[component][layout.range(component, place)].to_vec();
				let own = floats(own, layout.shape(component, place), &network.device);
				*tensor = if layout.is_bias(component, place) { own } else { own.require_grad() };
			}
		}
		let logits = network.forward(INPUTS, 2, 6).unwrap().logits;
		let loss = network.losses(logits.clone(), TARGETS).mean();
		let gradients = network.gradients(&loss).unwrap();
		let of = |floats: Vec<f32>| floats.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
		let of_gradients = gradients.into_iter().flatten().flatten().map(of).collect();
		(of(read(logits).unwrap()), of_gradients)
	}

	#[test]
	fn views_of_one_buffer_give_the_bits_of_tensors_apart() {
		let layout = Layout::new(&Architecture { experts: 4, layers: 2, ..tiny() }).unwrap();
		let weights = trained_size(&layout);
		assert_eq!(bits(&layout, &weights, false), bits(&layout, &weights, true));
	}

	#[test]
	fn later_bytes_change_nothing_before_them() {
		let architecture = Architecture { experts: 4, layers: 2, ..tiny() };
		let layout = Layout::new(&architecture).unwrap();
		let weights = trained_size(&layout);
		let network = Network::new(&layout, &weights, &Device::flex(), false);
		let logits = |bytes: &[u8], windows: usize| {
			read(network.forward(bytes, windows, bytes.len() / windows).unwrap().logits).unwrap()
		};
		let whole = logits(b"abcdef", 1);
		let close = |a: &[f32], b: &[f32]| {
			assert_eq!(a.len(), b.len());
			assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4));
		};
		// Kernels for other shapes sum in another order, so this is not exact.
		close(&logits(b"abcxyz", 1)[..3 * 256], &whole[..3 * 256]);
		close(&logits(b"abcd", 1), &whole[..4 * 256]);
		close(&logits(b"qwertyabcdef", 2)[6 * 256..], &whole);
	}

	#[test]
	fn loads_count_two_experts_for_each_token() {
		let architecture = Architecture { experts: 4, layers: 3, ..tiny() };
		let layout = Layout::new(&architecture).unwrap();
		let weights = trained_size(&layout);
		let network = Network::new(&layout, &weights, &Device::flex(), false);
		let loads = network.forward(INPUTS, 2, 6).unwrap().loads;
		assert_eq!(loads.len(), 3);
		for load in loads {
			assert_eq!(load.len(), 4);
			assert_eq!(load.iter().sum::<u32>(), 24);
		}
	}

	#[test]
	fn selection_bias_decides_where_tokens_go_and_leaves_gates_alone() {
		let architecture = Architecture { experts: 4, ..tiny() };
		let layout = Layout::new(&architecture).unwrap();
		let mut weights = trained_size(&layout);
		let router = layout.router(0);
		let range = layout.range(router, BIAS);
		weights[router][range].copy_from_slice(&[0.0, 100.0, 0.0, 100.0]);
		let network = Network::new(&layout, &weights, &Device::flex(), false);
		let output = network.forward(INPUTS, 2, 6).unwrap();
		assert_eq!(output.loads, [[0, 12, 0, 12]]);

		let shifted = {
			let mut weights = weights.clone();
			let range = layout.range(router, BIAS);
			weights[router][range].copy_from_slice(&[0.0, 200.0, 0.0, 100.0]);
			let network = Network::new(&layout, &weights, &Device::flex(), false);
			read(network.forward(INPUTS, 2, 6).unwrap().logits).unwrap()
		};
		for (a, b) in read(output.logits).unwrap().into_iter().zip(shifted) {
			assert!((a - b).abs() < 1e-4, "{a} {b}");
		}
	}
}
