//! What the pallet stores and its calls take.

use super::*;
use blyan_primitives::{hash::blake2b_256, record::MAX_SHARDS, BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The most auditors of one dataset.
pub const MAX_AUDITORS: u32 = 16;
/// How often auditors are drawn for one audit, at most; see [`rules::commit_time`] for when.
pub const MAX_DRAWS: u8 = 3;
/// The most auditors that can have been late in one audit: those of all draws but the last.
pub const MAX_LATE_AUDITORS: u32 = MAX_AUDITORS * (MAX_DRAWS as u32 - 1);
/// The best score.
pub const MAX_SCORE: u16 = 1_000;
/// Bytes of a bitmap with a bit for each shard.
pub const BITMAP_BYTES: u32 = MAX_SHARDS.div_ceil(8);
/// Stands before a block of Chain D when it is hashed, so that no other thing hashed anywhere in
/// the system has the same preimage.
pub const CHAIN_TAG: &[u8; 8] = b"blyan/D\x01";

/// How good an approved dataset is held to be.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Tier {
	/// Passed, no more.
	#[codec(index = 0)]
	Experimental,
	/// Good.
	#[codec(index = 1)]
	Silver,
	/// Excellent.
	#[codec(index = 2)]
	Gold,
}

/// Why a dataset was rejected.
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
pub enum Reason {
	/// Its shards were not all uploaded in time. Cannot be appealed.
	#[codec(index = 0)]
	NotUploaded,
	/// A median score of the auditors is below its threshold.
	#[codec(index = 1)]
	AuditFailed,
	/// There were too few auditors for as long as an audit takes, or too few of those drawn
	/// reported in that time. Not the owner's fault.
	#[codec(index = 2)]
	AuditIncomplete,
	/// Too few voted. Not the owner's fault.
	#[codec(index = 3)]
	NoQuorum,
	/// No majority was for it.
	#[codec(index = 4)]
	VotedDown,
}

/// Where a dataset is in its life.
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
pub enum Status {
	/// Submitted; its shards are being uploaded.
	#[codec(index = 0)]
	Pending,
	/// Uploaded; waiting for auditors, or being audited.
	#[codec(index = 1)]
	Auditing,
	/// Passed the audit; being voted on.
	#[codec(index = 2)]
	Voting,
	/// Rounds may train on it.
	#[codec(index = 3)]
	Approved(Tier),
	/// It did not get that far.
	#[codec(index = 4)]
	Rejected(Reason),
	/// Approved, but under suspicion: no new round may name it until that is resolved.
	#[codec(index = 5)]
	Flagged(Tier),
	/// Was approved and is no more.
	#[codec(index = 6)]
	Revoked,
}

impl Status {
	/// Whether the dataset counts against its owner's quota: it is not decided yet.
	pub fn is_live(self) -> bool {
		matches!(self, Status::Pending | Status::Auditing | Status::Voting)
	}

	/// Whether no other dataset can be uploaded with the same records root, at least as long as there
	/// may be an appeal: everything is uploaded, and no audit has failed. Until auditors have compared
	/// root and shards, the root is a claim that anybody can make.
	pub fn holds_records(self) -> bool {
		match self {
			Status::Pending => false,
			Status::Auditing | Status::Voting | Status::Approved(_) => true,
			Status::Flagged(_) | Status::Revoked => true,
			Status::Rejected(reason) => {
				!matches!(reason, Reason::NotUploaded | Reason::AuditFailed)
			}
		}
	}

	/// Whether it ended because too few took part, so that nobody has decided against the data:
	/// somebody may bring it again when there is no appeal any more.
	pub fn is_undecided(self) -> bool {
		matches!(self, Status::Rejected(Reason::AuditIncomplete | Reason::NoQuorum))
	}
}

/// A dataset. Its manifest is kept apart, as it is a thousand times larger.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Dataset<AccountId, BlockNumber> {
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
	/// How many bytes its shards have together.
	pub bytes: u64,
	/// Where it is in its life.
	pub status: Status,
	/// When the chain acts on it next, if it does so by itself: always, while it is live.
	pub deadline: Option<BlockNumber>,
	/// How often auditors were drawn for the current audit.
	pub draws: u8,
	/// Whether the owner has used its appeal.
	pub appealed: bool,
	/// Which of its records are kept for evaluation; fixed when it is first approved.
	pub held_out_seed: Option<H256>,
}

