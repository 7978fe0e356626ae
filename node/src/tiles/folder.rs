//! Files: payloads that are whole, and those that are being received.
//!
//! | name | what |
//! |---|---|
//! | `ROOT.blyt` | a tile file whose payload has this root |
//! | `ROOT.part` | such a file some of whose leaves are not there yet; its header comes last |
//! | `ROOT.hashes` | beside it: the payload's size (8 bytes), and each leaf's hash, or 32 zeros |
//! | `.lock` | empty; locked by the node whose folder this is |
//!
//! `ROOT` is 64 lower-case hexadecimal digits. Files are read and written, never mapped: whoever
//! cuts a mapped file off ends the process that reads it. What is no plain file is not opened for
//! use: whoever may write to the folder must not make the node read what only the node may read,
//! nor make it wait.

use super::error::{Error, Result};
use blyan_primitives::{
	tensor::{self, Header, HEADER_BYTES},
	transfer::{Leaf, Mask},
	tree::{self, Kind, Tree, TILE_BYTES, TILE_LEAVES},
	H256,
};
use rustix::{fs::OFlags, io::Errno};
use std::{
	fs::{self, File, OpenOptions, TryLockError},
	io,
	os::unix::fs::{FileExt, OpenOptionsExt},
	path::{Path, PathBuf},
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
};

/// How the name of a whole file ends.
const WHOLE: &str = "blyt";
/// How the name of a file ends that is being received.
const PART: &str = "part";
/// How the name of the hashes beside it ends.
const HASHES: &str = "hashes";
/// The name of the file that tells other nodes whose folder it is.
const LOCK: &str = ".lock";
/// Bytes of the disk that transfers leave free: the chain's database needs them more.
const RESERVE_BYTES: u64 = 2 << 30;
/// After how many leaves the system is made to write them to the disk. Otherwise it would collect
/// gigabytes, and then let the node's database wait until they are written.
const SYNC_LEAVES: u64 = 64;
/// Bytes before the first hash.
const HASHES_HEAD_BYTES: usize = 8;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// The folder of tile files that the operator named.
#[derive(Clone, Debug)]
pub struct Folder {
	path: PathBuf,
	/// Held for as long as anything uses the folder.
	lock: Arc<Lock>,
	/// Bytes of the disk that stay free.
	reserve_bytes: u64,
}

/// The file that is locked. It is unlocked when it is dropped, and not closed only: a process that is
/// just being started has what is open here until it runs its own program.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
	fn drop(&mut self) {
		// It is closed next, which unlocks it as well.
		let _ = self.0.unlock();
	}
}

impl Folder {
	/// This folder, which is created if it is missing. Fails if another node uses it.
	pub fn open(path: PathBuf) -> Result<Self> {
		fs::create_dir_all(&path).map_err(Error::io("create the folder", &path))?;
		let lock = read_write(&path.join(LOCK))?;
		match lock.try_lock() {
			Ok(()) => Ok(Self { path, lock: Arc::new(Lock(lock)), reserve_bytes: RESERVE_BYTES }),
			Err(TryLockError::WouldBlock) => Err(Error::InUse { path }),
			Err(TryLockError::Error(source)) => Err(Error::io("lock", path.join(LOCK))(source)),
		}
	}

	/// The roots in the names of whole files, in no order, at most `limit`. The files are not
	/// looked into.
	pub fn roots(&self, limit: usize) -> Result<Vec<H256>> {
		let entries = fs::read_dir(&self.path).map_err(Error::io("list", &self.path))?;
		let mut roots = Vec::new();
		for entry in entries {
			let entry = entry.map_err(Error::io("list", &self.path))?;
			let path = entry.path();
			let is_plain = entry.file_type().is_ok_and(|kind| kind.is_file());
			let has_end = path.extension().is_some_and(|extension| extension == WHOLE);
			let is_whole = is_plain && has_end;
			let root = path.file_stem().and_then(|stem| stem.to_str()).and_then(root_of_name);
			// Other things that somebody put here are none of our business.
			if let (true, Some(root)) = (is_whole && roots.len() < limit, root) {
				roots.push(root);
			}
		}
		Ok(roots)
	}

