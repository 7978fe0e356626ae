//! What Blyan exists for: data, models, rounds, proofs, and who is paid.

use crate::*;
use constants::{BLY, MICRO_BLY, MILLI_BLY};
use frame_support::{parameter_types, traits::ConstU32};
use frame_system::EnsureRoot;
use sp_runtime::Perbill;

parameter_types! {
	/// Half of the distance from the neutral score is forgotten in this time.
	pub const ReputationDecay: BlockNumber = 30 * constants::DAYS;
	/// A quarantine ends by itself after at most this time.
	pub const MaxQuarantine: BlockNumber = 30 * constants::DAYS;
}

impl pallet_reputation::Config for Runtime {
	type AdminOrigin = EnsureRoot<AccountId>;
	type DecayPeriod = ReputationDecay;
	type MaxQuarantine = MaxQuarantine;
	type NewcomerQuota = ConstU32<20>;
	type TrustedQuota = ConstU32<200>;
	type WeightInfo = ();
}

parameter_types! {
	/// Bond for each role: what a worker has to lose.
	pub const MinBond: Balance = 1_000 * BLY;
	/// Part of a slash that goes to whoever found the fraud; the rest is burned.
	pub const FinderShare: Perbill = Perbill::from_percent(50);
}

/// Tells `bly` what `workers` burned, so that issuance stays accounted for.
pub struct NoteBurned;
impl pallet_workers::OnBurn<Balance> for NoteBurned {
	fn on_burn(amount: Balance) {
		Bly::note_burned(amount);
	}
}

impl pallet_workers::Config for Runtime {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Reputation = Reputation;
	type OnBurn = NoteBurned;
	type MinBond = MinBond;
	type HeartbeatInterval = params::HeartbeatInterval;
	type UnbondingPeriod = params::UnbondingPeriod;
	type FinderShare = FinderShare;
	type MaxWorkersPerRole = ConstU32<128>;
	type WeightInfo = ();
}

parameter_types! {
	/// On top of the ordinary fee for the transaction's length.
	pub const ByteFee: Balance = MICRO_BLY;
	pub const EntryFee: Balance = 10 * MILLI_BLY;
}

impl pallet_shards::Config for Runtime {
	type Currency = Balances;
	type FeeDestination = pallet_bly::BurnFees<Runtime>;
	type ByteFee = ByteFee;
	type EntryFee = EntryFee;
	type RetentionPeriod = params::RetentionPeriod;
	type MaxBlockTransactions = ConstU32<64>;
	type MaxShardBytes = ConstU32<{ 1024 * 1024 }>;
	type WeightInfo = ();
}