impl<AccountId, BlockNumber> Dataset<AccountId, BlockNumber> {
	/// Whether no other dataset can be uploaded with the same records root. What was approved once
	/// holds it for ever: models may have learned from it, and another dataset would keep other
	/// records for evaluation.
	pub fn holds_records(&self) -> bool {
		let is_closed = self.deadline.is_none();
		self.held_out_seed.is_some()
			|| self.status.holds_records() && !(is_closed && self.status.is_undecided())
	}
}

/// A block of Chain D: one accepted submission.
///
/// Its hash is `H(CHAIN_TAG ‖ SCALE(block))`, that is of the bytes `blyan/D\x01`, the number (4,
/// little-endian), the parent's hash (32), the manifest's hash (32), the owner (32) and the height
/// (4, little-endian). Nothing that happens to the dataset later alters it.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct DatasetBlock<AccountId> {
	/// Position in Chain D, from 0 on; also the dataset's id.
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

impl<AccountId: Encode> DatasetBlock<AccountId> {
	/// The hash that the next block names as its parent.
	pub fn hash(&self) -> H256 {
		(CHAIN_TAG, self).using_encoded(blake2b_256)
	}
}

/// The end of Chain D.
#[derive(
	Clone,
	Copy,
	Default,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Head {
	/// Blocks so far; the number of the next.
	pub count: u32,
	/// Hash of the last block, zero if there is none.
	pub hash: H256,
}

/// What was uploaded of a pending dataset.
#[derive(
	Clone,
	Default,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Upload {
	/// How many shards are stored.
	pub stored: u32,
	/// Bit `i % 8` of byte `i / 8` is set if shard `i` is stored. Missing bytes are zero.
	pub bitmap: BoundedVec<u8, ConstU32<BITMAP_BYTES>>,
}

impl Upload {
	/// Whether shard `index` is stored.
	pub fn has(&self, index: u32) -> bool {
		let (byte, mask) = Self::place(index);
		self.bitmap.get(byte).is_some_and(|bits| bits & mask != 0)
	}

	/// Notes that shard `index` is stored. `false` if it was, or if there cannot be such a shard.
	pub fn insert(&mut self, index: u32) -> bool {
		let (byte, mask) = Self::place(index);
		if self.has(index) {
			return false;
		}
		// Grows to its bound at most.
		let bytes = self.bitmap.len().max(byte.saturating_add(1));
		self.bitmap.bounded_resize(bytes, 0);
		let Some(bits) = self.bitmap.get_mut(byte) else { return false };
		*bits |= mask;
		self.stored = self.stored.saturating_add(1);
		true
	}

	fn place(index: u32) -> (usize, u8) {
		((index / 8) as usize, 1 << (index % 8))
	}
}

/// What an auditor found, from 0 (as bad as can be) to 1000 (nothing to object to).
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
pub struct Report {
	/// The findings in numbers.
	pub scores: Scores,
	/// Hash of the full report, which the auditor keeps and serves.
	pub report_hash: H256,
}

impl Report {
	/// What an auditor commits to: the SCALE encoding of `(dataset, appealed, draw, report)`, with
	/// what [`Dataset::appealed`] and [`Dataset::draws`] are at the time. So a report that was
	/// sealed for one draw of auditors cannot be revealed in another one, nor for another dataset.
	pub fn payload(&self, dataset: u32, appealed: bool, draw: u8) -> Vec<u8> {
		(dataset, appealed, draw, self).encode()
	}
}

/// An auditor drawn for a dataset.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Seat<AccountId> {
	/// The auditor.
	pub who: AccountId,
	/// Hash of its report, posted first.
	pub commitment: Option<H256>,
	/// Its report, revealed afterwards.
	pub report: Option<Report>,
}

/// What the auditors are to do now.
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
	/// Post the hash of the report.
	#[codec(index = 0)]
	Commit,
	/// Reveal the report.
	#[codec(index = 1)]
	Reveal,
}

