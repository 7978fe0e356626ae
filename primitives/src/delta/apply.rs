//! What a delta does: increments, merge, apply. Pure functions on one leaf.
//!
//! [`apply_leaf`], [`merge_leaf`] and [`merge_deltas`] take deltas as the bytes that were sent. They
//! decode a chunk, or multiply the factors of one, use it while it is in the cache and go on to the
//! next, so that a leaf is passed over once however many updates there are. [`apply`] and [`merge`]
//! are the same on lists of increments.

use super::{
	leaves::{check_weights, LeafDelta},
	low_rank::Product,
	Chunk, Decoder, Error, CHUNK,
};
use alloc::{vec, vec::Vec};

/// The largest size of an increment, in units: the distance between the smallest and the largest
/// `i32`. No larger one could have another effect, so increments clamp to it, and a sum of 2^31
/// of them, each times a `u64`, fits into an `i128`.
pub const MAX_INCREMENT: i64 = u32::MAX as i64;

/// The largest exponent at which a value of 8 bits is shifted without coming near the clamp.
const MAX_PLAIN_EXPONENT: i8 = 24;

/// With fewer samples in all, sums fit into an `i64`.
const NARROW_SAMPLES: u128 = 1 << 31;

const _: () = assert!((1i64 << 7) << MAX_PLAIN_EXPONENT <= MAX_INCREMENT);
// Samples are below the bound, and increments are below 2^32.
const _: () = assert!(NARROW_SAMPLES << 32 == 1u128 << 63);

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
fn shift_right_half_even(value: i64, shift: u32) -> i64 {
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

fn clamp_increment(increment: i64) -> i64 {
	increment.clamp(-MAX_INCREMENT, MAX_INCREMENT)
}

/// The increment of a value in a chunk.
pub(super) fn scale_i8(value: i8, exp: i8) -> i64 {
	scale(i32::from(value), i16::from(exp))
}

/// Shows `visit` each of `targets` that a chunk names, with its increment.
fn for_each<T>(chunk: Chunk<'_>, targets: &mut [T], visit: impl FnMut(&mut T, i64)) {
	let exp = match chunk {
		Chunk::Unchanged => return,
		Chunk::Sparse { exp, .. } | Chunk::Dense { exp, .. } => exp,
	};
	// Nearly all exponents are in this range, where no value needs rounding or clamping.
	if (0..=MAX_PLAIN_EXPONENT).contains(&exp) {
		for_each_value(chunk, targets, |value| i64::from(value) << exp, visit);
	} else {
		for_each_value(chunk, targets, |value| scale_i8(value, exp), visit);
	}
}

fn for_each_value<T>(
	chunk: Chunk<'_>,
	targets: &mut [T],
	increment: impl Fn(i8) -> i64,
	mut visit: impl FnMut(&mut T, i64),
) {
	match chunk {
		Chunk::Unchanged => {}
		Chunk::Sparse { indices, values, .. } => {
			for (index, value) in indices.iter().zip(values) {
				// The decoder has refused indices that are beyond the chunk.
				if let Some(target) = targets.get_mut(usize::from(*index)) {
					visit(target, increment(*value));
				}
			}
		}
		Chunk::Dense { values, .. } => {
			for (target, value) in targets.iter_mut().zip(values) {
				visit(target, increment(*value));
			}
		}
	}
}

/// A weight moved by an increment; a sum that is no `i32` becomes the nearest one that is.
fn moved(weight: i32, increment: i64) -> i32 {
	// Saturating and clamping are the rule here: w' = clamp_i32(w + inc).
	let sum = i64::from(weight).saturating_add(increment);
	sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Adds increments to weights. A sum that is no `i32` becomes the nearest one that is; weights
/// without an increment stay.
pub fn apply(weights: &mut [i32], increments: &[i64]) {
	for (weight, increment) in weights.iter_mut().zip(increments) {
		*weight = moved(*weight, *increment);
	}
}

/// Adds the delta with these bytes to a leaf, like [`apply`] of its increments.
///
/// If the bytes are refused, a part of the leaf may have been changed already.
pub fn apply_leaf(leaf: &mut [i32], bytes: &[u8]) -> Result<(), Error> {
	let mut decoder = Decoder::new(bytes, leaf.len())?;
	let mut chunks = leaf.chunks_mut(CHUNK);
	while let Some(chunk) = decoder.read()? {
		// There are as many chunks as the decoder was told.
		let weights = chunks.next().unwrap_or_default();
		for_each(chunk, weights, |weight, increment| *weight = moved(*weight, increment));
	}
	Ok(())
}

/// Adds a product to its leaf.
pub(super) fn apply_product(leaf: &mut [i32], product: &Product<'_>) {
	product.for_each(0, leaf, &mut Vec::new(), |weight, increment| {
		*weight = moved(*weight, increment);
	});
}

/// Refuses bytes that are not the delta of a leaf of `weights` weights.
pub fn check_leaf(bytes: &[u8], weights: usize) -> Result<(), Error> {
	let mut decoder = Decoder::new(bytes, weights)?;
	while decoder.read()?.is_some() {}
	Ok(())
}

/// The mean of updates `(samples, increments)`, weighted by samples, rounded half to even.
///
/// Give the updates in ascending order of trainer account. Increments clamp to ±[`MAX_INCREMENT`],
/// as those of a chunk do anyway. The result has the length of the longest update, and a shorter
/// one counts as zero beyond its end. Updates without any samples merge to zeros.
pub fn merge(updates: &[(u64, Vec<i64>)]) -> Vec<i64> {
	let weights = updates.iter().map(|(_, increments)| increments.len()).max().unwrap_or(0);
	let mut sums = vec![0i128; weights];
	for (samples, increments) in updates {
		for (sum, increment) in sums.iter_mut().zip(increments) {
			sum.add(*samples, clamp_increment(*increment));
		}
	}
	let divisor = Divisor::new(updates.iter().map(|(samples, _)| *samples));
	sums.into_iter().map(|sum| sum.mean(&divisor)).collect()
}

/// Merges updates in chunks into a leaf: [`merge_deltas`] of bytes.
pub fn merge_leaf(leaf: &mut [i32], updates: &[(u64, Option<&[u8]>)]) -> Result<(), Error> {
	let updates: Vec<(u64, Option<LeafDelta<'_>>)> =
		updates.iter().map(|(samples, bytes)| (*samples, bytes.map(LeafDelta::Chunks))).collect();
	merge_deltas(leaf, &updates)
}

/// Merges updates into a leaf: adds the [`merge`] of their increments to it. This is the
/// computation that decides a dispute about a merge.
///
/// An update is its number of samples and its delta for this leaf. One that does not change the
/// leaf's component has none: it counts with its samples and increments of zero. Give the updates
/// in ascending order of trainer account.
///
/// If one is refused, a part of the leaf may have been changed already. The offset that the error
/// names is within its bytes.
pub fn merge_deltas(
	leaf: &mut [i32],
	updates: &[(u64, Option<LeafDelta<'_>>)],
) -> Result<(), Error> {
	let divisor = Divisor::new(updates.iter().map(|(samples, _)| *samples));
	// The same numbers either way. Sums of 128 bits take twice the memory, and dividing them ten
	// times as long.
	if divisor.samples < NARROW_SAMPLES {
		merge_chunks::<i64>(leaf, updates, &divisor)
	} else {
		merge_chunks::<i128>(leaf, updates, &divisor)
	}
}

fn merge_chunks<S: Sum>(
	leaf: &mut [i32],
	updates: &[(u64, Option<LeafDelta<'_>>)],
	divisor: &Divisor,
) -> Result<(), Error> {
	let (mut decoders, mut products) = (Vec::new(), Vec::new());
	for (samples, delta) in updates {
		match delta {
			None => {}
			Some(LeafDelta::Chunks(bytes)) => {
				decoders.push((*samples, Decoder::new(bytes, leaf.len())?));
			}
			Some(LeafDelta::LowRank(product)) => {
				check_weights(product, leaf.len())?;
				products.push((*samples, product));
			}
		}
	}
	let mut sums = vec![S::default(); leaf.len().min(CHUNK)];
	let mut room = Vec::new();
	for (number, weights) in leaf.chunks_mut(CHUNK).enumerate() {
		sums.fill(S::default());
		// The last chunk may be short.
		let sums = sums.get_mut(..weights.len()).unwrap_or_default();
		for (samples, decoder) in &mut decoders {
			if let Some(chunk) = decoder.read()? {
				for_each(chunk, sums, |sum, increment| sum.add(*samples, increment));
			}
		}
		for (samples, product) in &products {
			let add = |sum: &mut S, increment: i64| sum.add(*samples, increment);
			product.for_each(number * CHUNK, sums, &mut room, add);
		}
		for (weight, sum) in weights.iter_mut().zip(sums.iter()) {
			// Most weights of a sparse merge.
			if *sum != S::default() {
				*weight = moved(*weight, sum.mean(divisor));
			}
		}
	}
	// Refuses what follows the last chunk.
	for (_, decoder) in &mut decoders {
		decoder.read()?;
	}
	Ok(())
}

/// All samples of a merge.
struct Divisor {
	samples: u128,
	/// `⌊(2^64 − 1) / samples⌋`, for [`i64`] sums; multiplying is faster than dividing.
	reciprocal: u64,
}

impl Divisor {
	fn new(samples: impl Iterator<Item = u64>) -> Self {
		// Would take 2^64 updates to saturate.
		let samples = samples.fold(0u128, |sum, samples| sum.saturating_add(u128::from(samples)));
		let reciprocal = u128::from(u64::MAX).checked_div(samples).unwrap_or(0);
		// Not above u64::MAX.
		Self { samples, reciprocal: reciprocal as u64 }
	}
}

/// A sum `Σ samples·increment`, which begins at its default, zero.
trait Sum: Copy + Default + PartialEq {
	/// Adds a product. The increment is at most [`MAX_INCREMENT`] either side of zero.
	fn add(&mut self, samples: u64, increment: i64);

	/// The sum divided by all samples, rounded half to even; zero if there are none. A mean is not
	/// larger than the largest increment.
	fn mean(self, divisor: &Divisor) -> i64;
}

/// For fewer than [`NARROW_SAMPLES`] in all: every sum is below 2^63. Wrapping operations spare the
/// checks of what cannot happen.
impl Sum for i64 {
	fn add(&mut self, samples: u64, increment: i64) {
		*self = self.wrapping_add((samples as i64).wrapping_mul(increment));
	}

	fn mean(self, divisor: &Divisor) -> i64 {
		let size = self.unsigned_abs();
		// Below `NARROW_SAMPLES`.
		let samples = divisor.samples as u64;
		// `reciprocal · samples` is less than 2^64 by at most `samples`, so for a size below 2^63
		// the product is less than the quotient by at most one half, and its floor by at most one.
		let product = u128::from(size).wrapping_mul(u128::from(divisor.reciprocal));
		let estimate = (product >> 64) as u64;
		let rest = size.wrapping_sub(estimate.wrapping_mul(samples));
		let whole = rest >= samples;
		let quotient = estimate.wrapping_add(u64::from(whole));
		let twice = rest.wrapping_sub(if whole { samples } else { 0 }).wrapping_mul(2);
		let up = twice > samples || (twice == samples && quotient & 1 == 1);
		let mean = quotient.wrapping_add(u64::from(up)) as i64;
		if self < 0 {
			mean.wrapping_neg()
		} else {
			mean
		}
	}
}

/// For any number of samples: sums are exact for up to 2^31 updates, more than there can be
/// accounts in a round.
impl Sum for i128 {
	fn add(&mut self, samples: u64, increment: i64) {
		// The product is below 2^96, so the sum cannot saturate below 2^31 updates.
		*self = self.saturating_add(i128::from(samples) * i128::from(increment));
	}

	fn mean(self, divisor: &Divisor) -> i64 {
		// As many updates as fit into memory have fewer than 2^127 samples.
		let samples = divisor.samples as i128;
		if self == 0 || samples <= 0 {
			return 0;
		}
		let mut quotient = self / samples;
		let mut rest = self - quotient * samples;
		if rest < 0 {
			quotient -= 1;
			rest += samples;
		}
		// Compared with its complement, for twice the rest need not fit.
		let complement = samples - rest;
		if rest > complement || (rest == complement && quotient & 1 == 1) {
			quotient += 1;
		}
		// Nothing is cut off here.
		quotient.clamp(-i128::from(MAX_INCREMENT), i128::from(MAX_INCREMENT)) as i64
	}
}

/// The sum of the squares of `increments`, in square units.
pub fn squared_norm(increments: &[i64]) -> u128 {
	sum_of_squares(increments.iter().copied())
}

/// The sum of the squares of the increments of the delta with these bytes, for a leaf of `weights`
/// weights.
pub fn leaf_squared_norm(bytes: &[u8], weights: usize) -> Result<u128, Error> {
	let mut decoder = Decoder::new(bytes, weights)?;
	let mut sum = 0u128;
	while let Some(chunk) = decoder.read()? {
		// 65,536 squares below 2^64 are far from saturating.
		sum = sum.saturating_add(sum_of_squares(chunk.increments()));
	}
	Ok(sum)
}

fn sum_of_squares(increments: impl Iterator<Item = i64>) -> u128 {
	increments.fold(0u128, |sum, increment| {
		let size = u128::from(increment.unsigned_abs());
		// Decoded increments would saturate after 2^64 of them.
		sum.saturating_add(size * size)
	})
}
