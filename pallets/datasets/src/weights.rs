//! The weights that this pallet needs.

use super::*;
use frame_support::weights::{
	constants::{RocksDbWeight, WEIGHT_REF_TIME_PER_MICROS},
	Weight,
};

/// Weights of this pallet's calls and hooks.
pub trait WeightInfo {
	/// `submit` of a manifest with `s` shards, its validation in the pool included.
	fn submit(s: u32) -> Weight;
	/// `store_shard` of `b` bytes, the last of a dataset, its validation in the pool included.
	fn store_shard(b: u32) -> Weight;
	/// `commit_report`, the last one.
	fn commit_report() -> Weight;
	/// `reveal_report`, the last one, which rejects the dataset.
	fn reveal_report() -> Weight;
	/// `register_voter`.
	fn register_voter() -> Weight;
	/// `vote`.
	fn vote() -> Weight;
	/// `flag`.
	fn flag() -> Weight;
	/// `resolve_flag`.
	fn resolve_flag() -> Weight;
	/// `appeal` of a dataset of `s` shards.
	fn appeal(s: u32) -> Weight;
	/// `leave_voters`.
	fn leave_voters() -> Weight;
	/// A block in which nothing is due.
	fn on_initialize() -> Weight;
	/// One task of the agenda.
	fn due() -> Weight;
	/// One look at a dataset that waits for auditors.
	fn draw() -> Weight;
}

fn micros(micros: u64) -> Weight {
	Weight::from_parts(micros.saturating_mul(WEIGHT_REF_TIME_PER_MICROS), 0)
}

fn db(reads: u64, writes: u64) -> Weight {
	RocksDbWeight::get().reads_writes(reads, writes)
}

/// Plausible weights for tests. A runtime uses generated ones.
impl WeightInfo for () {
	fn submit(s: u32) -> Weight {
		micros(250).saturating_add(micros(1).saturating_mul(s.into())).saturating_add(db(8, 10))
	}

	fn store_shard(b: u32) -> Weight {
		micros(100)
			.saturating_add(Weight::from_parts(12_000, 0).saturating_mul(b.into()))
			.saturating_add(db(11, 12))
	}

	fn commit_report() -> Weight {
		micros(30).saturating_add(db(5, 4))
	}

	fn reveal_report() -> Weight {
		micros(90).saturating_add(db(24, 25))
	}

	fn register_voter() -> Weight {
		micros(50).saturating_add(db(4, 4))
	}

	fn vote() -> Weight {
		micros(40).saturating_add(db(10, 3))
	}

	fn flag() -> Weight {
		micros(20).saturating_add(db(1, 1))
	}

	fn resolve_flag() -> Weight {
		micros(20).saturating_add(db(3, 3))
	}

	fn appeal(s: u32) -> Weight {
		micros(30).saturating_add(db(8, 9)).saturating_add(db(1, 0).saturating_mul(s.into()))
	}

	fn leave_voters() -> Weight {
		micros(50).saturating_add(db(3, 4))
	}

	fn on_initialize() -> Weight {
		micros(10).saturating_add(db(5, 1))
	}

	fn due() -> Weight {
		micros(150).saturating_add(db(60, 60))
	}

	fn draw() -> Weight {
		micros(400).saturating_add(db(251, 7))
	}
}
