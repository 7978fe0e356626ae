//! Weights in the formats of others, and back.
//!
//! | module | what |
//! |---|---|
//! | [`safetensors`] | files of safetensors: read and write |
//! | [`gguf`] | files of llama.cpp, quantised ones too: read |
//! | [`components`] | a folder of tile files and `components.json`: read and write |
//! | [`burnpack`] | files of burn: read |
//! | [`compare`] | two of these, value by value |
//!
//! Files of burn-pack are written by the engine, which has burn's crates. Everything that can be
//! read is a [`Source`]: a list of tensors with names and shapes, and their values one tensor at a
//! time, so that no more than one tensor need be in memory. Files are mapped, but those of burn-pack,
//! which are read.
//!
//! What is written can be read again without a loss: tensors of `i32` fixed point stay `i32`, and
//! the file's metadata has their fraction bits under [`FRACTION_BITS_KEY`] and the components that
//! the tensors came from under [`COMPONENTS_KEY`]. A tensor of `i8` named `NAME` comes with another
//! one, `NAME.scale` ([`SCALE_SUFFIX`]): an `f32` for each row, in the tensor's shape with 1 for its
//! last dimension, so that the product of both is the tensor. When files are read, any shape of as
//! many values will do, and the scales are no tensor of their own. `i8` is written only if it is
//! asked for, since other programs know nothing of the scales.
//!
//! # Limits
//!
//! Files come from strangers. Lengths and counts are checked before anything is allocated for them:
//! [`MAX_TENSORS`], [`MAX_NAME_BYTES`], [`MAX_RANK`], [`MAX_HEADER_BYTES`]. Names are unique, and
//! no byte of a file belongs to two tensors. A tensor's name is never part of a path.

mod blocks;
pub mod burnpack;
pub mod compare;
pub mod components;
pub mod gguf;
mod payload;
pub mod safetensors;
mod scales;
mod shape;
mod unique;

use crate::{
	convert::{self, Overflow, Values},
	file,
};
use blyan_primitives::tensor::{DType, MAX_FRACTION_BITS};
use serde::{Deserialize, Serialize};
use std::{
	collections::{BTreeMap, HashSet},
	fmt,
	fs::File,
	io::{self, BufWriter},
	path::{Path, PathBuf},
};

pub use unique::Unique;

/// The most tensors of a file.
pub const MAX_TENSORS: usize = 65_536;
/// The most bytes of a tensor's name.
pub const MAX_NAME_BYTES: usize = 256;
/// The most dimensions of a tensor.
pub const MAX_RANK: usize = 8;
/// The most bytes of whatever says which tensors a file has.
pub const MAX_HEADER_BYTES: u64 = 1 << 25;
/// Under this the metadata of a file has the fraction bits of its `i32` tensors.
pub const FRACTION_BITS_KEY: &str = "fraction_bits";
/// Under this the metadata of a file has which components its tensors came from, in order:
/// `name:tensors`, separated by commas.
pub const COMPONENTS_KEY: &str = "components";
/// How the name of the scales of an `i8` tensor ends, behind the name of the tensor.
pub const SCALE_SUFFIX: &str = ".scale";

/// The result of everything in these modules.
pub type Result<T> = std::result::Result<T, Error>;

/// Why weights cannot be imported, exported or compared, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// A file could not be read or written, or a tile file not trusted.
	#[error(transparent)]
	Tile(#[from] crate::Error),
	/// A file is damaged, or something else.
	#[error("the {format} file is refused at byte {offset}: {problem}; get it again from where it comes from")]
	File {
		/// What the file was taken for.
		format: &'static str,
		/// Where in it.
		offset: u64,
		/// What is wrong.
		problem: String,
	},
	/// A tensor cannot be used.
	#[error("the tensor {tensor:?} {problem}")]
	Tensor {
		/// The tensor's name, or the beginning of it.
		tensor: String,
		/// What is wrong, and what to do.
		problem: String,
	},
	/// A value of a tensor cannot be converted.
	#[error("the tensor {tensor:?}: {source}")]
	Value {
		/// The tensor's name.
		tensor: String,
		/// Which value, and why.
		source: convert::Error,
	},
	/// The list of components does not fit them, or makes no sense.
	#[error("the components in {} are refused: {problem}; import them again", .path.display())]
	Components {
		/// The folder, or the file that names components.
		path: PathBuf,
		/// What is wrong.
		problem: String,
	},
	/// The folder of an import has components.
	#[error("{} has components already, which an import would spoil; import into another folder", .0.display())]
	Occupied(PathBuf),
}

