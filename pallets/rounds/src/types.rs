//! Data that the pallet stores, emits and answers with.

use alloc::vec::Vec;
use blyan_primitives::{
	model::Architecture,
	recipe::{Recipe, MAX_MARGIN_MICRONATS},
	sampling::MixtureEntry,
	BoundedVec, ConstU32, H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The most trainers that a round may have, whatever the parameters say.
pub const MAX_TRAINERS: u32 = 64;
/// The most datasets that a round may name.
pub const MAX_DATASETS: u32 = 16;
/// The most components that a model may have.
pub const MAX_COMPONENTS: u32 = 512;
/// The most component roots that one call may post: each costs an ordering of all aggregators.
pub const MAX_POSTS_PER_CALL: u32 = 64;
/// The most accounts that may post roots of one round's merge. As many as may be aggregators, or a
/// component whose owners come too late to be counted could never be posted.
pub const MAX_AGGREGATORS: u32 = 128;
/// The most evaluators that a round may have, whatever the parameters say.
pub const MAX_EVALUATORS: u32 = 16;

/// The most rounds that one block moves on. Two of the dearest changes, with all that follows from
/// them in the proofs' pallet, are about half of a block; whoever waits has no disadvantage, since
/// every time limit is counted from the change that begins it.
pub const MAX_CHANGES_PER_BLOCK: u32 = 2;

/// The candidate loss with which an evaluator says that the candidate's weights do not have the
/// roots that were posted.
pub const LOSS_OF_MISMATCH: u32 = u32::MAX;
/// The largest loss that can be reported, in micro-nats per token: more than guessing loses, and the
/// largest margin that a recipe can ask for. Evaluators that measure more report this.
pub const MAX_LOSS: u32 = MAX_MARGIN_MICRONATS;

/// Points for one root of a component that became part of a candidate, in the verifiers' share.
pub const POINTS_PER_COMPONENT: u64 = 1;
/// Points for one evaluation near the median, in the verifiers' share.
pub const POINTS_PER_EVALUATION: u64 = 16;

// The formats know the same limits.
const _: () = assert!(MAX_DATASETS as usize == blyan_primitives::sampling::MAX_DATASETS);
const _: () = assert!(MAX_COMPONENTS as usize == blyan_primitives::model::MAX_COMPONENTS as usize);

/// Where a round stands.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Phase {
	/// Trainers join; then the round waits for the randomness of a later block.
	#[codec(index = 0)]
	Open,
	/// Trainers train and commit to their updates.
	#[codec(index = 1)]
	Train,
	/// Trainers reveal what they committed to.
	#[codec(index = 2)]
	Reveal,
	/// Drawn verifiers re-run segments, commit to verdicts and reveal them.
	#[codec(index = 3)]
	Audit,
	/// Owners of components post the merged roots.
	#[codec(index = 4)]
	Merge,
	/// Fraud proofs may still undo the merge.
	#[codec(index = 5)]
	Challenge,
	/// Drawn evaluators measure base and candidate on held-out records.
	#[codec(index = 6)]
	Evaluate,
	/// The candidate was better: the heads advanced.
	#[codec(index = 7)]
	Final,
	/// The candidate was not better: the heads stayed.
	#[codec(index = 8)]
	Rejected,
	/// The round fell through: nobody is paid, the heads stayed.
	#[codec(index = 9)]
	Abandoned,
}

impl Phase {
	/// Whether a round in this phase still waits for something.
	pub fn is_live(self) -> bool {
		!matches!(self, Phase::Final | Phase::Rejected | Phase::Abandoned)
	}
}

/// What became of one trainer's update.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Standing {
	/// Nothing was committed.
	#[codec(index = 0)]
	Silent,
	/// Committed, not revealed.
	#[codec(index = 1)]
	Committed,
	/// Revealed, and no ruling yet.
	#[codec(index = 2)]
	Revealed,
	/// Verified: it is merged and paid.
	#[codec(index = 3)]
	Accepted,
	/// Nobody verified it: it is neither merged nor paid, and the trainer is not to blame.
	#[codec(index = 4)]
	Unverified,
	/// The trainer did not serve what verifiers needed.
	#[codec(index = 5)]
	Unavailable,
	/// Found or proven to be false.
	#[codec(index = 6)]
	Refuted,
}

