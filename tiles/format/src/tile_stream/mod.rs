//! Tile streams: payloads of which every leaf is stored compressed, read a leaf at a time.
//!
//! # Overview
//!
//! A tile file is mapped, and what is used of it takes up memory. A tile stream is read instead: it
//! is smaller, and whoever has less memory than the component has bytes can verify it, apply deltas
//! to it and multiply with its matrices. [`TileStreamWriter`] writes one, [`TileStream::open`]
//! reads its index, [`TileStream::verify`] hashes all of it once and gives a [`VerifiedStream`],
//! from which leaves come.
//!
//! # The format (`.blys`)
//!
//! | what | bytes |
//! |---|---|
//! | header, as `blyan_primitives::tensor` has it, with payload type 2 | 4,096 |
//! | index: for each leaf the bytes that are stored for it, `u32`, little-endian | 4 for each leaf |
//! | zeros | up to a multiple of 4,096 |
//! | what is stored for each leaf, in order and without gaps | their sum |
//!
//! The header speaks of the payload *before compression*: its size in bytes, from which the number
//! of leaves follows, and its root. So a component has one root however it is stored, and proofs,
//! deltas and blocks on chain do not depend on it.
//!
//! A leaf that is stored in as many bytes as it has is stored as it is. In fewer bytes it is one
//! frame of Zstandard (RFC 8878), which states the leaf's size as its content size and needs no
//! dictionary. If the header's compression is 0, no leaf is stored in fewer bytes. Any other
//! length, padding that is not zero, a file that ends elsewhere than its last leaf, and a frame
//! that is followed by another one or holds more or fewer bytes than its leaf are refused.
//!
//! One payload has many valid files, since compressors differ. That is harmless: nothing is ever
//! identified by the bytes of a stream, only by the root of what is in it.
//!
//! # Invariants
//!
//! - No byte of a leaf is given away before the whole leaf has the hash that was verified.
//! - A reader holds one leaf, one frame, and 45 bytes for each leaf of the payload. Verifying holds
//!   eight leaves and one frame for each of at most 8 threads, 18 MiB in all. No length is allocated
//!   for before it was checked against the length of the file, and nothing that a frame says of itself
//!   is allocated for at all.
//! - Applying a delta holds what a reader and a writer hold, two leaves of the delta, each of at most
//!   72 KiB, and of a low-rank delta the last leaf, which every other one needs, with its right factors
//!   once more as they are multiplied: for each tensor 4 bytes, and for each column its rank, at most
//!   256, the rank again, filled up to a multiple of 4, and 4 bytes. A matrix with rows of 10,000 weights
//!   has at most 5.2 MB of it, however many rows it has. A rank is never above the number of rows, but a
//!   component that is one vector has nine quarters of itself.
//! - Files are written as [`atomic`](crate::atomic) does it: a crash leaves the old one or the new
//!   one.
//!
//! # Example
//!
//! ```
//! use blyan_tiles::{
//!     primitives::delta::{encode_leaf, Chunk},
//!     TileFile, TileStream, TileStreamWriter,
//! };
//!
//! # let folder = tempfile::tempdir()?;
//! # let names = ["head.blyt", "head.blys", "new.blys"];
//! # let [file, base, new] = names.map(|name| folder.path().join(name));
//! let root = TileFile::create(&file, &[5; 128])?;
//! let file = TileFile::open(&file)?;
//! let mut writer = TileStreamWriter::new(&base, file.header())?;
//! writer.write_from(&mut file.payload())?;
//! writer.finish_verified(&root)?;
//!
//! let stream = TileStream::open(&base)?.verify(&root)?;
//! assert_eq!(stream.reader()?.weights(0)?, [5; 128]);
//!
//! // Weight 3 moves by 2 · 2^4.
//! let moved = Chunk::Sparse { exp: 4, bits: 4, indices: &[3], values: &[2] };
//! let new_root = stream.apply(&new, [encode_leaf(&[moved])])?;
//! let new = TileStream::open(&new)?.verify(&new_root)?;
//! assert_eq!(new.reader()?.weights(0)?[3], 5 + 32);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod delta_file;
mod frame;
mod writer;

pub use delta_file::DeltaFile;
pub use frame::FrameError;
pub use writer::TileStreamWriter;

