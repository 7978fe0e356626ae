//! Weights of the calls and of the end of an epoch.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weight functions needed by this pallet.
pub trait WeightInfo {
	/// Weight of `claim`.
	fn claim() -> Weight;
	/// Weight of `clear_expired` that removes `n` entries.
	fn clear_expired(n: u32) -> Weight;
	/// Weight of `set_split`.
	fn set_split() -> Weight;
	/// Weight of a block that ends an epoch.
	fn end_epoch() -> Weight;
}

/// Plausible values for tests. A runtime uses generated weights.
impl WeightInfo for () {
	fn claim() -> Weight {
		Weight::from_parts(80_000_000, 4_000)
			.saturating_add(RocksDbWeight::get().reads(6))
			.saturating_add(RocksDbWeight::get().writes(5))
	}
	fn clear_expired(n: u32) -> Weight {
		Weight::from_parts(12_000_000, 1_500)
			.saturating_add(Weight::from_parts(1_500_000, 2_600).saturating_mul(n.into()))
			.saturating_add(RocksDbWeight::get().reads(1))
			.saturating_add(RocksDbWeight::get().reads_writes(1, 1).saturating_mul(n.into()))
	}
	fn set_split() -> Weight {
		Weight::from_parts(10_000_000, 0).saturating_add(RocksDbWeight::get().writes(1))
	}
	fn end_epoch() -> Weight {
		Weight::from_parts(150_000_000, 7_500)
			.saturating_add(RocksDbWeight::get().reads(12))
			.saturating_add(RocksDbWeight::get().writes(11))
	}
}
