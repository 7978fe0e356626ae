//! Files of llama.cpp, which have quantised weights: read only.
//!
//! # The format
//!
//! Numbers are little-endian; a string is its length (`u64`) and its bytes.
//!
//! | what | fields |
//! |---|---|
//! | header | `GGUF`, version (`u32`, 2 or 3), tensors, pairs (`u64` each) |
//! | each pair | key, type (`u32`), value |
//! | each tensor | name, rank (`u32`, 1..=4), extents (`u64` each, innermost first), type (`u32`), offset in the data (`u64`) |
//! | data | from the next multiple of the alignment on, which the pair `general.alignment` states, else 32 |
//!
//! Of the pairs only the alignment is used: what a model is made of, and its words, are none of our
//! business. Tensors may be of the types `F32`, `F16`, `BF16`, `Q4_0`, `Q4_1`, `Q8_0` and `Q6_K`;
//! the module `blocks` describes the last four.

use super::{
	blocks, check_entries, check_tensor, Entry, Error, Mapped, Result, Source, Stored, MAX_TENSORS,
};
use crate::convert::Values;
use std::{collections::BTreeMap, ops::Range, path::Path};

/// How the name of a file ends.
pub const EXTENSION: &str = "gguf";
/// The most pairs of a file.
pub const MAX_PAIRS: u64 = 65_536;

const FORMAT: &str = "GGUF";
const MAGIC: [u8; 4] = *b"GGUF";
/// Version 3 differs from 2 in that it may be big-endian, which is not read.
const VERSIONS: [u32; 2] = [2, 3];
const ALIGNMENT_KEY: &[u8] = b"general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 1 << 20;
const MAX_GGML_RANK: u32 = 4;
/// Types of values that are not numbers.
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U32: u32 = 4;

/// A file of llama.cpp.
#[derive(Debug)]
pub struct Gguf<B> {
	bytes: B,
	entries: Vec<Entry>,
	/// Where the bytes of each tensor are.
	ranges: Vec<Range<usize>>,
	metadata: BTreeMap<String, String>,
}

impl Gguf<Mapped> {
	/// Maps a file and reads what it has.
	pub fn open(path: &Path) -> Result<Self> {
		Self::new(Mapped::open(path)?)
	}
}

impl<B: AsRef<[u8]>> Gguf<B> {
	/// Reads what a file has.
	pub fn new(bytes: B) -> Result<Self> {
		let mut cursor = Cursor { bytes: bytes.as_ref(), at: 0 };
		let (tensors, alignment) = read_head(&mut cursor)?;
		let mut found = Vec::with_capacity(tensors);
		for _ in 0..tensors {
			found.push(read_tensor(&mut cursor)?);
		}
		let start = cursor.at.checked_next_multiple_of(alignment as usize);
		let start = start.ok_or_else(|| refused(cursor.at, "the alignment is too large"))?;
		let length = cursor.bytes.len();
		let mut entries = Vec::with_capacity(tensors);
		let mut ranges = Vec::with_capacity(tensors);
		for tensor in found {
			ranges.push(tensor.range(start, alignment, length)?);
			entries.push(tensor.entry);
		}
		check_entries(&entries)?;
		check_overlaps(&entries, &ranges)?;
		Ok(Self { bytes, entries, ranges, metadata: BTreeMap::new() })
	}
}

impl<B: AsRef<[u8]>> Source for Gguf<B> {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		let found = self.entries.get(place).zip(self.ranges.get(place));
		let (entry, range) = found.ok_or_else(|| Error::tensor("", "is not there"))?;
		let bytes = self.bytes.as_ref().get(range.clone()).unwrap_or_default();
		let append: fn(&[u8], &mut Vec<f32>) = match entry.stored {
			Stored::Q4_0 => blocks::q4_0,
			Stored::Q4_1 => blocks::q4_1,
			Stored::Q8_0 => blocks::q8_0,
			Stored::Q6K => blocks::q6_k,
			Stored::I32 | Stored::I8 | Stored::F16 | Stored::Bf16 | Stored::F32 => {
				return Ok(Values::decode(entry.stored.dtype(), 0, bytes, &[], 1));
			}
		};
		// The tensor's bytes are in the file, so this is at most eight times as much.
		let mut values = Vec::with_capacity(entry.count() as usize);
		append(bytes, &mut values);
		Ok(Values::Float(values))
	}
}

