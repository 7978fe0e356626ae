//! From increments to compressed deltas, and from accepted deltas to merged weights.
//!
//! # Overview
//!
//! A trainer [`encode`]s what it learned, and keeps what the encoding left out as a [`Residual`]
//! for its next update. It sends the deltas as one [`blob`]. Whoever merges takes them out again
//! with [`from_blob`], and [`merge`]s the accepted updates into the base.
//!
//! Everything that decodes is integer arithmetic of `blyan_primitives::delta`, leaf by leaf, so it
//! gives the same bits on every machine and inside the runtime. So does everything that encodes.
//! Low-rank deltas are found with floats ([`low_rank`]), but of operations that IEEE 754 says to
//! the last bit. Nobody relies on that: a trainer alone decides with them what it sends, and
//! whoever must come to the same result as others encodes [`in_chunks`].
//!
//! # Kinds
//!
//! For each component the encoder makes chunks, and a low-rank delta for the same bytes unless what the
//! search finds shows that it would leave out too much, and takes the low-rank delta if it leaves
//! the smaller squared error, and at most [three fifths](LOW_RANK_LEAVES) of all squares. Training
//! moves a matrix in few directions at first, which low rank says in few bytes; single weights are
//! what chunks are for. What low rank leaves out once, it is likely to leave out again, while
//! chunks come to everything in time: so they are taken where neither says most of an update. Of
//! what is left out, [nearly all](DROPS) waits for the next update.
//!
//! An update need not change every component. In the merge of a component that it does not change
//! it counts with its samples and with increments of zero.

use crate::{container::Kind, layout::Layout, low_rank, vectors, weights::Weights, Error, Result};
use blyan_primitives::{
	delta::{
		self, component_delta_root, decode_blob, encode_blob, leaf_count, low_rank::Tensors,
		merge_deltas, weights_in_leaf, Encoder, Form, LeafDelta, Leaves, CHUNK, LEAF_WEIGHTS,
	},
	model::Architecture,
	update::{ComponentDelta, DeltaKind},
	H256,
};
use pulp::{Simd, WithSimd};
use std::{mem, path::Path};

/// Of what a delta leaves out, the next one does not carry one part in so many: what was left out in
/// many rounds is out of date. What an update does not even try to carry ([`encode_within`]) stays whole.
pub const DROPS: i64 = 100;

/// The part of the squares that a low-rank delta may leave out, and of how many. The border was found by
/// training (`docs/benchmarks.md`): from two to three fifths it makes hardly a difference in many rounds,
/// and the higher it is the better are few rounds.
pub const LOW_RANK_LEAVES: (u128, u128) = (3, 5);

/// Bytes of a length in a blob.
const LENGTH_BYTES: usize = 4;
/// The most that is carried of what was left out of a weight; what is beyond is dropped. Encoders
/// leave far less, since [`DROPS`] keeps it below 2^38. Files may say anything.
const MOST_CARRIED: i64 = 1 << 62;
/// So many that the quotient of any number of 32 bits by [`DROPS`] is that of its product with one
/// part in [`DROPS`] of them, rounded up.
const PARTS: u64 = 1 << 37;
const _: () = assert!(DROPS as u64 - PARTS % DROPS as u64 <= PARTS >> 32);
/// Increments that are widened at once.
const BLOCK: usize = 1_024;
/// Halvings after which nothing of a residual is carried.
const ALL_HALVINGS: u32 = 63;
/// The file of a residual.
const RESIDUAL_FILE: Kind =
	Kind { magic: *b"BLYRESD", name: "residual of deltas", bytes_per_weight: 2 * 4 };

/// How one component changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
	/// Place of the component in its architecture.
	pub component: u16,
	/// What the leaves are made of.
	pub kind: DeltaKind,
	/// The bytes of each leaf of the delta: one for each leaf of the component, and of a low-rank
	/// delta one more.
	pub leaves: Vec<Vec<u8>>,
}

impl Delta {
	/// The root that commits to the leaves.
	pub fn root(&self) -> H256 {
		component_delta_root(&self.leaves)
	}

	/// Bytes that the component takes in a blob.
	pub fn bytes(&self) -> usize {
		self.leaves.iter().map(|leaf| LENGTH_BYTES + leaf.len()).sum()
	}

