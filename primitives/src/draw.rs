//! Weighted draws of committees.
//!
//! # Algorithm
//!
//! The candidates with a weight above 0 stand in ascending order of account (equal accounts in the
//! order given), so the result does not depend on how they were listed. In round `k = 0, 1, …`,
//! with `total` the sum of the weights of those not drawn yet:
//!
//! ```text
//! point = u128(H(seed:32 ‖ k:u32)[0..16]) mod total
//! ```
//!
//! and the drawn one is the first at which the running sum of weights exceeds `point`. Numbers are
//! little-endian. It is not drawn again.
//!
//! Reducing 128 bits modulo `total` favours some points by at most `total / 2^128`; a total of 2^32
//! candidates of the largest weight stays below 2^96, so by less than 2^-32.
//!
//! Cost: O(m log m + n·m) for `n` of `m` candidates.
//!
//! ```
//! use blyan_primitives::{draw::weighted, H256};
//!
//! let candidates = [([1; 32], 10), ([2; 32], 0), ([3; 32], 30)];
//! let mut drawn = weighted(&H256([7; 32]), &candidates, 3);
//! drawn.sort();
//! assert_eq!(drawn, [0, 2]);
//! ```

use crate::{hash::blake2b_256, sampling::words, H256};
use alloc::vec::Vec;

/// Draws `n` of the candidates, an account and its weight each, without putting back: their
/// positions in `candidates`, in the order in which they were drawn.
///
/// A candidate of weight 0 is never drawn, so the result is shorter than `n` if too few have a
/// weight. Candidates that must not be drawn are left out, or given weight 0, by the caller.
pub fn weighted(seed: &H256, candidates: &[([u8; 32], u64)], n: usize) -> Vec<usize> {
	let mut left: Vec<(&[u8; 32], usize, u64)> = candidates
		.iter()
		.enumerate()
		.filter(|(_, (_, weight))| *weight > 0)
		.map(|(position, (account, weight))| (account, position, *weight))
		.collect();
	left.sort_unstable();
	// Fewer than 2^64 candidates of less than 2^64 each.
	let mut total = left.iter().fold(0u128, |sum, (_, _, weight)| sum + u128::from(*weight));

	let wanted = n.min(left.len());
	let mut drawn = Vec::with_capacity(wanted);
	for round in 0..u32::MAX {
		if drawn.len() == wanted {
			break;
		}
		let Some(mut point) = number(seed, round).checked_rem(total) else { break };
		for (_, position, weight) in left.iter_mut() {
			let span = u128::from(*weight);
			if point < span {
				drawn.push(*position);
				total -= span;
				// A weight of 0 spans no point, which is what takes it out.
				*weight = 0;
				break;
			}
			point -= span;
		}
	}
	drawn
}

/// The random number of one round of a draw.
fn number(seed: &H256, round: u32) -> u128 {
	let round = round.to_le_bytes();
	let (low, high) = words(&blake2b_256(&[seed.as_bytes(), round.as_slice()].concat()));
	u128::from(low) | (u128::from(high) << 64)
}