use crate::{
	atomic::Unfinished,
	error::{Error, Result},
};
use blyan_primitives::{
	delta::{self, low_rank::LastLeaf, Chunk, Decoder, Form, LeafDelta},
	hash::{self, blake2b_256, LANES},
	tensor::{self, Compression, Header, PayloadType, HEADER_BYTES, MAGIC, WEIGHT_BYTES},
	tree::{self, Kind, Tree, LEAF_BYTES},
	H256,
};
use frame::Unpacker;
use std::{
	fs::File,
	io::{self, Read, Write},
	num::NonZeroUsize,
	ops::Range,
	panic,
	path::{Path, PathBuf},
	thread,
};

/// How the name of a tile stream ends.
pub const EXTENSION: &str = "blys";

/// Bytes of a length in the index.
const LENGTH_BYTES: usize = 4;
/// The index ends at a multiple of this.
const PAGE_BYTES: u64 = 4_096;
/// The most threads that hash leaves: it bounds the memory that they need together, to 18 MiB.
const MAX_THREADS: u64 = 8;

/// Where in the file of a payload with so many leaves the first of them is stored.
const fn frames_start(leaves: u64) -> u64 {
	// A payload has at most 2^22 leaves.
	HEADER_BYTES as u64 + (leaves * LENGTH_BYTES as u64).next_multiple_of(PAGE_BYTES)
}

/// Bytes of leaf `leaf` of a payload, which exists.
fn leaf_bytes(header: &Header, leaf: u64) -> usize {
	let range = tensor::leaf_range(header.payload_bytes, leaf).unwrap_or_default();
	// A leaf fits a usize.
	(range.end - range.start) as usize
}

/// Whether a file says that it is a tile stream. One that is too short to say so is none.
pub fn is_stream(path: impl AsRef<Path>) -> Result<bool> {
	let path = path.as_ref();
	let mut head = Vec::new();
	File::open(path)
		.and_then(|file| file.take(MAGIC.len() as u64 + 2).read_to_end(&mut head))
		.map_err(Error::io("read", path))?;
	// Magic, version, payload type.
	Ok(head.starts_with(&MAGIC)
		&& head.get(MAGIC.len() + 1) == Some(&PayloadType::TileStream.to_byte()))
}

/// A tile stream whose header and index were checked, and none of its leaves: see
/// [`TileStream::verify`].
#[derive(Debug)]
pub struct TileStream {
	path: PathBuf,
	header: Header,
	file: File,
	/// Where in the file each leaf is stored, and where the last one ends.
	starts: Vec<u64>,
}

