//! Training a small model on a small text.
#![cfg(feature = "flex")]

use blyan_engine::{
	batch, delta, demo, Batch, Device, Error, FloatRecipe, Recipe, State, StepReport, Weights,
};
use blyan_primitives::{
	hash,
	model::Architecture,
	recipe::Recipe as Parameters,
	sampling,
	trace::{relative_distance_ppm, sketch},
	H256,
};
use std::sync::OnceLock;

/// Written for this test.
const TEXT: &[u8] = include_bytes!("data/extract.txt");

const SEED: H256 = H256([7; 32]);
const TRAINER: [u8; 32] = [9; 32];

/// 1311 units of 2^−16 in units of 2^−24.
const BIAS_STEP: i32 = 1_311 << 8;

fn architecture() -> Architecture {
	Architecture {
		d_model: 32,
		layers: 1,
		heads: 2,
		context: 32,
		experts: 4,
		d_ff: 64,
		..demo::ARCHITECTURE
	}
}

fn parameters() -> Parameters {
	Parameters {
		steps: 40,
		batch: 8,
		checkpoint_every: 10,
		learning_rate_nano: 10_000_000,
		warmup_steps: 4,
		// All runs are on one machine, where nothing differs.
		tolerance_ppm: 10_000,
		..demo::RECIPE
	}
}

fn recipe() -> FloatRecipe {
	FloatRecipe::new(parameters(), Device::named("cpu").unwrap()).unwrap()
}

fn base() -> Weights {
	recipe().initialise(&architecture(), H256([1; 32])).unwrap()
}

/// The windows of a step, all of them from the one text that there is.
fn batch_of(step: u32) -> Batch {
	let architecture = architecture();
	let windows = 0..u32::from(parameters().batch);
	windows
		.map(|i| {
			let length = TEXT.len() as u32;
			let start =
				sampling::window(&SEED, &TRAINER, step, i, length, u32::from(architecture.context));
			batch::window(&architecture, TEXT, start).unwrap()
		})
		.collect()
}

fn run(steps: std::ops::Range<u32>, state: Option<State>) -> State {
	recipe().run(&base(), steps, &mut |step: u32| Ok(batch_of(step)), state, &mut |_| {}).unwrap()
}

/// The base after all 40 steps; many tests look at it.
fn trained() -> &'static State {
	static TRAINED: OnceLock<State> = OnceLock::new();
	TRAINED.get_or_init(|| run(0..40, None))
}

fn weights_of(state: &State) -> Weights {
	let base = base();
	base.moved(&recipe().delta(state, &base).unwrap()).unwrap()
}

#[test]
fn forty_steps_lower_the_loss_by_more_than_a_nat() {
	let windows: Vec<Batch> = (1_000..1_004).map(batch_of).collect();
	let before = recipe().loss(&base(), &windows).unwrap();
	let after = recipe().loss(&weights_of(trained()), &windows).unwrap();

	// Before, it guesses among 256 bytes: ln 256 = 5.545.
	assert!((5_400_000..5_700_000).contains(&before), "{before}");
	assert!(after + 1_000_000 < before, "{before} to {after}");
}

#[test]
fn reports_say_what_each_step_did() {
	let mut losses = Vec::new();
	let mut observer = |report: StepReport<'_>| {
		assert_eq!(report.step as usize, losses.len());
		assert_eq!(report.state.step(), report.step + 1);
		assert_eq!(report.tokens, 8 * 32);
		assert_eq!(report.loads.len(), 1);
		assert_eq!(report.loads[0].iter().sum::<u32>(), 2 * report.tokens);
		losses.push(report.loss_micronats);
	};
	let batches = &mut |step: u32| Ok(batch_of(step));
	recipe().run(&base(), 0..3, batches, None, &mut observer).unwrap();

	assert_eq!(losses.len(), 3);
	// The loss of the first step is that of the base on the same windows.
	let measured = recipe().loss(&base(), &[batch_of(0)]).unwrap();
	assert!(losses[0].abs_diff(measured) <= 20, "{} {measured}", losses[0]);
}