/// An audit that is going on.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Audit<AccountId> {
	/// What the auditors are to do now.
	pub phase: Phase,
	/// The auditors.
	pub seats: BoundedVec<Seat<AccountId>, ConstU32<MAX_AUDITORS>>,
}

impl<AccountId: PartialEq> Audit<AccountId> {
	/// The seat of `who`.
	pub fn seat(&self, who: &AccountId) -> Option<&Seat<AccountId>> {
		self.seats.iter().find(|seat| seat.who == *who)
	}

	/// The seat of `who`, to write to.
	pub fn seat_mut(&mut self, who: &AccountId) -> Option<&mut Seat<AccountId>> {
		self.seats.iter_mut().find(|seat| seat.who == *who)
	}

	/// How many have posted a hash.
	pub fn committed(&self) -> u32 {
		self.seats.iter().filter(|seat| seat.commitment.is_some()).count() as u32
	}

	/// How many have revealed their report.
	pub fn revealed(&self) -> u32 {
		self.seats.iter().filter(|seat| seat.report.is_some()).count() as u32
	}
}

/// What the draws of one audit have in common.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct AuditTerm<AccountId, BlockNumber> {
	/// Height at which the audit is over, whatever came of it. Counted from when the dataset began
	/// to wait for auditors.
	pub until: BlockNumber,
	/// Who had a seat in an earlier draw and did not report. Drawn again only to fill seats for
	/// which there is nobody else.
	pub late: BoundedVec<AccountId, ConstU32<MAX_LATE_AUDITORS>>,
}

/// How an audit ended.
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
pub struct AuditResult {
	/// The median of each score.
	pub scores: Scores,
	/// How many reports there were.
	pub reports: u32,
	/// The proposed tier; `None` if the dataset failed.
	pub tier: Option<Tier>,
}

/// The votes on a dataset so far.
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
pub struct Tally {
	/// The tier that the auditors proposed.
	pub tier: Tier,
	/// Votes for it.
	pub ayes: u32,
	/// Votes against it.
	pub nays: u32,
}

/// An account that may vote.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Voter<BlockNumber> {
	/// The machine that it votes from; no other voter has it.
	pub hardware_id: H256,
	/// When it registered.
	pub since: BlockNumber,
	/// First block in which it may leave: by then all votes that it took part in are over.
	pub bound_until: BlockNumber,
	/// What is held of it.
	pub deposit: u128,
}

/// The price of a submission.
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
pub struct Price {
	/// Leading zero bits that a proof of work needs.
	pub bits: u32,
	/// What it needed in the period before. Still good, so that nobody's work is lost when a period
	/// ends.
	pub bits_before: u32,
	/// Submissions in the current period.
	pub submissions: u32,
}

/// Something that a block has to do by itself.
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
pub enum Duty {
	/// Look whether the deadline of this dataset has passed.
	#[codec(index = 0)]
	Deadline(u32),
	/// Delete some of the votes of a ballot that is over.
	#[codec(index = 1)]
	ClearVotes(Ballot),
}

/// A vote on a dataset; there may be a second one after an appeal.
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
pub struct Ballot {
	/// The dataset.
	pub dataset: u32,
	/// Whether it is the vote after the appeal.
	pub appealed: bool,
}

/// A dataset that waits for auditors.
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
pub struct Waiting<BlockNumber> {
	/// The dataset.
	pub dataset: u32,
	/// Since when. Only randomness that came later may draw.
	pub since: BlockNumber,
}

/// The positions of the queue that may be in use: from `first` on, before `next`.
#[derive(
	Clone,
	Copy,
	Default,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct QueueEnds {
	/// Who is next.
	pub first: u64,
	/// Where the next one that comes stands.
	pub next: u64,
}

/// A dataset that rounds may train on, as they see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approved<AccountId> {
	/// Who is paid for its use.
	pub owner: AccountId,
	/// How many records it has.
	pub records: u32,
	/// List root over the hashes of its records.
	pub records_root: H256,
	/// Which of its records are kept for evaluation.
	pub held_out_seed: H256,
}
