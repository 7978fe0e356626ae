//! BLAKE2b with a 32-byte digest, the only hash of the project.
//!
//! The plain hash of a leaf or shard is the multihash (`0xb220`) of an IPFS raw block, so whatever
//! is hashed here without a prefix can be served and fetched by CID.
//!
//! Natively this is `blake2b_simd`, and for many inputs, where the processor has AVX-512, eight
//! lanes of our own. In WASM with the feature `host-functions` the host hashes: that is several
//! times faster than WASM, whose executor has no SIMD.
//!
//! ```
//! use blyan_primitives::hash::{blake2b_256, hash_many, Hasher};
//!
//! let mut hasher = Hasher::new();
//! hasher.update(b"one ").update(b"message");
//! assert_eq!(hasher.finalize(), blake2b_256(b"one message"));
//! assert_eq!(hash_many(&[b"a", b"b"]), [blake2b_256(b"a"), blake2b_256(b"b")]);
//! ```

use crate::H256;
use alloc::vec::Vec;

#[cfg(all(target_arch = "wasm32", feature = "host-functions"))]
use host as backend;
#[cfg(not(all(target_arch = "wasm32", feature = "host-functions")))]
use simd as backend;

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod avx512;
#[cfg(all(target_arch = "x86_64", feature = "std"))]
use avx512 as eight_lanes;

/// Bytes in a digest.
pub const DIGEST_BYTES: usize = 32;

/// Inputs that a core hashes at once, at most.
pub const LANES: usize = 8;

/// Inputs that a core of this machine hashes at once, if they have one length: 8 or 4 natively.
pub fn lanes() -> usize {
	backend::lanes()
}

/// The hash of `bytes`.
pub fn blake2b_256(bytes: &[u8]) -> H256 {
	backend::blake2b_256(bytes)
}

/// The hashes of independent inputs, in their order.
///
/// Natively neighbours share SIMD lanes: with AVX2 four of them, best if they have equal lengths;
/// with AVX-512 each group of [`LANES`], if they do. Elsewhere this is a loop.
pub fn hash_many(inputs: &[&[u8]]) -> Vec<H256> {
	backend::hash_many(inputs)
}

/// A hash of a message that arrives in pieces.
#[derive(Clone, Debug)]
pub struct Hasher(backend::State);

impl Hasher {
	/// A hasher that has seen nothing.
	pub fn new() -> Self {
		Self(backend::State::new())
	}

	/// Appends `bytes` to the message.
	pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
		self.0.update(bytes);
		self
	}

	/// The hash of what was appended so far; more may follow.
	pub fn finalize(&self) -> H256 {
		self.0.finalize()
	}
}

impl Default for Hasher {
	fn default() -> Self {
		Self::new()
	}
}

/// There are no eight lanes here.
#[cfg(not(any(
	all(target_arch = "x86_64", feature = "std"),
	all(target_arch = "wasm32", feature = "host-functions")
)))]
mod eight_lanes {
	use super::LANES;
	use crate::H256;

	pub fn available() -> bool {
		false
	}

	pub fn hash_many(_: &[&[u8]]) -> Option<[H256; LANES]> {
		None
	}
}

#[cfg(not(all(target_arch = "wasm32", feature = "host-functions")))]
mod simd {
	use super::{eight_lanes, DIGEST_BYTES, LANES};
	use crate::H256;
	use alloc::vec::Vec;
	use blake2b_simd::{many, Hash, Params};

	fn params() -> Params {
		let mut params = Params::new();
		params.hash_length(DIGEST_BYTES);
		params
	}

	fn digest(hash: Hash) -> H256 {
		let mut bytes = [0u8; DIGEST_BYTES];
		for (to, from) in bytes.iter_mut().zip(hash.as_bytes()) {
			*to = *from;
		}
		H256(bytes)
	}

	pub fn blake2b_256(bytes: &[u8]) -> H256 {
		digest(params().hash(bytes))
	}

	pub fn hash_many(inputs: &[&[u8]]) -> Vec<H256> {
		let mut hashes = Vec::with_capacity(inputs.len());
		// The first of those that are left to four lanes, which want as many as there are.
		let mut first = 0;
		for (at, group) in (0..).step_by(LANES).zip(inputs.chunks(LANES)) {
			if let Some(eight) = eight_lanes::hash_many(group) {
				hashes.extend(hash_rest(&inputs[first..at]));
				hashes.extend(eight);
				first = at + group.len();
			}
		}
		hashes.extend(hash_rest(&inputs[first..]));
		hashes
	}

	pub fn lanes() -> usize {
		match eight_lanes::available() {
			true => LANES,
			false => LANES / 2,
		}
	}

	fn hash_rest(inputs: &[&[u8]]) -> Vec<H256> {
		let params = params();
		let mut jobs: Vec<many::HashManyJob> =
			inputs.iter().map(|input| many::HashManyJob::new(&params, input)).collect();
		many::hash_many(jobs.iter_mut());
		jobs.iter().map(|job| digest(job.to_hash())).collect()
	}

	#[derive(Clone, Debug)]
	pub struct State(blake2b_simd::State);

	impl State {
		pub fn new() -> Self {
			Self(params().to_state())
		}

		pub fn update(&mut self, bytes: &[u8]) {
			self.0.update(bytes);
		}

		pub fn finalize(&self) -> H256 {
			digest(self.0.finalize())
		}
	}
}

#[cfg(all(target_arch = "wasm32", feature = "host-functions"))]
mod host {
	use crate::H256;
	use alloc::vec::Vec;

	pub fn blake2b_256(bytes: &[u8]) -> H256 {
		H256(sp_io::hashing::blake2_256(bytes))
	}

	pub fn hash_many(inputs: &[&[u8]]) -> Vec<H256> {
		inputs.iter().map(|input| blake2b_256(input)).collect()
	}

	pub fn lanes() -> usize {
		1
	}

	/// The host has no streaming hash, so the message is kept until it is hashed. What the runtime
	/// hashes in pieces is at most a few KiB.
	#[derive(Clone, Debug)]
	pub struct State(Vec<u8>);

	impl State {
		pub fn new() -> Self {
			Self(Vec::new())
		}

		pub fn update(&mut self, bytes: &[u8]) {
			self.0.extend_from_slice(bytes);
		}

		pub fn finalize(&self) -> H256 {
			blake2b_256(&self.0)
		}
	}
}