	/// What an update says about this delta.
	pub fn entry(&self) -> ComponentDelta {
		ComponentDelta {
			component: self.component,
			kind: self.kind,
			delta_root: self.root(),
			// A component of 2^31 bytes, every chunk dense, takes a quarter of that and some more.
			// No encoder makes a low-rank delta that is longer.
			bytes: self.bytes() as u32,
		}
	}

	/// The leaves of the delta of a component with these tensors, ready to be read.
	fn open<'a>(&'a self, tensors: &'a Tensors) -> Result<Leaves<'a>> {
		let component = usize::from(self.component);
		Leaves::open(form(self.kind, tensors), &self.leaves)
			.map_err(|source| Error::LowRank { component, source })
	}
}

/// What the leaves of a delta of a component with these tensors are.
fn form(kind: DeltaKind, tensors: &Tensors) -> Form<'_> {
	match kind {
		DeltaKind::Chunks => Form::Chunks(tensors.weights()),
		DeltaKind::LowRank => Form::LowRank(tensors),
	}
}

/// The tensors of a component of a checked architecture.
fn tensors_of(layout: &Layout, component: usize) -> Result<Tensors> {
	Tensors::try_from(&layout.components()[component])
		.map_err(|source| Error::LowRank { component, source })
}

/// What compression left out so far, as far as it is kept ([`keep`]), in units of 2^−24:
/// it is added to the next increments (error feedback).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
	architecture: Architecture,
	components: Vec<Vec<i64>>,
}

impl Residual {
	/// Nothing was left out yet.
	pub fn zero(architecture: &Architecture) -> Result<Self> {
		let layout = Layout::new(architecture)?;
		let count = layout.components().len();
		let components = (0..count).map(|component| vec![0; layout.weights(component)]).collect();
		Ok(Self { architecture: *architecture, components })
	}

	/// For each component what was left out of each weight.
	pub fn components(&self) -> &[Vec<i64>] {
		&self.components
	}

	/// Writes the residual to a file, atomically.
	pub fn save(&self, path: &Path) -> Result<()> {
		RESIDUAL_FILE.save(path, &self.architecture, 0, &|component| {
			self.components[component].iter().flat_map(|rest| rest.to_le_bytes()).collect()
		})
	}

	/// Reads a residual from a file and checks that it was not damaged.
	pub fn load(path: &Path) -> Result<Self> {
		let contents = RESIDUAL_FILE.load(path)?;
		let decode = |bytes: &Vec<u8>| -> Vec<i64> {
			bytes.chunks_exact(8).map(|rest| crate::container::number(rest) as i64).collect()
		};
		let components = contents.components.iter().map(decode).collect();
		Ok(Self { architecture: contents.architecture, components })
	}
}

/// How much of a residual deltas may carry; see [`encode_within`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry {
	/// The norm of a component's delta is at most so many times that of the component's increments;
	/// 2 or more, for a delta that carries nothing may be twice as long as they are.
	pub growth: u32,
	/// How often the residual is halved in any case.
	pub halvings: u32,
}

/// The delta of one component as an encoder made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
	/// What the leaves are made of.
	pub kind: DeltaKind,
	/// The bytes of each leaf of the delta.
	pub leaves: Vec<Vec<u8>>,
	/// How many weights it moves.
	pub changes: usize,
	/// The rank of each tensor; none of chunks.
	pub ranks: Vec<usize>,
	/// The sum of the squares of what it leaves out, in square units.
	pub squared_error: u128,
}

impl Encoded {
	/// The sum of the squares of what it says, in square units, of a component with these tensors.
	fn squared_norm(&self, tensors: &Tensors) -> u128 {
		let mut norm = 0u128;
		self.for_each_leaf(tensors, |leaf, part| {
			let squares = part.squared_norm(weights_in_leaf(tensors.weights(), leaf))?;
			norm = norm.saturating_add(squares);
			Ok(())
		});
		norm
	}

	/// Adds what it says to what it left out of a component with these tensors.
	fn put_back(&self, tensors: &Tensors, rest: &mut [i64]) {
		let mut rest = rest.chunks_mut(LEAF_WEIGHTS);
		// Both have as many leaves.
		self.for_each_leaf(tensors, |_, part| part.put_back(rest.next().unwrap_or_default()));
	}

