//! What it takes to catch up with many versions of a model: all deltas, or a snapshot and the deltas
//! behind it, for several rules of when a snapshot is published.
//!
//! The versions are made by the real encoder of chunks and the real merge, two updates each, of
//! increments with a heavy tail; files lie in a temporary folder, about 0.6 MB a version. A newcomer
//! reads everything from there, and checks the roots of each version on the way, as `blyan` does. A
//! rule is measured where it is worst: just before the next snapshot is due.
//!
//! ```text
//! cargo run --example catch_up -- [VERSIONS]
//! ```
//!
//! Bytes are what comes over a link; time is reading, merging and hashing, without the link, for
//! which the last column adds 100 Mbit/s.

use blyan_engine::{
	delta::{self, Delta, Residual},
	demo, Weights,
};
use blyan_primitives::{model::Architecture, tree::list_root, update::DeltaKind, H256};
use blyan_tiles::Store;
use std::{
	collections::BTreeSet,
	env,
	error::Error,
	fs,
	path::{Path, PathBuf},
	time::Instant,
};

const VERSIONS: u32 = 1_000;
/// Versions from one snapshot to the next, for each rule.
const RULES: [u32; 4] = [8, 16, 64, 128];
const TRAINERS: u64 = 2;
const SAMPLES: u64 = 4_096;
/// Bytes for 4,096 weights, as in the demonstration.
const BUDGET: u16 = 1_040;
const MODEL: u32 = 0;
const SEED: H256 = H256([1; 32]);
const LINK_BYTES_PER_S: f64 = 12.5e6;

/// A model and its versions on disk.
struct History {
	architecture: Architecture,
	store: Store,
	folder: PathBuf,
	/// The heads root of each version.
	heads: Vec<H256>,
	full_bytes: u64,
	delta_bytes: u64,
}

/// The increments of one update.
fn increments(base: &Weights, seed: u64) -> Vec<Vec<i32>> {
	let mut state = seed;
	let mut next = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as i64 - (1 << 23)
	};
	// The product of three has a heavy tail.
	let mut increment = || ((((next() * next()) >> 23) * next()) >> 32) as i32;
	let components = base.components().iter();
	components.map(|weights| weights.iter().map(|_| increment()).collect()).collect()
}

fn heads_root(weights: &Weights) -> Result<H256, Box<dyn Error>> {
	Ok(list_root(&weights.roots())?)
}

impl History {
	/// Makes versions up to `count`, with snapshots of those in `kept`.
	fn make(folder: &Path, count: u32, kept: &BTreeSet<u32>) -> Result<Self, Box<dyn Error>> {
		let architecture = demo::ARCHITECTURE;
		let mut weights = Weights::initial(&architecture, SEED)?;
		let mut history = Self {
			architecture,
			store: Store::open(folder.join("weights"))?,
			folder: folder.to_path_buf(),
			heads: vec![heads_root(&weights)?],
			full_bytes: architecture.components().iter().map(|component| component.bytes).sum(),
			delta_bytes: 0,
		};
		let mut residuals = Vec::new();
		for _ in 0..TRAINERS {
			residuals.push(Residual::zero(&architecture)?);
		}
		for version in 1..=count {
			let mut updates = Vec::new();
			for (trainer, residual) in (0u64..).zip(&mut residuals) {
				let seed = u64::from(version) * TRAINERS + trainer;
				let deltas = delta::in_chunks(&increments(&weights, seed), residual, BUDGET)?;
				history.delta_bytes += history.write(version, trainer, &deltas)?;
				updates.push(deltas);
			}
			weights = merge(&weights, &updates)?;
			history.heads.push(heads_root(&weights)?);
			if kept.contains(&version) {
				weights.save(&history.store, MODEL, version)?;
			}
		}
		Ok(history)
	}

	fn path(&self, version: u32, trainer: u64) -> PathBuf {
		self.folder.join(format!("{version}-{trainer}"))
	}

