//! The loops of [`super`] in the vector instructions of x86-64 processors.
//!
//! AVX2 multiplies pairs of 16 bits, so bytes are widened first. AVX-512 with VNNI multiplies four
//! bytes by four and adds them up, but unsigned ones by signed ones. So it takes values of the left
//! factor 128 too large, by flipping their highest bit, and begins each sum with what that is too
//! much: −128 times the values of the column. Sums on the way stay below 2^24.
//!
//! Of each row of a left factor a multiple of four bytes is read. Those behind its end meet rows of
//! the right factor that are zero.

#![allow(unsafe_code)]

use super::{Quad, RightFactor, Shift, Tile, COLUMNS, RANKS, ROWS};
use crate::delta::{
	low_rank::MAX_RANK,
	sum::{self, Divisor},
};
use alloc::vec::Vec;
use core::arch::x86_64::{
	__m128i, __m256i, __m512i, _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256,
	_mm256_andnot_si256, _mm256_blendv_epi8, _mm256_castsi256_si128, _mm256_cmpgt_epi64,
	_mm256_cvtepi32_epi64, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_hadd_epi32,
	_mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_epi32, _mm256_mul_epu32,
	_mm256_permute4x64_epi64, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_set1_epi64x,
	_mm256_setr_epi32, _mm256_setzero_si256, _mm256_sll_epi32, _mm256_sra_epi32, _mm256_srli_epi64,
	_mm256_storeu_si256, _mm256_sub_epi64, _mm256_xor_si256, _mm512_abs_epi64, _mm512_add_epi32,
	_mm512_add_epi64, _mm512_and_si512, _mm512_castsi512_si256, _mm512_cmpge_epi64_mask,
	_mm512_cmpgt_epi64_mask, _mm512_cmplt_epi64_mask, _mm512_cvtepi32_epi64,
	_mm512_cvtsepi64_epi32, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_loadu_si512,
	_mm512_mask_add_epi64, _mm512_mask_sub_epi64, _mm512_mul_epi32, _mm512_mul_epu32,
	_mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sll_epi32,
	_mm512_sra_epi32, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi64, _mm512_xor_si512,
	_mm_cvtepi8_epi16, _mm_cvtsi128_si64, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_storeu_si128,
};

/// The most ranks by fours.
const QUADS: usize = MAX_RANK.div_ceil(RANKS);

/// The most bytes that are read of rows of a left factor.
const MOST_READ: usize = ROWS * MAX_RANK;

// Whole quads are read, also of the last row.
const _: () = assert!(QUADS * RANKS == MAX_RANK);

/// Instructions that the processor was found to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
	Avx2,
	Avx512,
}

impl Vectors {
	/// All that the processor has, the fastest first. With the feature `no-avx512` that is not among
	/// them.
	pub fn found() -> impl Iterator<Item = Self> {
		let avx2 = std::is_x86_feature_detected!("avx2");
		let avx512 = avx2
			&& cfg!(not(feature = "no-avx512"))
			&& std::is_x86_feature_detected!("avx512f")
			&& std::is_x86_feature_detected!("avx512dq")
			&& std::is_x86_feature_detected!("avx512vnni");
		let sets = [(avx512, Set::Avx512), (avx2, Set::Avx2)];
		sets.into_iter().filter_map(|(found, set)| found.then_some(Self(set)))
	}