#[test]
fn two_runs_end_in_the_same_state() {
	let again = run(0..40, None);
	assert_eq!(recipe().state_root(&again), recipe().state_root(trained()));
	assert_eq!(&again, trained());
}

#[test]
fn run_that_was_resumed_from_a_file_ends_in_the_same_state() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("17.state");
	let half = run(0..17, None);
	half.save(&path).unwrap();
	drop(half);

	let resumed = run(17..40, Some(State::load(&path).unwrap()));
	assert_eq!(resumed.root(), trained().root());
}

#[test]
fn segment_that_is_run_again_matches_and_another_batch_does_not() {
	let parameters = parameters();
	let (start, end) = parameters.segment(1).unwrap();
	let checkpoint = run(0..start, None);
	let claimed = run(start..end, Some(checkpoint.clone()));
	let honest = run(start..end, Some(checkpoint.clone()));
	let mut others = |step: u32| Ok(batch_of(step + 500));
	let liar =
		recipe().run(&base(), start..end, &mut others, Some(checkpoint), &mut |_| {}).unwrap();

	let farthest =
		|state: &State| claimed.distance_ppm(state, &base()).unwrap().into_iter().max().unwrap();
	assert_eq!(farthest(&honest), 0);
	assert!(farthest(&liar) > parameters.tolerance_ppm, "{}", farthest(&liar));

	let sketch_of = |state: &State| {
		let increments = recipe().delta(state, &base()).unwrap();
		sketch(&SEED, 0, &increments[0])
	};
	assert_eq!(sketch_of(&claimed), sketch_of(&honest));
	let apart = relative_distance_ppm(&sketch_of(&claimed), &sketch_of(&liar));
	assert!(apart > parameters.tolerance_ppm, "{apart}");
}

#[test]
fn selection_bias_moves_by_whole_steps_against_the_load() {
	let mut loads = Vec::new();
	let base = base();
	let batches = &mut |step: u32| Ok(batch_of(step));
	let mut observer = |report: StepReport<'_>| loads = report.loads[0].clone();
	let state = recipe().run(&base, 0..1, batches, None, &mut observer).unwrap();

	let router = architecture().component(2).unwrap();
	assert_eq!(router.name, "layer.0.router");
	let start = router.tensors[2].offset_bytes as usize / 4;
	let delta = recipe().delta(&state, &base).unwrap();
	let mean = loads.iter().sum::<u32>() / 4;
	for (expert, load) in loads.iter().enumerate() {
		let expected = match load.cmp(&mean) {
			std::cmp::Ordering::Less => BIAS_STEP,
			std::cmp::Ordering::Equal => 0,
			std::cmp::Ordering::Greater => -BIAS_STEP,
		};
		assert_eq!(delta[2][start + expert], expected, "expert {expert}");
	}
}

#[test]
fn padding_is_not_trained() {
	let delta = recipe().delta(trained(), &base()).unwrap();
	for (place, component) in architecture().components().iter().enumerate() {
		let mut is_padding = vec![true; delta[place].len()];
		for tensor in &component.tensors {
			let start = tensor.offset_bytes as usize / 4;
			is_padding[start..start + tensor.weights() as usize].fill(false);
		}
		let mut padding = delta[place].iter().zip(&is_padding).filter(|(_, padding)| **padding);
		assert!(padding.all(|(moved, _)| *moved == 0), "{}", component.name);
	}
}

#[test]
fn update_of_one_byte_a_weight_lowers_the_loss_as_well() {
	let base = base();
	let increments = recipe().delta(trained(), &base).unwrap();
	let mut residual = delta::Residual::zero(&architecture()).unwrap();
	let deltas = delta::encode(&increments, &mut residual, 4_098).unwrap();
	let merged = delta::merge(&base, &[(320, &deltas)]).unwrap();

	let windows: Vec<Batch> = (1_000..1_004).map(batch_of).collect();
	let before = recipe().loss(&base, &windows).unwrap();
	let after = recipe().loss(&merged, &windows).unwrap();
	assert!(after + 500_000 < before, "{before} to {after}");
	assert_ne!(merged.roots(), base.roots());
}

