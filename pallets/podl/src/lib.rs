//! Proof of distributed learning: what trainers claim, who checks it, and what it costs to lie.
//!
//! # Overview
//!
//! In a round ([`pallet_rounds`]), trainers commit to their updates and reveal them. For every
//! revealed update a committee of verifiers is drawn by randomness of a later block. Its members
//! re-run the same drawn segments of the training, commit to a verdict and reveal it. Two thirds of
//! the revealed verdicts decide, if they are more than half of the committee and of those wanted:
//! the update is accepted, or refuted, or the trainer did not let anybody look. Without a decision
//! the committee is widened once; after that, two who confirm the update are enough to accept it, or
//! one where one is wanted, and otherwise it stays unverified.
//!
//! Besides, anybody may refute an update by showing two places of it that cannot both be true
//! ([`DataMisuse`], [`TraceMisfit`]). The runtime alone decides about such a proof, in the call that
//! brings it, by [`blyan_primitives::evidence`].
//!
//! # Terminology
//!
//! - *Update*: what a trainer reveals; *submission*: what is stored about it from the commitment on.
//! - *Trace*: list of a trainer's steps and checkpoints; its root is in the update.
//! - *Segment*: the steps between two checkpoints, numbered from 0.
//! - *Committee*: drawn verifiers of one update; *seat*: a member; *stage*: the draw, 1 or 2.
//! - *Verdict*: what one verifier says; *ruling*: what becomes of the update.
//! - *Points*: what [`pallet_bly`] splits an epoch's pots by; see [`types::POINTS_PER_SEGMENT`].
//!
//! # Invariants
//!
//! Checked by `try_state`:
//!
//! 1. Submissions exist only of trainers of live rounds; an update is stored if and only if it was
//!    revealed, and belongs to its round.
//! 2. No member of a committee is a trainer of the round or owns one of its datasets: nobody
//!    verifies what they are paid for. No account has two seats in a committee.
//! 3. A verdict has a commitment, is about a segment that was drawn, and comes from a seat: no other
//!    account can store one.
//! 4. A seat is paid only for a verdict.
//! 5. Counts are the numbers of what they count.
//! 6. The last segment is among those drawn for an update.
//! 7. At least one verifier was wanted for an audit, and at most [`MAX_COMMITTEE`].
//!
//! Checked by tests, because the other side is in another pallet: each seat is one engagement of its
//! verifier, and none is left when the round is over.
//!
//! # Assumptions about other pallets
//!
//! - [`pallet_rounds`] calls [`Updates`] as documented there, and calls `clear` exactly once before
//!   it forgets a round. It decides whether the round pays: verifiers of a round that is abandoned,
//!   or whose model does not earn, get nothing, but are noted, slashed and released all the same.
//! - A worker stays engaged, and so bonded, as long as it can be slashed.
//!
//! # Example
//!
//! From the test `a_trainer_who_used_another_record_is_refuted_by_two_paths`:
//!
//! ```text
//! prove_data_misuse(finder, round, trainer, DataMisuse {
//!     leaf,      // step 2 of the trace, and its path
//!     position,  // 1
//!     claimed,   // the record that the batch of step 2 shows there, and its path
//!     told,      // the record that the seed names, and its path in the dataset
//! });
//! standing(round, trainer) == Standing::Refuted
//! ```
//!
//! # Implementation notes
//!
//! All verifiers of an update re-run the same segments. Were they different, a trainer who cheats in
//! one segment would be found out by one verifier, and outvoted in favour of the trainer by those
//! who looked elsewhere.
//!
//! A verifier is slashed for contradicting the ruling about what was computed, never about what was
//! served: a trainer could starve a single verifier and get it slashed. It is slashed, too, for not
//! revealing what it committed to, unless nothing was decided: verdicts become public one by one, and
//! whoever sees itself outvoted must not escape by silence. Who did not commit loses reputation only.
//! No ruling but an acceptance at the last chance takes less than half of the committee
//! ([`rules::tally`]), so that silence decides nothing.
//!
//! All committees of a round are drawn at once, from one list of candidates. Were they drawn over
//! several blocks, whoever knows the seed could change the list by its own workers until it suits.
//!
//! The last segment is always drawn, because the deltas, which are all that reaches the model, are
//! compared at its end ([`rules::draw_segments`]).
//!
//! How many verifiers and segments are wanted is read once, before the first draw, and stored in the
//! audit: a vote on these parameters changes neither what is drawn nor the quorum of an audit that
//! has begun.
//!
//! What this cannot see: the training itself is checked by sample. A trainer who cheats in a fraction
//! `f` of many segments, but not in the last, is missed by honest verifiers with a chance of about
//! `(1 − f)^(k − 1)` for `k` drawn segments.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use polkadot_sdk::*;

pub mod rules;
pub mod runtime_api;
pub mod types;
pub mod weights;

