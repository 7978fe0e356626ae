//! What a trainer commits to while it trains: its trace.
//!
//! # Entries
//!
//! Numbers are little-endian, losses in 10^-6 nat. An entry's hash is the hash of these bytes, which
//! are also its SCALE encoding; the two kinds cannot be confused because their lengths differ.
//!
//! | bytes | [`Step`] |
//! |---|---|
//! | 4 | step, counted from 0, which is its position among the steps |
//! | 32 | batch root: list root over the record hashes of its batch in order |
//! | 4 | loss: mean over the batch, before the step |
//!
//! | bytes | [`Checkpoint`] |
//! |---|---|
//! | 4 | step: how many steps are done, so 1 or more |
//! | 32 | state root: tile root of weights and optimiser state |
//! | 32 | sketch root: list root over the hashes of its sketches in order of component |
//!
//! The trace root is the list root over the hashes of the steps in order, then of the checkpoints in
//! order.
//!
//! # Blob
//!
//! All that is needed to check the roots, at most 16,777,216 bytes:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 4 | steps `s`, 1..=65,536 |
//! | 2 | checkpoints `c`, 0..=1,024 |
//! | 2 | components `k`, 1..=512; 0 if and only if there are no checkpoints |
//! | … | `s` times: the step (40), its batch size `b` (2), 1..=1,024, and `b` record hashes (32 each) |
//! | … | `c` times: the checkpoint (68), and `k` sketches (512 each) |
//!
//! # Sketch
//!
//! 64 sums of 64 bits, written as `i64` in order: 512 bytes, whose hash is the sketch's hash. A
//! sketch shrinks how far one component's weights are from the base so far that it can be published,
//! and keeps distances: it is linear, and the squared norm of a sketch estimates that of what was
//! sketched without bias and with a relative deviation of at most `sqrt(2/64)`, 18 %.
//!
//! Weight `i` of the component, whose difference to the base is `d_i`:
//!
//! ```text
//! key    = u64(H(seed:32 ‖ component:u16)[0..8])
//! z      = mix(key + (i + 1) · 0x9e3779b97f4a7c15)            modulo 2^64
//! mix(z): z ^= z >> 30; z *= 0xbf58476d1ce4e5b9; z ^= z >> 27; z *= 0x94d049bb133111eb; z ^= z >> 31
//! bucket[z >> 58] += d_i if z is even, -d_i if it is odd
//! ```
//!
//! A component has fewer than 2^32 weights, so a sum stays below 2^63. The mixing is statistical: who
//! knows the seed can build two vectors with one sketch. A sketch is therefore evidence beside the
//! state root, never instead of it.

use crate::{
	hash::blake2b_256,
	model::MAX_COMPONENTS,
	recipe::{Recipe, PPM},
	record::{ensure, DecodeError, Reader, Reason},
	sampling::words,
	tree::{self, list_root},
	H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// The only version of the blob.
pub const TRACE_VERSION: u8 = 1;
/// The most steps of a trace.
pub const MAX_STEPS: u32 = 65_536;
/// The most records of a batch.
pub const MAX_BATCH: u16 = 1_024;
/// The most checkpoints of a trace.
pub const MAX_CHECKPOINTS: u16 = 1_024;
/// The most components that a checkpoint has sketches of.
pub const MAX_TRACE_COMPONENTS: u16 = 512;
/// The most entries of a trace.
pub const MAX_TRACE_ENTRIES: u32 = MAX_STEPS + MAX_CHECKPOINTS as u32;
/// The most bytes of a trace's blob.
pub const MAX_TRACE_BYTES: usize = 16_777_216;
/// Sums of a sketch.
pub const SKETCH_BUCKETS: usize = 64;

/// Bytes before the steps.
const HEADER_BYTES: u64 = 9;
/// Bytes of a step and of its batch size.
const STEP_BYTES: u64 = 42;
/// Bytes of a hash.
const HASH_BYTES: u64 = 32;
/// Bytes of a checkpoint without its sketches.
const CHECKPOINT_BYTES: u64 = 68;
/// Bytes of a sketch.
const SKETCH_BYTES: u64 = 8 * SKETCH_BUCKETS as u64;
/// The increment of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const _: () = assert!(MAX_TRACE_COMPONENTS as u32 == MAX_COMPONENTS);
const _: () = assert!(SKETCH_BUCKETS == 1 << 6);

/// One training step.
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
pub struct Step {
	/// Its position among the steps, from 0.
	pub step: u32,
	/// List root over the record hashes of its batch.
	pub batch_root: H256,
	/// Mean loss over the batch before the step, in 10^-6 nat.
	pub loss_micronats: u32,
}

impl Step {
	/// Its leaf in the trace's tree.
	pub fn hash(&self) -> H256 {
		blake2b_256(&self.encode())
	}
}

/// Where training stood after some steps.
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
pub struct Checkpoint {
	/// How many steps were done.
	pub step: u32,
	/// Tile root of weights and optimiser state.
	pub state_root: H256,
	/// List root over the hashes of the sketches, one per component.
	pub sketch_root: H256,
}

impl Checkpoint {
	/// Its leaf in the trace's tree.
	pub fn hash(&self) -> H256 {
		blake2b_256(&self.encode())
	}
}

/// How far one component's weights are from the base, in brief.
pub type Sketch = [i64; SKETCH_BUCKETS];

/// Steps with their batches, and checkpoints with their sketches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
	/// The steps in order.
	pub steps: Vec<Step>,
	/// For each step the record hashes of its batch in order.
	pub batches: Vec<Vec<H256>>,
	/// The checkpoints in order, each with one sketch per component.
	pub checkpoints: Vec<(Checkpoint, Vec<Sketch>)>,
}

