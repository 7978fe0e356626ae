//! Records, shards and manifests of datasets, and the errors of this crate's byte decoders.
//!
//! # Record
//!
//! One training example in canonical bytes, at most 65,536 of them. Numbers are little-endian; a
//! field is its length in bytes as `u32`, then that many bytes of UTF-8.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | kind: 0 text, 1 instruction; 2 is reserved for games |
//! | 4 + n | text: `text`. instruction: `instruction` |
//! | 4 + n | instruction only: `input` |
//! | 4 + n | instruction only: `output` |
//!
//! `text`, `instruction` and `output` are not empty; `input` may be. Text is kept as it is: nothing
//! is normalised, trimmed or split here. The record's hash is the hash of these bytes.
//!
//! # Shard
//!
//! Records one after another, each behind its length in bytes as `u32`; at least one, at most
//! 1,048,576 bytes in all. The shard's CID is the hash of these bytes.
//!
//! # Manifest
//!
//! The SCALE encoding of [`Manifest`], fields in their order. A compact number is SCALE's.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | compact + n | name, UTF-8, 1..=64 bytes |
//! | 1 | kind: 0 text, 1 instruction, 2 game |
//! | compact + n | licence, an SPDX identifier, 1..=32 bytes |
//! | compact + n | language, a BCP 47 tag, 2..=8 bytes |
//! | compact + n | source, UTF-8, 1..=256 bytes |
//! | 4 | records, 64 or more |
//! | 8 | bytes of all shards |
//! | 32 | records root |
//! | compact + 40·n | shards, 1..=1024 in file order: CID (32), bytes (4), records (4) |
//! | 1 | availability: 0 chain, 1 peers |
//!
//! The records root is the list root (tag `0x03`) over the record hashes in file order.
//!
//! ```
//! use blyan_primitives::record::{Record, Shard};
//!
//! let record = Record::Text { text: "To be, or not to be".into() };
//! let bytes = record.encode().unwrap();
//! assert_eq!(Record::decode(&bytes), Ok(record.clone()));
//!
//! let mut shard = Shard::new();
//! shard.push(&bytes).unwrap();
//! assert_eq!(Shard::decode(shard.as_bytes()), Ok(vec![record]));
//! ```

use crate::{hash::blake2b_256, sampling::MIN_RECORDS, H256};
use alloc::{string::String, vec::Vec};
use bounded_collections::{BoundedVec, ConstU32};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// The most bytes of one record.
pub const MAX_RECORD_BYTES: usize = 65_536;
/// The most bytes of one shard, so that it is one indexed transaction.
pub const MAX_SHARD_BYTES: usize = 1_048_576;
/// The most shards of one dataset: 1 GiB.
pub const MAX_SHARDS: u32 = 1_024;
/// The only version of [`Manifest`].
pub const MANIFEST_VERSION: u8 = 1;
/// Bytes of the length before a field or a record.
const PREFIX_BYTES: usize = 4;
/// The fewest bytes that a record takes in a shard: its length, its kind, one field of one byte.
const MIN_FRAMED_RECORD_BYTES: u64 = 10;

/// Why a decoder refuses its input, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
	/// Where the refused part starts, counted from the start of the input.
	pub offset: usize,
	/// What is wrong there.
	pub reason: Reason,
}

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
	/// The input ends before the value does.
	Truncated,
	/// The value ends before the input does.
	Trailing,
	/// The input, or the part announced here, is longer than its kind may be.
	TooLong,
	/// A kind that does not exist.
	UnknownKind,
	/// A version that this code does not know.
	UnknownVersion,
	/// A field or list that may not be empty is.
	Empty,
	/// Not UTF-8.
	Utf8,
	/// A number outside the range it may have here.
	OutOfRange,
	/// Not a SCALE encoding of the expected type.
	Scale,
}

