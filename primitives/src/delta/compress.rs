//! The reference encoder: increments to chunks under a budget of bytes, in integers only.
//!
//! # What it looks for
//!
//! The least squared error. The budget is for the leaf, so many bytes for each of its chunks, and
//! is split in two ways, of which the better one is written:
//!
//! - *equally*: every chunk may take the same;
//! - *by size*: a chunk may take what the largest increments of the leaf that lie in it take with
//!   two bits each, and what the chunks before it left over.
//!
//! For each chunk and budget it finds the best of all these plans: sparse with values of 2, 4 or 8
//! bits, or dense, each with any exponent. A sparse chunk keeps as many of the largest increments
//! as the bytes hold. No other choice is better, for what writing an increment gains rises with its
//! size. Exponents are tried downwards from the lowest at which no value is cut off, since a higher
//! one has coarser values and nothing else, until what is cut off alone outweighs the best plan so
//! far. Ties go to the plan with fewer bytes, then to fewer bits, then to the higher exponent.
//!
//! Encoders are free to do better; decoders do not care.
//!
//! # How it is fast
//!
//! All increments are looked at twice. The first time their sizes are counted in bins, eight to a
//! doubling, which tells how far down the largest reach; the second time those that reach as far
//! are picked. Only these few are sorted and tried. Nothing is allocated for a chunk: an
//! [`Encoder`] keeps its lists from leaf to leaf.

use super::{
	blob::max_chunk_bytes,
	leaf::{encode_chunk, Chunk},
	scale, sparse_bytes, CHUNK, DENSE_HEADER_BYTES, INDEX_BITS, LEAF_CHUNKS, LEAF_WEIGHTS,
	MAX_INCREMENT, MAX_SPARSE, SPARSE_HEADER_BYTES,
};
use alloc::vec::Vec;

/// Budget of bytes for a chunk that keeps a delta 146 times smaller than `f32` weights.
pub const DEFAULT_BYTES_PER_CHUNK: u16 = 112;

/// Exponents an encoder may need: one shift of 32 brings every increment down to one bit.
const MAX_EXPONENT: u32 = 32;

/// Highest index of a weight in its chunk.
const LAST_INDEX: u64 = CHUNK as u64 - 1;

/// More bins than the 240 that [`bin_of`] names: as many as a byte can name.
const BINS: usize = 256;

/// For each bin how many sizes of a chunk fall into it.
type Counts = [u16; BINS];

/// For each chunk of a leaf how many bytes it may take.
type Shares = [usize; LEAF_CHUNKS];

const _: () = assert!(CHUNK <= u16::MAX as usize);
const _: () = assert!(MAX_INCREMENT == u32::MAX as i64);

/// Compresses leaves.
///
/// It holds nothing but memory that is used again for the next leaf: what comes out depends on
/// nothing but what goes in.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
	/// The size of each increment.
	sizes: Vec<u32>,
	/// For each chunk its counts.
	counts: Vec<Counts>,
	/// A chunk's increments that reach the size that is looked for, in order of their index.
	picked: Vec<Key>,
	/// One chunk after the other, its largest increments, largest first.
	ranked: Vec<Key>,
	/// Sums of the squares of a chunk's first 0, 1, 2, … ranked sizes.
	energies: Vec<u128>,
	/// For each chunk its plans.
	planned: Vec<Planned>,
	/// Indices and values of the chunk that is being written.
	indices: Vec<u16>,
	values: Vec<i8>,
}

impl Encoder {
	/// An encoder.
	pub fn new() -> Self {
		Self::default()
	}

	/// Compresses the increments of one leaf to at most `bytes_per_chunk` bytes a chunk, on average
	/// over the leaf, and appends them to `bytes`. Returns how many weights the delta changes.
	///
	/// What the delta does not say stays in `increments`: add it to those of the next round (error
	/// feedback). It is never farther from zero than what was there before.
	///
	/// A chunk that does not change takes one byte whatever the budget; one value takes 8 (only a
	/// chunk that is itself shorter can say more in less). Ties between increments go to the lower
	/// index. Increments beyond the 65,536 of a leaf are not looked at.
	pub fn encode(
		&mut self,
		increments: &mut [i64],
		bytes_per_chunk: u16,
		bytes: &mut Vec<u8>,
	) -> usize {
		let weights = increments.len().min(LEAF_WEIGHTS);
		let increments = increments.get_mut(..weights).unwrap_or_default();
		self.measure(increments);
		self.plan(increments, usize::from(bytes_per_chunk));
		self.write(increments, bytes)
	}

