//! Recipes: golden bytes, every bound, hostile input, segments.

use crate::support::hostile;
use blyan_primitives::{
	model::Architecture,
	recipe::*,
	update::{max_delta_bytes, DeltaKind, MAX_BLOB_BYTES},
};
use codec::{Encode, MaxEncodedLen};
use proptest::prelude::*;

fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 20,
		batch: 8,
		checkpoint_every: 5,
		learning_rate_nano: 2_000_000,
		weight_decay_ppm: 100_000,
		warmup_steps: 2,
		tolerance_ppm: 20_000,
		min_alignment_ppm: 900_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 64,
		margin_micronats: 1_000,
		max_delta_norm: 1 << 40,
	}
}

/// A sound recipe after `change`.
fn after(change: impl Fn(&mut Recipe)) -> Result<(), RecipeError> {
	let mut recipe = recipe();
	change(&mut recipe);
	recipe.validate()
}

#[test]
fn recipe_has_its_golden_hash() {
	assert_eq!(recipe().encode().len(), 47);
	assert_eq!(Recipe::max_encoded_len(), 47);
	assert_eq!(
		format!("{:x}", recipe().hash()),
		"0a6bd17d39780d13980c009ddc83a675c2b09052b5b623f82c18a40d65943660"
	);
}

#[test]
fn recipe_refuses_every_cut_and_flip() {
	let bytes = recipe().encode();
	assert_eq!(Recipe::from_bytes(&bytes), Ok(recipe()));
	hostile::cut_and_extend(&bytes, Recipe::from_bytes);
	hostile::flip(
		&bytes,
		Recipe::from_bytes,
		|other| other.encode(),
		|other| assert_ne!(other.hash(), recipe().hash()),
	);
	let mut unknown = bytes;
	unknown[0] = 1;
	assert!(Recipe::from_bytes(&unknown).is_err());
}

#[test]
fn recipe_names_the_field_that_is_wrong() {
	use RecipeError::*;
	assert_eq!(recipe().validate(), Ok(()));
	assert_eq!(after(|r| r.steps = 0), Err(Steps));
	assert_eq!(after(|r| r.steps = 65_537), Err(Steps));
	assert_eq!(after(|r| r.batch = 0), Err(Batch));
	assert_eq!(after(|r| r.batch = 1_025), Err(Batch));
	assert_eq!(after(|r| r.checkpoint_every = 0), Err(CheckpointEvery));
	assert_eq!(after(|r| r.checkpoint_every = 20), Ok(()));
	assert_eq!(after(|r| r.checkpoint_every = 21), Err(CheckpointEvery));
	assert_eq!(after(|r| r.learning_rate_nano = 0), Err(LearningRate));
	assert_eq!(after(|r| r.learning_rate_nano = 1_000_000_000), Ok(()));
	assert_eq!(after(|r| r.learning_rate_nano = 1_000_000_001), Err(LearningRate));
	assert_eq!(after(|r| r.weight_decay_ppm = 0), Ok(()));
	assert_eq!(after(|r| r.weight_decay_ppm = 1_000_001), Err(WeightDecay));
	assert_eq!(after(|r| r.warmup_steps = 0), Ok(()));
	assert_eq!(after(|r| r.warmup_steps = 21), Err(WarmupSteps));
	assert_eq!(after(|r| r.tolerance_ppm = 999), Err(Tolerance));
	assert_eq!(after(|r| r.tolerance_ppm = 1_000), Ok(()));
	assert_eq!(after(|r| r.tolerance_ppm = 300_000), Ok(()));
	assert_eq!(after(|r| r.tolerance_ppm = 300_001), Err(Tolerance));
	assert_eq!(after(|r| r.min_alignment_ppm = 49_999), Err(MinAlignment));
	assert_eq!(after(|r| r.min_alignment_ppm = 50_000), Ok(()));
	assert_eq!(after(|r| r.min_alignment_ppm = 900_000), Ok(()));
	assert_eq!(after(|r| r.min_alignment_ppm = 900_001), Err(MinAlignment));
	assert_eq!(after(|r| r.delta_bytes_per_chunk = 7), Err(DeltaBytesPerChunk));
	assert_eq!(after(|r| r.delta_bytes_per_chunk = 4_099), Err(DeltaBytesPerChunk));
	assert_eq!(after(|r| r.evaluation_records = 0), Err(EvaluationRecords));
	assert_eq!(after(|r| r.evaluation_records = 1_025), Err(EvaluationRecords));
	assert_eq!(after(|r| r.margin_micronats = 0), Ok(()));
	assert_eq!(after(|r| r.margin_micronats = 20_000_001), Err(Margin));
	assert_eq!(after(|r| r.max_delta_norm = 0), Err(MaxDeltaNorm));
}

#[test]
fn recipe_errors_tell_the_bounds() {
	assert_eq!(RecipeError::Tolerance.to_string(), "tolerance_ppm must be 1000 to 300000");
	assert_eq!(RecipeError::MinAlignment.to_string(), "min_alignment_ppm must be 50000 to 900000");
}