	/// See [`super::Kernel::name`].
	pub fn name(self) -> &'static str {
		match self.0 {
			Set::Avx512 => "AVX-512",
			Set::Avx2 => "AVX2",
		}
	}

	/// See [`super::Kernel::products`].
	pub fn products(
		self,
		left: &[u8],
		rows: usize,
		right: &RightFactor,
		block: usize,
		sums: &mut Tile<i32>,
	) {
		let (quads, columns) = (right.quads_of(block), right.columns_of(block));
		let Some(starts) = right.starts.get(block) else { return };
		let rows = rows.clamp(1, ROWS);
		let read = (rows - 1) * right.rank + quads.len() * RANKS;
		let padded;
		let left = match left.get(..read) {
			Some(left) => left,
			// The last rows of a leaf.
			None => {
				padded = pad(left);
				&padded[..]
			}
		};
		let factors = Factors { left, rank: right.rank, columns, starts, quads };
		// SAFETY: the processor has the instructions.
		unsafe {
			match (self.0, rows) {
				(Set::Avx512, 1) => products_512::<1>(&factors, sums),
				(Set::Avx512, 2) => products_512::<2>(&factors, sums),
				(Set::Avx512, 3) => products_512::<3>(&factors, sums),
				(Set::Avx512, _) => products_512::<ROWS>(&factors, sums),
				(Set::Avx2, 1) => products_256::<1>(&factors, sums),
				(Set::Avx2, 2) => products_256::<2>(&factors, sums),
				(Set::Avx2, 3) => products_256::<3>(&factors, sums),
				(Set::Avx2, _) => products_256::<ROWS>(&factors, sums),
			}
		}
	}

	/// See [`super::Kernel::add`].
	pub fn add(self, sums: &mut [i64], values: &[i32], shift: Shift, samples: i32) {
		// SAFETY: the processor has the instructions.
		unsafe {
			match self.0 {
				Set::Avx512 => add_512(sums, values, shift, samples),
				Set::Avx2 => add_256(sums, values, shift, samples),
			}
		}
	}

	/// See [`super::Kernel::add_means`].
	pub fn add_means(self, weights: &mut [i32], sums: &[i64], divisor: &Divisor) {
		// SAFETY: the processor has the instructions.
		unsafe {
			match self.0 {
				Set::Avx512 => add_means_512(weights, sums, divisor),
				Set::Avx2 => add_means_256(weights, sums, divisor),
			}
		}
	}

	/// See [`super::Kernel::squares`].
	pub fn squares(self, increments: &[i64]) -> Option<u128> {
		// SAFETY: the processor has AVX2, without which `found` gives neither set.
		unsafe { squares_256(increments) }
	}
}

/// What [`super::squares`] is compiled to with vectors of 256 bits.
#[target_feature(enable = "avx2")]
fn squares_256(increments: &[i64]) -> Option<u128> {
	super::squares(increments)
}

/// For each column of a right factor, block by block, −128 times the sum of its values.
pub fn starts(quads: &[Quad], depth: usize) -> Vec<[i32; COLUMNS]> {
	let of_block = |quads: &[Quad]| {
		let mut starts = [0; COLUMNS];
		for quad in quads {
			for (start, column) in starts.iter_mut().zip(quad) {
				*start -= 128 * column.iter().map(|value| i32::from(*value)).sum::<i32>();
			}
		}
		starts
	};
	// A factor has at least one row.
	quads.chunks(depth.max(1)).map(of_block).collect()
}

/// What is multiplied.
struct Factors<'a> {
	/// Values of the rows of the left factor, and as many behind them as are read.
	left: &'a [u8],
	rank: usize,
	/// Columns of the block.
	columns: usize,
	starts: &'a [i32; COLUMNS],
	quads: &'a [Quad],
}

impl Factors<'_> {
	/// The rows of the left factor, cut into quads. Each has at least as many as the right one.
	fn rows<const R: usize>(&self) -> [&[[u8; RANKS]]; R] {
		let mut rows: [&[[u8; RANKS]]; R] = [&[]; R];
		for (number, row) in rows.iter_mut().enumerate() {
			*row = self.left[number * self.rank..].as_chunks().0;
		}
		rows
	}
}

fn pad(left: &[u8]) -> [u8; MOST_READ] {
	let mut padded = [0; MOST_READ];
	for (to, from) in padded.iter_mut().zip(left) {
		*to = *from;
	}
	padded
}

/// Integers, of which every pattern of bits is one.
trait Integer: Copy {}

impl Integer for i8 {}
impl Integer for i32 {}
impl Integer for i64 {}

// ---- AVX-512 --------------------------------------------------------------------------------

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512<T: Integer, const N: usize>(values: &[T; N]) -> __m512i {
	const { assert!(size_of::<[T; N]>() == size_of::<__m512i>()) };
	// SAFETY: the reference is to as many bytes as are read, and they may lie anywhere.
	unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_512<T: Integer, const N: usize>(values: &mut [T; N], vector: __m512i) {
	const { assert!(size_of::<[T; N]>() == size_of::<__m512i>()) };
	// SAFETY: there is room for as many bytes as are written, and it may lie anywhere.
	unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) };
}

/// Four bytes or an `i32` of each column of a block.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_block<T: Integer, const N: usize>(values: &[T]) -> [__m512i; 4] {
	let mut vectors = [_mm512_setzero_si512(); 4];
	for (vector, values) in vectors.iter_mut().zip(values.as_chunks::<N>().0) {
		*vector = load_512(values);
	}
	vectors
}

