//! What a trainer reveals when it is done: its update.
//!
//! # Layout
//!
//! The SCALE encoding of [`Update`], numbers little-endian, losses in 10^-6 nat. A compact number is
//! SCALE's.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | round |
//! | compact + 39·n | deltas, 1..=512 in ascending order of component: component (2), kind (1), delta root (32), bytes (4) |
//! | compact + 32·n | CIDs of the delta blob's pieces, 1..=16 |
//! | 32 | trace root |
//! | compact + 32·n | CIDs of the trace blob's pieces, 1..=16 |
//! | 4 | trace entries |
//! | 4 | samples |
//! | 4 | loss before |
//! | 4 | loss after |
//!
//! The kind of a delta is 0 for chunks, 1 for a low-rank delta ([`crate::delta::low_rank`]); others are
//! refused.
//!
//! # Blobs
//!
//! The delta blob is, for each component of the update in order and for each leaf of its delta, the
//! length of the leaf as `u32` and its bytes ([`crate::delta::encode_blob`]). A low-rank delta has one
//! leaf more than its component. `bytes` of a component is what it takes there, lengths included, so
//! the blob is as long as their sum.
//!
//! A blob, of deltas or of a trace ([`crate::trace::Trace::encode`]), is cut into *pieces* of
//! 1,048,576 bytes, the last one shorter if need be, at most 16 of them. A piece is one indexed
//! transaction; its CID is its hash.
//!
//! # Commitment
//!
//! `H(H(update):32 ‖ salt:32 ‖ who:32)`, see [`crate::commit`].

use crate::{
	commit,
	delta::{CHUNK, LEAF_WEIGHTS},
	hash::{blake2b_256, hash_many},
	record::{decode_scale, ensure, DecodeError},
	trace::MAX_TRACE_ENTRIES,
	H256,
};
use alloc::vec::Vec;
use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// The most components that an update changes.
pub const MAX_DELTAS: u32 = 512;
/// The most pieces of a blob.
pub const MAX_PIECES: u32 = 16;
/// Bytes of a piece; the last one of a blob may be shorter.
pub const PIECE_BYTES: usize = 1_048_576;
/// The most bytes of a blob.
pub const MAX_BLOB_BYTES: usize = MAX_PIECES as usize * PIECE_BYTES;

const _: () = assert!(crate::trace::MAX_TRACE_BYTES <= MAX_BLOB_BYTES);
const _: () = assert!(PIECE_BYTES == crate::record::MAX_SHARD_BYTES);

/// Bytes of the length that a blob has before each leaf.
const LENGTH_BYTES: u64 = 4;

/// The CIDs of a blob's pieces in order.
pub type Cids = BoundedVec<H256, ConstU32<MAX_PIECES>>;

/// What the leaves of a delta are made of.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum DeltaKind {
	/// Chunks: single weights, see [`crate::delta`].
	#[codec(index = 0)]
	Chunks,
	/// Products of thin matrices, see [`crate::delta::low_rank`].
	#[codec(index = 1)]
	LowRank,
}

impl DeltaKind {
	/// Its name, for people.
	pub fn name(self) -> &'static str {
		match self {
			Self::Chunks => "chunks",
			Self::LowRank => "low rank",
		}
	}

	/// Merkle leaves of a delta of a component that has `leaves` leaves.
	pub fn leaves(self, leaves: u64) -> u64 {
		match self {
			Self::Chunks => leaves,
			Self::LowRank => leaves.saturating_add(1),
		}
	}
}

/// How one component changes.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct ComponentDelta {
	/// Index of the component in its architecture's order.
	pub component: u16,
	/// What its leaves are made of.
	pub kind: DeltaKind,
	/// List root over the hashes of its delta's leaves.
	pub delta_root: H256,
	/// Bytes that it takes in the delta blob.
	pub bytes: u32,
}

/// What a trainer reveals.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Update {
	/// The round that it belongs to.
	pub round: u32,
	/// The components that change, ascending.
	pub deltas: BoundedVec<ComponentDelta, ConstU32<MAX_DELTAS>>,
	/// The pieces of the delta blob.
	pub delta_cids: Cids,
	/// List root over the entries of the trace.
	pub trace_root: H256,
	/// The pieces of the trace blob.
	pub trace_cids: Cids,
	/// How many entries the trace has.
	pub trace_entries: u32,
	/// How many records were trained on.
	pub samples: u32,
	/// Mean loss of the first steps, in 10^-6 nat.
	pub loss_before: u32,
	/// Mean loss of the last steps, in 10^-6 nat.
	pub loss_after: u32,
}

