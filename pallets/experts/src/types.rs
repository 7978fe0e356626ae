//! Plain data of the pallet.

use alloc::vec::Vec;
use blyan_primitives::{
	hash,
	model::{Architecture, MAX_COMPONENTS},
	tensor::{DType, PayloadType},
	BoundedVec, ConstU32, H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// An amount of BLY in its smallest unit, 10^−18 BLY.
pub type Balance = u128;

/// The most bytes of a model's name.
pub const MAX_NAME_BYTES: u32 = 64;
/// The most datasets that one snapshot can have learned from; a round names at most as many.
pub const MAX_LINEAGE_DATASETS: u32 = 16;
/// Rejected candidates that are kept for each model. The oldest gives way to the newest.
pub const MAX_REJECTED: u32 = 64;

/// A model's name: lower-case ASCII letters, digits, `-`, `.` and `_`.
pub type Name = BoundedVec<u8, ConstU32<MAX_NAME_BYTES>>;
/// Tile roots of all components, in the order of the architecture.
pub type Roots = BoundedVec<H256, ConstU32<MAX_COMPONENTS>>;
/// Heads of all components, in the order of the architecture.
pub type HeadList = BoundedVec<Head, ConstU32<MAX_COMPONENTS>>;

/// Whether `name` may be a model's name: not empty, and only characters that look the same to
/// everybody and need no quoting in paths and commands.
pub fn name_is_valid(name: &[u8]) -> bool {
	!name.is_empty()
		&& name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

/// A semantic version. Ordered by `major`, then `minor`, then `patch`.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Debug,
	Default,
)]
pub struct Version {
	/// Grows with what older engines cannot run.
	pub major: u16,
	/// Grows with what older engines can run.
	pub minor: u16,
	/// Grows with corrections.
	pub patch: u16,
}

/// What a spec says, once and for all.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Definition {
	/// Version of the spec; each one of a model is higher than the one before.
	pub version: Version,
	/// Dimensions, from which names, shapes and sizes of the components follow.
	pub architecture: Architecture,
	/// Hash of the tokenizer's file.
	pub tokenizer_hash: H256,
	/// Fraction bits of the master weights.
	pub fraction_bits: u8,
	/// The oldest version whose weights this spec can run.
	pub compatible_from: Version,
	/// Seed of the first weights, so that anybody can compute them.
	pub init_seed: H256,
}

/// How far a spec has come.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub enum SpecStatus {
	/// Nobody is asked to use it.
	#[codec(index = 0)]
	Draft,
	/// Servers answer a part of the queries with it.
	#[codec(index = 1)]
	Canary {
		/// That part, 1 to 99.
		percent: u8,
	},
	/// Everybody should use it.
	#[codec(index = 2)]
	Stable,
	/// Nobody should use it any more.
	#[codec(index = 3)]
	Deprecated,
}

impl SpecStatus {
	/// Whether a spec of this status may get the status `next`.
	///
	/// The line is `Draft → Canary → Stable → Deprecated`; a canary may change its percentage, and
	/// every status may end in `Deprecated`, which is how a bad draft or canary is withdrawn.
	pub fn may_become(&self, next: &SpecStatus) -> bool {
		match (self, next) {
			(SpecStatus::Canary { percent: now }, SpecStatus::Canary { percent: next }) => {
				now != next
			}
			(SpecStatus::Draft, SpecStatus::Canary { .. }) => true,
			(SpecStatus::Canary { .. }, SpecStatus::Stable) => true,
			(SpecStatus::Deprecated, _) => false,
			(_, SpecStatus::Deprecated) => true,
			_ => false,
		}
	}
}

/// One spec of a model.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Spec {
	/// What it says.
	pub definition: Definition,
	/// How far it has come.
	pub status: SpecStatus,
}

/// A model.
#[derive(
	Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo, Clone, PartialEq, Eq, Debug,
)]
pub struct Model<AccountId> {
	/// Its name, unique on the chain.
	pub name: Name,
	/// Who may change its specs and open its rounds.
	pub owner: AccountId,
	/// What is held from the owner for it.
	pub deposit: Balance,
	/// Number of the current snapshot.
	pub snapshot: u32,
	/// Number of its specs.
	pub specs: u32,
	/// The highest version among them.
	pub latest_spec: Version,
	/// Number of candidates that were ever rejected.
	pub rejected: u64,
}