#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn products_512<const R: usize>(factors: &Factors<'_>, sums: &mut Tile<i32>) {
	let rows = factors.rows::<R>();
	let flip = _mm512_set1_epi8(i8::MIN);
	let mut totals = [load_block::<i32, 16>(factors.starts); R];
	for (at, quad) in factors.quads.iter().enumerate() {
		let columns = load_block::<i8, 64>(quad.as_flattened());
		for (row, totals) in rows.iter().zip(&mut totals) {
			let left = _mm512_set1_epi32(i32::from_le_bytes(row[at]));
			let left = _mm512_xor_si512(left, flip);
			for (total, right) in totals.iter_mut().zip(&columns) {
				*total = _mm512_dpbusd_epi32(*total, left, *right);
			}
		}
	}
	for (sums, totals) in sums.iter_mut().zip(&totals) {
		for (sums, total) in sums.as_chunks_mut::<16>().0.iter_mut().zip(totals) {
			store_512(sums, *total);
		}
	}
}

#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn add_512(sums: &mut [i64], values: &[i32], shift: Shift, samples: i32) {
	let left = _mm_cvtsi32_si128(shift.left as i32);
	let right = _mm_cvtsi32_si128(shift.right as i32);
	let (bias, mask) = (_mm512_set1_epi32(shift.bias), _mm512_set1_epi32(shift.odd));
	let times = _mm512_set1_epi64(i64::from(samples));
	let (sums, last_sums) = sums.as_chunks_mut::<16>();
	let (values, last_values) = values.as_chunks::<16>();
	for (sums, values) in sums.iter_mut().zip(values) {
		// As `Shift::of` has it.
		let number = _mm512_sll_epi32(load_512(values), left);
		let odd = _mm512_and_si512(_mm512_sra_epi32(number, right), mask);
		let biased = _mm512_add_epi32(_mm512_add_epi32(number, bias), odd);
		let increments = _mm512_sra_epi32(biased, right);
		let low = _mm512_castsi512_si256(increments);
		let high = _mm512_extracti64x4_epi64::<1>(increments);
		for (sums, half) in sums.as_chunks_mut::<8>().0.iter_mut().zip(&[low, high]) {
			let product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(*half), times);
			let sum = _mm512_add_epi64(load_512(sums), product);
			store_512(sums, sum);
		}
	}
	super::add(last_sums, last_values, shift, samples);
}

#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn add_means_512(weights: &mut [i32], sums: &[i64], divisor: &Divisor) {
	// Below 2^31.
	let samples = _mm512_set1_epi64(divisor.samples as i64);
	let reciprocal = _mm512_set1_epi64(divisor.reciprocal as i64);
	let (weights, last_weights) = weights.as_chunks_mut::<8>();
	let (sums, last_sums) = sums.as_chunks::<8>();
	for (weights, sums) in weights.iter_mut().zip(sums) {
		let mean = mean_512(load_512(sums), samples, reciprocal);
		let moved = _mm512_add_epi64(_mm512_cvtepi32_epi64(load_256(weights)), mean);
		// What is no i32 becomes the nearest one that is.
		store_256(weights, _mm512_cvtsepi64_epi32(moved));
	}
	sum::add_means(last_weights, last_sums, divisor);
}

/// The steps of `mean` of an `i64`, see [`sum::Sum`].
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn mean_512(sum: __m512i, samples: __m512i, reciprocal: __m512i) -> __m512i {
	let (zero, one) = (_mm512_setzero_si512(), _mm512_set1_epi64(1));
	let size = _mm512_abs_epi64(sum);
	let estimate = high_half_512(size, reciprocal);
	// A mean is below 2^32, as an increment is, and so is what it is estimated at.
	let rest = _mm512_sub_epi64(size, _mm512_mul_epu32(estimate, samples));
	let whole = _mm512_cmpge_epi64_mask(rest, samples);
	let quotient = _mm512_mask_add_epi64(estimate, whole, estimate, one);
	let rest = _mm512_mask_sub_epi64(rest, whole, rest, samples);
	// Half of the samples moves an odd quotient up, and an even one not.
	let twice = _mm512_add_epi64(_mm512_add_epi64(rest, rest), _mm512_and_si512(quotient, one));
	let up = _mm512_cmpgt_epi64_mask(twice, samples);
	let mean = _mm512_mask_add_epi64(quotient, up, quotient, one);
	_mm512_mask_sub_epi64(mean, _mm512_cmplt_epi64_mask(sum, zero), zero, mean)
}