	/// Finds the size of each increment, and the counts of each chunk.
	fn measure(&mut self, increments: &[i64]) {
		self.sizes.clear();
		self.counts.clear();
		for increments in increments.chunks(CHUNK) {
			let start = self.sizes.len();
			self.sizes.extend(increments.iter().map(|increment| size_of(*increment)));
			let mut counts = [0u16; BINS];
			for size in self.sizes.get(start..).unwrap_or_default() {
				// Every byte is a bin, and a chunk has fewer than 2^16 weights.
				let count = &mut counts[usize::from(bin_of(*size))];
				*count = count.wrapping_add(1);
			}
			self.counts.push(counts);
		}
	}

	/// Finds the best plan of each chunk for both ways to split the budget of the leaf.
	fn plan(&mut self, increments: &[i64], budget: usize) {
		let shares = self.split(budget * self.counts.len());
		let mut unspent = 0;
		self.ranked.clear();
		self.planned.clear();
		for (number, increments) in increments.chunks(CHUNK).enumerate() {
			let weights = increments.len();
			let share = unspent + shares.get(number).copied().unwrap_or(0);
			let start = self.ranked.len();
			self.rank(number, increments, max_useful(weights, budget.max(share)));
			let ranked = self.ranked.get(start..).unwrap_or_default();

			let mut energy = 0u128;
			self.energies.clear();
			self.energies.push(energy);
			self.energies.extend(ranked.iter().map(|key| {
				energy += u128::from(key.size() * key.size());
				energy
			}));
			let options = Options { ranked, energies: &self.energies, weights };
			let equal = options.best(budget);
			let by_size = if share == budget { equal } else { options.best(share) };
			unspent = share.saturating_sub(by_size.bytes);
			self.planned.push(Planned { end: self.ranked.len(), equal, by_size });
		}
	}

	/// Splits `total` bytes by size: finds the bin down to which all increments fit, and divides
	/// what is left in proportion to what each chunk could still use.
	fn split(&self, total: usize) -> Shares {
		let mut kept = [0usize; LEAF_CHUNKS];
		let mut least = [0usize; LEAF_CHUNKS];
		for (least, _) in least.iter_mut().zip(&self.counts) {
			*least = chunk_bytes(0, 2);
		}
		for bin in (1..BINS).rev() {
			let mut most = least;
			for ((most, kept), counts) in most.iter_mut().zip(&mut kept).zip(&self.counts) {
				let count = counts.get(bin).copied().unwrap_or(0);
				*kept = (*kept + usize::from(count)).min(MAX_SPARSE);
				*most = chunk_bytes(*kept, 2);
			}
			if most.iter().sum::<usize>() > total {
				return divide(least, most, total);
			}
			least = most;
		}
		// There is room for everything with two bits: what is left is for more of them.
		let mut most = least;
		for ((most, kept), sizes) in most.iter_mut().zip(kept).zip(self.sizes.chunks(CHUNK)) {
			*most =
				if kept < MAX_SPARSE { chunk_bytes(kept, 8) } else { max_chunk_bytes(sizes.len()) };
		}
		divide(least, most, total)
	}

	/// Appends the `keep` largest increments of a chunk to the ranked ones; fewer if fewer are not
	/// zero.
	fn rank(&mut self, number: usize, increments: &[i64], keep: usize) {
		let first = number * CHUNK;
		let sizes = self.sizes.get(first..first + increments.len()).unwrap_or_default();
		let Some(counts) = self.counts.get(number).filter(|_| keep > 0) else { return };
		let least = least_size(counts, keep);
		self.picked.resize(CHUNK, Key::default());
		let slots = self.picked.as_mut_slice();
		let mut found = 0usize;
		for (index, size) in sizes.iter().enumerate() {
			// Written whether or not it is picked, and then written over: a branch would be guessed
			// wrong too often.
			if let Some(slot) = slots.get_mut(found) {
				*slot = Key::new(*size, index);
			}
			found = found.wrapping_add(usize::from(*size >= least));
		}
		let picked = slots.get_mut(..found).unwrap_or_default();
		for key in picked.iter_mut() {
			let increment = increments.get(key.index()).copied().unwrap_or(0);
			key.set_negative(increment < 0);
		}
		let largest = if keep < picked.len() {
			picked.select_nth_unstable_by(keep, |a, b| b.cmp(a)).0
		} else {
			picked
		};
		largest.sort_unstable_by(|a, b| b.cmp(a));
		self.ranked.extend_from_slice(largest);
	}