	fn for_each_leaf(
		&self,
		tensors: &Tensors,
		visit: impl FnMut(usize, &LeafDelta<'_>) -> std::result::Result<(), delta::Error>,
	) {
		Leaves::open(form(self.kind, tensors), &self.leaves)
			.and_then(|leaves| visit_leaves(&leaves, tensors, visit))
			.expect("it was made by encoding");
	}
}

/// What the next update should carry of what this one leaves out of each weight: all but one part in
/// [`DROPS`].
pub fn keep(left: &mut [i64]) {
	vectors::run(Keep(left));
}

/// [`keep`], a type, so that it is compiled for vector instructions.
struct Keep<'a>(&'a mut [i64]);

impl WithSimd for Keep<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		for block in self.0.chunks_mut(BLOCK) {
			if sizes(block) > u64::from(u32::MAX) {
				block.iter_mut().for_each(|left| *left -= *left / DROPS);
				continue;
			}
			for left in block {
				let sign = *left >> 63;
				// The quotient of a size of 32 bits is that of a product, which is a vector instruction.
				let size = (*left ^ sign).wrapping_sub(sign) as u64 & u64::from(u32::MAX);
				let dropped = (size.wrapping_mul(PARTS / DROPS as u64 + 1) / PARTS) as i64;
				*left = left.wrapping_sub((dropped ^ sign).wrapping_sub(sign));
			}
		}
	}
}

/// A number that is at least as large as each size, and has no more bits than the largest.
#[inline(always)]
fn sizes(block: &[i64]) -> u64 {
	block.iter().fold(0, |sizes, number| sizes | number.unsigned_abs())
}

/// Compresses increments, and what was left out before, to at most `bytes_per_chunk` bytes for each
/// 4,096 weights: on average over each leaf in chunks, over each component as a low-rank delta.
/// What is left out this time, as far as it is kept, takes the residual's place.
///
/// `increments` has one entry for each weight of each component, as [`crate::Recipe::delta`] gives
/// them. Components of which nothing is kept are not in the result, so it may be empty.
pub fn encode(
	increments: &[Vec<i32>],
	residual: &mut Residual,
	bytes_per_chunk: u16,
) -> Result<Vec<Delta>> {
	let mut encoder = ComponentEncoder::new();
	encode_with(increments, residual, |tensors, increments, rest| {
		add(rest, increments);
		let encoded = encoder.encode(tensors, rest, bytes_per_chunk)?;
		keep(rest);
		Ok(encoded)
	})
}

/// Compresses like [`encode`], but carries of each component's residual only as much as `carry`
/// permits. The rest of it waits where it was. Returns as well in how many components some of it
/// waits.
///
/// Both kinds leave out no more than there was, so a delta that carries nothing is at most twice as
/// long as the increments. Where the whole residual makes it too long, the residual is halved until
/// the delta is not, as often at a time as the excess says.
pub fn encode_within(
	increments: &[Vec<i32>],
	residual: &mut Residual,
	bytes_per_chunk: u16,
	carry: Carry,
) -> Result<(Vec<Delta>, usize)> {
	let mut in_part = 0;
	let mut encoder = ComponentEncoder::new();
	let deltas = encode_with(increments, residual, |tensors, increments, rest| {
		let (encoded, is_whole) =
			encoder.encode_within(tensors, increments, rest, bytes_per_chunk, carry)?;
		in_part += usize::from(!is_whole);
		Ok(encoded)
	})?;
	Ok((deltas, in_part))
}

/// The same as [`encode`] in chunks alone, of which all that is left out is in the residual: integer
/// arithmetic, so that everybody gets the same bytes.
pub fn in_chunks(
	increments: &[Vec<i32>],
	residual: &mut Residual,
	bytes_per_chunk: u16,
) -> Result<Vec<Delta>> {
	let mut encoder = ComponentEncoder::new();
	encode_with(increments, residual, |_, increments, rest| {
		add(rest, increments);
		Ok(encoder.in_chunks(rest, bytes_per_chunk))
	})
}

fn encode_with(
	increments: &[Vec<i32>],
	residual: &mut Residual,
	mut encode: impl FnMut(&Tensors, &[i32], &mut [i64]) -> Result<Encoded>,
) -> Result<Vec<Delta>> {
	let layout = Layout::new(&residual.architecture)?;
	layout.check("increments", increments.iter().map(Vec::len))?;
	let mut deltas = Vec::new();
	let components = increments.iter().zip(&mut residual.components);
	for (component, (increments, rest)) in components.enumerate() {
		let encoded = encode(&tensors_of(&layout, component)?, increments, rest)?;
		if encoded.changes > 0 {
			let Encoded { kind, leaves, .. } = encoded;
			// At most 512 components.
			deltas.push(Delta { component: component as u16, kind, leaves });
		}
	}
	Ok(deltas)
}