impl fmt::Display for DecodeError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let what = match self.reason {
			Reason::Truncated => "the input ends too early; fetch all of it",
			Reason::Trailing => "bytes follow the end of the value; cut them off",
			Reason::TooLong => "this is longer than allowed; split it",
			Reason::UnknownKind => "this kind does not exist",
			Reason::UnknownVersion => "this version is unknown; update the program",
			Reason::Empty => "this may not be empty",
			Reason::Utf8 => "this is not UTF-8; convert the text",
			Reason::OutOfRange => "this number is outside its range",
			Reason::Scale => "this is not a valid SCALE encoding",
		};
		write!(f, "at byte {}: {what}", self.offset)
	}
}

impl core::error::Error for DecodeError {}

/// Bytes that somebody else wrote, read from the front.
pub(crate) struct Reader<'a> {
	rest: &'a [u8],
	offset: usize,
}

impl<'a> Reader<'a> {
	pub(crate) fn new(bytes: &'a [u8]) -> Self {
		Self { rest: bytes, offset: 0 }
	}

	/// Bytes read so far.
	pub(crate) fn offset(&self) -> usize {
		self.offset
	}

	/// Bytes not read yet.
	pub(crate) fn remaining(&self) -> usize {
		self.rest.len()
	}

	/// The next `n` bytes.
	pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
		let (head, tail) = self.rest.split_at_checked(n).ok_or(self.error(Reason::Truncated))?;
		self.rest = tail;
		self.offset += n;
		Ok(head)
	}

	/// The next `N` bytes.
	pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
		let (head, tail) =
			self.rest.split_first_chunk::<N>().ok_or(self.error(Reason::Truncated))?;
		self.rest = tail;
		self.offset += N;
		Ok(*head)
	}

	pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
		self.array::<1>().map(u8::from_le_bytes)
	}

	pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
		self.array::<2>().map(u16::from_le_bytes)
	}

	pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
		self.array::<4>().map(u32::from_le_bytes)
	}

	pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
		self.array::<8>().map(i64::from_le_bytes)
	}

	pub(crate) fn hash(&mut self) -> Result<H256, DecodeError> {
		self.array::<32>().map(H256)
	}

	/// Refuses what was not read.
	pub(crate) fn finish(&self) -> Result<(), DecodeError> {
		if self.rest.is_empty() {
			Ok(())
		} else {
			Err(self.error(Reason::Trailing))
		}
	}

	/// An error at the next byte.
	pub(crate) fn error(&self, reason: Reason) -> DecodeError {
		DecodeError { offset: self.offset, reason }
	}
}

/// The whole of `bytes` as SCALE. Its decoders refuse compact numbers that are longer than they need
/// be, so each value has one encoding; lists are checked against their bound before they allocate.
pub(crate) fn decode_scale<T: Decode + MaxEncodedLen>(bytes: &[u8]) -> Result<T, DecodeError> {
	let longest = T::max_encoded_len();
	if bytes.len() > longest {
		return Err(DecodeError { offset: longest, reason: Reason::TooLong });
	}
	let mut rest = bytes;
	let decoded = T::decode(&mut rest);
	let offset = bytes.len().saturating_sub(rest.len());
	match decoded {
		Ok(_) if !rest.is_empty() => Err(DecodeError { offset, reason: Reason::Trailing }),
		Ok(value) => Ok(value),
		Err(_) => Err(DecodeError { offset, reason: Reason::Scale }),
	}
}

/// One training example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase", tag = "kind"))]
pub enum Record {
	/// Running text.
	Text {
		/// What is learned.
		text: String,
	},
	/// A task and its answer.
	Instruction {
		/// What is asked.
		instruction: String,
		/// What it is asked about; may be empty.
		input: String,
		/// The answer, which is what is learned.
		output: String,
	},
}

/// Why a record has no canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
	/// This field may not be empty.
	Empty(&'static str),
	/// The encoding would have this many bytes, more than [`MAX_RECORD_BYTES`].
	TooLong(usize),
}

impl fmt::Display for RecordError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Empty(field) => {
				write!(f, "the field `{field}` is empty; fill it or drop the record")
			}
			Self::TooLong(bytes) => write!(
				f,
				"the record takes {bytes} bytes and may take {MAX_RECORD_BYTES}; split its text"
			),
		}
	}
}

