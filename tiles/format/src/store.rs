//! Which file holds which component of which snapshot of which model.
//!
//! `<root>/<model>/<snapshot>/<component>.blyt`, with the numbers that the chain gives models and
//! snapshots. A snapshot's folder is complete or is being filled: whoever fills it knows which
//! components a model has.
//!
//! ```
//! use blyan_tiles::{Store, TileFile};
//!
//! # let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path())?;
//! let root = store.write(1, 0, "head", &[7; 128])?;
//!
//! let file = store.read(1, 0, "head")?;
//! file.verify(&root)?;
//! assert_eq!(file.leaf(0)?, [7; 128]);
//!
//! let other = store.path(1, 1, "head")?;
//! let changed = file.update(&other, &[(0, &[8; 128])])?;
//! assert_ne!(changed, root);
//! assert_eq!(TileFile::open(other)?.weights()?, [8; 128]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{
	atomic,
	error::{Error, Result},
	TileFile,
};
use blyan_primitives::H256;
use std::{
	fs, io,
	path::{Path, PathBuf},
};

/// How the name of a tile file ends.
pub const EXTENSION: &str = "blyt";

/// The longest name of a component.
pub const MAX_NAME_BYTES: usize = 64;

/// The name of a component's file. Fails if it could leave the folder that it is put into.
pub fn file_name(component: &str) -> Result<String> {
	let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
	let is_name = !component.is_empty()
		&& component.len() <= MAX_NAME_BYTES
		&& component.bytes().all(allowed)
		&& component.split('.').all(|part| !part.is_empty());
	if !is_name {
		return Err(Error::Name { name: component.chars().take(MAX_NAME_BYTES).collect() });
	}
	Ok(format!("{component}.{EXTENSION}"))
}

/// A folder of tile files.
#[derive(Clone, Debug)]
pub struct Store {
	root: PathBuf,
}

impl Store {
	/// The store in this folder, which is created if it is missing.
	pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
		let root = root.into();
		fs::create_dir_all(&root).map_err(Error::io("create the folder", &root))?;
		Ok(Self { root })
	}

	/// The store's folder.
	pub fn root(&self) -> &Path {
		&self.root
	}

	/// The folder of a snapshot, which need not exist.
	pub fn snapshot_folder(&self, model: u32, snapshot: u32) -> PathBuf {
		self.root.join(model.to_string()).join(snapshot.to_string())
	}

	/// Where a component is, or would be. Fails if the name could leave the folder.
	pub fn path(&self, model: u32, snapshot: u32, component: &str) -> Result<PathBuf> {
		Ok(self.snapshot_folder(model, snapshot).join(file_name(component)?))
	}

	/// Whether there is a file for a component. It may be damaged.
	pub fn contains(&self, model: u32, snapshot: u32, component: &str) -> Result<bool> {
		Ok(self.path(model, snapshot, component)?.is_file())
	}

	/// Writes the master weights of a component, atomically, and returns their root.
	pub fn write(
		&self,
		model: u32,
		snapshot: u32,
		component: &str,
		weights: &[i32],
	) -> Result<H256> {
		TileFile::create(self.path(model, snapshot, component)?, weights)
	}

	/// Opens a component without hashing it.
	pub fn read(&self, model: u32, snapshot: u32, component: &str) -> Result<TileFile> {
		TileFile::open(self.path(model, snapshot, component)?)
	}

	/// Opens a component and checks that it has this root.
	pub fn read_verified(
		&self,
		model: u32,
		snapshot: u32,
		component: &str,
		root: &H256,
	) -> Result<TileFile> {
		TileFile::open_verified(self.path(model, snapshot, component)?, root)
	}

	/// Puts a component that did not change into a later snapshot as well.
	///
	/// The two share their bytes on disk where the file system can do that, see [`atomic::share`].
	pub fn carry(&self, model: u32, from: u32, to: u32, component: &str) -> Result<()> {
		let source = self.path(model, from, component)?;
		let target = self.path(model, to, component)?;
		if source == target {
			return Ok(());
		}
		atomic::share(&source, &target)
	}

	/// The snapshots of a model that have a folder, in ascending order.
	pub fn snapshots(&self, model: u32) -> Result<Vec<u32>> {
		let folder = self.root.join(model.to_string());
		let entries = match fs::read_dir(&folder) {
			Ok(entries) => entries,
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => return Err(Error::io("list", &folder)(error)),
		};
		let mut snapshots = Vec::new();
		for entry in entries {
			let name = entry.map_err(Error::io("list", &folder))?.file_name();
			// Other things that somebody put here are none of our business.
			if let Some(snapshot) = name.to_str().and_then(|name| name.parse().ok()) {
				snapshots.push(snapshot);
			}
		}
		snapshots.sort_unstable();
		Ok(snapshots)
	}

	/// Removes a snapshot. One that does not exist is removed already.
	pub fn remove_snapshot(&self, model: u32, snapshot: u32) -> Result<()> {
		let folder = self.snapshot_folder(model, snapshot);
		match fs::remove_dir_all(&folder) {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				Err(Error::io("remove", &folder)(error))
			}
			_ => Ok(()),
		}
	}

	/// Removes what interrupted writes left in a snapshot, and returns how many files that were.
	pub fn sweep(&self, model: u32, snapshot: u32) -> Result<u32> {
		atomic::sweep(&self.snapshot_folder(model, snapshot))
	}
}
