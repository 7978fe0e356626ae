//! The header of a tensor block file (`.blyt`), and the geometry of leaves and tiles.
//!
//! # The format
//!
//! 4096 bytes of header, then the payload. The header's length is a page, so a tile is page-aligned
//! in a mapped file and can be handed to a device without a copy.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `BLYTILE` and the version, 1 |
//! | 8 | 1 | [`PayloadType`] |
//! | 9 | 1 | [`DType`] |
//! | 10 | 1 | layout: 0, row-major |
//! | 11 | 1 | rank, 1..=4 |
//! | 12 | 4×4 | shape, zero beyond the rank |
//! | 28 | 1 | fraction bits, 0..=31 (`i32`), else 0 |
//! | 29 | 1 | [`Compression`] of each leaf |
//! | 30 | 2 | zero |
//! | 32 | 8 | payload bytes, before compression |
//! | 40 | 8 | offset of the scales in the payload (`i8`), else 0 |
//! | 48 | 32 | root of the payload, before compression |
//! | 80 | 4016 | zero |
//!
//! A tensor block's payload is as long as its shape says, padded with zeros to
//! [`ALIGNMENT_BYTES`]. A component of several tensors is one payload, in the order and at the
//! offsets that [`crate::model`] gives; its shape has then one dimension, the bytes of all elements
//! with their padding, divided by the bytes of one.
//!
//! With `i8`, one little-endian `f32` scale for each row follows at the offset of the scales,
//! padded likewise. A *row* is a run along the last dimension, so there are as many as the other
//! dimensions multiply to. In a component of several `i8` tensors, the scales of each tensor follow
//! in their order, each tensor's padded. A header of one dimension does not say how many rows there
//! are: it may be that of a component, whose scales are at most one for each element.
//!
//! Padding that is not zero is refused where it is known what is padding: in a tensor by
//! [`Header::verify`], between tensors by whoever knows their shapes, with [`check_padding`]. Who
//! reads leaf by leaf, as streams are read, sees the bytes of the root and checks no padding.
//!
//! # Tile streams
//!
//! A file of payload type 2 stores each leaf of the payload alone, so that it can be sent and read
//! without the others. The header speaks of the payload *before compression*: roots, proofs and
//! deltas do not depend on how a payload is stored. After the header comes
//!
//! | what | bytes |
//! |---|---|
//! | for each leaf the bytes that are stored for it, `u32`: 1 to the leaf's own bytes | 4 for each leaf |
//! | zeros | up to a multiple of 4096 |
//! | what is stored for each leaf, in order, and nothing after it | their sum |
//!
//! A leaf of as many bytes as are stored for it is stored as it is, which all are if the
//! compression is 0. Fewer bytes are one Zstandard frame (RFC 8878) without a dictionary, whose
//! content size is stated and is the leaf's. Other frames for the same leaf say the same, so this
//! is the one place where a value has several encodings; what identifies a payload is its root,
//! never the bytes of a stream.
//!
//! The payload of an executable expert is an ONNX graph and not padded. Its element type and fraction
//! bits are those of the weights that it refers to, its shape the columns of its input and output; the
//! `executable` module of `blyan-tiles` defines it byte by byte.

use crate::{
	tree::{self, LEAF_BYTES, TILE_BYTES, TILE_LEAVES},
	BoundedVec, ConstU32, H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::{fmt, iter, ops::Range};
use scale_info::TypeInfo;

/// Bytes in a header.
pub const HEADER_BYTES: usize = 4096;
/// First seven bytes of a file.
pub const MAGIC: [u8; 7] = *b"BLYTILE";
/// The only version of the header.
pub const VERSION: u8 = 1;
/// The most dimensions of a tensor.
pub const MAX_RANK: u32 = 4;
/// Every tensor and every block of scales is padded with zeros to a multiple of this.
pub const ALIGNMENT_BYTES: u64 = 256;
/// Bytes of the scale of a row of `i8`.
pub const SCALE_BYTES: u64 = 4;
/// The longest payload, 1 TiB.
pub const MAX_PAYLOAD_BYTES: u64 = 1 << 40;
/// Fraction bits of master weights unless a spec says otherwise: value = `q · 2^−24`.
pub const FRACTION_BITS: u8 = 24;
/// The most fraction bits: one bit is the sign.
pub const MAX_FRACTION_BITS: u8 = 31;
/// Bytes of one master weight.
pub const WEIGHT_BYTES: usize = 4;

const PAYLOAD_TYPE_OFFSET: u32 = 8;
const DTYPE_OFFSET: u32 = 9;
const LAYOUT_OFFSET: u32 = 10;
const RANK_OFFSET: u32 = 11;
const SHAPE_OFFSET: u32 = 12;
const FRACTION_BITS_OFFSET: u32 = 28;
const COMPRESSION_OFFSET: u32 = 29;
const RESERVED_OFFSET: u32 = 30;
const PAYLOAD_BYTES_OFFSET: u32 = 32;
const SCALES_OFFSET: u32 = 40;
const ROOT_OFFSET: u32 = 48;
const PADDING_OFFSET: u32 = 80;
const ROW_MAJOR: u8 = 0;

/// Dimensions of a tensor, outermost first.
pub type Shape = BoundedVec<u32, ConstU32<{ MAX_RANK }>>;

/// What a payload is.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PayloadType {
	/// Plain tensors.
	#[codec(index = 0)]
	TensorBlock,
	/// An executable expert block: an ONNX graph that refers to its weights by their root.
	#[codec(index = 1)]
	Eeb,
	/// Leaves one after the other, each perhaps compressed: for transfer, and for components that
	/// are larger than memory.
	#[codec(index = 2)]
	TileStream,
}

