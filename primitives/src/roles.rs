//! What a worker may do.
//!
//! # Layout
//!
//! [`Role`] is one byte, its index below. [`Roles`] is one byte, bit `i` set for the role of index
//! `i`; bits 6 and 7 are zero and a decoder refuses them.
//!
//! | index | role |
//! |---|---|
//! | 0 | trainer |
//! | 1 | verifier |
//! | 2 | auditor |
//! | 3 | aggregator |
//! | 4 | evaluator |
//! | 5 | server |
//!
//! ```
//! use blyan_primitives::roles::{Role, Roles};
//!
//! let roles = Roles::of(&[Role::Trainer, Role::Verifier]);
//! assert!(roles.contains(Role::Verifier));
//! assert!(!roles.contains(Role::Auditor));
//! assert_eq!(roles.bits(), 0b11);
//! ```

use codec::{Decode, DecodeWithMemTracking, Encode, Input, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// One thing that a worker may do.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Role {
	/// Runs training steps of a round.
	#[codec(index = 0)]
	Trainer,
	/// Re-runs segments of other trainers.
	#[codec(index = 1)]
	Verifier,
	/// Judges submitted datasets.
	#[codec(index = 2)]
	Auditor,
	/// Merges updates, alone for a tile or beforehand for a region.
	#[codec(index = 3)]
	Aggregator,
	/// Measures the loss of base and candidate on held-out records.
	#[codec(index = 4)]
	Evaluator,
	/// Serves tiles and answers.
	#[codec(index = 5)]
	Server,
}

impl Role {
	/// Every role, in the order of its index.
	pub const ALL: [Role; 6] = [
		Role::Trainer,
		Role::Verifier,
		Role::Auditor,
		Role::Aggregator,
		Role::Evaluator,
		Role::Server,
	];

	/// The bit that stands for this role in [`Roles`].
	const fn bit(self) -> u8 {
		match self {
			Role::Trainer => 1,
			Role::Verifier => 1 << 1,
			Role::Auditor => 1 << 2,
			Role::Aggregator => 1 << 3,
			Role::Evaluator => 1 << 4,
			Role::Server => 1 << 5,
		}
	}
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, MaxEncodedLen, TypeInfo)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u8", into = "u8"))]
pub struct Roles(u8);

impl Roles {
	/// No role.
	pub const EMPTY: Roles = Roles(0);
	/// Every role.
	pub const ALL: Roles = Roles(0b0011_1111);

	/// The set of exactly `roles`.
	pub fn of(roles: &[Role]) -> Self {
		roles.iter().copied().collect()
	}

	/// The set that `bits` stands for; `None` if a bit stands for no role.
	pub const fn from_bits(bits: u8) -> Option<Self> {
		if bits & !Self::ALL.0 == 0 {
			Some(Self(bits))
		} else {
			None
		}
	}

	/// The byte that stands for this set.
	pub const fn bits(self) -> u8 {
		self.0
	}

	/// Whether `role` is in the set.
	pub const fn contains(self, role: Role) -> bool {
		self.0 & role.bit() != 0
	}

	/// Adds `role`.
	pub fn insert(&mut self, role: Role) {
		self.0 |= role.bit();
	}

	/// Takes `role` out.
	pub fn remove(&mut self, role: Role) {
		self.0 &= !role.bit();
	}

	/// Whether no role is in the set.
	pub const fn is_empty(self) -> bool {
		self.0 == 0
	}

	/// The roles in the set, in the order of their index.
	pub fn iter(self) -> impl Iterator<Item = Role> {
		Role::ALL.into_iter().filter(move |role| self.contains(*role))
	}
}

impl From<Role> for Roles {
	fn from(role: Role) -> Self {
		Self(role.bit())
	}
}

impl FromIterator<Role> for Roles {
	fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
		let mut set = Self::EMPTY;
		for role in roles {
			set.insert(role);
		}
		set
	}
}

impl From<Roles> for u8 {
	fn from(roles: Roles) -> Self {
		roles.bits()
	}
}

impl TryFrom<u8> for Roles {
	type Error = UnknownRole;

	fn try_from(bits: u8) -> Result<Self, UnknownRole> {
		Self::from_bits(bits).ok_or(UnknownRole)
	}
}

impl Decode for Roles {
	fn decode<I: Input>(input: &mut I) -> Result<Self, codec::Error> {
		let bits = u8::decode(input)?;
		Self::from_bits(bits).ok_or_else(|| codec::Error::from("a bit that stands for no role"))
	}
}

impl DecodeWithMemTracking for Roles {}

/// A byte has a bit set that stands for no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRole;

impl fmt::Display for UnknownRole {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("a set of roles uses bits 0 to 5 only; clear bits 6 and 7")
	}
}

impl core::error::Error for UnknownRole {}