/// What is wrong with a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceError {
	/// Not 1 to [`MAX_STEPS`] steps.
	Steps,
	/// Not one batch for each step.
	Batches,
	/// The batch of this step has not 1 to [`MAX_BATCH`] records.
	BatchSize(u32),
	/// More than [`MAX_CHECKPOINTS`] checkpoints.
	Checkpoints,
	/// The checkpoint at this position has not 1 to [`MAX_TRACE_COMPONENTS`] sketches, or not as
	/// many as the first.
	Sketches(u32),
	/// The blob would be longer than [`MAX_TRACE_BYTES`].
	TooLong,
	/// The step at this position has another number.
	StepNumber(u32),
	/// The batch root of this step is not that of its batch.
	BatchRoot(u32),
	/// The checkpoint at this position is not after the one before it, or is after the last step.
	CheckpointStep(u32),
	/// The sketch root of the checkpoint at this position is not that of its sketches.
	SketchRoot(u32),
	/// Another number of steps than the recipe asks for.
	RecipeSteps,
	/// The batch of this step is not as large as the recipe asks for.
	RecipeBatch(u32),
	/// Other checkpoints than the recipe asks for.
	RecipeCheckpoints,
}

impl fmt::Display for TraceError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Steps => write!(f, "a trace must have 1 to {MAX_STEPS} steps"),
			Self::Batches => f.write_str("a trace must have one batch for each step"),
			Self::BatchSize(i) => {
				write!(f, "the batch of step {i} must have 1 to {MAX_BATCH} records")
			}
			Self::Checkpoints => write!(f, "a trace has at most {MAX_CHECKPOINTS} checkpoints"),
			Self::Sketches(i) => write!(
				f,
				"checkpoint {i} must have one sketch for each of 1 to {MAX_TRACE_COMPONENTS} components"
			),
			Self::TooLong => write!(f, "the trace takes more than {MAX_TRACE_BYTES} bytes"),
			Self::StepNumber(i) => write!(f, "the step at position {i} must have the number {i}"),
			Self::BatchRoot(i) => write!(f, "the batch of step {i} has another root"),
			Self::CheckpointStep(i) => {
				write!(f, "checkpoint {i} must follow the one before it and be within the steps")
			}
			Self::SketchRoot(i) => write!(f, "the sketches of checkpoint {i} have another root"),
			Self::RecipeSteps => f.write_str("the recipe asks for another number of steps"),
			Self::RecipeBatch(i) => write!(f, "the recipe asks for another batch size at step {i}"),
			Self::RecipeCheckpoints => f.write_str("the recipe asks for other checkpoints"),
		}
	}
}

impl core::error::Error for TraceError {}

impl Trace {
	/// The leaves of the trace's tree: the hashes of its steps, then of its checkpoints.
	pub fn entries(&self) -> Vec<H256> {
		let steps = self.steps.iter().map(Step::hash);
		let checkpoints = self.checkpoints.iter().map(|(checkpoint, _)| checkpoint.hash());
		steps.chain(checkpoints).collect()
	}