/// Adds increments to what was left out before, of which at most [`MOST_CARRIED`] counts, so that the
/// increments can be taken out again.
fn add(rest: &mut [i64], increments: &[i32]) {
	vectors::run(Add(rest, increments));
}

/// [`add`], a type, so that it is compiled for vector instructions.
struct Add<'a>(&'a mut [i64], &'a [i32]);

impl WithSimd for Add<'_> {
	type Output = ();

	#[inline(always)]
	fn with_simd<S: Simd>(self, _: S) {
		for (rest, increment) in self.0.iter_mut().zip(self.1) {
			*rest = (*rest).clamp(-MOST_CARRIED, MOST_CARRIED).wrapping_add(i64::from(*increment));
		}
	}
}

/// What is carried of `rest` after so many halvings. Rounded towards zero, so that nothing is left
/// of negative ones either.
fn part(rest: i64, halvings: u32) -> i64 {
	if halvings >= ALL_HALVINGS {
		return 0;
	}
	// A shift rounds down, so negative ones are raised before it: divisions take their time.
	let raised = rest + ((rest >> 63) & ((1 << halvings) - 1));
	raised >> halvings
}

/// How often to halve something whose squared norm is above `most`, at least once: each time a
/// fourth of the square is left. It may take more, since what is encoded does not shrink evenly.
pub fn halvings(squared: u128, most: u128) -> u32 {
	let Some(times) = squared.checked_div(most) else { return ALL_HALVINGS };
	times.checked_ilog2().unwrap_or(0).div_ceil(2).max(1)
}

/// The square of `growth` times the norm of increments, in square units.
pub fn squared_bound(increments: &[i32], growth: u32) -> u128 {
	grown(squares_of(increments), growth)
}

/// The squares of what is `growth` times as long.
fn grown(squares: u128, growth: u32) -> u128 {
	// Below 2^91 for the largest component there may be; a growth that saturates bounds nothing.
	squares.saturating_mul(u128::from(growth).pow(2))
}

/// The sum of the squares of increments, in square units.
fn squares_of(increments: &[i32]) -> u128 {
	let mut wide = [0; BLOCK];
	let squares = increments.chunks(BLOCK).map(|block| {
		for (wide, increment) in wide.iter_mut().zip(block) {
			*wide = i64::from(*increment);
		}
		delta::squared_norm(&wide[..block.len()])
	});
	squares.sum()
}

/// Compresses what components have learned.
///
/// It holds nothing but memory that is used again for the next component, up to 12 bytes for each
/// weight of the largest: what comes out depends on nothing but what goes in.
#[derive(Debug, Default)]
pub struct ComponentEncoder {
	chunks: Encoder,
	/// What is to be said as numbers in which low rank is looked for.
	values: Vec<f32>,
	/// What waits of what was left out before.
	waits: Vec<i64>,
}

impl ComponentEncoder {
	/// An encoder.
	pub fn new() -> Self {
		Self::default()
	}

	/// Compresses one component as rounds do, to at most `bytes_per_chunk` bytes for each 4,096
	/// weights, lengths of leaves aside. `rest` has one entry for each weight; what is left out stays
	/// in it.
	pub fn encode(
		&mut self,
		tensors: &Tensors,
		rest: &mut [i64],
		bytes_per_chunk: u16,
	) -> Result<Encoded> {
		self.choose(tensors, rest, bytes_per_chunk, LOW_RANK_LEAVES, |_, _| {})
	}

