//! Commit and reveal: a hash that binds its author to a payload nobody else can read yet.
//!
//! ```text
//! commitment = H(payload ‖ salt:32 ‖ who:32)
//! ```
//!
//! The salt hides payloads that can be guessed, such as a verdict. The account makes a commitment
//! worthless to a copier: the same payload and salt under another account is another hash. Salt and
//! account have fixed lengths and stand last, so no two triples share one preimage.
//!
//! ```
//! use blyan_primitives::{commit::commitment, H256};
//!
//! let salt = H256([7; 32]);
//! let posted = commitment(b"match", &salt, &[1; 32]);
//! assert_eq!(posted, commitment(b"match", &salt, &[1; 32]));
//! assert_ne!(posted, commitment(b"match", &salt, &[2; 32]));
//! ```

use crate::{hash::blake2b_256, H256};

/// What `who` posts first, to be revealed later as `payload` and `salt`.
pub fn commitment(payload: &[u8], salt: &H256, who: &[u8; 32]) -> H256 {
	blake2b_256(&[payload, salt.as_bytes(), who.as_slice()].concat())
}
