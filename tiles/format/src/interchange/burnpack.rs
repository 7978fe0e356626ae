//! Files of burn-pack, burn's own format for weights.
//!
//! The engine writes them with the `burn-pack` crate. They are read here without it: its reader
//! would lose one of two tensors of the same name, does not mind bytes that belong to two, and opens
//! the file again, by its path, for every tensor; and it brings half of burn with it.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic, `NRUB` |
//! | 2 | version, 1 |
//! | 4 | bytes of the list |
//! | … | the list, in CBOR: `tensors` and `metadata`, maps by name |
//! | … | padding up to a multiple of 256 bytes |
//! | … | the bytes of each tensor, where its `data_offsets` say, counted from here |
//!
//! Numbers are little-endian. Read: `F32`, `F16`, `BF16`, `I8` with [scales](super::SCALE_SUFFIX),
//! and `I32` in files whose metadata states [fraction bits](super::FRACTION_BITS_KEY).

use super::{
	check_entries, scales, shape::dimensions, stated_fraction_bits, Entry, Error, Result, Source,
	Stored, Unique, MAX_HEADER_BYTES,
};
use crate::convert::Values;
use serde::{
	de::{IgnoredAny, MapAccess, Visitor},
	Deserialize, Deserializer,
};
use std::{
	collections::BTreeMap,
	fmt,
	fs::File,
	io::{self, Read, Seek, SeekFrom},
	ops::Range,
	path::{Path, PathBuf},
	sync::{Mutex, PoisonError},
};

/// How the name of a file ends.
pub const EXTENSION: &str = "bpk";
/// The newest version that is read.
pub const VERSION: u16 = 1;

const FORMAT: &str = "burn-pack";
/// How a file begins.
const MAGIC: [u8; 4] = *b"NRUB";
/// Bytes before the list: magic, version, length of the list.
const HEAD_BYTES: usize = 10;
/// Tensors begin at a multiple of this.
const ALIGNMENT_BYTES: u64 = 256;
/// Nested deeper than this is no list of tensors.
const MAX_DEPTH: usize = 16;
/// Characters of an unknown element type that an error repeats.
const TYPE_CHARS: usize = 16;

/// A file of burn-pack.
#[derive(Debug)]
pub struct Burnpack {
	path: PathBuf,
	/// What the list was read from, so that values are never those of another file of that name.
	file: Mutex<File>,
	/// Where the elements of each tensor are, and its scales.
	places: Vec<(Range<u64>, Option<Range<u64>>)>,
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
}

/// What is needed of a file's metadata to check it.
#[derive(Deserialize)]
struct Listed {
	tensors: Unique<Descriptor>,
	#[serde(default)]
	metadata: Unique<String>,
}

/// What a file says of a tensor.
#[derive(Deserialize)]
struct Descriptor {
	dtype: ElementType,
	#[serde(deserialize_with = "dimensions")]
	shape: Vec<u64>,
	data_offsets: (u64, u64),
}

/// The name of an element type. One that has parts, of which none is read, is a map instead.
struct ElementType(String);

impl<'de> Deserialize<'de> for ElementType {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
		deserializer.deserialize_any(ElementTypeVisitor)
	}
}

struct ElementTypeVisitor;

impl<'de> Visitor<'de> for ElementTypeVisitor {
	type Value = ElementType;

	fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("an element type")
	}

	fn visit_str<E>(self, name: &str) -> std::result::Result<ElementType, E> {
		Ok(ElementType(name.chars().take(TYPE_CHARS).collect()))
	}

	fn visit_map<A: MapAccess<'de>>(
		self,
		mut map: A,
	) -> std::result::Result<ElementType, A::Error> {
		while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
		Ok(ElementType(String::from("of several parts")))
	}
}

impl Burnpack {
	/// Opens a file and reads which tensors it has. Their bytes are read when they are asked for.
	pub fn open(path: &Path) -> Result<Self> {
		let mut file = File::open(path).map_err(io_error("open", path))?;
		let (start, listed) = read_list(&mut file, path)?;
		let Listed { tensors: Unique(mut tensors), metadata } = listed;
		tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
		for ((_, before), (name, after)) in tensors.iter().zip(tensors.iter().skip(1)) {
			if before.data_offsets.1 > after.data_offsets.0 {
				return Err(Error::tensor(name, "shares bytes with another; export it again"));
			}
		}
		let length = file.metadata().map_err(io_error("examine", path))?.len();
		let ranges: Result<Vec<Range<u64>>> =
			tensors.iter().map(|(name, tensor)| range(name, tensor, start, length)).collect();
		let ranges = ranges?;
		let metadata = metadata.0.into_iter().collect();
		let fraction_bits = stated_fraction_bits(&metadata);
		let entries: Result<Vec<Entry>> =
			tensors.into_iter().map(|(name, tensor)| entry(name, tensor, fraction_bits)).collect();
		let entries = entries?;
		check_entries(&entries)?;
		for (entry, range) in entries.iter().zip(&ranges) {
			if entry.length()? != range.end - range.start {
				let problem = "has another number of bytes than its shape says; export it again";
				return Err(Error::tensor(&entry.name, problem));
			}
		}
		let (entries, places) = scales::join(entries, ranges)?;
		Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), places, entries, metadata })
	}

	/// The bytes of a tensor, or of its scales, which lie there.
	fn bytes(&self, entry: &Entry, range: &Range<u64>) -> Result<Vec<u8>> {
		let length = usize::try_from(range.end.saturating_sub(range.start))
			.map_err(|_| Error::tensor(&entry.name, "is longer than this machine can address"))?;
		let mut bytes = vec![0; length];
		let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
		file.seek(SeekFrom::Start(range.start))
			.and_then(|_| file.read_exact(&mut bytes))
			.map_err(io_error("read", &self.path))?;
		Ok(bytes)
	}
}

