//! Benchmarks of the calls and hooks, each in its most expensive case.

use super::*;
use alloc::{vec, vec::Vec};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	record::{
		Availability, DatasetKind, Manifest, ShardInfo, MANIFEST_VERSION, MAX_SHARDS,
		MAX_SHARD_BYTES,
	},
	BoundedVec,
};
use codec::Encode;
use frame_benchmarking::v2::*;
use frame_support::traits::{
	fungible::{Inspect, Unbalanced},
	tokens::Precision,
	EnsureOrigin, Get, Hooks,
};
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use pallet_shards::Shards;
use sp_runtime::{
	traits::{IdentifyAccount, One, Saturating, Zero},
	AccountId32, MultiSignature, MultiSigner,
};

/// Records of each shard of a benchmark's manifest.
const RECORDS: u32 = 64;
/// Bytes of each such shard, unless the benchmark is about them.
const BYTES: u32 = 1_000;
/// Workers among whom auditors are drawn.
const CANDIDATES: u32 = 128;
/// Shards that an appeal looks for, at most: as many as one block can store.
const APPEALED: u32 = 64;

/// Signs for benchmarks.
pub trait BenchmarkHelper<AccountId, Signature> {
	/// The signature of some account over `message`, and the account.
	fn sign(message: &[u8]) -> (AccountId, Signature);

	/// Gives every parameter that sets a number of members the largest value that it can have.
	fn set_largest_numbers() {}
}

impl BenchmarkHelper<AccountId32, MultiSignature> for () {
	fn sign(message: &[u8]) -> (AccountId32, MultiSignature) {
		let public = sp_io::crypto::sr25519_generate(0.into(), None);
		let signature = sp_io::crypto::sr25519_sign(0.into(), &public, message)
			.expect("the key was just generated");
		(MultiSigner::Sr25519(public).into_account(), signature.into())
	}
}

/// A valid manifest that names these shards.
fn manifest_of(shards: Vec<ShardInfo>) -> Manifest {
	Manifest {
		version: MANIFEST_VERSION,
		name: BoundedVec::truncate_from(vec![b'n'; 64]),
		kind: DatasetKind::Text,
		licence: BoundedVec::truncate_from(vec![b'L'; 32]),
		language: BoundedVec::truncate_from(vec![b'l'; 8]),
		source: BoundedVec::truncate_from(vec![b's'; 256]),
		records: shards.iter().map(|shard| shard.records).sum(),
		bytes: shards.iter().map(|shard| u64::from(shard.bytes)).sum(),
		records_root: (b"records", &shards).using_encoded(blake2b_256),
		shards: BoundedVec::truncate_from(shards),
		availability: Availability::Chain,
	}
}

/// The line of a shard that nobody has to have.
fn some_shard(index: u32) -> ShardInfo {
	ShardInfo { cid: index.using_encoded(blake2b_256), bytes: BYTES, records: RECORDS }
}

fn some_shards(count: u32) -> Vec<ShardInfo> {
	(0..count).map(some_shard).collect()
}

/// Submits a dataset; returns its id and owner.
fn submitted<T: Config>(shards: Vec<ShardInfo>) -> (u32, T::AccountId) {
	let owner: T::AccountId = account("owner", 0, 0);
	let manifest = manifest_of(shards);
	let hash = manifest.hash();
	let id = ChainHead::<T>::get().count;
	Pallet::<T>::do_submit(manifest, hash, owner.clone());
	(id, owner)
}

/// Puts a submitted dataset into another state, as if everything before had happened.
fn put_into<T: Config>(id: u32, status: Status) {
	Uploads::<T>::remove(id);
	let mut dataset = AllDatasets::<T>::get(id).expect("was submitted");
	Pallet::<T>::set_status(id, &mut dataset, status);
	dataset.deadline = None;
	if status.is_live() || matches!(status, Status::Rejected(_)) {
		Pallet::<T>::set_deadline(id, &mut dataset, 10u32.into());
	}
	dataset.held_out_seed = Some(H256([1; 32]));
	AllDatasets::<T>::insert(id, dataset);
}

/// An account that can pay the deposit of a voter several times.
fn funded<T: Config>() -> Result<T::AccountId, BenchmarkError> {
	let who: T::AccountId = whitelisted_caller();
	let existential: u128 = T::Currency::minimum_balance();
	let issuance: u128 = T::Currency::total_issuance();
	let amount = T::VoterDeposit::get().saturating_add(existential).saturating_mul(10);
	T::Currency::set_total_issuance(issuance.saturating_add(amount));
	T::Currency::increase_balance(&who, amount, Precision::Exact)?;
	Ok(who)
}

/// Makes `who` a voter since then, without a deposit.
fn insert_voter<T: Config>(who: &T::AccountId, machine: u8, since: BlockNumberFor<T>) {
	let hardware_id = H256([machine; 32]);
	Voters::<T>::insert(who, Voter { hardware_id, since, bound_until: since, deposit: 0 });
}

