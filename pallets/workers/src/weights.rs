//! Weights of the calls. The runtime brings measured ones; those for `()` serve tests.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weights that the pallet needs.
pub trait WeightInfo {
	/// Weight of `register`, for every role.
	fn register() -> Weight;
	/// Weight of `update`.
	fn update() -> Weight;
	/// Weight of `set_roles`, where every list changes.
	fn set_roles() -> Weight;
	/// Weight of `add_bond`, where it ends a suspension from every role.
	fn add_bond() -> Weight;
	/// Weight of `heartbeat`, where it ends a suspension from every role.
	fn heartbeat() -> Weight;
	/// Weight of `deregister`, from every role.
	fn deregister() -> Weight;
	/// Weight of `withdraw`.
	fn withdraw() -> Weight;
	/// Weight of `evict`, from every role.
	fn evict() -> Weight;
}

/// A weight for tests: some computation, and database access by count.
fn estimate(reads: u64, writes: u64) -> Weight {
	Weight::from_parts(40_000_000, 32_000)
		.saturating_add(RocksDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
	fn register() -> Weight {
		estimate(10, 10)
	}

	fn update() -> Weight {
		estimate(1, 1)
	}

	fn set_roles() -> Weight {
		estimate(8, 7)
	}

	fn add_bond() -> Weight {
		estimate(9, 9)
	}

	fn heartbeat() -> Weight {
		estimate(7, 7)
	}

	fn deregister() -> Weight {
		estimate(8, 7)
	}

	fn withdraw() -> Weight {
		estimate(3, 4)
	}

	fn evict() -> Weight {
		estimate(7, 7)
	}
}
