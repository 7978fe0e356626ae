//! What the chain stores and answers, as this program reads it.
//!
//! These types are read by the names of their fields and variants, as the chain's metadata has them,
//! so that a field that moved is still found and one that is gone is an error, never a wrong number.
//! Types of `blyan_primitives` are the chain's own; they stand inside [`Static`], which is
//! transparent to `.` and says that they are read byte by byte.

use blyan_primitives::{
	model::Architecture, recipe::Recipe, roles::Roles, sampling::MixtureEntry, update::Update, H256,
};
use std::fmt;
use subxt::ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType};

pub use subxt::utils::{AccountId32 as AccountId, Static};

/// An amount of BLY in its smallest unit, 10^−18 BLY.
pub type Balance = u128;
/// Height of a block.
pub type BlockNumber = u32;

/// The smallest units of one BLY.
pub const BLY: Balance = 1_000_000_000_000_000_000;
/// The candidate loss with which an evaluator says that the candidate's weights do not have the
/// roots that were posted.
pub const LOSS_OF_MISMATCH: u32 = u32::MAX;

// Datasets.

/// How good an approved dataset is held to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Tier {
	/// Passed, no more.
	Experimental,
	/// Good.
	Silver,
	/// Excellent.
	Gold,
}

impl fmt::Display for Tier {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Experimental => "experimental",
			Self::Silver => "silver",
			Self::Gold => "gold",
		})
	}
}

/// Why a dataset was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Reason {
	/// Its shards were not all uploaded in time.
	NotUploaded,
	/// A median score of the auditors is below its threshold.
	AuditFailed,
	/// There were too few auditors, or too few of them reported in time, however often they were
	/// drawn.
	AuditIncomplete,
	/// Too few voted.
	NoQuorum,
	/// No majority was for it.
	VotedDown,
}

impl fmt::Display for Reason {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::NotUploaded => "not uploaded in time",
			Self::AuditFailed => "failed its audit",
			Self::AuditIncomplete => "too few auditors reported",
			Self::NoQuorum => "too few voted",
			Self::VotedDown => "voted down",
		})
	}
}

/// Where a dataset is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Status {
	/// Its shards are being uploaded.
	Pending,
	/// It waits for auditors, or is being audited.
	Auditing,
	/// It is being voted on.
	Voting,
	/// Rounds may train on it.
	Approved(Tier),
	/// It did not get that far.
	Rejected(Reason),
	/// Approved, but under suspicion.
	Flagged(Tier),
	/// Was approved and is no more.
	Revoked,
}

impl Status {
	/// One word for it.
	pub fn word(&self) -> &'static str {
		match self {
			Self::Pending => "pending",
			Self::Auditing => "auditing",
			Self::Voting => "voting",
			Self::Approved(_) => "approved",
			Self::Rejected(_) => "rejected",
			Self::Flagged(_) => "flagged",
			Self::Revoked => "revoked",
		}
	}

	/// All words that [`Self::word`] knows.
	pub const WORDS: [&'static str; 7] =
		["pending", "auditing", "voting", "approved", "rejected", "flagged", "revoked"];

	/// Whether rounds may train on it.
	pub fn is_approved(&self) -> bool {
		matches!(self, Self::Approved(_))
	}
}

impl fmt::Display for Status {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.word())?;
		match self {
			Self::Approved(tier) | Self::Flagged(tier) => write!(f, " ({tier})"),
			Self::Rejected(reason) => write!(f, " ({reason})"),
			_ => Ok(()),
		}
	}
}

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Dataset {
	/// Who submitted it.
	pub owner: AccountId,
	/// Hash of the manifest, which the owner signed.
	pub manifest_hash: H256,
	/// List root over the hashes of its records.
	pub records_root: H256,
	/// How many records it has.
	pub records: u32,
	/// How many shards it has.
	pub shards: u32,
	/// Where it is in its life.
	pub status: Status,
	/// When the chain acts on it next, if it does so by itself.
	pub deadline: Option<BlockNumber>,
	/// How often auditors were drawn for the current audit.
	pub draws: u8,
	/// Whether the owner has used its appeal.
	pub appealed: bool,
	/// Which of its records are kept for evaluation, once it was approved.
	pub held_out_seed: Option<H256>,
}

