//! Sizes of deltas: what the real encoder makes of sample updates and of their real merges.
//!
//! # Why samples
//!
//! Ten thousand learners with hundreds of leaves each are too many to encode. A few leaves are
//! encoded and merged for real, and a batch takes the sizes of as many of them as it has leaves, in
//! a row from a drawn one on, around and around.
//!
//! # What a sample update is
//!
//! An assumption, for there is no large run to take updates from. Increments are heavy-tailed: the
//! sum of four 16-bit uniforms, which is nearly normal, times a scale of `2^(n/3)` with chance
//! `2^-(n+1)`, so that tails fall with the third power as those of Student's t with three degrees
//! of freedom do. Half of the variance is common to all learners, who learn the same thing, and
//! half is a learner's own. All of it is integer arithmetic.
//!
//! # What a message carries
//!
//! An update goes as it is, for that is what the data plane addresses by its hash. A merge is
//! addressed by nothing but the root of its leaves, so it goes in their wire form, from which
//! whoever receives it gets the leaves back, to the last bit. Only this simulation sends that form,
//! so what a merge takes as it is hashed is counted beside it.

use super::{draws::Draws, Error, Setup, Share};
use blyan_primitives::delta::{
	encode_blob, merge_leaf, squared_norm, to_wire, Encoder, LEAF_WEIGHTS, MAX_LEAF_BYTES,
};
use serde::Serialize;

/// Leaves of which samples are taken.
pub(super) const SAMPLE_PLACES: u32 = 4;
/// Learners whose update of each of these leaves is encoded.
pub(super) const SAMPLE_LEARNERS: u32 = 32;
/// How many updates are merged for a sample. A merge of more has the size of the largest.
const MERGES: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// 1,024 times the powers of the cube root of two.
const CUBE_ROOTS: [i64; 3] = [1_024, 1_290, 1_625];
/// Beyond it, tails end: a scale of 2^8.
const MAX_TAIL: u32 = 24;
/// Twice the mean of a 16-bit uniform, times two: the mean of four.
const MEAN_OF_FOUR: i64 = 2 * 65_535;
/// Brings the standard deviation to some thousand units of 2^-24.
const UNIT_SHIFT: u32 = 14;

/// What the encoder made of sample leaves, on average.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
	/// What was encoded: an update, or a merge of several.
	pub leaf: &'static str,
	/// How many updates are in it.
	pub updates: u32,
	/// Bytes of a leaf's delta.
	pub leaf_bytes: u64,
	/// Bytes that a message takes for it.
	pub sent_bytes: u64,
	/// Weights that it changes, of 65,536.
	pub changed_weights: u64,
	/// How much of the sum of squared increments the encoder left out.
	pub squares_left_out: String,
}

/// Bytes of a message, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
	/// As it is sent.
	pub(super) sent: u64,
	/// The same if merges went as they are hashed, in place of their wire form.
	pub(super) hashed: u64,
}

impl Size {
	/// Something without merges.
	pub(super) fn without_merges(bytes: u64) -> Self {
		Self { sent: bytes, hashed: bytes }
	}

	/// Both together.
	pub(super) fn with(self, other: Self) -> Self {
		Self { sent: self.sent + other.sent, hashed: self.hashed + other.hashed }
	}
}

/// Sizes of the leaves of updates and of merges.
#[derive(Clone, Debug)]
pub(super) struct Samples {
	updates: Sizes,
	/// By how many updates were merged, ascending.
	merges: Vec<Merges>,
	/// What there is to tell about them.
	pub(super) rows: Vec<Sample>,
}

impl Samples {
	/// Encodes the updates of `learners` learners of `places` leaves, and merges of them.
	pub(super) fn draw(setup: &Setup, places: u32, learners: u32) -> Result<Self, Error> {
		let draws = Draws::new(setup.seed, "updates");
		let mut encoder = Encoder::new();
		let mut own = Tally::default();
		let counts = MERGES.into_iter().filter(|count| *count <= learners);
		let mut merged: Vec<(u32, Tally)> = counts.map(|count| (count, Tally::default())).collect();
		for place in 0..u64::from(places) {
			let stream = |learner: u64| draws.stream((place << 32) | learner);
			let mut common = stream(0);
			let common: Vec<i64> = (0..LEAF_WEIGHTS).map(|_| heavy_tailed(&mut common)).collect();
			let mut updates = Vec::new();
			for learner in 1..=u64::from(learners) {
				let mut draws = stream(learner);
				let mut update: Vec<i64> =
					common.iter().map(|common| common + heavy_tailed(&mut draws)).collect();
				let update = own.encode(&mut encoder, &mut update, setup.bytes_per_chunk);
				own.sent.push(packed_bytes(&update));
				updates.push(update);
			}
			for (count, tally) in &mut merged {
				let mut mean = merge(updates.get(..*count as usize).unwrap_or_default())?;
				let leaf = tally.encode(&mut encoder, &mut mean, setup.merged_bytes_per_chunk);
				tally.sent.push(packed_bytes(&to_wire(&leaf, LEAF_WEIGHTS)?));
			}
		}
		let mut rows = vec![own.row("update", 1)];
		rows.extend(merged.iter().map(|(count, tally)| tally.row("merge", *count)));
		let merges = merged.iter().map(|(updates, tally)| Merges {
			updates: *updates,
			sent: Sizes::new(&tally.sent),
			hashed: Sizes::new(&tally.hashed),
		});
		Ok(Self { updates: Sizes::new(&own.sent), merges: merges.collect(), rows })
	}

