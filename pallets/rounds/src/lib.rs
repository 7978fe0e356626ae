//! One learning step of one model, from "open" to "paid".
//!
//! # Overview
//!
//! The owner of a model opens a round: which approved datasets count, in which mixture, and how to
//! train. Trainers join; the randomness of a later block decides which records each must use. They
//! commit to their updates, then reveal them. Drawn verifiers audit the updates (that is the
//! business of the pallet behind [`Config::Updates`]), owners of components post the merged roots,
//! fraud proofs may still undo the merge, and drawn evaluators measure base and candidate on
//! held-out records. If the candidate is better by the recipe's margin, the heads of the model
//! advance and everybody whose work went into it is credited.
//!
//! Only models that earn ([`pallet_experts::Models::earns`]) have rounds: whoever is drawn must work,
//! and a network whose work is free for anybody's toy models has no time left for others. It is
//! looked up again when a round ends, so that governance can exclude a model whose round is live; such
//! a round credits nobody with anything, and is like any other in all other respects.
//!
//! ```text
//! Open ─► Train ─► Reveal ─► Audit ─► Merge ─► Challenge ─► Evaluate ─► Final | Rejected
//!   └───────┴────────┴─────────┴────────┴──────────┴───────────┴──────► Abandoned
//! ```
//!
//! A phase ends as soon as everybody it waits for has acted, else at its deadline, and a few blocks
//! later if many rounds are due at once. Nobody has to send anything for that: every block begins
//! with moving live rounds on.
//!
//! # Terminology
//!
//! - *Base*: the snapshot that was the model's head when the round was opened.
//! - *Candidate*: the base with the posted roots in place of its own.
//! - *Trainer*, *verifier*, *aggregator*, *evaluator*: workers in that role.
//! - *Draw*: a choice by the randomness of a block that is not older than the beginning of the wait
//!   for it, so that nobody could know it when acting before.
//! - *Turn*: blocks after which the next owner of a component may post, too.
//! - *Loss*: micro-nats per token. *Improvement*: median loss of the base minus that of the
//!   candidate.
//! - *Points*: what [`pallet_bly`] splits an epoch's pots by; see `POINTS_PER_COMPONENT` and
//!   `POINTS_PER_EVALUATION`. Trainers and owners of datasets get samples times improvement.
//!
//! # Invariants
//!
//! Checked by `try_state`:
//!
//! 1. The list of live rounds, the map of rounds and the map of models with a round name the same
//!    rounds, each in a live phase and each model once.
//! 2. Trainers of a round are pairwise different, as are its evaluators, and no evaluator is a
//!    trainer of the round, posted a root of its merge or owns one of its datasets: nobody measures
//!    their own work. The evaluators are a majority of those wanted.
//! 3. A round has a seed if and only if it is past `Open`, and an evaluation seed if and only if its
//!    evaluators are drawn.
//! 4. A round names at least one dataset; ids, roots and counts are those that were approved when it
//!    was opened, because they are stored then and never written again.
//! 5. Posted roots are ascending, each for a component that is needed and by an account on the list
//!    of posters.
//! 6. Nothing is stored about a round that has ended, except its summary.
//!
//! Checked by tests, because the other side is in another pallet: each trainer, each poster and each
//! evaluator of a live round is engaged once for it, and nobody is afterwards.
//!
//! # Assumptions about other pallets
//!
//! - [`pallet_workers`] counts engagements, so that an account can be engaged in several rounds.
//! - [`pallet_experts`] refuses to advance from a snapshot that is no longer the head. Anybody can
//!   create a model there, so it says which ones the emission is for: points are samples times
//!   improvement, whatever the size of the model.
//! - [`Config::Updates`] answers without touching this pallet's storage.
//!
//! # Example
//!
//! From the test `a_round_that_improves_the_model_is_final`:
//!
//! ```text
//! open(owner, model, datasets, recipe); join(alice, 0); join(bob, 0);
//! // … both commit and reveal, verifiers accept both …
//! post_merge(carol, 0, [(0, root)]);
//! // … the challenge window passes …
//! commit_evaluation(dave, 0, hash); reveal_evaluation(dave, 0, 2_000, 1_500, salt);
//! summary(0).outcome == Phase::Final
//! ```
//!
//! # Implementation notes
//!
//! The parameters of this pallet are copied into the round when it is opened, so a vote on them
//! cannot move the goal posts of a live round. Those of the pallet behind [`Config::Updates`] are
//! not. Every block costs a few small reads per live round; the expensive steps are the changes of
//! phase, of which a round has about ten. So a block moves [`MAX_CHANGES_PER_BLOCK`] rounds on, and
//! those that have had their turn go to the end of the list: of 16 live rounds that are due at
//! once, the last waits for seven blocks. Nobody is worse off for it: what belongs to a phase can
//! be done until it really ends, and the next one has all its time. The draw of all committees at
//! once is made for one round in a block.
//!
//! Owners of components are ordered by keys that contain the round's seed, so nobody can look for an
//! account that comes first before training begins. While trainers train it is possible: whoever
//! becomes an aggregator only then counts like everybody else.
//!
//! An evaluation takes a majority: more than half of the wanted evaluators must be drawn before it
//! begins, and so many must have revealed for it to decide; otherwise the round is abandoned. Losses
//! are at most [`MAX_LOSS`], because pay grows with the improvement and nothing else bounds it.
//!
//! Whoever posts wrong roots is found out by the evaluators, who then report
//! [`LOSS_OF_MISMATCH`]: the candidate is rejected and its aggregators are not paid. Which of several
//! posters was wrong is not decided here.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use polkadot_sdk::*;

