//! How far honest runs of a recipe drift apart, against how far dishonest ones are off.
//!
//! Machines sum in another order and so round differently, and training amplifies it. Here some runs of
//! the demonstration's round take the windows of each step in another order, which is the same training
//! and another order of sums. The table tells how far each run ends from the first one, relative to how
//! far that one moved, for the component that is worst, which is what a verifier compares. A recipe's
//! tolerance must be above the honest runs and below the others.
//!
//! ```text
//! cargo run --example drift -- TEXT [RUNS]
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
		self.recipe.run(base, steps, &mut windows, None, &mut |_| {})
	}
}

fn main() -> Result<(), Box<dyn Error>> {
	let mut arguments = env::args().skip(1);
	let text = arguments.next().ok_or("say which text: drift TEXT [RUNS]")?;
	let runs = arguments.next().map_or(Ok(RUNS), |runs| runs.parse())?;
	let recipe = FloatRecipe::new(demo::RECIPE, Device::named("cpu")?)?;
	let bench = Bench { text: fs::read(text)?, recipe };
	let steps = demo::RECIPE.steps;
	let mut base = bench.recipe.initialise(&demo::ARCHITECTURE, H256([1; 32]))?;
	println!("{:>13}  {:32}  {:>9}", "rounds before", "run", "ppm apart");
	for round in 0..=BEFORE[1] {
		let first = bench.run(&base, &TRAINER, round, 0..steps, 0)?;
		if BEFORE.contains(&round) {
			let print = |name: String, state: &State| -> blyan_engine::Result<()> {
				let worst = first.distance_ppm(state, &base)?.into_iter().max().unwrap_or(0);
				println!("{round:>13}  {name:32}  {worst:>9}");
				Ok(())
			};
			for turn in 1..=runs {
				let state = bench.run(&base, &TRAINER, round, 0..steps, turn)?;
				print(format!("windows turned by {turn}"), &state)?;
			}
			let stopped = bench.run(&base, &TRAINER, round, 0..steps * 3 / 4, 0)?;
			print("stops after three steps of four".into(), &stopped)?;
			print("other windows".into(), &bench.run(&base, &OTHER, round, 0..steps, 0)?)?;
		}
		base = base.moved(&bench.recipe.delta(&first, &base)?)?;
	}
	println!("the recipe's tolerance: {} ppm", demo::RECIPE.tolerance_ppm);
	Ok(())
}
