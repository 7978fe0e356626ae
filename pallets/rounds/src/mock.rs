//! A runtime of two pallets for the tests. What other pallets would answer is in statics of the
//! test's thread.

use crate as pallet_rounds;
use crate::{Losses, Phase, RoundOf, Standing, Updates, MAX_TRAINERS as TRAINERS_BOUND};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	model::Architecture,
	recipe::{Numeric, Recipe},
	roles::Role,
	H256,
};
use codec::Encode;
use pallet_bly::{Rewards, Share};
use pallet_datasets::{Approved, Datasets};
use pallet_experts::{Lineage, Models};
use pallet_reputation::{Level, Outcome, Reputation, Subject};
use pallet_workers::Workers;
use polkadot_sdk::*;
use std::collections::BTreeMap;

use frame_support::{
	derive_impl,
	dispatch::DispatchResult,
	parameter_types,
	traits::{ConstU32, Hooks, Randomness},
	weights::Weight,
};
use sp_runtime::{
	traits::IdentityLookup, AccountId32, BuildStorage, DispatchError, Perbill, Permill,
};

pub type AccountId = AccountId32;
type Block = frame_system::mocking::MockBlock<Test>;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Rounds: pallet_rounds,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<Self::AccountId>;
}

/// The model that tests train, unless they need several. All models below 100 are alike.
pub const MODEL: u32 = 7;
/// Its snapshot.
pub const SNAPSHOT: u32 = 3;
/// Number of its components.
pub const COMPONENTS: u32 = 6;
/// Owner of all models.
pub const OWNER: u8 = 10;
/// Samples of an update.
pub const SAMPLES: u32 = 8;

/// The account with number `n`.
pub fn account(n: u8) -> AccountId {
	AccountId::new([n; 32])
}

/// What the proofs' pallet would know about a round.
#[derive(Clone, Default)]
pub struct MockRound {
	/// Each trainer's standing; whoever is missing is silent.
	pub standings: BTreeMap<AccountId, Standing>,
	/// With which seeds committees were drawn.
	pub seeds: Vec<H256>,
	/// Whether all verdicts are in.
	pub settled: bool,
	/// Whether committees must be widened.
	pub undecided: bool,
	/// With what the round was cleared.
	pub cleared: Option<bool>,
}

