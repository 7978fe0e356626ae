//! The delta of a component, of either kind, leaf by leaf.

use super::{
	apply::{apply_leaf, apply_product, check_leaf, decode_leaf, leaf_squared_norm, put_back},
	leaf_count,
	low_rank::{self, LastLeaf, Product, Tensors},
	Error, ErrorKind,
};
use alloc::vec::Vec;

/// What the leaves of a component's delta are. The bytes do not repeat it.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
	/// Chunks, for so many weights.
	Chunks(usize),
	/// A low-rank delta of these tensors.
	LowRank(&'a Tensors),
}

impl Form<'_> {
	/// Weights of the component.
	pub fn weights(&self) -> usize {
		match self {
			Self::Chunks(weights) => *weights,
			Self::LowRank(tensors) => tensors.weights(),
		}
	}
}

/// The leaves of a component's delta, of which was read what all of them need.
#[derive(Clone, Debug)]
pub struct Leaves<'a> {
	/// For each leaf of the weights the bytes that are its own.
	leaves: &'a [Vec<u8>],
	/// The last leaf of a low-rank delta.
	last: Option<LastLeaf<'a>>,
}

impl<'a> Leaves<'a> {
	/// Reads what all leaves need. Of a low-rank delta this checks everything; what chunks say is
	/// checked when they are used.
	pub fn open(form: Form<'a>, leaves: &'a [Vec<u8>]) -> Result<Self, Error> {
		match form {
			Form::Chunks(0) => Err(Error::new(0, ErrorKind::Weights(0))),
			Form::Chunks(weights) if leaves.len() != leaf_count(weights) => {
				Err(Error::new(0, ErrorKind::Leaves(leaves.len())))
			}
			Form::Chunks(_) => Ok(Self { leaves, last: None }),
			Form::LowRank(tensors) => {
				let (contents, leaves) = low_rank::read(tensors, leaves)?;
				Ok(Self { leaves, last: Some(contents.into()) })
			}
		}
	}

	/// What the delta says about leaf `leaf` of the component, if that has it.
	pub fn leaf(&self, leaf: usize) -> Option<LeafDelta<'_>> {
		let bytes = self.leaves.get(leaf)?.as_slice();
		Some(match &self.last {
			None => LeafDelta::Chunks(bytes),
			Some(last) => LeafDelta::LowRank(Product { last, leaf, rows: bytes }),
		})
	}
}

/// What a delta says about one leaf.
#[derive(Clone, Copy, Debug)]
pub enum LeafDelta<'a> {
	/// The bytes of its chunks.
	Chunks(&'a [u8]),
	/// Rows of the left factors, and the right factors.
	LowRank(Product<'a>),
}

impl LeafDelta<'_> {
	/// Refuses what is not the delta of a leaf of `weights` weights.
	pub fn check(&self, weights: usize) -> Result<(), Error> {
		match self {
			Self::Chunks(bytes) => check_leaf(bytes, weights),
			Self::LowRank(product) => check_weights(product, weights),
		}
	}

	/// The sum of the squares of the increments, in square units, for a leaf of `weights` weights.
	pub fn squared_norm(&self, weights: usize) -> Result<u128, Error> {
		match self {
			Self::Chunks(bytes) => leaf_squared_norm(bytes, weights),
			Self::LowRank(product) => {
				check_weights(product, weights)?;
				Ok(product.squared_norm())
			}
		}
	}

	/// Writes the increments over `increments`, which has a place for each weight of the leaf. What
	/// no `i32` holds becomes the nearest number that it holds.
	///
	/// Chunks allocate nothing, a product one short list. If chunks are refused, a part of the
	/// increments may have been written already.
	pub fn decode(&self, increments: &mut [i32]) -> Result<(), Error> {
		match self {
			Self::Chunks(bytes) => decode_leaf(increments, bytes),
			Self::LowRank(product) => {
				check_weights(product, increments.len())?;
				// Applied to zeros; weights that no tensor has are not visited.
				increments.fill(0);
				apply_product(increments, product);
				Ok(())
			}
		}
	}

	/// Adds the increments to what the delta left out of a leaf, which makes that what was to be
	/// said, without going beyond what an `i64` holds.
	///
	/// If chunks are refused, something may have been added already.
	pub fn put_back(&self, left: &mut [i64]) -> Result<(), Error> {
		match self {
			Self::Chunks(bytes) => put_back(left, bytes),
			Self::LowRank(product) => {
				check_weights(product, left.len())?;
				product.put_back(left);
				Ok(())
			}
		}
	}

	/// Adds the delta to a leaf, like [`super::apply()`] of its increments.
	///
	/// If chunks are refused, a part of the leaf may have been changed already.
	pub fn apply(&self, leaf: &mut [i32]) -> Result<(), Error> {
		match self {
			Self::Chunks(bytes) => apply_leaf(leaf, bytes),
			Self::LowRank(product) => {
				check_weights(product, leaf.len())?;
				apply_product(leaf, product);
				Ok(())
			}
		}
	}
}

/// Refuses to use a product for a leaf of another length.
pub(super) fn check_weights(product: &Product<'_>, weights: usize) -> Result<(), Error> {
	match product.weights() == weights {
		true => Ok(()),
		false => Err(Error::new(0, ErrorKind::Weights(weights))),
	}
}
