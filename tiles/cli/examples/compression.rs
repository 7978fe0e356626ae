//! What compressing updates costs: the held-out loss round by round, on the same bytes for each way
//! to send what was learned.
//!
//! Two trainers train the demonstration's model on a text, in rounds of the demonstration's recipe, or
//! of another number of steps, and their updates are merged. What a way keeps of what it leaves out of
//! an update is added to the trainer's next one. *As rounds do* is the workers' own module, which carries
//! no more of that than verifiers take. The last sixteenth of the text is held out. Everything
//! is done for several seeds, which decide the first weights and who sees which bytes.
//!
//! What others send is there to compare with:
//!
//! - *f32*: nothing is in fixed point. Each trainer begins a round at the merged floats. The mean
//!   of the differences is taken and added in f32. Only the copy whose loss is measured is rounded
//!   to units of 2^-24: by at most half a unit, and not at all from 0.5 on, as floats are no finer.
//!   *Uncompressed* without f32 is the mean of increments, rounded to a unit. Each of these is a
//!   difference of floats that was rounded to a unit, which is what all other methods send as well.
//! - *INT8 by rows*: for each row of each tensor values of 8 bits and a scale in f32, at which the
//!   largest is 127. Each is rounded to the nearest, and what is left out is forgotten.
//! - *Largest 64, two magnitudes*: of 4,096 weights in the order of the payload the 64 that want to
//!   move most. Each has 12 bits of place and 2 bits: its sign, and which of the chunk's two
//!   magnitudes in f32, found by 2-means. Of what is left out 95 parts in 100 are added to the next
//!   update.
//!
//! What arrives of the last two is rounded to units of 2^-24, in which they are merged.
//!
//! Prints what is left of an update, then the losses; writes a plot of the losses. What was measured
//! is kept beside the plot in a file `.csv`, and is not measured again for the same text, steps and
//! device: begun again, it goes on with the first seed of a method that is not in it.
//!
//! ```text
//! cargo run --example compression -- [--steps STEPS] [--last PERMILLE] [--device DEVICE] \
//!     TEXT ROUNDS SVG [METHOD...]
//! ```
//!
//! `--last` lets the rounds' learning rate fall, by the same amount from round to round, to so many
//! thousandths of the first round's: each round of a real model names a recipe of its own.
//!
//! Methods are numbers from 1, in the order of `METHODS`; without any, the first five. A round has as
//! many steps as the demonstration's unless told otherwise, a quarter of which are its warm-up.

use blyan_cli::worker::residual::compress;
use blyan_engine::{
	batch,
	delta::{self as deltas, ComponentEncoder, Residual},
	demo, Batch, Device, FloatRecipe, Recipe as _, State, Weights,
};
use blyan_primitives::{
	delta::{self, CHUNK},
	hash::blake2b_256,
	model::Component,
	recipe::Recipe,
	sampling,
	tensor::FRACTION_BITS,
	H256,
};
use std::{
	cmp::Reverse,
	collections::{BTreeMap, VecDeque},
	env,
	error::Error,
	fmt::{self, Write as _},
	fs::{self, File},
	io::Write as _,
	path::Path,
};

const TRAINERS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const SEEDS: u8 = 3;
/// Decides which held-out windows are measured, the same ones each time.
const EVALUATION_SEED: H256 = H256([9; 32]);
/// One part of the text in so many is held out.
const HELD_OUT_PARTS: usize = 16;
/// How many of 4,096 increments `Codec::Largest` sends: 1.56 %.
const LARGEST: usize = 64;
/// Bits that tell which weight of a chunk is meant.
const INDEX_BITS: usize = 12;
/// Bits that tell a sign and one of two magnitudes.
const VALUE_BITS: usize = 2;
/// How often the two magnitudes of a chunk are made better.
const LLOYD_STEPS: usize = 8;
/// The largest value of 8 bits on either side of zero.
const INT8_LARGEST: f32 = 127.0;
const BYTES_PER_WEIGHT: usize = 4;
/// Of a scale or a magnitude in f32.
const FLOAT_BYTES: usize = 4;
/// A state has as many floats for each weight: itself and two moments.
const STATE_PARTS: usize = 3;
const PERMILLE: u32 = 1_000;
/// The most points of a line in the plot, about one for each pixel.
const MOST_POINTS: usize = 512;
const USAGE: &str = "say what to do: \
	compression [--steps STEPS] [--last PERMILLE] [--device DEVICE] TEXT ROUNDS SVG [METHOD...]";

