//! The weights that this pallet needs.

use super::*;
use frame_support::weights::{
	constants::{RocksDbWeight, WEIGHT_REF_TIME_PER_MICROS},
	Weight,
};

/// Weights of this pallet's calls and hooks.
pub trait WeightInfo {
	/// `store` of `b` bytes.
	fn store(b: u32) -> Weight;
	/// `renew`.
	fn renew() -> Weight;
	/// `check_proof` of a full block of shards.
	fn check_proof() -> Weight;
	/// The hooks of a block in which `e` items expire.
	fn on_initialize(e: u32) -> Weight;
}

/// Plausible weights for tests. A runtime uses generated ones.
impl WeightInfo for () {
	fn store(b: u32) -> Weight {
		Weight::from_parts(40 * WEIGHT_REF_TIME_PER_MICROS, 0)
			.saturating_add(Weight::from_parts(8_000, 0).saturating_mul(b.into()))
			.saturating_add(RocksDbWeight::get().reads_writes(3, 3))
	}

	fn renew() -> Weight {
		Weight::from_parts(40 * WEIGHT_REF_TIME_PER_MICROS, 0)
			.saturating_add(RocksDbWeight::get().reads_writes(3, 3))
	}

	fn check_proof() -> Weight {
		Weight::from_parts(90 * WEIGHT_REF_TIME_PER_MICROS, 0)
			.saturating_add(RocksDbWeight::get().reads_writes(3, 1))
	}

	fn on_initialize(e: u32) -> Weight {
		Weight::from_parts(10 * WEIGHT_REF_TIME_PER_MICROS, 0)
			.saturating_add(RocksDbWeight::get().reads_writes(6, 4))
			.saturating_add(RocksDbWeight::get().reads_writes(1, 1).saturating_mul(e.into()))
	}
}