/// Parameters as they were when the round was opened; later changes do not touch a live round.
/// Periods are in blocks.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Limits<BlockNumber> {
	/// Updates below which the round is abandoned.
	pub min_updates: u32,
	/// Trainers at which the round stops waiting for more.
	pub max_trainers: u32,
	/// Evaluators to draw.
	pub evaluators: u32,
	/// To join, and again to wait for the seed.
	pub open: BlockNumber,
	/// To train and commit.
	pub train: BlockNumber,
	/// To reveal updates.
	pub reveal: BlockNumber,
	/// To commit to verdicts and reveal them; granted a second time if committees are widened.
	pub audit: BlockNumber,
	/// Until the next owner in order may post, too.
	pub merge_turn: BlockNumber,
	/// Turns after which the merge, and with it the round, is given up.
	pub merge_turns: u32,
	/// For fraud proofs after the merge.
	pub challenge: BlockNumber,
	/// To commit to losses and reveal them.
	pub evaluate: BlockNumber,
}

/// A live round.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Round<AccountId, BlockNumber> {
	/// The model that learns.
	pub model: u32,
	/// Who opened the round.
	pub opener: AccountId,
	/// The snapshot that was the model's head at opening, and that updates start from.
	pub base_snapshot: u32,
	/// Root over the base's components.
	pub base_root: H256,
	/// The model's architecture at opening.
	pub architecture: Architecture,
	/// How to train.
	pub recipe: Recipe,
	/// Parameters at opening.
	pub limits: Limits<BlockNumber>,
	/// Block in which the round was opened.
	pub opened: BlockNumber,
	/// Where the round stands.
	pub phase: Phase,
	/// Block in which the present wait began.
	pub since: BlockNumber,
	/// Block in which the present wait ends if nobody ends it earlier.
	pub deadline: BlockNumber,
	/// Whether the round waits for the randomness of a block from `since` on, and for the draw that
	/// it decides.
	pub drawing: bool,
	/// Whether committees have been widened: that happens once.
	pub widened: bool,
	/// Whether an accepted update was refuted since the merge began, so that it must be redone.
	pub disturbed: bool,
	/// Decides which records each trainer uses.
	pub seed: Option<H256>,
	/// Decides who verifies which segments.
	pub audit_seed: Option<H256>,
	/// Decides who evaluates, and on which held-out records.
	pub evaluation_seed: Option<H256>,
}

/// A dataset of a round, as it was approved when the round was opened.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct MixtureDataset<AccountId> {
	/// The dataset.
	pub id: u32,
	/// Who is paid for it.
	pub owner: AccountId,
	/// Its number of records.
	pub records: u32,
	/// Root over its records.
	pub records_root: H256,
	/// How often it is repeated in the mixture.
	pub weight: u16,
	/// Decides which of its records are held out.
	pub held_out_seed: H256,
}

impl<AccountId> MixtureDataset<AccountId> {
	/// The dataset as sampling sees it.
	pub fn entry(&self) -> MixtureEntry {
		MixtureEntry {
			records: self.records,
			weight: self.weight,
			held_out_seed: self.held_out_seed,
		}
	}

	/// The dataset's places in the mixture: its records times its weight.
	pub fn places(&self) -> u64 {
		// No overflow: 32 bits times 16 bits.
		u64::from(self.records).saturating_mul(u64::from(self.weight))
	}
}

/// The root that somebody posted for a merged component.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Post {
	/// Position of the component in the model.
	pub component: u16,
	/// Root of its merged weights.
	pub root: H256,
	/// Who posted it: a position in [`Merge::posters`].
	pub by: u16,
}