/// A block of Chain D: one accepted submission.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct DatasetBlock {
	/// Position in Chain D; also the dataset's id.
	pub number: u32,
	/// Hash of the block before, zero for the first.
	pub parent: H256,
	/// Hash of the manifest.
	pub manifest_hash: H256,
	/// Who submitted it.
	pub owner: AccountId,
	/// Height of the chain when it was submitted.
	pub at: u32,
}

/// The end of Chain D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct DatasetHead {
	/// Blocks so far.
	pub count: u32,
	/// Hash of the last block, zero if there is none.
	pub hash: H256,
}

/// What was uploaded of a pending dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Upload {
	/// How many shards are stored.
	pub stored: u32,
	/// Bit `i % 8` of byte `i / 8` is set if shard `i` is stored. Missing bytes are zero.
	pub bitmap: Vec<u8>,
}

impl Upload {
	/// Whether shard `index` is stored.
	pub fn has(&self, index: u32) -> bool {
		let mask = 1u8 << (index % 8);
		self.bitmap.get((index / 8) as usize).is_some_and(|bits| bits & mask != 0)
	}
}

/// What an auditor found, from 0 (as bad as can be) to 1000 (nothing to object to).
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Scores {
	/// Records decode, are complete and are what the manifest says.
	pub format: u16,
	/// Records do not repeat each other, nor what other datasets have.
	pub duplicates: u16,
	/// No personal data.
	pub personal_data: u16,
	/// No abuse, and no instructions hidden in the text.
	pub toxicity: u16,
	/// The licence is what the texts themselves say.
	pub licence: u16,
	/// The language is the declared one.
	pub language: u16,
	/// A model finds the text neither noise nor trivial. `None` without a model to ask.
	pub perplexity: Option<u16>,
}

/// An auditor's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Report {
	/// The findings in numbers.
	pub scores: Scores,
	/// Hash of the full report.
	pub report_hash: H256,
}

impl Report {
	/// What an auditor of `dataset` commits to, with what the dataset's `appealed` and `draws` are:
	/// the SCALE encoding of all of it.
	pub fn payload(&self, dataset: u32, appealed: bool, draw: u8) -> Vec<u8> {
		use codec::Encode;
		let Scores { format, duplicates, personal_data, toxicity, licence, language, perplexity } =
			self.scores;
		let scores = (format, duplicates, personal_data, toxicity, licence, language, perplexity);
		(dataset, appealed, draw, scores, self.report_hash).encode()
	}
}

/// An auditor drawn for a dataset.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AuditorSeat {
	/// The auditor.
	pub who: AccountId,
	/// Hash of its report, posted first.
	pub commitment: Option<H256>,
	/// Its report, revealed afterwards.
	pub report: Option<Report>,
}

/// What the auditors are to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum AuditPhase {
	/// Post the hash of the report.
	Commit,
	/// Reveal the report.
	Reveal,
}

/// An audit of a dataset that is going on.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct DatasetAudit {
	/// What the auditors are to do now.
	pub phase: AuditPhase,
	/// The auditors.
	pub seats: Vec<AuditorSeat>,
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AuditResult {
	/// The median of each score.
	pub scores: Scores,
	/// How many reports there were.
	pub reports: u32,
	/// The proposed tier; `None` if the dataset failed.
	pub tier: Option<Tier>,
}

/// The votes on a dataset so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Tally {
	/// The tier that the auditors proposed.
	pub tier: Tier,
	/// Votes for it.
	pub ayes: u32,
	/// Votes against it.
	pub nays: u32,
}

/// An account that may vote.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Voter {
	/// The machine that it votes from.
	pub hardware_id: H256,
	/// When it registered.
	pub since: BlockNumber,
	/// First block in which it may leave.
	pub bound_until: BlockNumber,
	/// What is held of it.
	pub deposit: Balance,
}