static METHODS: [Method; 12] = [
	method("uncompressed", Way::Components(Codec::Uncompressed, 0)),
	method("4,098 bytes (8 bits)", Way::Components(Codec::Chunks(4_098), 1_000)),
	method("largest 64, two magnitudes", Way::Components(Codec::Largest, 950)),
	method("112 bytes", Way::Components(Codec::Chunks(112), 1_000)),
	method("1,040 bytes", Way::Components(Codec::Chunks(1_040), 1_000)),
	method("112 bytes, residual 0.95", Way::Components(Codec::Chunks(112), 950)),
	method("112 bytes, residual 0.5", Way::Components(Codec::Chunks(112), 500)),
	method("112 bytes, no residual", Way::Components(Codec::Chunks(112), 0)),
	method("112 bytes, as rounds do", Way::Rounds(112)),
	method("1,040 bytes, as rounds do", Way::Rounds(1_040)),
	method("uncompressed, f32", Way::Floats),
	method("INT8 by rows", Way::Components(Codec::Int8, 0)),
];
const DEFAULT_METHODS: usize = 5;

/// A way to send what was learned, and its name.
struct Method {
	name: &'static str,
	way: Way,
}

const fn method(name: &'static str, way: Way) -> Method {
	Method { name, way }
}

/// A way to send what was learned.
#[derive(Clone, Copy)]
enum Way {
	/// Each component like this. So many thousandths of what is left out are added to the next update.
	Components(Codec, i64),
	/// What trainers send in rounds of so many bytes a chunk, and keep.
	Rounds(u16),
	/// All of it, as floats that are never put into fixed point.
	Floats,
}

/// What becomes of a component's increments on their way.
#[derive(Clone, Copy)]
enum Codec {
	Uncompressed,
	/// In each chunk the 64 largest, each by its sign and one of the chunk's two magnitudes.
	Largest,
	/// In 8 bits, with a scale for each row of a tensor.
	Int8,
	/// The reference encoder with so many bytes a chunk.
	Chunks(u16),
}

/// What arrives of an update.
struct Sent {
	/// The increments of each component.
	increments: Vec<Vec<i64>>,
	/// How many bytes it took.
	bytes: usize,
	/// In how many components a part of what was kept waits for another round.
	in_part: usize,
}

/// What a trainer keeps from round to round.
struct Kept {
	/// Of [`Way::Rounds`].
	residual: Residual,
	/// Of [`Way::Components`].
	rest: Vec<Vec<i64>>,
}

impl Kept {
	fn nothing() -> blyan_engine::Result<Self> {
		let residual = Residual::zero(&demo::ARCHITECTURE)?;
		let rest = residual.components().to_vec();
		Ok(Self { residual, rest })
	}
}

/// Sends a component's increments: returns what arrives and how many bytes that takes, and leaves what
/// does not arrive.
fn send(codec: Codec, component: &Component, wanted: &mut Vec<i64>) -> (Vec<i64>, usize) {
	let whole = wanted.clone();
	match codec {
		Codec::Uncompressed => {
			wanted.fill(0);
			let bytes = BYTES_PER_WEIGHT * whole.len();
			(whole, bytes)
		}
		Codec::Largest => {
			let (increments, bytes) = send_largest(&whole);
			*wanted = difference(&whole, &increments);
			(increments, bytes)
		}
		Codec::Int8 => {
			let (increments, bytes) = send_int8(component, &whole);
			*wanted = difference(&whole, &increments);
			(increments, bytes)
		}
		Codec::Chunks(budget) => {
			let encoded = ComponentEncoder::new().in_chunks(wanted, budget);
			let bytes = encoded.leaves.iter().map(Vec::len).sum();
			(difference(&whole, wanted), bytes)
		}
	}
}

fn difference(all: &[i64], part: &[i64]) -> Vec<i64> {
	all.iter().zip(part).map(|(all, part)| all - part).collect()
}

/// Of each chunk the largest, at most 64, each by one of two magnitudes.
fn send_largest(wanted: &[i64]) -> (Vec<i64>, usize) {
	let mut sent = vec![0i64; wanted.len()];
	let mut bytes = 0;
	for (wanted, sent) in wanted.chunks(CHUNK).zip(sent.chunks_mut(CHUNK)) {
		let mut order: Vec<usize> = (0..wanted.len()).collect();
		order.sort_by_key(|at| Reverse(wanted[*at].unsigned_abs()));
		order.truncate(LARGEST);
		bytes += 2 * FLOAT_BYTES + (order.len() * (INDEX_BITS + VALUE_BITS)).div_ceil(8);
		// No two bits say zero.
		order.retain(|at| wanted[*at] != 0);
		let sizes: Vec<f32> = order.iter().map(|at| wanted[*at].unsigned_abs() as f32).collect();
		let magnitudes = two_magnitudes(&sizes);
		for (at, size) in order.iter().zip(sizes) {
			let magnitude = magnitudes[nearest(magnitudes, size)];
			sent[*at] = wanted[*at].signum() * magnitude.round() as i64;
		}
	}
	(sent, bytes)
}

