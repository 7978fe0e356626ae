//! Streams as they are written.

use super::{frame::Packer, frames_start, LENGTH_BYTES};
use crate::{
	atomic::Unfinished,
	error::{Error, Result},
	stream::fill,
};
use blyan_primitives::{
	hash::blake2b_256,
	tensor::{self, Compression, Header, PayloadType, HEADER_BYTES},
	tree::{Kind, Tree, LEAF_BYTES},
	H256,
};
use std::{
	io::{Read, Seek, SeekFrom, Write},
	mem,
	path::PathBuf,
};

/// Writes a tile stream leaf by leaf.
///
/// It holds one leaf, and about 40 bytes for each leaf that was written. The file gets its name
/// when it is finished, in place of one that has it, and is removed if that does not happen.
///
/// ```
/// use blyan_tiles::{
///     primitives::{tensor::Header, tree::LEAF_BYTES, H256},
///     TileStream, TileStreamWriter,
/// };
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("head.blys");
/// let payload = vec![7; LEAF_BYTES + 256];
/// let header = Header::weights(payload.len() as u64, H256::zero())?;
/// let mut writer = TileStreamWriter::new(&path, &header)?;
/// for leaf in payload.chunks(LEAF_BYTES) {
///     writer.write_leaf(leaf)?;
/// }
/// let root = writer.finish()?;
/// assert!(std::fs::metadata(&path)?.len() < 10_000);
/// assert_eq!(TileStream::open(&path)?.verify(&root)?.reader()?.read(1)?, [7; 256]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TileStreamWriter {
	target: PathBuf,
	header: Header,
	file: Unfinished,
	packer: Packer,
	/// The hash of each leaf that was written, and the bytes of the index for them.
	hashes: Vec<H256>,
	index: Vec<u8>,
	/// While something is being written, and for ever if that failed.
	ended: bool,
}

impl TileStreamWriter {
	/// Begins a stream of the payload that `payload` describes. Its root is not used: it is
	/// computed.
	///
	/// Fails if there can be no such payload, or if it is not of tensors. Creates the folder if it
	/// is missing.
	pub fn new(target: impl Into<PathBuf>, payload: &Header) -> Result<Self> {
		let target = target.into();
		if payload.payload_type == PayloadType::Eeb {
			return Err(Error::NotTensors { path: target });
		}
		let header = Header {
			payload_type: PayloadType::TileStream,
			compression: Compression::Zstd,
			..payload.clone()
		};
		header.encode().map_err(|source| Error::Payload { path: target.clone(), source })?;
		let packer = Packer::new().map_err(Error::io("compress", &target))?;
		let mut file = Unfinished::create(&target)?;
		// What stands before the frames is known when they are written.
		let start = frames_start(tensor::leaf_count(header.payload_bytes));
		file.writer.seek(SeekFrom::Start(start)).map_err(Error::io("write", &target))?;
		let (hashes, index) = (Vec::new(), Vec::new());
		Ok(Self { target, header, file, packer, hashes, index, ended: false })
	}

	/// Number of leaves of the payload.
	pub fn leaf_count(&self) -> u64 {
		tensor::leaf_count(self.header.payload_bytes)
	}

	/// Writes the next leaf: 262,144 bytes, or fewer if it is the last one.
	pub fn write_leaf(&mut self, bytes: &[u8]) -> Result<()> {
		self.check_next(bytes.len())?;
		let hash = blake2b_256(bytes);
		self.ended = true;
		let stored = self.packer.pack(bytes).map_err(Error::io("compress", &self.target))?;
		self.file.writer.write_all(stored).map_err(Error::io("write", &self.target))?;
		self.index.extend_from_slice(&(stored.len() as u32).to_le_bytes());
		self.hashes.push(hash);
		self.ended = false;
		Ok(())
	}

	/// Writes the next leaf as it is stored elsewhere: the leaf has `bytes` bytes and this hash.
	pub(super) fn write_stored(&mut self, bytes: usize, hash: H256, stored: &[u8]) -> Result<()> {
		self.check_next(bytes)?;
		self.ended = true;
		self.file.writer.write_all(stored).map_err(Error::io("write", &self.target))?;
		self.index.extend_from_slice(&(stored.len() as u32).to_le_bytes());
		self.hashes.push(hash);
		self.ended = false;
		Ok(())
	}

	/// Writes all leaves that are missing from `source`, and takes no byte beyond them.
	pub fn write_from(&mut self, source: &mut impl Read) -> Result<()> {
		let longest = self.header.payload_bytes.min(LEAF_BYTES as u64) as usize;
		let mut buffer = vec![0; longest];
		for leaf in self.hashes.len() as u64..self.leaf_count() {
			let bytes = &mut buffer[..super::leaf_bytes(&self.header, leaf)];
			let read = fill(source, bytes).map_err(|source| Error::Source {
				path: self.target.clone(),
				leaf,
				source,
			})?;
			self.write_leaf(&bytes[..read])?;
		}
		Ok(())
	}

	/// Gives the file its name, and returns the root of its payload.
	///
	/// Fails if leaves are missing; there is no file then.
	pub fn finish(mut self) -> Result<H256> {
		let root = self.root()?;
		self.commit(root)?;
		Ok(root)
	}

	/// Gives the file its name if its payload has this root.
	pub fn finish_verified(mut self, root: &H256) -> Result<()> {
		let found = self.root()?;
		if found != *root {
			return Err(Error::Root { path: self.target, expected: *root, found });
		}
		self.commit(found)
	}

	/// Checks that there is a next leaf, and that it has so many bytes.
	fn check_next(&self, bytes: usize) -> Result<()> {
		let path = || self.target.clone();
		if self.ended {
			return Err(Error::Ended { path: path() });
		}
		let (leaf, count) = (self.hashes.len() as u64, self.leaf_count());
		if leaf == count {
			return Err(Error::Leaf { path: path(), leaf, count });
		}
		let (expected, found) = (super::leaf_bytes(&self.header, leaf) as u64, bytes as u64);
		if expected != found {
			return Err(Error::LeafBytes { path: path(), leaf, expected, found });
		}
		Ok(())
	}

	/// The root of the leaves that were written, which are all.
	fn root(&mut self) -> Result<H256> {
		if self.ended {
			return Err(Error::Ended { path: self.target.clone() });
		}
		let (expected, found) = (self.leaf_count(), self.hashes.len() as u64);
		if expected != found {
			return Err(Error::Unwritten { path: self.target.clone(), expected, found });
		}
		let hashes = mem::take(&mut self.hashes);
		Tree::from_leaf_hashes(Kind::Bytes, self.header.payload_bytes, hashes)
			.map(|tree| tree.root())
			.map_err(|source| Error::Tree { path: self.target.clone(), source })
	}

	/// Writes what stands before the frames, and gives the file its name.
	fn commit(mut self, root: H256) -> Result<()> {
		self.header.root = root;
		let refuse = |source| Error::Payload { path: self.target.clone(), source };
		let mut head = self.header.encode().map_err(refuse)?;
		debug_assert_eq!(head.len(), HEADER_BYTES);
		let start = frames_start((self.index.len() / LENGTH_BYTES) as u64);
		head.append(&mut self.index);
		head.resize(start as usize, 0);
		let file = &mut self.file.writer;
		file.seek(SeekFrom::Start(0))
			.and_then(|_| file.write_all(&head))
			.map_err(Error::io("write", &self.target))?;
		self.file.commit()
	}
}