impl TileStream {
	/// Opens a file after checking its header, its index and its length.
	pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
		let path = path.into();
		let file = File::open(&path).map_err(Error::io("open", &path))?;
		let found = file.metadata().map_err(Error::io("examine", &path))?.len();
		let mut head = vec![0; found.min(HEADER_BYTES as u64) as usize];
		read_at(&file, &mut head, 0).map_err(Error::io("read", &path))?;
		let header =
			Header::decode(&head).map_err(|source| Error::Header { path: path.clone(), source })?;
		if header.payload_type != PayloadType::TileStream {
			return Err(Error::NotStream { path });
		}
		let leaves = tensor::leaf_count(header.payload_bytes);
		let start = frames_start(leaves);
		if found < start {
			return Err(Error::Length { path, expected: start, found });
		}
		// The file is as long as that, and the longest payload's index has 16 MiB.
		let mut index = vec![0; start as usize - HEADER_BYTES];
		read_at(&file, &mut index, HEADER_BYTES as u64).map_err(Error::io("read", &path))?;
		let starts = starts(&path, &header, &index)?;
		let expected = starts.last().copied().unwrap_or(start);
		if found != expected {
			return Err(Error::Length { path, expected, found });
		}
		Ok(Self { path, header, file, starts })
	}

	/// Where the file is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// The file's header, which describes the payload before compression.
	pub fn header(&self) -> &Header {
		&self.header
	}

	/// The root that the header states. [`TileStream::verify`] checks it.
	pub fn root(&self) -> H256 {
		self.header.root
	}

	/// Number of leaves.
	pub fn leaf_count(&self) -> u64 {
		tensor::leaf_count(self.header.payload_bytes)
	}

	/// Bytes of the file.
	pub fn file_bytes(&self) -> u64 {
		self.starts.last().copied().unwrap_or_default()
	}

	/// The hashes of all leaves, computed from what is stored: on all cores, four or eight
	/// leaves at a time.
	pub fn leaf_hashes(&self) -> Result<Vec<H256>> {
		let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
		self.leaf_hashes_on(cores.min(MAX_THREADS))
	}

	/// The same hashes, computed on at most so many threads.
	fn leaf_hashes_on(&self, most_threads: u64) -> Result<Vec<H256>> {
		let leaves = self.leaf_count();
		// A thread that does not fill the lanes once is not worth starting.
		let lanes = hash::lanes() as u64;
		let threads = most_threads.min(leaves / lanes).max(1);
		let run = leaves.div_ceil(threads).next_multiple_of(lanes);
		thread::scope(|scope| {
			let workers: Vec<_> = (0..leaves)
				.step_by(run as usize)
				.map(|first| scope.spawn(move || self.hash_run(first..(first + run).min(leaves))))
				.collect();
			let mut hashes = Vec::with_capacity(leaves as usize);
			for worker in workers {
				match worker.join() {
					Ok(part) => hashes.extend(part?),
					Err(cause) => panic::resume_unwind(cause),
				}
			}
			Ok(hashes)
		})
	}

	/// Hashes the whole payload and checks that `root` commits to it, and that the header says so.
	pub fn verify(self, root: &H256) -> Result<VerifiedStream> {
		let hashes = self.leaf_hashes()?;
		let tree = Tree::from_leaf_hashes(Kind::Bytes, self.header.payload_bytes, hashes)
			.map_err(|source| Error::Tree { path: self.path.clone(), source })?;
		for found in [self.header.root, tree.root()] {
			if found != *root {
				return Err(Error::Root { path: self.path, expected: *root, found });
			}
		}
		Ok(VerifiedStream { stream: self, tree })
	}

	/// The hashes of the leaves of `run`.
	fn hash_run(&self, run: Range<u64>) -> Result<Vec<H256>> {
		let mut source = Source::new(self)?;
		let mut buffer = vec![0; LANES * LEAF_BYTES];
		let mut hashes = Vec::with_capacity((run.end - run.start) as usize);
		for first in run.clone().step_by(LANES) {
			// Only the payload's last leaf is short, so there is no gap between leaves.
			let mut filled = 0;
			for (leaf, place) in (first..run.end).zip(buffer.chunks_mut(LEAF_BYTES)) {
				filled += source.read(leaf, place)?;
			}
			hashes.extend(tree::leaf_hashes(&buffer[..filled]));
		}
		Ok(hashes)
	}

	/// Where in the file leaf `leaf` is stored.
	fn stored(&self, leaf: u64) -> Result<Range<u64>> {
		// No index of a leaf that exists is beyond a usize.
		let place = usize::try_from(leaf).unwrap_or(usize::MAX);
		match self.starts.get(place..) {
			Some([start, end, ..]) => Ok(*start..*end),
			_ => Err(Error::Leaf { path: self.path.clone(), leaf, count: self.leaf_count() }),
		}
	}
}

/// Where in the file each leaf is stored, and where the last one ends, from the index and its
/// padding.
fn starts(path: &Path, header: &Header, index: &[u8]) -> Result<Vec<u64>> {
	let leaves = tensor::leaf_count(header.payload_bytes);
	let mut starts = Vec::with_capacity(leaves as usize + 1);
	let mut start = frames_start(leaves);
	starts.push(start);
	let (lengths, padding) = index.split_at(leaves as usize * LENGTH_BYTES);
	for (leaf, length) in (0..leaves).zip(lengths.as_chunks::<LENGTH_BYTES>().0) {
		let found = u32::from_le_bytes(*length);
		let most = leaf_bytes(header, leaf) as u32;
		let fits = match header.compression {
			Compression::None => found == most,
			Compression::Zstd => (1..=most).contains(&found),
		};
		if !fits {
			let offset = HEADER_BYTES as u64 + leaf * LENGTH_BYTES as u64;
			return Err(Error::Index { path: path.to_path_buf(), leaf, offset, most, found });
		}
		start += u64::from(found);
		starts.push(start);
	}
	match padding.iter().position(|byte| *byte != 0) {
		Some(at) => {
			let offset = (HEADER_BYTES + lengths.len() + at) as u64;
			Err(Error::Padding { path: path.to_path_buf(), offset })
		}
		None => Ok(starts),
	}
}

