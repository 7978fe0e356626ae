//! Weights of the calls and of what a round makes this pallet do. The runtime brings measured ones;
//! those for `()` serve tests.

use polkadot_sdk::frame_support::weights::{constants::RocksDbWeight, Weight};

/// Weights that the pallet needs.
pub trait WeightInfo {
	/// Weight of `commit_update`.
	fn commit_update() -> Weight;
	/// Weight of `reveal_update` of an update of `d` components.
	fn reveal_update(d: u32) -> Weight;
	/// Weight of `commit_verdict`.
	fn commit_verdict() -> Weight;
	/// Weight of `reveal_verdict`, where it refutes the update.
	fn reveal_verdict() -> Weight;
	/// Weight of `prove_data_misuse`.
	fn prove_data_misuse() -> Weight;
	/// Weight of `prove_trace_misfit`.
	fn prove_trace_misfit() -> Weight;
	/// Weight of drawing the committees of `u` updates, as many as a round has.
	fn start_audit(u: u32) -> Weight;
	/// Weight of ruling on as many updates as a round can have.
	fn close_audit() -> Weight;
	/// Weight of finding out what is merged, for as many updates as a round can have.
	fn touched() -> Weight;
	/// Weight of forgetting as many updates as a round can have.
	fn clear() -> Weight;
}

/// A weight for tests: some computation, and database access by count.
fn estimate(reads: u64, writes: u64) -> Weight {
	Weight::from_parts(40_000_000, 64_000)
		.saturating_add(RocksDbWeight::get().reads_writes(reads, writes))
}

impl WeightInfo for () {
	fn commit_update() -> Weight {
		estimate(4, 2)
	}

	fn reveal_update(d: u32) -> Weight {
		estimate(5, 3).saturating_add(Weight::from_parts(2_000_000, 0).saturating_mul(d.into()))
	}

	fn commit_verdict() -> Weight {
		estimate(2, 1)
	}

	fn reveal_verdict() -> Weight {
		estimate(12, 12)
	}

	fn prove_data_misuse() -> Weight {
		estimate(12, 8)
	}

	fn prove_trace_misfit() -> Weight {
		estimate(10, 8)
	}

	fn start_audit(u: u32) -> Weight {
		estimate(600, 0).saturating_add(estimate(10, 10).saturating_mul(u.into()))
	}

	fn close_audit() -> Weight {
		estimate(900, 900)
	}

	fn touched() -> Weight {
		estimate(130, 0)
	}

	fn clear() -> Weight {
		estimate(700, 700)
	}
}
