//! The commitment to a component's delta, and the blob that carries the deltas of an update.
//!
//! The blob is, for each component of the update in ascending order and for each leaf of it, the
//! length of the leaf's delta as `u32` and its bytes. Which components there are, and how many
//! weights they have, the update and the model say; the blob does not repeat it. Deltas of
//! [`super::low_rank`] have another number of leaves and do not travel in it; one alone is packed in
//! the same way, see [`LowRank::to_blob`](super::low_rank::LowRank::to_blob).

use super::{
	leaf_count, packed_bytes, weights_in_leaf, Error, ErrorKind, Reader, CHUNK, DENSE_HEADER_BYTES,
	INDEX_BITS, MAX_SPARSE, SPARSE_HEADER_BYTES,
};
use crate::{hash::hash_many, tree::list_root, H256};
use alloc::vec::Vec;

/// Bytes of a length in the blob.
pub(super) const LENGTH_BYTES: usize = 4;

/// The root of the tree whose leaves are the hashes of each leaf's delta bytes.
///
/// A component has at least one leaf; no leaves at all give zero, which is the root of nothing.
pub fn component_delta_root(leaves: &[Vec<u8>]) -> H256 {
	let bytes: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
	list_root(&hash_many(&bytes)).unwrap_or_default()
}

/// Most bytes that the delta of a leaf of `weights` weights can take.
pub fn max_leaf_bytes(weights: usize) -> usize {
	let full = weights / CHUNK;
	let short = match weights % CHUNK {
		0 => 0,
		rest => max_chunk_bytes(rest),
	};
	full.saturating_mul(max_chunk_bytes(CHUNK)).saturating_add(short)
}

/// Most bytes that a chunk of `weights` weights can take.
pub(super) fn max_chunk_bytes(weights: usize) -> usize {
	// In a short chunk, keeping every value as a sparse one takes more than writing it dense.
	let kept = weights.min(MAX_SPARSE);
	let sparse = SPARSE_HEADER_BYTES + packed_bytes(kept, INDEX_BITS) + kept;
	sparse.max(DENSE_HEADER_BYTES + weights)
}

/// Packs the leaves of each component.
///
/// Leaves longer than [`super::MAX_LEAF_BYTES`] are no deltas; [`decode_blob`] refuses them.
pub fn encode_blob(components: &[Vec<Vec<u8>>]) -> Vec<u8> {
	let leaves = || components.iter().flatten();
	let mut blob = Vec::with_capacity(leaves().map(|leaf| LENGTH_BYTES + leaf.len()).sum());
	for leaf in leaves() {
		// A length beyond u32 is far beyond what decoding accepts, and so is the largest u32.
		let length = u32::try_from(leaf.len()).unwrap_or(u32::MAX);
		blob.extend_from_slice(&length.to_le_bytes());
		blob.extend_from_slice(leaf);
	}
	blob
}

/// Unpacks the leaves of each component. `weights` is the number of weights of each component of
/// the update, in ascending order of component.
///
/// Checks only lengths: each leaf has at least a byte for each chunk and at most
/// [`max_leaf_bytes`]. What a leaf says is up to [`super::Decoder`].
pub fn decode_blob(blob: &[u8], weights: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, Error> {
	let mut reader = Reader::new(blob);
	let mut components = Vec::with_capacity(weights.len());
	for weights in weights {
		components.push(decode_component(&mut reader, *weights)?);
	}
	reader.finish()?;
	Ok(components)
}

fn decode_component(reader: &mut Reader<'_>, weights: usize) -> Result<Vec<Vec<u8>>, Error> {
	if weights == 0 {
		return Err(Error::new(reader.offset, ErrorKind::Weights(weights)));
	}
	let count = leaf_count(weights);
	// Every leaf takes a length and a byte, which bounds what is allocated for them.
	let least = count.saturating_mul(LENGTH_BYTES + 1);
	let rest = reader.rest().len();
	if rest < least {
		let end = reader.offset + rest;
		return Err(Error::new(end, ErrorKind::Truncated(least - rest)));
	}
	let mut leaves = Vec::with_capacity(count);
	for leaf in 0..count {
		let in_leaf = weights_in_leaf(weights, leaf);
		let offset = reader.offset;
		// A length that no usize holds is refused like any other that is too large.
		let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
		if length < in_leaf.div_ceil(CHUNK) || length > max_leaf_bytes(in_leaf) {
			return Err(Error::new(offset, ErrorKind::LeafBytes(length)));
		}
		leaves.push(reader.take(length)?.to_vec());
	}
	Ok(leaves)
}
