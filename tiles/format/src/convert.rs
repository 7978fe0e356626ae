//! Weights from one element type to another.
//!
//! Nothing here is part of consensus: the chain knows integers only. Every conversion rounds once,
//! to the nearest value that the target has, halves to even:
//!
//! | to | error of a value `x` | refused |
//! |---|---|---|
//! | `i32` with F fraction bits | at most `2^−(F+1)` | what is not finite or leaves `±2^(31−F)` |
//! | `i8` with a scale for each row | at most half of the row's scale; none for values that came as `i8` in such rows | what is not finite |
//! | `f16`, `bf16` | at most half of the distance to the next value | what is not finite or rounds to infinity |
//! | `f32` | as above; none for values that came as `f32` | what is not finite |
//!
//! A *row* is a run along the last dimension. Its scale is the largest magnitude in it, divided by
//! 127, so zero stays zero and both signs reach equally far: value = `q · scale`, as the nearest
//! float. Elements and scales are little-endian. [`rounding`] has the errors of the table.
//!
//! ```
//! use blyan_tiles::{
//!     convert::{Overflow, Values},
//!     primitives::tensor::DType,
//! };
//!
//! let values = Values::Float(vec![0.5, -1.25]);
//! let encoded = values.encode(DType::I32, 24, 2, Overflow::Refuse)?;
//! let fixed = Values::decode(DType::I32, 24, &encoded.elements, &[], 2);
//! assert_eq!(fixed, Values::Fixed { values: vec![1 << 23, -5 << 22], fraction_bits: 24 });
//! assert_eq!(fixed.floats(), [0.5, -1.25]);
//! # Ok::<(), blyan_tiles::convert::Error>(())
//! ```

use blyan_primitives::tensor::{DType, MAX_FRACTION_BITS};
use half::{bf16, f16};

/// The largest `i8` that a weight becomes. −128 is not used, so that both signs reach equally far.
const LARGEST_I8: f64 = 127.0;

/// What becomes of a finite value that is too large for its new type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
	/// It is an error.
	#[default]
	Refuse,
	/// It becomes the largest value of that type, or the smallest.
	Saturate,
}

/// Why a value cannot be converted, and what to do about it.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum Error {
	/// A value is infinite or no number.
	#[error("value {index} is {value}, which is not finite; repair the model that it comes from")]
	NotFinite {
		/// Its place among the values, row-major.
		index: usize,
		/// The value.
		value: f64,
	},
	/// A value leaves the range of the type.
	#[error("value {index} is {value}, but the type ends at {limit}; use another type or fewer fraction bits, or saturate")]
	OutOfRange {
		/// Its place among the values, row-major.
		index: usize,
		/// The value.
		value: f64,
		/// The end of the range that it is beyond.
		limit: f64,
	},
	/// There are not so many bits to the right of the point.
	#[error("{0} fraction bits are too many; use at most 31")]
	FractionBits(u8),
}

/// The values of one tensor, row-major.
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
	/// Value = `q · 2^−fraction_bits`.
	Fixed {
		/// The integers.
		values: Vec<i32>,
		/// Bits to the right of the point, at most 31.
		fraction_bits: u8,
	},
	/// Value = `q · scale` of its row, as the nearest float.
	Small {
		/// The integers.
		values: Vec<i8>,
		/// The scale of each row; a row without one is zero.
		scales: Vec<f32>,
		/// Values of a row; 0 counts as 1.
		row: usize,
	},
	/// Floats as they are.
	Float(Vec<f32>),
}

/// The bytes of one tensor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Encoded {
	/// The elements, row-major.
	pub elements: Vec<u8>,
	/// With `i8` one `f32` for each row, else empty.
	pub scales: Vec<u8>,
}

impl Values {
	/// How many values there are.
	pub fn len(&self) -> usize {
		match self {
			Self::Fixed { values, .. } => values.len(),
			Self::Small { values, .. } => values.len(),
			Self::Float(values) => values.len(),
		}
	}

	/// Whether there are none.
	pub fn is_empty(&self) -> bool {
		self.len() == 0
	}

	/// The value at this place, exactly.
	pub fn get(&self, index: usize) -> Option<f64> {
		match self {
			Self::Fixed { values, fraction_bits } => {
				values.get(index).map(|value| f64::from(*value) / unit(*fraction_bits))
			}
			Self::Small { values, scales, row } => values.get(index).map(|value| {
				let scale = scales.get(index / (*row).max(1)).copied().unwrap_or(0.0);
				f64::from(f32::from(*value) * scale)
			}),
			Self::Float(values) => values.get(index).map(|value| f64::from(*value)),
		}
	}

