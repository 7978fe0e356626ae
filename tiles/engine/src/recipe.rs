//! The only door to training: batches of bytes and master integers in, integers and hashes out.
//!
//! # Overview
//!
//! [`Recipe`] is what trainers, verifiers, evaluators and servers use. [`FloatRecipe`] computes in
//! `f32`, so re-running it elsewhere agrees within a tolerance. A recipe that computes in integers
//! can stand beside it and would agree bit for bit; nothing outside would have to change.
//!
//! # A step
//!
//! 1. The loss of the batch, before anything moves, is what the step reports.
//! 2. Each weight with a gradient moves by AdamW: `m ← m + (g − m)/8`, `v ← v + (g² − v)/64`,
//!    `w ← w − η·m/(√v + 10⁻⁸) − η·λ·w`, with `g` the gradient of the mean loss. There is no bias
//!    correction and no clipping. A tensor that had no part in the loss has the gradient zero.
//! 3. The rate `η` is the recipe's times the lower of `⌊(t+1)·1024/warm-up⌋` and
//!    `1024 − ⌊922·t/steps⌋`, in 1/1024: it rises linearly, then falls to a tenth.
//! 4. The selection bias of each expert moves by 1311·2^−16 up if fewer, down if more tokens than
//!    the mean came to it. These steps are part of the delta like all others.

use crate::{
	batch::{self, Batch},
	layout::{Layout, BIAS},
	mapped::Model,
	network::{self, Network},
	optimiser::{self, Rates},
	routing,
	state::State,
	weights::Weights,
	Device, Error, Result,
};
use blyan_primitives::{
	hash,
	model::Architecture,
	recipe::{Numeric, Recipe as Parameters},
	H256,
};
use std::ops::Range;

/// Windows that are measured at once.
const WINDOWS_AT_ONCE: usize = 16;
/// Bytes are the tokens; a larger vocabulary has more that no byte stands for.
const BYTES: usize = 256;
/// What a text without a prompt begins after.
const NO_PROMPT: &[u8] = b"\n";
/// One in the fixed point of the temperature.
const PERMILLE: f64 = 1_000.0;

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
	/// The step, counted from 0.
	pub step: u32,
	/// Mean loss of its batch before the step, in 10^−6 nat a byte.
	pub loss_micronats: u32,
	/// Bytes that were predicted.
	pub tokens: u32,
	/// For each layer and expert how many of them it worked on.
	pub loads: &'a [Vec<u32>],
	/// The state after the step.
	pub state: &'a State,
}

/// A way to train, measure and run models whose master weights are integers.
pub trait Recipe {
	/// The first weights of a model with this seed. They are the same for every recipe.
	fn initialise(&self, architecture: &Architecture, seed: H256) -> Result<Weights>;

	/// Trains from `base` and returns the state after the last of `steps`.
	///
	/// Begins with `state`, which must have done exactly `steps.start` steps, or at the base if
	/// there is none. `batches` gives the windows of each step, `observer` sees each step done, in
	/// order. Stops at the first error, of `batches` too.
	fn run(
		&self,
		base: &Weights,
		steps: Range<u32>,
		batches: &mut dyn FnMut(u32) -> Result<Batch>,
		state: Option<State>,
		observer: &mut dyn FnMut(StepReport<'_>),
	) -> Result<State>;

	/// The hash that commits to weights and optimiser state.
	fn state_root(&self, state: &State) -> H256;

	/// How far each weight of each component has moved from `base`, in units of 2^−24, rounded half
	/// to even.
	fn delta(&self, state: &State, base: &Weights) -> Result<Vec<Vec<i32>>>;

	/// The mean loss over all bytes of all windows, in 10^−6 nat a byte.
	fn loss<'a>(&self, model: impl Into<Model<'a>>, batches: &[Batch]) -> Result<u32>;

