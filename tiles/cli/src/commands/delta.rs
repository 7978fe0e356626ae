//! Integer deltas between tile files.
//!
//! A delta's file is the blob of one component, as `blyan_primitives::delta` packs it: for each leaf
//! a length and the bytes of its delta. How many leaves there are, the base says.

use crate::{
	args::{DeltaApplyArgs, DeltaEncodeArgs, DeltaInspectArgs, DeltaMergeArgs},
	context::{usage, Context},
	output::percent,
};
use anyhow::{ensure, Context as _};
use blyan_primitives::{
	delta::{
		check_leaf, component_delta_root, decode_blob, encode_blob, leaf_count, leaf_squared_norm,
		merge_leaf, squared_norm, weights_in_leaf, Chunk, Decoder, Encoder, Error, LEAF_WEIGHTS,
	},
	model::MAX_COMPONENT_BYTES,
	recipe::{MAX_DELTA_BYTES_PER_CHUNK, MIN_DELTA_BYTES_PER_CHUNK},
	tensor::WEIGHT_BYTES,
	H256,
};
use blyan_tiles::{atomic, TileFile};
use serde::Serialize;
use std::{fs::File, io::Read, path::Path};

/// The most weights of a component.
const MAX_WEIGHTS: usize = MAX_COMPONENT_BYTES as usize / WEIGHT_BYTES;

/// What `delta encode` prints.
#[derive(Serialize)]
struct Encoded {
	file: String,
	weights: u64,
	/// Weights whose target differs from the base.
	moved: u64,
	/// Weights that the delta changes.
	kept: u64,
	/// How much of the squared distance to the target the delta leaves.
	error_left: String,
	bytes: u64,
	/// How many times smaller than the weights the delta is.
	ratio: u64,
	delta_root: H256,
}

/// Compresses the difference of two tile files.
pub fn encode(args: DeltaEncodeArgs, context: &Context) -> anyhow::Result<()> {
	let budget = args.bytes_per_chunk;
	if !(MIN_DELTA_BYTES_PER_CHUNK..=MAX_DELTA_BYTES_PER_CHUNK).contains(&budget) {
		return Err(usage(format!(
			"--bytes-per-chunk: give {MIN_DELTA_BYTES_PER_CHUNK} to {MAX_DELTA_BYTES_PER_CHUNK}"
		)));
	}
	let (base, target) = (open(&args.base)?, open(&args.target)?);
	let (from, to) = (base.weights()?, target.weights()?);
	ensure!(
		from.len() == to.len(),
		"the base has {} weights, the target {}; give two versions of one component",
		from.len(),
		to.len()
	);
	let (mut moved, mut kept) = (0u64, 0u64);
	let (mut distance, mut error) = (0u128, 0u128);
	let mut leaves = Vec::with_capacity(leaf_count(from.len()));
	let mut encoder = Encoder::new();
	let progress = context.output.progress("leaves", leaf_count(from.len()) as u64);
	for (from, to) in from.chunks(LEAF_WEIGHTS).zip(to.chunks(LEAF_WEIGHTS)) {
		let mut increments: Vec<i64> =
			from.iter().zip(to).map(|(from, to)| i64::from(*to) - i64::from(*from)).collect();
		moved += increments.iter().filter(|increment| **increment != 0).count() as u64;
		distance = distance.saturating_add(squared_norm(&increments));
		let mut bytes = Vec::new();
		kept += encoder.encode(&mut increments, budget, &mut bytes) as u64;
		// What the delta does not say is left in them.
		error = error.saturating_add(squared_norm(&increments));
		leaves.push(bytes);
		progress.inc(1);
	}
	progress.finish_and_clear();
	let delta_root = component_delta_root(&leaves);
	let blob = encode_blob(&[leaves]);
	atomic::write(&args.out, |file| std::io::Write::write_all(file, &blob))?;
	let bytes = blob.len() as u64;
	context.output.record(&Encoded {
		file: args.out.to_string_lossy().into_owned(),
		weights: from.len() as u64,
		moved,
		kept,
		error_left: share(error, distance),
		bytes,
		ratio: (from.len() as u64 * WEIGHT_BYTES as u64) / bytes.max(1),
		delta_root,
	})
}

