//! Plain types of the pallet and the arithmetic on them, without storage.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// The best score. Scores are points from 0 to this.
pub const MAX_SCORE: u16 = 1_000;

/// The score of somebody of whom nothing is known, and the one that silence leads back to.
pub const NEUTRAL_SCORE: u16 = 500;

/// Accepted data contributions in a row that make a newcomer trusted.
///
/// A constant and not a parameter: the level stored with a streak would have to be recomputed for
/// every account when it changes.
pub const PROMOTION_STREAK: u32 = 3;

/// A success gains one part in this many of what is missing to [`MAX_SCORE`].
const SUCCESS_PARTS: u16 = 16;

/// A missed turn costs one part in this many of the score: being offline once is no offence.
const MISSED_PARTS: u16 = 32;

/// A failure costs one part in this many of the score, so that four successes do not repair it.
const FAILURE_PARTS: u16 = 4;

/// Scores have a distance of less than 2^9 to the neutral one: after this many halvings none is
/// left, and a shift by it is valid for 16 bits.
const MAX_HALVINGS: u64 = 15;

/// The kind of work that a score is about.
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
pub enum Subject {
	/// Contributing datasets.
	#[codec(index = 0)]
	Data,
	/// Auditing datasets.
	#[codec(index = 1)]
	Audit,
	/// Training.
	#[codec(index = 2)]
	Training,
	/// Re-running somebody else's training.
	#[codec(index = 3)]
	Verification,
	/// Measuring the loss of a candidate.
	#[codec(index = 4)]
	Evaluation,
	/// Merging updates, and serving what was merged.
	#[codec(index = 5)]
	Aggregation,
}

impl Subject {
	/// Every subject, in the order of their indices.
	pub const ALL: [Self; 6] = [
		Self::Data,
		Self::Audit,
		Self::Training,
		Self::Verification,
		Self::Evaluation,
		Self::Aggregation,
	];
}

/// How a piece of work ended.
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
pub enum Outcome {
	/// Done, in time, and found right.
	#[codec(index = 0)]
	Success,
	/// Not done in time.
	#[codec(index = 1)]
	Missed,
	/// Done, and found wrong or of no use.
	#[codec(index = 2)]
	Failure,
	/// Proven dishonest.
	#[codec(index = 3)]
	Fraud,
}

/// How far an account is trusted; decides its quotas.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Default,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Level {
	/// Everybody starts here.
	#[default]
	#[codec(index = 0)]
	Newcomer,
	/// Has had [`PROMOTION_STREAK`] contributions accepted in a row.
	#[codec(index = 1)]
	Trusted,
}

/// What is stored about an account in one subject.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Score<BlockNumber> {
	/// Points, 0 to [`MAX_SCORE`], as they were at `updated_at`.
	pub score: u16,
	/// Successes since the last failure or fraud.
	pub streak: u32,
	/// Block of the last outcome; decay counts from here.
	pub updated_at: BlockNumber,
}

/// What is stored about an account as a whole.
#[derive(
	Clone,
	PartialEq,
	Eq,
	Default,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Standing<BlockNumber> {
	/// How far the account is trusted.
	pub level: Level,
	/// Contributions accepted since the last failure or fraud of any kind.
	pub accepted_streak: u32,
	/// First block at which the account is free again.
	pub quarantined_until: Option<BlockNumber>,
}

/// The score that is left of `score` after `elapsed` blocks of silence.
///
/// The distance to [`NEUTRAL_SCORE`] halves once per whole `period`, rounded towards neutral. A
/// period of zero means that nothing decays.
pub fn decayed(score: u16, elapsed: u64, period: u64) -> u16 {
	let halvings = elapsed.checked_div(period).unwrap_or(0).min(MAX_HALVINGS);
	if score >= NEUTRAL_SCORE {
		NEUTRAL_SCORE.saturating_add(score.saturating_sub(NEUTRAL_SCORE) >> halvings)
	} else {
		NEUTRAL_SCORE.saturating_sub(NEUTRAL_SCORE.saturating_sub(score) >> halvings)
	}
}

/// The score after `outcome`.
///
/// Steps are rounded up, so that every outcome moves a score that can still move. The result never
/// leaves 0 ..= [`MAX_SCORE`].
pub fn applied(score: u16, outcome: Outcome) -> u16 {
	let score = score.min(MAX_SCORE);
	match outcome {
		Outcome::Success => {
			score.saturating_add(MAX_SCORE.saturating_sub(score).div_ceil(SUCCESS_PARTS))
		}
		Outcome::Missed => score.saturating_sub(score.div_ceil(MISSED_PARTS)),
		Outcome::Failure => score.saturating_sub(score.div_ceil(FAILURE_PARTS)),
		Outcome::Fraud => 0,
	}
}

/// The streak of successes after `outcome`. A missed turn neither lengthens nor ends it.
pub fn streak_after(streak: u32, outcome: Outcome) -> u32 {
	match outcome {
		// A streak of 2^32 is as good as any longer one.
		Outcome::Success => streak.saturating_add(1),
		Outcome::Missed => streak,
		Outcome::Failure | Outcome::Fraud => 0,
	}
}

/// The streak of accepted contributions after `outcome` in `subject`.
///
/// Only data contributions lengthen it, because quotas limit those; a failure or fraud in any
/// subject ends it.
pub fn accepted_streak_after(streak: u32, subject: Subject, outcome: Outcome) -> u32 {
	if outcome == Outcome::Success && subject != Subject::Data {
		return streak;
	}
	streak_after(streak, outcome)
}

/// The level that a streak of accepted contributions stands for.
pub fn level_of(accepted_streak: u32) -> Level {
	if accepted_streak >= PROMOTION_STREAK {
		Level::Trusted
	} else {
		Level::Newcomer
	}
}
