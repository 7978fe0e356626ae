//! # Datasets pallet
//!
//! Dataset-Chain D: who submitted which data, what auditors and voters thought of it, and whether
//! rounds may train on it.
//!
//! ## Overview
//!
//! An owner without tokens submits a signed manifest with a proof of work ([`Pallet::submit`]),
//! then the shards that it names ([`Pallet::store_shard`]); both are bare extrinsics. Once
//! everything is uploaded, auditors are drawn among the active workers. Each commits to a report
//! and reveals it ([`Pallet::commit_report`], [`Pallet::reveal_report`]); where too few do, others
//! are drawn. The wait for auditors and all draws together take no longer than
//! [`Config::CommitPeriod`] and [`Config::RevealPeriod`]. The medians decide whether the dataset is
//! rejected or put to a vote with a proposed tier ([`Pallet::vote`]). What is approved may be named
//! by rounds, through [`Datasets`]. It may later be flagged and revoked; the owner of a rejected or
//! revoked dataset may appeal once.
//!
//! Voters register with a machine and a deposit ([`Pallet::register_voter`]), which they get back
//! when they leave ([`Pallet::leave_voters`]).
//!
//! ```text
//! Pending ─► Auditing ─► Voting ─► Approved ◄─► Flagged
//!    │          │  ▲        │                      │
//!    ▼          ▼  │        ▼                      ▼
//! Rejected ◄────┴──┼─── Rejected                Revoked
//!                  └── appeal, once ───────────────┘
//! ```
//!
//! ## Terminology
//!
//! - *Chain D*: one [`DatasetBlock`] for each accepted submission, each naming the hash of the one
//!   before. A dataset's id is its position. Status changes do not alter it.
//! - *Live*: not decided yet: pending, auditing or voting.
//! - *To hold records*: to be uploaded, and not to have failed the audit; nobody else can then
//!   bring a dataset with the same root in.
//! - *Quota*: how many live datasets an owner may have; depends on its level of reputation.
//! - *Difficulty*: leading zero bits that a proof of work needs.
//! - *Score*: 0 to 1000, more is better.
//! - *Late*: without a report when a draw's time is over.
//! - *Deadline*: height from which on the chain ends a phase by itself, blocks.
//! - *Bound*: a voter is, and cannot leave, for a voting period from its last vote on.
//!
//! ## Invariants
//!
//! Checked by `try_state`:
//!
//! 1. Chain D has no gap, each block names the hash of the one before, the head is the last one's,
//!    and block and dataset agree.
//! 2. No owner has submitted a manifest twice. Of the datasets that hold their records
//!    ([`types::Dataset::holds_records`]), no two have the same.
//! 3. An owner's live count is the number of its live datasets.
//! 4. Pending datasets, and only they, have an upload. Auditing ones are either in the queue, once
//!    and where their position says, or have an audit; they, and only they, have a term. Voting
//!    ones, and only they, have a tally. What is live has a deadline.
//! 5. Approved and flagged datasets have a held-out seed.
//! 6. A manifest is kept while it can still matter: unless the dataset is rejected or revoked and
//!    can no longer be appealed.
//! 7. Every deadline has a task in the agenda, at its block or, if that is past, in a block that is
//!    still to be worked off.
//! 8. Tallies count the votes. While votes are taken, who voted is a voter. Voters and hardware ids
//!    belong to each other one to one. What is held of a voter under our reason is its recorded
//!    deposit.
//! 9. No auditor audits its own dataset, and none has two seats.
//!
//! ## Assumptions about other pallets
//!
//! - [`pallet_workers::Workers`]: candidates are bounded; hardware ids of workers are unique.
//! - [`pallet_shards::Shards`]: storing verifies that nodes can cut the data off the extrinsic, and
//!   succeeds in a block that has room. The upload period is shorter than the retention period, or
//!   data could expire before its audit.
//! - `Randomness`: what it returns was not known before the block that it names.
//! - `Currency`: changes holds under our reason only when told by this pallet.
//!
//! ## Example
//!
//! From the test `a_dataset_lives_from_submission_to_approval`:
//!
//! ```text
//! let id = submitted(&manifest, ALICE);
//! uploaded(id, &shards);                       // Status::Auditing
//! run_to(drawn); audited(id, GOOD);            // Status::Voting
//! voted(id, &[BOB, CHARLIE], true);            // Status::Approved(Tier::Gold)
//! assert!(Datasets::approved(id).is_some());
//! ```
//!
//! ## Implementation notes
//!
//! What the chain does by itself is bounded in every block: [`Config::MaxDuePerBlock`] tasks of the
//! agenda and [`Config::DrawsPerBlock`] datasets of the queue. What does not fit waits for the next
//! block. A task only says "look at this dataset"; whether something is due is read off the
//! dataset, so tasks that became pointless do no harm.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use blyan_primitives::H256;
use polkadot_sdk::*;

