//! BLAKE2b-256 of eight messages of one length, a lane of a 512-bit register for each.
//!
//! [RFC 7693](https://www.rfc-editor.org/rfc/rfc7693) has the constants and the steps; each vector
//! holds the same word of the eight states or blocks. `blake2b_simd`, which hashes everything else,
//! has four lanes at most.

#![allow(unsafe_code)]

use super::{DIGEST_BYTES, LANES};
use crate::H256;
use core::arch::x86_64::{
	__m512i, _mm512_add_epi64, _mm512_loadu_si512, _mm512_ror_epi64, _mm512_set1_epi64,
	_mm512_shuffle_i64x2, _mm512_storeu_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
	_mm512_xor_si512,
};

const BLOCK_BYTES: usize = 128;
/// Bytes of a register.
const VECTOR_BYTES: usize = 64;
/// Words of a block.
const WORDS: usize = 16;
/// Words of a digest.
const DIGEST_WORDS: usize = DIGEST_BYTES / 8;

const IV: [u64; 8] = [
	0x6a09_e667_f3bc_c908,
	0xbb67_ae85_84ca_a73b,
	0x3c6e_f372_fe94_f82b,
	0xa54f_f53a_5f1d_36f1,
	0x510e_527f_ade6_82d1,
	0x9b05_688c_2b3e_6c1f,
	0x1f83_d9ab_fb41_bd6b,
	0x5be0_cd19_137e_2179,
];