	/// Calls `take` with each value in order, exactly, until it fails.
	pub fn try_for_each<E>(
		&self,
		mut take: impl FnMut(usize, f64) -> Result<(), E>,
	) -> Result<(), E> {
		match self {
			Self::Fixed { values, fraction_bits } => {
				let unit = unit(*fraction_bits);
				let exact = values.iter().map(|value| f64::from(*value) / unit);
				exact.enumerate().try_for_each(|(index, value)| take(index, value))
			}
			Self::Small { .. } => Self::Float(self.floats()).try_for_each(take),
			Self::Float(values) => {
				let exact = values.iter().map(|value| f64::from(*value));
				exact.enumerate().try_for_each(|(index, value)| take(index, value))
			}
		}
	}

	/// The values as the nearest floats.
	pub fn floats(&self) -> Vec<f32> {
		match self {
			Self::Fixed { values, fraction_bits } => from_fixed(values, *fraction_bits),
			Self::Small { values, scales, row } => from_i8(values, scales, *row),
			Self::Float(values) => values.clone(),
		}
	}

	/// The bytes of these values in another type, or in the same one.
	///
	/// `fraction_bits` counts for `i32` only, `row`, the extent of the last dimension, for `i8` only.
	pub fn encode(
		&self,
		dtype: DType,
		fraction_bits: u8,
		row: usize,
		overflow: Overflow,
	) -> Result<Encoded, Error> {
		let mut elements = Vec::with_capacity(self.len() * dtype.element_bytes() as usize);
		let mut put = |bytes: &[u8]| elements.extend_from_slice(bytes);
		match dtype {
			DType::I8 => return self.encode_i8(row),
			DType::I32 => {
				for value in self.fixed(fraction_bits, overflow)? {
					put(&value.to_le_bytes());
				}
			}
			DType::F16 => self.try_for_each(|index, value| {
				round_f16(index, value, overflow).map(|half| put(&half.to_le_bytes()))
			})?,
			DType::Bf16 => self.try_for_each(|index, value| {
				round_bf16(index, value, overflow).map(|half| put(&half.to_le_bytes()))
			})?,
			// Integers of 32 bits do not leave the range of floats.
			DType::F32 => self.try_for_each(|index, value| {
				finite(index, value).map(|value| put(&(value as f32).to_le_bytes()))
			})?,
		}
		Ok(Encoded { elements, scales: Vec::new() })
	}

	/// The values of an element type's bytes. What does not fill an element at the end is left out.
	///
	/// `scales` and `row` count for `i8` only; a row without a scale is zero.
	pub fn decode(
		dtype: DType,
		fraction_bits: u8,
		elements: &[u8],
		scales: &[u8],
		row: usize,
	) -> Self {
		match dtype {
			DType::I32 => {
				let words = elements.as_chunks::<4>().0.iter();
				let values = words.map(|bytes| i32::from_le_bytes(*bytes)).collect();
				Self::Fixed { values, fraction_bits: fraction_bits.min(MAX_FRACTION_BITS) }
			}
			DType::I8 => {
				let scales = scales.as_chunks::<4>().0.iter();
				let scales = scales.map(|bytes| f32::from_le_bytes(*bytes)).collect();
				let values = bytemuck::cast_slice::<u8, i8>(elements).to_vec();
				Self::Small { values, scales, row: row.max(1) }
			}
			DType::F16 => {
				let halves = elements.as_chunks::<2>().0.iter();
				Self::Float(halves.map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect())
			}
			DType::Bf16 => {
				let halves = elements.as_chunks::<2>().0.iter();
				Self::Float(halves.map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect())
			}
			DType::F32 => {
				let words = elements.as_chunks::<4>().0.iter();
				Self::Float(words.map(|bytes| f32::from_le_bytes(*bytes)).collect())
			}
		}
	}

	/// The values as `i8`. Those that are it already, in rows of this length, stay as they are.
	fn encode_i8(&self, row: usize) -> Result<Encoded, Error> {
		let encoded = |small: &[i8], scales: &[f32]| Encoded {
			elements: bytemuck::cast_slice::<i8, u8>(small).to_vec(),
			scales: scales.iter().flat_map(|scale| scale.to_le_bytes()).collect(),
		};
		let row = row.max(1);
		match self {
			Self::Small { values, scales, row: same }
				if *same == row && scales.len() == values.len().div_ceil(row) =>
			{
				self.try_for_each(|index, value| finite(index, value).map(|_| ()))?;
				Ok(encoded(values, scales))
			}
			_ => {
				let (small, scales) = to_i8(&self.floats(), row)?;
				Ok(encoded(&small, &scales))
			}
		}
	}