	/// Removes what was received of a payload that is not whole; whether there was anything.
	pub fn forget(&self, root: &H256) -> Result<bool> {
		// In this order: the hashes alone would be taken for those of an empty file.
		let had_hashes = remove_if_there(&self.file(root, HASHES))?;
		let had_part = remove_if_there(&self.file(root, PART))?;
		Ok(had_hashes || had_part)
	}

	/// Checks that the disk has room for `bytes` more, and for the rest of the node.
	fn check_room(&self, bytes: u64) -> Result<()> {
		let disk = rustix::fs::fstatvfs(&self.lock.0)
			.map_err(|errno| Error::io("examine the disk of", &self.path)(errno.into()))?;
		let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
		let reserve_bytes = self.reserve_bytes;
		if free_bytes < bytes.saturating_add(reserve_bytes) {
			return Err(Error::NoRoom {
				path: self.path.clone(),
				bytes,
				reserve_bytes,
				free_bytes,
			});
		}
		Ok(())
	}

	fn file(&self, root: &H256, extension: &str) -> PathBuf {
		self.path.join(format!("{root:x}.{extension}"))
	}

	/// Makes the names of files survive a power failure.
	fn sync(&self) -> Result<()> {
		File::open(&self.path)
			.and_then(|folder| folder.sync_all())
			.map_err(Error::io("write to the disk", &self.path))
	}
}

/// The root that a name stands for: 64 lower-case hexadecimal digits.
fn root_of_name(name: &str) -> Option<H256> {
	let digits: Option<Vec<u8>> = name
		.bytes()
		.map(|digit| match digit {
			b'0'..=b'9' => Some(digit - b'0'),
			b'a'..=b'f' => Some(digit - b'a' + 10),
			_ => None,
		})
		.collect();
	let bytes: Vec<u8> = digits?.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect();
	// An odd digit at the end would be left over.
	(name.len() == 2 * HASH_BYTES).then(|| H256::from_slice(&bytes))
}

/// The header of master weights: it follows from the size and the root.
fn header_of(size: u64, root: H256) -> Result<Vec<u8>> {
	Header::weights(size, root)
		.and_then(|header| header.encode())
		.map_err(|source| Error::Size { size_bytes: size, source })
}

/// Checks that a payload of master weights can have this size.
pub fn check_size(size: u64) -> Result<()> {
	header_of(size, H256::default()).map(|_| ())
}

/// Bytes of a file with a payload of `size` bytes.
fn file_bytes(size: u64) -> u64 {
	HEADER_BYTES as u64 + size
}

/// Bytes of the hashes beside it.
fn hashes_bytes(size: u64) -> u64 {
	HASHES_HEAD_BYTES as u64 + tensor::leaf_count(size) * HASH_BYTES as u64
}

/// Where leaf `leaf` lies in a file of `size` bytes of payload, and how long it is. The leaf is
/// there.
fn place_of(size: u64, leaf: u64) -> (u64, usize) {
	let range = tensor::leaf_range(size, leaf).unwrap_or_default();
	(HEADER_BYTES as u64 + range.start, (range.end - range.start) as usize)
}

/// The payload of a whole file. The file is open only while it is read, so that thousands can be
/// offered.
#[derive(Debug)]
pub struct Payload {
	path: PathBuf,
	root: H256,
	size: u64,
}