impl PayloadType {
	/// The type's byte in a header.
	pub const fn to_byte(self) -> u8 {
		match self {
			PayloadType::TensorBlock => 0,
			PayloadType::Eeb => 1,
			PayloadType::TileStream => 2,
		}
	}

	/// The type of a header's byte.
	pub const fn from_byte(byte: u8) -> Option<Self> {
		match byte {
			0 => Some(PayloadType::TensorBlock),
			1 => Some(PayloadType::Eeb),
			2 => Some(PayloadType::TileStream),
			_ => None,
		}
	}
}

/// What an element is.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum DType {
	/// `i32` fixed point: value = `q · 2^−fraction_bits`. Master weights are this.
	#[codec(index = 0)]
	I32,
	/// `i8` with one `f32` scale for each row, which is a run along the last dimension.
	#[codec(index = 1)]
	I8,
	/// IEEE 754 binary16.
	#[codec(index = 2)]
	F16,
	/// The upper half of a binary32.
	#[codec(index = 3)]
	Bf16,
	/// IEEE 754 binary32.
	#[codec(index = 4)]
	F32,
}

impl DType {
	/// The type's byte in a header.
	pub const fn to_byte(self) -> u8 {
		match self {
			DType::I32 => 0,
			DType::I8 => 1,
			DType::F16 => 2,
			DType::Bf16 => 3,
			DType::F32 => 4,
		}
	}

	/// The type of a header's byte.
	pub const fn from_byte(byte: u8) -> Option<Self> {
		match byte {
			0 => Some(DType::I32),
			1 => Some(DType::I8),
			2 => Some(DType::F16),
			3 => Some(DType::Bf16),
			4 => Some(DType::F32),
			_ => None,
		}
	}

	/// Bytes of one element.
	pub const fn element_bytes(self) -> u64 {
		match self {
			DType::I8 => 1,
			DType::F16 | DType::Bf16 => 2,
			DType::I32 | DType::F32 => 4,
		}
	}
}

/// How each leaf of a file is compressed.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Compression {
	/// Not at all.
	#[codec(index = 0)]
	None,
	/// Zstandard, in tile streams only.
	#[codec(index = 1)]
	Zstd,
}

impl Compression {
	/// The compression's byte in a header.
	pub const fn to_byte(self) -> u8 {
		match self {
			Compression::None => 0,
			Compression::Zstd => 1,
		}
	}

	/// The compression of a header's byte.
	pub const fn from_byte(byte: u8) -> Option<Self> {
		match byte {
			0 => Some(Compression::None),
			1 => Some(Compression::Zstd),
			_ => None,
		}
	}
}

/// What is wrong with a header or payload, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
	/// Offset in the header of the first byte of the field that is refused.
	pub offset: u32,
	/// Why it is refused.
	pub kind: ErrorKind,
}

