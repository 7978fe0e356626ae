//! Datasets on this machine: shards on disk, records by number, windows of bytes to train on.
//!
//! # What a record is trained on
//!
//! Its text in UTF-8, byte by byte: a text record's `text`; of an instruction record
//! `instruction`, `input` and `output`, each behind a line feed from the one before, and without
//! `input` if that is empty. Everybody who trains, verifies or measures uses [`text_of`], so that
//! all see the same bytes.
//!
//! # Bounds
//!
//! Shards stay on disk within the limit that `worker.toml` sets, and at most
//! [`SHARDS_IN_MEMORY`] of them in memory; besides, 44 bytes are kept for each record, of at most
//! [`MAX_RECORDS`].

use super::error::{Error, Result};
use blyan_engine::{batch, Batch};
use blyan_primitives::{
	hash::{blake2b_256, hash_many},
	model::Architecture,
	record::{Manifest, Record, Shard, MAX_SHARD_BYTES},
	sampling::{self, MixtureEntry, EVALUATOR},
	tree::{self, Kind, Tree},
	H256,
};
use blyan_tiles::atomic;
use std::{
	collections::{HashSet, VecDeque},
	fs, io,
	io::Write,
	path::{Path, PathBuf},
	time::SystemTime,
};

/// Shards that are held in memory at once: 128 MiB at most.
pub const SHARDS_IN_MEMORY: usize = 128;
/// The most records of all datasets of a round together.
pub const MAX_RECORDS: u64 = 32_000_000;
/// Between the fields of an instruction record.
const BETWEEN_FIELDS: u8 = b'\n';

/// Files that are named by their hash and can be fetched again, within a limit.
#[derive(Clone, Debug)]
pub struct Cache {
	folder: PathBuf,
	limit_bytes: u64,
}

impl Cache {
	/// The cache in `folder`, which is created if it is missing.
	pub fn open(folder: PathBuf, limit_bytes: u64) -> Result<Self> {
		fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
		atomic::sweep(&folder)?;
		Ok(Self { folder, limit_bytes })
	}

	/// Where the bytes with this hash are, or would be.
	fn path(&self, cid: &H256) -> PathBuf {
		self.folder.join(hex(cid.as_bytes()))
	}

	/// Whether there are bytes with this hash. They may be damaged.
	pub fn contains(&self, cid: &H256) -> bool {
		self.path(cid).is_file()
	}

	/// The bytes with this hash, if they are here. A damaged file is removed.
	pub fn read(&self, cid: &H256) -> Result<Option<Vec<u8>>> {
		let path = self.path(cid);
		let bytes = match fs::read(&path) {
			Ok(bytes) => bytes,
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
			Err(error) => return Err(Error::io("read", &path)(error)),
		};
		if blake2b_256(&bytes) == *cid {
			return Ok(Some(bytes));
		}
		remove(&path)?;
		Ok(None)
	}

	/// Keeps `bytes` and returns their hash. Makes room first if the limit asks for it.
	pub fn write(&self, bytes: &[u8]) -> Result<H256> {
		let cid = blake2b_256(bytes);
		if !self.contains(&cid) {
			self.make_room(&HashSet::new(), bytes.len() as u64)?;
			atomic::write(&self.path(&cid), |file| file.write_all(bytes))?;
		}
		Ok(cid)
	}

	/// Removes the longest unused files until `more` bytes fit below the limit. Those in `keep` stay
	/// and count as used now. Fails if even then there is not enough room.
	pub fn make_room(&self, keep: &HashSet<H256>, more: u64) -> Result<()> {
		let names: HashSet<String> = keep.iter().map(|cid| hex(cid.as_bytes())).collect();
		let mut used = 0u64;
		let mut others: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
		let entries = fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))?;
		for entry in entries {
			let entry = entry.map_err(Error::io("list", &self.folder))?;
			let path = entry.path();
			let about = entry.metadata().map_err(Error::io("examine", &path))?;
			if !about.is_file() {
				continue;
			}
			used = used.saturating_add(about.len());
			if names.contains(&entry.file_name().to_string_lossy().into_owned()) {
				touch(&path);
				continue;
			}
			others.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), path));
		}
		others.sort();
		for (_, bytes, path) in others {
			if used.saturating_add(more) <= self.limit_bytes {
				break;
			}
			remove(&path)?;
			used = used.saturating_sub(bytes);
		}
		if used.saturating_add(more) <= self.limit_bytes {
			return Ok(());
		}
		Err(Error::refused(
			format!("{} needs {} bytes", self.folder.display(), used.saturating_add(more)),
			"raise disk_limit_mib in worker.toml",
		))
	}
}

