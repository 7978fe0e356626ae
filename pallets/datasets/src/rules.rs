//! The rules, as functions of plain values.

use crate::types::{Scores, Tier, MAX_DRAWS, MAX_SCORE};
use blyan_primitives::record::{MAX_SHARDS, MAX_SHARD_BYTES};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// Bytes of a dataset for which an auditor gets one point.
pub const BYTES_PER_POINT: u64 = 64 * 1024;
/// The most points for one audit: those for the largest dataset that a manifest can describe.
pub const MAX_AUDIT_POINTS: u64 = MAX_SHARDS as u64 * MAX_SHARD_BYTES as u64 / BYTES_PER_POINT;

/// What an audit needs to pass.
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
pub struct Thresholds {
	/// The least of each median score. A `perplexity` of `None` asks for nothing, and a dataset
	/// whose auditors had no model to ask is not held to it.
	pub least: Scores,
	/// Mean score from which on silver is proposed.
	pub silver: u16,
	/// Mean score from which on gold is proposed; not below silver.
	pub gold: u16,
	/// How far a score may be from its median before the report counts as wrong.
	pub tolerance: u16,
}

impl Default for Thresholds {
	/// Strict where harm cannot be undone (personal data, licence), lenient where training forgives
	/// (duplicates, language).
	fn default() -> Self {
		Self {
			least: Scores {
				format: 900,
				duplicates: 700,
				personal_data: 900,
				toxicity: 800,
				licence: 900,
				language: 700,
				perplexity: Some(300),
			},
			silver: 900,
			gold: 970,
			tolerance: 150,
		}
	}
}

impl Thresholds {
	/// The tier that these median scores deserve; `None` if one is below its threshold.
	pub fn tier(&self, medians: &Scores) -> Option<Tier> {
		let enough = medians.fixed().into_iter().zip(self.least.fixed()).all(|(m, l)| m >= l);
		let plausible = match (medians.perplexity, self.least.perplexity) {
			(Some(median), Some(least)) => median >= least,
			_ => true,
		};
		if !enough || !plausible {
			return None;
		}
		let mean = medians.mean();
		Some(if mean >= self.gold {
			Tier::Gold
		} else if mean >= self.silver {
			Tier::Silver
		} else {
			Tier::Experimental
		})
	}

	/// Whether a report agrees with the medians.
	pub fn agrees(&self, scores: &Scores, medians: &Scores) -> bool {
		scores.distance(medians) <= self.tolerance
	}
}

impl Scores {
	/// Whether no score exceeds [`MAX_SCORE`].
	pub fn is_valid(&self) -> bool {
		self.all().all(|score| score <= MAX_SCORE)
	}

	/// The scores that every report has.
	fn fixed(&self) -> [u16; 6] {
		[
			self.format,
			self.duplicates,
			self.personal_data,
			self.toxicity,
			self.licence,
			self.language,
		]
	}

	/// All scores that there are.
	fn all(&self) -> impl Iterator<Item = u16> {
		self.fixed().into_iter().chain(self.perplexity)
	}

	/// The mean of all scores, rounded down: a dataset has to reach a tier, not come close.
	pub fn mean(&self) -> u16 {
		let (sum, count) = self
			.all()
			.fold((0u32, 0u32), |(sum, count), score| (sum + u32::from(score), count + 1));
		// A mean of numbers of 16 bits has 16 bits.
		sum.checked_div(count).unwrap_or(0) as u16
	}

	/// The largest difference of a score; scores that one of the two does not have do not count.
	pub fn distance(&self, other: &Self) -> u16 {
		let fixed = self.fixed().into_iter().zip(other.fixed());
		fixed
			.chain(self.perplexity.zip(other.perplexity))
			.map(|(a, b)| a.abs_diff(b))
			.max()
			.unwrap_or(0)
	}
}

/// The middle one of `values`; of an even number the mean of the two in the middle, rounded down.
pub fn median(mut values: alloc::vec::Vec<u16>) -> Option<u16> {
	values.sort_unstable();
	let middle = values.len() / 2;
	let upper = *values.get(middle)?;
	if values.len() % 2 == 1 {
		return Some(upper);
	}
	let lower = *values.get(middle.checked_sub(1)?)?;
	Some(lower + (upper - lower) / 2)
}

/// The median of each score. Of perplexities, that of those who gave one.
pub fn median_scores(reports: &[Scores]) -> Option<Scores> {
	let of = |score: fn(&Scores) -> u16| median(reports.iter().map(score).collect());
	Some(Scores {
		format: of(|s| s.format)?,
		duplicates: of(|s| s.duplicates)?,
		personal_data: of(|s| s.personal_data)?,
		toxicity: of(|s| s.toxicity)?,
		licence: of(|s| s.licence)?,
		language: of(|s| s.language)?,
		perplexity: median(reports.iter().filter_map(|s| s.perplexity).collect()),
	})
}

/// How many of `seats` auditors must report: two thirds, rounded up.
pub fn audit_quorum(seats: u32) -> u32 {
	seats.saturating_mul(2).div_ceil(3)
}

/// Blocks that auditors have to commit to their reports, if they are drawn when `left` of the
/// `whole` blocks of the audit are left: half of those, rounded up, but at most `period`. What then
/// is left is for revealing. So whoever is silent in one draw leaves time for another.
///
/// `None` if too little is left to ask anybody for a report: less than a draw halves [`MAX_DRAWS`]
/// times, or less than two blocks to commit in, of which the first shows who was drawn, and one to
/// reveal in.
pub fn commit_time(left: u64, whole: u64, period: u64) -> Option<u64> {
	let least = (whole >> MAX_DRAWS).max(3);
	(left >= least).then(|| left.div_ceil(2).min(period))
}

/// What auditing `bytes` earns: a point for each [`BYTES_PER_POINT`], since reading and scoring
/// take time in proportion to them; in how many shards they come does not matter. Rounded up in the
/// auditor's favour, at most [`MAX_AUDIT_POINTS`].
pub fn audit_points(bytes: u64) -> u64 {
	bytes.div_ceil(BYTES_PER_POINT).min(MAX_AUDIT_POINTS)
}

/// The difficulty of the next period, after one with `seen` submissions at `bits`.
///
/// More than twice the target adds a bit, less than half of it takes one away: one bit is a factor
/// of two in work, so a step can never overshoot by more than it corrects. Stays within
/// `least..=most`; if those contradict each other, `most` counts.
pub fn next_difficulty(bits: u32, seen: u32, target: u32, least: u32, most: u32) -> u32 {
	let next = if seen > target.saturating_mul(2) {
		bits.saturating_add(1)
	} else if seen.saturating_mul(2) < target {
		bits.saturating_sub(1)
	} else {
		bits
	};
	next.max(least).min(most)
}
