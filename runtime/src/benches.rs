//! The pallets whose weights this runtime measures; the others are the SDK's, and so are their
//! weights.

polkadot_sdk::frame_benchmarking::define_benchmarks!(
	[pallet_bly, Bly]
	[pallet_datasets, Datasets]
	[pallet_experts, Experts]
	[pallet_podl, Podl]
	[pallet_reputation, Reputation]
	[pallet_rounds, Rounds]
	[pallet_shards, Shards]
	[pallet_workers, Workers]
);
