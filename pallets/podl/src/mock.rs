//! A runtime of two pallets for the tests. What other pallets would answer is in statics of the
//! test's thread.

use crate as pallet_podl;
use crate::{Audit, ListLeaf, RoundsInfo, Standing, TraceLeaf, Updates, Verdict};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	model::Architecture,
	recipe::{Numeric, Recipe},
	roles::Role,
	sampling::{sample, MixtureEntry},
	trace::{Checkpoint, Step},
	tree::{Kind, Tree},
	update::{ComponentDelta, DeltaKind, Update},
	H256,
};
use codec::Encode;
use pallet_bly::{Rewards, Share};
use pallet_reputation::{Level, Outcome, Reputation, Subject};
use pallet_rounds::{MixtureDataset, Phase};
use pallet_workers::Workers;
use polkadot_sdk::*;
use std::{collections::BTreeMap, sync::OnceLock};

use frame_support::{derive_impl, dispatch::DispatchResult, parameter_types, BoundedVec};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage, DispatchError, Perbill};

pub type AccountId = AccountId32;
type Block = frame_system::mocking::MockBlock<Test>;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Podl: pallet_podl,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<Self::AccountId>;
}

/// The only round.
pub const ROUND: u32 = 3;
/// Records of its datasets.
pub const RECORDS: [u32; 2] = [70, 90];

/// The account with number `n`.
pub fn account(n: u8) -> AccountId {
	AccountId::new([n; 32])
}

parameter_types! {
	pub static VerifiersPerUpdate: u32 = 3;
	pub static SegmentsPerUpdate: u32 = 2;
	pub const MismatchSlash: Perbill = Perbill::from_percent(50);
	pub const FraudSlash: Perbill = Perbill::from_percent(100);
	pub const UnavailableSlash: Perbill = Perbill::from_percent(5);
	pub const VerifierSlash: Perbill = Perbill::from_percent(10);

	/// The phase of the round; none if it has ended.
	pub static RoundPhase: Option<Phase> = Some(Phase::Train);
	/// Its trainers, by number.
	pub static Trainers: Vec<u8> = vec![1, 2];
	/// First block in which verdicts can no longer be committed to.
	pub static CommitDeadline: u64 = 100;
	/// Whether the round has lost its datasets.
	pub static NoDatasets: bool = false;
	/// Trainers whose accepted updates the round was told are refuted.
	pub static ToldRefuted: Vec<AccountId> = Vec::new();

	/// Verifiers, by number.
	pub static VerifierPool: Vec<u8> = (21..=32).collect();
	/// Accounts with the hardware of another one.
	pub static SharedHardware: BTreeMap<u8, u8> = BTreeMap::new();
	/// How often each account is engaged.
	pub static Engaged: BTreeMap<AccountId, u32> = BTreeMap::new();
	/// Accounts that cannot be engaged.
	pub static Unengageable: Vec<u8> = Vec::new();
	/// What was slashed, in order, and for whom.
	pub static Slashed: Vec<(AccountId, Perbill, Option<AccountId>)> = Vec::new();
	/// What was noted, in order.
	pub static Noted: Vec<(AccountId, Subject, Outcome)> = Vec::new();
	/// What was credited, in order.
	pub static Credited: Vec<(AccountId, Share, u64)> = Vec::new();
}

/// A recipe of 8 steps of 4 records with 4 checkpoints.
pub fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 8,
		batch: 4,
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

/// Six components of one chunk each.
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

/// The seed of the round.
pub fn seed() -> H256 {
	H256::repeat_byte(9)
}

/// Hash of a record.
pub fn record_hash(dataset: usize, record: u32) -> H256 {
	blake2b_256(&(dataset as u32, record).encode())
}

/// Hashes of the records of a dataset.
pub fn record_hashes(dataset: usize) -> Vec<H256> {
	(0..RECORDS[dataset]).map(|record| record_hash(dataset, record)).collect()
}

/// The tree of a list of hashes.
pub fn tree(leaves: Vec<H256>) -> Tree {
	Tree::from_leaf_hashes(Kind::List, leaves.len() as u64, leaves).expect("there are leaves")
}

/// The datasets of the round. Computed once, since tests ask for them all the time.
pub fn mixture() -> Vec<MixtureDataset<AccountId>> {
	static MIXTURE: OnceLock<Vec<MixtureDataset<AccountId>>> = OnceLock::new();
	let mixture = MIXTURE.get_or_init(|| {
		(0..RECORDS.len())
			.map(|dataset| MixtureDataset {
				id: dataset as u32,
				owner: account(40 + dataset as u8),
				records: RECORDS[dataset],
				records_root: tree(record_hashes(dataset)).root(),
				weight: 1 + dataset as u16,
				held_out_seed: H256::repeat_byte(60 + dataset as u8),
			})
			.collect()
	});
	mixture.clone()
}

