//! What a model consists of: architecture → components → tensors, and its first weights.
//!
//! # Components
//!
//! A model is a decoder of `layers` blocks, each of one attention and `experts` feed-forward
//! experts of which a router picks `top_k`. Its weights are cut into *components*, the units that
//! have a version chain of their own, in this order:
//!
//! | component | tensors (`[rows, cols]`) |
//! |---|---|
//! | `embed` | `token [vocab, d_model]`, `position [context, d_model]` |
//! | `layer.i.attn` | `gain [1, d_model]`, `wq`, `wk`, `wv`, `wo [d_model, d_model]` |
//! | `layer.i.router` | `gain [1, d_model]`, `router [experts, d_model]`, `bias [1, experts]` |
//! | `layer.i.expert.e` | `w1 [d_ff, d_model]`, `w2 [d_model, d_ff]` |
//! | `head` | `gain [1, d_model]`, `head [vocab, d_model]` |
//!
//! For each layer: attention, router, experts. A component's payload is its tensors in this order,
//! row-major, little-endian `i32` with [`FRACTION_BITS`] fraction bits, each padded with zero
//! weights to [`ALIGNMENT_BYTES`].
//!
//! # First weights
//!
//! Integers only, so every implementation gets the same bits. Weight `j` (row-major) of tensor `t`
//! of component `c` of a model with seed `s`:
//!
//! 1. `key = u64_le(H(s ‖ c:u32 ‖ t:u32)[0..8])`, with `t` the tensor's place in its component.
//! 2. `r(n) = mix(key + (n + 1) · 0x9e3779b97f4a7c15)`, the `n`-th output of SplitMix64 seeded with
//!    `key`, where `mix(z)` is `z ← (z ⊕ z≫30) · 0xbf58476d1ce4e5b9`,
//!    `z ← (z ⊕ z≫27) · 0x94d049bb133111eb`, `z ⊕ z≫31`, all modulo 2^64.
//! 3. `u` = the sum of the twelve 16-bit words of `r(3j)`, `r(3j+1)` and `r(3j+2)`, and
//!    `x = 2u − 786420`: symmetric around zero, and close to a normal distribution of standard
//!    deviation 2^17 (the sum of twelve uniforms; it ends at six deviations).
//! 4. `weight = (x · σ + 2^16) ≫ 17`, an arithmetic shift: halves round up.
//!
//! `σ`, the standard deviation in units of 2^−24, is 335,544 (0.02) for `token`, `position` and
//! `head`; `⌊√⌊2^48 / cols⌋⌋` for `wq`, `wk`, `wv`, `router` and `w1`; and
//! `⌊√⌊2^48 / (cols · 2 · layers)⌋⌋` for `wo` and `w2`, which add to the residual stream twice a
//! layer. `gain` is 2^24 (one) everywhere, `bias` is 0.
//!
//! Since the generator counts, any leaf can be computed without those before it.

use crate::{
	delta::LEAF_WEIGHTS,
	hash,
	tensor::{ALIGNMENT_BYTES, FRACTION_BITS, WEIGHT_BYTES},
	H256,
};
use alloc::{format, string::String, vec, vec::Vec};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::{fmt, ops::Range};
use scale_info::TypeInfo;

/// The most components of a model.
pub const MAX_COMPONENTS: u32 = 512;
/// The most bytes of a component, 2 GiB.
pub const MAX_COMPONENT_BYTES: u64 = 1 << 31;
/// The smallest vocabulary: one token for each byte.
pub const MIN_VOCABULARY: u16 = 256;
/// The only number of experts that a token visits.
pub const TOP_K: u8 = 2;

/// Fixed-point one.
const ONE: i32 = 1 << FRACTION_BITS;
/// 0.02 in units of 2^−24.
const EMBEDDING_SIGMA: u32 = 335_544;
/// The increment of SplitMix64's state.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
/// Twice the mean of the sum of twelve 16-bit uniforms.
const TWICE_MEAN: i64 = 12 * 65_535;