/// Why a header or payload is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
	/// The header is not 4096 bytes long.
	HeaderLength {
		/// Bytes that were given.
		found: u64,
	},
	/// The file does not start with [`MAGIC`].
	Magic,
	/// The version is unknown.
	Version(u8),
	/// The payload type is unknown.
	PayloadType(u8),
	/// The element type is unknown.
	DType(u8),
	/// The layout is unknown.
	Layout(u8),
	/// The rank is not 1..=4.
	Rank(u8),
	/// A dimension is zero.
	Dimension,
	/// The shape has more elements than a payload may hold.
	Shape,
	/// The fraction bits do not fit the element type.
	FractionBits(u8),
	/// The compression is unknown, or not allowed for the payload type.
	Compression(u8),
	/// A byte that must be zero is not.
	NotZero,
	/// The payload is empty, too long, or not as long as the shape asks for.
	PayloadBytes {
		/// Bytes that the header states, or that were given.
		found: u64,
	},
	/// The offset of the scales does not fit the element type, the shape or the payload.
	ScalesOffset(u64),
	/// A byte of the payload is not zero, though neither elements nor scales hold it.
	Padding {
		/// Its offset in the payload.
		found: u64,
	},
	/// The payload hashes to another root.
	Root,
}

impl Error {
	const fn new(offset: u32, kind: ErrorKind) -> Self {
		Self { offset, kind }
	}
}

impl fmt::Display for Error {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		// Padding has its own place, in the payload.
		if !matches!(self.kind, ErrorKind::Padding { .. }) {
			write!(f, "at byte {} of the header: ", self.offset)?;
		}
		match self.kind {
			ErrorKind::HeaderLength { found } => {
				write!(f, "a header has {HEADER_BYTES} bytes, found {found}")
			}
			ErrorKind::Magic => write!(f, "this is not a tensor block file"),
			ErrorKind::Version(found) => {
				write!(f, "version {found} is unknown, this program reads version {VERSION}")
			}
			ErrorKind::PayloadType(found) => write!(f, "payload type {found} is unknown"),
			ErrorKind::DType(found) => write!(f, "element type {found} is unknown"),
			ErrorKind::Layout(found) => write!(f, "layout {found} is unknown"),
			ErrorKind::Rank(found) => write!(f, "the rank must be 1..={MAX_RANK}, found {found}"),
			ErrorKind::Dimension => write!(f, "a dimension must not be zero"),
			ErrorKind::Shape => write!(f, "the shape has too many elements"),
			ErrorKind::FractionBits(found) => {
				write!(f, "{found} fraction bits do not fit the element type")
			}
			ErrorKind::Compression(found) => {
				write!(f, "compression {found} is unknown or not allowed for this payload type")
			}
			ErrorKind::NotZero => write!(f, "this byte must be zero"),
			ErrorKind::PayloadBytes { found } => {
				write!(f, "a payload of {found} bytes does not fit the rest of the header")
			}
			ErrorKind::ScalesOffset(found) => {
				write!(f, "scales at byte {found} do not fit the rest of the header")
			}
			ErrorKind::Padding { found } => {
				write!(f, "byte {found} of the payload is beside its tensors and must be zero")
			}
			ErrorKind::Root => write!(f, "the payload does not hash to this root"),
		}
	}
}

impl core::error::Error for Error {}

/// The header of a tensor block file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
	/// What the payload is.
	pub payload_type: PayloadType,
	/// What an element is.
	pub dtype: DType,
	/// Dimensions, outermost first, row-major.
	pub shape: Shape,
	/// Fraction bits of `i32` elements, else 0.
	pub fraction_bits: u8,
	/// How each leaf of the file is compressed.
	pub compression: Compression,
	/// Bytes of the payload before compression.
	pub payload_bytes: u64,
	/// Where in the payload the scales of `i8` elements start, else 0.
	pub scales_offset: u64,
	/// Root of the payload before compression.
	pub root: H256,
}

impl Header {
	/// The header of a component's master weights: `i32` with [`FRACTION_BITS`].
	///
	/// Fails if `payload_bytes` is not a positive multiple of [`ALIGNMENT_BYTES`] that one
	/// dimension can express.
	pub fn weights(payload_bytes: u64, root: H256) -> Result<Self, Error> {
		let weights = u32::try_from(payload_bytes / DType::I32.element_bytes())
			.map_err(|_| Error::new(SHAPE_OFFSET, ErrorKind::Shape))?;
		let mut shape = Shape::default();
		shape.try_push(weights).map_err(|_| Error::new(RANK_OFFSET, ErrorKind::Rank(0)))?;
		let header = Self {
			payload_type: PayloadType::TensorBlock,
			dtype: DType::I32,
			shape,
			fraction_bits: FRACTION_BITS,
			compression: Compression::None,
			payload_bytes,
			scales_offset: 0,
			root,
		};
		header.check()?;
		Ok(header)
	}