/// How elements of a type lie in the file: their type, values and bytes of a block.
fn layout(kind: u32) -> Option<(Stored, u64, u64)> {
	let short = |stored, bytes: usize| (stored, blocks::SHORT_VALUES as u64, bytes as u64);
	Some(match kind {
		0 => (Stored::F32, 1, 4),
		1 => (Stored::F16, 1, 2),
		2 => short(Stored::Q4_0, blocks::Q4_0_BYTES),
		3 => short(Stored::Q4_1, blocks::Q4_1_BYTES),
		8 => short(Stored::Q8_0, blocks::Q8_0_BYTES),
		14 => (Stored::Q6K, blocks::LONG_VALUES as u64, blocks::Q6_K_BYTES as u64),
		30 => (Stored::Bf16, 1, 2),
		_ => return None,
	})
}

/// Reads everything before the tensors: their number, and the alignment.
fn read_head(cursor: &mut Cursor<'_>) -> Result<(usize, u32)> {
	if cursor.take(MAGIC.len() as u64)? != MAGIC {
		return Err(refused(0, "it does not begin with GGUF"));
	}
	let version = cursor.u32()?;
	if !VERSIONS.contains(&version) {
		let problem = format!("version {version} is unknown, this program reads 2 and 3");
		return Err(refused(MAGIC.len(), problem));
	}
	let at = cursor.at;
	let tensors = cursor.u64()?;
	if tensors > MAX_TENSORS as u64 {
		return Err(refused(at, format!("{tensors} tensors are more than {MAX_TENSORS}")));
	}
	let at = cursor.at;
	let pairs = cursor.u64()?;
	if pairs > MAX_PAIRS {
		return Err(refused(at, format!("{pairs} pairs are more than {MAX_PAIRS}")));
	}
	let mut alignment = DEFAULT_ALIGNMENT;
	for _ in 0..pairs {
		let is_alignment = cursor.string()? == ALIGNMENT_KEY;
		let at = cursor.at;
		let kind = cursor.u32()?;
		if !is_alignment {
			cursor.skip(at, kind)?;
			continue;
		}
		if kind != U32 {
			return Err(refused(at, format!("the alignment has the type {kind}, not {U32}")));
		}
		alignment = cursor.u32()?;
		if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
			let problem = format!("{alignment} is no power of two up to {MAX_ALIGNMENT}");
			return Err(refused(at, problem));
		}
	}
	// It cannot be more than what is left to read; each has 32 bytes at least.
	let left = (cursor.bytes.len() - cursor.at) / 32;
	if tensors > left as u64 {
		return Err(refused(cursor.at, format!("{tensors} tensors do not fit the rest")));
	}
	Ok((tensors as usize, alignment))
}

/// A tensor as the file describes it.
struct Described {
	entry: Entry,
	/// Where the description begins.
	at: usize,
	offset: u64,
	bytes: u64,
}

impl Described {
	/// Where its bytes are in a file of this length whose data begins at `start`.
	fn range(&self, start: usize, alignment: u32, length: usize) -> Result<Range<usize>> {
		let name = &self.entry.name;
		if !self.offset.is_multiple_of(u64::from(alignment)) {
			let problem = format!("{name:?} lies at {}, which is not aligned", self.offset);
			return Err(refused(self.at, problem));
		}
		let begin = (start as u64).checked_add(self.offset);
		let end = begin.and_then(|begin| begin.checked_add(self.bytes));
		match (begin, end) {
			// So both fit a usize.
			(Some(begin), Some(end)) if end <= length as u64 => Ok(begin as usize..end as usize),
			_ => Err(refused(self.at, format!("{name:?} lies outside of the file"))),
		}
	}
}

