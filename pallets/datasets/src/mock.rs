//! A runtime of three pallets for the tests. What other pallets would answer is in statics of the
//! test's thread.

use crate as pallet_datasets;
use crate::{Phase, Report, Scores, Status, Thresholds};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	pow,
	record::{Availability, DatasetKind, Manifest, Record, Shard, MANIFEST_VERSION},
	roles::Role,
	BoundedVec, H256,
};
use codec::Encode;
use pallet_bly::{Rewards, Share};
use pallet_reputation::{Level, Outcome, Quotas, Reputation, Subject};
use pallet_shards::Shards;
use pallet_workers::Workers;
use polkadot_sdk::*;
use std::collections::{BTreeMap, BTreeSet};

use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU128, Hooks, Randomness},
};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{
	traits::{IdentityLookup, Verify},
	AccountId32, BuildStorage, DispatchError, DispatchResult, MultiSignature, Perbill,
};

pub type AccountId = AccountId32;
type Block = frame_system::mocking::MockBlock<Test>;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Datasets: pallet_datasets,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<Self::AccountId>;
	type AccountData = pallet_balances::AccountData<u128>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type AccountStore = System;
	type Balance = u128;
	type ExistentialDeposit = ConstU128<10>;
}

/// The owner of datasets, unless a test needs several.
pub const OWNER: Sr25519Keyring = Sr25519Keyring::Alice;
/// Blocks in which shards must be uploaded.
pub const UPLOAD: u64 = 20;
/// Blocks of an audit's first phase.
pub const COMMIT: u64 = 5;
/// Blocks of an audit's second phase.
pub const REVEAL: u64 = 6;
/// Blocks of a vote.
pub const VOTING: u64 = 10;
/// Blocks in which an appeal is possible.
pub const APPEAL: u64 = 15;
/// Blocks that a voter must have been registered.
pub const AGE: u64 = 3;
/// Votes without which nothing is approved.
pub const QUORUM: u32 = 3;
/// Score that a voter must have.
pub const MIN_SCORE: u32 = 300;
/// What is held of a voter.
pub const DEPOSIT: u128 = 100;
/// What the owner and the accounts from 101 to 200 have at genesis.
pub const ENDOWMENT: u128 = 1_000;

parameter_types! {
	pub const UploadPeriod: u64 = UPLOAD;
	pub const AppealPeriod: u64 = APPEAL;
	pub const VoterAge: u64 = AGE;
	pub const VoteQuorum: u32 = QUORUM;
	pub const MinVoterScore: u32 = MIN_SCORE;
	pub AuditThresholds: Thresholds = Thresholds::default();
	pub const InitialDifficulty: u32 = 4;
	pub const MinDifficulty: u32 = 2;
	pub const MaxDifficulty: u32 = 8;
	pub const TargetSubmissions: u32 = 2;
	pub const MaxDuePerBlock: u32 = 4;
	pub const DrawsPerBlock: u32 = 2;
	pub const TasksPerPage: u32 = 2;

	pub static CommitPeriod: u64 = COMMIT;
	pub static RevealPeriod: u64 = REVEAL;
	pub static VotingPeriod: u64 = VOTING;
	pub static VoterDeposit: u128 = DEPOSIT;
	pub static AuditorsPerDataset: u32 = 3;
	pub static AdjustPeriod: u64 = 0;
	/// Whether blocks have randomness.
	pub static HasRandomness: bool = true;
	/// Auditors, by number.
	pub static AuditorPool: Vec<u8> = (11..=18).collect();
	/// Hardware of workers.
	pub static WorkerHardware: BTreeMap<AccountId, H256> = BTreeMap::new();
	/// Accounts in quarantine.
	pub static InQuarantine: Vec<AccountId> = Vec::new();
	/// Scores of those who do not have the neutral one.
	pub static KnownScores: BTreeMap<AccountId, u32> = BTreeMap::new();
	/// Live datasets that anybody may have.
	pub static LiveQuota: u32 = 20;
	/// What was noted, in order.
	pub static Noted: Vec<(AccountId, Subject, Outcome)> = Vec::new();
	/// What was credited, in order.
	pub static Credited: Vec<(AccountId, Share, u64)> = Vec::new();
	/// CIDs of what is stored.
	pub static StoredCids: BTreeSet<H256> = BTreeSet::new();
	/// Whether the block can take another shard.
	pub static HasRoom: bool = true;
}