	/// The 4096 bytes of the header. Fails for a header that [`Header::decode`] would refuse.
	pub fn encode(&self) -> Result<Vec<u8>, Error> {
		self.check()?;
		let mut bytes = Vec::with_capacity(HEADER_BYTES);
		bytes.extend_from_slice(&MAGIC);
		bytes.extend_from_slice(&[
			VERSION,
			self.payload_type.to_byte(),
			self.dtype.to_byte(),
			ROW_MAJOR,
			self.shape.len() as u8,
		]);
		for dimension in 0..MAX_RANK as usize {
			let extent = self.shape.get(dimension).copied().unwrap_or_default();
			bytes.extend_from_slice(&extent.to_le_bytes());
		}
		bytes.extend_from_slice(&[self.fraction_bits, self.compression.to_byte(), 0, 0]);
		bytes.extend_from_slice(&self.payload_bytes.to_le_bytes());
		bytes.extend_from_slice(&self.scales_offset.to_le_bytes());
		bytes.extend_from_slice(self.root.as_bytes());
		bytes.resize(HEADER_BYTES, 0);
		Ok(bytes)
	}

	/// The header of exactly 4096 bytes.
	pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
		if bytes.len() != HEADER_BYTES {
			let offset = bytes.len().min(HEADER_BYTES) as u32;
			let found = bytes.len() as u64;
			return Err(Error::new(offset, ErrorKind::HeaderLength { found }));
		}
		let mut reader = Reader { rest: bytes };
		if reader.take::<7>()? != MAGIC {
			return Err(Error::new(0, ErrorKind::Magic));
		}
		let [version] = reader.take::<1>()?;
		if version != VERSION {
			return Err(Error::new(MAGIC.len() as u32, ErrorKind::Version(version)));
		}
		let [payload_type, dtype, layout, rank] = reader.take::<4>()?;
		let payload_type = PayloadType::from_byte(payload_type)
			.ok_or(Error::new(PAYLOAD_TYPE_OFFSET, ErrorKind::PayloadType(payload_type)))?;
		let dtype =
			DType::from_byte(dtype).ok_or(Error::new(DTYPE_OFFSET, ErrorKind::DType(dtype)))?;
		if layout != ROW_MAJOR {
			return Err(Error::new(LAYOUT_OFFSET, ErrorKind::Layout(layout)));
		}
		let shape = reader.shape(rank)?;
		let [fraction_bits, compression] = reader.take::<2>()?;
		let compression = Compression::from_byte(compression)
			.ok_or(Error::new(COMPRESSION_OFFSET, ErrorKind::Compression(compression)))?;
		expect_zero(RESERVED_OFFSET, &reader.take::<2>()?)?;
		let header = Self {
			payload_type,
			dtype,
			shape,
			fraction_bits,
			compression,
			payload_bytes: u64::from_le_bytes(reader.take()?),
			scales_offset: u64::from_le_bytes(reader.take()?),
			root: H256(reader.take()?),
		};
		expect_zero(PADDING_OFFSET, reader.rest)?;
		header.check()?;
		Ok(header)
	}

	/// Checks that `payload` is the payload of this header: its length, its root and, in a tensor
	/// block, the padding that the shape tells of.
	pub fn verify(&self, payload: &[u8]) -> Result<(), Error> {
		let found = payload.len() as u64;
		if found != self.payload_bytes {
			return Err(Error::new(PAYLOAD_BYTES_OFFSET, ErrorKind::PayloadBytes { found }));
		}
		match tree::bytes_root(payload) {
			Ok(root) if root == self.root => self.check_padding(payload),
			_ => Err(Error::new(ROOT_OFFSET, ErrorKind::Root)),
		}
	}

	/// Checks that a tensor block's payload of the right length is zero where the shape has neither
	/// elements nor scales. Another payload has no padding of its own.
	///
	/// A component of several tensors has padding between them, which its shape does not tell of:
	/// see [`check_padding`].
	pub fn check_padding(&self, payload: &[u8]) -> Result<(), Error> {
		if self.payload_type != PayloadType::TensorBlock {
			return Ok(());
		}
		let elements = 0..self.elements_length()?;
		let scales = match (self.dtype, self.rows()) {
			(DType::I8, Some(rows)) => {
				let end = self.scales_offset.saturating_add(rows.saturating_mul(SCALE_BYTES));
				self.scales_offset..end
			}
			(DType::I8, None) => self.scales_offset..self.payload_bytes,
			_ => elements.end..elements.end,
		};
		check_padding(payload, [elements, scales])
	}

	/// The relations between the fields, in the order of their offsets.
	fn check(&self) -> Result<(), Error> {
		let rank = self.shape.len() as u8;
		if rank == 0 {
			return Err(Error::new(RANK_OFFSET, ErrorKind::Rank(rank)));
		}
		for (offset, extent) in (SHAPE_OFFSET..).step_by(4).zip(self.shape.iter()) {
			if *extent == 0 {
				return Err(Error::new(offset, ErrorKind::Dimension));
			}
		}
		let most_bits = if self.dtype == DType::I32 { MAX_FRACTION_BITS } else { 0 };
		if self.fraction_bits > most_bits {
			let kind = ErrorKind::FractionBits(self.fraction_bits);
			return Err(Error::new(FRACTION_BITS_OFFSET, kind));
		}
		if self.compression != Compression::None && self.payload_type != PayloadType::TileStream {
			let kind = ErrorKind::Compression(self.compression.to_byte());
			return Err(Error::new(COMPRESSION_OFFSET, kind));
		}
		self.check_lengths()
	}

	fn check_lengths(&self) -> Result<(), Error> {
		let found = self.payload_bytes;
		let wrong_bytes = Error::new(PAYLOAD_BYTES_OFFSET, ErrorKind::PayloadBytes { found });
		let wrong_scales = Error::new(SCALES_OFFSET, ErrorKind::ScalesOffset(self.scales_offset));
		if found == 0 || found > MAX_PAYLOAD_BYTES {
			return Err(wrong_bytes);
		}
		let scaled = self.dtype == DType::I8;
		if scaled != (self.scales_offset != 0) {
			return Err(wrong_scales);
		}
		if scaled
			&& (self.scales_offset >= found || !self.scales_offset.is_multiple_of(ALIGNMENT_BYTES))
		{
			return Err(wrong_scales);
		}
		if self.payload_type != PayloadType::TensorBlock {
			return Ok(());
		}
		let elements_bytes = self.elements_bytes()?;
		if !scaled {
			return if found == elements_bytes { Ok(()) } else { Err(wrong_bytes) };
		}
		if self.scales_offset != elements_bytes {
			return Err(wrong_scales);
		}
		// The offset is less than the payload's bytes. Neither product overflows, since there are
		// at most as many rows as elements, and these have at most 2^40 bytes.
		let scales_bytes = found.saturating_sub(self.scales_offset);
		let fits = match self.rows() {
			Some(rows) => {
				let exact = rows.saturating_mul(SCALE_BYTES);
				exact.checked_next_multiple_of(ALIGNMENT_BYTES) == Some(scales_bytes)
			}
			None => {
				scales_bytes.is_multiple_of(ALIGNMENT_BYTES)
					&& scales_bytes <= elements_bytes.saturating_mul(SCALE_BYTES)
			}
		};
		if fits {
			Ok(())
		} else {
			Err(wrong_bytes)
		}
	}

	/// Rows of the tensor, if the shape says how many: of one dimension it may be a component's.
	fn rows(&self) -> Option<u64> {
		match self.shape.split_last() {
			Some((_, outer)) if !outer.is_empty() => {
				outer.iter().try_fold(1u64, |rows, extent| rows.checked_mul(u64::from(*extent)))
			}
			_ => None,
		}
	}

	/// Bytes of the elements, padded.
	fn elements_bytes(&self) -> Result<u64, Error> {
		self.elements_length()?
			.checked_next_multiple_of(ALIGNMENT_BYTES)
			.filter(|bytes| *bytes <= MAX_PAYLOAD_BYTES)
			.ok_or(Error::new(SHAPE_OFFSET, ErrorKind::Shape))
	}

	/// Bytes of the elements, without padding.
	fn elements_length(&self) -> Result<u64, Error> {
		self.shape
			.iter()
			.try_fold(self.dtype.element_bytes(), |bytes, extent| {
				bytes.checked_mul(u64::from(*extent))
			})
			.ok_or(Error::new(SHAPE_OFFSET, ErrorKind::Shape))
	}
}

