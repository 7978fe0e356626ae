//! Learning rounds: where one stands, what it learns from, and what evaluators measured.

use super::{AccountId, BlockNumber, Static};
use blyan_primitives::{model::Architecture, recipe::Recipe, sampling::MixtureEntry, H256};
use std::fmt;
use subxt::ext::scale_decode::DecodeAsType;

/// The candidate loss with which an evaluator says that the candidate's weights do not have the
/// roots that were posted.
pub const LOSS_OF_MISMATCH: u32 = u32::MAX;

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Phase {
	/// Trainers join; then the round waits for randomness.
	Open,
	/// Trainers train and commit to their updates.
	Train,
	/// Trainers reveal what they committed to.
	Reveal,
	/// Drawn verifiers re-run segments.
	Audit,
	/// Owners of components post the merged roots.
	Merge,
	/// Fraud proofs may still undo the merge.
	Challenge,
	/// Drawn evaluators measure base and candidate.
	Evaluate,
	/// The candidate was better: the heads advanced.
	Final,
	/// The candidate was not better: the heads stayed.
	Rejected,
	/// The round fell through.
	Abandoned,
}

impl Phase {
	/// Whether a round in this phase still waits for something.
	pub fn is_live(self) -> bool {
		!matches!(self, Self::Final | Self::Rejected | Self::Abandoned)
	}
}

impl fmt::Display for Phase {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Open => "open",
			Self::Train => "train",
			Self::Reveal => "reveal",
			Self::Audit => "audit",
			Self::Merge => "merge",
			Self::Challenge => "challenge",
			Self::Evaluate => "evaluate",
			Self::Final => "final",
			Self::Rejected => "rejected",
			Self::Abandoned => "abandoned",
		})
	}
}

/// What became of one trainer's update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Standing {
	/// Nothing was committed.
	Silent,
	/// Committed, not revealed.
	Committed,
	/// Revealed, and no ruling yet.
	Revealed,
	/// Verified: it is merged and paid.
	Accepted,
	/// Nobody verified it.
	Unverified,
	/// The trainer did not serve what verifiers needed.
	Unavailable,
	/// Found or proven to be false.
	Refuted,
}

impl fmt::Display for Standing {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Silent => "silent",
			Self::Committed => "committed",
			Self::Revealed => "revealed",
			Self::Accepted => "accepted",
			Self::Unverified => "unverified",
			Self::Unavailable => "unavailable",
			Self::Refuted => "refuted",
		})
	}
}

/// Parameters as they were when the round was opened. Periods are in blocks.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Limits {
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
	/// To commit to verdicts and reveal them.
	pub audit: BlockNumber,
	/// Until the next owner in order may post, too.
	pub merge_turn: BlockNumber,
	/// Turns after which the merge is given up.
	pub merge_turns: u32,
	/// For fraud proofs after the merge.
	pub challenge: BlockNumber,
	/// To commit to losses and reveal them.
	pub evaluate: BlockNumber,
}

/// A live round.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Round {
	/// The model that learns.
	pub model: u32,
	/// Who opened the round.
	pub opener: AccountId,
	/// The snapshot that updates start from.
	pub base_snapshot: u32,
	/// Root over the base's components.
	pub base_root: H256,
	/// The model's architecture at opening.
	pub architecture: Static<Architecture>,
	/// How to train.
	pub recipe: Static<Recipe>,
	/// Parameters at opening.
	pub limits: Limits,
	/// Block in which the round was opened.
	pub opened: BlockNumber,
	/// Where the round stands.
	pub phase: Phase,
	/// Block in which the present wait began.
	pub since: BlockNumber,
	/// Block in which the present wait ends if nobody ends it earlier.
	pub deadline: BlockNumber,
	/// Whether the round waits for randomness.
	pub drawing: bool,
	/// Whether committees have been widened.
	pub widened: bool,
	/// Whether the merge must be redone.
	pub disturbed: bool,
	/// Decides which records each trainer uses.
	pub seed: Option<H256>,
	/// Decides who verifies which segments.
	pub audit_seed: Option<H256>,
	/// Decides who evaluates, and on which held-out records.
	pub evaluation_seed: Option<H256>,
}

/// A dataset of a round, as it was approved when the round was opened.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct MixtureDataset {
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

impl MixtureDataset {
	/// The dataset as sampling sees it.
	pub fn entry(&self) -> MixtureEntry {
		MixtureEntry {
			records: self.records,
			weight: self.weight,
			held_out_seed: self.held_out_seed,
		}
	}
}

/// What an evaluator measured, in micro-nats per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Losses {
	/// Loss of the base.
	pub base: u32,
	/// Loss of the candidate; [`LOSS_OF_MISMATCH`] if its weights do not have the posted roots.
	pub candidate: u32,
}

impl Losses {
	/// What an evaluator commits to: the SCALE encoding of `(round, base, candidate)`.
	pub fn payload(&self, round: u32) -> Vec<u8> {
		codec::Encode::encode(&(round, self.base, self.candidate))
	}
}

/// A drawn evaluator.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Evaluator {
	/// Who it is.
	pub who: AccountId,
	/// Commitment to the losses.
	pub commitment: Option<H256>,
	/// The revealed losses.
	pub losses: Option<Losses>,
}

/// What is kept of a round that has ended.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct RoundSummary {
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

/// Everything about a live round.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct RoundView {
	/// The round itself.
	pub round: Round,
	/// Its datasets, in the order that sampling uses.
	pub datasets: Vec<MixtureDataset>,
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
	pub evaluators: Vec<Evaluator>,
}

impl RoundView {
	/// The datasets as sampling sees them.
	pub fn mixture(&self) -> Vec<MixtureEntry> {
		self.datasets.iter().map(MixtureDataset::entry).collect()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;

	#[test]
	fn commitments_are_over_what_the_chain_encodes() {
		assert_eq!(Losses { base: 2, candidate: 1 }.payload(3), (3u32, 2u32, 1u32).encode());
	}
}