fn auditor<T: Config>(index: u32) -> T::AccountId {
	account("auditor", index, 0)
}

/// A report that all agree with and that rejects the dataset, which costs more than a vote: the
/// owner's failure is noted, and the records are released.
fn report() -> Report {
	let scores = Scores {
		format: 0,
		duplicates: 0,
		personal_data: 0,
		toxicity: 0,
		licence: 0,
		language: 0,
		perplexity: Some(0),
	};
	Report { scores, report_hash: H256([7; 32]) }
}

const SALT: H256 = H256([8; 32]);

/// The commitment to that report on dataset `id` of [`audit`].
fn report_commitment<T: Config>(id: u32, who: T::AccountId) -> H256 {
	let account: [u8; 32] = who.into();
	commitment(&report().payload(id, false, 0), &SALT, &account)
}

/// An audit with as many auditors as there can be; `done` of them have done what the phase asks.
fn audit<T: Config>(phase: Phase, done: u32) -> u32 {
	let (id, _) = submitted::<T>(some_shards(1));
	put_into::<T>(id, Status::Auditing);
	let seats: Vec<Seat<T::AccountId>> = (0..MAX_AUDITORS)
		.map(|index| {
			let who = auditor::<T>(index);
			let hash = report_commitment::<T>(id, who.clone());
			Seat {
				who,
				commitment: (phase == Phase::Reveal || index < done).then_some(hash),
				report: (phase == Phase::Reveal && index < done).then_some(report()),
			}
		})
		.collect();
	Audits::<T>::insert(id, Audit { phase, seats: BoundedVec::truncate_from(seats) });
	insert_term::<T>(id);
	id
}

/// Lets the audit of dataset `id` have all its time, and as many late auditors as there can be.
fn insert_term<T: Config>(id: u32) {
	let until = frame_system::Pallet::<T>::block_number()
		.saturating_add(T::CommitPeriod::get())
		.saturating_add(T::RevealPeriod::get());
	let late: Vec<T::AccountId> = (0..MAX_LATE_AUDITORS).map(auditor::<T>).collect();
	AuditTerms::<T>::insert(id, AuditTerm { until, late: BoundedVec::truncate_from(late) });
}

/// That the audit of dataset `id` has ended with what [`report`] says.
fn assert_rejected<T: Config>(id: u32) {
	assert!(!Audits::<T>::contains_key(id));
	let status = AllDatasets::<T>::get(id).map(|dataset| dataset.status);
	assert_eq!(status, Some(Status::Rejected(Reason::AuditFailed)));
}