impl Source for Burnpack {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		let found = self.entries.get(place).zip(self.places.get(place));
		let (entry, (elements, scales)) = found.ok_or_else(|| Error::tensor("", "is not there"))?;
		let scales = scales.as_ref().map(|range| self.bytes(entry, range)).transpose()?;
		let (elements, scales) = (self.bytes(entry, elements)?, scales.unwrap_or_default());
		let (dtype, row) = (entry.stored.dtype(), entry.row() as usize);
		// Of these formats, each is one of ours.
		Ok(Values::decode(dtype, entry.fraction_bits, &elements, &scales, row))
	}
}

/// Where the tensors of a file begin, and their list, each once.
fn read_list(file: &mut File, path: &Path) -> Result<(u64, Listed)> {
	let length = file.metadata().map_err(io_error("examine", path))?.len();
	let mut head = [0; HEAD_BYTES];
	if length < HEAD_BYTES as u64 {
		return Err(refused(length, String::from("it ends before the header")));
	}
	file.read_exact(&mut head).map_err(io_error("read", path))?;
	let [magic @ .., v0, v1, l0, l1, l2, l3] = head;
	if magic != MAGIC {
		return Err(refused(0, String::from("it does not begin with the magic number")));
	}
	let version = u16::from_le_bytes([v0, v1]);
	if version > VERSION {
		let problem = format!("version {version} is newer than {VERSION}");
		return Err(refused(MAGIC.len() as u64, problem));
	}
	let list = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
	if list > MAX_HEADER_BYTES || list > length - HEAD_BYTES as u64 {
		let problem = format!("a list of {list} bytes in a file of {length} is too long");
		return Err(refused(0, problem));
	}
	let mut bytes = Vec::with_capacity(list as usize);
	file.take(list).read_to_end(&mut bytes).map_err(io_error("read", path))?;
	let listed = ciborium::de::from_reader_with_recursion_limit(bytes.as_slice(), MAX_DEPTH)
		.map_err(|error| refused(HEAD_BYTES as u64, error.to_string()))?;
	// At most MAX_HEADER_BYTES.
	Ok(((HEAD_BYTES as u64 + list).next_multiple_of(ALIGNMENT_BYTES), listed))
}

/// Where a tensor lies in a file of `length` bytes whose tensors begin at `start`.
fn range(name: &str, tensor: &Descriptor, start: u64, length: u64) -> Result<Range<u64>> {
	let (from, to) = tensor.data_offsets;
	match (start.checked_add(from), start.checked_add(to)) {
		(Some(from), Some(to)) if from <= to && to <= length => Ok(from..to),
		_ => Err(Error::tensor(name, "does not lie within the file; fetch it again")),
	}
}

fn entry(name: String, tensor: Descriptor, fraction_bits: Option<u8>) -> Result<Entry> {
	let (stored, fraction_bits) = match (tensor.dtype.0.as_str(), fraction_bits) {
		("F32" | "Flex32", _) => (Stored::F32, 0),
		("F16", _) => (Stored::F16, 0),
		("BF16", _) => (Stored::Bf16, 0),
		("I8", _) => (Stored::I8, 0),
		("I32", Some(bits)) => (Stored::I32, bits),
		("I32", None) => {
			let problem = "is i32, but the metadata states no fraction_bits; export it as f32";
			return Err(Error::tensor(&name, problem));
		}
		(other, _) => {
			let other = other.to_lowercase();
			let problem = format!("is {other}, which is not read; export it as f32");
			return Err(Error::tensor(&name, problem));
		}
	};
	Ok(Entry { name, shape: tensor.shape, stored, fraction_bits })
}

/// Wraps what the operating system said.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
	let path = path.to_path_buf();
	move |source| Error::Tile(crate::Error::Io { action, path, source })
}

fn refused(offset: u64, problem: String) -> Error {
	Error::File { format: FORMAT, offset, problem }
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn element_types_are_names_or_maps() {
		let read = |bytes: &[u8]| ciborium::from_reader(bytes).map(|found: ElementType| found.0);
		assert_eq!(read(b"\x63F32").unwrap(), "F32");
		assert_eq!(read(b"\x78\x14FFFFFFFFFFFFFFFFFFFF").unwrap().len(), TYPE_CHARS);
		assert_eq!(read(b"\xa1\x64Bool\x62U8").unwrap(), "of several parts");
		for wrong in [&b"\x07"[..], b"\x81\x63F32", b"\xa1\x64Bool", b"\x63F3"] {
			assert!(read(wrong).is_err(), "{wrong:?}");
		}
	}
}
