//! Proofs of learning: the updates of a round, the verifiers that are drawn for them, and what they
//! find.

use super::{AccountId, Standing, Static};
use blyan_primitives::{update::Update, H256};
use std::fmt;
use subxt::ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType};

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

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn commitments_are_over_what_the_chain_encodes() {
		let verdict = Verdict::Mismatch { segment: 7 };
		let payload = verdict.payload(3, &[9; 32]);
		assert_eq!(payload[..4], [3, 0, 0, 0]);
		assert_eq!(payload[4..36], [9; 32]);
		assert_eq!(payload[36..], [1, 7, 0, 0, 0]);
	}
}
