//! Files of text, JSONL, CSV and mail to a dataset.
//!
//! # What is read
//!
//! | name ends in | read as |
//! |---|---|
//! | `.txt`, `.text`, `.md` | running text |
//! | `.jsonl`, `.ndjson` | an object on each line: `text`, or Alpaca's `instruction`, `input`, `output` |
//! | `.json` | an array of such objects, or the same as `.jsonl` |
//! | `.csv`, `.tsv` | rows whose first one names the same fields as columns |
//! | `.mbox`, `.mbx` | mail; its text only |
//! | `.sgf` | skipped: game records need the game's own spec |
//! | anything else | mail or text if it looks like it, else skipped |
//!
//! Folders are read in the order of names, to a bounded depth; symbolic links and hidden files in
//! them are skipped. So the same files give the same dataset everywhere.
//!
//! Text is kept as it is, but for the end of lines (`\r\n` becomes `\n`), byte order marks and space
//! around records. It is cut into records as [`Cutter`] says.
//!
//! # What is written
//!
//! - `manifest.scale`: the manifest in the bytes that are hashed and signed;
//! - `manifest.json`: the same for people, with its hash;
//! - `shards/<cid>.bin`: the shards;
//! - `skipped.tsv`: what was left out and why, by file and line.
//!
//! # Invariants
//!
//! - Memory is bounded by the number of records (64 bytes each), not by the size of files or lines.
//! - Nothing is left out silently: every skipped line, object, row or mail is counted, and the first
//!   100,000 are named.
//! - No two records are the same.

mod cut;
mod prepared;
mod read;

pub use cut::{cut_all, Cutter, Piece};
pub use prepared::{is_of_kind, Prepared};
pub use read::{
	for_each_element, for_each_mail, for_each_row, item_of_line, Content, Item, Line, Lines,
};

use crate::{audit::MAX_RECORDS, one_line};
use blyan_primitives::{
	hash::blake2b_256,
	record::{
		Availability, DatasetKind, Manifest, ManifestError, Record, Shard, ShardInfo,
		MANIFEST_VERSION, MAX_RECORD_BYTES, MAX_SHARDS,
	},
	sampling::MIN_RECORDS,
	tree, BoundedVec, H256,
};
use blyan_tiles::staging::{self, Staging};
use codec::Encode;
use indicatif::ProgressBar;
use read::Format;
use serde::Serialize;
use std::{
	collections::{BTreeMap, HashSet},
	fmt,
	fs::{self, File},
	io::{self, BufRead, BufReader, BufWriter, Write},
	path::{Path, PathBuf},
};

/// The file of the manifest in canonical bytes.
pub const MANIFEST_FILE: &str = "manifest.scale";
/// The file of the manifest for people.
pub const MANIFEST_JSON_FILE: &str = "manifest.json";
/// The file that says what was left out.
pub const SKIPPED_FILE: &str = "skipped.tsv";
/// The folder of the shards.
pub const SHARDS_FOLDER: &str = "shards";
/// The fewest bytes that records may be cut to.
pub const MIN_TEXT_BYTES: usize = 64;
/// The most bytes that records may be cut to: kind and length come on top.
pub const MAX_TEXT_BYTES: usize = MAX_RECORD_BYTES - 5;

/// The longest line, row, element or mail that is read: a record of 64 KiB in which every byte is
/// written as an escape of six still fits.
pub const MAX_ITEM_BYTES: usize = 1 << 20;
/// The most files that one run reads.
const MAX_FILES: usize = 1 << 20;
/// How deep folders may lie in one another.
const MAX_DEPTH: usize = 32;
/// What is skipped is named up to here, and counted beyond.
const MAX_SKIPPED_NAMED: u64 = 100_000;
/// Bytes that tell what a file without a telling name is.
const HEAD_BYTES: usize = 8_192;
/// Reasons that an error repeats.
const REASONS_IN_ERROR: usize = 3;

/// What the records become.
#[derive(Clone, Debug)]
pub struct Options {
	/// What people call the dataset.
	pub name: String,
	/// What its records are.
	pub kind: DatasetKind,
	/// Its licence, an SPDX identifier.
	pub licence: String,
	/// The language of its text, a BCP 47 tag.
	pub language: String,
	/// Where it comes from.
	pub source: String,
	/// The most bytes of text in a record: [`MIN_TEXT_BYTES`] to [`MAX_TEXT_BYTES`].
	pub record_bytes: usize,
	/// Who keeps the shards.
	pub availability: Availability,
}