fn reset() {
	CommitPeriod::reset();
	RevealPeriod::reset();
	VotingPeriod::reset();
	VoterDeposit::reset();
	AuditorsPerDataset::reset();
	AdjustPeriod::reset();
	HasRandomness::reset();
	AuditorPool::reset();
	WorkerHardware::reset();
	InQuarantine::reset();
	KnownScores::reset();
	LiveQuota::reset();
	Noted::reset();
	Credited::reset();
	StoredCids::reset();
	HasRoom::reset();
}

/// Randomness that is known since the block before this one.
pub struct MockRandomness;

impl Randomness<Option<H256>, u64> for MockRandomness {
	fn random(subject: &[u8]) -> (Option<H256>, u64) {
		let parent = System::block_number().saturating_sub(1);
		let hash = blake2b_256(&(subject, parent).encode());
		(HasRandomness::get().then_some(hash), parent)
	}
}

pub struct MockReputation;

impl Reputation<AccountId> for MockReputation {
	fn score(who: &AccountId, _: Subject) -> u32 {
		KnownScores::get().get(who).copied().unwrap_or(500)
	}

	fn level(_: &AccountId) -> Level {
		Level::Newcomer
	}

	fn quarantined(who: &AccountId) -> bool {
		InQuarantine::get().contains(who)
	}

	fn record(who: &AccountId, subject: Subject, outcome: Outcome) {
		Noted::mutate(|noted| noted.push((who.clone(), subject, outcome)));
	}
}

impl Quotas<AccountId> for MockReputation {
	fn quota(_: &AccountId) -> u32 {
		LiveQuota::get()
	}
}

pub struct MockWorkers;

impl Workers<AccountId> for MockWorkers {
	type Balance = u128;

	fn is_active(_: &AccountId, _: Role) -> bool {
		true
	}

	fn candidates(role: Role) -> Vec<(AccountId, u64)> {
		assert_eq!(role, Role::Auditor);
		AuditorPool::get().into_iter().map(|n| (account(n), 100)).collect()
	}

	fn hardware_id(who: &AccountId) -> Option<H256> {
		WorkerHardware::get().get(who).copied()
	}

	fn engage(_: &AccountId) -> DispatchResult {
		Ok(())
	}

	fn release(_: &AccountId) {}

	fn slash(_: &AccountId, _: Perbill, _: Option<&AccountId>) -> u128 {
		0
	}
}

pub struct MockRewards;

impl Rewards<AccountId> for MockRewards {
	fn credit(who: &AccountId, share: Share, points: u64) {
		Credited::mutate(|credited| credited.push((who.clone(), share, points)));
	}
}

pub struct MockShards;

impl Shards<AccountId> for MockShards {
	fn store(data: &[u8]) -> Result<H256, DispatchError> {
		let cid = blake2b_256(data);
		StoredCids::mutate(|cids| cids.insert(cid));
		Ok(cid)
	}

	fn has_room() -> bool {
		HasRoom::get()
	}

	fn is_stored(cid: &H256) -> bool {
		StoredCids::get().contains(cid)
	}
}

#[cfg(feature = "runtime-benchmarks")]
pub struct MockSigner;

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId, MultiSignature> for MockSigner {
	fn sign(message: &[u8]) -> (AccountId, MultiSignature) {
		(OWNER.to_account_id(), OWNER.sign(message).into())
	}
}

impl pallet_datasets::Config for Test {
	type Signature = MultiSignature;
	type Signer = <MultiSignature as Verify>::Signer;
	type Randomness = MockRandomness;
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type Reputation = MockReputation;
	type Quotas = MockReputation;
	type Workers = MockWorkers;
	type Rewards = MockRewards;
	type Shards = MockShards;
	type AdminOrigin = frame_system::EnsureRoot<AccountId>;
	type UploadPeriod = UploadPeriod;
	type CommitPeriod = CommitPeriod;
	type RevealPeriod = RevealPeriod;
	type VotingPeriod = VotingPeriod;
	type AppealPeriod = AppealPeriod;
	type VoterAge = VoterAge;
	type VoterDeposit = VoterDeposit;
	type AuditorsPerDataset = AuditorsPerDataset;
	type VoteQuorum = VoteQuorum;
	type MinVoterScore = MinVoterScore;
	type Thresholds = AuditThresholds;
	type InitialDifficulty = InitialDifficulty;
	type MinDifficulty = MinDifficulty;
	type MaxDifficulty = MaxDifficulty;
	type AdjustPeriod = AdjustPeriod;
	type TargetSubmissions = TargetSubmissions;
	type MaxDuePerBlock = MaxDuePerBlock;
	type DrawsPerBlock = DrawsPerBlock;
	type TasksPerPage = TasksPerPage;
	type WeightInfo = ();
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockSigner;
}