/// Begins extrinsic `index`, which ends with `data`.
fn begin_extrinsic<T: Config>(index: u32, data: &[u8]) {
	frame_system::Pallet::<T>::set_extrinsic_index(index);
	frame_system::Pallet::<T>::note_extrinsic(data.to_vec());
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn submit(s: Linear<1, MAX_SHARDS>) {
		let manifest = manifest_of(some_shards(s));
		// Verified last, after the plain form.
		let wrapped = [&b"<Bytes>"[..], manifest.hash().as_bytes(), &b"</Bytes>"[..]].concat();
		let (owner, signature) = T::BenchmarkHelper::sign(&wrapped);
		CurrentPrice::<T>::put(Price { bits: 0, bits_before: 0, submissions: 0 });

		#[extrinsic_call]
		_(RawOrigin::None, manifest, owner, signature, 0);

		assert_eq!(ChainHead::<T>::get().count, 1);
	}

	#[benchmark]
	fn store_shard(b: Linear<1, { MAX_SHARD_BYTES as u32 }>) {
		let data = vec![1u8; b as usize];
		let mut shards = some_shards(MAX_SHARDS);
		shards[0] = ShardInfo { cid: blake2b_256(&data), bytes: b, records: RECORDS };
		let (id, _) = submitted::<T>(shards);
		Uploads::<T>::mutate(id, |upload| {
			let upload = upload.as_mut().expect("was submitted");
			for index in 1..MAX_SHARDS {
				upload.insert(index);
			}
		});
		begin_extrinsic::<T>(0, &data);

		#[extrinsic_call]
		_(RawOrigin::None, id, 0, data);

		assert!(!Uploads::<T>::contains_key(id));
	}

	#[benchmark]
	fn commit_report() {
		let id = audit::<T>(Phase::Commit, MAX_AUDITORS - 1);
		let who = auditor::<T>(MAX_AUDITORS - 1);
		let hash = report_commitment::<T>(id, who.clone());

		#[extrinsic_call]
		_(RawOrigin::Signed(who), id, hash);

		assert_eq!(Audits::<T>::get(id).map(|audit| audit.phase), Some(Phase::Reveal));
	}

	#[benchmark]
	fn reveal_report() {
		let id = audit::<T>(Phase::Reveal, MAX_AUDITORS - 1);
		let who = auditor::<T>(MAX_AUDITORS - 1);

		#[extrinsic_call]
		_(RawOrigin::Signed(who), id, report(), SALT);

		assert_rejected::<T>(id);
	}

	#[benchmark]
	fn register_voter() -> Result<(), BenchmarkError> {
		let who = funded::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()), H256([1; 32]));

		assert!(Voters::<T>::contains_key(&who));
		Ok(())
	}

	#[benchmark]
	fn leave_voters() -> Result<(), BenchmarkError> {
		let who = funded::<T>()?;
		Pallet::<T>::do_register_voter(who.clone(), H256([1; 32]))?;

		#[extrinsic_call]
		_(RawOrigin::Signed(who.clone()));

		assert!(!Voters::<T>::contains_key(&who));
		Ok(())
	}

	#[benchmark]
	fn vote() {
		let now = frame_system::Pallet::<T>::block_number();
		frame_system::Pallet::<T>::set_block_number(now.saturating_add(T::VoterAge::get()));
		let (id, owner) = submitted::<T>(some_shards(1));
		put_into::<T>(id, Status::Voting);
		Tallies::<T>::insert(id, Tally { tier: Tier::Gold, ayes: 0, nays: 0 });
		let who: T::AccountId = whitelisted_caller();
		insert_voter::<T>(&who, 1, now);
		insert_voter::<T>(&owner, 2, now);

		#[extrinsic_call]
		_(RawOrigin::Signed(who), id, true);

		assert_eq!(Tallies::<T>::get(id).map(|tally| tally.ayes), Some(1));
	}

	#[benchmark]
	fn flag() -> Result<(), BenchmarkError> {
		let (id, _) = submitted::<T>(some_shards(1));
		put_into::<T>(id, Status::Approved(Tier::Gold));
		let origin = T::AdminOrigin::try_successful_origin()
			.map_err(|()| BenchmarkError::Stop("there is no admin"))?;

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, id);

		assert_eq!(AllDatasets::<T>::get(id).map(|d| d.status), Some(Status::Flagged(Tier::Gold)));
		Ok(())
	}

	#[benchmark]
	fn resolve_flag() -> Result<(), BenchmarkError> {
		let (id, _) = submitted::<T>(some_shards(1));
		put_into::<T>(id, Status::Flagged(Tier::Gold));
		let origin = T::AdminOrigin::try_successful_origin()
			.map_err(|()| BenchmarkError::Stop("there is no admin"))?;

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, id, true);

		assert_eq!(AllDatasets::<T>::get(id).map(|d| d.status), Some(Status::Revoked));
		Ok(())
	}

	#[benchmark]
	fn appeal(s: Linear<1, APPEALED>) {
		let mut shards = Vec::new();
		for index in 0..s {
			let data = index.encode();
			begin_extrinsic::<T>(index, &data);
			let cid = T::Shards::store(&data).expect("the block has room");
			shards.push(ShardInfo { cid, bytes: BYTES, records: RECORDS });
		}
		let (id, owner) = submitted::<T>(shards);
		put_into::<T>(id, Status::Rejected(Reason::AuditFailed));

		#[extrinsic_call]
		_(RawOrigin::Signed(owner), id);

		assert_eq!(AllDatasets::<T>::get(id).map(|d| d.status), Some(Status::Auditing));
	}

	#[benchmark]
	fn on_initialize() {
		// The end of a period, with nothing else to do.
		let now: BlockNumberFor<T> = T::AdjustPeriod::get().max(One::one());
		frame_system::Pallet::<T>::set_block_number(now);

		#[block]
		{
			Pallet::<T>::on_initialize(now);
		}

		assert!(AgendaCursor::<T>::get().is_some_and(|cursor| cursor > now));
	}

	#[benchmark]
	fn due() {
		// An audit whose last auditor is late.
		let id = audit::<T>(Phase::Reveal, MAX_AUDITORS - 1);
		let deadline = AllDatasets::<T>::get(id).and_then(|d| d.deadline).expect("was set");
		AgendaCursor::<T>::put(deadline);
		frame_system::Pallet::<T>::set_block_number(deadline);

		#[block]
		{
			Pallet::<T>::work_off_agenda(deadline);
		}

		assert_rejected::<T>(id);
	}

	#[benchmark]
	fn draw() {
		// The randomness of a block need not exist here, so only what follows it is measured.
		T::BenchmarkHelper::set_largest_numbers();
		let (id, owner) = submitted::<T>(some_shards(1));
		put_into::<T>(id, Status::Auditing);
		insert_term::<T>(id);
		insert_voter::<T>(&owner, 2, Zero::zero());
		let candidates: Vec<(T::AccountId, u64)> =
			(0..CANDIDATES).map(|index| (auditor::<T>(index), 100)).collect();
		let now = frame_system::Pallet::<T>::block_number();
		let drawn;

		#[block]
		{
			drawn = Pallet::<T>::draw_for(id, now, &H256([3; 32]), &candidates);
		}

		assert!(drawn);
	}
}