pub struct MockRounds;

impl MockRounds {
	fn live<R>(round: u32, answer: impl FnOnce() -> R) -> Option<R> {
		(round == ROUND && RoundPhase::get().is_some()).then(answer)
	}
}

impl RoundsInfo<AccountId, u64> for MockRounds {
	fn phase(round: u32) -> Option<Phase> {
		Self::live(round, RoundPhase::get).flatten()
	}

	fn trainers(round: u32) -> Vec<AccountId> {
		Self::live(round, || Trainers::get().into_iter().map(account).collect()).unwrap_or_default()
	}

	fn is_trainer(round: u32, who: &AccountId) -> bool {
		Self::trainers(round).contains(who)
	}

	fn seed(round: u32) -> Option<H256> {
		Self::live(round, seed)
	}

	fn recipe(round: u32) -> Option<Recipe> {
		Self::live(round, recipe)
	}

	fn mixture(round: u32) -> Vec<MixtureDataset<AccountId>> {
		if NoDatasets::get() {
			return Vec::new();
		}
		Self::live(round, mixture).unwrap_or_default()
	}

	fn architecture(round: u32) -> Option<Architecture> {
		Self::live(round, architecture)
	}

	fn commit_deadline(round: u32) -> Option<u64> {
		Self::live(round, CommitDeadline::get)
	}

	fn refute(round: u32, trainer: &AccountId) {
		assert_eq!(round, ROUND);
		ToldRefuted::mutate(|told| told.push(trainer.clone()));
	}
}

/// The number of an account.
pub fn number(who: &AccountId) -> u8 {
	let bytes: &[u8; 32] = who.as_ref();
	bytes[0]
}

pub struct MockWorkers;

impl Workers<AccountId> for MockWorkers {
	type Balance = u128;

	fn is_active(_: &AccountId, _: Role) -> bool {
		true
	}

