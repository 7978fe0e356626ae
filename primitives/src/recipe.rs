//! How a round trains: everything about it that is not data, seed or model.
//!
//! # Layout
//!
//! The SCALE encoding of [`Recipe`], 47 bytes, numbers little-endian. Its hash is what a round fixes
//! when it opens.
//!
//! | offset | size | field | unit | valid |
//! |---|---|---|---|---|
//! | 0 | 1 | numeric | 0: `f32` | 0 |
//! | 1 | 4 | steps | local steps of each trainer | 1..=65,536 |
//! | 5 | 2 | batch | records per step | 1..=1,024 |
//! | 7 | 4 | checkpoint every | steps | 1..=steps, at most 1,024 checkpoints |
//! | 11 | 4 | learning rate | 10^-9 | 1..=10^9 |
//! | 15 | 4 | weight decay | 10^-6 | 0..=10^6 |
//! | 19 | 4 | warm-up | steps | 0..=steps |
//! | 23 | 4 | tolerance | 10^-6 of the L2 norm | 1,000..=300,000 |
//! | 27 | 4 | least alignment | 10^-6 of a cosine | 50,000..=900,000 |
//! | 31 | 2 | delta bytes per chunk | bytes | 8..=4,098 |
//! | 33 | 2 | evaluation records | records | 1..=1,024 |
//! | 35 | 4 | margin | 10^-6 nat | 0..=20,000,000 |
//! | 39 | 8 | largest delta norm | 2^-F | 1.. |
//!
//! Two bounds depend on the model: the trace of a training must fit its blob
//! ([`Recipe::validate_for`]), and so must the deltas of all components
//! ([`Recipe::max_update_bytes`]).
//!
//! # Steps and checkpoints
//!
//! Steps are numbered from 0. A checkpoint carries the number of steps done: one after every
//! `checkpoint_every` steps and one after the last step. *Segment* `i` is the steps between
//! checkpoints `i - 1` (the base, for 0) and `i`.

use crate::{
	hash::blake2b_256,
	model::{Architecture, ComponentKind},
	record::{decode_scale, ensure, DecodeError},
	sampling::MAX_EVALUATION_RECORDS,
	trace::{
		trace_bytes, MAX_BATCH, MAX_CHECKPOINTS, MAX_STEPS, MAX_TRACE_BYTES, MAX_TRACE_COMPONENTS,
	},
	update::{max_delta_bytes, DeltaKind},
	H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// Parts per million in a whole.
pub const PPM: u32 = 1_000_000;
/// The largest learning rate: 1.
pub const MAX_LEARNING_RATE_NANO: u32 = 1_000_000_000;
/// The least tolerance: an honest re-run on another device must not count as a mismatch.
pub const MIN_TOLERANCE_PPM: u32 = 1_000;
/// The largest tolerance: a state that was not trained must not count as a match.
pub const MAX_TOLERANCE_PPM: u32 = 300_000;
/// The lowest alignment that a recipe may ask for: deltas of noise must not pass.
pub const MIN_ALIGNMENT_PPM: u32 = 50_000;
/// The highest alignment that a recipe may ask for: what rounding and error feedback cost must be
/// within an honest trainer's reach.
pub const MAX_ALIGNMENT_PPM: u32 = 900_000;
/// The fewest bytes that a delta may take per chunk: one sparse value.
pub const MIN_DELTA_BYTES_PER_CHUNK: u16 = 8;
/// The most bytes that a delta can take per chunk: a dense one.
pub const MAX_DELTA_BYTES_PER_CHUNK: u16 = 4_098;
/// The largest margin: more nats than guessing among 65,536 tokens loses.
pub const MAX_MARGIN_MICRONATS: u32 = 20_000_000;

/// What training computes with.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Numeric {
	/// 32-bit floating point: re-running a segment agrees within a tolerance.
	#[codec(index = 0)]
	F32,
}

/// How a round trains. The module says which values are valid.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Recipe {
	/// What training computes with.
	pub numeric: Numeric,
	/// Local steps that each trainer takes.
	pub steps: u32,
	/// Records per step.
	pub batch: u16,
	/// Steps from one checkpoint to the next.
	pub checkpoint_every: u32,
	/// Peak learning rate, in 10^-9.
	pub learning_rate_nano: u32,
	/// Weight decay, in 10^-6.
	pub weight_decay_ppm: u32,
	/// Steps over which the learning rate rises to its peak.
	pub warmup_steps: u32,
	/// How far a re-run may end from what the trainer claims, as L2 norm per component relative to
	/// the re-run's own, in 10^-6.
	pub tolerance_ppm: u32,
	/// The least cosine between claimed and re-run change, in 10^-6.
	pub min_alignment_ppm: u32,
	/// Bytes that an update's delta may take per chunk of 4,096 weights, on average over a leaf.
	pub delta_bytes_per_chunk: u16,
	/// Held-out records on which an evaluator measures.
	pub evaluation_records: u16,
	/// By how much the candidate's loss must be below the base's, in 10^-6 nat.
	pub margin_micronats: u32,
	/// The largest L2 norm of a whole update, in units of 2^-F: its square is compared with the sum
	/// of squared increments. A larger one is dropped from the merge.
	pub max_delta_norm: u64,
}

