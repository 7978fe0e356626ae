//! Weights of the calls and of the phases. The runtime brings measured ones; those for `()` serve
//! tests.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weights that the pallet needs.
pub trait WeightInfo {
	/// Weight of `open` with `d` datasets.
	fn open(d: u32) -> Weight;
	/// Weight of `join`.
	fn join() -> Weight;
	/// Weight of `post_merge` with `n` roots.
	fn post_merge(n: u32) -> Weight;
	/// Weight of `commit_evaluation`.
	fn commit_evaluation() -> Weight;
	/// Weight of `reveal_evaluation`.
	fn reveal_evaluation() -> Weight;
	/// Weight of a block with `l` live rounds in which none changes.
	fn on_initialize(l: u32) -> Weight;
	/// Weight of the dearest change of a round's phase, its end, without what [`crate::Updates`]
	/// does.
	fn change_phase() -> Weight;
}

/// A weight for tests: some computation, and database access by count.
fn estimate(reads: u64, writes: u64) -> Weight {
	Weight::from_parts(40_000_000, 64_000)
		.saturating_add(RocksDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
	fn open(d: u32) -> Weight {
		estimate(10, 7).saturating_add(RocksDbWeight::get().reads(d.into()))
	}

	fn join() -> Weight {
		estimate(6, 3)
	}

	fn post_merge(n: u32) -> Weight {
		estimate(40, 3).saturating_add(Weight::from_parts(100_000_000, 0).saturating_mul(n.into()))
	}

	fn commit_evaluation() -> Weight {
		estimate(2, 1)
	}

	fn reveal_evaluation() -> Weight {
		estimate(2, 1)
	}

	fn on_initialize(l: u32) -> Weight {
		estimate(1, 0).saturating_add(RocksDbWeight::get().reads(2).saturating_mul(l.into()))
	}

	fn change_phase() -> Weight {
		estimate(960, 760)
	}
}