/// The means of two groups of sizes, which come from the largest on: 2-means, begun at the least
/// and the largest. So neither group is ever empty, unless all sizes are equal.
fn two_magnitudes(sizes: &[f32]) -> [f32; 2] {
	let (Some(largest), Some(least)) = (sizes.first(), sizes.last()) else { return [0.0; 2] };
	let mut means = [*least, *largest];
	for _ in 0..LLOYD_STEPS {
		let (mut sums, mut counts) = ([0f64; 2], [0u32; 2]);
		for size in sizes {
			let group = nearest(means, *size);
			sums[group] += f64::from(*size);
			counts[group] += 1;
		}
		for group in 0..2 {
			if counts[group] > 0 {
				means[group] = (sums[group] / f64::from(counts[group])) as f32;
			}
		}
	}
	means
}

/// Which of two magnitudes, the smaller one first, is nearer to a size.
fn nearest([small, large]: [f32; 2], size: f32) -> usize {
	usize::from((large - size).abs() < (size - small).abs())
}

/// Each row of each tensor at a scale of its own. Padding never moves and is not sent.
fn send_int8(component: &Component, wanted: &[i64]) -> (Vec<i64>, usize) {
	let mut sent = vec![0i64; wanted.len()];
	let mut bytes = 0;
	for tensor in &component.tensors {
		let first = tensor.offset_bytes as usize / BYTES_PER_WEIGHT;
		let [rows, cols] = tensor.shape.map(|extent| extent as usize);
		let range = first..first + rows * cols;
		let pairs = wanted[range.clone()].chunks(cols).zip(sent[range].chunks_mut(cols));
		for (wanted, sent) in pairs {
			let scale = f64::from(int8_scale(wanted));
			let largest = f64::from(INT8_LARGEST);
			for (wanted, sent) in wanted.iter().zip(sent) {
				let value = (*wanted as f64 / scale).round().clamp(-largest, largest);
				*sent = (value * scale).round() as i64;
			}
			bytes += FLOAT_BYTES + cols;
		}
	}
	(sent, bytes)
}

/// The scale at which the largest of a row is 127. Where nothing moves any would do.
fn int8_scale(row: &[i64]) -> f32 {
	let largest = row.iter().map(|wanted| wanted.unsigned_abs()).max().unwrap_or(0);
	largest.max(1) as f32 / INT8_LARGEST
}

/// A text, and how it is trained on.
struct Bench {
	text: Vec<u8>,
	held_out: Batch,
	/// The first round's.
	recipe: FloatRecipe,
	/// How much of its learning rate the last round has.
	last_permille: u32,
}

impl Bench {
	fn new(
		mut text: Vec<u8>,
		steps: u32,
		last_permille: u32,
		device: &str,
	) -> Result<Self, Box<dyn Error>> {
		let quarter = (steps / 4).max(1);
		let recipe =
			Recipe { steps, checkpoint_every: quarter, warmup_steps: quarter, ..demo::RECIPE };
		let recipe = FloatRecipe::new(recipe, Device::named(device)?)?;
		let held_out = text.split_off(text.len() - text.len() / HELD_OUT_PARTS);
		let count = u32::from(demo::RECIPE.evaluation_records);
		let held_out = windows(&held_out, &EVALUATION_SEED, &sampling::EVALUATOR, 0, count)?;
		Ok(Self { text, held_out, recipe, last_permille })
	}

	/// How round `round` of `rounds` trains.
	fn recipe_of(&self, round: u32, rounds: u32) -> blyan_engine::Result<FloatRecipe> {
		let first = *self.recipe.parameters();
		let falls = u64::from(first.learning_rate_nano) * u64::from(PERMILLE - self.last_permille)
			/ u64::from(PERMILLE);
		let fallen = falls * u64::from(round) / u64::from(rounds.saturating_sub(1).max(1));
		let learning_rate_nano = first.learning_rate_nano - fallen as u32;
		FloatRecipe::new(Recipe { learning_rate_nano, ..first }, self.recipe.device().clone())
	}

	fn loss(&self, weights: &Weights) -> blyan_engine::Result<f64> {
		let loss = self.recipe.loss(weights, std::slice::from_ref(&self.held_out))?;
		Ok(f64::from(loss) / 1e6)
	}

