//! The commitment to a component's delta, and the blob that carries the deltas of an update.
//!
//! The blob is, for each component of the update in ascending order and for each leaf of its delta,
//! the length of the leaf as `u32` and its bytes. Which components there are, how many weights or
//! which tensors they have and which kind of delta follows ([`Form`]), the update and the model say;
//! the blob does not repeat it. A low-rank delta has one leaf more than its component has.

use super::{
	leaf_count, packed_bytes, weights_in_leaf, Error, ErrorKind, Form, Reader, CHUNK,
	DENSE_HEADER_BYTES, INDEX_BITS, MAX_SPARSE, SPARSE_HEADER_BYTES,
};
use crate::{hash::hash_many, tree::list_root, H256};
use alloc::vec::Vec;

/// Bytes of a length in the blob.
const LENGTH_BYTES: usize = 4;

/// The root of the tree whose leaves are the hashes of each leaf's delta bytes.
///
/// A component has at least one leaf; no leaves at all give zero, which is the root of nothing.
pub fn component_delta_root(leaves: &[Vec<u8>]) -> H256 {
	let bytes: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
	list_root(&hash_many(&bytes)).unwrap_or_default()
}

/// Most bytes that the chunks of a leaf of `weights` weights can take.
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
/// Leaves that are longer than their kind of delta allows, [`decode_blob`] refuses.
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

/// Unpacks the leaves of each component. `forms` says what the delta of each component of the update
/// is, in ascending order of component.
///
/// Checks only lengths: a leaf of chunks has at least a byte for each chunk and at most
/// [`max_leaf_bytes`], one of a low-rank delta what [`super::low_rank::MAX_RANK`] and the tensors
/// allow. What leaves say is up to [`super::Leaves`].
pub fn decode_blob(blob: &[u8], forms: &[Form<'_>]) -> Result<Vec<Vec<Vec<u8>>>, Error> {
	let mut reader = Reader::new(blob);
	let mut components = Vec::with_capacity(forms.len());
	for form in forms {
		components.push(decode_component(&mut reader, *form)?);
	}
	reader.finish()?;
	Ok(components)
}

fn decode_component(reader: &mut Reader<'_>, form: Form<'_>) -> Result<Vec<Vec<u8>>, Error> {
	let weights = form.weights();
	if weights == 0 {
		return Err(Error::new(reader.offset, ErrorKind::Weights(weights)));
	}
	let (count, least_bytes) = match form {
		Form::Chunks(_) => (leaf_count(weights), LENGTH_BYTES + 1),
		Form::LowRank(_) => (leaf_count(weights).saturating_add(1), LENGTH_BYTES),
	};
	// Every leaf takes a length, and one of chunks a byte, which bounds what is allocated for them.
	let least = count.saturating_mul(least_bytes);
	let rest = reader.rest().len();
	if rest < least {
		let end = reader.offset + rest;
		return Err(Error::new(end, ErrorKind::Truncated(least - rest)));
	}
	let mut leaves = Vec::with_capacity(count);
	for leaf in 0..count {
		let (least, most) = leaf_bytes(form, leaf);
		let offset = reader.offset;
		// A length that no usize holds is refused like any other that is too large.
		let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
		if length < least || length > most {
			return Err(Error::new(offset, ErrorKind::LeafBytes(length)));
		}
		leaves.push(reader.take(length)?.to_vec());
	}
	Ok(leaves)
}

/// The least and the most bytes that leaf `leaf` of a delta can have. Leaf [`leaf_count`] is the last of
/// a low-rank one.
///
/// Chunks have at most [`super::MAX_LEAF_BYTES`]. Rows of a low-rank delta have at most 73,728: one for
/// each weight of the leaf, and 512 for each tensor, of which two rows may begin or end elsewhere. For
/// each tensor the last leaf has at most 4 and 256 for each of its columns, and never more than 4 and
/// one for each of its weights.
pub fn leaf_bytes(form: Form<'_>, leaf: usize) -> (usize, usize) {
	match form {
		Form::Chunks(weights) => {
			let inside = weights_in_leaf(weights, leaf);
			(inside.div_ceil(CHUNK), max_leaf_bytes(inside))
		}
		Form::LowRank(tensors) => tensors.leaf_bytes(leaf),
	}
}