	/// The values as integers with so many fraction bits.
	fn fixed(&self, fraction_bits: u8, overflow: Overflow) -> Result<Vec<i32>, Error> {
		if fraction_bits > MAX_FRACTION_BITS {
			return Err(Error::FractionBits(fraction_bits));
		}
		match self {
			Self::Fixed { values, fraction_bits: same } if *same == fraction_bits => {
				Ok(values.clone())
			}
			_ => {
				let unit = unit(fraction_bits);
				let mut fixed = Vec::with_capacity(self.len());
				self.try_for_each(|index, value| {
					round_fixed(index, value, unit, overflow).map(|value| fixed.push(value))
				})?;
				Ok(fixed)
			}
		}
	}
}

/// Floats as integers with so many fraction bits.
pub fn to_fixed(values: &[f32], fraction_bits: u8, overflow: Overflow) -> Result<Vec<i32>, Error> {
	if fraction_bits > MAX_FRACTION_BITS {
		return Err(Error::FractionBits(fraction_bits));
	}
	let unit = unit(fraction_bits);
	let exact = values.iter().map(|value| f64::from(*value)).enumerate();
	exact.map(|(index, value)| round_fixed(index, value, unit, overflow)).collect()
}

/// The nearest floats of integers with so many fraction bits; more than 31 count as 31.
pub fn from_fixed(values: &[i32], fraction_bits: u8) -> Vec<f32> {
	let unit = unit(fraction_bits);
	// One rounding: the division by a power of two is exact.
	values.iter().map(|value| (f64::from(*value) / unit) as f32).collect()
}

/// Floats as binary16.
pub fn to_f16(values: &[f32], overflow: Overflow) -> Result<Vec<f16>, Error> {
	let exact = values.iter().map(|value| f64::from(*value)).enumerate();
	exact.map(|(index, value)| round_f16(index, value, overflow)).collect()
}

/// Floats as the upper halves of binary32.
pub fn to_bf16(values: &[f32], overflow: Overflow) -> Result<Vec<bf16>, Error> {
	let exact = values.iter().map(|value| f64::from(*value)).enumerate();
	exact.map(|(index, value)| round_bf16(index, value, overflow)).collect()
}

/// Floats as `i8`, with the scale of each row of `row` values. A row of zeros has the scale 0.
pub fn to_i8(values: &[f32], row: usize) -> Result<(Vec<i8>, Vec<f32>), Error> {
	let row = row.max(1);
	let mut small = Vec::with_capacity(values.len());
	let mut scales = Vec::with_capacity(values.len().div_ceil(row));
	for (place, values) in values.chunks(row).enumerate() {
		let mut largest = 0f32;
		for (index, value) in (place * row..).zip(values) {
			finite(index, f64::from(*value))?;
			largest = largest.max(value.abs());
		}
		// Below the least normal float a quotient has too few bits to be a scale.
		let mut scale = if largest == 0.0 { 0.0 } else { (largest / 127.0).max(f32::MIN_POSITIVE) };
		if (scale * 127.0).is_infinite() {
			// The quotient was rounded up, and the largest value must not become infinite.
			scale = f32::from_bits(scale.to_bits() - 1);
		}
		scales.push(scale);
		small.extend(values.iter().map(|value| round_i8(*value, scale)));
	}
	Ok((small, scales))
}

/// The floats of `i8` with the scale of each row of `row` values; a row without a scale is zero.
pub fn from_i8(values: &[i8], scales: &[f32], row: usize) -> Vec<f32> {
	let mut floats = Vec::with_capacity(values.len());
	for (place, values) in values.chunks(row.max(1)).enumerate() {
		let scale = scales.get(place).copied().unwrap_or(0.0);
		floats.extend(values.iter().map(|value| f32::from(*value) * scale));
	}
	floats
}

