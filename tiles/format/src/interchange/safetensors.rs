//! Files of safetensors.
//!
//! The `safetensors` crate defines what a header may say. It is read here so that names that occur
//! twice are found, which its maps would lose, and written here so that a file is streamed, synced
//! and renamed like every other, and is the same whenever it is written.
//!
//! Read: `F32`, `F16`, `BF16`, `I8` with [scales](super::SCALE_SUFFIX), and `I32` in files whose
//! metadata states [fraction bits](super::FRACTION_BITS_KEY). Written: these.

use super::{
	check_entries, check_tensor, scales, shape::dimensions, stated_fraction_bits, write, Entry,
	Error, Export, Mapped, Result, Source, Stored, Unique, MAX_HEADER_BYTES, MAX_TENSORS,
};
use crate::convert::Values;
use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use blyan_primitives::tensor::DType;
use serde::{
	de::{Error as _, MapAccess, Visitor},
	Deserialize, Deserializer,
};
use std::{
	collections::{BTreeMap, HashSet},
	fmt,
	io::Write as _,
	ops::Range,
	path::Path,
};

/// How the name of a file ends.
pub const EXTENSION: &str = "safetensors";

const FORMAT: &str = "safetensors";
/// The key of a header that is no tensor.
const METADATA: &str = "__metadata__";
/// Bytes of the header's length, which a file begins with and a header is padded to.
const LENGTH_BYTES: usize = 8;

/// A file of safetensors.
#[derive(Debug)]
pub struct Safetensors<B> {
	bytes: B,
	entries: Vec<Entry>,
	/// Where the elements of each tensor are, and its scales.
	places: Vec<(Range<usize>, Option<Range<usize>>)>,
	metadata: BTreeMap<String, String>,
}

impl Safetensors<Mapped> {
	/// Maps a file and reads its header.
	pub fn open(path: &Path) -> Result<Self> {
		Self::new(Mapped::open(path)?)
	}
}

impl<B: AsRef<[u8]>> Safetensors<B> {
	/// Reads the header of a file.
	pub fn new(bytes: B) -> Result<Self> {
		let file = bytes.as_ref();
		let (text, data) = split(file)?;
		let start = file.len() - data.len();
		let header: Header = serde_json::from_slice(text)
			.map_err(|error| refused(LENGTH_BYTES as u64, error.to_string()))?;
		let Header { metadata, mut tensors } = header;
		tensors.sort_by_key(|(_, info)| info.data_offsets);
		// Offsets without gaps and overlaps, and lengths that fit types and shapes.
		let checked = Metadata::new(None, tensors.clone())
			.map_err(|error| refused(LENGTH_BYTES as u64, error.to_string()))?;
		if checked.data_len() != data.len() {
			let (expected, found) = (checked.data_len(), data.len());
			let problem = format!("{expected} bytes must follow the header, found {found}");
			return Err(refused(start as u64, problem));
		}
		let fraction_bits = stated_fraction_bits(&metadata);
		let mut entries = Vec::with_capacity(tensors.len());
		let mut ranges = Vec::with_capacity(tensors.len());
		for (name, info) in tensors {
			// The last one ends where the file does, so no sum overflows.
			ranges.push(start + info.data_offsets.0..start + info.data_offsets.1);
			entries.push(entry(name, &info, fraction_bits)?);
		}
		check_entries(&entries)?;
		let (entries, places) = scales::join(entries, ranges)?;
		Ok(Self { bytes, entries, places, metadata })
	}
}

impl<B: AsRef<[u8]>> Source for Safetensors<B> {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> Result<Values> {
		let found = self.entries.get(place).zip(self.places.get(place));
		let (entry, (elements, scales)) = found.ok_or_else(|| Error::tensor("", "is not there"))?;
		let part =
			|range: &Range<usize>| self.bytes.as_ref().get(range.clone()).unwrap_or_default();
		let scales = scales.as_ref().map(part).unwrap_or_default();
		let row = entry.row() as usize;
		// Of these formats, each is one of ours.
		Ok(Values::decode(entry.stored.dtype(), entry.fraction_bits, part(elements), scales, row))
	}
}

/// The header's text and what follows it.
fn split(file: &[u8]) -> Result<(&[u8], &[u8])> {
	let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
		return Err(refused(file.len() as u64, String::from("it ends before the header")));
	};
	let length = u64::from_le_bytes(*length);
	if length > MAX_HEADER_BYTES {
		let problem = format!("a header of {length} bytes is longer than {MAX_HEADER_BYTES}");
		return Err(refused(0, problem));
	}
	// At most MAX_HEADER_BYTES.
	rest.split_at_checked(length as usize).ok_or_else(|| {
		refused(0, format!("a header of {length} bytes, but only {} follow", rest.len()))
	})
}