/// Builds the state that a test starts from.
pub struct ExtBuilder;

impl ExtBuilder {
	/// Runs `test` in block 1 and checks the invariants afterwards.
	pub fn build_and_execute(test: impl FnOnce()) {
		reset();
		let rich = (101..=200).map(account).chain([owner()]);
		let storage = RuntimeGenesisConfig {
			balances: pallet_balances::GenesisConfig {
				balances: rich.map(|who| (who, ENDOWMENT)).collect(),
				..Default::default()
			},
			..Default::default()
		}
		.build_storage()
		.expect("the genesis is valid");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| {
			System::set_block_number(1);
			Datasets::on_initialize(1);
			test();
			Datasets::do_try_state().expect("the invariants hold");
		});
	}
}

/// The account with number `n`.
pub fn account(n: u8) -> AccountId {
	AccountId::new([n; 32])
}

/// Hardware with number `n`.
pub fn hardware(n: u8) -> H256 {
	H256([n; 32])
}

/// Goes on to block `to`.
pub fn run_to(to: u64) {
	while System::block_number() < to {
		let next = System::block_number() + 1;
		System::set_block_number(next);
		Datasets::on_initialize(next);
	}
}

/// Goes on by `blocks` blocks.
pub fn run(blocks: u64) {
	run_to(System::block_number() + blocks);
}

/// A manifest and the shards that it names.
#[derive(Clone, Debug)]
pub struct Sample {
	pub manifest: Manifest,
	pub shards: Vec<Vec<u8>>,
}

/// A dataset of `shards` shards of 64 records; no two tags give the same.
pub fn sample(tag: u16, shards: u32) -> Sample {
	let made: Vec<Shard> = (0..shards)
		.map(|shard| {
			let mut made = Shard::new();
			for record in 0..64 {
				let text = format!("dataset {tag}, shard {shard}, record {record}");
				let bytes = Record::Text { text }.encode().expect("the record is short");
				made.push(&bytes).expect("the shard is short");
			}
			made
		})
		.collect();
	let infos: Vec<_> = made.iter().map(Shard::info).collect();
	let manifest = Manifest {
		version: MANIFEST_VERSION,
		name: BoundedVec::truncate_from(format!("dataset {tag}").into_bytes()),
		kind: DatasetKind::Text,
		licence: BoundedVec::truncate_from(b"CC0-1.0".to_vec()),
		language: BoundedVec::truncate_from(b"en".to_vec()),
		source: BoundedVec::truncate_from(b"made up for a test".to_vec()),
		records: infos.iter().map(|info| info.records).sum(),
		bytes: infos.iter().map(|info| u64::from(info.bytes)).sum(),
		records_root: blake2b_256(&(b"records", tag).encode()),
		shards: BoundedVec::truncate_from(infos),
		availability: Availability::Chain,
	};
	Sample { manifest, shards: made.into_iter().map(Shard::into_bytes).collect() }
}

/// A nonce that meets the current difficulty.
pub fn work(manifest: &Manifest, owner: Sr25519Keyring) -> u64 {
	let account: [u8; 32] = owner.to_account_id().into();
	pow::solve(&manifest.hash(), &account, Datasets::difficulty(), 1 << 20).expect("it is easy")
}

/// `owner`'s signature over the manifest.
pub fn signed(manifest: &Manifest, owner: Sr25519Keyring) -> MultiSignature {
	owner.sign(manifest.hash().as_bytes()).into()
}

/// Submits as `owner`, with everything as it should be.
pub fn submit_as(owner: Sr25519Keyring, manifest: &Manifest) -> DispatchResult {
	Datasets::submit(
		RuntimeOrigin::none(),
		manifest.clone(),
		owner.to_account_id(),
		signed(manifest, owner),
		work(manifest, owner),
	)
}

/// A submitted dataset of `shards` shards; its id and its shards.
pub fn submitted(tag: u16, shards: u32) -> (u32, Vec<Vec<u8>>) {
	let id = crate::ChainHead::<Test>::get().count;
	let sample = sample(tag, shards);
	submit_as(OWNER, &sample.manifest).expect("the submission is valid");
	(id, sample.shards)
}