parameter_types! {
	pub static OpenPeriod: u64 = 5;
	pub static TrainPeriod: u64 = 10;
	pub static RevealPeriod: u64 = 6;
	pub static AuditPeriod: u64 = 8;
	pub static MergeTurn: u64 = 4;
	pub static ChallengePeriod: u64 = 5;
	pub static EvaluatePeriod: u64 = 8;
	pub static MinUpdates: u32 = 2;
	pub static MaxTrainers: u32 = 4;
	pub static EvaluatorsPerRound: u32 = 3;
	pub const EvaluationTolerance: Permill = Permill::from_percent(5);

	/// Whether blocks have randomness.
	pub static HasRandomness: bool = true;
	/// Workers that are not active.
	pub static Inactive: Vec<u8> = Vec::new();
	/// Evaluators, by number.
	pub static EvaluatorPool: Vec<u8> = vec![21, 22, 23, 24];
	/// Aggregators, by number.
	pub static AggregatorPool: Vec<u8> = vec![31, 32, 33];
	/// Accounts with the hardware of another one.
	pub static SharedHardware: BTreeMap<u8, u8> = BTreeMap::new();
	/// How often each account is engaged.
	pub static Engaged: BTreeMap<AccountId, u32> = BTreeMap::new();
	/// Accounts that cannot be engaged.
	pub static Unengageable: Vec<u8> = Vec::new();
	/// What was noted, in order.
	pub static Noted: Vec<(AccountId, Subject, Outcome)> = Vec::new();
	/// What was credited, in order.
	pub static Credited: Vec<(AccountId, Share, u64)> = Vec::new();
	/// Advances of models: base snapshot, roots, round, lineage.
	pub static Advanced: Vec<(u32, Vec<H256>, u32, Lineage)> = Vec::new();
	/// Whether models refuse to advance.
	pub static RefuseAdvance: bool = false;
	/// Models that do not earn.
	pub static Unpaid: Vec<u32> = Vec::new();
	/// Rejections: round, root.
	pub static Rejections: Vec<(u32, H256)> = Vec::new();
	/// Components that updates touch.
	pub static Touched: Vec<u16> = vec![0, 2, 5];
	/// Updates by round.
	pub static MockRounds: BTreeMap<u32, MockRound> = BTreeMap::new();
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

fn number(who: &AccountId) -> u8 {
	let bytes: &[u8; 32] = who.as_ref();
	bytes[0]
}

pub struct MockWorkers;

impl Workers<AccountId> for MockWorkers {
	type Balance = u128;

	fn is_active(who: &AccountId, _role: Role) -> bool {
		!Inactive::get().contains(&number(who))
	}

	fn candidates(role: Role) -> Vec<(AccountId, u64)> {
		let pool = match role {
			Role::Evaluator => EvaluatorPool::get(),
			Role::Aggregator => AggregatorPool::get(),
			_ => Vec::new(),
		};
		pool.into_iter().map(|n| (account(n), 100)).collect()
	}

	fn hardware_id(who: &AccountId) -> Option<H256> {
		let n = number(who);
		let n = SharedHardware::get().get(&n).copied().unwrap_or(n);
		Some(H256::repeat_byte(n))
	}

	fn engage(who: &AccountId) -> DispatchResult {
		if Unengageable::get().contains(&number(who)) {
			return Err(DispatchError::Other("leaving"));
		}
		Engaged::mutate(|engaged| *engaged.entry(who.clone()).or_insert(0) += 1);
		Ok(())
	}

	fn release(who: &AccountId) {
		Engaged::mutate(|engaged| {
			let count = engaged.get_mut(who).expect("only the engaged are released");
			*count -= 1;
			if *count == 0 {
				engaged.remove(who);
			}
		});
	}

	fn slash(_: &AccountId, _: Perbill, _: Option<&AccountId>) -> u128 {
		0
	}
}

pub struct MockReputation;

impl Reputation<AccountId> for MockReputation {
	fn score(_: &AccountId, _: Subject) -> u32 {
		500
	}

	fn level(_: &AccountId) -> Level {
		Level::Newcomer
	}

	fn quarantined(_: &AccountId) -> bool {
		false
	}

	fn record(who: &AccountId, subject: Subject, outcome: Outcome) {
		Noted::mutate(|noted| noted.push((who.clone(), subject, outcome)));
	}
}

pub struct MockRewards;

impl Rewards<AccountId> for MockRewards {
	fn credit(who: &AccountId, share: Share, points: u64) {
		Credited::mutate(|credited| credited.push((who.clone(), share, points)));
	}
}

pub struct MockDatasets;

impl Datasets<AccountId> for MockDatasets {
	/// Datasets 1 to 9 are approved; number `n` has `100·n` records and belongs to `account(40 + n)`.
	fn approved(id: u32) -> Option<Approved<AccountId>> {
		if !(1..10).contains(&id) {
			return None;
		}
		Some(Approved {
			owner: account(40 + id as u8),
			records: 100 * id,
			records_root: H256::repeat_byte(id as u8),
			held_out_seed: H256::repeat_byte(100 + id as u8),
		})
	}
}

/// A model with as many components as the others, and 35 million weights.
pub const WIDE_MODEL: u32 = 51;

/// The architecture of all models but 50, which has none, and [`WIDE_MODEL`].
pub fn architecture() -> Architecture {
	Architecture {
		vocab: 256,
		d_model: 8,
		layers: 1,
		heads: 2,
		context: 16,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	}
}

/// Roots of the base's components.
pub fn base_roots() -> Vec<H256> {
	(0..COMPONENTS).map(|component| H256::repeat_byte(200 + component as u8)).collect()
}

pub struct MockModels;

impl Models<AccountId> for MockModels {
	fn owner(model: u32) -> Option<AccountId> {
		(model < 100).then(|| account(OWNER))
	}

	fn architecture(model: u32) -> Option<Architecture> {
		match model {
			50 => None,
			WIDE_MODEL => Some(Architecture { d_model: 512, d_ff: 16_384, ..architecture() }),
			_ => Some(architecture()),
		}
	}

	fn head(_: u32) -> Option<(u32, H256)> {
		Some((SNAPSHOT, H256::repeat_byte(199)))
	}

	fn component_roots(_: u32) -> Vec<H256> {
		base_roots()
	}

	fn advance(
		_: u32,
		base_snapshot: u32,
		roots: Vec<H256>,
		round: u32,
		lineage: Lineage,
	) -> DispatchResult {
		if RefuseAdvance::get() {
			return Err(DispatchError::Unavailable);
		}
		Advanced::mutate(|advanced| advanced.push((base_snapshot, roots, round, lineage)));
		Ok(())
	}

	fn earns(model: u32) -> bool {
		!Unpaid::get().contains(&model)
	}

	fn reject(_: u32, round: u32, heads_root: H256) {
		Rejections::mutate(|rejections| rejections.push((round, heads_root)));
	}
}

/// The updates of a round, as a test has set them.
pub fn mock_round(id: u32) -> MockRound {
	MockRounds::get().get(&id).cloned().unwrap_or_default()
}

/// Changes the updates of a round.
pub fn with_round<R>(id: u32, change: impl FnOnce(&mut MockRound) -> R) -> R {
	MockRounds::mutate(|rounds| change(rounds.entry(id).or_default()))
}

/// Sets what became of a trainer's update.
pub fn set_standing(id: u32, trainer: u8, standing: Standing) {
	with_round(id, |round| round.standings.insert(account(trainer), standing));
}

fn count(id: u32, which: impl Fn(Standing) -> bool) -> u32 {
	mock_round(id).standings.values().filter(|standing| which(**standing)).count() as u32
}

pub struct MockUpdates;

impl Updates<AccountId> for MockUpdates {
	fn committed(round: u32) -> u32 {
		count(round, |standing| standing != Standing::Silent)
	}

	fn revealed(round: u32) -> u32 {
		count(round, |standing| !matches!(standing, Standing::Silent | Standing::Committed))
	}

	fn start_audit(round: u32, seed: &H256) {
		with_round(round, |round| round.seeds.push(*seed));
	}

	fn audit_settled(round: u32) -> bool {
		mock_round(round).settled
	}

	fn close_audit(round: u32, last: bool) -> bool {
		with_round(round, |round| {
			if round.undecided && !last {
				round.settled = false;
				return false;
			}
			for standing in round.standings.values_mut() {
				if *standing == Standing::Revealed {
					*standing =
						if round.undecided { Standing::Unverified } else { Standing::Accepted };
				}
			}
			true
		})
	}

	fn standing(round: u32, who: &AccountId) -> Standing {
		mock_round(round).standings.get(who).copied().unwrap_or(Standing::Silent)
	}

	fn accepted(round: u32) -> Vec<(AccountId, u32)> {
		mock_round(round)
			.standings
			.into_iter()
			.filter(|(_, standing)| *standing == Standing::Accepted)
			.map(|(who, _)| (who, SAMPLES))
			.collect()
	}

	fn touched(_: u32) -> Vec<u16> {
		Touched::get()
	}

	fn clear(round: u32, pay: bool) {
		with_round(round, |round| {
			assert_eq!(round.cleared, None, "a round ends once");
			round.cleared = Some(pay);
		});
	}

	fn weight() -> Weight {
		Weight::from_parts(1_000_000, 1_000)
	}
}

/// Helper of benchmarks: in this runtime every number is a worker.
#[cfg(feature = "runtime-benchmarks")]
pub struct MockHelper;

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId> for MockHelper {
	fn model() -> (u32, AccountId) {
		(MODEL, account(OWNER))
	}

	fn dataset(index: u32) -> u32 {
		1 + index % 9
	}

	fn worker(index: u32) -> AccountId {
		account(index as u8)
	}

	fn accept(round: u32, trainer: &AccountId) {
		with_round(round, |round| round.standings.insert(trainer.clone(), Standing::Accepted));
	}
}

impl pallet_rounds::Config for Test {
	type Workers = MockWorkers;
	type Reputation = MockReputation;
	type Rewards = MockRewards;
	type Datasets = MockDatasets;
	type Models = MockModels;
	type Updates = MockUpdates;
	type Randomness = MockRandomness;
	type OpenPeriod = OpenPeriod;
	type TrainPeriod = TrainPeriod;
	type RevealPeriod = RevealPeriod;
	type AuditPeriod = AuditPeriod;
	type MergeTurn = MergeTurn;
	type ChallengePeriod = ChallengePeriod;
	type EvaluatePeriod = EvaluatePeriod;
	type MinUpdates = MinUpdates;
	type MaxTrainers = MaxTrainers;
	type EvaluatorsPerRound = EvaluatorsPerRound;
	type EvaluationTolerance = EvaluationTolerance;
	type MaxLiveRounds = ConstU32<16>;
	type MergeTurns = ConstU32<3>;
	type WeightInfo = ();
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockHelper;
}

/// A recipe that is valid.
pub fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 4,
		batch: 2,
		checkpoint_every: 2,
		learning_rate_nano: 1_000_000,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 10_000,
		min_alignment_ppm: 900_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 8,
		margin_micronats: 100,
		max_delta_norm: 1_000_000,
	}
}

