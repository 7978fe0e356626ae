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
//! one has coarser values and nothing else, until what is cut off at least outweighs the best plan so
//! far. Ties go to the plan with fewer bytes, then to fewer bits, then to the higher exponent.
//!
//! Encoders are free to do better; decoders do not care.
//!
//! # How it is fast
//!
//! All increments are looked at once, to find the *peak* of each *block* of four: its largest size.
//! That is done without a branch and for several blocks side by side, so that compilers make vector
//! instructions of it. Peaks are counted in bins, eight to a doubling. As many sizes as peaks reach
//! down to a bin at least, which tells how far down the largest sizes can reach at most; and where a
//! peak does not reach, no size of its block does. So only a few blocks are looked at again: to
//! count the sizes that decide how the budget is split, and to pick those that a chunk may keep.
//! Only what was picked is sorted and tried: with sums over the first so many of what is sorted, a plan
//! takes a search for each of its values instead of a look at each increment. Nothing is allocated for
//! a chunk: an [`Encoder`] keeps its lists from leaf to leaf.

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

/// A group is so many rows of increments, one after the other.
const ROWS: usize = 4;

/// Increments in a row. Those of a group that stand at the same place of their rows are a block.
const LANES: usize = 4;

/// Increments in a group.
const GROUP: usize = ROWS * LANES;

/// Groups in a chunk.
const CHUNK_GROUPS: usize = CHUNK / GROUP;

/// Bytes of a size.
const SIZE_BYTES: usize = 4;

/// For each bin how many sizes of a chunk fall into it.
type Counts = [u16; BINS];

/// The peak of each block of a group. It is below the block's largest size by one at most, and
/// stands for that size or any larger one if it is `i32::MAX`.
type Peaks = [i32; LANES];

/// For each chunk of a leaf how many bytes it may take.
type Shares = [usize; LEAF_CHUNKS];

const _: () = assert!(CHUNK <= u16::MAX as usize && CHUNK.is_multiple_of(GROUP));
const _: () = assert!(MAX_INCREMENT == u32::MAX as i64);

