//! What a delta does: increments, merge, apply. Pure functions on one leaf.

use super::{Chunk, CHUNK, LEAF_CHUNKS};
use alloc::{vec, vec::Vec};

/// The largest size of an increment, in units: the distance between the smallest and the largest
/// `i32`. No larger one could have another effect, so increments clamp to it, and a sum of 2^31
/// of them, each times a `u64`, fits into an `i128`.
pub const MAX_INCREMENT: i64 = u32::MAX as i64;

/// `value · 2^exp`: exact if that is an integer, else rounded half to even; clamped to
/// ±[`MAX_INCREMENT`].
pub fn scale(value: i32, exp: i16) -> i64 {
	let shift = u32::from(exp.unsigned_abs());
	if exp < 0 {
		shift_right_half_even(i64::from(value), shift)
	} else {
		// 1 << 32 is above the clamp already, and an i32 shifted by 32 fits into an i64.
		clamp_increment(i64::from(value) << shift.min(32))
	}
}

/// `value / 2^shift`, rounded half to even. `value` is at most 2^62 either side of zero.
pub(super) fn shift_right_half_even(value: i64, shift: u32) -> i64 {
	if shift == 0 {
		return value;
	}
	if shift > 62 {
		// At most one half, and the even neighbour of that is zero.
		return 0;
	}
	let floor = value >> shift;
	let rest = value - (floor << shift);
	let half = 1i64 << (shift - 1);
	let up = rest > half || (rest == half && floor & 1 == 1);
	floor + i64::from(up)
}

pub(super) fn clamp_increment(increment: i64) -> i64 {
	increment.clamp(-MAX_INCREMENT, MAX_INCREMENT)
}

/// Calls `visit` with the index in the leaf and the increment of every weight that `chunks` name.
/// Chunks beyond the sixteen of a leaf are not visited.
pub(super) fn for_each_increment(chunks: &[Chunk], mut visit: impl FnMut(usize, i64)) {
	for (number, chunk) in chunks.iter().enumerate().take(LEAF_CHUNKS) {
		let first = number * CHUNK;
		match chunk {
			Chunk::Unchanged => {}
			Chunk::Sparse { exp, indices, values, .. } => {
				for (index, value) in indices.iter().zip(values) {
					visit(first + usize::from(*index), scale_i8(*value, *exp));
				}
			}
			Chunk::Dense { exp, values } => {
				for (index, value) in values.iter().enumerate().take(CHUNK) {
					visit(first + index, scale_i8(*value, *exp));
				}
			}
		}
	}
}

fn scale_i8(value: i8, exp: i8) -> i64 {
	scale(i32::from(value), i16::from(exp))
}

/// The increment of each weight of a leaf of `weights` weights.
pub fn increments(chunks: &[Chunk], weights: usize) -> Vec<i64> {
	let mut increments = vec![0; weights];
	for_each_increment(chunks, |index, increment| {
		if let Some(slot) = increments.get_mut(index) {
			*slot = increment;
		}
	});
	increments
}

/// Adds increments to weights. A sum that is no `i32` becomes the nearest one that is; weights
/// without an increment stay.
pub fn apply(weights: &mut [i32], increments: &[i64]) {
	for (weight, increment) in weights.iter_mut().zip(increments) {
		// Saturating and clamping are the rule here: w' = clamp_i32(w + inc).
		let sum = i64::from(*weight).saturating_add(*increment);
		*weight = sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
	}
}

/// The mean of updates `(samples, increments)`, weighted by samples, rounded half to even.
///
/// Give the updates in ascending order of trainer account. The result has the length of the longest
/// update, and a shorter one counts as zero beyond its end. Updates without any samples merge to
/// zeros. See [`Merger`] for a merge that does not hold all updates at once.
pub fn merge(updates: &[(u64, Vec<i64>)]) -> Vec<i64> {
	let weights = updates.iter().map(|(_, increments)| increments.len()).max().unwrap_or(0);
	let mut merger = Merger::new(weights);
	for (samples, increments) in updates {
		merger.add(*samples, increments);
	}
	merger.finish()
}

/// A merge in progress: `round_half_even(Σ samples·increment / Σ samples)` for each weight.
///
/// Sums are exact for up to 2^31 updates, more than there can be accounts in a round.
#[derive(Clone, Debug)]
pub struct Merger {
	sums: Vec<i128>,
	samples: i128,
}

impl Merger {
	/// A merge of updates of `weights` weights that has seen none.
	pub fn new(weights: usize) -> Self {
		Self { sums: vec![0; weights], samples: 0 }
	}

	/// Adds an update. Increments clamp to ±[`MAX_INCREMENT`], as those of a decoded delta do
	/// anyway. Missing increments are zero, those beyond the weights of this merge are ignored.
	pub fn add(&mut self, samples: u64, increments: &[i64]) {
		self.count(samples);
		for (sum, increment) in self.sums.iter_mut().zip(increments) {
			add_product(sum, samples, clamp_increment(*increment));
		}
	}

	/// Adds an update that is still in chunks: the same as [`add`](Self::add) of its
	/// [`increments`], without the memory and, if it is sparse, without most of the time.
	pub fn add_chunks(&mut self, samples: u64, chunks: &[Chunk]) {
		self.count(samples);
		let sums = &mut self.sums;
		for_each_increment(chunks, |index, increment| {
			if let Some(sum) = sums.get_mut(index) {
				add_product(sum, samples, increment);
			}
		});
	}

	/// The merged increments.
	pub fn finish(self) -> Vec<i64> {
		let samples = self.samples;
		self.sums.into_iter().map(|sum| divide_half_even(sum, samples)).collect()
	}

	fn count(&mut self, samples: u64) {
		// Cannot saturate below 2^63 updates.
		self.samples = self.samples.saturating_add(i128::from(samples));
	}
}

fn add_product(sum: &mut i128, samples: u64, increment: i64) {
	// The product is below 2^96, so the sum cannot saturate below 2^31 updates.
	*sum = sum.saturating_add(i128::from(samples) * i128::from(increment));
}

/// `sum / samples`, rounded half to even; zero if there are no samples.
fn divide_half_even(sum: i128, samples: i128) -> i64 {
	if sum == 0 || samples <= 0 {
		return 0;
	}
	let mut quotient = sum / samples;
	let mut rest = sum - quotient * samples;
	if rest < 0 {
		quotient -= 1;
		rest += samples;
	}
	// Compared with its complement, for twice the rest need not fit.
	let complement = samples - rest;
	if rest > complement || (rest == complement && quotient & 1 == 1) {
		quotient += 1;
	}
	// A mean is not larger than the largest increment: nothing is cut off here.
	quotient.clamp(-i128::from(MAX_INCREMENT), i128::from(MAX_INCREMENT)) as i64
}

/// The sum of the squares of `increments`, in square units.
pub fn squared_norm(increments: &[i64]) -> u128 {
	increments.iter().fold(0u128, |sum, increment| {
		let size = u128::from(increment.unsigned_abs());
		// Decoded increments would saturate after 2^64 of them.
		sum.saturating_add(size * size)
	})
}
