//! The reference encoder: increments to chunks under a budget of bytes, in integers only.
//!
//! For each chunk it tries sparse values of 2, 4 and 8 bits, each time with as many of the largest
//! increments as the budget holds, and a dense chunk if that fits at all. It takes what leaves the
//! smallest squared error. Encoders are free to do better; decoders do not care.

use super::apply::{clamp_increment, for_each_increment, shift_right_half_even};
use super::{
	encode_leaf, scale, sparse_bytes, Chunk, CHUNK, DENSE_HEADER_BYTES, INDEX_BITS, LEAF_CHUNKS,
	MAX_SPARSE, SPARSE_HEADER_BYTES,
};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Budget of bytes for a chunk that keeps a delta 146 times smaller than `f32` weights.
pub const DEFAULT_BYTES_PER_CHUNK: u16 = 112;

/// Exponents an encoder may need: one shift of 32 brings every increment down to one bit.
const MAX_EXPONENT: u32 = 32;

/// Highest index of a weight in its chunk.
const LAST_INDEX: u64 = CHUNK as u64 - 1;

/// A compressed leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
	/// The chunks.
	pub chunks: Vec<Chunk>,
	/// The chunks as [`encode_leaf`] writes them.
	pub bytes: Vec<u8>,
	/// What the chunks do not say, `increments − decoded`: add it to the next round's increments
	/// (error feedback).
	pub residual: Vec<i64>,
}

/// Compresses the increments of one leaf to at most `bytes_per_chunk` bytes a chunk.
///
/// An unchanged chunk takes one byte whatever the budget; one value takes 8 (only a chunk that is
/// itself shorter can say more in less). Ties between increments go to the lower index. Increments
/// beyond the 65,536 of a leaf are not looked at.
pub fn compress(increments: &[i64], bytes_per_chunk: u16) -> Vec<Chunk> {
	let budget = usize::from(bytes_per_chunk);
	let mut ranked = Vec::with_capacity(CHUNK.min(increments.len()));
	let chunks = increments.chunks(CHUNK).take(LEAF_CHUNKS);
	chunks.map(|chunk| compress_chunk(chunk, budget, &mut ranked)).collect()
}

/// Compresses the increments of one leaf like [`compress`], and also returns the bytes and what was
/// left out.
pub fn compress_leaf(increments: &[i64], bytes_per_chunk: u16) -> Compressed {
	let chunks = compress(increments, bytes_per_chunk);
	let mut residual = increments.to_vec();
	for_each_increment(&chunks, |index, increment| {
		if let Some(rest) = residual.get_mut(index) {
			// Cannot saturate: the encoder keeps signs, so this moves towards zero or past it by
			// no more than one increment.
			*rest = rest.saturating_sub(increment);
		}
	});
	Compressed { bytes: encode_leaf(&chunks), chunks, residual }
}

/// One way to write a chunk, not yet written.
#[derive(Clone, Copy)]
struct Plan {
	/// Bits of a sparse value, or none for a dense chunk.
	bits: Option<u8>,
	exp: u32,
	/// By how much the squared error is below that of an unchanged chunk.
	gain: i128,
	bytes: usize,
}

impl Plan {
	fn beats(&self, other: &Self) -> bool {
		self.gain > other.gain || (self.gain == other.gain && self.bytes < other.bytes)
	}
}

/// `ranked` is scratch space that is kept from chunk to chunk.
fn compress_chunk(increments: &[i64], budget: usize, ranked: &mut Vec<u64>) -> Chunk {
	rank(increments, max_kept(2, budget), ranked);
	let mut best: Option<Plan> = None;
	let sparse = [2u8, 4, 8].map(|bits| plan_sparse(increments, ranked, bits, budget));
	let dense = plan_dense(increments, budget);
	for plan in sparse.into_iter().chain([dense]).flatten() {
		if best.is_none_or(|best| plan.beats(&best)) {
			best = Some(plan);
		}
	}
	match best {
		None => Chunk::Unchanged,
		Some(Plan { bits: Some(bits), exp, .. }) => {
			write_sparse(increments, kept(ranked, bits, budget), bits, exp)
		}
		Some(Plan { bits: None, exp, .. }) => Chunk::Dense {
			// At most 32, and quantised values fit 8 bits.
			exp: exp as i8,
			values: increments.iter().map(|increment| quantise(*increment, exp) as i8).collect(),
		},
	}
}

