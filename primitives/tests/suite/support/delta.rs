//! The delta codec once more, naively: one bit after the other, whole increments, and an encoder
//! that tries everything.

use crate::support::chunks::Owned;
use blyan_primitives::delta::{Error, ErrorKind, CHUNK, LEAF_WEIGHTS, MAX_INCREMENT, MAX_SPARSE};
use std::cmp::{Ordering, Reverse};

/// What a decoder must say.
pub fn naive_decode(bytes: &[u8], weights: usize) -> Result<Vec<Owned>, Error> {
	if weights == 0 || weights > LEAF_WEIGHTS {
		return refuse(0, ErrorKind::Weights(weights));
	}
	let mut at = 0;
	let mut chunks = Vec::new();
	for first in (0..weights).step_by(CHUNK) {
		let weights = CHUNK.min(weights - first);
		chunks.push(match take(bytes, &mut at, 1)?[0] {
			0 => Owned::Unchanged,
			1 => naive_sparse(bytes, &mut at, weights)?,
			2 => naive_dense(bytes, &mut at, weights)?,
			kind => return refuse(at - 1, ErrorKind::UnknownKind(kind)),
		});
	}
	match bytes.len() - at {
		0 => Ok(chunks),
		more => refuse(at, ErrorKind::Trailing(more)),
	}
}

fn refuse<T>(offset: usize, kind: ErrorKind) -> Result<T, Error> {
	Err(Error { offset, kind })
}

fn take<'a>(bytes: &'a [u8], at: &mut usize, count: usize) -> Result<&'a [u8], Error> {
	let there = bytes.len() - *at;
	if there < count {
		return refuse(bytes.len(), ErrorKind::Truncated(count - there));
	}
	*at += count;
	Ok(&bytes[*at - count..*at])
}

/// Field `number` of a block of fields of `width` bits.
fn field(block: &[u8], number: usize, width: usize) -> u32 {
	let bit = |at: usize| u32::from((block[at / 8] >> (at % 8)) & 1);
	(0..width).map(|place| bit(number * width + place) << place).sum()
}

/// Refuses bits behind `fields` fields of `width` bits that are not zero.
fn naive_padding(block: &[u8], fields: usize, width: usize, end: usize) -> Result<(), Error> {
	let mut rest = fields * width..block.len() * 8;
	if rest.any(|bit| field(block, bit, 1) != 0) {
		return refuse(end - 1, ErrorKind::Padding);
	}
	Ok(())
}

fn naive_sparse(bytes: &[u8], at: &mut usize, weights: usize) -> Result<Owned, Error> {
	let start = *at;
	let count = take(bytes, at, 2)?;
	let count = u16::from_le_bytes([count[0], count[1]]);
	let kept = usize::from(count);
	if kept == 0 || kept > MAX_SPARSE || kept > weights {
		return refuse(start, ErrorKind::Count(count));
	}
	let exp = take(bytes, at, 1)?[0] as i8;
	let bits = take(bytes, at, 1)?[0];
	if ![2, 4, 8].contains(&bits) {
		return refuse(*at - 1, ErrorKind::Bits(bits));
	}
	let width = usize::from(bits);
	let index_start = *at;
	let index_block = take(bytes, at, (kept * 12).div_ceil(8))?;
	let value_start = *at;
	let value_block = take(bytes, at, (kept * width).div_ceil(8))?;

	let mut indices: Vec<u16> = Vec::new();
	for number in 0..kept {
		let index = field(index_block, number, 12) as u16;
		let offset = index_start + number * 12 / 8;
		if indices.last().is_some_and(|before| *before >= index) {
			return refuse(offset, ErrorKind::IndexOrder(index));
		}
		if usize::from(index) >= weights {
			return refuse(offset, ErrorKind::IndexRange(index));
		}
		indices.push(index);
	}
	naive_padding(index_block, kept, 12, value_start)?;
	let mut values = Vec::new();
	for number in 0..kept {
		let code = field(value_block, number, width) as i32;
		let value = match (bits, code) {
			(2, _) => [-2, -1, 1, 2][code as usize],
			(_, _) if code >= 1 << (bits - 1) => code - (1 << bits),
			_ => code,
		};
		if value == 0 {
			return refuse(value_start + number * width / 8, ErrorKind::ZeroValue);
		}
		values.push(value as i8);
	}
	naive_padding(value_block, kept, width, *at)?;
	Ok(Owned::Sparse { exp, bits, indices, values })
}

fn naive_dense(bytes: &[u8], at: &mut usize, weights: usize) -> Result<Owned, Error> {
	let exp = take(bytes, at, 1)?[0] as i8;
	let start = *at;
	let values: Vec<i8> = take(bytes, at, weights)?.iter().map(|byte| *byte as i8).collect();
	if values.iter().all(|value| *value == 0) {
		return refuse(start, ErrorKind::ZeroChunk);
	}
	Ok(Owned::Dense { exp, values })
}