impl Error {
	/// An error about a tensor. Of a name that is too long only the beginning is kept.
	pub fn tensor(name: &str, problem: impl Into<String>) -> Self {
		let tensor = name.chars().take(MAX_NAME_BYTES).collect();
		Self::Tensor { tensor, problem: problem.into() }
	}
}

/// What the elements of a tensor are where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
	/// `i32` fixed point.
	I32,
	/// `i8` with a scale for each row.
	I8,
	/// IEEE 754 binary16.
	F16,
	/// The upper half of a binary32.
	Bf16,
	/// IEEE 754 binary32.
	F32,
	/// GGML: 32 values of 4 bits, one scale.
	#[serde(rename = "q4_0")]
	Q4_0,
	/// GGML: 32 values of 4 bits, a scale and a least value.
	#[serde(rename = "q4_1")]
	Q4_1,
	/// GGML: 32 values of 8 bits, one scale.
	#[serde(rename = "q8_0")]
	Q8_0,
	/// GGML: 256 values of 6 bits, a scale for each 16 and one for all.
	#[serde(rename = "q6_k")]
	Q6K,
}

impl Stored {
	/// The element type of such a tensor: its own, or `f32` of blocks, of which only the values
	/// count.
	pub fn dtype(self) -> DType {
		match self {
			Self::I32 => DType::I32,
			Self::I8 => DType::I8,
			Self::F16 => DType::F16,
			Self::Bf16 => DType::Bf16,
			Self::F32 | Self::Q4_0 | Self::Q4_1 | Self::Q8_0 | Self::Q6K => DType::F32,
		}
	}
}

impl From<DType> for Stored {
	fn from(dtype: DType) -> Self {
		match dtype {
			DType::I32 => Self::I32,
			DType::I8 => Self::I8,
			DType::F16 => Self::F16,
			DType::Bf16 => Self::Bf16,
			DType::F32 => Self::F32,
		}
	}
}

/// A tensor of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
	/// Its name, unique in the source.
	pub name: String,
	/// Its dimensions, outermost first; none for a single value.
	pub shape: Vec<u64>,
	/// What its elements are.
	pub stored: Stored,
	/// Fraction bits of `i32` elements, else 0.
	pub fraction_bits: u8,
}

impl Entry {
	/// How many values it has: the product of its dimensions.
	pub fn count(&self) -> u64 {
		// Checked when the source was opened.
		count(&self.shape).unwrap_or(0)
	}

	/// The extent of its last dimension; 1 for a single value.
	pub fn row(&self) -> u64 {
		self.shape.last().copied().unwrap_or(1)
	}

	/// How many bytes its elements have, if they are of no blocks.
	pub fn length(&self) -> Result<u64> {
		self.count().checked_mul(self.stored.dtype().element_bytes()).ok_or_else(|| {
			Error::tensor(&self.name, "is longer than any file; the shape is damaged")
		})
	}
}

/// The product of dimensions, if it fits a file.
fn count(shape: &[u64]) -> Option<u64> {
	shape.iter().try_fold(1u64, |count, extent| count.checked_mul(*extent))
}