/// What produced a block.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub enum BlockOrigin {
	/// The creation of the model.
	#[codec(index = 0)]
	Genesis,
	/// A finalised round.
	#[codec(index = 1)]
	Round(u32),
	/// A change of the architecture.
	#[codec(index = 2)]
	Migration {
		/// The spec of the parent.
		from: Version,
		/// The spec of the block.
		to: Version,
	},
}

/// One version of one component.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Block<BlockNumber> {
	/// Counted from zero for each component.
	pub version: u32,
	/// Hash of the block before it; zero for version zero.
	pub parent: H256,
	/// What the payload is.
	pub payload: PayloadType,
	/// What an element of the payload is.
	pub dtype: DType,
	/// Length of the payload, in bytes.
	pub bytes: u64,
	/// Root of the tree over the payload.
	pub root: H256,
	/// What produced the block.
	pub origin: BlockOrigin,
	/// When the chain accepted it.
	pub at: BlockNumber,
}

impl<BlockNumber: Encode> Block<BlockNumber> {
	/// The block's hash: BLAKE2b-256 of the SCALE encoding of model, component and block. It
	/// commits to the whole chain before it through `parent`.
	pub fn hash(&self, model: u32, component: u16) -> H256 {
		hash::blake2b_256(&(model, component, self).encode())
	}
}

/// The newest block of a component.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Head {
	/// Its version.
	pub version: u32,
	/// Root of the tree over its payload.
	pub root: H256,
	/// Its hash.
	pub hash: H256,
}

/// A version of a whole model: the heads of all components at one time.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Snapshot<BlockNumber> {
	/// Number of the snapshot it was trained from; none for the first.
	pub parent: Option<u32>,
	/// Version of the spec that its weights have.
	pub spec: Version,
	/// Root of the list of the components' tile roots, in order.
	pub heads_root: H256,
	/// The round that produced it; none for the first.
	pub round: Option<u32>,
	/// Loss of the parent on the round's evaluation records, in micro-nats; zero for the first.
	pub base_loss: u32,
	/// Loss of this snapshot on the same records, in micro-nats; zero for the first.
	pub candidate_loss: u32,
	/// When it became the current one.
	pub at: BlockNumber,
}

/// A candidate that was not better than its base.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
)]
pub struct Candidate<BlockNumber> {
	/// The round that produced it.
	pub round: u32,
	/// The model's snapshot at that time.
	pub base: u32,
	/// Root of the list of the components' tile roots, in order.
	pub heads_root: H256,
	/// When it was rejected.
	pub at: BlockNumber,
}

/// What a snapshot was learned from, as other pallets and clients pass it on.
#[derive(Encode, Decode, DecodeWithMemTracking, TypeInfo, Clone, PartialEq, Eq, Debug, Default)]
pub struct Lineage {
	/// Id of each dataset, and how many of its samples were used.
	pub datasets: Vec<(u32, u64)>,
	/// How much lower the loss became, in micro-nats.
	pub improvement_micronats: u32,
	/// Loss of the base, in micro-nats.
	pub base_loss: u32,
	/// Loss of the snapshot, in micro-nats.
	pub candidate_loss: u32,
}

/// A [`Lineage`] as it is stored.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	PartialEq,
	Eq,
	Debug,
	Default,
)]
pub struct StoredLineage {
	/// Id of each dataset, and how many of its samples were used.
	pub datasets: BoundedVec<(u32, u64), ConstU32<MAX_LINEAGE_DATASETS>>,
	/// How much lower the loss became, in micro-nats.
	pub improvement_micronats: u32,
	/// Loss of the base, in micro-nats.
	pub base_loss: u32,
	/// Loss of the snapshot, in micro-nats.
	pub candidate_loss: u32,
}

impl StoredLineage {
	/// The bounded form of `lineage`; none if it names more than [`MAX_LINEAGE_DATASETS`] datasets.
	pub fn new(lineage: Lineage) -> Option<Self> {
		Some(Self {
			datasets: lineage.datasets.try_into().ok()?,
			improvement_micronats: lineage.improvement_micronats,
			base_loss: lineage.base_loss,
			candidate_loss: lineage.candidate_loss,
		})
	}
}

impl From<StoredLineage> for Lineage {
	fn from(stored: StoredLineage) -> Self {
		Self {
			datasets: stored.datasets.into_inner(),
			improvement_micronats: stored.improvement_micronats,
			base_loss: stored.base_loss,
			candidate_loss: stored.candidate_loss,
		}
	}
}