/// Looks at both neighbours, takes the nearer one, and of two equally near ones the even one.
pub fn naive_divide(numerator: i128, denominator: i128) -> i128 {
	let below = numerator.div_euclid(denominator);
	let above = below + 1;
	let to_below = numerator - below * denominator;
	let to_above = above * denominator - numerator;
	match to_below.cmp(&to_above) {
		Ordering::Less => below,
		Ordering::Greater => above,
		Ordering::Equal if below % 2 == 0 => below,
		Ordering::Equal => above,
	}
}

pub fn naive_clamp(value: i128) -> i64 {
	value.clamp(-i128::from(MAX_INCREMENT), i128::from(MAX_INCREMENT)) as i64
}

pub fn naive_scale(value: i32, exp: i16) -> i64 {
	let value = i128::from(value);
	naive_clamp(if exp >= 0 {
		value * 2i128.pow(u32::from(exp.unsigned_abs().min(64)))
	} else {
		naive_divide(value, 2i128.pow(u32::from(exp.unsigned_abs().min(100))))
	})
}

/// The increment of each weight of a leaf of `weights` weights.
pub fn naive_increments(chunks: &[Owned], weights: usize) -> Vec<i64> {
	let mut increments = vec![0; weights];
	for (chunk, increments) in chunks.iter().zip(increments.chunks_mut(CHUNK)) {
		let listed: Vec<(usize, i8, i8)> = match chunk {
			Owned::Unchanged => Vec::new(),
			Owned::Sparse { exp, indices, values, .. } => {
				let pairs = indices.iter().zip(values);
				pairs.map(|(index, value)| (usize::from(*index), *value, *exp)).collect()
			}
			Owned::Dense { exp, values } => {
				values.iter().enumerate().map(|(index, value)| (index, *value, *exp)).collect()
			}
		};
		for (index, value, exp) in listed {
			increments[index] = naive_scale(i32::from(value), i16::from(exp));
		}
	}
	increments
}

pub fn naive_merge(updates: &[(u64, Vec<i64>)]) -> Vec<i64> {
	let samples: i128 = updates.iter().map(|(samples, _)| i128::from(*samples)).sum();
	let weights = updates.iter().map(|(_, increments)| increments.len()).max().unwrap_or(0);
	let mean = |weight: usize| {
		let sum: i128 = updates
			.iter()
			.map(|(samples, increments)| {
				let increment = increments.get(weight).copied().unwrap_or(0);
				i128::from(*samples) * i128::from(naive_clamp(i128::from(increment)))
			})
			.sum();
		if samples == 0 {
			0
		} else {
			naive_divide(sum, samples) as i64
		}
	};
	(0..weights).map(mean).collect()
}

/// The sum of the squared distances of increments, which are clamped first, from what was decoded.
pub fn squared_error(increments: &[i64], decoded: &[i64]) -> u128 {
	let distance = |(increment, decoded): (&i64, &i64)| {
		i128::from(naive_clamp(i128::from(*increment))) - i128::from(*decoded)
	};
	increments.iter().zip(decoded).map(distance).map(|d| d.unsigned_abs().pow(2)).sum()
}

/// The least squared error of a chunk that takes at most `budget` bytes: of all widths and
/// exponents, each with as many of the largest increments as there is room for.
pub fn least_error(increments: &[i64], budget: usize) -> u128 {
	let mut order: Vec<usize> = (0..increments.len()).collect();
	order.sort_by_key(|at| (Reverse(increments[*at].unsigned_abs()), *at));
	let unchanged = vec![0; increments.len()];
	let mut least = squared_error(increments, &unchanged);
	for (bits, low, high) in [(2, -2, 2), (4, -8, 7), (8, -128, 127), (0, -128, 127)] {
		let kept = match bits {
			0 if 2 + increments.len() <= budget => increments.len(),
			0 => 0,
			_ => {
				let bytes = |kept: usize| 5 + (kept * 12).div_ceil(8) + (kept * bits).div_ceil(8);
				(0..=MAX_SPARSE).take_while(|kept| bytes(*kept) <= budget).last().unwrap_or(0)
			}
		};
		for exp in 0..=32 {
			let mut decoded = unchanged.clone();
			for at in order.iter().take(kept) {
				let clamped = i128::from(naive_clamp(i128::from(increments[*at])));
				let value = naive_divide(clamped, 1 << exp).clamp(low, high);
				decoded[*at] = naive_scale(value as i32, exp);
			}
			least = least.min(squared_error(increments, &decoded));
		}
	}
	least
}