impl Payload {
	/// Looks at the file of this root and checks its header and its length, but not its payload.
	pub fn open(folder: &Folder, root: &H256) -> Result<Self> {
		let path = folder.file(root, WHOLE);
		let file = match open_plain(OpenOptions::new().read(true), &path) {
			Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
				return Err(Error::NotOffered { root: *root });
			}
			opened => opened?,
		};
		let found = file.metadata().map_err(Error::io("examine", &path))?.len();
		let mut head = vec![0; HEADER_BYTES.min(found as usize)];
		file.read_exact_at(&mut head, 0).map_err(Error::io("read", &path))?;
		let header = Header::decode(&head)
			.map_err(|source| Error::Header { path: path.clone(), source: Some(source) })?;
		let (size, written) = (header.payload_bytes, header.root);
		// Whoever fetches it writes the header that follows from size and root.
		if Header::weights(size, written).as_ref() != Ok(&header) {
			return Err(Error::Header { path, source: None });
		}
		if written != *root {
			return Err(Error::Root { path, expected: *root, found: written });
		}
		let expected = size.saturating_add(HEADER_BYTES as u64);
		if found != expected {
			return Err(Error::FileLength { path, expected, found });
		}
		Ok(Self { path, root: *root, size })
	}

	/// Bytes of the payload.
	pub fn size(&self) -> u64 {
		self.size
	}

	/// Where the file is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// Appends the bytes of these leaves, which are there, to `target`. They are not verified.
	pub fn read(&self, leaves: &[u64], target: &mut Vec<u8>) -> Result<()> {
		self.read_from(&self.file()?, leaves, target)
	}

	/// The file, which may have been replaced since it was looked at.
	fn file(&self) -> Result<File> {
		open_plain(OpenOptions::new().read(true), &self.path)
	}

	fn read_from(&self, file: &File, leaves: &[u64], target: &mut Vec<u8>) -> Result<()> {
		for leaf in leaves {
			let (offset, length) = place_of(self.size, *leaf);
			let start = target.len();
			target.resize(start + length, 0);
			file.read_exact_at(&mut target[start..], offset)
				.map_err(Error::io("read", &self.path))?;
		}
		Ok(())
	}

	/// Hashes the payload, a tile at a time, and checks that it has the file's root.
	pub fn verify(&self) -> Result<Tree> {
		let file = self.file()?;
		let mut hashes = Vec::with_capacity(tensor::leaf_count(self.size) as usize);
		let mut buffer = Vec::with_capacity(TILE_BYTES);
		for tile in 0..tensor::tile_count(self.size) {
			let leaves = tensor::tile_leaves(self.size, tile).unwrap_or_default();
			buffer.clear();
			self.read_from(&file, &leaves.collect::<Vec<u64>>(), &mut buffer)?;
			hashes.extend(tree::leaf_hashes(&buffer));
		}
		tree_of(&self.path, &self.root, self.size, hashes)
	}
}

/// The tree over these hashes, if it has this root.
fn tree_of(path: &Path, root: &H256, size: u64, hashes: Vec<H256>) -> Result<Tree> {
	let tree = Tree::from_leaf_hashes(Kind::Bytes, size, hashes)
		.map_err(|source| Error::Tree { path: path.to_path_buf(), source })?;
	let found = tree.root();
	if found != *root {
		return Err(Error::Root { path: path.to_path_buf(), expected: *root, found });
	}
	Ok(tree)
}

/// A file that is being received, and the hashes of the leaves that are in it.
///
/// A leaf is written before its hash. After a crash in between, or one that lost what the system
/// had not written yet, the leaf's bytes do not have the hash beside them, and the leaf is not
/// counted.
#[derive(Debug)]
pub struct Part {
	folder: Folder,
	root: H256,
	size: u64,
	path: PathBuf,
	file: File,
	hashes_path: PathBuf,
	hashes: File,
	/// Leaves that were stored since it was opened.
	stored_leaves: AtomicU64,
}

impl Part {
	/// Goes on with the file of this root, or begins it. Returns which leaves of each tile are
	/// there, after hashing them. Fails if the disk has no room for the others.
	pub fn open(folder: &Folder, root: H256, size: u64) -> Result<(Self, Vec<Mask>)> {
		check_size(size)?;
		let path = folder.file(&root, PART);
		let hashes_path = folder.file(&root, HASHES);
		let (file, hashes) = (read_write(&path)?, read_write(&hashes_path)?);
		let (folder, stored_leaves) = (folder.clone(), AtomicU64::new(0));
		let part = Self { folder, root, size, path, file, hashes_path, hashes, stored_leaves };
		let have = if part.is_begun()? { part.check()? } else { part.begin()? };
		let there: u64 = (0..).zip(&have).map(|(tile, have)| have.leaf_bytes(size, tile)).sum();
		part.folder.check_room(size.saturating_sub(there))?;
		Ok((part, have))
	}

	/// Makes both files anew; no leaf is there.
	fn begin(&self) -> Result<Vec<Mask>> {
		// Emptied first, so that nothing of another attempt remains; holes take no room on the
		// disk.
		for (file, path, bytes) in [
			(&self.hashes, &self.hashes_path, hashes_bytes(self.size)),
			(&self.file, &self.path, file_bytes(self.size)),
		] {
			let sized = file.set_len(0).and_then(|()| file.set_len(bytes));
			sized.map_err(Error::io("make room for", path))?;
		}
		// Last, since it says that all of this was done.
		self.hashes
			.write_all_at(&self.size.to_le_bytes(), 0)
			.map_err(Error::io("write", &self.hashes_path))?;
		Ok(vec![Mask::default(); tensor::tile_count(self.size) as usize])
	}