/// Why there is no dataset, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// An option is refused.
	#[error("--{option}: {problem}")]
	Option {
		/// The option.
		option: &'static str,
		/// What is wrong with it, and what to give instead.
		problem: String,
	},
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists and that you may read or write it", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The folder cannot be written.
	#[error(transparent)]
	Staging(#[from] staging::Error),
	/// There are more files than one run reads.
	#[error("there are more than {} files; prepare several datasets", MAX_FILES)]
	TooManyFiles,
	/// There is too little to learn from.
	#[error("only {found} records were found and a dataset needs at least {}{skipped}; give more files or cut smaller records with --record-bytes", MIN_RECORDS)]
	TooFewRecords {
		/// Records that were found.
		found: u32,
		/// What was left out instead.
		skipped: String,
	},
	/// A prepared folder is damaged, or something else.
	#[error("{}: {problem}; prepare the dataset again", .path.display())]
	Damaged {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		problem: String,
	},
	/// There is no such record.
	#[error(
		"the dataset has {count} records, so there is no record {index}; ask for a smaller number"
	)]
	NoRecord {
		/// The record that was asked for.
		index: u32,
		/// Records of the dataset.
		count: u32,
	},
	/// There is no such shard.
	#[error(
		"the dataset has {count} shards, so there is no shard {index}; ask for a smaller number"
	)]
	NoShard {
		/// The shard that was asked for.
		index: u32,
		/// Shards of the dataset.
		count: u32,
	},
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
	/// The reason, by which it is counted.
	what: &'static str,
	/// What more there is to say about this one.
	detail: Option<String>,
}

impl Reason {
	fn new(what: &'static str) -> Self {
		Self { what, detail: None }
	}

	fn with(what: &'static str, detail: String) -> Self {
		Self { what, detail: Some(detail) }
	}
}

impl fmt::Display for Reason {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match &self.detail {
			Some(detail) => write!(f, "{} ({detail})", self.what),
			None => f.write_str(self.what),
		}
	}
}

/// How often something was left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
	/// The reason.
	pub reason: String,
	/// How often.
	pub count: u64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
	/// What people call the dataset.
	pub name: String,
	/// Where it is.
	pub folder: String,
	/// The hash of the manifest: what the owner signs.
	pub manifest_hash: H256,
	/// The list root over its record hashes.
	pub records_root: H256,
	/// How many records it has.
	pub records: u32,
	/// How many bytes its shards have.
	pub bytes: u64,
	/// How many shards it has.
	pub shards: u32,
	/// How many files were read.
	pub files: u32,
	/// How often a record was there already.
	pub duplicates: u64,
	/// What was left out, duplicates included.
	pub skipped: Vec<Skipped>,
}

/// Makes a dataset of `inputs` in the folder `out`, which must not exist yet, or be empty.
/// `progress` counts bytes.
pub fn prepare(
	inputs: &[PathBuf],
	out: &Path,
	options: &Options,
	progress: &ProgressBar,
) -> Result<Summary, Error> {
	let template = template(options)?;
	let staging = Staging::begin(out)?;
	let mut builder = Builder::new(options, staging.path())?;
	let files = collect(inputs, &mut builder)?;
	progress.set_length(files.iter().map(|(_, bytes)| bytes).sum());
	for (path, _) in &files {
		if builder.is_full {
			builder.skip(Place { path, line: 0 }, &FULL)?;
			continue;
		}
		builder.read_file(path, progress)?;
	}
	progress.finish_and_clear();
	let summary = builder.finish(template, out, files.len())?;
	staging.finish()?;
	Ok(summary)
}

