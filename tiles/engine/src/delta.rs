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
//! what chunks leave out, [nearly all](CHUNKS_DROP) waits for the next update; of what low rank
//! leaves out, [half](LOW_RANK_KEEPS).
//!
//! An update need not change every component. In the merge of a component that it does not change
//! it counts with its samples and with increments of zero.

use crate::{container::Kind, layout::Layout, low_rank, weights::Weights, Error, Result};
use blyan_primitives::{
	delta::{
		self, component_delta_root, decode_blob, encode_blob, leaf_count, low_rank::Tensors,
		merge_deltas, weights_in_leaf, Encoder, Form, LeafDelta, Leaves, CHUNK, LEAF_WEIGHTS,
	},
	model::Architecture,
	update::{ComponentDelta, DeltaKind},
	H256,
};
use std::path::Path;

/// Of what a low-rank delta leaves out, the next one carries one part in so many. The other part
/// training learns again, before it would arrive: carried as well, it would be said twice.
pub const LOW_RANK_KEEPS: i64 = 2;

/// Of what chunks leave out, the next update does not carry one part in so many: what was left out in
/// many rounds is out of date. What an update does not even try to carry ([`encode_within`]) stays whole.
pub const CHUNKS_DROP: i64 = 20;

/// The part of the squares that a low-rank delta may leave out, and of how many. The border was found by
/// training (`docs/benchmarks.md`): from two to three fifths it makes hardly a difference in many rounds,
/// and the higher it is the better are few rounds.
pub const LOW_RANK_LEAVES: (u128, u128) = (3, 5);

/// Bytes of a length in a blob.
const LENGTH_BYTES: usize = 4;
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

/// What compression left out so far, as far as it is kept ([`Encoded::keep`]), in units of 2^−24:
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
	/// What of `left`, which this delta leaves out of a weight, the next one should carry: of
	/// chunks all but one part in [`CHUNKS_DROP`], of a low-rank delta one part in
	/// [`LOW_RANK_KEEPS`].
	pub fn keep(&self, left: &mut [i64]) {
		let kept = match self.kind {
			DeltaKind::Chunks => |left: i64| left - left / CHUNKS_DROP,
			DeltaKind::LowRank => |left: i64| left / LOW_RANK_KEEPS,
		};
		left.iter_mut().for_each(|left| *left = kept(*left));
	}
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
		encoded.keep(rest);
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
			component_within(&mut encoder, tensors, increments, rest, bytes_per_chunk, carry)?;
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

/// Adds increments to what was left out before.
fn add(rest: &mut [i64], increments: &[i32]) {
	for (rest, increment) in rest.iter_mut().zip(increments) {
		*rest = rest.saturating_add(i64::from(*increment));
	}
}

/// One component of [`encode_within`], and whether it carries the whole residual.
fn component_within(
	encoder: &mut ComponentEncoder,
	tensors: &Tensors,
	increments: &[i32],
	rest: &mut [i64],
	bytes_per_chunk: u16,
	carry: Carry,
) -> Result<(Encoded, bool)> {
	let most = squared_bound(increments, carry.growth);
	let mut halved = carry.halvings;
	loop {
		let mut wanted: Vec<i64> = rest.iter().map(|rest| part(*rest, halved)).collect();
		add(&mut wanted, increments);
		let mut left = wanted.clone();
		let encoded = encoder.encode(tensors, &mut left, bytes_per_chunk)?;
		let pairs = wanted.iter().zip(&left);
		let said: Vec<i64> = pairs.map(|(wanted, left)| wanted.saturating_sub(*left)).collect();
		let squared = delta::squared_norm(&said);
		if squared > most && halved < ALL_HALVINGS {
			halved = halved.saturating_add(halvings(squared, most));
			continue;
		}
		let mut is_whole = true;
		encoded.keep(&mut left);
		for (rest, left) in rest.iter_mut().zip(left) {
			// A part is never larger than the whole, and has its sign.
			let waits = *rest - part(*rest, halved);
			is_whole &= waits == 0;
			*rest = waits.saturating_add(left);
		}
		return Ok((encoded, is_whole));
	}
}