/// The dimensions of a model, all that its components and their shapes follow from.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Architecture {
	/// Number of tokens.
	pub vocab: u16,
	/// Width of the residual stream.
	pub d_model: u16,
	/// Number of blocks.
	pub layers: u8,
	/// Attention heads of a block.
	pub heads: u8,
	/// Longest sequence, in tokens.
	pub context: u16,
	/// Experts of a block.
	pub experts: u8,
	/// Experts that a token visits, [`TOP_K`].
	pub top_k: u8,
	/// Width inside an expert.
	pub d_ff: u16,
}

/// Why an architecture is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
	/// A dimension is zero; its field is named.
	Zero(&'static str),
	/// The vocabulary has fewer tokens than there are bytes.
	VocabularyTooSmall,
	/// The width cannot be shared equally by the heads.
	HeadsDoNotDivideWidth,
	/// A token visits another number of experts than [`TOP_K`].
	TopK,
	/// There are fewer experts than a token visits.
	TooFewExperts,
	/// There are more than [`MAX_COMPONENTS`] components.
	TooManyComponents,
	/// A component is longer than [`MAX_COMPONENT_BYTES`].
	ComponentTooLarge,
}

impl fmt::Display for Error {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Error::Zero(field) => write!(f, "{field} must not be zero"),
			Error::VocabularyTooSmall => {
				write!(f, "vocab must be at least {MIN_VOCABULARY}, one token for each byte")
			}
			Error::HeadsDoNotDivideWidth => write!(f, "d_model must be a multiple of heads"),
			Error::TopK => write!(f, "top_k must be {TOP_K}"),
			Error::TooFewExperts => write!(f, "experts must be at least top_k"),
			Error::TooManyComponents => {
				write!(f, "more than {MAX_COMPONENTS} components: use fewer layers or experts")
			}
			Error::ComponentTooLarge => {
				write!(f, "a component would be longer than {MAX_COMPONENT_BYTES} bytes")
			}
		}
	}
}

impl core::error::Error for Error {}

/// What a component is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComponentKind {
	/// Token and position embeddings.
	Embed,
	/// Attention of one layer.
	Attention {
		/// The layer.
		layer: u8,
	},
	/// Router of one layer.
	Router {
		/// The layer.
		layer: u8,
	},
	/// One expert of one layer.
	Expert {
		/// The layer.
		layer: u8,
		/// The expert.
		expert: u8,
	},
	/// The output head.
	Head,
}

impl ComponentKind {
	/// The component's name, such as `layer.3.expert.5`.
	pub fn name(&self) -> String {
		match self {
			ComponentKind::Embed => String::from("embed"),
			ComponentKind::Attention { layer } => format!("layer.{layer}.attn"),
			ComponentKind::Router { layer } => format!("layer.{layer}.router"),
			ComponentKind::Expert { layer, expert } => format!("layer.{layer}.expert.{expert}"),
			ComponentKind::Head => String::from("head"),
		}
	}
}

/// One tensor of a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TensorSpec {
	/// The tensor's name in its component.
	pub name: String,
	/// Rows and columns.
	pub shape: [u32; 2],
	/// Where the tensor starts in the component's payload, in bytes.
	pub offset_bytes: u64,
}

impl TensorSpec {
	/// Number of weights, without padding.
	pub fn weights(&self) -> u64 {
		let [rows, cols] = self.shape;
		u64::from(rows).saturating_mul(u64::from(cols))
	}
}

/// One component of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Component {
	/// The component's name, such as `layer.3.expert.5`.
	pub name: String,
	/// Its tensors, in the order of its payload.
	pub tensors: Vec<TensorSpec>,
	/// Bytes of its payload, padding included.
	pub bytes: u64,
}

/// What a tensor starts as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
	/// The same value everywhere.
	Constant(i32),
	/// Normally distributed around zero, with this standard deviation in units of 2^−24.
	Normal(u32),
}

/// One row of the table of tensors.
struct Layout {
	name: &'static str,
	shape: [u32; 2],
	start: Start,
}

impl Layout {
	fn new(name: &'static str, shape: [u32; 2], start: Start) -> Self {
		Self { name, shape, start }
	}

	/// Number of weights, without padding. No overflow: both extents are below 2^16.
	fn weights(&self) -> u64 {
		let [rows, cols] = self.shape;
		u64::from(rows).saturating_mul(u64::from(cols))
	}

