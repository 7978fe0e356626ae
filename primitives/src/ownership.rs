//! Who owns a tile: weighted rendezvous hashing.
//!
//! Every node computes the same order of workers for a tile from chain state alone, so fail-over
//! needs no election: when the first stops, the second takes over. The chance of being first is
//! proportional to the weight, and taking one worker away, or changing its weight, leaves the others
//! in their relative order, so only that worker's tiles move.
//!
//! # Algorithm
//!
//! For a key (the hash that names a tile) and a candidate of weight `w > 0`:
//!
//! ```text
//! x    = u64(H(key:32 ‖ account:32)[0..8]), little-endian
//! cost = -log2((x + 1) / 2^64)              in units of 2^-48, by neg_log2
//! ```
//!
//! Candidates are ordered by ascending `cost / w`, compared exactly as `cost_a · w_b < cost_b · w_a`
//! in `u128`; ties go to the smaller account, then to the earlier position. (`-log2` of a uniform
//! number is exponentially distributed; divided by `w` its rate is `w`, and the least of several
//! such numbers is the `i`-th with chance `w_i / Σ w`.)
//!
//! # Keys of components
//!
//! In a round, components are owned instead of tiles. The round's seed is in their keys
//! ([`component_key`]), so nobody can look for an account that will come first before the seed is
//! known:
//!
//! ```text
//! key = H(seed:32 ‖ model:u32 ‖ component:u16)
//! ```
//!
//! # Error bound of the logarithm
//!
//! [`neg_log2`] is never too small and is too large by less than 2^-48 + 2^-62. It squares a
//! mantissa of 63 fraction bits once per bit of the result. Truncating the square costs less than
//! `log2(1 + 2^-63) < 2^-62` at that point, and half as much for every squaring before it, so less
//! than 2^-62 in all; the bits behind the last one are worth less than 2^-48. A candidate that holds
//! one part in 2^32 of the weight therefore gets its share right to about 2^-16 of it.
//!
//! # Overflow
//!
//! `cost <= 64 · 2^48 = 2^54` and `w < 2^64`, so a product stays below 2^118.
//!
//! ```
//! use blyan_primitives::{ownership::order, H256};
//!
//! let workers = [([1; 32], 5), ([2; 32], 0), ([3; 32], 7)];
//! let owners = order(&H256([4; 32]), &workers);
//! assert_eq!(owners.len(), 2);
//! assert!(!owners.contains(&1));
//! ```

use crate::{hash::blake2b_256, sampling::words, H256};
use alloc::vec::Vec;

/// Fraction bits of [`neg_log2`].
pub const FRACTION_BITS: u32 = 48;

/// Most owners that are named for a key: the first and its successors.
pub const MAX_OWNERS: usize = 16;

/// `-log2((x + 1) / 2^64)` in units of 2^-48: from 0, for the largest `x`, to 64 · 2^48, for 0.
/// Rounded up; see the module for the error bound.
pub fn neg_log2(x: u64) -> u64 {
	// 1..=2^64
	let value = u128::from(x) + 1;
	let exponent = value.checked_ilog2().unwrap_or(0);
	// The leading one at bit 63: a number in 1..2 with 63 fraction bits.
	let mut mantissa =
		if exponent <= 63 { value << (63 - exponent) } else { value >> (exponent - 63) };
	let mut fraction = 0u64;
	for _ in 0..FRACTION_BITS {
		// Below 2^64 squared, so it fits.
		mantissa = (mantissa * mantissa) >> 63;
		fraction <<= 1;
		if mantissa >> 64 != 0 {
			mantissa >>= 1;
			fraction |= 1;
		}
	}
	// The exponent is at most 64, and at 64 the fraction is 0.
	let log2 = (u64::from(exponent) << FRACTION_BITS) | fraction;
	(64u64 << FRACTION_BITS).saturating_sub(log2)
}

/// The key by which a component of a model is owned in the round with `seed`.
pub fn component_key(seed: &H256, model: u32, component: u16) -> H256 {
	let (model, component) = (model.to_le_bytes(), component.to_le_bytes());
	blake2b_256(&[seed.as_bytes(), model.as_slice(), component.as_slice()].concat())
}

/// A candidate with what orders it.
struct Scored<'a> {
	cost: u128,
	weight: u128,
	account: &'a [u8; 32],
	position: usize,
}

/// The candidates, an account and its weight each, as their positions in `candidates`: the owner of
/// `key` first, then its successors in order. Candidates of weight 0 are left out.
pub fn order(key: &H256, candidates: &[([u8; 32], u64)]) -> Vec<usize> {
	let mut scored: Vec<Scored> = candidates
		.iter()
		.enumerate()
		.filter(|(_, (_, weight))| *weight > 0)
		.map(|(position, (account, weight))| Scored {
			cost: u128::from(cost(key, account)),
			weight: u128::from(*weight),
			account,
			position,
		})
		.collect();
	scored.sort_unstable_by(|a, b| {
		(a.cost * b.weight)
			.cmp(&(b.cost * a.weight))
			.then_with(|| a.account.cmp(b.account))
			.then_with(|| a.position.cmp(&b.position))
	});
	scored.into_iter().map(|candidate| candidate.position).collect()
}

/// What `account` pays for `key`, before its weight makes it cheaper.
fn cost(key: &H256, account: &[u8; 32]) -> u64 {
	let (x, _) = words(&blake2b_256(&[key.as_bytes(), account.as_slice()].concat()));
	neg_log2(x)
}