/// Checks that `payload` is zero everywhere but in `parts`, which are in ascending order and apart.
/// What is refused is named by its offset in the payload.
pub fn check_padding(
	payload: &[u8],
	parts: impl IntoIterator<Item = Range<u64>>,
) -> Result<(), Error> {
	let bytes = payload.len() as u64;
	let mut end = 0;
	for part in parts.into_iter().chain(iter::once(bytes..bytes)) {
		// Both are at most the length of the payload, which is in memory.
		let [start, stop] = [end, part.start].map(|offset| offset.min(bytes) as usize);
		let gap = payload.get(start..stop).unwrap_or_default();
		if let Some(place) = gap.iter().position(|byte| *byte != 0) {
			let found = end.saturating_add(place as u64);
			return Err(Error::new(SHAPE_OFFSET, ErrorKind::Padding { found }));
		}
		end = part.end;
	}
	Ok(())
}

struct Reader<'a> {
	rest: &'a [u8],
}

impl Reader<'_> {
	fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
		// The length was checked, so this cannot fail; it says the right thing if it ever does.
		let offset = HEADER_BYTES.saturating_sub(self.rest.len());
		let found = HEADER_BYTES as u64;
		let (head, rest) = self
			.rest
			.split_first_chunk::<N>()
			.ok_or(Error::new(offset as u32, ErrorKind::HeaderLength { found }))?;
		self.rest = rest;
		Ok(*head)
	}

	fn shape(&mut self, rank: u8) -> Result<Shape, Error> {
		if rank == 0 || u32::from(rank) > MAX_RANK {
			return Err(Error::new(RANK_OFFSET, ErrorKind::Rank(rank)));
		}
		let mut shape = Shape::default();
		for (dimension, offset) in (0..MAX_RANK).zip((SHAPE_OFFSET..).step_by(4)) {
			let bytes = self.take::<4>()?;
			if dimension >= u32::from(rank) {
				expect_zero(offset, &bytes)?;
			} else {
				shape
					.try_push(u32::from_le_bytes(bytes))
					.map_err(|_| Error::new(RANK_OFFSET, ErrorKind::Rank(rank)))?;
			}
		}
		Ok(shape)
	}
}