	/// Where a trainer is after a round that it begins at the base, or at a state that is given.
	fn trained(
		&self,
		recipe: &FloatRecipe,
		base: &Weights,
		start: Option<State>,
		seed: &H256,
		trainer: &[u8; 32],
		round: u32,
	) -> blyan_engine::Result<State> {
		let steps = recipe.parameters().steps;
		let count = u32::from(demo::RECIPE.batch);
		let batches =
			&mut |step: u32| windows(&self.text, seed, trainer, round * steps + step, count);
		recipe.run(base, 0..steps, batches, start, &mut |_| {})
	}

	/// The held-out losses before the first round and after each, in nats a byte.
	fn losses(&self, method: &Method, seed: u8, rounds: u32) -> Result<Vec<f64>, Box<dyn Error>> {
		let seed = H256([seed; 32]);
		let mut weights = self.recipe.initialise(&demo::ARCHITECTURE, seed)?;
		let mut floats = floats_of(&State::start(&weights))?;
		let mut kept = [Kept::nothing()?, Kept::nothing()?];
		let mut losses = vec![self.loss(&weights)?];
		for round in 0..rounds {
			let recipe = self.recipe_of(round, rounds)?;
			let mut in_part = 0;
			weights = match method.way {
				Way::Floats => {
					floats = self.float_round(&recipe, &weights, &floats, &seed, round)?;
					rounded(&floats)?
				}
				Way::Components(..) | Way::Rounds(_) => {
					let mut updates = Vec::new();
					for (trainer, kept) in TRAINERS.iter().zip(&mut kept) {
						let state = self.trained(&recipe, &weights, None, &seed, trainer, round)?;
						let sent = self.update(method, &recipe.delta(&state, &weights)?, kept)?;
						updates.push(sent.increments);
						in_part += sent.in_part;
					}
					weights.moved(&merged(&updates))?
				}
			};
			let loss = self.loss(&weights)?;
			losses.push(loss);
			eprintln!(
				"{}, seed {}, round {}: {loss:.4}, in {in_part} components a part waits",
				method.name,
				seed.0[0],
				round + 1
			);
		}
		Ok(losses)
	}

	/// The merged floats after a round that begins at `floats`. The base tells the model alone.
	fn float_round(
		&self,
		recipe: &FloatRecipe,
		base: &Weights,
		floats: &[Vec<f32>],
		seed: &H256,
		round: u32,
	) -> blyan_engine::Result<Vec<Vec<f32>>> {
		let mut trained = Vec::new();
		for trainer in &TRAINERS {
			let start = Some(start_at(floats)?);
			let state = self.trained(recipe, base, start, seed, trainer, round)?;
			trained.push(floats_of(&state)?);
		}
		Ok(merged_floats(floats, &trained))
	}

	/// Sends an update, with what the trainer has kept and may send.
	fn update(
		&self,
		method: &Method,
		increments: &[Vec<i32>],
		kept: &mut Kept,
	) -> Result<Sent, Box<dyn Error>> {
		match method.way {
			Way::Components(codec, permille) => {
				let (mut sent, mut bytes) = (Vec::new(), 0);
				let components = demo::ARCHITECTURE.components();
				let parts = components.iter().zip(increments).zip(&mut kept.rest);
				for ((component, increments), rest) in parts {
					for (rest, increment) in rest.iter_mut().zip(increments) {
						*rest = i64::from(*increment) + *rest * permille / i64::from(PERMILLE);
					}
					let (arrives, takes) = send(codec, component, rest);
					sent.push(arrives);
					bytes += takes;
				}
				Ok(Sent { increments: sent, bytes, in_part: 0 })
			}
			Way::Rounds(budget) => {
				let recipe = Recipe { delta_bytes_per_chunk: budget, ..*self.recipe.parameters() };
				let made = compress(&demo::ARCHITECTURE, &recipe, increments, &kept.residual)?;
				kept.residual = made.proposed;
				let leaves = made.deltas.iter().flat_map(|delta| &delta.leaves);
				let bytes = leaves.map(Vec::len).sum();
				let decoded = deltas::decoded(&demo::ARCHITECTURE, &made.deltas)?;
				Ok(Sent { increments: widened(&decoded), bytes, in_part: made.in_part })
			}
			Way::Floats => {
				let bytes = increments.iter().map(|component| FLOAT_BYTES * component.len()).sum();
				Ok(Sent { increments: widened(increments), bytes, in_part: 0 })
			}
		}
	}