/// Reads leaves of a stream one at a time. Nobody has verified what it gives.
struct Source<'a> {
	stream: &'a TileStream,
	unpacker: Unpacker,
	/// Room for one frame, which is shorter than its leaf.
	frame: Box<[u8]>,
}

impl<'a> Source<'a> {
	fn new(stream: &'a TileStream) -> Result<Self> {
		let unpacker = Unpacker::new().map_err(Error::io("read", &stream.path))?;
		let longest = stream.header.payload_bytes.min(LEAF_BYTES as u64) as usize;
		Ok(Self { stream, unpacker, frame: vec![0; longest].into_boxed_slice() })
	}

	/// Writes leaf `leaf` to the beginning of `target`, which has room for it, and returns its
	/// length.
	fn read(&mut self, leaf: u64, target: &mut [u8]) -> Result<usize> {
		let stored = self.stream.stored(leaf)?;
		let target = &mut target[..leaf_bytes(&self.stream.header, leaf)];
		let length = (stored.end - stored.start) as usize;
		let read = |bytes: &mut [u8]| {
			read_at(&self.stream.file, bytes, stored.start)
				.map_err(Error::io("read", &self.stream.path))
		};
		if length == target.len() {
			read(target)?;
			return Ok(length);
		}
		let frame = &mut self.frame[..length];
		read(frame)?;
		self.unpacker.unpack(frame, target).map_err(|source| Error::Frame {
			path: self.stream.path.clone(),
			leaf,
			offset: stored.start,
			source,
		})?;
		Ok(target.len())
	}
}

/// A tile stream of which every leaf was verified once, and is verified again when it is read.
#[derive(Debug)]
pub struct VerifiedStream {
	stream: TileStream,
	tree: Tree,
}

impl VerifiedStream {
	/// The stream.
	pub fn stream(&self) -> &TileStream {
		&self.stream
	}

	/// The tree over the payload, from which proofs of leaves and tiles come.
	pub fn tree(&self) -> &Tree {
		&self.tree
	}