fn expect_zero(offset: u32, bytes: &[u8]) -> Result<(), Error> {
	match (offset..).zip(bytes).find(|(_, byte)| **byte != 0) {
		Some((offset, _)) => Err(Error::new(offset, ErrorKind::NotZero)),
		None => Ok(()),
	}
}

/// Leaves of a payload of `bytes` bytes.
pub const fn leaf_count(bytes: u64) -> u64 {
	bytes.div_ceil(LEAF_BYTES as u64)
}

/// Tiles of a payload of `bytes` bytes.
pub const fn tile_count(bytes: u64) -> u64 {
	bytes.div_ceil(TILE_BYTES as u64)
}

/// Where leaf `leaf` lies in a payload of `bytes` bytes, if it has that many leaves.
pub fn leaf_range(bytes: u64, leaf: u64) -> Option<Range<u64>> {
	piece(bytes, LEAF_BYTES as u64, leaf)
}

/// Where tile `tile` lies in a payload of `bytes` bytes, if it has that many tiles.
pub fn tile_range(bytes: u64, tile: u64) -> Option<Range<u64>> {
	piece(bytes, TILE_BYTES as u64, tile)
}

/// The leaves of tile `tile` of a payload of `bytes` bytes, if it has that many tiles.
pub fn tile_leaves(bytes: u64, tile: u64) -> Option<Range<u64>> {
	piece(leaf_count(bytes), TILE_LEAVES as u64, tile)
}

/// Piece `index` of `0..total` cut into pieces of `length`.
fn piece(total: u64, length: u64, index: u64) -> Option<Range<u64>> {
	let start = index.checked_mul(length).filter(|start| *start < total)?;
	Some(start..start.saturating_add(length).min(total))
}

/// The bytes of master weights.
pub fn encode_weights(weights: &[i32]) -> Vec<u8> {
	let mut bytes = Vec::with_capacity(weights.len().saturating_mul(WEIGHT_BYTES));
	for weight in weights {
		bytes.extend_from_slice(&weight.to_le_bytes());
	}
	bytes
}

/// The master weights of `bytes`, if their length is a multiple of [`WEIGHT_BYTES`].
pub fn decode_weights(bytes: &[u8]) -> Option<Vec<i32>> {
	if !bytes.len().is_multiple_of(WEIGHT_BYTES) {
		return None;
	}
	let mut weights = Vec::with_capacity(bytes.len() / WEIGHT_BYTES);
	for chunk in bytes.chunks(WEIGHT_BYTES) {
		weights.push(i32::from_le_bytes(*chunk.first_chunk::<4>()?));
	}
	Some(weights)
}