	/// Whether both files are there, and of this size.
	fn is_begun(&self) -> Result<bool> {
		let length = |file: &File, path: &Path| -> Result<u64> {
			Ok(file.metadata().map_err(Error::io("examine", path))?.len())
		};
		if length(&self.hashes, &self.hashes_path)? != hashes_bytes(self.size)
			|| length(&self.file, &self.path)? != file_bytes(self.size)
		{
			return Ok(false);
		}
		let mut size = [0; HASHES_HEAD_BYTES];
		self.hashes.read_exact_at(&mut size, 0).map_err(Error::io("read", &self.hashes_path))?;
		Ok(u64::from_le_bytes(size) == self.size)
	}

	/// Which leaves of each tile are there and have the hashes beside them. Tiles that the disk
	/// does not give back are not there.
	fn check(&self) -> Result<Vec<Mask>> {
		let known = self.read_hashes()?;
		let mut have = Vec::with_capacity(tensor::tile_count(self.size) as usize);
		let mut buffer = Vec::with_capacity(TILE_BYTES);
		for (tile, known) in (0u64..).zip(known.chunks(TILE_LEAVES)) {
			let mut bits = 0u16;
			if known.iter().any(|hash| !hash.is_zero()) {
				let range = tensor::tile_range(self.size, tile).unwrap_or_default();
				buffer.resize((range.end - range.start) as usize, 0);
				let read = self.file.read_exact_at(&mut buffer, HEADER_BYTES as u64 + range.start);
				let found = read.map(|()| tree::leaf_hashes(&buffer)).unwrap_or_default();
				for (leaf, (known, found)) in known.iter().zip(&found).enumerate() {
					bits |= u16::from(known == found) << leaf;
				}
			}
			have.push(Mask::from_bits(bits));
		}
		Ok(have)
	}

	/// The hashes of all leaves; zero for those that are not there.
	fn read_hashes(&self) -> Result<Vec<H256>> {
		let mut bytes = vec![0; tensor::leaf_count(self.size) as usize * HASH_BYTES];
		self.hashes
			.read_exact_at(&mut bytes, HASHES_HEAD_BYTES as u64)
			.map_err(Error::io("read", &self.hashes_path))?;
		Ok(bytes.chunks_exact(HASH_BYTES).map(H256::from_slice).collect())
	}

	/// Bytes of the payload.
	pub fn size(&self) -> u64 {
		self.size
	}

	/// Stores leaves that were verified. Fails before the disk is full.
	pub fn store(&self, leaves: &[Leaf]) -> Result<()> {
		self.folder.check_room(leaves.iter().map(|leaf| leaf.bytes.len() as u64).sum())?;
		for leaf in leaves {
			let (offset, _) = place_of(self.size, leaf.index);
			self.file.write_all_at(leaf.bytes, offset).map_err(Error::io("write", &self.path))?;
			let offset = HASHES_HEAD_BYTES as u64 + leaf.index * HASH_BYTES as u64;
			self.hashes
				.write_all_at(leaf.hash.as_bytes(), offset)
				.map_err(Error::io("write", &self.hashes_path))?;
		}
		let count = leaves.len() as u64;
		let before = self.stored_leaves.fetch_add(count, Ordering::Relaxed);
		if before / SYNC_LEAVES != before.saturating_add(count) / SYNC_LEAVES {
			self.file.sync_data().map_err(Error::io("write to the disk", &self.path))?;
		}
		Ok(())
	}

	/// Gives the file its final name after checking that the hashes of its leaves lead to its root.
	///
	/// If they do not, both files are removed: something else has written to them.
	pub fn finish(&self) -> Result<(Payload, Tree)> {
		let tree = match tree_of(&self.path, &self.root, self.size, self.read_hashes()?) {
			Ok(tree) => tree,
			Err(error) => {
				self.folder.forget(&self.root)?;
				return Err(error);
			}
		};
		// Not when the file is begun: a power failure may take it from between leaves that stay.
		let header = header_of(self.size, self.root)?;
		self.file.write_all_at(&header, 0).map_err(Error::io("write", &self.path))?;
		// The rename must not reach the disk before the contents do.
		self.file.sync_all().map_err(Error::io("write to the disk", &self.path))?;
		let whole = self.folder.file(&self.root, WHOLE);
		fs::rename(&self.path, whole).map_err(Error::io("rename", &self.path))?;
		self.folder.sync()?;
		remove_if_there(&self.hashes_path)?;
		Ok((Payload::open(&self.folder, &self.root)?, tree))
	}
}

