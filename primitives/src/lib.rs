//! Formats that the chain and its workers share.
//!
//! Everything that is hashed or verified on chain is implemented here, once, without the standard
//! library: pallets, node and off-chain engine all call this code. The second copies exist to check
//! this one: the naive oracles in `tests/`, the scripts in `vectors/`, and the readers in Python and
//! JavaScript that `ARCHITECTURE.md` names.
//!
//! # Overview
//!
//! | module | what |
//! |---|---|
//! | [`hash`] | BLAKE2b-256, single, streaming and several at a time |
//! | [`tree`] | the 8-ary Merkle tree over 256 KiB leaves or over hashes, its proofs |
//! | [`tensor`] | the `.blyt` header and the geometry of leaves and tiles |
//! | [`model`] | architecture → components → tensors, and the first weights of a model |
//! | [`delta`] | integer deltas: codec, apply, merge, compress |
//! | [`record`] | records, shards and manifests of datasets |
//! | [`sampling`] | which records a trainer must use, which are held out |
//! | [`pow`] | proof of work for submissions |
//! | [`draw`] | weighted draws of committees |
//! | [`ownership`] | which worker owns a tile, and its successors |
//! | [`recipe`] | how a round trains |
//! | [`trace`] | what a trainer commits to while it trains |
//! | [`transfer`] | messages by which nodes move leaves of payloads |
//! | [`update`] | what a trainer reveals when it is done |
//! | [`evidence`] | what proves that a trainer lied |
//! | [`commit`] | commit-reveal |
//! | [`roles`] | what a worker may do |
//!
//! # Conventions
//!
//! - Numbers are little-endian. There is one valid encoding per value.
//! - Decoders check every limit before they allocate, refuse trailing bytes, non-zero padding and
//!   unknown versions, and name the offset of what they refuse. Of the payload of a [`tensor`] block
//!   padding is checked where its shapes are known and all of it is there.
//! - No panic, no floating point, no unbounded loop. No unsafe code but for the instructions of a
//!   processor with which [`hash`] and [`delta`] are fast; there is none of it in WASM.
//!
//! # Features
//!
//! - `std` (default): use the standard library, and SIMD found at run time.
//! - `serde`: `Serialize` and `Deserialize` for the types that genesis and files carry.
//! - `host-functions`: inside WASM, hash through the host.
//! - `no-avx512`: leave AVX-512 alone where the processor has it, to measure and test what [`hash`] and
//!   [`delta`] do on others. The results are the same.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]
#![deny(unsafe_code)]
#![cfg_attr(not(all(target_arch = "x86_64", feature = "std")), forbid(unsafe_code))]

extern crate alloc;

pub mod commit;
pub mod delta;
pub mod draw;
pub mod evidence;
pub mod hash;
pub mod model;
pub mod ownership;
pub mod pow;
pub mod recipe;
pub mod record;
pub mod roles;
pub mod sampling;
pub mod tensor;
pub mod trace;
pub mod transfer;
pub mod tree;
pub mod update;

pub use bounded_collections::{BoundedVec, ConstU32};
pub use primitive_types::H256;