	/// The same of increments, and of as much of what was left out before, `rest`, as `carry` permits,
	/// see [`encode_within`]. What is left out, as far as it is kept, and what waits takes its place.
	/// Returns as well whether nothing waits.
	pub fn encode_within(
		&mut self,
		tensors: &Tensors,
		increments: &[i32],
		rest: &mut [i64],
		bytes_per_chunk: u16,
		carry: Carry,
	) -> Result<(Encoded, bool)> {
		low_rank::check(tensors, increments)?;
		// Nothing fails behind it, so the residual is never left half-way.
		low_rank::check(tensors, rest)?;
		let mut halved = carry.halvings.min(ALL_HALVINGS);
		loop {
			// Most often the whole is carried.
			self.waits.clear();
			if halved > 0 {
				self.waits.extend(rest.iter_mut().map(|rest| {
					let carried = part(*rest, halved);
					// A part is never larger than the whole, and has its sign.
					mem::replace(rest, carried) - carried
				}));
			}
			let mut squares = 0u128;
			let add = |place: usize, rest: &mut [i64]| {
				let increments = &increments[place * LEAF_WEIGHTS..][..rest.len()];
				add(rest, increments);
				squares = squares.saturating_add(squares_of(increments));
			};
			let encoded = self.choose(tensors, rest, bytes_per_chunk, LOW_RANK_LEAVES, add)?;
			let (squared, most) = (encoded.squared_norm(tensors), grown(squares, carry.growth));
			let is_too_long = squared > most && halved < ALL_HALVINGS;
			if is_too_long {
				encoded.put_back(tensors, rest);
				for (rest, increment) in rest.iter_mut().zip(increments) {
					*rest = rest.saturating_sub(i64::from(*increment));
				}
				halved = halved.saturating_add(halvings(squared, most)).min(ALL_HALVINGS);
			} else {
				keep(rest);
			}
			for (rest, waits) in rest.iter_mut().zip(&self.waits) {
				*rest = rest.saturating_add(*waits);
			}
			if !is_too_long {
				return Ok((encoded, self.waits.iter().all(|waits| *waits == 0)));
			}
		}
	}

	/// The same with the kind that leaves the smaller squared error: for whoever sends nothing after
	/// it.
	pub fn smaller(
		&mut self,
		tensors: &Tensors,
		rest: &mut [i64],
		bytes_per_chunk: u16,
	) -> Result<Encoded> {
		self.choose(tensors, rest, bytes_per_chunk, (1, 1), |_, _| {})
	}

	/// The same with low rank if it leaves less than chunks, and at most a part of the squares.
	/// Before each leaf is read, `write` may write what is to be said over it.
	fn choose(
		&mut self,
		tensors: &Tensors,
		rest: &mut [i64],
		bytes_per_chunk: u16,
		(part, parts): (u128, u128),
		mut write: impl FnMut(usize, &mut [i64]),
	) -> Result<Encoded> {
		let Self { chunks, values, .. } = self;
		values.clear();
		values.reserve_exact(rest.len());
		let (mut is_whole, mut squares) = (true, 0u128);
		let in_chunks = encode_leaves(chunks, rest, bytes_per_chunk, |place, leaf| {
			write(place, leaf);
			is_whole &= low_rank::add_floats(values, leaf);
			squares = squares.saturating_add(delta::squared_norm(leaf));
		});
		if in_chunks.squared_error == 0 {
			return Ok(in_chunks);
		}
		let bytes = rest.len().div_ceil(CHUNK) * usize::from(bytes_per_chunk);
		let most = (squares / parts).saturating_mul(part);
		let below = in_chunks.squared_error.min(most.saturating_add(1));
		let wanted = low_rank::Wanted { values, squares: is_whole.then_some(squares) };
		let Some(prospect) = low_rank::search(tensors, wanted, bytes, below)? else {
			return Ok(in_chunks);
		};
		in_chunks.put_back(tensors, rest);
		let low_rank::Found { fitted, leaves, changes } = prospect.assemble(tensors, rest);
		let (ranks, squared_error) = (fitted.ranks(), fitted.squared_error);
		let found = Encoded { kind: DeltaKind::LowRank, leaves, changes, ranks, squared_error };
		if squared_error < below {
			return Ok(found);
		}
		// Rounded to 8 bits it leaves too much after all.
		found.put_back(tensors, rest);
		Ok(self.in_chunks(rest, bytes_per_chunk))
	}

	/// The same in chunks alone.
	pub fn in_chunks(&mut self, rest: &mut [i64], bytes_per_chunk: u16) -> Encoded {
		encode_leaves(&mut self.chunks, rest, bytes_per_chunk, |_, _| {})
	}
}