impl core::error::Error for RecordError {}

impl Record {
	const TEXT: u8 = 0;
	const INSTRUCTION: u8 = 1;

	/// The byte that stands for the kind, and the fields in order: name, text, may it be empty.
	fn parts(&self) -> (u8, Vec<(&'static str, &str, bool)>) {
		match self {
			Record::Text { text } => (Self::TEXT, Vec::from([("text", text.as_str(), false)])),
			Record::Instruction { instruction, input, output } => (
				Self::INSTRUCTION,
				Vec::from([
					("instruction", instruction.as_str(), false),
					("input", input.as_str(), true),
					("output", output.as_str(), false),
				]),
			),
		}
	}

	/// How many bytes the encoding takes.
	pub fn encoded_len(&self) -> usize {
		let (_, fields) = self.parts();
		fields.iter().fold(1usize, |sum, (_, text, _)| {
			sum.saturating_add(PREFIX_BYTES).saturating_add(text.len())
		})
	}

	/// The canonical bytes.
	pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
		let (kind, fields) = self.parts();
		for (name, text, may_be_empty) in &fields {
			if text.is_empty() && !may_be_empty {
				return Err(RecordError::Empty(name));
			}
		}
		let length = self.encoded_len();
		if length > MAX_RECORD_BYTES {
			return Err(RecordError::TooLong(length));
		}
		let mut bytes = Vec::with_capacity(length);
		bytes.push(kind);
		for (_, text, _) in &fields {
			// At most MAX_RECORD_BYTES by the check above, so nothing is cut off.
			bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
			bytes.extend_from_slice(text.as_bytes());
		}
		Ok(bytes)
	}

	/// The record that canonical bytes stand for.
	pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
		if bytes.len() > MAX_RECORD_BYTES {
			return Err(DecodeError { offset: MAX_RECORD_BYTES, reason: Reason::TooLong });
		}
		let mut reader = Reader::new(bytes);
		let record = match reader.u8()? {
			Self::TEXT => Record::Text { text: field(&mut reader, false)? },
			Self::INSTRUCTION => Record::Instruction {
				instruction: field(&mut reader, false)?,
				input: field(&mut reader, true)?,
				output: field(&mut reader, false)?,
			},
			_ => return Err(DecodeError { offset: 0, reason: Reason::UnknownKind }),
		};
		reader.finish()?;
		Ok(record)
	}

	/// The hash of the canonical bytes: the record's leaf in the dataset's tree.
	pub fn hash(&self) -> Result<H256, RecordError> {
		self.encode().map(|bytes| blake2b_256(&bytes))
	}
}

/// A length and that many bytes of text.
fn field(reader: &mut Reader, may_be_empty: bool) -> Result<String, DecodeError> {
	let empty = reader.error(Reason::Empty);
	let length = reader.u32()? as usize;
	if length == 0 && !may_be_empty {
		return Err(empty);
	}
	let start = reader.offset();
	let bytes = reader.take(length)?;
	match core::str::from_utf8(bytes) {
		Ok(text) => Ok(String::from(text)),
		Err(error) => {
			Err(DecodeError { offset: start + error.valid_up_to(), reason: Reason::Utf8 })
		}
	}
}

/// Why a record does not go into a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardError {
	/// The shard would grow past [`MAX_SHARD_BYTES`].
	Full,
	/// The bytes are no record.
	Record(DecodeError),
}

impl fmt::Display for ShardError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Full => f.write_str("the shard is full; start another one"),
			Self::Record(error) => write!(f, "not a canonical record: {error}"),
		}
	}
}

impl core::error::Error for ShardError {}

/// Records that are stored, addressed and transferred together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
	bytes: Vec<u8>,
	records: u32,
}

impl Shard {
	/// A shard of no records, which is not valid until one is pushed.
	pub const fn new() -> Self {
		Self { bytes: Vec::new(), records: 0 }
	}

