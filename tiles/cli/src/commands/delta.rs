//! Integer deltas between tile files.
//!
//! A delta's file is the blob of one component, as `blyan_primitives::delta` packs it: for each leaf
//! a length and the bytes of its delta. How many leaves there are, the base says. A low-rank delta has
//! one leaf more, by which it is told apart; of which matrix it is, the command line says.

use crate::{
	args::{
		DeltaApplyArgs, DeltaEncodeArgs, DeltaInspectArgs, DeltaMergeArgs, LowRankChoice,
		MatrixPlace,
	},
	context::{usage, Context},
	output::percent,
};
use anyhow::{ensure, Context as _};
use blyan_engine::low_rank::{fit, rank_within};
use blyan_primitives::{
	delta::{
		self, check_leaf, component_delta_root, decode_blob, encode_blob, leaf_count,
		leaf_squared_norm,
		low_rank::{leaf_increments, LowRank, Matrix},
		merge_leaf, squared_norm, weights_in_leaf, Chunk, Decoder, Encoder, Error, CHUNK,
		LEAF_WEIGHTS,
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
	/// The rank of a low-rank delta.
	rank: Option<u64>,
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
	let place = match (args.low_rank, args.matrix) {
		(LowRankChoice::Never, _) => None,
		(_, Some(place)) => Some(place),
		(_, None) => return Err(usage("--low-rank: say of which matrix with --matrix")),
	};
	let (base, target) = (open(&args.base)?, open(&args.target)?);
	let (from, to) = (base.weights()?, target.weights()?);
	ensure!(
		from.len() == to.len(),
		"the base has {} weights, the target {}; give two versions of one component",
		from.len(),
		to.len()
	);
	let matrix = place.map(|place| matrix_of(place, from.len())).transpose()?;
	let encoding = best_encoding(from, to, budget, args.low_rank, matrix.as_ref(), context)?;
	let delta_root = component_delta_root(&encoding.leaves);
	let blob = encode_blob(&[encoding.leaves]);
	atomic::write(&args.out, |file| std::io::Write::write_all(file, &blob))?;
	let distances = || from.iter().zip(to).map(|(from, to)| u128::from(to.abs_diff(*from)));
	let bytes = blob.len() as u64;
	context.output.record(&Encoded {
		file: args.out.to_string_lossy().into_owned(),
		weights: from.len() as u64,
		moved: distances().filter(|distance| *distance != 0).count() as u64,
		kept: encoding.kept,
		rank: encoding.rank,
		error_left: share(encoding.error, distances().map(|distance| distance * distance).sum()),
		bytes,
		ratio: (from.len() as u64 * WEIGHT_BYTES as u64) / bytes.max(1),
		delta_root,
	})
}

/// One way to write a delta.
struct Encoding {
	leaves: Vec<Vec<u8>>,
	/// Weights that it changes.
	kept: u64,
	rank: Option<u64>,
	/// The sum of the squares of what it leaves out.
	error: u128,
}

/// The encoding that is asked for; of two, the one that leaves less.
fn best_encoding(
	from: &[i32],
	to: &[i32],
	budget: u16,
	choice: LowRankChoice,
	matrix: Option<&Matrix>,
	context: &Context,
) -> anyhow::Result<Encoding> {
	match (choice, matrix) {
		(LowRankChoice::Rank(rank), Some(matrix)) => in_low_rank(from, to, matrix, rank),
		(LowRankChoice::Auto, Some(matrix)) => {
			let chunks = in_chunks(from, to, budget, context);
			// What chunks took, not what they might have: the last one of a component is often short.
			let rank = rank_within(matrix, chunks.leaves.iter().map(Vec::len).sum());
			if rank == 0 {
				return Ok(chunks);
			}
			let low_rank = in_low_rank(from, to, matrix, rank)?;
			Ok(if low_rank.error < chunks.error { low_rank } else { chunks })
		}
		_ => Ok(in_chunks(from, to, budget, context)),
	}
}

/// The difference in chunks of so many bytes.
fn in_chunks(from: &[i32], to: &[i32], budget: u16, context: &Context) -> Encoding {
	let (mut kept, mut error) = (0u64, 0u128);
	let mut leaves = Vec::with_capacity(leaf_count(from.len()));
	let mut encoder = Encoder::new();
	let progress = context.output.progress("leaves", leaf_count(from.len()) as u64);
	for (from, to) in from.chunks(LEAF_WEIGHTS).zip(to.chunks(LEAF_WEIGHTS)) {
		let mut increments = difference(from, to);
		let mut bytes = Vec::new();
		kept += encoder.encode(&mut increments, budget, &mut bytes) as u64;
		// What the delta does not say is left in them.
		error = error.saturating_add(squared_norm(&increments));
		leaves.push(bytes);
		progress.inc(1);
	}
	progress.finish_and_clear();
	Encoding { leaves, kept, rank: None, error }
}

/// The difference of a matrix as a product of two thin ones; that of other weights is left out.
fn in_low_rank(from: &[i32], to: &[i32], matrix: &Matrix, rank: usize) -> anyhow::Result<Encoding> {
	let fitted = fit(matrix, &difference(from, to), rank)?;
	Ok(Encoding {
		leaves: fitted.delta.encode(matrix)?,
		kept: fitted.decoded.iter().filter(|increment| **increment != 0).count() as u64,
		rank: Some(rank as u64),
		error: fitted.squared_error,
	})
}

fn difference(from: &[i32], to: &[i32]) -> Vec<i64> {
	from.iter().zip(to).map(|(from, to)| i64::from(*to) - i64::from(*from)).collect()
}

/// The matrix of a component of `weights` weights that the command line names.
fn matrix_of(place: MatrixPlace, weights: usize) -> anyhow::Result<Matrix> {
	let MatrixPlace { first, rows, cols } = place;
	let matrix = Matrix { weights, first, rows, cols };
	if matrix.validate().is_err() {
		return Err(usage(format!(
			"--matrix: {rows} x {cols} weights from weight {first} on are not within the {weights} \
			 of the component; take its offset and shape from the model"
		)));
	}
	Ok(matrix)
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
	let delta = ReadDelta::open(&args.delta, base.weights()?.len(), args.matrix)?;
	// One update with any samples merges to itself.
	change(&base, &[(1, delta)], &args.out, context)
}

/// Merges several deltas by their samples and adds them to a tile file.
pub fn merge(args: DeltaMergeArgs, context: &Context) -> anyhow::Result<()> {
	let base = open(&args.base)?;
	let weights = base.weights()?.len();
	let mut updates = Vec::with_capacity(args.deltas.len());
	for delta in &args.deltas {
		updates.push((delta.samples, ReadDelta::open(&delta.path, weights, args.matrix)?));
	}
	change(&base, &updates, &args.out, context)
}

/// Writes the base changed by the merge of `updates`, each its samples and its delta.
fn change(
	base: &TileFile,
	updates: &[(u64, ReadDelta)],
	out: &Path,
	context: &Context,
) -> anyhow::Result<()> {
	let weights = base.weights()?;
	let mut changed = 0u64;
	let mut leaves: Vec<(u64, Vec<i32>)> = Vec::new();
	let progress = context.output.progress("leaves", leaf_count(weights.len()) as u64);
	for (leaf, old) in weights.chunks(LEAF_WEIGHTS).enumerate() {
		let mut new = old.to_vec();
		merge_into(&mut new, leaf, updates)
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

/// Merges updates into leaf `leaf` of the component.
fn merge_into(weights: &mut [i32], leaf: usize, updates: &[(u64, ReadDelta)]) -> Result<(), Error> {
	let in_chunks: Option<Vec<(u64, Option<&[u8]>)>> = updates
		.iter()
		.map(|(samples, delta)| match delta {
			ReadDelta::Chunks(leaves) => {
				Some((*samples, Some(leaves.get(leaf).map(Vec::as_slice).unwrap_or_default())))
			}
			ReadDelta::LowRank { .. } => None,
		})
		.collect();
	if let Some(updates) = in_chunks {
		return merge_leaf(weights, &updates);
	}
	let mut increments = Vec::with_capacity(updates.len());
	for (samples, delta) in updates {
		increments.push((*samples, delta.increments(leaf, weights.len())?));
	}
	delta::apply(weights, &delta::merge(&increments));
	Ok(())
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

/// What `delta inspect` prints of a low-rank delta.
#[derive(Serialize)]
struct InspectedLowRank {
	weights: u64,
	bytes: u64,
	rank: u64,
	rows: u64,
	cols: u64,
	/// Products of the two factors are in units of 2^-24 times two to this power.
	exponent: i64,
	changes: u64,
	/// The largest increment's size, in units of 2^-24.
	largest: u64,
	squared_norm: String,
	delta_root: H256,
}

/// Shows what a delta says, leaf by leaf; of a low-rank one, what it is made of.
pub fn inspect(args: DeltaInspectArgs, context: &Context) -> anyhow::Result<()> {
	let weights = match (&args.base, args.weights) {
		(Some(base), _) => open(base)?.weights()?.len(),
		(None, Some(weights)) if (1..=MAX_WEIGHTS).contains(&weights) => weights,
		_ => return Err(usage(format!("--weights: give 1 to {MAX_WEIGHTS}"))),
	};
	let leaves = match ReadDelta::open(&args.delta, weights, args.matrix)? {
		ReadDelta::Chunks(leaves) => leaves,
		ReadDelta::LowRank { matrix, delta, leaves } => {
			let inspected = inspect_low_rank(&matrix, &delta, &leaves)?;
			return context.output.record(&inspected);
		}
	};
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

/// What a low-rank delta says.
fn inspect_low_rank(
	matrix: &Matrix,
	delta: &LowRank,
	leaves: &[Vec<u8>],
) -> Result<InspectedLowRank, Error> {
	let increments = delta.increments(matrix)?;
	let sizes = || increments.iter().map(|increment| increment.unsigned_abs());
	Ok(InspectedLowRank {
		weights: matrix.weights as u64,
		bytes: leaves.iter().map(|leaf| leaf.len() as u64).sum(),
		rank: u64::from(delta.rank),
		rows: matrix.rows as u64,
		cols: matrix.cols as u64,
		exponent: i64::from(delta.exp_a) + i64::from(delta.exp_b),
		changes: sizes().filter(|size| *size != 0).count() as u64,
		largest: sizes().max().unwrap_or(0),
		squared_norm: squared_norm(&increments).to_string(),
		delta_root: component_delta_root(leaves),
	})
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

/// A delta from a file, of which every leaf decodes.
enum ReadDelta {
	/// The bytes of each leaf's chunks.
	Chunks(Vec<Vec<u8>>),
	/// A low-rank delta.
	LowRank { matrix: Matrix, delta: LowRank, leaves: Vec<Vec<u8>> },
}

impl ReadDelta {
	/// Reads the delta of a component of `weights` weights. A low-rank one must be of this matrix.
	fn open(path: &Path, weights: usize, place: Option<MatrixPlace>) -> anyhow::Result<Self> {
		// Dense, a delta takes a quarter of the weights and some more; beyond that it is none.
		let limit = (weights as u64).saturating_mul(WEIGHT_BYTES as u64).saturating_add(1 << 20);
		let mut blob = Vec::new();
		File::open(path)
			.and_then(|file| file.take(limit).read_to_end(&mut blob))
			.with_context(|| format!("cannot read {}", path.display()))?;
		let has_one_more = count_leaves(&blob) == Some(leaf_count(weights) + 1);
		let refused = || {
			let hint = match (has_one_more, place) {
				(true, None) => "; if it is a low-rank one, say of which matrix with --matrix",
				_ => "",
			};
			format!("{} is no delta of this component{hint}", path.display())
		};
		if let (true, Some(place)) = (has_one_more, place) {
			let matrix = matrix_of(place, weights)?;
			let delta = LowRank::from_blob(&blob, &matrix).with_context(refused)?;
			let leaves = delta.encode(&matrix)?;
			return Ok(Self::LowRank { matrix, delta, leaves });
		}
		let mut components = decode_blob(&blob, &[weights]).with_context(refused)?;
		let leaves = components.pop().with_context(refused)?;
		for (leaf, bytes) in leaves.iter().enumerate() {
			check_leaf(bytes, weights_in_leaf(weights, leaf))
				.with_context(|| format!("leaf {leaf}"))
				.with_context(refused)?;
		}
		Ok(Self::Chunks(leaves))
	}

	/// The increments of leaf `leaf` of the component, which has `weights` weights.
	fn increments(&self, leaf: usize, weights: usize) -> Result<Vec<i64>, Error> {
		let (Self::Chunks(leaves) | Self::LowRank { leaves, .. }) = self;
		let bytes = leaves.get(leaf).map(Vec::as_slice).unwrap_or_default();
		match self {
			Self::Chunks(_) => leaf_of_chunks(bytes, weights),
			Self::LowRank { matrix, .. } => {
				let last = leaves.last().map(Vec::as_slice).unwrap_or_default();
				leaf_increments(matrix, leaf, bytes, last)
			}
		}
	}
}

/// The increments of a leaf of `weights` weights that is written in chunks.
fn leaf_of_chunks(bytes: &[u8], weights: usize) -> Result<Vec<i64>, Error> {
	let mut increments = vec![0; weights];
	let mut parts = increments.chunks_mut(CHUNK);
	let mut decoder = Decoder::new(bytes, weights)?;
	while let Some(chunk) = decoder.read()? {
		// There are as many chunks as the decoder was told.
		let part = parts.next().unwrap_or_default();
		match chunk {
			Chunk::Unchanged => {}
			Chunk::Sparse { indices, .. } => {
				for (index, increment) in indices.iter().zip(chunk.increments()) {
					part[usize::from(*index)] = increment;
				}
			}
			Chunk::Dense { .. } => {
				for (to, increment) in part.iter_mut().zip(chunk.increments()) {
					*to = increment;
				}
			}
		}
	}
	Ok(increments)
}

/// How many leaves a blob has, if it is made of lengths and as many bytes.
fn count_leaves(blob: &[u8]) -> Option<usize> {
	let (mut rest, mut count) = (blob, 0);
	while !rest.is_empty() {
		let (length, after) = rest.split_first_chunk()?;
		rest = after.get(usize::try_from(u32::from_le_bytes(*length)).ok()?..)?;
		count += 1;
	}
	Some(count)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn leaves_of_a_blob_are_counted() {
		assert_eq!(count_leaves(&[]), Some(0));
		assert_eq!(count_leaves(&[0, 0, 0, 0]), Some(1));
		assert_eq!(count_leaves(&[1, 0, 0, 0, 9, 0, 0, 0, 0]), Some(2));
		for cut in [&[0, 0, 0][..], &[1, 0, 0, 0], &[255; 9]] {
			assert_eq!(count_leaves(cut), None);
		}
	}

	#[test]
	fn leaf_of_chunks_has_the_increments_of_all_kinds() {
		let mut learned = vec![0i64; 2 * CHUNK + 5];
		learned[7] = -3;
		learned[2 * CHUNK..].copy_from_slice(&[5, -100, 3, 1, 2]);
		let mut rest = learned.clone();
		let mut bytes = Vec::new();
		Encoder::new().encode(&mut rest, 200, &mut bytes);
		assert_eq!(rest, vec![0; rest.len()]);
		assert_eq!(leaf_of_chunks(&bytes, learned.len()), Ok(learned));
	}

	#[test]
	fn shares_of_large_sums_are_percentages() {
		assert_eq!(share(0, 0), "0.0 %");
		assert_eq!(share(1, 4), "25.0 %");
		assert_eq!(share(1 << 100, 1 << 102), "25.0 %");
		assert_eq!(share(u128::MAX, u128::MAX), "100.0 %");
	}
}
