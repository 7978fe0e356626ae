//! Weights in the formats of others.

use crate::naive::{self, Tensors};
use blyan_primitives::tensor::encode_weights;
use blyan_tiles::{
	convert::{Overflow, Values},
	interchange::{
		burnpack::Burnpack,
		components::{Components, LIST_FILE},
		gguf::Gguf,
		safetensors::Safetensors,
		Source, Stored, MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS, SCALE_SUFFIX,
	},
	TileFile,
};
use std::{
	collections::{BTreeMap, BTreeSet},
	env, fs,
	path::PathBuf,
	process,
	sync::atomic::{AtomicU32, Ordering},
};

/// Whatever is accepted keeps the limits, has each name once, and has as many values as its shapes
/// say: at least `bits` bits of the input for each, so that a short input is never much.
fn check(source: &dyn Source, input_bytes: usize, bits: usize) {
	let entries = source.entries();
	assert!(entries.len() <= MAX_TENSORS);
	let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
	assert_eq!(names.len(), entries.len());
	let mut total = 0u64;
	for (place, entry) in entries.iter().enumerate() {
		assert!((1..=MAX_NAME_BYTES).contains(&entry.name.len()) && entry.shape.len() <= MAX_RANK);
		let values = source.read(place).expect("an accepted tensor can be read");
		assert!(!values.is_empty() && values.len() as u64 == entry.count());
		if let Values::Fixed { fraction_bits, .. } = values {
			assert_eq!(fraction_bits, entry.fraction_bits);
		}
		total += entry.count();
	}
	assert!(total * bits as u64 <= 8 * input_bytes as u64);
	assert!(source.read(entries.len()).is_err());
}

/// The tensors of a source are those that a naive reader found, with the same values, and whatever
/// is no block of several values encodes to the very bytes that it was decoded from, if all of it is
/// finite.
fn compare(source: &dyn Source, expected: &Tensors<'_>) {
	let small = source.entries().iter().filter(|entry| entry.stored == Stored::I8);
	// Their scales are no tensors of their own.
	assert_eq!(source.entries().len() + small.count(), expected.len());
	for (place, entry) in source.entries().iter().enumerate() {
		let (found, bytes) = &expected[&entry.name];
		assert_eq!(entry, found);
		let scales: &[u8] = match entry.stored {
			Stored::I8 => expected[&format!("{}{SCALE_SUFFIX}", entry.name)].1,
			_ => &[],
		};
		let values = source.read(place).expect("an accepted tensor can be read");
		assert!(is_same(&values, &naive::values(entry, bytes, scales)), "{:?}", entry.name);
		if matches!(entry.stored, Stored::Q4_0 | Stored::Q4_1 | Stored::Q8_0 | Stored::Q6K) {
			continue;
		}
		let (dtype, row) = (entry.stored.dtype(), entry.row() as usize);
		match values.encode(dtype, entry.fraction_bits, row, Overflow::Refuse) {
			Ok(encoded) => {
				assert!(encoded.elements == *bytes && encoded.scales == scales, "{:?}", entry.name);
			}
			Err(_) => assert!(values.floats().iter().any(|value| !value.is_finite())),
		}
	}
}

/// Whether values are the same. What is no number is like every other that is none.
fn is_same(found: &Values, expected: &Values) -> bool {
	match (found, expected) {
		(Values::Float(found), Values::Float(expected)) => are_same(found, expected),
		(
			Values::Small { values, scales, row },
			Values::Small { values: expected, scales: expected_scales, row: expected_row },
		) => values == expected && row == expected_row && are_same(scales, expected_scales),
		_ => found == expected,
	}
}

fn are_same(found: &[f32], expected: &[f32]) -> bool {
	let same = |(found, expected): (&f32, &f32)| {
		found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan())
	};
	found.len() == expected.len() && found.iter().zip(expected).all(same)
}

/// A file of llama.cpp.
pub fn gguf(input: &[u8]) {
	if let Ok(file) = Gguf::new(input) {
		// The shortest blocks have 18 bytes for 32 values.
		check(&file, input.len(), 4);
		compare(&file, &naive::gguf(input));
	}
}

/// A file of safetensors.
pub fn safetensors(input: &[u8]) {
	if let Ok(file) = Safetensors::new(input) {
		// The shortest element is an i8.
		check(&file, input.len(), 8);
		if let Some(tensors) = naive::safetensors(input) {
			compare(&file, &tensors);
		}
	}
}

/// The tile files that the list of an input may be about: their weights, and how many of them are
/// not zero, so that lists of fewer have padding.
const COMPONENTS: [(&str, usize, usize); 2] = [("layer.0", 128, 67), ("head", 64, 1)];

/// The weights of such a file: 1, 2, 3 and so on, then zeros.
fn weights(count: usize, held: usize) -> Vec<i32> {
	let mut weights: Vec<i32> = (1..=held as i32).collect();
	weights.resize(count, 0);
	weights
}

/// The folder of this thread, in the folder for temporary files.
struct Scratch(PathBuf);

impl Scratch {
	fn new() -> Self {
		static COUNTER: AtomicU32 = AtomicU32::new(0);
		let count = COUNTER.fetch_add(1, Ordering::Relaxed);
		let folder = env::temp_dir().join(format!("blyan-fuzz-list-{}-{count}", process::id()));
		for (name, count, held) in COMPONENTS {
			TileFile::create(folder.join(format!("{name}.blyt")), &weights(count, held))
				.expect("the folder for temporary files can be written");
		}
		Self(folder)
	}
}

impl Drop for Scratch {
	fn drop(&mut self) {
		// Whoever removed it before did what is meant here.
		let _ = fs::remove_dir_all(&self.0);
	}
}

thread_local! {
	static SCRATCH: Scratch = Scratch::new();
}

/// A file of burn-pack.
pub fn burnpack(input: &[u8]) {
	SCRATCH.with(|scratch| {
		let path = scratch.0.join("given.bpk");
		fs::write(&path, input).expect("the folder for temporary files can be written");
		if let Ok(file) = Burnpack::open(&path) {
			check(&file, input.len(), 8);
			compare(&file, &naive::burnpack(input));
		}
	});
}

/// The list of a folder of components: what it accepts lies in the folder's files.
pub fn components(input: &[u8]) {
	SCRATCH.with(|scratch| {
		fs::write(scratch.0.join(LIST_FILE), input)
			.expect("the folder for temporary files can be written");
		if let Ok(components) = Components::open(&scratch.0) {
			let payloads: BTreeMap<String, Vec<u8>> = COMPONENTS
				.iter()
				.map(|(name, count, held)| {
					((*name).to_owned(), encode_weights(&weights(*count, *held)))
				})
				.collect();
			check(&components, payloads.values().map(Vec::len).sum(), 32);
			compare(&components, &naive::components(input, &payloads));
		}
	});
}
