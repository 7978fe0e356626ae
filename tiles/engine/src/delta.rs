//! From increments to compressed deltas, and from accepted deltas to merged weights.
//!
//! # Overview
//!
//! A trainer [`encode`]s what it learned, and keeps what the encoding left out as a [`Residual`] for
//! its next update. It sends the deltas as one [`blob`]. Whoever merges takes them out again with
//! [`from_blob`], and [`merge`]s the accepted updates into the base.
//!
//! Everything here is integer arithmetic of `blyan_primitives::delta`, leaf by leaf, so it gives the
//! same bits on every machine and inside the runtime.
//!
//! An update need not change every component. In the merge of a component that it does not change
//! it counts with its samples and with increments of zero.

use crate::{container::Kind, layout::Layout, weights::Weights, Error, Result};
use blyan_primitives::{
	delta::{
		self, apply_leaf, check_leaf, component_delta_root, decode_blob, encode_blob, leaf_count,
		leaf_squared_norm, merge_leaf, weights_in_leaf, Encoder, CHUNK, LEAF_WEIGHTS,
	},
	model::Architecture,
	update::ComponentDelta,
	H256,
};
use std::path::Path;

/// Bytes of a length in a blob.
const LENGTH_BYTES: usize = 4;
/// The file of a residual.
const RESIDUAL_FILE: Kind =
	Kind { magic: *b"BLYRESD", name: "residual of deltas", bytes_per_weight: 2 * 4 };

/// How one component changes: the bytes of each leaf's delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
	/// Place of the component in its architecture.
	pub component: u16,
	/// For each leaf of the component the bytes of its delta.
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
			delta_root: self.root(),
			// A component of 2^31 bytes, every chunk dense, takes a quarter of that and some more.
			bytes: self.bytes() as u32,
		}
	}
}

/// What compression left out so far, in units of 2^−24: it is added to the next increments, so that
/// nothing that was learned is lost (error feedback).
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

/// Compresses increments, and what was left out before, to at most `bytes_per_chunk` bytes for each
/// 4,096 weights, on average over each leaf. What is left out this time takes the residual's place.
///
/// `increments` has one entry for each weight of each component, as [`crate::Recipe::delta`] gives
/// them. Components of which nothing is kept are not in the result, so it may be empty.
pub fn encode(
	increments: &[Vec<i32>],
	residual: &mut Residual,
	bytes_per_chunk: u16,
) -> Result<Vec<Delta>> {
	let layout = Layout::new(&residual.architecture)?;
	layout.check("increments", increments.iter().map(Vec::len))?;
	let mut encoder = Encoder::new();
	let mut deltas = Vec::new();
	let components = increments.iter().zip(&mut residual.components);
	for (component, (increments, rest)) in components.enumerate() {
		let mut leaves = Vec::with_capacity(leaf_count(increments.len()));
		let mut changes = 0;
		let pairs = increments.chunks(LEAF_WEIGHTS).zip(rest.chunks_mut(LEAF_WEIGHTS));
		for (increments, rest) in pairs {
			for (rest, increment) in rest.iter_mut().zip(increments) {
				*rest = rest.saturating_add(i64::from(*increment));
			}
			let chunks = increments.len().div_ceil(CHUNK);
			let mut bytes = Vec::with_capacity(chunks * usize::from(bytes_per_chunk));
			changes += encoder.encode(rest, bytes_per_chunk, &mut bytes);
			leaves.push(bytes);
		}
		if changes > 0 {
			// At most 512 components.
			deltas.push(Delta { component: component as u16, leaves });
		}
	}
	Ok(deltas)
}

/// Packs deltas for transport. Give them in ascending order of component.
pub fn blob(deltas: &[Delta]) -> Vec<u8> {
	let leaves: Vec<Vec<Vec<u8>>> = deltas.iter().map(|delta| delta.leaves.clone()).collect();
	encode_blob(&leaves)
}

/// Unpacks the deltas of these components, which an update lists, and checks that each decodes.
pub fn from_blob(
	architecture: &Architecture,
	components: &[u16],
	blob: &[u8],
) -> Result<Vec<Delta>> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, components.iter().copied())?;
	let weights: Vec<usize> =
		components.iter().map(|component| layout.weights(usize::from(*component))).collect();
	let unpacked = decode_blob(blob, &weights).map_err(Error::Blob)?;
	let deltas: Vec<Delta> = components
		.iter()
		.zip(unpacked)
		.map(|(component, leaves)| Delta { component: *component, leaves })
		.collect();
	for (delta, weights) in deltas.iter().zip(weights) {
		for_each_leaf(delta, weights, |leaf, bytes| {
			check_leaf(bytes, weights_in_leaf(weights, leaf))
		})?;
	}
	Ok(deltas)
}

