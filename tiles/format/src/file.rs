//! One tile file.

use crate::{
	atomic,
	error::{Error, Result},
	hashing,
	stream::LeafStream,
};
use blyan_primitives::{
	hash::hash_many,
	tensor::{self, Header, PayloadType, HEADER_BYTES, WEIGHT_BYTES},
	tree::{Tree, LEAF_BYTES},
	H256,
};
use memmap2::Mmap;
use std::{
	collections::BTreeMap,
	fs::File,
	io::Write,
	ops::Range,
	path::{Path, PathBuf},
};

/// A tile file, mapped into memory.
///
/// The header and the length of the file are checked when it is opened, the payload is not: see
/// [`TileFile::verify`]. Bytes come from the disk when they are read.
#[derive(Debug)]
pub struct TileFile {
	path: PathBuf,
	header: Header,
	map: Mmap,
}

impl TileFile {
	/// Writes the master weights of a component, atomically, and returns their root.
	///
	/// The number of weights must be a positive multiple of 64, as the payload of every component
	/// is. Creates the folder if it is missing and replaces a file of the same name.
	pub fn create(path: impl AsRef<Path>, weights: &[i32]) -> Result<H256> {
		let path = path.as_ref();
		let payload: &[u8] = bytemuck::cast_slice(weights);
		let root = if payload.is_empty() {
			// The header below refuses an empty payload and says why.
			H256::default()
		} else {
			tree_of(path, payload)?.root()
		};
		let header = encode_header(path, payload.len() as u64, root)?;
		atomic::write(path, |file| {
			file.write_all(&header)?;
			file.write_all(payload)
		})?;
		Ok(root)
	}