/// What is carried of `rest` after so many halvings. Rounded towards zero, so that nothing is left
/// of negative ones either.
fn part(rest: i64, halvings: u32) -> i64 {
	if halvings >= ALL_HALVINGS {
		return 0;
	}
	rest / (1i64 << halvings)
}

/// How often to halve something whose squared norm is above `most`, at least once: each time a
/// fourth of the square is left. It may take more, since what is encoded does not shrink evenly.
pub fn halvings(squared: u128, most: u128) -> u32 {
	let Some(times) = squared.checked_div(most) else { return ALL_HALVINGS };
	times.checked_ilog2().unwrap_or(0).div_ceil(2).max(1)
}

/// The square of `growth` times the norm of increments, in square units.
pub fn squared_bound(increments: &[i32], growth: u32) -> u128 {
	let squares = increments.iter().map(|increment| u128::from(increment.unsigned_abs()).pow(2));
	// Below 2^91 for the largest component there may be; a growth that saturates bounds nothing.
	squares.sum::<u128>().saturating_mul(u128::from(growth).pow(2))
}

/// Compresses what components have learned.
///
/// It holds nothing but memory that is used again for the next component, up to 12 bytes for each
/// weight of the largest: what comes out depends on nothing but what goes in.
#[derive(Debug, Default)]
pub struct ComponentEncoder {
	chunks: Encoder,
	/// What is to be said, while chunks take it out of where it came from; then what low rank leaves
	/// out.
	wanted: Vec<i64>,
	/// What is to be said as numbers in which low rank is looked for.
	values: Vec<f32>,
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
		self.choose(tensors, rest, bytes_per_chunk, LOW_RANK_LEAVES)
	}

	/// The same with the kind that leaves the smaller squared error: for whoever sends nothing after
	/// it.
	pub fn smaller(
		&mut self,
		tensors: &Tensors,
		rest: &mut [i64],
		bytes_per_chunk: u16,
	) -> Result<Encoded> {
		self.choose(tensors, rest, bytes_per_chunk, (1, 1))
	}

	/// The same with low rank if it leaves less than chunks, and at most a part of the squares.
	fn choose(
		&mut self,
		tensors: &Tensors,
		rest: &mut [i64],
		bytes_per_chunk: u16,
		(part, parts): (u128, u128),
	) -> Result<Encoded> {
		self.wanted.clear();
		self.wanted.extend_from_slice(rest);
		let chunks = self.in_chunks(rest, bytes_per_chunk);
		if chunks.squared_error == 0 {
			return Ok(chunks);
		}
		let bytes = rest.len().div_ceil(CHUNK) * usize::from(bytes_per_chunk);
		let Self { wanted, values, .. } = self;
		let most = (delta::squared_norm(wanted) / parts).saturating_mul(part);
		let below = chunks.squared_error.min(most.saturating_add(1));
		let found = low_rank::fit_below(tensors, wanted, bytes, below, values)?;
		let Some(low_rank::Found { fitted, leaves, changes }) = found else { return Ok(chunks) };
		rest.copy_from_slice(wanted);
		let (ranks, squared_error) = (fitted.ranks(), fitted.squared_error);
		Ok(Encoded { kind: DeltaKind::LowRank, leaves, changes, ranks, squared_error })
	}

	/// The same in chunks alone.
	pub fn in_chunks(&mut self, rest: &mut [i64], bytes_per_chunk: u16) -> Encoded {
		let mut leaves = Vec::with_capacity(leaf_count(rest.len()));
		let (mut changes, mut squared_error) = (0, 0u128);
		for rest in rest.chunks_mut(LEAF_WEIGHTS) {
			let chunks = rest.len().div_ceil(CHUNK);
			let mut bytes = Vec::with_capacity(chunks * usize::from(bytes_per_chunk));
			changes += self.chunks.encode(rest, bytes_per_chunk, &mut bytes);
			squared_error = squared_error.saturating_add(delta::squared_norm(rest));
			leaves.push(bytes);
		}
		Encoded { kind: DeltaKind::Chunks, leaves, changes, ranks: Vec::new(), squared_error }
	}
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
	let leaves = delta.open(tensors)?;
	let parts = (0..leaf_count(tensors.weights())).filter_map(|leaf| leaves.leaf(leaf));
	for (leaf, part) in parts.enumerate() {
		visit(leaf, &part).map_err(|source| Error::Delta { component, leaf, source })?;
	}
	Ok(())
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
mod tests {
	use super::*;
	use crate::demo;

