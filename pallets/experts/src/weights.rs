//! Weights of the calls and of what other pallets call.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weight functions needed by this pallet.
pub trait WeightInfo {
	/// Weight of `create_model` with `c` components.
	fn create_model(c: u32) -> Weight;
	/// Weight of `add_spec`.
	fn add_spec() -> Weight;
	/// Weight of `set_spec_status`.
	fn set_spec_status() -> Weight;
	/// Weight of `transfer_model`.
	fn transfer_model() -> Weight;
	/// Weight of `set_earning`.
	fn set_earning() -> Weight;
	/// Weight of [`crate::Models::advance`] that changes `c` components.
	fn advance(c: u32) -> Weight;
	/// Weight of [`crate::Models::reject`].
	fn reject() -> Weight;
}

/// Plausible values for tests. A runtime uses generated weights.
impl WeightInfo for () {
	fn create_model(c: u32) -> Weight {
		Weight::from_parts(90_000_000, 4_000)
			.saturating_add(Weight::from_parts(5_000_000, 0).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().reads_writes(4, 8))
			.saturating_add(RocksDbWeight::get().writes(1).saturating_mul(c.into()))
	}
	fn add_spec() -> Weight {
		Weight::from_parts(30_000_000, 3_700)
			.saturating_add(RocksDbWeight::get().reads_writes(2, 2))
	}
	fn set_spec_status() -> Weight {
		Weight::from_parts(25_000_000, 3_700)
			.saturating_add(RocksDbWeight::get().reads_writes(2, 1))
	}
	fn transfer_model() -> Weight {
		Weight::from_parts(90_000_000, 7_400)
			.saturating_add(RocksDbWeight::get().reads_writes(5, 5))
	}
	fn set_earning() -> Weight {
		Weight::from_parts(25_000_000, 3_700)
			.saturating_add(RocksDbWeight::get().reads_writes(1, 1))
	}
	fn advance(c: u32) -> Weight {
		Weight::from_parts(150_000_000, 38_000)
			.saturating_add(Weight::from_parts(6_000_000, 0).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().reads_writes(5, 6))
			.saturating_add(RocksDbWeight::get().writes(2).saturating_mul(c.into()))
	}
	fn reject() -> Weight {
		Weight::from_parts(25_000_000, 3_700)
			.saturating_add(RocksDbWeight::get().reads_writes(2, 2))
	}
}