/// Notes that a file was used now. Only the order of removal depends on it, so a failure is none.
fn touch(path: &Path) {
	if let Ok(file) = fs::File::options().append(true).open(path) {
		let _ = file.set_modified(SystemTime::now());
	}
}

fn remove(path: &Path) -> Result<()> {
	match fs::remove_file(path) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			Err(Error::io("remove", path)(error))
		}
		_ => Ok(()),
	}
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
	bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a record is trained on.
pub fn text_of(record: &Record) -> Vec<u8> {
	match record {
		Record::Text { text } => text.as_bytes().to_vec(),
		Record::Instruction { instruction, input, output } => {
			let fields = [instruction, input, output];
			let filled: Vec<&[u8]> = fields
				.into_iter()
				.filter(|field| !field.is_empty())
				.map(|field| field.as_bytes())
				.collect();
			filled.join(&BETWEEN_FIELDS)
		}
	}
}

/// A dataset of a round, before its shards are read.
#[derive(Clone, Debug)]
pub struct Source {
	/// Its manifest.
	pub manifest: Manifest,
	/// The dataset as the round samples from it.
	pub entry: MixtureEntry,
	/// The root over its records, as the round fixed it.
	pub records_root: H256,
}

impl Source {
	/// Fails unless the manifest is that of the dataset which the round fixed.
	pub fn check(&self) -> Result<()> {
		let what = || String::from("the manifest of a dataset");
		self.manifest.validate().map_err(|error| Error::refused(what(), error))?;
		let same = self.manifest.records == self.entry.records
			&& self.manifest.records_root == self.records_root;
		if same {
			return Ok(());
		}
		Err(Error::refused(what(), "it is not that of the dataset which the round names"))
	}

	/// The hashes of its shards.
	pub fn cids(&self) -> impl Iterator<Item = H256> + '_ {
		self.manifest.shards.iter().map(|shard| shard.cid)
	}
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
	/// Position of its shard in the manifest.
	shard: u32,
	/// Where its bytes begin in the shard.
	offset: u32,
	/// How many bytes it has.
	length: u32,
}

/// One dataset whose shards were read.
#[derive(Debug)]
struct Dataset {
	shards: Vec<H256>,
	places: Vec<Place>,
	hashes: Vec<H256>,
	/// The root over its records.
	root: H256,
}

/// What a trainer's examples follow from, apart from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
	/// The round's seed.
	pub seed: H256,
	/// Whose examples they are.
	pub trainer: [u8; 32],
	/// Records of a batch.
	pub batch: u16,
	/// By how much every record number is shifted. Zero, unless a test wants to cheat.
	pub shift: u32,
}

/// The datasets of a round, every record of which was checked.
#[derive(Debug)]
pub struct Library {
	cache: Cache,
	entries: Vec<MixtureEntry>,
	datasets: Vec<Dataset>,
	/// Shards in memory, the one used last at the end.
	loaded: VecDeque<(H256, Vec<u8>)>,
}

impl Library {
	/// Reads all shards of `sources` from `cache`, where they must be, and checks every record
	/// against the dataset's root.
	pub fn open(cache: Cache, sources: &[Source]) -> Result<Self> {
		let records: u64 = sources.iter().map(|source| u64::from(source.manifest.records)).sum();
		if records > MAX_RECORDS {
			return Err(Error::refused(
				format!("datasets of {records} records"),
				format!("this program holds at most {MAX_RECORDS} of a round"),
			));
		}
		let mut datasets = Vec::with_capacity(sources.len());
		for source in sources {
			source.check()?;
			datasets.push(read_dataset(&cache, source)?);
		}
		let entries = sources.iter().map(|source| source.entry).collect();
		Ok(Self { cache, entries, datasets, loaded: VecDeque::new() })
	}

	/// The datasets as sampling sees them.
	pub fn entries(&self) -> &[MixtureEntry] {
		&self.entries
	}

	/// The datasets as sampling sees them, each with the root over its records.
	pub fn datasets(&self) -> Vec<(MixtureEntry, H256)> {
		let roots = self.datasets.iter().map(|dataset| dataset.root);
		self.entries.iter().copied().zip(roots).collect()
	}