	/// Writes the blob of an update, and before it which components it has; how long the blob is.
	fn write(&self, version: u32, trainer: u64, deltas: &[Delta]) -> Result<u64, Box<dyn Error>> {
		let blob = delta::blob(deltas);
		let components = deltas.iter().flat_map(|delta| delta.component.to_le_bytes());
		let head = (deltas.len() as u16).to_le_bytes().into_iter().chain(components);
		let bytes: Vec<u8> = head.chain(blob.iter().copied()).collect();
		fs::write(self.path(version, trainer), bytes)?;
		Ok(blob.len() as u64)
	}

	/// Reads an update, and how long its blob is.
	fn read(&self, version: u32, trainer: u64) -> Result<(Vec<Delta>, u64), Box<dyn Error>> {
		let bytes = fs::read(self.path(version, trainer))?;
		let number = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
		let (head, blob) = bytes[2..].split_at(2 * usize::from(number(&bytes)));
		let in_chunks = |entry| (number(entry), DeltaKind::Chunks);
		let components: Vec<(u16, DeltaKind)> = head.chunks_exact(2).map(in_chunks).collect();
		let deltas = delta::from_blob(&self.architecture, &components, blob)?;
		Ok((deltas, blob.len() as u64))
	}

	/// Gets from version `start` to `target`; the bytes that this takes over a link.
	fn catch_up(&self, start: u32, target: u32) -> Result<u64, Box<dyn Error>> {
		let (mut weights, mut bytes) = match start {
			0 => (Weights::initial(&self.architecture, SEED)?, 0),
			_ => {
				let weights = Weights::load(&self.store, MODEL, start, &self.architecture, None)?;
				(weights, self.full_bytes)
			}
		};
		self.check(&weights, start)?;
		for version in start + 1..=target {
			let mut updates = Vec::new();
			for trainer in 0..TRAINERS {
				let (deltas, length) = self.read(version, trainer)?;
				updates.push(deltas);
				bytes += length;
			}
			weights = merge(&weights, &updates)?;
			self.check(&weights, version)?;
		}
		Ok(bytes)
	}

	fn check(&self, weights: &Weights, version: u32) -> Result<(), Box<dyn Error>> {
		match heads_root(weights)? == self.heads[version as usize] {
			true => Ok(()),
			false => Err(format!("version {version} has another root").into()),
		}
	}
}

fn merge(base: &Weights, updates: &[Vec<Delta>]) -> Result<Weights, Box<dyn Error>> {
	let borrowed: Vec<(u64, &[Delta])> =
		updates.iter().map(|deltas| (SAMPLES, deltas.as_slice())).collect();
	Ok(delta::merge(base, &borrowed)?)
}

fn mib(bytes: f64) -> String {
	format!("{:.2} MiB", bytes / f64::from(1 << 20))
}

fn main() -> Result<(), Box<dyn Error>> {
	let count = env::args().nth(1).map_or(Ok(VERSIONS), |text| text.parse())?;
	// The start of each rule where it is worst; versions before the first snapshot begin at zero.
	let start_of = |rule: u32| count.saturating_sub(rule - 1);
	let kept: BTreeSet<u32> = RULES.into_iter().map(start_of).filter(|start| *start > 0).collect();
	let place = tempfile::tempdir()?;
	let began = Instant::now();
	let history = History::make(place.path(), count, &kept)?;
	let versions = f64::from(count.max(1));
	let (full, delta) = (history.full_bytes as f64, history.delta_bytes as f64 / versions);
	println!(
		"{count} versions of {}, deltas of {} a version, made in {:.1} s",
		mib(full),
		mib(delta),
		began.elapsed().as_secs_f64()
	);
	println!("| a snapshot every | bytes to fetch | time | with the link | disk a version |");
	println!("|---|---|---|---|---|");
	let all = std::iter::once((String::from("none: replay all"), 0, 0.0));
	let rules = RULES
		.into_iter()
		.map(|rule| (format!("{rule} versions"), start_of(rule), full / f64::from(rule)));
	for (name, start, share) in all.chain(rules) {
		let began = Instant::now();
		let bytes = history.catch_up(start, count)? as f64;
		let seconds = began.elapsed().as_secs_f64();
		println!(
			"| {name} | {} | {seconds:.2} s | {:.2} s | {} |",
			mib(bytes),
			seconds + bytes / LINK_BYTES_PER_S,
			mib(delta + share)
		);
	}
	Ok(())
}