/// A merge as far as it has been posted.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Merge<AccountId> {
	/// Components that accepted updates touch, ascending. The others keep their base.
	pub needed: BoundedVec<u16, ConstU32<MAX_COMPONENTS>>,
	/// What was posted, ascending by component.
	pub posts: BoundedVec<Post, ConstU32<MAX_COMPONENTS>>,
	/// Everybody who posted since the first merge of the round; each is engaged once.
	pub posters: BoundedVec<AccountId, ConstU32<MAX_AGGREGATORS>>,
	/// Owners whose turn passed before somebody else posted for them. Those beyond the bound get
	/// away with it: it is only reputation.
	pub late: BoundedVec<AccountId, ConstU32<MAX_AGGREGATORS>>,
}

// Derived, it would ask for `AccountId: Default`.
impl<AccountId> Default for Merge<AccountId> {
	fn default() -> Self {
		Self {
			needed: BoundedVec::new(),
			posts: BoundedVec::new(),
			posters: BoundedVec::new(),
			late: BoundedVec::new(),
		}
	}
}

/// What an evaluator measured, in micro-nats per token.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Losses {
	/// Loss of the base.
	pub base: u32,
	/// Loss of the candidate; [`LOSS_OF_MISMATCH`] if its weights do not have the posted roots.
	pub candidate: u32,
}

impl Losses {
	/// What an evaluator commits to: the SCALE encoding of `(round, base, candidate)`, three `u32`.
	pub fn payload(&self, round: u32) -> Vec<u8> {
		(round, self.base, self.candidate).encode()
	}

	/// Whether both are within [`MAX_LOSS`], or the candidate is said to mismatch.
	pub fn are_bounded(&self) -> bool {
		let candidate = self.candidate <= MAX_LOSS || self.candidate == LOSS_OF_MISMATCH;
		self.base <= MAX_LOSS && candidate
	}

	/// By how much the candidate's loss is lower; negative if it is higher.
	pub fn gain(&self) -> i64 {
		// No overflow: both are 32 bits.
		i64::from(self.base).saturating_sub(i64::from(self.candidate))
	}
}

/// A drawn evaluator.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Evaluator<AccountId> {
	/// Who it is.
	pub who: AccountId,
	/// Commitment to the losses.
	pub commitment: Option<H256>,
	/// The revealed losses.
	pub losses: Option<Losses>,
}

/// What is kept of a round that has ended.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct RoundSummary<BlockNumber> {
	/// The model.
	pub model: u32,
	/// The snapshot that updates started from.
	pub base_snapshot: u32,
	/// How the round ended: `Final`, `Rejected` or `Abandoned`.
	pub outcome: Phase,
	/// The phase in which it ended.
	pub reached: Phase,
	/// Trainers that joined.
	pub trainers: u32,
	/// Updates that were accepted.
	pub accepted: u32,
	/// Median losses, if the round was evaluated.
	pub losses: Option<Losses>,
	/// Root over the candidate's components, if the round was evaluated.
	pub candidate_root: Option<H256>,
	/// Block in which it was opened.
	pub opened: BlockNumber,
	/// Block in which it ended.
	pub ended: BlockNumber,
}

/// Everything about a live round, for clients.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct RoundView<AccountId, BlockNumber> {
	/// The round itself.
	pub round: Round<AccountId, BlockNumber>,
	/// Its datasets, in the order that sampling uses.
	pub datasets: Vec<MixtureDataset<AccountId>>,
	/// Roots of the base's components.
	pub base_roots: Vec<H256>,
	/// Its trainers, in the order in which they joined.
	pub trainers: Vec<AccountId>,
	/// Trainers whose updates are accepted, with their samples: what is merged.
	pub accepted: Vec<(AccountId, u32)>,
	/// Components that have to be posted.
	pub needed: Vec<u16>,
	/// Roots that were posted, and by whom.
	pub posts: Vec<(u16, H256, AccountId)>,
	/// Drawn evaluators.
	pub evaluators: Vec<Evaluator<AccountId>>,
}
