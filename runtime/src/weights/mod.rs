//! What calls and hooks cost, measured: see `scripts/weights.sh`, which writes the other files here.

pub mod pallet_bly;
pub mod pallet_datasets;
pub mod pallet_experts;
pub mod pallet_podl;
pub mod pallet_reputation;
pub mod pallet_rounds;
pub mod pallet_shards;
pub mod pallet_workers;