	/// Whether a record of `record_bytes` bytes fits.
	pub fn fits(&self, record_bytes: usize) -> bool {
		record_bytes <= MAX_RECORD_BYTES
			&& self.bytes.len() + PREFIX_BYTES + record_bytes <= MAX_SHARD_BYTES
	}

	/// Appends a record in its canonical bytes, which are checked.
	pub fn push(&mut self, record: &[u8]) -> Result<(), ShardError> {
		Record::decode(record).map_err(ShardError::Record)?;
		if !self.fits(record.len()) {
			return Err(ShardError::Full);
		}
		// At most MAX_RECORD_BYTES, so nothing is cut off.
		self.bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
		self.bytes.extend_from_slice(record);
		self.records += 1;
		Ok(())
	}

	/// How many records were pushed.
	pub fn records(&self) -> u32 {
		self.records
	}

	/// Whether no record was pushed.
	pub fn is_empty(&self) -> bool {
		self.records == 0
	}

	/// The encoding.
	pub fn as_bytes(&self) -> &[u8] {
		&self.bytes
	}

	/// The encoding.
	pub fn into_bytes(self) -> Vec<u8> {
		self.bytes
	}

	/// The line of the manifest that names this shard.
	pub fn info(&self) -> ShardInfo {
		ShardInfo {
			cid: blake2b_256(&self.bytes),
			// At most MAX_SHARD_BYTES, so nothing is cut off.
			bytes: self.bytes.len() as u32,
			records: self.records,
		}
	}

	/// The records of an encoded shard as canonical bytes, each of which was checked.
	pub fn slices(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
		let mut slices = Vec::new();
		Self::for_each(bytes, |slice, _| slices.push(slice))?;
		Ok(slices)
	}

	/// The records of an encoded shard.
	pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, DecodeError> {
		let mut records = Vec::new();
		Self::for_each(bytes, |_, record| records.push(record))?;
		Ok(records)
	}

	/// Calls `f` with each record's bytes and the record; stops at the first that is none. What `f`
	/// keeps is bounded by the length of `bytes`, which is checked first.
	fn for_each<'a>(
		bytes: &'a [u8],
		mut f: impl FnMut(&'a [u8], Record),
	) -> Result<(), DecodeError> {
		if bytes.len() > MAX_SHARD_BYTES {
			return Err(DecodeError { offset: MAX_SHARD_BYTES, reason: Reason::TooLong });
		}
		let mut reader = Reader::new(bytes);
		if reader.remaining() == 0 {
			return Err(reader.error(Reason::Empty));
		}
		while reader.remaining() > 0 {
			let too_long = reader.error(Reason::TooLong);
			let length = reader.u32()? as usize;
			if length > MAX_RECORD_BYTES {
				return Err(too_long);
			}
			let start = reader.offset();
			let slice = reader.take(length)?;
			let record = Record::decode(slice)
				.map_err(|e| DecodeError { offset: start + e.offset, reason: e.reason })?;
			f(slice, record);
		}
		Ok(())
	}
}

/// What the records of a dataset are.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum DatasetKind {
	/// [`Record::Text`].
	#[codec(index = 0)]
	Text,
	/// [`Record::Instruction`].
	#[codec(index = 1)]
	Instruction,
	/// Games. Their records have no format yet, so [`Manifest::validate`] refuses them; the index is
	/// taken.
	#[codec(index = 2)]
	Game,
}

/// Who keeps the shards.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Availability {
	/// The chain, as indexed transactions.
	#[codec(index = 0)]
	Chain,
	/// The owner and whoever fetched them.
	#[codec(index = 1)]
	Peers,
}

/// One shard as the manifest names it.
#[derive(
	Clone,
	Copy,
	Debug,
	PartialEq,
	Eq,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ShardInfo {
	/// Hash of the shard.
	pub cid: H256,
	/// Its length.
	pub bytes: u32,
	/// How many records it holds.
	pub records: u32,
}

/// An SPDX licence identifier, such as `CC0-1.0`.
pub type Licence = BoundedVec<u8, ConstU32<32>>;