	/// Prints how much of one trainer's first update arrives, without a residual.
	fn print_shares(&self, methods: &[Method]) -> Result<(), Box<dyn Error>> {
		let seed = H256([1; 32]);
		let base = self.recipe.initialise(&demo::ARCHITECTURE, seed)?;
		let state = self.trained(&self.recipe, &base, None, &seed, &TRAINERS[0], 0)?;
		let increments = self.recipe.delta(&state, &base)?;
		println!("| method | bytes for 4,096 weights | squared increments that arrive |");
		println!("|---|---|---|");
		for method in methods {
			let sent = self.update(method, &increments, &mut Kept::nothing()?)?;
			let (mut weights, mut whole, mut left) = (0, 0f64, 0f64);
			let pairs = widened(&increments).into_iter().zip(sent.increments);
			for (wanted, arrives) in
				pairs.flat_map(|(wanted, arrives)| wanted.into_iter().zip(arrives))
			{
				weights += 1;
				whole += (wanted as f64).powi(2);
				left += ((wanted - arrives) as f64).powi(2);
			}
			let bytes = sent.bytes as f64 * CHUNK as f64 / f64::from(weights);
			let arrives = 100.0 * (1.0 - left / whole);
			println!("| {} | {bytes:.0} | {arrives:.1} % |", method.name);
		}
		println!();
		Ok(())
	}
}

fn widened(increments: &[Vec<i32>]) -> Vec<Vec<i64>> {
	let widened = |component: &Vec<i32>| component.iter().map(|inc| i64::from(*inc)).collect();
	increments.iter().map(widened).collect()
}

/// The windows that somebody is told to use in a step.
fn windows(
	text: &[u8],
	seed: &H256,
	who: &[u8; 32],
	step: u32,
	count: u32,
) -> blyan_engine::Result<Batch> {
	let context = u32::from(demo::ARCHITECTURE.context);
	(0..count)
		.map(|i| {
			let start = sampling::window(seed, who, step, i, text.len() as u32, context);
			batch::window(&demo::ARCHITECTURE, text, start)
		})
		.collect()
}

/// The mean of updates of as many samples.
fn merged(updates: &[Vec<Vec<i64>>]) -> Vec<Vec<i32>> {
	let clamped = |increment: i64| increment.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
	let of_component = |component: usize| -> Vec<i32> {
		let updates: Vec<(u64, Vec<i64>)> =
			updates.iter().map(|update| (1, update[component].clone())).collect();
		delta::merge(&updates).into_iter().map(clamped).collect()
	};
	(0..updates[0].len()).map(of_component).collect()
}

