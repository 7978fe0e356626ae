//! Which records a trainer must use, and which nobody may train on.
//!
//! Everything is a pure function of the round's seed, which is drawn after the round is opened, so
//! a trainer cannot choose its records and anybody can name them afterwards. Every function hashes
//! at most [`EVALUATION_TRIES`] times per record.
//!
//! # Terminology
//!
//! - *Mixture*: the datasets of a round in their order, each repeated `weight` times. With records
//!   `r_d` and weight `w_d` it is the concatenation, over `d`, of `w_d` copies of `0..r_d`, and has
//!   `Σ r_d·w_d` places.
//! - *Place*: an index into that concatenation.
//! - *Held out*: kept from training, for evaluation. One record in 16, fixed at approval by the
//!   dataset's own seed.
//!
//! # Formulas
//!
//! Numbers are little-endian, `step`, `i` and `record` are `u32`.
//!
//! ```text
//! draw            = H(seed:32 ‖ trainer:32 ‖ step ‖ i)
//! index           = u64(draw[0..8]) mod places
//! window          = 0                                       if record_len <= context
//!                   u64(draw[8..16]) mod (record_len - context)   otherwise
//! held_out(r)     = H(held_out_seed:32 ‖ r)[0] mod 16 = 0
//! ```
//!
//! The record of example `i` of a step: take the place `index`, which is record `r` of dataset `d`;
//! of `r, r+1, …` modulo `r_d`, at most 64 of them, it is the first that is not held out. Datasets
//! have at least 64 records, so all being held out has a chance of 16^-64.
//!
//! Record `k` of an evaluation: the same with the trainer [`EVALUATOR`] and step 0, `i = k`, and the
//! first of at most 512 records that *is* held out; a dataset without one yields nothing.
//!
//! # Bias
//!
//! Reducing 64 bits modulo `places` favours some places by at most `places / 2^64`, below 2^-24
//! because [`Mixture::new`] refuses 2^40 places or more. Walking to the next record favours records
//! that follow a held-out one, which is known and the same for everyone.
//!
//! ```
//! use blyan_primitives::{sampling::{held_out, sample, MixtureEntry}, H256};
//!
//! let datasets = [MixtureEntry { records: 100, weight: 1, held_out_seed: H256([9; 32]) }];
//! let (dataset, record) = sample(&H256([1; 32]), &[2; 32], 0, 0, &datasets).unwrap();
//! assert_eq!(dataset, 0);
//! assert!(record < 100 && !held_out(&datasets[0].held_out_seed, record));
//! ```

use crate::{hash::blake2b_256, H256};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// The most datasets in one round.
pub const MAX_DATASETS: usize = 16;
/// The fewest records of a dataset that may be trained on: as many as the walk past held-out
/// records may take.
pub const MIN_RECORDS: u32 = 64;
/// The most records that the walk for a training record looks at.
pub const TRAINING_TRIES: u32 = 64;
/// The most records that the walk for a held-out record looks at.
pub const EVALUATION_TRIES: u32 = 512;
/// The most records that one evaluation may name.
pub const MAX_EVALUATION_RECORDS: u32 = 1_024;
/// A mixture has fewer places than this, so that the modulus is unbiased enough.
pub const MAX_PLACES: u64 = 1 << 40;
/// Stands where a trainer's account stands when evaluation records are drawn. No key has this
/// account, and if one had, it would merely be told to train where evaluators look.
pub const EVALUATOR: [u8; 32] = *b"blyan/evaluation................";

const _: () = assert!(MIN_RECORDS >= TRAINING_TRIES);

/// One dataset of a round as sampling sees it.
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
pub struct MixtureEntry {
	/// Records in the dataset.
	pub records: u32,
	/// How often the dataset is repeated.
	pub weight: u16,
	/// Decides which of its records are held out; drawn when the dataset was approved.
	pub held_out_seed: H256,
}

/// Why a list of datasets is not a mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MixtureError {
	/// No dataset.
	Empty,
	/// More than [`MAX_DATASETS`].
	TooMany,
	/// The dataset at this position has no record.
	NoRecords(usize),
	/// The dataset at this position has weight 0.
	NoWeight(usize),
	/// The mixture has [`MAX_PLACES`] places or more.
	TooLarge,
}

impl fmt::Display for MixtureError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Empty => f.write_str("a mixture needs at least one dataset"),
			Self::TooMany => write!(f, "a mixture has at most {MAX_DATASETS} datasets"),
			Self::NoRecords(i) => write!(f, "dataset {i} of the mixture has no records"),
			Self::NoWeight(i) => write!(f, "dataset {i} of the mixture needs a weight above 0"),
			Self::TooLarge => {
				f.write_str("records times weights reach 2^40; use smaller weights or datasets")
			}
		}
	}
}

impl core::error::Error for MixtureError {}

/// The datasets of a round, laid out as one line of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mixture(Vec<(u32, u16)>);

impl Mixture {
	/// The mixture of `datasets` in their order.
	pub fn new(datasets: &[MixtureEntry]) -> Result<Self, MixtureError> {
		if datasets.is_empty() {
			return Err(MixtureError::Empty);
		}
		if datasets.len() > MAX_DATASETS {
			return Err(MixtureError::TooMany);
		}
		for (position, dataset) in datasets.iter().enumerate() {
			if dataset.records == 0 {
				return Err(MixtureError::NoRecords(position));
			}
			if dataset.weight == 0 {
				return Err(MixtureError::NoWeight(position));
			}
		}
		let mixture = Self(datasets.iter().map(|d| (d.records, d.weight)).collect());
		if mixture.places() >= MAX_PLACES {
			return Err(MixtureError::TooLarge);
		}
		Ok(mixture)
	}

