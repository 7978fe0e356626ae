//! What compressing updates costs: the held-out loss round by round, on the same bytes for each way
//! to send what was learned.
//!
//! Two trainers train the demonstration's model on a text, in rounds of the demonstration's recipe, or
//! of another number of steps, and their updates are merged. What a way keeps of what it leaves out of
//! an update is added to the trainer's next one. *As rounds do* is the workers' own module, which carries
//! no more of that than verifiers take. The last sixteenth of the text is held out. Everything
//! is done for several seeds, which decide the first weights and who sees which bytes.
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
	demo, Batch, Device, FloatRecipe, Recipe as _, Weights,
};
use blyan_primitives::{
	delta::{self, CHUNK},
	hash::blake2b_256,
	recipe::Recipe,
	sampling, H256,
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
const BYTES_PER_WEIGHT: usize = 4;
const PERMILLE: u32 = 1_000;
const USAGE: &str = "say what to do: \
	compression [--steps STEPS] [--last PERMILLE] [--device DEVICE] TEXT ROUNDS SVG [METHOD...]";

static METHODS: [Method; 10] = [
	method("uncompressed", Way::Components(Codec::Uncompressed, 0)),
	method("4,098 bytes (8 bits)", Way::Components(Codec::Chunks(4_098), 1_000)),
	method("largest 64, 2 bits", Way::Components(Codec::Largest, 1_000)),
	method("112 bytes", Way::Components(Codec::Chunks(112), 1_000)),
	method("1,040 bytes", Way::Components(Codec::Chunks(1_040), 1_000)),
	method("112 bytes, residual 0.95", Way::Components(Codec::Chunks(112), 950)),
	method("112 bytes, residual 0.5", Way::Components(Codec::Chunks(112), 500)),
	method("112 bytes, no residual", Way::Components(Codec::Chunks(112), 0)),
	method("112 bytes, as rounds do", Way::Rounds(112)),
	method("1,040 bytes, as rounds do", Way::Rounds(1_040)),
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
}

/// What becomes of a component's increments on their way.
#[derive(Clone, Copy)]
enum Codec {
	Uncompressed,
	/// In each chunk the 64 largest, with 2 bits at the exponent at which the largest fits: what
	/// other systems send.
	Largest,
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
fn send(codec: Codec, wanted: &mut Vec<i64>) -> (Vec<i64>, usize) {
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

fn send_largest(wanted: &[i64]) -> (Vec<i64>, usize) {
	let mut sent = vec![0i64; wanted.len()];
	let mut bytes = 0;
	for (wanted, sent) in wanted.chunks(CHUNK).zip(sent.chunks_mut(CHUNK)) {
		let mut order: Vec<usize> = (0..wanted.len()).collect();
		order.sort_by_key(|at| Reverse(wanted[*at].unsigned_abs()));
		order.truncate(LARGEST);
		let largest = wanted[order[0]].unsigned_abs() as f64;
		let fits = |unit: &f64| (largest / unit).round() <= 2.0;
		let unit = (0..62).map(|exp| 2f64.powi(exp)).find(fits).unwrap_or(1.0);
		for at in &order {
			let value = (wanted[*at] as f64 / unit).round().clamp(-2.0, 2.0);
			sent[*at] = (value * unit) as i64;
		}
		bytes += 5 + (order.len() * 12).div_ceil(8) + (order.len() * 2).div_ceil(8);
	}
	(sent, bytes)
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

	/// What a trainer learns in a round.
	fn trained(
		&self,
		recipe: &FloatRecipe,
		base: &Weights,
		seed: &H256,
		trainer: &[u8; 32],
		round: u32,
	) -> blyan_engine::Result<Vec<Vec<i32>>> {
		let steps = recipe.parameters().steps;
		let count = u32::from(demo::RECIPE.batch);
		let batches =
			&mut |step: u32| windows(&self.text, seed, trainer, round * steps + step, count);
		let state = recipe.run(base, 0..steps, batches, None, &mut |_| {})?;
		recipe.delta(&state, base)
	}

	/// The held-out losses before the first round and after each, in nats a byte.
	fn losses(&self, method: &Method, seed: u8, rounds: u32) -> Result<Vec<f64>, Box<dyn Error>> {
		let seed = H256([seed; 32]);
		let mut weights = self.recipe.initialise(&demo::ARCHITECTURE, seed)?;
		let mut kept = [Kept::nothing()?, Kept::nothing()?];
		let mut losses = vec![self.loss(&weights)?];
		for round in 0..rounds {
			let recipe = self.recipe_of(round, rounds)?;
			let (mut updates, mut in_part) = (Vec::new(), 0);
			for (trainer, kept) in TRAINERS.iter().zip(&mut kept) {
				let increments = self.trained(&recipe, &weights, &seed, trainer, round)?;
				let sent = self.update(method, &increments, kept)?;
				updates.push(sent.increments);
				in_part += sent.in_part;
			}
			weights = weights.moved(&merged(&updates))?;
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
				for (increments, rest) in increments.iter().zip(&mut kept.rest) {
					for (rest, increment) in rest.iter_mut().zip(increments) {
						*rest = i64::from(*increment) + *rest * permille / i64::from(PERMILLE);
					}
					let (arrives, takes) = send(codec, rest);
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
		}
	}

	/// Prints how much of one trainer's first update arrives, without a residual.
	fn print_shares(&self, methods: &[Method]) -> Result<(), Box<dyn Error>> {
		let seed = H256([1; 32]);
		let base = self.recipe.initialise(&demo::ARCHITECTURE, seed)?;
		let increments = self.trained(&self.recipe, &base, &seed, &TRAINERS[0], 0)?;
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

/// A line for each method from the first round on: the mean over the seeds, and at each round a bar
/// from the lowest to the highest.
fn plot(curves: &[Curve], rounds: usize) -> Result<String, fmt::Error> {
	const COLOURS: [&str; 10] = [
		"#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c564b",
		"#7f7f7f", "#9467bd",
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
		for round in 1..=rounds {
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
