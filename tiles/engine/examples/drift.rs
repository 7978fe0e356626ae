//! How far honest runs of a recipe drift apart, against how far dishonest ones are off.
//!
//! Machines sum in another order and so round differently, and training amplifies it. Here some runs of
//! the demonstration's round take the windows of each step in another order, which is the same training
//! and another order of sums. The table tells how far each run ends from the first one, relative to how
//! far that one moved, for the component that is worst, which is what a verifier compares. A recipe's
//! tolerance must be above the honest runs and below the others. With a device, as many runs and two
//! more are done on it and compared with the processor's first run; two have its order of windows.
//!
//! ```text
//! cargo run --example drift -- TEXT [RUNS [DEVICE]]
//! cargo run --release --package blyan-engine --features wgpu --example drift -- TEXT 8 wgpu
//! ```

use blyan_engine::{batch, demo, Batch, Device, FloatRecipe, Recipe, State, Weights};
use blyan_primitives::{sampling, H256};
use std::{env, error::Error, fs, ops::Range};

const SEED: H256 = H256([3; 32]);
/// Who trains on what it was told to, and who does not.
const TRAINER: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
/// Rounds that were done before the one that is looked at.
const BEFORE: [u32; 2] = [0, 2];
/// Honest runs, unless told otherwise.
const RUNS: usize = 5;

/// A text, and how it is trained on.
struct Bench {
	text: Vec<u8>,
	recipe: FloatRecipe,
	/// The same on another device.
	elsewhere: Option<FloatRecipe>,
}

impl Bench {
	fn windows(&self, trainer: &[u8; 32], step: u32) -> blyan_engine::Result<Batch> {
		let context = u32::from(demo::ARCHITECTURE.context);
		(0..u32::from(demo::RECIPE.batch))
			.map(|i| {
				let length = self.text.len() as u32;
				let start = sampling::window(&SEED, trainer, step, i, length, context);
				batch::window(&demo::ARCHITECTURE, &self.text, start)
			})
			.collect()
	}

	/// Trains for these steps of a round, each with its windows turned by `turn` places.
	fn run(
		&self,
		recipe: &FloatRecipe,
		base: &Weights,
		trainer: &[u8; 32],
		round: u32,
		steps: Range<u32>,
		turn: usize,
	) -> blyan_engine::Result<State> {
		let mut windows = |step| {
			let mut windows = self.windows(trainer, round * demo::RECIPE.steps + step)?;
			windows.rotate_left(turn);
			Ok(windows)
		};
		recipe.run(base, steps, &mut windows, None, &mut |_| {})
	}
}

fn main() -> Result<(), Box<dyn Error>> {
	let mut arguments = env::args().skip(1);
	let text = arguments.next().ok_or("say which text: drift TEXT [RUNS [DEVICE]]")?;
	let runs = arguments.next().map_or(Ok(RUNS), |runs| runs.parse())?;
	let on = |device: &str| FloatRecipe::new(demo::RECIPE, Device::named(device)?);
	let recipe = on("cpu")?;
	let elsewhere = arguments.next().map(|device| on(&device)).transpose()?;
	let bench = Bench { text: fs::read(text)?, recipe, elsewhere };
	let recipe = &bench.recipe;
	let steps = demo::RECIPE.steps;
	let mut base = recipe.initialise(&demo::ARCHITECTURE, H256([1; 32]))?;
	println!("{:>13}  {:32}  {:>9}", "rounds before", "run", "ppm apart");
	for round in 0..=BEFORE[1] {
		let first = bench.run(recipe, &base, &TRAINER, round, 0..steps, 0)?;
		if BEFORE.contains(&round) {
			let print = |name: String, state: &State| -> blyan_engine::Result<()> {
				let worst = first.distance_ppm(state, &base)?.into_iter().max().unwrap_or(0);
				println!("{round:>13}  {name:32}  {worst:>9}");
				Ok(())
			};
			for turn in 1..=runs {
				let state = bench.run(recipe, &base, &TRAINER, round, 0..steps, turn)?;
				print(format!("windows turned by {turn}"), &state)?;
			}
			if let Some(elsewhere) = &bench.elsewhere {
				let device = elsewhere.device().name();
				for turn in (0..1).chain(0..=runs) {
					let state = bench.run(elsewhere, &base, &TRAINER, round, 0..steps, turn)?;
					print(format!("{device}, windows turned by {turn}"), &state)?;
				}
			}
			let stopped = bench.run(recipe, &base, &TRAINER, round, 0..steps * 3 / 4, 0)?;
			print("stops after three steps of four".into(), &stopped)?;
			let other = bench.run(recipe, &base, &OTHER, round, 0..steps, 0)?;
			print("other windows".into(), &other)?;
		}
		base = base.moved(&recipe.delta(&first, &base)?)?;
	}
	println!("the recipe's tolerance: {} ppm", demo::RECIPE.tolerance_ppm);
	Ok(())
}
