//! Integer deltas between tile files, and added to tile streams.
//!
//! A delta's file is the blob of one component, as `blyan_primitives::delta` packs it: for each leaf
//! of the delta a length and its bytes. How many leaves the component has, the base says. A low-rank
//! delta has one leaf more, by which it is told apart; which tensors the component has, the command line
//! says.

use super::tile::is_stream;
use crate::{
	args::{
		DeltaApplyArgs, DeltaEncodeArgs, DeltaInspectArgs, DeltaMergeArgs, LowRankChoice,
		MatrixPlace,
	},
	context::{usage, Context},
	output::percent,
};
use anyhow::{ensure, Context as _};
use blyan_engine::{
	delta::{ComponentEncoder, Encoded as Encoding},
	low_rank::fit,
};
use blyan_primitives::{
	delta::{
		check_leaf, component_delta_root, decode_blob, encode_blob, leaf_count, leaf_squared_norm,
		low_rank::{LowRank, Matrix, Tensors, MAX_TENSORS},
		merge_deltas, squared_norm, weights_in_leaf, Chunk, Decoder, Error, Form, Leaves,
		LEAF_WEIGHTS,
	},
	model::MAX_COMPONENT_BYTES,
	recipe::{MAX_DELTA_BYTES_PER_CHUNK, MIN_DELTA_BYTES_PER_CHUNK},
	tensor::WEIGHT_BYTES,
	update::DeltaKind,
	H256,
};
use blyan_tiles::{atomic, tile_stream::DeltaFile, TileFile, TileStream};
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
	/// What the delta is made of.
	kind: &'static str,
	/// The rank of each tensor of a low-rank delta.
	ranks: Vec<usize>,
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
	if args.low_rank != LowRankChoice::Never && args.matrices.is_empty() {
		return Err(usage("--low-rank: say where the tensors lie with --matrix"));
	}
	let (base, target) = (open(&args.base)?, open(&args.target)?);
	let (from, to) = (base.weights()?, target.weights()?);
	ensure!(
		from.len() == to.len(),
		"the base has {} weights, the target {}; give two versions of one component",
		from.len(),
		to.len()
	);
	let tensors = tensors_of(&args.matrices, from.len())?;
	let spinner = context.output.spinner("encoding");
	let mut rest = difference(from, to);
	let encoding = encoded(&mut rest, budget, args.low_rank, tensors.as_ref())?;
	spinner.finish_and_clear();
	let delta_root = component_delta_root(&encoding.leaves);
	let blob = encode_blob(&[encoding.leaves]);
	atomic::write(&args.out, |file| std::io::Write::write_all(file, &blob))?;
	let distances = || from.iter().zip(to).map(|(from, to)| u128::from(to.abs_diff(*from)));
	let whole: u128 = distances().map(|distance| distance * distance).sum();
	let bytes = blob.len() as u64;
	context.output.record(&Encoded {
		file: args.out.to_string_lossy().into_owned(),
		weights: from.len() as u64,
		moved: distances().filter(|distance| *distance != 0).count() as u64,
		kept: encoding.changes as u64,
		kind: encoding.kind.name(),
		ranks: encoding.ranks,
		error_left: share(encoding.squared_error, whole),
		bytes,
		ratio: (from.len() as u64 * WEIGHT_BYTES as u64) / bytes.max(1),
		delta_root,
	})
}

fn difference(from: &[i32], to: &[i32]) -> Vec<i64> {
	from.iter().zip(to).map(|(from, to)| i64::from(*to) - i64::from(*from)).collect()
}

/// The delta that is asked for, of `rest`, in which stays what it leaves out.
fn encoded(
	rest: &mut [i64],
	budget: u16,
	choice: LowRankChoice,
	tensors: Option<&Tensors>,
) -> anyhow::Result<Encoding> {
	match (choice, tensors) {
		(LowRankChoice::Rank(rank), Some(tensors)) => in_low_rank(rest, tensors, rank),
		(LowRankChoice::Auto, Some(tensors)) => {
			Ok(ComponentEncoder::new().smaller(tensors, rest, budget)?)
		}
		_ => Ok(ComponentEncoder::new().in_chunks(rest, budget)),
	}
}

/// Each tensor with this rank, or the largest that it can have.
fn in_low_rank(wanted: &[i64], tensors: &Tensors, rank: usize) -> anyhow::Result<Encoding> {
	let mosts: Vec<usize> = tensors.matrices().iter().map(Matrix::max_rank).collect();
	let most = mosts.iter().copied().max().unwrap_or(0);
	if rank > most {
		return Err(usage(format!("--low-rank: give 1 to {most} for these tensors")));
	}
	let ranks: Vec<usize> = mosts.into_iter().map(|most| rank.min(most)).collect();
	let fitted = fit(tensors, wanted, &ranks)?;
	let said = fitted.delta.increments(tensors)?;
	Ok(Encoding {
		kind: DeltaKind::LowRank,
		leaves: fitted.delta.encode(tensors)?,
		changes: said.iter().filter(|increment| **increment != 0).count(),
		ranks,
		squared_error: fitted.squared_error,
	})
}