	/// Bytes of `leaves` leaves of an update, from sample `first` on.
	pub(super) fn update_bytes(&self, first: u64, leaves: u64) -> u64 {
		self.updates.run(first, leaves)
	}

	/// Bytes of `leaves` leaves of the merge of `updates` updates, from sample `first` on.
	pub(super) fn merge_bytes(&self, updates: u32, first: u64, leaves: u64) -> Size {
		let not_more = |merges: &&Merges| merges.updates <= updates.max(1);
		let merges = self.merges.iter().rev().find(not_more).unwrap_or(&self.merges[0]);
		Size { sent: merges.sent.run(first, leaves), hashed: merges.hashed.run(first, leaves) }
	}
}

/// The merge of the deltas of one leaf, as an aggregator computes it: its increments.
fn merge(updates: &[Vec<u8>]) -> Result<Vec<i64>, Error> {
	let mut leaf = vec![0i32; LEAF_WEIGHTS];
	let updates: Vec<(u64, Option<&[u8]>)> =
		updates.iter().map(|bytes| (1, Some(bytes.as_slice()))).collect();
	merge_leaf(&mut leaf, &updates)?;
	Ok(leaf.into_iter().map(i64::from).collect())
}

/// An increment as a learner's training may leave it.
fn heavy_tailed(draws: &mut Draws) -> i64 {
	let words = draws.bits();
	let sum: u64 = [0, 16, 32, 48].into_iter().map(|shift| (words >> shift) & 0xffff).sum();
	let tail = draws.bits().trailing_zeros().min(MAX_TAIL);
	let scale = CUBE_ROOTS[tail as usize % 3] << (tail / 3);
	// Less than 2^17 times less than 2^19.
	((sum as i64 - MEAN_OF_FOUR) * scale) >> UNIT_SHIFT
}

/// Bytes of a leaf in a message, with what says how long it is.
fn packed_bytes(leaf: &[u8]) -> u64 {
	encode_blob(&[vec![leaf.to_vec()]]).len() as u64
}

/// What comes of encoding leaves of one kind.
#[derive(Clone, Debug, Default)]
struct Tally {
	/// Bytes that a message takes for each leaf.
	sent: Vec<u64>,
	/// The same if it went as it is hashed.
	hashed: Vec<u64>,
	/// Bytes of all leaves.
	leaf_bytes: u64,
	changed: u64,
	squares: u128,
	left_out: u128,
}

impl Tally {
	/// Encodes a leaf and takes note of it.
	fn encode(&mut self, encoder: &mut Encoder, increments: &mut [i64], budget: u16) -> Vec<u8> {
		let mut bytes = Vec::with_capacity(MAX_LEAF_BYTES.min(usize::from(budget) * 16));
		// At most 65,536 increments below 2^32 for each of a few hundred leaves: far below 2^128.
		self.squares += squared_norm(increments);
		self.changed += encoder.encode(increments, budget, &mut bytes) as u64;
		// What the delta does not say is left in them.
		self.left_out += squared_norm(increments);
		self.leaf_bytes += bytes.len() as u64;
		self.hashed.push(packed_bytes(&bytes));
		bytes
	}

	fn row(&self, leaf: &'static str, updates: u32) -> Sample {
		let count = (self.sent.len() as u64).max(1);
		// Squares are below 2^90, so they may be multiplied.
		let permille = self.left_out * 1_000 / self.squares.max(1);
		Sample {
			leaf,
			updates,
			leaf_bytes: self.leaf_bytes / count,
			sent_bytes: self.sent.iter().sum::<u64>() / count,
			changed_weights: self.changed / count,
			// Encoding leaves no more than there was: at most 1,000.
			squares_left_out: Share { permille: permille as u16 }.to_string(),
		}
	}
}

/// Sizes of the leaves of merges of so many updates.
#[derive(Clone, Debug)]
struct Merges {
	updates: u32,
	sent: Sizes,
	hashed: Sizes,
}

/// Sizes of leaves, as the sums of the first none, one, two and so on.
#[derive(Clone, Debug)]
struct Sizes(Vec<u64>);