#[test]
fn run_without_steps_changes_nothing() {
	let state = run(0..0, None);
	assert_eq!(weights_of(&state), base());
	assert_eq!(state.root(), State::start(&base()).root());
}

#[test]
fn loss_does_not_depend_on_how_windows_are_batched() {
	let one: Vec<Batch> = vec![(0..3).flat_map(batch_of).collect()];
	let three: Vec<Batch> = (0..3).map(batch_of).collect();
	let recipe = recipe();
	assert_eq!(recipe.loss(&base(), &one).unwrap(), recipe.loss(&base(), &three).unwrap());
	assert!(matches!(recipe.loss(&base(), &[]), Err(Error::NoWindows)));
	let short = recipe.loss(&base(), &[vec![vec![0; 32]]]);
	assert!(matches!(short, Err(Error::Window { expected: 33, found: 32, .. })));
}

#[test]
fn text_has_the_length_that_was_asked_for_and_repeats_with_its_seed() {
	let recipe = recipe();
	let weights = weights_of(trained());
	let write = |prompt: &[u8], count: usize, temperature: u32, seed: u8| {
		recipe.generate(&weights, prompt, count, temperature, H256([seed; 32])).unwrap()
	};
	for count in [0, 1, 40] {
		assert_eq!(write(b"The ", count, 900, 1).len(), count);
	}
	assert_eq!(write(b"", 3, 900, 1).len(), 3);
	// A prompt longer than the context is seen from its end only.
	assert_eq!(write(TEXT, 3, 0, 1), write(&TEXT[TEXT.len() - 32..], 3, 0, 1));
	assert_eq!(write(b"The ", 40, 900, 1), write(b"The ", 40, 900, 1));
	assert_ne!(write(b"The ", 40, 900, 1), write(b"The ", 40, 900, 2));
	assert_eq!(write(b"The ", 10, 0, 1), write(b"The ", 10, 0, 2));
}

#[test]
fn what_does_not_fit_the_recipe_is_refused() {
	let recipe = recipe();
	let base = base();
	let run = |steps, batch: Batch, state| {
		recipe.run(&base, steps, &mut |_| Ok(batch.clone()), state, &mut |_| {})
	};
	let few = run(0..1, batch_of(0)[1..].to_vec(), None);
	assert!(matches!(few, Err(Error::Batch { step: 0, expected: 8, found: 7 })));
	let mut short = batch_of(0);
	short[5].pop();
	let short = run(0..1, short, None);
	assert!(matches!(short, Err(Error::Window { window: 5, expected: 33, found: 32 })));
	let early = run(3..4, batch_of(0), None);
	assert!(matches!(early, Err(Error::Steps { start: 3, state: 0, .. })));
	let long = run(0..41, batch_of(0), None);
	assert!(matches!(long, Err(Error::Steps { end: 41, total: 40, .. })));
	let other = Architecture { d_ff: 32, ..architecture() };
	let other = State::start(&recipe.initialise(&other, H256([1; 32])).unwrap());
	let other = run(0..1, batch_of(0), Some(other));
	assert!(matches!(other, Err(Error::OtherModel { .. })));

	let failing = &mut |_: u32| -> blyan_engine::Result<Batch> { Err(Error::EmptyRecord) };
	let failed = recipe.run(&base, 0..1, failing, None, &mut |_| {});
	assert!(matches!(failed, Err(Error::EmptyRecord)));
}

#[test]
fn first_weights_are_those_of_the_primitives() {
	let base = base();
	let component = blyan_primitives::model::initial_weights(&architecture(), H256([1; 32]), 3);
	assert_eq!(base.components()[3], component);
	assert_eq!(base.roots().len(), architecture().component_count() as usize);
	let leaf = hash::blake2b_256(base.payload(2).unwrap());
	let root = blyan_primitives::tree::bytes_root(base.payload(2).unwrap()).unwrap();
	assert_eq!(base.roots()[2], root);
	assert_ne!(root, leaf);
}