	/// Maps a file after checking its header and its length.
	pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
		let path = path.into();
		let map = map(&path)?;
		let found = map.len() as u64;
		let head = map.get(..HEADER_BYTES).unwrap_or(&map);
		let header =
			Header::decode(head).map_err(|source| Error::Header { path: path.clone(), source })?;
		if header.payload_type == PayloadType::TileStream {
			return Err(Error::Stream { path });
		}
		let expected = header.payload_bytes.saturating_add(HEADER_BYTES as u64);
		if found != expected {
			return Err(Error::Length { path, expected, found });
		}
		Ok(Self { path, header, map })
	}

	/// Maps a file and checks that its payload has this root.
	pub fn open_verified(path: impl Into<PathBuf>, root: &H256) -> Result<Self> {
		let file = Self::open(path)?;
		file.verify(root)?;
		Ok(file)
	}

	/// Where the file is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// The file's header.
	pub fn header(&self) -> &Header {
		&self.header
	}

	/// The root that the header states. [`TileFile::verify`] checks it.
	pub fn root(&self) -> H256 {
		self.header.root
	}

	/// Number of leaves.
	pub fn leaf_count(&self) -> u64 {
		tensor::leaf_count(self.header.payload_bytes)
	}

	/// The whole payload.
	pub fn payload(&self) -> &[u8] {
		// Opening has checked the length.
		self.map.get(HEADER_BYTES..).unwrap_or_default()
	}

	/// The bytes of leaf `leaf`: 262,144, or fewer in the last leaf.
	pub fn leaf_bytes(&self, leaf: u64) -> Result<&[u8]> {
		let range = self.range_of(leaf)?;
		Ok(self.payload().get(range).unwrap_or_default())
	}

	/// The master weights of leaf `leaf`, in units of 2^−24, without a copy.
	///
	/// Fails if the file holds something else.
	pub fn leaf(&self, leaf: u64) -> Result<&[i32]> {
		let range = self.range_of(leaf)?;
		let weights = range.start / WEIGHT_BYTES..range.end / WEIGHT_BYTES;
		Ok(self.weights()?.get(weights).unwrap_or_default())
	}

	/// All master weights of the component, padding included, in units of 2^−24, without a copy.
	///
	/// Fails if the file holds something else.
	pub fn weights(&self) -> Result<&[i32]> {
		let not_weights = || Error::NotWeights { path: self.path.clone() };
		// Master weights have one form of header, so anything else in it is damage or another file.
		let standard = Header::weights(self.header.payload_bytes, self.header.root);
		if standard.as_ref() != Ok(&self.header) {
			return Err(not_weights());
		}
		// Pages are aligned, and so is the payload behind a header of one page.
		bytemuck::try_cast_slice(self.payload()).map_err(|_| not_weights())
	}

	/// The bytes of these leaves, one after another, for whoever asked for them.
	///
	/// They are not verified: at the other end a [`VerifiedReader`](crate::VerifiedReader) does it.
	pub fn stream(&self, leaves: &[u64]) -> Result<LeafStream<'_>> {
		let bytes: Result<Vec<&[u8]>> = leaves.iter().map(|leaf| self.leaf_bytes(*leaf)).collect();
		Ok(LeafStream::new(bytes?))
	}

	/// The hashes of all leaves, computed from the payload.
	pub fn leaf_hashes(&self) -> Vec<H256> {
		hashing::leaf_hashes(self.payload())
	}

	/// Hashes the whole payload and checks that `root` commits to it, and that the header says so.
	/// Where the shape is of a single tensor, the padding behind it must be zero.
	///
	/// Returns the tree, from which proofs of leaves and tiles come.
	pub fn verify(&self, root: &H256) -> Result<Tree> {
		let tree = tree_of(&self.path, self.payload())?;
		for found in [self.header.root, tree.root()] {
			if found != *root {
				return Err(Error::Root { path: self.path.clone(), expected: *root, found });
			}
		}
		self.header
			.check_padding(self.payload())
			.map_err(|source| Error::TensorPadding { path: self.path.clone(), source })?;
		Ok(tree)
	}

	/// Which leaves do not hash to `expected`, in ascending order: those that must be fetched again.
	pub fn damaged_leaves(&self, expected: &[H256]) -> Result<Vec<u64>> {
		let found = self.leaf_hashes();
		if found.len() != expected.len() {
			return Err(Error::LeafHashes {
				path: self.path.clone(),
				expected: found.len() as u64,
				found: expected.len() as u64,
			});
		}
		let pairs = (0u64..).zip(found.iter().zip(expected));
		Ok(pairs.filter(|(_, (found, expected))| found != expected).map(|(leaf, _)| leaf).collect())
	}

	/// Writes this component with other weights in some leaves to `target`, atomically, and returns
	/// the new root. This file stays as it is, unless `target` is its own path.
	///
	/// A change is a leaf's index and all of its weights. Where an index occurs twice the later
	/// entry counts. Only changed leaves are hashed anew, but the others are hashed once to be sure
	/// that damage does not spread into the new file.
	pub fn update(&self, target: impl AsRef<Path>, changes: &[(u64, &[i32])]) -> Result<H256> {
		let target = target.as_ref();
		let mut changed = BTreeMap::new();
		for (leaf, weights) in changes {
			changed.insert(*leaf, self.check_change(*leaf, weights)?);
		}
		// Only master weights can be replaced by master weights.
		self.weights()?;
		let mut tree = self.verify(&self.header.root)?;
		let bytes: Vec<&[u8]> = changed.values().copied().collect();
		let hashes: Vec<(usize, H256)> =
			changed.keys().map(|leaf| *leaf as usize).zip(hash_many(&bytes)).collect();
		tree.update_many(&hashes)
			.map_err(|source| Error::Tree { path: self.path.clone(), source })?;
		let root = tree.root();
		let header = encode_header(target, self.header.payload_bytes, root)?;
		atomic::write(target, |file| {
			file.write_all(&header)?;
			for (leaf, old) in (0u64..).zip(self.payload().chunks(LEAF_BYTES)) {
				file.write_all(changed.get(&leaf).copied().unwrap_or(old))?;
			}
			Ok(())
		})?;
		Ok(root)
	}

	/// The bytes of a change that fits this file.
	fn check_change<'a>(&self, leaf: u64, weights: &'a [i32]) -> Result<&'a [u8]> {
		let range = self.range_of(leaf)?;
		let bytes: &[u8] = bytemuck::cast_slice(weights);
		if bytes.len() != range.len() {
			return Err(Error::LeafLength {
				path: self.path.clone(),
				leaf,
				offset: (HEADER_BYTES + range.start) as u64,
				expected: (range.len() / WEIGHT_BYTES) as u64,
				found: weights.len() as u64,
			});
		}
		Ok(bytes)
	}

	/// Where leaf `leaf` lies in the payload.
	fn range_of(&self, leaf: u64) -> Result<Range<usize>> {
		// The whole file is mapped, so offsets in it fit a usize.
		tensor::leaf_range(self.header.payload_bytes, leaf)
			.map(|range| range.start as usize..range.end as usize)
			.ok_or_else(|| Error::Leaf { path: self.path.clone(), leaf, count: self.leaf_count() })
	}
}

/// Maps a file, whatever it holds.
// Mapping is unsafe because a file can change while it is mapped; nothing else here is.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Mmap> {
	let file = File::open(path).map_err(Error::io("open", path))?;
	// SAFETY: nothing that this project runs changes a file in place that it maps; files are replaced
	// by renaming. Somebody who does it anyway gets what they asked for: other bytes, which verifying
	// finds where there is a root, or, after cutting the file off, a signal that ends the process.
	unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))
}

fn tree_of(path: &Path, payload: &[u8]) -> Result<Tree> {
	hashing::tree_of(payload).map_err(|source| Error::Tree { path: path.to_path_buf(), source })
}

fn encode_header(path: &Path, payload_bytes: u64, root: H256) -> Result<Vec<u8>> {
	Header::weights(payload_bytes, root)
		.and_then(|header| header.encode())
		.map_err(|source| Error::Payload { path: path.to_path_buf(), source })
}