	/// The next `count` bytes after `prompt`.
	///
	/// At a temperature of 0 the most likely byte is taken each time; at 1000 bytes are drawn as the
	/// model says, and above that more evenly. The same arguments give the same bytes.
	fn generate<'a>(
		&self,
		model: impl Into<Model<'a>>,
		prompt: &[u8],
		count: usize,
		temperature_permille: u32,
		seed: H256,
	) -> Result<Vec<u8>>;
}

/// The recipe that computes in 32-bit floats.
#[derive(Clone, Debug)]
pub struct FloatRecipe {
	parameters: Parameters,
	device: Device,
}

impl FloatRecipe {
	/// Trains as `parameters` say, on `device`.
	///
	/// Measuring and generating do not depend on the parameters, so [`crate::demo::RECIPE`] does for
	/// those who only do that.
	pub fn new(parameters: Parameters, device: Device) -> Result<Self> {
		parameters.validate()?;
		// The match is what a new numeric format has to pass by.
		match parameters.numeric {
			Numeric::F32 => Ok(Self { parameters, device }),
		}
	}

	/// How it trains.
	pub fn parameters(&self) -> &Parameters {
		&self.parameters
	}

	/// Where it computes.
	pub fn device(&self) -> &Device {
		&self.device
	}

	/// Does one step: returns the loss before it, in 10^−6 nat, and the loads of the experts.
	fn step(
		&self,
		layout: &Layout,
		state: &mut State,
		batch: &[Vec<u8>],
	) -> Result<(u32, Vec<Vec<u32>>)> {
		let step = state.step;
		let (inputs, targets) = batch::split(batch);
		let network = Network::new(layout, &state.weights, self.device.tensors(), true);
		let output = network.forward(&inputs, batch.len(), layout.context())?;
		let loss = network.losses(output.logits, &targets).mean();
		let value: f64 = network::read(loss.clone())?.into_iter().map(f64::from).sum();
		let loss_micronats = micronats(value).ok_or(Error::Diverged { step })?;
		let gradients = network.gradients(&loss)?;

		let rates = Rates::at(&self.parameters, step);
		for (component, tensors) in gradients.into_iter().enumerate() {
			for (tensor, gradient) in tensors.into_iter().enumerate() {
				if layout.is_bias(component, tensor) {
					continue;
				}
				let range = layout.range(component, tensor);
				optimiser::step(
					&mut state.weights[component][range.clone()],
					&mut state.first[component][range.clone()],
					&mut state.second[component][range],
					gradient.as_deref(),
					rates,
				);
			}
		}
		for (layer, loads) in output.loads.iter().enumerate() {
			let component = layout.router(layer);
			let range = layout.range(component, BIAS);
			routing::rebalance(&mut state.weights[component][range], loads);
		}
		if !state.is_finite() {
			return Err(Error::Diverged { step });
		}
		state.step = step + 1;
		Ok((loss_micronats, output.loads))
	}

	fn check_batch(&self, layout: &Layout, step: u32, batch: &[Vec<u8>]) -> Result<()> {
		let (expected, found) = (usize::from(self.parameters.batch), batch.len());
		if expected != found {
			return Err(Error::Batch { step, expected, found });
		}
		batch::check(layout.architecture(), batch)
	}
}

impl Recipe for FloatRecipe {
	fn initialise(&self, architecture: &Architecture, seed: H256) -> Result<Weights> {
		Weights::initial(architecture, seed)
	}