// Models.

/// A semantic version.
#[derive(
	Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, DecodeAsType, EncodeAsType,
)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Version {
	/// Grows with what older engines cannot run.
	pub major: u16,
	/// Grows with what older engines can run.
	pub minor: u16,
	/// Grows with corrections.
	pub patch: u16,
}

impl fmt::Display for Version {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
	}
}

impl std::str::FromStr for Version {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let wrong = || String::from("write three numbers up to 65535, as in 0.1.0");
		let mut parts = text.split('.').map(|part| {
			let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
			plain.then(|| part.parse::<u16>().ok()).flatten()
		});
		let mut next = || parts.next().flatten();
		let (Some(major), Some(minor), Some(patch)) = (next(), next(), next()) else {
			return Err(wrong());
		};
		match parts.next() {
			None => Ok(Self { major, minor, patch }),
			Some(_) => Err(wrong()),
		}
	}
}

/// What a spec says, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Definition {
	/// Version of the spec.
	pub version: Version,
	/// Dimensions, from which names, shapes and sizes of the components follow.
	pub architecture: Static<Architecture>,
	/// Hash of the tokenizer's file.
	pub tokenizer_hash: H256,
	/// Fraction bits of the master weights.
	pub fraction_bits: u8,
	/// The oldest version whose weights this spec can run.
	pub compatible_from: Version,
	/// Seed of the first weights.
	pub init_seed: H256,
}

/// How far a spec has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum SpecStatus {
	/// Nobody is asked to use it.
	Draft,
	/// Servers answer a part of the queries with it.
	Canary {
		/// That part, 1 to 99.
		percent: u8,
	},
	/// Everybody should use it.
	Stable,
	/// Nobody should use it any more.
	Deprecated,
}

impl fmt::Display for SpecStatus {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Draft => f.write_str("draft"),
			Self::Canary { percent } => write!(f, "canary ({percent} %)"),
			Self::Stable => f.write_str("stable"),
			Self::Deprecated => f.write_str("deprecated"),
		}
	}
}

/// One spec of a model.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Spec {
	/// What it says.
	pub definition: Definition,
	/// How far it has come.
	pub status: SpecStatus,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Model {
	/// Its name, unique on the chain.
	pub name: Vec<u8>,
	/// Who may change its specs and open its rounds.
	pub owner: AccountId,
	/// What is held from the owner for it.
	pub deposit: Balance,
	/// Number of the current snapshot.
	pub snapshot: u32,
	/// Number of its specs.
	pub specs: u32,
	/// The highest version among them.
	pub latest_spec: Version,
	/// Number of candidates that were ever rejected.
	pub rejected: u64,
}

impl Model {
	/// Its name as text.
	pub fn name(&self) -> String {
		String::from_utf8_lossy(&self.name).into_owned()
	}
}

/// What produced a block of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum BlockOrigin {
	/// The creation of the model.
	Genesis,
	/// A finalised round.
	Round(u32),
	/// A change of the architecture.
	Migration {
		/// The spec of the parent.
		from: Version,
		/// The spec of the block.
		to: Version,
	},
}

/// One version of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct ComponentBlock {
	/// Counted from zero for each component.
	pub version: u32,
	/// Hash of the block before it; zero for version zero.
	pub parent: H256,
	/// Length of the payload, in bytes.
	pub bytes: u64,
	/// Root of the tree over the payload.
	pub root: H256,
	/// What produced the block.
	pub origin: BlockOrigin,
	/// When the chain accepted it.
	pub at: BlockNumber,
}

/// The newest block of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct ComponentHead {
	/// Its version.
	pub version: u32,
	/// Root of the tree over its payload.
	pub root: H256,
	/// Its hash.
	pub hash: H256,
}