	/// Number of weights, padding included.
	fn padded_weights(&self) -> u64 {
		self.weights().next_multiple_of(ALIGNMENT_BYTES / WEIGHT_BYTES as u64)
	}
}

impl Architecture {
	/// Checks every relation that the rest of the project relies on.
	pub fn validate(&self) -> Result<(), Error> {
		let fields = [
			("vocab", u32::from(self.vocab)),
			("d_model", u32::from(self.d_model)),
			("layers", u32::from(self.layers)),
			("heads", u32::from(self.heads)),
			("context", u32::from(self.context)),
			("experts", u32::from(self.experts)),
			("top_k", u32::from(self.top_k)),
			("d_ff", u32::from(self.d_ff)),
		];
		if let Some((field, _)) = fields.iter().find(|(_, value)| *value == 0) {
			return Err(Error::Zero(field));
		}
		if self.vocab < MIN_VOCABULARY {
			return Err(Error::VocabularyTooSmall);
		}
		// The remainder exists, since heads are not zero.
		if self.d_model.checked_rem(u16::from(self.heads)) != Some(0) {
			return Err(Error::HeadsDoNotDivideWidth);
		}
		if self.top_k != TOP_K {
			return Err(Error::TopK);
		}
		if self.experts < self.top_k {
			return Err(Error::TooFewExperts);
		}
		if self.component_count() > MAX_COMPONENTS {
			return Err(Error::TooManyComponents);
		}
		// Components of the same kind have the same length.
		let kinds = [
			ComponentKind::Embed,
			ComponentKind::Attention { layer: 0 },
			ComponentKind::Router { layer: 0 },
			ComponentKind::Expert { layer: 0, expert: 0 },
			ComponentKind::Head,
		];
		if kinds.iter().any(|kind| self.kind_bytes(*kind) > MAX_COMPONENT_BYTES) {
			return Err(Error::ComponentTooLarge);
		}
		Ok(())
	}

	/// The hash that stands for this architecture, and so for all names, shapes and offsets.
	pub fn spec_hash(&self) -> H256 {
		hash::blake2b_256(&self.encode())
	}

	/// Number of components.
	pub fn component_count(&self) -> u32 {
		u32::from(self.layers).saturating_mul(self.layer_components()).saturating_add(2)
	}

	/// Components of one layer: attention, router, experts.
	fn layer_components(&self) -> u32 {
		u32::from(self.experts).saturating_add(2)
	}

	/// What component `component` is, if there is one.
	pub fn component_kind(&self, component: usize) -> Option<ComponentKind> {
		let index = u32::try_from(component).ok()?;
		let last = self.component_count().checked_sub(1)?;
		if index > last {
			return None;
		}
		if index == last {
			return Some(ComponentKind::Head);
		}
		let Some(inside) = index.checked_sub(1) else { return Some(ComponentKind::Embed) };
		// The divisor is at least 2, and both results fit, since layers and experts are `u8`.
		let layer = u8::try_from(inside.checked_div(self.layer_components())?).ok()?;
		match inside.checked_rem(self.layer_components())? {
			0 => Some(ComponentKind::Attention { layer }),
			1 => Some(ComponentKind::Router { layer }),
			place => {
				let expert = u8::try_from(place.checked_sub(2)?).ok()?;
				Some(ComponentKind::Expert { layer, expert })
			}
		}
	}

	/// The place of a component, if the model has it.
	pub fn component_index(&self, kind: ComponentKind) -> Option<usize> {
		let inside = |layer: u8, place: u32| {
			let before = u32::from(layer).saturating_mul(self.layer_components());
			(layer < self.layers).then(|| before.saturating_add(place).saturating_add(1))
		};
		let index = match kind {
			ComponentKind::Embed => 0,
			ComponentKind::Attention { layer } => inside(layer, 0)?,
			ComponentKind::Router { layer } => inside(layer, 1)?,
			ComponentKind::Expert { layer, expert } if expert < self.experts => {
				inside(layer, u32::from(expert).saturating_add(2))?
			}
			ComponentKind::Expert { .. } => return None,
			ComponentKind::Head => self.component_count().checked_sub(1)?,
		};
		usize::try_from(index).ok()
	}