/// The tensors of a component of `weights` weights that the command line names, if it names any.
fn tensors_of(places: &[MatrixPlace], weights: usize) -> anyhow::Result<Option<Tensors>> {
	if places.is_empty() {
		return Ok(None);
	}
	let place = |place: &MatrixPlace| {
		let MatrixPlace { first, rows, cols } = *place;
		Matrix { weights, first, rows, cols }
	};
	let tensors = Tensors::new(places.iter().map(place).collect());
	tensors.map(Some).map_err(|_| {
		usage(format!(
			"--matrix: name at most {MAX_TENSORS} tensors in ascending order that do not overlap \
			 and lie within the {weights} weights of the component; take their offsets and shapes \
			 from the model"
		))
	})
}

/// What `delta apply` and `delta merge` print.
#[derive(Serialize)]
struct Changed {
	file: String,
	weights: u64,
	/// Weights that are not what they were. They are not counted in tile streams.
	#[serde(skip_serializing_if = "Option::is_none")]
	changed: Option<u64>,
	base_root: H256,
	root: H256,
}

/// Adds a delta to a tile file or a tile stream.
pub fn apply(args: DeltaApplyArgs, context: &Context) -> anyhow::Result<()> {
	if is_stream(&args.base)? {
		return apply_to_stream(&args, context);
	}
	let base = open(&args.base)?;
	let tensors = tensors_of(&args.matrices, base.weights()?.len())?;
	let delta = ReadDelta::open(&args.delta, base.weights()?.len(), tensors.as_ref())?;
	// One update with any samples merges to itself.
	change(&base, &[(1, delta)], &args.out, context)
}

/// Adds a delta to a tile stream, a leaf at a time, so that neither has to fit into memory.
fn apply_to_stream(args: &DeltaApplyArgs, context: &Context) -> anyhow::Result<()> {
	let stream = TileStream::open(&args.base)?;
	let base_root = stream.root();
	let spinner = context.output.spinner("applying");
	let stream = stream.verify(&base_root)?;
	let weights = stream.weight_count()?;
	let count = usize::try_from(weights).context("this machine cannot count so many weights")?;
	let tensors = tensors_of(&args.matrices, count)?;
	let delta = DeltaFile::open(&args.delta, count, tensors.as_ref())?;
	let root = stream.apply_file(&args.out, &delta)?;
	spinner.finish_and_clear();
	let file = args.out.to_string_lossy().into_owned();
	context.output.record(&Changed { file, weights, changed: None, base_root, root })
}

/// Merges several deltas by their samples and adds them to a tile file.
pub fn merge(args: DeltaMergeArgs, context: &Context) -> anyhow::Result<()> {
	let base = open(&args.base)?;
	let weights = base.weights()?.len();
	let tensors = tensors_of(&args.matrices, weights)?;
	let mut updates = Vec::with_capacity(args.deltas.len());
	for delta in &args.deltas {
		let read = ReadDelta::open(&delta.path, weights, tensors.as_ref())?;
		updates.push((delta.samples, read));
	}
	change(&base, &updates, &args.out, context)
}