/// Checks the limits and that no name occurs twice.
pub fn check_entries(entries: &[Entry]) -> Result<()> {
	if entries.len() > MAX_TENSORS {
		let problem = format!("is one of more than {MAX_TENSORS}; split the file");
		return Err(Error::tensor(&entries[MAX_TENSORS].name, problem));
	}
	let mut names = HashSet::with_capacity(entries.len());
	for entry in entries {
		check_tensor(&entry.name, &entry.shape)?;
		if entry.fraction_bits > MAX_FRACTION_BITS {
			let problem = format!("has {} fraction bits; 31 are the most", entry.fraction_bits);
			return Err(Error::tensor(&entry.name, problem));
		}
		if !names.insert(entry.name.as_str()) {
			return Err(Error::tensor(&entry.name, "occurs twice; rename one of the two"));
		}
	}
	Ok(())
}

/// Checks a name and a shape, and returns how many values there are.
fn check_tensor(name: &str, shape: &[u64]) -> Result<u64> {
	if name.is_empty() || name.len() > MAX_NAME_BYTES {
		let problem = format!("has a name of {} bytes; use 1 to {MAX_NAME_BYTES}", name.len());
		return Err(Error::tensor(name, problem));
	}
	if shape.len() > MAX_RANK {
		let problem = format!("has {} dimensions; use at most {MAX_RANK}", shape.len());
		return Err(Error::tensor(name, problem));
	}
	match count(shape) {
		Some(0) => Err(Error::tensor(name, "has no values; leave it out")),
		Some(count) => Ok(count),
		None => Err(Error::tensor(name, "has more values than any file; the shape is damaged")),
	}
}

/// Tensors that can be read, one at a time.
pub trait Source {
	/// The tensors, in the order in which they lie in the file. [`check_entries`] accepts them.
	fn entries(&self) -> &[Entry];

	/// What else the source says of itself.
	fn metadata(&self) -> &BTreeMap<String, String>;

	/// The values of the tensor at this place, as many as its shape says.
	fn read(&self, place: usize) -> Result<Values>;
}

/// How tensors of a source are written to a file of another format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
	/// The tensors of the file.
	entries: Vec<Entry>,
	/// For each of them where it comes from.
	parts: Vec<Part>,
	fraction_bits: u8,
	metadata: BTreeMap<String, String>,
	overflow: Overflow,
}

/// What of a source a tensor of a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
	/// The tensor of the source.
	tensor: usize,
	/// The type that it is encoded in.
	dtype: DType,
	/// Whether it is the scales, and not the elements.
	is_scales: bool,
}

impl Export {
	/// Each tensor in this element type, or without one as [`Stored::dtype`] says, but for `i8`,
	/// which becomes `f32`.
	///
	/// Fails if the tensors would need different fraction bits, or for `i8` unless they are that
	/// already and nothing has the name of their scales.
	pub fn new(source: &dyn Source, dtype: Option<DType>, overflow: Overflow) -> Result<Self> {
		let mut export = Self {
			entries: Vec::with_capacity(source.entries().len()),
			parts: Vec::with_capacity(source.entries().len()),
			fraction_bits: 0,
			metadata: source.metadata().clone(),
			overflow,
		};
		export.metadata.remove(FRACTION_BITS_KEY);
		if dtype == Some(DType::I8) {
			// Before the elements, whose lengths are odd: an f32 begins at a multiple of 4.
			for (tensor, entry) in source.entries().iter().enumerate() {
				export.entries.push(scales::entry_of(entry));
				export.parts.push(Part { tensor, dtype: DType::I8, is_scales: true });
			}
		}
		let mut fixed = None;
		for (tensor, entry) in source.entries().iter().enumerate() {
			let dtype = dtype.unwrap_or(match entry.stored.dtype() {
				DType::I8 => DType::F32,
				own => own,
			});
			match dtype {
				DType::I8 if entry.stored != Stored::I8 => {
					let problem = "is no i8, so it cannot be written as i8; \
						import it as i8 first, or use f32, f16 or bf16";
					return Err(Error::tensor(&entry.name, problem));
				}
				DType::I32 if entry.stored != Stored::I32 => {
					let problem = "is no fixed point; import it as i32 first";
					return Err(Error::tensor(&entry.name, problem));
				}
				DType::I32 if fixed.is_some_and(|bits| bits != entry.fraction_bits) => {
					let problem = "has other fraction bits than those before it; use f32";
					return Err(Error::tensor(&entry.name, problem));
				}
				DType::I32 => fixed = Some(entry.fraction_bits),
				DType::I8 | DType::F16 | DType::Bf16 | DType::F32 => {}
			}
			let fraction_bits = if dtype == DType::I32 { entry.fraction_bits } else { 0 };
			export.entries.push(Entry { stored: dtype.into(), fraction_bits, ..entry.clone() });
			export.parts.push(Part { tensor, dtype, is_scales: false });
		}
		if dtype == Some(DType::I8) {
			// With the scales there are more names, and longer ones.
			check_entries(&export.entries)?;
		}
		if let Some(bits) = fixed {
			export.fraction_bits = bits;
			export.metadata.insert(FRACTION_BITS_KEY.to_owned(), bits.to_string());
		}
		Ok(export)
	}