/// The manifest of no particular records, after checking what the options say of it: better before
/// a gigabyte was read than after.
fn template(options: &Options) -> Result<Manifest, Error> {
	let wrong = |option, problem: &str| Err(Error::Option { option, problem: problem.to_owned() });
	if options.record_bytes < MIN_TEXT_BYTES || options.record_bytes > MAX_TEXT_BYTES {
		let problem = format!("give {MIN_TEXT_BYTES} to {MAX_TEXT_BYTES}");
		return wrong("record-bytes", &problem);
	}
	match spdx::license_id(&options.licence) {
		Some(known) if known.name == options.licence => {}
		Some(known) => {
			return wrong("licence", &format!("write it as {}", known.name));
		}
		None => {
			let problem = "this is no SPDX identifier; https://spdx.org/licenses has the list";
			return wrong("licence", problem);
		}
	}
	let too_long = |option, bytes: u32| {
		move |_: Vec<u8>| Error::Option { option, problem: format!("use at most {bytes} bytes") }
	};
	let bytes = |text: &String| text.as_bytes().to_vec();
	let shard = ShardInfo { cid: H256::zero(), bytes: 1_024, records: MIN_RECORDS };
	let manifest = Manifest {
		version: MANIFEST_VERSION,
		name: bytes(&options.name).try_into().map_err(too_long("name", 64))?,
		kind: options.kind,
		licence: bytes(&options.licence).try_into().map_err(too_long("licence", 32))?,
		language: bytes(&options.language).try_into().map_err(too_long("language", 8))?,
		source: bytes(&options.source).try_into().map_err(too_long("source", 256))?,
		records: MIN_RECORDS,
		bytes: 1_024,
		records_root: H256::zero(),
		shards: BoundedVec::truncate_from(vec![shard]),
		availability: options.availability,
	};
	manifest.validate().map_err(|error| {
		let option = match error {
			ManifestError::Name => "name",
			ManifestError::Kind => "kind",
			ManifestError::Licence => "licence",
			ManifestError::Language => "language",
			_ => "source",
		};
		Error::Option { option, problem: error.to_string() }
	})?;
	Ok(manifest)
}

/// Where something was found.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
	/// The file.
	path: &'a Path,
	/// The line, or the element of a JSON array, from 1 on; 0 for the file as a whole.
	line: u64,
}

/// Nothing more fits.
const FULL: Reason =
	Reason { what: "the dataset is full: it has 1,024 shards or 4,000,000 records", detail: None };

// As the words say.
const _: () = assert!(MAX_SHARDS == 1_024 && MAX_RECORDS == 4_000_000);

/// The dataset while its records come in.
struct Builder<'a> {
	options: &'a Options,
	folder: &'a Path,
	shard: Shard,
	infos: Vec<ShardInfo>,
	hashes: Vec<H256>,
	seen: HashSet<H256>,
	is_full: bool,
	skipped: BTreeMap<&'static str, u64>,
	skipped_count: u64,
	skipped_file: BufWriter<File>,
}

impl<'a> Builder<'a> {
	fn new(options: &'a Options, folder: &'a Path) -> Result<Self, Error> {
		let shards = folder.join(SHARDS_FOLDER);
		fs::create_dir(&shards).map_err(refused("create the folder", &shards))?;
		let path = folder.join(SKIPPED_FILE);
		let file = File::create(&path).map_err(refused("create", &path))?;
		let mut skipped_file = BufWriter::new(file);
		writeln!(skipped_file, "file\tline\treason").map_err(refused("write", &path))?;
		Ok(Self {
			options,
			folder,
			shard: Shard::new(),
			infos: Vec::new(),
			hashes: Vec::new(),
			seen: HashSet::new(),
			is_full: false,
			skipped: BTreeMap::new(),
			skipped_count: 0,
			skipped_file,
		})
	}

	/// Notes that something is left out.
	fn skip(&mut self, place: Place<'_>, reason: &Reason) -> Result<(), Error> {
		let count = self.skipped.entry(reason.what).or_default();
		*count += 1;
		self.skipped_count += 1;
		if self.skipped_count > MAX_SKIPPED_NAMED {
			return Ok(());
		}
		let path = one_line(&place.path.to_string_lossy());
		let reason = one_line(&reason.to_string());
		let written = match place.line {
			0 => writeln!(self.skipped_file, "{path}\t\t{reason}"),
			line => writeln!(self.skipped_file, "{path}\t{line}\t{reason}"),
		};
		written.map_err(refused("write", &self.folder.join(SKIPPED_FILE)))
	}

