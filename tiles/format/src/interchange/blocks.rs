//! The quantised blocks of GGML, as llama.cpp defines them.
//!
//! A block's numbers are little-endian, `d` and `m` binary16:
//!
//! | type | values | bytes | layout | value |
//! |---|---|---|---|---|
//! | `Q4_0` | 32 | 18 | `d`, 16 bytes of two 4-bit `q` | `d · (q − 8)` |
//! | `Q4_1` | 32 | 20 | `d`, `m`, 16 bytes of two 4-bit `q` | `d · q + m` |
//! | `Q8_0` | 32 | 34 | `d`, 32 `i8` `q` | `d · q` |
//! | `Q6_K` | 256 | 210 | 128 bytes of low bits, 64 of high bits, 16 `i8` scales `s`, `d` | `d · s · (q − 32)` |
//!
//! The low nibbles of the 4-bit types are the first 16 values, the high ones the others. Of `Q6_K`
//! each half has 128 values in four runs of 32: low bits of runs 0 and 1 in the low nibbles of 32
//! bytes each, of runs 2 and 3 in the high ones; the two high bits of a value of run `r` are bits
//! `2r` of one of 32 bytes; a scale counts for 16 values.

use half::f16;

/// Values of a block of the simple types.
pub(super) const SHORT_VALUES: usize = 32;
/// Values of a block of `Q6_K`.
pub(super) const LONG_VALUES: usize = 256;
pub(super) const Q4_0_BYTES: usize = 18;
pub(super) const Q4_1_BYTES: usize = 20;
pub(super) const Q8_0_BYTES: usize = 34;
pub(super) const Q6_K_BYTES: usize = 210;

/// Values of a run of `Q6_K`.
const RUN: usize = 32;

/// The float of two bytes.
fn half(low: u8, high: u8) -> f32 {
	f16::from_le_bytes([low, high]).to_f32()
}

/// Appends the values of blocks of `Q4_0`.
pub(super) fn q4_0(bytes: &[u8], values: &mut Vec<f32>) {
	for [low, high, nibbles @ ..] in bytes.as_chunks::<Q4_0_BYTES>().0 {
		let scale = half(*low, *high);
		let value = |nibble: u8| scale * (f32::from(nibble) - 8.0);
		values.extend(nibbles.iter().map(|byte| value(byte & 15)));
		values.extend(nibbles.iter().map(|byte| value(byte >> 4)));
	}
}

/// Appends the values of blocks of `Q4_1`.
pub(super) fn q4_1(bytes: &[u8], values: &mut Vec<f32>) {
	for [low, high, least_low, least_high, nibbles @ ..] in bytes.as_chunks::<Q4_1_BYTES>().0 {
		let (scale, least) = (half(*low, *high), half(*least_low, *least_high));
		let value = |nibble: u8| scale * f32::from(nibble) + least;
		values.extend(nibbles.iter().map(|byte| value(byte & 15)));
		values.extend(nibbles.iter().map(|byte| value(byte >> 4)));
	}
}

/// Appends the values of blocks of `Q8_0`.
pub(super) fn q8_0(bytes: &[u8], values: &mut Vec<f32>) {
	for [low, high, small @ ..] in bytes.as_chunks::<Q8_0_BYTES>().0 {
		let scale = half(*low, *high);
		values.extend(small.iter().map(|byte| scale * f32::from(*byte as i8)));
	}
}

/// Appends the values of blocks of `Q6_K`.
pub(super) fn q6_k(bytes: &[u8], values: &mut Vec<f32>) {
	for block in bytes.as_chunks::<Q6_K_BYTES>().0 {
		let (low, rest) = block.split_at(LONG_VALUES / 2);
		let (high, rest) = rest.split_at(LONG_VALUES / 4);
		let (scales, scale) = rest.split_at(LONG_VALUES / 16);
		let scale = half(scale[0], scale[1]);
		for index in 0..LONG_VALUES {
			let (part, within) = (index / 128, index % 128);
			let (run, place) = (within / RUN, within % RUN);
			let byte = low[part * 64 + run % 2 * RUN + place];
			let nibble = if run < 2 { byte & 15 } else { byte >> 4 };
			let upper = (high[part * RUN + place] >> (2 * run)) & 3;
			let quantum = f32::from((upper << 4) | nibble) - 32.0;
			let small = f32::from(scales[index / 16] as i8);
			values.push(scale * small * quantum);
		}
	}
}