	/// Position of the dataset, and number of the record, that example `i` of a step must be. The
	/// shift of `draw` is not regarded: this is what it is told.
	pub fn told(&self, draw: &Draw, step: u32, i: u32) -> Result<(usize, u32)> {
		sampling::sample(&draw.seed, &draw.trainer, step, i, &self.entries).ok_or_else(|| {
			Error::refused(
				String::from("the round's mixture"),
				"it names no record for some step; its datasets are too small",
			)
		})
	}

	/// The hash of a record.
	pub fn hash(&self, dataset: usize, record: u32) -> Result<H256> {
		self.datasets
			.get(dataset)
			.and_then(|dataset| dataset.hashes.get(record as usize))
			.copied()
			.ok_or_else(|| no_record(dataset, record))
	}

	/// The hashes of the records of a step's batch, as they must be.
	pub fn told_hashes(&self, draw: &Draw, step: u32) -> Result<Vec<H256>> {
		(0..u32::from(draw.batch))
			.map(|i| {
				let (dataset, record) = self.told(draw, step, i)?;
				self.hash(dataset, record)
			})
			.collect()
	}

	/// The tree over the records of a dataset, from which proofs come.
	pub fn tree(&self, dataset: usize) -> Result<Tree> {
		let hashes = self
			.datasets
			.get(dataset)
			.map(|dataset| dataset.hashes.clone())
			.ok_or_else(|| no_record(dataset, 0))?;
		Tree::from_leaf_hashes(Kind::List, hashes.len() as u64, hashes)
			.map_err(|error| Error::refused(String::from("the records of a dataset"), error))
	}

	/// A record.
	pub fn record(&mut self, dataset: usize, record: u32) -> Result<Record> {
		let (cid, place) = self
			.datasets
			.get(dataset)
			.and_then(|dataset| {
				let place = *dataset.places.get(record as usize)?;
				Some((*dataset.shards.get(place.shard as usize)?, place))
			})
			.ok_or_else(|| no_record(dataset, record))?;
		let shard = self.shard(&cid)?;
		let start = place.offset as usize;
		let bytes = shard
			.get(start..start.saturating_add(place.length as usize))
			.ok_or_else(|| no_record(dataset, record))?;
		Record::decode(bytes).map_err(|error| Error::refused(String::from("a record"), error))
	}

	/// The record hashes and the windows of a step's batch.
	pub fn batch(
		&mut self,
		architecture: &Architecture,
		draw: &Draw,
		step: u32,
	) -> Result<(Vec<H256>, Batch)> {
		let mut hashes = Vec::with_capacity(usize::from(draw.batch));
		let mut windows = Batch::with_capacity(usize::from(draw.batch));
		for i in 0..u32::from(draw.batch) {
			let (dataset, told) = self.told(draw, step, i)?;
			let record = self.shifted(dataset, told, draw.shift);
			hashes.push(self.hash(dataset, record)?);
			let text = text_of(&self.record(dataset, record)?);
			let start = sampling::window(
				&draw.seed,
				&draw.trainer,
				step,
				i,
				text.len() as u32,
				u32::from(architecture.context),
			);
			windows.push(batch::window(architecture, &text, start)?);
		}
		Ok((hashes, windows))
	}

	/// The windows on which an evaluation with this seed measures: one for each held-out record.
	pub fn evaluation(
		&mut self,
		architecture: &Architecture,
		seed: &H256,
		records: u16,
	) -> Result<Batch> {
		let drawn = sampling::evaluation_records(seed, u32::from(records), &self.entries);
		let mut windows = Batch::with_capacity(drawn.len());
		for (place, (dataset, record)) in (0u32..).zip(drawn) {
			let text = text_of(&self.record(dataset, record)?);
			let context = u32::from(architecture.context);
			let start = sampling::window(seed, &EVALUATOR, 0, place, text.len() as u32, context);
			windows.push(batch::window(architecture, &text, start)?);
		}
		Ok(windows)
	}

	/// The record `shift` after `record` in the same dataset, which begins again at its end.
	fn shifted(&self, dataset: usize, record: u32, shift: u32) -> u32 {
		let records = self.entries.get(dataset).map_or(0, |entry| entry.records);
		let sum = u64::from(record).saturating_add(u64::from(shift));
		// Below the number of records, so it fits.
		sum.checked_rem(u64::from(records)).map_or(record, |place| place as u32)
	}