/// The weights of a state, for each component: the first of its parts.
fn floats_of(state: &State) -> blyan_engine::Result<Vec<Vec<f32>>> {
	(0..state.component_count())
		.map(|component| -> blyan_engine::Result<Vec<f32>> {
			let bytes = state.component(component)?;
			let weights = bytes[..bytes.len() / STATE_PARTS].chunks_exact(FLOAT_BYTES);
			Ok(weights.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
		})
		.collect()
}

/// The state before the first step from these weights: its moments are zero.
fn start_at(floats: &[Vec<f32>]) -> blyan_engine::Result<State> {
	let bytes = |weights: &Vec<f32>| -> Vec<u8> {
		let mut bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
		bytes.resize(STATE_PARTS * bytes.len(), 0);
		bytes
	};
	let components: Vec<Vec<u8>> = floats.iter().map(bytes).collect();
	State::from_components(&demo::ARCHITECTURE, 0, &components)
}

/// Weights moved by the mean of how far trainers came from them, all in f32.
fn merged_floats(floats: &[Vec<f32>], trained: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
	let of_component = |(component, weights): (usize, &Vec<f32>)| -> Vec<f32> {
		let moved = |(at, weight): (usize, &f32)| {
			let sum: f32 = trained.iter().map(|trained| trained[component][at] - weight).sum();
			weight + sum / trained.len() as f32
		};
		weights.iter().enumerate().map(moved).collect()
	};
	floats.iter().enumerate().map(of_component).collect()
}

/// Floats in units of 2^-24, to measure their loss.
fn rounded(floats: &[Vec<f32>]) -> blyan_engine::Result<Weights> {
	let one = (1u64 << FRACTION_BITS) as f64;
	// The multiple is exact in f64; the cast clamps.
	let unit = |weight: &f32| (f64::from(*weight) * one).round_ties_even() as i32;
	let components = floats.iter().map(|weights| weights.iter().map(unit).collect()).collect();
	Weights::new(&demo::ARCHITECTURE, components)
}

/// What was measured, also before: lines `seed,round,loss,method` behind one that tells of what.
struct Log {
	file: File,
	losses: BTreeMap<(String, u8, usize), f64>,
}

impl Log {
	/// Opens or begins the file. Fails if it is about something else, or is no such file.
	fn open(path: &Path, head: &str) -> Result<Self, Box<dyn Error>> {
		let mut file = File::options().read(true).append(true).create(true).open(path)?;
		let found = fs::read_to_string(path)?;
		let mut lines = found.lines();
		match lines.next() {
			None => writeln!(file, "{head}")?,
			Some(first) if first == head => {}
			Some(_) => {
				return Err(format!(
					"{} is of another text, of other rounds, or of another device: name another \
					 plot",
					path.display()
				)
				.into())
			}
		}
		let losses: Option<_> = lines.map(Self::parse).collect();
		let losses =
			losses.ok_or_else(|| format!("{} is no list of losses: delete it", path.display()))?;
		Ok(Self { file, losses })
	}

	fn parse(line: &str) -> Option<((String, u8, usize), f64)> {
		let mut fields = line.splitn(4, ',');
		let seed = fields.next()?.parse().ok()?;
		let round = fields.next()?.parse().ok()?;
		let loss = fields.next()?.parse().ok()?;
		Some(((fields.next()?.to_owned(), seed, round), loss))
	}

	/// The losses of a method and a seed, if so many rounds of it were measured.
	fn find(&self, method: &Method, seed: u8, rounds: usize) -> Option<Vec<f64>> {
		let at = |round: usize| self.losses.get(&(method.name.to_owned(), seed, round)).copied();
		(0..=rounds).map(at).collect()
	}

	fn add(&mut self, method: &Method, seed: u8, losses: &[f64]) -> Result<(), Box<dyn Error>> {
		for (round, loss) in losses.iter().enumerate() {
			writeln!(self.file, "{seed},{round},{loss:.6},{}", method.name)?;
		}
		Ok(())
	}
}

/// The losses of a method: for each seed those before the first round and after each.
struct Curve {
	name: &'static str,
	seeds: Vec<Vec<f64>>,
}

impl Curve {
	fn at(&self, round: usize) -> impl Iterator<Item = f64> + '_ {
		self.seeds.iter().map(move |losses| losses[round])
	}

	fn mean(&self, round: usize) -> f64 {
		self.at(round).sum::<f64>() / self.seeds.len() as f64
	}

	/// Standard deviation over the seeds.
	fn deviation(&self, round: usize) -> f64 {
		let mean = self.mean(round);
		let squares: f64 = self.at(round).map(|loss| (loss - mean).powi(2)).sum();
		(squares / (self.seeds.len() as f64 - 1.0).max(1.0)).sqrt()
	}
}

fn print_losses(curves: &[Curve], rounds: usize) {
	let names: Vec<&str> = curves.iter().map(|curve| curve.name).collect();
	println!("| round | {} |", names.join(" | "));
	println!("|---{}|", "|---".repeat(names.len()));
	for round in 0..=rounds {
		let cell =
			|curve: &Curve| format!("{:.3} ± {:.3}", curve.mean(round), curve.deviation(round));
		let cells: Vec<String> = curves.iter().map(cell).collect();
		println!("| {round} | {} |", cells.join(" | "));
	}
}

