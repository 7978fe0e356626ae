//! How fast a component comes from a file to a device.
//!
//! Writes `upload.blyt` to the folder, a component of so many MiB, and removes it at the end. Prints for
//! each step the median and the best of some rounds. A round opens and verifies the file, makes a tensor
//! of its payload, which is an upload if the device is a card, and makes floats of it on the device; and,
//! to compare, it uploads as many floats from a vector. It waits for the device after every step. A round
//! before the first is not counted: in it the device is started and kernels are compiled.
//!
//! ```text
//! cargo run --release --package blyan-engine --features wgpu --example upload -- FOLDER [DEVICE [MIB]]
//! ```
//!
//! The device is `cpu` unless told otherwise, the component has 256 MiB. The file is in the system's
//! cache when it is read, so the disk is not measured.

use blyan_engine::{payload::Payload, Device};
use blyan_primitives::{tensor::FRACTION_BITS, H256};
use blyan_tiles::{atomic, convert, TileFile};
use burn::tensor::{DType, Tensor, TensorData};
use std::{env, error::Error, fs, path::Path, time::Instant};

const USAGE: &str = "say where: upload FOLDER [DEVICE [MIB]]";
const FILE: &str = "upload.blyt";
const MIB: usize = 1 << 20;
/// Size of the component, unless told otherwise, in MiB.
const DEFAULT_MIB: usize = 256;
/// Bounds the memory that this takes, three times as much.
const MAX_MIB: usize = 4_096;
const WEIGHT_BYTES: usize = 4;
/// Rounds that are counted.
const ROUNDS: usize = 7;
const STEPS: [&str; 4] =
	["open and verify", "tensor of the payload", "floats on the device", "tensor of a Vec<f32>"];
/// The steps that a component needs come first.
const NEEDED: usize = 3;

type Done<T> = Result<T, Box<dyn Error>>;

/// Does a step; returns also how many seconds it took.
fn timed<T>(step: impl FnOnce() -> Done<T>) -> Done<(T, f64)> {
	let begun = Instant::now();
	let done = step()?;
	Ok((done, begun.elapsed().as_secs_f64()))
}

/// Fails unless the last of some floats is this one. A device that has failed says so when it is read
/// from, not when it is waited for.
fn check(floats: Tensor<1>, expected: f32) -> Done<()> {
	let [count] = floats.dims();
	let last = floats.narrow(0, count - 1, 1).try_into_vec_as::<f32>()?;
	if last != [expected] {
		return Err(format!("the device has {last:?} where the file has {expected}").into());
	}
	Ok(())
}

/// The seconds of each step.
fn round(path: &Path, root: &H256, values: &[f32], device: &Device) -> Done<[f64; STEPS.len()]> {
	let tensors = device.tensors();
	let (file, verify) = timed(|| Ok(TileFile::open_verified(path, root)?))?;
	let (payload, upload) = timed(|| {
		let payload = Payload::of(file, device)?;
		tensors.sync()?;
		Ok(payload)
	})?;
	let (floats, convert) = timed(|| {
		let floats = payload.floats()?;
		tensors.sync()?;
		Ok(floats)
	})?;
	let count = values.len();
	let last = values[count - 1];
	check(floats, last)?;
	let values = values.to_vec();
	let (floats, plain) = timed(|| {
		let data = TensorData::new(values, [count]);
		let tensor: Tensor<1> = Tensor::from_data(data, (tensors, DType::F32));
		tensors.sync()?;
		Ok(tensor)
	})?;
	check(floats, last)?;
	Ok([verify, upload, convert, plain])
}

/// Prints the median and the best of some times for so many bytes.
fn print(what: &str, bytes: usize, mut seconds: Vec<f64>) {
	seconds.sort_by(f64::total_cmp);
	let speed = |seconds: f64| bytes as f64 / seconds / 1e9;
	let (median, best) = (seconds[seconds.len() / 2], seconds[0]);
	println!(
		"{what:22}  median {:>9.3} ms {:>7.2} GB/s  best {:>9.3} ms {:>7.2} GB/s",
		median * 1e3,
		speed(median),
		best * 1e3,
		speed(best),
	);
}

fn run(path: &Path, device: &Device, bytes: usize) -> Done<()> {
	let number = |place: u32| (place.wrapping_mul(0x9e37_79b9) as i32) >> 8;
	let weights: Vec<i32> = (0..(bytes / WEIGHT_BYTES) as u32).map(number).collect();
	let root = TileFile::create(path, &weights)?;
	let values = convert::from_fixed(&weights, FRACTION_BITS);
	drop(weights);
	println!("{bytes} bytes, {} weights, {}", values.len(), device.name());
	round(path, &root, &values, device)?;
	let mut rounds = Vec::with_capacity(ROUNDS);
	for _ in 0..ROUNDS {
		rounds.push(round(path, &root, &values, device)?);
	}
	for (step, what) in STEPS.iter().enumerate() {
		print(what, bytes, rounds.iter().map(|round| round[step]).collect());
	}
	let needed: Vec<f64> = rounds.iter().map(|round| round[..NEEDED].iter().sum()).collect();
	print("from file to floats", bytes, needed);
	Ok(())
}

fn main() -> Done<()> {
	let mut arguments = env::args().skip(1);
	let folder = arguments.next().ok_or(USAGE)?;
	let device = Device::named(arguments.next().as_deref().unwrap_or("cpu"))?;
	let mib = arguments.next().map_or(Ok(DEFAULT_MIB), |mib| mib.parse())?;
	if !(1..=MAX_MIB).contains(&mib) {
		return Err(format!("a component has 1 to {MAX_MIB} MiB, not {mib}").into());
	}
	let path = Path::new(&folder).join(FILE);
	let done = run(&path, &device, mib * MIB);
	if path.exists() {
		fs::remove_file(&path)?;
	}
	atomic::sweep(Path::new(&folder))?;
	done
}