/// Opens a plain file, and nothing that only looks like one.
fn open_plain(options: &mut OpenOptions, path: &Path) -> Result<File> {
	let not_plain = || Error::NotPlain { path: path.to_path_buf() };
	// A pipe would otherwise be waited for.
	let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
	let file = match options.custom_flags(flags.bits() as i32).open(path) {
		Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
			return Err(not_plain());
		}
		opened => opened.map_err(Error::io("open", path))?,
	};
	let is_plain = file.metadata().map_err(Error::io("examine", path))?.is_file();
	is_plain.then_some(file).ok_or_else(not_plain)
}

fn read_write(path: &Path) -> Result<File> {
	open_plain(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

/// Removes a file; whether it was there.
fn remove_if_there(path: &Path) -> Result<bool> {
	match fs::remove_file(path) {
		Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
		removed => removed.map(|()| true).map_err(Error::io("remove", path)),
	}
}

#[cfg(test)]
mod crash;

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::{
		hash::blake2b_256,
		transfer::{self, Request, Response},
		tree::LEAF_BYTES,
	};
	use rustix::fs::{mkfifoat, Mode, CWD};
	use std::os::unix::fs::symlink;
	use tempfile::TempDir;

	/// A payload of one tile, one leaf and a short one, and its tree.
	fn payload() -> (Vec<u8>, Tree) {
		let size = (TILE_LEAVES + 1) * LEAF_BYTES + 512;
		let bytes: Vec<u8> = (0..size).map(|i| (i / 251) as u8).collect();
		let hashes = tree::leaf_hashes(&bytes);
		(bytes, Tree::from_leaf_hashes(Kind::Bytes, size as u64, hashes).unwrap())
	}

	fn folder() -> (TempDir, Folder) {
		let place = tempfile::tempdir().unwrap();
		let folder = Folder::open(place.path().join("tiles")).unwrap();
		(place, folder)
	}

	fn write_whole(folder: &Folder, bytes: &[u8], root: H256) {
		let mut whole = header_of(bytes.len() as u64, root).unwrap();
		whole.extend_from_slice(bytes);
		fs::write(folder.file(&root, WHOLE), whole).unwrap();
	}

	/// The names in the folder, without that of the lock.
	fn names(folder: &Folder) -> Vec<String> {
		let entries = fs::read_dir(&folder.path).unwrap();
		let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
		names.filter(|name| name != LOCK).collect()
	}

	/// Stores leaves of a tile, by way of the messages that bring them.
	fn store(part: &Part, bytes: &[u8], tree: &Tree, tile: u32, mask: Mask) {
		try_store(part, bytes, tree, tile, mask).unwrap();
	}

	fn try_store(part: &Part, bytes: &[u8], tree: &Tree, tile: u32, mask: Mask) -> Result<()> {
		let request = Request { root: tree.root(), size: tree.size(), tile, mask };
		let mut response = transfer::leaves_head(tree, tile, mask).unwrap();
		for leaf in mask.leaves(tile) {
			response.extend_from_slice(bytes.chunks(LEAF_BYTES).nth(leaf as usize).unwrap());
		}
		match transfer::read(&request, &response).unwrap() {
			Response::Leaves(leaves) => part.store(&leaves),
			other => panic!("{other:?}"),
		}
	}

	#[test]
	fn names_are_roots_in_lower_case() {
		let root = blake2b_256(b"name");
		assert_eq!(root_of_name(&format!("{root:x}")), Some(root));
		for name in ["", "ab", &format!("{root:X}"), &format!("{root:#x}"), &format!("{root:x}0")] {
			assert_eq!(root_of_name(name), None, "{name}");
		}
	}

	#[test]
	fn whole_files_are_found_opened_and_verified() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		write_whole(&folder, &bytes, tree.root());
		fs::write(folder.path.join("note.blyt"), "not a root").unwrap();
		fs::write(folder.file(&H256([1; 32]), PART), "not whole").unwrap();
		assert_eq!(folder.roots(10).unwrap(), [tree.root()]);
		assert!(folder.roots(0).unwrap().is_empty());

		let payload = Payload::open(&folder, &tree.root()).unwrap();
		assert_eq!(payload.verify().unwrap(), tree);
		let mut read = vec![9];
		payload.read(&[17, 1], &mut read).unwrap();
		let expected = [&[9][..], &bytes[17 * LEAF_BYTES..], &bytes[LEAF_BYTES..2 * LEAF_BYTES]];
		assert!(read == expected.concat());
	}

	#[test]
	fn files_that_are_not_what_their_name_says_are_refused() {
		let (_place, folder) = folder();
		let (mut bytes, tree) = payload();
		let root = tree.root();
		let open = || Payload::open(&folder, &root);
		assert!(matches!(open(), Err(Error::NotOffered { .. })));

		let path = folder.file(&root, WHOLE);
		fs::write(&path, "short").unwrap();
		assert!(matches!(open(), Err(Error::Header { source: Some(_), .. })));
		fs::write(&path, header_of(512, H256([1; 32])).unwrap()).unwrap();
		assert!(matches!(open(), Err(Error::Root { .. })));
		fs::write(&path, header_of(512, root).unwrap()).unwrap();
		assert!(matches!(open(), Err(Error::FileLength { expected: 4_608, found: 4_096, .. })));

		let mut header = Header::weights(512, root).unwrap();
		header.fraction_bits = 3;
		fs::write(&path, header.encode().unwrap()).unwrap();
		assert!(matches!(open(), Err(Error::Header { source: None, .. })));

		bytes[5] ^= 1;
		write_whole(&folder, &bytes, root);
		assert!(matches!(open().unwrap().verify(), Err(Error::Root { .. })));
	}

	#[test]
	fn part_goes_on_where_it_stopped_and_becomes_whole() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		let (part, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::default(); 2]);
		store(&part, &bytes, &tree, 0, Mask::from_bits(0b101));
		drop(part);

		let (part, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::from_bits(0b101), Mask::default()]);
		store(&part, &bytes, &tree, 1, Mask::from_bits(0b11));
		store(&part, &bytes, &tree, 0, Mask::from_bits(!0b101));
		let (payload, found) = part.finish().unwrap();
		assert_eq!(found, tree);
		assert_eq!(payload.verify().unwrap(), tree);
		assert_eq!(folder.roots(10).unwrap(), [root]);
		assert_eq!(names(&folder), [format!("{root:x}.blyt")]);
	}

	#[test]
	fn leaf_that_was_lost_in_a_crash_is_not_counted() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		let (part, _) = Part::open(&folder, root, size).unwrap();
		store(&part, &bytes, &tree, 0, Mask::from_bits(0b111));
		// The first leaf's bytes were lost, the hash of the second one was torn.
		part.file.write_all_at(&[0xff; 100], HEADER_BYTES as u64).unwrap();
		part.hashes.write_all_at(&[0xff; 10], (HASHES_HEAD_BYTES + HASH_BYTES) as u64).unwrap();
		let (part, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::from_bits(0b100), Mask::default()]);

		// What claims to be whole and is not does not get the name, and is removed.
		assert!(matches!(part.finish(), Err(Error::Root { .. })));
		assert!(names(&folder).is_empty());
	}

	#[test]
	fn header_that_was_lost_in_a_power_failure_is_written_again() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		let (part, _) = Part::open(&folder, root, size).unwrap();
		store(&part, &bytes, &tree, 0, Mask::from_bits(u16::MAX));
		part.file.write_all_at(&[0; HEADER_BYTES], 0).unwrap();
		let (part, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::from_bits(u16::MAX), Mask::default()]);
		store(&part, &bytes, &tree, 1, Mask::from_bits(0b11));
		let (payload, _) = part.finish().unwrap();
		assert_eq!(payload.verify().unwrap(), tree);
	}

	#[test]
	fn leaves_that_cannot_be_read_are_not_there() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (part, _) = Part::open(&folder, tree.root(), tree.size()).unwrap();
		for (tile, bits) in [(0, u16::MAX), (1, 0b11)] {
			store(&part, &bytes, &tree, tile, Mask::from_bits(bits));
		}
		part.file.set_len(file_bytes(tree.size()) - 1).unwrap();
		assert_eq!(part.check().unwrap(), [Mask::from_bits(u16::MAX), Mask::default()]);
	}

	#[test]
	fn what_was_received_can_be_forgotten_once() {
		let (_place, folder) = folder();
		let (_, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		assert!(!folder.forget(&root).unwrap());
		Part::open(&folder, root, size).unwrap();
		assert_eq!(names(&folder).len(), 2);
		assert!(folder.forget(&root).unwrap());
		assert!(names(&folder).is_empty());
		fs::create_dir(folder.file(&root, PART)).unwrap();
		assert!(matches!(folder.forget(&root), Err(Error::Io { .. })));
	}

	#[test]
	fn folder_is_for_one_node_at_a_time() {
		let (_place, folder) = folder();
		let path = folder.path.clone();
		assert!(matches!(Folder::open(path.clone()), Err(Error::InUse { .. })));
		let user = folder.clone();
		drop(folder);
		assert!(matches!(Folder::open(path.clone()), Err(Error::InUse { .. })));
		drop(user);
		Folder::open(path).unwrap();
	}

	#[test]
	fn links_and_pipes_are_not_opened() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (linked, pipe) = (tree.root(), H256([1; 32]));
		write_whole(&folder, &bytes, linked);
		let elsewhere = folder.path.join("elsewhere");
		fs::rename(folder.file(&linked, WHOLE), &elsewhere).unwrap();
		for extension in [WHOLE, PART] {
			symlink(&elsewhere, folder.file(&linked, extension)).unwrap();
			mkfifoat(CWD, folder.file(&pipe, extension), Mode::RUSR | Mode::WUSR).unwrap();
		}
		assert!(folder.roots(10).unwrap().is_empty());
		for root in [linked, pipe] {
			let refused = Payload::open(&folder, &root);
			assert!(matches!(refused, Err(Error::NotPlain { .. })), "{refused:?}");
			let refused = Part::open(&folder, root, tree.size());
			assert!(matches!(refused, Err(Error::NotPlain { .. })), "{refused:?}");
		}
		assert_eq!(fs::metadata(elsewhere).unwrap().len(), file_bytes(tree.size()));
	}

	#[test]
	fn transfer_fails_before_the_disk_is_full() {
		let (_place, mut folder) = folder();
		let (bytes, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		let (mut part, _) = Part::open(&folder, root, size).unwrap();
		store(&part, &bytes, &tree, 0, Mask::from_bits(1));
		part.folder.reserve_bytes = u64::MAX;
		let full = try_store(&part, &bytes, &tree, 0, Mask::from_bits(0b10));
		assert!(matches!(full, Err(Error::NoRoom { bytes: 262_144, .. })), "{full:?}");
		folder.reserve_bytes = u64::MAX;
		assert!(matches!(Part::open(&folder, root, size), Err(Error::NoRoom { .. })));
		// What was stored stays.
		folder.reserve_bytes = 0;
		let (_, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::from_bits(1), Mask::default()]);
	}

	#[test]
	fn part_of_another_size_or_half_begun_begins_again() {
		let (_place, folder) = folder();
		let (bytes, tree) = payload();
		let (root, size) = (tree.root(), tree.size());
		let (part, _) = Part::open(&folder, root, size).unwrap();
		store(&part, &bytes, &tree, 0, Mask::from_bits(1));
		let (part, have) = Part::open(&folder, root, 512).unwrap();
		assert_eq!(have, [Mask::default()]);
		assert_eq!(part.file.metadata().unwrap().len(), HEADER_BYTES as u64 + 512);

		let (part, _) = Part::open(&folder, root, size).unwrap();
		store(&part, &bytes, &tree, 0, Mask::from_bits(1));
		part.hashes.write_all_at(&[0; HASHES_HEAD_BYTES], 0).unwrap();
		let (_, have) = Part::open(&folder, root, size).unwrap();
		assert_eq!(have, [Mask::default(); 2]);
		assert!(matches!(Part::open(&folder, root, 5), Err(Error::Size { size_bytes: 5, .. })));
		assert!(check_size(0).is_err() && check_size(u64::MAX).is_err());
	}
}