/// Which field of a recipe is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeError {
	/// Not 1 to [`MAX_STEPS`].
	Steps,
	/// Not 1 to [`MAX_BATCH`].
	Batch,
	/// Not 1 to `steps`, or more than [`MAX_CHECKPOINTS`] checkpoints.
	CheckpointEvery,
	/// Not 1 to [`MAX_LEARNING_RATE_NANO`].
	LearningRate,
	/// More than [`PPM`].
	WeightDecay,
	/// More than `steps`.
	WarmupSteps,
	/// Not [`MIN_TOLERANCE_PPM`] to [`MAX_TOLERANCE_PPM`].
	Tolerance,
	/// Not [`MIN_ALIGNMENT_PPM`] to [`MAX_ALIGNMENT_PPM`].
	MinAlignment,
	/// Not [`MIN_DELTA_BYTES_PER_CHUNK`] to [`MAX_DELTA_BYTES_PER_CHUNK`].
	DeltaBytesPerChunk,
	/// Not 1 to [`MAX_EVALUATION_RECORDS`].
	EvaluationRecords,
	/// More than [`MAX_MARGIN_MICRONATS`].
	Margin,
	/// 0.
	MaxDeltaNorm,
	/// Steps, batch and checkpoints together make a trace longer than [`MAX_TRACE_BYTES`].
	TraceTooLong,
	/// Not 1 to [`MAX_TRACE_COMPONENTS`] components.
	Components,
}

impl fmt::Display for RecipeError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Steps => write!(f, "steps must be 1 to {MAX_STEPS}"),
			Self::Batch => write!(f, "batch must be 1 to {MAX_BATCH}"),
			Self::CheckpointEvery => write!(
				f,
				"checkpoint_every must be 1 to steps and give at most {MAX_CHECKPOINTS} checkpoints"
			),
			Self::LearningRate => {
				write!(f, "learning_rate_nano must be 1 to {MAX_LEARNING_RATE_NANO}")
			}
			Self::WeightDecay => write!(f, "weight_decay_ppm must be at most {PPM}"),
			Self::WarmupSteps => f.write_str("warmup_steps must be at most steps"),
			Self::Tolerance => {
				write!(f, "tolerance_ppm must be {MIN_TOLERANCE_PPM} to {MAX_TOLERANCE_PPM}")
			}
			Self::MinAlignment => write!(
				f,
				"min_alignment_ppm must be {MIN_ALIGNMENT_PPM} to \
				 {MAX_ALIGNMENT_PPM}"
			),
			Self::DeltaBytesPerChunk => write!(
				f,
				"delta_bytes_per_chunk must be {MIN_DELTA_BYTES_PER_CHUNK} to \
				 {MAX_DELTA_BYTES_PER_CHUNK}"
			),
			Self::EvaluationRecords => {
				write!(f, "evaluation_records must be 1 to {MAX_EVALUATION_RECORDS}")
			}
			Self::Margin => write!(f, "margin_micronats must be at most {MAX_MARGIN_MICRONATS}"),
			Self::MaxDeltaNorm => f.write_str("max_delta_norm must be above 0"),
			Self::TraceTooLong => write!(
				f,
				"the trace would exceed {MAX_TRACE_BYTES} bytes; take fewer steps, records or \
				 checkpoints"
			),
			Self::Components => {
				write!(f, "a traced model has 1 to {MAX_TRACE_COMPONENTS} components")
			}
		}
	}
}

impl core::error::Error for RecipeError {}

impl Recipe {
	/// The hash of the encoding.
	pub fn hash(&self) -> H256 {
		blake2b_256(&self.encode())
	}

