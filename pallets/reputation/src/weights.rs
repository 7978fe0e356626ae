//! Weights of the calls. The runtime brings measured ones; those for `()` serve tests.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weights that the pallet needs.
pub trait WeightInfo {
	/// Weight of `quarantine`.
	fn quarantine() -> Weight;
	/// Weight of `lift_quarantine`.
	fn lift_quarantine() -> Weight;
}

impl WeightInfo for () {
	fn quarantine() -> Weight {
		Weight::from_parts(12_000_000, 3_600)
			.saturating_add(RocksDbWeight::get().reads_writes(1, 1))
	}

	fn lift_quarantine() -> Weight {
		Weight::from_parts(12_000_000, 3_600)
			.saturating_add(RocksDbWeight::get().reads_writes(1, 1))
	}
}