	/// Small, but its embedding has two leaves, of which the last is short.
	fn tiny() -> Architecture {
		Architecture {
			d_model: 256,
			layers: 1,
			heads: 2,
			context: 20,
			experts: 2,
			d_ff: 16,
			..demo::ARCHITECTURE
		}
	}

	fn base() -> Weights {
		Weights::initial(&tiny(), H256([3; 32])).unwrap()
	}

	/// Increments of all sizes, in every third component none.
	fn moved(seed: u32) -> Vec<Vec<i32>> {
		let size = |component: u32, place: u32| {
			let mixed = (place ^ seed).wrapping_mul(0x9e37_79b9).wrapping_add(component << 7);
			let value = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b) as i32;
			value >> (12 + mixed % 16)
		};
		let components = (0u32..).zip(base().components().to_vec());
		components
			.map(|(component, weights)| match component % 3 {
				1 => vec![0; weights.len()],
				_ => (0..weights.len() as u32).map(|place| size(component, place)).collect(),
			})
			.collect()
	}

	/// Increments of which every row of a tensor is a multiple of every other.
	fn moved_in_rows(seed: i32) -> Vec<Vec<i32>> {
		let layout = Layout::new(&tiny()).unwrap();
		let mut components: Vec<Vec<i32>> =
			base().components().iter().map(|weights| vec![0; weights.len()]).collect();
		for (component, moved) in components.iter_mut().enumerate() {
			for tensor in 0..layout.components()[component].tensors.len() {
				let [_, cols] = layout.shape(component, tensor);
				let range = layout.range(component, tensor);
				for (place, moved) in moved[range].iter_mut().enumerate() {
					let (row, col) = ((place / cols) as i32, (place % cols) as i32);
					*moved = ((row * 3 + seed) % 101 - 50) * ((col * 5 + seed) % 83 - 41);
				}
			}
		}
		components
	}

	/// An update in chunks.
	fn encoded(seed: u32) -> Vec<Delta> {
		in_chunks(&moved(seed), &mut Residual::zero(&tiny()).unwrap(), 112).unwrap()
	}

	/// An update of both kinds.
	fn mixed(seed: i32) -> Vec<Delta> {
		encode(&moved_in_rows(seed), &mut Residual::zero(&tiny()).unwrap(), 112).unwrap()
	}

	fn listed(deltas: &[Delta]) -> Vec<(u16, DeltaKind)> {
		deltas.iter().map(|delta| (delta.component, delta.kind)).collect()
	}

	#[test]
	fn chunks_and_residual_together_are_what_was_asked_for() {
		let mut residual = Residual::zero(&tiny()).unwrap();
		let mut sent: Vec<Vec<i64>> = residual.components().to_vec();
		let mut asked = sent.clone();
		let add = |sums: &mut Vec<Vec<i64>>, increments: &[Vec<i32>]| {
			for (sum, increment) in sums.iter_mut().flatten().zip(increments.iter().flatten()) {
				*sum += i64::from(*increment);
			}
		};
		for seed in 0..4 {
			let increments = moved(seed);
			let deltas = in_chunks(&increments, &mut residual, 112).unwrap();
			add(&mut asked, &increments);
			add(&mut sent, &decoded(&tiny(), &deltas).unwrap());
		}
		assert_ne!(sent, asked);
		for (sum, rest) in sent.iter_mut().flatten().zip(residual.components().iter().flatten()) {
			*sum += rest;
		}
		assert_eq!(sent, asked);
	}

	#[test]
	fn half_of_what_low_rank_leaves_out_is_kept_and_nearly_all_of_what_chunks_do() {
		let mut residual = waiting(40);
		for seed in 0..3 {
			let before = residual.clone();
			let increments = moved_in_rows(seed);
			let deltas = encode(&increments, &mut residual, 112).unwrap();
			assert!(deltas.iter().any(|delta| delta.kind == DeltaKind::LowRank));
			let said = decoded(&tiny(), &deltas).unwrap();
			for (component, rest) in residual.components().iter().enumerate() {
				let of_component = |delta: &&Delta| usize::from(delta.component) == component;
				let kind = deltas.iter().find(of_component).map(|delta| delta.kind);
				let mut wanted = before.components()[component].clone();
				add(&mut wanted, &increments[component]);
				for ((wanted, said), rest) in wanted.iter().zip(&said[component]).zip(rest) {
					let left = wanted - i64::from(*said);
					let low_rank = kind == Some(DeltaKind::LowRank);
					assert_eq!(*rest, if low_rank { left / 2 } else { left - left / 20 });
				}
			}
		}
	}

	#[test]
	fn delta_keeps_the_budget_and_leaves_out_what_does_not_change() {
		let changed: Vec<u16> = encoded(1).iter().map(|delta| delta.component).collect();
		assert_eq!(changed, [0, 2, 3, 5]);
		for delta in encoded(1).into_iter().chain(mixed(1)) {
			let weights = base().components()[usize::from(delta.component)].len();
			let leaves = delta.kind.leaves(leaf_count(weights) as u64) as usize;
			assert_eq!(delta.leaves.len(), leaves);
			let chunks = weights.div_ceil(delta::CHUNK);
			assert!(delta.bytes() <= chunks * 112 + leaves * LENGTH_BYTES);
			assert_eq!(delta.entry().bytes as usize, delta.bytes());
			assert_eq!(delta.entry().kind, delta.kind);
			assert_eq!(delta.entry().delta_root, component_delta_root(&delta.leaves));
		}
		let nothing = vec![vec![0; 1]; 6];
		let refused = encode(&nothing, &mut Residual::zero(&tiny()).unwrap(), 112);
		assert!(matches!(refused, Err(Error::Length { .. })));
	}

	#[test]
	fn what_is_kept_has_the_sign_of_what_is_left() {
		let encoded = |kind| Encoded {
			kind,
			leaves: Vec::new(),
			changes: 0,
			ranks: Vec::new(),
			squared_error: 0,
		};
		let kept = |kind| {
			let mut left = [0, 1, -1, 19, -19, 20, -20, i64::MAX, i64::MIN];
			encoded(kind).keep(&mut left);
			left
		};
		let most = i64::MAX - i64::MAX / 20;
		let least = i64::MIN - i64::MIN / 20;
		assert_eq!(kept(DeltaKind::Chunks), [0, 1, -1, 19, -19, 19, -19, most, least]);
		let halves = [0, 0, 0, 9, -9, 10, -10, i64::MAX / 2, i64::MIN / 2];
		assert_eq!(kept(DeltaKind::LowRank), halves);
	}

	#[test]
	fn residuals_of_any_size_are_carried() {
		for size in [i64::MAX / 4, 1 << 40] {
			for increments in [moved(1), moved_in_rows(1)] {
				let mut residual = waiting(size);
				let deltas = encode(&increments, &mut residual, 112).unwrap();
				assert!(!deltas.is_empty());
				let mut residual = waiting(size);
				let carry = Carry { growth: 3, halvings: 0 };
				encode_within(&increments, &mut residual, 112, carry).unwrap();
			}
		}
	}

	#[test]
	fn low_rank_is_taken_where_it_leaves_less() {
		let layout = Layout::new(&tiny()).unwrap();
		let mut encoder = ComponentEncoder::new();
		let mut seen = Vec::new();
		for increments in [moved(1), moved_in_rows(1), moved_in_rows(7)] {
			for (component, increments) in increments.iter().enumerate() {
				let wanted: Vec<i64> = increments.iter().map(|inc| i64::from(*inc)).collect();
				let (mut left, mut left_by_chunks) = (wanted.clone(), wanted.clone());
				let tensors = tensors_of(&layout, component).unwrap();
				let chosen = encoder.encode(&tensors, &mut left, 112).unwrap();
				let chunks = encoder.in_chunks(&mut left_by_chunks, 112);
				assert_eq!(chosen.squared_error, delta::squared_norm(&left));
				assert_eq!(chunks.squared_error, delta::squared_norm(&left_by_chunks));
				match chosen.kind {
					DeltaKind::LowRank => {
						assert!(chosen.squared_error < chunks.squared_error);
						assert!(chosen.squared_error <= delta::squared_norm(&wanted) / 5 * 3);
					}
					DeltaKind::Chunks => assert_eq!((&chosen, &left), (&chunks, &left_by_chunks)),
				}
				let delta =
					Delta { component: component as u16, kind: chosen.kind, leaves: chosen.leaves };
				let said = decoded(&tiny(), &[delta]).unwrap().swap_remove(component);
				assert_eq!(chosen.changes, said.iter().filter(|said| **said != 0).count());
				let sums = said.iter().zip(&left).map(|(said, left)| i64::from(*said) + left);
				assert!(sums.eq(wanted));
				seen.push(chosen.kind);
			}
		}
		// A router and small experts have no bytes for a row and a column of a matrix.
		let (low_rank, chunks) = (DeltaKind::LowRank, DeltaKind::Chunks);
		assert_eq!(seen[6..12], [low_rank, low_rank, chunks, chunks, chunks, low_rank]);
		assert_eq!(seen[12..], seen[6..12]);
	}

	#[test]
	fn low_rank_that_leaves_more_than_three_fifths_is_not_taken() {
		let (rows, cols) = (64usize, 1_024usize);
		let matrix = low_rank::Matrix { weights: rows * cols, first: 0, rows, cols };
		let tensors = Tensors::new(vec![matrix]).unwrap();
		let signs = |size: i64| -> Vec<i64> {
			let sign = |place: usize| i64::from((place as u32).wrapping_mul(0x9e37_79b9) >> 31);
			(0..rows * cols).map(|place| (2 * sign(place) - 1) * size).collect()
		};
		// One direction beside signs that have none: a hundred of it, and so many of the signs.
		for (size, kind) in [(120, DeltaKind::LowRank), (125, DeltaKind::Chunks)] {
			let wanted: Vec<i64> = signs(size).iter().map(|sign| (sign + 100) << 12).collect();
			let fitted = low_rank::fit_within(&tensors, &wanted, 16 * 112).unwrap().unwrap();
			let (mut left, mut left_by_chunks) = (wanted.clone(), wanted.clone());
			let mut encoder = ComponentEncoder::new();
			let chunks = encoder.in_chunks(&mut left_by_chunks, 112);
			assert!(fitted.squared_error < chunks.squared_error);
			let limit = delta::squared_norm(&wanted) / 5 * 3;
			assert_eq!(fitted.squared_error <= limit, kind == DeltaKind::LowRank);
			let chosen = encoder.encode(&tensors, &mut left, 112).unwrap();
			assert_eq!(chosen.kind, kind, "{size}");
			let smaller = encoder.smaller(&tensors, &mut wanted.clone(), 112).unwrap();
			assert_eq!(smaller.kind, DeltaKind::LowRank);
			assert_eq!(smaller.squared_error, fitted.squared_error);
		}
	}

	#[test]
	fn encoding_again_gives_the_same_bytes() {
		assert_eq!(mixed(3), mixed(3));
		assert_ne!(mixed(3), mixed(4));
	}

	#[test]
	fn blob_brings_deltas_back() {
		for deltas in [encoded(2), mixed(2)] {
			let listed = listed(&deltas);
			let packed = blob(&deltas);
			assert_eq!(packed.len(), deltas.iter().map(Delta::bytes).sum::<usize>());
			assert_eq!(from_blob(&tiny(), &listed, &packed).unwrap(), deltas);

			let cut = from_blob(&tiny(), &listed, &packed[..packed.len() - 1]);
			assert!(matches!(cut, Err(Error::Blob(_))));
			let absent = from_blob(&tiny(), &[(99, DeltaKind::Chunks)], &packed);
			assert!(matches!(absent, Err(Error::NoComponent { component: 99, count: 6 })));
			let twice = from_blob(&tiny(), &[listed[0], listed[0]], &packed);
			assert!(matches!(twice, Err(Error::Order { component: 0 })));
			// Of the other kind, it is none.
			for place in 0..listed.len() {
				let mut other = listed.clone();
				other[place].1 = match other[place].1 {
					DeltaKind::Chunks => DeltaKind::LowRank,
					DeltaKind::LowRank => DeltaKind::Chunks,
				};
				assert!(from_blob(&tiny(), &other, &packed).is_err());
			}
		}
		let deltas = encoded(2);
		let mut unknown = blob(&deltas);
		unknown[LENGTH_BYTES] = 9;
		let unknown = from_blob(&tiny(), &listed(&deltas), &unknown);
		assert!(matches!(unknown, Err(Error::Delta { component: 0, leaf: 0, .. })));
		let mut deltas = mixed(2);
		deltas[0].leaves[2][..2].copy_from_slice(&300u16.to_le_bytes());
		let unknown = from_blob(&tiny(), &listed(&deltas), &blob(&deltas));
		assert!(matches!(unknown, Err(Error::LowRank { component: 0, .. })));
	}

	#[test]
	fn merging_is_what_the_primitives_say() {
		let (a, b, c) = (encoded(1), encoded(2), mixed(3));
		let base = base();
		let merged = merge(&base, &[(3, &a), (5, &b), (2, &c)]).unwrap();

		let wide = |deltas: &[Delta]| -> Vec<Vec<i64>> {
			let components = decoded(&tiny(), deltas).unwrap();
			components.into_iter().map(|list| list.into_iter().map(i64::from).collect()).collect()
		};
		let (of_a, of_b, of_c) = (wide(&a), wide(&b), wide(&c));
		for (component, before) in base.components().iter().enumerate() {
			let increments = [&of_a, &of_b, &of_c].map(|update| update[component].clone());
			let updates: Vec<(u64, Vec<i64>)> = [3, 5, 2].into_iter().zip(increments).collect();
			let mut expected = before.clone();
			delta::apply(&mut expected, &delta::merge(&updates));
			assert_eq!(merged.components()[component], expected);
		}
		assert_ne!(merged.roots(), base.roots());
		let without_c = merge(&base, &[(3, &a), (5, &b)]).unwrap();
		assert_eq!(without_c.roots()[1], base.roots()[1]);
		assert_ne!(merged.roots()[1], base.roots()[1]);
	}

	#[test]
	fn one_update_moves_weights_by_its_own_increments() {
		let base = base();
		for deltas in [encoded(4), mixed(4)] {
			let moved = base.moved(&decoded(&tiny(), &deltas).unwrap()).unwrap();
			assert_eq!(merge(&base, &[(7, &deltas)]).unwrap(), moved);
		}
		assert_eq!(merge(&base, &[]).unwrap(), base);
	}

	#[test]
	fn update_without_a_component_counts_as_zero_for_it() {
		let whole = encoded(1);
		let less = encoded(2).split_off(1);
		assert_eq!((whole[0].component, less[0].component), (0, 2));
		let merged = merge(&base(), &[(1, &whole), (3, &less)]).unwrap();
		// The mean of the first component is a quarter of what the only update says about it.
		let expected = merge(&base(), &[(1, &whole[..1]), (3, &[])]).unwrap();
		assert_eq!(merged.components()[0], expected.components()[0]);
		let alone = merge(&base(), &[(1, &whole[..1])]).unwrap();
		assert_ne!(merged.components()[0], alone.components()[0]);
	}

	#[test]
	fn deltas_that_do_not_fit_the_model_are_refused() {
		let base = base();
		let mut deltas = encoded(1);
		deltas.swap(0, 1);
		let swapped = merge(&base, &[(1, &deltas)]);
		assert!(matches!(swapped, Err(Error::Order { component: 0 })));
		deltas.swap(0, 1);
		deltas[0].leaves.pop();
		let short = merge(&base, &[(1, &deltas)]);
		assert!(matches!(short, Err(Error::Length { component: 0, expected: 2, found: 1, .. })));
		let mut deltas = encoded(1);
		deltas[1].leaves[0][0] = 7;
		let unknown = merge(&base, &[(1, &deltas)]);
		assert!(matches!(unknown, Err(Error::Delta { component: 2, leaf: 0, .. })));
		assert!(squared_norm(&tiny(), &deltas).is_err());

		let mut deltas = mixed(1);
		// More rows than the leaf needs.
		deltas[0].leaves[0].push(0);
		let long = merge(&base, &[(1, &deltas)]);
		assert!(matches!(long, Err(Error::LowRank { component: 0, .. })));
		assert!(squared_norm(&tiny(), &deltas).is_err());
		assert!(decoded(&tiny(), &deltas).is_err());
	}

	#[test]
	fn norm_is_that_of_the_decoded_increments() {
		for deltas in [encoded(5), mixed(5)] {
			let increments = decoded(&tiny(), &deltas).unwrap();
			let expected: u128 = increments
				.iter()
				.flatten()
				.map(|increment| u128::from(increment.unsigned_abs()).pow(2))
				.sum();
			assert!(expected > 0);
			assert_eq!(squared_norm(&tiny(), &deltas).unwrap(), expected);
			let norms = squared_norms(&tiny(), &deltas).unwrap();
			let of_each: Vec<u128> =
				increments.iter().map(|increments| squared_bound(increments, 1)).collect();
			assert_eq!(norms, of_each);
		}
		assert_eq!(squared_norms(&tiny(), &[]).unwrap(), [0; 6]);
	}

	/// A residual of every component, with values of at most three times `size`.
	fn waiting(size: i64) -> Residual {
		let mut residual = Residual::zero(&tiny()).unwrap();
		for rest in residual.components.iter_mut() {
			for (place, rest) in (0i64..).zip(rest) {
				*rest = (place % 7 - 3) * size;
			}
		}
		residual
	}

	#[test]
	fn delta_that_carries_nothing_is_at_most_twice_as_long() {
		for increments in [moved(1), moved_in_rows(2)] {
			for budget in [8, 112] {
				let mut residual = Residual::zero(&tiny()).unwrap();
				let deltas = encode(&increments, &mut residual, budget).unwrap();
				let norms = squared_norms(&tiny(), &deltas).unwrap();
				for (norm, increments) in norms.iter().zip(&increments) {
					assert!(*norm <= squared_bound(increments, 2));
				}
			}
		}
	}

	#[test]
	fn residual_within_the_bound_is_carried_whole() {
		let loose = Carry { growth: u32::MAX, halvings: 0 };
		// Every component moves: one that does not carries nothing.
		let increments = moved_in_rows(3);
		let (mut plain, mut within) = (waiting(50), waiting(50));
		let expected = encode(&increments, &mut plain, 112).unwrap();
		let (deltas, in_part) = encode_within(&increments, &mut within, 112, loose).unwrap();
		assert_eq!((deltas, within, in_part), (expected, plain, 0));
	}

	#[test]
	fn residual_beyond_the_bound_waits() {
		let before = waiting(1 << 24);
		let mut kinds = Vec::new();
		for (halvings, increments) in
			[(0, moved(2)), (3, moved(2)), (0, moved_in_rows(2)), (3, moved_in_rows(2))]
		{
			let mut after = before.clone();
			let carry = Carry { growth: 3, halvings };
			let (deltas, in_part) = encode_within(&increments, &mut after, 112, carry).unwrap();
			assert_eq!(in_part, increments.len());
			let norms = squared_norms(&tiny(), &deltas).unwrap();
			for (norm, increments) in norms.iter().zip(&increments) {
				assert!(*norm <= squared_bound(increments, 3));
			}
			// Components that training did not move do not move.
			if increments[1].iter().all(|increment| *increment == 0) {
				assert_eq!(norms[1], 0);
				assert_eq!(after.components[1], before.components[1]);
			}

			let said = decoded(&tiny(), &deltas).unwrap();
			for delta in &deltas {
				kinds.push(delta.kind);
				let component = usize::from(delta.component);
				let weights = || {
					let weights = before.components[component].iter().zip(&increments[component]);
					weights.zip(&said[component]).zip(&after.components[component])
				};
				let explains = |halved: u32| {
					weights().all(|(((before, increment), said), after)| {
						let carried = part(*before, halved);
						let left = carried + i64::from(*increment) - i64::from(*said);
						let kept = match delta.kind {
							DeltaKind::Chunks => left - left / CHUNKS_DROP,
							DeltaKind::LowRank => left / LOW_RANK_KEEPS,
						};
						*after == before - carried + kept
					})
				};
				assert!((halvings..ALL_HALVINGS).any(explains), "component {component}");
			}
		}
		assert!(kinds.contains(&DeltaKind::Chunks) && kinds.contains(&DeltaKind::LowRank));
	}

	#[test]
	fn halvings_are_as_many_as_the_excess_says() {
		assert_eq!([5, 16, 63, 64, 256].map(|squared| halvings(squared, 4)), [1, 1, 2, 2, 3]);
		assert_eq!(halvings(u128::MAX, 1), 64);
		assert_eq!(halvings(1, 0), ALL_HALVINGS);
		assert_eq!([7, -7, 1, -1].map(|rest| part(rest, 1)), [3, -3, 0, 0]);
		assert_eq!([0, 62, 63, 64].map(|times| part(i64::MIN, times)), [i64::MIN, -2, 0, 0]);
	}

	#[test]
	fn residual_comes_back_from_a_file() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("residual");
		let mut residual = Residual::zero(&tiny()).unwrap();
		encode(&moved(1), &mut residual, 112).unwrap();
		residual.save(&path).unwrap();
		assert_eq!(Residual::load(&path).unwrap(), residual);

		let mut bytes = std::fs::read(&path).unwrap();
		let last = bytes.len() - 1;
		bytes[last] ^= 1;
		std::fs::write(&path, &bytes).unwrap();
		assert!(matches!(Residual::load(&path), Err(Error::File { .. })));
		assert!(matches!(crate::State::load(&path), Err(Error::File { offset: 0, .. })));
	}

	#[test]
	fn merge_does_not_depend_on_how_samples_are_scaled() {
		let (a, b) = (encoded(1), mixed(6));
		let merged = |factor: u64| merge(&base(), &[(3 * factor, &a), (7 * factor, &b)]).unwrap();
		assert_eq!(merged(1), merged(13));
		// So many that sums take 128 bits.
		assert_eq!(merged(1), merged(1 << 40));
	}
}