/// A version of a whole model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Snapshot {
	/// Number of the snapshot it was trained from; none for the first.
	pub parent: Option<u32>,
	/// Version of the spec that its weights have.
	pub spec: Version,
	/// Root of the list of the components' tile roots, in order.
	pub heads_root: H256,
	/// The round that produced it; none for the first.
	pub round: Option<u32>,
	/// Loss of the parent on the round's evaluation records, in micro-nats; zero for the first.
	pub base_loss: u32,
	/// Loss of this snapshot on the same records, in micro-nats; zero for the first.
	pub candidate_loss: u32,
	/// When it became the current one.
	pub at: BlockNumber,
}

/// What a snapshot was learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Lineage {
	/// Id of each dataset, and how many of its samples were used.
	pub datasets: Vec<(u32, u64)>,
	/// How much lower the loss became, in micro-nats.
	pub improvement_micronats: u32,
	/// Loss of the base, in micro-nats.
	pub base_loss: u32,
	/// Loss of the snapshot, in micro-nats.
	pub candidate_loss: u32,
}

// Rounds.

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

// Proofs.

/// What a verifier found.
#[derive(
	Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType, codec::Encode, codec::Decode,
)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub enum Verdict {
	/// Every drawn segment ends within the recipe's tolerance of what the trainer claims.
	#[codec(index = 0)]
	Match,
	/// This segment does not.
	#[codec(index = 1)]
	Mismatch {
		/// Number of the segment.
		segment: u32,
	},
	/// The trainer did not serve what it takes to re-run this segment.
	#[codec(index = 2)]
	Unavailable {
		/// Number of the segment.
		segment: u32,
	},
}

impl Verdict {
	/// What a verifier commits to: the SCALE encoding of `(round, trainer, verdict)`.
	pub fn payload(&self, round: u32, trainer: &[u8; 32]) -> Vec<u8> {
		codec::Encode::encode(&(round, trainer, self))
	}
}

impl fmt::Display for Verdict {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Match => f.write_str("match"),
			Self::Mismatch { segment } => write!(f, "mismatch in segment {segment}"),
			Self::Unavailable { segment } => write!(f, "segment {segment} unavailable"),
		}
	}
}

/// What is stored about the update of a trainer from its commitment on.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Submission {
	/// What the trainer committed to.
	pub commitment: H256,
	/// What became of it.
	pub standing: Standing,
	/// Records that the update was trained on; 0 until it is revealed.
	pub samples: u32,
	/// Whether verifiers are still to be drawn for it.
	pub awaits_draw: bool,
}

/// A drawn verifier of one update.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct VerifierSeat {
	/// Who it is.
	pub verifier: AccountId,
	/// In which draw: the first one, or the second.
	pub stage: u8,
	/// Commitment to the verdict.
	pub commitment: Option<H256>,
	/// The revealed verdict.
	pub verdict: Option<Verdict>,
	/// Whether the verdict helped to decide.
	pub earned: bool,
}

/// The audit of one update.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct UpdateAudit {
	/// Segments that every verifier of the update re-runs, ascending.
	pub segments: Vec<u32>,
	/// Verifiers that the first draw was to find; the quorum counts from it.
	pub wanted: u32,
	/// The committee.
	pub seats: Vec<VerifierSeat>,
	/// 1 after the first draw, 2 after the second. Only seats of this stage may act.
	pub stage: u8,
	/// Whether somebody may still act.
	pub waiting: bool,
}

/// Everything about the update of a trainer in a live round.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct UpdateView {
	/// The trainer.
	pub trainer: AccountId,
	/// What was committed to, and what became of it.
	pub submission: Submission,
	/// The update, once it is revealed.
	pub update: Option<Static<Update>>,
	/// The audit, once verifiers are drawn.
	pub audit: Option<UpdateAudit>,
}

// Workers.

/// The device that a worker computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub enum Device {
	/// Processor cores.
	Cpu,
	/// NVIDIA.
	Cuda,
	/// AMD.
	Rocm,
	/// Apple.
	Metal,
	/// Any other device with a Vulkan driver.
	Vulkan,
}