/// What a dataset is: its hash is what the owner signs and the chain stores.
#[derive(
	Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Manifest {
	/// [`MANIFEST_VERSION`].
	pub version: u8,
	/// What people call it.
	#[cfg_attr(feature = "serde", serde(with = "text"))]
	pub name: BoundedVec<u8, ConstU32<64>>,
	/// What its records are.
	pub kind: DatasetKind,
	/// Under which licence it is given.
	#[cfg_attr(feature = "serde", serde(with = "text"))]
	pub licence: Licence,
	/// The language of its text as a BCP 47 tag, such as `en` or `pt-BR`; `und` if undetermined.
	#[cfg_attr(feature = "serde", serde(with = "text"))]
	pub language: BoundedVec<u8, ConstU32<8>>,
	/// Where it comes from: an address or a sentence.
	#[cfg_attr(feature = "serde", serde(with = "text"))]
	pub source: BoundedVec<u8, ConstU32<256>>,
	/// How many records it has.
	pub records: u32,
	/// How many bytes its shards have together.
	pub bytes: u64,
	/// The list root over its record hashes in file order.
	pub records_root: H256,
	/// Its shards in file order.
	pub shards: BoundedVec<ShardInfo, ConstU32<MAX_SHARDS>>,
	/// Who keeps the shards.
	pub availability: Availability,
}

/// Which field of a manifest is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
	/// Not [`MANIFEST_VERSION`].
	Version,
	/// Empty, not UTF-8, with control characters, or with space around it.
	Name,
	/// A kind whose records have no format yet.
	Kind,
	/// Not letters, digits, `.`, `-` and `+`, at least one.
	Licence,
	/// Not a BCP 47 tag that starts with a lower-case letter.
	Language,
	/// Empty, not UTF-8, with control characters, or with space around it.
	Source,
	/// Fewer than [`MIN_RECORDS`], or not what the shards hold together.
	Records,
	/// Not what the shards have together.
	Bytes,
	/// No shard.
	NoShards,
	/// This shard is empty, longer than [`MAX_SHARD_BYTES`], or too short for its records.
	Shard(u32),
	/// Two shards have the same CID.
	DuplicateShard,
}

impl fmt::Display for ManifestError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Version => write!(f, "the manifest's version must be {MANIFEST_VERSION}"),
			Self::Name => f.write_str("the name must be plain text without space around it"),
			Self::Kind => f.write_str("the kind must be text or instruction"),
			Self::Licence => f.write_str("the licence must be an SPDX identifier like CC0-1.0"),
			Self::Language => f.write_str("the language must be a BCP 47 tag like en or pt-BR"),
			Self::Source => f.write_str("the source must be plain text without space around it"),
			Self::Records => write!(
				f,
				"the records must be at least {MIN_RECORDS} and as many as the shards hold together"
			),
			Self::Bytes => f.write_str("the bytes must be what the shards have together"),
			Self::NoShards => f.write_str("the manifest must name at least one shard"),
			Self::Shard(i) => write!(
				f,
				"shard {i} must have 1 to {MAX_SHARD_BYTES} bytes and room for its records"
			),
			Self::DuplicateShard => f.write_str("two shards are the same; name each once"),
		}
	}
}

impl core::error::Error for ManifestError {}

impl Manifest {
	/// The hash of the encoding: what the owner signs.
	pub fn hash(&self) -> H256 {
		blake2b_256(&self.encode())
	}