	/// Reads one file. What is wrong with it is noted and does not stop the others.
	fn read_file(&mut self, path: &Path, progress: &ProgressBar) -> Result<(), Error> {
		let whole = Place { path, line: 0 };
		let file = match File::open(path) {
			Ok(file) => file,
			Err(error) => return self.skip(whole, &unreadable(&error)),
		};
		let mut reader = BufReader::with_capacity(1 << 16, progress.wrap_read(file));
		let head = match reader.fill_buf() {
			Ok(head) => head.get(..HEAD_BYTES.min(head.len())).unwrap_or(head),
			Err(error) => return self.skip(whole, &unreadable(&error)),
		};
		if head.is_empty() {
			return self.skip(whole, &Reason::new("the file is empty"));
		}
		let extension = path.extension().map(|extension| extension.to_string_lossy());
		let format = match read::format_of(extension.as_deref().unwrap_or_default(), head) {
			Ok(format) => format,
			Err(reason) => return self.skip(whole, &reason),
		};
		if self.options.kind != DatasetKind::Text && matches!(format, Format::Text | Format::Mbox) {
			return self.skip(whole, &Reason::new("running text, but the kind is instruction"));
		}
		match format {
			Format::Text => self.read_text(path, reader),
			Format::JsonLines => self.read_json_lines(path, reader),
			Format::Mbox => self.read_mails(path, reader),
			Format::JsonArray => {
				self.read_items(path, |visit| read::for_each_element(reader, visit))
			}
			Format::Csv(delimiter) => {
				self.read_items(path, |visit| read::for_each_row(reader, delimiter, visit))
			}
		}
	}

	fn read_text(&mut self, path: &Path, reader: impl BufRead) -> Result<(), Error> {
		let mut lines = Lines::new(reader);
		let mut cutter = Cutter::new(self.options.record_bytes);
		let mut ready = Vec::new();
		while !self.is_full {
			let place = Place { path, line: lines.number() + 1 };
			let line = match lines.next_line() {
				Ok(Some(Line::Bytes(line))) => read::clean(line),
				Ok(Some(Line::TooLong)) => Err(Reason::new("too long")),
				Ok(None) => break,
				Err(error) => {
					self.skip(place, &unreadable(&error))?;
					break;
				}
			};
			match line {
				Ok(text) => cutter.push(text, place.line, &mut ready),
				Err(reason) => {
					// Nothing must read on across what is missing.
					cutter.flush(&mut ready);
					self.skip(place, &reason)?;
				}
			}
			self.add_texts(path, &mut ready)?;
		}
		cutter.flush(&mut ready);
		self.add_texts(path, &mut ready)
	}

	fn read_json_lines(&mut self, path: &Path, reader: impl BufRead) -> Result<(), Error> {
		let mut lines = Lines::new(reader);
		while !self.is_full {
			let place = Place { path, line: lines.number() + 1 };
			let item = match lines.next_line() {
				// Empty lines part objects and lose nothing.
				Ok(Some(Line::Bytes(line))) if line.trim_ascii().is_empty() => continue,
				Ok(Some(Line::Bytes(line))) => read::item_of_line(line),
				Ok(Some(Line::TooLong)) => Err(Reason::new("too long")),
				Ok(None) => break,
				Err(error) => return self.skip(place, &unreadable(&error)),
			};
			self.add_item(place, item)?;
		}
		Ok(())
	}

	/// Reads what `for_each` calls its visitor with.
	fn read_items(
		&mut self,
		path: &Path,
		for_each: impl FnOnce(
			&mut dyn FnMut(u64, Result<Item, Reason>) -> bool,
		) -> Result<(), (u64, Reason)>,
	) -> Result<(), Error> {
		let mut result = Ok(());
		let ended = for_each(&mut |line: u64, item: Result<Item, Reason>| {
			result = self.add_item(Place { path, line }, item);
			result.is_ok() && !self.is_full
		});
		result?;
		match ended {
			Err((line, reason)) => self.skip(Place { path, line }, &reason),
			Ok(()) => Ok(()),
		}
	}

	fn read_mails(&mut self, path: &Path, reader: impl BufRead) -> Result<(), Error> {
		let mut result = Ok(());
		let mut last = 0;
		let ended = read::for_each_mail(reader, |line, text| {
			last = line;
			result = self.add_item(
				Place { path, line },
				text.map(|text| Item { text: Some(text.replace("\r\n", "\n")), ..Item::default() }),
			);
			result.is_ok() && !self.is_full
		});
		result?;
		match ended {
			Err(error) => self.skip(Place { path, line: last }, &unreadable(&error)),
			Ok(()) => Ok(()),
		}
	}