/// The round, which must be live.
pub fn round(id: u32) -> RoundOf<Test> {
	pallet_rounds::Rounds::<Test>::get(id).expect("the round is live")
}

/// The phase of a round, live or ended.
pub fn phase(id: u32) -> Phase {
	match pallet_rounds::Rounds::<Test>::get(id) {
		Some(round) => round.phase,
		None => Rounds::summary(id).expect("the round has ended").outcome,
	}
}

/// Runs `blocks` blocks.
pub fn run(blocks: u64) {
	for _ in 0..blocks {
		let next = System::block_number() + 1;
		System::set_block_number(next);
		<Rounds as Hooks<u64>>::on_initialize(next);
	}
}

/// Runs until the round is in `phase` and waits for no draw.
pub fn run_until(id: u32, wanted: Phase) {
	for _ in 0..200 {
		let drawing = pallet_rounds::Rounds::<Test>::get(id).is_some_and(|round| round.drawing);
		if phase(id) == wanted && !drawing {
			return;
		}
		run(1);
	}
	panic!("the round is in {:?} and does not get to {wanted:?}", phase(id));
}

/// Opens a round of `MODEL` on datasets 1 and 2, the second one twice.
pub fn open() -> u32 {
	let id = pallet_rounds::NextRound::<Test>::get();
	let datasets = vec![(1, 1), (2, 2)].try_into().expect("two are not too many");
	Rounds::open(RuntimeOrigin::signed(account(OWNER)), MODEL, datasets, recipe())
		.expect("the call is right");
	id
}