/// The upper 64 bits of products of unsigned 64 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vnni")]
fn high_half_512(a: __m512i, b: __m512i) -> __m512i {
	let lower = _mm512_set1_epi64(u32::MAX.into());
	let (a_high, b_high) = (_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
	// Neither of these sums carries: (2^32 − 1)^2 + 2^32 − 1 is below 2^64.
	let low = _mm512_srli_epi64::<32>(_mm512_mul_epu32(a, b));
	let first = _mm512_add_epi64(_mm512_mul_epu32(a, b_high), low);
	let first_low = _mm512_and_si512(first, lower);
	let second = _mm512_add_epi64(_mm512_mul_epu32(a_high, b), first_low);
	let carried = _mm512_add_epi64(_mm512_srli_epi64::<32>(first), _mm512_srli_epi64::<32>(second));
	_mm512_add_epi64(_mm512_mul_epu32(a_high, b_high), carried)
}

// ---- AVX2 -----------------------------------------------------------------------------------

#[inline]
#[target_feature(enable = "avx2")]
fn load_256<T: Integer, const N: usize>(values: &[T; N]) -> __m256i {
	const { assert!(size_of::<[T; N]>() == size_of::<__m256i>()) };
	// SAFETY: the reference is to as many bytes as are read, and they may lie anywhere.
	unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256<T: Integer, const N: usize>(values: &mut [T; N], vector: __m256i) {
	const { assert!(size_of::<[T; N]>() == size_of::<__m256i>()) };
	// SAFETY: there is room for as many bytes as are written, and it may lie anywhere.
	unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) };
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_128<T: Integer, const N: usize>(values: &[T; N]) -> __m128i {
	const { assert!(size_of::<[T; N]>() == size_of::<__m128i>()) };
	// SAFETY: the reference is to as many bytes as are read, and they may lie anywhere.
	unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_128<T: Integer, const N: usize>(values: &mut [T; N], vector: __m128i) {
	const { assert!(size_of::<[T; N]>() == size_of::<__m128i>()) };
	// SAFETY: there is room for as many bytes as are written, and it may lie anywhere.
	unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), vector) };
}

#[target_feature(enable = "avx2")]
fn products_256<const R: usize>(factors: &Factors<'_>, sums: &mut Tile<i32>) {
	let quads = factors.quads;
	assert!(quads.len() <= QUADS, "a rank is at most MAX_RANK");
	// Values of the left factor are widened once for all columns.
	let mut rows = [[0i64; QUADS]; R];
	for (row, bytes) in rows.iter_mut().zip(factors.rows::<R>()) {
		for (quad, bytes) in row.iter_mut().zip(bytes.iter().take(quads.len())) {
			let bytes = _mm_cvtsi32_si128(i32::from_le_bytes(*bytes));
			*quad = _mm_cvtsi128_si64(_mm_cvtepi8_epi16(bytes));
		}
	}
	// Eight columns at a time, four in each register, and of each column the sums of two pairs.
	for group in 0..factors.columns.div_ceil(8) {
		let mut totals = [[_mm256_setzero_si256(); 2]; R];
		for (at, quad) in quads.iter().enumerate() {
			let fours = quad.as_flattened().as_chunks::<16>().0;
			let columns = [
				_mm256_cvtepi8_epi16(load_128(&fours[2 * group])),
				_mm256_cvtepi8_epi16(load_128(&fours[2 * group + 1])),
			];
			for (row, totals) in rows.iter().zip(&mut totals) {
				let left = _mm256_set1_epi64x(row[at]);
				for (total, right) in totals.iter_mut().zip(&columns) {
					*total = _mm256_add_epi32(*total, _mm256_madd_epi16(left, *right));
				}
			}
		}
		for (sums, [low, high]) in sums.iter_mut().zip(&totals) {
			// Columns 0 1 4 5 2 3 6 7, since each half of a register is by itself.
			let mixed = _mm256_hadd_epi32(*low, *high);
			let total = _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed);
			store_256(&mut sums.as_chunks_mut::<8>().0[group], total);
		}
	}
}