	fn run(
		&self,
		base: &Weights,
		steps: Range<u32>,
		batches: &mut dyn FnMut(u32) -> Result<Batch>,
		state: Option<State>,
		observer: &mut dyn FnMut(StepReport<'_>),
	) -> Result<State> {
		let layout = Layout::new(base.architecture())?;
		let mut state = state.unwrap_or_else(|| State::start(base));
		state.check_model(base.architecture(), "the base")?;
		let total = self.parameters.steps;
		if steps.start != state.step || steps.end < steps.start || steps.end > total {
			let Range { start, end } = steps;
			return Err(Error::Steps { start, end, state: state.step, total });
		}
		for step in steps {
			let batch = batches(step)?;
			self.check_batch(&layout, step, &batch)?;
			let (loss_micronats, loads) = self.step(&layout, &mut state, &batch)?;
			observer(StepReport {
				step,
				loss_micronats,
				// `check_batch` has bounded the product.
				tokens: (batch.len() * layout.context()) as u32,
				loads: &loads,
				state: &state,
			});
		}
		Ok(state)
	}

	fn state_root(&self, state: &State) -> H256 {
		state.root()
	}

	fn delta(&self, state: &State, base: &Weights) -> Result<Vec<Vec<i32>>> {
		state.increments(base)
	}

	fn loss<'a>(&self, model: impl Into<Model<'a>>, batches: &[Batch]) -> Result<u32> {
		let model: Model<'_> = model.into();
		let layout = Layout::new(model.architecture())?;
		for batch in batches {
			batch::check(model.architecture(), batch)?;
		}
		let network = model.network(&layout, &self.device)?;
		let (mut sum, mut count) = (0.0, 0usize);
		// Always in the same groups, so that the same windows give the same loss however they were
		// batched; and in double precision, so that many of them do not drown a small difference.
		let windows: Vec<Vec<u8>> = batches.iter().flatten().cloned().collect();
		for windows in windows.chunks(WINDOWS_AT_ONCE) {
			let (inputs, targets) = batch::split(windows);
			let output = network.forward(&inputs, windows.len(), layout.context())?;
			let losses = network::read(network.losses(output.logits, &targets))?;
			sum += losses.iter().map(|loss| f64::from(*loss)).sum::<f64>();
			count += losses.len();
		}
		if count == 0 {
			return Err(Error::NoWindows);
		}
		micronats(sum / count as f64).ok_or(Error::LossNotFinite)
	}

	fn generate<'a>(
		&self,
		model: impl Into<Model<'a>>,
		prompt: &[u8],
		count: usize,
		temperature_permille: u32,
		seed: H256,
	) -> Result<Vec<u8>> {
		let model: Model<'_> = model.into();
		let layout = Layout::new(model.architecture())?;
		let network = model.network(&layout, &self.device)?;
		let mut text = if prompt.is_empty() { NO_PROMPT.to_vec() } else { prompt.to_vec() };
		let start = text.len();
		for place in 0..count {
			let length = text.len().min(layout.context());
			let seen = &text[text.len() - length..];
			let logits = network.forward(seen, 1, length)?.logits;
			// Only what follows the last byte is asked for.
			let scores = network::read(logits.narrow(0, length - 1, 1))?;
			let scores = &scores[..BYTES];
			if scores.iter().any(|score| !score.is_finite()) {
				return Err(Error::LossNotFinite);
			}
			text.push(pick(scores, temperature_permille, chance(&seed, place)));
		}
		Ok(text.split_off(start))
	}
}

/// A mean loss in 10^−6 nat; none if it is no finite number. What is too large is the largest.
fn micronats(loss: f64) -> Option<u32> {
	// The cast clamps.
	loss.is_finite().then(|| (loss * 1e6).round() as u32)
}

/// A number from 0 to 1, below 1: the same for the same seed and place.
fn chance(seed: &H256, place: usize) -> f64 {
	let mut hasher = hash::Hasher::new();
	hasher.update(seed.as_bytes()).update(&(place as u64).to_le_bytes());
	let digest = hasher.finalize();
	let drawn = digest.as_bytes().iter().take(8).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
	// 53 bits, as many as an f64 holds.
	(drawn >> 11) as f64 / (1u64 << 53) as f64
}