/// Which field of an update is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError {
	/// No component changes.
	NoDeltas,
	/// The component at this position is not above the one before it, or not below [`MAX_DELTAS`].
	ComponentOrder(u32),
	/// The component at this position takes no bytes.
	EmptyDelta(u32),
	/// The deltas take more than [`MAX_BLOB_BYTES`] together.
	DeltaBytes,
	/// Not one CID for each piece of the delta blob.
	DeltaCids,
	/// No CID.
	TraceCids,
	/// Not 1 to [`MAX_TRACE_ENTRIES`].
	TraceEntries,
	/// 0.
	Samples,
}

impl fmt::Display for UpdateError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::NoDeltas => f.write_str("an update must change at least one component"),
			Self::ComponentOrder(i) => {
				write!(
					f,
					"delta {i} must be of a higher component than the one before, and existing"
				)
			}
			Self::EmptyDelta(i) => write!(f, "delta {i} takes no bytes; leave it out"),
			Self::DeltaBytes => {
				write!(f, "the deltas take more than {MAX_BLOB_BYTES} bytes; compress them further")
			}
			Self::DeltaCids => f.write_str("there must be one CID for each piece of the deltas"),
			Self::TraceCids => f.write_str("there must be one CID for each piece of the trace"),
			Self::TraceEntries => {
				write!(f, "the trace must have 1 to {MAX_TRACE_ENTRIES} entries")
			}
			Self::Samples => f.write_str("an update must have trained on at least one record"),
		}
	}
}

impl core::error::Error for UpdateError {}

impl Update {
	/// The hash of the encoding.
	pub fn hash(&self) -> H256 {
		blake2b_256(&self.encode())
	}

	/// What `who` commits to before it reveals this.
	pub fn commitment(&self, salt: &H256, who: &[u8; 32]) -> H256 {
		commit::commitment(self.hash().as_bytes(), salt, who)
	}

	/// The update that the whole of `bytes` stands for. Whether it makes sense is for
	/// [`Self::validate`] to say.
	pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
		decode_scale(bytes)
	}

	/// Whether every field is what it may be and agrees with the others. What the recipe and the
	/// model ask for is not known here.
	pub fn validate(&self) -> Result<(), UpdateError> {
		ensure(!self.deltas.is_empty(), UpdateError::NoDeltas)?;
		// At most 512 numbers of 32 bits: the sum fits.
		let mut bytes = 0u64;
		let mut next = 0u32;
		for (i, delta) in (0u32..).zip(self.deltas.iter()) {
			let component = u32::from(delta.component);
			let ordered = component >= next && component < MAX_DELTAS;
			ensure(ordered, UpdateError::ComponentOrder(i))?;
			ensure(delta.bytes > 0, UpdateError::EmptyDelta(i))?;
			next = component + 1;
			bytes += u64::from(delta.bytes);
		}
		ensure(bytes <= MAX_BLOB_BYTES as u64, UpdateError::DeltaBytes)?;
		let pieces = bytes.div_ceil(PIECE_BYTES as u64);
		ensure(self.delta_cids.len() as u64 == pieces, UpdateError::DeltaCids)?;
		ensure(!self.trace_cids.is_empty(), UpdateError::TraceCids)?;
		let entries = self.trace_entries > 0 && self.trace_entries <= MAX_TRACE_ENTRIES;
		ensure(entries, UpdateError::TraceEntries)?;
		ensure(self.samples > 0, UpdateError::Samples)
	}

	/// Bytes of the delta blob.
	pub fn delta_bytes(&self) -> u64 {
		self.deltas.iter().fold(0u64, |sum, delta| sum + u64::from(delta.bytes))
	}
}

/// The most bytes that the delta of a component of `weights` weights may take in an update's blob,
/// if the recipe allows `bytes_per_chunk`: so much for each chunk, and a length for each leaf of
/// the delta. Both kinds of delta have the same bytes to say something with.
pub fn max_delta_bytes(weights: u64, bytes_per_chunk: u16, kind: DeltaKind) -> u64 {
	let chunks = weights.div_ceil(CHUNK as u64);
	let leaves = kind.leaves(weights.div_ceil(LEAF_WEIGHTS as u64));
	let lengths = leaves.saturating_mul(LENGTH_BYTES);
	chunks.saturating_mul(u64::from(bytes_per_chunk)).saturating_add(lengths)
}

/// The pieces of a blob in order.
pub fn pieces(blob: &[u8]) -> Vec<&[u8]> {
	blob.chunks(PIECE_BYTES).collect()
}

/// The CIDs of a blob's pieces in order; `None` if the blob is empty or longer than
/// [`MAX_BLOB_BYTES`].
pub fn cids(blob: &[u8]) -> Option<Cids> {
	if blob.is_empty() || blob.len() > MAX_BLOB_BYTES {
		return None;
	}
	Cids::try_from(hash_many(&pieces(blob))).ok()
}