	/// The bytes of a shard, from memory or from disk.
	fn shard(&mut self, cid: &H256) -> Result<&[u8]> {
		if let Some(place) = self.loaded.iter().position(|(loaded, _)| loaded == cid) {
			if let Some(shard) = self.loaded.remove(place) {
				self.loaded.push_back(shard);
			}
		} else {
			let bytes = read_shard(&self.cache, cid)?;
			while self.loaded.len() >= SHARDS_IN_MEMORY {
				self.loaded.pop_front();
			}
			self.loaded.push_back((*cid, bytes));
		}
		Ok(self.loaded.back().map_or(&[][..], |(_, bytes)| bytes.as_slice()))
	}
}

fn no_record(dataset: usize, record: u32) -> Error {
	Error::refused(
		format!("record {record} of dataset {dataset} of the round"),
		"there is no such record",
	)
}

fn read_shard(cache: &Cache, cid: &H256) -> Result<Vec<u8>> {
	let bytes = cache.read(cid)?.ok_or_else(|| {
		Error::missing(format!("shard {cid:?}"), "it is not on this disk any more")
	})?;
	if bytes.len() > MAX_SHARD_BYTES {
		return Err(Error::refused(format!("shard {cid:?}"), "it is longer than a shard may be"));
	}
	Ok(bytes)
}

