//! What Blyan exists for: data, models, rounds, proofs, and who is paid.

use crate::*;
use constants::{BLY, MICRO_BLY, MILLI_BLY};
use frame_support::{
	parameter_types,
	traits::{ConstU32, Get},
};
use frame_system::EnsureRoot;
use sp_runtime::{Perbill, Permill};

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
	type WeightInfo = crate::weights::pallet_reputation::WeightInfo<Runtime>;
}

parameter_types! {
	/// Bond for each role: what a worker has to lose.
	pub const MinBond: Balance = 1_000 * BLY;
	/// Part of a slash that goes to whoever found the fraud; the rest is burned. A tenth of the
	/// bond pays for the search, and a cheat whose second account proves the fraud first still
	/// loses nine.
	pub const FinderShare: Perbill = Perbill::from_percent(10);
}

/// Workers that a role lists: every draw looks at all of them.
const MAX_WORKERS_PER_ROLE: u32 = 128;

// Every owner of a component must be able to post it.
const _: () = assert!(pallet_rounds::MAX_AGGREGATORS >= MAX_WORKERS_PER_ROLE);

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
	type MaxWorkersPerRole = ConstU32<MAX_WORKERS_PER_ROLE>;
	type WeightInfo = crate::weights::pallet_workers::WeightInfo<Runtime>;
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
	type WeightInfo = crate::weights::pallet_shards::WeightInfo<Runtime>;
}

parameter_types! {
	/// Held for a model, and for each of its components: about what its state costs.
	pub const ModelDeposit: Balance = 100 * BLY;
	pub const ComponentDeposit: Balance = BLY;
}

/// Whether models earn that nobody has admitted.
pub struct AnyModelEarns;
impl Get<bool> for AnyModelEarns {
	fn get() -> bool {
		<params::AnyModelEarns as Get<u32>>::get() > 0
	}
}

impl pallet_experts::Config for Runtime {
	type Currency = Balances;
	type AdminOrigin = EnsureRoot<AccountId>;
	type AnyModelEarns = AnyModelEarns;
	type RuntimeHoldReason = RuntimeHoldReason;
	type ModelDeposit = ModelDeposit;
	type ComponentDeposit = ComponentDeposit;
	type MaxSpecs = ConstU32<64>;
	type MaxHistory = ConstU32<1_024>;
	type WeightInfo = crate::weights::pallet_experts::WeightInfo<Runtime>;
}

parameter_types! {
	/// Reputation below which nobody votes: somewhat under the neutral 500.
	pub const MinVoterScore: u32 = 300;
	/// Held of a voter until it leaves: a twentieth of a worker's bond. Whoever makes up the ten
	/// voters of a decision binds 500 BLY for `VoterAge` and `VotingPeriod`, ten days; a hundred
	/// of them cost him as much as five workers.
	pub const VoterDeposit: Balance = 50 * BLY;
	/// The proof of work is never easier than this, nor harder than what an hour of one core finds.
	pub const MinDifficulty: u32 = 12;
	pub const MaxDifficulty: u32 = 34;
	pub AuditThresholds: pallet_datasets::Thresholds = Default::default();
}

impl pallet_datasets::Config for Runtime {
	type Signature = Signature;
	type Signer = <Signature as sp_runtime::traits::Verify>::Signer;
	type Randomness = pallet_babe::ParentBlockRandomness<Runtime>;
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Reputation = Reputation;
	type Quotas = Reputation;
	type Workers = Workers;
	type Rewards = Bly;
	type Shards = Shards;
	type AdminOrigin = EnsureRoot<AccountId>;
	type UploadPeriod = params::UploadPeriod;
	type CommitPeriod = params::AuditPhase;
	type RevealPeriod = params::AuditPhase;
	type VotingPeriod = params::VotingPeriod;
	type AppealPeriod = params::AppealPeriod;
	type VoterAge = params::VoterAge;
	type VoterDeposit = VoterDeposit;
	type AuditorsPerDataset = params::AuditorsPerDataset;
	type VoteQuorum = params::VoteQuorum;
	type MinVoterScore = MinVoterScore;
	type Thresholds = AuditThresholds;
	type InitialDifficulty = params::InitialDifficulty;
	type MinDifficulty = MinDifficulty;
	type MaxDifficulty = MaxDifficulty;
	type AdjustPeriod = params::AdjustPeriod;
	type TargetSubmissions = params::TargetSubmissions;
	type MaxDuePerBlock = ConstU32<32>;
	type DrawsPerBlock = ConstU32<4>;
	type TasksPerPage = ConstU32<64>;
	type WeightInfo = crate::weights::pallet_datasets::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmark_helpers::Datasets;
}

parameter_types! {
	/// How far from the median an evaluator's losses and improvement may lie and still be paid. All
	/// measure the same records, so this is only for what devices differ by.
	pub const EvaluationTolerance: Permill = Permill::from_parts(5_000);
	/// A trainer whose training was not what it claims loses half of its bond,
	pub const MismatchSlash: Perbill = Perbill::from_percent(50);
	/// one that is refuted by proof all of it,
	pub const FraudSlash: Perbill = Perbill::from_percent(100);
	/// one that withholds its trace a twentieth,
	pub const UnavailableSlash: Perbill = Perbill::from_percent(5);
	/// and a verifier that contradicts the decision, or hides its verdict, a tenth.
	pub const VerifierSlash: Perbill = Perbill::from_percent(10);
}

impl pallet_rounds::Config for Runtime {
	type Workers = Workers;
	type Reputation = Reputation;
	type Rewards = Bly;
	type Datasets = Datasets;
	type Models = Experts;
	type Updates = Podl;
	type Randomness = pallet_babe::ParentBlockRandomness<Runtime>;
	type OpenPeriod = params::OpenPeriod;
	type TrainPeriod = params::TrainPeriod;
	type RevealPeriod = params::RevealPeriod;
	type AuditPeriod = params::VerifyPeriod;
	type MergeTurn = params::MergeTurn;
	type ChallengePeriod = params::ChallengePeriod;
	type EvaluatePeriod = params::EvaluatePeriod;
	type MinUpdates = params::MinUpdates;
	type MaxTrainers = params::MaxTrainers;
	type EvaluatorsPerRound = params::EvaluatorsPerRound;
	type EvaluationTolerance = EvaluationTolerance;
	type MaxLiveRounds = ConstU32<16>;
	type MergeTurns = ConstU32<4>;
	type WeightInfo = crate::weights::pallet_rounds::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmark_helpers::Rounds;
}

impl pallet_podl::Config for Runtime {
	type Rounds = Rounds;
	type Workers = Workers;
	type Reputation = Reputation;
	type Rewards = Bly;
	type VerifiersPerUpdate = params::VerifiersPerUpdate;
	type SegmentsPerUpdate = params::SegmentsPerUpdate;
	type MismatchSlash = MismatchSlash;
	type FraudSlash = FraudSlash;
	type UnavailableSlash = UnavailableSlash;
	type VerifierSlash = VerifierSlash;
	type WeightInfo = crate::weights::pallet_podl::WeightInfo<Runtime>;
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = crate::benchmark_helpers::Podl;
}