	/// Writes the better split. Returns how many weights change.
	fn write(&mut self, increments: &mut [i64], bytes: &mut Vec<u8>) -> usize {
		let sum = |plan: fn(&Planned) -> Plan| {
			self.planned
				.iter()
				.map(plan)
				.fold((0u128, 0usize), |(gain, bytes), plan| (gain + plan.gain, bytes + plan.bytes))
		};
		let (equal, by_size) = (sum(|planned| planned.equal), sum(|planned| planned.by_size));
		let is_by_size = by_size.0 > equal.0 || (by_size.0 == equal.0 && by_size.1 < equal.1);
		let (mut start, mut changes) = (0, 0);
		for (planned, increments) in self.planned.iter().zip(increments.chunks_mut(CHUNK)) {
			let plan = if is_by_size { planned.by_size } else { planned.equal };
			let kept = self.ranked.get(start..start + plan.kept).unwrap_or_default();
			start = planned.end;
			let quantiser = Quantiser::new(plan.form, plan.exp);
			// At most 32.
			let exp = plan.exp as i8;
			self.indices.clear();
			self.values.clear();
			let chunk = match plan.form {
				Form::Unchanged => Chunk::Unchanged,
				Form::Sparse(bits) => {
					in_order(kept, |index| {
						if let Some(rest) = increments.get_mut(index) {
							// 12 bits.
							self.indices.push(index as u16);
							self.values.push(quantiser.take(rest));
						}
					});
					Chunk::Sparse { exp, bits, indices: &self.indices, values: &self.values }
				}
				Form::Dense => {
					self.values.extend(increments.iter_mut().map(|rest| quantiser.take(rest)));
					Chunk::Dense { exp, values: &self.values }
				}
			};
			changes += self.values.iter().filter(|value| **value != 0).count();
			encode_chunk(chunk, bytes);
		}
		changes
	}
}

/// The size of an increment, at most [`MAX_INCREMENT`].
fn size_of(increment: i64) -> u32 {
	u32::try_from(increment.unsigned_abs()).unwrap_or(u32::MAX)
}

/// The bin of a size: sizes below 16 have one each, above there are eight to a doubling. Wrapping
/// operations spare the checks of what cannot happen.
fn bin_of(size: u32) -> u8 {
	// How many bits lie below the four highest.
	let shift = 28u32.wrapping_sub((size | 8).leading_zeros()) & 31;
	// At most 28 · 8 + 15.
	shift.wrapping_mul(8).wrapping_add(size >> shift) as u8
}

/// The smallest size of a bin.
fn floor_of(bin: usize) -> u32 {
	match bin {
		// A byte.
		0..16 => bin as u32,
		_ => (8 + bin as u32 % 8) << ((bin / 8 - 1) & 31),
	}
}

/// A size that at least `keep` sizes of a chunk reach, and few more; 1 if fewer are not zero.
fn least_size(counts: &Counts, keep: usize) -> u32 {
	let mut reached = 0;
	for (bin, count) in counts.iter().enumerate().skip(1).rev() {
		reached += usize::from(*count);
		if reached >= keep {
			return floor_of(bin);
		}
	}
	1
}