/// What a worker says about its hardware.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Profile {
	/// The device.
	pub device: Device,
	/// Memory that the device can compute in, in MiB.
	pub vram_mib: u32,
	/// Rate of a large matrix product, in 10^9 operations a second.
	pub tflops_milli: u32,
	/// Bandwidth of that memory, in MiB a second.
	pub memory_mib_per_s: u32,
	/// Bandwidth between system and device, in MiB a second.
	pub pcie_mib_per_s: u32,
	/// Country as two letters, or two zero bytes when not told.
	pub region: [u8; 2],
}

/// Where a worker stands between registering and taking its bond back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum WorkerState {
	/// On the list of each of its roles.
	Listed,
	/// On no list: its bond is below the minimum, or it was silent for too long.
	Suspended,
	/// On no list, and leaving.
	Unbonding {
		/// First block at which the bond can be withdrawn.
		until: BlockNumber,
	},
}

/// What is stored about a worker.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Worker {
	/// The roles it offers.
	pub roles: Static<Roles>,
	/// Its hardware.
	pub profile: Profile,
	/// Hash that names its hardware.
	pub hardware_id: H256,
	/// Its identity in the network.
	pub peer_id: Vec<u8>,
	/// Where it can be reached.
	pub addresses: Vec<Vec<u8>>,
	/// What is held of its balance.
	pub bond: Balance,
	/// Block of its last heartbeat, or of its registration.
	pub heartbeat_at: BlockNumber,
	/// Where it stands.
	pub state: WorkerState,
}

// Money.

/// The parties among whom the emission of an epoch is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Share {
	/// Accounts whose updates were merged into a model.
	Trainers,
	/// Owners of the datasets that an improvement was learned from.
	Owners,
	/// Accounts that checked training or measured candidates.
	Verifiers,
	/// Accounts that audited datasets.
	Auditors,
	/// Accounts that authored blocks.
	Authors,
}

impl fmt::Display for Share {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Trainers => "trainers",
			Self::Owners => "owners",
			Self::Verifiers => "verifiers",
			Self::Auditors => "auditors",
			Self::Authors => "authors",
		})
	}
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AccountBalance {
	/// What it may spend, except for what is frozen.
	pub free: Balance,
	/// What is held from it: bonds and deposits.
	pub reserved: Balance,
	/// What of `free` it must keep.
	pub frozen: Balance,
}

/// What the chain knows about an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AccountInfo {
	/// How many transactions it has signed.
	pub nonce: u32,
	/// What it has.
	pub data: AccountBalance,
}

/// Where an item was last stored or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Location {
	/// The block.
	pub block: BlockNumber,
	/// Position among the block's items.
	pub index: u32,
}

/// What the chain takes for items that are stored or renewed, beside the fee of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemFees {
	/// For each item, in the smallest unit.
	pub entry: Balance,
	/// For each byte of an item, in the smallest unit.
	pub byte: Balance,
}

impl ItemFees {
	/// What `items` items of `bytes` bytes in all cost, in the smallest unit. Saturates, since what
	/// nobody can pay is too much either way.
	pub fn of(&self, items: u64, bytes: u64) -> Balance {
		let entries = self.entry.saturating_mul(Balance::from(items));
		entries.saturating_add(self.byte.saturating_mul(Balance::from(bytes)))
	}
}

