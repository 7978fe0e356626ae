//! What a delta does: increments, merge, apply. Pure functions on one leaf.
//!
//! [`apply_leaf`], [`merge_leaf`] and [`merge_deltas`] take deltas as the bytes that were sent. Chunks
//! are decoded one by one and used while they are in the cache. Where there are low-rank deltas, the
//! sums of a whole leaf are kept, 1 MiB at most, and right factors are gone through in blocks of
//! columns. Weights are passed over once however many updates there are. [`apply`] and [`merge`] are
//! the same on lists of increments.

use super::{
	kernel::{Kernel, MAX_SQUARES},
	leaves::{check_weights, LeafDelta},
	low_rank::{weighted_sums, Product},
	sum::{Divisor, Sum, NARROW_SAMPLES},
	Chunk, Decoder, Error, CHUNK, LEAF_WEIGHTS,
};
use alloc::{vec, vec::Vec};

/// The largest size of an increment, in units: the distance between the smallest and the largest
/// `i32`. No larger one could have another effect, so increments clamp to it, and a sum of 2^31
/// of them, each times a `u64`, fits into an `i128`.
pub const MAX_INCREMENT: i64 = u32::MAX as i64;

/// The largest exponent at which a value of 8 bits is shifted without coming near the clamp.
const MAX_PLAIN_EXPONENT: i8 = 24;

/// The values of a chunk are at most 2 to the power of this either side of zero.
const VALUE_BITS: u32 = 7;

/// Values of a dense chunk that are widened at once.
const WIDENED: usize = 256;

const _: () = assert!((1i64 << VALUE_BITS) << MAX_PLAIN_EXPONENT <= MAX_INCREMENT);

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
pub(super) fn moved(weight: i32, increment: i64) -> i32 {
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
	for_each_chunk(leaf, bytes, |chunk, weights| {
		for_each(chunk, weights, |weight, increment| *weight = moved(*weight, increment));
	})
}

/// Writes the increments of the delta with these bytes over `increments`, see
/// [`LeafDelta::decode`].
pub(super) fn decode_leaf(increments: &mut [i32], bytes: &[u8]) -> Result<(), Error> {
	for_each_chunk(increments, bytes, |chunk, slots| {
		// A chunk stays in the cache until its values are written.
		slots.fill(0);
		for_each(chunk, slots, |slot, increment| *slot = moved(0, increment));
	})
}

/// See [`super::LeafDelta::put_back`].
pub(super) fn put_back(left: &mut [i64], bytes: &[u8]) -> Result<(), Error> {
	for_each_chunk(left, bytes, |chunk, left| {
		for_each(chunk, left, |left, increment| *left = left.saturating_add(increment));
	})
}

/// Shows `visit` each chunk of the delta with these bytes, and its part of `leaf`.
fn for_each_chunk<T>(
	leaf: &mut [T],
	bytes: &[u8],
	mut visit: impl FnMut(Chunk<'_>, &mut [T]),
) -> Result<(), Error> {
	let mut decoder = Decoder::new(bytes, leaf.len())?;
	let mut parts = leaf.chunks_mut(CHUNK);
	while let Some(chunk) = decoder.read()? {
		// There are as many chunks as the decoder was told.
		visit(chunk, parts.next().unwrap_or_default());
	}
	Ok(())
}

/// Adds a product to its leaf.
pub(super) fn apply_product(leaf: &mut [i32], product: &Product<'_>) {
	weighted_sums(Kernel::best(), &[(1, product)], |run, increments: &[i64]| {
		apply(leaf.get_mut(run).unwrap_or_default(), increments);
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
/// computation that would decide a dispute about a merge, of which the chain takes none yet.
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
	if divisor.samples < NARROW_SAMPLES {
		merge_sums::<i64>(leaf, updates, &divisor)
	} else {
		merge_sums::<i128>(leaf, updates, &divisor)
	}
}

fn merge_sums<S: Sum>(
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
	let kernel = Kernel::best();
	// The sums of a chunk stay in the cache. Products are for the whole leaf, so that each block of
	// a right factor is used for all rows while it is there.
	let span = if products.is_empty() { CHUNK } else { LEAF_WEIGHTS };
	let mut sums = vec![S::default(); leaf.len().min(span)];
	for (number, weights) in leaf.chunks_mut(span).enumerate() {
		// The last ones may be fewer.
		let sums = sums.get_mut(..weights.len()).unwrap_or_default();
		if number > 0 {
			sums.fill(S::default());
		}
		for sums in sums.chunks_mut(CHUNK) {
			for (samples, decoder) in &mut decoders {
				if let Some(chunk) = decoder.read()? {
					add_chunk(kernel, sums, chunk, *samples);
				}
			}
		}
		for products in products.chunk_by(|(_, a), (_, b)| a.is_beside(b)) {
			weighted_sums(kernel, products, |run, of_run: &[S]| {
				let sums = sums.get_mut(run).unwrap_or_default();
				for (sum, more) in sums.iter_mut().zip(of_run) {
					*sum = sum.plus(*more);
				}
			});
		}
		S::add_means(kernel, weights, sums, divisor);
	}
	// Refuses what follows the last chunk.
	for (_, decoder) in &mut decoders {
		decoder.read()?;
	}
	Ok(())
}

/// Adds the increments of a chunk, each times `samples`.
fn add_chunk<S: Sum>(kernel: Kernel, sums: &mut [S], chunk: Chunk<'_>, samples: u64) {
	match chunk {
		Chunk::Unchanged | Chunk::Sparse { .. } => {
			for_each(chunk, sums, |sum, increment| sum.add(samples, increment));
		}
		Chunk::Dense { exp, values } => {
			let mut widened = [0; WIDENED];
			for (sums, values) in sums.chunks_mut(WIDENED).zip(values.chunks(WIDENED)) {
				for (to, from) in widened.iter_mut().zip(values) {
					*to = i32::from(*from);
				}
				let widened = widened.get(..values.len()).unwrap_or_default();
				S::add_values(kernel, sums, widened, i16::from(exp), VALUE_BITS, samples);
			}
		}
	}
}

/// The sum of the squares of `increments`, in square units.
pub fn squared_norm(increments: &[i64]) -> u128 {
	let kernel = Kernel::best();
	increments.chunks(MAX_SQUARES).fold(0u128, |sum, part| {
		let squares = kernel.squares(part);
		sum.saturating_add(squares.unwrap_or_else(|| sum_of_squares(part.iter().copied())))
	})
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