/// Stores a shard.
pub fn store(id: u32, index: u32, data: &[u8]) -> DispatchResult {
	Datasets::store_shard(RuntimeOrigin::none(), id, index, data.to_vec())
}

/// A dataset of two shards that waits for auditors.
pub fn uploaded(tag: u16) -> u32 {
	let (id, shards) = submitted(tag, 2);
	for (index, shard) in (0u32..).zip(&shards) {
		store(id, index, shard).expect("the shard is the right one");
	}
	id
}

/// A dataset whose auditors were drawn.
pub fn drawn(tag: u16) -> u32 {
	let id = uploaded(tag);
	while !crate::Audits::<Test>::contains_key(id) {
		run(1);
	}
	id
}

/// The auditors of a dataset.
pub fn auditors(id: u32) -> Vec<AccountId> {
	let audit = crate::Audits::<Test>::get(id).expect("an audit is going on");
	audit.seats.into_iter().map(|seat| seat.who).collect()
}

/// Scores that are all `score`.
pub fn scores(score: u16) -> Scores {
	Scores {
		format: score,
		duplicates: score,
		personal_data: score,
		toxicity: score,
		licence: score,
		language: score,
		perplexity: Some(score),
	}
}

/// A report of such scores.
pub fn report(score: u16) -> Report {
	Report { scores: scores(score), report_hash: blake2b_256(&score.to_le_bytes()) }
}

/// The salt of everybody's commitments.
pub const SALT: H256 = H256([9; 32]);

/// Commits to a report, as the auditors of the last draw do.
pub fn commit(id: u32, who: &AccountId, report: &Report) -> DispatchResult {
	let (appealed, draw) = crate::AllDatasets::<Test>::get(id)
		.map_or((false, 0), |dataset| (dataset.appealed, dataset.draws));
	let hash = commitment(&report.payload(id, appealed, draw), &SALT, who.as_ref());
	Datasets::commit_report(RuntimeOrigin::signed(who.clone()), id, hash)
		.map(|_| ())
		.map_err(|e| e.error)
}

/// Reveals a report.
pub fn reveal(id: u32, who: &AccountId, report: Report) -> DispatchResult {
	Datasets::reveal_report(RuntimeOrigin::signed(who.clone()), id, report, SALT)
		.map(|_| ())
		.map_err(|e| e.error)
}

/// Has all auditors give such scores.
pub fn audited(id: u32, score: u16) {
	let auditors = auditors(id);
	for who in &auditors {
		commit(id, who, &report(score)).expect("it is time to commit");
	}
	assert_eq!(crate::Audits::<Test>::get(id).expect("goes on").phase, Phase::Reveal);
	for who in &auditors {
		reveal(id, who, report(score)).expect("it is time to reveal");
	}
}

/// A dataset that is being voted on.
pub fn voting(tag: u16) -> u32 {
	let id = drawn(tag);
	audited(id, 980);
	assert_eq!(status(id), Status::Voting);
	id
}

/// Registers voters with these numbers; they may vote at once.
pub fn voters(numbers: core::ops::RangeInclusive<u8>) {
	for n in numbers {
		Datasets::register_voter(RuntimeOrigin::signed(account(n)), hardware(n))
			.expect("the voter is new");
		crate::Voters::<Test>::mutate(account(n), |voter| {
			if let Some(voter) = voter {
				voter.since = 0;
			}
		});
	}
	if System::block_number() < AGE {
		run_to(AGE);
	}
}

/// Has a voter leave.
pub fn leave(n: u8) -> DispatchResult {
	Datasets::leave_voters(RuntimeOrigin::signed(account(n)))
}

/// Votes.
pub fn vote(id: u32, n: u8, approve: bool) -> DispatchResult {
	Datasets::vote(RuntimeOrigin::signed(account(n)), id, approve)
}

/// A dataset that rounds may train on. Needs the accounts 101 to 103 as voters.
pub fn approved(tag: u16) -> u32 {
	let id = voting(tag);
	for n in 101..=103 {
		vote(id, n, true).expect("the voter may vote");
	}
	run(VOTING + 1);
	assert!(matches!(status(id), Status::Approved(_)));
	id
}

/// Where a dataset is in its life.
pub fn status(id: u32) -> Status {
	crate::AllDatasets::<Test>::get(id).expect("the dataset exists").status
}

/// The owner's account.
pub fn owner() -> AccountId {
	OWNER.to_account_id()
}