	/// Adds the records of one item, or notes why it has none.
	fn add_item(&mut self, place: Place<'_>, item: Result<Item, Reason>) -> Result<(), Error> {
		let content = match item.and_then(Item::content) {
			Ok(content) => content,
			Err(reason) => return self.skip(place, &reason),
		};
		match (self.options.kind, content) {
			(DatasetKind::Text, Content::Text(text)) => {
				let mut ready = cut_all(&text, self.options.record_bytes, 0);
				// Lines within an item say nothing about those of the file.
				ready.iter_mut().for_each(|piece| piece.line = place.line);
				self.add_texts(place.path, &mut ready)
			}
			(DatasetKind::Instruction, Content::Instruction(record)) => self.add(place, &record),
			(DatasetKind::Text, Content::Instruction(_)) => {
				self.skip(place, &Reason::new("an instruction, but the kind is text"))
			}
			(_, Content::Text(_) | Content::Instruction(_)) => {
				self.skip(place, &Reason::new("running text, but the kind is instruction"))
			}
		}
	}

	fn add_texts(&mut self, path: &Path, ready: &mut Vec<Piece>) -> Result<(), Error> {
		for Piece { line, text } in ready.drain(..) {
			self.add(Place { path, line }, &Record::Text { text })?;
		}
		Ok(())
	}

	/// Adds a record, unless it is there already or nothing more fits.
	fn add(&mut self, place: Place<'_>, record: &Record) -> Result<(), Error> {
		let bytes = match record.encode() {
			Ok(bytes) => bytes,
			Err(error) => {
				return self.skip(place, &Reason::with("no record", error.to_string()));
			}
		};
		let hash = blake2b_256(&bytes);
		if self.seen.contains(&hash) {
			return self.skip(place, &Reason::new(DUPLICATE));
		}
		if !self.is_full && !self.shard.fits(bytes.len()) {
			self.write_shard()?;
		}
		if self.is_full {
			return self.skip(place, &FULL);
		}
		// It was just encoded and it fits, so this cannot fail; if it does, nothing is lost silently.
		if let Err(error) = self.shard.push(&bytes) {
			return self.skip(place, &Reason::with("no record", error.to_string()));
		}
		self.seen.insert(hash);
		self.hashes.push(hash);
		// More than that no auditor looks at.
		self.is_full = self.hashes.len() >= MAX_RECORDS as usize;
		Ok(())
	}

	/// Writes the shard that is full or the last one, and begins another if there may be one.
	fn write_shard(&mut self) -> Result<(), Error> {
		let shard = std::mem::take(&mut self.shard);
		let info = shard.info();
		let path = self.folder.join(SHARDS_FOLDER).join(shard_file_name(&info.cid));
		fs::write(&path, shard.as_bytes()).map_err(refused("write", &path))?;
		self.infos.push(info);
		self.is_full = self.infos.len() >= MAX_SHARDS as usize;
		Ok(())
	}

	/// Writes what is left and the manifest.
	fn finish(mut self, template: Manifest, out: &Path, files: usize) -> Result<Summary, Error> {
		if !self.shard.is_empty() {
			self.write_shard()?;
		}
		let skipped = self.finish_skipped()?;
		// A shard has at most 100,000 records and there are at most 1,024 of them.
		let records = self.hashes.len() as u32;
		if records < MIN_RECORDS {
			return Err(Error::TooFewRecords { found: records, skipped: describe(&skipped) });
		}
		let damaged = |problem: String| Error::Damaged { path: out.to_path_buf(), problem };
		let manifest = Manifest {
			records,
			bytes: self.infos.iter().map(|info| u64::from(info.bytes)).sum(),
			records_root: tree::list_root(&self.hashes).map_err(|e| damaged(e.to_string()))?,
			shards: BoundedVec::truncate_from(std::mem::take(&mut self.infos)),
			..template
		};
		manifest.validate().map_err(|error| damaged(error.to_string()))?;
		let path = self.folder.join(MANIFEST_FILE);
		fs::write(&path, manifest.encode()).map_err(refused("write", &path))?;
		let path = self.folder.join(MANIFEST_JSON_FILE);
		let readable = ReadableManifest { hash: manifest.hash(), manifest: &manifest };
		let text = serde_json::to_string_pretty(&readable).map_err(|e| damaged(e.to_string()))?;
		fs::write(&path, text + "\n").map_err(refused("write", &path))?;
		Ok(Summary {
			name: self.options.name.clone(),
			folder: out.to_string_lossy().into_owned(),
			manifest_hash: manifest.hash(),
			records_root: manifest.records_root,
			records,
			bytes: manifest.bytes,
			shards: manifest.shards.len() as u32,
			files: files as u32,
			duplicates: self.skipped.get(DUPLICATE).copied().unwrap_or_default(),
			skipped,
		})
	}