mod agenda;
mod audit;
mod ballot;
#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
#[cfg(any(feature = "try-runtime", feature = "std"))]
mod invariants;
#[cfg(test)]
mod mock;
pub mod rules;
pub mod runtime_api;
mod status;
mod submission;
#[cfg(test)]
mod tests;
mod types;
pub mod weights;

pub use pallet::*;
pub use rules::Thresholds;
pub use types::*;
pub use weights::WeightInfo;

/// The datasets, as rounds see them.
pub trait Datasets<AccountId> {
	/// Dataset `id`, if rounds may train on it now.
	fn approved(id: u32) -> Option<Approved<AccountId>>;
}

/// Pages and blocks of the agenda that one block looks at. Two a block is the steady state.
pub const MAX_AGENDA_STEPS: u32 = 64;
/// Votes that one task deletes.
pub const VOTES_PER_TASK: usize = 32;

/// A dataset of this runtime.
pub type DatasetOf<T> = Dataset<
	<T as frame_system::Config>::AccountId,
	frame_system::pallet_prelude::BlockNumberFor<T>,
>;

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use blyan_primitives::record::Manifest;
	use frame_support::{
		pallet_prelude::*,
		traits::{
			fungible::{Inspect, InspectHold, MutateHold},
			Randomness,
		},
	};
	use frame_system::pallet_prelude::*;
	use pallet_bly::Rewards;
	use pallet_reputation::{Quotas, Reputation};
	use pallet_shards::Shards;
	use pallet_workers::Workers;
	use sp_runtime::traits::{IdentifyAccount, Verify};

	/// The in-code storage version.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime.
	#[pallet::config]
	pub trait Config:
		polkadot_sdk::frame_system::Config<
		AccountId: Into<[u8; 32]>,
		RuntimeEvent: From<Event<Self>>,
	>
	{
		/// Signatures over manifests.
		type Signature: Verify<Signer = Self::Signer> + Parameter;

		/// Who makes them.
		type Signer: IdentifyAccount<AccountId = Self::AccountId>;

		/// Where draws and held-out seeds come from. `None` means: ask in the next block.
		type Randomness: Randomness<Option<H256>, BlockNumberFor<Self>>;

		/// The currency that deposits are held in.
		type Currency: Inspect<Self::AccountId, Balance = u128>
			+ InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
			+ MutateHold<Self::AccountId>;

		/// The runtime's reasons for holds.
		type RuntimeHoldReason: From<HoldReason>;

		/// Scores and quarantine of owners, auditors and voters.
		type Reputation: Reputation<Self::AccountId>;

		/// How many live datasets an owner may have.
		type Quotas: Quotas<Self::AccountId>;

		/// Among whom auditors are drawn.
		type Workers: Workers<Self::AccountId>;

		/// Pays auditors.
		type Rewards: Rewards<Self::AccountId>;

		/// Keeps the shards.
		type Shards: Shards<Self::AccountId>;

		/// Who may flag datasets, and revoke or restore them.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Blocks from submission in which all shards must be uploaded.
		type UploadPeriod: Get<BlockNumberFor<Self>>;

		/// Blocks in which auditors must commit to their reports, or half of what is left of the
		/// audit if that is less.
		type CommitPeriod: Get<BlockNumberFor<Self>>;

		/// Blocks in which auditors must reveal their reports. An audit takes no longer than this
		/// and [`Config::CommitPeriod`] together, the wait for auditors and further draws included.
		type RevealPeriod: Get<BlockNumberFor<Self>>;

		/// Blocks in which votes are taken, and for which a voter is bound by its last vote.
		type VotingPeriod: Get<BlockNumberFor<Self>>;

		/// Blocks in which a rejection or revocation may be appealed.
		type AppealPeriod: Get<BlockNumberFor<Self>>;

		/// Blocks that a voter must have been registered.
		type VoterAge: Get<BlockNumberFor<Self>>;

		/// Held of a voter until it leaves, in the smallest unit. Changing it touches nobody who is
		/// a voter already.
		type VoterDeposit: Get<u128>;

		/// Auditors drawn for each dataset; clamped to 1 to [`MAX_AUDITORS`].
		type AuditorsPerDataset: Get<u32>;

		/// Votes without which a dataset is rejected.
		type VoteQuorum: Get<u32>;

		/// Score in the subject *data* that a voter must have, 0 to 1000.
		type MinVoterScore: Get<u32>;

		/// What an audit needs to pass.
		type Thresholds: Get<Thresholds>;

		/// Bits of work for the first submissions.
		type InitialDifficulty: Get<u32>;

		/// Bits of work below which the difficulty never falls.
		type MinDifficulty: Get<u32>;

		/// Bits of work above which the difficulty never rises.
		type MaxDifficulty: Get<u32>;

		/// Blocks after which the difficulty is adjusted; zero for never.
		type AdjustPeriod: Get<BlockNumberFor<Self>>;

		/// Submissions in such a period that leave the difficulty as it is.
		type TargetSubmissions: Get<u32>;

		/// Tasks that one block works off.
		#[pallet::constant]
		type MaxDuePerBlock: Get<u32>;

		/// Datasets for which one block tries to draw auditors.
		#[pallet::constant]
		type DrawsPerBlock: Get<u32>;

		/// Tasks on one page of the agenda.
		#[pallet::constant]
		type TasksPerPage: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;

		/// Signs for benchmarks.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: benchmarking::BenchmarkHelper<Self::AccountId, Self::Signature>;
	}

	/// Why balance is held.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// Deposit of a voter.
		#[codec(index = 0)]
		VoterDeposit,
	}

	/// The blocks of Chain D, by number.
	///
	/// Numbers are counted up by the pallet, hence a cheap hasher. Paid by a proof of work; one a
	/// submission, never deleted: it is the chain.
	#[pallet::storage]
	pub type Blocks<T: Config> = StorageMap<_, Twox64Concat, u32, DatasetBlock<T::AccountId>>;

	/// The end of Chain D.
	#[pallet::storage]
	pub type ChainHead<T: Config> = StorageValue<_, Head, ValueQuery>;

	/// The datasets, by id, which is the number of their block.
	///
	/// Paid by a proof of work; one a submission, never deleted: what was learned from it must stay
	/// explicable.
	#[pallet::storage]
	pub type AllDatasets<T: Config> = StorageMap<_, Twox64Concat, u32, DatasetOf<T>>;

	/// The manifest of a dataset, by id.
	///
	/// Paid by a proof of work. Deleted when the dataset is rejected or revoked and the time to
	/// appeal is over.
	#[pallet::storage]
	pub type Manifests<T: Config> = StorageMap<_, Twox64Concat, u32, Manifest>;

	/// The dataset that an owner submitted with a manifest.
	///
	/// Key: [`submission_hash`](blyan_primitives::record::submission_hash) of both, so that whoever
	/// copies somebody's manifest is not in their way. Paid by a proof of work; never deleted, or
	/// that could be used again.
	#[pallet::storage]
	pub type ManifestHashes<T: Config> = StorageMap<_, Blake2_128Concat, H256, u32>;

	/// The dataset that holds these records: see [`types::Dataset::holds_records`]. Written with the status
	/// of a dataset only. A root that is announced, or that no auditor has found to be that of the
	/// shards, is not held: else anybody could keep data off the chain by naming its root.
	#[pallet::storage]
	pub type RecordsRoots<T: Config> = StorageMap<_, Blake2_128Concat, H256, u32>;

	/// What was uploaded of a pending dataset, by id. Deleted when everything is, or in the end.
	#[pallet::storage]
	pub type Uploads<T: Config> = StorageMap<_, Twox64Concat, u32, Upload>;

	/// How many live datasets an owner has. Written with the status of a dataset only; no entry is
	/// zero.
	#[pallet::storage]
	pub type Live<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u32, ValueQuery>;

	/// What a submission costs. `None` until the first one.
	#[pallet::storage]
	pub type CurrentPrice<T: Config> = StorageValue<_, Price>;

	/// Datasets that wait for auditors, by position. One for each such dataset; removed when its
	/// auditors are drawn, or when it has waited too long.
	#[pallet::storage]
	pub type Queue<T: Config> = StorageMap<_, Twox64Concat, u64, Waiting<BlockNumberFor<T>>>;

	/// The positions of [`Queue`] that are in use, but for those whose dataset has waited too long.
	#[pallet::storage]
	pub type CurrentQueueEnds<T: Config> = StorageValue<_, QueueEnds, ValueQuery>;

	/// The position in [`Queue`] of a dataset that waits for auditors, by id. Written and removed
	/// with it.
	#[pallet::storage]
	pub type QueuePositions<T: Config> = StorageMap<_, Twox64Concat, u32, u64>;

	/// The audits that are going on, by dataset. Deleted when they end.
	#[pallet::storage]
	pub type Audits<T: Config> = StorageMap<_, Twox64Concat, u32, Audit<T::AccountId>>;

	/// What the draws of an audit have in common, by dataset. Written when a dataset begins to wait
	/// for auditors; deleted when its audit ends.
	#[pallet::storage]
	pub type AuditTerms<T: Config> =
		StorageMap<_, Twox64Concat, u32, AuditTerm<T::AccountId, BlockNumberFor<T>>>;

	/// How the last audit of a dataset ended. Kept with the dataset.
	#[pallet::storage]
	pub type AuditResults<T: Config> = StorageMap<_, Twox64Concat, u32, AuditResult>;

	/// Who had a seat in the last audit of a dataset, and will have none after an appeal. Deleted
	/// when there can be no appeal.
	#[pallet::storage]
	pub type FormerAuditors<T: Config> = StorageMap<
		_,
		Twox64Concat,
		u32,
		BoundedVec<T::AccountId, ConstU32<MAX_AUDITORS>>,
		ValueQuery,
	>;

	/// Who may vote.
	///
	/// Key: the account. The deposit pays for the entry and bounds how many machines somebody can
	/// make up; `leave_voters` deletes it, but not while a vote in which the machine took part may
	/// go on, or it could vote twice.
	#[pallet::storage]
	pub type Voters<T: Config> =
		StorageMap<_, Blake2_128Concat, T::AccountId, Voter<BlockNumberFor<T>>>;

	/// Which voter has this machine. Written and deleted with [`Voters`].
	#[pallet::storage]
	pub type VoterHardware<T: Config> = StorageMap<_, Blake2_128Concat, H256, T::AccountId>;

	/// The votes on a dataset so far, by id. Deleted when the vote ends.
	#[pallet::storage]
	pub type Tallies<T: Config> = StorageMap<_, Twox64Concat, u32, Tally>;

	/// Who voted, and whether for the dataset. Paid by the voter's fee; at most one for each voter
	/// and ballot; deleted a few a block when the vote is over.
	#[pallet::storage]
	pub type Votes<T: Config> =
		StorageDoubleMap<_, Twox64Concat, Ballot, Blake2_128Concat, T::AccountId, bool>;

	/// What blocks have to do by themselves, by height and page.
	///
	/// At most one task for each change of a dataset's phase, and one for each ballot that is being
	/// cleared. Deleted when it is done.
	#[pallet::storage]
	pub type Agenda<T: Config> = StorageDoubleMap<
		_,
		Twox64Concat,
		BlockNumberFor<T>,
		Twox64Concat,
		u32,
		BoundedVec<Duty, T::TasksPerPage>,
		ValueQuery,
	>;

	/// How many pages the agenda has for a height. Deleted with the last one.
	#[pallet::storage]
	pub type AgendaPages<T: Config> =
		StorageMap<_, Twox64Concat, BlockNumberFor<T>, u32, ValueQuery>;

	/// The first height whose tasks are not all done. `None` before the pallet's first block.
	#[pallet::storage]
	pub type AgendaCursor<T: Config> = StorageValue<_, BlockNumberFor<T>>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A dataset was submitted: Chain D has a new block.
		Submitted {
			/// Its id.
			dataset: u32,
			/// Who submitted it.
			owner: T::AccountId,
			/// Hash of its manifest.
			manifest_hash: H256,
			/// Hash of its block in Chain D.
			block_hash: H256,
		},
		/// A shard was stored.
		ShardStored {
			/// The dataset.
			dataset: u32,
			/// The shard's position in the manifest.
			index: u32,
			/// Hash of the shard.
			cid: H256,
		},
		/// All shards are stored; the dataset waits for auditors.
		Uploaded {
			/// The dataset.
			dataset: u32,
		},
		/// Auditors were drawn. They have until `until` to commit to their reports.
		AuditorsDrawn {
			/// The dataset.
			dataset: u32,
			/// The auditors.
			auditors: Vec<T::AccountId>,
			/// Height at which the phase ends.
			until: BlockNumberFor<T>,
		},
		/// An auditor committed to its report.
		ReportCommitted {
			/// The dataset.
			dataset: u32,
			/// The auditor.
			auditor: T::AccountId,
		},
		/// Auditors may reveal their reports, until `until`.
		RevealStarted {
			/// The dataset.
			dataset: u32,
			/// Height at which the phase ends.
			until: BlockNumberFor<T>,
		},
		/// An auditor revealed its report.
		ReportRevealed {
			/// The dataset.
			dataset: u32,
			/// The auditor.
			auditor: T::AccountId,
			/// Its report.
			report: Report,
		},
		/// Too few auditors reported; others will be drawn.
		AuditRepeated {
			/// The dataset.
			dataset: u32,
		},
		/// The audit is over.
		Audited {
			/// The dataset.
			dataset: u32,
			/// What came out.
			result: AuditResult,
		},
		/// Votes are taken until `until`.
		VotingStarted {
			/// The dataset.
			dataset: u32,
			/// The proposed tier.
			tier: Tier,
			/// Height from which on no vote is taken.
			until: BlockNumberFor<T>,
		},
		/// An account may vote once it is old enough.
		VoterRegistered {
			/// The account.
			who: T::AccountId,
			/// Its machine.
			hardware_id: H256,
		},
		/// An account voted.
		Voted {
			/// The dataset.
			dataset: u32,
			/// The account.
			who: T::AccountId,
			/// Whether for the dataset.
			approve: bool,
		},
		/// Rounds may train on a dataset.
		Approved {
			/// The dataset.
			dataset: u32,
			/// How good it is held to be.
			tier: Tier,
			/// Which of its records are kept for evaluation.
			held_out_seed: H256,
		},
		/// A dataset was rejected.
		Rejected {
			/// The dataset.
			dataset: u32,
			/// Why.
			reason: Reason,
		},
		/// A dataset is under suspicion; no new round may name it.
		Flagged {
			/// The dataset.
			dataset: u32,
		},
		/// A suspicion was found baseless.
		Restored {
			/// The dataset.
			dataset: u32,
		},
		/// A dataset is approved no more.
		Revoked {
			/// The dataset.
			dataset: u32,
		},
		/// The owner appealed; other auditors will be drawn.
		Appealed {
			/// The dataset.
			dataset: u32,
		},
		/// A rejection or revocation can no longer be appealed; the manifest was deleted.
		Closed {
			/// The dataset.
			dataset: u32,
		},
		/// Submissions cost more or less work than before.
		DifficultyAdjusted {
			/// Leading zero bits that a proof of work needs.
			bits: u32,
		},
		/// An account is no voter any more.
		VoterLeft {
			/// The account.
			who: T::AccountId,
			/// What was released to it.
			deposit: u128,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// Datasets that only peers keep are not supported yet; choose the availability `chain`.
		PeersUnsupported,
		/// A dataset needs at least 64 records.
		TooFewRecords,
		/// A field of the manifest is wrong or contradicts another.
		InvalidManifest,
		/// The proof of work has too few leading zero bits, or is for another manifest or account.
		InsufficientWork,
		/// The owner has submitted this manifest before.
		AlreadySubmitted,
		/// Another dataset holds the same records. If it fails its audit, it will do so no more.
		DuplicateRecords,
		/// The owner has as many live datasets as its level allows.
		QuotaReached,
		/// The account is in quarantine.
		Quarantined,
		/// The signature is not the owner's, or not over this manifest.
		BadSignature,
		/// There is no such dataset.
		UnknownDataset,
		/// The dataset does not wait for shards.
		NotPending,
		/// The manifest names no such shard.
		UnknownShard,
		/// The shard is stored already.
		ShardStoredAlready,
		/// The data is not the shard that the manifest names.
		WrongShard,
		/// The dataset is not being audited.
		NotAudited,
		/// The account was not drawn as an auditor of this dataset.
		NotAuditor,
		/// It is not the time to do this in the audit.
		WrongPhase,
		/// The auditor has committed to a report already.
		AlreadyCommitted,
		/// The auditor has not committed to a report.
		NotCommitted,
		/// The auditor has revealed its report already.
		AlreadyRevealed,
		/// Report and salt are not what the auditor committed to.
		CommitmentMismatch,
		/// A score is above 1000.
		InvalidScore,
		/// The account is a voter already.
		AlreadyVoter,
		/// Another voter has this machine.
		HardwareInUse,
		/// The dataset is not being voted on.
		NotVoting,
		/// The voting period is over.
		VotingOver,
		/// The account is not registered as a voter.
		NotVoter,
		/// The voter has not been registered for long enough.
		VoterTooYoung,
		/// The voter's reputation is too low.
		ReputationTooLow,
		/// Owners do not vote on their own datasets, nor from their machines.
		ConflictOfInterest,
		/// The voter has voted on this dataset.
		AlreadyVoted,
		/// The dataset is not approved.
		NotApproved,
		/// The dataset is not flagged.
		NotFlagged,
		/// The account does not own the dataset.
		NotOwner,
		/// There is nothing to appeal against.
		NotAppealable,
		/// The owner has appealed before.
		AlreadyAppealed,
		/// The time to appeal is over.
		AppealClosed,
		/// A shard has expired, so there is nothing to audit.
		DataExpired,
		/// The voter's last vote is not a voting period ago.
		VoterBound,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			Self::adjust_difficulty(now);
			let due = Self::work_off_agenda(now);
			let draws = Self::draw_auditors(now);
			T::WeightInfo::on_initialize()
				.saturating_add(T::WeightInfo::due().saturating_mul(due.into()))
				.saturating_add(T::WeightInfo::draw().saturating_mul(draws.into()))
		}

		fn integrity_test() {
			assert!(T::MaxDuePerBlock::get() > 0, "no deadline would ever be kept");
			assert!(T::DrawsPerBlock::get() > 0, "no auditor would ever be drawn");
			assert!(T::TasksPerPage::get() > 0, "the agenda could not hold a task");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Submit a dataset.
		///
		/// `signature` is the owner's over the manifest's hash, plain or between `<Bytes>` and
		/// `</Bytes>` as wallets make it. `nonce` is the proof of work over that hash and the
		/// owner.
		///
		/// Origin: none (a bare extrinsic, without a fee). Fails if the manifest is not valid, the
		/// work is too little, the owner has submitted the manifest before, another dataset holds
		/// the records, the owner's quota is reached or the signature is wrong. Emits `Submitted`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::submit(manifest.shards.len() as u32))]
		pub fn submit(
			origin: OriginFor<T>,
			manifest: Manifest,
			owner: T::AccountId,
			signature: T::Signature,
			nonce: u64,
		) -> DispatchResult {
			ensure_none(origin)?;
			let hash = Self::check_submission(&manifest, &owner, &signature, nonce)?;
			Self::do_submit(manifest, hash, owner);
			Ok(())
		}

		/// Store a shard of a submitted dataset.
		///
		/// Origin: none (a bare extrinsic, without a fee): the submission has paid. Fails if the
		/// dataset does not wait for shards, the manifest names no such shard, it is stored
		/// already, or the data is another; the last shard also if another dataset with the same
		/// records was uploaded first. A block that is full leaves it in the pool for the next.
		/// Emits `ShardStored`, and `Uploaded` after the last one.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::store_shard(data.len() as u32))]
		pub fn store_shard(
			origin: OriginFor<T>,
			dataset: u32,
			index: u32,
			data: Vec<u8>,
		) -> DispatchResult {
			ensure_none(origin)?;
			Self::check_shard(dataset, index, &data)?;
			Self::do_store_shard(dataset, index, &data)
		}

		/// Commit to a report: post the hash of dataset, draw, report, salt and account.
		///
		/// Origin: signed by a drawn auditor; free if it succeeds. Fails if the dataset is not
		/// being audited, the account has no seat, it is too late, or it has committed before.
		/// Emits `ReportCommitted`, and `RevealStarted` after the last one.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::commit_report())]
		pub fn commit_report(
			origin: OriginFor<T>,
			dataset: u32,
			hash: H256,
		) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			Self::do_commit_report(dataset, who, hash)?;
			Ok(Pays::No.into())
		}

		/// Reveal the report that was committed to.
		///
		/// Origin: signed by a drawn auditor; free if it succeeds. Fails if it is not the time, the
		/// account has no seat, has not committed or has revealed before, a score is out of range,
		/// or report and salt do not match what was committed to for this dataset and draw. Emits
		/// `ReportRevealed`; after the last one the audit ends.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::reveal_report())]
		pub fn reveal_report(
			origin: OriginFor<T>,
			dataset: u32,
			report: Report,
			salt: H256,
		) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			Self::do_reveal_report(dataset, who, report, salt)?;
			Ok(Pays::No.into())
		}

		/// Register as a voter, with the hash that names the machine. The account's age as a voter
		/// is counted from now. A deposit is held until it leaves.
		///
		/// Origin: signed. Fails if the account is a voter already, another voter has the machine,
		/// or the account cannot pay the deposit. Emits `VoterRegistered`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::register_voter())]
		pub fn register_voter(origin: OriginFor<T>, hardware_id: H256) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_register_voter(who, hardware_id)
		}

		/// Vote on a dataset; final.
		///
		/// Origin: signed. Fails if the dataset is not being voted on, the account is no voter, too
		/// young, in quarantine or of too little reputation, owns the dataset or shares a machine
		/// with its owner, or has voted. Emits `Voted`.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(origin: OriginFor<T>, dataset: u32, approve: bool) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_vote(dataset, who, approve)
		}

		/// Put an approved dataset under suspicion: no new round may name it.
		///
		/// Origin: the admin's. Fails if the dataset is not approved. Emits `Flagged`.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::flag())]
		pub fn flag(origin: OriginFor<T>, dataset: u32) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_flag(dataset)
		}

		/// Revoke a flagged dataset, or restore it.
		///
		/// Origin: the admin's. Fails if the dataset is not flagged. Emits `Revoked` or `Restored`.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::resolve_flag())]
		pub fn resolve_flag(origin: OriginFor<T>, dataset: u32, revoke: bool) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_resolve_flag(dataset, revoke)
		}

		/// Appeal against a rejection or revocation, once: other auditors judge the dataset again.
		///
		/// Origin: signed by the owner. Fails if there is nothing to appeal against, it was
		/// appealed before, the time is over, a shard has expired, or another dataset holds the
		/// same records by now. Emits `Appealed`.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::appeal(blyan_primitives::record::MAX_SHARDS))]
		pub fn appeal(origin: OriginFor<T>, dataset: u32) -> DispatchResultWithPostInfo {
			let who = ensure_signed(origin)?;
			let shards = Self::do_appeal(dataset, who)?;
			Ok(Some(T::WeightInfo::appeal(shards)).into())
		}

		/// Stop being a voter, and get the deposit back.
		///
		/// Origin: signed. Fails if the account is no voter, or a voting period has not passed
		/// since its last vote. Emits `VoterLeft`.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::leave_voters())]
		pub fn leave_voters(origin: OriginFor<T>) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_leave_voters(who)
		}
	}

	#[allow(deprecated)]
	#[pallet::validate_unsigned]
	impl<T: Config> ValidateUnsigned for Pallet<T> {
		type Call = Call<T>;

		fn validate_unsigned(_: TransactionSource, call: &Self::Call) -> TransactionValidity {
			match call {
				Call::submit { manifest, owner, signature, nonce } => {
					Self::validate_submission(manifest, owner, signature, *nonce)
				}
				Call::store_shard { dataset, index, data } => {
					Self::validate_shard(*dataset, *index, data)
				}
				_ => InvalidTransaction::Call.into(),
			}
		}

		fn pre_dispatch(call: &Self::Call) -> Result<(), TransactionValidityError> {
			// It would be included as failed, and nobody would pay for that. The author of the next
			// block finds it in the pool.
			if matches!(call, Call::store_shard { .. }) && !T::Shards::has_room() {
				return Err(InvalidTransaction::ExhaustsResources.into());
			}
			Self::validate_unsigned(TransactionSource::InBlock, call).map(|_| ())
		}
	}
}