/// Fills `ranked` with keys of the `keep` largest increments, largest first, ties to the lower
/// index. Zeros are left out. A key is the size of the increment above the distance of its index
/// from the chunk's end.
fn rank(increments: &[i64], keep: usize, ranked: &mut Vec<u64>) {
	ranked.clear();
	ranked.extend(increments.iter().zip(0u64..).filter(|(increment, _)| **increment != 0).map(
		|(increment, index)| {
			let size = clamp_increment(*increment).unsigned_abs();
			(size << INDEX_BITS) | LAST_INDEX.saturating_sub(index)
		},
	));
	if keep < ranked.len() {
		ranked.select_nth_unstable_by_key(keep, |key| Reverse(*key));
		ranked.truncate(keep);
	}
	ranked.sort_unstable_by_key(|key| Reverse(*key));
}

/// The index that a key of [`rank`] is for.
fn index_of(key: u64) -> u16 {
	// 12 bits fit.
	(LAST_INDEX - (key & LAST_INDEX)) as u16
}

/// The increment that a key of [`rank`] is for.
fn increment_of(increments: &[i64], key: u64) -> i64 {
	increments.get(usize::from(index_of(key))).copied().unwrap_or(0)
}

/// How many values of `bits` bits a chunk of `budget` bytes can keep.
fn max_kept(bits: u8, budget: usize) -> usize {
	let bits = usize::from(bits);
	let room = budget.saturating_sub(SPARSE_HEADER_BYTES);
	let mut kept = (room * 8 / (INDEX_BITS + bits)).min(MAX_SPARSE);
	// Padding of the two blocks can cost one value.
	while kept > 0 && sparse_bytes(kept, bits) > budget {
		kept -= 1;
	}
	kept
}

/// The keys of the values that a sparse chunk of `budget` bytes can keep.
fn kept(ranked: &[u64], bits: u8, budget: usize) -> &[u64] {
	ranked.get(..max_kept(bits, budget)).unwrap_or(ranked)
}

/// Smallest and largest value of `bits` bits.
fn value_limits(bits: u8) -> (i64, i64) {
	match bits {
		2 => (-2, 2),
		4 => (-8, 7),
		_ => (i64::from(i8::MIN), i64::from(i8::MAX)),
	}
}

fn quantise(increment: i64, exp: u32) -> i64 {
	shift_right_half_even(clamp_increment(increment), exp)
}

/// The smallest exponent at which all of `increments` fit into `bits` bits.
fn fitting_exponent(increments: impl Iterator<Item = i64>, bits: u8) -> u32 {
	let (low, high) = increments
		.fold((0i64, 0i64), |(low, high), increment| (low.min(increment), high.max(increment)));
	let (min, max) = value_limits(bits);
	(0..MAX_EXPONENT)
		.find(|exp| quantise(low, *exp) >= min && quantise(high, *exp) <= max)
		.unwrap_or(MAX_EXPONENT)
}

/// By how much writing `increment` at `exp` lowers its squared error: `x² − (x − d)²`.
fn gain(increment: i64, exp: u32) -> i128 {
	let decoded = i128::from(scale(quantise(increment, exp) as i32, exp as i16));
	decoded * (2 * i128::from(clamp_increment(increment)) - decoded)
}

fn plan_sparse(increments: &[i64], ranked: &[u64], bits: u8, budget: usize) -> Option<Plan> {
	let keys = kept(ranked, bits, budget);
	let values = || keys.iter().map(move |key| increment_of(increments, *key));
	let exp = fitting_exponent(values(), bits);
	// What rounds to zero is left out of the chunk.
	let written = values().filter(|value| quantise(*value, exp) != 0).count();
	if written == 0 {
		return None;
	}
	let gain = values().map(|value| gain(value, exp)).sum();
	Some(Plan { bits: Some(bits), exp, gain, bytes: sparse_bytes(written, usize::from(bits)) })
}

fn plan_dense(increments: &[i64], budget: usize) -> Option<Plan> {
	let bytes = DENSE_HEADER_BYTES + increments.len();
	if bytes > budget || increments.iter().all(|increment| *increment == 0) {
		return None;
	}
	let exp = fitting_exponent(increments.iter().copied(), 8);
	let gain = increments.iter().map(|increment| gain(*increment, exp)).sum();
	Some(Plan { bits: None, exp, gain, bytes })
}

fn write_sparse(increments: &[i64], keys: &[u64], bits: u8, exp: u32) -> Chunk {
	let mut pairs: Vec<(u16, i8)> = keys
		.iter()
		// Quantised values fit `bits` bits.
		.map(|key| (index_of(*key), quantise(increment_of(increments, *key), exp) as i8))
		.filter(|(_, value)| *value != 0)
		.collect();
	pairs.sort_unstable();
	let (indices, values) = pairs.into_iter().unzip();
	// At most 32.
	Chunk::Sparse { exp: exp as i8, bits, indices, values }
}