/// Compresses one component in chunks. Shows `visit` each leaf, and its place, before that: then it
/// is in the cache.
fn encode_leaves(
	encoder: &mut Encoder,
	rest: &mut [i64],
	bytes_per_chunk: u16,
	mut visit: impl FnMut(usize, &mut [i64]),
) -> Encoded {
	let mut leaves = Vec::with_capacity(leaf_count(rest.len()));
	let (mut changes, mut squared_error) = (0, 0u128);
	for (place, rest) in rest.chunks_mut(LEAF_WEIGHTS).enumerate() {
		visit(place, rest);
		let chunks = rest.len().div_ceil(CHUNK);
		let mut bytes = Vec::with_capacity(chunks * usize::from(bytes_per_chunk));
		changes += encoder.encode(rest, bytes_per_chunk, &mut bytes);
		squared_error = squared_error.saturating_add(delta::squared_norm(rest));
		leaves.push(bytes);
	}
	Encoded { kind: DeltaKind::Chunks, leaves, changes, ranks: Vec::new(), squared_error }
}

/// Packs deltas for transport. Give them in ascending order of component.
pub fn blob(deltas: &[Delta]) -> Vec<u8> {
	let leaves: Vec<Vec<Vec<u8>>> = deltas.iter().map(|delta| delta.leaves.clone()).collect();
	encode_blob(&leaves)
}

/// Unpacks the deltas of these components, which an update lists with their kinds, and checks that
/// each decodes.
pub fn from_blob(
	architecture: &Architecture,
	components: &[(u16, DeltaKind)],
	blob: &[u8],
) -> Result<Vec<Delta>> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, components.iter().map(|(component, _)| *component))?;
	let tensors: Vec<Tensors> = components
		.iter()
		.map(|(component, _)| tensors_of(&layout, usize::from(*component)))
		.collect::<Result<_>>()?;
	let kinds = components.iter().zip(&tensors);
	let forms: Vec<Form<'_>> = kinds.map(|((_, kind), tensors)| form(*kind, tensors)).collect();
	let unpacked = decode_blob(blob, &forms).map_err(Error::Blob)?;
	let deltas: Vec<Delta> = components
		.iter()
		.zip(unpacked)
		.map(|((component, kind), leaves)| Delta { component: *component, kind: *kind, leaves })
		.collect();
	for (unpacked, tensors) in deltas.iter().zip(&tensors) {
		match unpacked.kind {
			DeltaKind::LowRank => {
				let component = usize::from(unpacked.component);
				delta::low_rank::check(tensors, &unpacked.leaves)
					.map_err(|source| Error::LowRank { component, source })?;
			}
			DeltaKind::Chunks => for_each_leaf(unpacked, tensors, |leaf, part| {
				part.check(weights_in_leaf(tensors.weights(), leaf))
			})?,
		}
	}
	Ok(deltas)
}

/// The sum of the squares of all increments, in square units: what a recipe bounds.
pub fn squared_norm(architecture: &Architecture, deltas: &[Delta]) -> Result<u128> {
	let norms = squared_norms(architecture, deltas)?;
	// Saturates far beyond what any recipe allows.
	Ok(norms.into_iter().fold(0, u128::saturating_add))
}

/// For each component of the architecture the sum of the squares of its increments, in square
/// units; zero where deltas say nothing.
pub fn squared_norms(architecture: &Architecture, deltas: &[Delta]) -> Result<Vec<u128>> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, deltas.iter().map(|delta| delta.component))?;
	let mut norms = vec![0u128; layout.components().len()];
	for delta in deltas {
		let component = usize::from(delta.component);
		let tensors = tensors_of(&layout, component)?;
		let sum = &mut norms[component];
		for_each_leaf(delta, &tensors, |leaf, part| {
			let weights = weights_in_leaf(tensors.weights(), leaf);
			*sum = sum.saturating_add(part.squared_norm(weights)?);
			Ok(())
		})?;
	}
	Ok(norms)
}

/// The increments that deltas stand for, one for each weight; zero where they say nothing.
pub fn decoded(architecture: &Architecture, deltas: &[Delta]) -> Result<Vec<Vec<i32>>> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, deltas.iter().map(|delta| delta.component))?;
	let count = layout.components().len();
	let mut components: Vec<Vec<i32>> =
		(0..count).map(|component| vec![0; layout.weights(component)]).collect();
	for delta in deltas {
		let component = usize::from(delta.component);
		let tensors = tensors_of(&layout, component)?;
		let mut leaves = components[component].chunks_mut(LEAF_WEIGHTS);
		for_each_leaf(delta, &tensors, |_, part| {
			// Both have as many leaves.
			part.decode(leaves.next().unwrap_or_default())
		})?;
	}
	Ok(components)
}