	/// The list root over [`Self::entries`]; a trace without entries has none.
	pub fn root(&self) -> Result<H256, tree::Error> {
		list_root(&self.entries())
	}

	/// Whether the trace keeps its bounds, its steps and checkpoints are numbered as they must be,
	/// and the roots in them are those of the batches and sketches.
	pub fn check(&self) -> Result<(), TraceError> {
		self.check_bounds()?;
		for (i, (step, batch)) in (0u32..).zip(self.steps.iter().zip(&self.batches)) {
			ensure(step.step == i, TraceError::StepNumber(i))?;
			ensure(list_root(batch) == Ok(step.batch_root), TraceError::BatchRoot(i))?;
		}
		let mut done = 0u32;
		for (i, (checkpoint, sketches)) in (0u32..).zip(&self.checkpoints) {
			let in_order = checkpoint.step > done && checkpoint.step as usize <= self.steps.len();
			ensure(in_order, TraceError::CheckpointStep(i))?;
			done = checkpoint.step;
			let root = sketch_root(sketches);
			ensure(root == Ok(checkpoint.sketch_root), TraceError::SketchRoot(i))?;
		}
		Ok(())
	}

	/// Whether steps, batch sizes and checkpoints are as many, and where, as `recipe` asks.
	pub fn follows(&self, recipe: &Recipe) -> Result<(), TraceError> {
		ensure(self.steps.len() == recipe.steps as usize, TraceError::RecipeSteps)?;
		for (i, batch) in (0u32..).zip(&self.batches) {
			ensure(batch.len() == usize::from(recipe.batch), TraceError::RecipeBatch(i))?;
		}
		let as_many = self.checkpoints.len() == recipe.checkpoints() as usize;
		ensure(as_many, TraceError::RecipeCheckpoints)?;
		for (i, (checkpoint, _)) in (0u32..).zip(&self.checkpoints) {
			let where_asked = recipe.checkpoint_step(i) == Some(checkpoint.step);
			ensure(where_asked, TraceError::RecipeCheckpoints)?;
		}
		Ok(())
	}

	/// The blob. Only bounds are checked, so that a liar's trace can be encoded too.
	pub fn encode(&self) -> Result<Vec<u8>, TraceError> {
		self.check_bounds()?;
		// Below every bound, the counts fit the fields that they are written to.
		let components = self.checkpoints.first().map_or(0, |(_, sketches)| sketches.len());
		let mut bytes = Vec::with_capacity(self.encoded_len() as usize);
		bytes.push(TRACE_VERSION);
		bytes.extend_from_slice(&(self.steps.len() as u32).to_le_bytes());
		bytes.extend_from_slice(&(self.checkpoints.len() as u16).to_le_bytes());
		bytes.extend_from_slice(&(components as u16).to_le_bytes());
		for (step, batch) in self.steps.iter().zip(&self.batches) {
			step.encode_to(&mut bytes);
			bytes.extend_from_slice(&(batch.len() as u16).to_le_bytes());
			for record in batch {
				bytes.extend_from_slice(record.as_bytes());
			}
		}
		for (checkpoint, sketches) in &self.checkpoints {
			checkpoint.encode_to(&mut bytes);
			for sketch in sketches {
				sketch.encode_to(&mut bytes);
			}
		}
		Ok(bytes)
	}

	/// The trace that a blob stands for; [`Self::check`] says whether it is consistent.
	pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
		if bytes.len() > MAX_TRACE_BYTES {
			return Err(DecodeError { offset: MAX_TRACE_BYTES, reason: Reason::TooLong });
		}
		let mut reader = Reader::new(bytes);
		let version = reader.error(Reason::UnknownVersion);
		ensure(reader.u8()? == TRACE_VERSION, version)?;
		let out_of_range = reader.error(Reason::OutOfRange);
		let steps = reader.u32()?;
		ensure((1..=MAX_STEPS).contains(&steps), out_of_range)?;
		let out_of_range = reader.error(Reason::OutOfRange);
		let checkpoints = reader.u16()?;
		ensure(checkpoints <= MAX_CHECKPOINTS, out_of_range)?;
		let out_of_range = reader.error(Reason::OutOfRange);
		let components = reader.u16()?;
		let sketched =
			components <= MAX_TRACE_COMPONENTS && (components == 0) == (checkpoints == 0);
		ensure(sketched, out_of_range)?;
		// Nothing is allocated for entries that the input is too short to hold.
		let least = trace_bytes(steps, 1, u32::from(checkpoints), u32::from(components));
		ensure(bytes.len() as u64 >= least, reader.error(Reason::Truncated))?;