/// The byte that `chance` falls on, with shares as the softmax of `scores` over the temperature; at
/// temperature 0 the one with the largest score. Ties go to the lower byte.
fn pick(scores: &[f32], temperature_permille: u32, chance: f64) -> u8 {
	let mut best = 0;
	for (byte, score) in scores.iter().enumerate() {
		if *score > scores[best] {
			best = byte;
		}
	}
	if temperature_permille == 0 {
		return best as u8;
	}
	let temperature = f64::from(temperature_permille) / PERMILLE;
	let largest = f64::from(scores[best]);
	let shares: Vec<f64> =
		scores.iter().map(|score| ((f64::from(*score) - largest) / temperature).exp()).collect();
	let mut rest = chance * shares.iter().sum::<f64>();
	for (byte, share) in shares.iter().enumerate() {
		rest -= share;
		if rest < 0.0 {
			return byte as u8;
		}
	}
	// Rounding can leave a last sliver, which belongs to nobody.
	best as u8
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn losses_are_rounded_to_micronats() {
		assert_eq!(micronats(5.545_177_4), Some(5_545_177));
		assert_eq!(micronats(0.0), Some(0));
		assert_eq!(micronats(1e12), Some(u32::MAX));
		assert_eq!(micronats(f64::NAN), None);
		assert_eq!(micronats(f64::INFINITY), None);
	}

	#[test]
	fn chances_are_spread_and_repeatable() {
		let seed = H256([4; 32]);
		let chances: Vec<f64> = (0..1_000).map(|place| chance(&seed, place)).collect();
		assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
		let mean = chances.iter().sum::<f64>() / 1_000.0;
		assert!((0.45..0.55).contains(&mean), "{mean}");
		assert_eq!(chance(&seed, 7), chances[7]);
		assert_ne!(chance(&H256([5; 32]), 7), chances[7]);
	}

	#[test]
	fn temperature_decides_between_the_likeliest_and_all() {
		let mut scores = vec![-1e4f32; 256];
		scores[10] = 2.0;
		scores[20] = 2.0;
		scores[30] = 1.0;
		for chance in [0.0, 0.3, 0.999_999] {
			assert_eq!(pick(&scores, 0, chance), 10);
		}
		// At temperature 1 the shares are e : e : 1.
		assert_eq!(pick(&scores, 1_000, 0.0), 10);
		assert_eq!(pick(&scores, 1_000, 0.41), 10);
		assert_eq!(pick(&scores, 1_000, 0.44), 20);
		assert_eq!(pick(&scores, 1_000, 0.83), 20);
		assert_eq!(pick(&scores, 1_000, 0.86), 30);
		// Cold, only the likeliest are left; hot, the third has nearly a third.
		assert_eq!(pick(&scores, 10, 0.999), 20);
		assert_eq!(pick(&scores, 100_000, 0.68), 30);
	}

	#[cfg(feature = "flex")]
	#[test]
	fn loss_that_is_no_number_ends_training() {
		use crate::demo;

		let architecture = Architecture {
			d_model: 8,
			layers: 1,
			heads: 2,
			context: 8,
			d_ff: 16,
			..demo::ARCHITECTURE
		};
		let parameters = Parameters { batch: 2, ..demo::RECIPE };
		let recipe = FloatRecipe::new(parameters, Device::named("cpu").unwrap()).unwrap();
		let base = recipe.initialise(&architecture, H256([1; 32])).unwrap();
		let mut state = State::start(&base);
		state.weights[0].fill(f32::NAN);
		let batches = &mut |_: u32| Ok(vec![vec![b'a'; 9]; 2]);
		let ended = recipe.run(&base, 0..1, batches, Some(state), &mut |_| {});
		assert!(matches!(ended, Err(Error::Diverged { step: 0 })));
	}

	#[test]
	fn recipe_that_breaks_a_rule_is_refused() {
		let Some(name) = Device::available().into_iter().next() else { return };
		let broken = Parameters { steps: 0, ..crate::demo::RECIPE };
		let refused = FloatRecipe::new(broken, Device::named(name).unwrap());
		assert!(matches!(refused, Err(Error::Recipe(_))));
	}
}