	/// How many places there are. At most 16 · 2^32 · 2^16 = 2^52, so the sum cannot overflow.
	pub fn places(&self) -> u64 {
		self.0.iter().fold(0u64, |sum, entry| sum + span(entry))
	}

	/// The dataset's position in the mixture and the record that stand at place `index`; `None` past
	/// the last place.
	pub fn locate(&self, index: u64) -> Option<(usize, u32)> {
		let mut rest = index;
		for (position, entry) in self.0.iter().enumerate() {
			if rest < span(entry) {
				let record = rest.checked_rem(u64::from(entry.0))?;
				return Some((position, u32::try_from(record).ok()?));
			}
			rest -= span(entry);
		}
		None
	}
}

/// Places that one dataset takes: below 2^48.
fn span((records, weight): &(u32, u16)) -> u64 {
	u64::from(*records) * u64::from(*weight)
}

/// The first two little-endian words of `hash`.
pub(crate) fn words(hash: &H256) -> (u64, u64) {
	let mut words = hash
		.as_bytes()
		.chunks_exact(8)
		.map(|word| word.iter().rev().fold(0u64, |value, byte| (value << 8) | u64::from(*byte)));
	(words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// What decides example `i` of a step: its place, and its window within the record.
fn draw(seed: &H256, trainer: &[u8; 32], step: u32, i: u32) -> (u64, u64) {
	let (step, i) = (step.to_le_bytes(), i.to_le_bytes());
	words(&blake2b_256(
		&[seed.as_bytes(), trainer.as_slice(), step.as_slice(), i.as_slice()].concat(),
	))
}

/// The number below `records` that example `i` of `step` is told to use; `None` if `records` is 0.
pub fn index(seed: &H256, trainer: &[u8; 32], step: u32, i: u32, records: u64) -> Option<u64> {
	draw(seed, trainer, step, i).0.checked_rem(records)
}

/// Whether `record` is kept from training: so for one record in 16.
pub fn held_out(held_out_seed: &H256, record: u32) -> bool {
	let record = record.to_le_bytes();
	let hash = blake2b_256(&[held_out_seed.as_bytes(), record.as_slice()].concat());
	hash.as_bytes().first().is_some_and(|byte| byte & 0x0f == 0)
}

/// The dataset's position and the record that example `i` of `step` must be.
///
/// `None` if `datasets` is no [`Mixture`], or if the walk meets held-out records only, which takes a
/// dataset of fewer than [`MIN_RECORDS`] records.
pub fn sample(
	seed: &H256,
	trainer: &[u8; 32],
	step: u32,
	i: u32,
	datasets: &[MixtureEntry],
) -> Option<(usize, u32)> {
	let mixture = Mixture::new(datasets).ok()?;
	let place = index(seed, trainer, step, i, mixture.places())?;
	walk(&mixture, place, datasets, false, TRAINING_TRIES)
}

/// `n` held-out records to measure a loss on, at most [`MAX_EVALUATION_RECORDS`]: the dataset's
/// position and the record of each. Repetitions are possible, as in any draw that puts back. Shorter
/// than `n` if draws fell on datasets that hold out none of the records looked at, and empty if
/// `datasets` is no [`Mixture`].
pub fn evaluation_records(seed: &H256, n: u32, datasets: &[MixtureEntry]) -> Vec<(usize, u32)> {
	let Ok(mixture) = Mixture::new(datasets) else { return Vec::new() };
	(0..n.min(MAX_EVALUATION_RECORDS))
		.filter_map(|k| {
			let place = index(seed, &EVALUATOR, 0, k, mixture.places())?;
			walk(&mixture, place, datasets, true, EVALUATION_TRIES)
		})
		.collect()
}

/// From `place` on, the first record of the same dataset that is held out or not as `wanted`,
/// wrapping, within `tries` records.
fn walk(
	mixture: &Mixture,
	place: u64,
	datasets: &[MixtureEntry],
	wanted: bool,
	tries: u32,
) -> Option<(usize, u32)> {
	let (position, first) = mixture.locate(place)?;
	let dataset = datasets.get(position)?;
	// A second round past the same records finds nothing new.
	for offset in 0..tries.min(dataset.records) {
		let record = (u64::from(first) + u64::from(offset)).checked_rem(u64::from(dataset.records));
		let record = u32::try_from(record?).ok()?;
		if held_out(&dataset.held_out_seed, record) == wanted {
			return Some((position, record));
		}
	}
	None
}

/// Where in a record of `record_len` tokens example `i` of `step` starts.
///
/// `context` inputs and, one further, `context` targets fit behind it, unless the record is too
/// short, in which case it is used from its start.
pub fn window(
	seed: &H256,
	trainer: &[u8; 32],
	step: u32,
	i: u32,
	record_len: u32,
	context: u32,
) -> u32 {
	let starts = u64::from(record_len.saturating_sub(context));
	let start = draw(seed, trainer, step, i).1.checked_rem(starts).unwrap_or(0);
	// Below `record_len`, so it fits.
	u32::try_from(start).unwrap_or(0)
}