/// Reads and checks one dataset.
fn read_dataset(cache: &Cache, source: &Source) -> Result<Dataset> {
	let records = source.manifest.records as usize;
	let mut dataset = Dataset {
		shards: source.cids().collect(),
		places: Vec::with_capacity(records),
		hashes: Vec::with_capacity(records),
		root: source.records_root,
	};
	for (shard, cid) in (0u32..).zip(source.cids()) {
		let bytes = read_shard(cache, &cid)?;
		let slices = Shard::slices(&bytes)
			.map_err(|error| Error::refused(format!("shard {cid:?}"), error))?;
		dataset.hashes.extend(hash_many(&slices));
		let mut offset = 0u32;
		for slice in &slices {
			// A length of four bytes stands before each record. All of a shard is below 2^21.
			let length = slice.len() as u32;
			dataset.places.push(Place { shard, offset: offset + 4, length });
			offset += 4 + length;
		}
	}
	let root = tree::list_root(&dataset.hashes);
	if dataset.hashes.len() != records || root != Ok(source.records_root) {
		return Err(Error::refused(
			String::from("a dataset"),
			"its records do not have the root that the round names",
		));
	}
	Ok(dataset)
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use blyan_primitives::{
		record::{Availability, DatasetKind, MANIFEST_VERSION},
		BoundedVec,
	};

	/// `count` different records in shards of at most `per_shard`, put into `cache`.
	pub(crate) fn source(cache: &Cache, count: u32, per_shard: u32, seed: u8) -> Source {
		let mut shards = vec![Shard::new()];
		let mut hashes = Vec::new();
		for number in 0..count {
			let text = format!("Record {number} of {seed}. {}", "The same words. ".repeat(8));
			let bytes = Record::Text { text }.encode().unwrap();
			hashes.push(blake2b_256(&bytes));
			if shards.last().unwrap().records() == per_shard {
				shards.push(Shard::new());
			}
			shards.last_mut().unwrap().push(&bytes).unwrap();
		}
		for shard in &shards {
			cache.write(shard.as_bytes()).unwrap();
		}
		let infos: Vec<_> = shards.iter().map(Shard::info).collect();
		let text = |text: &str| text.as_bytes().to_vec();
		let records_root = tree::list_root(&hashes).unwrap();
		let manifest = Manifest {
			version: MANIFEST_VERSION,
			name: BoundedVec::truncate_from(text("test")),
			kind: DatasetKind::Text,
			licence: BoundedVec::truncate_from(text("CC0-1.0")),
			language: BoundedVec::truncate_from(text("en")),
			source: BoundedVec::truncate_from(text("made up")),
			records: count,
			bytes: infos.iter().map(|info| u64::from(info.bytes)).sum(),
			records_root,
			shards: BoundedVec::truncate_from(infos),
			availability: Availability::Chain,
		};
		let entry = MixtureEntry { records: count, weight: 1, held_out_seed: H256([seed; 32]) };
		Source { manifest, entry, records_root }
	}

	pub(crate) fn draw(shift: u32) -> Draw {
		Draw { seed: H256([7; 32]), trainer: [9; 32], batch: 8, shift }
	}

	fn cache(limit: u64) -> (tempfile::TempDir, Cache) {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::open(folder.path().join("shards"), limit).unwrap();
		(folder, cache)
	}

	fn architecture() -> Architecture {
		Architecture { context: 32, ..blyan_engine::demo::ARCHITECTURE }
	}

	#[test]
	fn cache_gives_back_what_was_written_and_forgets_what_was_damaged() {
		let (_folder, cache) = cache(1 << 20);
		let cid = cache.write(b"some bytes").unwrap();
		assert_eq!(cache.read(&cid).unwrap().as_deref(), Some(&b"some bytes"[..]));
		fs::write(cache.path(&cid), b"other bytes").unwrap();
		assert_eq!(cache.read(&cid).unwrap(), None);
		assert!(!cache.contains(&cid));
	}

	#[test]
	fn cache_keeps_its_limit_and_what_is_in_use() {
		let (_folder, cache) = cache(100);
		let first = cache.write(&[1; 60]).unwrap();
		let second = cache.write(&[2; 60]).unwrap();
		assert!(!cache.contains(&first) && cache.contains(&second));
		let keep = HashSet::from([second]);
		assert!(cache.make_room(&keep, 50).is_err());
		assert!(cache.contains(&second));
		assert!(cache.make_room(&keep, 40).is_ok());
	}

	#[test]
	fn records_come_back_from_shards_by_number() {
		let (_folder, cache) = cache(1 << 20);
		let source = source(&cache, 100, 30, 1);
		let mut library = Library::open(cache, std::slice::from_ref(&source)).unwrap();
		for number in [0, 29, 30, 99] {
			let record = library.record(0, number).unwrap();
			assert!(text_of(&record).starts_with(format!("Record {number} of").as_bytes()));
			assert_eq!(record.hash().unwrap(), library.hash(0, number).unwrap());
		}
		assert!(library.record(0, 100).is_err());
		assert!(library.record(1, 0).is_err());
		assert_eq!(library.tree(0).unwrap().root(), source.records_root);
	}

	#[test]
	fn dataset_with_other_records_than_the_round_names_is_refused() {
		let (_folder, cache) = cache(1 << 20);
		let good = source(&cache, 64, 64, 1);
		let mut other = good.clone();
		other.records_root = H256([1; 32]);
		assert!(Library::open(cache.clone(), &[other.clone()]).is_err());
		// A manifest that claims the root does not help.
		other.manifest.records_root = H256([1; 32]);
		assert!(Library::open(cache.clone(), &[other]).is_err());
		remove(&cache.path(&good.cids().next().unwrap())).unwrap();
		assert!(matches!(Library::open(cache, &[good]), Err(Error::Missing { .. })));
	}

	#[test]
	fn batch_uses_the_records_that_it_is_told_and_a_cheat_does_not() {
		let (_folder, cache) = cache(1 << 20);
		let sources = [source(&cache, 100, 30, 1), source(&cache, 64, 64, 2)];
		let mut library = Library::open(cache, &sources).unwrap();
		for step in 0..4 {
			let told = library.told_hashes(&draw(0), step).unwrap();
			let (hashes, windows) = library.batch(&architecture(), &draw(0), step).unwrap();
			assert_eq!(hashes, told);
			assert!(windows.iter().all(|window| window.len() == 33));
			let (cheated, _) = library.batch(&architecture(), &draw(1), step).unwrap();
			assert!(cheated.iter().zip(&told).all(|(used, told)| used != told));
		}
	}

	#[test]
	fn evaluation_uses_held_out_records_only() {
		let (_folder, cache) = cache(1 << 20);
		let source = source(&cache, 200, 100, 3);
		let mut library = Library::open(cache, &[source]).unwrap();
		let seed = H256([5; 32]);
		let windows = library.evaluation(&architecture(), &seed, 12).unwrap();
		assert_eq!(windows.len(), 12);
		assert_eq!(windows, library.evaluation(&architecture(), &seed, 12).unwrap());
	}

	#[test]
	fn instruction_is_trained_on_with_its_filled_fields() {
		let record = |input: &str| Record::Instruction {
			instruction: String::from("Add."),
			input: String::from(input),
			output: String::from("3"),
		};
		assert_eq!(text_of(&record("1 and 2")), b"Add.\n1 and 2\n3");
		assert_eq!(text_of(&record("")), b"Add.\n3");
	}
}