impl Sizes {
	fn new(bytes: &[u64]) -> Self {
		let mut sums = vec![0];
		let mut sum = 0;
		for bytes in bytes {
			sum += bytes;
			sums.push(sum);
		}
		Self(sums)
	}

	/// The sum of `leaves` sizes in a row from number `first` on, around and around.
	fn run(&self, first: u64, leaves: u64) -> u64 {
		let count = self.0.len() as u64 - 1;
		if count == 0 {
			return 0;
		}
		let sum = |end: u64| self.0[end as usize];
		let first = first % count;
		let end = first + leaves % count;
		let rest = if end <= count {
			sum(end) - sum(first)
		} else {
			sum(count) - sum(first) + sum(end - count)
		};
		leaves / count * sum(count) + rest
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn setup(bytes: u16, merged: u16) -> Setup {
		Setup { bytes_per_chunk: bytes, merged_bytes_per_chunk: merged, ..Setup::DEFAULT }
	}

	#[test]
	fn sizes_are_those_of_the_encoder() {
		let samples = Samples::draw(&setup(112, 4_098), 2, 8).unwrap();
		let update = &samples.rows[0];
		assert_eq!((update.leaf, update.updates), ("update", 1));
		// The budget is for 16 chunks.
		assert!(update.leaf_bytes <= 16 * 112, "{update:?}");
		assert!(update.leaf_bytes > 15 * 112, "{update:?}");
		// Each has a length of four bytes before it.
		let two: u64 = samples.update_bytes(0, 2);
		assert!(two <= 2 * (16 * 112 + 4) && two > 2 * 15 * 112);
		// The merge of one update, with room enough, is that update.
		let one = &samples.rows[1];
		assert_eq!((one.leaf, one.updates), ("merge", 1));
		assert_eq!(one.squares_left_out, "0.0 %");
	}

	#[test]
	fn merges_go_in_their_wire_form_and_updates_as_they_are() {
		let samples = Samples::draw(&setup(112, 224), 1, 4).unwrap();
		let [update, merges @ ..] = samples.rows.as_slice() else { panic!("no rows") };
		// A length of four bytes is before each.
		assert_eq!(update.sent_bytes, update.leaf_bytes + 4);
		assert_eq!(samples.update_bytes(0, 4) / 4, update.sent_bytes);
		for merge in merges {
			assert!(10 * merge.sent_bytes < 9 * merge.leaf_bytes, "{merge:?}");
			let size = samples.merge_bytes(merge.updates, 0, 1);
			assert_eq!(size, Size { sent: merge.sent_bytes, hashed: merge.leaf_bytes + 4 });
		}
	}

	#[test]
	fn merges_are_denser_than_their_parts() {
		let samples = Samples::draw(&setup(112, 4_098), 2, 8).unwrap();
		let merges = &samples.rows[1..];
		assert_eq!(merges.iter().map(|row| row.updates).collect::<Vec<_>>(), [1, 2, 4, 8]);
		for pair in merges.windows(2) {
			assert!(pair[1].changed_weights > pair[0].changed_weights, "{pair:?}");
			assert!(pair[1].leaf_bytes > pair[0].leaf_bytes, "{pair:?}");
		}
		// More updates than were merged have the size of the most that were.
		assert_eq!(samples.merge_bytes(8, 3, 5), samples.merge_bytes(1_000, 3, 5));
		let hashed = |updates| samples.merge_bytes(updates, 0, 2).hashed;
		assert!(hashed(3) < hashed(4));
	}

	#[test]
	fn budget_of_merges_bounds_them() {
		let samples = Samples::draw(&setup(112, 112), 1, 4).unwrap();
		for row in &samples.rows {
			assert!(row.leaf_bytes <= 16 * 112, "{row:?}");
		}
		assert_ne!(samples.rows[3].squares_left_out, "0.0 %");
	}

	#[test]
	fn increments_have_heavy_tails_on_both_sides() {
		let mut draws = Draws::new(1, "tails");
		let increments: Vec<i64> = (0..100_000).map(|_| heavy_tailed(&mut draws)).collect();
		let variance = squared_norm(&increments) / 100_000;
		let beyond = |increment: &&i64| squared_norm(&[**increment]) > 36 * variance;
		// Of a normal distribution, two of 10^9 are beyond six deviations.
		assert!(increments.iter().filter(beyond).count() > 20);
		let positive = increments.iter().filter(|increment| **increment > 0).count();
		assert!((48_000..52_000).contains(&positive), "{positive}");
	}

	proptest! {
		#[test]
		fn runs_are_sums_around_and_around(
			bytes in prop::collection::vec(0u64..5_000, 0..9),
			first in 0u64..40,
			leaves in 0u64..60,
		) {
			let expected: u64 = bytes
				.iter()
				.cycle()
				.skip(first as usize % bytes.len().max(1))
				.take(leaves as usize)
				.sum();
			prop_assert_eq!(Sizes::new(&bytes).run(first, leaves), expected);
		}
	}
}
