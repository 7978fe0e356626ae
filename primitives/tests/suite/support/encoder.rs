//! The reference encoder once more, naively: it sorts whole chunks and tries every exponent.
//!
//! It must give the same bytes as the fast one, so it follows the same rules: how a budget is split,
//! which plans there are, and which of two equally good ones is taken.

use crate::support::{
	chunks::{encode, Owned},
	delta::naive_clamp,
};
use blyan_primitives::delta::{max_leaf_bytes, CHUNK, MAX_INCREMENT, MAX_SPARSE};
use std::cmp::Reverse;

/// Sizes of one bin have the same four highest bits; those below 16 have a bin each.
fn bin_of(size: u64) -> usize {
	let doublings = (size.max(8).ilog2() - 3) as usize;
	doublings * 8 + (size >> doublings) as usize
}

fn size_of(increment: i64) -> u64 {
	naive_clamp(i128::from(increment)).unsigned_abs()
}

fn sparse_bytes(kept: usize, bits: usize) -> usize {
	match kept {
		0 => 1,
		_ => 5 + (kept * 12).div_ceil(8) + (kept * bits).div_ceil(8),
	}
}

fn most_kept(bits: usize, budget: usize) -> usize {
	(1..=MAX_SPARSE).take_while(|kept| sparse_bytes(*kept, bits) <= budget).last().unwrap_or(0)
}

/// For each chunk how many bytes it may take if `total` are split by size.
fn shares(chunks: &[&[i64]], total: usize) -> Vec<usize> {
	let kept = |bin: usize| -> Vec<usize> {
		let reaches = |increment: &&i64| bin_of(size_of(**increment)) >= bin;
		chunks.iter().map(|chunk| chunk.iter().filter(reaches).count().min(MAX_SPARSE)).collect()
	};
	let bytes = |bin: usize| -> Vec<usize> {
		kept(bin).into_iter().map(|kept| sparse_bytes(kept, 2)).collect()
	};
	let sum = |shares: &[usize]| shares.iter().sum::<usize>();
	let over = (1..=256).rev().find(|bin| sum(&bytes(*bin)) > total);
	let least = bytes(over.map_or(1, |bin| bin + 1));
	let most = match over {
		Some(bin) => bytes(bin),
		None => {
			let whole = chunks.iter().zip(kept(1)).map(|(chunk, kept)| match kept {
				MAX_SPARSE => max_leaf_bytes(chunk.len()),
				_ => sparse_bytes(kept, 8),
			});
			whole.collect()
		}
	};
	let room = sum(&most).saturating_sub(sum(&least));
	let rest = total.saturating_sub(sum(&least)).min(room);
	let pairs = least.iter().zip(&most);
	let share = |(least, most): (&usize, &usize)| {
		least + (most.saturating_sub(*least) * rest).checked_div(room).unwrap_or(0)
	};
	pairs.map(share).collect()
}

/// A chunk as it would be written, what that gains, and how many bytes it takes.
#[derive(Clone)]
struct Plan {
	chunk: Owned,
	gain: u128,
	bytes: usize,
}

/// The nearest multiple of `2^exp`, in units of that; half-way the lower one.
fn rounded(size: u64, exp: u32) -> u64 {
	let unit = 1u64 << exp;
	size / unit + u64::from(size % unit * 2 > unit)
}

/// The largest size of a value of the same sign.
fn limit_of(increment: i64, limits: (u64, u64)) -> u64 {
	if increment < 0 {
		limits.1
	} else {
		limits.0
	}
}

/// The value for an increment at an exponent.
fn value_of(increment: i64, exp: u32, limits: (u64, u64)) -> i8 {
	let size = rounded(size_of(increment), exp).min(limit_of(increment, limits));
	i8::try_from(i128::from(size) * i128::from(increment.signum())).unwrap()
}

/// By how much a value lowers the square of an increment.
fn gain(increment: i64, value: i8, exp: u32) -> u128 {
	let size = i128::from(size_of(increment));
	let decoded = (i128::from(value.unsigned_abs()) << exp).min(i128::from(MAX_INCREMENT));
	(size.pow(2) - (size - decoded).pow(2)).unsigned_abs()
}

/// The best plan of a chunk, given the indices of its increments from the largest to the smallest.
fn best(chunk: &[i64], order: &[usize], budget: usize) -> Plan {
	let mut best = Plan { chunk: Owned::Unchanged, gain: 0, bytes: 1 };
	for (bits, limits) in [(2, (2, 2)), (4, (7, 8)), (8, (127, 128)), (0, (127, 128))] {
		let kept = match bits {
			0 if 2 + chunk.len() <= budget => chunk.len(),
			0 => continue,
			_ => most_kept(bits, budget).min(chunk.len()),
		};
		let mut kept: Vec<usize> = order[..kept].to_vec();
		kept.sort_unstable();
		let fits = |exp: &u32| {
			let fits = |increment| rounded(size_of(increment), *exp) <= limit_of(increment, limits);
			kept.iter().all(|at| fits(chunk[*at]))
		};
		let highest = (0..32).find(fits).unwrap_or(32);
		for exp in (0..=highest).rev() {
			let values: Vec<(u16, i8)> =
				kept.iter().map(|at| (*at as u16, value_of(chunk[*at], exp, limits))).collect();
			let gains = values.iter().map(|(at, value)| gain(chunk[usize::from(*at)], *value, exp));
			let gain = gains.sum();
			let exp = exp as i8;
			let (chunk, bytes) = if bits == 0 {
				let values = values.into_iter().map(|(_, value)| value).collect();
				(Owned::Dense { exp, values }, 2 + chunk.len())
			} else {
				let written = values.into_iter().filter(|(_, value)| *value != 0);
				let (indices, values): (Vec<u16>, Vec<i8>) = written.unzip();
				let bytes = sparse_bytes(values.len(), bits);
				(Owned::Sparse { exp, bits: bits as u8, indices, values }, bytes)
			};
			if gain > best.gain || (gain == best.gain && bytes < best.bytes) {
				best = Plan { chunk, gain, bytes };
			}
		}
	}
	best
}

/// The bytes of a leaf's increments, of which there are at most 65,536.
pub fn naive_encode(increments: &[i64], bytes_per_chunk: u16) -> Vec<u8> {
	let budget = usize::from(bytes_per_chunk);
	let chunks: Vec<&[i64]> = increments.chunks(CHUNK).collect();
	let (mut equal, mut by_size) = (Vec::new(), Vec::new());
	let mut unspent = 0;
	for (chunk, share) in chunks.iter().zip(shares(&chunks, budget * chunks.len())) {
		let mut order: Vec<usize> = (0..chunk.len()).collect();
		order.sort_by_key(|at| (Reverse(size_of(chunk[*at])), *at));
		let share = unspent + share;
		equal.push(best(chunk, &order, budget));
		let plan = best(chunk, &order, share);
		unspent = share.saturating_sub(plan.bytes);
		by_size.push(plan);
	}
	let sum = |plans: &[Plan]| {
		let gain: u128 = plans.iter().map(|plan| plan.gain).sum();
		(gain, Reverse(plans.iter().map(|plan| plan.bytes).sum::<usize>()))
	};
	let better = if sum(&by_size) > sum(&equal) { by_size } else { equal };
	let chunks: Vec<Owned> = better.into_iter().map(|plan| plan.chunk).collect();
	encode(&chunks)
}