fn read_tensor(cursor: &mut Cursor<'_>) -> Result<Described> {
	let at = cursor.at;
	let name = String::from_utf8(cursor.string()?.to_vec())
		.map_err(|_| refused(at, "the name of a tensor is no UTF-8"))?;
	let rank = cursor.u32()?;
	if rank == 0 || rank > MAX_GGML_RANK {
		let problem = format!("{name:?} has {rank} dimensions, not 1..={MAX_GGML_RANK}");
		return Err(refused(at, problem));
	}
	let mut shape = Vec::with_capacity(rank as usize);
	for _ in 0..rank {
		shape.push(cursor.u64()?);
	}
	let row = shape.first().copied().unwrap_or(0);
	// Outermost first here.
	shape.reverse();
	let count = check_tensor(&name, &shape)?;
	let kind = cursor.u32()?;
	let Some((stored, values, bytes)) = layout(kind) else {
		let problem = format!(
			"has the type {kind} of GGML, which is not read; quantise it as Q4_0, Q4_1, Q8_0 or \
			 Q6_K, or leave it F32, F16 or BF16"
		);
		return Err(Error::tensor(&name, problem));
	};
	// A block does not reach over the end of a row.
	if !row.is_multiple_of(values) {
		let problem = format!("{name:?} has rows of {row} values and blocks of {values}");
		return Err(refused(at, problem));
	}
	let bytes = (count / values)
		.checked_mul(bytes)
		.ok_or_else(|| refused(at, format!("{name:?} is longer than any file")))?;
	let offset = cursor.u64()?;
	Ok(Described { entry: Entry { name, shape, stored, fraction_bits: 0 }, at, offset, bytes })
}

/// Refuses bytes that belong to two tensors.
fn check_overlaps(entries: &[Entry], ranges: &[Range<usize>]) -> Result<()> {
	let mut sorted: Vec<_> = ranges.iter().zip(entries).collect();
	sorted.sort_by_key(|(range, _)| range.start);
	for ((before, _), (after, entry)) in sorted.iter().zip(sorted.iter().skip(1)) {
		if before.end > after.start {
			let problem = format!("{:?} shares bytes with another tensor", entry.name);
			return Err(refused(after.start, problem));
		}
	}
	Ok(())
}

/// What was not read yet of a file.
struct Cursor<'a> {
	bytes: &'a [u8],
	at: usize,
}

impl<'a> Cursor<'a> {
	fn take(&mut self, count: u64) -> Result<&'a [u8]> {
		let rest = self.bytes.get(self.at..).unwrap_or_default();
		let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
		let taken = taken.ok_or_else(|| {
			refused(self.at, format!("{count} bytes are expected, {} are left", rest.len()))
		})?;
		self.at += taken.len();
		Ok(taken)
	}

	fn u32(&mut self) -> Result<u32> {
		let bytes = self.take(4)?.first_chunk::<4>().copied();
		Ok(u32::from_le_bytes(bytes.unwrap_or_default()))
	}

	fn u64(&mut self) -> Result<u64> {
		let bytes = self.take(8)?.first_chunk::<8>().copied();
		Ok(u64::from_le_bytes(bytes.unwrap_or_default()))
	}

	fn string(&mut self) -> Result<&'a [u8]> {
		let length = self.u64()?;
		self.take(length)
	}

	/// Passes a value of this type, which is stated at byte `at`.
	fn skip(&mut self, at: usize, kind: u32) -> Result<()> {
		match kind {
			STRING => {
				self.string()?;
			}
			ARRAY => {
				let at = self.at;
				let kind = self.u32()?;
				let count = self.u64()?;
				self.skip_elements(at, kind, count)?;
			}
			_ => {
				self.take(scalar_bytes(at, kind)?)?;
			}
		}
		Ok(())
	}

	/// Passes the elements of an array.
	fn skip_elements(&mut self, at: usize, kind: u32, count: u64) -> Result<()> {
		if kind == STRING {
			// Each takes eight bytes at least, so the file's end ends this.
			for _ in 0..count {
				self.string()?;
			}
			return Ok(());
		}
		let bytes = scalar_bytes(at, kind)?
			.checked_mul(count)
			.ok_or_else(|| refused(at, format!("an array of {count} values is too long")))?;
		self.take(bytes)?;
		Ok(())
	}
}

/// Bytes of a number or truth value of this type.
fn scalar_bytes(at: usize, kind: u32) -> Result<u64> {
	match kind {
		0 | 1 | 7 => Ok(1),
		2 | 3 => Ok(2),
		4..=6 => Ok(4),
		10..=12 => Ok(8),
		// Nobody writes arrays of arrays, and they would need a limit to their depth.
		_ => Err(refused(at, format!("a value has the type {kind}, which is unknown here"))),
	}
}

fn refused(offset: usize, problem: impl Into<String>) -> Error {
	Error::File { format: FORMAT, offset: offset as u64, problem: problem.into() }
}