/// The sum of the squares of all increments, in square units: what a recipe bounds.
pub fn squared_norm(architecture: &Architecture, deltas: &[Delta]) -> Result<u128> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, deltas.iter().map(|delta| delta.component))?;
	let mut sum = 0u128;
	for delta in deltas {
		let weights = layout.weights(usize::from(delta.component));
		for_each_leaf(delta, weights, |leaf, bytes| {
			// Saturates far beyond what any recipe allows.
			sum = sum.saturating_add(leaf_squared_norm(bytes, weights_in_leaf(weights, leaf))?);
			Ok(())
		})?;
	}
	Ok(sum)
}

/// The increments that deltas stand for, one for each weight; zero where they say nothing.
pub fn decoded(architecture: &Architecture, deltas: &[Delta]) -> Result<Vec<Vec<i32>>> {
	let layout = Layout::new(architecture)?;
	check_order(&layout, deltas.iter().map(|delta| delta.component))?;
	let count = layout.components().len();
	let mut components: Vec<Vec<i32>> =
		(0..count).map(|component| vec![0; layout.weights(component)]).collect();
	for delta in deltas {
		let weights = &mut components[usize::from(delta.component)];
		let count = weights.len();
		let mut leaves = weights.chunks_mut(LEAF_WEIGHTS);
		for_each_leaf(delta, count, |_, bytes| {
			// Applied to zeros, increments clamp to what an i32 holds. Both have as many leaves.
			apply_leaf(leaves.next().unwrap_or_default(), bytes)
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
	let mut merged = base.clone();
	for (component, weights) in merged.components_mut().iter_mut().enumerate() {
		let of_component: Vec<(u64, Option<&Delta>)> = updates
			.iter()
			.map(|(samples, deltas)| {
				let own = deltas.iter().find(|delta| usize::from(delta.component) == component);
				(*samples, own)
			})
			.collect();
		if of_component.iter().all(|(_, delta)| delta.is_none()) {
			continue;
		}
		for (leaf, weights) in weights.chunks_mut(LEAF_WEIGHTS).enumerate() {
			let of_leaf: Vec<(u64, Option<&[u8]>)> = of_component
				.iter()
				.map(|(samples, delta)| (*samples, delta.map(|d| d.leaves[leaf].as_slice())))
				.collect();
			merge_leaf(weights, &of_leaf).map_err(|source| Error::Delta {
				component,
				leaf,
				source,
			})?;
		}
	}
	Ok(merged)
}

/// Calls `visit` with the place and the bytes of each leaf of a delta of a component of `weights`
/// weights.
fn for_each_leaf(
	delta: &Delta,
	weights: usize,
	mut visit: impl FnMut(usize, &[u8]) -> std::result::Result<(), delta::Error>,
) -> Result<()> {
	check_leaves(delta, weights)?;
	let component = usize::from(delta.component);
	for (leaf, bytes) in delta.leaves.iter().enumerate() {
		visit(leaf, bytes).map_err(|source| Error::Delta { component, leaf, source })?;
	}
	Ok(())
}

/// Refuses a delta that has not one entry for each leaf of a component of `weights` weights.
fn check_leaves(delta: &Delta, weights: usize) -> Result<()> {
	let (expected, found) = (leaf_count(weights), delta.leaves.len());
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

	fn encoded(seed: u32) -> Vec<Delta> {
		encode(&moved(seed), &mut Residual::zero(&tiny()).unwrap(), 112).unwrap()
	}

	#[test]
	fn delta_and_residual_together_are_what_was_asked_for() {
		let mut residual = Residual::zero(&tiny()).unwrap();
		let mut sent: Vec<Vec<i64>> = residual.components().to_vec();
		let mut asked = sent.clone();
		let add = |sums: &mut Vec<Vec<i64>>, increments: &[Vec<i32>]| {
			for (sum, increment) in sums.iter_mut().flatten().zip(increments.iter().flatten()) {
				*sum += i64::from(*increment);
			}
		};
		for seed in 0..3 {
			let increments = moved(seed);
			let deltas = encode(&increments, &mut residual, 112).unwrap();
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
	fn delta_keeps_the_budget_and_leaves_out_what_does_not_change() {
		let deltas = encoded(1);
		let components: Vec<u16> = deltas.iter().map(|delta| delta.component).collect();
		assert_eq!(components, [0, 2, 3, 5]);
		for delta in &deltas {
			let weights = base().components()[usize::from(delta.component)].len();
			assert_eq!(delta.leaves.len(), leaf_count(weights));
			let chunks = weights.div_ceil(delta::CHUNK);
			assert!(delta.bytes() <= chunks * 112 + delta.leaves.len() * LENGTH_BYTES);
			assert_eq!(delta.entry().bytes as usize, delta.bytes());
			assert_eq!(delta.entry().delta_root, component_delta_root(&delta.leaves));
		}
		let nothing = vec![vec![0; 1]; 6];
		let refused = encode(&nothing, &mut Residual::zero(&tiny()).unwrap(), 112);
		assert!(matches!(refused, Err(Error::Length { .. })));
	}

	#[test]
	fn blob_brings_deltas_back() {
		let deltas = encoded(2);
		let components: Vec<u16> = deltas.iter().map(|delta| delta.component).collect();
		let packed = blob(&deltas);
		assert_eq!(packed.len(), deltas.iter().map(Delta::bytes).sum::<usize>());
		assert_eq!(from_blob(&tiny(), &components, &packed).unwrap(), deltas);

		let cut = from_blob(&tiny(), &components, &packed[..packed.len() - 1]);
		assert!(matches!(cut, Err(Error::Blob(_))));
		let absent = from_blob(&tiny(), &[99], &packed);
		assert!(matches!(absent, Err(Error::NoComponent { component: 99, count: 6 })));
		let twice = from_blob(&tiny(), &[0, 0], &packed);
		assert!(matches!(twice, Err(Error::Order { component: 0 })));
		let mut unknown = packed;
		unknown[LENGTH_BYTES] = 9;
		let unknown = from_blob(&tiny(), &components, &unknown);
		assert!(matches!(unknown, Err(Error::Delta { component: 0, leaf: 0, .. })));
	}

	#[test]
	fn merging_is_what_the_primitives_say() {
		let (a, b) = (encoded(1), encoded(2));
		let base = base();
		let merged = merge(&base, &[(3, &a), (5, &b)]).unwrap();

		let wide = |deltas: &[Delta]| -> Vec<Vec<i64>> {
			let components = decoded(&tiny(), deltas).unwrap();
			components.into_iter().map(|list| list.into_iter().map(i64::from).collect()).collect()
		};
		let (of_a, of_b) = (wide(&a), wide(&b));
		for (component, before) in base.components().iter().enumerate() {
			let updates = [(3, of_a[component].clone()), (5, of_b[component].clone())];
			let mut expected = before.clone();
			delta::apply(&mut expected, &delta::merge(&updates));
			assert_eq!(merged.components()[component], expected);
		}
		assert_ne!(merged.roots(), base.roots());
		assert_eq!(merged.roots()[1], base.roots()[1]);
	}

	#[test]
	fn one_update_moves_weights_by_its_own_increments() {
		let deltas = encoded(4);
		let base = base();
		let moved = base.moved(&decoded(&tiny(), &deltas).unwrap()).unwrap();
		assert_eq!(merge(&base, &[(7, &deltas)]).unwrap(), moved);
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
	}

	#[test]
	fn norm_is_that_of_the_decoded_increments() {
		let deltas = encoded(5);
		let increments = decoded(&tiny(), &deltas).unwrap();
		let expected: u128 = increments
			.iter()
			.flatten()
			.map(|increment| u128::from(increment.unsigned_abs()).pow(2))
			.sum();
		assert!(expected > 0);
		assert_eq!(squared_norm(&tiny(), &deltas).unwrap(), expected);
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
		let (a, b) = (encoded(1), encoded(6));
		let merged = |factor: u64| merge(&base(), &[(3 * factor, &a), (7 * factor, &b)]).unwrap();
		assert_eq!(merged(1), merged(13));
		// So many that sums take 128 bits.
		assert_eq!(merged(1), merged(1 << 40));
	}
}