/// What `delta apply` and `delta merge` print.
#[derive(Serialize)]
struct Changed {
	file: String,
	weights: u64,
	/// Weights that are not what they were.
	changed: u64,
	base_root: H256,
	root: H256,
}

/// Adds a delta to a tile file.
pub fn apply(args: DeltaApplyArgs, context: &Context) -> anyhow::Result<()> {
	let base = open(&args.base)?;
	let leaves = read_delta(&args.delta, base.weights()?.len())?;
	// One update with any samples merges to itself.
	change(&base, &[(1, leaves)], &args.out, context)
}

/// Merges several deltas by their samples and adds them to a tile file.
pub fn merge(args: DeltaMergeArgs, context: &Context) -> anyhow::Result<()> {
	let base = open(&args.base)?;
	let weights = base.weights()?.len();
	let mut updates = Vec::with_capacity(args.deltas.len());
	for delta in &args.deltas {
		updates.push((delta.samples, read_delta(&delta.path, weights)?));
	}
	change(&base, &updates, &args.out, context)
}

/// Writes the base changed by the merge of `updates`, each its samples and its leaves.
fn change(
	base: &TileFile,
	updates: &[(u64, Vec<Vec<u8>>)],
	out: &Path,
	context: &Context,
) -> anyhow::Result<()> {
	let weights = base.weights()?;
	let mut changed = 0u64;
	let mut leaves: Vec<(u64, Vec<i32>)> = Vec::new();
	let progress = context.output.progress("leaves", leaf_count(weights.len()) as u64);
	for (leaf, old) in weights.chunks(LEAF_WEIGHTS).enumerate() {
		let of_leaf: Vec<(u64, Option<&[u8]>)> = updates
			.iter()
			.map(|(samples, delta)| {
				(*samples, Some(delta.get(leaf).map(Vec::as_slice).unwrap_or_default()))
			})
			.collect();
		let mut new = old.to_vec();
		merge_leaf(&mut new, &of_leaf)
			.with_context(|| format!("leaf {leaf} of a delta; get the delta again"))?;
		let differing = old.iter().zip(&new).filter(|(old, new)| old != new).count();
		if differing > 0 {
			changed += differing as u64;
			leaves.push((leaf as u64, new));
		}
		progress.inc(1);
	}
	progress.finish_and_clear();
	let changes: Vec<(u64, &[i32])> =
		leaves.iter().map(|(leaf, weights)| (*leaf, weights.as_slice())).collect();
	let root = base.update(out, &changes)?;
	context.output.record(&Changed {
		file: out.to_string_lossy().into_owned(),
		weights: weights.len() as u64,
		changed,
		base_root: base.root(),
		root,
	})
}

/// A leaf's delta as `delta inspect` lists it.
#[derive(Default, Serialize)]
struct LeafDelta {
	leaf: u64,
	bytes: u64,
	unchanged_chunks: u64,
	sparse_chunks: u64,
	dense_chunks: u64,
	changes: u64,
	/// The largest increment's size, in units of 2^-24.
	largest: u64,
}

/// What `delta inspect --json` prints; people see the parts one after the other.
#[derive(Serialize)]
struct Inspected {
	weights: u64,
	bytes: u64,
	squared_norm: String,
	delta_root: H256,
	leaves: Vec<LeafDelta>,
}

