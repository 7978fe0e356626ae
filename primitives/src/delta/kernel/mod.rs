//! The loops in which merging takes its time: products of factors, sums weighted by samples, means;
//! and sums of squares, by which encoding compares what it could say.
//!
//! Each is here once in plain Rust, for every machine and for WASM, and for processors that have
//! them again in vector instructions (`x86.rs`). All give the same integers.

use super::sum::{self, Divisor};
use alloc::vec::Vec;
use core::array;

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod x86;

/// Rows of a left factor that are multiplied at once.
pub const ROWS: usize = 4;

/// Columns of a right factor that are multiplied at once: a block.
pub const COLUMNS: usize = 64;

/// Increments whose squares are summed at once.
pub const MAX_SQUARES: usize = 1_024;

/// Ranks that are multiplied at once.
const RANKS: usize = 4;

/// A number for each of some rows and each column of a block.
pub type Tile<T> = [[T; COLUMNS]; ROWS];

/// What four rows of a right factor have in the columns of a block, side by side for each column.
type Quad = [[i8; RANKS]; COLUMNS];

/// A right factor in the order in which it is multiplied: a block of columns after the other, in it
/// four rows after four rows. Rows and columns beyond its own are zero. Takes at most
/// `(rank + 7) · (cols + 63)` bytes.
#[derive(Clone, Debug)]
pub struct RightFactor {
	rank: usize,
	cols: usize,
	quads: Vec<Quad>,
	/// For each column −128 times the sum of its values.
	#[cfg(all(target_arch = "x86_64", feature = "std"))]
	starts: Vec<[i32; COLUMNS]>,
}

impl RightFactor {
	/// The factor of `rank` rows and `cols` columns with these values, row-major.
	pub fn new(values: &[u8], rank: usize, cols: usize) -> Self {
		const ZEROS: [u8; COLUMNS] = [0; COLUMNS];
		let mut quads = Vec::with_capacity(cols.div_ceil(COLUMNS) * rank.div_ceil(RANKS));
		for first in (0..cols).step_by(COLUMNS) {
			let end = cols.min(first + COLUMNS);
			for above in (0..rank).step_by(RANKS) {
				// There are no values of the rows that pad the last four.
				let row = |place: usize| {
					let start = (above + place) * cols;
					values.get(start + first..start + end).unwrap_or(&ZEROS)
				};
				let [a, b, c, d] = array::from_fn(row);
				let mut quad = [[0; RANKS]; COLUMNS];
				for ((((column, a), b), c), d) in quad.iter_mut().zip(a).zip(b).zip(c).zip(d) {
					*column = [*a as i8, *b as i8, *c as i8, *d as i8];
				}
				quads.push(quad);
			}
		}
		Self {
			rank,
			cols,
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			starts: x86::starts(&quads, rank.div_ceil(RANKS)),
			quads,
		}
	}

	/// The quads of a block.
	fn quads_of(&self, block: usize) -> &[Quad] {
		let depth = self.rank.div_ceil(RANKS);
		self.quads.get(block * depth..(block + 1) * depth).unwrap_or_default()
	}

	/// The columns of a block, of which the last one may have fewer.
	fn columns_of(&self, block: usize) -> usize {
		self.cols.saturating_sub(block * COLUMNS).min(COLUMNS)
	}
}

/// How numbers become increments that an `i32` holds: `number · 2^exp`, rounded half to even, and
/// without a branch.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
	left: u32,
	right: u32,
	/// Half of what is cut off, less one.
	bias: i32,
	/// 1 if something is cut off.
	odd: i32,
}

impl Shift {
	/// For numbers that are at most `2^bits` either side of zero. None if their increments may be
	/// larger than 2^30.
	pub fn new(exp: i16, bits: u32) -> Option<Self> {
		let shift = u32::from(exp.unsigned_abs());
		if exp < 0 {
			// This far, every such number is at most one half, and rounds to zero.
			let right = shift.min(bits + 1);
			return Some(Self { left: 0, right, bias: (1 << (right - 1)) - 1, odd: 1 });
		}
		(shift + bits <= 30).then_some(Self { left: shift, right: 0, bias: 0, odd: 0 })
	}

	/// The increment of such a number.
	pub fn of(self, number: i32) -> i32 {
		let number = number.wrapping_shl(self.left);
		// Half of what is cut off moves an odd number up, and an even one not.
		let odd = number.wrapping_shr(self.right) & self.odd;
		number.wrapping_add(self.bias).wrapping_add(odd).wrapping_shr(self.right)
	}
}

