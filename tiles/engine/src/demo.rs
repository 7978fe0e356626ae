//! A small model for demonstrations and tests: it trains on a laptop's processor.

use blyan_primitives::{
	model::Architecture,
	recipe::{Numeric, Recipe},
};

/// 1.26 million weights, 83 % of them in 16 experts; learns to spell English in minutes.
pub const ARCHITECTURE: Architecture = Architecture {
	vocab: 256,
	d_model: 128,
	layers: 2,
	heads: 4,
	context: 128,
	experts: 8,
	top_k: 2,
	d_ff: 256,
};

/// A round of half a minute on two cores: 64 steps of 2,048 bytes, in four segments.
///
/// Learning rate and weight decay are those that trained this architecture for 2 million bytes to
/// 1.71 nats a byte. The alignment leaves room for error feedback.
///
/// The tolerance is what tells training from none. Machines that sum in another order drift apart: a
/// token near the border of two experts goes to the other one, and everything after it differs. By how
/// much they do has not been measured yet, so it is wide. Other records are proven by the trace.
///
/// A demonstration has a few rounds, so each must carry most of what was learned: the budget is 16
/// times smaller than f32. Long runs can do with 112 bytes, because error feedback makes up for what a
/// round leaves out, given hundreds of them; in three rounds they learn hardly the frequencies of
/// letters.
pub const RECIPE: Recipe = Recipe {
	numeric: Numeric::F32,
	steps: 64,
	batch: 16,
	checkpoint_every: 16,
	learning_rate_nano: 2_000_000,
	weight_decay_ppm: 100_000,
	warmup_steps: 8,
	tolerance_ppm: 200_000,
	min_alignment_ppm: 200_000,
	delta_bytes_per_chunk: 1_040,
	evaluation_records: 64,
	margin_micronats: 1_000,
	max_delta_norm: 1 << 34,
};

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn demo_values_are_valid() {
		assert_eq!(ARCHITECTURE.validate(), Ok(()));
		let components = ARCHITECTURE.component_count() as u16;
		assert_eq!(RECIPE.validate_for(components), Ok(()));
		assert_eq!(ARCHITECTURE.weights(), 1_264_272);
	}
}
