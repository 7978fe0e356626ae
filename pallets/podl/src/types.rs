//! Data that the pallet stores and emits.

use alloc::vec::Vec;
use blyan_primitives::{
	update::{ComponentDelta, Update},
	BoundedVec, ConstU32, H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use pallet_rounds::Standing;
use scale_info::TypeInfo;

/// Verifiers of an update after its committee was widened.
pub const MAX_COMMITTEE: u32 = 7;
/// The most segments of an update that its verifiers re-run, whatever the parameters say.
pub const MAX_SEGMENTS: u32 = 8;
/// Points for one segment that was re-run for a verdict that helped to decide, in the verifiers'
/// share.
pub const POINTS_PER_SEGMENT: u64 = 8;

/// What a verifier found.
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
	/// What a verifier commits to: the SCALE encoding of `(round, trainer, verdict)`, with the
	/// trainer as 32 bytes.
	pub fn payload(&self, round: u32, trainer: &[u8; 32]) -> Vec<u8> {
		(round, trainer, self).encode()
	}

	/// The segment that the verdict is about, if it is about one.
	pub fn segment(&self) -> Option<u32> {
		match self {
			Verdict::Match => None,
			Verdict::Mismatch { segment } | Verdict::Unavailable { segment } => Some(*segment),
		}
	}
}

/// What verdicts add up to.
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
pub enum Ruling {
	/// The update is what it claims to be, as far as was looked.
	#[codec(index = 0)]
	Accepted,
	/// It is not.
	#[codec(index = 1)]
	Refuted,
	/// The trainer did not let anybody look.
	#[codec(index = 2)]
	Unavailable,
	/// Too few looked, or they disagree.
	#[codec(index = 3)]
	Unverified,
}

impl Ruling {
	/// What becomes of the update.
	pub fn standing(self) -> Standing {
		match self {
			Ruling::Accepted => Standing::Accepted,
			Ruling::Refuted => Standing::Refuted,
			Ruling::Unavailable => Standing::Unavailable,
			Ruling::Unverified => Standing::Unverified,
		}
	}

	/// Whether `verdict` says the same.
	pub fn agrees(self, verdict: &Verdict) -> bool {
		matches!(
			(self, verdict),
			(Ruling::Accepted, Verdict::Match)
				| (Ruling::Refuted, Verdict::Mismatch { .. })
				| (Ruling::Unavailable, Verdict::Unavailable { .. })
		)
	}

	/// Whether `verdict` says the opposite.
	///
	/// Only about what was computed: whether something was served is between two, and a trainer who
	/// starves one verifier must not be able to get that verifier slashed.
	pub fn contradicts(self, verdict: &Verdict) -> bool {
		matches!(
			(self, verdict),
			(Ruling::Accepted, Verdict::Mismatch { .. }) | (Ruling::Refuted, Verdict::Match)
		)
	}
}

/// What is stored about the update of a trainer from its commitment on.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
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
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Seat<AccountId> {
	/// Who it is.
	pub verifier: AccountId,
	/// In which draw: the first one, or the second.
	pub stage: u8,
	/// Commitment to the verdict.
	pub commitment: Option<H256>,
	/// The revealed verdict.
	pub verdict: Option<Verdict>,
	/// Whether the verdict helped to decide, so that it is paid when the round ends.
	pub earned: bool,
}

/// The audit of one update.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Audit<AccountId> {
	/// Segments that every verifier of the update re-runs, ascending; the last one is among them.
	pub segments: BoundedVec<u32, ConstU32<MAX_SEGMENTS>>,
	/// Verifiers that the first draw was to find, 1 to [`MAX_COMMITTEE`]; the quorum counts from it,
	/// even if fewer were found.
	pub wanted: u32,
	/// The committee; each member is engaged once.
	pub seats: BoundedVec<Seat<AccountId>, ConstU32<MAX_COMMITTEE>>,
	/// 1 after the first draw, 2 after the second. Only seats of this stage may act.
	pub stage: u8,
	/// Whether somebody may still act.
	pub waiting: bool,
}

impl<AccountId> Audit<AccountId> {
	/// The seats that may act.
	pub fn acting(&self) -> impl Iterator<Item = &Seat<AccountId>> {
		let stage = self.stage;
		self.seats.iter().filter(move |seat| seat.stage == stage)
	}
}

/// How many updates of a round there are.
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
pub struct Counts {
	/// Trainers who have committed.
	pub committed: u32,
	/// Trainers who have revealed.
	pub revealed: u32,
	/// Audits in which somebody may still act.
	pub waiting: u32,
}

/// What a committee found out, for clients.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct UpdateView<AccountId> {
	/// The trainer.
	pub trainer: AccountId,
	/// What was committed to, and what became of it.
	pub submission: Submission,
	/// The update, once it is revealed.
	pub update: Option<Update>,
	/// The audit, once verifiers are drawn.
	pub audit: Option<Audit<AccountId>>,
}

/// The components that `deltas` touch.
pub fn components(deltas: &[ComponentDelta]) -> impl Iterator<Item = u16> + '_ {
	deltas.iter().map(|delta| delta.component)
}