	/// Reads leaves, in any order. Several readers can read at once.
	pub fn reader(&self) -> Result<LeafReader<'_>> {
		let longest = self.stream.header.payload_bytes.min(LEAF_BYTES as u64) as usize;
		let buffer = vec![0; longest.div_ceil(WEIGHT_BYTES)].into_boxed_slice();
		Ok(LeafReader { source: Source::new(&self.stream)?, tree: &self.tree, buffer })
	}

	/// Number of master weights of the component, padding included. Fails if the payload is
	/// something else.
	pub fn weight_count(&self) -> Result<u64> {
		check_weights(&self.stream)?;
		Ok(self.stream.header.payload_bytes / WEIGHT_BYTES as u64)
	}

	/// Writes the stream with a delta added to its master weights to `target`, atomically, and
	/// returns the new root. This stream stays as it is, also if `target` is its own path.
	///
	/// The delta is in chunks and has one item for each leaf, in order: its bytes, as
	/// [`apply_leaf`](blyan_primitives::delta::apply_leaf) takes them. They are asked for when
	/// their leaf is written, so that they need not all be in memory. What is stored for leaves
	/// that do not change is copied after it was verified, and not compressed again.
	pub fn apply<D: AsRef<[u8]>>(
		&self,
		target: impl AsRef<Path>,
		delta: impl IntoIterator<Item = D>,
	) -> Result<H256> {
		self.apply_leaves(target.as_ref(), None, delta.into_iter().map(Ok))
	}

	/// The same with a low-rank delta: its last leaf, and `rows`, the bytes of the others, one item for
	/// each leaf of the weights, in order.
	///
	/// Refuses a delta that says two things about a row which crosses from one leaf into the next, and
	/// then writes nothing.
	pub fn apply_low_rank<D: AsRef<[u8]>>(
		&self,
		target: impl AsRef<Path>,
		last: &LastLeaf<'_>,
		rows: impl IntoIterator<Item = D>,
	) -> Result<H256> {
		self.apply_leaves(target.as_ref(), Some(last), rows.into_iter().map(Ok))
	}

	/// The same with a delta of either kind that is read from its file when its leaves are written.
	pub fn apply_file(&self, target: impl AsRef<Path>, delta: &DeltaFile<'_>) -> Result<H256> {
		self.check_weight_count(delta.form().weights())?;
		let Form::LowRank(tensors) = delta.form() else {
			return self.apply_leaves(target.as_ref(), None, delta.leaves());
		};
		let place = delta::leaf_count(tensors.weights());
		let bytes = delta.read(place)?;
		let last = LastLeaf::new(tensors, &bytes).map_err(|source| delta.refuse(place, source))?;
		self.apply_leaves(target.as_ref(), Some(&last), delta.leaves())
	}

	/// Writes the stream with each leaf changed by its delta: chunks, or if there is a last leaf of a
	/// low-rank delta, the rows that belong to it.
	fn apply_leaves<D: AsRef<[u8]>>(
		&self,
		target: &Path,
		last: Option<&LastLeaf<'_>>,
		mut delta: impl Iterator<Item = Result<D>>,
	) -> Result<H256> {
		check_weights(&self.stream)?;
		if let Some(last) = last {
			self.check_weight_count(last.weights())?;
		}
		let mut reader = self.reader()?;
		let mut writer = TileStreamWriter::new(target, &self.stream.header)?;
		let expected = self.stream.leaf_count();
		let wrong_count =
			|found| Error::DeltaLeaves { path: self.stream.path.clone(), expected, found };
		let mut before: Option<D> = None;
		for leaf in 0..expected {
			let bytes = delta.next().transpose()?.ok_or_else(|| wrong_count(leaf))?;
			let own = match last {
				None => LeafDelta::Chunks(bytes.as_ref()),
				Some(last) => {
					let before: &[u8] = match &before {
						Some(before) => before.as_ref(),
						None => &[],
					};
					let path = || self.stream.path.clone();
					// As many leaves as there are fit a usize.
					last.product_after(leaf as usize, bytes.as_ref(), before)
						.map(LeafDelta::LowRank)
						.map_err(|source| Error::Delta { path: path(), leaf, source })?
				}
			};
			reader.write_moved(leaf, &own, &mut writer)?;
			before = Some(bytes);
		}
		if delta.next().transpose()?.is_some() {
			return Err(wrong_count(expected + 1));
		}
		writer.finish()
	}

	/// Fails if a delta is for another number of weights, or the payload is something else.
	fn check_weight_count(&self, found: usize) -> Result<()> {
		let (expected, found) = (self.weight_count()?, found as u64);
		if expected != found {
			let path = self.stream.path.clone();
			return Err(Error::DeltaWeights { path, expected, found });
		}
		Ok(())
	}

	/// Writes the payload to a tile file, atomically. Fails if the header's shape does not fit it.
	/// Padding is written as it is; verifying the file checks it.
	pub fn expand(&self, target: impl AsRef<Path>) -> Result<()> {
		let target = target.as_ref();
		let header = Header {
			payload_type: PayloadType::TensorBlock,
			compression: Compression::None,
			..self.stream.header.clone()
		};
		let refuse = |source| Error::Payload { path: target.to_path_buf(), source };
		let header = header.encode().map_err(refuse)?;
		let mut reader = self.reader()?;
		let mut file = Unfinished::create(target)?;
		file.writer.write_all(&header).map_err(Error::io("write", target))?;
		for leaf in 0..self.stream.leaf_count() {
			let bytes = reader.read(leaf)?;
			file.writer.write_all(bytes).map_err(Error::io("write", target))?;
		}
		file.commit()
	}
}

/// Fails if the payload of a stream is not master weights.
fn check_weights(stream: &TileStream) -> Result<()> {
	let header = &stream.header;
	// They have one form of header, as in tile files.
	let standard = Header::weights(header.payload_bytes, header.root).map(|weights| Header {
		payload_type: header.payload_type,
		compression: header.compression,
		..weights
	});
	if standard.as_ref() != Ok(header) {
		return Err(Error::NotWeights { path: stream.path.clone() });
	}
	Ok(())
}

/// Reads leaves of a [`VerifiedStream`] and gives away those that still have the hash that was
/// verified. Holds one leaf.
pub struct LeafReader<'a> {
	source: Source<'a>,
	tree: &'a Tree,
	/// Room for one leaf, aligned for weights.
	buffer: Box<[i32]>,
}

