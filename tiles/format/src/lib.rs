//! Tile files: the weights of a component on disk.
//!
//! # Overview
//!
//! A tile file (`.blyt`) is a header of 4096 bytes and a payload, cut into leaves of 256 KiB that a
//! Merkle root in the header commits to. `blyan_primitives::tensor` defines the header,
//! `blyan_primitives::tree` the tree; this crate adds what needs an operating system.
//!
//! | module | what |
//! |---|---|
//! | [`atomic`] | files that are either the old ones or the new ones, whatever happens |
//! | [`mod@file`] | [`TileFile`]: create, map, read, verify and update one file |
//! | [`hashing`] | leaf hashes and roots on all cores |
//! | [`store`] | [`Store`]: which file holds which component of which snapshot |
//! | [`stream`] | [`VerifiedReader`]: leaves from somebody else, verified one by one as they come |
//!
//! # Invariants
//!
//! - A file is never changed in place: it is written beside its final name, synced and renamed. So
//!   a crash leaves the old file or the new one, and a mapped file keeps its bytes.
//! - Opening checks the header and the length of the file; only verifying checks the payload.
//!   Nothing that came from somebody else is used before it was verified.
//!
//! # Example
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

#![deny(missing_docs)]

// Weights are mapped, not decoded: their bytes in memory are those of the file.
#[cfg(target_endian = "big")]
compile_error!("tile files are little-endian and are mapped without conversion");

pub mod atomic;
mod error;
pub mod file;
pub mod hashing;
pub mod store;
pub mod stream;

pub use error::{Error, Result};
pub use file::TileFile;
pub use store::Store;
pub use stream::{LeafHashes, VerifiedReader};
