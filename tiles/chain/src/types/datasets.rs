//! Datasets as the chain has them: where each is in its life, its place in Chain D, and what was
//! uploaded of it.

use super::{AccountId, BlockNumber};
use blyan_primitives::H256;
use std::fmt;
use subxt::ext::scale_decode::DecodeAsType;

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

#[cfg(test)]
mod tests {
	use super::*;

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
