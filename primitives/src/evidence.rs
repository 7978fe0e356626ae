//! Evidence that a trainer lied about what it did, and whether it proves that.
//!
//! A trainer reveals the root of its trace ([`crate::update`]), and the round's seed names the
//! records that it must use ([`crate::sampling`]). Two things can be shown by paths, without
//! training again:
//!
//! - [`DataMisuse`]: the trace has one record where the seed names another. Three paths: of the
//!   step in the trace, of the record in its batch, of the record that the seed names in its
//!   dataset.
//! - [`TraceMisfit`]: the trace has not the form that the recipe asks for. One or two paths.
//!
//! The chain refutes an update if this says that it may, and a verifier asks the same before it
//! submits evidence. What is decided depends on the arguments alone; whether the update can still
//! be refuted, and by whom, is for the caller to know.
//!
//! # Bounds
//!
//! At most three paths, whose lengths their types bound, and one draw of a record, which hashes at
//! most 1 + [`TRAINING_TRIES`](crate::sampling::TRAINING_TRIES) times. Of more than
//! [`MAX_DATASETS`](crate::sampling::MAX_DATASETS) datasets no record is drawn.
//!
//! # Order
//!
//! Paths in the trace and in a batch come first, then the draw, then the path in the dataset;
//! whether all that is a fraud comes last. The first that fails is the error.

use crate::{
	recipe::Recipe,
	record::ensure,
	sampling::{sample, MixtureEntry},
	trace::Step,
	tree::{verify, Kind, Proof},
	update::Update,
	H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt;
use scale_info::TypeInfo;

/// An entry of a trace that is a step, with its path.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct TraceLeaf {
	/// Position of the entry.
	pub index: u32,
	/// The entry.
	pub step: Step,
	/// Its path to the trace root.
	pub proof: Proof,
}

/// A hash in a list, with its path.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct ListLeaf {
	/// The hash.
	pub hash: H256,
	/// Its path to the root of the list.
	pub proof: Proof,
}

/// Evidence that a trainer used a record that it was not told to use.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DataMisuse {
	/// The step, in the trace.
	pub leaf: TraceLeaf,
	/// Position of the record in the step's batch.
	pub position: u32,
	/// The record that the trace shows there, in the step's batch.
	pub claimed: ListLeaf,
	/// The record that the round's seed names, in its dataset.
	pub told: ListLeaf,
}

/// Evidence that a trace has not the form that its round asks for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum TraceMisfit {
	/// The trace root commits to another number of entries than the update claims.
	#[codec(index = 0)]
	WrongCount {
		/// The number it commits to.
		entries: u32,
		/// Position of the entry that shows it.
		index: u32,
		/// The entry.
		leaf: ListLeaf,
	},
	/// Two entries are the same step.
	#[codec(index = 1)]
	RepeatedStep {
		/// One of them.
		first: TraceLeaf,
		/// The other.
		second: TraceLeaf,
	},
	/// An entry is a step that belongs in another place, or in none.
	#[codec(index = 2)]
	MisplacedStep {
		/// The entry.
		leaf: TraceLeaf,
	},
	/// The batch root of a step commits to another number of records than the recipe asks for.
	#[codec(index = 3)]
	WrongBatch {
		/// The step, in the trace.
		leaf: TraceLeaf,
		/// The number it commits to.
		records: u32,
		/// Position of the record that shows it.
		index: u32,
		/// The record.
		record: ListLeaf,
	},
}

/// What decides which records a trainer must use.
#[derive(Clone, Copy, Debug)]
pub struct Assignment<'a> {
	/// The round's seed.
	pub seed: &'a H256,
	/// The trainer's account.
	pub trainer: &'a [u8; 32],
	/// The round's datasets in order: each as sampling sees it, and the list root over its records.
	pub datasets: &'a [(MixtureEntry, H256)],
}

/// Why evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceError {
	/// A path does not lead to its root.
	PathMismatch,
	/// The round's seed names no record for this step and position.
	NotSampled,
	/// What is shown is as it should be.
	NotFraud,
}

impl fmt::Display for EvidenceError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::PathMismatch => {
				"a path does not lead to its root; take each from the list that its root is of"
			}
			Self::NotSampled => {
				"the round's seed names no record for this step and position; check the datasets"
			}
			Self::NotFraud => "what is shown is as it should be; show what is not",
		})
	}
}

impl core::error::Error for EvidenceError {}

impl TraceLeaf {
	/// Whether this is a step of the update's trace.
	fn check(&self, update: &Update) -> Result<(), EvidenceError> {
		let entries = u64::from(update.trace_entries);
		let (index, hash) = (u64::from(self.index), self.step.hash());
		verify(Kind::List, &update.trace_root, entries, index, &hash, &self.proof)
			.map_err(|_| EvidenceError::PathMismatch)
	}
}

impl ListLeaf {
	/// Whether the hash stands at `index` of the list of `count` hashes with `root`.
	fn check(&self, root: &H256, count: u32, index: u32) -> Result<(), EvidenceError> {
		verify(Kind::List, root, u64::from(count), u64::from(index), &self.hash, &self.proof)
			.map_err(|_| EvidenceError::PathMismatch)
	}
}

impl DataMisuse {
	/// Whether this proves that the trainer of `update` used a record that it was not told to use.
	pub fn check(
		&self,
		update: &Update,
		recipe: &Recipe,
		assignment: &Assignment<'_>,
	) -> Result<(), EvidenceError> {
		let Assignment { seed, trainer, datasets } = *assignment;
		self.leaf.check(update)?;
		let step = &self.leaf.step;
		self.claimed.check(&step.batch_root, u32::from(recipe.batch), self.position)?;

		let entries: Vec<MixtureEntry> = datasets.iter().map(|(entry, _)| *entry).collect();
		let (dataset, record) = sample(seed, trainer, step.step, self.position, &entries)
			.ok_or(EvidenceError::NotSampled)?;
		let (entry, root) = datasets.get(dataset).ok_or(EvidenceError::NotSampled)?;
		self.told.check(root, entry.records, record)?;
		ensure(self.claimed.hash != self.told.hash, EvidenceError::NotFraud)
	}
}

impl TraceMisfit {
	/// Whether this proves that the trace of `update` has not the form that `recipe` asks for.
	pub fn check(&self, update: &Update, recipe: &Recipe) -> Result<(), EvidenceError> {
		let fraud = match self {
			Self::WrongCount { entries, index, leaf } => {
				leaf.check(&update.trace_root, *entries, *index)?;
				*entries != update.trace_entries
			}
			Self::RepeatedStep { first, second } => {
				first.check(update)?;
				second.check(update)?;
				first.index != second.index && first.step.step == second.step.step
			}
			Self::MisplacedStep { leaf } => {
				leaf.check(update)?;
				leaf.index != leaf.step.step || leaf.step.step >= recipe.steps
			}
			Self::WrongBatch { leaf, records, index, record } => {
				leaf.check(update)?;
				record.check(&leaf.step.batch_root, *records, *index)?;
				*records != u32::from(recipe.batch)
			}
		};
		ensure(fraud, EvidenceError::NotFraud)
	}
}
