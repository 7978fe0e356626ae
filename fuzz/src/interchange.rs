//! Weights in the formats of others.

use blyan_tiles::{
	convert::Values,
	interchange::{
		burnpack::Burnpack,
		components::{Components, LIST_FILE},
		gguf::Gguf,
		safetensors::Safetensors,
		Source, MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS,
	},
	TileFile,
};
use std::{
	collections::BTreeSet,
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

/// A file of llama.cpp.
pub fn gguf(input: &[u8]) {
	if let Ok(file) = Gguf::new(input) {
		// The shortest blocks have 18 bytes for 32 values.
		check(&file, input.len(), 4);
	}
}

/// A file of safetensors.
pub fn safetensors(input: &[u8]) {
	if let Ok(file) = Safetensors::new(input) {
		// The shortest element is an i8.
		check(&file, input.len(), 8);
	}
}

/// The tile files that the list of an input may be about: their weights, and how many of them are
/// not zero, so that lists of fewer have padding.
const COMPONENTS: [(&str, usize, usize); 2] = [("layer.0.blyt", 128, 67), ("head.blyt", 64, 1)];

/// The folder of this thread, in the folder for temporary files.
struct Scratch(PathBuf);

impl Scratch {
	fn new() -> Self {
		static COUNTER: AtomicU32 = AtomicU32::new(0);
		let count = COUNTER.fetch_add(1, Ordering::Relaxed);
		let folder = env::temp_dir().join(format!("blyan-fuzz-list-{}-{count}", process::id()));
		for (name, count, held) in COMPONENTS {
			let mut weights: Vec<i32> = (1..=held as i32).collect();
			weights.resize(count, 0);
			TileFile::create(folder.join(name), &weights)
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
		}
	});
}

/// The list of a folder of components: what it accepts lies in the folder's files.
pub fn components(input: &[u8]) {
	SCRATCH.with(|scratch| {
		fs::write(scratch.0.join(LIST_FILE), input)
			.expect("the folder for temporary files can be written");
		if let Ok(components) = Components::open(&scratch.0) {
			let weights: usize = COMPONENTS.iter().map(|(_, count, _)| count).sum();
			check(&components, 4 * weights, 32);
		}
	});
}