/// Shows what a delta says, leaf by leaf.
pub fn inspect(args: DeltaInspectArgs, context: &Context) -> anyhow::Result<()> {
	let weights = match (&args.base, args.weights) {
		(Some(base), _) => open(base)?.weights()?.len(),
		(None, Some(weights)) if (1..=MAX_WEIGHTS).contains(&weights) => weights,
		_ => return Err(usage(format!("--weights: give 1 to {MAX_WEIGHTS}"))),
	};
	let leaves = read_delta(&args.delta, weights)?;
	let mut norm = 0u128;
	let mut listed = Vec::with_capacity(leaves.len());
	for (leaf, bytes) in leaves.iter().enumerate() {
		let count = weights_in_leaf(weights, leaf);
		let which = || format!("leaf {leaf}");
		norm = norm.saturating_add(leaf_squared_norm(bytes, count).with_context(which)?);
		listed.push(inspect_leaf(leaf, bytes, count).with_context(which)?);
	}
	let mut inspected = Inspected {
		weights: weights as u64,
		bytes: leaves.iter().map(|leaf| leaf.len() as u64).sum(),
		// JSON's numbers end before this one does.
		squared_norm: norm.to_string(),
		delta_root: component_delta_root(&leaves),
		leaves: Vec::new(),
	};
	if context.output.is_json() {
		inspected.leaves = listed;
		return context.output.record(&inspected);
	}
	context.output.rows(&listed, "no leaves")?;
	context.output.note(format!(
		"{} bytes for {} weights, root {:?}",
		inspected.bytes, inspected.weights, inspected.delta_root
	));
	Ok(())
}

/// What the delta of a leaf of `weights` weights says.
fn inspect_leaf(leaf: usize, bytes: &[u8], weights: usize) -> Result<LeafDelta, Error> {
	let mut row =
		LeafDelta { leaf: leaf as u64, bytes: bytes.len() as u64, ..LeafDelta::default() };
	let mut decoder = Decoder::new(bytes, weights)?;
	while let Some(chunk) = decoder.read()? {
		match chunk {
			Chunk::Unchanged => row.unchanged_chunks += 1,
			Chunk::Sparse { .. } => row.sparse_chunks += 1,
			Chunk::Dense { .. } => row.dense_chunks += 1,
		}
		for increment in chunk.increments().filter(|increment| *increment != 0) {
			row.changes += 1;
			row.largest = row.largest.max(increment.unsigned_abs());
		}
	}
	Ok(row)
}

/// A part of a sum of squares as a percentage.
fn share(part: u128, whole: u128) -> String {
	// Shifted until both fit, which loses less than the last digit that is shown.
	let shift = 128u32.saturating_sub(whole.leading_zeros()).saturating_sub(63);
	let small = |number: u128| u64::try_from(number >> shift).unwrap_or(u64::MAX);
	percent(small(part), small(whole))
}

/// A tile file of master weights whose payload has the root that its header states.
fn open(path: &Path) -> anyhow::Result<TileFile> {
	let file = TileFile::open(path)?;
	file.verify(&file.root())?;
	file.weights()?;
	Ok(file)
}

/// The leaves of a delta for a component of `weights` weights.
fn read_delta(path: &Path, weights: usize) -> anyhow::Result<Vec<Vec<u8>>> {
	let refused = || format!("{} is no delta of this component", path.display());
	// Dense, a delta takes a quarter of the weights and some more; beyond that it is none.
	let limit = (weights as u64).saturating_mul(WEIGHT_BYTES as u64).saturating_add(1 << 20);
	let mut blob = Vec::new();
	File::open(path)
		.and_then(|file| file.take(limit).read_to_end(&mut blob))
		.with_context(|| format!("cannot read {}", path.display()))?;
	let mut components = decode_blob(&blob, &[weights]).with_context(refused)?;
	let leaves = components.pop().with_context(refused)?;
	for (leaf, bytes) in leaves.iter().enumerate() {
		check_leaf(bytes, weights_in_leaf(weights, leaf))
			.with_context(|| format!("leaf {leaf}"))
			.with_context(refused)?;
	}
	Ok(leaves)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn shares_of_large_sums_are_percentages() {
		assert_eq!(share(0, 0), "0.0 %");
		assert_eq!(share(1, 4), "25.0 %");
		assert_eq!(share(1 << 100, 1 << 102), "25.0 %");
		assert_eq!(share(u128::MAX, u128::MAX), "100.0 %");
	}
}
