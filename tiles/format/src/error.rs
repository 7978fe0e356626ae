//! What can be wrong with tile files.

use blyan_primitives::{tensor, tree, H256};
use std::{io, path::PathBuf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file cannot be read, written or trusted, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists, that you may write there and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The header is damaged, or the file is something else.
	#[error("{} is no tile file, {source}; delete it and fetch it again", .path.display())]
	Header {
		/// The file.
		path: PathBuf,
		/// What is wrong and at which byte.
		source: tensor::Error,
	},
	/// No header can be made for this payload.
	#[error("{} cannot be written, {source}; a payload is a positive multiple of 256 bytes", .path.display())]
	Payload {
		/// The file that was to be written.
		path: PathBuf,
		/// What is wrong with the header.
		source: tensor::Error,
	},
	/// The file is shorter or longer than its header says.
	#[error("{} has {found} bytes where its header asks for {expected}: it was cut off or appended to; delete it and fetch it again", .path.display())]
	Length {
		/// The file.
		path: PathBuf,
		/// Bytes that the header asks for.
		expected: u64,
		/// Bytes that the file has.
		found: u64,
	},
	/// The payload is not the one that was committed to.
	#[error("{} hashes to {found:?} where {expected:?} is expected: it is damaged or another version; delete it and fetch it again", .path.display())]
	Root {
		/// The file.
		path: PathBuf,
		/// The root that was committed to.
		expected: H256,
		/// The root of the file's payload, or the one in its header.
		found: H256,
	},
	/// The file has no such leaf.
	#[error("{} has {count} leaves, so there is no leaf {leaf}; ask for a smaller index", .path.display())]
	Leaf {
		/// The file.
		path: PathBuf,
		/// The leaf that was asked for.
		leaf: u64,
		/// Number of leaves of the file.
		count: u64,
	},
	/// A new leaf is not as long as the one it replaces.
	#[error("leaf {leaf} of {} (byte {offset} of the file) has {expected} weights, not {found}; give all of them", .path.display())]
	LeafLength {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// Where the leaf starts in the file, in bytes.
		offset: u64,
		/// Weights of the leaf.
		expected: u64,
		/// Weights that were given.
		found: u64,
	},
	/// The file holds something else than master weights.
	#[error("{} does not hold master weights (32-bit integers with 24 fraction bits, not compressed); convert it first", .path.display())]
	NotWeights {
		/// The file.
		path: PathBuf,
	},
	/// A list of leaf hashes is for another file.
	#[error("{} has {expected} leaves, but {found} leaf hashes were given; use those of the same component", .path.display())]
	LeafHashes {
		/// The file.
		path: PathBuf,
		/// Number of leaves of the file.
		expected: u64,
		/// Hashes that were given.
		found: u64,
	},
	/// The name of a component could leave the store's folder.
	#[error("{name:?} is no name of a component; use lower-case letters, digits and dots, as in layer.0.attn")]
	Name {
		/// The name.
		name: String,
	},
	/// The tree cannot be built.
	#[error("no tree over {}: {source}; this is a bug, please report it", .path.display())]
	Tree {
		/// The file.
		path: PathBuf,
		/// What is wrong.
		source: tree::Error,
	},
}

impl Error {
	/// Wraps what the operating system said.
	pub(crate) fn io(
		action: &'static str,
		path: impl Into<PathBuf>,
	) -> impl FnOnce(io::Error) -> Self {
		let path = path.into();
		move |source| Self::Io { action, path, source }
	}
}
