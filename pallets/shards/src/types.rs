//! What the pallet stores, and the arithmetic on it.

use super::*;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_transaction_storage_proof::{num_chunks, ChunkIndex};

/// How an item came into a block.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Kind {
	/// The extrinsic carries the data as its last bytes.
	Stored,
	/// The extrinsic only names data that an earlier block carries.
	Renewed,
}

/// One indexed item of a block.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct TransactionInfo {
	/// Root of the trie over the item's 256-byte chunks, against which possession is proven.
	pub chunk_root: H256,
	/// BLAKE2b-256 of the data: the CID's digest.
	pub cid: H256,
	/// Size of the data in bytes.
	pub size: u32,
	/// Chunks of this item and of all items before it in the block.
	pub block_chunks: ChunkIndex,
	/// Position in the block of the extrinsic that stored or renewed the item.
	pub extrinsic_index: u32,
	/// Whether the extrinsic carries the data.
	pub kind: Kind,
}

/// Where an item was last stored or renewed.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Location<BlockNumber> {
	/// The block.
	pub block: BlockNumber,
	/// Position among the block's items.
	pub index: u32,
}

/// The chunks of all `items` of one block.
pub fn total_chunks(items: &[TransactionInfo]) -> ChunkIndex {
	items.last().map_or(0, |item| item.block_chunks)
}

/// The item that holds chunk `chunk` of its block, and the chunk's index within the item.
///
/// `None` if the block has fewer chunks.
pub fn locate(items: &[TransactionInfo], chunk: ChunkIndex) -> Option<(&TransactionInfo, u32)> {
	// `block_chunks` counts up, so it can be searched by halves.
	let position = items.partition_point(|item| item.block_chunks <= chunk);
	let item = items.get(position)?;
	let first = item.block_chunks.checked_sub(num_chunks(item.size))?;
	Some((item, chunk.checked_sub(first)?))
}
