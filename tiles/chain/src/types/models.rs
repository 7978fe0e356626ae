//! Models: their specs, the blocks of their components, their snapshots and what these were learned
//! from.

use super::{AccountId, Balance, BlockNumber, Static};
use blyan_primitives::{model::Architecture, H256};
use std::fmt;
use subxt::ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType};

/// A semantic version.
#[derive(
	Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, DecodeAsType, EncodeAsType,
)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Version {
	/// Grows with what older engines cannot run.
	pub major: u16,
	/// Grows with what older engines can run.
	pub minor: u16,
	/// Grows with corrections.
	pub patch: u16,
}

impl fmt::Display for Version {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
	}
}

impl std::str::FromStr for Version {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let wrong = || String::from("write three numbers up to 65535, as in 0.1.0");
		let mut parts = text.split('.').map(|part| {
			let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
			plain.then(|| part.parse::<u16>().ok()).flatten()
		});
		let mut next = || parts.next().flatten();
		let (Some(major), Some(minor), Some(patch)) = (next(), next(), next()) else {
			return Err(wrong());
		};
		match parts.next() {
			None => Ok(Self { major, minor, patch }),
			Some(_) => Err(wrong()),
		}
	}
}

/// What a spec says, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Definition {
	/// Version of the spec.
	pub version: Version,
	/// Dimensions, from which names, shapes and sizes of the components follow.
	pub architecture: Static<Architecture>,
	/// Hash of the tokenizer's file.
	pub tokenizer_hash: H256,
	/// Fraction bits of the master weights.
	pub fraction_bits: u8,
	/// The oldest version whose weights this spec can run.
	pub compatible_from: Version,
	/// Seed of the first weights.
	pub init_seed: H256,
}

/// How far a spec has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum SpecStatus {
	/// Nobody is asked to use it.
	Draft,
	/// Servers answer a part of the queries with it.
	Canary {
		/// That part, 1 to 99.
		percent: u8,
	},
	/// Everybody should use it.
	Stable,
	/// Nobody should use it any more.
	Deprecated,
}

impl fmt::Display for SpecStatus {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Draft => f.write_str("draft"),
			Self::Canary { percent } => write!(f, "canary ({percent} %)"),
			Self::Stable => f.write_str("stable"),
			Self::Deprecated => f.write_str("deprecated"),
		}
	}
}

/// One spec of a model.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Spec {
	/// What it says.
	pub definition: Definition,
	/// How far it has come.
	pub status: SpecStatus,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Model {
	/// Its name, unique on the chain.
	pub name: Vec<u8>,
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

impl Model {
	/// Its name as text.
	pub fn name(&self) -> String {
		String::from_utf8_lossy(&self.name).into_owned()
	}
}

/// What produced a block of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum BlockOrigin {
	/// The creation of the model.
	Genesis,
	/// A finalised round.
	Round(u32),
	/// A change of the architecture.
	Migration {
		/// The spec of the parent.
		from: Version,
		/// The spec of the block.
		to: Version,
	},
}

/// One version of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct ComponentBlock {
	/// Counted from zero for each component.
	pub version: u32,
	/// Hash of the block before it; zero for version zero.
	pub parent: H256,
	/// Length of the payload, in bytes.
	pub bytes: u64,
	/// Root of the tree over the payload.
	pub root: H256,
	/// What produced the block.
	pub origin: BlockOrigin,
	/// When the chain accepted it.
	pub at: BlockNumber,
}

/// The newest block of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct ComponentHead {
	/// Its version.
	pub version: u32,
	/// Root of the tree over its payload.
	pub root: H256,
	/// Its hash.
	pub hash: H256,
}

/// A version of a whole model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Snapshot {
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

/// What a snapshot was learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
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

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn versions_are_three_numbers() {
		assert_eq!("0.1.10".parse(), Ok(Version { major: 0, minor: 1, patch: 10 }));
		assert_eq!(Version { major: 2, minor: 0, patch: 7 }.to_string(), "2.0.7");
		for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1..2", "1.2.70000", "+1.2.3", "1.2.3 "] {
			assert!(wrong.parse::<Version>().is_err(), "{wrong}");
		}
	}
}