	/// The manifest that the whole of `bytes` stands for. Whether it makes sense is for
	/// [`Self::validate`] to say.
	pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
		match bytes.first() {
			Some(&version) if version != MANIFEST_VERSION => {
				Err(DecodeError { offset: 0, reason: Reason::UnknownVersion })
			}
			_ => decode_scale(bytes),
		}
	}

	/// Whether every field is what it may be and agrees with the others. Nothing is fetched: that
	/// the shards are what their lines say is for auditors to check.
	pub fn validate(&self) -> Result<(), ManifestError> {
		ensure(self.version == MANIFEST_VERSION, ManifestError::Version)?;
		ensure(is_plain_text(&self.name), ManifestError::Name)?;
		ensure(self.kind != DatasetKind::Game, ManifestError::Kind)?;
		ensure(is_licence(&self.licence), ManifestError::Licence)?;
		ensure(is_language(&self.language), ManifestError::Language)?;
		ensure(is_plain_text(&self.source), ManifestError::Source)?;
		ensure(!self.shards.is_empty(), ManifestError::NoShards)?;
		// At most 1,024 numbers of 32 bits: the sums fit.
		let (mut bytes, mut records) = (0u64, 0u64);
		for (i, shard) in (0u32..).zip(self.shards.iter()) {
			let (its_bytes, its_records) = (u64::from(shard.bytes), u64::from(shard.records));
			let fits = its_bytes <= MAX_SHARD_BYTES as u64
				&& its_records > 0
				&& its_records * MIN_FRAMED_RECORD_BYTES <= its_bytes;
			ensure(fits, ManifestError::Shard(i))?;
			bytes += its_bytes;
			records += its_records;
		}
		let enough = self.records >= MIN_RECORDS;
		ensure(enough && u64::from(self.records) == records, ManifestError::Records)?;
		ensure(self.bytes == bytes, ManifestError::Bytes)?;
		let mut cids: Vec<&H256> = self.shards.iter().map(|shard| &shard.cid).collect();
		cids.sort_unstable();
		let distinct = cids.iter().zip(cids.iter().skip(1)).all(|(a, b)| a != b);
		ensure(distinct, ManifestError::DuplicateShard)
	}
}

/// What tells a submission from all others: `H(manifest_hash:32 ‖ owner:32)`. Without the owner,
/// whoever copies a manifest out of the pool could stand in for whoever made it.
pub fn submission_hash(manifest_hash: &H256, owner: &[u8; 32]) -> H256 {
	blake2b_256(&[manifest_hash.as_bytes(), owner.as_slice()].concat())
}

/// `error` unless `condition`.
pub(crate) fn ensure<E>(condition: bool, error: E) -> Result<(), E> {
	if condition {
		Ok(())
	} else {
		Err(error)
	}
}

/// Text that can be shown on one line as it is.
fn is_plain_text(bytes: &[u8]) -> bool {
	match core::str::from_utf8(bytes) {
		Ok(text) => {
			!text.is_empty() && text.trim() == text && !text.chars().any(|c| c.is_control())
		}
		Err(_) => false,
	}
}

/// The characters of SPDX identifiers.
fn is_licence(bytes: &[u8]) -> bool {
	let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+".contains(byte);
	!bytes.is_empty() && bytes.iter().all(allowed)
}

/// The characters of BCP 47 tags; those of languages start in lower case.
fn is_language(bytes: &[u8]) -> bool {
	let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
	bytes.len() >= 2
		&& bytes.first().is_some_and(|byte| byte.is_ascii_lowercase())
		&& bytes.iter().all(allowed)
}

/// Bytes that are text, as text.
#[cfg(feature = "serde")]
mod text {
	use alloc::string::String;
	use bounded_collections::{BoundedVec, Get};
	use serde::{
		de::{Deserialize, Deserializer, Error as _},
		ser::{Error as _, Serializer},
	};

	pub fn serialize<B, S: Serializer>(
		bytes: &BoundedVec<u8, B>,
		serializer: S,
	) -> Result<S::Ok, S::Error> {
		let text = core::str::from_utf8(bytes).map_err(S::Error::custom)?;
		serializer.serialize_str(text)
	}

	pub fn deserialize<'de, B: Get<u32>, D: Deserializer<'de>>(
		deserializer: D,
	) -> Result<BoundedVec<u8, B>, D::Error> {
		let text = String::deserialize(deserializer)?;
		BoundedVec::try_from(text.into_bytes())
			.map_err(|_| D::Error::custom("the text is longer than its field"))
	}
}