	fn candidates(role: Role) -> Vec<(AccountId, u64)> {
		assert_eq!(role, Role::Verifier);
		VerifierPool::get().into_iter().map(|n| (account(n), 100)).collect()
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

	fn slash(who: &AccountId, fraction: Perbill, finder: Option<&AccountId>) -> u128 {
		Slashed::mutate(|slashed| slashed.push((who.clone(), fraction, finder.cloned())));
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

/// Helper of benchmarks: there is only one round, and every number is a worker.
#[cfg(feature = "runtime-benchmarks")]
pub struct MockHelper;

#[cfg(feature = "runtime-benchmarks")]
impl crate::benchmarking::BenchmarkHelper<AccountId> for MockHelper {
	fn round(trainers: Vec<AccountId>, phase: Phase, _: Recipe, _: u32, _: H256) -> u32 {
		Trainers::set(trainers.iter().map(number).collect());
		RoundPhase::set(Some(phase));
		ROUND
	}

	fn worker(index: u32) -> AccountId {
		account(index as u8)
	}
}

impl pallet_podl::Config for Test {
	type Rounds = MockRounds;
	type Workers = MockWorkers;
	type Reputation = MockReputation;
	type Rewards = MockRewards;
	type VerifiersPerUpdate = VerifiersPerUpdate;
	type SegmentsPerUpdate = SegmentsPerUpdate;
	type MismatchSlash = MismatchSlash;
	type FraudSlash = FraudSlash;
	type UnavailableSlash = UnavailableSlash;
	type VerifierSlash = VerifierSlash;
	type WeightInfo = ();
	#[cfg(feature = "runtime-benchmarks")]
	type BenchmarkHelper = MockHelper;
}

/// The position and hash of the record that a trainer is told to use.
pub fn told(trainer: &AccountId, step: u32, position: u32) -> (usize, u32, H256) {
	let entries: Vec<MixtureEntry> = mixture().iter().map(|dataset| dataset.entry()).collect();
	let (dataset, record) =
		sample(&seed(), trainer.as_ref(), step, position, &entries).expect("there are records");
	(dataset, record, record_hash(dataset, record))
}

/// A trace: the hashes of each step's batch, and its entries.
#[derive(Clone)]
pub struct MockTrace {
	/// Record hashes of the steps' batches.
	pub batches: Vec<Vec<H256>>,
	/// The steps.
	pub steps: Vec<Step>,
	/// Hashes of all entries: steps, then checkpoints.
	pub entries: Vec<H256>,
}

impl MockTrace {
	/// The trace of a trainer who did as told.
	pub fn honest(trainer: &AccountId) -> Self {
		let recipe = recipe();
		let batches: Vec<Vec<H256>> = (0..recipe.steps)
			.map(|step| (0..u32::from(recipe.batch)).map(|i| told(trainer, step, i).2).collect())
			.collect();
		Self::of(batches)
	}

	/// The trace of these batches.
	pub fn of(batches: Vec<Vec<H256>>) -> Self {
		let steps: Vec<Step> = batches
			.iter()
			.zip(0u32..)
			.map(|(batch, step)| Step {
				step,
				batch_root: tree(batch.clone()).root(),
				loss_micronats: 1_000 - step,
			})
			.collect();
		let mut trace = Self { batches, steps, entries: Vec::new() };
		trace.hash_entries();
		trace
	}

	/// Computes the entries from the steps again.
	pub fn hash_entries(&mut self) {
		let recipe = recipe();
		let checkpoints = (0..recipe.checkpoints()).map(|i| {
			let step = recipe.checkpoint_step(i).expect("there is such a checkpoint");
			let root = H256::repeat_byte(i as u8);
			Checkpoint { step, state_root: root, sketch_root: root }.hash()
		});
		self.entries = self.steps.iter().map(Step::hash).chain(checkpoints).collect();
	}

	/// Its root.
	pub fn root(&self) -> H256 {
		tree(self.entries.clone()).root()
	}

	/// A step with its path.
	pub fn leaf(&self, index: u32) -> TraceLeaf {
		TraceLeaf {
			index,
			step: self.steps[index as usize],
			proof: tree(self.entries.clone()).prove(index as usize).expect("there is such a leaf"),
		}
	}

	/// A record of a step's batch with its path.
	pub fn record(&self, step: u32, position: u32) -> ListLeaf {
		list_leaf(&self.batches[step as usize], position)
	}
}

/// A hash of a list with its path.
pub fn list_leaf(list: &[H256], index: u32) -> ListLeaf {
	ListLeaf {
		hash: list[index as usize],
		proof: tree(list.to_vec()).prove(index as usize).expect("there is such a leaf"),
	}
}

/// The record that a trainer is told to use, with its path in its dataset.
pub fn told_leaf(trainer: &AccountId, step: u32, position: u32) -> ListLeaf {
	let (dataset, record, _) = told(trainer, step, position);
	list_leaf(&record_hashes(dataset), record)
}

/// An update with this trace.
pub fn update_of(trace: &MockTrace) -> Update {
	let deltas: Vec<ComponentDelta> = [0u16, 3]
		.into_iter()
		.map(|component| ComponentDelta {
			component,
			kind: DeltaKind::Chunks,
			delta_root: H256::repeat_byte(component as u8),
			bytes: 100,
		})
		.collect();
	Update {
		round: ROUND,
		deltas: BoundedVec::truncate_from(deltas),
		delta_cids: BoundedVec::truncate_from(vec![H256::repeat_byte(70)]),
		trace_root: trace.root(),
		trace_cids: BoundedVec::truncate_from(vec![H256::repeat_byte(71)]),
		trace_entries: recipe().trace_entries(),
		samples: recipe().samples(),
		loss_before: 1_000,
		loss_after: 993,
	}
}

/// The salt of everybody's commitments.
pub fn salt() -> H256 {
	H256::repeat_byte(77)
}

/// Commits to and reveals an update; leaves the round in the phase `Reveal`.
pub fn submit(trainer: u8, update: Update) -> DispatchResult {
	let who = account(trainer);
	let hash = update.commitment(&salt(), who.as_ref());
	RoundPhase::set(Some(Phase::Train));
	Podl::commit_update(RuntimeOrigin::signed(who.clone()), ROUND, hash)?;
	RoundPhase::set(Some(Phase::Reveal));
	Podl::reveal_update(RuntimeOrigin::signed(who), ROUND, Box::new(update), salt())
}

/// Lets every trainer submit an honest update, and draws all committees.
pub fn audit() {
	for trainer in Trainers::get() {
		submit(trainer, update_of(&MockTrace::honest(&account(trainer)))).expect("it is honest");
	}
	RoundPhase::set(Some(Phase::Audit));
	draw(1);
}

/// Draws all committees that are to be drawn.
pub fn draw(seed: u8) {
	<Podl as Updates<AccountId>>::start_audit(ROUND, &H256::repeat_byte(seed));
}

/// The audit of a trainer's update.
pub fn audit_of(trainer: u8) -> Audit<AccountId> {
	pallet_podl::Audits::<Test>::get(ROUND, account(trainer)).expect("it was drawn")
}

/// The verifiers of a trainer's update, in the order in which they were drawn.
pub fn committee(trainer: u8) -> Vec<AccountId> {
	audit_of(trainer).seats.into_iter().map(|seat| seat.verifier).collect()
}

/// A verdict that finds a mismatch in the first segment that was drawn for a trainer's update.
pub fn mismatch(trainer: u8) -> Verdict {
	Verdict::Mismatch { segment: audit_of(trainer).segments[0] }
}

/// A verdict that the first segment that was drawn for a trainer's update was not served.
pub fn unavailable(trainer: u8) -> Verdict {
	Verdict::Unavailable { segment: audit_of(trainer).segments[0] }
}

/// Commits to a verdict.
pub fn commit_verdict(verifier: &AccountId, trainer: u8, verdict: Verdict) -> DispatchResult {
	let payload = verdict.payload(ROUND, account(trainer).as_ref());
	let hash = commitment(&payload, &salt(), verifier.as_ref());
	let origin = RuntimeOrigin::signed(verifier.clone());
	Podl::commit_verdict(origin, ROUND, account(trainer), hash)
}

/// Reveals a verdict.
pub fn reveal_verdict(verifier: &AccountId, trainer: u8, verdict: Verdict) -> DispatchResult {
	let origin = RuntimeOrigin::signed(verifier.clone());
	Podl::reveal_verdict(origin, ROUND, account(trainer), verdict, salt())
}

/// Lets verifiers give these verdicts on a trainer's update, in the order of their seats from
/// `first` on.
pub fn judge_from(first: usize, trainer: u8, verdicts: &[Verdict]) {
	let verifiers: Vec<AccountId> = committee(trainer).into_iter().skip(first).collect();
	for (verifier, verdict) in verifiers.iter().zip(verdicts) {
		commit_verdict(verifier, trainer, *verdict).expect("it is time to commit");
	}
	let before = CommitDeadline::get();
	CommitDeadline::set(0);
	for (verifier, verdict) in verifiers.iter().zip(verdicts) {
		reveal_verdict(verifier, trainer, *verdict).expect("it is time to reveal");
	}
	CommitDeadline::set(before);
}

/// Lets verifiers give these verdicts on a trainer's update, in the order of their seats.
pub fn judge(trainer: u8, verdicts: &[Verdict]) {
	judge_from(0, trainer, verdicts);
}

/// Closes the audit; whether that is possible.
pub fn close(last: bool) -> bool {
	<Podl as Updates<AccountId>>::close_audit(ROUND, last)
}

/// Ends the round.
pub fn end(pay: bool) {
	<Podl as Updates<AccountId>>::clear(ROUND, pay);
	RoundPhase::set(None);
}

/// What became of a trainer's update.
pub fn standing(trainer: u8) -> Standing {
	<Podl as Updates<AccountId>>::standing(ROUND, &account(trainer))
}

/// How `who` was found to have done.
pub fn noted(who: &AccountId) -> Vec<(Subject, Outcome)> {
	Noted::get()
		.into_iter()
		.filter(|(other, _, _)| other == who)
		.map(|(_, subject, outcome)| (subject, outcome))
		.collect()
}

/// What was slashed of `who`.
pub fn slashed(who: &AccountId) -> Vec<Perbill> {
	Slashed::get()
		.into_iter()
		.filter(|(other, _, _)| other == who)
		.map(|(_, fraction, _)| fraction)
		.collect()
}

/// What `who` was credited, which verifiers are only in their own share.
pub fn credited(who: &AccountId) -> u64 {
	Credited::get()
		.into_iter()
		.filter(|(other, _, _)| other == who)
		.map(|(_, share, points)| {
			assert_eq!(share, Share::Verifiers);
			points
		})
		.sum()
}

/// Checks the invariants, those with the other side in the mock as well.
pub fn check() {
	Podl::do_try_state().expect("the invariants hold");
	let mut expected: BTreeMap<AccountId, u32> = BTreeMap::new();
	for (_, _, audit) in pallet_podl::Audits::<Test>::iter() {
		for seat in audit.seats {
			*expected.entry(seat.verifier).or_insert(0) += 1;
		}
	}
	assert_eq!(Engaged::get(), expected, "engaged is who has a seat");
}

fn reset() {
	VerifiersPerUpdate::reset();
	SegmentsPerUpdate::reset();
	RoundPhase::reset();
	Trainers::reset();
	CommitDeadline::reset();
	NoDatasets::reset();
	ToldRefuted::reset();
	VerifierPool::reset();
	SharedHardware::reset();
	Engaged::reset();
	Unengageable::reset();
	Slashed::reset();
	Noted::reset();
	Credited::reset();
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
