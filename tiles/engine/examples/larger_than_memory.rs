//! A component that is larger than the memory that is used for it: written, verified, changed by a
//! delta in chunks and by a low-rank one, verified after each and multiplied with a vector, leaf by
//! leaf.
//!
//! Prints how long each step took, how large the files are, and the most memory that was resident;
//! fails if that is more than a limit. Writes `base.blys` and `new.blys` to the folder, each a
//! little smaller than the component, and for a while a third; removes them at the end.
//!
//! ```text
//! cargo run --example larger_than_memory -- FOLDER [MIB [LIMIT_MIB]]
//! ```
//!
//! The component has 4,096 MiB and the limit is 300 MiB unless told otherwise. `scripts/test.sh` runs
//! it with less of both.

use blyan_engine::product::{multiply, Matrix};
use blyan_primitives::{
	delta::{
		self, encode_leaf,
		low_rank::{Factors, LastLeaf, LowRank, Tensors},
		Chunk, LEAF_CHUNKS, LEAF_WEIGHTS,
	},
	hash::blake2b_256,
	tensor::{encode_weights, Header},
	H256,
};
use blyan_tiles::{atomic, tile_stream::VerifiedStream, TileStream, TileStreamWriter};
use std::{env, error::Error, fs, path::Path, time::Instant};

const MIB: u64 = 1 << 20;
/// Size of the component, unless told otherwise, in MiB.
const DEFAULT_MIB: u64 = 4_096;
/// Leaves in a MiB.
const MIB_LEAVES: u64 = 4;
/// The most memory that may be resident, unless told otherwise, in MiB.
const DEFAULT_LIMIT_MIB: u64 = 300;
/// Columns of the matrix: rows begin and end within leaves.
const COLS: usize = 10_000;
/// Every so many leaves one is left as it is by the delta.
const UNCHANGED_EVERY: u64 = 4;
/// Rank of the low-rank delta.
const RANK: usize = 4;

/// Numbers that look random: SplitMix64.
struct Random(u64);

impl Random {
	fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}

	/// A number either side of zero, small ones more often: as weights after some training, about
	/// 0.02 from zero in units of 2^−24.
	fn weight(&mut self) -> i32 {
		let bits = self.next();
		let parts = [0, 16, 32, 48].map(|shift| i32::from((bits >> shift) as i16));
		parts.iter().sum::<i32>() * 8 + (self.next() >> 61) as i32
	}

	/// The values of a factor.
	fn values(&mut self, count: usize) -> Vec<i8> {
		(0..count).map(|_| (self.next() >> 56) as i8).collect()
	}
}

/// The bytes of leaf `leaf` of the component.
fn leaf_of_weights(leaf: u64) -> Vec<u8> {
	let mut random = Random(leaf);
	let weights: Vec<i32> = (0..LEAF_WEIGHTS).map(|_| random.weight()).collect();
	encode_weights(&weights)
}

/// A delta for leaf `leaf`: 64 weights of each chunk move, or none does.
fn leaf_of_delta(leaf: u64) -> Vec<u8> {
	if leaf.is_multiple_of(UNCHANGED_EVERY) {
		return encode_leaf(&[Chunk::Unchanged; LEAF_CHUNKS]);
	}
	let mut random = Random(leaf);
	let indices: Vec<u16> = (0..64).map(|step| step * 64 + (random.next() % 64) as u16).collect();
	let values: Vec<i8> = (0..64).map(|_| [-2, -1, 1, 2][(random.next() % 4) as usize]).collect();
	let moved = Chunk::Sparse { exp: 10, bits: 2, indices: &indices, values: &values };
	encode_leaf(&[moved; LEAF_CHUNKS])
}

/// The leaves of a low-rank delta that moves nearly every weight of the matrix, and its tensors.
fn low_rank_delta(matrix: Matrix) -> Result<(Tensors, Vec<Vec<u8>>), delta::Error> {
	let mut random = Random(2);
	let a = random.values(matrix.rows * RANK);
	let b = random.values(RANK * matrix.cols);
	let factors = Factors { rank: RANK as u16, exp_a: -2, exp_b: -2, a, b };
	let tensors = Tensors::new(vec![matrix])?;
	let leaves = LowRank { factors: vec![Some(factors)] }.encode(&tensors)?;
	Ok((tensors, leaves))
}