/// How many bytes a chunk takes that keeps `kept` values of `bits` bits.
fn chunk_bytes(kept: usize, bits: u8) -> usize {
	match kept {
		0 => 1,
		_ => sparse_bytes(kept, usize::from(bits)),
	}
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

/// How many increments of a chunk of `weights` weights matter if it may take `budget` bytes.
fn max_useful(weights: usize, budget: usize) -> usize {
	if DENSE_HEADER_BYTES + weights <= budget {
		weights
	} else {
		max_kept(2, budget)
	}
}

/// Gives each chunk its least, and of what `total` leaves over its part of the room up to its most.
fn divide(least: Shares, most: Shares, total: usize) -> Shares {
	let sum = |shares: &Shares| shares.iter().sum::<usize>();
	let room = sum(&most).saturating_sub(sum(&least));
	let rest = total.saturating_sub(sum(&least)).min(room);
	let mut shares = least;
	for (share, most) in shares.iter_mut().zip(most) {
		let more = most.saturating_sub(*share) * rest;
		*share += more.checked_div(room).unwrap_or(0);
	}
	shares
}

/// Shows `visit` the indices of `keys` in ascending order.
fn in_order(keys: &[Key], mut visit: impl FnMut(usize)) {
	let mut words = [0u64; CHUNK / 64];
	for key in keys {
		if let Some(word) = words.get_mut(key.index() / 64) {
			*word |= 1 << (key.index() % 64);
		}
	}
	for (number, word) in words.into_iter().enumerate() {
		let mut rest = word;
		while rest != 0 {
			visit(number * 64 + rest.trailing_zeros() as usize);
			// Without its lowest bit.
			rest &= rest - 1;
		}
	}
}

/// An increment: its size above the distance of its index from the chunk's end, above whether it is
/// negative. So they are ordered by size, and equal ones from the chunk's end to its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
	fn new(size: u32, index: usize) -> Self {
		// 12 bits.
		let from_end = LAST_INDEX.wrapping_sub(index as u64);
		Self((u64::from(size) << (INDEX_BITS + 1)) | (from_end << 1))
	}

	fn set_negative(&mut self, is_negative: bool) {
		self.0 |= u64::from(is_negative);
	}

	fn is_negative(self) -> bool {
		self.0 & 1 == 1
	}

	fn index(self) -> usize {
		(LAST_INDEX - ((self.0 >> 1) & LAST_INDEX)) as usize
	}

	fn size(self) -> u64 {
		self.0 >> (INDEX_BITS + 1)
	}
}

/// How the values of a chunk are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
	Unchanged,
	/// Values of so many bits.
	Sparse(u8),
	Dense,
}

impl Form {
	/// Bits of a value.
	fn bits(self) -> u8 {
		match self {
			Self::Sparse(bits) => bits,
			Self::Unchanged | Self::Dense => 8,
		}
	}

	/// The largest sizes of a positive and of a negative value.
	fn limits(self) -> (u64, u64) {
		match self.bits() {
			2 => (2, 2),
			4 => (7, 8),
			_ => (127, 128),
		}
	}
}

/// One way to write a chunk.
#[derive(Clone, Copy, Debug)]
struct Plan {
	form: Form,
	exp: u32,
	/// How many of the ranked increments a sparse chunk keeps.
	kept: usize,
	/// By how much the squared error is below that of an unchanged chunk.
	gain: u128,
	bytes: usize,
}

impl Plan {
	const UNCHANGED: Self = Self { form: Form::Unchanged, exp: 0, kept: 0, gain: 0, bytes: 1 };

	fn beats(&self, other: &Self) -> bool {
		self.gain > other.gain || (self.gain == other.gain && self.bytes < other.bytes)
	}
}

/// The plans of a chunk for the two ways to split the budget.
#[derive(Clone, Copy, Debug)]
struct Planned {
	/// Where its ranked increments end.
	end: usize,
	equal: Plan,
	by_size: Plan,
}

/// What plans for a chunk are made of.
struct Options<'a> {
	/// Its largest increments, largest first: all that any plan could keep.
	ranked: &'a [Key],
	/// Sums of the squares of the first 0, 1, 2, … of them.
	energies: &'a [u128],
	weights: usize,
}

impl Options<'_> {
	/// The best plan of at most `budget` bytes.
	fn best(&self, budget: usize) -> Plan {
		let mut best = Plan::UNCHANGED;
		for bits in [2, 4, 8] {
			self.improve(&mut best, Form::Sparse(bits), max_kept(bits, budget));
		}
		if DENSE_HEADER_BYTES + self.weights <= budget {
			self.improve(&mut best, Form::Dense, self.weights);
		}
		best
	}

	/// Puts the best plan of a form that can keep `most` values in the place of one that it beats.
	fn improve(&self, best: &mut Plan, form: Form, most: usize) {
		let kept = most.min(self.ranked.len());
		let keys = self.ranked.get(..kept).unwrap_or_default();
		let energy = self.energies.get(kept).copied().unwrap_or(0);
		for exp in (0..=fitting_exponent(form, keys)).rev() {
			let quantiser = Quantiser::new(form, exp);
			// The lower the exponent, the more is cut off.
			if energy.saturating_sub(quantiser.cut_off(keys)) < best.gain {
				break;
			}
			// What rounds to zero is left out of the chunk.
			let kept = keys.partition_point(|key| quantiser.round(key.size()) > 0);
			let bytes = match form {
				Form::Dense => DENSE_HEADER_BYTES + self.weights,
				_ => chunk_bytes(kept, form.bits()),
			};
			let plan = Plan { form, exp, kept, gain: quantiser.gain(keys), bytes };
			if plan.beats(best) {
				*best = plan;
			}
		}
	}
}