#[test]
fn recipe_has_at_most_1024_checkpoints() {
	let many = |steps: u32| after(move |r| (r.steps, r.checkpoint_every) = (steps, 1));
	assert_eq!(many(1_024), Ok(()));
	assert_eq!(many(1_025), Err(RecipeError::CheckpointEvery));
}

#[test]
fn recipe_whose_trace_does_not_fit_its_blob_is_refused() {
	let long = |r: &mut Recipe| (r.steps, r.batch, r.checkpoint_every) = (65_536, 16, 65_536);
	assert_eq!(after(long), Err(RecipeError::TraceTooLong));
	let shorter = |r: &mut Recipe| (r.steps, r.batch, r.checkpoint_every) = (16_384, 16, 16_384);
	assert_eq!(after(shorter), Ok(()));
	// 64 checkpoints of 512 sketches of 512 bytes are 16 MiB without the checkpoints themselves.
	let mut sketched = recipe();
	(sketched.steps, sketched.checkpoint_every) = (64, 1);
	assert_eq!(sketched.validate_for(500), Ok(()));
	assert_eq!(sketched.validate_for(512), Err(RecipeError::TraceTooLong));
	assert_eq!(sketched.validate_for(0), Err(RecipeError::Components));
	assert_eq!(sketched.validate_for(513), Err(RecipeError::Components));
}

#[test]
fn an_update_may_take_what_its_components_may() {
	let small = Architecture {
		vocab: 256,
		d_model: 128,
		layers: 2,
		heads: 4,
		context: 32,
		experts: 8,
		top_k: 2,
		d_ff: 256,
	};
	let wide = Architecture { d_model: 512, layers: 1, experts: 2, d_ff: 16_384, ..small };
	let deep = Architecture { layers: 20, experts: 3, ..small };
	for architecture in [small, wide, deep] {
		assert_eq!(architecture.validate(), Ok(()));
		for delta_bytes_per_chunk in [8, 112, 4_098] {
			let recipe = Recipe { delta_bytes_per_chunk, ..recipe() };
			let of_component = |component: usize| {
				let weights = architecture.payload_weights(component).unwrap();
				max_delta_bytes(weights, delta_bytes_per_chunk, DeltaKind::LowRank)
			};
			let count = architecture.component_count() as usize;
			let sum: u64 = (0..count).map(of_component).sum();
			assert_eq!(recipe.max_update_bytes(&architecture), sum);
		}
	}
	// The most that is enough for each chunk of the wide one, and a byte more.
	let at = |delta_bytes_per_chunk| Recipe { delta_bytes_per_chunk, ..recipe() };
	let fits = |recipe: Recipe| recipe.max_update_bytes(&wide) <= MAX_BLOB_BYTES as u64;
	assert!(fits(at(1_969)) && !fits(at(1_970)));
}

#[test]
fn the_last_checkpoint_is_after_the_last_step() {
	let mut uneven = recipe();
	uneven.checkpoint_every = 8;
	assert_eq!(uneven.checkpoints(), 3);
	let steps: Vec<_> = (0..4).map(|i| uneven.checkpoint_step(i)).collect();
	assert_eq!(steps, [Some(8), Some(16), Some(20), None]);
	assert_eq!(uneven.segment(0), Some((0, 8)));
	assert_eq!(uneven.segment(2), Some((16, 20)));
	assert_eq!(uneven.segment(3), None);
	assert_eq!(uneven.trace_entries(), 23);
	assert_eq!(uneven.samples(), 160);
}

#[cfg(feature = "serde")]
#[test]
fn recipe_is_readable_json() {
	let json = serde_json::to_string(&recipe()).unwrap();
	assert!(json.contains(r#""numeric":"f32""#), "{json}");
	assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe());
}

proptest! {
	#[test]
	fn segments_cover_the_steps(steps in 1u32..5_000, every in 1u32..5_000) {
		let mut recipe = recipe();
		(recipe.steps, recipe.checkpoint_every) = (steps, every);
		let mut next = 0;
		for i in 0..recipe.checkpoints() {
			let (start, end) = recipe.segment(i).unwrap();
			prop_assert_eq!(start, next);
			prop_assert!(end > start && end - start <= every);
			next = end;
		}
		prop_assert_eq!(next, steps);
		prop_assert_eq!(recipe.segment(recipe.checkpoints()), None);
	}

	#[test]
	fn questions_about_unsound_recipes_do_not_panic(
		steps: u32,
		batch: u16,
		checkpoint_every: u32,
		i: u32,
		components: u16,
	) {
		let mut recipe = recipe();
		(recipe.steps, recipe.batch, recipe.checkpoint_every) = (steps, batch, checkpoint_every);
		let _ = (recipe.validate_for(components), recipe.segment(i), recipe.trace_entries());
		let _ = (recipe.trace_bytes(components), recipe.samples());
	}
}
