//! A small model for demonstrations and tests: it trains on a laptop's processor.

use blyan_primitives::{
	model::Architecture,
	recipe::{Numeric, Recipe},
};

/// 1.25 million weights, 84 % of them in 16 experts; learns to spell English in minutes.
///
/// The context is short because positions are learned: each has to be seen often before attention
/// finds the byte before its own. With 128 of them the loss stood still at 2.5 nats a byte, which is
/// what pairs of letters tell, for as many bytes as a demonstration has.
pub const ARCHITECTURE: Architecture = Architecture {
	vocab: 256,
	d_model: 128,
	layers: 2,
	heads: 4,
	context: 32,
	experts: 8,
	top_k: 2,
	d_ff: 256,
};

/// A round of a minute on two cores: 128 steps of 1,024 bytes, in four segments. The alignment
/// leaves room for error feedback.
///
/// The tolerance is what tells training from none. Machines that sum in another order drift apart: a
/// token near the border of two experts goes to the other one, and everything after it differs. What
/// that comes to is printed by `examples/drift.rs` and written down in `docs/benchmarks.md`; a warm-up
/// of a quarter of the steps keeps it small. Other records are proven by the trace.
///
/// A demonstration has a few rounds, so each must carry most of what was learned: the budget is 16
/// times smaller than f32. In long runs error feedback makes up for most of what a round leaves out: 112
/// bytes cost some hundredths of a nat after 200 rounds (`docs/benchmarks.md`).
pub const RECIPE: Recipe = Recipe {
	numeric: Numeric::F32,
	steps: 128,
	batch: 32,
	checkpoint_every: 32,
	learning_rate_nano: 2_000_000,
	weight_decay_ppm: 100_000,
	warmup_steps: 32,
	tolerance_ppm: 200_000,
	min_alignment_ppm: 200_000,
	delta_bytes_per_chunk: 1_040,
	evaluation_records: 256,
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
		assert_eq!(ARCHITECTURE.weights(), 1_251_984);
	}
}