/// The lowest exponent at which all of `keys` fit into values of a form.
fn fitting_exponent(form: Form, keys: &[Key]) -> u32 {
	let largest = |is_negative: bool| {
		let of_sign = keys.iter().find(|key| key.is_negative() == is_negative);
		of_sign.map_or(0, |key| key.size())
	};
	let (positive, negative) = (largest(false), largest(true));
	let fits = |exp: &u32| {
		let quantiser = Quantiser::new(form, *exp);
		quantiser.round(positive) <= quantiser.positive_limit
			&& quantiser.round(negative) <= quantiser.negative_limit
	};
	// Below this exponent the larger one has more bits than a value.
	let bits = positive.max(negative).checked_ilog2().map_or(0, |log| log + 1);
	let lowest = bits.saturating_sub(u32::from(form.bits()));
	(lowest..MAX_EXPONENT).find(fits).unwrap_or(MAX_EXPONENT)
}

/// Rounds sizes to values of one form at one exponent.
#[derive(Clone, Copy, Debug)]
struct Quantiser {
	exp: u32,
	/// The largest size that, added to a multiple of `2^exp`, rounds down.
	half: u64,
	positive_limit: u64,
	negative_limit: u64,
}

impl Quantiser {
	fn new(form: Form, exp: u32) -> Self {
		let (positive_limit, negative_limit) = form.limits();
		Self { exp, half: (1 << exp) >> 1, positive_limit, negative_limit }
	}

	/// The nearest multiple of `2^exp`, in units of that; half-way the lower one, which is as near
	/// and may be zero, so that it need not be written.
	fn round(&self, size: u64) -> u64 {
		size.wrapping_add(self.half.saturating_sub(1)) >> self.exp
	}

	/// The size of the value for an increment.
	fn value(&self, size: u64, is_negative: bool) -> u64 {
		let limit = if is_negative { self.negative_limit } else { self.positive_limit };
		self.round(size).min(limit)
	}

	/// By how much writing `keys` lowers their squared error.
	fn gain(&self, keys: &[Key]) -> u128 {
		let gains = keys.iter().map(|key| {
			let size = key.size();
			let value = self.value(size, key.is_negative());
			let decoded = (value << self.exp).min(MAX_INCREMENT as u64);
			// x² − (x − d)² = d·(2x − d). Rounding does not more than double, so this is not
			// negative; and it is at most x², which is below 2^64.
			u128::from(decoded.wrapping_mul((2 * size).wrapping_sub(decoded)))
		});
		gains.sum()
	}

	/// The squared error of those of `keys`, largest first, that are beyond the largest value.
	fn cut_off(&self, keys: &[Key]) -> u128 {
		let smaller_limit = self.positive_limit << self.exp;
		let errors = keys.iter().take_while(|key| key.size() > smaller_limit).map(|key| {
			let negative_limit = self.negative_limit << self.exp;
			let limit = if key.is_negative() { negative_limit } else { smaller_limit };
			let over = key.size().saturating_sub(limit);
			u128::from(over.wrapping_mul(over))
		});
		errors.sum()
	}

	/// Takes out of an increment what its value says, and returns the value.
	fn take(&self, rest: &mut i64) -> i8 {
		let is_negative = *rest < 0;
		// At most 128, and 128 only if it is negative.
		let size = self.value(u64::from(size_of(*rest)), is_negative) as u8;
		let value = (if is_negative { size.wrapping_neg() } else { size }) as i8;
		// Cannot saturate: values keep signs, so this moves towards zero, or past it by no more
		// than the increment was away from it. The exponent is at most 32.
		*rest = rest.saturating_sub(scale(i32::from(value), self.exp as i16));
		value
	}
}