		let mut trace = Trace {
			steps: Vec::with_capacity(steps as usize),
			batches: Vec::with_capacity(steps as usize),
			checkpoints: Vec::with_capacity(usize::from(checkpoints)),
		};
		for _ in 0..steps {
			trace.steps.push(Step {
				step: reader.u32()?,
				batch_root: reader.hash()?,
				loss_micronats: reader.u32()?,
			});
			trace.batches.push(read_batch(&mut reader)?);
		}
		for _ in 0..checkpoints {
			let checkpoint = Checkpoint {
				step: reader.u32()?,
				state_root: reader.hash()?,
				sketch_root: reader.hash()?,
			};
			let mut sketches = Vec::with_capacity(usize::from(components));
			for _ in 0..components {
				sketches.push(read_sketch(&mut reader)?);
			}
			trace.checkpoints.push((checkpoint, sketches));
		}
		reader.finish()?;
		Ok(trace)
	}

	/// How many bytes the blob takes.
	fn encoded_len(&self) -> u64 {
		let records = self.batches.iter().fold(0u64, |sum, batch| sum + batch.len() as u64);
		let sketches = self.checkpoints.iter().fold(0u64, |sum, (_, s)| sum + s.len() as u64);
		HEADER_BYTES
			+ self.steps.len() as u64 * STEP_BYTES
			+ records * HASH_BYTES
			+ self.checkpoints.len() as u64 * CHECKPOINT_BYTES
			+ sketches * SKETCH_BYTES
	}

	fn check_bounds(&self) -> Result<(), TraceError> {
		let steps = self.steps.len();
		ensure(steps > 0 && steps <= MAX_STEPS as usize, TraceError::Steps)?;
		ensure(self.batches.len() == steps, TraceError::Batches)?;
		for (i, batch) in (0u32..).zip(&self.batches) {
			let bounded = !batch.is_empty() && batch.len() <= usize::from(MAX_BATCH);
			ensure(bounded, TraceError::BatchSize(i))?;
		}
		let checkpoints = self.checkpoints.len();
		ensure(checkpoints <= usize::from(MAX_CHECKPOINTS), TraceError::Checkpoints)?;
		let components = self.checkpoints.first().map_or(0, |(_, sketches)| sketches.len());
		for (i, (_, sketches)) in (0u32..).zip(&self.checkpoints) {
			let bounded = !sketches.is_empty()
				&& sketches.len() <= usize::from(MAX_TRACE_COMPONENTS)
				&& sketches.len() == components;
			ensure(bounded, TraceError::Sketches(i))?;
		}
		ensure(self.encoded_len() <= MAX_TRACE_BYTES as u64, TraceError::TooLong)
	}
}

fn read_batch(reader: &mut Reader) -> Result<Vec<H256>, DecodeError> {
	let out_of_range = reader.error(Reason::OutOfRange);
	let size = reader.u16()?;
	ensure((1..=MAX_BATCH).contains(&size), out_of_range)?;
	let truncated = reader.error(Reason::Truncated);
	ensure(reader.remaining() as u64 >= u64::from(size) * HASH_BYTES, truncated)?;
	let mut batch = Vec::with_capacity(usize::from(size));
	for _ in 0..size {
		batch.push(reader.hash()?);
	}
	Ok(batch)
}

fn read_sketch(reader: &mut Reader) -> Result<Sketch, DecodeError> {
	let mut sketch = [0i64; SKETCH_BUCKETS];
	for sum in sketch.iter_mut() {
		*sum = reader.i64()?;
	}
	Ok(sketch)
}

/// Bytes of the blob of a trace with so many steps of `batch` records each, and so many checkpoints
/// with sketches of `components` components.
pub fn trace_bytes(steps: u32, batch: u32, checkpoints: u32, components: u32) -> u64 {
	let step = u64::from(batch).saturating_mul(HASH_BYTES).saturating_add(STEP_BYTES);
	let checkpoint =
		u64::from(components).saturating_mul(SKETCH_BYTES).saturating_add(CHECKPOINT_BYTES);
	u64::from(steps)
		.saturating_mul(step)
		.saturating_add(u64::from(checkpoints).saturating_mul(checkpoint))
		.saturating_add(HEADER_BYTES)
}