	/// All components, in order; none if the architecture is not valid.
	pub fn components(&self) -> Vec<Component> {
		if self.validate().is_err() {
			return Vec::new();
		}
		(0..self.component_count() as usize).filter_map(|index| self.component(index)).collect()
	}

	/// Component `component`, if there is one.
	pub fn component(&self, component: usize) -> Option<Component> {
		let kind = self.component_kind(component)?;
		let mut bytes = 0u64;
		let mut tensors = Vec::new();
		for layout in self.layout(kind) {
			tensors.push(TensorSpec {
				name: String::from(layout.name),
				shape: layout.shape,
				offset_bytes: bytes,
			});
			bytes = bytes.saturating_add(to_bytes(layout.padded_weights()));
		}
		Some(Component { name: kind.name(), tensors, bytes })
	}

	/// Bytes of the payload of component `component`, padding included, if there is one.
	pub fn payload_bytes(&self, component: usize) -> Option<u64> {
		Some(self.kind_bytes(self.component_kind(component)?))
	}

	/// Weights of component `component`, padding included, if there is one.
	pub fn payload_weights(&self, component: usize) -> Option<u64> {
		Some(self.payload_bytes(component)? / WEIGHT_BYTES as u64)
	}

	/// Weights of the whole model, without padding.
	pub fn weights(&self) -> u64 {
		(0..self.component_count() as usize)
			.filter_map(|component| self.component_kind(component))
			.flat_map(|kind| self.layout(kind))
			.fold(0u64, |sum, layout| sum.saturating_add(layout.weights()))
	}

	/// Where each tensor of component `component` starts in its payload, in bytes; empty if there is
	/// no such component.
	pub fn tensor_offsets(&self, component: usize) -> Vec<u64> {
		self.component(component)
			.map(|component| component.tensors.iter().map(|tensor| tensor.offset_bytes).collect())
			.unwrap_or_default()
	}

	fn kind_bytes(&self, kind: ComponentKind) -> u64 {
		let weights = self
			.layout(kind)
			.iter()
			.fold(0u64, |sum, layout| sum.saturating_add(layout.padded_weights()));
		to_bytes(weights)
	}

	/// The table of tensors: the one place that knows shapes and first values.
	fn layout(&self, kind: ComponentKind) -> Vec<Layout> {
		let d = u32::from(self.d_model);
		let vocab = u32::from(self.vocab);
		let experts = u32::from(self.experts);
		let d_ff = u32::from(self.d_ff);
		let embedding = Start::Normal(EMBEDDING_SIGMA);
		let gain = || Layout::new("gain", [1, d], Start::Constant(ONE));
		let normal = |fan_in: u32| Start::Normal(sigma(u64::from(fan_in)));
		let residual = |fan_in: u32| {
			let adds = u64::from(self.layers).saturating_mul(2);
			Start::Normal(sigma(u64::from(fan_in).saturating_mul(adds)))
		};
		match kind {
			ComponentKind::Embed => vec![
				Layout::new("token", [vocab, d], embedding),
				Layout::new("position", [u32::from(self.context), d], embedding),
			],
			ComponentKind::Attention { .. } => vec![
				gain(),
				Layout::new("wq", [d, d], normal(d)),
				Layout::new("wk", [d, d], normal(d)),
				Layout::new("wv", [d, d], normal(d)),
				Layout::new("wo", [d, d], residual(d)),
			],
			ComponentKind::Router { .. } => vec![
				gain(),
				Layout::new("router", [experts, d], normal(d)),
				Layout::new("bias", [1, experts], Start::Constant(0)),
			],
			ComponentKind::Expert { .. } => vec![
				Layout::new("w1", [d_ff, d], normal(d)),
				Layout::new("w2", [d, d_ff], residual(d_ff)),
			],
			ComponentKind::Head => vec![gain(), Layout::new("head", [vocab, d], embedding)],
		}
	}
}

fn to_bytes(weights: u64) -> u64 {
	weights.saturating_mul(WEIGHT_BYTES as u64)
}