/// Does a step and prints how long it took.
fn timed<T, E>(what: &str, step: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
	let begun = Instant::now();
	let done = step()?;
	println!("{what:24}  {:>9.1} s", begun.elapsed().as_secs_f64());
	Ok(done)
}

/// Writes the component leaf by leaf, as from a network, and returns its root.
fn write(path: &Path, bytes: u64) -> blyan_tiles::Result<H256> {
	let refused = |source| blyan_tiles::Error::Payload { path: path.to_path_buf(), source };
	let header = Header::weights(bytes, H256::zero()).map_err(refused)?;
	let mut writer = TileStreamWriter::new(path, &header)?;
	for leaf in 0..writer.leaf_count() {
		writer.write_leaf(&leaf_of_weights(leaf))?;
	}
	writer.finish()
}

fn verify(path: &Path, root: &H256) -> blyan_tiles::Result<VerifiedStream> {
	TileStream::open(path)?.verify(root)
}

/// The most memory of this process that was ever resident, in KiB.
fn peak_resident_kib() -> Result<u64, Box<dyn Error>> {
	let status = fs::read_to_string("/proc/self/status")?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
	let field = line.and_then(|line| line.split_whitespace().next());
	Ok(field.ok_or("the system does not say how much memory was resident")?.parse()?)
}

fn run(folder: &Path, mib: u64) -> Result<(), Box<dyn Error>> {
	let [base, new] = ["base.blys", "new.blys"].map(|name| folder.join(name));
	let bytes = mib * MIB;
	let leaves = mib * MIB_LEAVES;
	let weights = usize::try_from(leaves)? * LEAF_WEIGHTS;
	println!("a component of {mib} MiB: {weights} weights in {leaves} leaves");
	let root = timed("make and compress", || write(&base, bytes))?;
	let stream = timed("verify", || verify(&base, &root))?;
	let delta = (0..leaves).map(leaf_of_delta);
	let new_root = timed("apply a delta", || stream.apply(&new, delta))?;
	let stream = timed("verify the result", || verify(&new, &new_root))?;

	let matrix = Matrix { weights, first: 0, rows: weights / COLS, cols: COLS };
	let (tensors, leaves) = low_rank_delta(matrix)?;
	let (last, rows) = leaves.split_last().ok_or("a low-rank delta has a last leaf")?;
	let last = LastLeaf::new(&tensors, last)?;
	// In place.
	let new_root = timed("apply a low-rank delta", || stream.apply_low_rank(&new, &last, rows))?;
	let stream = timed("verify the result", || verify(&new, &new_root))?;

	let mut random = Random(1);
	let x: Vec<f32> = (0..COLS).map(|_| random.weight() as f32 / (1 << 20) as f32).collect();
	let y = timed("multiply", || multiply(&stream, &matrix, &x))?;
	let product: Vec<u8> = y.iter().flat_map(|entry| entry.to_le_bytes()).collect();
	println!("matrix [{}, {COLS}], hash of the product {:?}", matrix.rows, blake2b_256(&product));
	for path in [&base, &new] {
		let length = fs::metadata(path)?.len();
		let permille = length * 1_000 / bytes;
		println!("{}: {length} bytes, {permille} of 1,000 of the component", path.display());
	}
	Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
	let mut arguments = env::args_os().skip(1);
	let usage = "say where: larger_than_memory FOLDER [MIB [LIMIT_MIB]]";
	let folder = arguments.next().ok_or(usage)?;
	let folder = Path::new(&folder);
	let mut number = |default: u64| match arguments.next() {
		Some(mib) => mib.to_str().and_then(|mib| mib.parse().ok()).ok_or(usage),
		None => Ok(default),
	};
	let (mib, limit_mib) = (number(DEFAULT_MIB)?, number(DEFAULT_LIMIT_MIB)?);
	let done = run(folder, mib);
	for name in ["base.blys", "new.blys"] {
		let path = folder.join(name);
		if path.exists() {
			fs::remove_file(&path)?;
		}
	}
	atomic::sweep(folder)?;
	done?;
	let resident = peak_resident_kib()?;
	println!("most memory resident: {:.1} MiB", resident as f64 / 1_024.0);
	if resident.div_ceil(1_024) > limit_mib {
		return Err(format!("that is more than {limit_mib} MiB").into());
	}
	Ok(())
}
