//! Proof of work: the price of a submission for somebody who owns no tokens.
//!
//! ```text
//! work = H(manifest_hash:32 ‖ account:32 ‖ nonce:u64)
//! ```
//!
//! A nonce meets a difficulty of `d` bits if the first `d` bits of `work` are zero, counted from the
//! most significant bit of its first byte. A difficulty of 0 is met by every nonce, and one above
//! 256 by none. The expected number of tries is 2^d.
//!
//! Manifest and account are inside, so work can neither be moved to another submission nor stolen
//! by whoever sees it in the pool.
//!
//! ```
//! use blyan_primitives::{pow, H256};
//!
//! let (manifest, account) = (H256([3; 32]), [5; 32]);
//! let nonce = pow::solve(&manifest, &account, 8, 100_000).unwrap();
//! assert!(pow::meets(&manifest, &account, nonce, 8));
//! ```

use crate::{hash::blake2b_256, H256};

/// The most leading zero bits that a hash can have.
pub const MAX_DIFFICULTY_BITS: u32 = 256;

/// The hash whose leading zero bits are the work.
pub fn work_hash(manifest_hash: &H256, account: &[u8; 32], nonce: u64) -> H256 {
	let nonce = nonce.to_le_bytes();
	blake2b_256(&[manifest_hash.as_bytes(), account.as_slice(), nonce.as_slice()].concat())
}

/// How many bits of `hash` are zero before its first one, from the most significant bit of its
/// first byte: 0 to 256.
pub fn leading_zero_bits(hash: &H256) -> u32 {
	let mut bits = 0;
	for byte in hash.as_bytes() {
		bits += byte.leading_zeros();
		if *byte != 0 {
			break;
		}
	}
	bits
}

/// Whether `nonce` is work of at least `difficulty` bits for this manifest and account.
pub fn meets(manifest_hash: &H256, account: &[u8; 32], nonce: u64, difficulty: u32) -> bool {
	leading_zero_bits(&work_hash(manifest_hash, account, nonce)) >= difficulty
}

/// The first nonce of `0..max_tries` that meets `difficulty`.
pub fn solve(
	manifest_hash: &H256,
	account: &[u8; 32],
	difficulty: u32,
	max_tries: u64,
) -> Option<u64> {
	solve_from(manifest_hash, account, difficulty, 0, max_tries)
}

/// The first nonce of the `max_tries` from `first` on that meets `difficulty`; the largest `u64` is
/// never tried. Threads search disjoint ranges, and a progress bar advances between ranges.
pub fn solve_from(
	manifest_hash: &H256,
	account: &[u8; 32],
	difficulty: u32,
	first: u64,
	max_tries: u64,
) -> Option<u64> {
	if difficulty > MAX_DIFFICULTY_BITS {
		return None;
	}
	(first..first.saturating_add(max_tries))
		.find(|nonce| meets(manifest_hash, account, *nonce, difficulty))
}