/// The vector instructions that merging takes on this machine: `AVX-512`, `AVX2` or `none`.
pub fn instructions() -> &'static str {
	Kernel::best().name()
}

/// What the loops are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
	/// Plain Rust.
	Portable,
	/// Vector instructions.
	#[cfg(all(target_arch = "x86_64", feature = "std"))]
	Vectors(x86::Vectors),
}

impl Kernel {
	/// All that this machine can run, the fastest first.
	pub fn all() -> impl Iterator<Item = Self> {
		#[cfg(all(target_arch = "x86_64", feature = "std"))]
		let vectors = x86::Vectors::found().map(Self::Vectors);
		#[cfg(not(all(target_arch = "x86_64", feature = "std")))]
		let vectors = core::iter::empty();
		vectors.chain([Self::Portable])
	}

	/// The fastest.
	pub fn best() -> Self {
		Self::all().next().unwrap_or(Self::Portable)
	}

	/// The vector instructions that the loops are written in.
	fn name(self) -> &'static str {
		match self {
			Self::Portable => "none",
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			Self::Vectors(vectors) => vectors.name(),
		}
	}

	/// The products of `rows` rows of a left factor, at most [`ROWS`], with the columns of a block of
	/// a right one. `left` are the values of these rows and may be longer.
	///
	/// What the tile has in other rows and columns afterwards is unknown, but no larger than products.
	pub fn products(
		self,
		left: &[u8],
		rows: usize,
		right: &RightFactor,
		block: usize,
		sums: &mut Tile<i32>,
	) {
		match self {
			Self::Portable => products(left, rows, right, block, sums),
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			Self::Vectors(vectors) => vectors.products(left, rows, right, block, sums),
		}
	}

	/// Adds the increment of each value, times `samples`, to the sum in its place. There are as many
	/// sums as values, and an `i64` holds what they become.
	pub fn add(self, sums: &mut [i64], values: &[i32], shift: Shift, samples: i32) {
		match self {
			Self::Portable => add(sums, values, shift, samples),
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			Self::Vectors(vectors) => vectors.add(sums, values, shift, samples),
		}
	}

	/// Moves each weight by the mean of its sum. There are samples, fewer than 2^31.
	pub fn add_means(self, weights: &mut [i32], sums: &[i64], divisor: &Divisor) {
		match self {
			Self::Portable => sum::add_means(weights, sums, divisor),
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			Self::Vectors(vectors) => vectors.add_means(weights, sums, divisor),
		}
	}

	/// The sum of the squares of at most [`MAX_SQUARES`] increments; none if one of them has a
	/// size of more than 32 bits.
	pub fn squares(self, increments: &[i64]) -> Option<u128> {
		match self {
			Self::Portable => squares(increments),
			#[cfg(all(target_arch = "x86_64", feature = "std"))]
			Self::Vectors(vectors) => vectors.squares(increments),
		}
	}
}

#[inline(always)]
fn squares(increments: &[i64]) -> Option<u128> {
	// Both halves of squares are summed apart, which compilers make vector instructions of.
	let lower = u64::from(u32::MAX);
	let (mut bits, mut low, mut high) = (0u64, 0u64, 0u64);
	for increment in increments {
		let size = increment.unsigned_abs();
		bits |= size;
		let square = (size & lower).wrapping_mul(size & lower);
		low = low.wrapping_add(square & lower);
		high = high.wrapping_add(square >> 32);
	}
	(bits <= lower).then(|| (u128::from(high) << 32) + u128::from(low))
}

fn products(left: &[u8], rows: usize, right: &RightFactor, block: usize, sums: &mut Tile<i32>) {
	let columns = right.columns_of(block);
	// A rank is not zero.
	let rows = left.chunks(right.rank.max(1)).take(rows);
	for (sums, row) in sums.iter_mut().zip(rows) {
		let sums = sums.get_mut(..columns).unwrap_or_default();
		sums.fill(0);
		for (quad, row) in right.quads_of(block).iter().zip(row.chunks(RANKS)) {
			let mut values = [0; RANKS];
			for (value, byte) in values.iter_mut().zip(row) {
				*value = i32::from(*byte as i8);
			}
			for (sum, column) in sums.iter_mut().zip(quad) {
				let products = values.iter().zip(column).map(|(a, b)| a * i32::from(*b));
				*sum += products.sum::<i32>();
			}
		}
	}
}