/// Writes the base changed by the merge of `updates`, each its samples and its delta.
fn change(
	base: &TileFile,
	updates: &[(u64, ReadDelta<'_>)],
	out: &Path,
	context: &Context,
) -> anyhow::Result<()> {
	let weights = base.weights()?;
	let mut changed = 0u64;
	let mut leaves: Vec<(u64, Vec<i32>)> = Vec::new();
	let mut opened = Vec::with_capacity(updates.len());
	for (samples, delta) in updates {
		opened.push((*samples, Leaves::open(delta.form, &delta.leaves)?));
	}
	let progress = context.output.progress("leaves", leaf_count(weights.len()) as u64);
	for (leaf, old) in weights.chunks(LEAF_WEIGHTS).enumerate() {
		let mut new = old.to_vec();
		let of_leaf: Vec<_> =
			opened.iter().map(|(samples, leaves)| (*samples, leaves.leaf(leaf))).collect();
		merge_deltas(&mut new, &of_leaf)
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
		changed: Some(changed),
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
	kind: &'static str,
	weights: u64,
	bytes: u64,
	squared_norm: String,
	delta_root: H256,
	leaves: Vec<LeafDelta>,
}

/// What `delta inspect` prints of a low-rank delta.
#[derive(Serialize)]
struct InspectedLowRank {
	kind: &'static str,
	weights: u64,
	bytes: u64,
	squared_norm: String,
	delta_root: H256,
	tensors: Vec<TensorDelta>,
}

/// How a tensor changes by a low-rank delta.
#[derive(Serialize)]
struct TensorDelta {
	tensor: u64,
	rows: u64,
	cols: u64,
	/// None if it does not change.
	rank: Option<u64>,
	/// Products of the two factors are in units of 2^-24 times two to this power.
	exponent: Option<i64>,
	changes: u64,
	/// The largest increment's size, in units of 2^-24.
	largest: u64,
}

/// Shows what a delta says, leaf by leaf; of a low-rank one, what it is made of.
pub fn inspect(args: DeltaInspectArgs, context: &Context) -> anyhow::Result<()> {
	let weights = match (&args.base, args.weights) {
		(Some(base), _) => open(base)?.weights()?.len(),
		(None, Some(weights)) if (1..=MAX_WEIGHTS).contains(&weights) => weights,
		_ => return Err(usage(format!("--weights: give 1 to {MAX_WEIGHTS}"))),
	};
	let tensors = tensors_of(&args.matrices, weights)?;
	let delta = ReadDelta::open(&args.delta, weights, tensors.as_ref())?;
	let leaves = match delta.form {
		Form::Chunks(_) => delta.leaves,
		Form::LowRank(tensors) => return inspect_low_rank(tensors, &delta.leaves, context),
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
		kind: DeltaKind::Chunks.name(),
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

/// Shows what a low-rank delta is made of, tensor by tensor.
fn inspect_low_rank(
	tensors: &Tensors,
	leaves: &[Vec<u8>],
	context: &Context,
) -> anyhow::Result<()> {
	let delta = LowRank::decode(leaves, tensors)?;
	let increments = delta.increments(tensors)?;
	let mut listed = Vec::with_capacity(delta.factors.len());
	for (number, (matrix, factors)) in tensors.matrices().iter().zip(&delta.factors).enumerate() {
		let own = increments.iter().skip(matrix.first).take(matrix.rows * matrix.cols);
		let sizes = || own.clone().map(|increment| increment.unsigned_abs());
		listed.push(TensorDelta {
			tensor: number as u64,
			rows: matrix.rows as u64,
			cols: matrix.cols as u64,
			rank: factors.as_ref().map(|factors| u64::from(factors.rank)),
			exponent: factors
				.as_ref()
				.map(|factors| i64::from(factors.exp_a) + i64::from(factors.exp_b)),
			changes: sizes().filter(|size| *size != 0).count() as u64,
			largest: sizes().max().unwrap_or(0),
		});
	}
	let mut inspected = InspectedLowRank {
		kind: DeltaKind::LowRank.name(),
		weights: tensors.weights() as u64,
		bytes: leaves.iter().map(|leaf| leaf.len() as u64).sum(),
		squared_norm: squared_norm(&increments).to_string(),
		delta_root: component_delta_root(leaves),
		tensors: Vec::new(),
	};
	if context.output.is_json() {
		inspected.tensors = listed;
		return context.output.record(&inspected);
	}
	context.output.rows(&listed, "no tensors")?;
	context.output.note(format!(
		"low rank, {} bytes for {} weights, root {:?}",
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

/// A delta from a file, of which every leaf decodes.
struct ReadDelta<'a> {
	form: Form<'a>,
	leaves: Vec<Vec<u8>>,
}

impl<'a> ReadDelta<'a> {
	/// Reads the delta of a component of `weights` weights. A low-rank one must be of these tensors.
	fn open(path: &Path, weights: usize, tensors: Option<&'a Tensors>) -> anyhow::Result<Self> {
		// Dense, a delta takes a quarter of the weights and some more, and one of low rank hardly more
		// than half of them; beyond that it is none.
		let limit = (weights as u64).saturating_mul(WEIGHT_BYTES as u64).saturating_add(1 << 20);
		let mut blob = Vec::new();
		File::open(path)
			.and_then(|file| file.take(limit).read_to_end(&mut blob))
			.with_context(|| format!("cannot read {}", path.display()))?;
		let has_one_more = count_leaves(&blob) == Some(leaf_count(weights) + 1);
		let refused = || {
			let hint = match (has_one_more, tensors) {
				(true, None) => "; if it is a low-rank one, say where tensors lie with --matrix",
				_ => "",
			};
			format!("{} is no delta of this component{hint}", path.display())
		};
		let form = match tensors {
			Some(tensors) if has_one_more => Form::LowRank(tensors),
			_ => Form::Chunks(weights),
		};
		let mut components = decode_blob(&blob, &[form]).with_context(refused)?;
		let leaves = components.pop().with_context(refused)?;
		Leaves::open(form, &leaves).with_context(refused)?;
		if let Form::Chunks(_) = form {
			for (leaf, bytes) in leaves.iter().enumerate() {
				check_leaf(bytes, weights_in_leaf(weights, leaf))
					.with_context(|| format!("leaf {leaf}"))
					.with_context(refused)?;
			}
		}
		Ok(Self { form, leaves })
	}
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
	fn shares_of_large_sums_are_percentages() {
		assert_eq!(share(0, 0), "0.0 %");
		assert_eq!(share(1, 4), "25.0 %");
		assert_eq!(share(1 << 100, 1 << 102), "25.0 %");
		assert_eq!(share(u128::MAX, u128::MAX), "100.0 %");
	}
}