fn entry(name: String, info: &TensorInfo, fraction_bits: Option<u8>) -> Result<Entry> {
	let shape: Vec<u64> = info.shape.iter().map(|extent| *extent as u64).collect();
	check_tensor(&name, &shape)?;
	let (stored, fraction_bits) = match (info.dtype, fraction_bits) {
		(Dtype::F32, _) => (Stored::F32, 0),
		(Dtype::F16, _) => (Stored::F16, 0),
		(Dtype::BF16, _) => (Stored::Bf16, 0),
		(Dtype::I8, _) => (Stored::I8, 0),
		(Dtype::I32, Some(bits)) => (Stored::I32, bits),
		(Dtype::I32, None) => {
			let problem = "is I32, but the metadata states no fraction_bits; export it as F32";
			return Err(Error::tensor(&name, problem));
		}
		(other, _) => {
			let problem = format!("is {other}, which is not read; export it as F32, F16 or BF16");
			return Err(Error::tensor(&name, problem));
		}
	};
	Ok(Entry { name, shape, stored, fraction_bits })
}

/// Writes the tensors of a source to a file, atomically and one after another.
pub fn write_file(path: &Path, source: &dyn Source, export: &Export) -> Result<()> {
	let header = encode_header(export)?;
	write(path, |file| {
		file.write_all(&(header.len() as u64).to_le_bytes())?;
		file.write_all(&header)?;
		for place in 0..export.entries().len() {
			file.write_all(&export.bytes(source, place)?)?;
		}
		Ok(())
	})
}

/// The header of a file, padded so that the first tensor is aligned.
fn encode_header(export: &Export) -> Result<Vec<u8>> {
	let unwritable = |error: serde_json::Error| refused(LENGTH_BYTES as u64, error.to_string());
	let mut fields = serde_json::Map::new();
	if !export.metadata().is_empty() {
		let metadata = serde_json::to_value(export.metadata()).map_err(unwritable)?;
		fields.insert(METADATA.to_owned(), metadata);
	}
	let mut end = 0usize;
	for entry in export.entries() {
		if entry.name == METADATA {
			return Err(Error::tensor(&entry.name, "has a name that the format keeps; rename it"));
		}
		let start = end;
		let length = usize::try_from(entry.length()?).ok();
		end = length.and_then(|length| start.checked_add(length)).ok_or_else(|| {
			Error::tensor(&entry.name, "makes the file longer than this machine can address")
		})?;
		let info = TensorInfo {
			dtype: written_type(entry.stored.dtype()),
			shape: entry.shape.iter().map(|extent| *extent as usize).collect(),
			data_offsets: (start, end),
		};
		fields.insert(entry.name.clone(), serde_json::to_value(info).map_err(unwritable)?);
	}
	let mut header = serde_json::to_vec(&fields).map_err(unwritable)?;
	header.resize(header.len().next_multiple_of(LENGTH_BYTES), b' ');
	Ok(header)
}

fn written_type(dtype: DType) -> Dtype {
	match dtype {
		DType::I32 => Dtype::I32,
		DType::I8 => Dtype::I8,
		DType::F16 => Dtype::F16,
		DType::Bf16 => Dtype::BF16,
		DType::F32 => Dtype::F32,
	}
}

fn refused(offset: u64, problem: String) -> Error {
	Error::File { format: FORMAT, offset, problem }
}

/// What a header says of a tensor: a [`TensorInfo`] with a shape that is bounded while it is read.
#[derive(Deserialize)]
struct Described {
	dtype: Dtype,
	#[serde(deserialize_with = "dimensions")]
	shape: Vec<usize>,
	data_offsets: (usize, usize),
}

impl From<Described> for TensorInfo {
	fn from(Described { dtype, shape, data_offsets }: Described) -> Self {
		Self { dtype, shape, data_offsets }
	}
}

/// What a header says, with each tensor once.
#[derive(Default)]
struct Header {
	metadata: BTreeMap<String, String>,
	tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
		deserializer.deserialize_map(HeaderVisitor)
	}
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
	type Value = Header;

	fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "a map of at most {MAX_TENSORS} tensors")
	}

	fn visit_map<A: MapAccess<'de>>(
		self,
		mut map: A,
	) -> std::result::Result<Self::Value, A::Error> {
		let mut header = Header::default();
		let mut names = HashSet::new();
		while let Some(name) = map.next_key::<String>()? {
			if !names.insert(name.clone()) {
				return Err(A::Error::custom(format!("{name:?} occurs twice")));
			}
			if name == METADATA {
				header.metadata = map.next_value::<Unique<String>>()?.0.into_iter().collect();
			} else if header.tensors.len() == MAX_TENSORS {
				return Err(A::Error::custom(format!("there are more than {MAX_TENSORS} tensors")));
			} else {
				header.tensors.push((name, map.next_value::<Described>()?.into()));
			}
		}
		Ok(header)
	}
}