/// Which word of the block each step of a round takes.
const SIGMA: [[usize; WORDS]; 10] = [
	[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
	[14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
	[11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
	[7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
	[9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
	[2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
	[12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
	[13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
	[6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
	[10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// Whether the processor has the instructions, and the feature `no-avx512` does not deny it.
pub fn available() -> bool {
	cfg!(not(feature = "no-avx512")) && std::is_x86_feature_detected!("avx512f")
}

/// The hashes of eight inputs of one length. None if they are another number or of other lengths, or
/// if there is no AVX-512.
pub fn hash_many(inputs: &[&[u8]]) -> Option<[H256; LANES]> {
	let inputs: &[&[u8]; LANES] = inputs.try_into().ok()?;
	let length = inputs[0].len();
	let of_one_length = inputs.iter().all(|input| input.len() == length);
	if !of_one_length || !available() {
		return None;
	}
	// SAFETY: the processor has the instructions.
	Some(unsafe { hash(inputs, length) })
}

/// The hashes of inputs that have `length` bytes each.
#[target_feature(enable = "avx512f")]
fn hash(inputs: &[&[u8]; LANES], length: usize) -> [H256; LANES] {
	let mut state = [_mm512_set1_epi64(0); 8];
	for (word, iv) in state.iter_mut().zip(IV) {
		*word = _mm512_set1_epi64(iv as i64);
	}
	// No key, one lane, and how long the digest is.
	let parameters = 0x0101_0000 ^ DIGEST_BYTES as i64;
	state[0] = _mm512_xor_si512(state[0], _mm512_set1_epi64(parameters));

	// The last block is compressed in another way. It has 1 to 128 bytes, or none of an empty input.
	let whole = length.saturating_sub(1) / BLOCK_BYTES;
	let blocks = inputs.map(|input| input.as_chunks::<BLOCK_BYTES>().0);
	for at in 0..whole {
		let counter = (at + 1) * BLOCK_BYTES;
		compress(&mut state, &words(blocks.map(|blocks| &blocks[at])), counter, false);
	}
	let mut last = [[0; BLOCK_BYTES]; LANES];
	for (block, input) in last.iter_mut().zip(inputs) {
		let rest = &input[whole * BLOCK_BYTES..];
		block[..rest.len()].copy_from_slice(rest);
	}
	compress(&mut state, &words(last.each_ref()), length, true);
	digests(&state)
}

/// The words of eight blocks: the first one of each, the second one of each, and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(blocks: [&[u8; BLOCK_BYTES]; LANES]) -> [__m512i; WORDS] {
	let mut words = [_mm512_set1_epi64(0); WORDS];
	for (half, words) in words.chunks_exact_mut(LANES).enumerate() {
		let mut rows = [_mm512_set1_epi64(0); LANES];
		for (row, block) in rows.iter_mut().zip(blocks) {
			let bytes = &block.as_chunks::<VECTOR_BYTES>().0[half];
			// SAFETY: the reference is to as many bytes as are read, and they may lie anywhere.
			*row = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
		}
		words.copy_from_slice(&transposed(rows));
	}
	words
}

/// Word `j` of row `i` as word `i` of row `j`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; LANES]) -> [__m512i; LANES] {
	// Of the four pairs of words in either vector the first and the third, or the second and the
	// fourth.
	const EVEN: i32 = 0b10_00_10_00;
	const ODD: i32 = 0b11_01_11_01;
	let [a, b, c, d, e, f, g, h] = rows;
	let quarter = |[ab, cd, ef, gh]: [__m512i; 4]| {
		let (first, second) =
			(_mm512_shuffle_i64x2::<EVEN>(ab, cd), _mm512_shuffle_i64x2::<EVEN>(ef, gh));
		let (third, fourth) =
			(_mm512_shuffle_i64x2::<ODD>(ab, cd), _mm512_shuffle_i64x2::<ODD>(ef, gh));
		[
			_mm512_shuffle_i64x2::<EVEN>(first, second),
			_mm512_shuffle_i64x2::<EVEN>(third, fourth),
			_mm512_shuffle_i64x2::<ODD>(first, second),
			_mm512_shuffle_i64x2::<ODD>(third, fourth),
		]
	};
	let [r0, r2, r4, r6] = quarter([
		_mm512_unpacklo_epi64(a, b),
		_mm512_unpacklo_epi64(c, d),
		_mm512_unpacklo_epi64(e, f),
		_mm512_unpacklo_epi64(g, h),
	]);
	let [r1, r3, r5, r7] = quarter([
		_mm512_unpackhi_epi64(a, b),
		_mm512_unpackhi_epi64(c, d),
		_mm512_unpackhi_epi64(e, f),
		_mm512_unpackhi_epi64(g, h),
	]);
	[r0, r1, r2, r3, r4, r5, r6, r7]
}

/// The compression function: `counter` bytes of each input were seen with this block.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress(state: &mut [__m512i; 8], words: &[__m512i; WORDS], counter: usize, last: bool) {
	let mut v = [_mm512_set1_epi64(0); 16];
	v[..8].copy_from_slice(state);
	for (word, iv) in v[8..].iter_mut().zip(IV) {
		*word = _mm512_set1_epi64(iv as i64);
	}
	v[12] = _mm512_xor_si512(v[12], _mm512_set1_epi64(counter as i64));
	v[14] = _mm512_xor_si512(v[14], _mm512_set1_epi64(if last { -1 } else { 0 }));

	// Macros, so that every place is known when this is compiled and `v` stays in registers.
	macro_rules! mix {
		($a:literal, $b:literal, $c:literal, $d:literal, $x:expr, $y:expr) => {
			v[$a] = _mm512_add_epi64(_mm512_add_epi64(v[$a], v[$b]), words[$x]);
			v[$d] = _mm512_ror_epi64::<32>(_mm512_xor_si512(v[$d], v[$a]));
			v[$c] = _mm512_add_epi64(v[$c], v[$d]);
			v[$b] = _mm512_ror_epi64::<24>(_mm512_xor_si512(v[$b], v[$c]));
			v[$a] = _mm512_add_epi64(_mm512_add_epi64(v[$a], v[$b]), words[$y]);
			v[$d] = _mm512_ror_epi64::<16>(_mm512_xor_si512(v[$d], v[$a]));
			v[$c] = _mm512_add_epi64(v[$c], v[$d]);
			v[$b] = _mm512_ror_epi64::<63>(_mm512_xor_si512(v[$b], v[$c]));
		};
	}
	macro_rules! rounds {
		($($round:literal)*) => {$({
			const S: [usize; WORDS] = SIGMA[$round % SIGMA.len()];
			mix!(0, 4, 8, 12, S[0], S[1]);
			mix!(1, 5, 9, 13, S[2], S[3]);
			mix!(2, 6, 10, 14, S[4], S[5]);
			mix!(3, 7, 11, 15, S[6], S[7]);
			mix!(0, 5, 10, 15, S[8], S[9]);
			mix!(1, 6, 11, 12, S[10], S[11]);
			mix!(2, 7, 8, 13, S[12], S[13]);
			mix!(3, 4, 9, 14, S[14], S[15]);
		})*};
	}
	rounds!(0 1 2 3 4 5 6 7 8 9 10 11);

	for (at, word) in state.iter_mut().enumerate() {
		*word = _mm512_xor_si512(*word, _mm512_xor_si512(v[at], v[at + 8]));
	}
}

/// The digest of each lane.
#[target_feature(enable = "avx512f")]
fn digests(state: &[__m512i; 8]) -> [H256; LANES] {
	let mut digests = [H256::zero(); LANES];
	for (at, word) in state[..DIGEST_WORDS].iter().enumerate() {
		let mut lanes = [0u64; LANES];
		// SAFETY: there is room for as many bytes as are written, and it may lie anywhere.
		unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *word) };
		for (digest, lane) in digests.iter_mut().zip(lanes) {
			digest.0[at * 8..][..8].copy_from_slice(&lane.to_le_bytes());
		}
	}
	digests
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::hash::blake2b_256;
	use alloc::vec::Vec;

	#[cfg(feature = "no-avx512")]
	#[test]
	fn the_feature_leaves_four_lanes() {
		assert_eq!(crate::hash::lanes(), LANES / 2);
	}

	/// What is tested elsewhere through [`crate::hash::hash_many`] would be the same without this.
	#[test]
	fn only_eight_inputs_of_one_length_are_hashed_here_and_like_each_alone() {
		let bytes: Vec<u8> = (0..4_096u32).map(|i| ((i * i) >> 3) as u8).collect();
		for length in (0..300).chain([383, 384, 385, 511, 512, 513, 4_000]) {
			let inputs: Vec<&[u8]> = (0..LANES).map(|lane| &bytes[lane * 11..][..length]).collect();
			let each: Vec<H256> = inputs.iter().map(|input| blake2b_256(input)).collect();
			match hash_many(&inputs) {
				Some(hashes) => assert_eq!(hashes.as_slice(), each, "{length}"),
				None => assert!(!available(), "{length}"),
			}
			assert_eq!(hash_many(&inputs[1..]), None);
			let mut longer = inputs.clone();
			longer[5] = &bytes[..length + 1];
			assert_eq!(hash_many(&longer), None);
		}
	}
}