/// The weights after merging `updates` into `base`: for each update its samples and its deltas.
///
/// Give the updates in ascending order of trainer account, as the chain does.
pub fn merge(base: &Weights, updates: &[(u64, &[Delta])]) -> Result<Weights> {
	let layout = Layout::new(base.architecture())?;
	for (_, deltas) in updates {
		check_order(&layout, deltas.iter().map(|delta| delta.component))?;
		for delta in *deltas {
			check_leaves(delta, layout.weights(usize::from(delta.component)))?;
		}
	}
	let mut merged = Vec::with_capacity(base.components().len());
	for (component, weights) in base.components().iter().enumerate() {
		let tensors = tensors_of(&layout, component)?;
		let mut of_component: Vec<(u64, Option<Leaves<'_>>)> = Vec::with_capacity(updates.len());
		for (samples, deltas) in updates {
			let own = deltas.iter().find(|delta| usize::from(delta.component) == component);
			of_component.push((*samples, own.map(|delta| delta.open(&tensors)).transpose()?));
		}
		let changes = of_component.iter().any(|(_, leaves)| leaves.is_some());
		merged.push(match changes {
			true => merge_component(component, weights, &of_component)?,
			false => weights.clone(),
		});
	}
	Weights::new(base.architecture(), merged)
}

/// The weights of a component after merging what updates say about it. A leaf is copied when it is
/// its turn and merged while it is in the cache, so memory is read once and written once.
fn merge_component(
	component: usize,
	weights: &[i32],
	updates: &[(u64, Option<Leaves<'_>>)],
) -> Result<Vec<i32>> {
	let mut merged = Vec::with_capacity(weights.len());
	let mut of_leaf: Vec<(u64, Option<LeafDelta<'_>>)> = Vec::with_capacity(updates.len());
	for (leaf, weights) in weights.chunks(LEAF_WEIGHTS).enumerate() {
		of_leaf.clear();
		let parts = updates.iter();
		of_leaf.extend(
			parts.map(|(samples, leaves)| (*samples, leaves.as_ref().and_then(|l| l.leaf(leaf)))),
		);
		let start = merged.len();
		merged.extend_from_slice(weights);
		merge_deltas(&mut merged[start..], &of_leaf).map_err(|source| Error::Delta {
			component,
			leaf,
			source,
		})?;
	}
	Ok(merged)
}

/// Calls `visit` with the place of each leaf of a component with these tensors, and what its delta
/// says about it.
fn for_each_leaf(
	delta: &Delta,
	tensors: &Tensors,
	mut visit: impl FnMut(usize, &LeafDelta<'_>) -> std::result::Result<(), delta::Error>,
) -> Result<()> {
	check_leaves(delta, tensors.weights())?;
	let component = usize::from(delta.component);
	visit_leaves(&delta.open(tensors)?, tensors, |leaf, part| {
		visit(leaf, part).map_err(|source| Error::Delta { component, leaf, source })
	})
}

/// The same of leaves that were opened.
fn visit_leaves<E>(
	leaves: &Leaves<'_>,
	tensors: &Tensors,
	mut visit: impl FnMut(usize, &LeafDelta<'_>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
	let parts = (0..leaf_count(tensors.weights())).filter_map(|leaf| leaves.leaf(leaf));
	parts.enumerate().try_for_each(|(leaf, part)| visit(leaf, &part))
}

/// Refuses a delta that has not as many leaves as one of its kind for `weights` weights.
fn check_leaves(delta: &Delta, weights: usize) -> Result<()> {
	let expected = delta.kind.leaves(leaf_count(weights) as u64) as usize;
	let found = delta.leaves.len();
	if expected == found {
		return Ok(());
	}
	let component = usize::from(delta.component);
	Err(Error::Length { component, expected, found, unit: "leaves of a delta" })
}

/// Refuses components that the model does not have, or that are not in ascending order.
fn check_order(layout: &Layout, components: impl Iterator<Item = u16>) -> Result<()> {
	let count = layout.components().len();
	let mut least = 0;
	for component in components.map(usize::from) {
		if component >= count {
			return Err(Error::NoComponent { component, count });
		}
		if component < least {
			return Err(Error::Order { component });
		}
		least = component + 1;
	}
	Ok(())
}

#[cfg(test)]
mod tests;