/// The hash of a sketch's 512 bytes.
pub fn sketch_hash(sketch: &Sketch) -> H256 {
	blake2b_256(&sketch.encode())
}

/// The list root over the hashes of `sketches`; no sketches have none.
pub fn sketch_root(sketches: &[Sketch]) -> Result<H256, tree::Error> {
	let hashes: Vec<H256> = sketches.iter().map(sketch_hash).collect();
	list_root(&hashes)
}

/// The sketch of how far a component's weights are from the base: `diff` is weight minus base for
/// each weight in order, in units of 2^-F, clamped to `i32`.
pub fn sketch(seed: &H256, component: u16, diff: &[i32]) -> Sketch {
	let component = component.to_le_bytes();
	let (key, _) = words(&blake2b_256(&[seed.as_bytes(), component.as_slice()].concat()));
	let mut sums = [0i64; SKETCH_BUCKETS];
	let mut state = key;
	for difference in diff {
		state = state.wrapping_add(GOLDEN);
		let z = mix(state);
		let difference = i64::from(*difference);
		let signed = if z & 1 == 0 { difference } else { -difference };
		// The top six bits name one of 64 sums, so it is always there. Fewer than 2^32 differences
		// of at most 2^31 do not wrap.
		if let Some(sum) = sums.get_mut((z >> 58) as usize) {
			*sum = sum.wrapping_add(signed);
		}
	}
	sums
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
	z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
	z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
	z ^ (z >> 31)
}

/// Bits that the numbers of a distance are cut down to: 64 squares of them take 88 bits, which
/// leaves 40 for a factor of 10^12.
const DISTANCE_BITS: u32 = 41;

/// 10^12, one in square parts per million.
const SQUARE_PPM: u128 = PPM as u128 * PPM as u128;

/// `‖a − b‖²` and `‖a‖²` in a common unit, each below 2^88.
///
/// All numbers are shifted right by as many bits as it takes for the largest to fit 41 bits. What is
/// cut off is less than 1 from numbers of which one is at least 2^40, unless nothing is cut off at
/// all. As long as neither norm is more than 10^6 times the other, the smaller is at least 2^20 and
/// loses at most 8, so the quotient of the norms is right to 2^-16 of it.
fn squared_norms(a: &Sketch, b: &Sketch) -> (u128, u128) {
	let distances = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
	let lengths = || a.iter().map(|a| a.unsigned_abs());
	let largest = distances().chain(lengths()).max().unwrap_or(0);
	let shift = (u64::BITS - largest.leading_zeros()).saturating_sub(DISTANCE_BITS);
	let square = |sum: u128, value: u64| {
		let cut = u128::from(value >> shift);
		sum + cut * cut
	};
	(distances().fold(0, square), lengths().fold(0, square))
}

/// Whether `‖a − b‖ <= tolerance_ppm / 10^6 · ‖a‖`, where `a` is the reference: two sketches of
/// nothing agree, and nothing else agrees with a reference of nothing.
///
/// Compares squares: `‖a − b‖² · 10^12 <= ‖a‖² · tolerance_ppm²`. The left side is below 2^128; the
/// right side saturates there, which is then above the left one, as it must be.
pub fn within_tolerance(a: &Sketch, b: &Sketch, tolerance_ppm: u32) -> bool {
	let (distance, norm) = squared_norms(a, b);
	let tolerance = u128::from(tolerance_ppm) * u128::from(tolerance_ppm);
	distance * SQUARE_PPM <= norm.saturating_mul(tolerance)
}

/// The least tolerance, in parts per million, within which `b` agrees with the reference `a`;
/// `u32::MAX` stands for that and everything above.
pub fn relative_distance_ppm(a: &Sketch, b: &Sketch) -> u32 {
	let (distance, norm) = squared_norms(a, b);
	if distance == 0 {
		return 0;
	}
	if norm == 0 {
		return u32::MAX;
	}
	let square = (distance * SQUARE_PPM).div_ceil(norm);
	let root = square.isqrt();
	// Rounded up: the first number whose square is large enough. The root is below 2^64.
	let root = if root * root < square { root + 1 } else { root };
	u32::try_from(root).unwrap_or(u32::MAX)
}