/// An amount in BLY, with as many decimals as it needs.
pub fn bly(amount: Balance) -> String {
	let whole = amount / BLY;
	let rest = amount % BLY;
	if rest == 0 {
		return whole.to_string();
	}
	let digits = format!("{rest:018}");
	format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// An amount of BLY with up to 18 decimals, in the smallest unit; nothing if it is none.
pub fn parse_bly(text: &str) -> Option<Balance> {
	let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
	let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
	if !plain(whole) || !plain(decimals) || decimals.len() > 18 {
		return None;
	}
	let rest: Balance = format!("{decimals:0<18}").parse().ok()?;
	whole.parse::<Balance>().ok()?.checked_mul(BLY)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;

	#[test]
	fn versions_are_three_numbers() {
		assert_eq!("0.1.10".parse(), Ok(Version { major: 0, minor: 1, patch: 10 }));
		assert_eq!(Version { major: 2, minor: 0, patch: 7 }.to_string(), "2.0.7");
		for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1..2", "1.2.70000", "+1.2.3", "1.2.3 "] {
			assert!(wrong.parse::<Version>().is_err(), "{wrong}");
		}
	}

	#[test]
	fn amounts_are_read_to_the_last_decimal() {
		assert_eq!(parse_bly("0"), Some(0));
		assert_eq!(parse_bly("12.5"), Some(12 * BLY + BLY / 2));
		assert_eq!(parse_bly("0.000000000000000001"), Some(1));
		assert_eq!(parse_bly("1000000000"), Some(1_000_000_000 * BLY));
		let wrong = ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000000000000001"];
		for wrong in wrong {
			assert_eq!(parse_bly(wrong), None, "{wrong}");
		}
		assert_eq!(parse_bly(&"9".repeat(39)), None);
		for amount in [0, 1, BLY, 123 * BLY + 45] {
			assert_eq!(parse_bly(&bly(amount)), Some(amount));
		}
	}

	#[test]
	fn items_cost_what_they_are_and_what_they_have() {
		let fees = ItemFees { entry: 200, byte: 2 };
		assert_eq!(fees.of(0, 0), 0);
		assert_eq!(fees.of(3, 1_000), 2_600);
		let dear = ItemFees { entry: Balance::MAX, byte: Balance::MAX };
		assert_eq!(dear.of(u64::MAX, u64::MAX), Balance::MAX);
	}

	#[test]
	fn amounts_have_the_decimals_that_they_need() {
		assert_eq!(bly(0), "0");
		assert_eq!(bly(1), "0.000000000000000001");
		assert_eq!(bly(BLY), "1");
		assert_eq!(bly(1_500 * BLY / 1_000), "1.5");
		assert_eq!(bly(1_000_000_000 * BLY), "1000000000");
	}

	#[test]
	fn commitments_are_over_what_the_chain_encodes() {
		let verdict = Verdict::Mismatch { segment: 7 };
		let payload = verdict.payload(3, &[9; 32]);
		assert_eq!(payload[..4], [3, 0, 0, 0]);
		assert_eq!(payload[4..36], [9; 32]);
		assert_eq!(payload[36..], [1, 7, 0, 0, 0]);
		assert_eq!(Losses { base: 2, candidate: 1 }.payload(3), (3u32, 2u32, 1u32).encode());
		let scores = Scores {
			format: 1,
			duplicates: 2,
			personal_data: 3,
			toxicity: 4,
			licence: 5,
			language: 6,
			perplexity: Some(7),
		};
		let report = Report { scores, report_hash: H256([8; 32]) };
		let draw = vec![9, 0, 0, 0, 1, 2];
		let scores = vec![1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 1, 7, 0];
		assert_eq!(report.payload(9, true, 2), [draw, scores, vec![8; 32]].concat());
	}

	#[test]
	fn stored_shards_are_bits() {
		let upload = Upload { stored: 2, bitmap: vec![0b0000_0010, 0b1000_0000] };
		let stored: Vec<u32> = (0..32).filter(|index| upload.has(*index)).collect();
		assert_eq!(stored, [1, 15]);
	}

	#[test]
	fn states_have_a_word_each() {
		let states = [
			Status::Pending,
			Status::Auditing,
			Status::Voting,
			Status::Approved(Tier::Gold),
			Status::Rejected(Reason::NoQuorum),
			Status::Flagged(Tier::Silver),
			Status::Revoked,
		];
		let words: Vec<&str> = states.iter().map(Status::word).collect();
		assert_eq!(words, Status::WORDS);
		assert_eq!(states[3].to_string(), "approved (gold)");
		assert_eq!(states[4].to_string(), "rejected (too few voted)");
	}
}