	/// Ends the list of what was left out, and counts it by reason, most frequent first.
	fn finish_skipped(&mut self) -> Result<Vec<Skipped>, Error> {
		let path = self.folder.join(SKIPPED_FILE);
		let more = self.skipped_count.saturating_sub(MAX_SKIPPED_NAMED);
		if more > 0 {
			writeln!(self.skipped_file, "\t\t{more} more").map_err(refused("write", &path))?;
		}
		self.skipped_file.flush().map_err(refused("write", &path))?;
		let mut skipped: Vec<Skipped> = self
			.skipped
			.iter()
			.map(|(reason, count)| Skipped { reason: (*reason).to_owned(), count: *count })
			.collect();
		// The sort is stable, so equal counts stay in the order of reasons.
		skipped.sort_by_key(|skipped| std::cmp::Reverse(skipped.count));
		Ok(skipped)
	}
}

/// Why a record is left out that was there before.
const DUPLICATE: &str = "a record that was there already";

/// The manifest as `manifest.json` has it.
#[derive(Serialize)]
struct ReadableManifest<'a> {
	hash: H256,
	#[serde(flatten)]
	manifest: &'a Manifest,
}

/// What was left out, as the end of a sentence.
fn describe(skipped: &[Skipped]) -> String {
	let reasons: Vec<String> = skipped
		.iter()
		.take(REASONS_IN_ERROR)
		.map(|skipped| format!("{} × {}", skipped.count, skipped.reason))
		.collect();
	if reasons.is_empty() {
		String::new()
	} else {
		format!(" (left out: {})", reasons.join("; "))
	}
}

/// The name of a shard's file.
fn shard_file_name(cid: &H256) -> String {
	format!("{}.bin", hex(cid))
}

/// A hash as 64 hexadecimal digits.
fn hex(hash: &H256) -> String {
	hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Io { action, path, source }
}

fn unreadable(error: &io::Error) -> Reason {
	Reason::with("cannot be read", error.to_string())
}

/// All files of `inputs` and of the folders among them, with their lengths. What is no file is noted
/// as skipped; an input that does not exist is an error.
fn collect(inputs: &[PathBuf], builder: &mut Builder<'_>) -> Result<Vec<(PathBuf, u64)>, Error> {
	let mut files = Vec::new();
	// The last one is next, so everything is pushed in reverse order.
	let mut waiting: Vec<(PathBuf, usize)> =
		inputs.iter().rev().map(|path| (path.clone(), 0)).collect();
	while let Some((path, depth)) = waiting.pop() {
		let place = Place { path: &path, line: 0 };
		// Links that the user names are followed, those in folders are not: they may turn in circles
		// or lead out of the folder.
		let metadata = if depth == 0 { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
		let metadata = match metadata {
			Ok(metadata) => metadata,
			Err(error) if depth == 0 => return Err(refused("find", &path)(error)),
			Err(error) => {
				builder.skip(place, &unreadable(&error))?;
				continue;
			}
		};
		let name = path.file_name().map(|name| name.to_string_lossy());
		if depth > 0 && name.is_some_and(|name| name.starts_with('.')) {
			builder.skip(place, &Reason::new("hidden"))?;
		} else if metadata.is_dir() {
			if depth >= MAX_DEPTH {
				builder.skip(place, &Reason::new("a folder that lies too deep"))?;
				continue;
			}
			match entries_of(&path) {
				Ok(entries) => {
					waiting.extend(entries.into_iter().rev().map(|entry| (entry, depth + 1)));
				}
				Err(error) => builder.skip(place, &unreadable(&error))?,
			}
		} else if metadata.is_symlink() {
			builder.skip(place, &Reason::new("a symbolic link"))?;
		} else if metadata.is_file() {
			files.push((path, metadata.len()));
		} else {
			// Reading a pipe or a device may never end.
			builder.skip(place, &Reason::new("no regular file"))?;
		}
		if files.len() > MAX_FILES || waiting.len() > MAX_FILES {
			return Err(Error::TooManyFiles);
		}
	}
	Ok(files)
}

/// What is in a folder, in the order of names.
fn entries_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
	let mut entries = Vec::new();
	for entry in fs::read_dir(folder)? {
		entries.push(entry?.path());
		if entries.len() > MAX_FILES {
			break;
		}
	}
	entries.sort_unstable();
	Ok(entries)
}