/// Opens a round, which `trainers` join, and waits for its seed.
pub fn open_and_join(trainers: &[u8]) -> u32 {
	let id = open();
	for trainer in trainers {
		Rounds::join(RuntimeOrigin::signed(account(*trainer)), id).expect("the round is open");
	}
	run_until(id, Phase::Train);
	id
}

/// Goes on until the audit has been drawn; all of `trainers` have revealed.
pub fn audit(trainers: &[u8]) -> u32 {
	let id = open_and_join(trainers);
	for trainer in trainers {
		set_standing(id, *trainer, Standing::Committed);
	}
	run_until(id, Phase::Reveal);
	for trainer in trainers {
		set_standing(id, *trainer, Standing::Revealed);
	}
	run_until(id, Phase::Audit);
	id
}

/// Goes on until the merge; the updates of all `trainers` are accepted.
pub fn merge(trainers: &[u8]) -> u32 {
	let id = audit(trainers);
	with_round(id, |round| round.settled = true);
	run_until(id, Phase::Merge);
	id
}

/// The root that tests post for a component.
pub fn merged_root(component: u16) -> H256 {
	H256::repeat_byte(component as u8 + 1)
}

/// Posts everything that is needed, each component by its owner.
pub fn post_all(id: u32) {
	for component in Touched::get() {
		let owner = Rounds::owner_of(id, component)[0].clone();
		let roots = vec![(component, merged_root(component))].try_into().expect("one is allowed");
		Rounds::post_merge(RuntimeOrigin::signed(owner), id, roots)
			.expect("it is the owner's turn");
	}
}

/// Goes on until evaluators have been drawn.
pub fn evaluate(trainers: &[u8]) -> u32 {
	let id = merge(trainers);
	post_all(id);
	run_until(id, Phase::Evaluate);
	id
}

/// The drawn evaluators.
pub fn evaluators(id: u32) -> Vec<AccountId> {
	pallet_rounds::Evaluators::<Test>::get(id).into_iter().map(|evaluator| evaluator.who).collect()
}