#[target_feature(enable = "avx2")]
fn add_256(sums: &mut [i64], values: &[i32], shift: Shift, samples: i32) {
	let left = _mm_cvtsi32_si128(shift.left as i32);
	let right = _mm_cvtsi32_si128(shift.right as i32);
	let (bias, mask) = (_mm256_set1_epi32(shift.bias), _mm256_set1_epi32(shift.odd));
	let times = _mm256_set1_epi64x(i64::from(samples));
	let (sums, last_sums) = sums.as_chunks_mut::<8>();
	let (values, last_values) = values.as_chunks::<8>();
	for (sums, values) in sums.iter_mut().zip(values) {
		// As `Shift::of` has it.
		let number = _mm256_sll_epi32(load_256(values), left);
		let odd = _mm256_and_si256(_mm256_sra_epi32(number, right), mask);
		let biased = _mm256_add_epi32(_mm256_add_epi32(number, bias), odd);
		let increments = _mm256_sra_epi32(biased, right);
		let low = _mm256_castsi256_si128(increments);
		let high = _mm256_extracti128_si256::<1>(increments);
		for (sums, half) in sums.as_chunks_mut::<4>().0.iter_mut().zip(&[low, high]) {
			let product = _mm256_mul_epi32(_mm256_cvtepi32_epi64(*half), times);
			let sum = _mm256_add_epi64(load_256(sums), product);
			store_256(sums, sum);
		}
	}
	super::add(last_sums, last_values, shift, samples);
}

#[target_feature(enable = "avx2")]
fn add_means_256(weights: &mut [i32], sums: &[i64], divisor: &Divisor) {
	// Below 2^31.
	let samples = _mm256_set1_epi64x(divisor.samples as i64);
	let reciprocal = _mm256_set1_epi64x(divisor.reciprocal as i64);
	let most = _mm256_set1_epi64x(i32::MAX.into());
	let least = _mm256_set1_epi64x(i32::MIN.into());
	let lower_halves = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
	let (weights, last_weights) = weights.as_chunks_mut::<4>();
	let (sums, last_sums) = sums.as_chunks::<4>();
	for (weights, sums) in weights.iter_mut().zip(sums) {
		let mean = mean_256(load_256(sums), samples, reciprocal);
		let moved = _mm256_add_epi64(_mm256_cvtepi32_epi64(load_128(weights)), mean);
		// What is no i32 becomes the nearest one that is.
		let moved = _mm256_blendv_epi8(moved, most, _mm256_cmpgt_epi64(moved, most));
		let moved = _mm256_blendv_epi8(moved, least, _mm256_cmpgt_epi64(least, moved));
		let moved = _mm256_permutevar8x32_epi32(moved, lower_halves);
		store_128(weights, _mm256_castsi256_si128(moved));
	}
	sum::add_means(last_weights, last_sums, divisor);
}

/// The steps of `mean` of an `i64`, see [`sum::Sum`]. A comparison gives -1 where it holds.
#[inline]
#[target_feature(enable = "avx2")]
fn mean_256(sum: __m256i, samples: __m256i, reciprocal: __m256i) -> __m256i {
	let (zero, one) = (_mm256_setzero_si256(), _mm256_set1_epi64x(1));
	let negative = _mm256_cmpgt_epi64(zero, sum);
	let size = negated_256(sum, negative);
	let estimate = high_half_256(size, reciprocal);
	// A mean is below 2^32, as an increment is, and so is what it is estimated at.
	let rest = _mm256_sub_epi64(size, _mm256_mul_epu32(estimate, samples));
	let part = _mm256_cmpgt_epi64(samples, rest);
	let quotient = _mm256_add_epi64(_mm256_add_epi64(estimate, one), part);
	let rest = _mm256_sub_epi64(rest, _mm256_andnot_si256(part, samples));
	// Half of the samples moves an odd quotient up, and an even one not.
	let twice = _mm256_add_epi64(_mm256_add_epi64(rest, rest), _mm256_and_si256(quotient, one));
	let up = _mm256_cmpgt_epi64(twice, samples);
	negated_256(_mm256_sub_epi64(quotient, up), negative)
}

/// Numbers of 64 bits, negated where all bits of the mask are set and none where no bit is.
#[inline]
#[target_feature(enable = "avx2")]
fn negated_256(numbers: __m256i, mask: __m256i) -> __m256i {
	_mm256_sub_epi64(_mm256_xor_si256(numbers, mask), mask)
}

/// The upper 64 bits of products of unsigned 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn high_half_256(a: __m256i, b: __m256i) -> __m256i {
	let lower = _mm256_set1_epi64x(u32::MAX.into());
	let (a_high, b_high) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
	// As `high_half_512` has it.
	let low = _mm256_srli_epi64::<32>(_mm256_mul_epu32(a, b));
	let first = _mm256_add_epi64(_mm256_mul_epu32(a, b_high), low);
	let first_low = _mm256_and_si256(first, lower);
	let second = _mm256_add_epi64(_mm256_mul_epu32(a_high, b), first_low);
	let carried = _mm256_add_epi64(_mm256_srli_epi64::<32>(first), _mm256_srli_epi64::<32>(second));
	_mm256_add_epi64(_mm256_mul_epu32(a_high, b_high), carried)
}