/// `⌊√⌊2^48 / n⌋⌋`: one over the square root of `n`, in units of 2^−24.
fn sigma(n: u64) -> u32 {
	// At most 2^24, so the cast loses nothing. A fan-in of zero is refused by `validate`.
	(1u64 << (2 * FRACTION_BITS)).checked_div(n).unwrap_or_default().isqrt() as u32
}

/// The first weights of component `component` of a model with `seed`, padding included.
///
/// Empty if the architecture is not valid or has no such component; an empty payload is refused by
/// whatever would store or hash it.
pub fn initial_weights(architecture: &Architecture, seed: H256, component: usize) -> Vec<i32> {
	let weights = architecture.payload_weights(component).unwrap_or_default();
	initial_range(architecture, seed, component, 0..weights)
}

/// The first weights of leaf `leaf` of component `component` of a model with `seed`.
///
/// Empty if the architecture is not valid, or has no such component or leaf.
pub fn initial_leaf(
	architecture: &Architecture,
	seed: H256,
	component: usize,
	leaf: usize,
) -> Vec<i32> {
	let weights = architecture.payload_weights(component).unwrap_or_default();
	let start = (leaf as u64).saturating_mul(LEAF_WEIGHTS as u64).min(weights);
	let end = start.saturating_add(LEAF_WEIGHTS as u64).min(weights);
	initial_range(architecture, seed, component, start..end)
}

/// The first weights of `range` of a component, in weights from the start of its payload.
fn initial_range(
	architecture: &Architecture,
	seed: H256,
	component: usize,
	range: Range<u64>,
) -> Vec<i32> {
	let kind = match architecture.component_kind(component) {
		Some(kind) if architecture.validate().is_ok() => kind,
		_ => return Vec::new(),
	};
	let capacity = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
	let mut weights = Vec::with_capacity(capacity);
	let mut offset = 0u64;
	for (tensor, layout) in (0u32..).zip(architecture.layout(kind)) {
		let next = offset.saturating_add(layout.padded_weights());
		let start = range.start.clamp(offset, next).saturating_sub(offset);
		let end = range.end.clamp(offset, next).saturating_sub(offset);
		// Beyond the tensor's own weights lies padding.
		let drawn = layout.weights().clamp(start, end);
		match layout.start {
			Start::Constant(value) => weights.extend((start..drawn).map(|_| value)),
			Start::Normal(sigma) => {
				let generator = Generator::new(&seed, component as u32, tensor, sigma);
				weights.extend((start..drawn).map(|index| generator.weight(index)));
			}
		}
		weights.extend((drawn..end).map(|_| 0));
		offset = next;
	}
	weights
}

/// The counter-based generator of one tensor; the module's documentation defines it.
struct Generator {
	key: u64,
	sigma: i64,
}

impl Generator {
	fn new(seed: &H256, component: u32, tensor: u32, sigma: u32) -> Self {
		let mut hasher = hash::Hasher::new();
		hasher.update(seed.as_bytes());
		hasher.update(&component.to_le_bytes());
		hasher.update(&tensor.to_le_bytes());
		let digest = hasher.finalize();
		let key = digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
		Self { key: u64::from_le_bytes(key), sigma: i64::from(sigma) }
	}

	#[inline]
	fn weight(&self, index: u64) -> i32 {
		let first = index.wrapping_mul(3);
		let sum = word_sum(self.output(first))
			+ word_sum(self.output(first.wrapping_add(1)))
			+ word_sum(self.output(first.wrapping_add(2)));
		// |x| < 2^20 and sigma <= 2^24: nothing overflows, and the result fits 28 bits.
		let x = 2 * i64::from(sum) - TWICE_MEAN;
		((x * self.sigma + (1 << 16)) >> 17) as i32
	}

	/// The `n`-th output of SplitMix64.
	#[inline]
	fn output(&self, n: u64) -> u64 {
		let z = self.key.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN_GAMMA));
		let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}
}

/// The sum of the four 16-bit words of `word`.
#[inline]
fn word_sum(word: u64) -> u32 {
	// Two sums of two words each in the halves: neither carries into the other.
	let pairs = (word & 0x0000_ffff_0000_ffff) + ((word >> 16) & 0x0000_ffff_0000_ffff);
	(pairs as u32) + ((pairs >> 32) as u32)
}