	/// The tensors of the file, in the order in which they are written, the scales of `i8` first.
	pub fn entries(&self) -> &[Entry] {
		&self.entries
	}

	/// What the file says of itself.
	pub fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	/// The bytes of the tensor at this place of the file.
	pub fn bytes(&self, source: &dyn Source, place: usize) -> Result<Vec<u8>> {
		let part = self.parts.get(place).ok_or_else(|| Error::tensor("", "is not there"))?;
		let Part { tensor, dtype, is_scales } = *part;
		let encoded = encode(source, tensor, dtype, self.fraction_bits, self.overflow)?;
		Ok(if is_scales { encoded.scales } else { encoded.elements })
	}
}

/// The tensor at this place of a source, in another element type.
fn encode(
	source: &dyn Source,
	place: usize,
	dtype: DType,
	fraction_bits: u8,
	overflow: Overflow,
) -> Result<convert::Encoded> {
	let values = source.read(place)?;
	let entries = source.entries();
	let entry = entries.get(place).ok_or_else(|| Error::tensor("", "is not there"))?;
	if values.len() as u64 != entry.count() {
		let problem = format!("has {} values where {} are expected", values.len(), entry.count());
		return Err(Error::tensor(&entry.name, problem));
	}
	values
		.encode(dtype, fraction_bits, entry.row() as usize, overflow)
		.map_err(|source| Error::Value { tensor: entry.name.clone(), source })
}

/// The fraction bits that the metadata of a file states, if it does.
pub fn stated_fraction_bits(metadata: &BTreeMap<String, String>) -> Option<u8> {
	let bits: u8 = metadata.get(FRACTION_BITS_KEY)?.parse().ok()?;
	(bits <= MAX_FRACTION_BITS).then_some(bits)
}

/// A file that is mapped into memory.
pub struct Mapped(memmap2::Mmap);

impl Mapped {
	/// Maps a file. Nothing of it is checked.
	pub fn open(path: &Path) -> Result<Self> {
		Ok(Self(file::map(path)?))
	}
}

impl AsRef<[u8]> for Mapped {
	fn as_ref(&self) -> &[u8] {
		&self.0
	}
}

impl fmt::Debug for Mapped {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Mapped").field("bytes", &self.0.len()).finish()
	}
}

/// Why writing a file stops.
enum Stop {
	/// The operating system refused.
	Io(io::Error),
	/// What was to be written is refused.
	Refused(Error),
}

impl From<io::Error> for Stop {
	fn from(error: io::Error) -> Self {
		Self::Io(error)
	}
}

impl From<Error> for Stop {
	fn from(error: Error) -> Self {
		Self::Refused(error)
	}
}

/// Writes a file atomically, with contents that may turn out to be wrong while they are written.
fn write(
	path: &Path,
	fill: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), Stop>,
) -> Result<()> {
	let mut refused = None;
	let written = crate::atomic::write(path, |file| match fill(file) {
		Ok(()) => Ok(()),
		Err(Stop::Io(error)) => Err(error),
		Err(Stop::Refused(error)) => {
			refused = Some(error);
			Err(io::Error::other("the contents were refused"))
		}
	});
	match refused {
		Some(error) => Err(error),
		None => Ok(written?),
	}
}