fn add(sums: &mut [i64], values: &[i32], shift: Shift, samples: i32) {
	for (sum, value) in sums.iter_mut().zip(values) {
		let product = i64::from(shift.of(*value)).wrapping_mul(i64::from(samples));
		*sum = sum.wrapping_add(product);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::delta::{low_rank::MAX_RANK, scale, MAX_INCREMENT};
	use alloc::vec;
	use core::iter::repeat_n;
	use proptest::prelude::*;

	#[cfg(feature = "no-avx512")]
	#[test]
	fn the_feature_leaves_no_loops_in_avx512() {
		assert!(Kernel::all().all(|kernel| kernel.name() != "AVX-512"));
	}

	/// Any bytes, among which the largest and the smallest `i8` are frequent.
	fn bytes(seed: usize, count: usize) -> Vec<u8> {
		let mut state = seed as u32;
		let mut next = || {
			state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
			state >> 16
		};
		let byte = |_| match next() % 4 {
			0 => 0x80,
			1 => 0x7f,
			_ => next() as u8,
		};
		(0..count).map(byte).collect()
	}

	/// Row by row the products of two factors, the left one of which has `rank` columns.
	fn naive(left: &[u8], right: &[u8], rank: usize, cols: usize) -> Vec<Vec<i32>> {
		let value = |byte: u8| i32::from(byte as i8);
		let product = |row: &[u8], col: usize| {
			(0..rank).map(|t| value(row[t]) * value(right[t * cols + col])).sum::<i32>()
		};
		let of_row = |row: &[u8]| (0..cols).map(|col| product(row, col)).collect();
		left.chunks(rank).map(of_row).collect()
	}

	fn agree(left: &[u8], right: &[u8], rank: usize, cols: usize) {
		let expected = naive(left, right, rank, cols);
		let factor = RightFactor::new(right, rank, cols);
		let rows = expected.len();
		// What stands behind the rows makes no difference.
		let mut longer = left.to_vec();
		longer.extend(repeat_n(0x7f, 4 * MAX_RANK));
		for kernel in Kernel::all() {
			for left in [left, longer.as_slice()] {
				let mut found = vec![Vec::new(); rows];
				for block in 0..cols.div_ceil(COLUMNS) {
					let mut sums = [[i32::MIN; COLUMNS]; ROWS];
					kernel.products(left, rows, &factor, block, &mut sums);
					let columns = COLUMNS.min(cols - block * COLUMNS);
					for (found, sums) in found.iter_mut().zip(&sums) {
						found.extend_from_slice(&sums[..columns]);
					}
				}
				assert_eq!(found, expected, "{kernel:?}, rank {rank}, {rows} rows, {cols} columns");
			}
		}
	}

	#[test]
	fn products_are_those_of_a_naive_triple_loop_at_every_rank() {
		for rank in 1..=MAX_RANK {
			for (rows, cols) in [(4, 1), (1, 7), (3, 63), (2, 64), (4, 65), (4, 150)] {
				let left = bytes(rank * 7 + cols, rows * rank);
				agree(&left, &bytes(rank * 11 + rows, rank * cols), rank, cols);
			}
		}
	}

	#[test]
	fn products_of_the_largest_values_are_exact() {
		for rank in [1, 2, 255, MAX_RANK] {
			for (a, b) in [(0x80, 0x80), (0x80, 0x7f), (0x7f, 0x80), (0x7f, 0x7f)] {
				agree(&vec![a; ROWS * rank], &vec![b; rank * 70], rank, 70);
			}
		}
	}

	/// Numbers of so many bits at which rounding may go wrong, and the largest ones.
	fn numbers(bits: u32) -> Vec<i32> {
		let powers = (0..=bits).flat_map(|bit| [1i32 << bit, 3 << bit, 5 << bit]);
		let near = powers.flat_map(|power| [power - 1, power, power + 1]);
		let both = near.flat_map(|number| [number, -number]).chain([0]);
		both.filter(|number| number.abs() <= 1 << bits).collect()
	}

	#[test]
	fn sums_grow_by_samples_times_the_scaled_number() {
		for bits in [7, 22] {
			let numbers = numbers(bits);
			for exp in -256i16..=254 {
				let Some(shift) = Shift::new(exp, bits) else {
					assert!(exp >= 0 && exp + bits as i16 > 30, "{exp}");
					continue;
				};
				for samples in [0, 1, 4_097, i32::MAX] {
					// So long that every kernel has a rest.
					let before: Vec<i64> = (0..numbers.len() as i64).map(|at| at << 40).collect();
					let sums = before.iter().zip(&numbers);
					let expected: Vec<i64> = sums
						.map(|(sum, number)| sum + scale(*number, exp) * i64::from(samples))
						.collect();
					for kernel in Kernel::all() {
						let mut sums = before.clone();
						kernel.add(&mut sums, &numbers, shift, samples);
						assert_eq!(sums, expected, "{kernel:?}, exponent {exp}");
					}
				}
			}
		}
	}

	#[test]
	fn lists_of_any_length_are_summed_to_their_end() {
		let shift = Shift::new(0, 22).unwrap();
		for length in 0..70 {
			let numbers: Vec<i32> = (1..=length).collect();
			let expected: Vec<i64> = numbers.iter().map(|number| 3 * i64::from(*number)).collect();
			for kernel in Kernel::all() {
				let mut sums = vec![0; numbers.len()];
				kernel.add(&mut sums, &numbers, shift, 3);
				assert_eq!(sums, expected, "{kernel:?}");
			}
		}
	}

	proptest! {
		#[test]
		fn squares_are_summed_if_all_sizes_have_32_bits(
			mut increments in prop::collection::vec(
				prop_oneof![-9i64..=9, -MAX_INCREMENT..=MAX_INCREMENT, Just(-MAX_INCREMENT)],
				0..=MAX_SQUARES,
			),
			large in prop_oneof![
				Just(i64::MIN),
				Just(MAX_INCREMENT + 1),
				Just(-MAX_INCREMENT - 1),
				(MAX_INCREMENT + 1..=i64::MAX),
			],
			place in any::<prop::sample::Index>(),
		) {
			let naive = |increments: &[i64]| {
				let sizes = increments.iter().map(|increment| increment.unsigned_abs());
				let fit = sizes.clone().all(|size| size <= MAX_INCREMENT as u64);
				fit.then(|| sizes.map(|size| u128::from(size).pow(2)).sum::<u128>())
			};
			for kernel in Kernel::all() {
				prop_assert_eq!(kernel.squares(&increments), naive(&increments), "{:?}", kernel);
			}
			if !increments.is_empty() {
				let place = place.index(increments.len());
				increments[place] = large;
			}
			for kernel in Kernel::all() {
				prop_assert_eq!(kernel.squares(&increments), naive(&increments), "{:?}", kernel);
				prop_assert_eq!(kernel.squares(&[large]), None, "{:?}", kernel);
			}
		}
	}

	/// The sum divided by the samples, rounded half to even.
	fn naive_mean(sum: i64, samples: i64) -> i64 {
		let (sum, samples) = (i128::from(sum), i128::from(samples));
		let floor = sum.div_euclid(samples);
		let twice = 2 * sum.rem_euclid(samples);
		let up = twice > samples || (twice == samples && floor % 2 != 0);
		(floor + i128::from(up)) as i64
	}

	proptest! {
		#[test]
		fn weights_move_by_means_rounded_half_to_even(
			samples in prop_oneof![1i64..=9, 1i64..1 << 31, (0u32..31).prop_map(|bit| 1i64 << bit)],
			parts in prop::collection::vec(
				(
					any::<i32>(),
					prop_oneof![
						-5i64..=5,
						-MAX_INCREMENT..=MAX_INCREMENT,
						Just(MAX_INCREMENT),
						Just(-MAX_INCREMENT),
					],
					// Beside a whole, or beside a half.
					any::<bool>(),
					-1i64..=1,
				),
				0..40,
			),
		) {
			let most = samples * MAX_INCREMENT;
			let sum = |&(_, whole, half, beside): &(i32, i64, bool, i64)| {
				(whole * samples + if half { samples / 2 } else { 0 } + beside).clamp(-most, most)
			};
			let sums: Vec<i64> = parts.iter().map(sum).collect();
			let weights: Vec<i32> = parts.iter().map(|part| part.0).collect();
			let expected: Vec<i32> = weights
				.iter()
				.zip(&sums)
				.map(|(weight, sum)| {
					let moved = i64::from(*weight) + naive_mean(*sum, samples);
					moved.clamp(i32::MIN.into(), i32::MAX.into()) as i32
				})
				.collect();
			let divisor = Divisor::new([samples as u64].into_iter());
			for kernel in Kernel::all() {
				let mut moved = weights.clone();
				kernel.add_means(&mut moved, &sums, &divisor);
				prop_assert_eq!(&moved, &expected, "{:?}", kernel);
			}
		}
	}
}