mod impls;

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use blyan_primitives::evidence::{DataMisuse, ListLeaf, TraceLeaf, TraceMisfit};
pub use pallet::*;
pub use pallet_rounds::{RoundsInfo, Standing, Updates};
pub use types::{
	Audit, Counts, Ruling, Seat, Submission, UpdateView, Verdict, MAX_COMMITTEE, MAX_SEGMENTS,
};
pub use weights::WeightInfo;

/// The audit of an update in the runtime `T`.
pub type AuditOf<T> = Audit<<T as frame_system::Config>::AccountId>;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use alloc::boxed::Box;
	use blyan_primitives::{update::Update, H256};
	use frame_support::pallet_prelude::*;
	use frame_system::pallet_prelude::*;
	use sp_runtime::Perbill;

	/// The in-code storage version.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// The pallet's handle.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime.
	#[pallet::config]
	pub trait Config:
		polkadot_sdk::frame_system::Config<
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<[u8; 32]>,
	>
	{
		/// The rounds that updates belong to.
		type Rounds: RoundsInfo<Self::AccountId, BlockNumberFor<Self>>;

		/// Who can verify, who must stay, and whose bond is taken.
		type Workers: pallet_workers::Workers<Self::AccountId>;

		/// Where it is noted how work ended.
		type Reputation: pallet_reputation::Reputation<Self::AccountId>;

		/// Where points are credited.
		type Rewards: pallet_bly::Rewards<Self::AccountId>;

		/// Verifiers that are wanted for each update; at most [`MAX_COMMITTEE`] count. Without more
		/// than half of them nothing is decided at first.
		type VerifiersPerUpdate: Get<u32>;

		/// Segments of each update that its verifiers re-run, the last one included; at most
		/// [`MAX_SEGMENTS`] count.
		type SegmentsPerUpdate: Get<u32>;

		/// Part of the bond that a trainer loses whose update verifiers refute.
		type MismatchSlash: Get<Perbill>;

		/// Part of the bond that a trainer loses whose update is proven to be false.
		type FraudSlash: Get<Perbill>;

		/// Part of the bond that a trainer loses who does not serve verifiers.
		type UnavailableSlash: Get<Perbill>;

		/// Part of the bond that a verifier loses whose verdict contradicts the ruling, or who does
		/// not reveal the verdict that it committed to.
		type VerifierSlash: Get<Perbill>;

		/// Weights of the calls, and of what a round makes this pallet do.
		type WeightInfo: WeightInfo;

		/// Sets up what benchmarks need from other pallets.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId>;
	}

	/// What trainers have committed to, and what became of it.
	///
	/// Keys: round, trainer. A trainer pays by the bond of a worker; at most one entry for each
	/// trainer of a live round; deleted when the round ends.
	#[pallet::storage]
	pub type Submissions<T: Config> = StorageDoubleMap<
		_,
		// Rounds are numbered by the chain, here and below.
		Twox64Concat,
		u32,
		Blake2_128Concat,
		T::AccountId,
		Submission,
	>;

	/// Revealed updates.
	///
	/// Keys: round, trainer. Up to 21 KB each; at most one for each trainer of a live round; deleted
	/// when the round ends.
	#[pallet::storage]
	pub type Revealed<T: Config> =
		StorageDoubleMap<_, Twox64Concat, u32, Blake2_128Concat, T::AccountId, Update>;

	/// Committees and their verdicts.
	///
	/// Keys: round, trainer. At most one for each trainer of a live round; deleted when the round
	/// ends. A verifier pays by the bond of a worker.
	#[pallet::storage]
	pub type Audits<T: Config> =
		StorageDoubleMap<_, Twox64Concat, u32, Blake2_128Concat, T::AccountId, AuditOf<T>>;

	/// How many updates a round has. Written by one function; deleted when the round ends.
	#[pallet::storage]
	pub type CountsOf<T: Config> = StorageMap<_, Twox64Concat, u32, Counts, ValueQuery>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A trainer committed to an update.
		UpdateCommitted {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
		},
		/// A trainer revealed an update.
		UpdateRevealed {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// Hash of the update.
			hash: H256,
		},
		/// Verifiers were drawn for an update.
		CommitteeDrawn {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// How many verifiers were added.
			verifiers: u32,
		},
		/// A verifier committed to a verdict.
		VerdictCommitted {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// The verifier.
			verifier: T::AccountId,
		},
		/// A verifier revealed a verdict.
		VerdictRevealed {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// The verifier.
			verifier: T::AccountId,
			/// The verdict.
			verdict: Verdict,
		},
		/// The audit of an update is over.
		Ruled {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// What becomes of the update.
			ruling: Ruling,
		},
		/// An update was proven to be false.
		FraudProven {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
			/// Who brought the proof.
			finder: T::AccountId,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// There is no such live round.
		UnknownRound,
		/// The round is in another phase.
		WrongPhase,
		/// The account is not a trainer of the round.
		NotTrainer,
		/// The account has committed already.
		AlreadyCommitted,
		/// The account has not committed.
		NotCommitted,
		/// The account has revealed already.
		AlreadyRevealed,
		/// What was revealed is not what was committed to.
		CommitmentMismatch,
		/// The update belongs to another round.
		WrongRound,
		/// The update contradicts itself or exceeds a limit of its format.
		MalformedUpdate,
		/// The update was trained on another number of records than the recipe asks for.
		WrongSamples,
		/// The trace has another number of entries than the recipe asks for.
		WrongTraceLength,
		/// The model has no such component.
		UnknownComponent,
		/// The delta of a component takes more bytes than the recipe allows.
		DeltaTooLarge,
		/// The account was not drawn to verify this update.
		NotVerifier,
		/// The time to commit is over.
		CommitsClosed,
		/// Others may still commit.
		RevealsNotOpen,
		/// The audit of the update is over.
		AuditOver,
		/// The verdict is about a segment that was not drawn.
		SegmentNotDrawn,
		/// The trainer has revealed no update.
		NoUpdate,
		/// The trainer cannot refute its own update: it would get a part of the slash back.
		OwnUpdate,
		/// The update is refuted or dropped already.
		AlreadyDropped,
		/// A path does not lead to its root.
		PathMismatch,
		/// The round's seed names no record for this step and position.
		NotSampled,
		/// What is shown is as it should be.
		NotFraud,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Commits to an update.
		///
		/// Origin: signed, a trainer of the round. `hash` is the hash of the update's hash, salt and
		/// account. Refused outside the phase `Train`, and a second time. Emits `UpdateCommitted`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::commit_update())]
		pub fn commit_update(origin: OriginFor<T>, round: u32, hash: H256) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_commit_update(who, round, hash)
		}

		/// Reveals the update that the caller committed to.
		///
		/// Origin: signed, a trainer who has committed. Refused outside the phase `Reveal`, if the
		/// update is not the one committed to, and if it is not what recipe and model ask for. Emits
		/// `UpdateRevealed`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::reveal_update(update.deltas.len() as u32))]
		pub fn reveal_update(
			origin: OriginFor<T>,
			round: u32,
			update: Box<Update>,
			salt: H256,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_reveal_update(who, round, *update, &salt)
		}

		/// Commits to a verdict on a trainer's update.
		///
		/// Origin: signed, a verifier drawn for it. `hash` is the hash of `(round, trainer,
		/// verdict)`, salt and account. Whoever does not reveal the verdict afterwards is slashed if
		/// the others decide. Refused in the second half of the audit, after the audit of the update
		/// is over, and a second time. Emits `VerdictCommitted`.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::commit_verdict())]
		pub fn commit_verdict(
			origin: OriginFor<T>,
			round: u32,
			trainer: T::AccountId,
			hash: H256,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_commit_verdict(who, round, trainer, hash)
		}

		/// Reveals the verdict that the caller committed to.
		///
		/// Origin: signed, a verifier who has committed. Refused before all have committed or their
		/// time is over, if the verdict is not the one committed to, and if it is about a segment
		/// that was not drawn. The last one to reveal makes the ruling, if enough verifiers agree.
		/// Emits `VerdictRevealed`, and `Ruled` if that decides.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::reveal_verdict())]
		pub fn reveal_verdict(
			origin: OriginFor<T>,
			round: u32,
			trainer: T::AccountId,
			verdict: Verdict,
			salt: H256,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_reveal_verdict(who, round, trainer, verdict, &salt)
		}

		/// Proves that a trainer used a record other than the one it was told to use.
		///
		/// Origin: signed, anybody but the trainer. Refused before the phase `Audit` and after
		/// `Challenge`, if a path does not lead to its root, if the records are the same, and if the
		/// update is dropped already. The trainer is slashed, the caller gets a part of it, the
		/// update is dropped. Emits `FraudProven`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::prove_data_misuse())]
		pub fn prove_data_misuse(
			origin: OriginFor<T>,
			round: u32,
			trainer: T::AccountId,
			evidence: Box<DataMisuse>,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_prove_data_misuse(who, round, trainer, &evidence)
		}

		/// Proves that a trainer's trace has not the form that the round asks for: another number of
		/// entries than claimed, a step twice or in the wrong place, a batch of the wrong size.
		///
		/// Origin: signed, anybody but the trainer. Refused and rewarded as `prove_data_misuse`.
		/// Emits `FraudProven`.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::prove_trace_misfit())]
		pub fn prove_trace_misfit(
			origin: OriginFor<T>,
			round: u32,
			trainer: T::AccountId,
			evidence: Box<TraceMisfit>,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_prove_trace_misfit(who, round, trainer, &evidence)
		}
	}
}