/// A line for each method from the first round on: the mean over the seeds, and a bar from the lowest
/// to the highest. Of many rounds every second is drawn, or every third, and so on.
fn plot(curves: &[Curve], rounds: usize) -> Result<String, fmt::Error> {
	const COLOURS: [&str; 12] = [
		"#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c564b",
		"#7f7f7f", "#9467bd", "#bcbd22", "#17becf",
	];
	let (width, height) = (900.0, 480.0);
	let (left, right, top, bottom) = (60.0, 250.0, 20.0, 50.0);
	let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
	for curve in curves {
		for round in 1..=rounds {
			low = curve.at(round).fold(low, f64::min);
			high = curve.at(round).fold(high, f64::max);
		}
	}
	// Even if all are equal there is something to divide by.
	high = high.max(low + 1e-3);
	let x = |round: usize| {
		let part = (round - 1) as f64 / (rounds as f64 - 1.0).max(1.0);
		left + part * (width - left - right)
	};
	let y = |loss: f64| top + (high - loss) / (high - low) * (height - top - bottom);

	let mut svg = String::new();
	writeln!(
		svg,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
		 font-family=\"sans-serif\" font-size=\"13\">"
	)?;
	writeln!(svg, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>")?;
	let steps: [f64; 7] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
	let step = steps.into_iter().find(|step| (high - low) / step <= 8.0).unwrap_or(2.0);
	let mut tick = (low / step).ceil() * step;
	while tick <= high {
		let (at, end) = (y(tick), width - right);
		writeln!(
			svg,
			"<path d=\"M{left} {at:.1}H{end}\" stroke=\"#dddddd\"/>\
			 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick:.2}</text>",
			left - 8.0,
			at + 4.0
		)?;
		tick += step;
	}
	let every = rounds.div_ceil(12).max(1);
	for round in (1..=rounds).step_by(every) {
		let (at, base) = (x(round), height - bottom + 20.0);
		writeln!(svg, "<text x=\"{at:.1}\" y=\"{base:.1}\" text-anchor=\"middle\">{round}</text>")?;
	}
	let (middle, base) = ((left + width - right) / 2.0, height - 10.0);
	writeln!(
		svg,
		"<text x=\"{middle:.1}\" y=\"{base:.1}\" text-anchor=\"middle\">round; held-out loss in \
		 nats a byte, mean and range of {SEEDS} seeds</text>"
	)?;
	for (number, (curve, colour)) in curves.iter().zip(COLOURS).enumerate() {
		let mut points = String::new();
		for round in (1..=rounds).step_by(rounds.div_ceil(MOST_POINTS)) {
			let at = x(round);
			write!(points, "{at:.1},{:.1} ", y(curve.mean(round)))?;
			let lowest = y(curve.at(round).fold(f64::INFINITY, f64::min));
			let highest = y(curve.at(round).fold(f64::NEG_INFINITY, f64::max));
			writeln!(
				svg,
				"<path d=\"M{at:.1} {lowest:.1}V{highest:.1}\" stroke=\"{colour}\" \
				 stroke-opacity=\"0.5\"/>"
			)?;
		}
		let points = points.trim_end();
		writeln!(
			svg,
			"<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
		)?;
		let (start, at) = (width - right + 20.0, top + 20.0 + 22.0 * number as f64);
		writeln!(
			svg,
			"<path d=\"M{start} {at:.1}h20\" stroke=\"{colour}\" stroke-width=\"2\"/>\
			 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
			start + 28.0,
			at + 4.0,
			curve.name
		)?;
	}
	writeln!(svg, "</svg>")?;
	Ok(svg)
}

fn main() -> Result<(), Box<dyn Error>> {
	let mut arguments: VecDeque<String> = env::args().skip(1).collect();
	let mut option = |name: &str| -> Result<Option<String>, Box<dyn Error>> {
		let Some(place) = arguments.iter().position(|argument| argument == name) else {
			return Ok(None);
		};
		arguments.remove(place);
		Ok(Some(arguments.remove(place).ok_or(USAGE)?))
	};
	let steps = option("--steps")?.map_or(Ok(demo::RECIPE.steps), |steps| steps.parse())?;
	let last_permille = option("--last")?.map_or(Ok(PERMILLE), |permille| permille.parse())?;
	let device = option("--device")?.unwrap_or_else(|| "cpu".into());
	let text = fs::read(arguments.pop_front().ok_or(USAGE)?)?;
	let rounds: u32 = arguments.pop_front().ok_or(USAGE)?.parse()?;
	let svg = arguments.pop_front().ok_or(USAGE)?;
	let mut methods = Vec::new();
	for number in arguments {
		let number: usize = number.parse()?;
		let chosen = number.checked_sub(1).and_then(|place| METHODS.get(place));
		methods.push(chosen.ok_or("there is no method of that number")?);
	}
	if methods.is_empty() {
		methods.extend(METHODS.iter().take(DEFAULT_METHODS));
	}
	if rounds == 0 || last_permille > PERMILLE {
		return Err(USAGE.into());
	}

	let mut head = format!("text,{:?},steps,{steps},device,{device}", blake2b_256(&text));
	if last_permille < PERMILLE {
		write!(head, ",last permille,{last_permille},rounds,{rounds}")?;
	}
	let mut log = Log::open(&Path::new(&svg).with_extension("csv"), &head)?;
	let bench = Bench::new(text, steps, last_permille, &device)?;
	bench.print_shares(&METHODS)?;
	let mut curves = Vec::new();
	for method in methods {
		let mut seeds = Vec::new();
		for seed in 1..=SEEDS {
			let known = log.find(method, seed, rounds as usize);
			seeds.push(match known {
				Some(losses) => losses,
				None => {
					let losses = bench.losses(method, seed, rounds)?;
					log.add(method, seed, &losses)?;
					losses
				}
			});
		}
		curves.push(Curve { name: method.name, seeds });
	}
	print_losses(&curves, rounds as usize);
	fs::write(svg, plot(&curves, rounds as usize)?)?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::collections::BTreeSet;

	/// Increments of both signs, up to 25 million.
	fn increments(count: usize) -> Vec<i64> {
		let increment = |at: usize| {
			let root = (at as i64 * 7_919 + 104_729) % 10_007 - 5_003;
			root * root.abs()
		};
		(0..count).map(increment).collect()
	}

	fn squared(increments: &[i64]) -> f64 {
		increments.iter().map(|increment| (*increment as f64).powi(2)).sum()
	}

	#[test]
	fn int8_is_off_by_at_most_half_a_scale_of_the_row() {
		// One whose tensors have rows of several lengths, and padding.
		let component = demo::ARCHITECTURE.component(2).unwrap();
		assert_eq!(component.name, "layer.0.router");
		let mut wanted = increments(component.bytes as usize / BYTES_PER_WEIGHT);
		// A row in which nothing moves, and one with the range of an increment.
		wanted[..128].fill(0);
		wanted[130] = i64::from(i32::MIN);
		let (sent, bytes) = send_int8(&component, &wanted);

		let mut expected_bytes = 0;
		for tensor in &component.tensors {
			let first = tensor.offset_bytes as usize / BYTES_PER_WEIGHT;
			let [rows, cols] = tensor.shape.map(|extent| extent as usize);
			for row in 0..rows {
				let range = first + row * cols..first + (row + 1) * cols;
				let scale = f64::from(int8_scale(&wanted[range.clone()]));
				let mut values = BTreeSet::new();
				for (wanted, sent) in wanted[range.clone()].iter().zip(&sent[range]) {
					// Half a unit more, to which it is rounded, and what a scale in f32 is off.
					let most = 0.5 * scale * (1.0 + 1e-4) + 0.5;
					assert!((wanted - sent).abs() as f64 <= most, "{wanted} {sent} {scale}");
					values.insert(*sent);
				}
				assert!(values.len() <= 255);
				expected_bytes += 4 + cols;
			}
		}
		assert!(sent[..128].iter().all(|sent| *sent == 0));
		assert_eq!(bytes, expected_bytes);
	}

	#[test]
	fn largest_of_each_chunk_move_by_one_of_two_magnitudes() {
		let mut wanted = increments(3 * CHUNK + 50);
		// Fewer than are sent, and none.
		wanted[CHUNK + 10..2 * CHUNK].fill(0);
		wanted[2 * CHUNK..3 * CHUNK].fill(0);
		let (sent, bytes) = send_largest(&wanted);

		assert_eq!(bytes, 3 * 120 + 96);
		for (wanted, sent) in wanted.chunks(CHUNK).zip(sent.chunks(CHUNK)) {
			let moving = wanted.iter().filter(|wanted| **wanted != 0).count();
			let changed = sent.iter().filter(|sent| **sent != 0);
			assert_eq!(changed.clone().count(), moving.min(LARGEST));
			let magnitudes: BTreeSet<i64> = changed.map(|sent| sent.abs()).collect();
			assert!(magnitudes.len() <= 2, "{magnitudes:?}");
			let pairs = || wanted.iter().zip(sent);
			assert!(pairs().all(|(wanted, sent)| *sent == 0 || sent.signum() == wanted.signum()));
			let size = |pair: (&i64, &i64)| pair.0.abs();
			let least = pairs().filter(|(_, sent)| **sent != 0).map(size).min();
			let left = pairs().filter(|(_, sent)| **sent == 0).map(size).max();
			assert!(least.is_none() || least >= left);
			assert!(moving == 0 || squared(&difference(wanted, sent)) < squared(wanted));
		}
	}

	#[test]
	fn magnitudes_are_the_means_of_two_groups() {
		assert_eq!(two_magnitudes(&[12.0, 10.0, 8.0, 3.0, 1.0]), [2.0, 10.0]);
		assert_eq!(two_magnitudes(&[7.0, 7.0]), [7.0, 7.0]);
		assert_eq!(two_magnitudes(&[]), [0.0, 0.0]);
	}

	#[test]
	fn floats_are_merged_without_fixed_point() {
		// A quarter of a unit, which no increment could tell.
		let little = 2f32.powi(-26);
		let trained = [vec![vec![0.0625 + little]], vec![vec![0.0625]]];
		let merged = merged_floats(&[vec![0.0625]], &trained);
		assert_eq!(merged[0][0] - 0.0625, little / 2.0);

		let base = Weights::initial(&demo::ARCHITECTURE, H256([1; 32])).unwrap();
		let start = State::start(&base);
		let floats = floats_of(&start).unwrap();
		assert!(start_at(&floats).unwrap() == start);
		assert!(rounded(&floats).unwrap() == base);
		let mut finer = floats;
		finer[0][0] = 0.0625 + little;
		assert_eq!(floats_of(&start_at(&finer).unwrap()).unwrap()[0][0], 0.0625 + little);
		assert_eq!(rounded(&finer).unwrap().components()[0][0], 1 << 20);
	}
}
