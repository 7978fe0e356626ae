//! The kept inputs, and mutations of them, without libFuzzer: what CI runs.

use blyan_fuzz::{Target, TARGETS};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// How many mutations of kept inputs each target gets.
const MUTATIONS: u32 = 10_000;
/// Longer ones are not mutated: they take time and tell nothing more.
const LONGEST_MUTATED_BYTES: usize = 8_192;

fn corpus() -> PathBuf {
	PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The kept inputs of a target, with their names, in a fixed order.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
	let folder = corpus().join(target);
	let mut inputs: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
		.unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
		.map(|entry| {
			let path = entry.unwrap().path();
			let name = path.file_name().unwrap().to_string_lossy().into_owned();
			(name, fs::read(path).unwrap())
		})
		.collect();
	inputs.sort();
	inputs
}

/// Numbers that look random: SplitMix64.
struct Random(u64);

impl Random {
	fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}

	fn below(&mut self, end: usize) -> usize {
		(self.next() % end.max(1) as u64) as usize
	}

	/// One small change: a bit, a byte, a piece taken out, put in, repeated or taken from elsewhere.
	fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
		let at = self.below(bytes.len());
		let end = (at + 1 + self.below(8)).min(bytes.len());
		match self.below(7) {
			0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
			2 if !bytes.is_empty() => {
				bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xff][self.below(6)];
			}
			3 if !bytes.is_empty() => drop(bytes.drain(at..end)),
			4 if !bytes.is_empty() => {
				let piece = bytes[at..end].to_vec();
				bytes.splice(at..at, piece);
			}
			5 => bytes.truncate(at),
			_ => {
				let from = self.below(other.len());
				let piece = other[from..(from + self.below(64)).min(other.len())].to_vec();
				bytes.splice(at..at, piece);
			}
		}
	}
}

fn mutated(name: &str, target: Target) {
	let inputs: Vec<Vec<u8>> = inputs(name)
		.into_iter()
		.map(|(_, input)| input)
		.filter(|input| input.len() <= LONGEST_MUTATED_BYTES)
		.collect();
	assert!(!inputs.is_empty(), "{name} has no short inputs");
	let mut random = Random(7);
	for _ in 0..MUTATIONS {
		let mut input = inputs[random.below(inputs.len())].clone();
		let other = &inputs[random.below(inputs.len())];
		for _ in 0..1 + random.below(4) {
			random.mutate(&mut input, other);
		}
		target(&input);
	}
}

#[test]
fn every_target_has_kept_inputs_and_no_folder_is_left_over() {
	let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
	assert_eq!(names.len(), TARGETS.len());
	let folders: BTreeSet<String> = fs::read_dir(corpus())
		.unwrap()
		.map(|entry| entry.unwrap().file_name().into_string().unwrap())
		.collect();
	assert_eq!(folders, names);
	assert!(names.iter().all(|name| !inputs(name).is_empty()));
}

#[test]
fn kept_inputs_hold() {
	for (name, target) in TARGETS {
		for (file, input) in inputs(name) {
			// The last line that a failure prints names the input.
			println!("{name}/{file}");
			target(&input);
		}
		target(&[]);
	}
}

#[test]
fn mutations_of_kept_inputs_hold() {
	for (name, target) in TARGETS {
		println!("{name}");
		mutated(name, target);
	}
}