	/// The recipe that the whole of `bytes` stands for. Whether it makes sense is for
	/// [`Self::validate`] to say.
	pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
		decode_scale(bytes)
	}

	/// Whether every field is what it may be, for a model of any size.
	pub fn validate(&self) -> Result<(), RecipeError> {
		self.validate_for(1)
	}

	/// Whether every field is what it may be and the trace of a model of `components` components
	/// fits into its blob.
	pub fn validate_for(&self, components: u16) -> Result<(), RecipeError> {
		use RecipeError::*;
		let within = |value: u32, least: u32, most: u32| (least..=most).contains(&value);
		ensure(within(self.steps, 1, MAX_STEPS), Steps)?;
		ensure(within(u32::from(self.batch), 1, u32::from(MAX_BATCH)), Batch)?;
		ensure(within(self.checkpoint_every, 1, self.steps), CheckpointEvery)?;
		ensure(self.checkpoints() <= u32::from(MAX_CHECKPOINTS), CheckpointEvery)?;
		ensure(within(self.learning_rate_nano, 1, MAX_LEARNING_RATE_NANO), LearningRate)?;
		ensure(self.weight_decay_ppm <= PPM, WeightDecay)?;
		ensure(self.warmup_steps <= self.steps, WarmupSteps)?;
		ensure(within(self.tolerance_ppm, MIN_TOLERANCE_PPM, MAX_TOLERANCE_PPM), Tolerance)?;
		let alignment = MIN_ALIGNMENT_PPM..=MAX_ALIGNMENT_PPM;
		ensure(alignment.contains(&self.min_alignment_ppm), MinAlignment)?;
		let delta_bytes = MIN_DELTA_BYTES_PER_CHUNK..=MAX_DELTA_BYTES_PER_CHUNK;
		ensure(delta_bytes.contains(&self.delta_bytes_per_chunk), DeltaBytesPerChunk)?;
		let evaluated = u32::from(self.evaluation_records);
		ensure(within(evaluated, 1, MAX_EVALUATION_RECORDS), EvaluationRecords)?;
		ensure(self.margin_micronats <= MAX_MARGIN_MICRONATS, Margin)?;
		ensure(self.max_delta_norm > 0, MaxDeltaNorm)?;
		ensure(within(u32::from(components), 1, u32::from(MAX_TRACE_COMPONENTS)), Components)?;
		ensure(self.trace_bytes(components) <= MAX_TRACE_BYTES as u64, TraceTooLong)
	}

	/// How many checkpoints a trainer makes, which is how many segments there are.
	pub fn checkpoints(&self) -> u32 {
		self.steps.div_ceil(self.checkpoint_every.max(1))
	}

	/// The number of steps done at checkpoint `i`; `None` if there is no such checkpoint.
	pub fn checkpoint_step(&self, i: u32) -> Option<u32> {
		if i >= self.checkpoints() {
			return None;
		}
		Some(i.saturating_add(1).saturating_mul(self.checkpoint_every).min(self.steps))
	}

	/// The steps of segment `i`: the first, and the one after the last.
	pub fn segment(&self, i: u32) -> Option<(u32, u32)> {
		let end = self.checkpoint_step(i)?;
		let start = i.checked_sub(1).and_then(|before| self.checkpoint_step(before));
		Some((start.unwrap_or(0), end))
	}

	/// How many entries the trace has: steps and checkpoints.
	pub fn trace_entries(&self) -> u32 {
		self.steps.saturating_add(self.checkpoints())
	}

	/// How many bytes the trace's blob takes for a model of `components` components.
	pub fn trace_bytes(&self, components: u16) -> u64 {
		trace_bytes(self.steps, u32::from(self.batch), self.checkpoints(), u32::from(components))
	}

	/// The most bytes that the deltas of all components of such a model may take together, of
	/// either kind. If that is more than [`crate::update::MAX_BLOB_BYTES`], trainers may come to an
	/// update that they cannot submit.
	pub fn max_update_bytes(&self, architecture: &Architecture) -> u64 {
		let most = |kind: ComponentKind| {
			let component = architecture.component_index(kind);
			let weights = component.and_then(|component| architecture.payload_weights(component));
			// A low-rank delta takes the length of a leaf more than chunks.
			let (weights, bytes) = (weights.unwrap_or_default(), self.delta_bytes_per_chunk);
			max_delta_bytes(weights, bytes, DeltaKind::LowRank)
		};
		// Components of the same kind have the same length.
		let expert = most(ComponentKind::Expert { layer: 0, expert: 0 });
		let layer = most(ComponentKind::Attention { layer: 0 })
			.saturating_add(most(ComponentKind::Router { layer: 0 }))
			.saturating_add(expert.saturating_mul(u64::from(architecture.experts)));
		layer
			.saturating_mul(u64::from(architecture.layers))
			.saturating_add(most(ComponentKind::Embed))
			.saturating_add(most(ComponentKind::Head))
	}

	/// How many records a trainer uses: steps times batch.
	pub fn samples(&self) -> u32 {
		self.steps.saturating_mul(u32::from(self.batch))
	}
}
