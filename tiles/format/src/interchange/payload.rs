//! Tile files of any element type, written piece by piece.

use super::{write, Error, Result, Stop};
use crate::hashing;
use blyan_primitives::{
	tensor::{Header, HEADER_BYTES},
	tree::{Kind, Tree, TILE_BYTES},
	H256,
};
use std::{
	fs::File,
	io::{self, BufWriter, Seek, SeekFrom, Write},
	path::Path,
};

/// The payload of a file that is being written. A tile of it is held back, and hashed when it is
/// full.
pub(super) struct Payload<'a> {
	file: &'a mut BufWriter<File>,
	tile: Vec<u8>,
	hashes: Vec<H256>,
	bytes: u64,
}

impl Payload<'_> {
	/// Writes bytes behind those that were written.
	pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
		self.bytes = self.bytes.saturating_add(bytes.len() as u64);
		while !bytes.is_empty() {
			let room = TILE_BYTES.saturating_sub(self.tile.len());
			let (now, later) = bytes.split_at(room.min(bytes.len()));
			self.tile.extend_from_slice(now);
			if self.tile.len() == TILE_BYTES {
				self.flush()?;
			}
			bytes = later;
		}
		Ok(())
	}

	/// Writes zeros up to this place.
	pub fn pad(&mut self, end: u64) -> io::Result<()> {
		// Less than what tensors are aligned to.
		let zeros = vec![0; end.saturating_sub(self.bytes) as usize];
		self.write(&zeros)
	}

	fn flush(&mut self) -> io::Result<()> {
		self.hashes.extend(hashing::leaf_hashes(&self.tile));
		self.file.write_all(&self.tile)?;
		self.tile.clear();
		Ok(())
	}
}

/// Writes a tile file atomically and returns the root of its payload, which `fill` writes.
///
/// The root of `header` is not looked at. Nothing but the tile that is being filled and the hashes
/// of leaves is held in memory.
pub(super) fn create(
	path: &Path,
	mut header: Header,
	fill: impl FnOnce(&mut Payload<'_>) -> std::result::Result<(), Stop>,
) -> Result<H256> {
	let payload_error =
		|source| Error::Tile(crate::Error::Payload { path: path.to_path_buf(), source });
	// What no header can be made for is refused before anything is written.
	header.encode().map_err(payload_error)?;
	let mut root = H256::default();
	write(path, |file| {
		file.write_all(&[0; HEADER_BYTES])?;
		let mut payload = Payload {
			file: &mut *file,
			tile: Vec::with_capacity(TILE_BYTES),
			hashes: Vec::new(),
			bytes: 0,
		};
		fill(&mut payload)?;
		payload.flush()?;
		let Payload { hashes, bytes, .. } = payload;
		let tree = Tree::from_leaf_hashes(Kind::Bytes, bytes, hashes).map_err(|source| {
			Error::Tile(crate::Error::Tree { path: path.to_path_buf(), source })
		})?;
		root = tree.root();
		header.root = root;
		header.payload_bytes = bytes;
		let encoded = header.encode().map_err(payload_error)?;
		file.seek(SeekFrom::Start(0))?;
		file.write_all(&encoded)?;
		Ok(())
	})?;
	Ok(root)
}