impl LeafReader<'_> {
	/// The bytes of leaf `leaf`: 262,144, or fewer in the last leaf.
	pub fn read(&mut self, leaf: u64) -> Result<&[u8]> {
		let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffer[..]);
		let length = self.source.read(leaf, bytes)?;
		let bytes = &bytes[..length];
		let found = blake2b_256(bytes);
		// A leaf that was read is in the tree.
		let expected = self.tree.leaf_hash(leaf as usize).unwrap_or_default();
		if found != expected {
			let path = self.source.stream.path.clone();
			return Err(Error::LeafHash { path, leaf, expected, found });
		}
		Ok(bytes)
	}

	/// The master weights of leaf `leaf`, in units of 2^−24. Fails if the payload is something
	/// else.
	pub fn weights(&mut self, leaf: u64) -> Result<&[i32]> {
		check_weights(self.source.stream)?;
		let length = self.read(leaf)?.len();
		Ok(&self.buffer[..length / WEIGHT_BYTES])
	}

	/// Writes leaf `leaf`, of master weights, with a delta added to it.
	fn write_moved(
		&mut self,
		leaf: u64,
		delta: &LeafDelta<'_>,
		writer: &mut TileStreamWriter,
	) -> Result<()> {
		let path = self.source.stream.path.clone();
		let refuse = |source| Error::Delta { path, leaf, source };
		let stored = self.source.stream.stored(leaf)?;
		let length = self.read(leaf)?.len();
		let weights = &mut self.buffer[..length / WEIGHT_BYTES];
		match changes_nothing(delta, weights.len()) {
			Err(source) => Err(refuse(source)),
			Ok(true) => {
				let hash = self.tree.leaf_hash(leaf as usize).unwrap_or_default();
				let stored = (stored.end - stored.start) as usize;
				// What was just read and verified is still in its place.
				let as_it_is: &[u8] = bytemuck::cast_slice(weights);
				let frame = &self.source.frame[..stored];
				writer.write_stored(length, hash, if stored == length { as_it_is } else { frame })
			}
			Ok(false) => {
				delta.apply(weights).map_err(refuse)?;
				writer.write_leaf(bytemuck::cast_slice(weights))
			}
		}
	}
}

/// Whether a delta leaves a leaf of `weights` weights as it is. If it does, all of it was checked.
fn changes_nothing(
	delta: &LeafDelta<'_>,
	weights: usize,
) -> std::result::Result<bool, delta::Error> {
	let bytes = match delta {
		LeafDelta::Chunks(bytes) => bytes,
		LeafDelta::LowRank(product) => return delta.check(weights).map(|()| product.is_zero()),
	};
	let mut decoder = Decoder::new(bytes, weights)?;
	while let Some(chunk) = decoder.read()? {
		if chunk != Chunk::Unchanged {
			return Ok(false);
		}
	}
	Ok(true)
}

/// Fills `target` from byte `offset` of the file, without moving the file's cursor, which threads
/// share.
#[cfg(unix)]
fn read_at(file: &File, target: &mut [u8], offset: u64) -> io::Result<()> {
	std::os::unix::fs::FileExt::read_exact_at(file, target, offset)
}

/// The same where reading moves the cursor, which nobody looks at.
#[cfg(windows)]
fn read_at(file: &File, target: &mut [u8], offset: u64) -> io::Result<()> {
	let mut filled = 0;
	while filled < target.len() {
		let at = offset + filled as u64;
		match std::os::windows::fs::FileExt::seek_read(file, &mut target[filled..], at) {
			Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
			Ok(read) => filled += read,
			Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
			Err(error) => return Err(error),
		}
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn hashes_do_not_depend_on_the_number_of_threads() {
		let most_threads = MAX_THREADS + 1;
		// Each of so many threads has as many leaves as it hashes at once, the last of them a short
		// one. Fewer threads have parts of other lengths.
		let bytes = (most_threads as usize * hash::lanes() - 1) * LEAF_BYTES + 1_280;
		let pattern: Vec<u8> = (0..251).collect();
		let mut payload = pattern.repeat(bytes.div_ceil(pattern.len()));
		payload.truncate(bytes);

		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("a.blys");
		let header = Header::weights(bytes as u64, H256::zero()).unwrap();
		let mut writer = TileStreamWriter::new(&path, &header).unwrap();
		writer.write_from(&mut &payload[..]).unwrap();
		writer.finish().unwrap();
		let stream = TileStream::open(&path).unwrap();
		let expected = tree::leaf_hashes(&payload);
		for threads in 1..=most_threads {
			let hashes = stream.leaf_hashes_on(threads).unwrap();
			assert!(hashes == expected, "{threads} threads");
		}
	}
}