/// The salt of everybody's commitments.
pub fn salt() -> H256 {
	H256::repeat_byte(77)
}

/// What `who` commits to.
pub fn evaluation_hash(id: u32, who: &AccountId, losses: Losses) -> H256 {
	commitment(&losses.payload(id), &salt(), who.as_ref())
}

/// Commits to losses.
pub fn commit_evaluation(id: u32, who: &AccountId, losses: Losses) -> DispatchResult {
	let hash = evaluation_hash(id, who, losses);
	Rounds::commit_evaluation(RuntimeOrigin::signed(who.clone()), id, hash)
}

/// Reveals losses.
pub fn reveal_evaluation(id: u32, who: &AccountId, losses: Losses) -> DispatchResult {
	let origin = RuntimeOrigin::signed(who.clone());
	Rounds::reveal_evaluation(origin, id, losses.base, losses.candidate, salt())
}

/// Lets the evaluators measure `losses`, one each, and runs until the round has ended.
pub fn end_with(id: u32, losses: &[(u32, u32)]) {
	let measured: Vec<(AccountId, Losses)> = evaluators(id)
		.into_iter()
		.zip(losses)
		.map(|(who, (base, candidate))| (who, Losses { base: *base, candidate: *candidate }))
		.collect();
	for (who, losses) in &measured {
		commit_evaluation(id, who, *losses).expect("it is time to commit");
	}
	run(4);
	for (who, losses) in &measured {
		reveal_evaluation(id, who, *losses).expect("it is time to reveal");
	}
	for _ in 0..20 {
		if pallet_rounds::Rounds::<Test>::contains_key(id) {
			run(1);
		}
	}
}

/// How `who` was found to have done.
pub fn noted(who: &AccountId) -> Vec<(Subject, Outcome)> {
	Noted::get()
		.into_iter()
		.filter(|(other, _, _)| other == who)
		.map(|(_, subject, outcome)| (subject, outcome))
		.collect()
}

/// What `who` was credited in a share.
pub fn credited(who: &AccountId, share: Share) -> u64 {
	Credited::get()
		.into_iter()
		.filter(|(other, which, _)| other == who && *which == share)
		.map(|(_, _, points)| points)
		.sum()
}

/// Checks the invariants, those with the other side in the mock as well.
pub fn check() {
	Rounds::do_try_state().expect("the invariants hold");
	let mut expected: BTreeMap<AccountId, u32> = BTreeMap::new();
	for id in pallet_rounds::Live::<Test>::get() {
		let trainers = pallet_rounds::Trainers::<Test>::get(id).into_inner();
		assert!(trainers.len() <= TRAINERS_BOUND as usize);
		let posters = pallet_rounds::Merges::<Test>::get(id).posters.into_inner();
		for who in trainers.into_iter().chain(posters).chain(evaluators(id)) {
			*expected.entry(who).or_insert(0) += 1;
		}
	}
	assert_eq!(Engaged::get(), expected, "engaged is who takes part in a live round");
}

fn reset() {
	OpenPeriod::reset();
	TrainPeriod::reset();
	RevealPeriod::reset();
	AuditPeriod::reset();
	MergeTurn::reset();
	ChallengePeriod::reset();
	EvaluatePeriod::reset();
	MinUpdates::reset();
	MaxTrainers::reset();
	EvaluatorsPerRound::reset();
	HasRandomness::reset();
	Inactive::reset();
	EvaluatorPool::reset();
	AggregatorPool::reset();
	SharedHardware::reset();
	Engaged::reset();
	Unengageable::reset();
	Noted::reset();
	Credited::reset();
	Advanced::reset();
	RefuseAdvance::reset();
	Unpaid::reset();
	Rejections::reset();
	Touched::reset();
	MockRounds::reset();
}

/// Builds the state that a test starts from.
#[derive(Default)]
pub struct ExtBuilder;

impl ExtBuilder {
	/// Runs `test` at block 1 and checks the invariants afterwards.
	pub fn build_and_execute(self, test: impl FnOnce()) {
		reset();
		let storage =
			frame_system::GenesisConfig::<Test>::default().build_storage().expect("valid genesis");
		let mut ext = sp_io::TestExternalities::new(storage);
		ext.execute_with(|| {
			System::set_block_number(1);
			test();
			check();
		});
	}
}