pub mod rules;
pub mod runtime_api;
pub mod traits;
pub mod types;
pub mod weights;

mod impls;

#[cfg(feature = "runtime-benchmarks")]
pub mod benchmarking;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use pallet::*;
pub use traits::{RoundsInfo, Updates};
pub use types::{
	Evaluator, Limits, Losses, Merge, MixtureDataset, Phase, Post, Round, RoundSummary, RoundView,
	Standing, LOSS_OF_MISMATCH, MAX_AGGREGATORS, MAX_CHANGES_PER_BLOCK, MAX_COMPONENTS,
	MAX_DATASETS, MAX_EVALUATORS, MAX_LOSS, MAX_POSTS_PER_CALL, MAX_TRAINERS,
};
pub use weights::WeightInfo;

/// A live round of the runtime `T`.
pub type RoundOf<T> =
	Round<<T as frame_system::Config>::AccountId, frame_system::pallet_prelude::BlockNumberFor<T>>;

/// The pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use blyan_primitives::{recipe::Recipe, H256};
	use frame_support::{pallet_prelude::*, traits::Randomness};
	use frame_system::pallet_prelude::*;
	use sp_runtime::Permill;

	/// The in-code storage version.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	/// The pallet's handle.
	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	/// What the pallet needs from the runtime. Periods are in blocks; a round keeps the parameters
	/// that it was opened with.
	#[pallet::config]
	pub trait Config:
		polkadot_sdk::frame_system::Config<
		RuntimeEvent: From<Event<Self>>,
		AccountId: Into<[u8; 32]>,
	>
	{
		/// Who is active, who owns what, and who must stay.
		type Workers: pallet_workers::Workers<Self::AccountId>;

		/// Where it is noted how work ended.
		type Reputation: pallet_reputation::Reputation<Self::AccountId>;

		/// Where points are credited.
		type Rewards: pallet_bly::Rewards<Self::AccountId>;

		/// Approved datasets.
		type Datasets: pallet_datasets::Datasets<Self::AccountId>;

		/// Models and their heads.
		type Models: pallet_experts::Models<Self::AccountId>;

		/// Updates of trainers and what became of them.
		type Updates: Updates<Self::AccountId>;

		/// Randomness, with the block since when it was known; `None` if that block had none.
		type Randomness: Randomness<Option<H256>, BlockNumberFor<Self>>;

		/// Time to join, and again to wait for the seed.
		type OpenPeriod: Get<BlockNumberFor<Self>>;

		/// Time to train and commit.
		type TrainPeriod: Get<BlockNumberFor<Self>>;

		/// Time to reveal updates.
		type RevealPeriod: Get<BlockNumberFor<Self>>;

		/// Time for verdicts: half of it to commit, the rest to reveal.
		type AuditPeriod: Get<BlockNumberFor<Self>>;

		/// Time after which the next owner of a component may post, too.
		type MergeTurn: Get<BlockNumberFor<Self>>;

		/// Time for fraud proofs after a merge.
		type ChallengePeriod: Get<BlockNumberFor<Self>>;

		/// Time for evaluations: half of it to commit, the rest to reveal.
		type EvaluatePeriod: Get<BlockNumberFor<Self>>;

		/// Updates below which a round is abandoned.
		type MinUpdates: Get<u32>;

		/// Trainers at which a round stops waiting for more; at most [`MAX_TRAINERS`] count.
		type MaxTrainers: Get<u32>;

		/// Evaluators wanted for a round; at most [`MAX_EVALUATORS`] count. Without a majority of them
		/// nothing is decided.
		type EvaluatorsPerRound: Get<u32>;

		/// How far from the median, as a part of it, a loss may be and still be paid. The improvement
		/// may be as far from the median one, as a part of the base's median loss.
		type EvaluationTolerance: Get<Permill>;

		/// Rounds that may be live at a time. Each costs a read per block.
		#[pallet::constant]
		type MaxLiveRounds: Get<u32>;

		/// Turns after which a merge is given up: the owner and so many successors less one.
		#[pallet::constant]
		type MergeTurns: Get<u32>;

		/// Weights of the calls and of the phases.
		type WeightInfo: WeightInfo;

		/// Sets up what benchmarks need from other pallets.
		#[cfg(feature = "runtime-benchmarks")]
		type BenchmarkHelper: crate::benchmarking::BenchmarkHelper<Self::AccountId>;
	}

	/// Number of the next round. Written by `open`, never deleted.
	#[pallet::storage]
	pub type NextRound<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// Numbers of the live rounds, in the order in which they have their turn: a round that was moved
	/// on goes to the end, as does a new one.
	///
	/// Bounded by `MaxLiveRounds`. The opener pays by the fee; a round that ends is taken out.
	#[pallet::storage]
	pub type Live<T: Config> = StorageValue<_, BoundedVec<u32, T::MaxLiveRounds>, ValueQuery>;

	/// The live round of a model.
	///
	/// At most as many as there are live rounds; deleted when the round ends.
	#[pallet::storage]
	// Models are numbered by the chain.
	pub type LiveOf<T: Config> = StorageMap<_, Twox64Concat, u32, u32>;

	/// The live rounds.
	///
	/// At most `MaxLiveRounds`; deleted when the round ends.
	#[pallet::storage]
	// Rounds are numbered by the chain, here and below.
	pub type Rounds<T: Config> = StorageMap<_, Twox64Concat, u32, RoundOf<T>>;

	/// Roots of the components of a round's base, in the order of the architecture.
	///
	/// Kept apart from [`Rounds`], because it is read once and up to 16 KiB. Deleted with the round.
	#[pallet::storage]
	pub type BaseRoots<T: Config> =
		StorageMap<_, Twox64Concat, u32, BoundedVec<H256, ConstU32<MAX_COMPONENTS>>, ValueQuery>;

	/// Datasets of a round, in the order that sampling uses, as approved when it was opened.
	///
	/// Deleted with the round.
	#[pallet::storage]
	pub type Mixtures<T: Config> = StorageMap<
		_,
		Twox64Concat,
		u32,
		BoundedVec<MixtureDataset<T::AccountId>, ConstU32<MAX_DATASETS>>,
		ValueQuery,
	>;

	/// Trainers of a round in the order in which they joined; each is engaged once.
	///
	/// A trainer pays by the bond of a worker. Deleted with the round.
	#[pallet::storage]
	pub type Trainers<T: Config> = StorageMap<
		_,
		Twox64Concat,
		u32,
		BoundedVec<T::AccountId, ConstU32<MAX_TRAINERS>>,
		ValueQuery,
	>;

	/// The merge of a round, from the phase `Merge` on.
	///
	/// An aggregator pays by the bond of a worker. Deleted with the round.
	#[pallet::storage]
	pub type Merges<T: Config> = StorageMap<_, Twox64Concat, u32, Merge<T::AccountId>, ValueQuery>;

	/// Drawn evaluators of a round; each is engaged once. Deleted with the round.
	#[pallet::storage]
	pub type Evaluators<T: Config> = StorageMap<
		_,
		Twox64Concat,
		u32,
		BoundedVec<Evaluator<T::AccountId>, ConstU32<MAX_EVALUATORS>>,
		ValueQuery,
	>;

	/// What is kept of rounds that have ended: about 100 bytes each, for ever, so that lineage can be
	/// traced back. The opener pays by the fee of `open`.
	#[pallet::storage]
	pub type Summaries<T: Config> =
		StorageMap<_, Twox64Concat, u32, RoundSummary<BlockNumberFor<T>>>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A round was opened.
		Opened {
			/// The round.
			round: u32,
			/// The model that learns.
			model: u32,
			/// The snapshot that updates start from.
			base_snapshot: u32,
		},
		/// A trainer joined.
		Joined {
			/// The round.
			round: u32,
			/// The trainer.
			trainer: T::AccountId,
		},
		/// A round entered a phase, or ended in it.
		PhaseChanged {
			/// The round.
			round: u32,
			/// The phase.
			phase: Phase,
		},
		/// Committees are widened, because verdicts did not decide.
		AuditWidened {
			/// The round.
			round: u32,
		},
		/// Roots of merged components were posted.
		MergePosted {
			/// The round.
			round: u32,
			/// Who posted.
			by: T::AccountId,
			/// How many components.
			components: u32,
		},
		/// The merge starts over, because an accepted update was refuted.
		MergeRestarted {
			/// The round.
			round: u32,
		},
		/// Evaluators were drawn.
		EvaluatorsDrawn {
			/// The round.
			round: u32,
			/// How many.
			evaluators: u32,
		},
		/// An evaluator committed.
		EvaluationCommitted {
			/// The round.
			round: u32,
			/// The evaluator.
			evaluator: T::AccountId,
		},
		/// An evaluator revealed what it measured.
		EvaluationRevealed {
			/// The round.
			round: u32,
			/// The evaluator.
			evaluator: T::AccountId,
			/// What it measured.
			losses: Losses,
		},
		/// A candidate was measured.
		Evaluated {
			/// The round.
			round: u32,
			/// The medians.
			losses: Losses,
			/// By how much the candidate is better, if it is by the margin.
			improvement: Option<u32>,
		},
		/// The model refused to advance, so the candidate is rejected.
		AdvanceRefused {
			/// The round.
			round: u32,
			/// Why.
			error: DispatchError,
		},
	}

	/// Why a call was refused.
	#[pallet::error]
	pub enum Error<T> {
		/// There is no such model.
		UnknownModel,
		/// Only the model's owner may open a round.
		NotModelOwner,
		/// The model has a live round already.
		ModelHasRound,
		/// As many rounds are live as may be.
		TooManyRounds,
		/// The model has no architecture or no snapshot to start from.
		NoSnapshot,
		/// The recipe contradicts itself or exceeds a limit.
		InvalidRecipe,
		/// A dataset is not approved.
		NotApproved,
		/// A dataset is named twice.
		DuplicateDataset,
		/// The mixture is empty, too large, or gives a dataset no weight.
		InvalidMixture,
		/// There is no such live round.
		UnknownRound,
		/// The round is in another phase.
		WrongPhase,
		/// The account is not an active trainer.
		NotActiveTrainer,
		/// The account has joined already.
		AlreadyJoined,
		/// The round has as many trainers as it may.
		Full,
		/// Nothing was posted.
		NothingPosted,
		/// No accepted update touches the component.
		ComponentNotNeeded,
		/// The component has been posted already.
		AlreadyPosted,
		/// The account is not among the owners of the component.
		NotOwner,
		/// Others come first.
		NotYourTurn,
		/// As many accounts have posted as may.
		TooManyAggregators,
		/// The account was not drawn to evaluate.
		NotEvaluator,
		/// The time to commit is over.
		CommitsClosed,
		/// The account has committed already.
		AlreadyCommitted,
		/// The account has not committed.
		NotCommitted,
		/// Others may still commit.
		RevealsNotOpen,
		/// The account has revealed already.
		AlreadyRevealed,
		/// What was revealed is not what was committed to.
		CommitmentMismatch,
		/// The loss of the base cannot be a mismatch: the base was checked when it became the head.
		BaseNotMeasured,
		/// A loss is above 20 nats per token.
		LossTooLarge,
		/// The model does not earn: nobody would be paid for work on it. Governance admits models.
		NotEarning,
		/// The deltas of all components could take more than the 16 MiB of an update. The recipe
		/// must allow fewer bytes per chunk.
		DeltasTooLarge,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn on_initialize(now: BlockNumberFor<T>) -> Weight {
			Self::advance_all(now)
		}

		fn integrity_test() {
			// Only constants: parameters live in storage, which this test has none of.
			assert!(T::MaxLiveRounds::get() > 0, "no round could ever be opened");
			assert!(T::MergeTurns::get() > 0, "nobody could ever merge");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Opens a round of a model.
		///
		/// Origin: signed, the model's owner. `datasets` are ids and how often each is repeated in
		/// the mixture. Nobody is paid for the round unless the model still earns when it ends.
		/// Refused if the model is unknown, belongs to somebody else, does not earn, has no snapshot
		/// or has a live round; if too many rounds are live; if a dataset is not approved or named
		/// twice; if mixture or recipe are not valid; if an update of the model could be larger
		/// than may be. Emits `Opened`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::open(datasets.len() as u32))]
		pub fn open(
			origin: OriginFor<T>,
			model: u32,
			datasets: BoundedVec<(u32, u16), ConstU32<MAX_DATASETS>>,
			recipe: Recipe,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_open(who, model, &datasets, recipe)
		}

		/// Joins an open round as a trainer.
		///
		/// Origin: signed, an active worker with the role of a trainer. The worker is engaged until
		/// the round ends. Refused if the round is not open any more or full, or if the account has
		/// joined. Emits `Joined`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::join())]
		pub fn join(origin: OriginFor<T>, round: u32) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_join(who, round)
		}

		/// Posts roots of components that the caller merged from the accepted updates.
		///
		/// Origin: signed, for each component its owner, or a successor whose turn has come. Refused
		/// in another phase, for a component that need not be merged or was posted, and for an
		/// account that is not its turn or not on the list of owners. Emits `MergePosted`.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::post_merge(roots.len() as u32))]
		pub fn post_merge(
			origin: OriginFor<T>,
			round: u32,
			roots: BoundedVec<(u16, H256), ConstU32<MAX_POSTS_PER_CALL>>,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_post_merge(who, round, &roots)
		}

		/// Commits to the losses of base and candidate.
		///
		/// Origin: signed, a drawn evaluator. `hash` is the hash of `(round, base, candidate)`, salt
		/// and account. Refused in the second half of the evaluation, and a second time. Emits
		/// `EvaluationCommitted`.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::commit_evaluation())]
		pub fn commit_evaluation(origin: OriginFor<T>, round: u32, hash: H256) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_commit_evaluation(who, round, hash)
		}

		/// Reveals the losses that the caller committed to, in micro-nats per token.
		///
		/// Origin: signed, a drawn evaluator that has committed. A candidate loss of 2^32 − 1 says
		/// that the candidate's weights do not have the posted roots; any other loss is at most 20
		/// nats. Refused before all have committed or their time is over, if a loss is larger, and
		/// if the losses are not those committed to. Emits `EvaluationRevealed`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::reveal_evaluation())]
		pub fn reveal_evaluation(
			origin: OriginFor<T>,
			round: u32,
			base_loss: u32,
			candidate_loss: u32,
			salt: H256,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			let losses = Losses { base: base_loss, candidate: candidate_loss };
			Self::do_reveal_evaluation(who, round, losses, &salt)
		}
	}
}