/// The most by which rounding once to an element type moves a value, if it is neither refused nor
/// saturated. `fraction_bits` counts for `i32` only, `largest`, the largest magnitude of the
/// value's row, for `i8` only.
pub fn rounding(dtype: DType, fraction_bits: u8, value: f64, largest: f64) -> f64 {
	// Half of the distance between two floats. Epsilon is that distance for values from 1 on.
	let half_step = |epsilon: f64, least: f64| (value.abs() * epsilon).max(least) / 2.0;
	match dtype {
		DType::I32 => 0.5 / unit(fraction_bits),
		DType::I8 => {
			let scale = (largest / LARGEST_I8).max(f64::from(f32::MIN_POSITIVE));
			// Scales and values are floats: of 127 scales each rounds off 2^−24 at most.
			scale / 2.0 * (1.0 + 2f64.powi(-14))
		}
		DType::F16 => half_step(f16::EPSILON.into(), f16::MIN_POSITIVE_SUBNORMAL.into()),
		DType::Bf16 => half_step(bf16::EPSILON.into(), bf16::MIN_POSITIVE_SUBNORMAL.into()),
		DType::F32 => half_step(f32::EPSILON.into(), f32::from_bits(1).into()),
	}
}

/// Units in one; more than 31 fraction bits count as 31.
fn unit(fraction_bits: u8) -> f64 {
	(1u64 << fraction_bits.min(MAX_FRACTION_BITS)) as f64
}

fn finite(index: usize, value: f64) -> Result<f64, Error> {
	if value.is_finite() {
		Ok(value)
	} else {
		Err(Error::NotFinite { index, value })
	}
}

/// Refuses what does not fit, unless it is to be saturated.
fn check(
	index: usize,
	value: f64,
	fits: bool,
	limit: f64,
	overflow: Overflow,
) -> Result<(), Error> {
	if fits || overflow == Overflow::Saturate {
		Ok(())
	} else {
		Err(Error::OutOfRange { index, value, limit: limit.copysign(value) })
	}
}

fn round_fixed(index: usize, value: f64, unit: f64, overflow: Overflow) -> Result<i32, Error> {
	// Exact: the unit is a power of two, and neither the value nor the product leaves normal f64s.
	let scaled = (finite(index, value)? * unit).round_ties_even();
	let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&scaled);
	check(index, value, fits, 2f64.powi(31) / unit, overflow)?;
	// The cast clamps.
	Ok(scaled as i32)
}

fn round_f16(index: usize, value: f64, overflow: Overflow) -> Result<f16, Error> {
	let rounded = f16::from_f32(odd(finite(index, value)?));
	let fits = rounded.is_finite();
	check(index, value, fits, f64::from(f16::MAX), overflow)?;
	Ok(if fits { rounded } else { f16::MAX.copysign(rounded) })
}

fn round_bf16(index: usize, value: f64, overflow: Overflow) -> Result<bf16, Error> {
	let rounded = bf16::from_f32(odd(finite(index, value)?));
	let fits = rounded.is_finite();
	check(index, value, fits, f64::from(bf16::MAX), overflow)?;
	Ok(if fits { rounded } else { bf16::MAX.copysign(rounded) })
}

fn round_i8(value: f32, scale: f32) -> i8 {
	if scale == 0.0 {
		return 0;
	}
	let quotient = (f64::from(value) / f64::from(scale)).round_ties_even();
	// The scale was rounded, so the quotient may be beyond the end by less than a half.
	quotient.clamp(-LARGEST_I8, LARGEST_I8) as i8
}

/// A float that rounds to the same shorter float as `value` does: of the two beside a value that is
/// no float, the one whose last bit is set. It is never half-way between two shorter ones.
fn odd(value: f64) -> f32 {
	let nearest = value as f32;
	let back = f64::from(nearest);
	let bits = nearest.to_bits();
	if back == value || bits & 1 == 1 {
		nearest
	} else if back.abs() < value.abs() {
		f32::from_bits(bits + 1)
	} else {
		f32::from_bits(bits - 1)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn odd_floats_keep_on_which_side_of_a_half_a_value_lies() {
		// Half-way between two binary16s, and a bit of the integer beyond it.
		let half_way = 1.0 + 2f64.powi(-11);
		let beyond = half_way + 2f64.powi(-30);
		assert_eq!(f16::from_f32(odd(half_way)).to_f64(), 1.0);
		assert_eq!(f16::from_f32(odd(beyond)).to_f64(), 1.0 + 2f64.powi(-10));
		assert_eq!(f16::from_f32(odd(-beyond)).to_f64(), -1.0 - 2f64.powi(-10));
		let before = 1.0 + 3.0 * 2f64.powi(-11) - 2f64.powi(-30);
		assert_eq!(f16::from_f32(odd(before)).to_f64(), 1.0 + 2f64.powi(-10));
		assert_eq!(odd(0.0), 0.0);
		assert_eq!(odd(0.1f32.into()), 0.1);
	}
}