/// Compresses leaves.
///
/// It holds nothing but memory that is used again for the next leaf: what comes out depends on
/// nothing but what goes in.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
	/// One chunk after the other, the peaks of its groups.
	peaks: Vec<Peaks>,
	/// For each chunk how many peaks fall into each bin.
	peak_counts: Vec<Counts>,
	/// For each chunk how many sizes fall into each bin: all of them down to the bin at which the
	/// budget is split, and some of those below.
	counts: Vec<Counts>,
	/// A chunk's increments that reach the size that is looked for, and room to sort them.
	picked: Vec<Key>,
	spare: Vec<Key>,
	/// One chunk after the other, its largest increments, largest first.
	ranked: Vec<Key>,
	/// Of a chunk's first 0, 1, 2, … ranked increments.
	sums: Vec<Sums>,
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
		let budget = usize::from(bytes_per_chunk);
		self.measure(increments);
		self.count(increments, budget);
		self.plan(increments, budget);
		self.write(increments, bytes)
	}

	/// Finds the peak of each block, and counts them.
	fn measure(&mut self, increments: &[i64]) {
		self.peaks.clear();
		self.peak_counts.clear();
		for increments in increments.chunks(CHUNK) {
			let start = self.peaks.len();
			let groups = increments.chunks_exact(GROUP);
			let rest = groups.remainder();
			self.peaks.extend(groups.map(peaks_of));
			if !rest.is_empty() {
				let mut group = [0; GROUP];
				for (to, from) in group.iter_mut().zip(rest) {
					*to = *from;
				}
				self.peaks.push(peaks_of(&group));
			}
			self.peak_counts.push(count_peaks(self.peaks.get(start..).unwrap_or_default()));
		}
	}

	/// Counts the sizes of each chunk, down to the bin at which the budget is split and maybe
	/// farther.
	fn count(&mut self, increments: &[i64], budget: usize) {
		// There are no more peaks than sizes, so they reach at least as far.
		let Reach { bin, .. } = reach(&self.peak_counts, budget * self.peak_counts.len());
		let least = floor_of(bin).max(1);
		self.counts.clear();
		for (peaks, increments) in self.peaks.chunks(CHUNK_GROUPS).zip(increments.chunks(CHUNK)) {
			let mut counts = [0u16; BINS];
			for_each_reaching(peaks, least, |index| {
				let increment = increments.get(index).copied().unwrap_or(0);
				// Every byte is a bin, and a chunk has fewer than 2^16 weights.
				let count = &mut counts[usize::from(bin_of(size_of(increment)))];
				*count = count.wrapping_add(1);
			});
			self.counts.push(counts);
		}
	}

	/// Finds the best plan of each chunk for both ways to split the budget of the leaf.
	fn plan(&mut self, increments: &[i64], budget: usize) {
		let shares = self.split(increments, budget * self.counts.len());
		let mut unspent = 0;
		self.ranked.clear();
		self.planned.clear();
		for (number, increments) in increments.chunks(CHUNK).enumerate() {
			let weights = increments.len();
			let share = unspent + shares.get(number).copied().unwrap_or(0);
			let start = self.ranked.len();
			self.rank(number, increments, max_useful(weights, budget.max(share)));
			let ranked = self.ranked.get(start..).unwrap_or_default();

			let mut sums = Sums::default();
			self.sums.clear();
			self.sums.push(sums);
			self.sums.extend(ranked.iter().map(|key| {
				sums = sums.and(*key);
				sums
			}));
			let options = Options { ranked, sums: &self.sums, weights };
			let equal = options.best(budget);
			let by_size = if share == budget { equal } else { options.best(share) };
			unspent = share.saturating_sub(by_size.bytes);
			self.planned.push(Planned { end: self.ranked.len(), equal, by_size });
		}
	}

	/// Splits `total` bytes by size: finds the bin down to which all increments fit, and divides
	/// what is left in proportion to what each chunk could still use.
	fn split(&self, increments: &[i64], total: usize) -> Shares {
		let Reach { bin, kept, least, mut most } = reach(&self.counts, total);
		if bin == 0 {
			// There is room for everything with two bits: what is left is for more of them.
			for ((most, kept), chunk) in most.iter_mut().zip(kept).zip(increments.chunks(CHUNK)) {
				*most = match kept {
					0..MAX_SPARSE => chunk_bytes(kept, 8),
					_ => max_chunk_bytes(chunk.len()),
				};
			}
		}
		divide(least, most, total)
	}

	/// Appends the `keep` largest increments of a chunk to the ranked ones; fewer if fewer are not
	/// zero.
	fn rank(&mut self, number: usize, increments: &[i64], keep: usize) {
		if keep == 0 {
			return;
		}
		// Neither list counts sizes that are not there, so either tells a size that enough reach.
		let counts = [self.counts.get(number), self.peak_counts.get(number)];
		let least = counts.into_iter().flatten().map(|counts| least_size(counts, keep)).max();
		let least = least.unwrap_or(1);
		self.picked.resize(CHUNK, Key::default());
		self.spare.resize(CHUNK, Key::default());
		let slots = (self.picked.first_chunk_mut(), self.spare.first_chunk_mut());
		let (Some(picked), Some(spare)) = slots else { return };
		let mut found = 0usize;
		let peaks = self.peaks.chunks(CHUNK_GROUPS).nth(number).unwrap_or_default();
		for_each_reaching(peaks, least, |index| {
			let increment = increments.get(index).copied().unwrap_or(0);
			let size = size_of(increment);
			// Written whether or not it is picked, and then written over: a branch would be guessed
			// wrong too often. No more are found than a chunk has.
			picked[found % CHUNK] = Key::new(size, index, increment < 0);
			found = found.wrapping_add(usize::from(size >= least));
		});
		let sorted = sort(picked, spare, found);
		self.ranked.extend_from_slice(sorted.get(..keep).unwrap_or(sorted));
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

/// The peaks of [`GROUP`] increments. Both halves of an increment are looked at apart, for vectors
/// of 32 bits are faster.
fn peaks_of(group: &[i64]) -> Peaks {
	let mut peaks = Peaks::default();
	let mut beyond = Peaks::default();
	for row in group.chunks_exact(LANES) {
		for ((peak, beyond), increment) in peaks.iter_mut().zip(&mut beyond).zip(row) {
			let low = *increment as i32;
			let sign = low >> 31;
			// With all its bits inverted, a negative number has its size less one.
			*peak = (*peak).max(low ^ sign);
			// Zero if the higher half says nothing more.
			*beyond |= (*increment >> 32) as i32 ^ sign;
		}
	}
	for (peak, beyond) in peaks.iter_mut().zip(beyond) {
		*peak = if beyond == 0 { *peak } else { i32::MAX };
	}
	peaks
}

/// How many peaks of a chunk fall into each bin.
fn count_peaks(peaks: &[Peaks]) -> Counts {
	// Lanes are counted apart: to add to a count that was added to just before takes its time.
	let mut lanes = [[0u16; BINS]; LANES];
	for peaks in peaks {
		for (counts, peak) in lanes.iter_mut().zip(peaks) {
			// Every byte is a bin, peaks are not negative, and a chunk has fewer than 2^16 of them.
			let count = &mut counts[usize::from(bin_of(*peak as u32))];
			*count = count.wrapping_add(1);
		}
	}
	let mut counts = [0; BINS];
	for lane in &lanes {
		for (sum, count) in counts.iter_mut().zip(lane) {
			*sum = count.wrapping_add(*sum);
		}
	}
	counts
}

/// Shows `visit` the indices of all increments of a chunk whose block may have sizes of `least` or
/// more. Some may be beyond the weights of a short chunk.
fn for_each_reaching(peaks: &[Peaks], least: u32, mut visit: impl FnMut(usize)) {
	// A peak may be too low by one, and stands for all sizes that are no `i32`.
	let least = least.saturating_sub(1).min(i32::MAX as u32) as i32;
	let mut groups = [0u16; CHUNK_GROUPS];
	let mut found = 0usize;
	for (number, [a, b, c, d]) in peaks.iter().take(CHUNK_GROUPS).enumerate() {
		// Written whether or not it reaches, see `Encoder::rank`; below 2^8.
		groups[found % CHUNK_GROUPS] = number as u16;
		let reaches = (*a >= least) | (*b >= least) | (*c >= least) | (*d >= least);
		found = found.wrapping_add(usize::from(reaches));
	}
	let mut blocks = [0u16; CHUNK_GROUPS * LANES];
	let mut count = 0usize;
	for number in groups.iter().take(found) {
		let peaks = peaks.get(usize::from(*number)).copied().unwrap_or_default();
		for (lane, peak) in peaks.into_iter().enumerate() {
			// Where the block begins in its chunk: below 2^12.
			let first = usize::from(*number).wrapping_mul(GROUP).wrapping_add(lane);
			blocks[count % (CHUNK_GROUPS * LANES)] = first as u16;
			count = count.wrapping_add(usize::from(peak >= least));
		}
	}
	for first in blocks.iter().take(count) {
		for row in 0..ROWS {
			visit(usize::from(*first).wrapping_add(row.wrapping_mul(LANES)));
		}
	}
}

/// How far down increments fit into a budget with two bits each.
struct Reach {
	/// The first bin, from the largest sizes on, that does not fit as a whole; 0 if all fit.
	bin: usize,
	/// For each chunk how many increments there are down to this bin, at most [`MAX_SPARSE`].
	kept: Shares,
	/// For each chunk how many bytes they take without this bin,
	least: Shares,
	/// and with it.
	most: Shares,
}

/// How far down the increments of a leaf, of which each chunk has these counts, fit into `total`
/// bytes.
fn reach(counts: &[Counts], total: usize) -> Reach {
	let mut kept = [0usize; LEAF_CHUNKS];
	let mut least = [0usize; LEAF_CHUNKS];
	for (least, _) in least.iter_mut().zip(counts) {
		*least = chunk_bytes(0, 2);
	}
	for bin in (1..BINS).rev() {
		let mut most = least;
		for ((most, kept), counts) in most.iter_mut().zip(&mut kept).zip(counts) {
			let count = counts.get(bin).copied().unwrap_or(0);
			*kept = (*kept + usize::from(count)).min(MAX_SPARSE);
			*most = chunk_bytes(*kept, 2);
		}
		if most.iter().sum::<usize>() > total {
			return Reach { bin, kept, least, most };
		}
		least = most;
	}
	Reach { bin: 0, kept, least, most: least }
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

/// Sorts the first `count` keys, the largest first. They may be moved to `spare`.
///
/// It goes by one byte of the size after the other, from the lowest on: faster than to compare.
fn sort<'a>(keys: &'a mut [Key; CHUNK], spare: &'a mut [Key; CHUNK], count: usize) -> &'a [Key] {
	let mut places = [[0u16; 256]; SIZE_BYTES];
	for key in keys.iter().take(count) {
		for (byte, places) in places.iter_mut().enumerate() {
			let place = &mut places[key.rank_in(byte)];
			*place = place.wrapping_add(1);
		}
	}
	let (mut from, mut to) = (keys, spare);
	for (byte, mut places) in places.into_iter().enumerate() {
		if places.iter().any(|same| usize::from(*same) == count) {
			continue;
		}
		let mut sum = 0u16;
		for place in &mut places {
			let same = core::mem::replace(place, sum);
			sum = sum.wrapping_add(same);
		}
		for key in from.iter().take(count) {
			let place = &mut places[key.rank_in(byte)];
			// Never more than there are keys.
			to[usize::from(*place) % CHUNK] = *key;
			*place = place.wrapping_add(1);
		}
		(from, to) = (to, from);
	}
	let sorted = from.get_mut(..count).unwrap_or_default();
	order_ties(sorted);
	sorted
}

/// Sorts keys that are sorted by size already. Those of one size stand as they were found: group
/// after group, so that none has to move farther than the keys of a group.
fn order_ties(keys: &mut [Key]) {
	for end in 1..keys.len() {
		for at in (1..=end).rev() {
			match keys.get_mut(at - 1..=at) {
				Some([before, key]) if *before < *key => core::mem::swap(before, key),
				_ => break,
			}
		}
	}
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
	fn new(size: u32, index: usize, is_negative: bool) -> Self {
		// 12 bits.
		let from_end = LAST_INDEX.wrapping_sub(index as u64);
		Self((u64::from(size) << (INDEX_BITS + 1)) | (from_end << 1) | u64::from(is_negative))
	}

	/// The place of byte `byte` of the size, of which 0 is the lowest, among all bytes, of which 255
	/// comes first.
	fn rank_in(self, byte: usize) -> usize {
		let above = self.0 >> ((INDEX_BITS + 1 + 8 * byte) & 63);
		usize::from(!(above as u8))
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

/// What is known of some increments together.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
	/// Of their squares.
	squares: u128,
	/// Of their sizes.
	sizes: u64,
	/// Of the sizes of negative ones.
	negative_sizes: u64,
	/// How many are negative.
	negatives: u64,
}

impl Sums {
	/// The same with one more. There are no more than a chunk has, so nothing need be checked.
	fn and(self, key: Key) -> Self {
		let size = key.size();
		let is_negative = u64::from(key.is_negative());
		Self {
			squares: self.squares.wrapping_add(u128::from(size.wrapping_mul(size))),
			sizes: self.sizes.wrapping_add(size),
			negative_sizes: self.negative_sizes.wrapping_add(size.wrapping_mul(is_negative)),
			negatives: self.negatives.wrapping_add(is_negative),
		}
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
	/// Of the first 0, 1, 2, … of them.
	sums: &'a [Sums],
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
		let keys = self.ranked.get(..most).unwrap_or(self.ranked);
		let energy = self.sum_of(keys.len()).squares;
		for exp in (0..=fitting_exponent(form, keys)).rev() {
			let quantiser = Quantiser::new(form, exp);
			// The lower the exponent, the more is cut off.
			if energy.saturating_sub(self.cut_off(&quantiser, keys)) < best.gain {
				break;
			}
			let (kept, gain) = self.gain(&quantiser, keys);
			let bytes = match form {
				Form::Dense => DENSE_HEADER_BYTES + self.weights,
				_ => chunk_bytes(kept, form.bits()),
			};
			let plan = Plan { form, exp, kept, gain, bytes };
			if plan.beats(best) {
				*best = plan;
			}
		}
	}

	/// What is known of the first `count` of the ranked increments together.
	fn sum_of(&self, count: usize) -> Sums {
		self.sums.get(count).copied().unwrap_or_default()
	}

	/// How many of `keys`, the first ranked ones, have values that are not zero, and by how much
	/// writing them lowers their squared error. What rounds to zero is left out of the chunk.
	///
	/// To write `d` for `x` lowers it by `x² − (x − d)² = d·(2x − d)`. Values rise one by one: from
	/// `b` to `d` for all sizes that round to `d` or more, which come first, that lowers it by
	/// `(d − b)·(2x − d − b)` each, which is not negative, for rounding does not more than double.
	fn gain(&self, quantiser: &Quantiser, keys: &[Key]) -> (usize, u128) {
		let reach = |keys: &[Key], value: u64| {
			let least = quantiser.least(value);
			keys.partition_point(|key| key.size() >= least)
		};
		let kept = reach(keys, 1);
		let (mut count, mut before, mut gain) = (kept, 0u64, 0u128);
		for value in 1..=quantiser.negative_limit {
			count = reach(keys.get(..count).unwrap_or_default(), value);
			let sums = self.sum_of(count);
			let (sizes, written) = match value > quantiser.positive_limit {
				true => (sums.negative_sizes, sums.negatives),
				false => (sums.sizes, count as u64),
			};
			if written == 0 {
				break;
			}
			let decoded = quantiser.decoded(value);
			// A chunk has fewer than 2^13 weights, of fewer than 2^32 units each: below 2^46. Both
			// differences are of a larger number and a smaller one.
			let gains = 2 * sizes - written * (decoded + before);
			gain += u128::from(gains) * u128::from(decoded - before);
			before = decoded;
		}
		(kept, gain)
	}

	/// A part of the squared error of those of `keys`, the first ranked ones, that are beyond the
	/// largest value: what positive ones would have if they reached as far as negative ones.
	fn cut_off(&self, quantiser: &Quantiser, keys: &[Key]) -> u128 {
		let limit = quantiser.negative_limit << quantiser.exp;
		let count = keys.partition_point(|key| key.size() > limit);
		let sums = self.sum_of(count);
		// Σ (x − l)² = Σ x² − l·(2·Σ x − n·l); sizes are beyond the limit, so this is not negative.
		let less = 2 * sums.sizes - count as u64 * limit;
		sums.squares - u128::from(limit) * u128::from(less)
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

	/// The smallest size that rounds to `value`, which is not zero, or more.
	fn least(&self, value: u64) -> u64 {
		(value << self.exp) - self.half.saturating_sub(1)
	}

	/// What `value` stands for.
	fn decoded(&self, value: u64) -> u64 {
		(value << self.exp).min(MAX_INCREMENT as u64)
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
